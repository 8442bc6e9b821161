-- sql/functions/api_once.sql: Idempotency-Key of the REST API (05 section 2.10).
--
-- Takes the key's lock: for the session where the request commits by itself, else for the transaction.
-- word: 'new', nobody was answered yet; 'running', another request holds it; 'other', it was another
-- request's; 'again', the answer is beside it; 'secret', it was answered with what is not kept.
CREATE OR REPLACE FUNCTION api_once_claim(p_actor text, p_key text, p_request text, p_session boolean,
  OUT word text, OUT status int, OUT content_type text, OUT location text, OUT etag text, OUT body bytea)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  lock_key bigint := api_once_lock(p_actor, p_key);
  kept api_idempotency;
BEGIN
  IF NOT (CASE WHEN p_session THEN pg_try_advisory_lock(lock_key) ELSE pg_try_advisory_xact_lock(lock_key) END) THEN
    word := 'running';
    RETURN;
  END IF;
  -- A statement of its own: it sees what the last holder of the lock has committed.
  SELECT * INTO kept FROM api_idempotency AS a WHERE a.actor = p_actor AND a.key = p_key AND a.expires_at > now();
  word := CASE WHEN NOT FOUND THEN 'new' WHEN kept.request_sha256 <> p_request THEN 'other'
               WHEN kept.status IS NULL THEN 'secret' ELSE 'again' END;
  IF word = 'again' THEN
    status := kept.status;
    content_type := kept.content_type;
    location := kept.location;
    etag := kept.etag;
    body := kept.body;
  ELSIF p_session AND word <> 'new' THEN -- it is refused, and nobody will release it
    PERFORM pg_advisory_unlock(lock_key);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION api_once_lock(p_actor text, p_key text) RETURNS bigint
  LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp
AS $$ SELECT hashtextextended('once:' || p_actor || ' ' || p_key, 0) $$;
