/* tests/unit/lifecycle/ca_order.c: bodies of CA requests, and chains from elsewhere. */
#include "lifecycle/ca_order.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "lifecycle/ca_facts.h"

#include "core/banned.h"

#define TEN "1234567890"

static const struct {
    const char *about;
    const char *kind;
    const char *body;
    const char *field; /* NULL: good */
} bodies[] = {
    {"the least",                    "create_child",  "{'ca_id':'ica-1','common_name':'C','algorithm':'RSA-2048'}",
     NULL                                                                                                                           },
    {"no parent",                    "create_child",  "{'common_name':'C','algorithm':'RSA-2048'}",                    "ca_id"      },
    {"no name",                      "create_child",  "{'ca_id':'ica-1','algorithm':'RSA-2048'}",                      "common_name"},
    {"no algorithm",                 "create_child",  "{'ca_id':'ica-1','common_name':'C'}",                           "algorithm"  },
    {"an unknown member",            "create_child",
     "{'ca_id':'i','common_name':'C','algorithm':'RSA-2048','x':1}",                                                   "body"       },
    {"another kind's member",        "retire",        "{'ca_id':'i','common_name':'C'}",                               "body"       },
    {"a key for import alone",       "create_child",
     "{'ca_id':'i','common_name':'C','algorithm':'RSA-2048','key_ref':'f'}",                                           "body"       },
    {"an unknown kind",              "register_root", "{}",                                                            "kind"       },
    {"path length 100",              "csr",           "{'common_name':'C','algorithm':'RSA-2048','path_len':100}",     NULL         },
    {"path length 101",              "csr",           "{'common_name':'C','algorithm':'RSA-2048','path_len':101}",
     "path_len"                                                                                                                     },
    {"days 0",                       "renew",         "{'ca_id':'i','algorithm':'RSA-2048','days':0}",                 "days"       },
    {"days at the limit",            "renew",         "{'ca_id':'i','algorithm':'RSA-2048','days':10950}",             NULL         },
    {"days above it",                "renew",         "{'ca_id':'i','algorithm':'RSA-2048','days':10951}",             "days"       },
    {"RSA-1024",                     "renew",         "{'ca_id':'i','algorithm':'RSA-1024'}",                          "algorithm"  },
    {"a token",                      "renew",         "{'ca_id':'i','algorithm':'RSA-2048','driver':'pkcs11'}",        NULL         },
    {"no driver of ours",            "renew",         "{'ca_id':'i','algorithm':'RSA-2048','driver':'awskms'}",
     "driver"                                                                                                                       },
    {"a wildcard constraint",        "sign_csr",      "{'ca_id':'i','csr':'x','permitted_dns':['*.example']}",
     "permitted_dns"                                                                                                                },
    {"a constraint",                 "sign_csr",      "{'ca_id':'i','csr':'x','excluded_dns':['.example']}",           NULL         },
    {"an odd URL",                   "renew",         "{'ca_id':'i','algorithm':'RSA-2048','crl_urls':['ftp://x']}",
     "crl_urls"                                                                                                                     },
    {"a text for a number",          "renew",         "{'ca_id':'i','algorithm':'RSA-2048','days':'9'}",               "days"       },
    {"a change",                     "facts",         "{'ca_id':'i','change':{'max_leaf_days':{'old':9,'new':null}}}", NULL         },
    {"no change",                    "facts",         "{'ca_id':'i'}",                                                 "change"     },
    {"an empty change",              "facts",         "{'ca_id':'i','change':{}}",                                     "change"     },
    {"a change of what ends a CA",   "facts",
     "{'ca_id':'i','change':{'retired':{'old':true,'new':null}}}",                                                     "change"     },
    {"a step to where one is",       "facts",
     "{'ca_id':'i','change':{'crl_urls':{'old':['a'],'new':['a']}}}",                                                  "change"     },
    {"a step from nowhere",          "facts",         "{'ca_id':'i','change':{'crl_urls':{'new':[]}}}",                "change"     },
    {"a step with more to it",       "facts",
     "{'ca_id':'i','change':{'crl_urls':{'old':null,'new':['a'],'x':1}}}",                                             "change"     },
    {"a step that is none",          "facts",         "{'ca_id':'i','change':{'crl_urls':['a']}}",                     "change"     },
    {"a number for a list",          "facts",         "{'ca_id':'i','change':{'crl_urls':{'old':null,'new':1}}}",
     "change"                                                                                                                       },
    {"a list of numbers",            "facts",         "{'ca_id':'i','change':{'crl_urls':{'old':null,'new':[1]}}}",
     "change"                                                                                                                       },
    {"a text for a number of days",  "facts",
     "{'ca_id':'i','change':{'max_leaf_days':{'old':1,'new':'2'}}}",                                                   "change"     },
    {"usages for a CA above others", "facts",
     "{'ca_id':'i','change':{'allowed_ekus':{'old':[],'new':['serverAuth']}}}",                                        "change"     },
    {"usages for another",           "facts",         "{'ca_id':'i','change':{'allowed_ekus':{'old':null,'new':[]}}}",
     NULL                                                                                                                           },
    {"a name of 65 bytes",           "csr",
     "{'algorithm':'RSA-2048','common_name':'" TEN TEN TEN TEN TEN TEN "12345'}",                                      "common_name"},
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

/* The heir of a CA: what was changed there since stays so, and what was taken out stays out. */
Test(ca_order, facts_of_an_heir)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    static char url[] = "http://asked.test/{ca}.crl";
    static char *urls[] = {url};
    AUTO(json_t) *facts = json_parse_object(
        bytes_of_text("{\"ca_certificate\":\"b2xk\",\"max_leaf_days\":9,\"allowed_ekus\":"
                      "[\"clientAuth\"],\"signatures_per_hour_per_peer\":7,"
                      "\"excluded_dns\":[\"x\"],"
                      "\"ocsp_urls\":[\"http://a.test/iss-1\"],\"retired\":true,"
                      "\"crl_urls\":[\"http://a.test/ica-1.crl\",\"ldap://a.test/one\"]}"),
        INPUT_MALFORMED, "facts", &fault);
    const struct ca_before before = {"ica-1", facts};
    struct ca_facts_wish wish = {
        .ca_id = "ica-2",
        .certificate_der = bytes_of_text("x"),
        .max_leaf_days = 90,
        .signs_leaves = true,
        .permitted_dns = {urls, 1},
        .before = &before,
    };

    AUTO(json_t) *heir = json_parse_object(bytes_of_text(ca_facts_text(scratch, &wish)),
                                           INPUT_MALFORMED, "facts", &fault);
    AUTO(json_t) *expected = json_deep_copy(facts);
    json_object_del(expected, "retired");
    json_set_text(expected, "ca_certificate", "eA==");
    json_array_set_new(json_object_get(expected, "crl_urls"), 0,
                       json_string("http://a.test/ica-2.crl"));
    cr_expect(json_equal(heir, expected), "%s", json_to_text(scratch, heir));

    wish.crl_urls = (struct text_list){urls, 1};
    AUTO(json_t) *asked = json_parse_object(bytes_of_text(ca_facts_text(scratch, &wish)),
                                            INPUT_MALFORMED, "facts", &fault);
    json_set_new(expected, "crl_urls", json_array());
    json_add_text(json_object_get(expected, "crl_urls"), "http://asked.test/ica-2.crl");
    cr_expect(json_equal(asked, expected), "%s", json_to_text(scratch, asked));
}

