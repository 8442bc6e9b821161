/* lib/lifecycle/ca_order.c: bodies of CA requests: which members a kind has, and what they may say
 * (04 sections 3.2 to 3.4 and 5.3). */
#include "ca_order.h"

#include "core/auto.h"
#include "core/memory.h"
#include "lifecycle/ca_facts.h"
#include "pki/constraint.h"
#include "pki/name.h"

#include "core/banned.h"

#define DAY_S           (INT64_C(24) * 3600)
#define TEXT_MAX        64 /* ub-common-name, RFC 5280 appendix A.1 */
#define PEM_MAX         65536
#define CONSTRAINTS_MAX 64
#define RDNS_MAX        4 /* of one attribute */
#define METADATA_MAX    32
/* A text of it. */
#define METADATA_TEXT_MAX 1024
#define REFERENCE_MAX     512

#define NEW_KEY (CA_SELF_SIGNED | CA_CREATE_CHILD | CA_CSR | CA_RENEW)
#define NEW_CA  (CA_SELF_SIGNED | CA_CREATE_CHILD | CA_RENEW | CA_IMPORT)
#define BELOW   (CA_CREATE_CHILD | CA_SIGN_CSR)

static const struct {
    enum ca_order_kind kind;
    const char *name;
} kinds[] = {
    {CA_SELF_SIGNED,  "self_signed" },
    {CA_CREATE_CHILD, "create_child"},
    {CA_CSR,          "csr"         },
    {CA_IMPORT,       "import"      },
    {CA_SIGN_CSR,     "sign_csr"    },
    {CA_RENEW,        "renew"       },
    {CA_RETIRE,       "retire"      },
    {CA_FACTS,        "facts"       },
};

#define PLACE(name) AT(ca_order, name)

