-- Challenges: responding, claiming, results (01 sections 9.7, 11). Lock order of the whole
-- subsystem: account, order, authorization, challenge.

-- What an authorization shows: fcgi/acme/authz.c makes objects of it. No row: there is none. Volatile,
-- so that it sees what a function before it in the same statement wrote.
CREATE OR REPLACE FUNCTION acme_authz_show(p_authz text)
  RETURNS TABLE (authz_id text, account_id text, type text, value text, status text, expires_at timestamptz, token text,
                 wildcard boolean, created_at timestamptz, auth_mode text, challenges json)
  LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN QUERY
  SELECT z.authz_id::text, z.account_id::text, z.identifier->>'type', z.identifier->>'value', z.status::text, z.expires_at,
         z.token, z.wildcard, z.created_at, o.auth_mode::text,
         (SELECT json_agg(json_build_object('type', c.type, 'status', c.status, 'validated',
                          floor(extract(epoch FROM c.validated_at)), 'error', c.error))
            FROM acme_challenges c WHERE c.authz_id = z.authz_id)
    FROM acme_authorizations z
    LEFT JOIN acme_orders o ON o.order_id = z.order_id
   WHERE z.authz_id = p_authz;
END $$;

-- A client says that its proof is in place (11.1). p_for_…: what this type may prove here.
-- outcome: responded   the challenge is in the queue: wake acme-validate
--          unchanged   it was answered before, or is over: show it as it is
--          dead        its authorization is not pending any more, or its order is over
--          bad_nonce | unknown | foreign | rate_limited
CREATE OR REPLACE FUNCTION acme_challenge_respond(
  p_nonce text, p_nonce_expires timestamptz, p_account text, p_authz text, p_challenge text, p_type text,
  p_for_names boolean, p_for_wildcards boolean, p_for_addresses boolean, p_thumbprint text, p_per_hour integer, p_processing_most integer,
  p_account_url text,
  OUT outcome text, OUT retry_after integer)
  LANGUAGE plpgsql AS $$
DECLARE
  z acme_authorizations;
  o_status text;
  o_expires timestamptz;
  o_mode text;
BEGIN
  IF NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  SELECT * INTO z FROM acme_authorizations a WHERE a.authz_id = p_authz FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  IF z.account_id <> p_account THEN
    outcome := 'foreign';
    RETURN;
  END IF;
  SELECT o.status, o.expires_at, o.auth_mode INTO o_status, o_expires, o_mode FROM acme_orders o WHERE o.order_id = z.order_id;
  outcome := 'unchanged';
  PERFORM 1 FROM acme_challenges c WHERE c.authz_id = p_authz AND c.type = p_type;
  IF FOUND OR z.status = 'invalid' OR (z.status = 'valid' AND o_mode = 'trust_authenticated') THEN
    RETURN;
  END IF;
  IF NOT (CASE WHEN z.identifier->>'type' = 'ip' THEN p_for_addresses WHEN z.wildcard THEN p_for_wildcards
               ELSE p_for_names END) THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  IF z.status <> 'pending' OR z.expires_at <= now() OR o_status <> 'pending' OR o_expires <= now() THEN
    outcome := 'dead';
    RETURN;
  END IF;
  retry_after := rl_take('acme:challenge_respond|' || p_challenge, p_per_hour, '1 hour', p_per_hour);
  IF retry_after > 0 THEN
    outcome := 'rate_limited';
    RETURN;
  END IF;
  INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status, token, thumbprint, account_url, next_attempt_at)
  SELECT p_challenge, p_authz, p_account, p_type, 'processing', z.token, p_thumbprint, p_account_url, now()
   WHERE p_processing_most > (SELECT count(*)
                                FROM (SELECT 1 FROM acme_challenges c
                                       WHERE c.account_id = p_account AND c.status = 'processing'
                                       LIMIT p_processing_most) waiting)
  ON CONFLICT (authz_id, type) DO NOTHING;
  IF NOT FOUND THEN
    outcome := 'rate_limited';
    retry_after := 30;
    RETURN;
  END IF;
  outcome := 'responded';
END $$;

-- Takes challenges of the types that share a limit, the first of which names it, for validation, in one commit of its own (11.2). p_concurrency holds
-- over the whole deployment; p_most is what this process takes at once. An account takes a slot only
-- while it holds fewer than are free, so that no account, and no two, can fill them all; among
-- accounts those that hold fewest come first.
-- One row without a challenge_id: somebody else claims this very moment, ask again soon.
CREATE OR REPLACE FUNCTION acme_challenge_claim(
  p_types text[], p_concurrency integer, p_most integer, p_lease interval, p_claimed_by text)
  RETURNS TABLE (challenge_id text, authz_id text, account_id text, identifier_type text, identifier_value text,
                 type text, token text, thumbprint text, account_url text, attempts integer,
                 wildcard boolean, caa text, resolver text)
  LANGUAGE plpgsql AS $$
