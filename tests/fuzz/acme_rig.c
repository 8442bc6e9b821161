/* tests/fuzz/acme_rig.c: certctl-acme in memory, and a client that holds an account's key. */
#include "acme_rig.h"

#include <assert.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "fake_db.h"
#include "fcgi/acme/acme.h"
#include "rig_data.h"

#include "core/banned.h"

#define EDGE_KEY "5f4dcc3b5aa765d61d8327deb882cf99aabbccddeeff00112233445566778899"
#define ACCOUNT  "acme-acc-1"
#define HALF     32

/* The octets 0 to 31 in a v2 blob, which costs a sixth of what v3 does. */
#define RIG_PASSPHRASE "fuzzfuzzfuzzfuzzfuzzfuzzfuzzfuzz"
#define RIG_NONCE_KEY                                                                              \
    "02000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6ff38b6d1944a6a970f07c74efd1224014"   \
    "537bfd62be6fa0cf2597c06b598fb68a6c9d336fd218a2c1dd818504562a84a9"

#define WORLD_SETTINGS                                                                             \
    "{\"preauthorization\":true,\"challenge_types\":[\"http-01\",\"dns-01\",\"dns-persist-01\"]}"

enum { WORLD_COLUMNS = 8 };

static const struct fake_column columns[] = {
    {"account_id",             ACCOUNT                                                                },
    {"actor_id",               ACCOUNT                                                                },
    {"acme_auth_mode",         "challenge"                                                            },
    {"allowed_ekus",           "[\"serverAuth\"]"                                                     },
    {"allowed_identifiers",    "[\"*.example.com\"]"                                                  },
    {"allowed_key_algorithms", "[{\"algorithm\":\"ECDSA\",\"min_size\":256}]"                         },
    {"allow_sha1_csr",         "f"                                                                    },
    {"allow_short_lived",      "f"                                                                    },
    {"allow_wildcards",        "t"                                                                    },
    {"asker_ordered",          "f"                                                                    },
    {"asker_proved",           "dns:www.example.com\ndns:api.example.com"                             },
    {"at_once",                "f"                                                                    },
    {"auth_mode",              "challenge"                                                            },
    {"authz_id",               "acme-authz-1"                                                         },
    {"ca_cert_der",            rig_ca_hex                                                             },
    {"ca_chain_pem",           rig_ca_pem                                                             },
    {"ca_id",                  "ca-1"                                                                 },
    {"ca_key_algorithm",       "ECDSA-P256"                                                           },
    {"ca_key_ref",             "file:/ca.key"                                                         },
    {"ca_not_after",           "99999999"                                                             },
    {"ca_not_before",          "-9999"                                                                },
    {"ca_row_version",         "1"                                                                    },
    {"ca_ski",                 rig_ca_ski_hex                                                         },
    {"ca_subject_der",         rig_ca_subject_hex                                                     },
    {"cert_profile_id",        "prof-test"                                                            },
    {"certificate_id",         "mc-1"                                                                 },
    {"challenges",             "[{\"type\":\"http-01\",\"status\":\"processing\"}]"                   },
    {"alternate",              rig_leaf_pem                                                           },
    {"alternates",             "2"                                                                    },
    {"contact",                "mailto:a@example.com"                                                 },
    {"created_at",             "-60"                                                                  },
    {"default_validity_days",  "90"                                                                   },
    {"enabled",                "t"                                                                    },
    {"renewal_policy_id",      NULL                                                                   },
    {"team_id",                NULL                                                                   },
    {"entered",                "f"                                                                    },
    {"expires_at",             "3600"                                                                 },
    {"holder",                 "acme-acc-2"                                                           },
    {"id",                     "prof-test"                                                            },
    {"issuer_days",            "90"                                                                   },
    {"issuer_id",              "iss-local"                                                            },
    {"issuer_type",            "local"                                                                },
    {"jwk_pem",                rig_account_public                                                     },
    {"key_id",                 "0"                                                                    },
    {"last_at",                "1799999999"                                                           },
    {"last_id",                "acme-ord-1"                                                           },
    {"length",                 "100"                                                                  },
    {"max_ttl_seconds",        "7776000"                                                              },
    {"must_staple",            "f"                                                                    },
    {"names",                  "dns:www.example.com"                                                  },
    {"nonce_spent",            "f"                                                                    },
    {"not_after",              "86400"                                                                },
    {"not_before",             "-86400"                                                               },
    {"order_account_id",       ACCOUNT                                                                },
    {"order_authorizations",   "acme-authz-1\nacme-authz-2"                                           },
    {"order_certificate",      "mc-1"                                                                 },
    {"order_caa_due",          "f"                                                                    },
    {"order_csr_sha256",       "00"                                                                   },
    {"order_error",            "{\"type\":\"urn:ietf:params:acme:error:malformed\"}"                  },
    {"order_expires",          "3600"                                                                 },
    {"order_id",               "acme-ord-1"                                                           },
    {"order_identifiers",      "[{\"type\":\"dns\",\"value\":\"www.example.com\"},"
                          "{\"type\":\"dns\",\"value\":\"api.example.com\"}]"},
    {"order_not_after",        NULL                                                                   },
    {"order_profile",          "prof-test"                                                            },
    {"order_not_before",       NULL                                                                   },
    {"order_replaces",         "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"                                  },
    {"order_waits",            "f"                                                                    },
    {"order_working",          "t"                                                                    },
    {"orders",                 "acme-ord-2\nacme-ord-1"                                               },
    {"owner_id",               NULL                                                                   },
    {"pem_chain",              rig_leaf_pem                                                           },
    {"policies",
     "[{\"id\":\"prof-test\",\"description\":\"Test\",\"enabled\":true,\"row_version\":1,"
     "\"max_ttl_seconds\":7776000,\"validity_days\":90,\"allow_wildcards\":true,"
     "\"required_san_patterns\":[\"[a-z0-9.*-]+\"]},{\"id\":\"prof-other\","
     "\"description\":\"Other\",\"enabled\":true,\"row_version\":1,\"max_ttl_seconds\":3600,"
     "\"issuer_id\":\"iss-local\",\"allow_wildcards\":false,\"allowed_san_types\":[\"dns\"],"
     "\"required_san_patterns\":[]},{\"id\":\"prof-off\",\"description\":\"Off\",\"enabled\":false,"
     "\"row_version\":1,\"max_ttl_seconds\":0,\"allow_wildcards\":true,"
     "\"required_san_patterns\":[]}]"                                                                 },
    {"policy_oids",            ""                                                                     },
    {"profile_enabled",        "t"                                                                    },
    {"profile_id",             "prof-test"                                                            },
    {"profile_name",           "Test"                                                                 },
    {"profile_version",        "1"                                                                    },
    {"refresh",                ""                                                                     },
    {"renewal_window_days",    "30"                                                                   },
    {"wait",                   NULL                                                                   },
    {"spiffe_uri_pattern",     ""                                                                     },
    {"allowed_uri_patterns",   NULL                                                                   },
    {"allowed_san_types",      NULL                                                                   },
    {"subject_policy",         NULL                                                                   },
    {"required_san_patterns",  "[\"[a-z0-9.*-]+\"]"                                                   },
    {"requires_approval",      "f"                                                                    },
    {"retry_after",            "7"                                                                    },
    {"same_key_serials",       ""                                                                     },
    {"same_key_versions",      ""                                                                     },
    {"secret_enc",             RIG_NONCE_KEY                                                          },
    {"sealed",                 RIG_NONCE_KEY                                                          },
    {"serial_number",          RIG_LEAF_SERIAL                                                        },
    {"status",                 "valid"                                                                },
    {"token",                  "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"                          },
    {"tos_agreed",             "t"                                                                    },
    {"type",                   "dns"                                                                  },
    {"value",                  "www.example.com"                                                      },
    {"version_id",             "cv-1"                                                                 },
    {"wildcard",               "f"                                                                    },
    {"written",                "cv-1"                                                                 },
};

