-- certctl-api: reads views, never the tables behind them; what it may know of a key is the answer
-- of auth_admit.
GRANT SELECT ON api_certificates, api_certificate_versions, api_issuers, api_profiles TO certctl_api;
GRANT SELECT ON role_permissions, permissions TO certctl_api;
GRANT EXECUTE ON FUNCTION auth_admit, api_time, json_pick, api_redact TO certctl_api;
