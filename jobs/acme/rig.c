/* jobs/acme/rig.c: guard, resolvers and connections of ACME's jobs (01 sections 11.2, 11.3). */
#include "jobs/acme/rig.h"

#include <unistd.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"

#include "core/banned.h"

#define PROBLEM_PREFIX  "urn:ietf:params:acme:error:"
#define ADDRESS_SETTING "CERTCTL_ACME_SERVER_ADDR_RESOLVER"
#define RECORD_SETTING  "CERTCTL_ACME_SERVER_DNS01_RESOLVER"
#define PROFILE_SETTING "the profile's resolver"

struct resolver_kept {
    struct resolver_kept *next;
    const char *servers;
    struct resolver *resolver;
};

static const struct {
    enum fault_reason reason;
    const char *type;
    int status;
} problems[] = {
    {NET_DNS,             "dns",               400},
    {NET_CONNECTION,      "connection",        400},
    {NET_ADDRESS_REFUSED, "connection",        400},
    {NET_TLS,             "tls",               400},
    {NET_RESPONSE,        "incorrectResponse", 403},
    {NET_CAA,             "caa",               403},
};

bool acme_rig_wanted(const struct settings *settings)
{
    return settings->acme_enabled;
}

static const struct confine_path confine_paths[] = {JOB_CONFINE_PATHS};
const struct confine_plan acme_rig_confine = {
    .paths = confine_paths, .path_count = ARRAY_SIZE(confine_paths), .may_network = true};

struct acme_rig *acme_rig_new(TALLOC_CTX *ctx, const struct job_run *run, struct fault *fault)
{
    struct acme_rig *rig = mem_new(ctx, struct acme_rig);

    rig->run = run;
    rig->guard = guard_new(rig, run->settings->block_rfc1918_outbound,
                           &run->settings->outbound_allow_cidrs, fault);
    return rig->guard ? rig : NULL;
}

static struct resolver *resolver_of(struct acme_rig *rig, const char *setting,
                                    const struct text_list *servers, struct fault *fault)
{
    AUTO(TALLOC_CTX) *held = talloc_new(NULL);
    struct resolver_kept *kept = mem_new(held, struct resolver_kept);

    kept->servers = text_list_join(kept, servers, ",");
    for (struct resolver_kept *known = rig->resolvers; known; known = known->next)
        if (text_equal(known->servers, kept->servers))
            return known->resolver;
    kept->resolver = resolver_new(kept, setting, servers, rig->run->settings->acme_dnssec, fault);
    if (!kept->resolver)
        return NULL;
    if (!rig->resolvers && resolver_lacks_root_key(kept->resolver))
        log_message(LOG_WARN, "DNSSEC is not looked at: there is no " RESOLVER_ROOT_KEY);
    kept->next = rig->resolvers;
    rig->resolvers = talloc_steal(rig, kept);
    return kept->resolver;
}

bool acme_rig_up(struct acme_rig *rig, struct fault *fault)
{
    const struct settings *settings = rig->run->settings;

    if (rig->fetcher)
        return true;
    rig->addresses = resolver_of(rig, ADDRESS_SETTING, &settings->acme_addr_resolver, fault);
    rig->records = rig->addresses
                       ? resolver_of(rig, RECORD_SETTING, &settings->acme_dns01_resolver, fault)
                       : NULL;
    if (!rig->records)
        return false;
    rig->fetcher = fetcher_new(rig, rig->guard, fault);
    rig->validation = (struct validation_rig){
        .guard = rig->guard,
        .fetcher = rig->fetcher,
        .user_agent = "certctl-acme/" CERTCTL_VERSION,
        .http_port = (unsigned)settings->acme_http01_port,   /* 65535 at most */
        .tls_port = (unsigned)settings->acme_tlsalpn01_port, /* likewise */
        .caa_identities = &settings->acme_caa_identities,
    };
    return rig->fetcher != NULL;
}

void acme_rig_down(struct acme_rig *rig)
{
    TALLOC_FREE(rig->fetcher);
    while (rig->resolvers) {
        struct resolver_kept *kept = rig->resolvers;

        rig->resolvers = kept->next;
        talloc_free(kept);
    }
}

struct resolver *acme_rig_resolver(struct acme_rig *rig, const char *servers, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list list = text_split(scratch, servers, ',');

    return resolver_of(rig, PROFILE_SETTING, &list, fault);
}

bool acme_rig_wait(struct acme_rig *rig, int64_t most_ms)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    size_t count = 1;

    for (struct resolver_kept *kept = rig->resolvers; kept; kept = kept->next)
        count++;
    int *fds = mem_array(scratch, int, count);
    fds[0] = rig->run->wake ? rig->run->wake->fd : -1;
    count = 1;
    for (struct resolver_kept *kept = rig->resolvers; kept; kept = kept->next)
        fds[count++] = resolver_fd(kept->resolver);
    fetcher_wait(rig->fetcher, fds, count, most_ms);
    const bool woken = rig->run->wake && wake_wait(rig->run->wake, 0);
    for (struct resolver_kept *kept = rig->resolvers; kept; kept = kept->next)
        resolver_work(kept->resolver);
    fetcher_work(rig->fetcher);
    return woken;
}

json_t *acme_rig_problem(const struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    json_t *problem = json_object();
    const char *type = "serverInternal";
    int status = 500;

    for (size_t i = 0; i < ARRAY_SIZE(problems); i++)
        if (problems[i].reason == fault->reason) {
            type = problems[i].type;
            status = problems[i].status;
        }
    json_set_text(problem, "type", mem_printf(scratch, PROBLEM_PREFIX "%s", type));
    json_set_text(problem, "detail",
                  status == 500 ? "the validation failed on our side" : fault->detail);
    json_set_integer(problem, "status", status);
    return problem;
}

char *acme_rig_own_name(TALLOC_CTX *ctx, const struct job_run *run)
{
    uint8_t random_part[8];

    random_bytes(random_part, sizeof(random_part));
    return mem_printf(ctx, "%s:%d:%s", run->host, (int)getpid(),
                      hex_from_bytes(ctx, BYTES_OF(random_part)));
}
