-- What lifecycle_revoke is given: one row a version of ours, with the other versions of its key that
-- a compromise of the key would take along (04 section 8.2). The two lists run in parallel.
CREATE OR REPLACE VIEW revocables AS
SELECT v.id AS version_id, v.certificate_id, v.issuer_id, v.ca_id, v.serial_number, v.not_after, v.fingerprint_sha256,
       EXISTS (SELECT 1 FROM certificate_revocations r
                WHERE r.issuer_id = v.issuer_id AND r.serial_number = v.serial_number) AS revoked,
       ARRAY(SELECT s.id::text FROM certificate_versions s
              WHERE s.spki_sha256 = v.spki_sha256 AND s.id <> v.id AND s.not_after > now()
                AND NOT EXISTS (SELECT 1 FROM certificate_revocations r
                                 WHERE r.issuer_id = s.issuer_id AND r.serial_number = s.serial_number)
              ORDER BY s.id) AS same_key_versions,
       ARRAY(SELECT s.serial_number::text FROM certificate_versions s
              WHERE s.spki_sha256 = v.spki_sha256 AND s.id <> v.id AND s.not_after > now()
                AND NOT EXISTS (SELECT 1 FROM certificate_revocations r
                                 WHERE r.issuer_id = s.issuer_id AND r.serial_number = s.serial_number)
              ORDER BY s.id) AS same_key_serials
  FROM certificate_versions v;

-- revoke_commit: everything that one revocation writes, in one transaction (04 section 8.3). It
-- judges no policy: C decided, and encoded what the CRL will say.
--
-- The lists run in parallel, one place a version; the first is the one that was asked for. p_entries
-- are the CRL entries in hex. p_block: the key is compromised; it is blocked, and every version of it
-- must be among the given ones.
--
-- outcome: revoked    all written
--          already    it was revoked before: nothing written but the spent nonce
--          stale      p_block, and there are more versions of the key: it is blocked now, so that no
--                     further one can appear; nothing else is written, read again
--          bad_nonce  replay
--
-- refresh: what web servers may have kept of OCSP, one text a revocation: issuer, serial, and the four
-- hashes by which requests name the CA.
CREATE OR REPLACE FUNCTION revoke_commit(
  p_nonce text, p_nonce_expires timestamptz, p_versions text[], p_entries text[], p_ids text[], p_audits text[],
  p_mails text[], p_hooks text[], p_reason text, p_revoked_at timestamptz, p_invalidity timestamptz, p_block boolean,
  p_scope text, p_actor text, p_actor_type text, p_source_ip inet, p_request text,
  OUT outcome text, OUT refresh text[])
  LANGUAGE plpgsql AS $$
DECLARE
  key_hash text;
  already boolean;
  done text[];
