/* tests/unit/jose/jws.c: the flattened serialisation as ACME allows it, and MACs of account
 * bindings. */
#include "jose/jws.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "forge.h"

#include "core/banned.h"

/* {"alg":"ES256"} and "hi" */
#define HEADER  "eyJhbGciOiJFUzI1NiJ9"
#define PAYLOAD "aGk"
#define THREE   "\"protected\":\"" HEADER "\",\"payload\":\"" PAYLOAD "\",\"signature\":\"AAAA\""

static const struct {
    const char *about;
    const char *text;
    const char *field; /* NULL: no member is to blame */
    bool accepted;
} messages[] = {
    {"the three members",           "{" THREE "}",                                                            NULL,         true },
    {"white space around",          " {" THREE "}\n",                                                         NULL,         true },
    {"empty payload",               "{\"protected\":\"" HEADER "\",\"payload\":\"\",\"signature\":\"AAAA\"}",
     NULL,                                                                                                                  true },
    {"empty signature",             "{\"protected\":\"" HEADER "\",\"payload\":\"aGk\",\"signature\":\"\"}",
     NULL,                                                                                                                  true },
    {"nothing",                     "",                                                                       NULL,         false},
    {"no object",                   "[]",                                                                     NULL,         false},
    {"compact serialisation",       HEADER "." PAYLOAD ".AAAA",                                               NULL,         false},
    {"something after",             "{" THREE "}{}",                                                          NULL,         false},
    {"the same member twice",       "{" THREE ",\"payload\":\"aGk\"}",                                        NULL,         false},
    {"an unprotected header",       "{" THREE ",\"header\":{}}",                                              "header",     false},
    {"an unprotected header, null", "{" THREE ",\"header\":null}",                                            "header",     false},
    {"several signatures",          "{" THREE ",\"signatures\":[]}",                                          "signatures", false},
    {"one member more",             "{" THREE ",\"x\":\"\"}",                                                 NULL,         false},
    {"no protected",                "{\"payload\":\"\",\"signature\":\"AAAA\"}",                              "protected",  false},
    {"no payload",                  "{\"protected\":\"" HEADER "\",\"signature\":\"AAAA\"}",                  "payload",    false},
    {"payload null",                "{\"protected\":\"" HEADER "\",\"payload\":null,\"signature\":\"AAAA\"}",
     "payload",                                                                                                             false},
    {"no signature",                "{\"protected\":\"" HEADER "\",\"payload\":\"\"}",                        "signature",  false},
    {"padding in protected",
     "{\"protected\":\"" HEADER "=\",\"payload\":\"\",\"signature\":\"AAAA\"}",                               "protected",  false},
    {"a space in payload",
     "{\"protected\":\"" HEADER "\",\"payload\":\"aG k\",\"signature\":\"AAAA\"}",                            "payload",
     false                                                                                                                       },
    {"stray bits in payload",
     "{\"protected\":\"" HEADER "\",\"payload\":\"aGl\",\"signature\":\"AAAA\"}",                             "payload",    false},
    {"plus in signature",           "{\"protected\":\"" HEADER "\",\"payload\":\"\",\"signature\":\"AA+A\"}",
     "signature",                                                                                                           false},
    {"empty protected",             "{\"protected\":\"\",\"payload\":\"\",\"signature\":\"AAAA\"}",           NULL,
     false                                                                                                                       },
};

