/* tests/bench/sql_flow.c: the statements of one order. Their texts are those that the responder's
 * and the validator's objects registered; a changed list of parameters shows as a refusal at
 * once. */
#include "tests/bench/sql_flow.h"

#include "core/auto.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "tests/bench/loop.h"

#include "core/banned.h"

#define NONCE_OCTETS  38
#define TOKEN_OCTETS  32
#define NONCE_LIFE_S  420
#define DAY_S         86400
#define MANY          1000000000
#define CONCURRENCY   10
#define LEASE_S       45
#define ATTEMPTS      3
#define CLAIMED_BY    "bench"
#define ADDRESS       "127.0.0.1"
#define LEAF_VALIDITY (90 * DAY_S)

const char *const flow_names[FLOW_STATEMENTS] = {
    "acme_account_open",   "acme_order_new",       "acme_authz_read", "acme_challenge_answer",
    "acme_validate_claim", "acme_validate_result", "acme_order_read", "acme_account_open_finalize",
    "issuance_commit",     "acme_certificate_read"};

void flow_model_read(TALLOC_CTX *ctx, json_t *json, struct flow_model *model)
{
    const struct {
        const char *name;
        const char **text;
    } texts[] = {
        {"profile",    &model->profile   },
        {"mode",       &model->mode      },
        {"issuer",     &model->issuer    },
        {"ca",         &model->ca        },
        {"owner",      &model->owner     },
        {"team",       &model->team      },
        {"policy",     &model->policy    },
        {"chain_pem",  &model->chain_pem },
        {"csr_pem",    &model->csr_pem   },
        {"details",    &model->details   },
        {"thumbprint", &model->thumbprint},
    };
    json_t *accounts = json_object_get(json, "accounts");
    size_t index;
    json_t *account;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        *texts[i].text = mem_text(ctx, json_text_at(json, texts[i].name));
        if (!*texts[i].text)
            give_up("the model has no %s", texts[i].name);
    }
    model->challenge = text_equal(model->mode, "challenge");
    model->profile_version = json_integer_value(json_object_get(json, "profile_version"));
    model->ca_version = json_integer_value(json_object_get(json, "ca_version"));
    json_array_foreach (accounts, index, account)
        text_list_add(ctx, &model->accounts, json_string_value(account));
}

static const struct statement *statement_of(enum flow_statement which)
{
    size_t count;
    const struct statement *list = statements(&count);

    for (size_t i = 0; i < count; i++)
        if (text_equal(list[i].name, flow_names[which]))
            return &list[i];
    give_up("there is no statement %s", flow_names[which]);
}

static struct rows *send_params(TALLOC_CTX *ctx, struct flow *flow, enum flow_statement which,
                                const struct db_param *params, size_t count)
{
    static const struct statement *known[FLOW_STATEMENTS]; /* every thread finds the same */
    struct fault fault = {0};
    const int64_t began_us = clock_monotonic_us();

    if (!known[which])
        known[which] = statement_of(which);
    struct rows *rows = db_query_params(ctx, flow->db, known[which], &fault, params, count);
    if (!rows)
        give_up("%s: %s; %s", flow_names[which], fault.detail, fault.cause);
    samples_add(flow->db, &flow->samples[which], clock_monotonic_us() - began_us);
    return rows;
}
#define SEND(ctx, flow, which, ...)                                                                \
    send_params((ctx), (flow), (which), (const struct db_param[]){__VA_ARGS__},                    \
                sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param))

static const char *random_text(TALLOC_CTX *ctx, size_t size)
{
    uint8_t octets[64];

    random_bytes(octets, size);
    return base64url_from_bytes(ctx, (struct bytes){octets, size});
}

static struct db_param nonce(TALLOC_CTX *ctx)
{
    return TEXT(random_text(ctx, NONCE_OCTETS));
}

static struct db_param nonce_expires(void)
{
    return INSTANT(clock_now_s() + NONCE_LIFE_S);
}

static void expect(const struct rows *rows, enum flow_statement which, const char *column,
                   const char *wanted)
{
    const char *got = rows->count > 0 ? row_text(rows, 0, column) : NULL;

    if (!text_equal(got, wanted))
        give_up("%s: %s is %s, not %s", flow_names[which], column, got ? got : "NULL", wanted);
}

static void account_open(TALLOC_CTX *ctx, struct flow *flow, const char *account)
{
    expect(SEND(ctx, flow, FLOW_ACCOUNT, TEXT(account)), FLOW_ACCOUNT, "status", "valid");
}

