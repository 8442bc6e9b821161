/* admin/ca_order.c: certctl-admin ca self-signed, create, csr, import, sign, rotate and retire each
 * write a request, result fetches what became of it (04 sections 3.3, 3.4 and 5). */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"

#include "ca_order.h"

#include "core/banned.h"

#define FILE_MAX 65536

/* $1 CA. */
STATEMENT(ca_issuer_of, "SELECT issuer_id, key_algorithm, state, facts_close_due IS NULL AS closed "
                        "FROM ca_instances WHERE id = $1::text");

/* $1 request. */
STATEMENT(ca_key_of_request, "SELECT issuer_id, key_ref FROM ca_requests "
                             "WHERE id = $1::text AND kind = 'csr' AND state = 'done'");

/* $1 request. */
STATEMENT(ca_request_result, "SELECT state, error, result, intermediate_ca_id, key_ref "
                             "FROM ca_requests WHERE id = $1::text");

struct options {
    const char *issuer_id;
    const char *base_url;
    const char *chain_file;
    const char *csr_file;
    const char *request_id;
    struct ca_order order;
    bool retired; /* the CA that the order names */
    bool closed;  /* and its signer has been told */
};

enum option_kind { OPTION_TEXT, OPTION_INTEGER, OPTION_LIST, OPTION_FLAG };

#define BELOW   (CA_CREATE_CHILD | CA_SIGN_CSR)
#define OF_ONE  (CA_SELF_SIGNED | CA_CSR | CA_IMPORT)
#define NEW_KEY (CA_SELF_SIGNED | CA_CREATE_CHILD | CA_CSR | CA_RENEW)
#define NAMED   (CA_SELF_SIGNED | CA_CREATE_CHILD | CA_CSR)
#define IN_SITE (CA_SELF_SIGNED | CA_CREATE_CHILD | CA_RENEW | CA_IMPORT)

/* The letters of getopt_long are places in this table. */
static const struct {
    const char *name;
    enum option_kind kind;
    size_t offset;
    unsigned verbs; /* the kinds of request that have it */
} known[] = {
    {"issuer",       OPTION_TEXT,    AT(options, issuer_id),                OF_ONE                           },
    {"base-url",     OPTION_TEXT,    AT(options, base_url),                 IN_SITE                          },
    {"chain",        OPTION_TEXT,    AT(options, chain_file),               CA_IMPORT                        },
    {"csr",          OPTION_TEXT,    AT(options, csr_file),                 CA_SIGN_CSR                      },
    {"request",      OPTION_TEXT,    AT(options, request_id),               CA_IMPORT                        },
    {"key",          OPTION_TEXT,    AT(options, order.key_ref),            CA_IMPORT                        },
    {"ocsp-url",     OPTION_TEXT,    AT(options, order.ocsp_responder_url), CA_CREATE_CHILD | CA_IMPORT      },
    {"tree",         OPTION_FLAG,    AT(options, order.tree),               CA_IMPORT                        },
    {"parent",       OPTION_TEXT,    AT(options, order.ca_id),              BELOW                            },
    {"name",         OPTION_TEXT,    AT(options, order.name),               BELOW | CA_IMPORT                },
    {"cn",           OPTION_TEXT,    AT(options, order.common_name),        NAMED                            },
    {"organization", OPTION_TEXT,    AT(options, order.organization),       NAMED                            },
    {"algorithm",    OPTION_TEXT,    AT(options, order.algorithm),          NEW_KEY                          },
    {"driver",       OPTION_TEXT,    AT(options, order.driver),             NEW_KEY                          },
    {"days",         OPTION_INTEGER, AT(options, order.days),               CA_SELF_SIGNED | BELOW | CA_RENEW},
    {"path-len",     OPTION_INTEGER, AT(options, order.path_len),           BELOW | CA_CSR                   },
    {"permit",       OPTION_LIST,    AT(options, order.permitted_dns),      BELOW                            },
    {"exclude",      OPTION_LIST,    AT(options, order.excluded_dns),       BELOW                            },
    {"confirm",      OPTION_FLAG,    AT(options, order.confirm),            CA_RETIRE                        },
};

#define FIRST_LETTER 1000