static const char *outcome_of(const char *path, unsigned world)
{
    if (world & WORLD_BAD_NONCE)
        return world & WORLD_DECIDED ? "rate_limited" : "bad_nonce";
    if (text_ends(path, "/new-order") || text_ends(path, "/new-authz"))
        return world & WORLD_STALE ? "stale" : "created";
    if (text_ends(path, "/new-account"))
        return "created";
    if (text_ends(path, "/key-change"))
        return world & WORLD_DECIDED ? "taken" : "changed";
    if (text_ends(path, "/revoke-cert"))
        return "revoked";
    if (text_starts(path, "/acme/account/"))
        return "updated";
    return text_starts(path, "/acme/challenge/") ? "responded" : "deactivated";
}

/* What differs from request to request stands before what does not. */
static void set_world(TALLOC_CTX *ctx, const char *path, unsigned world)
{
    static const char *const unknown_key[] = {"acme_account_by_key", NULL};
    struct fake_column *all = mem_array(ctx, struct fake_column,
                                        WORLD_COLUMNS + ARRAY_SIZE(columns));
    const struct fake_column first[WORLD_COLUMNS] = {
        {"outcome", outcome_of(path, world)},
        {"fresh",         world & WORLD_BAD_NONCE ? "f" : "t"                 },
        {"order_status",         world & WORLD_DECIDED ? "valid" : "ready"},
        {"revoked",         world & WORLD_DECIDED ? "t" : "f"                      },
        {"settings",         world & WORLD_BINDING ? "{\"eab_required\":true}" : WORLD_SETTINGS},
        {"acme_auth_mode",         world & WORLD_TRUSTS ? "trust_authenticated" : "challenge"                },
        {"auth_mode",         world & WORLD_TRUSTS ? "trust_authenticated" : "challenge"},
        {"issuer_type",         "local"              },
    };

    memcpy(all, first, sizeof(first));
    memcpy(all + WORLD_COLUMNS, columns, sizeof(columns));
    fake_columns = all;
    fake_column_count = WORLD_COLUMNS + ARRAY_SIZE(columns);
    fake_empty = world & WORLD_KNOWN_KEY ? NULL : unknown_key;
}

