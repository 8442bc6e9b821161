-- certctl-ca: the hierarchy job, its certctl-tick, and certctl-admin ca.
GRANT SELECT, INSERT, UPDATE ON scheduler_state TO certctl_ca;
GRANT SELECT, INSERT ON scheduler_runs TO certctl_ca;
GRANT SELECT (id, name, hierarchy_mode), UPDATE (hierarchy_mode) ON issuers TO certctl_ca;
GRANT SELECT, INSERT ON ca_requests, intermediate_cas, ca_instances TO certctl_ca;
-- certctl-admin crl bump.
GRANT UPDATE (crl_number) ON ca_instances TO certctl_ca;
-- certctl-admin ca chains.
GRANT UPDATE (alternate_chains) ON ca_instances TO certctl_ca;
GRANT UPDATE (state, approved_at, approved_by, intermediate_ca_id, key_ref, result, error_status, error, finished_at)
  ON ca_requests TO certctl_ca;
GRANT UPDATE (state) ON intermediate_cas, ca_instances TO certctl_ca;
GRANT UPDATE (ocsp_responder_url) ON intermediate_cas TO certctl_ca;
GRANT UPDATE (superseded_at, facts_close_due) ON ca_instances TO certctl_ca;
-- The CA of CERTCTL_CA_CERT_PATH.
GRANT SELECT (test_status, last_error), UPDATE (test_status, last_error, last_tested_at) ON issuers TO certctl_ca;
GRANT EXECUTE ON FUNCTION ca_retire, ca_event_count TO certctl_ca;
