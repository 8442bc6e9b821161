-- State changes of the ACME server (01 sections 8.2, 9.3). Each is one transaction that spends the
-- nonce first; a refusal says so in `outcome` and leaves nothing behind but the spent nonce.

-- outcome: created | existing | bad_nonce | rate_limited | binding
-- p_eab_kid: the key of the external account binding, whose MAC was good; NULL: there is none.
CREATE OR REPLACE FUNCTION acme_account_create(
  p_nonce text, p_nonce_expires timestamptz,
  p_account text, p_profile text, p_thumbprint text, p_jwk_pem text, p_contact text[],
  p_tos_agreed boolean, p_address inet, p_limit_key text, p_per_hour integer,
  p_audit text, p_details jsonb, p_source_ip inet, p_request text, p_eab_kid text, p_eab_audit text,
  OUT outcome text, OUT account_id text, OUT status text, OUT contact text[], OUT tos_agreed boolean,
  OUT retry_after integer)
  LANGUAGE plpgsql AS $$
DECLARE
  eab record;
BEGIN
  IF NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  retry_after := rl_take(p_limit_key, p_per_hour, '1 hour', p_per_hour);
  IF retry_after > 0 THEN
    outcome := 'rate_limited';
    RETURN;
  END IF;
  SELECT * INTO eab FROM acme_eab_hold(p_eab_kid, p_profile);
  IF p_eab_kid IS NULL OR eab.good THEN
    INSERT INTO acme_accounts AS a (account_id, jwk_thumbprint, jwk_pem, contact, profile_id, tos_agreed_at, created_ip,
                                    eab_kid, owner_id, allowed_identifiers)
    VALUES (p_account, p_thumbprint, p_jwk_pem, p_contact, p_profile, CASE WHEN p_tos_agreed THEN now() END, p_address,
            p_eab_kid, eab.owner_id, eab.allowed)
    ON CONFLICT (profile_id, jwk_thumbprint) DO NOTHING
    RETURNING a.account_id INTO acme_account_create.account_id;
  END IF;
  IF account_id IS NOT NULL THEN
    outcome := 'created';
    IF p_eab_kid IS NOT NULL THEN
      PERFORM acme_eab_bind(p_eab_kid, p_account, p_eab_audit, p_source_ip, p_request);
    END IF;
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
    VALUES (p_audit, 'acme:' || p_account, 'System', 'acme_account_created', 'acme_account', p_account, p_details,
            p_source_ip, p_request);
  ELSE -- two registrations of one key met: the other one won
    outcome := 'existing';
  END IF;
  SELECT a.account_id, a.status, a.contact, a.tos_agreed_at IS NOT NULL
    INTO acme_account_create.account_id, acme_account_create.status, acme_account_create.contact,
         acme_account_create.tos_agreed
    FROM acme_accounts a
   WHERE a.profile_id = p_profile AND a.jwk_thumbprint = p_thumbprint;
  IF NOT FOUND THEN -- the key was used up, or ended, since its MAC was looked at
    outcome := 'binding';
  END IF;
END $$;

-- Whether patterns bound the names of every order at a directory: its own, and those of each profile that an order may
-- select there (01 sections 4.3 and 9.4).
CREATE OR REPLACE FUNCTION acme_names_bounded(p_patterns jsonb, p_settings jsonb) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN p_patterns <> '[]' AND NOT EXISTS (
    SELECT 1 FROM certificate_profiles c
     WHERE p_settings->'selectable_profiles' ? c.id::text AND c.enabled AND c.required_san_patterns = '[]');
END $$;

-- Whether CAA was looked at for this identifier in the last 8 hours, less the margin (01 section 11.6).
CREATE OR REPLACE FUNCTION acme_caa_fresh(p_identifier jsonb, p_checked timestamptz, p_margin interval)
  RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN p_identifier->>'type' <> 'dns' OR coalesce(p_checked > now() - interval '8 hours' + p_margin, false);
END $$;

