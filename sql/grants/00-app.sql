-- sql/grants/00-app.sql: takes every right back, then gives what all processes share.
--
-- The files of this folder run in the order of their names and in one transaction, so nobody sees
-- the moment in between. A right that no file gives is gone after the next certctl-migrate.

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, certctl_app, certctl_probe, certctl_api,
    certctl_agentapi, certctl_outbound, certctl_auth, certctl_acme, certctl_est, certctl_scep,
    certctl_pki, certctl_jobs, certctl_ca, certctl_reconcile, certctl_sealer, certctl_ro,
    certctl_auditor;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, certctl_app, certctl_probe, certctl_api,
    certctl_agentapi, certctl_outbound, certctl_auth, certctl_acme, certctl_est, certctl_scep,
    certctl_pki, certctl_jobs, certctl_ca, certctl_reconcile, certctl_sealer, certctl_ro,
    certctl_auditor;
-- PostgreSQL lets everybody execute a new function unless told otherwise.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, certctl_app, certctl_probe, certctl_api,
    certctl_agentapi, certctl_outbound, certctl_auth, certctl_acme, certctl_est, certctl_scep,
    certctl_pki, certctl_jobs, certctl_ca, certctl_reconcile, certctl_sealer, certctl_ro,
    certctl_auditor;
ALTER DEFAULT PRIVILEGES FOR ROLE certctl_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

GRANT USAGE ON SCHEMA public TO certctl_app, certctl_ro, certctl_auditor;

-- Audit rows: whoever acts writes its own; nobody changes or removes one.
GRANT SELECT, INSERT ON audit_events TO certctl_app;
GRANT USAGE ON SEQUENCE audit_events_seq TO certctl_app;

GRANT SELECT ON schema_migrations TO certctl_app;
GRANT SELECT, INSERT, UPDATE ON metric_counters, worker_registry TO certctl_app;

-- Asked at start by a process that has no passphrase (04 section 15.1).
GRANT EXECUTE ON FUNCTION seal_needed TO certctl_app;
