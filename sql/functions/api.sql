-- sql/functions/api.sql: the JSON of the REST contract, as PostgreSQL writes it (05 section 4).
--
-- A view per resource: columns to filter and sort by, and doc, the object itself with its members in
-- the order of the contract. The responder sends doc as it is. Nothing that is secret is in a view,
-- and the responder's role can read the views alone.

-- 05 section 2.12. One expression, so that the planner puts it into the query.
CREATE OR REPLACE FUNCTION api_time(t timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT rtrim(rtrim(to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z'
$$;

-- The named members in their own order.
CREATE OR REPLACE FUNCTION json_pick(doc json, names text[]) RETURNS json
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN (SELECT '{' || coalesce(string_agg(to_json(m.key)::text || ':' || m.value::text, ','
                                              ORDER BY m.n), '') || '}'
              FROM json_each(doc) WITH ORDINALITY AS m (key, value, n)
             WHERE m.key = ANY (names));
END $$;

-- Whatever a connector's schema says, nothing with such a name or such a value is shown (05
-- section 3.4). References to a secret (a path, an id) are none.
CREATE OR REPLACE FUNCTION api_redact(config jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    CASE jsonb_typeof(config)
    WHEN 'object' THEN
        RETURN (SELECT coalesce(jsonb_object_agg(m.key,
                           CASE WHEN lower(m.key) ~ '(password|secret|token|key|hmac|private|credentials)'
                                 AND lower(m.key) !~ '_(path|file|id|algorithm|type|size|name)$'
                                THEN '"********"'::jsonb
                                ELSE api_redact(m.value) END), '{}')
                  FROM jsonb_each(config) AS m (key, value));
    WHEN 'array' THEN
        RETURN (SELECT coalesce(jsonb_agg(api_redact(m.value) ORDER BY m.n), '[]')
                  FROM jsonb_array_elements(config) WITH ORDINALITY AS m (value, n));
    WHEN 'string' THEN
        RETURN CASE WHEN config #>> '{}' ~ '(PRIVATE KEY-----|cck_[A-Za-z0-9_-]{20}|://[^/@]*:[^/@]*@)'
                    THEN '"********"'::jsonb ELSE config END;
    ELSE
        RETURN coalesce(config, '{}');
    END CASE;
END $$;

DROP VIEW IF EXISTS api_certificates;
CREATE VIEW api_certificates AS
SELECT c.id::text AS id, c.name::text AS name, c.common_name, c.sans, c.environment,
       c.owner_id::text AS owner_id, c.team_id::text AS team_id, c.issuer_id::text AS issuer_id,
       c.certificate_profile_id::text AS profile_id, c.status, c.source, c.tags, c.expires_at,
       coalesce(c.expires_at, 'infinity'::timestamptz) AS expires_key, c.created_at, c.updated_at,
       c.row_version,
       ARRAY(SELECT t.agent_id::text FROM certificate_target_mappings m
               JOIN deployment_targets t ON t.id = m.target_id
              WHERE m.certificate_id = c.id AND t.retired_at IS NULL
                AND t.deleted_at IS NULL) AS agent_ids,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            c.id, c.name, c.common_name, c.sans, c.environment, c.owner_id, c.team_id, c.issuer_id,
            ARRAY(SELECT m.target_id::text FROM certificate_target_mappings m
                   WHERE m.certificate_id = c.id ORDER BY 1) AS target_ids,
            c.renewal_policy_id, c.certificate_profile_id, c.status,
            coalesce(api_time(c.expires_at), '0001-01-01T00:00:00Z') AS expires_at, c.tags,
            api_time(c.last_renewal_at) AS last_renewal_at,
            api_time(c.last_deployment_at) AS last_deployment_at,
            api_time(c.revoked_at) AS revoked_at,
            nullif(c.revocation_reason, '') AS revocation_reason,
            api_time(c.created_at) AS created_at, api_time(c.updated_at) AS updated_at,
            nullif(c.source, '') AS source) d) AS doc
  FROM managed_certificates c;

DROP VIEW IF EXISTS api_certificate_versions;
CREATE VIEW api_certificate_versions AS
SELECT v.id::text AS id, v.certificate_id::text AS certificate_id, v.created_at,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            v.id, v.certificate_id, v.serial_number, api_time(v.not_before) AS not_before,
            api_time(v.not_after) AS not_after, v.fingerprint_sha256, v.pem_chain,
            coalesce(v.csr_pem, '') AS csr_pem, nullif(v.key_algorithm, '') AS key_algorithm,
            nullif(v.key_size, 0) AS key_size, api_time(v.created_at) AS created_at,
            api_time(r.revoked_at) AS revoked_at, r.reason AS revocation_reason,
            coalesce(v.ca_id, '') AS ca_id,
            (SELECT json_build_object('linter', l.linter, 'error', l.error, 'warnings', l.warnings, 'linted_at', api_time(l.linted_at))
               FROM certificate_lints l WHERE l.version_id = v.id AND (l.error IS NOT NULL OR l.warnings IS NOT NULL)) AS lint
            FROM (VALUES (1)) one LEFT JOIN certificate_revocations r
              ON r.issuer_id = v.issuer_id AND r.serial_number = v.serial_number AND r.lifted_at IS NULL) d) AS doc
  FROM certificate_versions v;

