/* lib/auth/admission.c: the one statement of admission, its answers, 06 sections 3.4, 3.5, 12. */
#include "auth/admission.h"

#include <stdio.h>

#include "auth/credential.h"
#include "auth/key.h"
#include "core/clock.h"
#include "core/memory.h"
#include "db/db.h"

#include "core/banned.h"

#define REFUSED_US INT64_C(10000000)
#define CHALLENGE  "Bearer realm=\"certctl\""

/* $1 digest or NULL, $2 why there is none, $3 and $4 address for the limiter and for the audit, $5
 * path, $6 $7 rate and burst of an address, $8 $9 of an actor, $10 failures a minute. */
STATEMENT(auth_admit,
          "SELECT verdict, key_hash, actor_id, actor_type, agent_id, retry_after, rbac_epoch, roles"
          "  FROM auth_admit($1::bytea, $2::text, $3::text, $4::text, $5::text, $6::integer,"
          "                  $7::integer, $8::integer, $9::integer, $10::integer)");

/* One request on its way through. */
struct passage {
    struct admission *admission;
    struct request *request;
    struct response *response;
    struct credential credential;
    uint8_t digest[DIGEST_SHA256_SIZE];
    const char *address; /* of the limiters */
};

static bool rate_limited(struct fault *fault, int64_t retry_after_s)
{
    fault_set(fault, RATE_LIMITED, NULL, "Rate limit exceeded");
    fault->retry_after_s = (unsigned)least(most(retry_after_s, INT64_C(1)), INT64_C(86400));
    return false;
}

/* Seconds for which the address is still refused, or 0. */
static int64_t refused_s(const struct admission *admission, const char *address)
{
    const int64_t now_us = clock_monotonic_us();

    for (size_t i = 0; i < ADMISSION_REFUSED_MAX; i++)
        if (admission->refused[i].until_us > now_us &&
            text_equal(admission->refused[i].address, address))
            return (admission->refused[i].until_us - now_us + 999999) / 1000000;
    return 0;
}

/* The oldest makes room: whoever has that many addresses is held off by the database. */
static void refused_remember(struct admission *admission, const char *address)
{
    const size_t slot = admission->refused_next++ % ADMISSION_REFUSED_MAX;

    (void)snprintf(admission->refused[slot].address, sizeof(admission->refused[slot].address), "%s",
                   address);
    admission->refused[slot].until_us = clock_monotonic_us() + REFUSED_US;
}

static const char *credential_flaw(enum credential_kind kind)
{
    switch (kind) {
    case CREDENTIAL_NONE:
        return "none";
    case CREDENTIAL_SCHEME:
        return "scheme";
    case CREDENTIAL_KEY:
        break;
    }
    return "key";
}

static struct rows *ask(struct passage *passage, struct fault *fault)
{
    struct request *request = passage->request;
    const struct settings *settings = request->settings;
    const bool on = settings->rate_limit_enabled;
    const int64_t rate = on ? settings->rate_limit_rps : 0;
    const int64_t actor_rate = settings->rate_limit_per_user_rps;
    const int64_t actor_burst = settings->rate_limit_per_user_burst;
    const bool has_key = passage->credential.kind == CREDENTIAL_KEY;
    struct rows *rows = db_query(
        request, request->db, &auth_admit, fault,
        has_key ? BYTEA(BYTES_OF(passage->digest)) : TEXT(NULL),
        TEXT(credential_flaw(passage->credential.kind)), TEXT(passage->address),
        TEXT(settings->audit_record_ip ? passage->address : ""), TEXT(request->path), INTEGER(rate),
        INTEGER(settings->rate_limit_burst), INTEGER(on && actor_rate > 0 ? actor_rate : rate),
        INTEGER(actor_burst > 0 ? actor_burst : settings->rate_limit_burst),
        INTEGER(settings->auth_failure_limit));

    if (rows)
        return rows;
    const struct fault cause = *fault;
    fault_set(fault, AUTH_BACKEND, NULL, "transient backend error; retry");
    fault_cause(fault, "%s", *cause.cause ? cause.cause : cause.detail);
    fault->retry_after_s = 5;
    return NULL;
}

