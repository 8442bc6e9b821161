-- What ends a CA takes effect at once (04 sections 5.2 and 5.5). SECURITY DEFINER, so that
-- certctl_api can end a CA and never begin one: it may not write a row of a CA, nor a state.

-- The members of 04 section 5.5.
CREATE OR REPLACE FUNCTION ca_event_details(p_ca text, p_state text, p_more jsonb) RETURNS jsonb
  LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT jsonb_strip_nulls(jsonb_build_object(
                   'intermediate_ca_id', coalesce(m.id, c.id), 'owning_issuer_id', coalesce(m.owning_issuer_id, c.issuer_id),
                   'name', m.name, 'subject', m.subject, 'state', p_state, 'key_driver_id', coalesce(m.key_driver_id, c.key_ref),
                   'not_before', api_time(coalesce(m.not_before, c.not_before)),
                   'not_after', api_time(coalesce(m.not_after, c.not_after)),
                   'parent_ca_id', m.parent_ca_id)) || coalesce(p_more, '{}')
            FROM (VALUES (1)) one
            LEFT JOIN intermediate_cas m ON m.id = p_ca
            LEFT JOIN ca_instances c ON c.id = p_ca);
END $$;

-- What the hierarchy job has done to a CA, by the action of its audit event (07 section 10.3).
CREATE OR REPLACE FUNCTION ca_event_count(p_action text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  kind text := CASE p_action WHEN 'intermediate_ca_root_created' THEN 'create_root'
                             WHEN 'intermediate_ca_child_created' THEN 'create_child'
                             WHEN 'intermediate_ca_retiring' THEN 'retire_retiring' END;
BEGIN
  IF kind IS NOT NULL THEN
    PERFORM metric_add('certctl_intermediate_ca_events_total', format('kind="%s"', kind), 1);
  END IF;
END $$;

-- outcome: retiring, retired: done; unknown, already_retiring, already_retired, children: nothing is.
-- A CA that is in no hierarchy has one row, all others two. Children have their parent's row locked
-- FOR SHARE while they are stored, so none appears behind our back.
CREATE OR REPLACE FUNCTION ca_retire(
  p_ca text, p_confirm boolean, p_note text, p_actor text, p_actor_type text, p_audit text, p_source_ip inet,
  p_request text, p_more jsonb)
  RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  was text;
  becomes text;
BEGIN
  SELECT state INTO was FROM intermediate_cas WHERE id = p_ca FOR UPDATE;
  IF NOT FOUND THEN
    SELECT state INTO was FROM ca_instances WHERE id = p_ca FOR UPDATE;
  END IF;
  IF was IS NULL THEN
    RETURN 'unknown';
  ELSIF was = 'retired' THEN
    RETURN 'already_retired';
  ELSIF was = 'active' THEN
    becomes := 'retiring';
  ELSIF NOT p_confirm THEN
    RETURN 'already_retiring';
  ELSIF EXISTS (SELECT 1 FROM intermediate_cas
                 WHERE parent_ca_id = p_ca AND state <> 'retired' AND not_after > now()) THEN
    RETURN 'children';
  ELSE
    becomes := 'retired';
  END IF;
  UPDATE intermediate_cas SET state = becomes WHERE id = p_ca AND state = was;
  UPDATE ca_instances SET state = becomes, facts_close_due = CASE becomes WHEN 'retired' THEN now() END
   WHERE id = p_ca AND state = was; -- a lost one stays lost
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, event_category,
                            source_ip, request_id)
  VALUES (p_audit, p_actor, p_actor_type, 'intermediate_ca_' || becomes, 'intermediate_ca', p_ca,
          ca_event_details(p_ca, becomes, jsonb_strip_nulls(jsonb_build_object('note', p_note)) || coalesce(p_more, '{}')),
          'config', p_source_ip, p_request);
  PERFORM metric_add('certctl_intermediate_ca_events_total', format('kind="retire_%s"', becomes), 1);
  RETURN becomes;
END $$;

-- A revoked CA's leaves have no path any more, nor have those of the CAs below it: all are retired.
-- Nobody lists a root. refresh: as in revoke_commit, and what web servers may have kept of it.
CREATE OR REPLACE FUNCTION ca_revoke(
  p_ca text, p_serial text, p_reason text, p_entry text, p_id text, p_revoked_at timestamptz, p_actor text,
  p_actor_type text, p_audit text, p_source_ip inet, p_request text,
  OUT outcome text, OUT refresh text[])
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  m intermediate_cas;
  below text[];
