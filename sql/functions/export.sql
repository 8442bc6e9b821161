-- sql/functions/export.sql: what is exported of a certificate, and how often (04 section 14).
--
-- No row: no such certificate, or none was issued. The token of the hour is taken where the asker may read
-- it. retry_after above 0: there was none.
CREATE OR REPLACE FUNCTION certificate_export(
  p_certificate text, p_actor text, p_limit int, p_scope_profiles text[], p_scope_issuers text[],
  OUT allowed boolean, OUT serial_number text, OUT pem_chain text, OUT retry_after int)
  RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  SELECT p_scope_profiles IS NULL AND p_scope_issuers IS NULL OR m.certificate_profile_id = ANY (p_scope_profiles)
         OR m.issuer_id = ANY (p_scope_issuers), v.serial_number, v.pem_chain
    INTO allowed, serial_number, pem_chain
    FROM managed_certificates m JOIN certificate_versions v ON v.id = m.current_version_id
   WHERE m.id = p_certificate;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  allowed := coalesce(allowed, false);
  retry_after := CASE WHEN allowed THEN rl_take('export:' || p_actor, p_limit, '1 hour') ELSE 0 END;
  RETURN NEXT;
END $$;
