-- certctl-admin backup restore: what the database forgot since the back-up (00 decision 65, 04 section 21).
--
-- Run by the owner in a database that nobody else knows yet; no process' role may execute these.

-- One batch of lines of the signer's log: {line, time, kind, peer, ca_sha256, serial, not_before, not_after,
-- spki_sha256, certificate_sha256, common_name, sans, certificate_id, version_id, revocation_id, entry}. A leaf that was
-- signed after p_since is recorded as issued, its bytes unknown; an OCSP responder's certificate, whose key's row is
-- gone, as a signature that nobody keeps. What was signed earlier and never recorded is left to signer-reconcile to
-- judge, as it would have been.
CREATE OR REPLACE FUNCTION restore_signatures(
  p_node text, p_signed jsonb, p_since timestamptz, p_owner text, p_team text, p_policy text,
  OUT registered integer, OUT strangers integer)
  LANGUAGE plpgsql AS $$
DECLARE
  forgotten jsonb;
BEGIN
  SELECT coalesce(jsonb_agg(s.item || jsonb_build_object('ca_id', c.id, 'issuer_id', c.issuer_id)), '[]'),
         count(*) FILTER (WHERE c.id IS NULL)
    INTO forgotten, strangers
    FROM jsonb_array_elements(p_signed) AS s (item)
    LEFT JOIN ca_instances c ON sha256(c.cert_der) = decode(s.item->>'ca_sha256', 'hex')
   WHERE c.id IS NULL OR NOT signature_recorded(c.issuer_id, s.item->>'serial');

  INSERT INTO signer_log_unrecorded (node_id, line_no, ca_sha256, serial_number, certificate_sha256, not_after, peer,
                                     signed_at)
  SELECT p_node, (f->>'line')::bigint, f->>'ca_sha256', f->>'serial', f->>'certificate_sha256',
         (f->>'not_after')::timestamptz, f->>'peer', (f->>'time')::timestamptz
    FROM jsonb_array_elements(forgotten) AS f
   WHERE f->>'ca_id' IS NULL OR (f->>'time')::timestamptz < p_since
  ON CONFLICT DO NOTHING;

  INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, reason, revoked_by, not_after, ca_id,
                                       crl_entry_der, issuer_notified)
  SELECT f->>'revocation_id', 'discarded', f->>'serial', f->>'issuer_id', 'unspecified', 'certctl-admin restore',
         (f->>'not_after')::timestamptz, f->>'ca_id', decode(f->>'entry', 'hex'), true
    FROM jsonb_array_elements(forgotten) AS f
   WHERE f->>'ca_id' IS NOT NULL AND (f->>'time')::timestamptz >= p_since AND f->>'kind' <> 'sign-leaf'
  ON CONFLICT DO NOTHING;

  INSERT INTO managed_certificates (id, name, common_name, sans, owner_id, team_id, issuer_id, renewal_policy_id, status,
                                    expires_at, current_version_id, tags, created_at)
  SELECT f->>'certificate_id', left(f->>'common_name', 180) || ' (restored ' || (f->>'serial') || ')',
         left(f->>'common_name', 255), ARRAY(SELECT jsonb_array_elements_text(f->'sans')), p_owner, p_team,
         f->>'issuer_id', p_policy,
         CASE WHEN (f->>'not_after')::timestamptz <= now() THEN 'Expired' ELSE 'Active' END,
         (f->>'not_after')::timestamptz, f->>'version_id',
         jsonb_build_object('restored_from', 'signer log', 'signer_log_line', f->>'line', 'signed_for', f->>'peer'),
         (f->>'time')::timestamptz
    FROM jsonb_array_elements(forgotten) AS f
   WHERE f->>'ca_id' IS NOT NULL AND (f->>'time')::timestamptz >= p_since AND f->>'kind' = 'sign-leaf';
  INSERT INTO certificate_versions (id, certificate_id, issuer_id, serial_number, not_before, not_after,
                                    fingerprint_sha256, spki_sha256, ca_id, pem_chain, created_at)
  SELECT f->>'version_id', f->>'certificate_id', f->>'issuer_id', f->>'serial', (f->>'not_before')::timestamptz,
         (f->>'not_after')::timestamptz, f->>'certificate_sha256', f->>'spki_sha256', f->>'ca_id', '',
         (f->>'time')::timestamptz
    FROM jsonb_array_elements(forgotten) AS f
   WHERE f->>'ca_id' IS NOT NULL AND (f->>'time')::timestamptz >= p_since AND f->>'kind' = 'sign-leaf';
  GET DIAGNOSTICS registered = ROW_COUNT;
