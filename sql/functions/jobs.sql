-- sql/functions/jobs.sql: the queue of issuances that are not made in the request itself (07 section 3).

-- A job that issues: it waits for the approval that p_approval opens, or it may run, where that is NULL.
CREATE OR REPLACE FUNCTION job_open(
  p_job text, p_certificate text, p_csr_pem text, p_policy text, p_actor text, p_trigger text, p_approval text,
  p_audit text, p_mail text, p_hook text, p_source_ip inet, p_request text)
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO jobs (id, type, certificate_id, status, max_attempts, csr_pem, requested_by, trigger)
  VALUES (p_job, 'Issuance', p_certificate, CASE WHEN p_approval IS NULL THEN 'Pending' ELSE 'AwaitingApproval' END,
          (SELECT r.max_retries + 1 FROM renewal_policies r WHERE r.id = p_policy), p_csr_pem, p_actor, p_trigger);
  IF p_approval IS NOT NULL THEN
    PERFORM approval_open(p_approval, p_job, p_audit, p_mail, p_hook, p_source_ip, p_request);
  END IF;
END $$;

-- issuance_park: what is not issued in the request itself, in one transaction (04 section 6.8, 01 section 10.3):
-- certificate, job with the CSR, and the protocol's row. p_approval: the job waits for it. Without p_job there is none
-- yet: acme-finalize makes it of the order's CSR when CAA was looked at. It judges no policy: C found the request good.
--
-- outcome: waiting | superseded | stale | bad_nonce, as issuance_commit has them
CREATE OR REPLACE FUNCTION issuance_park(
  p_nonce text, p_nonce_expires timestamptz, p_order text, p_account text, p_profile text, p_profile_version bigint,
  p_certificate text, p_name text, p_common_name text, p_sans text[], p_owner text, p_team text, p_issuer text,
  p_policy text, p_source text, p_csr_pem text, p_csr_sha256 bytea, p_job text, p_approval text, p_trigger text,
  p_actor text, p_audit text, p_mail text, p_hook text, p_source_ip inet, p_request text, OUT outcome text)
  LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM certificate_profiles WHERE id = p_profile AND row_version = p_profile_version AND enabled;
  IF NOT FOUND THEN
    outcome := 'stale';
    RETURN;
  END IF;
  IF p_nonce IS NOT NULL AND NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  PERFORM 1 FROM acme_orders
    WHERE order_id = p_order AND account_id = p_account AND status = 'ready' AND expires_at > now()
    FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'superseded';
    RETURN;
  END IF;
  INSERT INTO managed_certificates (id, name, common_name, sans, owner_id, team_id, issuer_id, renewal_policy_id,
                                    certificate_profile_id, status, source)
  VALUES (p_certificate, p_name, p_common_name, p_sans, p_owner, p_team, p_issuer, p_policy, p_profile, 'Pending',
          p_source);
  IF p_job IS NOT NULL THEN
    PERFORM job_open(p_job, p_certificate, p_csr_pem, p_policy, p_actor, p_trigger, p_approval, p_audit, p_mail, p_hook,
                     p_source_ip, p_request);
  END IF;
  UPDATE acme_orders
     SET status = 'processing', csr_pem = p_csr_pem, csr_sha256 = p_csr_sha256, job_id = p_job, updated_at = now()
   WHERE order_id = p_order;
  outcome := 'waiting';
END $$;

