/* tests/fuzz/api_request.c: any target and Authorization header to the REST API, for a key that the
 * database knows. First line the target, second the header, third If-None-Match, fourth Prefer,
 * fifth Origin; what is left is the body of a POST. */
#include <assert.h>

#include "api_rig.h"
#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

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

    struct rig *rig = api_rig_new(ctx, columns, ARRAY_SIZE(columns));
    char *target = take_line(ctx, &at);
    rig_ask(rig, "GET", target);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        rig_set(rig, names[i], take_line(ctx, &at));
    if (*at) {
        rig_set(rig, "REQUEST_METHOD", "POST");
        rig_body(rig, at);
    }
    api_rig_column(columns, ARRAY_SIZE(columns), "permission",
                   !*at                           ? "cert.read"
                   : text_ends(target, "/reject") ? "approval.reject"
                                                  : "approval.approve");
    api_rig_serve(rig);
    assert(text_ends(web_response_head(ctx, &rig->response), "\r\n\r\n"));
    if (rig->response.body.size == 0)
        return 0;
    AUTO(json_t) *body = json_parse_object(rig->response.body, INTERNAL, "the answer", &rig->fault);
    assert(body);
    return 0;
}
