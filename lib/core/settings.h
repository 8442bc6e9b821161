/* lib/core/settings.h: every CERTCTL_* variable, read once at start from one table.
 *
 * The table (settings.c) gives name, kind, default, limits and help; reading, checking, printing
 * (certctl-config) and doc/configuration.md all run over it. A bad value never becomes a default:
 * the process says which variable, which value (secrets masked) and which rule, and exits 78. */
#ifndef CERTCTL_CORE_SETTINGS_H
#define CERTCTL_CORE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/fault.h"
#include "core/text.h"

enum setting_kind {
    SETTING_TEXT,     /* const char *; empty text is NULL */
    SETTING_BOOL,     /* bool */
    SETTING_INTEGER,  /* int64_t within least and most */
    SETTING_SIZE,     /* int64_t bytes; "16MiB", "64KiB" or a number */
    SETTING_DURATION, /* int64_t milliseconds within least and most (also milliseconds) */
    SETTING_CHOICE,   /* const char *, one of choices, separated by '|' */
    SETTING_LIST,     /* struct text_list, comma separated */
    SETTING_URL,      /* const char *; scheme://authority without path, or NULL */
    SETTING_PATH,     /* const char *, absolute, or NULL */
    SETTING_HEX32,    /* const char *, 64 lower-case hex digits, or NULL */
    SETTING_SECRET,   /* const char *, also from the file that NAME_FILE names; masked; bytes */
};

#define SETTING_NO_LIMIT INT64_MAX

struct setting {
    const char *name; /* a full variable name, or a JSON member for driver settings */
    enum setting_kind kind;
    size_t offset;
    const char *fallback; /* as it would be written; NULL: none. Among the variables "<runtime dir>"
                           * and "<state dir>" at its start and "<host name>" are filled in. */
    const char *help;
    int64_t least;
    int64_t most; /* least == most == 0: no limits; SETTING_NO_LIMIT: none above */
    const char *choices;
};

struct settings {
    const char *database_url;
    int64_t database_max_conns;
    const char *database_migrations_path;
    bool migrations_via_hook;
    const char *log_level;
    const char *log_format;
    bool confinement;
    struct text_list confinement_paths;
    const char *runtime_dir; /* sockets, wake sockets, locks, drain file */
    const char *state_dir;   /* ca-approvals and other small state */
    const char *node_id;     /* host name when not set */

    struct text_list backup_paths;
    const char *backup_passphrase_path;

    const char *edge_key_sha256;
    bool allow_plaintext_fcgi;
    int64_t max_body_bytes;
    int64_t worker_max_requests;
    int64_t worker_max_rss_bytes;
    struct text_list trusted_proxies;

    bool rate_limit_enabled;
    int64_t rate_limit_rps;
    int64_t rate_limit_burst;
    int64_t rate_limit_per_user_rps;
    int64_t rate_limit_per_user_burst;
    int64_t auth_failure_limit;
    int64_t cert_export_rate_limit; /* an hour */
    struct text_list cors_origins;
    const char *audit_reads;

    const char *config_encryption_key; /* passphrases, 32 bytes at least; or NULL */
    const char *config_encryption_key_previous;

    const char *signer_socket;
    const char *signer_admin_socket;
    const char *signer_log_path;
    int64_t signer_reconcile_interval_ms;
    int64_t signer_reconcile_grace_ms;
    int64_t signer_max_leaf_days;
    const char *ca_key_dir;
    const char *ca_key_algorithm;
    const char *ca_key_driver;
    const char *ca_cert_path;
    const char *ca_key_path;
    const char *pkcs11_module;
    const char *pkcs11_token;
    const char *pkcs11_pin_file;
    struct text_list pkcs11_paths;
    bool pkcs11_network;
    const char *ca_approval;
    int64_t not_before_backdate_ms;
    int64_t crl_validity_ms;
    int64_t crl_generation_interval_ms;
    bool crl_regenerate_on_revoke;
    int64_t crl_max_age_s;
    const char *ocsp_responder_key_dir;
    int64_t ocsp_responder_rotation_grace_ms;
    int64_t ocsp_responder_validity_ms;
    int64_t ocsp_response_validity_ms;
    int64_t ocsp_rate_limit_per_ip_min;
    const char *ocsp_rate_limit_status;
    int64_t ocsp_edge_ttl_s;
    int64_t ocsp_max_age_s;
    const char *ocsp_refresh_socket;
    int64_t max_sans;
    const char *pki_base_url;
    const char *pki_publish_dir;

