-- What a revocation is given: one row a version of ours, with the other versions of its key that
-- a compromise of the key would take along (04 section 8.2). The two lists run in parallel.
CREATE OR REPLACE VIEW revocables AS
SELECT v.id AS version_id, v.certificate_id, v.issuer_id, v.ca_id, v.serial_number, v.not_after, v.fingerprint_sha256,
       EXISTS (SELECT 1 FROM certificate_revocations r
                WHERE r.issuer_id = v.issuer_id AND r.serial_number = v.serial_number AND r.lifted_at IS NULL) AS revoked,
       ARRAY(SELECT s.id::text FROM certificate_versions s
              WHERE s.spki_sha256 = v.spki_sha256 AND s.id <> v.id AND s.not_after > now()
                AND NOT EXISTS (SELECT 1 FROM certificate_revocations r
                                 WHERE r.issuer_id = s.issuer_id AND r.serial_number = s.serial_number AND r.lifted_at IS NULL)
              ORDER BY s.id) AS same_key_versions,
       ARRAY(SELECT s.serial_number::text FROM certificate_versions s
              WHERE s.spki_sha256 = v.spki_sha256 AND s.id <> v.id AND s.not_after > now()
                AND NOT EXISTS (SELECT 1 FROM certificate_revocations r
                                 WHERE r.issuer_id = s.issuer_id AND r.serial_number = s.serial_number AND r.lifted_at IS NULL)
              ORDER BY s.id) AS same_key_serials
  FROM certificate_versions v;

-- revocable_find: the same for who names a certificate: its newest version, or the one of that serial.
-- No row: no such certificate. version_id NULL: no such version. Others go along as revocable_others
-- says. sibling_serials: valid versions of the certificate beside the one that is meant.
CREATE OR REPLACE FUNCTION revocable_find(
  p_certificate text, p_serial text, p_versions boolean, p_key boolean,
  OUT certificate_id text, OUT profile_id text, OUT issuer_id text, OUT status text, OUT version_id text,
  OUT serial_number text, OUT revoked boolean, OUT revoked_at timestamptz, OUT reason text, OUT other_versions text[],
  OUT other_serials text[], OUT sibling_serials text[])
  RETURNS SETOF record LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  SELECT m.id, m.certificate_profile_id, m.issuer_id, m.status, v.id, v.serial_number, r.id IS NOT NULL, r.revoked_at, r.reason
    INTO certificate_id, profile_id, issuer_id, status, version_id, serial_number, revoked, revoked_at, reason
    FROM managed_certificates m
    LEFT JOIN certificate_versions v
      ON v.certificate_id = m.id
     AND CASE WHEN p_serial IS NULL THEN v.id = m.current_version_id ELSE v.serial_number = p_serial END
    LEFT JOIN certificate_revocations r
      ON r.issuer_id = v.issuer_id AND r.serial_number = v.serial_number AND r.lifted_at IS NULL
   WHERE m.id = p_certificate;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT array_agg(o.id::text ORDER BY o.id), array_agg(o.serial_number::text ORDER BY o.id)
    INTO other_versions, other_serials
    FROM revocable_others(ARRAY[version_id], p_versions, p_key) AS o;
  SELECT array_agg(o.serial_number::text ORDER BY o.id) INTO sibling_serials
    FROM revocable_others(ARRAY[version_id], true, false) AS o;
  RETURN NEXT;
END $$;

-- The valid versions beside the given ones: of their certificates (p_versions), of their keys (p_key),
-- with both also of the keys of the former.
CREATE OR REPLACE FUNCTION revocable_others(p_given text[], p_versions boolean, p_key boolean)
  RETURNS TABLE (id certctl_id, serial_number hex_serial)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN QUERY
    WITH given AS (
      SELECT v.id, v.certificate_id, v.spki_sha256 FROM certificate_versions v WHERE v.id = ANY (p_given)),
    siblings AS (
      SELECT v.id, v.spki_sha256 FROM certificate_versions v
       WHERE p_versions AND v.certificate_id IN (SELECT g.certificate_id FROM given g) AND v.not_after > now()),
    named AS (
      SELECT s.id FROM siblings s
       UNION
      SELECT v.id FROM certificate_versions v
       WHERE p_key AND v.not_after > now()
         AND v.spki_sha256 IN (SELECT g.spki_sha256 FROM given g UNION SELECT s.spki_sha256 FROM siblings s))
    SELECT v.id, v.serial_number FROM certificate_versions v JOIN named n ON n.id = v.id
     WHERE v.id <> ALL (p_given)
       AND NOT EXISTS (SELECT 1 FROM certificate_revocations r
                        WHERE r.issuer_id = v.issuer_id AND r.serial_number = v.serial_number AND r.lifted_at IS NULL);
