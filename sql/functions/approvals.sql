-- sql/functions/approvals.sql: two persons for one certificate or one profile (04 section 13, 06 section 4.8).
--
-- No role writes issuance_approval_requests or approval_votes: it calls these, which are the owner's.
-- Who asks follows from the credential of the request or from the role of the session, never from
-- what the caller says. Locks, everywhere: order, profile, certificate, job, approval.

-- Who a credential is. Nobody: actor_id is NULL. user_id: the person behind it, where there is one; keys that one
-- person made are that person.
CREATE OR REPLACE FUNCTION auth_actor(p_key text, p_session text, p_csrf text,
                                      OUT actor_id text, OUT actor_type text, OUT user_id text)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  maker text;
BEGIN
  IF p_session IS NOT NULL THEN
    SELECT s.actor_id, s.actor_type INTO actor_id, actor_type FROM sessions s
     WHERE s.id = p_session AND s.revoked_at IS NULL AND s.idle_expires_at > now() AND s.absolute_expires_at > now()
       AND encode(sha256(convert_to(p_csrf, 'UTF8')), 'hex') IN (s.csrf_token_hash, s.csrf_prev_hash);
    maker := actor_id;
  ELSE
    SELECT k.name, CASE WHEN k.agent_id IS NULL THEN 'APIKey' ELSE 'Agent' END, k.created_by
      INTO actor_id, actor_type, maker
      FROM api_keys k
     WHERE k.key_hash = sha256(convert_to(p_key, 'UTF8')) AND k.revoked_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > now());
    IF NOT FOUND THEN
      SELECT e.name, 'APIKey' INTO actor_id, actor_type FROM env_keys e
       WHERE e.key_hash = sha256(convert_to(p_key, 'UTF8'));
    END IF;
  END IF;
  SELECT u.id INTO user_id FROM users u WHERE u.id IN (maker, actor_id) ORDER BY u.id = maker DESC LIMIT 1;
END $$;

-- Whether the actor holds the permission for this profile: a grant and its role's line, both covering it.
CREATE OR REPLACE FUNCTION auth_may(p_actor text, p_type text, p_permission text, p_profile text, p_issuer text)
  RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
  RETURN EXISTS (
    SELECT 1 FROM actor_roles a
      JOIN role_permissions r ON r.role_id = a.role_id
      JOIN permissions p ON p.id = r.permission_id AND p.name = p_permission
     WHERE a.actor_id = p_actor AND a.actor_type = p_type AND (a.expires_at IS NULL OR a.expires_at > now())
       AND (a.scope_type = 'global' OR (a.scope_type = 'profile' AND a.scope_id = p_profile)
            OR (a.scope_type = 'issuer' AND a.scope_id = p_issuer))
       AND (r.scope_type = 'global' OR (r.scope_type = 'profile' AND r.scope_id = p_profile)
            OR (r.scope_type = 'issuer' AND r.scope_id = p_issuer)));
END $$;

