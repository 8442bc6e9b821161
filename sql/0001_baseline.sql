-- sql/0001_baseline.sql: the whole schema of release 0.1 (05 section 5).
--
-- Ids are certctl_id, times timestamptz, enumerations text with a CHECK, leases the two columns
-- claimed_by and lease_until; sealed columns end in _enc, _encrypted or _sealed. Nothing here ever
-- notifies: jobs are woken by a datagram after the commit. Functions that are not behind a trigger
-- are in functions/, rows that every installation has in seeds.sql, rights in grants/.

-- Types, functions

-- No bounded repetition: its automaton has a state for each count, and one check costs 17 us, not 0.3.
CREATE DOMAIN certctl_id AS text CONSTRAINT certctl_id_shape
    CHECK (octet_length(VALUE) <= 128 AND VALUE ~ '^[A-Za-z0-9._-]+$' AND VALUE NOT IN ('.', '..'));
CREATE DOMAIN name255 AS text CONSTRAINT name255_len CHECK (char_length(VALUE) BETWEEN 1 AND 255);
CREATE DOMAIN hex_serial AS text
    CONSTRAINT hex_serial_shape CHECK (octet_length(VALUE) <= 64 AND VALUE ~ '^(0|[1-9a-f][0-9a-f]*)$');
CREATE DOMAIN sha256_hex AS text
    CONSTRAINT sha256_hex_shape CHECK (octet_length(VALUE) = 64 AND VALUE ~ '^[0-9a-f]+$');
CREATE DOMAIN json_object AS jsonb CONSTRAINT json_object_type CHECK (jsonb_typeof(VALUE) = 'object');

-- Words of the tables that every issuance writes. As domains, since a session compiles a domain's
-- check once, but a table's for each statement: they were a quarter of an insert's cost.
CREATE DOMAIN certificate_status AS text CONSTRAINT certificate_status_word
    CHECK (VALUE IN ('Pending', 'Active', 'Expiring', 'Expired', 'RenewalInProgress', 'Failed',
        'Revoked', 'Archived'));
CREATE DOMAIN certificate_source AS text CONSTRAINT certificate_source_word
    CHECK (VALUE IN ('', 'EST', 'SCEP', 'API', 'Agent', 'ACME'));
CREATE DOMAIN acme_order_status AS text CONSTRAINT acme_order_status_word
    CHECK (VALUE IN ('pending', 'ready', 'processing', 'valid', 'invalid'));
CREATE DOMAIN acme_auth_mode AS text CONSTRAINT acme_auth_mode_word
    CHECK (VALUE IN ('trust_authenticated', 'challenge'));
CREATE DOMAIN acme_authorization_status AS text CONSTRAINT acme_authorization_status_word
    CHECK (VALUE IN ('pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked'));
CREATE DOMAIN acme_challenge_type AS text CONSTRAINT acme_challenge_type_word
    CHECK (VALUE IN ('http-01', 'dns-01', 'tls-alpn-01', 'dns-account-01', 'dns-persist-01'));
CREATE DOMAIN acme_challenge_status AS text CONSTRAINT acme_challenge_status_word
    CHECK (VALUE IN ('pending', 'processing', 'valid', 'invalid'));
CREATE DOMAIN audit_actor_type AS text CONSTRAINT audit_actor_type_word
    CHECK (VALUE IN ('User', 'System', 'Agent', 'APIKey', 'Anonymous'));
CREATE DOMAIN audit_category AS text CONSTRAINT audit_category_word
    CHECK (VALUE IN ('cert_lifecycle', 'auth', 'config'));

-- Keeps row_version and updated_at. Its arguments are columns whose change is no new version. A
-- trigger without arguments sees TG_ARGV as NULL; without the coalesce no change would be noticed.
CREATE FUNCTION touch_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ignored text[] := coalesce(TG_ARGV, '{}'::text[]);
BEGIN
    IF to_jsonb(OLD) - ignored IS DISTINCT FROM to_jsonb(NEW) - ignored THEN
        NEW.row_version := OLD.row_version + 1;
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END $$;

-- Organisation, policies, profiles

