-- certctl-job-signer-reconcile: the signer's log held against what is recorded (04 section 4.5).

-- Who accounts for a signature: a version, a revocation (also of a signature thrown away), or an
-- OCSP responder.
CREATE OR REPLACE FUNCTION signature_recorded(p_issuer text, p_serial text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM certificate_versions v WHERE v.issuer_id = p_issuer AND v.serial_number = p_serial)
      OR EXISTS (SELECT 1 FROM certificate_revocations r WHERE r.issuer_id = p_issuer AND r.serial_number = p_serial)
      OR EXISTS (SELECT 1 FROM ocsp_responders o
                  WHERE o.issuer_id = p_issuer AND p_serial IN (o.cert_serial, o.rotated_from));
END $$;

CREATE OR REPLACE FUNCTION metric_add(p_name text, p_labels text, p_value double precision) RETURNS void
  LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO metric_counters AS m (name, labels, value) VALUES (p_name, p_labels, p_value)
  ON CONFLICT (name, labels, shard) DO UPDATE SET value = m.value + EXCLUDED.value;
END $$;

-- One batch of lines: the cursor moves, and what nobody recorded yet is remembered. p_signed is an
-- array of {line, time, peer, ca_sha256, serial, not_after, certificate_sha256}. False: somebody else
-- moved the cursor from where this batch began; nothing is written.
CREATE OR REPLACE FUNCTION signer_log_advance(
  p_node text, p_from_line bigint, p_from_inode bigint, p_from_offset bigint,
  p_line bigint, p_sha256 text, p_inode bigint, p_offset bigint, p_signed jsonb)
  RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO signer_log_cursors AS c (node_id, line_no, line_sha256, inode, byte_offset)
  VALUES (p_node, p_line, p_sha256, p_inode, p_offset)
  ON CONFLICT (node_id) DO UPDATE
     SET line_no = EXCLUDED.line_no, line_sha256 = EXCLUDED.line_sha256, inode = EXCLUDED.inode,
         byte_offset = EXCLUDED.byte_offset, updated_at = now()
   WHERE c.line_no = p_from_line AND coalesce(c.inode, 0) = p_from_inode AND c.byte_offset = p_from_offset;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO signer_log_unrecorded (node_id, line_no, ca_sha256, serial_number, certificate_sha256, not_after, peer,
                                     signed_at)
  SELECT p_node, s.line, s.ca_sha256, s.serial, s.certificate_sha256, s.not_after, s.peer, s.time
    FROM jsonb_to_recordset(p_signed)
         AS s (line bigint, time timestamptz, peer text, ca_sha256 text, serial text, not_after timestamptz,
               certificate_sha256 text)
    LEFT JOIN ca_instances c ON sha256(c.cert_der) = decode(s.ca_sha256, 'hex')
   WHERE c.id IS NULL OR NOT signature_recorded(c.issuer_id, s.serial)
  ON CONFLICT DO NOTHING;
  RETURN true;
END $$;

-- Missing lines, a wrong hash, a shrunken file: an audit row and a notification each.
CREATE OR REPLACE FUNCTION signer_log_break(
  p_node text, p_actor text, p_audit text, p_notice text, p_details jsonb, p_message text)
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
  VALUES (p_audit, p_actor, 'System', 'signer_log_broken', 'signer', p_node, p_details);
  INSERT INTO notification_events (id, type, channel, recipient, message, severity, subject, payload)
  VALUES (p_notice, 'SystemAlert', 'Email', '', p_message, 'critical', 'The signer''s log is broken', p_details);
  PERFORM metric_add('certctl_signer_log_breaks_total', '', 1);
END $$;

-- Orphans become revocations: p_rows of signer_log_unrecorded, and in parallel ids and CRL entries
-- (hex) made for them. Those that were recorded in the last moment are let go. Returns how many were
-- revoked.
CREATE OR REPLACE FUNCTION signer_orphans_revoke(
  p_node text, p_actor text, p_rows bigint[], p_ids text[], p_audits text[], p_entries text[],
  p_revoked_at timestamptz, p_notice text)
  RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  done text[];
