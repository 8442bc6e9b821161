-- sql/functions/metrics.sql: what is read as a metric (07 section 10). Gauges are computed when somebody looks; counters
-- are summed up over their shards.

-- label="value" as the exposition format has it.
CREATE OR REPLACE FUNCTION metric_label(p_name text, p_value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT p_name || '="' || replace(replace(replace(coalesce(p_value, ''), '\', '\\'), '"', '\"'), E'\n', '\n') || '"'
$$;

-- One count for each version of the seal, its first byte (04 section 15.4).
CREATE OR REPLACE FUNCTION metric_sealed() RETURNS TABLE (sealed_table text, version integer, rows bigint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT s.t, get_byte(s.b, 0), count(*) FROM (
    SELECT 'acme_nonce_keys' AS t, secret_enc AS b FROM acme_nonce_keys
    UNION ALL SELECT 'acme_eab_keys', hmac_enc FROM acme_eab_keys
    UNION ALL SELECT 'issuers', encrypted_config FROM issuers
    UNION ALL SELECT 'deployment_targets', encrypted_config FROM deployment_targets
    UNION ALL SELECT 'oidc_providers', client_secret_encrypted FROM oidc_providers
    UNION ALL SELECT 'session_signing_keys', key_material_encrypted FROM session_signing_keys
    UNION ALL SELECT 'scep_intune_tokens', token_enc FROM scep_intune_tokens
    UNION ALL SELECT 'certificate_version_keys', key_enc FROM certificate_version_keys) s
   WHERE octet_length(s.b) > 0 GROUP BY 1, 2;
END $$;

-- The inventory by the definitions of 07 section 10.1, one row.
CREATE OR REPLACE FUNCTION metric_inventory(
  OUT certificate_total bigint, OUT certificate_active bigint, OUT certificate_expiring_soon bigint,
  OUT certificate_expired bigint, OUT certificate_revoked bigint, OUT agent_total bigint, OUT agent_online bigint,
  OUT job_pending bigint, OUT job_completed bigint, OUT job_failed bigint, OUT notification_dead bigint,
  OUT started_at timestamptz)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  SELECT count(*), count(*) FILTER (WHERE m.status = 'Revoked'),
         count(*) FILTER (WHERE m.status <> 'Revoked' AND (m.status = 'Expired' OR m.expires_at <= now())),
         count(*) FILTER (WHERE m.status NOT IN ('Revoked', 'Expired') AND m.expires_at > now()
                                AND m.expires_at < now() + interval '30 days')
    INTO certificate_total, certificate_revoked, certificate_expired, certificate_expiring_soon
    FROM managed_certificates m WHERE m.status <> 'Archived';
  certificate_active := certificate_total - certificate_revoked - certificate_expired - certificate_expiring_soon;
  SELECT count(*), count(*) FILTER (WHERE a.last_heartbeat_at > now() - interval '5 minutes')
    INTO agent_total, agent_online FROM agents a WHERE a.retired_at IS NULL;
  SELECT count(*) FILTER (WHERE j.status IN ('Pending', 'AwaitingCSR', 'AwaitingApproval', 'Running')),
         count(*) FILTER (WHERE j.status = 'Completed'), count(*) FILTER (WHERE j.status = 'Failed')
    INTO job_pending, job_completed, job_failed FROM jobs j;
  SELECT count(*) INTO notification_dead FROM notification_events n WHERE n.status = 'dead';
  SELECT min(w.started_at) INTO started_at FROM worker_registry w WHERE w.last_seen > now() - interval '1 minute';
END $$;

-- $1: every profile needs an external account binding.
CREATE OR REPLACE FUNCTION metric_gauges(p_all_bound boolean) RETURNS TABLE (name text, labels text, value double precision)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT 'certctl_' || i.key, '', i.value::text::double precision FROM metric_inventory() m, jsonb_each(jsonb_build_object(
      'certificate_total', m.certificate_total, 'certificate_active', m.certificate_active,
      'certificate_expiring_soon', m.certificate_expiring_soon, 'certificate_expired', m.certificate_expired,
      'certificate_revoked', m.certificate_revoked, 'agent_total', m.agent_total, 'agent_online', m.agent_online,
      'job_pending', m.job_pending, 'job_completed_total', m.job_completed, 'job_failed_total', m.job_failed,
      'notification_dead_total', m.notification_dead,
      'uptime_seconds', coalesce(extract(epoch FROM now() - m.started_at), 0))) i
  UNION ALL
  -- An order with a certificate is valid. Three parts, of which each has an index of its own.
  SELECT 'certctl_acme_orders', metric_label('status', s.status), coalesce(sum(c.orders), 0)::double precision
    FROM unnest(ARRAY['pending', 'ready', 'processing', 'valid', 'invalid']) s (status)
    LEFT JOIN (SELECT o.status::text, count(*) FROM acme_orders o WHERE o.status IN ('pending', 'ready', 'processing') GROUP BY 1
               UNION ALL
               SELECT o.status::text, count(*) FROM acme_orders o
                WHERE o.certificate_id IS NULL AND o.status IN ('valid', 'invalid') GROUP BY 1
               UNION ALL
               SELECT 'valid', count(*) FROM acme_orders o WHERE o.certificate_id IS NOT NULL) c (status, orders)
      ON c.status = s.status GROUP BY s.status
  UNION ALL
  SELECT unnest(ARRAY['certctl_acme_challenges_processing', 'certctl_acme_challenge_queue_age_seconds']), '',
         unnest(ARRAY[count(*), coalesce(greatest(extract(epoch FROM now() - min(c.next_attempt_at)), 0), 0)])::double precision
    FROM acme_challenges c WHERE c.status = 'processing'
  UNION ALL
  SELECT 'certctl_acme_open_trust_profiles', '', count(*)::double precision
    FROM certificate_profiles p LEFT JOIN acme_profile_settings s ON s.profile_id = p.id
   WHERE p.enabled AND p.acme_auth_mode = 'trust_authenticated' AND NOT p_all_bound
     AND NOT acme_names_bounded(p.required_san_patterns, s.settings)
     AND NOT coalesce((s.settings->>'eab_required')::boolean, false)
     AND NOT coalesce((s.settings->>'require_mtls')::boolean, false)
  UNION ALL
  SELECT 'certctl_jobs', metric_label('status', j.status) || ',' || metric_label('type', j.type), count(*)::double precision
    FROM jobs j GROUP BY j.status, j.type
  UNION ALL
  SELECT 'certctl_approval_decisions_total', metric_label('outcome', d.outcome) || ',' || metric_label('profile_id', d.profile_id),
         count(*)::double precision
    FROM (SELECT CASE WHEN a.decided_by = 'system-bypass' THEN 'bypassed' ELSE a.state END AS outcome, a.profile_id::text
            FROM issuance_approval_requests a WHERE a.state <> 'pending') d GROUP BY d.outcome, d.profile_id
  UNION ALL
  SELECT 'certctl_sealed_rows', metric_label('table', s.sealed_table) || ',' || metric_label('version', s.version::text),
         s.rows::double precision FROM metric_sealed() s
  UNION ALL
  SELECT 'certctl_signer_log_lag_seconds', '', extract(epoch FROM now() - min(r.last_success_at))::double precision
    FROM scheduler_state r WHERE r.job LIKE 'signer-reconcile%' HAVING min(r.last_success_at) IS NOT NULL
  UNION ALL
  SELECT 'certctl_ocsp_responder_not_after_seconds',
         metric_label('ca_id', o.ca_id) || ',' || metric_label('issuer_id', o.issuer_id) || ',' || metric_label('node_id', o.node_id),
         extract(epoch FROM o.not_after)::double precision
    FROM ocsp_responders o WHERE o.not_after IS NOT NULL
  UNION ALL
  SELECT 'certctl_scheduler_last_success_timestamp_seconds', metric_label('job', t.job),
         coalesce(extract(epoch FROM t.last_success_at), 0)::double precision FROM scheduler_state t
  UNION ALL
  SELECT 'certctl_scheduler_overdue', metric_label('job', t.job),
         (coalesce(t.last_success_at, t.last_started_at) < now() - 3 * t.interval_ms * interval '1 millisecond')::integer::double precision
    FROM scheduler_state t WHERE t.last_started_at IS NOT NULL
  UNION ALL
  SELECT 'certctl_workers', metric_label('kind', w.kind), count(*)::double precision
    FROM worker_registry w WHERE w.last_seen > now() - interval '1 minute' GROUP BY w.kind
  UNION ALL
  SELECT 'certctl_schema_version', '', max(v.version)::double precision FROM schema_migrations v WHERE v.version ~ '^[0-9]+$';
END $$;