-- The DER in a PEM text, and its SHA-256 in hex.
CREATE OR REPLACE FUNCTION pem_der(p_pem text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN decode(regexp_replace(p_pem, '-----[^-]+-----|\s', '', 'g'), 'base64');
END $$;
CREATE OR REPLACE FUNCTION pem_sha256(p_pem text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN encode(sha256(pem_der(p_pem)), 'hex');
END $$;

CREATE OR REPLACE FUNCTION approval_audit(a issuance_approval_requests, p_audit text, p_actor text, p_actor_type text,
                                          p_action text, p_outcome text, p_note text, p_source_ip inet, p_request text)
  RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, p_actor, p_actor_type, p_action, 'approval_request', a.id,
          jsonb_strip_nulls(jsonb_build_object(
            'approval_id', a.id, 'certificate_id', a.certificate_id, 'job_id', a.job_id, 'profile_id', a.profile_id,
            'requested_by', a.requested_by, 'state', a.state, 'note', p_note, 'outcome', p_outcome,
            'metadata_common_name', a.metadata->>'common_name', 'metadata_csr_sha256', a.metadata->>'csr_sha256',
            'metadata_source', a.metadata->>'source')),
          p_source_ip, p_request);
END $$;

-- A pending request for a job that waits for one. Nothing of it is the caller's word: names, CSR and requester are
-- those of certificate and job. Two notices go to the owner.
CREATE OR REPLACE FUNCTION approval_open(p_id text, p_job text, p_audit text, p_mail text, p_hook text,
                                         p_source_ip inet, p_request text)
  RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  w record;
  a issuance_approval_requests;
BEGIN
  SELECT j.certificate_id, j.csr_pem, j.requested_by, m.certificate_profile_id, m.common_name, m.sans, m.source, m.owner_id
    INTO w
    FROM jobs j JOIN managed_certificates m ON m.id = j.certificate_id
   WHERE j.id = p_job AND j.status = 'AwaitingApproval';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'job % does not wait for an approval', p_job USING ERRCODE = 'CT001';
  END IF;
  IF (session_user = 'certctl_acme' AND w.requested_by NOT LIKE 'acme:%')
     OR session_user NOT IN ('certctl_acme', 'certctl_jobs') THEN
    RAISE EXCEPTION '% may not ask as %', session_user, w.requested_by USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO issuance_approval_requests (id, approval_kind, certificate_id, job_id, profile_id, requested_by, metadata)
  VALUES (p_id, 'cert_issuance', w.certificate_id, p_job, w.certificate_profile_id, w.requested_by,
          jsonb_build_object('common_name', w.common_name, 'sans', array_to_string(w.sans, ','),
                             'source', w.source, 'csr_sha256', pem_sha256(w.csr_pem)))
  RETURNING * INTO a;
  PERFORM approval_audit(a, p_audit, a.requested_by, 'System', 'approval_requested', NULL, NULL, p_source_ip, p_request);
  INSERT INTO notification_events (id, type, certificate_id, channel, recipient, message, severity, subject, payload)
  SELECT n.id, 'ApprovalRequested', w.certificate_id, n.channel, coalesce(nullif(o.email, ''), o.id),
         format('[APPROVAL] %s asks for a certificate for %s under profile %s. Request: %s.', a.requested_by,
                w.common_name, a.profile_id, a.id),
         'informational', 'A certificate waits for approval', jsonb_build_object('approval_id', a.id, 'job_id', p_job)
    FROM owners o, (VALUES (p_mail, 'Email'), (p_hook, 'Webhook')) AS n (id, channel)
   WHERE o.id = w.owner_id;
END $$;

-- A pending edit of a profile, which the caller's transaction has locked (04 section 13.5).
-- outcome: open | nobody | forbidden | waits (one edit of a profile at a time)
CREATE OR REPLACE FUNCTION approval_open_edit(p_key text, p_session text, p_csrf text, p_id text, p_profile text,
                                              p_payload jsonb, p_version bigint, p_audit text, p_audit_edit text,
                                              p_mail text, p_source_ip inet, p_request text, OUT outcome text)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  who record;
  a issuance_approval_requests;
BEGIN
  SELECT * INTO who FROM auth_actor(p_key, p_session, p_csrf);
  outcome := CASE WHEN who.actor_id IS NULL THEN 'nobody'
                  WHEN NOT auth_may(who.actor_id, who.actor_type, 'profile.edit', p_profile, NULL) THEN 'forbidden' END;
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;
  INSERT INTO issuance_approval_requests (id, approval_kind, profile_id, requested_by, requested_by_user_id, payload,
                                          base_row_version)
  VALUES (p_id, 'profile_edit', p_profile, who.actor_id, who.user_id, p_payload, p_version)
  ON CONFLICT (profile_id) WHERE state = 'pending' AND approval_kind = 'profile_edit' DO NOTHING
  RETURNING * INTO a;
  IF a.id IS NULL THEN
    outcome := 'waits';
    RETURN;
  END IF;
  PERFORM approval_audit(a, p_audit, who.actor_id, who.actor_type, 'approval_profile_edit_requested', NULL, NULL,
                         p_source_ip, p_request);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, event_category, source_ip,
                            request_id)
  VALUES (p_audit_edit, who.actor_id, who.actor_type, 'profile.edit_request', 'certificate_profile', p_profile,
          jsonb_build_object('approval_id', p_id), 'config', p_source_ip, p_request);
  INSERT INTO notification_events (id, type, channel, recipient, message, severity, subject, payload)
  VALUES (p_mail, 'ApprovalRequested', 'Email', '',
          format('[APPROVAL] %s asks for an edit of profile %s. Request: %s.', who.actor_id, p_profile, p_id),
          'informational', 'An edit of a profile waits for approval', jsonb_build_object('approval_id', p_id));
  outcome := 'open';
