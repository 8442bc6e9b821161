/* admin/ca_request.c: certctl-admin ca bootstrap, requests, approve, refuse (04 section 5.2). */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "lifecycle/ca_submit.h"

#include "ca_order.h"

#include "core/banned.h"

STATEMENT(ca_requests_open,
          "SELECT id, kind, issuer_id, requested_by, state, created_at, fields_sha256 "
          "FROM ca_requests WHERE state IN ('pending', 'approved') ORDER BY created_at, id");

/* $1 id. */
STATEMENT(ca_request_by_id,
          "SELECT kind, issuer_id, requested_by, body::text AS body, state, created_at, "
          "fields_sha256 FROM ca_requests WHERE id = $1::text");

/* $1 id, $2 who, $3 id of the event, $4 its details. The row is for display: what counts is the
 * file. */
STATEMENT(ca_request_approve,
          "WITH changed AS (UPDATE ca_requests SET state = 'approved', approved_at = now(), "
          "approved_by = $2::text WHERE id = $1::text AND state IN ('pending', 'approved') "
          "RETURNING id) "
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, event_category) SELECT $3::text, $2::text, 'User', 'ca_request_approved', "
          "'intermediate_ca', changed.id, $4::text::jsonb, 'config' FROM changed");

/* As above. */
STATEMENT(ca_request_refuse,
          "WITH changed AS (UPDATE ca_requests SET state = 'failed', error_status = 403, "
          "error = 'refused on the signer''s host', finished_at = now() "
          "WHERE id = $1::text AND state IN ('pending', 'approved') RETURNING id) "
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, event_category) SELECT $3::text, $2::text, 'User', 'ca_request_refused', "
          "'intermediate_ca', changed.id, $4::text::jsonb, 'config' FROM changed");

static int misused(const char *verb)
{
    return admin_misused(ca_verbs, ca_verbs_count, verb);
}

struct bootstrap_options {
    const char *issuer_id;
    const char *base_url;
    struct ca_bootstrap wanted;
};

/* The letters of getopt_long are places in this table. */
static const struct {
    const char *name;
    size_t offset;
} bootstrap_texts[] = {
    {"issuer",            AT(bootstrap_options, issuer_id)                 },
    {"base-url",          AT(bootstrap_options, base_url)                  },
    {"root-cn",           AT(bootstrap_options, wanted.root_common_name)   },
    {"issuing-cn",        AT(bootstrap_options, wanted.issuing_common_name)},
    {"organization",      AT(bootstrap_options, wanted.organization)       },
    {"root-algorithm",    AT(bootstrap_options, wanted.root_algorithm)     },
    {"issuing-algorithm", AT(bootstrap_options, wanted.issuing_algorithm)  },
    {"root-driver",       AT(bootstrap_options, wanted.root_driver)        },
    {"issuing-driver",    AT(bootstrap_options, wanted.issuing_driver)     },
};

#define FIRST_LETTER 1000

static bool bootstrap_parse(int argc, char **argv, struct bootstrap_options *options)
{
    struct option long_options[ARRAY_SIZE(bootstrap_texts) + 1] = {0};

    for (size_t i = 0; i < ARRAY_SIZE(bootstrap_texts); i++)
        long_options[i] = (struct option){bootstrap_texts[i].name, required_argument, NULL,
                                          FIRST_LETTER + (int)i}; /* nine of them */
    for (;;) {
        const int letter = getopt_long(argc, argv, "", long_options, NULL);
        if (letter == -1)
            return optind == argc;
        if (letter < FIRST_LETTER)
            return false;
        char *place = (char *)options + bootstrap_texts[letter - FIRST_LETTER].offset;
        const char *value = optarg;
        memcpy(place, &value, sizeof value);
    }
}

int ca_bootstrap_verb(struct admin *admin, int argc, char **argv)
{
    const char *algorithm = admin->settings->ca_key_algorithm;
    struct bootstrap_options options = {
        .issuer_id = "iss-local",
        .base_url = admin->settings->pki_base_url,
        .wanted = {.root_common_name = "certctl Root CA",
                   .issuing_common_name = "certctl Issuing CA",
                   .root_algorithm = algorithm,
                   .issuing_algorithm = algorithm,
                   .root_driver = admin->settings->ca_key_driver,
                   .issuing_driver = admin->settings->ca_key_driver,
                   .root_days = CA_ROOT_DAYS,
                   .issuing_days = CA_ISSUING_DAYS},
    };
    struct ca_bootstrap checked;
    struct fault fault = {0};

    if (!bootstrap_parse(argc, argv, &options))
        return misused(argv[0]);
    ca_add_urls(admin->ctx, options.base_url, options.issuer_id, &options.wanted);
    AUTO(json_t) *body = ca_bootstrap_to_body(&options.wanted);
    if (!ca_bootstrap_from_body(admin->ctx, body, &checked, &fault))
        return admin_failed(&fault);
    return ca_submit(admin, "bootstrap", options.issuer_id, body);
}