BEGIN
  WITH entered AS (
    INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, reason, revoked_by, revoked_at,
                                         not_after, ca_id, crl_entry_der, issuer_notified)
    SELECT n.id, 'orphan', u.serial_number, c.issuer_id, 'unspecified', p_actor, p_revoked_at, u.not_after, c.id,
           decode(n.entry, 'hex'), true
      FROM unnest(p_rows, p_ids, p_entries) AS n (row_id, id, entry)
      JOIN signer_log_unrecorded u ON u.id = n.row_id
      JOIN ca_instances c ON sha256(c.cert_der) = decode(u.ca_sha256, 'hex')
     WHERE NOT signature_recorded(c.issuer_id, u.serial_number)
    ON CONFLICT DO NOTHING
    RETURNING id)
  SELECT coalesce(array_agg(entered.id::text), '{}') INTO done FROM entered;
  IF cardinality(done) > 0 THEN
    DELETE FROM ocsp_response_cache c
     USING certificate_revocations r
     WHERE r.id = ANY (done) AND c.issuer_id = r.issuer_id AND c.serial_hex = r.serial_number;
    INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex)
    SELECT r.issuer_id, r.ca_id, r.serial_number FROM certificate_revocations r WHERE r.id = ANY (done);
    INSERT INTO notification_events (id, type, channel, recipient, message, severity, subject, payload)
    SELECT p_notice, 'SystemAlert', 'Email', '',
           format('[ALERT] %s certificate(s) were signed on %s and recorded by nobody; they are revoked. '
                  'Serial numbers and who asked for them: %s.', count(*), p_node,
                  string_agg(u.serial_number || ' (' || u.peer || ')', ', ' ORDER BY u.id)),
           'critical', 'Certificates that nobody recorded were revoked',
           jsonb_build_object('kind', 'signer_orphans', 'node', p_node, 'orphans', jsonb_agg(
             jsonb_build_object('serial', u.serial_number, 'peer', u.peer, 'line', u.line_no) ORDER BY u.id))
      FROM unnest(p_rows, p_ids) AS n (row_id, id)
      JOIN signer_log_unrecorded u ON u.id = n.row_id
     WHERE n.id = ANY (done);
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
    SELECT n.audit, p_actor, 'System', 'signer_orphan_revoked', 'certificate', u.serial_number,
           jsonb_build_object('serial', u.serial_number, 'reason', 'unspecified', 'source', 'orphan', 'node', p_node,
                              'line', u.line_no, 'peer', u.peer, 'signed_at', u.signed_at,
                              'certificate_sha256', u.certificate_sha256)
      FROM unnest(p_rows, p_ids, p_audits) AS n (row_id, id, audit)
      JOIN signer_log_unrecorded u ON u.id = n.row_id
     WHERE n.id = ANY (done);
    PERFORM metric_add('certctl_signer_orphans_total', format('peer="%s"', u.peer), count(*))
       FROM unnest(p_rows, p_ids) AS n (row_id, id)
       JOIN signer_log_unrecorded u ON u.id = n.row_id
      WHERE n.id = ANY (done)
      GROUP BY u.peer;
  END IF;
  DELETE FROM signer_log_unrecorded u
   USING ca_instances c
   WHERE u.id = ANY (p_rows) AND sha256(c.cert_der) = decode(u.ca_sha256, 'hex');
  -- Last, as in revoke_commit: all revocations of a CA meet in this row.
  PERFORM 1 FROM ca_instances
    WHERE id IN (SELECT r.ca_id FROM certificate_revocations r WHERE r.id = ANY (done))
    ORDER BY id FOR NO KEY UPDATE;
  UPDATE ca_instances c
     SET crl_dirty_since = coalesce(c.crl_dirty_since, now())
   WHERE c.id IN (SELECT r.ca_id FROM certificate_revocations r WHERE r.id = ANY (done));
  RETURN cardinality(done);
END $$;

-- Signatures of a CA that is in no row of ours cannot be revoked: an operator is told, once each.
CREATE OR REPLACE FUNCTION signer_strangers_tell(
  p_node text, p_actor text, p_rows bigint[], p_audit text, p_notice text)
  RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  facts jsonb;
BEGIN
  SELECT jsonb_build_object('kind', 'signer_unknown_ca', 'node', p_node, 'signatures', jsonb_agg(
           jsonb_build_object('serial', u.serial_number, 'peer', u.peer, 'line', u.line_no, 'ca_sha256', u.ca_sha256)
           ORDER BY u.id))
    INTO facts
    FROM signer_log_unrecorded u WHERE u.id = ANY (p_rows);
  UPDATE signer_log_unrecorded SET told = true WHERE id = ANY (p_rows);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details)
  VALUES (p_audit, p_actor, 'System', 'signer_orphan_unknown_ca', 'signer', p_node, facts);
  INSERT INTO notification_events (id, type, channel, recipient, message, severity, subject, payload)
  VALUES (p_notice, 'SystemAlert', 'Email', '',
          format('[ALERT] %s certificate(s) were signed on %s by a CA that the database does not know; '
                 'nothing could be revoked.', cardinality(p_rows), p_node),
          'critical', 'Certificates of an unknown CA', facts);
END $$;
