/* fcgi/acme/count.c: what was asked and how it ended, 01 section 17. The one place that counts: it
 * looks at the route and the answer, after the answer has left. */
#include "core/clock.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/text.h"
#include "fcgi/acme/acme.h"
#include "metric/metric.h"

#include "core/banned.h"

#define NOT_COUNTED METRIC_COUNT

static const struct {
    route_handler *handler;
    enum metric total;
    enum metric failures;
    const char *bucket; /* of certctl_acme_rate_limited_total; NULL: other */
    bool posts_only;    /* a read of the resource is not what the counter means */
} counted[] = {
    {acme_directory,     METRIC_ACME_DIRECTORY,         METRIC_ACME_DIRECTORY_FAILURES,         NULL,          false},
    {acme_new_nonce,     METRIC_ACME_NEW_NONCE,         METRIC_ACME_NEW_NONCE_FAILURES,         NULL,          false},
    {acme_new_account,   METRIC_ACME_NEW_ACCOUNT,       METRIC_ACME_NEW_ACCOUNT_FAILURES,       "new_account",
     false                                                                                                          },
    {acme_account,       METRIC_ACME_UPDATE_ACCOUNT,    METRIC_ACME_UPDATE_ACCOUNT_FAILURES,    NULL,          true },
    {acme_new_order,     METRIC_ACME_NEW_ORDER,         METRIC_ACME_NEW_ORDER_FAILURES,         "new_order",   false},
    {acme_finalize,      METRIC_ACME_FINALIZE,          METRIC_ACME_FINALIZE_FAILURES,          NULL,          false},
    {acme_authorization, METRIC_ACME_AUTHZ_READ,        NOT_COUNTED,                            NULL,          false},
    {acme_challenge,     METRIC_ACME_CHALLENGE_RESPOND, METRIC_ACME_CHALLENGE_RESPOND_FAILURES,
     "challenge_respond",                                                                                      true },
    {acme_certificate,   METRIC_ACME_CERT,              METRIC_ACME_CERT_FAILURES,              NULL,          false},
    {acme_alternate,     METRIC_ACME_CERT,              METRIC_ACME_CERT_FAILURES,              NULL,          false},
    {acme_key_change,    METRIC_ACME_KEY_CHANGE,        METRIC_ACME_KEY_CHANGE_FAILURES,        "key_change",  false},
    {acme_renewal_info,  METRIC_ACME_RENEWAL_INFO,      METRIC_ACME_RENEWAL_INFO_FAILURES,      NULL,          false},
    {acme_revoke_cert,   METRIC_ACME_REVOKE,            METRIC_ACME_REVOKE_FAILURES,            NULL,          false},
};

/* The row of the request's route, or the number of rows. */
static size_t row_of(const struct request *request)
{
    size_t row = 0;

    while (row < ARRAY_SIZE(counted) &&
           (!request->route || counted[row].handler != request->route->handler))
        row++;
    return row;
}

static void count_success(const struct request *request, const struct response *response,
                          route_handler *handler)
{
    const struct acme_request *acme = acme_of(request);

    if (handler == acme_new_account && response->status == 200)
        metric_add(METRIC_ACME_NEW_ACCOUNT_KNOWN, NULL, 1);
    if (handler == acme_account && text_equal(json_text_at(acme->payload, "status"), "deactivated"))
        metric_add(METRIC_ACME_DEACTIVATE_ACCOUNT, NULL, 1);
    if (handler == acme_finalize)
        metric_observe(METRIC_ACME_FINALIZE_DURATION, NULL,
                       (double)(clock_monotonic_us() - request->started_us) / 1e6);
}

void acme_count(const struct request *request, const struct response *response)
{
    const struct acme_request *acme = acme_of(request);
    const size_t row = row_of(request);
    const bool failed = response->status >= 400;

    if (row == ARRAY_SIZE(counted) || request->method == OPTIONS || !acme)
        return;
    if (counted[row].posts_only && !acme->payload)
        return;
    metric_add(counted[row].total, NULL, 1);
    if (!failed)
        count_success(request, response, counted[row].handler);
    else if (counted[row].failures != NOT_COUNTED)
        metric_add(counted[row].failures, NULL, 1);
}

void acme_count_problem(const struct request *request, const char *type)
{
    const size_t row = row_of(request);

    metric_add(METRIC_ACME_PROBLEMS, type, 1);
    if (text_equal(type, "badNonce"))
        metric_add(METRIC_ACME_BAD_NONCE, NULL, 1);
    if (text_equal(type, "rateLimited"))
        metric_add(METRIC_ACME_RATE_LIMITED, row < ARRAY_SIZE(counted) ? counted[row].bucket : NULL,
                   1);
    if (row < ARRAY_SIZE(counted) && counted[row].handler == acme_new_order &&
        (text_equal(type, "rejectedIdentifier") || text_equal(type, "unsupportedIdentifier")))
        metric_add(METRIC_ACME_NEW_ORDER_REJECTED, NULL, 1);
}
