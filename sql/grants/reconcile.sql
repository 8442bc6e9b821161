-- certctl-reconcile: signer-reconcile and its certctl-tick.
GRANT SELECT, INSERT, UPDATE ON scheduler_state TO certctl_reconcile;
GRANT SELECT, INSERT ON scheduler_runs TO certctl_reconcile;
GRANT SELECT, INSERT, UPDATE ON signer_log_cursors TO certctl_reconcile;
GRANT SELECT, INSERT, DELETE, UPDATE (told) ON signer_log_unrecorded TO certctl_reconcile;
GRANT SELECT (id, issuer_id, cert_der, crl_dirty_since), UPDATE (crl_dirty_since) ON ca_instances
  TO certctl_reconcile;
GRANT SELECT (issuer_id, serial_number) ON certificate_versions TO certctl_reconcile;
GRANT SELECT (issuer_id, cert_serial, rotated_from) ON ocsp_responders TO certctl_reconcile;
GRANT SELECT (id, issuer_id, serial_number, ca_id), INSERT ON certificate_revocations
  TO certctl_reconcile;
GRANT SELECT (issuer_id, serial_hex), DELETE ON ocsp_response_cache TO certctl_reconcile;
GRANT INSERT ON ocsp_invalidations, notification_events TO certctl_reconcile;
GRANT EXECUTE ON FUNCTION signature_recorded, metric_add, signer_log_advance, signer_log_break,
    signer_orphans_revoke, signer_strangers_tell TO certctl_reconcile;