BEGIN
  SELECT * INTO m FROM intermediate_cas WHERE id = p_ca FOR UPDATE;
  IF NOT FOUND OR m.serial_number IS DISTINCT FROM p_serial THEN
    outcome := 'unknown';
    RETURN;
  ELSIF m.revoked_at IS NOT NULL THEN
    outcome := 'already';
    RETURN;
  ELSIF m.parent_ca_id IS NULL THEN
    outcome := 'root';
    RETURN;
  END IF;
  INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, reason, revoked_by, revoked_at, not_after,
                                       ca_id, crl_entry_der, issuer_notified)
  VALUES (p_id, 'ca', p_serial, m.owning_issuer_id, p_reason, p_actor, p_revoked_at, m.not_after, m.parent_ca_id,
          decode(p_entry, 'hex'), true);
  WITH RECURSIVE tree AS (
    SELECT p_ca AS id
     UNION ALL
    SELECT child.id::text FROM intermediate_cas child JOIN tree ON child.parent_ca_id = tree.id)
  SELECT array_agg(id) INTO below FROM tree;
  UPDATE intermediate_cas SET revoked_at = p_revoked_at, revocation_reason = p_reason WHERE id = p_ca;
  UPDATE intermediate_cas SET state = 'retired' WHERE id = ANY (below) AND state <> 'retired';
  UPDATE ca_instances SET state = 'retired', facts_close_due = now() -- a lost one stays lost: nobody has its key
   WHERE id = ANY (below) AND state NOT IN ('retired', 'lost');
  DELETE FROM ocsp_response_cache WHERE issuer_id = m.owning_issuer_id AND serial_hex = p_serial;
  INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex) VALUES (m.owning_issuer_id, m.parent_ca_id, p_serial);
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, event_category,
                            source_ip, request_id)
  VALUES (p_audit, p_actor, p_actor_type, 'intermediate_ca_revoked', 'intermediate_ca', p_ca,
          ca_event_details(p_ca, 'retired', jsonb_build_object('reason', p_reason, 'serial', p_serial,
                                                               'retired', to_jsonb(below))),
          'config', p_source_ip, p_request);
  PERFORM metric_add('certctl_intermediate_ca_events_total', 'kind="revoke"', 1);
  -- Last, as in revoke_commit: all revocations of a CA meet in this row.
  UPDATE ca_instances SET crl_dirty_since = coalesce(crl_dirty_since, now()) WHERE id = m.parent_ca_id;
  SELECT array_agg(concat_ws(' ', c.issuer_id, p_serial, encode(c.name_sha1, 'hex'), encode(c.key_sha1, 'hex'),
                             encode(c.name_sha256, 'hex'), encode(c.key_sha256, 'hex')))
    INTO refresh
    FROM ca_instances c WHERE c.id = m.parent_ca_id;
  outcome := 'revoked';
END $$;

-- The rows of 04 section 5.2. The responder reads these views alone.
DROP VIEW IF EXISTS api_intermediates;
CREATE VIEW api_intermediates AS
SELECT m.id::text AS id, m.owning_issuer_id::text AS issuer_id, m.parent_ca_id::text AS parent_id, m.name::text AS name,
       m.state, m.created_at, m.serial_number::text AS serial_number, m.revoked_at, m.key_driver_id AS key_ref,
       c.key_algorithm, c.cert_der,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            m.id, m.owning_issuer_id, m.parent_ca_id, m.name, m.subject, m.state, m.cert_pem, m.key_driver_id,
            api_time(m.not_before) AS not_before, api_time(m.not_after) AS not_after, m.path_len_constraint,
            nullif(m.name_constraints, '[]') AS name_constraints, nullif(m.ocsp_responder_url, '') AS ocsp_responder_url,
            nullif(m.metadata, '{}') AS metadata, api_time(m.created_at) AS created_at,
            api_time(m.updated_at) AS updated_at) d) AS doc
  FROM intermediate_cas m
  LEFT JOIN ca_instances c ON c.id = m.id;

DROP VIEW IF EXISTS api_ca_requests;
CREATE VIEW api_ca_requests AS
SELECT r.id::text AS id, r.issuer_id::text AS issuer_id,
       (SELECT json_strip_nulls(row_to_json(d)) FROM (SELECT
            r.id, r.state, r.fields_sha256, r.requested_by, api_time(r.created_at) AS created_at, r.intermediate_ca_id,
            r.error) d) AS doc
  FROM ca_requests r;