DECLARE
  candidate record;
  taken text[] := '{}';
  unused integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('acme-validate:' || p_types[1], 0)) THEN
    RETURN NEXT;
    RETURN;
  END IF;
  SELECT p_concurrency - count(*) INTO unused
    FROM acme_challenges c
   WHERE c.type = ANY (p_types) AND c.status = 'processing' AND c.lease_until > now();
  -- The recursion walks from account to account in the index, so that one with a long queue costs
  -- no more than one with a short.
  FOR candidate IN
    WITH RECURSIVE account (id) AS (
      (SELECT c.account_id FROM acme_challenges c WHERE c.status = 'processing' ORDER BY c.account_id LIMIT 1)
      UNION ALL
      SELECT (SELECT c.account_id FROM acme_challenges c
               WHERE c.status = 'processing' AND c.account_id > account.id ORDER BY c.account_id LIMIT 1)
        FROM account WHERE account.id IS NOT NULL)
    SELECT due.id, held.n + due.turn AS turn
      FROM account
     CROSS JOIN LATERAL (SELECT count(*) AS n FROM acme_challenges c
                          WHERE c.account_id = account.id AND c.type = ANY (p_types) AND c.status = 'processing'
                            AND c.lease_until > now()) held
     CROSS JOIN LATERAL (SELECT c.challenge_id AS id, c.next_attempt_at,
                                row_number() OVER (ORDER BY c.next_attempt_at, c.challenge_id) AS turn
                           FROM (SELECT q.challenge_id, q.next_attempt_at FROM acme_challenges q
                                  WHERE q.account_id = account.id AND q.type = ANY (p_types) AND q.status = 'processing'
                                    AND q.next_attempt_at <= now() AND (q.lease_until IS NULL OR q.lease_until <= now())
                                  ORDER BY q.next_attempt_at, q.challenge_id LIMIT p_concurrency) c) due
     WHERE account.id IS NOT NULL
     ORDER BY turn, due.next_attempt_at, due.id
  LOOP
    EXIT WHEN unused <= 0 OR cardinality(taken) >= p_most;
    CONTINUE WHEN candidate.turn > unused;
    PERFORM 1 FROM acme_challenges c
      WHERE c.challenge_id = candidate.id AND c.status = 'processing' FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    taken := taken || candidate.id::text;
    unused := unused - 1;
  END LOOP;
  RETURN QUERY
  UPDATE acme_challenges c
     SET lease_until = now() + p_lease, claimed_by = p_claimed_by, attempts = c.attempts + 1, updated_at = now()
    FROM acme_authorizations z
    JOIN acme_accounts a ON a.account_id = z.account_id
    LEFT JOIN acme_profile_settings s ON s.profile_id = a.profile_id
   WHERE c.challenge_id = ANY (taken) AND z.authz_id = c.authz_id
  RETURNING c.challenge_id::text, c.authz_id::text, c.account_id::text, z.identifier->>'type', z.identifier->>'value',
            c.type::text, c.token, c.thumbprint, c.account_url, c.attempts, z.wildcard, s.settings->>'caa',
            s.settings->>'resolver';
END $$;

-- What a process claimed and did not finish goes back, as if it had not been tried.
CREATE OR REPLACE FUNCTION acme_challenge_release(p_claimed_by text, OUT released integer)
  LANGUAGE plpgsql AS $$
BEGIN
  UPDATE acme_challenges c
     SET lease_until = NULL, claimed_by = NULL, attempts = greatest(0, c.attempts - 1), next_attempt_at = now(),
         updated_at = now()
   WHERE c.claimed_by = p_claimed_by AND c.status = 'processing';
  GET DIAGNOSTICS released = ROW_COUNT;
END $$;