-- A config may hold null on purpose, so nulls are not stripped here.
DROP VIEW IF EXISTS api_issuers;
CREATE VIEW api_issuers AS
SELECT i.id::text AS id, i.name::text AS name, i.type, i.enabled, i.created_at, i.updated_at,
       i.row_version,
       CASE WHEN i.last_tested_at IS NULL THEN
           (SELECT row_to_json(d) FROM (SELECT
                i.id, i.name, i.type, api_redact(coalesce(i.config, '{}')) AS config, i.enabled,
                i.test_status, i.source, i.hierarchy_mode, api_time(i.created_at) AS created_at,
                api_time(i.updated_at) AS updated_at) d)
       ELSE
           (SELECT row_to_json(d) FROM (SELECT
                i.id, i.name, i.type, api_redact(coalesce(i.config, '{}')) AS config, i.enabled,
                api_time(i.last_tested_at) AS last_tested_at, i.test_status, i.source,
                i.hierarchy_mode, api_time(i.created_at) AS created_at,
                api_time(i.updated_at) AS updated_at) d)
       END AS doc
  FROM issuers i;

DROP VIEW IF EXISTS api_profiles;
CREATE VIEW api_profiles AS
SELECT p.id::text AS id, p.name::text AS name, p.enabled, p.created_at, p.updated_at, p.row_version,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            p.id, p.name, p.description, p.allowed_key_algorithms, p.max_ttl_seconds,
            p.allowed_ekus, p.required_san_patterns, p.spiffe_uri_pattern, p.allow_short_lived,
            p.must_staple, nullif(p.required_csr_attributes, '[]') AS required_csr_attributes,
            nullif(p.acme_auth_mode, '') AS acme_auth_mode,
            (SELECT s.settings FROM acme_profile_settings s WHERE s.profile_id = p.id) AS acme,
            nullif(p.requires_approval, false) AS requires_approval, p.enabled, p.issuer_id,
            p.default_validity_days, p.policy_oids, p.allowed_uri_patterns, p.allowed_san_types,
            p.allow_wildcards, p.allow_sha1_csr, p.subject_policy, p.enroll_owner_id,
            p.enroll_team_id, p.enroll_renewal_policy_id, api_time(p.created_at) AS created_at, api_time(p.updated_at) AS updated_at) d) AS doc
  FROM certificate_profiles p;

-- The payload of an edit is base64 of its JSON, as the contract has it. A decision is a new tag.
DROP VIEW IF EXISTS api_approvals;
CREATE VIEW api_approvals AS
SELECT a.id::text AS id, a.state, a.approval_kind AS kind, a.certificate_id::text AS certificate_id,
       a.profile_id::text AS profile_id, a.requested_by, a.created_at,
       CASE a.state WHEN 'pending' THEN 1 ELSE 2 END::bigint AS row_version,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            a.id, a.approval_kind AS kind, a.certificate_id, a.job_id, a.profile_id, a.requested_by,
            a.state, a.decided_by, api_time(a.decided_at) AS decided_at, a.decision_note,
            nullif(a.metadata, '{}') AS metadata,
            translate(encode(convert_to(a.payload::text, 'UTF8'), 'base64'), E'\n', '') AS payload,
            api_time(a.created_at) AS created_at, api_time(a.updated_at) AS updated_at) d) AS doc
  FROM issuance_approval_requests a;