END $$;

-- revoke_commit: everything that revocations write, in one transaction (04 section 8.3). It judges no
-- policy: C decided, and encoded what the CRL will say. It is the only way to a revocation that
-- somebody asks for, so that no responder needs a right on the tables.
--
-- The lists run in parallel, one place a version; the first is the one that was asked for. p_entries
-- are the CRL entries in hex.
--
-- p_scope  latest         the newest versions of their certificates must be given
--          all_versions   every valid version of the certificate of the first must be
--          same_key       every valid version of their keys must be
--          version        nothing is expected
-- p_block  the keys are compromised: they are blocked, and as same_key
-- p_once   the first must not be revoked yet; else those that are stay as they are
-- p_again  the first is revoked since then, and gets this reason: the time stays
-- p_quiet  the CRLs wait until two seconds after this one: a batch, and others follow. Who revokes one
--          meanwhile has a mark of its own, which no batch moves
--
-- outcome: revoked    all written
--          already    nothing was left to write but the spent nonce
--          stale      more versions than were given: only their keys were blocked, with p_block, so that
--                     no further one can appear. Or the first is not what p_again says. Read again
--          bad_nonce  replay
--
-- written: those of the versions that are revoked now and were not, or not so; in the order given.
-- refresh: what web servers may have kept of OCSP, one text a revocation: issuer, serial, and the four
-- hashes by which requests name the CA.
CREATE OR REPLACE FUNCTION revoke_commit(
  p_nonce text, p_nonce_expires timestamptz, p_versions text[], p_entries text[], p_ids text[], p_audits text[],
  p_mails text[], p_hooks text[], p_reason text, p_revoked_at timestamptz, p_invalidity timestamptz, p_block boolean,
  p_scope text, p_once boolean, p_again timestamptz, p_quiet boolean, p_actor text, p_actor_type text, p_source_ip inet,
  p_request text, OUT outcome text, OUT written text[], OUT refresh text[])
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  by_key constant boolean := p_block OR p_scope = 'same_key';
  keys text[];
  first_at timestamptz;
  first_reason text;
  blocked bigint := 0;
  done text[];
