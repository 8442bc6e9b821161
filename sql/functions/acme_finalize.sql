-- certctl-job-acme-finalize: orders in processing whose CAA must be looked at before their certificate gets a job, or
-- before a job that waited goes on, and orders whose job ended without telling them (01 section 10.3).

-- For so long after a look at CAA its job may begin: what is older than 8 hours by then is looked at with the rest.
CREATE OR REPLACE FUNCTION acme_finalize_margin() RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT interval '10 minutes'
$$;

-- Takes orders that have no job yet, or one that waits for this; among accounts they take turns. One row a name whose CAA is due, in the order's
-- own order; a row without authz_id: none is any more.
CREATE OR REPLACE FUNCTION acme_finalize_claim(p_most integer, p_lease interval, p_by text)
  RETURNS TABLE (order_id text, attempts integer, authz_id text, value text, wildcard boolean, method text,
                 account_url text, caa text, resolver text)
  LANGUAGE plpgsql AS $$
DECLARE
  candidate record;
  taken text[] := '{}';
BEGIN
  FOR candidate IN
    SELECT due.id
      FROM (SELECT o.order_id AS id, o.created_at,
                   row_number() OVER (PARTITION BY o.account_id ORDER BY o.created_at, o.order_id) AS turn
              FROM acme_orders o
             WHERE o.status = 'processing' AND (o.job_id IS NULL OR o.caa_due) AND o.csr_pem IS NOT NULL
               AND (o.lease_until IS NULL OR o.lease_until <= now())) due
     ORDER BY due.turn, due.created_at, due.id
  LOOP
    EXIT WHEN cardinality(taken) >= p_most;
    PERFORM 1 FROM acme_orders o
      WHERE o.order_id = candidate.id AND o.status = 'processing' AND (o.job_id IS NULL OR o.caa_due)
        AND (o.lease_until IS NULL OR o.lease_until <= now())
        FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    taken := taken || candidate.id::text;
  END LOOP;
  UPDATE acme_orders o
     SET claimed_by = p_by, lease_until = now() + p_lease, finalize_attempts = o.finalize_attempts + 1
   WHERE o.order_id = ANY (taken);
  RETURN QUERY
  SELECT o.order_id::text, o.finalize_attempts, name.authz_id, name.value, name.wildcard, name.method, name.account_url,
         s.settings->>'caa', s.settings->>'resolver'
    FROM acme_orders o
    LEFT JOIN acme_profile_settings s ON s.profile_id = o.profile_id
    LEFT JOIN LATERAL (
      SELECT z.authz_id::text, z.identifier->>'value' AS value, z.wildcard, c.type::text AS method, c.account_url, oa.position
        FROM acme_order_authorizations oa
        JOIN acme_authorizations z ON z.authz_id = oa.authz_id
        LEFT JOIN LATERAL (SELECT x.type, x.account_url FROM acme_challenges x
                            WHERE x.authz_id = z.authz_id AND x.status = 'valid' LIMIT 1) c ON true
       WHERE oa.order_id = o.order_id AND NOT acme_caa_fresh(z.identifier, z.caa_checked_at, acme_finalize_margin())) name ON true
   WHERE o.order_id = ANY (taken)
   ORDER BY o.order_id, name.position;
END $$;

-- What a process claimed and did not finish goes back, as if it had not been tried.
CREATE OR REPLACE FUNCTION acme_finalize_release(p_by text, OUT released integer) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE acme_orders o
     SET claimed_by = NULL, lease_until = NULL, finalize_attempts = greatest(0, o.finalize_attempts - 1)
   WHERE o.claimed_by = p_by AND o.status = 'processing' AND (o.job_id IS NULL OR o.caa_due);
  GET DIAGNOSTICS released = ROW_COUNT;
END $$;

-- The orders of a job whose CAA is too old to sign by: it waited for an approval, or to be tried again. Which of them
-- want CAA is for C to say.
CREATE OR REPLACE FUNCTION acme_finalize_stale(p_job text) RETURNS TABLE (order_id text, caa text) LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY
  SELECT o.order_id::text, s.settings->>'caa'
    FROM acme_orders o LEFT JOIN acme_profile_settings s ON s.profile_id = o.profile_id
   WHERE o.job_id = p_job AND o.status = 'processing' AND o.auth_mode = 'challenge'
     AND NOT coalesce(o.caa_checked_at > now() - acme_finalize_margin(), false)
     AND EXISTS (SELECT 1 FROM acme_order_authorizations oa JOIN acme_authorizations z ON z.authz_id = oa.authz_id
                  WHERE oa.order_id = o.order_id AND NOT acme_caa_fresh(z.identifier, z.caa_checked_at, '0'));
END $$;

