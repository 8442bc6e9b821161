-- Secrets at rest (04 section 15).

-- Whether a connector's secret lies here, of which a process that has no passphrase must be told before it starts. No
-- responder may read the columns themselves.
CREATE OR REPLACE FUNCTION seal_needed() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM issuers WHERE source = 'database' AND encrypted_config IS NOT NULL)
      OR EXISTS (SELECT 1 FROM deployment_targets WHERE source = 'database' AND encrypted_config IS NOT NULL);
END $$;
