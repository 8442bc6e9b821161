/* tests/fuzz/api_request.c: any target and Authorization header to the REST API, for a key that the
 * database knows. First line the target, second the header, third If-None-Match, fourth Prefer,
 * fifth Origin; what is left is the body of a POST. */
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

#include "core/banned.h"

#define KEY "cck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_column columns[] = {
    {"key_hash",     NULL                  },
    {"verdict",      "ok"                  },
    {"actor_id",     "a-1"                 },
    {"actor_type",   "User"                },
    {"agent_id",     NULL                  },
    {"retry_after",  "0"                   },
    {"rbac_epoch",   "1"                   },
    {"roles",        "r-admin\tglobal"     },
    {"role_id",      "r-admin"             },
    {"permission",   "cert.read"           },
    {"scope_type",   "global"              },
    {"scope_id",     NULL                  },
    {"found",        "t"                   },
    {"allowed",      "t"                   },
    {"data",         "{\"id\":\"mc-1\"}"   },
    {"more",         "t"                   },
    {"total",        "7"                   },
    {"last_key",     "2027-01-01T00:00:00Z"},
    {"last_id",      "mc-1"                },
    {"tag",          "\"1\""               },
    {"doc",          "{\"id\":\"mc-1\"}"   },
    {"outcome",      "decided"             },
    {"decided_by",   "a-1"                 },
    {"job_status",   "Running"             },
    {"edit_profile", NULL                  },
    {"edit_payload", NULL                  },
    {"needed",       "f"                   },
    {"edit_version", NULL                  },
};

static void set_columns(TALLOC_CTX *ctx)
{
    uint8_t digest[DIGEST_SHA256_SIZE];

    api_key_digest(KEY, digest);
    columns[0].value = hex_from_bytes(ctx, BYTES_OF(digest));
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

static struct rig *api_rig(TALLOC_CTX *ctx)
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

static char *take_line(TALLOC_CTX *ctx, const char **at)
{
    const size_t length = strcspn(*at, "\n");
    char *line = mem_text_n(ctx, *at, length);

    *at += length + ((*at)[length] == '\n');
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"HTTP_AUTHORIZATION", "HTTP_IF_NONE_MATCH", "HTTP_PREFER",
                                        "HTTP_ORIGIN"};
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *at = mem_text_n(ctx, (const char *)data, size);

    set_columns(ctx);
    struct rig *rig = api_rig(ctx);
    char *target = take_line(ctx, &at);
    rig_ask(rig, "GET", target);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        rig_set(rig, names[i], take_line(ctx, &at));
    columns[9].value = "cert.read";
    if (*at) {
        rig_set(rig, "REQUEST_METHOD", "POST");
        rig_body(rig, at);
        columns[9].value = text_ends(target, "/reject") ? "approval.reject" : "approval.approve";
    }
    rig_serve(rig);
    fake_responder->finish(rig->request, &rig->response);
    assert(rig->response.started && rig->response.status >= 200 && rig->response.status <= 599);
    assert((rig->response.status >= 400) == (rig->fault.reason != REASON_NONE));
    assert(text_ends(web_response_head(ctx, &rig->response), "\r\n\r\n"));
    if (rig->response.body.size == 0)
        return 0;
    AUTO(json_t) *body = json_parse_object(rig->response.body, INTERNAL, "the answer", &rig->fault);
    assert(body);
    return 0;
}