-- One at a time what makes an account's orders and what ends the account or an authorization: reuse and the concurrent
-- count are exact, and nothing is built on what ends meanwhile. Before any lock of a row.
CREATE OR REPLACE FUNCTION acme_account_serialise(p_account text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('acme-order:' || p_account, 0));
END $$;

-- What a new order or authorization begins with. A word: it ends there, and where the word is stale nothing is spent.
-- p_policy: the profile that the order selected instead of the directory's own, or NULL.
-- outcome: NULL  it may go on; the account's lock is held
--          stale the responder judged by a profile that was changed since: it reads it again and calls again
--          bad_nonce | account
CREATE OR REPLACE FUNCTION acme_account_begin(
  p_nonce text, p_nonce_expires timestamptz, p_account text, p_profile text, p_profile_version bigint, p_policy text,
  p_policy_version bigint, OUT outcome text)
  LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM certificate_profiles p WHERE p.id = p_profile AND p.row_version = p_profile_version;
  IF FOUND AND p_policy IS NOT NULL THEN
    PERFORM 1 FROM certificate_profiles p WHERE p.id = p_policy AND p.row_version = p_policy_version;
  END IF;
  IF NOT FOUND THEN
    outcome := 'stale';
    RETURN;
  END IF;
  IF NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  PERFORM acme_account_serialise(p_account);
  PERFORM 1 FROM acme_accounts a WHERE a.account_id = p_account AND a.status = 'valid' AND a.profile_id = p_profile;
  IF NOT FOUND THEN
    outcome := 'account';
  END IF;
END $$;

-- The account's authorization that serves for a name without another proof, or NULL. Somebody has proved it: where the
-- profile trusted its accounts, authorizations are valid without, and serve nothing once it wants proofs. A record that
-- stays is looked at for each order: it may be gone, or past its end. p_caa: CAA must be fresh.
CREATE OR REPLACE FUNCTION acme_authz_serving(p_account text, p_type text, p_value text, p_wildcard boolean, p_caa boolean)
  RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT z.authz_id
            FROM acme_authorizations z
           WHERE z.account_id = p_account AND z.status = 'valid' AND z.identifier->>'value' = p_value
             AND z.identifier->>'type' = p_type AND z.wildcard = p_wildcard
             AND z.expires_at > now() + interval '10 minutes'
             AND EXISTS (SELECT 1 FROM acme_challenges c
                          WHERE c.authz_id = z.authz_id AND c.status = 'valid' AND c.type <> 'dns-persist-01')
             AND (NOT p_caa OR acme_caa_fresh(z.identifier, z.caa_checked_at, interval '10 minutes'))
           LIMIT 1);
END $$;

-- outcome: created | reused | rate_limited | concurrent | replaced | what acme_account_begin says
-- p_authz, p_tokens, p_identifiers, p_values and p_wildcards run in parallel, one entry an identifier.
-- p_values are without the wildcard prefix. p_replaces: the certificate that p_ari names, which one order alone may replace
-- that is not invalid; the repeat of an order that was made for it is that order. p_due: it is time to renew that one,
-- which takes none of the account's tokens, five times an hour. A ready order ends with the first of its authorizations.
CREATE OR REPLACE FUNCTION acme_order_create(
  p_nonce text, p_nonce_expires timestamptz,
  p_order text, p_account text, p_profile text, p_issuer text, p_mode text,
  p_identifiers jsonb, p_hash bytea, p_not_before timestamptz, p_not_after timestamptz,
  p_expires timestamptz, p_authz_expires timestamptz,
  p_authz text[], p_tokens text[], p_types text[], p_values text[], p_wildcards boolean[], p_reuse_authz boolean,
  p_per_hour integer, p_concurrent integer, p_window interval,
  p_audit text, p_details jsonb, p_source_ip inet, p_request text, p_caa boolean,
  p_ari text, p_replaces text, p_due boolean, p_profile_version bigint, p_policy text, p_policy_version bigint,
  OUT outcome text, OUT order_id text, OUT status text, OUT expires_at timestamptz, OUT authorizations text[],
  OUT retry_after integer)
  LANGUAGE plpgsql AS $$
