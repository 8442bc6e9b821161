/* tests/unit/lifecycle/ca_order.c: bodies of CA requests, and chains from elsewhere. */
#include "lifecycle/ca_order.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define TEN "1234567890"

static const struct {
    const char *about;
    const char *kind;
    const char *body;
    const char *field; /* NULL: good */
} bodies[] = {
    {"the least",              "create_child", "{'ca_id':'ica-1','common_name':'C','algorithm':'RSA-2048'}",
     NULL                                                                                                                  },
    {"no parent",              "create_child", "{'common_name':'C','algorithm':'RSA-2048'}",                  "ca_id"      },
    {"no name",                "create_child", "{'ca_id':'ica-1','algorithm':'RSA-2048'}",                    "common_name"},
    {"no algorithm",           "create_child", "{'ca_id':'ica-1','common_name':'C'}",                         "algorithm"  },
    {"an unknown member",      "create_child",
     "{'ca_id':'i','common_name':'C','algorithm':'RSA-2048','x':1}",                                          "body"       },
    {"another kind's member",  "retire",       "{'ca_id':'i','common_name':'C'}",                             "body"       },
    {"a key for import alone", "create_child",
     "{'ca_id':'i','common_name':'C','algorithm':'RSA-2048','key_ref':'f'}",                                  "body"       },
    {"an unknown kind",        "facts",        "{}",                                                          "kind"       },
    {"path length 100",        "csr",          "{'common_name':'C','algorithm':'RSA-2048','path_len':100}",   NULL         },
    {"path length 101",        "csr",          "{'common_name':'C','algorithm':'RSA-2048','path_len':101}",
     "path_len"                                                                                                            },
    {"days 0",                 "renew",        "{'ca_id':'i','algorithm':'RSA-2048','days':0}",               "days"       },
    {"days at the limit",      "renew",        "{'ca_id':'i','algorithm':'RSA-2048','days':10950}",           NULL         },
    {"days above it",          "renew",        "{'ca_id':'i','algorithm':'RSA-2048','days':10951}",           "days"       },
    {"RSA-1024",               "renew",        "{'ca_id':'i','algorithm':'RSA-1024'}",                        "algorithm"  },
    {"a token",                "renew",        "{'ca_id':'i','algorithm':'RSA-2048','driver':'pkcs11'}",      NULL         },
    {"no driver of ours",      "renew",        "{'ca_id':'i','algorithm':'RSA-2048','driver':'awskms'}",
     "driver"                                                                                                              },
    {"a wildcard constraint",  "sign_csr",     "{'ca_id':'i','csr':'x','permitted_dns':['*.example']}",
     "permitted_dns"                                                                                                       },
    {"a constraint",           "sign_csr",     "{'ca_id':'i','csr':'x','excluded_dns':['.example']}",         NULL         },
    {"an odd URL",             "renew",        "{'ca_id':'i','algorithm':'RSA-2048','crl_urls':['ftp://x']}",
     "crl_urls"                                                                                                            },
    {"a text for a number",    "renew",        "{'ca_id':'i','algorithm':'RSA-2048','days':'9'}",             "days"       },
    {"a name of 65 bytes",     "csr",
     "{'algorithm':'RSA-2048','common_name':'" TEN TEN TEN TEN TEN TEN "12345'}",                             "common_name"},
};

static json_t *body_of(TALLOC_CTX *ctx, const char *text)
{
    struct fault fault = {0};
    char *json = mem_text(ctx, text);

    for (char *at = json; *at; at++)
        if (*at == '\'')
            *at = '"';
    json_t *body = json_parse_object(bytes_of_text(json), INPUT_INVALID, "body", &fault);
    cr_assert_not_null(body, "%s: %s", text, fault.detail);
    return body;
}

Test(ca_order, bodies_are_whole_and_nothing_else)
{
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(json_t) *body = body_of(scratch, bodies[i].body);
        struct ca_order order;
        struct fault fault = {0};
        const bool good = ca_order_from_body(scratch, bodies[i].kind, body, &order, &fault);

        cr_expect_eq(good, bodies[i].field == NULL, "%s: %s", bodies[i].about, fault.detail);
        if (!good)
            cr_expect_str_eq(fault.field, bodies[i].field, "%s: %s", bodies[i].about, fault.detail);
    }
}

Test(ca_order, a_body_written_is_the_body_read)
{
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(json_t) *body = body_of(scratch, bodies[i].body);
        struct ca_order order;
        struct fault fault = {0};

        if (!ca_order_from_body(scratch, bodies[i].kind, body, &order, &fault))
            continue;
        AUTO(json_t) *again = ca_order_to_body(&order);
        if (!json_object_get(body, "days"))
            (void)json_object_del(again, "days"); /* the default is written out */
        cr_expect(json_equal(body, again), "%s: %s", bodies[i].about, json_to_text(scratch, again));
    }
}

Test(ca_order, facts_of_who_signs_what)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    static char url[] = "http://pki.test/{ca}.crl";
    static char fixed[] = "http://pki.test/fixed.crl";
    static char *urls[] = {url, fixed};
    static char *responder = fixed;
    struct ca_facts_wish wish = {
        .ca_id = "ica-1",
        .certificate_der = bytes_of_text("x"),
        .max_leaf_days = 90,
        .signs_leaves = true,
        .ocsp_urls = {&responder, 1},
        .crl_urls = {urls,       2}
    };

    cr_expect_str_eq(ca_facts_text(scratch, &wish),
                     "{\"ca_certificate\":\"eA==\",\"max_leaf_days\":90,\"allowed_ekus\":"
                     "[\"serverAuth\",\"clientAuth\",\"codeSigning\",\"emailProtection\","
                     "\"timeStamping\"],\"ocsp_urls\":[\"http://pki.test/fixed.crl\"],"
                     "\"crl_urls\":[\"http://pki.test/ica-1.crl\","
                     "\"http://pki.test/fixed.crl\"]}");
    wish.signs_leaves = false;
    cr_expect_str_eq(ca_facts_text(scratch, &wish),
                     "{\"ca_certificate\":\"eA==\",\"max_leaf_days\":90,\"allowed_ekus\":[],"
                     "\"ocsp_urls\":[\"http://pki.test/fixed.crl\"],"
                     "\"crl_urls\":[\"http://pki.test/ica-1.crl\"]}");
}

Test(ca_order, what_is_no_chain)
{
    static const char *const texts[] = {
        "",
        "hello",
        "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct certificate **chain;
        size_t count;
        struct fault fault = {0};
        cr_expect_not(ca_chain_read(scratch, texts[i], &chain, &count, &fault), "%zu", i);
        cr_expect_eq(fault_reason_kind(fault.reason), KIND_MALFORMED, "%zu", i);
        cr_expect_null(ca_csr_read(scratch, texts[i], &fault), "%zu", i);
    }
}