END $$;

-- The request with everything that its decision touches, locked in the order of all. NULL: there is none.
CREATE OR REPLACE FUNCTION approval_lock(p_id text) RETURNS issuance_approval_requests
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  a issuance_approval_requests;
BEGIN
  SELECT * INTO a FROM issuance_approval_requests r WHERE r.id = p_id;
  IF a.approval_kind = 'cert_issuance' THEN
    PERFORM 1 FROM acme_orders o WHERE o.job_id = a.job_id FOR UPDATE;
    PERFORM 1 FROM managed_certificates m WHERE m.id = a.certificate_id FOR UPDATE;
    PERFORM 1 FROM jobs j WHERE j.id = a.job_id FOR UPDATE;
  ELSIF a.id IS NOT NULL THEN
    PERFORM 1 FROM certificate_profiles p WHERE p.id = a.profile_id FOR UPDATE;
  END IF;
  SELECT * INTO a FROM issuance_approval_requests r WHERE r.id = p_id FOR UPDATE;
  RETURN a;
END $$;

CREATE OR REPLACE FUNCTION approval_refusal() RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN '{"type":"urn:ietf:params:acme:error:unauthorized","detail":"request was rejected by an approver","status":403}'::jsonb;
END $$;

-- What an order is told of its job that ended without a certificate (01 section 10.3). The issuer's own words are for
-- the log and the audit row.
CREATE OR REPLACE FUNCTION job_problem(p_job text) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
DECLARE
  j jobs;
BEGIN
  SELECT * INTO j FROM jobs w WHERE w.id = p_job;
  IF j.status = 'Cancelled' AND EXISTS (SELECT 1 FROM issuance_approval_requests a
                                         WHERE a.job_id = p_job AND a.state IN ('rejected', 'expired')) THEN
    RETURN approval_refusal();
  END IF;
  RETURN jsonb_build_object('type', 'urn:ietf:params:acme:error:serverInternal', 'status', 500, 'detail',
    CASE WHEN j.status = 'Cancelled' THEN 'the request was cancelled'
         WHEN j.failure_class = 'permanent' THEN 'issuer rejected the CSR'
         ELSE 'the certificate could not be issued' END);
END $$;

-- A job ends without a certificate: the certificate leaves its waiting state, the order that waits for it is told.
CREATE OR REPLACE FUNCTION job_ended(p_job text) RETURNS void
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE managed_certificates m
     SET status = CASE WHEN m.expires_at IS NULL THEN 'Failed'
                       WHEN m.expires_at <= now() THEN 'Expired' ELSE 'Active' END::certificate_status
    FROM jobs j
   WHERE j.id = p_job AND m.id = j.certificate_id AND m.status IN ('Pending', 'RenewalInProgress');
  UPDATE acme_orders o SET status = 'invalid', error = job_problem(p_job), updated_at = now()
   WHERE o.job_id = p_job AND o.status = 'processing';
END $$;