DECLARE
  open_orders bigint;
  i integer;
  known text;
  pending boolean := false;
BEGIN
  outcome := acme_account_begin(p_nonce, p_nonce_expires, p_account, p_profile, p_profile_version, p_policy, p_policy_version);
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;

  -- By the hash alone, in which the account is: beside a condition on the account a plan may choose
  -- to walk all of its orders.
  SELECT o.order_id, o.status, o.expires_at
    INTO acme_order_create.order_id, acme_order_create.status, acme_order_create.expires_at
    FROM (SELECT * FROM acme_orders s WHERE s.identifiers_hash = p_hash OFFSET 0) o
   WHERE o.status IN ('pending', 'ready')
     AND o.auth_mode = p_mode AND o.issuer_id = p_issuer AND o.expires_at > now() + interval '10 minutes'
     AND o.replaces_certificate_id IS NOT DISTINCT FROM p_replaces
     AND NOT (p_caa AND EXISTS (SELECT 1 FROM acme_order_authorizations oa
                                  JOIN acme_authorizations z ON z.authz_id = oa.authz_id AND z.status = 'valid'
                                 WHERE oa.order_id = o.order_id
                                   AND NOT acme_caa_fresh(z.identifier, z.caa_checked_at, interval '10 minutes')))
   ORDER BY o.created_at DESC
   LIMIT 1;
  IF FOUND THEN
    outcome := 'reused';
    authorizations := ARRAY(SELECT oa.authz_id::text FROM acme_order_authorizations oa
                             WHERE oa.order_id = acme_order_create.order_id ORDER BY oa.position);
    RETURN;
  END IF;

  IF p_replaces IS NOT NULL THEN
    PERFORM 1 FROM acme_orders o WHERE o.replaces_certificate_id = p_replaces AND o.status <> 'invalid';
    IF FOUND THEN
      outcome := 'replaced';
      RETURN;
    END IF;
  END IF;
  IF p_concurrent > 0 THEN
    SELECT count(*) INTO open_orders
      FROM acme_orders o
     WHERE o.account_id = p_account AND o.status IN ('pending', 'ready', 'processing') AND o.expires_at > now()
       AND (p_window = interval '0' OR o.updated_at > now() - p_window);
    IF open_orders >= p_concurrent THEN
      outcome := 'concurrent';
      retry_after := 30;
      RETURN;
    END IF;
  END IF;
  retry_after := CASE WHEN p_due THEN rl_take('acme:renewal|' || p_replaces, 5, '1 hour', 5) ELSE 1 END;
  IF retry_after > 0 THEN
    retry_after := rl_take('acme:new_order|' || p_account, p_per_hour, '1 hour', p_per_hour);
  END IF;
  IF retry_after > 0 THEN
    outcome := 'rate_limited';
    RETURN;
  END IF;

  outcome := 'created';
  order_id := p_order;
  expires_at := p_expires;
  authorizations := p_authz;
  IF p_mode = 'trust_authenticated' THEN
    status := 'ready';
    expires_at := least(p_expires, p_authz_expires);
  ELSE
    -- A valid authorization of the same account for the same identifier serves this order too.
    FOR i IN 1 .. cardinality(p_authz) LOOP
      known := NULL;
      IF p_reuse_authz THEN
        known := acme_authz_serving(p_account, p_types[i], p_values[i], p_wildcards[i], p_caa);
      END IF;
      IF known IS NULL THEN
        pending := true;
      ELSE
        authorizations[i] := known;
        expires_at := least(expires_at, (SELECT z.expires_at FROM acme_authorizations z WHERE z.authz_id = known));
      END IF;
    END LOOP;
    status := CASE WHEN pending THEN 'pending' ELSE 'ready' END;
  END IF;

  INSERT INTO acme_orders (order_id, account_id, identifiers, status, expires_at, not_before, not_after, profile_id,
                           cert_profile_id, issuer_id, auth_mode, identifiers_hash, replaces_ari, replaces_certificate_id)
  VALUES (p_order, p_account, p_identifiers, acme_order_create.status, acme_order_create.expires_at, p_not_before, p_not_after,
          p_profile, p_policy, p_issuer, p_mode, p_hash, p_ari, p_replaces)
  ON CONFLICT DO NOTHING; -- acme_orders_replaces; an id is never met twice
  IF NOT FOUND THEN -- the index decides, whoever came around the account's lock
    outcome := 'replaced';
    RETURN;
  END IF;
  INSERT INTO acme_authorizations (authz_id, order_id, identifier, status, expires_at, token, wildcard, account_id)
  SELECT n.authz, p_order, jsonb_build_object('type', n.type, 'value', n.value),
         CASE WHEN p_mode = 'trust_authenticated' THEN 'valid' ELSE 'pending' END, p_authz_expires, n.token, n.wildcard,
         p_account
    FROM unnest(p_authz, p_tokens, p_types, p_values, p_wildcards, authorizations)
         AS n (authz, token, type, value, wildcard, used)
   WHERE n.authz = n.used;
  INSERT INTO acme_order_authorizations (order_id, authz_id, position)
  SELECT p_order, u.authz, u.position
    FROM unnest(authorizations) WITH ORDINALITY AS u (authz, position);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, 'acme:' || p_account, 'System', 'acme_order_created', 'acme_order', p_order, p_details,
          p_source_ip, p_request);
