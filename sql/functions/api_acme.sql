-- What the REST API shows of the ACME server (01 section 18); as in api.sql, nothing that is secret.

DROP VIEW IF EXISTS api_eab_keys;
CREATE VIEW api_eab_keys AS
SELECT k.kid::text AS id, k.profile_id::text AS profile_id, s.status, k.created_at,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            k.kid, k.profile_id, k.owner_id, k.team_id, k.allowed_identifiers, k.reusable, s.status,
            api_time(k.expires_at) AS expires_at, k.created_by, api_time(k.created_at) AS created_at,
            api_time(k.bound_at) AS bound_at, k.bound_account_id,
            (SELECT count(*) FROM acme_accounts a WHERE a.eab_kid = k.kid) AS account_count,
            api_time(k.revoked_at) AS revoked_at) d) AS doc
  FROM acme_eab_keys k,
       LATERAL (SELECT CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= now() THEN 'expired'
                            WHEN NOT k.reusable AND k.bound_account_id IS NOT NULL THEN 'bound'
                            ELSE 'active' END AS status) s;
