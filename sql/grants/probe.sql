-- sql/grants/probe.sql: certctl-probe, which answers /ready.
GRANT SELECT ON schema_migrations TO certctl_probe;