-- A claimed job waits for acme-finalize to look at the CAA of its order, as if it had not been tried; after five minutes it
-- asks again, should nobody have looked. false: it is not the worker's any more.
CREATE OR REPLACE FUNCTION acme_finalize_first(p_job text, p_by text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM acme_orders o WHERE o.job_id = p_job FOR UPDATE;
  UPDATE jobs j
     SET status = 'Pending', attempts = j.attempts - 1, scheduled_at = now() + interval '5 minutes', claimed_by = NULL, lease_until = NULL
   WHERE j.id = p_job AND j.status = 'Running' AND j.claimed_by = p_by;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE acme_orders o SET caa_due = true, finalize_attempts = 0, claimed_by = NULL, lease_until = NULL, updated_at = now()
   WHERE o.job_id = p_job AND o.status = 'processing' AND NOT o.caa_due;
  RETURN true;
END $$;

-- An order ends without a certificate, and its job, where it has one, with it. Locked by the caller.
CREATE OR REPLACE FUNCTION acme_finalize_refused(o acme_orders, p_error jsonb, p_audit text) RETURNS void
  LANGUAGE plpgsql AS $$
BEGIN
  UPDATE managed_certificates m SET status = 'Failed'
   WHERE m.name = 'acme-' || o.order_id AND m.status = 'Pending';
  UPDATE acme_orders w
     SET status = 'invalid', error = p_error, caa_due = false, claimed_by = NULL, lease_until = NULL, updated_at = now()
   WHERE w.order_id = o.order_id;
  UPDATE jobs j
     SET status = 'Cancelled', failure_class = 'cancelled', last_error = p_error->>'detail', completed_at = now(),
         next_attempt_at = NULL, claimed_by = NULL, lease_until = NULL
   WHERE j.id = o.job_id AND j.completed_at IS NULL;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
  VALUES (p_audit, 'acme-system:finalize', 'System', 'acme_order_failed', 'acme_order', o.order_id,
          jsonb_build_object('type', p_error->>'type', 'detail', p_error->>'detail'));
END $$;

-- How CAA was found. p_error is NULL where all names are good; p_checked: those that were looked at and are. p_again: it
-- may be better later.
-- outcome: lost     the lease went to somebody else, or the order is over: the result is dropped
--          again    it is looked at once more, soon
--          refused  the order is invalid
--          waits    it has its job, which waits for an approval
--          queued   it has its job
CREATE OR REPLACE FUNCTION acme_finalize_result(
  p_order text, p_by text, p_checked text[], p_error jsonb, p_again boolean, p_attempts integer,
  p_job text, p_approval text, p_audit text, p_mail text, p_hook text, OUT outcome text)
  LANGUAGE plpgsql AS $$
DECLARE
  o acme_orders;
  m managed_certificates;
  gated boolean;
BEGIN
  SELECT * INTO o FROM acme_orders w
   WHERE w.order_id = p_order AND w.status = 'processing' AND (w.job_id IS NULL OR w.caa_due) AND w.claimed_by = p_by FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'lost';
    RETURN;
  END IF;
  IF p_error IS NOT NULL AND p_again AND o.finalize_attempts < p_attempts THEN
    UPDATE acme_orders w
       SET claimed_by = NULL, updated_at = now(),
           lease_until = now() + CASE WHEN o.finalize_attempts <= 1 THEN interval '5 seconds' ELSE interval '15 seconds' END
     WHERE w.order_id = p_order;
    outcome := 'again';
    RETURN;
  END IF;
  UPDATE acme_authorizations z SET caa_checked_at = now(), updated_at = now() WHERE z.authz_id = ANY (p_checked);
  IF p_error IS NOT NULL THEN
    PERFORM acme_finalize_refused(o, p_error, p_audit);
    outcome := 'refused';
    RETURN;
  END IF;
  IF o.job_id IS NOT NULL THEN
    UPDATE jobs j SET scheduled_at = now() WHERE j.id = o.job_id AND j.status = 'Pending';
    UPDATE acme_orders w
       SET caa_due = false, caa_checked_at = now(), claimed_by = NULL, lease_until = NULL, updated_at = now()
     WHERE w.order_id = p_order;
    outcome := 'queued';
    RETURN;
  END IF;
  SELECT * INTO m FROM managed_certificates c WHERE c.name = 'acme-' || p_order AND c.status = 'Pending';
  SELECT p.requires_approval INTO gated FROM certificate_profiles p WHERE p.id = m.certificate_profile_id;
  IF NOT FOUND THEN -- somebody removed what it waited for
    PERFORM acme_finalize_refused(o, '{"type":"urn:ietf:params:acme:error:serverInternal","detail":"the request was cancelled","status":500}',
                                  p_audit);
    outcome := 'refused';
    RETURN;
  END IF;
  PERFORM job_open(p_job, m.id, o.csr_pem, m.renewal_policy_id, 'acme:' || o.account_id, 'acme',
                   CASE WHEN gated THEN p_approval END, p_audit, p_mail, p_hook, NULL, NULL);
  UPDATE acme_orders w
     SET job_id = p_job, caa_checked_at = now(), claimed_by = NULL, lease_until = NULL, updated_at = now()
   WHERE w.order_id = p_order;
  outcome := CASE WHEN gated THEN 'waits' ELSE 'queued' END;
END $$;

-- Orders whose job ended and left them behind: whoever ended it did not tell. A job that is ending now holds its order.
CREATE OR REPLACE FUNCTION acme_finalize_sweep(p_batch integer, p_audit text, OUT swept integer) LANGUAGE plpgsql AS $$
DECLARE
  missed record;
BEGIN
  swept := 0;
  FOR missed IN
    SELECT o.order_id, o.job_id, j.last_error
      FROM acme_orders o JOIN jobs j ON j.id = o.job_id
     WHERE o.status = 'processing' AND j.status IN ('Failed', 'Cancelled') AND j.completed_at IS NOT NULL
     ORDER BY o.order_id LIMIT p_batch FOR UPDATE OF o SKIP LOCKED
  LOOP
    swept := swept + 1;
    PERFORM job_ended(missed.job_id);
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
    SELECT p_audit || '-' || swept, 'acme-system:finalize', 'System', 'acme_order_failed', 'acme_order', o.order_id,
           jsonb_strip_nulls(jsonb_build_object('job_id', missed.job_id, 'error', missed.last_error, 'type', o.error->>'type',
                                                'detail', o.error->>'detail'))
      FROM acme_orders o WHERE o.order_id = missed.order_id;
  END LOOP;
END $$;