int ca_submit(struct admin *admin, const char *kind, const char *issuer_id, json_t *body)
{
    const struct ca_request request = {kind, issuer_id, admin->actor, body};
    const struct ca_asker asker = {.actor = admin->actor, .actor_type = "User"};
    const char *id = NULL;
    struct fault fault = {0};

    if (!lifecycle_ca_request(admin->ctx, admin->db, &request, &asker, &id, &fault))
        return admin_failed(&fault);
    (void)printf("%s\n", id);
    return EX_OK;
}

int ca_requests_verb(struct admin *admin, int argc, char **argv)
{
    struct fault fault = {0};

    if (argc != 1)
        return misused(argv[0]);
    struct rows *rows = db_query_params(admin->ctx, admin->db, &ca_requests_open, &fault, NULL, 0);
    if (!rows)
        return admin_failed(&fault);
    for (size_t i = 0; i < rows->count; i++)
        (void)printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row_text(rows, i, "id"),
                     row_text(rows, i, "kind"), row_text(rows, i, "issuer_id"),
                     row_text(rows, i, "requested_by"), row_text(rows, i, "state"),
                     time_to_rfc3339(admin->ctx, row_time(rows, i, "created_at")),
                     row_text(rows, i, "fields_sha256"));
    return EX_OK;
}

/* A request that can still be approved or refused; the body is adopted by the admin's ctx. */
static bool load_request(struct admin *admin, const char *id, struct ca_request *ret_request,
                         struct rows **ret_rows, struct fault *fault)
{
    struct rows *rows = db_query(admin->ctx, admin->db, &ca_request_by_id, fault, TEXT(id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, "id", "there is no request %s",
                         text_quote(admin->ctx, id));
    const char *state = row_text(rows, 0, "state");
    if (!text_equal(state, "pending") && !text_equal(state, "approved"))
        return fault_set(fault, RESOURCE_STATE, "id", "the request is %s already", state);
    json_t *body = json_parse_object(bytes_of_text(row_text(rows, 0, "body")), INPUT_INVALID,
                                     "body", fault);
    if (!body)
        return false;
    *ret_request = (struct ca_request){row_text(rows, 0, "kind"), row_text(rows, 0, "issuer_id"),
                                       row_text(rows, 0, "requested_by"),
                                       mem_adopt(admin->ctx, body, json_decref)};
    *ret_rows = rows;
    return true;
}

const char *ca_shown(TALLOC_CTX *ctx, const json_t *value)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT | JSON_SORT_KEYS;
    const size_t size = json_dumpb(value, NULL, 0, flags);
    char *text = mem_array(ctx, char, size + 1);

    (void)json_dumpb(value, text, size, flags);
    return text;
}

static const char *shown_text(TALLOC_CTX *ctx, const char *text)
{
    AUTO(json_t) *value = json_string(text);

    return value ? ca_shown(ctx, value) : "not UTF-8";
}

static void show_request(struct admin *admin, const char *id, const struct ca_request *request,
                         const struct rows *rows, const char *sha256)
{
    const char *stored = row_text(rows, 0, "fields_sha256");
    const char *name;
    json_t *value;

    (void)printf("request:      %s\n", id);
    (void)printf("kind:         %s\n", shown_text(admin->ctx, request->kind));
    (void)printf("issuer:       %s\n", shown_text(admin->ctx, request->issuer_id));
    (void)printf("requested by: %s\n", shown_text(admin->ctx, request->requested_by));
    (void)printf("requested at: %s\n",
                 time_to_rfc3339(admin->ctx, row_time(rows, 0, "created_at")));
    json_object_foreach (request->body, name, value)
        (void)printf("  %s: %s\n", shown_text(admin->ctx, name), ca_shown(admin->ctx, value));
    (void)printf("SHA-256:      %s\n", sha256);
    if (!text_equal(stored, sha256))
        (void)printf("WARNING: the fields were changed after the request was made (%s)\n", stored);
}

