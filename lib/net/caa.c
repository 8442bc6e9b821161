/* lib/net/caa.c: CAA of a name, asked for upwards until something is there (RFC 8659 section 3, 01
 * section 11.6). A server that fails on the way fails the check. */
#include "net/validation.h"

#include <string.h>

#include "core/memory.h"
#include "net/caa_record.h"

#include "core/banned.h"

struct caa {
    struct validation base;
    bool asks; /* the next step */
};

static void judge(struct caa *caa, const struct dns_answer *answer)
{
    const struct validation_wish *wish = caa->base.wish;
    const struct caa_wish asked = {
        .wildcard = wish->wildcard,
        .identities = caa->base.rig->caa_identities,
        .account_url = wish->account_url,
        .method = wish->method,
    };
    struct fault fault = {0};

    if (answer->cut)
        fault_set(&fault, NET_CAA, NULL, "too many CAA records at %.200s", caa->base.url);
    else if (caa_allows(&asked, answer->records, answer->count, caa->base.url, &fault)) {
        validation_finish(&caa->base, false, NULL);
        return;
    }
    validation_finish(&caa->base, false, &fault);
}

/* Up by one label; of a CNAME's target the parents do not count (RFC 8659 section 3). */
static void on_answer(void *context, const struct dns_answer *answer)
{
    struct caa *caa = context;

    caa->base.question = NULL;
    if (answer->count > 0) {
        judge(caa, answer);
        return;
    }
    if (!answer->absent) {
        validation_finish(&caa->base, true, &answer->fault);
        return;
    }
    const char *dot = strchr(caa->base.url, '.');
    if (!dot) {
        validation_finish(&caa->base, false, NULL);
        return;
    }
    caa->base.url = dot + 1;
    caa->asks = true;
}

static void step(struct validation *validation)
{
    struct caa *caa = (struct caa *)validation; /* which it begins */

    while (caa->asks && !validation->over) {
        struct fault fault = {0};

        caa->asks = false;
        validation->question = mem_printf(validation->held, "%s CAA", validation->url);
        if (!resolver_ask(validation->held, validation->wish->records, validation->url, DNS_CAA,
                          on_answer, caa, &fault))
            validation_finish(validation, true, &fault);
    }
}

static void begin(struct validation *validation)
{
    struct caa *caa = (struct caa *)validation; /* which it begins */

    validation->url = validation->wish->identifier;
    caa->asks = !validation->wish->is_address;
    if (validation->wish->is_address) /* RFC 8738 section 4: CAA is of names */
        validation_finish(validation, false, NULL);
}

const struct validator caa_validator = {"caa", sizeof(struct caa), begin, step};
