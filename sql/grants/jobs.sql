-- certctl-jobs: the runner, certctl-tick, rate-limit-gc and housekeeping.
GRANT SELECT, INSERT, UPDATE ON scheduler_state TO certctl_jobs;
GRANT SELECT, INSERT, DELETE ON scheduler_runs TO certctl_jobs;
GRANT SELECT, DELETE ON rate_limit_buckets, login_failures, replay_guard, api_idempotency
  TO certctl_jobs;
GRANT EXECUTE ON FUNCTION partitions_ensure(timestamptz), partitions_drop_expired(interval)
  TO certctl_jobs;
