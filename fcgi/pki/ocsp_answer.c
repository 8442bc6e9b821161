/* fcgi/pki/ocsp_answer.c: an OCSP answer in HTTP, and what caches may do with it (RFC 5019 section
 * 6, RFC 9111, 04 section 10.5). */
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "ocsp.h"
#include "web/condition.h"

#include "core/banned.h"

#define MEDIA_TYPE "application/ocsp-response"

bool inquiry_error(struct inquiry *inquiry, unsigned status, enum ocsp_error error,
                   unsigned retry_after_s)
{
    if (retry_after_s > 0)
        response_header(inquiry->response, "Retry-After", "%u", retry_after_s);
    return response_bytes(inquiry->response, status, MEDIA_TYPE, ocsp_error_der(error));
}

static int64_t left_s(const struct ocsp_answer *answer)
{
    return most(answer->next_update - clock_now_s(), INT64_C(0));
}

/* A client or cache never holds an answer past its nextUpdate, although our own web server may have
 * kept it for a while before it gave it away. */
static int64_t max_age_s(const struct settings *settings, const struct ocsp_answer *answer)
{
    const int64_t unkept_s = left_s(answer) - settings->ocsp_edge_ttl_s;
    return most(least(settings->ocsp_max_age_s, unkept_s), INT64_C(0));
}

bool inquiry_answer(struct inquiry *inquiry, struct bytes der, const struct ocsp_answer *answer,
                    bool may_be_kept)
{
    const struct settings *settings = inquiry->request->settings;
    struct response *response = inquiry->response;

    inquiry->worker->counters.counts[COUNT_REQUEST_SUCCESS]++;
    if (answer->nonce.size > 0)
        return response_bytes(response, 200, MEDIA_TYPE, der);
    const char *tag = digest_sha256_hex(inquiry->request, der);
    const struct text_list tags = condition_none_match(inquiry->request, inquiry->request);
    response_header(response, "Last-Modified", "%s",
                    time_to_http(inquiry->request, answer->this_update));
    response_header(response, "Expires", "%s", time_to_http(inquiry->request, answer->next_update));
    response_header(response, "ETag", "\"%s\"", tag);
    response_header(response, "Cache-Control",
                    "max-age=%lld, public, no-transform, must-revalidate",
                    (long long)max_age_s(settings, answer));
    if (may_be_kept && inquiry->canonical && inquiry->request->method != HEAD)
        response_header(response, "X-Accel-Expires", "%lld",
                        (long long)least(settings->ocsp_edge_ttl_s, left_s(answer)));
    if (inquiry->request->method != POST && condition_matches(&tags, tag))
        return response_empty(response, 304);
    return response_bytes(response, 200, MEDIA_TYPE, der);
}