Test(jws, comes_from_text)
{
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        const struct jws *jws = jws_parse(scratch, bytes_of_text(messages[i].text), JWS_REQUEST,
                                          &fault);

        cr_expect_eq(jws != NULL, messages[i].accepted, "%s: %s", messages[i].about, fault.detail);
        if (messages[i].accepted)
            continue;
        cr_expect_eq(fault.reason, JWS_MALFORMED, "%s", messages[i].about);
        if (messages[i].field)
            cr_expect_str_eq(fault.field, messages[i].field, "%s", messages[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left behind", messages[i].about);
    }
}

static const struct {
    const char *about;
    const char *header;
    enum jws_use use;
    enum fault_reason reason;
} headers[] = {
    {"alg alone",                 "{\"alg\":\"ES256\"}",                                   JWS_REQUEST, REASON_NONE  },
    {"RS256",                     "{\"alg\":\"RS256\"}",                                   JWS_REQUEST, REASON_NONE  },
    {"ES384",                     "{\"alg\":\"ES384\"}",                                   JWS_REQUEST, REASON_NONE  },
    {"ES512",                     "{\"alg\":\"ES512\"}",                                   JWS_REQUEST, REASON_NONE  },
    {"EdDSA",                     "{\"alg\":\"EdDSA\"}",                                   JWS_REQUEST, REASON_NONE  },
    {"a member nobody knows",     "{\"alg\":\"ES256\",\"x\":[]}",                          JWS_REQUEST, REASON_NONE  },
    {"typ empty",                 "{\"alg\":\"ES256\",\"typ\":\"\"}",                      JWS_REQUEST, REASON_NONE  },
    {"typ jose+json",             "{\"alg\":\"ES256\",\"typ\":\"jose+json\"}",             JWS_REQUEST, REASON_NONE  },
    {"typ in full",               "{\"alg\":\"ES256\",\"typ\":\"application/jose+json\"}", JWS_REQUEST,
     REASON_NONE                                                                                                     },
    {"no object",                 "[\"alg\"]",                                             JWS_REQUEST, JWS_MALFORMED},
    {"alg twice",                 "{\"alg\":\"ES256\",\"alg\":\"ES256\"}",                 JWS_REQUEST, JWS_MALFORMED},
    {"no alg",                    "{}",                                                    JWS_REQUEST, JWS_ALGORITHM},
    {"alg is a number",           "{\"alg\":256}",                                         JWS_REQUEST, JWS_ALGORITHM},
    {"alg none",                  "{\"alg\":\"none\"}",                                    JWS_REQUEST, JWS_ALGORITHM},
    {"alg in lower case",         "{\"alg\":\"es256\"}",                                   JWS_REQUEST, JWS_ALGORITHM},
    {"a MAC in a request",        "{\"alg\":\"HS256\"}",                                   JWS_REQUEST, JWS_ALGORITHM},
    {"RS384",                     "{\"alg\":\"RS384\"}",                                   JWS_REQUEST, JWS_ALGORITHM},
    {"PS256",                     "{\"alg\":\"PS256\"}",                                   JWS_REQUEST, JWS_ALGORITHM},
    {"alg is judged before crit", "{\"alg\":\"none\",\"crit\":[\"exp\"]}",                 JWS_REQUEST,
     JWS_ALGORITHM                                                                                                   },
    {"crit",                      "{\"alg\":\"ES256\",\"crit\":[\"exp\"]}",                JWS_REQUEST, JWS_MALFORMED},
    {"crit that is null",         "{\"alg\":\"ES256\",\"crit\":null}",                     JWS_REQUEST, JWS_MALFORMED},
    {"b64 false",                 "{\"alg\":\"ES256\",\"b64\":false}",                     JWS_REQUEST, JWS_MALFORMED},
    {"b64 true",                  "{\"alg\":\"ES256\",\"b64\":true}",                      JWS_REQUEST, JWS_MALFORMED},
    {"typ JWT",                   "{\"alg\":\"ES256\",\"typ\":\"JWT\"}",                   JWS_REQUEST, JWS_MALFORMED},
    {"typ is a number",           "{\"alg\":\"ES256\",\"typ\":1}",                         JWS_REQUEST, JWS_MALFORMED},
    {"kid is a number",           "{\"alg\":\"ES256\",\"kid\":1}",                         JWS_REQUEST, JWS_MALFORMED},
    {"kid is null",               "{\"alg\":\"ES256\",\"kid\":null}",                      JWS_REQUEST, JWS_MALFORMED},
    {"jwk is a string",           "{\"alg\":\"ES256\",\"jwk\":\"\"}",                      JWS_REQUEST, JWS_MALFORMED},
    {"HS256 binds an account",    "{\"alg\":\"HS256\",\"kid\":\"a\"}",                     JWS_MAC,     REASON_NONE  },
    {"HS384 binds an account",    "{\"alg\":\"HS384\",\"kid\":\"a\"}",                     JWS_MAC,     REASON_NONE  },
    {"HS512 binds an account",    "{\"alg\":\"HS512\",\"kid\":\"a\"}",                     JWS_MAC,     REASON_NONE  },
    {"ES256 binds no account",    "{\"alg\":\"ES256\",\"kid\":\"a\"}",                     JWS_MAC,     JWS_ALGORITHM},
};

Test(jws, judges_the_protected_header)
{
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct fault fault = {0};
        const char *text = forge_flat(scratch, forge_encoded(scratch, headers[i].header), PAYLOAD,
                                      "AAAA");
        const struct jws *jws = jws_parse(ctx, bytes_of_text(text), headers[i].use, &fault);

        cr_expect_eq(fault.reason, headers[i].reason, "%s: %s", headers[i].about, fault.detail);
        cr_expect_eq(jws != NULL, headers[i].reason == REASON_NONE, "%s", headers[i].about);
        if (!jws)
            cr_expect_eq(talloc_total_blocks(ctx), 1, "%s: memory left behind", headers[i].about);
    }
}