END $$;

-- What ends with an account that is not valid any more. Certificates stay.
CREATE OR REPLACE FUNCTION acme_accounts_end(p_accounts text[], p_detail text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM acme_orders o
    WHERE o.account_id = ANY (p_accounts) AND o.status IN ('pending', 'ready') ORDER BY o.order_id FOR UPDATE;
  PERFORM 1 FROM acme_authorizations z
    WHERE z.account_id = ANY (p_accounts) AND z.status = 'pending' ORDER BY z.authz_id FOR UPDATE;
  UPDATE acme_orders o
     SET status = 'invalid', updated_at = now(),
         error = jsonb_build_object('type', 'urn:ietf:params:acme:error:unauthorized', 'detail', p_detail, 'status', 401)
   WHERE o.account_id = ANY (p_accounts) AND o.status IN ('pending', 'ready');
  UPDATE acme_challenges c
     SET status = 'invalid', updated_at = now()
    FROM acme_authorizations z
   WHERE z.account_id = ANY (p_accounts) AND z.status = 'pending' AND c.authz_id = z.authz_id
     AND c.status IN ('pending', 'processing');
  UPDATE acme_authorizations z
     SET status = 'deactivated', updated_at = now()
   WHERE z.account_id = ANY (p_accounts) AND z.status = 'pending';
END $$;

-- By an operator: the accounts that were valid, in the order of their ids. p_audit: how the ids of the
-- events begin.
CREATE OR REPLACE FUNCTION acme_accounts_revoke(p_accounts text[], p_actor text, p_actor_type text, p_audit text,
                                                p_source_ip inet, p_request text, OUT ended text[])
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM acme_account_serialise(s.account) FROM (SELECT unnest(p_accounts) AS account ORDER BY 1) s;
  PERFORM 1 FROM acme_accounts a WHERE a.account_id = ANY (p_accounts) ORDER BY a.account_id FOR UPDATE;
  WITH done AS (
    UPDATE acme_accounts a SET status = 'revoked', updated_at = now()
     WHERE a.account_id = ANY (p_accounts) AND a.status = 'valid'
    RETURNING a.account_id, a.profile_id),
  told AS (
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, event_category, source_ip,
                              request_id)
    SELECT p_audit || '-' || row_number() OVER (), p_actor, p_actor_type, 'acme_account_revoked', 'acme_account', d.account_id,
           jsonb_build_object('account_id', d.account_id, 'profile_id', d.profile_id, 'new_status', 'revoked'),
           'config', p_source_ip, p_request
      FROM done d)
  SELECT coalesce(array_agg(d.account_id::text ORDER BY d.account_id), '{}') INTO ended FROM done d;
  PERFORM acme_accounts_end(ended, 'account revoked');
END $$;

