/* lib/net/resolve.c: DNS by libunbound, whose own thread works; we see one descriptor (01 section
 * 11.3). */
#include "net/resolve.h"

#include <signal.h>
#include <unbound.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "net/forwarder.h"

#include "core/banned.h"

#define RECORDS_MAX 64
#define CLASS_IN    1

struct resolver {
    struct ub_ctx *unbound;
    const char *name;
    bool requires_signatures;
    bool lacks_root_key;
};

struct dns_question {
    struct resolver *resolver;
    const char *name;
    enum dns_type type;
    dns_done *done;
    void *context;
    int id; /* of libunbound; 0: over */
};

static const struct {
    const char *option;
    const char *value;
} options[] = {
    {"cache-max-ttl:",          "0"   }, /* a retry sees a new record */
    {"cache-max-negative-ttl:", "0"   },
 /* A server that did not answer for one name is not held to be slow for the others. */
    {"infra-host-ttl:",         "1"   },
    {"infra-keep-probing:",     "yes" },
    {"msg-cache-size:",         "256k"},
    {"rrset-cache-size:",       "256k"},
    {"edns-buffer-size:",       "1232"},
    {"use-caps-for-id:",        "yes" },
    {"do-not-query-localhost:", "no"  }, /* resolv.conf often names a resolver on this host */
};

/* Zones that libunbound answers itself, though inside a network they may be in use. */
static const char *const opened[] = {"test.", "home.arpa.", "internal."};

static void *failed(struct fault *fault, const char *what, int error)
{
    fault_set(fault, INTERNAL, NULL, "the resolver cannot be set up");
    return fault_cause(fault, "%s: %s", what, ub_strerror(error));
}

static bool set_options(struct resolver *resolver, struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        const int error = ub_ctx_set_option(resolver->unbound, options[i].option, options[i].value);
        if (error)
            return failed(fault, options[i].option, error);
    }
    return true;
}

/* After all else: the first zone ends the time of settings. */
static bool set_async(struct resolver *resolver, struct fault *fault)
{
    const int error = ub_ctx_async(resolver->unbound, 1);

    if (error)
        return failed(fault, "async", error);
    for (size_t i = 0; i < ARRAY_SIZE(opened); i++) {
        const int refused = ub_ctx_zone_add(resolver->unbound, opened[i], "transparent");
        if (refused)
            return failed(fault, opened[i], refused);
    }
    return true;
}

static bool forward(struct resolver *resolver, const char *setting, const char *text,
                    struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *address = forwarder_address(scratch, text);

    if (!address)
        return fault_set(fault, SETTING_INVALID, setting, "%s: %s is not an address and a port",
                         setting, text_quote(scratch, text));
    const int error = ub_ctx_set_fwd(resolver->unbound, address);
    return error == 0 || failed(fault, "forwarder", error);
}

/* What is for private use hangs below no signature of the root's. */
static bool set_dnssec(struct resolver *resolver, const char *dnssec, struct fault *fault)
{
    if (text_equal(dnssec, "off"))
        return true;
    resolver->requires_signatures = text_equal(dnssec, "require");
    resolver->lacks_root_key = access(RESOLVER_ROOT_KEY, R_OK) != 0;
    if (resolver->lacks_root_key && !resolver->requires_signatures)
        return true;
    if (resolver->lacks_root_key)
        return fault_set(fault, SETTING_INVALID, "CERTCTL_ACME_SERVER_DNSSEC",
                         "CERTCTL_ACME_SERVER_DNSSEC is \"require\", and " RESOLVER_ROOT_KEY
                         " cannot be read");
    const int error = ub_ctx_add_ta_file(resolver->unbound, RESOLVER_ROOT_KEY);
    if (error)
        return failed(fault, RESOLVER_ROOT_KEY, error);
    for (size_t i = 0; i < ARRAY_SIZE(opened); i++) {
        const int refused = ub_ctx_set_option(resolver->unbound, "domain-insecure:", opened[i]);
        if (refused)
            return failed(fault, "domain-insecure", refused);
    }
    return true;
}

static bool choose_servers(struct resolver *resolver, const char *setting,
                           const struct text_list *forwarders, struct fault *fault)
{
    if (forwarders->count == 0) {
        const int error = ub_ctx_resolvconf(resolver->unbound, NULL);
        return error == 0 || failed(fault, "resolv.conf", error);
    }
    if (forwarders->count == 1 && text_equal(forwarders->items[0], FORWARDER_RECURSIVE))
        return true;
    for (size_t i = 0; i < forwarders->count; i++)
        if (!forward(resolver, setting, forwarders->items[i], fault))
            return false;
    return true;
}

struct resolver *resolver_new(TALLOC_CTX *ctx, const char *setting,
                              const struct text_list *forwarders, const char *dnssec,
                              struct fault *fault)
{
    AUTO(TALLOC_CTX) *held = talloc_new(NULL);
    struct resolver *resolver = mem_new(held, struct resolver);
    struct ub_ctx *unbound = ub_ctx_create();