/* Which kinds may have a member, and which must. */
static const struct order_member {
    struct member member;
    unsigned may;
    unsigned must;
} members[] = {
    {{"name", MEMBER_TEXT, OPTIONAL, PLACE(name)},                                  BELOW | CA_IMPORT,                 0          },
    {{"common_name", MEMBER_TEXT, OPTIONAL, PLACE(common_name)},
     CA_SELF_SIGNED | CA_CREATE_CHILD | CA_CSR,
     CA_SELF_SIGNED | CA_CREATE_CHILD | CA_CSR                                                                                    },
    {{"organization", MEMBER_TEXT, OPTIONAL, PLACE(organization)},
     CA_SELF_SIGNED | CA_CREATE_CHILD | CA_CSR,
     0                                                                                                                            },
    {{"organizations", MEMBER_TEXTS, OPTIONAL, PLACE(organizations)},               CA_CREATE_CHILD,                   0          },
    {{"organizational_units", MEMBER_TEXTS, OPTIONAL, PLACE(organizational_units)},
     CA_CREATE_CHILD,                                                                                                  0          },
    {{"countries", MEMBER_TEXTS, OPTIONAL, PLACE(countries)},                       CA_CREATE_CHILD,                   0          },
    {{"localities", MEMBER_TEXTS, OPTIONAL, PLACE(localities)},                     CA_CREATE_CHILD,                   0          },
    {{"provinces", MEMBER_TEXTS, OPTIONAL, PLACE(provinces)},                       CA_CREATE_CHILD,                   0          },
    {{"ocsp_responder_url", MEMBER_TEXT, OPTIONAL, PLACE(ocsp_responder_url)},
     CA_CREATE_CHILD | CA_IMPORT | CA_FACTS,
     0                                                                                                                            },
    {{"metadata", MEMBER_OBJECT, OPTIONAL, PLACE(metadata)},                        CA_CREATE_CHILD | CA_IMPORT,       0          },
    {{"algorithm", MEMBER_TEXT, OPTIONAL, PLACE(algorithm)},                        NEW_KEY,                           NEW_KEY    },
    {{"driver", MEMBER_TEXT, OPTIONAL, PLACE(driver)},                              NEW_KEY,                           0          },
    {{"days", MEMBER_INTEGER, OPTIONAL, PLACE(days)},                               CA_SELF_SIGNED | BELOW | CA_RENEW, 0          },
    {{"path_len", MEMBER_INTEGER, OPTIONAL, PLACE(path_len)},                       BELOW | CA_CSR,                    0          },
    {{"ca_id", MEMBER_TEXT, OPTIONAL, PLACE(ca_id)},
     BELOW | CA_RENEW | CA_RETIRE | CA_FACTS,
     BELOW | CA_RENEW | CA_RETIRE | CA_FACTS                                                                                      },
    {{"key_ref", MEMBER_TEXT, OPTIONAL, PLACE(key_ref)},                            CA_IMPORT,                         CA_IMPORT  },
    {{"chain", MEMBER_TEXT, OPTIONAL, PLACE(chain)},                                CA_IMPORT,                         CA_IMPORT  },
    {{"csr", MEMBER_TEXT, OPTIONAL, PLACE(csr)},                                    CA_SIGN_CSR,                       CA_SIGN_CSR},
    {{"tree", MEMBER_BOOLEAN, OPTIONAL, PLACE(tree)},                               CA_IMPORT,                         0          },
    {{"change", MEMBER_OBJECT, OPTIONAL, PLACE(change)},                            CA_FACTS,                          CA_FACTS   },
    {{"confirm", MEMBER_BOOLEAN, OPTIONAL, PLACE(confirm)},                         CA_RETIRE,                         0          },
    {{"permitted_dns", MEMBER_TEXTS, OPTIONAL, PLACE(permitted_dns)},               BELOW,                             0          },
    {{"excluded_dns", MEMBER_TEXTS, OPTIONAL, PLACE(excluded_dns)},                 BELOW,                             0          },
    {{"ocsp_urls", MEMBER_TEXTS, OPTIONAL, PLACE(ocsp_urls)},                       NEW_CA,                            0          },
    {{"ca_issuers_urls", MEMBER_TEXTS, OPTIONAL, PLACE(ca_issuers_urls)},           NEW_CA,                            0          },
    {{"crl_urls", MEMBER_TEXTS, OPTIONAL, PLACE(crl_urls)},                         NEW_CA,                            0          },
};

enum ca_order_kind ca_order_kind_from_text(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (text_equal(kinds[i].name, text))
            return kinds[i].kind;
    return 0;
}

const char *ca_order_kind_text(enum ca_order_kind kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].kind == kind)
            return kinds[i].name;
    return NULL;
}

static const struct order_member *member_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (text_equal(members[i].member.name, name))
            return &members[i];
    return NULL;
}

/* Unknown ones too: whoever approves must have seen all that counts. */
static bool members_fit(enum ca_order_kind kind, json_t *body, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *name;
    json_t *value;

    json_object_foreach (body, name, value) {
        const struct order_member *member = member_find(name);
        if (!member || !(member->may & kind))
            return fault_set(fault, INPUT_INVALID, "body", "%s has no member %s",
                             ca_order_kind_text(kind), text_quote(scratch, name));
    }
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if ((members[i].must & kind) && !json_object_get(body, members[i].member.name))
            return fault_set(fault, INPUT_INVALID, members[i].member.name, "%s required",
                             members[i].member.name);
    return true;
}

static bool text_fits(const char *member, const char *text, struct fault *fault)
{
    if (!text)
        return true;
    const size_t length = strlen(text);
    if (length == 0 || length > TEXT_MAX)
        return fault_set(fault, INPUT_INVALID, member, "%s must be 1 to %d bytes", member,
                         TEXT_MAX);
    if (!text_utf8_valid(text, length))
        return fault_set(fault, INPUT_INVALID, member, "%s is no UTF-8", member);
    if (name_text_check(member, text, length, fault))
        return true;
    fault->field = member;
    return false;
}