static void show_subject(struct admin *admin, const char *what, const X509_NAME *name,
                         const char *spki_sha256)
{
    AUTO(BIO) *out = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (!out || !name || X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) < 0)
        return;
    const long length = BIO_get_mem_data(out, &text);
    (void)printf("%s %s, SHA-256 of its key %s\n", what,
                 shown_text(admin->ctx, mem_text_n(admin->ctx, text, (size_t)length)), spki_sha256);
}

/* Nobody can judge base64: what a request or chain says is told in words. */
static bool show_evidence(struct admin *admin, const struct ca_order *order, struct fault *fault)
{
    struct certificate **chain = NULL;
    size_t count = 0;

    if (order->csr) {
        const struct csr *csr = ca_csr_read(admin->ctx, order->csr, fault);
        if (!csr)
            return false;
        show_subject(admin, "request of:  ", ca_csr_subject(admin->ctx, csr), csr->spki_sha256);
    }
    if (order->chain && !ca_chain_read(admin->ctx, order->chain, &chain, &count, fault))
        return false;
    for (size_t i = 0; i < count; i++)
        show_subject(admin, "certificate: ", X509_get_subject_name(chain[i]->x509),
                     chain[i]->spki_sha256);
    return true;
}

/* A request that the job would refuse must not be approved first. */
static bool can_be_carried_out(struct admin *admin, const struct ca_request *request,
                               struct fault *fault)
{
    struct ca_bootstrap bootstrap;
    struct ca_order order;

    if (!text_equal(request->kind, "bootstrap"))
        return ca_order_from_body(admin->ctx, request->kind, request->body, &order, fault) &&
               show_evidence(admin, &order, fault) &&
               (order.kind != CA_FACTS || ca_facts_evidence(admin, &order, fault));
    return ca_bootstrap_from_body(admin->ctx, request->body, &bootstrap, fault);
}

static bool person_agrees(void)
{
    char answer[16] = "";

    (void)printf("Approve? Type yes: ");
    (void)fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && text_equal(answer, "yes\n");
}

static bool end_or_mark(struct admin *admin, const struct statement *statement, const char *id,
                        const struct ca_request *request, struct fault *fault)
{
    struct rows *rows = db_query(admin->ctx, admin->db, statement, fault, TEXT(id),
                                 TEXT(admin->actor), TEXT(id_new(admin->ctx, "audit")),
                                 TEXT(ca_request_details(admin->ctx, request)));

    if (!rows)
        return false;
    return rows->affected == 1 ||
           fault_set(fault, RESOURCE_STATE, "id", "the request was ended meanwhile");
}

int ca_approve_verb(struct admin *admin, int argc, char **argv)
{
    const bool sure = argc == 3 && text_equal(argv[2], "--yes");
    struct ca_request request = {0};
    struct rows *rows = NULL;
    struct fault fault = {0};

    if (argc != 2 && !sure)
        return misused(argv[0]);
    if (!load_request(admin, argv[1], &request, &rows, &fault))
        return admin_failed(&fault);
    const char *sha256 = ca_request_sha256(admin->ctx, &request);
    show_request(admin, argv[1], &request, rows, sha256);
    if (!can_be_carried_out(admin, &request, &fault))
        return admin_failed(&fault);
    if (!sure && !person_agrees()) {
        (void)fprintf(stderr, "certctl-admin: not approved\n");
        return 1;
    }
    /* The row first: the job, which believes the file alone, may be done with the request before
     * the next statement. A row without its file waits, and can be approved once more. */
    if (!end_or_mark(admin, &ca_request_approve, argv[1], &request, &fault) ||
        !ca_approval_write(admin->settings->state_dir, argv[1], sha256, &fault))
        return admin_failed(&fault);
    db_wake(admin->db, "ca-hierarchy");
    return EX_OK;
}

int ca_refuse_verb(struct admin *admin, int argc, char **argv)
{
    struct ca_request request = {0};
    struct rows *rows = NULL;
    struct fault fault = {0};

    if (argc != 2)
        return misused(argv[0]);
    if (!load_request(admin, argv[1], &request, &rows, &fault) ||
        !end_or_mark(admin, &ca_request_refuse, argv[1], &request, &fault))
        return admin_failed(&fault);
    ca_approval_remove(admin->settings->state_dir, argv[1]);
    return EX_OK;
}
