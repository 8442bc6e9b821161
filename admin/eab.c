/* admin/eab.c: certctl-admin eab: keys for external account bindings of ACME accounts, from the
 * host (01 section 8.3). The same functions as the API's: sql/functions/acme_eab.sql. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sysexits.h>

#include "admin.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/name.h"
#include "seal/seal.h"

#include "core/banned.h"

#define KEY_SIZE      64 /* as HS512 wants (RFC 7518 section 3.2) */
#define PATTERNS_MOST 100

/* No STATEMENT: the list of this binary is that of role certctl_ca, which must not reach these. */
static const struct statement eab_statements[] = {
    {"eab_become_owner", "SET ROLE certctl_owner"                                       },
 /* $1 kid, $2 sealed key, $3 profile, $4 owner, $5 team, $6 patterns, $7 reusable, $8 end, $9 who,
     * $10 id of the event. */
    {"eab_new",
     "SELECT verdict FROM acme_eab_create($1::text, $2::bytea, $3::text, $4::text, $5::text, "
     "$6::jsonb, $7::boolean, $8::timestamptz, $9::text, 'User', $10::text, NULL, NULL)"},
    {"eab_list",
     "SELECT id, coalesce(profile_id, '-') AS profile_id, status, doc->>'account_count' AS "
     "accounts, doc->>'created_by' AS created_by, created_at FROM api_eab_keys "
     "ORDER BY created_at, id"                                                          },
 /* $1 kid, $2 accounts too, $3 who, $4 id of the event. */
    {"eab_revoke",
     "SELECT acme_eab_revoke($1::text, $2::boolean, $3::text, 'User', $4::text, NULL, NULL) AS "
     "known"                                                                            },
};
enum eab_statement { BECOME_OWNER, EAB_NEW, EAB_LIST, EAB_REVOKE };

struct eab_options {
    const char *profile_id;
    const char *owner_id;
    const char *team_id;
    const char *expires;
    struct text_list patterns;
    bool reusable;
};

void eab_statements_add(struct db *db)
{
    db_statements_add(db, &eab_statements[EAB_NEW], ARRAY_SIZE(eab_statements) - EAB_NEW);
}

static int misused(const char *verb)
{
    return admin_misused(eab_verbs, eab_verbs_count, verb);
}

static bool become_owner(struct admin *admin, struct fault *fault)
{
    return db_connect(admin->db, fault) && db_pin(admin->db, fault) &&
           db_query_params(admin->ctx, admin->db, &eab_statements[BECOME_OWNER], fault, NULL, 0);
}

static bool options_parse(struct admin *admin, int argc, char **argv, struct eab_options *options)
{
    static const struct option long_options[] = {
        {"profile",  required_argument, NULL, 'p'},
        {"owner",    required_argument, NULL, 'o'},
        {"team",     required_argument, NULL, 't'},
        {"allow",    required_argument, NULL, 'a'},
        {"expires",  required_argument, NULL, 'e'},
        {"reusable", no_argument,       NULL, 'r'},
        {NULL,       0,                 NULL, 0  },
    };

    for (;;) {
        switch (getopt_long(argc, argv, "", long_options, NULL)) {
        case -1:
            return optind == argc;
        case 'p':
            options->profile_id = optarg;
            break;
        case 'o':
            options->owner_id = optarg;
            break;
        case 't':
            options->team_id = optarg;
            break;
        case 'a':
            text_list_add(admin->ctx, &options->patterns, optarg);
            break;
        case 'e':
            options->expires = optarg;
            break;
        case 'r':
            options->reusable = true;
            break;
        default:
            return false;
        }
    }
}

/* *ret_patterns: a JSON array, or NULL where there are none. */
static bool patterns_read(struct admin *admin, const struct text_list *patterns,
                          const char **ret_patterns, struct fault *fault)
{
    AUTO(json_t) *array = json_array();

    if (patterns->count > PATTERNS_MOST)
        return fault_set(fault, INPUT_INVALID, "allow", "--allow: at most %d", PATTERNS_MOST);
    for (size_t i = 0; i < patterns->count; i++) {
        const char *normal = name_pattern_normalise(admin->ctx, patterns->items[i]);
        if (!normal)
            return fault_set(fault, INPUT_INVALID, "allow",
                             "%s is no name, no *.suffix and no address",
                             text_quote(admin->ctx, patterns->items[i]));
        json_add_text(array, normal);
    }
    *ret_patterns = patterns->count > 0 ? json_to_text(admin->ctx, array) : NULL;
    return true;
}

static bool end_read(struct admin *admin, const char *expires, int64_t *ret_end_s,
                     struct fault *fault)
{
    int64_t life_ms = 0;

    if (expires && (!text_to_duration_ms(expires, &life_ms) || life_ms < 1000))
        return fault_set(fault, INPUT_INVALID, "expires",
                         "%s is no duration of a second or more, such as 720h",
                         text_quote(admin->ctx, expires));
    *ret_end_s = expires ? clock_now_s() + life_ms / 1000 : 0;
    return true;
}