Test(jws, names_what_it_would_take)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *algorithms = jws_algorithms();
    struct fault fault = {0};
    const char *text = forge_flat(scratch, forge_encoded(scratch, "{\"alg\":\"none\"}"), "", "");

    cr_expect_str_eq(json_to_text(scratch, algorithms),
                     "[\"RS256\",\"ES256\",\"ES384\",\"ES512\",\"EdDSA\"]");
    cr_expect_null(jws_parse(scratch, bytes_of_text(text), JWS_REQUEST, &fault));
    cr_expect_str_eq(fault.detail, "alg \"none\" is not one of RS256, ES256, ES384, ES512, EdDSA");
}

Test(jws, shows_what_it_read)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *header = "{\"alg\":\"ES256\",\"url\":\"https://ca/x\",\"nonce\":\"n\","
                         "\"jwk\":{\"kty\":\"EC\"}}";
    struct fault fault = {0};
    char *text = forge_flat(scratch, forge_encoded(scratch, header), PAYLOAD, "AAEC");
    const struct jws *jws = jws_parse(scratch, bytes_of_text(text), JWS_REQUEST, &fault);

    cr_assert_not_null(jws, "%s", fault.detail);
    memset(text, 'x', strlen(text)); /* everything was copied */
    cr_expect_str_eq(jws->protected_text, forge_encoded(scratch, header));
    cr_expect_str_eq(jws->payload_text, PAYLOAD);
    cr_expect_str_eq(jws->alg, "ES256");
    cr_expect_str_eq(jws->url, "https://ca/x");
    cr_expect_str_eq(jws->nonce, "n");
    cr_expect_null(jws->kid);
    cr_expect_str_eq(json_text_at(jws->jwk, "kty"), "EC");
    cr_expect(bytes_equal(jws->payload, bytes_of_text("hi")));
    cr_expect(bytes_equal(jws->signature, (struct bytes){(const uint8_t *)"\0\1\2", 3}));
}

Test(jws, leaves_url_and_nonce_of_the_wrong_type_empty)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *header = "{\"alg\":\"ES256\",\"url\":1,\"nonce\":[],\"kid\":\"k\"}";
    struct fault fault = {0};
    const char *text = forge_flat(scratch, forge_encoded(scratch, header), "", "");
    const struct jws *jws = jws_parse(scratch, bytes_of_text(text), JWS_REQUEST, &fault);

    cr_assert_not_null(jws, "%s", fault.detail);
    cr_expect_null(jws->url);
    cr_expect_null(jws->nonce);
    cr_expect_null(jws->jwk);
    cr_expect_str_eq(jws->kid, "k");
    cr_expect_eq(jws->payload.size, 0);
}

Test(jws, nests_as_json)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *whole = json_loads("{" THREE "}", 0, NULL);
    AUTO(json_t) *array = json_array();
    struct fault fault = {0};

    cr_expect_not_null(jws_from_json(scratch, whole, JWS_REQUEST, &fault), "%s", fault.detail);
    cr_expect_null(jws_from_json(scratch, array, JWS_REQUEST, &fault));
    cr_expect_eq(fault.reason, JWS_MALFORMED);
    cr_expect_null(jws_from_json(scratch, NULL, JWS_REQUEST, &fault));
}

