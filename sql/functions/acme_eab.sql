-- Keys for external account bindings (RFC 8555 section 7.3.4, 01 sections 8.3 and 18). No responder
-- may read or write acme_eab_keys: certctl-acme is told the sealed key of a kid that it names, and
-- certctl-api, which makes and ends them, is never told one again.

CREATE OR REPLACE FUNCTION acme_eab_usable(k acme_eab_keys, p_profile text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true) AND coalesce(k.profile_id = p_profile, true)
     AND (k.reusable OR k.bound_account_id IS NULL);
END $$;

-- NULL for every kid that is of no use here, whatever the reason.
CREATE OR REPLACE FUNCTION acme_eab_sealed(p_kid text, p_profile text) RETURNS bytea
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN (SELECT k.hmac_enc FROM acme_eab_keys k WHERE k.kid = p_kid AND acme_eab_usable(k, p_profile));
END $$;

-- Holds the key until the transaction ends: whoever registers by it next sees what became of it, and
-- whoever revokes it sees the account that was made meanwhile.
CREATE OR REPLACE FUNCTION acme_eab_hold(p_kid text, p_profile text, OUT good boolean, OUT owner_id text, OUT allowed jsonb)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  k acme_eab_keys;
BEGIN
  SELECT * INTO k FROM acme_eab_keys e WHERE e.kid = p_kid FOR NO KEY UPDATE;
  good := FOUND AND acme_eab_usable(k, p_profile);
  IF good THEN
    owner_id := k.owner_id;
    allowed := k.allowed_identifiers;
  END IF;
END $$;

-- The key that acme_eab_hold holds is the account's: a reusable one tells its first. What this does is
-- no more than what the account's row says already.
CREATE OR REPLACE FUNCTION acme_eab_bind(p_kid text, p_account text, p_audit text, p_source_ip inet, p_request text)
  RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  a acme_accounts;
BEGIN
  SELECT * INTO STRICT a FROM acme_accounts t WHERE t.account_id = p_account AND t.eab_kid = p_kid;
  UPDATE acme_eab_keys k
     SET bound_at = coalesce(k.bound_at, now()), bound_account_id = coalesce(k.bound_account_id, p_account)
   WHERE k.kid = p_kid;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, 'acme:' || p_account, 'System', 'acme_eab_key_bound', 'acme_eab_key', p_kid,
          jsonb_build_object('kid', p_kid, 'profile_id', a.profile_id, 'account_id', p_account), p_source_ip, p_request);
END $$;

-- verdict: created | profile | owner | team: which of these is unknown. doc: as the API shows it.
CREATE OR REPLACE FUNCTION acme_eab_create(
  p_kid text, p_sealed bytea, p_profile text, p_owner text, p_team text, p_allowed jsonb, p_reusable boolean,
  p_expires timestamptz, p_actor text, p_actor_type text, p_audit text, p_source_ip inet, p_request text,
  OUT verdict text, OUT doc json)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM 1 FROM certificate_profiles p WHERE p.id = p_profile FOR KEY SHARE;
  IF p_profile IS NOT NULL AND NOT FOUND THEN
    verdict := 'profile';
    RETURN;
  END IF;
  PERFORM 1 FROM owners o WHERE o.id = p_owner FOR KEY SHARE;
  IF p_owner IS NOT NULL AND NOT FOUND THEN
    verdict := 'owner';
    RETURN;
  END IF;
  PERFORM 1 FROM teams t WHERE t.id = p_team FOR KEY SHARE;
  IF p_team IS NOT NULL AND NOT FOUND THEN
    verdict := 'team';
    RETURN;
  END IF;
  INSERT INTO acme_eab_keys (kid, hmac_enc, profile_id, owner_id, team_id, allowed_identifiers, reusable, expires_at, created_by)
  VALUES (p_kid, p_sealed, p_profile, p_owner, p_team, p_allowed, p_reusable, p_expires, p_actor);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, event_category, source_ip,
                            request_id)
  VALUES (p_audit, p_actor, p_actor_type, 'acme_eab_key_created', 'acme_eab_key', p_kid,
          jsonb_build_object('kid', p_kid, 'profile_id', p_profile, 'owner_id', p_owner, 'team_id', p_team,
                             'allowed_identifiers', p_allowed, 'reusable', p_reusable, 'expires_at', api_time(p_expires)),
          'config', p_source_ip, p_request);
  verdict := 'created';
  doc := (SELECT v.doc FROM api_eab_keys v WHERE v.id = p_kid);
END $$;

-- Ends a key, once; p_accounts: the accounts that were made by it too, also of a key that was ended
-- before. False: no such key. Locks: key, accounts.
CREATE OR REPLACE FUNCTION acme_eab_revoke(
  p_kid text, p_accounts boolean, p_actor text, p_actor_type text, p_audit text, p_source_ip inet, p_request text)
  RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  k acme_eab_keys;
  ended text[] := '{}';
BEGIN
  SELECT * INTO k FROM acme_eab_keys e WHERE e.kid = p_kid FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF p_accounts THEN
    ended := acme_accounts_revoke(ARRAY(SELECT a.account_id::text FROM acme_accounts a WHERE a.eab_kid = p_kid),
                                  p_actor, p_actor_type, p_audit, p_source_ip, p_request);
  END IF;
  IF k.revoked_at IS NOT NULL AND ended = '{}' THEN
    RETURN true;
  END IF;
  UPDATE acme_eab_keys e SET revoked_at = coalesce(e.revoked_at, now()) WHERE e.kid = p_kid;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, event_category, source_ip,
                            request_id)
  VALUES (p_audit, p_actor, p_actor_type, 'acme_eab_key_revoked', 'acme_eab_key', p_kid,
          jsonb_build_object('kid', p_kid, 'profile_id', k.profile_id, 'accounts_revoked', cardinality(ended)),
          'config', p_source_ip, p_request);
  RETURN true;
END $$;