-- A name is proved before it is ordered (RFC 8555 section 7.4.1). made: the authorization, new or one that serves already;
-- each new one takes a token of the orders per hour.
-- outcome: created | existing | rate_limited | what acme_account_begin says
CREATE OR REPLACE FUNCTION acme_authz_create(
  p_nonce text, p_nonce_expires timestamptz, p_account text, p_profile text, p_authz text, p_token text, p_type text,
  p_value text, p_expires timestamptz, p_per_hour integer, p_caa boolean, p_profile_version bigint,
  OUT outcome text, OUT made text, OUT retry_after integer)
  LANGUAGE plpgsql AS $$
BEGIN
  outcome := acme_account_begin(p_nonce, p_nonce_expires, p_account, p_profile, p_profile_version, NULL, NULL);
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;
  outcome := 'existing';
  made := acme_authz_serving(p_account, p_type, p_value, false, p_caa);
  IF made IS NOT NULL THEN
    RETURN;
  END IF;
  SELECT z.authz_id INTO made FROM acme_authorizations z
   WHERE z.account_id = p_account AND z.status = 'pending' AND z.order_id IS NULL AND z.identifier->>'value' = p_value
     AND z.identifier->>'type' = p_type AND NOT z.wildcard AND z.expires_at > now() + interval '10 minutes'
   LIMIT 1;
  IF FOUND THEN
    RETURN;
  END IF;
  retry_after := rl_take('acme:new_order|' || p_account, p_per_hour, '1 hour', p_per_hour);
  IF retry_after > 0 THEN
    outcome := 'rate_limited';
    RETURN;
  END IF;
  outcome := 'created';
  made := p_authz;
  INSERT INTO acme_authorizations (authz_id, identifier, status, expires_at, token, wildcard, account_id)
  VALUES (p_authz, jsonb_build_object('type', p_type, 'value', p_value), 'pending', p_expires, p_token, false, p_account);
END $$;

-- Contact, agreement and deactivation of one account, in this order (01 section 8.4). NULL leaves a
-- thing as it is. Certificates stay valid; what was under way ends.
-- outcome: updated | bad_nonce | account
CREATE OR REPLACE FUNCTION acme_account_update(
  p_nonce text, p_nonce_expires timestamptz, p_account text, p_contact text[], p_agreed boolean,
  p_deactivate boolean, p_audit text, p_audit_second text, p_source_ip inet, p_request text,
  OUT outcome text, OUT account_id text, OUT status text, OUT contact text[], OUT tos_agreed boolean)
  LANGUAGE plpgsql AS $$
BEGIN
  IF NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  IF p_deactivate THEN
    PERFORM acme_account_serialise(p_account);
  END IF;
  UPDATE acme_accounts a
     SET contact = coalesce(p_contact, a.contact),
         tos_agreed_at = CASE WHEN p_agreed THEN now() ELSE a.tos_agreed_at END,
         status = CASE WHEN p_deactivate THEN 'deactivated' ELSE a.status END,
         updated_at = now()
   WHERE a.account_id = p_account AND a.status = 'valid'
  RETURNING a.account_id, a.status, a.contact, a.tos_agreed_at IS NOT NULL
       INTO acme_account_update.account_id, acme_account_update.status, acme_account_update.contact,
            acme_account_update.tos_agreed;
  IF NOT FOUND THEN
    outcome := 'account';
    RETURN;
  END IF;
  outcome := 'updated';
  IF p_deactivate THEN
    PERFORM acme_accounts_end(ARRAY[p_account], 'account deactivated');
  END IF;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  SELECT e.id, 'acme:' || p_account, 'System', e.action, 'acme_account', p_account, e.details, p_source_ip, p_request
    FROM (VALUES (p_audit, 'acme_account_updated', p_contact IS NOT NULL OR p_agreed,
                  jsonb_build_object('account_id', p_account, 'contact_count', cardinality(contact))),
                 (p_audit_second, 'acme_account_deactivated', p_deactivate,
                  jsonb_build_object('account_id', p_account, 'new_status', 'deactivated')))
         AS e (id, action, happened, details)
   WHERE e.happened;
END $$;