BEGIN
  IF by_key THEN
    SELECT array_agg(k.spki ORDER BY k.spki) INTO keys
      FROM (SELECT DISTINCT v.spki_sha256::text AS spki FROM certificate_versions v
             WHERE v.id = ANY (p_versions) AND v.spki_sha256 IS NOT NULL) k;
    -- issuance_commit holds it shared: no version of these keys appears behind our back.
    PERFORM pg_advisory_xact_lock(hashtextextended('key:' || k.spki, 0)) FROM unnest(keys) AS k (spki);
  END IF;
  -- Revocations of one certificate take turns here; by id, so that two of one key cannot deadlock.
  PERFORM 1 FROM managed_certificates
    WHERE id IN (SELECT certificate_id FROM certificate_versions WHERE id = ANY (p_versions))
    ORDER BY id FOR UPDATE;
  SELECT date_trunc('second', r.revoked_at), r.reason INTO first_at, first_reason
    FROM certificate_versions v JOIN certificate_revocations r USING (issuer_id, serial_number)
   WHERE v.id = p_versions[1] AND r.lifted_at IS NULL;
  IF first_at IS NULL OR NOT p_once THEN
    IF p_block THEN
      INSERT INTO blocked_keys (spki_sha256, reason, actor)
      SELECT k.spki, p_reason, p_actor FROM unnest(keys) AS k (spki) ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS blocked = ROW_COUNT;
    END IF;
    IF p_again IS NOT NULL AND first_at IS DISTINCT FROM p_again
       OR by_key AND EXISTS (SELECT 1 FROM revocable_others(p_versions, false, true))
       OR p_scope = 'all_versions' AND EXISTS (
            SELECT 1 FROM revocable_others(p_versions[1:1], true, false) AS o WHERE o.id <> ALL (p_versions))
       OR p_scope = 'latest' AND EXISTS (
            SELECT 1 FROM certificate_versions v JOIN managed_certificates m ON m.id = v.certificate_id
             WHERE v.id = ANY (p_versions) AND m.current_version_id <> v.id) THEN
      outcome := 'stale';
      RETURN;
    END IF;
  END IF;
  IF p_nonce IS NOT NULL AND NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  IF first_at IS NOT NULL AND p_once THEN
    outcome := 'already';
    RETURN;
  END IF;

  -- What was lifted, or gets another reason, is entered anew; its history is in the audit.
  DELETE FROM certificate_revocations r
   USING certificate_versions v
   WHERE v.id = ANY (p_versions) AND r.issuer_id = v.issuer_id AND r.serial_number = v.serial_number
     AND (r.lifted_at IS NOT NULL OR (p_again IS NOT NULL AND v.id = p_versions[1]));
  WITH entered AS (
    INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, reason, revoked_by, revoked_at,
                                         not_after, ca_id, invalidity_date, crl_entry_der, crl_permanent, short_lived,
                                         issuer_notified)
    SELECT n.id, v.certificate_id, v.serial_number, v.issuer_id, p_reason, p_actor,
           CASE n.version WHEN p_versions[1] THEN coalesce(p_again, p_revoked_at) ELSE p_revoked_at END, v.not_after, v.ca_id,
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
  SELECT array_agg(n.id), array_agg(n.version ORDER BY n.place) INTO done, written
    FROM unnest(p_versions, p_ids) WITH ORDINALITY AS n (version, id, place) JOIN entered ON entered.id = n.id;
  IF done IS NULL AND blocked = 0 THEN
    outcome := 'already';
    RETURN;
  END IF;

  -- A certificate is revoked when its newest version is; archived ones stay archived.
  UPDATE managed_certificates m
     SET status = CASE m.status WHEN 'Archived' THEN m.status ELSE 'Revoked' END,
         revoked_at = r.revoked_at, revocation_reason = r.reason
    FROM certificate_revocations r
    JOIN certificate_versions v USING (issuer_id, serial_number)
   WHERE r.id = ANY (done) AND m.current_version_id = v.id;
  DELETE FROM ocsp_response_cache c
   USING certificate_revocations r
   WHERE r.id = ANY (done) AND c.issuer_id = r.issuer_id AND c.serial_hex = r.serial_number;
  INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex)
  SELECT r.issuer_id, r.ca_id, r.serial_number FROM certificate_revocations r WHERE r.id = ANY (done);
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
         jsonb_build_object('common_name', m.common_name, 'serial', r.serial_number, 'reason', p_reason, 'scope', p_scope)
         || CASE WHEN p_again IS NOT NULL AND n.id = p_ids[1] THEN jsonb_build_object('reason_before', first_reason)
                 ELSE '{}' END,
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
     SET crl_dirty_since = CASE WHEN p_quiet THEN c.crl_dirty_since ELSE coalesce(c.crl_dirty_since, now()) END,
         crl_batched_at = CASE WHEN p_quiet THEN now() ELSE c.crl_batched_at END
   WHERE c.id IN (SELECT r.ca_id FROM certificate_revocations r WHERE r.id = ANY (done));
  SELECT array_agg(concat_ws(' ', r.issuer_id, r.serial_number, encode(c.name_sha1, 'hex'), encode(c.key_sha1, 'hex'),
                             encode(c.name_sha256, 'hex'), encode(c.key_sha256, 'hex')) ORDER BY r.id = p_ids[1] DESC, r.id)
    INTO refresh
    FROM certificate_revocations r JOIN ca_instances c ON c.id = r.ca_id
   WHERE r.id = ANY (done);
  outcome := 'revoked';
END $$;

-- unrevoke_commit: a certificateHold ends (04 section 8.2). p_serial NULL: that of the newest version.
--
-- outcome: lifted; unknown_certificate, unknown_version; not_held: not revoked, or for another reason.
CREATE OR REPLACE FUNCTION unrevoke_commit(
  p_certificate text, p_serial text, p_audit text, p_actor text, p_actor_type text, p_source_ip inet, p_request text,
  OUT outcome text, OUT refresh text[])
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  m managed_certificates;
  v certificate_versions;
  ca text;
