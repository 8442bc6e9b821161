/* tests/fuzz/api_verbs.c: any body to the verbs for certificates (revoke, unrevoke, bulk, export).
 * First line the target, the rest the body. */
#include <assert.h>

#include "api_rig.h"
#include "core/auto.h"
#include "core/memory.h"
#include "rig_data.h"

#include "core/banned.h"

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
    api_rig_column(columns, ARRAY_SIZE(columns), name, value);
}

static void set_columns(const char *target)
{
    set_column("permission", strstr(target, "bulk")     ? "cert.bulk_revoke"
                             : strstr(target, "export") ? "cert.read"
                                                        : "cert.revoke");
    set_column("outcome", strstr(target, "unrevoke") ? "lifted" : "revoked");
    set_column("pem_chain", rig_leaf_pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *text = mem_text_n(ctx, (const char *)data, size);
    const char *target = mem_text_n(ctx, text, strcspn(text, "\n"));
    const char *body = text + strlen(target) + (text[strlen(target)] == '\n');

    set_columns(target);
    struct rig *rig = api_rig_new(ctx, columns, ARRAY_SIZE(columns));
    rig_ask(rig, "POST", target);
    rig_set(rig, "HTTP_AUTHORIZATION", "Bearer " API_RIG_KEY);
    rig_set(rig, "HTTP_IDEMPOTENCY_KEY", "once");
    rig_body(rig, body);
    api_rig_serve(rig);
    assert(rig->response.status != 500);
    return 0;
}