static void set_clock(void)
{
    clock_shift_s(0);
    clock_shift_s(RIG_NOW_S - clock_now_s());
}

static const struct settings *settings_once(void)
{
    static struct settings settings;
    static char ours[] = "ca.example";
    static char *names[] = {ours};

    if (settings.database_url)
        return &settings;
    settings_defaults(&settings);
    settings.config_encryption_key = RIG_PASSPHRASE;
    settings.acme_enabled = true;
    settings.acme_default_profile_id = "prof-test";
    settings.acme_tos_url = "https://ca.example/terms";
    settings.acme_caa_identities = (struct text_list){names, ARRAY_SIZE(names)};
    settings.acme_caa_mode = "off";
    settings.signer_socket = "/nonexistent/signer.sock";
    log_configure(LOG_ERROR, LOG_JSON);
    return &settings;
}

static const struct web_host *host_new(TALLOC_CTX *ctx)
{
    struct web_host *host = mem_new(ctx, struct web_host);
    struct fault fault = {0};

    host->responder = &acme_responder;
    host->settings = settings_once();
    host->db = fake_db_new(ctx);
    host->worker = acme_responder.start(ctx, host->settings, &fault);
    digest_sha256(bytes_of_text(EDGE_KEY), host->edge_digest);
    return host;
}

static size_t read_body(void *source, uint8_t *into, size_t size)
{
    const struct bytes *body = source;
    const size_t given = least(size, body->size);

    memcpy(into, body->data, given);
    return given;
}

static struct acme_answer serve(TALLOC_CTX *ctx, const struct web_host *host, const char *path,
                                struct bytes body)
{
    char edge[] = "CERTCTL_EDGE_KEY=" EDGE_KEY;
    char surface[] = "CERTCTL_SURFACE=acme";
    char scheme[] = "REQUEST_SCHEME=https";
    char method[] = "REQUEST_METHOD=POST";
    char name[] = "SERVER_NAME=ca.example";
    char address[] = "REMOTE_ADDR=2001:db8::7";
    char type[] = "CONTENT_TYPE=application/jose+json";
    char *const params[] = {edge,
                            surface,
                            scheme,
                            method,
                            name,
                            address,
                            type,
                            mem_printf(ctx, "CONTENT_LENGTH=%zu", body.size),
                            mem_printf(ctx, "REQUEST_URI=%s", path),
                            NULL};
    const struct web_input input = {params, read_body, &body};
    struct acme_answer answer = {0};