static bool key_fits(const struct ca_order *order, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    enum signature_algorithm algorithm;

    if (order->algorithm && !signature_algorithm_from_text(order->algorithm, &algorithm))
        return fault_set(fault, INPUT_INVALID, "algorithm",
                         "algorithm %s is none of RSA-2048, RSA-3072, RSA-4096, ECDSA-P256, "
                         "ECDSA-P384",
                         text_quote(scratch, order->algorithm));
    if (order->driver && !text_equal(order->driver, "file") && !text_equal(order->driver, "pkcs11"))
        return fault_set(fault, INPUT_INVALID, "driver", "driver %s is none of file, pkcs11",
                         text_quote(scratch, order->driver));
    return true;
}

static bool texts_fit(const char *member, const struct text_list *texts, struct fault *fault)
{
    if (texts->count > RDNS_MAX)
        return fault_set(fault, INPUT_INVALID, member, "%s holds more than %d texts", member,
                         RDNS_MAX);
    for (size_t i = 0; i < texts->count; i++)
        if (!text_fits(member, texts->items[i], fault))
            return false;
    return true;
}

/* countryName is a PrintableString of two letters (RFC 5280 appendix A.1). */
static bool countries_fit(const struct text_list *countries, struct fault *fault)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < countries->count; i++)
        if (strlen(countries->items[i]) != 2 || strspn(countries->items[i], letters) != 2)
            return fault_set(fault, INPUT_INVALID, "countries", "%s is no country of two letters",
                             text_quote(scratch, countries->items[i]));
    return true;
}

static bool subject_fits(const struct ca_order *order, struct fault *fault)
{
    return text_fits("common_name", order->common_name, fault) &&
           text_fits("organization", order->organization, fault) &&
           texts_fit("organizations", &order->organizations, fault) &&
           texts_fit("organizational_units", &order->organizational_units, fault) &&
           texts_fit("countries", &order->countries, fault) &&
           texts_fit("localities", &order->localities, fault) &&
           texts_fit("provinces", &order->provinces, fault) &&
           countries_fit(&order->countries, fault);
}

static bool row_fits(const struct ca_order *order, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list urls = {0};
    const char *name;
    json_t *value;

    if (order->ocsp_responder_url)
        text_list_add(scratch, &urls, order->ocsp_responder_url);
    if (!text_fits("name", order->name, fault) || !ca_urls_fit("ocsp_responder_url", &urls, fault))
        return false;
    if (json_object_size(order->metadata) > METADATA_MAX)
        return fault_set(fault, INPUT_INVALID, "metadata", "metadata holds more than %d texts",
                         METADATA_MAX);
    json_object_foreach (order->metadata, name, value)
        if (!json_is_string(value) || json_string_length(value) > METADATA_TEXT_MAX ||
            strlen(name) > TEXT_MAX)
            return fault_set(fault, INPUT_INVALID, "metadata",
                             "metadata %s is no text of at most %d bytes",
                             text_quote(scratch, name), METADATA_TEXT_MAX);
    return true;
}

/* A reference to a key of one of the signer's drivers (04 section 4.1). It is shown by the API, so
 * it holds no PIN, nor where one is (RFC 7512). */
static bool reference_fits(const char *reference, struct fault *fault)
{
    if (!reference)
        return true;
    if (!text_starts(reference, "/") && !text_starts(reference, "file:/") &&
        !text_starts(reference, "pkcs11:"))
        return fault_set(fault, INPUT_INVALID, "key_ref", "unknown key driver reference");
    if (strstr(reference, "pin-value") || strstr(reference, "pin-source"))
        return fault_set(fault, INPUT_INVALID, "key_ref",
                         "a key driver reference holds no PIN, and no place of one");
    return strlen(reference) <= REFERENCE_MAX ||
           fault_set(fault, INPUT_INVALID, "key_ref", "more than %d bytes", REFERENCE_MAX);
}