static struct text_list one(TALLOC_CTX *ctx, const char *text)
{
    struct text_list list = {0};

    text_list_add(ctx, &list, text);
    return list;
}

const char *flow_order_name(TALLOC_CTX *ctx, const struct flow_order *order)
{
    return mem_printf(ctx, "%s.bench.test", order->order_id);
}

static void order_new(TALLOC_CTX *ctx, struct flow *flow, const struct flow_order *order)
{
    const struct flow_model *model = flow->model;
    const int64_t now_s = clock_now_s();
    const char *name = flow_order_name(ctx, order);
    const struct text_list authz = one(ctx, order->authz_id);
    const struct text_list tokens = one(ctx, random_text(ctx, TOKEN_OCTETS));
    const struct text_list types = one(ctx, "dns");
    const struct text_list values = one(ctx, name);
    const struct text_list wildcards = one(ctx, "f");
    const char *identifiers = mem_printf(ctx, "[{\"type\":\"dns\",\"value\":\"%s\"}]", name);
    const char *details = mem_printf(ctx,
                                     "{\"account_id\":\"%s\",\"profile_id\":\"%s\",\"auth_mode\":"
                                     "\"%s\",\"identifier_n\":1,\"identifiers\":%s}",
                                     order->account, model->profile, model->mode, identifiers);
    uint8_t hash[DIGEST_SHA256_SIZE];

    digest_sha256(bytes_of_text(name), hash);
    const struct rows *rows = SEND(
        ctx, flow, FLOW_ORDER_NEW, nonce(ctx), nonce_expires(), TEXT(order->order_id),
        TEXT(order->account), TEXT(model->profile), TEXT(model->issuer), TEXT(model->mode),
        TEXT(identifiers), BYTEA(BYTES_OF(hash)), INSTANT(0), INSTANT(0), INSTANT(now_s + DAY_S),
        INSTANT(now_s + DAY_S), TEXTS(&authz), TEXTS(&tokens), TEXTS(&types), TEXTS(&values),
        TEXTS(&wildcards), BOOLEAN(true), INTEGER(MANY), INTEGER(MANY), INTEGER(3600),
        TEXT(id_new(ctx, "audit")), TEXT(details), TEXT(ADDRESS), TEXT(random_text(ctx, 16)),
        BOOLEAN(false), TEXT(NULL), TEXT(NULL), BOOLEAN(false),   /* replaces nothing */
        INTEGER(model->profile_version), TEXT(NULL), INTEGER(0)); /* selects nothing */
    expect(rows, FLOW_ORDER_NEW, "outcome", "created");
}

static void challenge_answer(TALLOC_CTX *ctx, struct flow *flow, const struct flow_order *order)
{
    account_open(ctx, flow, order->account);
    expect(SEND(ctx, flow, FLOW_AUTHZ, TEXT(order->authz_id), nonce(ctx), nonce_expires()),
           FLOW_AUTHZ, "status", "pending");
    account_open(ctx, flow, order->account);
    expect(SEND(ctx, flow, FLOW_CHALLENGE, nonce(ctx), nonce_expires(), TEXT(order->account),
                TEXT(order->authz_id), TEXT(order->challenge_id), TEXT("http-01"), BOOLEAN(true),
                BOOLEAN(false), BOOLEAN(true), TEXT(flow->model->thumbprint), INTEGER(60),
                INTEGER(1000), TEXT("https://bench.test/acme/account/a")),
           FLOW_CHALLENGE, "outcome", "responded");
}

struct flow_order *flow_order_begin(TALLOC_CTX *ctx, struct flow *flow)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct flow_order *order = mem_new(ctx, struct flow_order);

    order->began_us = clock_monotonic_us();
    order->account = flow->account;
    order->order_id = id_new_secret(order, "acme-ord");
    order->authz_id = id_new_secret(order, "acme-authz");
    order->challenge_id = mem_printf(order, "acme-chall-%s.http-01",
                                     order->authz_id + strlen("acme-authz-"));
    account_open(scratch, flow, order->account);
    order_new(scratch, flow, order);
    if (flow->model->challenge)
        challenge_answer(scratch, flow, order);
    return order;
}

struct rows *flow_finalize_read(TALLOC_CTX *ctx, struct flow *flow, const struct flow_order *order)
{
    struct rows *rows = SEND(ctx, flow, FLOW_FINALIZE, TEXT(order->account), TEXT(order->order_id),
                             nonce(ctx), BOOLEAN(false));