BEGIN
  SELECT * INTO m FROM managed_certificates WHERE id = p_certificate FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'unknown_certificate';
    RETURN;
  END IF;
  SELECT * INTO v FROM certificate_versions
   WHERE certificate_id = m.id AND CASE WHEN p_serial IS NULL THEN id = m.current_version_id ELSE serial_number = p_serial END;
  IF NOT FOUND THEN
    outcome := 'unknown_version';
    RETURN;
  END IF;
  UPDATE certificate_revocations SET lifted_at = now()
   WHERE issuer_id = v.issuer_id AND serial_number = v.serial_number AND lifted_at IS NULL AND reason = 'certificateHold'
  RETURNING ca_id INTO ca;
  IF NOT FOUND THEN
    outcome := 'not_held';
    RETURN;
  END IF;
  UPDATE managed_certificates
     SET status = CASE WHEN status <> 'Revoked' THEN status WHEN expires_at <= now() THEN 'Expired' ELSE 'Active' END,
         revoked_at = NULL, revocation_reason = NULL
   WHERE id = m.id AND current_version_id = v.id;
  DELETE FROM ocsp_response_cache WHERE issuer_id = v.issuer_id AND serial_hex = v.serial_number;
  INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex) VALUES (v.issuer_id, ca, v.serial_number);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, p_actor, p_actor_type, 'certificate_unrevoked', 'certificate', m.id,
          jsonb_build_object('common_name', m.common_name, 'serial', v.serial_number), p_source_ip, p_request);
  UPDATE ca_instances SET crl_dirty_since = coalesce(crl_dirty_since, now()) WHERE id = ca;
  SELECT ARRAY[concat_ws(' ', v.issuer_id, v.serial_number, encode(c.name_sha1, 'hex'), encode(c.key_sha1, 'hex'),
                         encode(c.name_sha256, 'hex'), encode(c.key_sha256, 'hex'))]
    INTO refresh FROM ca_instances c WHERE c.id = ca;
  outcome := 'lifted';
END $$;

-- After an uncertain commit.
CREATE OR REPLACE FUNCTION revocation_entered(p_id text)
  RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM certificate_revocations WHERE id = p_id);
END $$;

-- bulk_revocables: certificates with their newest versions, in the order of their ids, from the one after
-- p_after. A criterion that is NULL says nothing. Both scopes NULL: the asker may revoke all.
CREATE OR REPLACE FUNCTION bulk_revocables(
  p_after text, p_limit int, p_ids text[], p_profile text, p_owner text, p_agent text, p_issuer text, p_team text,
  p_source text, p_scope_profiles text[], p_scope_issuers text[])
  RETURNS TABLE (certificate_id text, status text, version_id text, serial_number text)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
  RETURN QUERY
    SELECT m.id::text, m.status::text, v.id::text, v.serial_number::text
      FROM managed_certificates m
      LEFT JOIN certificate_versions v ON v.id = m.current_version_id
     WHERE m.id > p_after
       AND (p_ids IS NULL OR m.id = ANY (p_ids))
       AND (p_profile IS NULL OR m.certificate_profile_id = p_profile)
       AND (p_owner IS NULL OR m.owner_id = p_owner)
       AND (p_issuer IS NULL OR m.issuer_id = p_issuer)
       AND (p_team IS NULL OR m.team_id = p_team)
       AND (p_source IS NULL OR m.source = p_source)
       AND (p_agent IS NULL OR EXISTS (
              SELECT 1 FROM certificate_target_mappings t JOIN deployment_targets d ON d.id = t.target_id
               WHERE t.certificate_id = m.id AND d.agent_id = p_agent AND d.retired_at IS NULL AND d.deleted_at IS NULL))
       AND (p_scope_profiles IS NULL AND p_scope_issuers IS NULL OR m.certificate_profile_id = ANY (p_scope_profiles)
            OR m.issuer_id = ANY (p_scope_issuers))
     ORDER BY m.id
     LIMIT p_limit;
END $$;

-- Those of the ids that are no certificate of which the asker may know.
CREATE OR REPLACE FUNCTION bulk_unknown(p_ids text[], p_scope_profiles text[], p_scope_issuers text[])
  RETURNS text[] LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN ARRAY(
    SELECT DISTINCT n.id FROM unnest(p_ids) AS n (id)
     WHERE NOT EXISTS (
       SELECT 1 FROM managed_certificates m
        WHERE m.id = n.id
          AND (p_scope_profiles IS NULL AND p_scope_issuers IS NULL OR m.certificate_profile_id = ANY (p_scope_profiles)
               OR m.issuer_id = ANY (p_scope_issuers)))
     ORDER BY n.id);
END $$;