static bool take_option(struct admin *admin, size_t index, const char *value,
                        struct options *options)
{
    void *place = (char *)options + known[index].offset;

    switch (known[index].kind) {
    case OPTION_TEXT:
        memcpy(place, &value, sizeof value);
        return true;
    case OPTION_INTEGER:
        return text_to_integer(value, 0, CA_DAYS_MAX, place);
    case OPTION_LIST:
        text_list_add(admin->ctx, place, value);
        return true;
    case OPTION_FLAG:
        *(bool *)place = true;
        return true;
    }
    return false;
}

/* The one word beside the options is the CA that is renewed or retired. */
static bool parse(struct admin *admin, int argc, char **argv, struct options *options)
{
    struct option long_options[ARRAY_SIZE(known) + 1] = {0};
    const unsigned kind = options->order.kind;

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        long_options[i] = (struct option){
            known[i].name, known[i].kind == OPTION_FLAG ? no_argument : required_argument, NULL,
            FIRST_LETTER + (int)i}; /* a few of them */
    for (;;) {
        const int letter = getopt_long(argc, argv, "", long_options, NULL);
        if (letter == -1)
            break;
        if (letter < FIRST_LETTER || !(known[letter - FIRST_LETTER].verbs & kind) ||
            !take_option(admin, letter - FIRST_LETTER, optarg, options))
            return false;
    }
    if (!(kind & (CA_RENEW | CA_RETIRE)))
        return optind == argc;
    options->order.ca_id = argv[optind];
    return optind + 1 == argc;
}

bool ca_read_file(struct admin *admin, const char *path, const char **ret, struct fault *fault)
{
    char *text = mem_array(admin->ctx, char, FILE_MAX + 1);
    AUTO(FILE) *file = text_equal(path, "-") ? stdin : fopen(path, "rbe");

    if (!file) {
        fault_set(fault, INPUT_INVALID, "file", "%s cannot be opened", path);
        return fault_cause_errno(fault, "fopen");
    }
    const size_t size = fread(text, 1, FILE_MAX + 1, file);
    if (size > FILE_MAX || memchr(text, 0, size))
        return fault_set(fault, INPUT_INVALID, "file", "%s is no PEM file of at most %d bytes",
                         path, FILE_MAX);
    *ret = text;
    return true;
}

