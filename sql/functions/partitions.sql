-- sql/functions/partitions.sql: partitions ahead of time (00 decision 28).

-- The months of audit_events and the days of endpoint_health_history that are due, as far as they
-- are missing; says how many it made. Called by certctl-migrate and certctl-job-housekeeping. Where
-- rows came first, after months without either, the default partition has them and keeps that month
-- (nobody moves an audit row); those after it are made.
CREATE OR REPLACE FUNCTION partitions_ensure(p_now timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    start timestamptz;
    part text;
    made integer := 0;
BEGIN
    FOR i IN 0..3 LOOP
        start := date_trunc('month', p_now, 'UTC') + make_interval(months => i);
        part := 'audit_events_' || to_char(start AT TIME ZONE 'UTC', 'YYYYMM');
        IF to_regclass(part) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF audit_events
                                    FOR VALUES FROM (%L) TO (%L)',
                               part, start, start + interval '1 month');
                EXECUTE format('CREATE TRIGGER audit_events_truncate BEFORE TRUNCATE ON %I
                                    FOR EACH STATEMENT EXECUTE FUNCTION audit_worm()', part);
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    FOR i IN 0..7 LOOP
        start := date_trunc('day', p_now, 'UTC') + make_interval(days => i);
        part := 'endpoint_health_history_' || to_char(start AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF to_regclass(part) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF endpoint_health_history
                                    FOR VALUES FROM (%L) TO (%L)',
                               part, start, start + interval '1 day');
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Health history only: audit partitions leave through certctl-audit archive (06 section 11.8).
CREATE OR REPLACE FUNCTION partitions_drop_expired(p_keep interval) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    part text;
    dropped integer := 0;
BEGIN
    FOR part IN SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
                 WHERE h.inhparent = 'endpoint_health_history'::regclass
                   AND c.relname ~ '^endpoint_health_history_[0-9]{8}$'
                   AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() - p_keep)::date LOOP
        EXECUTE format('DROP TABLE %I', part);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