BEGIN
  IF p_block THEN
    SELECT spki_sha256 INTO key_hash FROM certificate_versions WHERE id = p_versions[1];
    -- issuance_commit holds it shared: no version of this key appears behind our back.
    PERFORM pg_advisory_xact_lock(hashtextextended('key:' || key_hash, 0));
  END IF;
  -- Revocations of one certificate take turns here; by id, so that two of one key cannot deadlock.
  PERFORM 1 FROM managed_certificates
    WHERE id IN (SELECT certificate_id FROM certificate_versions WHERE id = ANY (p_versions))
    ORDER BY id FOR UPDATE;
  already := EXISTS (SELECT 1 FROM certificate_versions v
                       JOIN certificate_revocations r USING (issuer_id, serial_number)
                      WHERE v.id = p_versions[1]);
  IF p_block AND NOT already AND EXISTS (
    SELECT 1 FROM certificate_versions v
     WHERE v.spki_sha256 = key_hash AND v.not_after > now() AND v.id <> ALL (p_versions)
       AND NOT EXISTS (SELECT 1 FROM certificate_revocations r
                        WHERE r.issuer_id = v.issuer_id AND r.serial_number = v.serial_number)) THEN
    INSERT INTO blocked_keys (spki_sha256, reason, actor) VALUES (key_hash, p_reason, p_actor) ON CONFLICT DO NOTHING;
    outcome := 'stale';
    RETURN;
  END IF;
  IF p_nonce IS NOT NULL AND NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  IF already THEN
    outcome := 'already';
    RETURN;
  END IF;

  WITH entered AS (
    INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, reason, revoked_by, revoked_at,
                                         not_after, ca_id, invalidity_date, crl_entry_der, crl_permanent, short_lived,
                                         issuer_notified)
    SELECT n.id, v.certificate_id, v.serial_number, v.issuer_id, p_reason, p_actor, p_revoked_at, v.not_after, v.ca_id,
           p_invalidity, decode(n.entry, 'hex'),
           coalesce(p.allowed_ekus ?| ARRAY['codeSigning', 'timeStamping'], false), -- past its expiry (04 section 9.3)
           v.short_lived, i.type = 'GenericCA' -- nobody upstream has to be told
      FROM unnest(p_versions, p_entries, p_ids) AS n (version, entry, id)
      JOIN certificate_versions v ON v.id = n.version
      JOIN managed_certificates m ON m.id = v.certificate_id
      JOIN issuers i ON i.id = v.issuer_id
      LEFT JOIN certificate_profiles p ON p.id = m.certificate_profile_id
        ON CONFLICT DO NOTHING
    RETURNING id)
  SELECT array_agg(entered.id::text) INTO done FROM entered;

  -- A certificate is revoked when its newest version is; archived ones stay archived.
  UPDATE managed_certificates m
     SET status = CASE m.status WHEN 'Archived' THEN m.status ELSE 'Revoked' END,
         revoked_at = p_revoked_at, revocation_reason = p_reason
    FROM certificate_revocations r
    JOIN certificate_versions v USING (issuer_id, serial_number)
   WHERE r.id = ANY (done) AND m.current_version_id = v.id;
  DELETE FROM ocsp_response_cache c
   USING certificate_revocations r
   WHERE r.id = ANY (done) AND c.issuer_id = r.issuer_id AND c.serial_hex = r.serial_number;
  INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex)
  SELECT r.issuer_id, r.ca_id, r.serial_number FROM certificate_revocations r WHERE r.id = ANY (done);
  IF p_block THEN
    INSERT INTO blocked_keys (spki_sha256, reason, actor) VALUES (key_hash, p_reason, p_actor) ON CONFLICT DO NOTHING;
  END IF;
  INSERT INTO notification_events (id, type, certificate_id, channel, recipient, message)
  SELECT CASE c.channel WHEN 'Email' THEN n.mail ELSE n.hook END, 'Revocation', m.id, c.channel,
         coalesce(nullif(o.email, ''), o.id),
         format('[REVOKED] The certificate for %s has been revoked. Reason: %s.', m.common_name, p_reason)
    FROM unnest(p_ids, p_mails, p_hooks) AS n (id, mail, hook)
    JOIN certificate_revocations r ON r.id = n.id AND r.id = ANY (done)
    JOIN managed_certificates m ON m.id = r.certificate_id
    JOIN owners o ON o.id = m.owner_id
   CROSS JOIN (VALUES ('Webhook'), ('Email')) AS c (channel);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  SELECT n.audit, p_actor, p_actor_type, 'certificate_revoked', 'certificate', m.id,
         jsonb_build_object('common_name', m.common_name, 'serial', r.serial_number, 'reason', p_reason, 'scope', p_scope),
         p_source_ip, p_request
    FROM unnest(p_ids, p_audits) AS n (id, audit)
    JOIN certificate_revocations r ON r.id = n.id AND r.id = ANY (done)
    JOIN managed_certificates m ON m.id = r.certificate_id;
  -- Last, since all revocations of a CA meet in this row. Always written: the CRL job may be about to
  -- clear the mark of a list that does not have this entry yet.
  PERFORM 1 FROM ca_instances
    WHERE id IN (SELECT r.ca_id FROM certificate_revocations r WHERE r.id = ANY (done))
    ORDER BY id FOR NO KEY UPDATE;
  UPDATE ca_instances c
     SET crl_dirty_since = coalesce(c.crl_dirty_since, now())
   WHERE c.id IN (SELECT r.ca_id FROM certificate_revocations r WHERE r.id = ANY (done));
  SELECT array_agg(concat_ws(' ', r.issuer_id, r.serial_number, encode(c.name_sha1, 'hex'), encode(c.key_sha1, 'hex'),
                             encode(c.name_sha256, 'hex'), encode(c.key_sha256, 'hex')) ORDER BY r.id = p_ids[1] DESC, r.id)
    INTO refresh
    FROM certificate_revocations r JOIN ca_instances c ON c.id = r.ca_id
   WHERE r.id = ANY (done);
  outcome := 'revoked';
END $$;
