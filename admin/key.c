/* admin/key.c: certctl-admin key: API keys from the host, for a site that has no administrator yet
 * or none any more (06 section 4.8). What is written is decided in sql/functions/keys.sql. */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "admin.h"
#include "auth/key.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/memory.h"

#include "core/banned.h"

#define NAME_MAX_LENGTH 128

/* No STATEMENT: the list of this binary is that of role certctl_ca, which must not reach these. */
static const struct statement key_statements[] = {
    {"key_become_owner", "SET ROLE certctl_owner"                                         },
 /* $1 id, $2 name, $3 SHA-256, $4 what may be shown, $5 role, $6 end or NULL, $7 who, $8 id of
     * the grant, $9 id of the event. */
    {"key_new",
     "SELECT key_host_new($1::text, $2::text, $3::bytea, $4::text, $5::text, $6::timestamptz,"
     " $7::text, $8::text, $9::text) AS verdict"                                          },
    {"key_list",
     "SELECT id, name, key_prefix, role_ids, created_at, expires_at, last_used_at, state"
     " FROM key_host_list()"                                                              },
 /* $1 id, $2 who, $3 id of the event. */
    {"key_revoke",       "SELECT key_host_revoke($1::text, $2::text, $3::text) AS verdict"},
};
enum key_statement { BECOME_OWNER, KEY_NEW, KEY_LIST, KEY_REVOKE };

struct key_options {
    const char *role_id;
    const char *name;
    const char *expires;
};

void key_statements_add(struct db *db)
{
    db_statements_add(db, &key_statements[KEY_NEW], ARRAY_SIZE(key_statements) - KEY_NEW);
}

static int misused(const char *verb)
{
    return admin_misused(key_verbs, key_verbs_count, verb);
}

/* The session is the superuser's, as certctl-migrate's is; from here on it has the owner's rights
 * alone, and is never replaced by another behind our back. */
static bool become_owner(struct admin *admin, struct fault *fault)
{
    return db_connect(admin->db, fault) && db_pin(admin->db, fault) &&
           db_query_params(admin->ctx, admin->db, &key_statements[BECOME_OWNER], fault, NULL, 0);
}

static bool options_parse(int argc, char **argv, struct key_options *options)
{
    static const struct option long_options[] = {
        {"admin",   no_argument,       NULL, 'a'},
        {"role",    required_argument, NULL, 'r'},
        {"name",    required_argument, NULL, 'n'},
        {"expires", required_argument, NULL, 'e'},
        {NULL,      0,                 NULL, 0  },
    };

    for (;;) {
        switch (getopt_long(argc, argv, "", long_options, NULL)) {
        case -1:
            return optind == argc && options->role_id;
        case 'a':
        case 'r':
            if (options->role_id) /* one or the other, once */
                return false;
            options->role_id = optarg ? optarg : "r-admin";
            break;
        case 'n':
            options->name = optarg;
            break;
        case 'e':
            options->expires = optarg;
            break;
        default:
            return false;
        }
    }
}

/* 06 section 3.2: names are actors, and stand in audit rows and limiter keys. */
static bool name_valid(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    const size_t length = strspn(name, allowed);
    return length > 0 && length <= NAME_MAX_LENGTH && name[length] == '\0';
}

static bool options_check(struct admin *admin, const struct key_options *options,
                          int64_t *ret_expires_at, struct fault *fault)
{
    int64_t life_ms = 0;

    if (options->name && !name_valid(options->name))
        return fault_set(fault, INPUT_INVALID, "name",
                         "%s is no name: letters, digits, - and _, at most %d",
                         text_quote(admin->ctx, options->name), NAME_MAX_LENGTH);
    if (options->expires && (!text_to_duration_ms(options->expires, &life_ms) || life_ms < 1000))
        return fault_set(fault, INPUT_INVALID, "expires",
                         "%s is no duration of a second or more, such as 720h",
                         text_quote(admin->ctx, options->expires));
    *ret_expires_at = options->expires ? clock_now_s() + life_ms / 1000 : 0;
    return true;
}