static bool unauthenticated(struct passage *passage, struct fault *fault)
{
    const bool has_key = passage->credential.kind == CREDENTIAL_KEY;

    response_header(passage->response, "WWW-Authenticate", "%s%s", CHALLENGE,
                    has_key ? ", error=\"invalid_token\"" : "");
    switch (passage->credential.kind) {
    case CREDENTIAL_NONE:
        return fault_set(fault, UNAUTHENTICATED, NULL, "Authorization header required");
    case CREDENTIAL_SCHEME:
        return fault_set(fault, UNAUTHENTICATED, NULL,
                         "Invalid Authorization header format, expected: Bearer <token>");
    case CREDENTIAL_KEY:
        break;
    }
    return fault_set(fault, UNAUTHENTICATED, NULL, "Invalid API key");
}

/* The look-up by digest is compared once more here, in constant time (06 section 3.1). */
static bool authenticated(const struct passage *passage, const struct rows *rows)
{
    return rows->count == 1 && text_equal(row_text(rows, 0, "verdict"), "ok") &&
           bytes_equal_secret(row_bytes(passage->request, rows, 0, "key_hash"),
                              BYTES_OF(passage->digest));
}

static bool judge(struct passage *passage, const struct rows *rows, struct fault *fault)
{
    const bool known = authenticated(passage, rows);
    const int64_t retry_after_s = rows->count == 1 ? row_integer(rows, 0, "retry_after") : 1;

    if (known)
        passage->request->actor = mem_text(passage->request, row_text(rows, 0, "actor_id"));
    if (retry_after_s > 0) {
        if (!known && passage->credential.kind == CREDENTIAL_KEY)
            refused_remember(passage->admission, passage->address);
        return rate_limited(fault, retry_after_s);
    }
    if (known)
        return true;
    (void)unauthenticated(passage, fault);
    return fault_cause(fault, "key: %s%s", row_text(rows, 0, "verdict"),
                       passage->credential.kind == CREDENTIAL_KEY &&
                               !api_key_minted(passage->credential.key)
                           ? ", not one that we minted"
                           : "");
}

/* Reads the map where there is none of this epoch. */
static const struct role_map *map_of_epoch(struct passage *passage, int64_t epoch,
                                           struct fault *fault)
{
    struct admission *admission = passage->admission;

    if (admission->map && admission->map->epoch == epoch)
        return admission->map;
    struct role_map *map = role_map_read(admission, passage->request->db, epoch, fault);
    if (!map)
        return NULL;
    talloc_free(admission->map);
    admission->map = map;
    return map;
}

static bool permitted(struct passage *passage, const struct rows *rows, enum permission permission,
                      struct principal *principal, struct fault *fault)
{
    struct request *request = passage->request;
    const struct text_list roles = row_texts(request, rows, 0, "roles");
    const struct role_map *map = map_of_epoch(passage, row_integer(rows, 0, "rbac_epoch"), fault);

    if (!map)
        return false;
    if (role_map_allows(request, map, &roles, permission, &principal->scope))
        return true;
    fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    return fault_cause(fault, "%s is missing", permission_name(permission));
}

bool admission_check(struct admission *admission, struct request *request,
                     struct response *response, enum permission permission,
                     struct principal *ret_principal, struct fault *fault)
{
    struct passage passage = {
        .admission = admission,
        .request = request,
        .response = response,
        .credential = credential_from_header(request, request_header(request, "Authorization")),
        .address = address_limit_key(request, request->remote_addr),
    };
    const int64_t wait_s = refused_s(admission, passage.address);

    if (wait_s > 0)
        return rate_limited(fault, wait_s);
    if (passage.credential.kind == CREDENTIAL_KEY)
        api_key_digest(passage.credential.key, passage.digest);
    const struct rows *rows = ask(&passage, fault);
    if (!rows || !judge(&passage, rows, fault))
        return false;
    *ret_principal = (struct principal){
        .actor_id = request->actor,
        .actor_type = row_text(rows, 0, "actor_type"),
        .agent_id = row_text(rows, 0, "agent_id"),
    };
    return permitted(&passage, rows, permission, ret_principal, fault);
}
