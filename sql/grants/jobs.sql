-- certctl-jobs: the runner, certctl-tick, rate-limit-gc, housekeeping, crl-generation and
-- acme-validate and site-certificate.
GRANT SELECT, INSERT, UPDATE ON scheduler_state TO certctl_jobs;
GRANT SELECT, INSERT, DELETE ON scheduler_runs TO certctl_jobs;
GRANT SELECT, DELETE ON rate_limit_buckets, login_failures, replay_guard, api_idempotency
  TO certctl_jobs;
GRANT EXECUTE ON FUNCTION partitions_ensure(timestamptz), partitions_drop_expired(interval)
  TO certctl_jobs;
GRANT SELECT ON ca_instances, issuing_cas, certificate_revocations TO certctl_jobs;
GRANT UPDATE (crl_number, crl_dirty_since, crl_batched_at) ON ca_instances TO certctl_jobs;
GRANT SELECT, INSERT, UPDATE ON crl_cache TO certctl_jobs;
GRANT SELECT, INSERT, DELETE ON crl_pieces, crl_generation_events TO certctl_jobs;
-- acme-validate.
GRANT SELECT ON acme_order_authorizations, acme_profile_settings TO certctl_jobs;
GRANT SELECT (account_id, profile_id) ON acme_accounts TO certctl_jobs;
GRANT INSERT, UPDATE ON rate_limit_buckets TO certctl_jobs;
GRANT EXECUTE ON FUNCTION rl_take TO certctl_jobs;
GRANT SELECT, UPDATE ON acme_orders, acme_authorizations, acme_challenges TO certctl_jobs;
GRANT EXECUTE ON FUNCTION acme_challenge_claim, acme_challenge_release, acme_challenge_result, acme_order_error
  TO certctl_jobs;
-- acme-finalize; what it makes is for job-processor.
GRANT EXECUTE ON FUNCTION acme_finalize_claim, acme_finalize_release, acme_finalize_refused, acme_finalize_result,
  acme_finalize_sweep, acme_finalize_margin, acme_finalize_stale, acme_finalize_first, acme_caa_fresh TO certctl_jobs;
-- acme-gc.
GRANT SELECT, INSERT, UPDATE, DELETE ON acme_nonce_keys TO certctl_jobs;
GRANT DELETE ON acme_orders, acme_authorizations TO certctl_jobs;
GRANT SELECT (id, expires_at) ON managed_certificates TO certctl_jobs;
GRANT EXECUTE ON FUNCTION acme_gc_told, acme_gc_error, acme_gc_authorizations, acme_gc_orders, acme_gc_purge,
    acme_nonce_rotate TO certctl_jobs;
-- What issuing takes, and the alert when the web server does not serve what was issued.
GRANT SELECT ON certificate_profiles, issuers, blocked_keys, certificate_versions TO certctl_jobs;
GRANT INSERT ON managed_certificates, certificate_versions, certificate_revocations TO certctl_jobs;
-- replay_spend is not called without a nonce, but PostgreSQL wants the right for the expression; nor issuance_park, which
-- comes with the statements of lib/lifecycle.
GRANT EXECUTE ON FUNCTION issuance_commit, issuance_park, issuance_discard, replay_spend TO certctl_jobs;
GRANT SELECT (dedup_key), INSERT ON notification_events TO certctl_jobs;
-- job-processor and job-timeout. Decisions are the owner's functions; these two make none of their own accord.
GRANT SELECT, INSERT, UPDATE ON jobs TO certctl_jobs;
GRANT SELECT ON managed_certificates, acme_accounts, issuance_approval_requests, renewal_policies TO certctl_jobs;
GRANT UPDATE (status, expires_at, current_version_id, early_renewal_at, early_renewal_reason, tags, updated_at, row_version)
  ON managed_certificates
  TO certctl_jobs;
GRANT EXECUTE ON FUNCTION pem_der, pem_sha256, job_claim, job_retry, job_failed, job_ended, job_problem, job_unapproved,
  job_approved, job_open, approval_refusal, job_completed, job_lease_lost, approval_open, approval_expire, approval_bypass TO certctl_jobs;
-- crl-generation has the keys of OCSP responders certified.
GRANT SELECT, UPDATE (cert_pem, cert_serial, rotated_from, key_path, not_before, not_after, wanted_spki, wanted_key_path,
  updated_at) ON ocsp_responders TO certctl_jobs;
-- certificate-lint.
GRANT SELECT, INSERT, UPDATE ON certificate_lints TO certctl_jobs;
GRANT SELECT, UPDATE ON certificate_lint_walk TO certctl_jobs;
-- ocsp-refresh; and housekeeping, which drops what it has done with.
GRANT SELECT, DELETE ON ocsp_invalidations TO certctl_jobs;
GRANT SELECT, INSERT, UPDATE ON ocsp_edge_cursors TO certctl_jobs;
-- housekeeping: processes that ended.
GRANT DELETE ON worker_registry TO certctl_jobs;
