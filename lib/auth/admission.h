/* lib/auth/admission.h: who may pass to a handler of the REST API, in one round trip (06 sections
 * 1.3 and 3.4). The refusals come in the order 401, 429, 403. */
#ifndef CERTCTL_AUTH_ADMISSION_H
#define CERTCTL_AUTH_ADMISSION_H

#include "auth/role_map.h"
#include "web/request.h"
#include "web/response.h"

#define ADMISSION_REFUSED_MAX 64

/* What a worker keeps over requests: the role map, and addresses that have failed too often, which
 * are refused for ten seconds without asking the database. Losing it loses nothing. */
struct admission {
    struct role_map *map;
    struct {
        char address[64];
        int64_t until_us; /* monotonic */
    } refused[ADMISSION_REFUSED_MAX];
    size_t refused_next;
};

/* Who was admitted; texts hang on the request. */
struct principal {
    const char *actor_id;
    const char *actor_type;
    const char *agent_id;          /* the key is bound to this agent; else NULL */
    struct permission_scope scope; /* of the permission that was asked for */
};

/* Fills *ret_principal and request->actor, or refuses: UNAUTHENTICATED (with WWW-Authenticate on
 * the response), RATE_LIMITED, FORBIDDEN, or AUTH_BACKEND where the database did not answer. On
 * FORBIDDEN *ret_principal is filled too, but for the scope: the refusal is that actor's. */
bool admission_check(struct admission *admission, struct request *request,
                     struct response *response, enum permission permission,
                     struct principal *ret_principal, struct fault *fault);

#endif
