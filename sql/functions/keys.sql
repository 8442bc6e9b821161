-- sql/functions/keys.sql: API keys made, listed and revoked on the host (06 sections 3.3 and 4.8).
--
-- For certctl-admin key alone: no process has EXECUTE. The caller draws the key and passes its
-- SHA-256; the plain key never reaches the database. p_person is who sits at the host; it is no
-- credential, since whoever can become the owner needs none. Verdicts are words, not errors.

-- One name may have several live keys during a rotation, but a new name never takes over the
-- grants that a dead key of that name left behind.
CREATE OR REPLACE FUNCTION key_host_new(p_id text, p_name text, p_hash bytea, p_prefix text,
                                        p_role text, p_expires timestamptz, p_person text,
                                        p_grant text, p_event text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('api_keys:' || p_name));
    IF NOT EXISTS (SELECT 1 FROM roles r WHERE r.id = p_role) THEN
        RETURN 'role_unknown';
    END IF;
    IF EXISTS (SELECT 1 FROM api_keys k WHERE k.name = p_name AND k.revoked_at IS NULL
                  AND (k.expires_at IS NULL OR k.expires_at > now()))
       OR EXISTS (SELECT 1 FROM env_keys e WHERE e.name = p_name) THEN
        RETURN 'name_taken';
    END IF;
    DELETE FROM actor_roles a WHERE a.actor_id = p_name AND a.actor_type = 'APIKey';
    INSERT INTO api_keys (id, name, key_hash, key_prefix, admin, created_by, expires_at)
    VALUES (p_id, p_name, p_hash, p_prefix, p_role = 'r-admin', p_person, p_expires);
    INSERT INTO actor_roles (id, actor_id, actor_type, role_id, granted_by)
    VALUES (p_grant, p_name, 'APIKey', p_role, p_person);
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details,
                              event_category)
    VALUES (p_event, p_person, 'User', 'auth.key_created', 'api_key', p_id,
            jsonb_strip_nulls(jsonb_build_object('actor_id', p_name, 'key_prefix', p_prefix,
                'role_id', p_role, 'expires_at', p_expires)), 'auth');
    RETURN 'made';
END $$;

CREATE OR REPLACE FUNCTION key_host_list()
    RETURNS TABLE (id text, name text, key_prefix text, role_ids text, created_at timestamptz,
                   expires_at timestamptz, last_used_at timestamptz, state text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT k.id::text, k.name, k.key_prefix,
           coalesce((SELECT string_agg(a.role_id, ',' ORDER BY a.role_id) FROM actor_roles a
                      WHERE a.actor_id = k.name AND a.actor_type IN ('APIKey', 'Agent')
                        AND (a.expires_at IS NULL OR a.expires_at > now())), ''),
           k.created_at, k.expires_at, k.last_used_at,
           CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                WHEN k.expires_at <= now() THEN 'expired' ELSE 'live' END
      FROM api_keys k
     ORDER BY k.created_at, k.id;
END $$;

CREATE OR REPLACE FUNCTION key_host_revoke(p_id text, p_person text, p_event text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k api_keys;
BEGIN
    SELECT * INTO k FROM api_keys a WHERE a.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF k.revoked_at IS NOT NULL THEN
        RETURN 'already';
    END IF;
    UPDATE api_keys a SET revoked_at = now(), revoked_by = p_person WHERE a.id = p_id;
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details,
                              event_category)
    VALUES (p_event, p_person, 'User', 'auth.key_revoked', 'api_key', p_id,
            jsonb_build_object('actor_id', k.name, 'key_prefix', k.key_prefix), 'auth');
    RETURN 'revoked';
END $$;