END $$;

-- Entries of a CRL of that CA: {id, serial, revoked_at, reason, entry}. What is revoked already stays as it is; what was
-- released from a hold before the back-up and stands on the newer list is revoked again.
CREATE OR REPLACE FUNCTION restore_revocations(p_ca text, p_entries jsonb, OUT revoked integer)
  LANGUAGE plpgsql AS $$
DECLARE
  done text[];
BEGIN
  WITH entered AS (
    INSERT INTO certificate_revocations AS r (id, certificate_id, source, serial_number, issuer_id, reason, revoked_by,
                                              revoked_at, not_after, ca_id, crl_entry_der, issuer_notified)
    SELECT e.id, v.certificate_id, CASE WHEN v.id IS NULL THEN 'orphan' ELSE 'request' END, e.serial, c.issuer_id,
           e.reason, 'certctl-admin restore', e.revoked_at, v.not_after, c.id, decode(e.entry, 'hex'), true
      FROM jsonb_to_recordset(p_entries)
           AS e (id text, serial text, revoked_at timestamptz, reason text, entry text)
      JOIN ca_instances c ON c.id = p_ca
      LEFT JOIN certificate_versions v ON v.issuer_id = c.issuer_id AND v.serial_number = e.serial
    ON CONFLICT (issuer_id, serial_number) DO UPDATE
       SET lifted_at = NULL, reason = EXCLUDED.reason, revoked_at = EXCLUDED.revoked_at,
           crl_entry_der = EXCLUDED.crl_entry_der
     WHERE r.lifted_at IS NOT NULL
    RETURNING r.id)
  SELECT coalesce(array_agg(entered.id::text), '{}') INTO done FROM entered;
  UPDATE managed_certificates m
     SET status = CASE m.status WHEN 'Archived' THEN m.status ELSE 'Revoked' END,
         revoked_at = r.revoked_at, revocation_reason = r.reason
    FROM certificate_revocations r
    JOIN certificate_versions v USING (issuer_id, serial_number)
   WHERE r.id = ANY (done) AND m.current_version_id = v.id;
  INSERT INTO blocked_keys (spki_sha256, reason, actor)
  SELECT DISTINCT v.spki_sha256, r.reason, 'certctl-admin restore'
    FROM certificate_revocations r
    JOIN certificate_versions v USING (issuer_id, serial_number)
   WHERE r.id = ANY (done) AND r.reason = 'keyCompromise' AND v.spki_sha256 IS NOT NULL
  ON CONFLICT DO NOTHING;
  revoked := cardinality(done);
END $$;

-- The end of a restore. p_numbers is {CA: number}: the next CRL's number is above it. The cursor says how far the
-- signer's log has been read into this database (no line: not at all).
CREATE OR REPLACE FUNCTION restore_finish(
  p_numbers jsonb, p_node text, p_line bigint, p_sha256 text, p_inode bigint, p_offset bigint,
  p_audit text, p_actor text, p_details jsonb)
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE ca_instances c
     SET crl_number = greatest(c.crl_number, (p_numbers->>c.id)::bigint), crl_dirty_since = now()
   WHERE p_numbers ? c.id;
  TRUNCATE crl_cache, ocsp_response_cache, ocsp_invalidations;
  DELETE FROM signer_log_cursors WHERE node_id = p_node;
  INSERT INTO signer_log_cursors (node_id, line_no, line_sha256, inode, byte_offset)
  SELECT p_node, p_line, nullif(p_sha256, ''), p_inode, p_offset WHERE p_line > 0;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
  VALUES (p_audit, p_actor, 'User', 'database_restored', 'backup', p_details->>'backup', p_details);
END $$;
