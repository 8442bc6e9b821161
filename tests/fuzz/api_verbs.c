/* tests/fuzz/api_verbs.c: any body to the verbs for certificates (revoke, unrevoke, bulk, export).
 * First line the target, the rest the body. */
#include <assert.h>

#include "../unit/web/rig.h"
#include "auth/key.h"
#include "core/auto.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "fake_db.h"
#include "fake_main.h"
#include "rig_data.h"

#include "core/banned.h"

#define KEY "cck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_column columns[] = {
    {"key_hash",        NULL             },
    {"verdict",         "ok"             },
    {"actor_id",        "a-1"            },
    {"actor_type",      "APIKey"         },
    {"agent_id",        NULL             },
    {"retry_after",     "0"              },
    {"rbac_epoch",      "1"              },
    {"roles",           "r-admin\tglobal"},
    {"role_id",         "r-admin"        },
    {"permission",      NULL             },
    {"scope_type",      "global"         },
    {"scope_id",        NULL             },
    {"certificate_id",  "mc-1"           },
    {"profile_id",      "prof-test"      },
    {"issuer_id",       "iss-local"      },
    {"status",          "Active"         },
    {"version_id",      "cv-1"           },
    {"serial_number",   "1f"             },
    {"revoked",         "f"              },
    {"revoked_at",      NULL             },
    {"reason",          NULL             },
    {"id",              "cv-2"           },
    {"ids",             "mc-none"        },
    {"other_versions",  "cv-2"           },
    {"other_serials",   "2f"             },
    {"sibling_serials", "2f\n3f"         },
    {"outcome",         NULL             },
    {"written",         "cv-1\ncv-2"     },
    {"refresh",         ""               },
    {"needed",          "f"              },
    {"allowed",         "t"              },
    {"pem_chain",       NULL             },
    {"word",            "new"            },
};

static void set_column(const char *name, const char *value)
{
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        if (text_equal(columns[i].name, name))
            columns[i].value = value;
}

static void set_columns(TALLOC_CTX *ctx, const char *target)
{
    uint8_t digest[DIGEST_SHA256_SIZE];

    api_key_digest(KEY, digest);
    set_column("key_hash", hex_from_bytes(ctx, BYTES_OF(digest)));
    set_column("permission", strstr(target, "bulk")     ? "cert.bulk_revoke"
                             : strstr(target, "export") ? "cert.read"
                                                        : "cert.revoke");
    set_column("outcome", strstr(target, "unrevoke") ? "lifted" : "revoked");
    set_column("pem_chain", rig_leaf_pem);
    fake_columns = columns;
    fake_column_count = ARRAY_SIZE(columns);
}

/* Made once, since their texts are kept for the life of the process. */
static const struct settings *settings_once(void)
{
    static struct settings settings;

    if (!settings.database_url)
        settings_defaults(&settings);
    return &settings;
}

static struct rig *verbs_rig(TALLOC_CTX *ctx)
{
    struct rig *rig = rig_new(ctx);
    struct fault fault = {0};

    if (!fake_responder) { /* its statements are made of tables, once a process */
        static char *kept;
        kept = mem_array(NULL, char, 1);
        (void)certctl_api_main(0, NULL);
        fake_responder->declare(kept, NULL);
    }
    rig->settings = *settings_once();
    log_configure(LOG_ERROR, LOG_JSON);
    rig->host.responder = fake_responder;
    rig->host.db = fake_db_new(ctx);
    rig->host.worker = fake_responder->start(ctx, &rig->settings, &fault);
    rig_set(rig, "CERTCTL_SURFACE", "api");
    return rig;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *text = mem_text_n(ctx, (const char *)data, size);
    const char *target = mem_text_n(ctx, text, strcspn(text, "\n"));
    const char *body = text + strlen(target) + (text[strlen(target)] == '\n');

    set_columns(ctx, target);
    struct rig *rig = verbs_rig(ctx);
    rig_ask(rig, "POST", target);
    rig_set(rig, "HTTP_AUTHORIZATION", "Bearer " KEY);
    rig_set(rig, "HTTP_IDEMPOTENCY_KEY", "once");
    rig_body(rig, body);
    rig_serve(rig);
    fake_responder->finish(rig->request, &rig->response);
    assert(rig->response.started && rig->response.status >= 200 && rig->response.status <= 599);
    assert(rig->response.status != 500);
    assert((rig->response.status >= 400) == (rig->fault.reason != REASON_NONE));
    return 0;
}