    expect(rows, FLOW_FINALIZE, "order_status", "ready");
    return rows;
}

void flow_commit(struct flow *flow, const struct flow_order *order, const char *certificate)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct flow_model *model = flow->model;
    const int64_t now_s = clock_now_s();
    const char *name = flow_order_name(ctx, order);
    const struct text_list sans = one(ctx, name);
    uint8_t octets[DIGEST_SHA256_SIZE];

    random_bytes(octets, sizeof(octets));
    octets[0] = (uint8_t)(0x40 | (octets[0] & 0x3f)); /* a serial without leading zeros */
    const char *serial = hex_from_bytes(ctx, (struct bytes){octets, 16});
    const char *digest = hex_from_bytes(ctx, BYTES_OF(octets));
    const struct rows *rows = SEND(
        ctx, flow, FLOW_COMMIT, nonce(ctx), nonce_expires(), TEXT(order->order_id),
        TEXT(order->account), TEXT(model->profile), INTEGER(model->profile_version),
        TEXT(model->ca), INTEGER(model->ca_version), TEXT(certificate),
        TEXT(mem_printf(ctx, "acme-%s", order->order_id)), TEXT(name), TEXTS(&sans),
        TEXT(model->owner), TEXT(model->team), TEXT(model->issuer), TEXT(model->policy),
        TEXT("ACME"), TEXT(id_new(ctx, "cv")), TEXT(serial), INSTANT(now_s - 60),
        INSTANT(now_s + LEAF_VALIDITY), TEXT(digest), TEXT(digest), BOOLEAN(false),
        TEXT(model->chain_pem), TEXT(model->csr_pem), BYTEA(BYTES_OF(octets)), TEXT("ECDSA"),
        INTEGER(256), TEXT(id_new(ctx, "audit")), TEXT(mem_printf(ctx, "acme:%s", order->account)),
        TEXT("acme_order_finalized"), TEXT(model->details), TEXT(ADDRESS),
        TEXT(random_text(ctx, 16)), TEXT(NULL), TEXT(NULL)); /* no job */
    expect(rows, FLOW_COMMIT, "outcome", "issued");
}

void flow_order_end(struct flow *flow, const struct flow_order *order)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *certificate = id_new(scratch, "mc");

    if (flow->model->challenge) {
        account_open(scratch, flow, order->account);
        expect(SEND(scratch, flow, FLOW_ORDER_READ, TEXT(order->order_id), nonce(scratch),
                    nonce_expires()),
               FLOW_ORDER_READ, "order_status", "ready");
    }
    (void)flow_finalize_read(scratch, flow, order);
    flow_commit(flow, order, certificate);
    account_open(scratch, flow, order->account);
    expect(SEND(scratch, flow, FLOW_CERTIFICATE, TEXT(certificate), TEXT(order->account),
                nonce(scratch), nonce_expires(), INTEGER(0)), /* the chain itself */
           FLOW_CERTIFICATE, "certificate_id", certificate);
}

size_t flow_validate(struct flow *flow, void (*taken)(void *arg, const char *challenge_id),
                     void *arg)
{
    static const char record[] = "{\"address\":\"127.0.0.1\",\"url\":\"http://name.bench.test:5002/"
                                 ".well-known/acme-challenge/token\",\"redirects\":0,"
                                 "\"resolver\":\"127.0.0.1:5353\",\"duration_ms\":3}";
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list types = one(scratch, "http-01");
    const struct rows *rows = SEND(scratch, flow, FLOW_CLAIM, TEXTS(&types), INTEGER(CONCURRENCY),
                                   INTEGER(CONCURRENCY), INTEGER(LEASE_S), TEXT(CLAIMED_BY));

    if (rows->count == 1 && row_null(rows, 0, "challenge_id"))
        return 0;
    for (size_t i = 0; i < rows->count; i++) {
        const char *challenge_id = row_text(rows, i, "challenge_id");

        expect(SEND(scratch, flow, FLOW_RESULT, TEXT(challenge_id), TEXT(CLAIMED_BY), TEXT(NULL),
                    BOOLEAN(false), INTEGER(ATTEMPTS), TEXT(record), INTEGER(DAY_S),
                    TEXT(id_new(scratch, "audit")), INTEGER(MANY), BOOLEAN(false)),
               FLOW_RESULT, "order_status", "ready");
        taken(arg, challenge_id);
    }
    return rows->count;
}
