-- sql/functions/auth.sql: admission to the REST API, one round trip (06 sections 3.4 and 12).
--
-- SECURITY DEFINER, so that no responder's role can read a digest of a key or write one. A refusal
-- is counted in audit_refusals here, in the same round trip: one row a minute, address and reason.

CREATE OR REPLACE FUNCTION auth_refusal(p_action text, p_address text, p_reason text,
                                        p_subject text, p_path text)
    RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_refusals AS r (minute, action, address, reason, subject, sample)
    VALUES (date_trunc('minute', now()), p_action, p_address, p_reason, p_subject,
            jsonb_build_object('path', left(p_path, 255)))
    ON CONFLICT (minute, action, address, reason, subject) DO UPDATE SET count = r.count + 1;
END $$;

-- p_digest NULL: no credential that can be looked for, p_flaw says why ('none', 'scheme').
-- p_address is the limiter's key (an IPv6 address is its /64), p_audit_address what may be kept.
-- verdict: 'ok', p_flaw, 'unknown', 'revoked' or 'expired'. retry_after above 0 is a 429, whatever
-- the verdict. roles: role, scope type and scope id, separated by tabs.
CREATE OR REPLACE FUNCTION auth_admit(p_digest bytea, p_flaw text, p_address text,
                                      p_audit_address text, p_path text, p_rate int, p_burst int,
                                      p_actor_rate int, p_actor_burst int, p_failures int,
                                      OUT verdict text, OUT key_hash bytea, OUT actor_id text,
                                      OUT actor_type text, OUT agent_id text,
                                      OUT retry_after int, OUT rbac_epoch bigint,
                                      OUT roles text[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k api_keys;
BEGIN
    verdict := p_flaw;
    IF p_digest IS NOT NULL THEN
        SELECT * INTO k FROM api_keys a WHERE a.key_hash = p_digest;
        verdict := CASE WHEN NOT FOUND THEN 'unknown'
                        WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                        WHEN k.expires_at <= now() THEN 'expired'
                        ELSE 'ok' END;
    END IF;

    IF verdict <> 'ok' THEN
        retry_after := CASE WHEN p_digest IS NULL
                            THEN rl_take('ip:' || p_address, p_rate, '1 s', p_burst)
                            ELSE rl_fail('authfail:' || p_address, p_failures, '1 min') END;
        IF retry_after > 0 THEN
            PERFORM auth_refusal('auth.rate_limited', p_audit_address,
                                 CASE WHEN p_digest IS NULL THEN 'address' ELSE 'failures' END,
                                 '', p_path);
        ELSE
            PERFORM auth_refusal(CASE WHEN verdict IN ('revoked', 'expired')
                                      THEN 'auth.key_refused' ELSE 'auth.request_refused' END,
                                 p_audit_address, verdict, coalesce(k.name, ''), p_path);
        END IF;
        RETURN;
    END IF;

    -- Nothing of what follows must survive a crash.
    PERFORM set_config('synchronous_commit', 'off', true);
    key_hash := k.key_hash;
    actor_id := k.name;
    actor_type := CASE WHEN k.agent_id IS NULL THEN 'APIKey' ELSE 'Agent' END;
    agent_id := k.agent_id;
    IF k.last_used_at IS NULL OR k.last_used_at < now() - interval '60 s' THEN
        UPDATE api_keys a SET last_used_at = now() WHERE a.id = k.id;
    END IF;
    retry_after := rl_take('user:' || actor_id, p_actor_rate, '1 s', p_actor_burst);
    IF retry_after > 0 THEN
        PERFORM auth_refusal('auth.rate_limited', p_audit_address, 'actor', actor_id, p_path);
        RETURN;
    END IF;
    SELECT s.epoch INTO rbac_epoch FROM rbac_state s;
    SELECT array_agg(concat_ws(E'\t', r.role_id, r.scope_type, r.scope_id)) INTO roles
      FROM actor_roles r
     WHERE r.actor_id = k.name AND r.actor_type = auth_admit.actor_type
       AND r.tenant_id = k.tenant_id AND (r.expires_at IS NULL OR r.expires_at > now());
END $$;
