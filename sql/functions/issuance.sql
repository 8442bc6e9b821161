-- issuance_commit: everything that one issued certificate writes, in one transaction (04 section
-- 6.8). It judges no policy: C decided. It compares the row versions that C read, holds uniqueness,
-- and closes the protocol's request row.
--
-- p_job: the issuance is the one of this job, which p_worker claimed; the certificate's row is there already, and the
-- order is in processing. Without a job nothing of a profile that wants an approval is recorded.
--
-- outcome: issued     all written
--          superseded the order is no longer ready, or the job another's (the caller reads it again)
--          unapproved nobody has approved this job
--          stale      profile or CA changed since they were read: nothing written, start again
--          bad_nonce  replay
--          blocked    the key is on the list of blocked keys
--          serial     the serial is known already (an orphan row, or a miracle): sign again
CREATE OR REPLACE FUNCTION issuance_commit(
  p_nonce text, p_nonce_expires timestamptz, p_order text, p_account text,
  p_profile text, p_profile_version bigint, p_ca text, p_ca_version bigint,
  p_certificate text, p_name text, p_common_name text, p_sans text[], p_owner text, p_team text, p_issuer text,
  p_policy text, p_source text,
  p_version text, p_serial text, p_not_before timestamptz, p_not_after timestamptz, p_fingerprint text,
  p_spki text, p_short_lived boolean, p_pem_chain text, p_csr_pem text, p_csr_sha256 bytea,
  p_key_algorithm text, p_key_size integer,
  p_audit text, p_actor text, p_action text, p_details jsonb, p_source_ip inet, p_request text,
  p_job text, p_worker text, OUT outcome text)
  LANGUAGE plpgsql AS $$
DECLARE
  wanted record;
BEGIN
  PERFORM 1 FROM certificate_profiles
    WHERE id = p_profile AND row_version = p_profile_version AND enabled AND (p_job IS NOT NULL OR NOT requires_approval);
  IF NOT FOUND THEN
    outcome := 'stale';
    RETURN;
  END IF;
  IF p_job IS NOT NULL THEN
    IF NOT job_approved(p_job, p_profile) THEN
      outcome := 'unapproved';
      RETURN;
    END IF;
  END IF;
  PERFORM 1 FROM ca_instances WHERE id = p_ca AND row_version = p_ca_version
    AND (state = 'active' OR (state = 'retiring' AND superseded_at IS NULL));
  IF NOT FOUND THEN
    outcome := 'stale';
    RETURN;
  END IF;
  -- revoke_commit takes it alone before it blocks a key.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('key:' || p_spki, 0));
  IF EXISTS (SELECT 1 FROM blocked_keys WHERE spki_sha256 = p_spki) THEN
    outcome := 'blocked';
    RETURN;
  END IF;
  IF EXISTS (SELECT 1 FROM certificate_revocations WHERE issuer_id = p_issuer AND serial_number = p_serial) THEN
    outcome := 'serial';
    RETURN;
  END IF;
  -- From here on the nonce is spent, also where the order turns out to be closed.
  IF p_nonce IS NOT NULL AND NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  IF p_order IS NOT NULL THEN
    SELECT account_id, status, expires_at, identifiers_hash, job_id, replaces_certificate_id INTO wanted
      FROM acme_orders WHERE order_id = p_order
       FOR UPDATE;
    IF NOT FOUND OR wanted.account_id <> p_account
       OR (p_job IS NULL AND (wanted.status <> 'ready' OR wanted.expires_at <= now()))
       OR (p_job IS NOT NULL AND (wanted.status <> 'processing' OR wanted.job_id IS DISTINCT FROM p_job)) THEN
      outcome := 'superseded';
      RETURN;
    END IF;
  END IF;
  IF p_job IS NULL THEN
    INSERT INTO managed_certificates (id, name, common_name, sans, owner_id, team_id, issuer_id, renewal_policy_id,
                                      certificate_profile_id, status, source, expires_at, current_version_id)
    VALUES (p_certificate, p_name, p_common_name, p_sans, p_owner, p_team, p_issuer, p_policy, p_profile, 'Active',
            p_source, p_not_after, p_version);
  ELSIF NOT job_completed(p_job, p_worker, p_certificate, p_version, p_not_after) THEN
    outcome := 'superseded';
    RETURN;
  END IF;
  INSERT INTO certificate_versions (id, certificate_id, issuer_id, serial_number, not_before, not_after,
                                    fingerprint_sha256, spki_sha256, ca_id, short_lived, pem_chain, csr_pem,
                                    key_algorithm, key_size)
  VALUES (p_version, p_certificate, p_issuer, p_serial, p_not_before, p_not_after, p_fingerprint, p_spki, p_ca,
          p_short_lived, p_pem_chain, p_csr_pem, p_key_algorithm, p_key_size);
  IF p_order IS NOT NULL THEN
    -- An older certificate of this account for the same names: its expiry is no news any more.
    UPDATE managed_certificates m
       SET tags = m.tags || jsonb_build_object('superseded_by', p_certificate)
      FROM acme_orders o
     WHERE o.identifiers_hash = wanted.identifiers_hash AND o.status = 'valid'
       AND m.id = o.certificate_id AND NOT m.tags ? 'superseded_by';
    IF wanted.replaces_certificate_id IS NOT NULL THEN -- and the one that the order says it replaces, of other names too
      UPDATE managed_certificates m
         SET tags = m.tags || jsonb_build_object('superseded_by', p_certificate)
       WHERE m.id = wanted.replaces_certificate_id AND NOT m.tags ? 'superseded_by';
    END IF;
    UPDATE acme_orders
       SET status = 'valid', csr_pem = p_csr_pem, csr_sha256 = p_csr_sha256, certificate_id = p_certificate,
           certificate_version_id = p_version, updated_at = now()
     WHERE order_id = p_order;
  END IF;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, p_actor, 'System', p_action, CASE WHEN p_order IS NULL THEN 'certificate' ELSE 'acme_order' END,
          coalesce(p_order, p_certificate), p_details, p_source_ip, p_request);
  outcome := 'issued';
END $$;

-- A signature that nobody keeps (a lost race, a commit that failed): revoked and audited at once,
-- so that it is on the next CRL, and no news to anybody (00 decision 64). issuance_commit holds the lock of
-- the key shared until its end: whether it came through is decided when we have it.
CREATE OR REPLACE FUNCTION issuance_discard(
  p_id text, p_issuer text, p_ca text, p_serial text, p_not_after timestamptz, p_actor text,
  p_audit text, p_details jsonb, p_request text, p_revoked_at timestamptz, p_entry bytea)
  RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('key:' || (p_details->>'spki_sha256'), 0));
  PERFORM 1 FROM certificate_versions WHERE issuer_id = p_issuer AND serial_number = p_serial;
  IF FOUND THEN -- the commit had come through after all
    RETURN false;
  END IF;
  INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, reason, revoked_by, revoked_at, not_after,
                                       ca_id, crl_entry_der, issuer_notified)
  VALUES (p_id, 'discarded', p_serial, p_issuer, 'unspecified', p_actor, p_revoked_at, p_not_after, p_ca, p_entry, true)
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE ca_instances SET crl_dirty_since = coalesce(crl_dirty_since, now()) WHERE id = p_ca;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, request_id)
  VALUES (p_audit, p_actor, 'System', 'certificate_revoked', 'certificate', p_serial, p_details, p_request);
  RETURN true;
END $$;
