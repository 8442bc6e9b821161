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

-- What list and detail have in common; the detail adds the last orders.
DROP VIEW IF EXISTS api_acme_accounts;
CREATE VIEW api_acme_accounts AS
SELECT a.account_id::text AS id, a.profile_id::text AS profile_id, a.status, a.eab_kid::text AS eab_kid, a.created_at,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            a.account_id AS id, a.profile_id, a.status, a.contact, a.jwk_thumbprint, a.owner_id, a.eab_kid, a.allowed_identifiers,
            api_time(a.tos_agreed_at) AS tos_agreed_at, host(a.created_ip) AS created_ip, api_time(a.created_at) AS created_at,
            api_time(a.updated_at) AS updated_at) d) AS doc
  FROM acme_accounts a;

-- A new order, or a change of one that is shown, is a new tag.
DROP VIEW IF EXISTS api_acme_account;
CREATE VIEW api_acme_account AS
SELECT a.account_id::text AS id, a.profile_id::text AS profile_id, a.created_at,
       (extract(epoch FROM greatest(a.updated_at, o.updated_at)) * 1000000)::bigint AS row_version,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            a.account_id AS id, a.profile_id, a.status, a.contact, a.jwk_thumbprint, a.owner_id, a.eab_kid, a.allowed_identifiers,
            api_time(a.tos_agreed_at) AS tos_agreed_at, host(a.created_ip) AS created_ip, api_time(a.created_at) AS created_at,
            api_time(a.updated_at) AS updated_at, coalesce(o.orders, '[]') AS orders) d) AS doc
  FROM acme_accounts a,
       LATERAL (SELECT max(r.updated_at) AS updated_at,
                       json_agg(json_strip_nulls(json_build_object(
                         'id', r.order_id, 'status', r.status, 'identifiers', r.identifiers, 'error', r.error,
                         'certificate_id', r.certificate_id, 'created_at', api_time(r.created_at)))
                         ORDER BY r.created_at DESC, r.order_id DESC) AS orders
                  FROM (SELECT * FROM acme_orders s WHERE s.account_id = a.account_id
                         ORDER BY s.created_at DESC, s.order_id DESC LIMIT 10) r) o;

-- With what an operator needs to tell a client what is wrong: each authorization, each answered
-- challenge and what the server saw of it. No token, no CSR.
DROP VIEW IF EXISTS api_acme_orders;
CREATE VIEW api_acme_orders AS
SELECT o.order_id::text AS id, o.account_id::text AS account_id, o.profile_id::text AS profile_id, o.status::text AS status,
       o.created_at,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            o.order_id AS id, o.account_id, o.profile_id, o.cert_profile_id, o.issuer_id, o.auth_mode, o.status, o.identifiers, o.error,
            o.certificate_id, o.certificate_version_id, o.job_id, api_time(o.not_before) AS not_before,
            api_time(o.not_after) AS not_after, api_time(o.expires_at) AS expires_at, api_time(o.created_at) AS created_at,
            api_time(o.updated_at) AS updated_at,
            (SELECT coalesce(json_agg(json_build_object(
                      'id', z.authz_id, 'identifier', z.identifier, 'wildcard', z.wildcard, 'status', z.status,
                      'expires_at', api_time(z.expires_at),
                      'challenges', (SELECT coalesce(json_agg(json_build_object(
                                              'id', c.challenge_id, 'type', c.type, 'status', c.status, 'attempts', c.attempts,
                                              'next_attempt_at', CASE WHEN c.status = 'processing' THEN api_time(c.next_attempt_at) END,
                                              'validated_at', api_time(c.validated_at), 'error', c.error,
                                              'validation_record', c.validation_record, 'created_at', api_time(c.created_at),
                                              'updated_at', api_time(c.updated_at)) ORDER BY c.created_at, c.challenge_id), '[]')
                                       FROM acme_challenges c WHERE c.authz_id = z.authz_id)) ORDER BY oa.position), '[]')
               FROM acme_order_authorizations oa JOIN acme_authorizations z ON z.authz_id = oa.authz_id
              WHERE oa.order_id = o.order_id) AS authorizations) d) AS doc
  FROM acme_orders o;

-- A profile as a directory of the ACME server. What settings say is the responder's to add.
DROP VIEW IF EXISTS api_acme_profiles;
CREATE VIEW api_acme_profiles AS
SELECT p.id::text AS id, p.name::text AS name, p.enabled, p.acme_auth_mode::text AS auth_mode,
       p.issuer_id::text AS issuer_id,
       (SELECT min(i.id::text) FROM issuers i WHERE i.enabled HAVING count(*) = 1) AS only_issuer_id,
       coalesce((s.settings->>'eab_required')::boolean, false) AS eab_required,
       coalesce((s.settings->>'require_mtls')::boolean, false) AS require_mtls,
       acme_names_bounded(p.required_san_patterns, s.settings) AS has_patterns,
       coalesce(a.valid, 0) AS accounts, coalesce(o.active, 0) AS active_orders, coalesce(f.failed, 0) AS failures_24h
  FROM certificate_profiles p
  LEFT JOIN acme_profile_settings s ON s.profile_id = p.id
  LEFT JOIN (SELECT t.profile_id, count(*) AS valid FROM acme_accounts t WHERE t.status = 'valid' GROUP BY 1) a ON a.profile_id = p.id
  LEFT JOIN (SELECT t.profile_id, count(*) AS active FROM acme_orders t
              WHERE t.status IN ('pending', 'ready', 'processing') AND t.expires_at > now() GROUP BY 1) o ON o.profile_id = p.id
  LEFT JOIN (SELECT t.profile_id, count(*) AS failed FROM acme_orders t
              WHERE t.status = 'invalid' AND t.certificate_id IS NULL AND t.updated_at > now() - interval '24 hours' GROUP BY 1) f ON f.profile_id = p.id;
