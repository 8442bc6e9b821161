/* admin/crl.c: certctl-admin crl: CRL numbers after a restore (RFC 5280 section 5.2.3).
 *
 * A database that comes from a backup has forgotten numbers that were published, and the signer
 * refuses what is not above its own memory, or far above it: the number leaps over what may have
 * been used, in both places. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/id.h"
#include "core/macro.h"
#include "core/text.h"
#include "signer/client.h"

#include "admin.h"

#include "core/banned.h"

/* The signer takes a number that is at most so far above the last. */
#define LEAP     1000
#define LEAP_MAX INT64_C(100000000000)

/* $1 CA or its issuer, $2 wanted number or NULL, $3 leap, $4 audit id, $5 actor. The list is made
 * at once, since its number is above that of the stored one. */
STATEMENT(
    crl_bump,
    "WITH bumped AS (UPDATE ca_instances c SET crl_number = coalesce($2::bigint, c.crl_number + "
    "$3::bigint) WHERE c.id = (SELECT i.id FROM ca_instances i WHERE (i.id = $1::text OR "
    "i.issuer_id = $1::text) AND i.state <> 'lost' ORDER BY i.id = $1::text DESC, "
    "i.state = 'active' DESC, i.path_len NULLS LAST LIMIT 1) "
    "AND ($2::bigint IS NULL OR c.crl_number < $2::bigint) RETURNING c.id, c.crl_number, "
    "c.key_ref), "
    "told AS (INSERT INTO audit_events (id, actor, actor_type, action, resource_type, "
    "resource_id, details) SELECT $4::text, $5::text, 'User', 'crl_number_bumped', 'ca', b.id, "
    "jsonb_build_object('crl_number', b.crl_number) FROM bumped b) "
    "SELECT id, crl_number, key_ref FROM bumped");

static struct rows *bump_database(struct admin *admin, const char *ca, struct db_param wanted,
                                  struct fault *fault)
{
    return db_query(admin->ctx, admin->db, &crl_bump, fault, TEXT(ca), wanted, INTEGER(LEAP),
                    TEXT(id_new(admin->ctx, "audit")), TEXT(admin->actor));
}

/* The signer's own memory, which may be lost or ahead of what the database says. */
static bool bump_signer(struct admin *admin, const char *key_ref, int64_t number, int64_t *ret_last,
                        struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_CRL_FLOOR, .key_ref = key_ref, .crl_number = number};
    struct signer_reply reply;

    if (!signer_call(admin->ctx, admin->settings->signer_admin_socket, &request, &reply, fault))
        return false;
    return text_to_integer(reply.text ? reply.text : "", number, INT64_MAX, ret_last) ||
           fault_set(fault, INTERNAL, NULL, "the signer does not say its number");
}

static int bump(struct admin *admin, const char *ca, struct db_param wanted)
{
    struct fault fault = {0};
    int64_t last = 0;
    struct rows *rows = bump_database(admin, ca, wanted, &fault);

    if (!rows)
        return admin_failed(&fault);
    if (rows->count == 0) {
        fault_set(&fault, RESOURCE_UNKNOWN, "id",
                  "there is no CA %s whose number is below that one", text_quote(admin->ctx, ca));
        return admin_failed(&fault);
    }
    const char *id = row_text(rows, 0, "id");
    const int64_t number = row_integer(rows, 0, "crl_number");
    if (!bump_signer(admin, row_text(rows, 0, "key_ref"), number, &last, &fault) ||
        (last > number && !bump_database(admin, id, INTEGER(last), &fault)))
        return admin_failed(&fault);
    db_wake(admin->db, "crl-generation");
    (void)printf("%s\t%" PRId64 "\n", id, last);
    return EX_OK;
}

static int crl_bump_verb(struct admin *admin, int argc, char **argv)
{
    int64_t to = 0;

    if (argc == 2)
        return bump(admin, argv[1], TEXT(NULL));
    if (argc == 3 && text_starts(argv[2], "--to=") &&
        text_to_integer(argv[2] + strlen("--to="), 1, LEAP_MAX, &to))
        return bump(admin, argv[1], INTEGER(to));
    return admin_misused(crl_verbs, crl_verbs_count, argv[0]);
}

const struct verb crl_verbs[] = {
    {"crl", "bump", "CA|ISSUER [--to=N]",
     "after a restore: the next list's number is above N, or a thousand higher", crl_bump_verb},
};
const size_t crl_verbs_count = ARRAY_SIZE(crl_verbs);
