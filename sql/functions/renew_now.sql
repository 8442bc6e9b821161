-- sql/functions/renew_now.sql: clients that ask for renewal information are told to renew at once (01 section 12).

-- outcome: set | unknown | foreign | state. p_scope_profiles, p_scope_issuers: where the asker may, or NULL both.
-- since: when it was asked for; an earlier wish stays, with its reason.
CREATE OR REPLACE FUNCTION renew_now_set(
  p_certificate text, p_reason text, p_scope_profiles text[], p_scope_issuers text[],
  p_audit text, p_actor text, p_actor_type text, p_source_ip inet, p_request text,
  OUT outcome text, OUT since timestamptz)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wanted record;
BEGIN
  SELECT m.certificate_profile_id, m.issuer_id, m.status, m.current_version_id, m.expires_at INTO wanted
    FROM managed_certificates m WHERE m.id = p_certificate FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  IF NOT coalesce(p_scope_profiles IS NULL AND p_scope_issuers IS NULL
                  OR wanted.certificate_profile_id = ANY (p_scope_profiles) OR wanted.issuer_id = ANY (p_scope_issuers), false) THEN
    outcome := 'foreign';
    RETURN;
  END IF;
  IF wanted.status IN ('Archived', 'Revoked') OR wanted.current_version_id IS NULL OR wanted.expires_at <= now() THEN
    outcome := 'state';
    RETURN;
  END IF;
  UPDATE managed_certificates m
     SET early_renewal_at = coalesce(m.early_renewal_at, now()),
         early_renewal_reason = CASE WHEN m.early_renewal_at IS NULL THEN p_reason ELSE m.early_renewal_reason END
   WHERE m.id = p_certificate
  RETURNING m.early_renewal_at INTO since;
  outcome := 'set';
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, p_actor, p_actor_type, 'acme_renew_now_set', 'certificate', p_certificate,
          jsonb_build_object('reason', p_reason), p_source_ip, p_request);
END $$;

-- The same for an issuer's certificates that were there at p_before, live and not replaced, a batch at a time: amount
-- below p_most says that none is left.
CREATE OR REPLACE FUNCTION renew_now_issuer(
  p_issuer text, p_reason text, p_before timestamptz, p_most integer,
  p_audit text, p_actor text, p_actor_type text, p_source_ip inet, p_request text,
  OUT known boolean, OUT amount integer)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  known := EXISTS (SELECT 1 FROM issuers WHERE id = p_issuer);
  WITH chosen AS (
    SELECT m.id FROM managed_certificates m
     WHERE m.issuer_id = p_issuer AND m.created_at <= p_before AND m.early_renewal_at IS NULL
       AND m.status NOT IN ('Archived', 'Revoked') AND m.current_version_id IS NOT NULL AND m.expires_at > now()
       AND NOT m.tags ? 'superseded_by'
     ORDER BY m.id LIMIT p_most
       FOR UPDATE)
  UPDATE managed_certificates m
     SET early_renewal_at = now(), early_renewal_reason = p_reason
    FROM chosen WHERE m.id = chosen.id;
  GET DIAGNOSTICS amount = ROW_COUNT;
  IF amount > 0 THEN
    INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
    VALUES (p_audit, p_actor, p_actor_type, 'acme_renew_now_set', 'issuer', p_issuer,
            jsonb_build_object('reason', p_reason, 'total', amount), p_source_ip, p_request);
  END IF;
END $$;