static bool limits_fit(const struct ca_order *order, struct fault *fault)
{
    if (order->days < 1 || order->days > CA_DAYS_MAX)
        return fault_set(fault, INPUT_INVALID, "days", "days must be 1 to %d", CA_DAYS_MAX);
    if (order->path_len < -1 || order->path_len > 100)
        return fault_set(fault, INPUT_INVALID, "path_len", "path_len must be 0 to 100");
    if ((order->chain && strlen(order->chain) > PEM_MAX) ||
        (order->csr && strlen(order->csr) > PEM_MAX))
        return fault_set(fault, INPUT_INVALID, order->csr ? "csr" : "chain",
                         "more than %d bytes of PEM", PEM_MAX);
    return true;
}

static bool constraints_fit(const char *member, const struct text_list *bases, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (bases->count > CONSTRAINTS_MAX)
        return fault_set(fault, INPUT_INVALID, member, "%s holds more than %d names", member,
                         CONSTRAINTS_MAX);
    for (size_t i = 0; i < bases->count; i++) {
        const char *broken = constraint_rule_broken(bases->items[i]);
        if (broken)
            return fault_set(fault, INPUT_INVALID, member, "%s: %s %s", member,
                             text_quote(scratch, bases->items[i]), broken);
    }
    return true;
}

bool ca_order_from_body(TALLOC_CTX *ctx, const char *kind, json_t *body, struct ca_order *ret_order,
                        struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct ca_order order = {
        .kind = ca_order_kind_from_text(kind), .days = CA_ISSUING_DAYS, .path_len = -1};

    if (order.kind == 0)
        return fault_set(fault, INPUT_INVALID, "kind", "requests of kind %s are not carried out",
                         text_quote(scratch, kind));
    if (!members_fit(order.kind, body, fault))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (!json_decode_members(ctx, body, &members[i].member, 1, &order, fault))
            return false;
    if (!row_fits(&order, fault) || !subject_fits(&order, fault) || !key_fits(&order, fault) ||
        !reference_fits(order.key_ref, fault) || !limits_fit(&order, fault) ||
        !constraints_fit("permitted_dns", &order.permitted_dns, fault) ||
        !constraints_fit("excluded_dns", &order.excluded_dns, fault) ||
        !ca_urls_fit("ocsp_urls", &order.ocsp_urls, fault) ||
        !ca_urls_fit("ca_issuers_urls", &order.ca_issuers_urls, fault) ||
        !ca_urls_fit("crl_urls", &order.crl_urls, fault) ||
        (order.kind == CA_FACTS && !ca_facts_change_fits(order.change, fault)))
        return false;
    *ret_order = order;
    return true;
}

/* Text NULL, an empty list, false and a path length of -1 are left out, as from_body reads them. */
static void set_member(json_t *body, const struct member *member, const struct ca_order *order)
{
    const void *place = (const char *)order + member->offset;

    if (member->kind == MEMBER_TEXT)
        json_set_text(body, member->name, *(const char *const *)place);
    else if (member->kind == MEMBER_INTEGER && *(const int64_t *)place >= 0)
        json_set_integer(body, member->name, *(const int64_t *)place);
    else if (member->kind == MEMBER_BOOLEAN && *(const bool *)place)
        json_set_bool(body, member->name, true);
    else if (member->kind == MEMBER_TEXTS)
        ca_set_texts(body, member->name, place);
    else if (member->kind == MEMBER_OBJECT && json_object_size(*(json_t *const *)place) > 0)
        json_set_new(body, member->name, json_incref(*(json_t *const *)place));
}

json_t *ca_order_to_body(const struct ca_order *order)
{
    json_t *body = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (members[i].may & order->kind)
            set_member(body, &members[i].member, order);
    return body;
}

void ca_order_urls(TALLOC_CTX *ctx, const char *base_url, const char *issuer_id,
                   struct ca_order *order)
{
    struct ca_bootstrap urls = {0};