/* From old to new, once; from anywhere else not at all. */
Test(ca_order, facts_are_changed_from_what_was_seen)
{
    static const char one_of_two[] =
        "{'max_leaf_days':{'old':9,'new':8},'crl_urls':{'old':null,'new':['b']}}";
    static const char both_done[] = "{'max_leaf_days':8,'crl_urls':['b']}";
    static const struct {
        const char *about;
        const char *facts;
        const char *change;
        const char *after; /* NULL: refused */
        bool changed;
    } cases[] = {
        {"a number",                  "{'a':1,'max_leaf_days':9}", "{'max_leaf_days':{'old':9,'new':8}}",
         "{'a':1,'max_leaf_days':8}",                                                                                  true },
        {"done before",               "{'max_leaf_days':8}",       "{'max_leaf_days':{'old':9,'new':8}}",
         "{'max_leaf_days':8}",                                                                                        false},
        {"something third",           "{'max_leaf_days':7}",       "{'max_leaf_days':{'old':9,'new':8}}",   NULL,
         false                                                                                                              },
        {"what was not said",         "{'a':1}",                   "{'crl_urls':{'old':null,'new':['b']}}",
         "{'a':1,'crl_urls':['b']}",                                                                                   true },
        {"what is not said any more", "{'a':1,'crl_urls':['b']}",
         "{'crl_urls':{'old':['b'],'new':null}}",                                                           "{'a':1}", true },
        {"was not said before",       "{'a':1}",                   "{'crl_urls':{'old':['b'],'new':null}}", "{'a':1}",
         false                                                                                                              },
        {"one done, one not",         "{'max_leaf_days':8}",       one_of_two,                              both_done, true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(json_t) *facts = body_of(scratch, cases[i].facts);
        AUTO(json_t) *change = body_of(scratch, cases[i].change);
        AUTO(json_t) *after = body_of(scratch, cases[i].after ? cases[i].after : "{}");
        struct fault fault = {0};
        bool changed = false;
        const bool done = ca_facts_apply(facts, change, &changed, &fault);

        cr_expect_eq(done, cases[i].after != NULL, "%s: %s", cases[i].about, fault.detail);
        cr_expect_eq(fault.reason, done ? REASON_NONE : RESOURCE_STATE, "%s", cases[i].about);
        cr_expect(!done || json_equal(facts, after), "%s", cases[i].about);
        cr_expect(!done || changed == cases[i].changed, "%s", cases[i].about);
    }
}

Test(ca_order, facts_of_another_certificate_are_none)
{
    struct fault fault = {0};
    AUTO(json_t) *good = ca_facts_read("{\"ca_certificate\":\"eA==\"}", bytes_of_text("x"), &fault);

    cr_expect_not_null(good, "%s", fault.detail);
    cr_expect_null(ca_facts_read("{\"ca_certificate\":\"eA==\"}", bytes_of_text("y"), &fault));
    cr_expect_eq(fault.reason, RESOURCE_STATE);
    cr_expect_null(ca_facts_read("{}", bytes_of_text("y"), &fault));
    cr_expect_null(ca_facts_read("facts", bytes_of_text("y"), &fault));
    cr_expect_eq(fault.reason, SIGNER_KEY);
}

Test(ca_order, only_what_differs_is_proposed)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *now = body_of(scratch, "{'max_leaf_days':9}");
    AUTO(json_t) *change = json_object();

    ca_facts_propose(change, now, "max_leaf_days", json_integer(9));
    ca_facts_propose(change, now, "crl_urls", json_null());
    cr_expect_eq(json_object_size(change), 0);
    ca_facts_propose(change, now, "max_leaf_days", json_null());
    ca_facts_propose(change, now, "crl_validity_seconds", json_integer(5));
    cr_expect_str_eq(json_to_text(scratch, change),
                     "{\"max_leaf_days\":{\"old\":9,\"new\":null},"
                     "\"crl_validity_seconds\":{\"old\":null,\"new\":5}}");
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