CREATE TABLE teams (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL CONSTRAINT teams_name_key UNIQUE,
    description text NOT NULL DEFAULT '',
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE owners (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL,
    email text NOT NULL DEFAULT '' CHECK (char_length(email) <= 255),
    team_id certctl_id NOT NULL REFERENCES teams ON DELETE RESTRICT,
    notification_channels jsonb,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX owners_team ON owners (team_id);
CREATE INDEX owners_email ON owners (lower(email));

CREATE TABLE certificate_profiles (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL CONSTRAINT certificate_profiles_name_key UNIQUE,
    description text NOT NULL DEFAULT '',
    allowed_key_algorithms jsonb NOT NULL DEFAULT
        '[{"algorithm":"ECDSA","min_size":256},{"algorithm":"RSA","min_size":2048}]',
    max_ttl_seconds integer NOT NULL DEFAULT 0 CHECK (max_ttl_seconds >= 0),
    allowed_ekus jsonb NOT NULL DEFAULT '["serverAuth"]',
    required_san_patterns jsonb NOT NULL DEFAULT '[]',
    spiffe_uri_pattern text NOT NULL DEFAULT '' CHECK (char_length(spiffe_uri_pattern) <= 512),
    allow_short_lived boolean NOT NULL DEFAULT false,
    must_staple boolean NOT NULL DEFAULT false,
    required_csr_attributes jsonb NOT NULL DEFAULT '[]',
    acme_auth_mode text NOT NULL DEFAULT 'trust_authenticated'
        CONSTRAINT certificate_profiles_acme_auth_mode_chk
            CHECK (acme_auth_mode IN ('trust_authenticated', 'challenge')),
    requires_approval boolean NOT NULL DEFAULT false,
    issuer_id certctl_id,
    default_validity_days integer CHECK (default_validity_days > 0),
    policy_oids text[],
    allowed_uri_patterns jsonb,
    allowed_san_types text[],
    allow_wildcards boolean NOT NULL DEFAULT true,
    allow_sha1_csr boolean NOT NULL DEFAULT false,
    subject_policy jsonb,
    enroll_owner_id certctl_id REFERENCES owners ON DELETE RESTRICT,
    enroll_team_id certctl_id REFERENCES teams ON DELETE RESTRICT,
    enroll_renewal_policy_id certctl_id,
    enabled boolean NOT NULL DEFAULT true,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (NOT allow_short_lived OR max_ttl_seconds < 3600),
    CHECK (jsonb_typeof(allowed_key_algorithms) = 'array' AND jsonb_typeof(allowed_ekus) = 'array')
);

CREATE TABLE agent_groups (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL CONSTRAINT agent_groups_name_key UNIQUE,
    description text NOT NULL DEFAULT '',
    match_os text NOT NULL DEFAULT '',
    match_architecture text NOT NULL DEFAULT '',
    match_ip_cidr text NOT NULL DEFAULT '',
    match_version text NOT NULL DEFAULT '',
    enabled boolean NOT NULL DEFAULT true,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agent_groups_cidr CHECK (match_ip_cidr = '' OR match_ip_cidr::inet IS NOT NULL)
);

CREATE TABLE renewal_policies (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL CONSTRAINT renewal_policies_name_key UNIQUE,
    renewal_window_days integer NOT NULL CHECK (renewal_window_days BETWEEN 1 AND 365),
    auto_renew boolean NOT NULL DEFAULT true,
    max_retries integer NOT NULL DEFAULT 3 CHECK (max_retries BETWEEN 0 AND 10),
    retry_interval_seconds integer NOT NULL DEFAULT 3600
        CHECK (retry_interval_seconds BETWEEN 60 AND 86400),
    alert_thresholds_days jsonb NOT NULL DEFAULT '[30,14,7,0]',
    alert_channels jsonb NOT NULL DEFAULT '{}',
    alert_severity_map jsonb NOT NULL DEFAULT '{}',
    certificate_profile_id certctl_id REFERENCES certificate_profiles ON DELETE RESTRICT,
    agent_group_id certctl_id REFERENCES agent_groups ON DELETE SET NULL,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX renewal_policies_profile ON renewal_policies (certificate_profile_id)
    WHERE certificate_profile_id IS NOT NULL;
ALTER TABLE certificate_profiles
    ADD FOREIGN KEY (enroll_renewal_policy_id) REFERENCES renewal_policies ON DELETE RESTRICT;

CREATE TABLE policy_rules (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL CONSTRAINT policy_rules_name_key UNIQUE,
    type text NOT NULL
        CHECK (type IN ('AllowedIssuers', 'AllowedDomains', 'RequiredMetadata',
            'AllowedEnvironments', 'RenewalLeadTime', 'CertificateLifetime')),
    config jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(config) = 'object'),
    enabled boolean NOT NULL DEFAULT true,
    severity text NOT NULL DEFAULT 'Warning' CHECK (severity IN ('Warning', 'Error', 'Critical')),
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Issuers, agents, targets

CREATE TABLE issuers (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL CONSTRAINT issuers_name_key UNIQUE,
    type text NOT NULL
        CHECK (type IN ('ACME', 'GenericCA', 'StepCA', 'OpenSSL', 'VaultPKI', 'DigiCert', 'Sectigo',
            'GoogleCAS', 'AWSACMPCA', 'Entrust', 'GlobalSign', 'EJBCA')),
    config jsonb,
    encrypted_config bytea,
    enabled boolean NOT NULL DEFAULT true,
    last_tested_at timestamptz,
    test_status text NOT NULL DEFAULT 'untested'
        CHECK (test_status IN ('untested', 'success', 'failed')),
    last_error text,
    blocked_until timestamptz,
    source text NOT NULL DEFAULT 'database' CHECK (source IN ('database', 'env')),
    hierarchy_mode text NOT NULL DEFAULT 'single' CHECK (hierarchy_mode IN ('single', 'tree')),
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE certificate_profiles ADD FOREIGN KEY (issuer_id) REFERENCES issuers ON DELETE RESTRICT;

CREATE TABLE intermediate_cas (
    id certctl_id PRIMARY KEY,
    owning_issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE RESTRICT,
    parent_ca_id certctl_id REFERENCES intermediate_cas ON DELETE RESTRICT,
    name name255 NOT NULL,
    subject text NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retiring', 'retired')),
    cert_pem text NOT NULL,
    key_driver_id text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    path_len_constraint integer CHECK (path_len_constraint >= 0),
    name_constraints jsonb NOT NULL DEFAULT '[]',
    ocsp_responder_url text,
    metadata jsonb NOT NULL DEFAULT '{}',
    serial_number hex_serial,
    revoked_at timestamptz,
    revocation_reason text,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (not_after > not_before),
    CHECK (parent_ca_id IS NULL OR parent_ca_id::text <> id::text),
    CONSTRAINT intermediate_cas_name_key UNIQUE (owning_issuer_id, name)
);
CREATE UNIQUE INDEX intermediate_cas_one_root ON intermediate_cas (owning_issuer_id)
    WHERE parent_ca_id IS NULL AND state = 'active';
CREATE INDEX intermediate_cas_parent ON intermediate_cas (parent_ca_id);
CREATE INDEX intermediate_cas_expiring ON intermediate_cas (not_after) WHERE state = 'active';

CREATE TABLE agents (
    id certctl_id PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    hostname text NOT NULL CHECK (char_length(hostname) <= 255),
    status text NOT NULL DEFAULT 'Offline' CHECK (status IN ('Online', 'Offline', 'Degraded')),
    last_heartbeat_at timestamptz,
    registered_at timestamptz NOT NULL DEFAULT now(),
    api_key_hash text NOT NULL DEFAULT '', -- SHA-256 hex; '' for sentinels
    os text NOT NULL DEFAULT '',
    architecture text NOT NULL DEFAULT '',
    ip_address text NOT NULL DEFAULT '',
    version text NOT NULL DEFAULT '',
    retired_at timestamptz,
    retired_reason text,
    seal_public_key text,
    row_version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX agents_name_live ON agents (name) WHERE retired_at IS NULL;
CREATE UNIQUE INDEX agents_key ON agents (api_key_hash) WHERE api_key_hash <> '';
CREATE INDEX agents_list ON agents (registered_at DESC, id DESC) WHERE retired_at IS NULL;
CREATE INDEX agents_retired ON agents (retired_at DESC) WHERE retired_at IS NOT NULL;

CREATE TABLE agent_group_members (
    agent_group_id certctl_id NOT NULL REFERENCES agent_groups ON DELETE CASCADE,
    agent_id certctl_id NOT NULL REFERENCES agents ON DELETE CASCADE,
    membership_type text NOT NULL DEFAULT 'include'
        CHECK (membership_type IN ('include', 'exclude')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_group_id, agent_id)
);
CREATE INDEX agent_group_members_agent ON agent_group_members (agent_id);

CREATE TABLE deployment_targets (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL,
    type text NOT NULL
        CHECK (type IN ('NGINX', 'Apache', 'HAProxy', 'F5', 'IIS', 'Traefik', 'Caddy', 'Envoy',
            'Postfix', 'Dovecot', 'SSH', 'WinCertStore', 'JavaKeystore', 'KubernetesSecrets',
            'AWSACM', 'AzureKeyVault')),
    agent_id certctl_id NOT NULL REFERENCES agents ON DELETE RESTRICT,
    config jsonb,
    encrypted_config bytea,
    enabled boolean NOT NULL DEFAULT true,
    last_tested_at timestamptz,
    test_status text NOT NULL DEFAULT 'untested'
        CHECK (test_status IN ('untested', 'success', 'failed')),
    source text NOT NULL DEFAULT 'database',
    retired_at timestamptz,
    retired_reason text,
    deleted_at timestamptz,
    test_message text,
    deploy_window text,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX deployment_targets_name_live ON deployment_targets (agent_id, name)
    WHERE retired_at IS NULL AND deleted_at IS NULL;
CREATE INDEX deployment_targets_agent ON deployment_targets (agent_id);

-- Certificates

CREATE TABLE managed_certificates (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL,
    common_name name255 NOT NULL,
    sans text[] NOT NULL DEFAULT '{}',
    environment text NOT NULL DEFAULT '' CHECK (char_length(environment) <= 50),
    owner_id certctl_id NOT NULL REFERENCES owners ON DELETE RESTRICT,
    team_id certctl_id NOT NULL REFERENCES teams ON DELETE RESTRICT,
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE RESTRICT,
    renewal_policy_id certctl_id NOT NULL REFERENCES renewal_policies ON DELETE RESTRICT,
    certificate_profile_id certctl_id REFERENCES certificate_profiles ON DELETE RESTRICT,
    status certificate_status NOT NULL DEFAULT 'Pending',
    source certificate_source NOT NULL DEFAULT '',
    expires_at timestamptz,
    tags json_object NOT NULL DEFAULT '{}',
    current_version_id certctl_id,
    last_renewal_at timestamptz,
    last_deployment_at timestamptz,
    renew_at timestamptz,
    early_renewal_at timestamptz,
    early_renewal_reason text,
    revoked_at timestamptz,
    revocation_reason text,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (status <> 'Revoked' OR revoked_at IS NOT NULL)
);
CREATE UNIQUE INDEX managed_certificates_name_live ON managed_certificates (name)
    WHERE status <> 'Archived';
CREATE INDEX managed_certificates_page ON managed_certificates (created_at, id);
CREATE INDEX managed_certificates_exp ON managed_certificates (coalesce(expires_at,
    'infinity'::timestamptz), id);
CREATE INDEX managed_certificates_due ON managed_certificates (expires_at)
    WHERE status NOT IN ('Archived', 'Revoked');
CREATE INDEX managed_certificates_renew ON managed_certificates (renew_at)
    WHERE status IN ('Active', 'Expiring', 'Expired') AND renew_at IS NOT NULL;
CREATE INDEX managed_certificates_status_i ON managed_certificates (status, created_at, id);
CREATE INDEX managed_certificates_owner ON managed_certificates (owner_id);
CREATE INDEX managed_certificates_team ON managed_certificates (team_id);
CREATE INDEX managed_certificates_issuer ON managed_certificates (issuer_id);
CREATE INDEX managed_certificates_policy ON managed_certificates (renewal_policy_id);
CREATE INDEX managed_certificates_profile ON managed_certificates (certificate_profile_id);

-- certificate_versions_serial_key is RFC 5280 section 4.1.2.2.
CREATE TABLE certificate_versions (
    id certctl_id PRIMARY KEY,
    certificate_id certctl_id NOT NULL REFERENCES managed_certificates ON DELETE RESTRICT,
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE RESTRICT, -- the issuer at issuance
    serial_number hex_serial NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    fingerprint_sha256 sha256_hex NOT NULL CONSTRAINT certificate_versions_fingerprint_key UNIQUE,
    spki_sha256 sha256_hex, -- same-key revocation, key reuse reports
    ca_id certctl_id,
    short_lived boolean NOT NULL DEFAULT false,
    pem_chain text NOT NULL,
    csr_pem text,
    key_algorithm text NOT NULL DEFAULT '',
    key_size integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (not_after > not_before),
    CONSTRAINT certificate_versions_serial_key UNIQUE (issuer_id, serial_number)
);
CREATE INDEX certificate_versions_cert ON certificate_versions (certificate_id, created_at DESC);
CREATE INDEX certificate_versions_ca ON certificate_versions (ca_id, not_after);
CREATE INDEX certificate_versions_created ON certificate_versions (created_at);
CREATE INDEX certificate_versions_spki ON certificate_versions (spki_sha256);
ALTER TABLE managed_certificates ADD FOREIGN KEY (current_version_id)
    REFERENCES certificate_versions ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE certificate_target_mappings (
    certificate_id certctl_id NOT NULL REFERENCES managed_certificates ON DELETE CASCADE,
    target_id certctl_id NOT NULL REFERENCES deployment_targets ON DELETE CASCADE,
    PRIMARY KEY (certificate_id, target_id)
);
CREATE INDEX certificate_target_mappings_target ON certificate_target_mappings (target_id);

CREATE TABLE certificate_revocations (
    id certctl_id PRIMARY KEY,
    -- NULL: orphan or discarded, no certificate of ours; or a CA's
    certificate_id certctl_id REFERENCES managed_certificates ON DELETE RESTRICT,
    source text NOT NULL DEFAULT 'request' CHECK (source IN ('request', 'orphan', 'discarded', 'ca')),
    serial_number hex_serial NOT NULL,
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE RESTRICT,
    reason text NOT NULL DEFAULT 'unspecified'
        CHECK (reason IN ('unspecified', 'keyCompromise', 'caCompromise', 'affiliationChanged',
            'superseded', 'cessationOfOperation', 'certificateHold', 'privilegeWithdrawn')),
    revoked_by text NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now(),
    not_after timestamptz, -- lets the CRL drop expired entries without a join
    ca_id certctl_id,
    invalidity_date timestamptz,
    lifted_at timestamptz,
    crl_entry_der bytea,
    crl_permanent boolean NOT NULL DEFAULT false,
    short_lived boolean NOT NULL DEFAULT false,
    issuer_notified boolean NOT NULL DEFAULT false,
    notify_attempts integer NOT NULL DEFAULT 0,
    next_notify_at timestamptz,
    notify_error text,
    claimed_by text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (certificate_id IS NOT NULL OR source IN ('orphan', 'discarded', 'ca')),
    CONSTRAINT certificate_revocations_serial_key UNIQUE (issuer_id, serial_number)
);
CREATE INDEX certificate_revocations_cert ON certificate_revocations (certificate_id);
CREATE INDEX certificate_revocations_notify ON certificate_revocations (next_notify_at)
    WHERE NOT issuer_notified;
CREATE INDEX certificate_revocations_crl ON certificate_revocations (ca_id, revoked_at,
    serial_number) WHERE lifted_at IS NULL;

CREATE TABLE policy_violations (
    id certctl_id PRIMARY KEY,
    certificate_id certctl_id NOT NULL REFERENCES managed_certificates ON DELETE CASCADE,
    rule_id certctl_id NOT NULL REFERENCES policy_rules ON DELETE CASCADE,
    message text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('Warning', 'Error', 'Critical')),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policy_violations_once UNIQUE (certificate_id, rule_id)
);
CREATE INDEX policy_violations_rule ON policy_violations (rule_id, created_at DESC);

-- Jobs, approvals, notifications

CREATE TABLE jobs (
    id certctl_id PRIMARY KEY,
    type text NOT NULL CHECK (type IN ('Issuance', 'Renewal', 'Deployment', 'Validation')),
    certificate_id certctl_id REFERENCES managed_certificates ON DELETE RESTRICT,
    target_id certctl_id REFERENCES deployment_targets ON DELETE RESTRICT,
    agent_id certctl_id REFERENCES agents ON DELETE RESTRICT,
    status text NOT NULL DEFAULT 'Pending'
        CHECK (status IN ('Pending', 'AwaitingCSR', 'AwaitingApproval', 'Running', 'Completed',
            'Failed', 'Cancelled')),
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    last_error text,
    deployment_result jsonb,
    csr_pem text, -- CSR waiting for approval or a remote issuer
    scheduled_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    claimed_by text,
    lease_until timestamptz,
    next_attempt_at timestamptz, -- 07 sections 1.7 and 3.7
    failure_class text
        CHECK (failure_class IN ('transient', 'permanent', 'timeout', 'agent_offline',
            'cancelled')),
    requested_by text,
    trigger text,
    approval_id certctl_id,
    trace_parent text,
    verification_status text NOT NULL DEFAULT 'pending'
        CHECK (verification_status IN ('pending', 'success', 'failed', 'skipped')),
    verified_at timestamptz,
    verification_fingerprint text,
    verification_expected text,
    verification_error text,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (type <> 'Deployment' OR target_id IS NOT NULL),
    CHECK (next_attempt_at IS NULL OR status = 'Failed'),
    CHECK ((status IN ('Completed', 'Cancelled') OR (status = 'Failed' AND next_attempt_at IS NULL))
        = (completed_at IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);
CREATE UNIQUE INDEX jobs_one_issuance ON jobs (certificate_id)
    WHERE type IN ('Issuance', 'Renewal') AND (status IN ('Pending', 'AwaitingCSR',
        'AwaitingApproval', 'Running') OR (status = 'Failed' AND next_attempt_at IS NOT NULL));
CREATE UNIQUE INDEX jobs_one_deployment ON jobs (certificate_id, target_id)
    WHERE type = 'Deployment' AND status IN ('Pending', 'Running');
CREATE INDEX jobs_queue ON jobs (scheduled_at, id) WHERE status = 'Pending';
CREATE INDEX jobs_agent_queue ON jobs (agent_id, created_at)
    WHERE status IN ('Pending', 'AwaitingCSR');
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE status = 'Running';
CREATE INDEX jobs_retry ON jobs (next_attempt_at)
    WHERE status = 'Failed' AND next_attempt_at IS NOT NULL;
CREATE INDEX jobs_page ON jobs (created_at DESC, id DESC);
CREATE INDEX jobs_status_page ON jobs (status, created_at DESC, id DESC);
CREATE INDEX jobs_cert ON jobs (certificate_id, created_at DESC);
CREATE INDEX jobs_target ON jobs (target_id, created_at DESC);
CREATE INDEX jobs_done ON jobs (completed_at) WHERE status IN ('Completed', 'Failed');

CREATE TABLE issuance_approval_requests (
    id certctl_id PRIMARY KEY,
    approval_kind text NOT NULL DEFAULT 'cert_issuance'
        CHECK (approval_kind IN ('cert_issuance', 'profile_edit')),
    certificate_id certctl_id REFERENCES managed_certificates ON DELETE RESTRICT,
    job_id certctl_id REFERENCES jobs ON DELETE RESTRICT,
    profile_id certctl_id NOT NULL REFERENCES certificate_profiles ON DELETE RESTRICT,
    requested_by text NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'approved', 'rejected', 'expired')),
    decided_by text,
    decided_at timestamptz,
    decision_note text,
    metadata jsonb NOT NULL DEFAULT '{}',
    payload jsonb,
    base_row_version bigint, -- profile version the edit was made against
    requested_by_user_id certctl_id,
    required_approvals integer NOT NULL DEFAULT 1 CHECK (required_approvals BETWEEN 1 AND 9),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT approval_decision
        CHECK ((state = 'pending') = (decided_at IS NULL) AND (state <> 'pending' OR decided_by IS
            NULL)),
    CONSTRAINT approval_kind_fields
        CHECK (CASE approval_kind WHEN 'cert_issuance' THEN certificate_id IS NOT NULL AND job_id IS
            NOT NULL ELSE payload IS NOT NULL END)
);
CREATE UNIQUE INDEX approval_pending_per_job ON issuance_approval_requests (job_id)
    WHERE state = 'pending' AND approval_kind = 'cert_issuance';
CREATE UNIQUE INDEX approval_pending_per_profile ON issuance_approval_requests (profile_id)
    WHERE state = 'pending' AND approval_kind = 'profile_edit';
CREATE INDEX approval_page ON issuance_approval_requests (state, created_at DESC);
CREATE INDEX approval_cert ON issuance_approval_requests (certificate_id);
ALTER TABLE jobs
    ADD FOREIGN KEY (approval_id) REFERENCES issuance_approval_requests ON DELETE RESTRICT;

CREATE TABLE approval_votes (
    approval_id certctl_id NOT NULL REFERENCES issuance_approval_requests ON DELETE CASCADE,
    actor text NOT NULL,
    user_id certctl_id,
    decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    note text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (approval_id, actor)
);

CREATE TABLE notification_events (
    id certctl_id PRIMARY KEY,
    type text NOT NULL
        CHECK (type IN ('ExpirationWarning', 'RenewalSuccess', 'RenewalFailure',
            'DeploymentSuccess', 'DeploymentFailure', 'PolicyViolation', 'Revocation',
            'EndpointHealth', 'AuditChainBreak', 'Digest', 'ApprovalRequested', 'SystemAlert')),
    certificate_id certctl_id REFERENCES managed_certificates ON DELETE CASCADE,
    channel text NOT NULL
        CHECK (channel IN ('Email', 'Webhook', 'Slack', 'Teams', 'PagerDuty', 'OpsGenie')),
    recipient text NOT NULL,
    message text NOT NULL,
    sent_at timestamptz,
    read_at timestamptz,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'sent', 'failed', 'dead', 'read')),
    error text,
    retry_count integer NOT NULL DEFAULT 0,
    next_retry_at timestamptz,
    last_error text,
    dedup_key text, -- replaces searching message texts with LIKE
    severity text CHECK (severity IN ('informational', 'warning', 'critical')),
    subject text,
    payload jsonb,
    content_type text NOT NULL DEFAULT 'text/plain',
    attempts integer NOT NULL DEFAULT 0,
    claimed_by text,
    lease_until timestamptz,
    expires_at timestamptz,
    remote_id text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX notification_events_dedup ON notification_events (dedup_key)
    WHERE dedup_key IS NOT NULL;
CREATE INDEX notification_events_page ON notification_events (created_at DESC, id DESC);
CREATE INDEX notification_events_status ON notification_events (status, created_at DESC);
CREATE INDEX notification_events_send ON notification_events (created_at) WHERE status = 'pending';
CREATE INDEX notification_events_retry ON notification_events (next_retry_at)
    WHERE status = 'failed' AND next_retry_at IS NOT NULL;
CREATE INDEX notification_events_cert ON notification_events (certificate_id);

-- Discovery, scans, health

CREATE TABLE discovery_scans (
    id certctl_id PRIMARY KEY,
    agent_id certctl_id NOT NULL REFERENCES agents ON DELETE RESTRICT,
    directories text[] NOT NULL DEFAULT '{}',
    certificates_found integer NOT NULL DEFAULT 0,
    certificates_new integer NOT NULL DEFAULT 0,
    errors_count integer NOT NULL DEFAULT 0,
    errors jsonb NOT NULL DEFAULT '[]',
    scan_duration_ms integer NOT NULL DEFAULT 0,
    network_scan_target_id certctl_id,
    state text NOT NULL DEFAULT 'completed' CHECK (state IN ('running', 'completed', 'failed')),
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX discovery_scans_page ON discovery_scans (started_at DESC, id DESC);
CREATE INDEX discovery_scans_agent ON discovery_scans (agent_id, started_at DESC);

CREATE TABLE discovered_certificates (
    id certctl_id PRIMARY KEY,
    fingerprint_sha256 sha256_hex NOT NULL,
    common_name text NOT NULL DEFAULT '',
    sans text[] NOT NULL DEFAULT '{}',
    serial_number text NOT NULL DEFAULT '',
    issuer_dn text NOT NULL DEFAULT '',
    subject_dn text NOT NULL DEFAULT '',
    not_before timestamptz,
    not_after timestamptz,
    key_algorithm text NOT NULL DEFAULT '',
    key_size integer NOT NULL DEFAULT 0,
    is_ca boolean NOT NULL DEFAULT false,
    pem_data text NOT NULL DEFAULT '',
    source_path text NOT NULL DEFAULT '',
    source_format text NOT NULL DEFAULT 'PEM',
    agent_id certctl_id NOT NULL REFERENCES agents ON DELETE RESTRICT,
    discovery_scan_id certctl_id REFERENCES discovery_scans ON DELETE SET NULL,
    managed_certificate_id certctl_id REFERENCES managed_certificates ON DELETE SET NULL,
    status text NOT NULL DEFAULT 'Unmanaged'
        CHECK (status IN ('Unmanaged', 'Managed', 'Dismissed')),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    dismissed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT discovered_certificates_seen UNIQUE (fingerprint_sha256, agent_id, source_path)
) WITH (fillfactor = 80);
CREATE INDEX discovered_page ON discovered_certificates (last_seen_at DESC, id DESC);
CREATE INDEX discovered_status ON discovered_certificates (status, last_seen_at DESC, id DESC);
CREATE INDEX discovered_agent ON discovered_certificates (agent_id, last_seen_at DESC);
CREATE INDEX discovered_exp ON discovered_certificates (not_after);
CREATE INDEX discovered_managed ON discovered_certificates (managed_certificate_id)
    WHERE managed_certificate_id IS NOT NULL;

CREATE TABLE network_scan_targets (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL,
    cidrs text[] NOT NULL DEFAULT '{}',
    ports integer[] NOT NULL DEFAULT '{443}',
    enabled boolean NOT NULL DEFAULT true,
    scan_interval_hours integer NOT NULL DEFAULT 6 CHECK (scan_interval_hours BETWEEN 1 AND 8760),
    timeout_ms integer NOT NULL DEFAULT 5000 CHECK (timeout_ms BETWEEN 100 AND 60000),
    last_scan_at timestamptz,
    last_scan_duration_ms integer,
    last_scan_certs_found integer,
    scan_requested_at timestamptz,
    claimed_by text,
    lease_until timestamptz,
    last_scan_errors integer,
    auto_health_check boolean NOT NULL DEFAULT false,
    starttls text NOT NULL DEFAULT '',
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE discovery_scans
    ADD FOREIGN KEY (network_scan_target_id) REFERENCES network_scan_targets ON DELETE SET NULL;
CREATE UNIQUE INDEX discovery_scans_running ON discovery_scans (network_scan_target_id)
    WHERE state = 'running';

CREATE TABLE scep_probe_results (
    id certctl_id PRIMARY KEY,
    target_url text NOT NULL,
    reachable boolean NOT NULL,
    advertised_caps text[] NOT NULL DEFAULT '{}',
    supports_rfc8894 boolean NOT NULL DEFAULT false,
    supports_aes boolean NOT NULL DEFAULT false,
    supports_post_operation boolean NOT NULL DEFAULT false,
    supports_renewal boolean NOT NULL DEFAULT false,
    supports_sha256 boolean NOT NULL DEFAULT false,
    supports_sha512 boolean NOT NULL DEFAULT false,
    ca_cert_subject text,
    ca_cert_issuer text,
    ca_cert_not_before timestamptz,
    ca_cert_not_after timestamptz,
    ca_cert_expired boolean NOT NULL DEFAULT false,
    ca_cert_algorithm text,
    ca_cert_chain_length integer NOT NULL DEFAULT 0,
    probed_at timestamptz NOT NULL,
    probe_duration_ms bigint NOT NULL DEFAULT 0,
    ra_cert_subject text,
    ra_cert_not_after timestamptz,
    supports_des3 boolean NOT NULL DEFAULT false,
    supports_sha1 boolean NOT NULL DEFAULT false,
    supports_get_next_ca_cert boolean NOT NULL DEFAULT false,
    error text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX scep_probe_results_recent ON scep_probe_results (probed_at DESC);
CREATE INDEX scep_probe_results_url ON scep_probe_results (target_url, probed_at DESC);

CREATE TABLE endpoint_health_checks (
    id certctl_id PRIMARY KEY,
    endpoint text NOT NULL CHECK (char_length(endpoint) BETWEEN 3 AND 300),
    certificate_id certctl_id REFERENCES managed_certificates ON DELETE SET NULL,
    network_scan_target_id certctl_id REFERENCES network_scan_targets ON DELETE SET NULL,
    expected_fingerprint text NOT NULL DEFAULT '',
    observed_fingerprint text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'unknown'
        CHECK (status IN ('healthy', 'degraded', 'down', 'cert_mismatch', 'unknown')),
    consecutive_failures integer NOT NULL DEFAULT 0,
    response_time_ms integer NOT NULL DEFAULT 0,
    tls_version text NOT NULL DEFAULT '',
    cipher_suite text NOT NULL DEFAULT '',
    cert_subject text NOT NULL DEFAULT '',
    cert_issuer text NOT NULL DEFAULT '',
    cert_expiry timestamptz,
    last_checked_at timestamptz,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    last_transition_at timestamptz,
    failure_reason text NOT NULL DEFAULT '',
    degraded_threshold integer NOT NULL DEFAULT 2,
    down_threshold integer NOT NULL DEFAULT 5,
    check_interval_seconds integer NOT NULL DEFAULT 300
        CHECK (check_interval_seconds BETWEEN 10 AND 86400),
    enabled boolean NOT NULL DEFAULT true,
    next_check_at timestamptz NOT NULL DEFAULT now(), -- due rows by one index range
    claimed_by text,
    lease_until timestamptz,
    server_name text NOT NULL DEFAULT '',
    starttls text NOT NULL DEFAULT '',
    acknowledged boolean NOT NULL DEFAULT false,
    acknowledged_by text NOT NULL DEFAULT '',
    acknowledged_at timestamptz,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (degraded_threshold BETWEEN 1 AND down_threshold AND down_threshold <= 100),
    CONSTRAINT endpoint_health_checks_endpoint_key UNIQUE (endpoint, server_name)
) WITH (fillfactor = 70);
CREATE INDEX endpoint_health_due ON endpoint_health_checks (next_check_at) WHERE enabled;
CREATE INDEX endpoint_health_status ON endpoint_health_checks (status);
CREATE INDEX endpoint_health_cert ON endpoint_health_checks (certificate_id)
    WHERE certificate_id IS NOT NULL;

-- Partitioned by day (partitions_ensure).
CREATE TABLE endpoint_health_history (
    id certctl_id NOT NULL,
    health_check_id certctl_id NOT NULL REFERENCES endpoint_health_checks ON DELETE CASCADE,
    status text NOT NULL,
    response_time_ms integer NOT NULL DEFAULT 0,
    fingerprint text NOT NULL DEFAULT '',
    failure_reason text NOT NULL DEFAULT '',
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, checked_at)
) PARTITION BY RANGE (checked_at);

CREATE TABLE endpoint_health_history_default PARTITION OF endpoint_health_history DEFAULT;
CREATE INDEX endpoint_health_history_page ON endpoint_health_history (health_check_id, checked_at
    DESC);

-- Service tables

CREATE TABLE schema_migrations (
    version text PRIMARY KEY,
    checksum sha256_hex,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- The state of every limiter; read and written through rl_take (functions/rate_limit.sql).
CREATE UNLOGGED TABLE rate_limit_buckets (
    bucket_key text PRIMARY KEY,
    timestamps timestamptz[] NOT NULL DEFAULT '{}',
    tokens double precision,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX rate_limit_buckets_age ON rate_limit_buckets (updated_at);

-- Logged, so that the windows of failed logins survive a crash; through rl_fail.
CREATE TABLE login_failures (
    bucket_key text PRIMARY KEY,
    timestamps timestamptz[] NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX login_failures_age ON login_failures (updated_at);

-- Logged. Scopes: acme_nonce, scep_intune:<pathID>, oidc_state, bcl.
CREATE TABLE replay_guard (
    scope text NOT NULL,
    key text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX replay_guard_age ON replay_guard (expires_at);

CREATE TABLE metric_counters (
    name text NOT NULL,
    labels text NOT NULL DEFAULT '',
    shard smallint NOT NULL DEFAULT 0,
    value double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (name, labels, shard)
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE metric_cache (
    key text PRIMARY KEY,
    body text NOT NULL,
    rendered_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE worker_registry (
    host text NOT NULL,
    pid integer NOT NULL,
    kind text NOT NULL,
    version text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host, pid)
) WITH (fillfactor = 50);

CREATE TABLE api_idempotency (
    actor text NOT NULL,
    key text NOT NULL,
    request_sha256 sha256_hex NOT NULL,
    status integer, -- NULL: the answer bore a secret
    content_type text,
    location text,
    etag text,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX api_idempotency_age ON api_idempotency (expires_at);

-- Authentication, authorization, audit

CREATE TABLE tenants (
    id certctl_id PRIMARY KEY,
    name name255 NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenants (id, name) VALUES ('t-default', 'default');

CREATE TABLE roles (
    id certctl_id PRIMARY KEY,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    name name255 NOT NULL,
    description text NOT NULL DEFAULT '',
    is_system boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT roles_name_key UNIQUE (tenant_id, name)
);

CREATE TABLE permissions (
    id certctl_id PRIMARY KEY,
    name text NOT NULL UNIQUE,
    namespace text NOT NULL
);

CREATE TABLE role_permissions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    role_id certctl_id NOT NULL REFERENCES roles ON DELETE CASCADE,
    permission_id certctl_id NOT NULL REFERENCES permissions ON DELETE RESTRICT,
    scope_type text NOT NULL DEFAULT 'global'
        CHECK (scope_type IN ('global', 'profile', 'issuer', 'actor')),
    scope_id certctl_id,
    CHECK ((scope_id IS NULL) = (scope_type IN ('global', 'actor'))),
    CONSTRAINT role_permissions_once UNIQUE NULLS NOT DISTINCT (role_id, permission_id, scope_type,
        scope_id)
);

CREATE TABLE actor_roles (
    id certctl_id PRIMARY KEY,
    actor_id text NOT NULL,
    actor_type text NOT NULL
        CHECK (actor_type IN ('User', 'System', 'Agent', 'APIKey', 'Anonymous')),
    role_id certctl_id NOT NULL REFERENCES roles ON DELETE RESTRICT,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    scope_type text NOT NULL DEFAULT 'global'
        CHECK (scope_type IN ('global', 'profile', 'issuer', 'actor')),
    scope_id certctl_id,
    granted_at timestamptz NOT NULL DEFAULT now(),
    granted_by text NOT NULL,
    expires_at timestamptz,
    CHECK ((scope_id IS NULL) = (scope_type IN ('global', 'actor'))),
    CONSTRAINT actor_roles_once UNIQUE NULLS NOT DISTINCT (actor_id, actor_type, role_id,
        scope_type, scope_id, tenant_id)
);
CREATE INDEX actor_roles_role ON actor_roles (role_id);

CREATE TABLE rbac_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL DEFAULT 1
);
INSERT INTO rbac_state DEFAULT VALUES;

CREATE TABLE api_keys (
    id certctl_id PRIMARY KEY,
    name text NOT NULL,
    key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    key_prefix text NOT NULL DEFAULT '',
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    admin boolean NOT NULL DEFAULT false,
    agent_id certctl_id REFERENCES agents ON DELETE RESTRICT,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    rotated_from certctl_id REFERENCES api_keys ON DELETE RESTRICT
) WITH (fillfactor = 70);
CREATE INDEX api_keys_name ON api_keys (name);
CREATE INDEX api_keys_agent ON api_keys (agent_id) WHERE agent_id IS NOT NULL;

CREATE TABLE env_key_seeds (
    name text PRIMARY KEY,
    seeded_at timestamptz NOT NULL DEFAULT now()
);

-- Written by certctl-migrate (06 sections 3.2 and 4.8).
CREATE TABLE env_keys (
    key_hash bytea PRIMARY KEY CHECK (octet_length(key_hash) = 32),
    name text NOT NULL
);

CREATE TABLE bootstrap_consumed (
    token_sha256 bytea PRIMARY KEY,
    consumed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE crypto_params (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    canary bytea NOT NULL
);

CREATE TABLE oidc_providers (
    id certctl_id PRIMARY KEY,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    name name255 NOT NULL,
    issuer_url text NOT NULL,
    client_id text NOT NULL,
    client_secret_encrypted bytea NOT NULL,
    redirect_uri text NOT NULL,
    groups_claim_path text NOT NULL DEFAULT 'groups',
    groups_claim_format text NOT NULL DEFAULT 'string-array'
        CHECK (groups_claim_format IN ('string-array', 'json-path')),
    fetch_userinfo boolean NOT NULL DEFAULT false,
    scopes text[] NOT NULL DEFAULT '{openid,profile,email}',
    allowed_email_domains text[] NOT NULL DEFAULT '{}',
    iat_window_seconds integer NOT NULL DEFAULT 300 CHECK (iat_window_seconds BETWEEN 1 AND 600),
    jwks_cache_ttl_seconds integer NOT NULL DEFAULT 3600 CHECK (jwks_cache_ttl_seconds >= 60),
    enabled boolean NOT NULL DEFAULT true,
    rp_logout boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT oidc_providers_name_key UNIQUE (tenant_id, name)
);

CREATE TABLE oidc_cache (
    provider_id certctl_id PRIMARY KEY REFERENCES oidc_providers ON DELETE CASCADE,
    discovery jsonb,
    jwks jsonb,
    fetched_at timestamptz,
    expires_at timestamptz,
    refresh_lease_until timestamptz,
    forced_not_before timestamptz,
    refresh_count bigint NOT NULL DEFAULT 0,
    last_error text,
    last_error_at timestamptz,
    rejected_jws_count bigint NOT NULL DEFAULT 0
);

CREATE TABLE group_role_mappings (
    id certctl_id PRIMARY KEY,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    provider_id certctl_id NOT NULL REFERENCES oidc_providers ON DELETE CASCADE,
    group_name text NOT NULL CHECK (char_length(group_name) <= 1024),
    role_id certctl_id NOT NULL REFERENCES roles ON DELETE RESTRICT,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT group_role_mappings_once UNIQUE (provider_id, group_name, role_id)
);
CREATE INDEX group_role_mappings_role ON group_role_mappings (role_id);

CREATE TABLE users (
    id certctl_id PRIMARY KEY,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    email text NOT NULL DEFAULT '',
    display_name text NOT NULL DEFAULT '',
    oidc_subject text,
    oidc_provider_id certctl_id REFERENCES oidc_providers ON DELETE RESTRICT,
    local boolean NOT NULL DEFAULT false,
    last_login_at timestamptz,
    webauthn_credentials jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deactivated_at timestamptz,
    purged_at timestamptz,
    CONSTRAINT users_subject_key UNIQUE (oidc_provider_id, oidc_subject),
    CHECK (local = (oidc_provider_id IS NULL))
);
CREATE INDEX users_retention ON users (deactivated_at)
    WHERE deactivated_at IS NOT NULL AND purged_at IS NULL;

CREATE TABLE session_signing_keys (
    id certctl_id PRIMARY KEY,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    key_material_encrypted bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
CREATE UNIQUE INDEX session_signing_keys_active ON session_signing_keys (tenant_id)
    WHERE retired_at IS NULL;

CREATE TABLE sessions (
    id certctl_id PRIMARY KEY,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    actor_id text NOT NULL,
    actor_type text NOT NULL DEFAULT 'User',
    signing_key_id certctl_id NOT NULL REFERENCES session_signing_keys ON DELETE RESTRICT,
    csrf_token_hash sha256_hex NOT NULL,
    csrf_prev_hash sha256_hex,
    csrf_rotated_at timestamptz,
    csrf_stale boolean NOT NULL DEFAULT false,
    idle_expires_at timestamptz NOT NULL,
    absolute_expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    ip_address text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 512),
    revoked_at timestamptz,
    revoke_reason text,
    auth_method text NOT NULL DEFAULT 'oidc' CHECK (auth_method IN ('oidc', 'breakglass')),
    oidc_provider_id certctl_id REFERENCES oidc_providers ON DELETE RESTRICT,
    oidc_sid text,
    idp_groups text[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70);
CREATE INDEX sessions_actor ON sessions (actor_id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_sid ON sessions (oidc_provider_id, oidc_sid) WHERE oidc_sid IS NOT NULL;
CREATE INDEX sessions_gc ON sessions (absolute_expires_at);
CREATE INDEX sessions_key ON sessions (signing_key_id);

CREATE TABLE breakglass_credentials (
    id certctl_id PRIMARY KEY,
    tenant_id certctl_id NOT NULL DEFAULT 't-default' REFERENCES tenants ON DELETE RESTRICT,
    actor_id certctl_id NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_password_change_at timestamptz NOT NULL DEFAULT now(),
    failure_count integer NOT NULL DEFAULT 0,
    locked_until timestamptz,
    last_failure_at timestamptz
);

CREATE SEQUENCE audit_events_seq AS bigint;

-- Partitioned by month (partitions_ensure); leaf hash: functions/audit.sql.
CREATE TABLE audit_events (
    seq bigint NOT NULL DEFAULT nextval('audit_events_seq'),
    id certctl_id NOT NULL,
    actor varchar(255) NOT NULL,
    actor_type audit_actor_type NOT NULL,
    action varchar(255) NOT NULL,
    resource_type varchar(255) NOT NULL,
    resource_id varchar(255) NOT NULL DEFAULT '',
    details jsonb,
    "timestamp" timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_category audit_category NOT NULL DEFAULT 'cert_lifecycle',
    source_ip inet,
    request_id text,
    PRIMARY KEY (seq, "timestamp")
) PARTITION BY RANGE ("timestamp");

CREATE TABLE audit_events_default PARTITION OF audit_events DEFAULT;
-- No further index until a query needs it: audit rows cost every writer.
CREATE INDEX audit_events_time ON audit_events USING brin ("timestamp");
-- 07 section 13.
CREATE VIEW audit_events_compat AS SELECT *, action AS event_type, details AS metadata FROM
    audit_events;

-- Refusals merged per minute; the sealing job writes each out as one event.
CREATE TABLE audit_refusals (
    minute timestamptz NOT NULL,
    action text NOT NULL,
    address text NOT NULL,
    reason text NOT NULL,
    subject text NOT NULL DEFAULT '',
    count bigint NOT NULL DEFAULT 1,
    sample jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (minute, action, address, reason, subject)
) WITH (fillfactor = 50);

CREATE TABLE audit_seal_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    max_seq bigint NOT NULL DEFAULT 0,
    pending int8multirange NOT NULL DEFAULT '{}',
    pending_marks jsonb NOT NULL DEFAULT '[]',
    next_seal_no bigint NOT NULL DEFAULT 1,
    last_seal_hash bytea
);
INSERT INTO audit_seal_state DEFAULT VALUES;

CREATE TABLE audit_seals (
    seal_no bigint PRIMARY KEY,
    members int8multirange NOT NULL,
    void int8multirange NOT NULL DEFAULT '{}',
    row_count integer NOT NULL,
    leaves bytea NOT NULL CHECK (octet_length(leaves) = 32 * row_count),
    merkle_root bytea NOT NULL,
    prev_seal_hash bytea,
    seal_hash bytea NOT NULL UNIQUE,
    key_id text,
    signature bytea,
    min_ts timestamptz NOT NULL,
    max_ts timestamptz NOT NULL,
    sealed_at timestamptz NOT NULL,
    tsa_token bytea
);

CREATE TABLE audit_seal_archive (
    seal_no bigint PRIMARY KEY REFERENCES audit_seals,
    archived_file text NOT NULL,
    archived_sha256 sha256_hex NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit_holds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "from" timestamptz NOT NULL,
    "to" timestamptz NOT NULL,
    reason text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
);

CREATE TABLE audit_verify_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    breaks bigint NOT NULL DEFAULT 0,
    walks bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    last_good_seal bigint NOT NULL DEFAULT 0,
    last_verified_at timestamptz,
    last_full_walk_at timestamptz,
    first_break_id text,
    first_break_pos bigint,
    acknowledged_at timestamptz,
    acknowledged_by text
);
INSERT INTO audit_verify_state DEFAULT VALUES;

CREATE TABLE audit_ship_state (
    sink text PRIMARY KEY,
    last_seal_no bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    last_error text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- The name that runbooks use (04 section 15.2).
CREATE VIEW auth_session_signing_keys AS SELECT * FROM session_signing_keys;

-- ACME server

CREATE TABLE acme_profile_settings (
    profile_id certctl_id PRIMARY KEY REFERENCES certificate_profiles ON DELETE CASCADE,
    settings jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE acme_nonce_keys (
    key_id smallint PRIMARY KEY CHECK (key_id BETWEEN 0 AND 255),
    secret_enc bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);

CREATE TABLE acme_eab_keys (
    kid certctl_id PRIMARY KEY,
    hmac_enc bytea NOT NULL,
    profile_id certctl_id REFERENCES certificate_profiles ON DELETE RESTRICT,
    owner_id certctl_id REFERENCES owners ON DELETE RESTRICT,
    team_id certctl_id REFERENCES teams ON DELETE RESTRICT,
    allowed_identifiers jsonb,
    reusable boolean NOT NULL DEFAULT false,
    expires_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    bound_at timestamptz,
    bound_account_id certctl_id,
    revoked_at timestamptz
);

CREATE TABLE acme_accounts (
    account_id certctl_id PRIMARY KEY,
    jwk_thumbprint text NOT NULL,
    jwk_pem text NOT NULL,
    contact text[] NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'valid' CHECK (status IN ('valid', 'deactivated', 'revoked')),
    profile_id certctl_id NOT NULL REFERENCES certificate_profiles ON DELETE RESTRICT,
    owner_id certctl_id REFERENCES owners ON DELETE RESTRICT,
    eab_kid certctl_id REFERENCES acme_eab_keys ON DELETE RESTRICT,
    tos_agreed_at timestamptz,
    created_ip inet,
    allowed_identifiers jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT acme_accounts_key UNIQUE (profile_id, jwk_thumbprint)
);
CREATE INDEX acme_accounts_valid ON acme_accounts (status) WHERE status = 'valid';
CREATE INDEX acme_accounts_owner ON acme_accounts (owner_id);
CREATE INDEX acme_accounts_eab ON acme_accounts (eab_kid) WHERE eab_kid IS NOT NULL;

CREATE TABLE acme_orders (
    order_id certctl_id PRIMARY KEY,
    account_id certctl_id NOT NULL REFERENCES acme_accounts ON DELETE RESTRICT,
    identifiers jsonb NOT NULL,
    status acme_order_status NOT NULL,
    expires_at timestamptz NOT NULL,
    not_before timestamptz,
    not_after timestamptz,
    error jsonb,
    csr_pem text,
    certificate_id certctl_id REFERENCES managed_certificates ON DELETE SET NULL,
    profile_id certctl_id REFERENCES certificate_profiles ON DELETE RESTRICT,
    cert_profile_id certctl_id REFERENCES certificate_profiles ON DELETE RESTRICT,
    issuer_id certctl_id REFERENCES issuers ON DELETE RESTRICT,
    auth_mode acme_auth_mode,
    identifiers_hash bytea, -- the account is in it
    certificate_version_id certctl_id REFERENCES certificate_versions ON DELETE SET NULL,
    job_id certctl_id REFERENCES jobs ON DELETE SET NULL,
    csr_sha256 bytea,
    caa_checked_at timestamptz,
    caa_due boolean NOT NULL DEFAULT false, -- it has its job, which waits for acme-finalize
    claimed_by text,
    lease_until timestamptz,
    finalize_attempts integer NOT NULL DEFAULT 0,
    replaces_ari text,
    replaces_certificate_id certctl_id REFERENCES managed_certificates ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX acme_orders_account ON acme_orders (account_id, created_at DESC, order_id DESC);
-- Of all states: it finds an order to reuse and the certificates that a new one supersedes.
CREATE INDEX acme_orders_reuse ON acme_orders (identifiers_hash);
CREATE INDEX acme_orders_open ON acme_orders (account_id, expires_at)
    WHERE status IN ('pending', 'ready', 'processing');
-- For acme-finalize: few at any time, and no column that its claims write.
CREATE INDEX acme_orders_processing ON acme_orders (created_at, order_id) WHERE status = 'processing';
-- The newest for operators, the oldest for acme-gc: an order is older than its expiry.
CREATE INDEX acme_orders_created ON acme_orders (created_at);
CREATE INDEX acme_orders_unissued ON acme_orders (expires_at)
    WHERE certificate_id IS NULL AND status IN ('valid', 'invalid');
CREATE INDEX acme_orders_cert ON acme_orders (certificate_id) WHERE certificate_id IS NOT NULL;
CREATE INDEX acme_orders_job ON acme_orders (job_id) WHERE job_id IS NOT NULL;
CREATE UNIQUE INDEX acme_orders_replaces ON acme_orders (replaces_certificate_id)
    WHERE replaces_certificate_id IS NOT NULL AND status <> 'invalid';

CREATE TABLE acme_authorizations (
    authz_id certctl_id PRIMARY KEY,
    order_id certctl_id REFERENCES acme_orders ON DELETE SET NULL,
    identifier jsonb NOT NULL,
    status acme_authorization_status NOT NULL,
    expires_at timestamptz NOT NULL,
    -- shared by the challenges, whose rows are made on demand (01 section 9.5)
    token text NOT NULL DEFAULT '',
    wildcard boolean NOT NULL DEFAULT false,
    account_id certctl_id NOT NULL REFERENCES acme_accounts ON DELETE RESTRICT,
    -- CAA let us issue at that time (01 section 11.6)
    caa_checked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX acme_authorizations_reuse ON acme_authorizations (account_id, (identifier->>'value'))
    WHERE status = 'valid';
-- What waits for its proof before anything was ordered.
CREATE INDEX acme_authorizations_ahead ON acme_authorizations (account_id, (identifier->>'value'))
    WHERE status = 'pending' AND order_id IS NULL;
-- For acme-gc: without it each order that goes would be looked for in the whole table.
CREATE INDEX acme_authorizations_order ON acme_authorizations (order_id);
CREATE INDEX acme_authorizations_expiry ON acme_authorizations (expires_at)
    WHERE status IN ('pending', 'valid');

CREATE TABLE acme_order_authorizations (
    order_id certctl_id NOT NULL REFERENCES acme_orders ON DELETE CASCADE,
    authz_id certctl_id NOT NULL REFERENCES acme_authorizations ON DELETE CASCADE,
    position integer NOT NULL,
    PRIMARY KEY (order_id, authz_id)
);
CREATE INDEX acme_order_authorizations_authz ON acme_order_authorizations (authz_id);

CREATE TABLE acme_challenges (
    challenge_id certctl_id PRIMARY KEY,
    authz_id certctl_id NOT NULL REFERENCES acme_authorizations ON DELETE CASCADE,
    -- the authorization's; stands here too for the turns of the accounts
    account_id certctl_id NOT NULL REFERENCES acme_accounts ON DELETE RESTRICT,
    type acme_challenge_type NOT NULL,
    status acme_challenge_status NOT NULL,
    token text NOT NULL DEFAULT '',
    validated_at timestamptz,
    error jsonb,
    thumbprint text,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    claimed_by text,
    lease_until timestamptz,
    validation_record jsonb,
    -- what the client that answered calls its account: CAA, dns-account-01 and dns-persist-01 want it
    account_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX acme_challenges_authz ON acme_challenges (authz_id, type);
CREATE INDEX acme_challenges_queue ON acme_challenges (account_id, type, next_attempt_at)
    WHERE status = 'processing';

CREATE TABLE acme_validation_results (
    challenge_id certctl_id NOT NULL REFERENCES acme_challenges ON DELETE CASCADE,
    attempt integer NOT NULL,
    perspective text NOT NULL,
    ok boolean NOT NULL,
    problem jsonb,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (challenge_id, attempt, perspective)
);

-- EST, SCEP, trust bundles

CREATE TABLE est_requests (
    id certctl_id PRIMARY KEY,
    path_id text NOT NULL,
    op text NOT NULL CHECK (op IN ('simpleenroll', 'simplereenroll', 'serverkeygen', 'fullcmc')),
    csr_sha256 bytea NOT NULL,
    principal text NOT NULL,
    source_ip inet,
    state text NOT NULL CHECK (state IN ('pending', 'issued', 'rejected', 'failed')),
    job_id certctl_id REFERENCES jobs ON DELETE SET NULL,
    certificate_version_id certctl_id REFERENCES certificate_versions ON DELETE SET NULL,
    channel_binding text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX est_requests_live ON est_requests (path_id, op, csr_sha256, principal)
    WHERE state IN ('pending', 'issued');
CREATE INDEX est_requests_job ON est_requests (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX est_requests_age ON est_requests (expires_at);

CREATE TABLE scep_transactions (
    path_id text NOT NULL,
    transaction_id text NOT NULL,
    csr_sha256 bytea NOT NULL,
    message_type smallint NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'issued', 'rejected', 'failed')),
    signer_spki_sha256 bytea NOT NULL,
    csr_spki_sha256 bytea NOT NULL,
    challenge_sha256 bytea,
    certificate_version_id certctl_id REFERENCES certificate_versions ON DELETE SET NULL,
    job_id certctl_id REFERENCES jobs ON DELETE SET NULL,
    fail_info smallint,
    fail_text text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (path_id, transaction_id, csr_sha256)
);
CREATE INDEX scep_transactions_poll ON scep_transactions (path_id, transaction_id, created_at DESC);
CREATE INDEX scep_transactions_job ON scep_transactions (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX scep_transactions_age ON scep_transactions (expires_at);

CREATE TABLE scep_challenges (
    id certctl_id PRIMARY KEY,
    path_id text NOT NULL,
    challenge_sha256 bytea NOT NULL UNIQUE,
    common_name text,
    sans text[],
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    used_serial hex_serial
);
CREATE INDEX scep_challenges_age ON scep_challenges (expires_at);

CREATE TABLE scep_profile_state (
    path_id text NOT NULL,
    host text NOT NULL,
    issuer_id certctl_id,
    ra_subject text,
    ra_not_before timestamptz,
    ra_not_after timestamptz,
    ra_key_algorithm text,
    ra_previous_count integer NOT NULL DEFAULT 0,
    last_loaded_at timestamptz,
    last_error text,
    PRIMARY KEY (path_id, host)
);

CREATE TABLE scep_intune_tokens (
    path_id text NOT NULL,
    scope text NOT NULL,
    token_enc bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (path_id, scope)
);

CREATE TABLE trust_bundles (
    surface text NOT NULL CHECK (surface IN ('est', 'scep')),
    path_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('mtls', 'intune')),
    generation bigint NOT NULL,
    pem text NOT NULL,
    sha256 sha256_hex NOT NULL,
    cert_count integer NOT NULL,
    not_after_min timestamptz NOT NULL,
    source_path text NOT NULL,
    host text NOT NULL,
    loaded_by text NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (surface, path_id, kind, generation)
);

CREATE TABLE trust_bundle_status (
    surface text NOT NULL,
    path_id text NOT NULL,
    kind text NOT NULL,
    host text NOT NULL,
    last_error text,
    last_attempt_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (surface, path_id, kind, host)
);

-- PKI core

CREATE TABLE ca_instances (
    id certctl_id PRIMARY KEY,
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE RESTRICT,
    intermediate_ca_id certctl_id REFERENCES intermediate_cas ON DELETE RESTRICT,
    cert_der bytea NOT NULL,
    subject_der bytea NOT NULL,
    chain_pem text NOT NULL,
    key_ref text NOT NULL,
    key_algorithm text NOT NULL
        CHECK (key_algorithm IN ('RSA-2048', 'RSA-3072', 'RSA-4096', 'ECDSA-P256', 'ECDSA-P384')),
    ski bytea NOT NULL,
    name_sha1 bytea NOT NULL,
    key_sha1 bytea NOT NULL,
    name_sha256 bytea NOT NULL,
    key_sha256 bytea NOT NULL,
    -- What clients may have in place of chain_pem: PEM, this CA's subject and key first
    alternate_chains text[] NOT NULL DEFAULT '{}' CHECK (cardinality(alternate_chains) <= 8),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retiring', 'retired', 'lost')),
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    path_len integer,
    crl_number bigint NOT NULL DEFAULT 0,
    crl_dirty_since timestamptz,
    crl_batched_at timestamptz,  -- the same of a revocation of many: each batch moves it ahead
    superseded_at timestamptz,   -- retiring because another CA issues in its place
    facts_close_due timestamptz, -- retired, and its signer is yet to be told
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ca_instances_close ON ca_instances (facts_close_due) WHERE facts_close_due IS NOT NULL;
CREATE UNIQUE INDEX ca_instances_one_active ON ca_instances (issuer_id)
    WHERE state = 'active' AND intermediate_ca_id IS NULL;
CREATE INDEX ca_instances_key_sha1 ON ca_instances (issuer_id, key_sha1);
CREATE INDEX ca_instances_key_sha256 ON ca_instances (issuer_id, key_sha256);
CREATE INDEX ca_instances_ski ON ca_instances (ski);
ALTER TABLE certificate_versions ADD FOREIGN KEY (ca_id) REFERENCES ca_instances ON DELETE RESTRICT;
ALTER TABLE certificate_revocations
    ADD FOREIGN KEY (ca_id) REFERENCES ca_instances ON DELETE RESTRICT;

CREATE TABLE ca_requests (
    id certctl_id PRIMARY KEY,
    kind text NOT NULL
        CHECK (kind IN ('bootstrap', 'self_signed', 'create_child', 'csr', 'import', 'sign_csr', 'renew', 'retire',
            'register_root', 'facts')),
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE RESTRICT,
    body jsonb NOT NULL,
    requested_by text NOT NULL,
    request_id text,
    fields_sha256 sha256_hex NOT NULL,
    approved_at timestamptz,
    approved_by text, -- display only; what counts is the file on the signer's host (04 section 5.2)
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'approved', 'done', 'failed', 'expired')),
    intermediate_ca_id certctl_id REFERENCES intermediate_cas ON DELETE SET NULL,
    key_ref text, -- the key that was made or used
    result text,  -- PEM to be fetched: a request for a CA elsewhere, or the certificate it asked for
    error_status integer,
    error text,
    claimed_by text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX ca_requests_open ON ca_requests (created_at) WHERE state IN ('pending', 'approved');

-- How far certctl-job-signer-reconcile has read (04 section 4.5).
CREATE TABLE signer_log_cursors (
    node_id text PRIMARY KEY,
    line_no bigint NOT NULL DEFAULT 0,
    line_sha256 sha256_hex,
    inode bigint,
    byte_offset bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Signatures in a signer's log that no row of ours accounts for yet: recorded soon, or an orphan.
CREATE TABLE signer_log_unrecorded (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id text NOT NULL,
    line_no bigint NOT NULL,
    ca_sha256 sha256_hex NOT NULL,
    serial_number hex_serial NOT NULL,
    certificate_sha256 sha256_hex NOT NULL,
    not_after timestamptz NOT NULL,
    peer text NOT NULL,
    signed_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    told boolean NOT NULL DEFAULT false, -- of a CA that we do not know: an operator has been told
    UNIQUE (ca_sha256, serial_number)
);

CREATE TABLE blocked_keys (
    spki_sha256 sha256_hex PRIMARY KEY,
    reason text NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What the lints of a release said of what was issued; error NULL and no warnings: nothing.
CREATE TABLE certificate_lints (
    version_id certctl_id PRIMARY KEY REFERENCES certificate_versions ON DELETE CASCADE,
    linter integer NOT NULL,
    error text,
    warnings text[], -- NULL: none
    linted_at timestamptz NOT NULL DEFAULT now()
);
-- Where certctl-job-certificate-lint is in its walk over all versions, by id.
CREATE TABLE certificate_lint_walk (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    after text NOT NULL DEFAULT ''
);
INSERT INTO certificate_lint_walk DEFAULT VALUES;

CREATE TABLE certificate_version_keys (
    version_id certctl_id PRIMARY KEY REFERENCES certificate_versions ON DELETE CASCADE,
    job_id certctl_id REFERENCES jobs ON DELETE SET NULL,
    key_enc bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE crl_cache (
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE CASCADE,
    ca_id certctl_id NOT NULL REFERENCES ca_instances ON DELETE CASCADE,
    kind text NOT NULL DEFAULT 'full' CHECK (kind IN ('full', 'delta')),
    crl_der bytea NOT NULL,
    crl_number bigint NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL,
    generated_at timestamptz NOT NULL DEFAULT now(),
    generation_duration_ms integer NOT NULL DEFAULT 0,
    revoked_count integer NOT NULL DEFAULT 0,
    etag text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer_id, ca_id, kind)
);
-- Read in slices by the hosts that publish it.
ALTER TABLE crl_cache ALTER crl_der SET STORAGE EXTERNAL;

-- A list on its way into crl_cache, in pieces that its builder sends one by one. Empty but for the
-- transaction that stores.
CREATE UNLOGGED TABLE crl_pieces (
    ca_id certctl_id NOT NULL,
    position integer NOT NULL,
    piece bytea NOT NULL,
    PRIMARY KEY (ca_id, position)
);
ALTER TABLE crl_pieces ALTER piece SET STORAGE EXTERNAL;

CREATE TABLE crl_generation_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE CASCADE,
    ca_id certctl_id REFERENCES ca_instances ON DELETE CASCADE,
    started_at timestamptz NOT NULL,
    duration_ms integer NOT NULL DEFAULT 0,
    succeeded boolean NOT NULL,
    crl_number bigint,
    revoked_count integer NOT NULL DEFAULT 0,
    error text
);
CREATE INDEX crl_generation_events_page ON crl_generation_events (ca_id, started_at DESC);

CREATE TABLE ocsp_responders (
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE CASCADE,
    ca_id certctl_id NOT NULL REFERENCES ca_instances ON DELETE CASCADE,
    node_id text NOT NULL,
    cert_pem text,
    cert_serial hex_serial,
    key_path text,
    key_alg text NOT NULL,
    not_before timestamptz,
    not_after timestamptz,
    wanted_spki bytea,
    wanted_key_path text, -- waits for its certificate (04 section 12)
    CHECK (wanted_spki IS NOT NULL OR (cert_pem IS NOT NULL AND cert_serial IS NOT NULL AND key_path
        IS NOT NULL AND not_after IS NOT NULL)),
    rotated_from hex_serial,
    -- the walk of this host's job that signs ahead (04 section 10.6)
    ahead_begun_at timestamptz,
    ahead_not_after timestamptz, -- it came so far; NULL: to the end
    ahead_serial hex_serial,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer_id, ca_id, node_id)
);
-- The name that runbooks use (04 section 12).
CREATE VIEW ocsp_responder_certs AS SELECT *, ''::text AS cert_subject FROM ocsp_responders;

-- Answers that may be given again (04 section 10.6). A cache: nothing that must survive a crash, and no
-- foreign keys, which would cost more than the signature that a row saves.
CREATE UNLOGGED TABLE ocsp_response_cache (
    issuer_id certctl_id NOT NULL,
    serial_hex hex_serial NOT NULL,
    hash_alg text NOT NULL DEFAULT 'sha1',
    response_der bytea NOT NULL,
    cert_status text NOT NULL CHECK (cert_status IN ('good', 'revoked', 'unknown')),
    revocation_reason text,
    revoked_at timestamptz,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL,
    generated_at timestamptz NOT NULL DEFAULT now(),
    ca_id certctl_id,
    responder_serial hex_serial,
    PRIMARY KEY (issuer_id, serial_hex, hash_alg)
);
CREATE INDEX ocsp_response_cache_age ON ocsp_response_cache (next_update);

CREATE TABLE ocsp_invalidations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer_id certctl_id NOT NULL,
    ca_id certctl_id,
    serial_hex hex_serial NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ocsp_invalidations_age ON ocsp_invalidations (created_at);

CREATE TABLE ocsp_edge_cursors (
    node_id text PRIMARY KEY,
    last_id bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Issuers

CREATE TABLE issuer_orders (
    id certctl_id PRIMARY KEY,
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE RESTRICT,
    certificate_id certctl_id REFERENCES managed_certificates ON DELETE RESTRICT,
    job_id certctl_id REFERENCES jobs ON DELETE RESTRICT,
    kind text NOT NULL CHECK (kind IN ('issue', 'renew')),
    state text NOT NULL DEFAULT 'new'
        CHECK (state IN ('new', 'submitting', 'unknown', 'pending', 'ready', 'issued', 'failed',
            'expired', 'cancelled')),
    idempotency_key uuid NOT NULL UNIQUE,
    csr_pem text NOT NULL,
    csr_sha256 bytea NOT NULL,
    request jsonb NOT NULL DEFAULT '{}',
    provider_order_id text,
    provider_cert_id text,
    provider_state jsonb NOT NULL DEFAULT '{}',
    attempts integer NOT NULL DEFAULT 0,
    polls integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    window_until timestamptz,
    deadline_at timestamptz,
    claimed_by text,
    lease_until timestamptz,
    error_class text,
    error_msg text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX issuer_orders_live_job ON issuer_orders (job_id)
    WHERE state IN ('new', 'submitting', 'unknown', 'pending', 'ready');
CREATE INDEX issuer_orders_due ON issuer_orders (next_at)
    WHERE state IN ('new', 'submitting', 'unknown', 'pending', 'ready');
CREATE INDEX issuer_orders_state ON issuer_orders (issuer_id, state);
CREATE INDEX issuer_orders_cert ON issuer_orders (certificate_id);

CREATE TABLE issuer_accounts (
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE CASCADE,
    directory_url text NOT NULL,
    account_url text,
    key_sealed bytea NOT NULL,
    eab_kid text,
    eab_hmac_sealed bytea,
    contact text,
    status text NOT NULL DEFAULT 'valid',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer_id, directory_url)
);

CREATE TABLE issuer_tokens (
    issuer_id certctl_id PRIMARY KEY REFERENCES issuers ON DELETE CASCADE,
    token_sealed bytea,
    expires_at timestamptz,
    refresh_after timestamptz,
    meta jsonb NOT NULL DEFAULT '{}',
    refresh_lease_until timestamptz
);

CREATE UNLOGGED TABLE issuer_http_challenges (
    token text PRIMARY KEY,
    key_authorization text NOT NULL,
    identifier text NOT NULL,
    issuer_id certctl_id NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Jobs, renewal, alerts

CREATE TABLE scheduler_state (
    job text PRIMARY KEY,
    interval_ms bigint NOT NULL,
    next_due_at timestamptz NOT NULL DEFAULT '-infinity',
    last_started_at timestamptz,
    last_finished_at timestamptz,
    last_success_at timestamptz,
    last_result text,
    last_error text,
    last_duration_ms bigint,
    last_host text,
    last_pid integer,
    items_ok bigint NOT NULL DEFAULT 0,
    items_failed bigint NOT NULL DEFAULT 0,
    consecutive_failures integer NOT NULL DEFAULT 0,
    run_requested_at timestamptz,
    run_requested_by text
) WITH (fillfactor = 50);

CREATE TABLE scheduler_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    result text,
    items_ok bigint NOT NULL DEFAULT 0,
    items_failed bigint NOT NULL DEFAULT 0,
    error text
);
CREATE INDEX scheduler_runs_job ON scheduler_runs (job, started_at DESC);
CREATE INDEX scheduler_runs_age ON scheduler_runs USING brin (started_at);

CREATE TABLE renewal_info (
    certificate_id certctl_id PRIMARY KEY REFERENCES managed_certificates ON DELETE CASCADE,
    version_id certctl_id NOT NULL REFERENCES certificate_versions ON DELETE CASCADE,
    issuer_id certctl_id NOT NULL REFERENCES issuers ON DELETE CASCADE,
    window_start timestamptz,
    window_end timestamptz,
    explanation_url text,
    selected_at timestamptz,
    fetched_at timestamptz,
    next_poll_at timestamptz NOT NULL DEFAULT now(),
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    claimed_by text,
    lease_until timestamptz
);
CREATE INDEX renewal_info_due ON renewal_info (next_poll_at);
CREATE INDEX renewal_info_selected ON renewal_info (selected_at) WHERE selected_at IS NOT NULL;

CREATE TABLE expiry_alerts (
    certificate_id certctl_id NOT NULL REFERENCES managed_certificates ON DELETE CASCADE,
    not_after timestamptz NOT NULL,
    threshold integer NOT NULL,
    channel text NOT NULL,
    outcome text NOT NULL DEFAULT 'queued',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (certificate_id, not_after, threshold, channel)
);

-- Agents and targets

CREATE TABLE certificate_target_state (
    certificate_id certctl_id NOT NULL REFERENCES managed_certificates ON DELETE CASCADE,
    target_id certctl_id NOT NULL REFERENCES deployment_targets ON DELETE CASCADE,
    fingerprint_sha256 sha256_hex,
    deployed_at timestamptz,
    verified_at timestamptz,
    job_id certctl_id REFERENCES jobs ON DELETE SET NULL,
    PRIMARY KEY (certificate_id, target_id)
);
CREATE INDEX certificate_target_state_target ON certificate_target_state (target_id);

-- Keys handed over between agents, opaque to the server.
CREATE TABLE agent_sealed_keys (
    job_id certctl_id NOT NULL REFERENCES jobs ON DELETE CASCADE,
    agent_id certctl_id NOT NULL REFERENCES agents ON DELETE CASCADE,
    cms bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, agent_id)
);
-- The name that runbooks use (04 section 15.2).
CREATE VIEW targets AS SELECT * FROM deployment_targets;

-- Triggers: row versions

DO $$
DECLARE
    touched text;
BEGIN
    FOREACH touched IN ARRAY ARRAY['teams', 'owners', 'certificate_profiles', 'agent_groups',
                                   'renewal_policies', 'policy_rules', 'intermediate_cas'] LOOP
        EXECUTE format('CREATE TRIGGER touch BEFORE UPDATE ON %I
                            FOR EACH ROW EXECUTE FUNCTION touch_row()', touched);
    END LOOP;
END $$;
CREATE TRIGGER touch BEFORE UPDATE ON ca_instances
    FOR EACH ROW EXECUTE FUNCTION touch_row('crl_number', 'crl_dirty_since', 'crl_batched_at',
                                            'facts_close_due');
CREATE TRIGGER touch BEFORE UPDATE ON managed_certificates
    FOR EACH ROW EXECUTE FUNCTION touch_row('renew_at');
CREATE TRIGGER touch BEFORE UPDATE ON jobs
    FOR EACH ROW EXECUTE FUNCTION touch_row('claimed_by', 'lease_until');
CREATE TRIGGER touch BEFORE UPDATE ON network_scan_targets
    FOR EACH ROW EXECUTE FUNCTION touch_row('last_scan_at', 'last_scan_duration_ms',
        'last_scan_certs_found', 'last_scan_errors', 'scan_requested_at', 'claimed_by',
        'lease_until');
CREATE TRIGGER touch BEFORE UPDATE ON issuers
    FOR EACH ROW EXECUTE FUNCTION touch_row('last_tested_at', 'test_status', 'last_error',
        'blocked_until');
CREATE TRIGGER touch BEFORE UPDATE ON deployment_targets
    FOR EACH ROW EXECUTE FUNCTION touch_row('last_tested_at', 'test_status', 'test_message');
CREATE TRIGGER touch BEFORE UPDATE ON agents
    FOR EACH ROW EXECUTE FUNCTION touch_row('last_heartbeat_at', 'status', 'os', 'architecture',
        'ip_address', 'version', 'seal_public_key');
CREATE TRIGGER touch BEFORE UPDATE ON endpoint_health_checks
    FOR EACH ROW EXECUTE FUNCTION touch_row('observed_fingerprint', 'status',
        'consecutive_failures', 'response_time_ms', 'tls_version', 'cipher_suite', 'cert_subject',
        'cert_issuer', 'cert_expiry', 'last_checked_at', 'last_success_at', 'last_failure_at',
        'last_transition_at', 'failure_reason', 'next_check_at', 'claimed_by', 'lease_until');

-- Triggers: rules that must hold whoever writes

-- Workers hold a compiled copy of the permission map; the epoch tells them that it is stale.
CREATE FUNCTION rbac_bump() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE rbac_state SET epoch = epoch + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER rbac_epoch AFTER INSERT OR UPDATE OR DELETE ON roles
    FOR EACH STATEMENT EXECUTE FUNCTION rbac_bump();
CREATE TRIGGER rbac_epoch AFTER INSERT OR UPDATE OR DELETE ON role_permissions
    FOR EACH STATEMENT EXECUTE FUNCTION rbac_bump();

-- r-auditor holds exactly audit.read and audit.export, r-admin never loses one (06 section 4.2).
CREATE FUNCTION role_permissions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.role_id IN ('r-admin', 'r-auditor') THEN
        RAISE EXCEPTION 'the permissions of % are fixed', OLD.role_id USING ERRCODE = '23514';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.role_id = 'r-auditor' AND
       (NEW.permission_id NOT IN ('p-audit-read', 'p-audit-export') OR NEW.scope_type <> 'global')
    THEN
        RAISE EXCEPTION 'the permissions of % are fixed', NEW.role_id USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER role_permissions_guard BEFORE INSERT OR UPDATE OR DELETE ON role_permissions
    FOR EACH ROW EXECUTE FUNCTION role_permissions_guard();

-- The ways a job may go (07 section 3.3).
CREATE FUNCTION jobs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF NOT (OLD.status || '>' || NEW.status) = ANY (ARRAY[
            'AwaitingApproval>Pending', 'AwaitingApproval>AwaitingCSR',
            'AwaitingApproval>Cancelled', 'Pending>Running', 'Pending>Cancelled',
            'Running>AwaitingCSR', 'Running>AwaitingApproval', 'Running>Completed',
            'Running>Failed', 'Running>Pending', 'Running>Cancelled', 'AwaitingCSR>Pending',
            'AwaitingCSR>Completed', 'AwaitingCSR>Failed', 'AwaitingCSR>Cancelled',
            'Failed>Pending', 'Failed>Cancelled'])
       OR (OLD.status = 'Failed' AND OLD.next_attempt_at IS NULL) THEN
        RAISE EXCEPTION 'job %: % -> % is not allowed', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'CT001';
    END IF;
    IF OLD.status = 'AwaitingApproval' AND NEW.status IN ('Pending', 'AwaitingCSR')
       AND NOT EXISTS (SELECT 1 FROM issuance_approval_requests a
                        WHERE a.id = NEW.approval_id AND a.job_id = NEW.id
                          AND a.state = 'approved') THEN
        RAISE EXCEPTION 'job %: no approved request', OLD.id USING ERRCODE = 'CT001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_guard BEFORE UPDATE OF status ON jobs
    FOR EACH ROW EXECUTE FUNCTION jobs_guard();

CREATE FUNCTION ca_parent_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    up certctl_id := NEW.parent_ca_id;
    levels integer := 0;
BEGIN
    WHILE up IS NOT NULL LOOP
        levels := levels + 1;
        IF up::text = NEW.id::text OR levels > 8 THEN
            RAISE EXCEPTION 'intermediate CA %: cycle or more than 8 levels', NEW.id
                USING ERRCODE = '23514';
        END IF;
        PERFORM 1 FROM intermediate_cas
          WHERE id = up AND owning_issuer_id = NEW.owning_issuer_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'intermediate CA %: parent of another issuer', NEW.id
                USING ERRCODE = '23514';
        END IF;
        SELECT parent_ca_id INTO up FROM intermediate_cas WHERE id = up;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER parent_guard BEFORE INSERT OR UPDATE OF parent_ca_id ON intermediate_cas
    FOR EACH ROW EXECUTE FUNCTION ca_parent_guard();

-- A second lock behind the missing grants: it holds for the owner too. A truncate trigger on the
-- parent does not fire when a partition is truncated directly, so every partition has its own.
CREATE FUNCTION audit_worm() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only',
        CASE WHEN TG_TABLE_NAME LIKE 'audit_seals%' THEN 'audit_seals' ELSE 'audit_events' END
        USING ERRCODE = '23514';
END $$;
CREATE TRIGGER audit_events_worm_trigger BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_worm();
CREATE TRIGGER audit_events_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_worm();
CREATE TRIGGER audit_events_truncate BEFORE TRUNCATE ON audit_events_default
    FOR EACH STATEMENT EXECUTE FUNCTION audit_worm();
CREATE TRIGGER audit_seals_worm_trigger BEFORE UPDATE OR DELETE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION audit_worm();
CREATE TRIGGER audit_seals_truncate BEFORE TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_worm();
