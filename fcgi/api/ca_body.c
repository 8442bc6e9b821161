/* fcgi/api/ca_body.c: bodies that ask for a CA (04 section 5.2, 05 section 4.3). */
#include "fcgi/api/ca_body.h"

#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define TTL_DAYS_USUAL CA_ISSUING_DAYS

struct create_body {
    const char *name;
    const char *parent_ca_id;
    const char *root_cert_pem;
    const char *key_driver_id;
    json_t *subject;
    const char *algorithm;
    int64_t ttl_days;
    int64_t path_len;
    json_t *name_constraints;
    const char *ocsp_responder_url;
    json_t *metadata;
};

static const struct member create_members[] = {
    {"name",                MEMBER_TEXT,    OPTIONAL, AT(create_body, name)              },
    {"parent_ca_id",        MEMBER_TEXT,    OPTIONAL, AT(create_body, parent_ca_id)      },
    {"root_cert_pem",       MEMBER_TEXT,    OPTIONAL, AT(create_body, root_cert_pem)     },
    {"key_driver_id",       MEMBER_TEXT,    OPTIONAL, AT(create_body, key_driver_id)     },
    {"subject",             MEMBER_OBJECT,  OPTIONAL, AT(create_body, subject)           },
    {"algorithm",           MEMBER_TEXT,    OPTIONAL, AT(create_body, algorithm)         },
    {"ttl_days",            MEMBER_INTEGER, OPTIONAL, AT(create_body, ttl_days)          },
    {"path_len_constraint", MEMBER_INTEGER, OPTIONAL, AT(create_body, path_len)          },
    {"name_constraints",    MEMBER_ARRAY,   OPTIONAL, AT(create_body, name_constraints)  },
    {"ocsp_responder_url",  MEMBER_TEXT,    OPTIONAL, AT(create_body, ocsp_responder_url)},
    {"metadata",            MEMBER_OBJECT,  OPTIONAL, AT(create_body, metadata)          },
};

static const struct member subject_members[] = {
    {"common_name",         MEMBER_TEXT,  OPTIONAL, AT(ca_order, common_name)         },
    {"organization",        MEMBER_TEXTS, OPTIONAL, AT(ca_order, organizations)       },
    {"organizational_unit", MEMBER_TEXTS, OPTIONAL, AT(ca_order, organizational_units)},
    {"country",             MEMBER_TEXTS, OPTIONAL, AT(ca_order, countries)           },
    {"locality",            MEMBER_TEXTS, OPTIONAL, AT(ca_order, localities)          },
    {"province",            MEMBER_TEXTS, OPTIONAL, AT(ca_order, provinces)           },
};

struct constraint {
    struct text_list permitted;
    struct text_list excluded;
};
static const struct member constraint_members[] = {
    {"permitted", MEMBER_TEXTS, OPTIONAL, AT(constraint, permitted)},
    {"excluded",  MEMBER_TEXTS, OPTIONAL, AT(constraint, excluded) },
};

/* What a member of a CA request is called here. */
static const struct {
    const char *of_request;
    const char *here;
} names[] = {
    {"days",                 "ttl_days"                   },
    {"path_len",             "path_len_constraint"        },
    {"permitted_dns",        "name_constraints"           },
    {"excluded_dns",         "name_constraints"           },
    {"key_ref",              "key_driver_id"              },
    {"chain",                "root_cert_pem"              },
    {"ca_id",                "parent_ca_id"               },
    {"common_name",          "subject.common_name"        },
    {"organizations",        "subject.organization"       },
    {"organizational_units", "subject.organizational_unit"},
    {"countries",            "subject.country"            },
    {"localities",           "subject.locality"           },
    {"provinces",            "subject.province"           },
};

bool ca_body_fault(struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (text_equal(names[i].of_request, fault->field))
            fault->field = names[i].here;
    return false;
}

static void add_all(TALLOC_CTX *ctx, struct text_list *to, const struct text_list *from)
{
    for (size_t i = 0; i < from->count; i++)
        text_list_add(ctx, to, text_lower(ctx, from->items[i]));
}

static bool read_constraints(struct request *request, json_t *list, struct ca_order *order,
                             struct fault *fault)
{
    size_t i;
    json_t *item;

    json_array_foreach (list, i, item) {
        struct constraint constraint = {0};
        if (!json_is_object(item))
            return fault_set(fault, INPUT_INVALID, "name_constraints",
                             "name_constraints: element %zu is no object", i + 1);
        if (!json_decode(request, item, constraint_members, &constraint, fault))
            return false;
        add_all(request, &order->permitted_dns, &constraint.permitted);
        add_all(request, &order->excluded_dns, &constraint.excluded);
    }
    return true;
}

/* Empty counts as absent, as in the reference. */
static bool given(const char *text)
{
    return text && text[0] != '\0';
}

static bool read_root(const struct create_body *wanted, struct ca_order *order, struct fault *fault)
{
    if (!given(wanted->root_cert_pem) || !given(wanted->key_driver_id))
        return fault_set(fault, INPUT_INVALID, "root_cert_pem",
                         "root_cert_pem + key_driver_id required when parent_ca_id is empty");
    order->kind = CA_IMPORT;
    order->tree = true;
    order->chain = wanted->root_cert_pem;
    order->key_ref = wanted->key_driver_id;
    return true;
}

static bool read_child(struct request *request, const struct create_body *wanted,
                       struct ca_order *order, struct fault *fault)
{
    order->kind = CA_CREATE_CHILD;
    order->ca_id = wanted->parent_ca_id;
    order->algorithm = given(wanted->algorithm) ? wanted->algorithm : "ECDSA-P256";
    order->driver = request->settings->ca_key_driver;
    order->days = wanted->ttl_days == 0 ? TTL_DAYS_USUAL : wanted->ttl_days;
    order->path_len = wanted->path_len;
    if (wanted->ttl_days < 0 || wanted->ttl_days > CA_DAYS_MAX)
        return fault_set(fault, INPUT_INVALID, "ttl_days", "ttl_days must be 0 to %d", CA_DAYS_MAX);
    if (wanted->path_len < -1)
        return fault_set(fault, INPUT_INVALID, "path_len_constraint",
                         "path_len_constraint must be 0 to 100");
    if (!json_decode(request, wanted->subject, subject_members, order, fault) ||
        !read_constraints(request, wanted->name_constraints, order, fault))
        return false;
    return given(order->common_name) ||
           fault_set(fault, INPUT_INVALID, "subject.common_name", "subject.common_name required");
}

bool ca_body_read(struct request *request, json_t *body, const char *issuer_id,
                  struct ca_order *ret_order, struct fault *fault)
{
    struct create_body wanted = {.path_len = -1};
    struct ca_order order = {.days = TTL_DAYS_USUAL, .path_len = -1};

    if (!json_decode(request, body, create_members, &wanted, fault))
        return false;
    if (!given(wanted.name))
        return fault_set(fault, INPUT_INVALID, "name", "name required");
    if (!(given(wanted.parent_ca_id) ? read_child(request, &wanted, &order, fault)
                                     : read_root(&wanted, &order, fault)))
        return false;
    order.name = wanted.name;
    order.metadata = wanted.metadata;
    order.ocsp_responder_url = given(wanted.ocsp_responder_url) ? wanted.ocsp_responder_url : NULL;
    ca_order_urls(request, request->settings->pki_base_url, issuer_id, &order);
    *ret_order = order;
    return true;
}