    int64_t job_processor_interval_ms;
    int64_t renewal_concurrency;
    int64_t job_timeout_interval_ms;
    int64_t job_awaiting_approval_timeout_ms;
    bool approval_bypass;

    struct text_list site_cert_names;
    const char *site_cert_profile_id;
    const char *site_cert_dir;
    const char *site_cert_probe;
    int64_t site_certificate_interval_ms;

    bool acme_enabled;
    bool acme_ari_enabled;
    const char *acme_default_auth_mode;
    const char *acme_default_profile_id;
    int64_t acme_nonce_ttl_ms;
    int64_t acme_gc_interval_ms;
    int64_t acme_ari_poll_interval_ms;
    int64_t acme_retention_ms;
    int64_t acme_failed_validations_per_hour;
    int64_t acme_order_ttl_ms;
    int64_t acme_authz_ttl_ms;
    const char *acme_tos_url;
    const char *acme_website;
    const char *acme_ari_explanation_url;
    struct text_list acme_caa_identities;
    bool acme_eab_required;
    const char *acme_base_url;
    const char *acme_issuer_id;
    const char *acme_default_owner_id;
    const char *acme_default_team_id;
    const char *acme_default_renewal_policy_id;
    int64_t acme_max_identifiers;
    int64_t acme_orders_per_hour;
    int64_t acme_concurrent_orders;
    int64_t acme_concurrent_window_ms;
    int64_t acme_new_accounts_per_hour;
    int64_t acme_key_changes_per_hour;
    int64_t acme_challenge_responds_per_hour;
    int64_t acme_http01_concurrency;
    int64_t acme_dns01_concurrency;
    int64_t acme_tlsalpn01_concurrency;
    int64_t acme_http01_port;
    int64_t acme_tlsalpn01_port;
    int64_t acme_challenge_timeout_ms;
    int64_t acme_validation_attempts;
    struct text_list acme_addr_resolver;
    struct text_list acme_dns01_resolver;
    const char *acme_dnssec;
    const char *acme_caa_mode;

    bool block_rfc1918_outbound;
    struct text_list outbound_allow_cidrs;

    bool audit_record_ip;
    int64_t rate_limit_janitor_interval_ms;
    int64_t rate_limit_bucket_ttl_ms;
    int64_t housekeeping_interval_ms;
    int64_t certificate_lint_interval_ms;
};

/* Reads the process environment into settings, which live until exit. An empty variable counts as
 * not set. All failures are listed: `faults` gets up to `faults_max` of them, *ret_faults how many
 * there were. False leaves *ret_settings alone. */
bool settings_load(struct settings *ret_settings, struct fault *faults, size_t faults_max,
                   size_t *ret_faults);
/* What settings_load gives where no variable is set. */
void settings_defaults(struct settings *ret_settings);
/* settings_load; on failure one `refused: …` line per fault on stderr, a pause of one second (so
 * that a crash loop is slow) and exit 78. Configures the log, and says there when CA requests need
 * no approval. */
void settings_load_or_exit(struct settings *ret_settings);

/* The table, for certctl-config and the test of doc/configuration.md. */
const struct setting *settings_table(size_t *ret_count);
/* The value in force as text on ctx; secrets as "[set]" or "[not set]", but a PostgreSQL URL that
 * holds no password is shown. `settings` may be a driver's own struct. */
char *settings_text(TALLOC_CTX *ctx, const void *settings, const struct setting *setting);
/* The limits as text on ctx, e.g. "10s to 24h", "host, api"; NULL: none. */
char *settings_limits(TALLOC_CTX *ctx, const struct setting *setting);
/* Names in the environment that begin with CERTCTL_ and are in no table: a warning each. */
struct text_list settings_unknown(TALLOC_CTX *ctx);

/* The engine alone: one value into its place, `into` + setting->offset. Texts hang on ctx. Driver
 * settings from JSON use it too. The fault (SETTING_INVALID) has the name as its field and never
 * shows a secret. False leaves the place alone. */
bool setting_read(TALLOC_CTX *ctx, const struct setting *setting, const char *value, void *into,
                  struct fault *fault);

#endif
