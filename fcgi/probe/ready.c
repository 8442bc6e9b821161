/* fcgi/probe/ready.c: GET /ready, 05 section 4.1. */
#include "probe.h"

#include <unistd.h>

#include "core/json.h"
#include "core/memory.h"
#include "db/db.h"

#include "core/banned.h"

static bool not_ready(struct response *response, const char *status, const char *error)
{
    json_t *body = json_object();

    json_set_text(body, "status", status);
    json_set_text(body, "error", error);
    response_header(response, "Retry-After", "5");
    return response_json(response, 503, body);
}

/* An operator's sign that this host is about to stop: balancers look away, requests are served. */
static bool draining(struct request *request)
{
    const char *path = mem_printf(request, "%s/drain", request->settings->runtime_dir);
    return access(path, F_OK) == 0;
}

static bool ready(struct response *response)
{
    json_t *body = json_object();

    json_set_text(body, "status", "ready");
    json_set_text(body, "db", "reachable");
    return response_json(response, 200, body);
}

/* The schema is asked for each time: a migration may run while our connection is open. What the
 * database said is for the log (the reference shows it to anybody): the fault stays set, and the
 * answer is ours, since 05 fixes its members. */
bool show_ready(struct request *request, struct response *response, struct fault *fault)
{
    if (draining(request))
        return not_ready(response, "draining", NULL);
    if (db_connect(request->db, fault))
        return ready(response);
    if (fault->reason == SCHEMA_MISMATCH)
        return not_ready(response, "schema_mismatch", fault->detail);
    return not_ready(response, "db_unavailable", "database unreachable");
}