-- What the failed authorizations of an order make of it (RFC 8555 section 7.1.6, 6.7.1).
CREATE OR REPLACE FUNCTION acme_order_error(p_order text) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN (
    SELECT jsonb_build_object(
             'type', 'urn:ietf:params:acme:error:incorrectResponse', 'status', 403,
             'detail', 'one or more authorizations failed',
             'subproblems', jsonb_agg(
               coalesce((SELECT c.error FROM acme_challenges c
                          WHERE c.authz_id = z.authz_id AND c.error IS NOT NULL ORDER BY c.updated_at DESC LIMIT 1),
                        jsonb_build_object('type', 'urn:ietf:params:acme:error:unauthorized', 'status', 401,
                                           'detail', 'the authorization is ' || z.status))
               || jsonb_build_object('identifier', CASE WHEN z.wildcard
                    THEN jsonb_set(z.identifier, '{value}', to_jsonb('*.' || (z.identifier->>'value')))
                    ELSE z.identifier END)
               ORDER BY oa.position))
      FROM acme_order_authorizations oa
      JOIN acme_authorizations z ON z.authz_id = oa.authz_id
     WHERE oa.order_id = p_order AND z.status NOT IN ('pending', 'valid'));
END $$;

-- How one attempt ended (11.7). p_error is NULL when the proof was good; p_record is what was seen;
-- p_caa: CAA was looked at too.
-- outcome: lost   the lease went to somebody else, or the challenge is over: the result is dropped
--          retry  another attempt will follow
--          done
CREATE OR REPLACE FUNCTION acme_challenge_result(
  p_challenge text, p_claimed_by text, p_error jsonb, p_transient boolean, p_attempts integer, p_record jsonb,
  p_authz_ttl interval, p_audit text, p_caa boolean,
  OUT outcome text, OUT order_status text)
  LANGUAGE plpgsql AS $$
DECLARE
  c acme_challenges;
  z acme_authorizations;
  v_authz text;
  v_order record;
  rows_written integer := 0;
BEGIN
  outcome := 'lost';
  SELECT x.authz_id INTO v_authz FROM acme_challenges x WHERE x.challenge_id = p_challenge;
  PERFORM 1 FROM acme_orders o JOIN acme_order_authorizations oa ON oa.order_id = o.order_id
    WHERE oa.authz_id = v_authz ORDER BY o.order_id FOR UPDATE OF o;
  SELECT * INTO z FROM acme_authorizations a WHERE a.authz_id = v_authz FOR UPDATE;
  SELECT * INTO c FROM acme_challenges x
   WHERE x.challenge_id = p_challenge AND x.status = 'processing' AND x.claimed_by = p_claimed_by FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  IF p_error IS NOT NULL AND p_transient AND c.attempts < p_attempts AND z.status = 'pending' THEN
    UPDATE acme_challenges x
       SET error = p_error, validation_record = p_record, lease_until = NULL, claimed_by = NULL, updated_at = now(),
           next_attempt_at = now() + CASE WHEN c.attempts <= 1 THEN interval '5 seconds' ELSE interval '15 seconds' END
     WHERE x.challenge_id = p_challenge;
    outcome := 'retry';
    RETURN;
  END IF;

  outcome := 'done';
  UPDATE acme_challenges x
     SET status = CASE WHEN p_error IS NULL AND z.status = 'pending' THEN 'valid' ELSE 'invalid' END,
         error = p_error, validated_at = CASE WHEN p_error IS NULL AND z.status = 'pending' THEN now() END,
         validation_record = p_record, lease_until = NULL, claimed_by = NULL, next_attempt_at = NULL, updated_at = now()
   WHERE x.challenge_id = p_challenge;
  IF z.status <> 'pending' THEN -- deactivated or expired meanwhile: its orders know already
    RETURN;
  END IF;
  UPDATE acme_authorizations a
     SET status = CASE WHEN p_error IS NULL THEN 'valid' ELSE 'invalid' END,
         expires_at = CASE WHEN p_error IS NULL THEN now() + p_authz_ttl ELSE a.expires_at END,
         caa_checked_at = CASE WHEN p_error IS NULL AND p_caa THEN now() END, updated_at = now()
   WHERE a.authz_id = z.authz_id;
  IF p_error IS NOT NULL THEN
    UPDATE acme_challenges x
       SET status = 'invalid', lease_until = NULL, claimed_by = NULL, next_attempt_at = NULL, updated_at = now()
     WHERE x.authz_id = z.authz_id AND x.status IN ('pending', 'processing');
  END IF;

  FOR v_order IN
    SELECT o.order_id, o.account_id, bool_and(a.status = 'valid') AS good,
           bool_or(a.status NOT IN ('pending', 'valid')) AS bad, min(a.expires_at) AS ends
      FROM acme_order_authorizations this
      JOIN acme_orders o ON o.order_id = this.order_id AND o.status = 'pending'
      JOIN acme_order_authorizations oa ON oa.order_id = o.order_id
      JOIN acme_authorizations a ON a.authz_id = oa.authz_id
     WHERE this.authz_id = z.authz_id
     GROUP BY o.order_id, o.account_id
  LOOP
    CONTINUE WHEN NOT v_order.good AND NOT v_order.bad;
    order_status := CASE WHEN v_order.good THEN 'ready' ELSE 'invalid' END;
    UPDATE acme_orders o
       SET status = acme_challenge_result.order_status, updated_at = now(),
           expires_at = CASE WHEN v_order.good THEN least(o.expires_at, v_order.ends) ELSE o.expires_at END,
           error = CASE WHEN v_order.bad THEN acme_order_error(v_order.order_id) END
     WHERE o.order_id = v_order.order_id;
    rows_written := rows_written + 1;
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
    SELECT p_audit || CASE WHEN rows_written > 1 THEN '.' || rows_written ELSE '' END, 'acme:' || v_order.account_id,
           'System', 'acme_challenge_completed', 'acme_order', v_order.order_id,
           jsonb_build_object('order_id', v_order.order_id, 'valid', v_order.good, 'challenges',
             (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                       'authz_id', x.authz_id, 'type', x.type, 'identifier', a.identifier,
                       'valid', CASE x.status WHEN 'valid' THEN true WHEN 'invalid' THEN false END, 'error', x.error,
                       'responded_at', x.created_at, 'attempts', x.attempts,
                       'address', x.validation_record->'address', 'resolver', x.validation_record->'resolver'))
                       ORDER BY oa.position)
                FROM acme_order_authorizations oa
                JOIN acme_authorizations a ON a.authz_id = oa.authz_id
                JOIN acme_challenges x ON x.authz_id = oa.authz_id
               WHERE oa.order_id = v_order.order_id));
  END LOOP;
  -- Another name of an order that failed already: its error tells of this one too.
  IF p_error IS NOT NULL THEN
    UPDATE acme_orders o
       SET error = acme_order_error(o.order_id), updated_at = now()
      FROM acme_order_authorizations oa
     WHERE oa.authz_id = z.authz_id AND o.order_id = oa.order_id AND o.status = 'invalid' AND order_status IS NULL
       AND o.error->>'type' = 'urn:ietf:params:acme:error:incorrectResponse';
  END IF;
