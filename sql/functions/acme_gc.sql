-- certctl-job-acme-gc: what ends by itself, and what nobody needs any more (01 section 15). Each call is one
-- batch and one transaction with one audit row; it returns how many rows it took.

CREATE OR REPLACE FUNCTION acme_gc_told(p_audit text, p_sweep text, p_ids text[]) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(p_ids) > 0 THEN
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
    VALUES (p_audit, 'acme-system:gc', 'System', 'acme_gc_swept', 'acme_system', 'gc',
            jsonb_build_object('sweep', p_sweep, 'count', cardinality(p_ids), 'ids', to_jsonb(p_ids[1:50])));
  END IF;
  RETURN cardinality(p_ids);
END $$;

-- Authorizations past their time, with their challenges and the open orders that stand on them. Locks in the order of
-- the subsystem: orders, authorizations, challenges.
CREATE OR REPLACE FUNCTION acme_gc_authorizations(p_batch integer, p_audit text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  due text[];
  done text[];
BEGIN
  due := ARRAY(SELECT z.authz_id::text FROM acme_authorizations z
                WHERE z.status IN ('pending', 'valid') AND z.expires_at < now() ORDER BY z.expires_at LIMIT p_batch);
  PERFORM 1 FROM acme_orders o
    WHERE o.order_id IN (SELECT oa.order_id FROM acme_order_authorizations oa WHERE oa.authz_id = ANY (due))
      AND o.status IN ('pending', 'ready')
    ORDER BY o.order_id FOR UPDATE;
  WITH ended AS (
    UPDATE acme_authorizations z SET status = 'expired', updated_at = now()
     WHERE z.authz_id = ANY (due) AND z.status IN ('pending', 'valid') AND z.expires_at < now()
    RETURNING z.authz_id)
  SELECT coalesce(array_agg(ended.authz_id::text), '{}') INTO done FROM ended;
  UPDATE acme_challenges c
     SET status = 'invalid', lease_until = NULL, claimed_by = NULL, next_attempt_at = NULL, updated_at = now()
   WHERE c.authz_id = ANY (done) AND c.status IN ('pending', 'processing');
  UPDATE acme_orders o SET status = 'invalid', error = acme_gc_error(), updated_at = now()
   WHERE o.order_id IN (SELECT oa.order_id FROM acme_order_authorizations oa WHERE oa.authz_id = ANY (done))
     AND o.status IN ('pending', 'ready');
  RETURN acme_gc_told(p_audit, 'authorizations', done);
END $$;

CREATE OR REPLACE FUNCTION acme_gc_error() RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN '{"type":"urn:ietf:params:acme:error:serverInternal","detail":"order expired before issuance","status":500}'::jsonb;
END $$;

-- An order in processing belongs to the job that issues it.
CREATE OR REPLACE FUNCTION acme_gc_orders(p_batch integer, p_audit text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  done text[];
BEGIN
  WITH due AS (
    SELECT o.order_id FROM acme_orders o
     WHERE o.status IN ('pending', 'ready') AND o.expires_at < now()
     ORDER BY o.expires_at LIMIT p_batch FOR UPDATE SKIP LOCKED),
  ended AS (
    UPDATE acme_orders o SET status = 'invalid', error = acme_gc_error(), updated_at = now()
      FROM due WHERE o.order_id = due.order_id
    RETURNING o.order_id)
  SELECT coalesce(array_agg(ended.order_id::text), '{}') INTO done FROM ended;
  RETURN acme_gc_told(p_audit, 'orders', done);
END $$;

-- Orders that have ended, with authorizations that serve no other. p_issued: those whose certificate expired a month
-- ago; else those that led to none. Accounts stay for ever.
CREATE OR REPLACE FUNCTION acme_gc_purge(p_batch integer, p_retention interval, p_issued boolean, p_audit text)
  RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  due text[];
  authz text[];
BEGIN
  IF p_issued THEN
    due := ARRAY(SELECT o.order_id::text FROM acme_orders o JOIN managed_certificates m ON m.id = o.certificate_id
                  WHERE o.created_at < now() - p_retention AND o.expires_at < now() - p_retention
                    AND o.status IN ('valid', 'invalid')
                    AND m.expires_at < now() - interval '30 days' LIMIT p_batch);
  ELSE
    due := ARRAY(SELECT o.order_id::text FROM acme_orders o
                  WHERE o.expires_at < now() - p_retention AND o.certificate_id IS NULL
                    AND o.status IN ('valid', 'invalid') ORDER BY o.expires_at LIMIT p_batch);
  END IF;
  authz := ARRAY(SELECT DISTINCT oa.authz_id::text FROM acme_order_authorizations oa WHERE oa.order_id = ANY (due));
  DELETE FROM acme_orders o WHERE o.order_id = ANY (due);
  DELETE FROM acme_authorizations z
   WHERE z.authz_id = ANY (authz) AND z.status NOT IN ('pending', 'valid')
     AND NOT EXISTS (SELECT 1 FROM acme_order_authorizations oa WHERE oa.authz_id = z.authz_id);
  IF NOT p_issued THEN -- proofs that were given ahead and never ordered
    DELETE FROM acme_authorizations z
     WHERE z.authz_id IN (SELECT a.authz_id FROM acme_authorizations a
                           WHERE a.order_id IS NULL AND a.status NOT IN ('pending', 'valid')
                             AND a.expires_at < now() - p_retention
                             AND NOT EXISTS (SELECT 1 FROM acme_order_authorizations oa WHERE oa.authz_id = a.authz_id)
                           LIMIT p_batch);
  END IF;
  RETURN acme_gc_told(p_audit, CASE WHEN p_issued THEN 'purge_issued' ELSE 'purge' END, due);
END $$;

-- A new nonce key each p_every; the one before it lives on until the next, since a worker reads them when it meets
-- a key that it does not know (01 section 7). p_ttl: of a nonce.
CREATE OR REPLACE FUNCTION acme_nonce_rotate(p_secret bytea, p_every interval, p_ttl interval, p_audit text)
  RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  newest smallint;
BEGIN
  SELECT k.key_id INTO newest FROM acme_nonce_keys k
   WHERE k.retired_at IS NULL ORDER BY k.created_at DESC LIMIT 1 FOR UPDATE;
  PERFORM 1 FROM acme_nonce_keys k WHERE k.key_id = newest AND k.created_at < now() - p_every;
  IF NOT FOUND THEN -- young, or the first one, which a worker makes
    RETURN 0;
  END IF;
  DELETE FROM acme_nonce_keys k WHERE k.key_id <> newest AND k.retired_at < now() - p_ttl;
  UPDATE acme_nonce_keys k SET retired_at = now() WHERE k.retired_at IS NULL;
  INSERT INTO acme_nonce_keys (key_id, secret_enc) VALUES ((newest + 1) % 256, p_secret);
  RETURN acme_gc_told(p_audit, 'nonce_keys', ARRAY[newest::text]);
END $$;