/* The key that a request made, and its issuer. */
static bool find_key(struct admin *admin, struct options *options, struct fault *fault)
{
    struct rows *rows = db_query(admin->ctx, admin->db, &ca_key_of_request, fault,
                                 TEXT(options->request_id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, "request",
                         "%s is no request of kind csr that is done",
                         text_quote(admin->ctx, options->request_id));
    options->issuer_id = row_text(rows, 0, "issuer_id");
    options->order.key_ref = row_text(rows, 0, "key_ref");
    return true;
}

/* A CA says whose it is, and a new key for it is of its kind unless said otherwise. */
static bool find_issuer(struct admin *admin, struct options *options, struct fault *fault)
{
    struct rows *rows = db_query(admin->ctx, admin->db, &ca_issuer_of, fault,
                                 TEXT(options->order.ca_id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, "ca_id", "there is no CA %s",
                         text_quote(admin->ctx, options->order.ca_id ? options->order.ca_id : ""));
    options->issuer_id = row_text(rows, 0, "issuer_id");
    options->retired = text_equal(row_text(rows, 0, "state"), "retired");
    options->closed = row_bool(rows, 0, "closed");
    if (options->order.kind == CA_RENEW && !options->order.algorithm)
        options->order.algorithm = row_text(rows, 0, "key_algorithm");
    return true;
}

static bool complete(struct admin *admin, struct options *options, struct fault *fault)
{
    struct ca_order *order = &options->order;

    if (options->chain_file && !ca_read_file(admin, options->chain_file, &order->chain, fault))
        return false;
    if (options->csr_file && !ca_read_file(admin, options->csr_file, &order->csr, fault))
        return false;
    if (options->request_id && !find_key(admin, options, fault))
        return false;
    if (!(order->kind & OF_ONE) && !find_issuer(admin, options, fault))
        return false;
    if ((order->kind & NEW_KEY) && !order->algorithm)
        order->algorithm = admin->settings->ca_key_algorithm;
    if ((order->kind & NEW_KEY) && !order->driver)
        order->driver = admin->settings->ca_key_driver;
    ca_order_urls(admin->ctx, options->base_url, options->issuer_id, order);
    return true;
}

/* Retired by the API, or before: there is nothing to ask for, and asking twice is no mistake. */
static int retired_already(struct admin *admin, const struct options *options)
{
    (void)fprintf(stderr, "certctl-admin: %s is retired already%s\n", options->order.ca_id,
                  options->closed ? ", and its signer signs no certificate with it"
                                  : "; certctl-job-ca-hierarchy has not told its signer yet");
    if (options->closed)
        return EX_OK;
    db_wake(admin->db, "ca-hierarchy");
    return EX_TEMPFAIL;
}

/* What must be in a body is checked by the code that the job uses. A renewed CA's places are the
 * old one's where no option names others. */
static int order_verb(struct admin *admin, enum ca_order_kind kind, int argc, char **argv)
{
    struct options options = {
        .issuer_id = "iss-local",
        .base_url = kind == CA_RENEW ? NULL : admin->settings->pki_base_url,
        .order = {.kind = kind,
                  .days = kind == CA_SELF_SIGNED ? CA_SELF_SIGNED_DAYS : CA_ISSUING_DAYS,
                  .path_len = -1},
    };
    struct ca_order checked;
    struct fault fault = {0};

    if (!parse(admin, argc, argv, &options))
        return admin_misused(ca_verbs, ca_verbs_count, argv[0]);
    if (!complete(admin, &options, &fault))
        return admin_failed(&fault);
    if (kind == CA_RETIRE && options.retired)
        return retired_already(admin, &options);
    AUTO(json_t) *body = ca_order_to_body(&options.order);
    if (!ca_order_from_body(admin->ctx, ca_order_kind_text(kind), body, &checked, &fault))
        return admin_failed(&fault);
    return ca_submit(admin, ca_order_kind_text(kind), options.issuer_id, body);
}

int ca_self_signed_verb(struct admin *admin, int argc, char **argv)
{
    return order_verb(admin, CA_SELF_SIGNED, argc, argv);
}

int ca_create_verb(struct admin *admin, int argc, char **argv)
{
    return order_verb(admin, CA_CREATE_CHILD, argc, argv);
}

int ca_csr_verb(struct admin *admin, int argc, char **argv)
{
    return order_verb(admin, CA_CSR, argc, argv);
}

int ca_import_verb(struct admin *admin, int argc, char **argv)
{
    return order_verb(admin, CA_IMPORT, argc, argv);
}

int ca_sign_verb(struct admin *admin, int argc, char **argv)
{
    return order_verb(admin, CA_SIGN_CSR, argc, argv);
}

int ca_rotate_verb(struct admin *admin, int argc, char **argv)
{
    return order_verb(admin, CA_RENEW, argc, argv);
}

int ca_retire_verb(struct admin *admin, int argc, char **argv)
{
    return order_verb(admin, CA_RETIRE, argc, argv);
}

/* The PEM on stdout, nothing else; all the rest on stderr. */
int ca_result_verb(struct admin *admin, int argc, char **argv)
{
    struct fault fault = {0};

    if (argc != 2)
        return admin_misused(ca_verbs, ca_verbs_count, argv[0]);
    struct rows *rows = db_query(admin->ctx, admin->db, &ca_request_result, &fault, TEXT(argv[1]));
    if (!rows)
        return admin_failed(&fault);
    if (rows->count == 0) {
        fault_set(&fault, RESOURCE_UNKNOWN, "id", "there is no request %s",
                  text_quote(admin->ctx, argv[1]));
        return admin_failed(&fault);
    }
    const char *state = row_text(rows, 0, "state");
    const char *error = row_text(rows, 0, "error");
    const char *result = row_text(rows, 0, "result");
    if (result)
        (void)printf("%s", result);
    (void)fprintf(stderr, "certctl-admin: %s%s%s\n", state, error ? ": " : "", error ? error : "");
    return text_equal(state, "done") ? EX_OK : 1;
}
