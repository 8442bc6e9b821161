-- certctl-api: reads views, and the tables that it writes; what it may know of a key is the answer
-- of auth_admit.
GRANT SELECT ON api_certificates, api_certificate_versions, api_issuers, api_profiles, api_approvals TO certctl_api;
-- What the API writes, it reads under the row's lock: these tables' columns, all of which the views
-- show.
GRANT SELECT, INSERT, UPDATE, DELETE ON certificate_profiles, acme_profile_settings TO certctl_api;
GRANT SELECT ON role_permissions, permissions TO certctl_api;
GRANT EXECUTE ON FUNCTION approval_decide, approval_open_edit TO certctl_api;
GRANT EXECUTE ON FUNCTION auth_admit, api_time, json_pick, api_redact TO certctl_api;
-- CAs: it asks, and ends; what begins one is approved on the signer's host (04 section 5.2).
GRANT SELECT ON api_intermediates, api_ca_requests TO certctl_api;
GRANT INSERT (id, kind, issuer_id, body, requested_by, request_id, fields_sha256), SELECT ON ca_requests TO certctl_api;
GRANT EXECUTE ON FUNCTION ca_retire, ca_revoke TO certctl_api;
-- Revocation: the functions write, with their owner's rights.
GRANT EXECUTE ON FUNCTION revocable_find, revocable_others, revoke_commit, unrevoke_commit, revocation_entered,
  bulk_revocables, bulk_unknown TO certctl_api;
GRANT EXECUTE ON FUNCTION certificate_export, renew_now_set, renew_now_issuer TO certctl_api;
-- Idempotency-Key.
GRANT SELECT, INSERT, UPDATE ON api_idempotency TO certctl_api;
GRANT EXECUTE ON FUNCTION api_once_claim, api_once_lock TO certctl_api;
-- The ACME server (01 section 18).
GRANT SELECT ON api_eab_keys, api_acme_accounts, api_acme_account, api_acme_orders, api_acme_profiles TO certctl_api;
GRANT EXECUTE ON FUNCTION acme_eab_create, acme_eab_revoke, acme_accounts_revoke, acme_names_bounded TO certctl_api;
-- Metrics: the functions read with their owner's rights.
GRANT SELECT, INSERT, UPDATE ON metric_cache TO certctl_api;
GRANT EXECUTE ON FUNCTION metric_gauges, metric_inventory TO certctl_api;
