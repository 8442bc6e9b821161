/* admin/crl.c: certctl-admin crl: CRL numbers after a restore (RFC 5280 section 5.2.3).
 *
 * A database that comes from a backup has forgotten numbers that were published, and the signer
 * refuses what is not above its own memory: the number leaps over what may have been used. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/id.h"
#include "core/macro.h"
#include "core/text.h"

#include "admin.h"

#include "core/banned.h"

/* The signer takes a number that is at most so far above the last. */
#define LEAP     1000
#define LEAP_MAX INT64_C(1000000000000000)

/* $1 CA or its issuer, $2 wanted number or NULL, $3 leap, $4 audit id, $5 actor. The list is made
 * at once, since its number is above that of the stored one. */
STATEMENT(
    crl_bump,
    "WITH bumped AS (UPDATE ca_instances c SET crl_number = coalesce($2::bigint, c.crl_number + "
    "$3::bigint) WHERE c.id = (SELECT i.id FROM ca_instances i WHERE (i.id = $1::text OR "
    "i.issuer_id = $1::text) AND i.state <> 'lost' ORDER BY i.id = $1::text DESC, "
    "i.state = 'active' DESC, i.path_len NULLS LAST LIMIT 1) "
    "AND ($2::bigint IS NULL OR c.crl_number < $2::bigint) RETURNING c.id, c.crl_number), "
    "told AS (INSERT INTO audit_events (id, actor, actor_type, action, resource_type, "
    "resource_id, details) SELECT $4::text, $5::text, 'User', 'crl_number_bumped', 'ca', b.id, "
    "jsonb_build_object('crl_number', b.crl_number) FROM bumped b) "
    "SELECT id, crl_number FROM bumped");

static int bump(struct admin *admin, const char *ca, struct db_param wanted)
{
    struct fault fault = {0};
    struct rows *rows = db_query(admin->ctx, admin->db, &crl_bump, &fault, TEXT(ca), wanted,
                                 INTEGER(LEAP), TEXT(id_new(admin->ctx, "audit")),
                                 TEXT(admin->actor));

    if (!rows)
        return admin_failed(&fault);
    if (rows->count == 0) {
        fault_set(&fault, RESOURCE_UNKNOWN, "id",
                  "there is no CA %s whose number is below that one", text_quote(admin->ctx, ca));
        return admin_failed(&fault);
    }
    db_wake(admin->db, "crl-generation");
    (void)printf("%s\t%" PRId64 "\n", row_text(rows, 0, "id"), row_integer(rows, 0, "crl_number"));
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
