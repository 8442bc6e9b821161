/* fcgi/api/once.c: Idempotency-Key on any POST (05 section 2.10, after
 * draft-ietf-httpapi-idempotency-key-header).
 *
 * The answer is kept in the transaction that has the effect, so a key is kept exactly when the
 * effect is: whatever a handler commits is enclosed in one. Refusals have no effect and are not
 * kept. */
#include "core/digest.h"
#include "core/log.h"
#include "core/memory.h"
#include "fcgi/api/api.h"

#include "core/banned.h"

#define KEY_MAX 128

/* $1 actor, $2 key, $3 SHA-256 of the request, $4 lock it for the session. */
STATEMENT(api_once_claim, "SELECT word, status, content_type, location, etag, body "
                          "FROM api_once_claim($1, $2, $3, $4::boolean)");

/* $1 actor, $2 key, $3 SHA-256 of the request, $4 status or NULL: it bore a secret, $5 content
 * type, $6 Location, $7 ETag, $8 body. No row: another was answered meanwhile. */
STATEMENT(api_once_keep,
          "INSERT INTO api_idempotency AS a (actor, key, request_sha256, status, content_type, "
          "location, etag, body, expires_at) VALUES ($1, $2, $3, $4::text::integer, $5, $6, $7, "
          "$8::bytea, now() + interval '24 hours') ON CONFLICT (actor, key) DO UPDATE SET "
          "request_sha256 = EXCLUDED.request_sha256, status = EXCLUDED.status, "
          "content_type = EXCLUDED.content_type, location = EXCLUDED.location, "
          "etag = EXCLUDED.etag, body = EXCLUDED.body, created_at = now(), "
          "expires_at = EXCLUDED.expires_at WHERE a.expires_at <= now()");

/* $1 actor, $2 key. */
STATEMENT(api_once_release, "SELECT pg_advisory_unlock(api_once_lock($1, $2))");

struct once {
    struct request *request;
    const char *actor;
    const char *key;
    const char *sha256; /* of method, path, query and body */
    bool by_itself;     /* its handler commits in batches */
};

void api_answer_is_secret(struct request *request)
{
    struct api_request *api = request->protocol;

    api->secret = true;
}

static bool key_good(const char *key)
{
    size_t length = 0;

    while (key[length] > ' ' && key[length] <= '~')
        length++;
    return key[length] == '\0' && length <= KEY_MAX; /* an empty header is none */
}

static const char *request_sha256(struct request *request)
{
    const char *body = digest_sha256_hex(request, request->body);

    const char *whole = mem_printf(request, "POST\n%s\n%s\n%s", request->path, request->query,
                                   body);

    return digest_sha256_hex(request, bytes_of_text(whole));
}

static bool answer_again(struct response *response, const struct rows *kept)
{
    const char *location = row_text(kept, 0, "location");
    const char *etag = row_text(kept, 0, "etag");

    /* Both come from us, and went through response_header before they were kept. */
    if (location)
        response_header(response, "Location", "%s", location);
    if (etag)
        response_header(response, "ETag", "%s", etag);
    response_header(response, "Idempotency-Replayed", "true");
    return response_bytes(response, (unsigned)row_integer(kept, 0, "status"), /* as we kept it */
                          row_text(kept, 0, "content_type"),
                          row_bytes(response->request, kept, 0, "body"));
}

/* Answers where the key was answered before; else it is ours now. */
static bool claim(const struct once *once, struct response *response, struct fault *fault)
{
    const struct rows *rows = db_query(once->request, once->request->db, &api_once_claim, fault,
                                       TEXT(once->actor), TEXT(once->key), TEXT(once->sha256),
                                       BOOLEAN(once->by_itself));
    if (!rows)
        return false;
    const char *word = row_text(rows, 0, "word");
    if (text_equal(word, "running")) {
        fault_set(fault, REPEAT_RUNNING, NULL,
                  "a request with this Idempotency-Key is in progress");
        fault->retry_after_s = 1;
        return false;
    }
    if (text_equal(word, "other"))
        return fault_set(fault, REPEAT_DIFFERS, NULL,
                         "Idempotency-Key was used for another request");
    if (text_equal(word, "secret"))
        return fault_set(fault, RESOURCE_CONFLICT, NULL, "already completed; secret not repeated");
    return text_equal(word, "new") || answer_again(response, rows);
}

static const char *header_of(const struct response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (text_equal(response->headers[i].name, name))
            return response->headers[i].value;
    return NULL;
}

static bool keep(const struct once *once, const struct response *response, struct fault *fault)
{
    const struct api_request *api = once->request->protocol;
    const bool secret = api->secret;

    if (response->status >= 400)
        return true;
    const struct rows *rows = db_query(
        once->request, once->request->db, &api_once_keep, fault, TEXT(once->actor), TEXT(once->key),
        TEXT(once->sha256), TEXT(secret ? NULL : mem_printf(once->request, "%u", response->status)),
        TEXT(secret ? NULL : header_of(response, "Content-Type")),
        TEXT(secret ? NULL : header_of(response, "Location")),
        TEXT(secret ? NULL : header_of(response, "ETag")),
        BYTEA(secret ? (struct bytes){0} : response->body));
    return rows &&
           (rows->affected == 1 || fault_set(fault, REPEAT_RUNNING, NULL,
                                             "a request with this Idempotency-Key is in progress"));
}

/* What a refusal wrote (its audit row) stays, as without a key. */
static bool serve_enclosed(const struct once *once, struct response *response, struct fault *fault)
{
    struct request *request = once->request;
    struct fault ignored = {0};

    if (!db_enclose(request->db, fault))
        return false;
    if (!claim(once, response, fault) || response->started) {
        db_enclosed_rollback(request->db);
        return response->started;
    }
    if (!request->route->handler(request, response, fault)) {
        (void)db_enclosed_commit(request->db, &ignored);
        return false;
    }
    if (keep(once, response, fault))
        return db_enclosed_commit(request->db, fault);
    db_enclosed_rollback(request->db);
    return false;
}

/* The key goes with the session when the worker dies; asking again then does what is left. */
static bool serve_by_itself(const struct once *once, struct response *response, struct fault *fault)
{
    struct request *request = once->request;
    struct fault ignored = {0};

    if (!claim(once, response, fault))
        return false;
    const bool served = response->started || (request->route->handler(request, response, fault) &&
                                              keep(once, response, fault));
    if (!db_query(request, request->db, &api_once_release, &ignored, TEXT(once->actor),
                  TEXT(once->key)))
        log_message(LOG_WARN, "an Idempotency-Key stays locked with its session: %s",
                    ignored.cause);
    return served;
}

/* Thousands of revocations in one transaction would hold up all others. */
static bool commits_by_itself(const struct route *route)
{
    return route->handler == api_bulk_revoke || route->handler == api_est_bulk_revoke ||
           route->handler == api_renew_now_issuer_certificates;
}

bool api_once(struct request *request, struct response *response, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    struct once once = {
        .request = request,
        .actor = api->principal.actor_id,
        .key = request_header(request, "Idempotency-Key"),
        .by_itself = commits_by_itself(request->route),
    };

    if (request->method != POST || !once.key)
        return request->route->handler(request, response, fault);
    if (!key_good(once.key))
        return fault_set(fault, INPUT_INVALID, "Idempotency-Key",
                         "Idempotency-Key must be 1 to %d visible ASCII characters", KEY_MAX);
    once.sha256 = request_sha256(request);
    return once.by_itself ? serve_by_itself(&once, response, fault)
                          : serve_enclosed(&once, response, fault);
}