static bool key_insert(struct admin *admin, const struct key_options *options, int64_t expires_at,
                       const char *key, struct fault *fault)
{
    TALLOC_CTX *ctx = admin->ctx;
    const char *id = id_new(ctx, "ak");
    const char *name = options->name ? options->name : id;
    uint8_t digest[DIGEST_SHA256_SIZE];

    api_key_digest(key, digest);
    const struct rows *rows = db_query(
        ctx, admin->db, &key_statements[KEY_NEW], fault, TEXT(id), TEXT(name),
        BYTEA(BYTES_OF(digest)), TEXT(mem_text_n(ctx, key, API_KEY_PREFIX_LENGTH)),
        TEXT(options->role_id), INSTANT(expires_at), TEXT(admin->actor), TEXT(id_new(ctx, "ar")),
        TEXT(id_new(ctx, "audit")));
    if (!rows)
        return false;
    const char *verdict = row_text(rows, 0, "verdict");
    if (text_equal(verdict, "role_unknown"))
        return fault_set(fault, RESOURCE_UNKNOWN, "role", "there is no role %s",
                         text_quote(ctx, options->role_id));
    if (!text_equal(verdict, "made"))
        return fault_set(fault, RESOURCE_CONFLICT, "name", "a live key is named %s",
                         text_quote(ctx, name));
    (void)fprintf(stderr, "%s, name %s, role %s%s%s; it is shown once\n", id, name,
                  options->role_id, expires_at ? ", until " : "",
                  expires_at ? time_to_rfc3339(ctx, expires_at) : "");
    return true;
}

/* The key alone is on stdout, so that a script can keep it; what it is goes to stderr. */
static int key_new_verb(struct admin *admin, int argc, char **argv)
{
    struct key_options options = {0};
    struct fault fault = {0};
    int64_t expires_at = 0;

    if (!options_parse(argc, argv, &options))
        return misused(argv[0]);
    if (!options_check(admin, &options, &expires_at, &fault) || !become_owner(admin, &fault))
        return admin_failed(&fault);
    const char *key = api_key_new(admin->ctx);
    if (!key_insert(admin, &options, expires_at, key, &fault))
        return admin_failed(&fault);
    return printf("%s\n", key) > 0 && fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static const char *instant(struct admin *admin, const struct rows *rows, size_t row,
                           const char *column)
{
    const int64_t unix_s = row_time(rows, row, column);
    return unix_s ? time_to_rfc3339(admin->ctx, unix_s) : "-";
}

static int key_list_verb(struct admin *admin, int argc, char **argv)
{
    struct fault fault = {0};

    if (argc != 1)
        return misused(argv[0]);
    if (!become_owner(admin, &fault))
        return admin_failed(&fault);
    const struct rows *rows = db_query_params(admin->ctx, admin->db, &key_statements[KEY_LIST],
                                              &fault, NULL, 0);
    if (!rows)
        return admin_failed(&fault);
    for (size_t i = 0; i < rows->count; i++)
        (void)printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row_text(rows, i, "id"),
                     row_text(rows, i, "name"), row_text(rows, i, "key_prefix"),
                     row_text(rows, i, "role_ids"), row_text(rows, i, "state"),
                     instant(admin, rows, i, "created_at"), instant(admin, rows, i, "expires_at"),
                     instant(admin, rows, i, "last_used_at"));
    return EX_OK;
}

static int key_revoke_verb(struct admin *admin, int argc, char **argv)
{
    struct fault fault = {0};

    if (argc != 2)
        return misused(argv[0]);
    if (!become_owner(admin, &fault))
        return admin_failed(&fault);
    const struct rows *rows = db_query(admin->ctx, admin->db, &key_statements[KEY_REVOKE], &fault,
                                       TEXT(argv[1]), TEXT(admin->actor),
                                       TEXT(id_new(admin->ctx, "audit")));
    if (!rows)
        return admin_failed(&fault);
    if (!text_equal(row_text(rows, 0, "verdict"), "unknown"))
        return EX_OK; /* revoked, now or before */
    fault_set(&fault, RESOURCE_UNKNOWN, "id", "there is no key %s",
              text_quote(admin->ctx, argv[1]));
    return admin_failed(&fault);
}

const struct verb key_verbs[] = {
    {"key", "new",    "--admin|--role=ID [--name=NAME] [--expires=DURATION]",
     "make an API key and print it, once",                                                                                                           key_new_verb   },
    {"key", "list",   "",                                                     "id, name, prefix, roles, state, made, expires, last used; with tabs",
     key_list_verb                                                                                                                                                  },
    {"key", "revoke", "ID",                                                   "end a key",                                                           key_revoke_verb},
};
const size_t key_verbs_count = ARRAY_SIZE(key_verbs);
