-- certctl-acme: the ACME responder.
GRANT SELECT ON certificate_profiles, acme_profile_settings, issuers, issuing_cas, ca_instances, intermediate_cas,
  blocked_keys, revocables, renewal_policies, owners, teams TO certctl_acme;
GRANT SELECT, INSERT ON replay_guard, acme_nonce_keys, certificate_revocations, certificate_versions TO certctl_acme;
GRANT SELECT, INSERT, UPDATE ON rate_limit_buckets, acme_accounts, acme_orders, acme_authorizations,
  acme_order_authorizations, acme_challenges TO certctl_acme;
GRANT SELECT, INSERT, UPDATE (tags, updated_at, row_version) ON managed_certificates TO certctl_acme;
GRANT UPDATE (crl_dirty_since) ON ca_instances TO certctl_acme;
-- What waits for an approval. A job of its own making issues nothing that nobody approved: job_approved.
GRANT SELECT (id, status), INSERT ON jobs TO certctl_acme;
-- Keys of external account bindings: what these functions tell, and no more.
GRANT EXECUTE ON FUNCTION acme_eab_sealed, acme_eab_hold, acme_eab_bind, acme_accounts_end TO certctl_acme;
GRANT EXECUTE ON FUNCTION issuance_park, job_open, approval_open TO certctl_acme;
GRANT EXECUTE ON FUNCTION rl_take, replay_spend, acme_account_create, acme_account_update, acme_order_create, acme_authz_create, acme_caa_fresh, acme_authz_serving,
  acme_account_serialise, acme_account_begin,
  acme_key_change, acme_authz_show, acme_challenge_respond, acme_authz_deactivate, issuance_commit,
  issuance_discard, revoke_commit, revocable_find, revocation_entered TO certctl_acme;