    ca_add_urls(ctx, base_url, issuer_id, &urls);
    order->ocsp_urls = urls.ocsp_urls;
    order->ca_issuers_urls = urls.ca_issuers_urls;
    order->crl_urls = urls.crl_urls;
}

struct subject {
    struct rdn *rdns;
    size_t count;
};

static void add_rdns(struct subject *subject, const char *oid, enum rdn_string string,
                     const struct text_list *values)
{
    for (size_t i = 0; i < values->count; i++)
        subject->rdns[subject->count++] = (struct rdn){oid, string, values->items[i]};
}

static struct subject subject_of(TALLOC_CTX *ctx, const struct ca_order *order)
{
    struct subject subject = {.rdns = mem_array(ctx, struct rdn, 5 * RDNS_MAX + 2)};

    add_rdns(&subject, "2.5.4.6", RDN_PRINTABLE, &order->countries);
    add_rdns(&subject, "2.5.4.8", RDN_UTF8, &order->provinces);
    add_rdns(&subject, "2.5.4.7", RDN_UTF8, &order->localities);
    if (order->organization)
        subject.rdns[subject.count++] = (struct rdn){"2.5.4.10", RDN_UTF8, order->organization};
    add_rdns(&subject, "2.5.4.10", RDN_UTF8, &order->organizations);
    add_rdns(&subject, "2.5.4.11", RDN_UTF8, &order->organizational_units);
    if (order->common_name)
        subject.rdns[subject.count++] = (struct rdn){"2.5.4.3", RDN_UTF8, order->common_name};
    return subject;
}

struct ca_wish ca_order_wish(TALLOC_CTX *ctx, const struct ca_order *order, struct bytes spki,
                             int64_t now_s, int64_t backdate_s)
{
    const struct subject subject = subject_of(ctx, order);

    return (struct ca_wish){
        .subject = subject.rdns,
        .subject_count = subject.count,
        .spki = spki,
        .not_before = now_s - backdate_s,
        .not_after = now_s - backdate_s + order->days * DAY_S - 1, /* both ends count */
        .path_len = (int)order->path_len,                          /* -1 to 100 */
        .permitted_dns = order->permitted_dns,
        .excluded_dns = order->excluded_dns,
    };
}

/* Others than its own are taken only where the CA signs leaves. */
static void set_urls(json_t *facts, const char *name, const struct text_list *urls, bool others,
                     const struct ca_facts_wish *wish)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list found = ca_urls_named(scratch, urls, others, wish->ca_id);

    ca_set_texts(facts, name, &found);
}

char *ca_facts_text(TALLOC_CTX *ctx, const struct ca_facts_wish *wish)
{
    static const char *const ekus[] = {"serverAuth", "clientAuth", "codeSigning", "emailProtection",
                                       "timeStamping"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *facts = json_object();
    json_t *allowed = json_array();

    for (size_t i = 0; wish->signs_leaves && i < ARRAY_SIZE(ekus); i++)
        json_add_text(allowed, ekus[i]);
    json_set_text(facts, "ca_certificate", base64_from_bytes(scratch, wish->certificate_der));
    json_set_integer(facts, "max_leaf_days", wish->max_leaf_days);
    json_set_new(facts, "allowed_ekus", allowed);
    ca_set_texts(facts, "permitted_dns", &wish->permitted_dns);
    ca_set_texts(facts, "excluded_dns", &wish->excluded_dns);
    /* One responder answers for all CAs of an issuer, also for the certificates of CAs. */
    set_urls(facts, "ocsp_urls", &wish->ocsp_urls, true, wish);
    set_urls(facts, "ca_issuers_urls", &wish->ca_issuers_urls, wish->signs_leaves, wish);
    set_urls(facts, "crl_urls", &wish->crl_urls, wish->signs_leaves, wish);
    if (wish->before)
        ca_facts_inherit(facts, wish->before, wish->ca_id);
    return json_to_text(ctx, facts);
}
