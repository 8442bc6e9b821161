/* lib/net/validation.c: what the types of challenges have in common: their table, their time and
 * their end (01 section 11.2). */
#include "net/validation.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

#define SHOWN_MAX 100

static const struct validator *const validators[] = {
    &http01_validator,    &dns01_validator,     &dns_account01_validator,
    &persist01_validator, &tlsalpn01_validator,
};

const struct validator *validator_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(validators); i++)
        if (text_equal(validators[i]->type, type))
            return validators[i];
    return NULL;
}

void validation_finish(struct validation *validation, bool transient, const struct fault *fault)
{
    struct validation_outcome outcome = {
        .valid = !fault,
        .transient = transient,
        .address = validation->address,
        .url = validation->url,
        .redirects = validation->redirects,
    };

    if (validation->over)
        return;
    if (fault)
        outcome.fault = *fault;
    validation->over = true;
    validation->done(validation->context, &outcome);
}

char *validation_shown(TALLOC_CTX *ctx, struct bytes octets)
{
    char *text = mem_array(ctx, char, SHOWN_MAX + 1);

    for (size_t i = 0; i < octets.size && i < SHOWN_MAX; i++) {
        const uint8_t octet = octets.data[i];
        text[i] = octet >= ' ' && octet < 0x7f ? (char)octet : '?'; /* ASCII */
    }
    return text;
}

struct validation *validation_start(TALLOC_CTX *ctx, const struct validator *validator,
                                    const struct validation_rig *rig,
                                    const struct validation_wish *wish, validation_done *done,
                                    void *context)
{
    struct validation *validation = mem_zero(ctx, validator->size, validator->type);

    *validation = (struct validation){
        .validator = validator,
        .rig = rig,
        .wish = wish,
        .done = done,
        .context = context,
        .held = talloc_new(validation),
    };
    validator->begin(validation);
    return validation;
}

static bool late(struct validation *validation)
{
    struct fault fault = {0};

    if (clock_monotonic_us() < validation->wish->deadline_us)
        return false;
    if (validation->question)
        fault_set(&fault, NET_DNS, NULL, "no answer for %s in time", validation->question);
    else
        fault_set(&fault, NET_CONNECTION, NULL, "the answer did not come in time");
    TALLOC_FREE(validation->held);
    validation_finish(validation, true, &fault);
    return true;
}

void validation_tick(struct validation *validation)
{
    if (!validation->over && !late(validation) && validation->validator->step)
        validation->validator->step(validation);
}
