-- sql/roles.sql: the database roles, one per process (05 section 5.0, 00 decision 29).
--
-- Applied first by certctl-migrate where its own role may create roles. Makes what is missing and
-- leaves alone what is there: passwords and memberships of people are the operator's.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['certctl_owner', 'certctl_app'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
    FOREACH wanted IN ARRAY ARRAY['certctl_probe', 'certctl_api', 'certctl_agentapi',
            'certctl_outbound', 'certctl_auth', 'certctl_acme', 'certctl_est', 'certctl_scep',
            'certctl_pki', 'certctl_jobs', 'certctl_ca', 'certctl_reconcile',
            'certctl_sealer'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
        IF NOT pg_has_role(wanted, 'certctl_app', 'MEMBER') THEN
            EXECUTE format('GRANT certctl_app TO %I', wanted);
        END IF;
    END LOOP;
    -- Readers, not processes: what the group may write is not theirs.
    FOREACH wanted IN ARRAY ARRAY['certctl_ro', 'certctl_auditor'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
    END LOOP;
    -- Whoever migrates must be able to become the owner; a superuser can already.
    IF NOT pg_has_role(session_user, 'certctl_owner', 'MEMBER') THEN
        EXECUTE format('GRANT certctl_owner TO %I', session_user);
    END IF;
    IF has_schema_privilege('public', 'public', 'CREATE') THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    END IF;
    IF NOT has_schema_privilege('certctl_owner', 'public', 'CREATE') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO certctl_owner;
    END IF;
END $$;
