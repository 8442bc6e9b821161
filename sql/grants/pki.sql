-- certctl-pki: the OCSP responder, which reads what is revoked; and its job ocsp-presign, which makes the
-- keys of this host's responders and signs ahead, and its certctl-tick.
GRANT SELECT ON ca_instances, issuing_cas, intermediate_cas, certificate_versions, certificate_revocations TO certctl_pki;
GRANT SELECT (id, type, config) ON issuers TO certctl_pki;
GRANT SELECT, INSERT, UPDATE, DELETE ON ocsp_response_cache TO certctl_pki;
GRANT SELECT, INSERT, UPDATE ON rate_limit_buckets TO certctl_pki;
GRANT EXECUTE ON FUNCTION rl_take TO certctl_pki;
-- A new key may be asked for; certificate and life of a responder are for certctl_jobs to write.
GRANT SELECT, INSERT (issuer_id, ca_id, node_id, key_alg, wanted_spki, wanted_key_path),
  UPDATE (wanted_spki, wanted_key_path, ahead_begun_at, ahead_not_after, ahead_serial, updated_at) ON ocsp_responders TO certctl_pki;
GRANT SELECT, INSERT, UPDATE ON scheduler_state TO certctl_pki;
GRANT SELECT, INSERT ON scheduler_runs TO certctl_pki;