    (void)web_handle(ctx, host, &input, &answer.response, &answer.fault);
    return answer;
}

static EVP_PKEY *key_once(void)
{
    static EVP_PKEY *key;

    if (key)
        return key;
    AUTO(BIO) *from = BIO_new_mem_buf(rig_account_key, -1);
    key = PEM_read_bio_PrivateKey(from, NULL, NULL, NULL);
    assert(key);
    return key;
}

static char *signature_of(TALLOC_CTX *ctx, const char *text)
{
    AUTO(EVP_MD_CTX) *digest = EVP_MD_CTX_new();
    uint8_t der[128];
    uint8_t raw[2 * HALF];
    const uint8_t *at = der;
    size_t size = sizeof(der);

    assert(EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key_once()) == 1);
    assert(EVP_DigestSign(digest, der, &size, (const uint8_t *)text, strlen(text)) == 1);
    AUTO(ECDSA_SIG) *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
    assert(pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, HALF) == HALF);
    assert(BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + HALF, HALF) == HALF);
    return base64url_from_bytes(ctx, BYTES_OF(raw));
}

/* The account's key as the object that RFC 7517 makes of it. */
static char *jwk_text(TALLOC_CTX *ctx)
{
    uint8_t point[1 + 2 * HALF];
    size_t size = 0;

    assert(EVP_PKEY_get_octet_string_param(key_once(), "pub", point, sizeof(point), &size) == 1);
    return mem_printf(ctx, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}",
                      base64url_from_bytes(ctx, (struct bytes){point + 1, HALF}),
                      base64url_from_bytes(ctx, (struct bytes){point + 1 + HALF, HALF}));
}

static char *nonce_of(TALLOC_CTX *ctx, const struct web_host *host)
{
    struct request *request = mem_new(ctx, struct request);
    struct fault fault = {0};

    request->settings = host->settings;
    request->db = host->db;
    request->worker = host->worker;
    return acme_nonce_new(request, &fault);
}

struct acme_answer acme_rig_post(TALLOC_CTX *ctx, const char *path, unsigned world,
                                 struct bytes body)
{
    set_clock();
    set_world(ctx, path, world);
    return serve(ctx, host_new(ctx), path, body);
}

struct acme_answer acme_rig_call(TALLOC_CTX *ctx, const char *path, bool by_jwk, unsigned world,
                                 struct bytes payload)
{
    set_clock();
    set_world(ctx, path, world);
    const struct web_host *host = host_new(ctx);
    const char *key = by_jwk ? mem_printf(ctx, "\"jwk\":%s", jwk_text(ctx))
                             : "\"kid\":\""
                               "https://ca.example/acme/account/" ACCOUNT "\"";
    const char *header = mem_printf(
        ctx, "{\"alg\":\"ES256\",\"nonce\":\"%s\",\"url\":\"https://ca.example%s\",%s}",
        nonce_of(ctx, host), path, key);
    const char *first = base64url_from_bytes(ctx, bytes_of_text(header));
    const char *second = base64url_from_bytes(ctx, payload);
    const char *signature = signature_of(ctx, mem_printf(ctx, "%s.%s", first, second));
    const char *body = mem_printf(ctx,
                                  "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}",
                                  first, second, signature);

    return serve(ctx, host, path, bytes_of_text(body));
}

/* A problem document where it is refused, and no header that a text of the client could split. */
void acme_rig_check(TALLOC_CTX *ctx, const struct acme_answer *answer)
{
    const struct response *response = &answer->response;
    struct fault ignored = {0};

    assert(response->started && response->status >= 200 && response->status <= 599);
    assert((response->status >= 400) == (answer->fault.reason != REASON_NONE));
    assert(text_ends(web_response_head(ctx, response), "\r\n\r\n"));
    if (response->status < 400)
        return;
    AUTO(json_t) *problem = json_parse_object(response->body, INTERNAL, "the problem", &ignored);
    assert(problem && text_starts(json_text_at(problem, "type"), "urn:ietf:params:acme:error:"));
}