END $$;

-- A client gives an authorization up (RFC 8555 section 7.5.2, 9.7). Its open orders end with it.
-- outcome: deactivated | unchanged (it was so already) | dead (invalid or expired) | bad_nonce |
--          unknown | foreign
CREATE OR REPLACE FUNCTION acme_authz_deactivate(
  p_nonce text, p_nonce_expires timestamptz, p_account text, p_authz text, p_audit text, p_source_ip inet,
  p_request text,
  OUT outcome text)
  LANGUAGE plpgsql AS $$
DECLARE
  z acme_authorizations;
BEGIN
  IF NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  PERFORM acme_account_serialise(p_account);
  PERFORM 1 FROM acme_orders o JOIN acme_order_authorizations oa ON oa.order_id = o.order_id
    WHERE oa.authz_id = p_authz AND o.account_id = p_account ORDER BY o.order_id FOR UPDATE OF o;
  SELECT * INTO z FROM acme_authorizations a WHERE a.authz_id = p_authz FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  IF z.account_id <> p_account THEN
    outcome := 'foreign';
    RETURN;
  END IF;
  IF z.status NOT IN ('pending', 'valid') THEN
    outcome := CASE WHEN z.status = 'deactivated' THEN 'unchanged' ELSE 'dead' END;
    RETURN;
  END IF;
  outcome := 'deactivated';
  UPDATE acme_orders o
     SET status = 'invalid', updated_at = now(),
         error = '{"type":"urn:ietf:params:acme:error:unauthorized","detail":"an authorization was deactivated","status":401}'
    FROM acme_order_authorizations oa
   WHERE oa.authz_id = p_authz AND o.order_id = oa.order_id AND o.status IN ('pending', 'ready');
  UPDATE acme_authorizations a SET status = 'deactivated', updated_at = now() WHERE a.authz_id = p_authz;
  UPDATE acme_challenges c
     SET status = 'invalid', lease_until = NULL, claimed_by = NULL, next_attempt_at = NULL, updated_at = now()
   WHERE c.authz_id = p_authz AND c.status IN ('pending', 'processing');
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, 'acme:' || p_account, 'System', 'acme_authz_deactivated', 'acme_authorization', p_authz,
          jsonb_build_object('identifier', z.identifier), p_source_ip, p_request);
END $$;
