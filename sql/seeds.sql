-- sql/seeds.sql: the rows that every installation has (05 section 6.2, 06 section 4.2).
--
-- Applied after the migrations and functions; adds what is missing, never changes what is there.

INSERT INTO tenants (id, name) VALUES ('t-default', 'default')
ON CONFLICT DO NOTHING;

-- The namespace of a permission is what precedes its last dot, auth.session.list.all excepted.
INSERT INTO permissions (id, name, namespace)
SELECT 'p-' || translate(name, '._', '--'), name,
       CASE name WHEN 'auth.session.list.all' THEN 'auth.session'
                 ELSE regexp_replace(name, '[.][^.]*$', '') END
  FROM unnest(ARRAY[
    'cert.read', 'cert.issue', 'cert.edit', 'cert.revoke', 'cert.delete', 'cert.bulk_revoke',
    'profile.read', 'profile.edit', 'profile.delete', 'issuer.read', 'issuer.edit', 'issuer.delete',
    'target.read', 'target.edit', 'target.delete', 'agent.read', 'agent.edit', 'agent.retire',
    'agent.heartbeat', 'agent.job.poll', 'agent.job.complete', 'agent.job.report', 'job.read',
    'job.cancel', 'approval.read', 'approval.approve', 'approval.reject', 'policy.read',
    'policy.edit', 'policy.delete', 'discovery.read', 'discovery.run', 'discovery.claim',
    'network_scan.read', 'network_scan.edit', 'network_scan.run', 'healthcheck.read',
    'healthcheck.edit', 'healthcheck.delete', 'healthcheck.acknowledge', 'verification.read',
    'verification.run', 'crl.admin', 'scep.admin', 'est.admin', 'ca.hierarchy.manage', 'acme.admin',
    'scheduler.run', 'team.read', 'team.edit', 'team.delete', 'owner.read', 'owner.edit',
    'owner.delete', 'notification.read', 'notification.edit', 'digest.read', 'digest.send',
    'stats.read', 'metrics.read', 'audit.read', 'audit.export', 'auth.role.list',
    'auth.role.create', 'auth.role.edit', 'auth.role.delete', 'auth.role.assign',
    'auth.role.revoke', 'auth.key.list', 'auth.key.create', 'auth.key.rotate', 'auth.key.delete',
    'auth.bootstrap.use', 'auth.session.list', 'auth.session.list.all', 'auth.session.revoke',
    'auth.oidc.list', 'auth.oidc.create', 'auth.oidc.edit', 'auth.oidc.delete',
    'auth.breakglass.admin', 'auth.breakglass.login', 'auth.user.read', 'auth.user.deactivate'
]) AS name
ON CONFLICT DO NOTHING;

INSERT INTO roles (id, name, description, is_system) VALUES
    ('r-admin', 'admin', 'Every permission', true),
    ('r-operator', 'operator', 'Runs certificates, targets, jobs and scans', true),
    ('r-viewer', 'viewer', 'Reads everything but access control', true),
    ('r-agent', 'agent', 'What a deployment agent does', true),
    ('r-mcp', 'mcp', 'What an assistant program may do', true),
    ('r-cli', 'cli', 'What the command line client does', true),
    ('r-auditor', 'auditor', 'Reads and exports the audit log, nothing else', true)
ON CONFLICT DO NOTHING;

INSERT INTO role_permissions (role_id, permission_id)
SELECT 'r-admin', id FROM permissions
ON CONFLICT DO NOTHING;