-- Whether the job may issue under this profile: it wants no approval, or this very job, with this very CSR, has one.
CREATE OR REPLACE FUNCTION job_approved(p_job text, p_profile text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN NOT EXISTS (SELECT 1 FROM certificate_profiles p WHERE p.id = p_profile AND p.requires_approval)
    OR EXISTS (SELECT 1 FROM jobs j JOIN issuance_approval_requests a ON a.id = j.approval_id AND a.job_id = j.id
                WHERE j.id = p_job AND a.state = 'approved' AND a.profile_id = p_profile
                  AND a.metadata->>'csr_sha256' = pem_sha256(j.csr_pem));
END $$;

-- The part of issuance_commit that ends a claimed job. false: it is not the worker's any more.
CREATE OR REPLACE FUNCTION job_completed(p_job text, p_worker text, p_certificate text, p_version text,
                                         p_not_after timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM managed_certificates m
    WHERE m.id = p_certificate AND m.status IN ('Pending', 'RenewalInProgress') FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE jobs j
     SET status = 'Completed', completed_at = now(), claimed_by = NULL, lease_until = NULL
   WHERE j.id = p_job AND j.certificate_id = p_certificate AND j.status = 'Running' AND j.claimed_by = p_worker;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE managed_certificates m
     SET status = 'Active', expires_at = p_not_after, current_version_id = p_version,
         early_renewal_at = NULL, early_renewal_reason = NULL
   WHERE m.id = p_certificate;
  RETURN true;
END $$;

-- One issuance for the processor, or none (07 section 3.4). The lock is a statement of its own: the count needs a
-- snapshot that is younger.
CREATE OR REPLACE FUNCTION job_claim(p_cap integer, p_by text, p_lease interval, OUT job_id text)
  LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(1128616532, 1000);
  IF (SELECT count(*) FROM jobs j
       WHERE j.status = 'Running' AND j.lease_until > now() AND j.agent_id IS NULL) >= p_cap THEN
    RETURN;
  END IF;
  UPDATE jobs j
     SET status = 'Running', attempts = j.attempts + 1, started_at = now(), claimed_by = p_by,
         lease_until = now() + p_lease, last_error = NULL
    FROM (SELECT w.id FROM jobs w
           WHERE w.status = 'Pending' AND w.scheduled_at <= now() AND w.type = 'Issuance' AND w.csr_pem IS NOT NULL
           ORDER BY w.scheduled_at, w.id LIMIT 1 FOR UPDATE SKIP LOCKED) c
   WHERE j.id = c.id
  RETURNING j.id INTO job_id;
END $$;

-- The profile wants an approval that this job does not have: back to waiting, with a new request (07 section 3.5, 2).
CREATE OR REPLACE FUNCTION job_unapproved(p_job text, p_by text, p_approval text, p_audit text, p_mail text, p_hook text)
  RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  UPDATE jobs j
     SET status = 'AwaitingApproval', attempts = j.attempts - 1, approval_id = NULL, claimed_by = NULL, lease_until = NULL
   WHERE j.id = p_job AND j.status = 'Running' AND j.claimed_by = p_by;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM approval_open(p_approval, p_job, p_audit, p_mail, p_hook, NULL, NULL);
  RETURN true;
END $$;

-- A claimed job failed (07 section 3.7). p_again: it may succeed later; then it waits twice as long each time, by the
-- renewal policy. Else the certificate and the order end with it. true: ended for good.
CREATE OR REPLACE FUNCTION job_failed(p_job text, p_by text, p_again boolean, p_why text, p_audit text)
  RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  j jobs;
  later timestamptz;
BEGIN
  PERFORM 1 FROM acme_orders o WHERE o.job_id = p_job FOR UPDATE;
  SELECT * INTO j FROM jobs w WHERE w.id = p_job AND w.status = 'Running' AND w.claimed_by = p_by FOR UPDATE;
  IF NOT FOUND THEN -- the lease was lost; who has it now goes on
    RETURN false;
  END IF;
  IF p_again AND j.attempts < j.max_attempts THEN
    SELECT now() + least(interval '24 hours', r.retry_interval_seconds * interval '1 s' * power(2, j.attempts - 1))
                   * (0.8 + 0.4 * random())
      INTO later
      FROM managed_certificates m JOIN renewal_policies r ON r.id = m.renewal_policy_id
     WHERE m.id = j.certificate_id;
  END IF;
  UPDATE jobs w
     SET status = 'Failed', last_error = left(p_why, 4000), next_attempt_at = later, claimed_by = NULL,
         lease_until = NULL, failure_class = CASE WHEN p_again THEN 'transient' ELSE 'permanent' END,
         completed_at = CASE WHEN later IS NULL THEN now() END
   WHERE w.id = p_job;
  IF later IS NOT NULL THEN
    RETURN false;
  END IF;
  PERFORM job_ended(p_job);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
  SELECT p_audit, coalesce(j.requested_by, 'system'), 'System',
         CASE WHEN o.order_id IS NULL THEN 'renewal_job_failed' ELSE 'acme_order_failed' END,
         CASE WHEN o.order_id IS NULL THEN 'job' ELSE 'acme_order' END, coalesce(o.order_id, p_job),
         jsonb_strip_nulls(jsonb_build_object('job_id', p_job, 'certificate_id', j.certificate_id, 'error', left(p_why, 4000),
                                              'type', o.error->>'type', 'detail', o.error->>'detail'))
    FROM (VALUES (1)) one LEFT JOIN acme_orders o ON o.job_id = p_job;
  RETURN true;
END $$;

-- What failed for a while is tried again when its time has come.
CREATE OR REPLACE FUNCTION job_retry(p_batch integer, p_audit text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  done text[];
BEGIN
  WITH back AS (
    UPDATE jobs j SET status = 'Pending', scheduled_at = now(), next_attempt_at = NULL, failure_class = NULL
     WHERE j.id IN (SELECT w.id FROM jobs w
                     WHERE w.status = 'Failed' AND w.next_attempt_at <= now()
                     ORDER BY w.next_attempt_at LIMIT p_batch FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.attempts, j.max_attempts),
  told AS (
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
    SELECT p_audit || '-' || row_number() OVER (), 'system', 'System', 'job_retry', 'job', b.id,
           jsonb_build_object('old_status', 'Failed', 'new_status', 'Pending', 'attempts', b.attempts, 'max_attempts',
                              b.max_attempts)
      FROM back b)
  SELECT array_agg(b.id::text) INTO done FROM back b;
  RETURN coalesce(cardinality(done), 0);
END $$;

-- Whose worker was lost (07 section 3.8): tried again, or ended.
CREATE OR REPLACE FUNCTION job_lease_lost(p_job text, p_audit text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  j jobs;
BEGIN
  PERFORM 1 FROM acme_orders o WHERE o.job_id = p_job FOR UPDATE;
  SELECT * INTO j FROM jobs w
   WHERE w.id = p_job AND w.status = 'Running' AND w.agent_id IS NULL AND w.lease_until < now() FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF j.attempts < j.max_attempts THEN
    UPDATE jobs w SET status = 'Pending', scheduled_at = now(), claimed_by = NULL, lease_until = NULL
     WHERE w.id = p_job;
    RETURN true;
  END IF;
  PERFORM job_failed(p_job, j.claimed_by, true, 'worker lost', p_audit);
  RETURN true;
END $$;