    if (!unbound)
        return failed(fault, "ub_ctx_create", 0);
    resolver->unbound = mem_adopt(resolver, unbound, ub_ctx_delete);
    resolver->name = forwarders->count == 0 ? mem_text(resolver, "system")
                                            : text_list_join(resolver, forwarders, ",");
    if (!set_options(resolver, fault) || !set_dnssec(resolver, dnssec, fault) ||
        !choose_servers(resolver, setting, forwarders, fault) || !set_async(resolver, fault))
        return NULL;
    return talloc_steal(ctx, resolver);
}

const char *resolver_name(const struct resolver *resolver)
{
    return resolver->name;
}

bool resolver_lacks_root_key(const struct resolver *resolver)
{
    return resolver->lacks_root_key;
}

int resolver_fd(const struct resolver *resolver)
{
    return ub_fd(resolver->unbound);
}

void resolver_work(struct resolver *resolver)
{
    (void)ub_process(resolver->unbound);
}

static const char *rcode_name(int rcode)
{
    static const char *const names[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                        "NXDOMAIN", "NOTIMP",  "REFUSED"};

    return rcode >= 0 && rcode < (int)ARRAY_SIZE(names) ? names[rcode] : "another rcode";
}

static const char *type_name(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_AAAA:
        return "AAAA";
    case DNS_TXT:
        return "TXT";
    case DNS_CAA:
        return "CAA";
    }
    return "other";
}

/* Why there is nothing to hand over. */
static void explain(const struct dns_question *question, const struct ub_result *result, int error,
                    struct dns_answer *answer)
{
    const char *type = type_name(question->type);

    const bool unsigned_answer = result && question->resolver->requires_signatures &&
                                 !result->secure;

    answer->absent = error == 0 && result && !result->bogus && !unsigned_answer &&
                     (result->rcode == 0 || result->nxdomain);
    if (error != 0 || !result)
        fault_set(&answer->fault, NET_DNS, NULL, "no answer for %s %s", question->name, type);
    else if (result->bogus)
        fault_set(&answer->fault, NET_DNS, NULL, "DNSSEC refuses the answer for %s %s",
                  question->name, type);
    else if (unsigned_answer && (result->rcode == 0 || result->nxdomain))
        fault_set(&answer->fault, NET_DNS, NULL,
                  "the answer for %s %s is not signed, and DNSSEC is required", question->name,
                  type);
    else if (result->rcode == 0)
        fault_set(&answer->fault, NET_DNS, NULL, "%s has no %s record (NOERROR)", question->name,
                  type);
    else
        fault_set(&answer->fault, NET_DNS, NULL, "DNS answered %s for %s %s",
                  rcode_name(result->rcode), question->name, type);
    if (error != 0)
        fault_cause(&answer->fault, "libunbound: %s", ub_strerror(error));
}

static void answer_fill(const struct dns_question *question, const struct ub_result *result,
                        int error, struct bytes records[RECORDS_MAX], struct dns_answer *answer)
{
    const bool trusted = error == 0 && result && !result->bogus &&
                         (result->secure || !question->resolver->requires_signatures);

    if (trusted && result->havedata) {
        while (answer->count < RECORDS_MAX && result->data[answer->count]) {
            /* libunbound counts octets as int and char: at most 65535 of them. */
            records[answer->count] = (struct bytes){(const uint8_t *)result->data[answer->count],
                                                    (size_t)result->len[answer->count]};
            answer->count++;
        }
        answer->cut = result->data[answer->count] != NULL;
    }
    if (answer->count == 0)
        explain(question, result, error, answer);
}

static void on_result(void *data, int error, struct ub_result *result)
{
    struct dns_question *question = data;
    struct bytes records[RECORDS_MAX];
    struct dns_answer answer = {.type = question->type, .records = records};

    question->id = 0;
    answer_fill(question, result, error, records, &answer);
    question->done(question->context, &answer);
    ub_resolve_free(result);
}

static int question_drop(struct dns_question *question)
{
    if (question->id != 0)
        (void)ub_cancel(question->resolver->unbound, question->id);
    return 0;
}

struct dns_question *resolver_ask(TALLOC_CTX *ctx, struct resolver *resolver, const char *name,
                                  enum dns_type type, dns_done *done, void *context,
                                  struct fault *fault)
{
    struct dns_question *question = mem_new(ctx, struct dns_question);
    sigset_t all;
    sigset_t before;

    *question = (struct dns_question){resolver, mem_text(question, name), type, done, context, 0};
    /* The first question starts libunbound's thread, which inherits the mask: signals must come to
     * the thread that waits for them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = ub_resolve_async(resolver->unbound, question->name, (int)type, CLASS_IN,
                                       question, on_result, &question->id);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        talloc_free(question);
        fault_set(fault, NET_DNS, NULL, "%s cannot be asked for", name);
        return fault_cause(fault, "libunbound: %s", ub_strerror(error));
    }
    talloc_set_destructor(question, question_drop);
    return question;
}
