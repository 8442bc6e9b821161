-- certctl-jobs: the runner, certctl-tick, rate-limit-gc, housekeeping, crl-generation and
-- acme-validate.
GRANT SELECT, INSERT, UPDATE ON scheduler_state TO certctl_jobs;
GRANT SELECT, INSERT, DELETE ON scheduler_runs TO certctl_jobs;
GRANT SELECT, DELETE ON rate_limit_buckets, login_failures, replay_guard, api_idempotency
  TO certctl_jobs;
GRANT EXECUTE ON FUNCTION partitions_ensure(timestamptz), partitions_drop_expired(interval)
  TO certctl_jobs;
GRANT SELECT ON ca_instances, issuing_cas, certificate_revocations TO certctl_jobs;
GRANT UPDATE (crl_number, crl_dirty_since) ON ca_instances TO certctl_jobs;
GRANT SELECT, INSERT, UPDATE ON crl_cache TO certctl_jobs;
GRANT SELECT, INSERT, DELETE ON crl_generation_events TO certctl_jobs;
-- acme-validate.
GRANT SELECT ON acme_order_authorizations TO certctl_jobs;
GRANT SELECT, UPDATE ON acme_orders, acme_authorizations, acme_challenges TO certctl_jobs;
GRANT EXECUTE ON FUNCTION acme_challenge_claim, acme_challenge_release, acme_challenge_result, acme_order_error
  TO certctl_jobs;
