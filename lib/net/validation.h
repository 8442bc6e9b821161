/* lib/net/validation.h: one attempt at a challenge, whatever its type (RFC 8555 section 8, 01
 * section 11), many at once. Each type is a struct validator; CAA is one too. */
#ifndef CERTCTL_NET_VALIDATION_H
#define CERTCTL_NET_VALIDATION_H

#include "core/text.h"
#include "net/fetch.h"
#include "net/resolve.h"

/* What all validations of a process share; borrowed, must outlive them. */
struct validation_rig {
    const struct guard *guard;
    struct fetcher *fetcher;
    const char *user_agent;
    unsigned http_port;                     /* 80, but for tests */
    unsigned tls_port;                      /* 443, but for tests */
    const struct text_list *caa_identities; /* our names in CAA records */
};

/* What is to be proved, and by whom; borrowed, must outlive the validation. */
struct validation_wish {
    const char *identifier; /* normalised name without "*.", or address */
    bool is_address;
    bool wildcard;
    const char *method; /* the challenge's type */
    const char *token;
    const char *key_authorization;
    const char *account_url;
    struct resolver *addresses; /* for A and AAAA */
    struct resolver *records;   /* for TXT and CAA */
    int64_t deadline_us;        /* monotonic; of the attempt in all, CAA too */
};

/* Gone after the call. `fault`, when it is not valid: NET_DNS, NET_CONNECTION, NET_TLS,
 * NET_RESPONSE, NET_ADDRESS_REFUSED, NET_CAA, or INTERNAL. Its cause holds what only the log may
 * know. */
struct validation_outcome {
    bool valid;
    bool transient;      /* another attempt may do better */
    const char *address; /* of the last peer, or NULL */
    const char *url;     /* the last one that was asked for: a URL, or a name in DNS */
    unsigned redirects;
    struct fault fault;
};
typedef void validation_done(void *context, const struct validation_outcome *outcome);

struct validation;

struct validator {
    const char *type;
    size_t size; /* of its struct, which begins with struct validation */
    void (*begin)(struct validation *started);   /* may finish it */
    void (*step)(struct validation *validation); /* NULL: what begins goes on by itself */
};

extern const struct validator http01_validator, dns01_validator, dns_account01_validator,
    persist01_validator, tlsalpn01_validator, caa_validator;

/* Of a challenge type; NULL: none is built. CAA is no challenge. */
const struct validator *validator_of(const char *type);

/* done is called once: perhaps in here, else from resolver_work, fetcher_work or validation_tick.
 * It must not free the validation, which hangs on ctx; freeing it ends it without a call. */
struct validation *validation_start(TALLOC_CTX *ctx, const struct validator *validator,
                                    const struct validation_rig *rig,
                                    const struct validation_wish *wish, validation_done *done,
                                    void *context);
/* To be called after the start, after each resolver_work and fetcher_work, and each second or so:
 * takes the next step, and ends what is past its time. */
void validation_tick(struct validation *validation);

/* For validators. What the types share; each struct begins with it. */
struct validation {
    const struct validator *validator;
    const struct validation_rig *rig;
    const struct validation_wish *wish;
    validation_done *done;
    void *context;
    bool over;
    TALLOC_CTX *held;     /* questions and requests that are open */
    const char *question; /* to DNS, while its answer is waited for: "a.example A, AAAA" */
    const char *address;
    const char *url;
    unsigned redirects;
};

/* The first call counts. `fault` is NULL exactly when it is valid. */
void validation_finish(struct validation *validation, bool transient, const struct fault *fault);
/* The beginning of a stranger's octets, in characters that harm no log and no terminal; on ctx. */
char *validation_shown(TALLOC_CTX *ctx, struct bytes octets);

#endif