/* Key and payload of RFC 7515 appendix A.1. Its header says typ JWT, which ACME has no use for; so
 * the headers are ours, and the MACs were made by another implementation (Python's hmac). */
#define MAC_KEY                                                                                    \
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define MAC_PAYLOAD                                                                                \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static const struct {
    const char *about;
    const char *header;
    const char *mac;
} macs[] = {
    {"HS256", "eyJhbGciOiJIUzI1NiJ9", "dCfJaSBBMSnC8CXslIf5orCzS7AboBan4qE7aXuYSDs"          },
    {"HS384", "eyJhbGciOiJIUzM4NCJ9",
     "oXDrZsBTd6_RlkXLUTQJ0DSfHx5raR4Pq5jlRHf5v0WTm-zt8xcsCvXagNl0J4eM"                      },
    {"HS512", "eyJhbGciOiJIUzUxMiJ9",
     "CyfHecbVPqPzB3zBwYd3rgVBi2Dgg-eAeX7JT8B85QbKLwSXyll8WKGdehse606szf9G3i-jr24QGkEtMAGSpg"},
};

static struct jws *mac_of(TALLOC_CTX *ctx, size_t which, const char *mac)
{
    struct fault fault = {0};
    const char *text = forge_flat(ctx, macs[which].header, MAC_PAYLOAD, mac);
    struct jws *jws = jws_parse(ctx, bytes_of_text(text), JWS_MAC, &fault);

    cr_assert_not_null(jws, "%s: %s", macs[which].about, fault.detail);
    return jws;
}

static struct bytes mac_key(TALLOC_CTX *ctx)
{
    struct bytes key = {0};

    cr_assert(base64url_to_bytes(ctx, MAC_KEY, strlen(MAC_KEY), &key));
    return key;
}

Test(jws, verifies_macs)
{
    for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct bytes key = mac_key(scratch);
        struct fault fault = {0};

        cr_expect(jws_verify_mac(mac_of(scratch, i, macs[i].mac), key, &fault), "%s: %s",
                  macs[i].about, fault.detail);
    }
}

Test(jws, refuses_macs_that_are_not_the_one)
{
    for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct bytes key = mac_key(scratch);
        char *changed = mem_text(scratch, macs[i].mac);
        changed[0] = changed[0] == 'A' ? 'B' : 'A';
        /* Four characters are three octets, so what is left is still base64url. */
        const char *shorter = macs[i].mac + 4;
        const struct {
            const char *about;
            const char *mac;
            struct bytes key;
        } wrong[] = {
            {"first octet changed",  changed,     key                     },
            {"three octets less",    shorter,     key                     },
            {"empty",                "",          key                     },
            {"a key shorter by one", macs[i].mac, {key.data, key.size - 1}},
            {"no key at all",        macs[i].mac, {key.data, 0}           },
        };

        for (size_t j = 0; j < ARRAY_SIZE(wrong); j++) {
            struct fault fault = {0};

            cr_expect_not(jws_verify_mac(mac_of(scratch, i, wrong[j].mac), wrong[j].key, &fault),
                          "%s, %s", macs[i].about, wrong[j].about);
            cr_expect_eq(fault.reason, JWS_SIGNATURE, "%s, %s", macs[i].about, wrong[j].about);
        }
    }
}

/* Anybody can make the MAC of the empty key. */
Test(jws, refuses_the_empty_key)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct jws *jws = mac_of(scratch, 0, "tUQsEpsOh2SuYlrWZMwQYLMtWY6WSRmKjhvqtArlyI8");
    const struct bytes empty = {(const uint8_t *)"", 0};
    struct fault fault = {0};

    cr_expect_not(jws_verify_mac(jws, empty, &fault));
    cr_expect_eq(fault.reason, JWS_SIGNATURE);
}

Test(jws, never_takes_a_signature_for_a_mac)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct jws *jws = jws_parse(scratch, bytes_of_text("{" THREE "}"), JWS_REQUEST, &fault);

    cr_assert_not_null(jws, "%s", fault.detail);
    cr_expect_not(jws_verify_mac(jws, mac_key(scratch), &fault));
    cr_expect_eq(fault.reason, JWS_ALGORITHM);
}