-- What a decision does to a locked and pending request. false: its job does not wait any more.
CREATE OR REPLACE FUNCTION approval_settle(a issuance_approval_requests, p_state text, p_by text, p_note text,
                                           p_last_error text)
  RETURNS boolean LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF a.approval_kind = 'cert_issuance' THEN
    PERFORM 1 FROM jobs j WHERE j.id = a.job_id AND j.status = 'AwaitingApproval';
    IF NOT FOUND THEN
      RETURN false;
    END IF;
  END IF;
  UPDATE issuance_approval_requests r
     SET state = p_state, decided_by = p_by, decided_at = now(), decision_note = p_note, updated_at = now()
   WHERE r.id = a.id AND r.state = 'pending';
  IF a.approval_kind <> 'cert_issuance' THEN
    RETURN true;
  END IF;
  IF p_state = 'approved' THEN
    UPDATE jobs j SET status = 'Pending', approval_id = a.id, scheduled_at = now() WHERE j.id = a.job_id;
  ELSE
    UPDATE jobs j SET status = 'Cancelled', last_error = p_last_error, failure_class = 'cancelled', completed_at = now()
     WHERE j.id = a.job_id;
    PERFORM job_ended(a.job_id);
  END IF;
  RETURN true;
END $$;

-- p_job instead of p_approval: the request that is pending for this job, or its last one.
-- outcome: decided     written; or the same actor said the same before
--          nobody      the credential is none any more
--          forbidden   the permission does not cover this profile
--          unknown     no such request, or job
--          self        the requester, or the same person
--          owner       by the job: its certificate's owner does not approve
--          already     decided otherwise, or by somebody else
--          job_state   the job waits for nothing; job_status says where it is
--          profile_changed  the profile is not what the edit was made of
-- edit_profile, edit_payload, edit_version: what was approved just now, for the caller to write in this transaction.
CREATE OR REPLACE FUNCTION approval_decide(
  p_key text, p_session text, p_csrf text, p_approval text, p_job text, p_approve boolean, p_note text,
  p_audit text, p_source_ip inet, p_request text,
  OUT outcome text, OUT approval_id text, OUT decided_by text, OUT job_status text,
  OUT edit_profile text, OUT edit_payload text, OUT edit_version bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  who record;
  a issuance_approval_requests;
  verdict text := CASE WHEN p_approve THEN 'approved' ELSE 'rejected' END;
BEGIN
  SELECT * INTO who FROM auth_actor(p_key, p_session, p_csrf);
  IF who.actor_id IS NULL THEN
    outcome := 'nobody';
    RETURN;
  END IF;
  decided_by := who.actor_id;
  approval_id := p_approval;
  IF p_job IS NOT NULL THEN
    SELECT r.id INTO approval_id FROM issuance_approval_requests r
     WHERE r.job_id = p_job ORDER BY r.state = 'pending' DESC, r.created_at DESC LIMIT 1;
    SELECT j.status INTO job_status FROM jobs j WHERE j.id = p_job;
    IF FOUND AND job_status <> 'AwaitingApproval' THEN
      outcome := 'job_state';
      RETURN;
    END IF;
  END IF;
  a := approval_lock(approval_id);
  IF a.id IS NULL THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  IF NOT auth_may(who.actor_id, who.actor_type, CASE WHEN p_approve THEN 'approval.approve' ELSE 'approval.reject' END,
                  a.profile_id, (SELECT m.issuer_id FROM managed_certificates m WHERE m.id = a.certificate_id)) THEN
    outcome := 'forbidden';
    RETURN;
  END IF;
  IF a.requested_by = who.actor_id OR a.requested_by_user_id = who.user_id THEN
    outcome := 'self';
    RETURN;
  END IF;
  IF p_job IS NOT NULL AND p_approve AND EXISTS (
    SELECT 1 FROM managed_certificates m JOIN owners o ON o.id = m.owner_id
     WHERE m.id = a.certificate_id AND lower(who.actor_id) IN (lower(o.name), lower(o.email))) THEN
    outcome := 'owner';
    RETURN;
  END IF;
  IF a.state <> 'pending' THEN
    outcome := CASE WHEN a.state = verdict AND a.decided_by = who.actor_id THEN 'decided' ELSE 'already' END;
    RETURN;
  END IF;
  IF a.approval_kind = 'profile_edit' AND p_approve THEN
    SELECT p.id, a.payload, p.row_version INTO edit_profile, edit_payload, edit_version
      FROM certificate_profiles p WHERE p.id = a.profile_id AND p.row_version = a.base_row_version;
    IF edit_profile IS NULL THEN
      outcome := 'profile_changed';
      PERFORM approval_audit(a, p_audit, who.actor_id, who.actor_type, 'approval_profile_apply_failed', verdict, p_note,
                             p_source_ip, p_request);
      RETURN;
    END IF;
  END IF;
  IF NOT approval_settle(a, verdict, who.actor_id, p_note,
                         CASE WHEN p_job IS NULL THEN 'approval rejected: ' || coalesce(p_note, '')
                              ELSE coalesce('rejected: ' || nullif(p_note, ''), 'rejected by user') END) THEN
    outcome := 'job_state';
    SELECT j.status INTO job_status FROM jobs j WHERE j.id = a.job_id;
    PERFORM approval_audit(a, p_audit, who.actor_id, who.actor_type, 'approval_job_transition_failed', verdict, p_note,
                           p_source_ip, p_request);
    RETURN;
  END IF;
  INSERT INTO approval_votes (approval_id, actor, user_id, decision, note)
  VALUES (a.id, who.actor_id, who.user_id, verdict, p_note);
  a.state := verdict;
  PERFORM approval_audit(a, p_audit, who.actor_id, who.actor_type, 'approval_' || verdict, verdict, p_note, p_source_ip,
                         p_request);
  outcome := 'decided';
END $$;

-- certctl-job-job-timeout: nobody decided in time (07 section 3.8). false: it was decided meanwhile.
CREATE OR REPLACE FUNCTION approval_expire(p_id text, p_timeout interval, p_audit text, p_audit_job text)
  RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  note CONSTANT text := 'auto-expired by scheduler reaper at CERTCTL_JOB_AWAITING_APPROVAL_TIMEOUT';
  a issuance_approval_requests := approval_lock(p_id);
BEGIN
  IF a.state IS DISTINCT FROM 'pending' OR a.created_at >= now() - p_timeout THEN
    RETURN false;
  END IF;
  IF NOT approval_settle(a, 'expired', 'system-reaper', note, 'approval expired: timed out without review') THEN
    UPDATE issuance_approval_requests r -- its job ended by another way
       SET state = 'expired', decided_by = 'system-reaper', decided_at = now(), decision_note = note, updated_at = now()
     WHERE r.id = a.id;
  ELSIF a.job_id IS NOT NULL THEN
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
    VALUES (p_audit_job, 'system', 'System', 'job_timeout', 'job', a.job_id,
            jsonb_build_object('old_status', 'AwaitingApproval', 'new_status', 'Cancelled', 'timeout_reason',
                               'approval_timeout', 'age_hours', floor(extract(epoch FROM now() - a.created_at) / 3600)));
  END IF;
  a.state := 'expired';
  PERFORM approval_audit(a, p_audit, 'system-reaper', 'System', 'approval_expired', 'expired', note, NULL, NULL);
  RETURN true;
END $$;

-- certctl-job-job-processor, for issuances and under CERTCTL_APPROVAL_BYPASS alone: nobody has to agree (04 section 13.6). The setting is
-- the job's to read, so that no responder can bypass anything.
CREATE OR REPLACE FUNCTION approval_bypass(p_id text, p_audit text)
  RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  a issuance_approval_requests := approval_lock(p_id);
BEGIN
  IF a.state IS DISTINCT FROM 'pending' OR a.approval_kind <> 'cert_issuance'
     OR NOT approval_settle(a, 'approved', 'system-bypass', NULL, NULL) THEN
    RETURN false;
  END IF;
  a.state := 'approved';
  PERFORM approval_audit(a, p_audit, 'system-bypass', 'System', 'approval_bypassed', 'bypassed', NULL, NULL, NULL);
  RETURN true;
END $$;