static bool ids_check(struct admin *admin, const struct eab_options *options, struct fault *fault)
{
    const char *const ids[] = {options->profile_id, options->owner_id, options->team_id};

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        if (ids[i] && !id_valid(ids[i]))
            return fault_set(fault, INPUT_INVALID, NULL, "%s is not an id",
                             text_quote(admin->ctx, ids[i]));
    return true;
}

static bool insert(struct admin *admin, const struct eab_options *options, const char *kid,
                   struct bytes key, struct fault *fault)
{
    const struct seal_passphrases passphrases = seal_passphrases_of(admin->settings);
    const char *patterns = NULL;
    int64_t end_s = 0;

    if (!ids_check(admin, options, fault) ||
        !patterns_read(admin, &options->patterns, &patterns, fault) ||
        !end_read(admin, options->expires, &end_s, fault) || !become_owner(admin, fault) ||
        !reseal_canary_check(admin, fault))
        return false;
    const struct bytes *sealed = seal_write(admin->ctx, &passphrases, key, fault);
    if (!sealed)
        return false;
    const struct rows *rows = db_query(admin->ctx, admin->db, &eab_statements[EAB_NEW], fault,
                                       TEXT(kid), BYTEA(*sealed), TEXT(options->profile_id),
                                       TEXT(options->owner_id), TEXT(options->team_id),
                                       TEXT(patterns), BOOLEAN(options->reusable), INSTANT(end_s),
                                       TEXT(admin->actor), TEXT(id_new(admin->ctx, "audit")));
    if (!rows)
        return false;
    const char *verdict = row_text(rows, 0, "verdict");
    return text_equal(verdict, "created") ||
           fault_set(fault, RESOURCE_UNKNOWN, verdict, "there is no such %s", verdict);
}

/* Kid and key, as clients take them, are all that is on stdout. */
static int eab_new_verb(struct admin *admin, int argc, char **argv)
{
    const char *kid = id_new_secret(admin->ctx, "eab");
    struct eab_options options = {0};
    struct fault fault = {0};
    uint8_t key[KEY_SIZE];

    if (!options_parse(admin, argc, argv, &options))
        return misused(argv[0]);
    random_bytes(key, sizeof(key));
    const bool made = insert(admin, &options, kid, BYTES_OF(key), &fault);
    const char *text = base64url_from_bytes(admin->ctx, BYTES_OF(key));
    OPENSSL_cleanse(key, sizeof(key));
    if (!made)
        return admin_failed(&fault);
    return printf("%s %s\n", kid, text) > 0 && fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int eab_list_verb(struct admin *admin, int argc, char **argv)
{
    struct fault fault = {0};

    if (argc != 1)
        return misused(argv[0]);
    const struct rows *rows = become_owner(admin, &fault)
                                  ? db_query_params(admin->ctx, admin->db,
                                                    &eab_statements[EAB_LIST], &fault, NULL, 0)
                                  : NULL;
    if (!rows)
        return admin_failed(&fault);
    for (size_t i = 0; i < rows->count; i++)
        (void)printf("%s\t%s\t%s\t%s\t%s\t%s\n", row_text(rows, i, "id"),
                     row_text(rows, i, "profile_id"), row_text(rows, i, "status"),
                     row_text(rows, i, "accounts"),
                     time_to_rfc3339(admin->ctx, row_time(rows, i, "created_at")),
                     row_text(rows, i, "created_by"));
    return EX_OK;
}

static int eab_revoke_verb(struct admin *admin, int argc, char **argv)
{
    const bool accounts = argc == 3 && text_equal(argv[2], "--accounts");
    struct fault fault = {0};

    if (argc != 2 && !accounts)
        return misused(argv[0]);
    const struct rows *rows = become_owner(admin, &fault)
                                  ? db_query(admin->ctx, admin->db, &eab_statements[EAB_REVOKE],
                                             &fault, TEXT(argv[1]), BOOLEAN(accounts),
                                             TEXT(admin->actor), TEXT(id_new(admin->ctx, "audit")))
                                  : NULL;
    if (!rows)
        return admin_failed(&fault);
    if (row_bool(rows, 0, "known"))
        return EX_OK; /* revoked, now or before */
    fault_set(&fault, RESOURCE_UNKNOWN, "kid", "there is no key %s",
              text_quote(admin->ctx, argv[1]));
    return admin_failed(&fault);
}

#define NEW_USAGE                                                                                  \
    "[--profile=ID] [--owner=ID] [--team=ID] [--allow=NAME|*.SUFFIX|ADDRESS]…\n"                 \
    "      [--expires=DURATION] [--reusable]"

const struct verb eab_verbs[] = {
    {"eab", "new",    NEW_USAGE,          "make a key, print kid and key, once",           eab_new_verb },
    {"eab", "list",   "",                 "kid, profile, state, accounts, made, by; tabs", eab_list_verb},
    {"eab", "revoke", "KID [--accounts]", "end a key, and the accounts that it made",
     eab_revoke_verb                                                                                    },
};
const size_t eab_verbs_count = ARRAY_SIZE(eab_verbs);