INSERT INTO role_permissions (role_id, permission_id)
SELECT role_id, 'p-' || translate(name, '._', '--')
  FROM (VALUES
    ('r-operator', ARRAY[
        'cert.read', 'cert.issue', 'cert.edit', 'cert.revoke', 'cert.delete', 'profile.read',
        'profile.edit', 'issuer.read', 'issuer.edit', 'target.read', 'target.edit', 'target.delete',
        'agent.read', 'agent.edit', 'audit.read', 'auth.user.read', 'team.read', 'team.edit',
        'team.delete', 'owner.read', 'owner.edit', 'owner.delete', 'job.read', 'job.cancel',
        'approval.read', 'approval.approve', 'approval.reject', 'notification.read',
        'notification.edit', 'verification.read', 'verification.run', 'discovery.read',
        'discovery.run', 'discovery.claim', 'network_scan.read', 'network_scan.edit',
        'network_scan.run', 'healthcheck.read', 'healthcheck.edit', 'healthcheck.delete',
        'healthcheck.acknowledge', 'policy.read', 'policy.edit', 'policy.delete', 'digest.read',
        'digest.send', 'stats.read', 'metrics.read']),
    ('r-viewer', ARRAY[
        'cert.read', 'profile.read', 'issuer.read', 'target.read', 'agent.read', 'audit.read',
        'team.read', 'owner.read', 'job.read', 'approval.read', 'notification.read',
        'verification.read', 'discovery.read', 'network_scan.read', 'healthcheck.read',
        'policy.read', 'digest.read', 'stats.read', 'metrics.read']),
    ('r-agent', ARRAY[
        'agent.heartbeat', 'agent.job.poll', 'agent.job.complete', 'agent.job.report',
        'discovery.run']),
    ('r-mcp', ARRAY[
        'cert.read', 'cert.issue', 'cert.edit', 'cert.revoke', 'profile.read', 'profile.edit',
        'issuer.read', 'issuer.edit', 'target.read', 'target.edit', 'agent.read', 'audit.read',
        'team.read', 'owner.read', 'job.read', 'job.cancel', 'approval.read', 'approval.approve',
        'approval.reject', 'notification.read', 'notification.edit', 'verification.read',
        'verification.run', 'discovery.read', 'discovery.claim', 'network_scan.read',
        'network_scan.run', 'healthcheck.read', 'healthcheck.acknowledge', 'policy.read',
        'digest.read', 'stats.read', 'metrics.read']),
    ('r-cli', ARRAY[
        'cert.read', 'cert.issue', 'cert.edit', 'cert.revoke', 'cert.delete', 'profile.read',
        'profile.edit', 'issuer.read', 'issuer.edit', 'target.read', 'target.edit', 'agent.read',
        'agent.edit', 'audit.read', 'auth.key.list', 'auth.key.create', 'auth.key.rotate',
        'team.read', 'team.edit', 'owner.read', 'owner.edit', 'job.read', 'job.cancel',
        'approval.read', 'approval.approve', 'approval.reject', 'notification.read',
        'notification.edit', 'verification.read', 'verification.run', 'discovery.read',
        'discovery.run', 'discovery.claim', 'network_scan.read', 'network_scan.edit',
        'network_scan.run', 'healthcheck.read', 'healthcheck.edit', 'healthcheck.acknowledge',
        'policy.read', 'policy.edit', 'policy.delete', 'digest.read', 'digest.send', 'stats.read',
        'metrics.read']),
    ('r-auditor', ARRAY[
        'audit.read', 'audit.export'])
       ) AS granted (role_id, names), unnest(names) AS name
ON CONFLICT DO NOTHING;

-- Sentinels stand for scanners of our own in the inventory; they have no key and cannot log in.
INSERT INTO agents (id, name, hostname, status) VALUES
    ('server-scanner', 'server-scanner', 'certctl', 'Online'),
    ('cloud-aws-sm', 'cloud-aws-sm', 'certctl', 'Online'),
    ('cloud-azure-kv', 'cloud-azure-kv', 'certctl', 'Online'),
    ('cloud-gcp-sm', 'cloud-gcp-sm', 'certctl', 'Online')
ON CONFLICT DO NOTHING;

-- rp-none is for certificates whose key is at the client: only the client can renew them.
INSERT INTO renewal_policies (id, name, renewal_window_days, auto_renew, max_retries,
                              retry_interval_seconds, alert_thresholds_days) VALUES
    ('rp-default', 'default', 30, true, 3, 60, '[30, 14, 7, 0]'),
    ('rp-none', 'none', 30, false, 3, 60, '[30, 14, 7, 0]')
ON CONFLICT DO NOTHING;

-- The owners of protocol enrolments that name none (00 decision 33).
INSERT INTO teams (id, name, description)
VALUES ('t-enrollment', 'enrollment', 'Certificates that clients enrolled for by protocol')
ON CONFLICT DO NOTHING;
-- owners has no unique name, so the id alone decides.
INSERT INTO owners (id, name, team_id) VALUES ('o-enrollment', 'enrollment', 't-enrollment')
ON CONFLICT DO NOTHING;

INSERT INTO policy_rules (id, name, type, config, severity) VALUES
    ('pr-require-owner', 'require-owner', 'RequiredMetadata',
     '{"required_keys": ["owner"]}', 'Warning'),
    ('pr-allowed-environments', 'allowed-environments', 'AllowedEnvironments',
     '{"allowed": ["production", "staging", "development"]}', 'Error'),
    ('pr-max-certificate-lifetime', 'max-certificate-lifetime', 'CertificateLifetime',
     '{"max_days": 90}', 'Critical'),
    ('pr-min-renewal-window', 'min-renewal-window', 'RenewalLeadTime',
     '{"lead_time_days": 14}', 'Warning')
ON CONFLICT DO NOTHING;

-- Only while there is no issuer at all: a site that removed it does not get it back.
INSERT INTO issuers (id, name, type, config, source)
SELECT 'iss-local', 'Local CA', 'GenericCA', '{}', 'env'
 WHERE NOT EXISTS (SELECT 1 FROM issuers)
ON CONFLICT DO NOTHING;
