/* admin/ca.c: certctl-admin ca: the list of verbs, and what CAs there are (04 section 3.1). */
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/certificate.h"

#include "admin.h"

#include "core/banned.h"

STATEMENT(ca_list, "SELECT c.issuer_id, c.id, coalesce(m.subject, '') AS subject, c.state, "
                   "c.not_after, c.key_algorithm FROM ca_instances c "
                   "LEFT JOIN intermediate_cas m ON m.id = c.intermediate_ca_id "
                   "ORDER BY c.issuer_id, c.created_at, m.parent_ca_id NULLS FIRST, c.id");

/* $1 id. */
STATEMENT(ca_by_id, "SELECT cert_der FROM ca_instances WHERE id = $1::text");

static int ca_list_verb(struct admin *admin, int argc, char **argv)
{
    struct fault fault = {0};

    if (argc != 1)
        return admin_misused(ca_verbs, ca_verbs_count, argv[0]);
    struct rows *rows = db_query_params(admin->ctx, admin->db, &ca_list, &fault, NULL, 0);
    if (!rows)
        return admin_failed(&fault);
    for (size_t i = 0; i < rows->count; i++)
        (void)printf("%s\t%s\t%s\t%s\t%s\t%s\n", row_text(rows, i, "issuer_id"),
                     row_text(rows, i, "id"), row_text(rows, i, "subject"),
                     row_text(rows, i, "state"),
                     time_to_rfc3339(admin->ctx, row_time(rows, i, "not_after")),
                     row_text(rows, i, "key_algorithm"));
    return EX_OK;
}

static int ca_show_verb(struct admin *admin, int argc, char **argv)
{
    struct fault fault = {0};
    const bool pem = argc == 3 && text_equal(argv[2], "--pem");
    const bool sha256 = argc == 3 && text_equal(argv[2], "--sha256");

    if (!pem && !sha256)
        return admin_misused(ca_verbs, ca_verbs_count, argv[0]);
    struct rows *rows = db_query(admin->ctx, admin->db, &ca_by_id, &fault, TEXT(argv[1]));
    if (!rows)
        return admin_failed(&fault);
    if (rows->count == 0) {
        fault_set(&fault, RESOURCE_UNKNOWN, "id", "there is no CA %s",
                  text_quote(admin->ctx, argv[1]));
        return admin_failed(&fault);
    }
    const struct bytes der = row_bytes(admin->ctx, rows, 0, "cert_der");
    if (pem)
        (void)printf("%s", pem_encode(admin->ctx, "CERTIFICATE", der));
    else
        (void)printf("%s\n", digest_sha256_hex(admin->ctx, der));
    return EX_OK;
}

static const char bootstrap_usage[] =
    "[--issuer=ID] [--root-cn=NAME] [--issuing-cn=NAME] [--organization=NAME]\n"
    "      [--root-algorithm=ALG] [--issuing-algorithm=ALG] [--root-driver=file|pkcs11]\n"
    "      [--issuing-driver=file|pkcs11] [--base-url=URL]";

static const char bootstrap_help[] = "ask for a root and an issuing CA; prints the request's id";
static const char approve_help[] = "show every field and its SHA-256, ask, approve";
static const char list_help[] =
    "issuer, id, subject, state, notAfter, key algorithm, tab-separated";

static const char create_usage[] =
    "--parent=ID --cn=NAME [--name=NAME] [--organization=NAME] [--algorithm=ALG]\n"
    "      [--driver=file|pkcs11] [--days=N] [--path-len=N] [--permit=BASE]… [--exclude=BASE]…\n"
    "      [--base-url=URL] [--ocsp-url=URL]";
static const char single_usage[] =
    "--cn=NAME [--issuer=ID] [--organization=NAME] [--algorithm=ALG] [--driver=file|pkcs11]\n"
    "      [--days=N] [--base-url=URL]";
static const char csr_usage[] =
    "--cn=NAME [--issuer=ID] [--organization=NAME] [--algorithm=ALG] [--driver=file|pkcs11]\n"
    "      [--path-len=N]";
static const char import_usage[] =
    "--key=REF|--request=ID --chain=FILE [--issuer=ID] [--tree] [--name=NAME] [--base-url=URL]\n"
    "      [--ocsp-url=URL]";
static const char sign_usage[] =
    "--parent=ID --csr=FILE [--name=NAME] [--days=N] [--path-len=N] [--permit=BASE]…\n"
    "      [--exclude=BASE]…";
static const char rotate_usage[] =
    "ID [--algorithm=ALG] [--driver=file|pkcs11] [--days=N] [--base-url=URL]";
static const char facts_usage[] =
    "ID [--base-url=URL] [--ocsp-url=URL] [--max-leaf-days=N] [--signatures-per-hour=N]\n"
    "      [--crl-validity=DURATION] [--ocsp-validity=DURATION] [--eku=NAME]… [--policy=OID]…\n"
    "      [--permit=BASE]… [--exclude=BASE]… [--clear=MEMBER]…";
static const char facts_help[] =
    "what its signer knows about a CA; with options, ask that it know something else";
static const char import_help[] =
    "ask to use a key that is there, or was made by ca csr, with its certificate";

static const char chains_help[] =
    "which chains clients may choose from; set those besides the CA's own";

const struct verb ca_verbs[] = {
    {"ca", "bootstrap",   bootstrap_usage,       bootstrap_help,                                         ca_bootstrap_verb},
    {"ca", "self-signed", single_usage,          "ask for one CA that signs leaves itself",
     ca_self_signed_verb                                                                                                  },
    {"ca", "create",      create_usage,          "ask for a CA below another",                           ca_create_verb   },
    {"ca", "csr",         csr_usage,             "ask for a key, and a request for a CA elsewhere",      ca_csr_verb      },
    {"ca", "import",      import_usage,          import_help,                                            ca_import_verb   },
    {"ca", "sign",        sign_usage,            "ask to certify a CA elsewhere",                        ca_sign_verb     },
    {"ca", "rotate",      rotate_usage,          "ask for a new key of a CA; the old one keeps its CRL",
     ca_rotate_verb                                                                                                       },
    {"ca", "retire",      "ID [--confirm]",      "ask to stop a CA; confirmed, for good",                ca_retire_verb   },
    {"ca", "facts",       facts_usage,           facts_help,                                             ca_facts_verb    },
    {"ca", "result",      "REQUEST",             "what became of a request, and its PEM",                ca_result_verb   },
    {"ca", "requests",    "",                    "what waits for approval here",                         ca_requests_verb },
    {"ca", "approve",     "ID [--yes]",          approve_help,                                           ca_approve_verb  },
    {"ca", "refuse",      "ID",                  "end a request",                                        ca_refuse_verb   },
    {"ca", "list",        "",                    list_help,                                              ca_list_verb     },
    {"ca", "show",        "ID --pem|--sha256",   "its certificate, or the digest",                       ca_show_verb     },
    {"ca", "chains",      "ID [FILE…|--none]", chains_help,                                            ca_chains_verb   },
};
const size_t ca_verbs_count = ARRAY_SIZE(ca_verbs);
