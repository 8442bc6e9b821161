/* jobs/acme/validate.c: challenges that clients answered are tried (01 section 11.2). One loop over
 * the wake socket, DNS and all connections; nothing waits for a slow target but its own slot. */
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "metric/metric.h"
#include "net/caa_record.h"

#include "jobs/acme/rig.h"

#include "core/banned.h"

#define POLL_MS        INT64_C(2000)
#define TICK_MS        INT64_C(500)
#define BUSY_MS        INT64_C(50)
#define LEASE_EXTRA_S  15
#define DRAIN_MS       INT64_C(20000)
#define TAKEOVERS_MOST 5 /* a challenge that kills us each time does not kill us for ever */
#define HTTP_PORT      80
#define TLS_PORT       443

/* $1 types, $2 in flight at most, $3 of them here, $4 lease in s, $5 who. */
STATEMENT(acme_validate_claim,
          "SELECT * FROM acme_challenge_claim($1::text[], $2::integer, $3::integer, "
          "make_interval(secs => $4::integer), $5)");

/* $1 challenge, $2 who, $3 problem or NULL, $4 may pass, $5 attempts at most, $6 record, $7 life of
 * the authorization in s, $8 audit, $9 failures an hour: new-order looks at them, $10 CAA too. */
STATEMENT(
    acme_validate_result,
    "SELECT r.outcome, r.order_status, CASE WHEN r.outcome = 'done' AND $3::jsonb IS NOT NULL THEN "
    "rl_take((SELECT 'acme:failed|' || z.account_id || '|' || (z.identifier->>'value') "
    "FROM acme_challenges c JOIN acme_authorizations z ON z.authz_id = c.authz_id "
    "WHERE c.challenge_id = $1), $9::integer, '1 hour') END AS counted "
    "FROM acme_challenge_result($1, $2, $3::jsonb, $4, $5::integer, $6::jsonb, "
    "make_interval(secs => $7::integer), $8, $10) r");

STATEMENT(acme_validate_release, "SELECT released FROM acme_challenge_release($1)");

STATEMENT(acme_validate_waiting,
          "SELECT count(*) AS waiting FROM acme_challenges WHERE status = 'processing' "
          "AND next_attempt_at <= now() AND (lease_until IS NULL OR lease_until <= now())");

/* Types that share one limit over all hosts (01 section 4.1), and a claim of their own. */
static const struct {
    const char *types;
    size_t concurrency;
} lane_kinds[] = {
    {"http-01",                              AT(settings, acme_http01_concurrency)   },
    {"dns-01,dns-account-01,dns-persist-01", AT(settings, acme_dns01_concurrency)    },
    {"tls-alpn-01",                          AT(settings, acme_tlsalpn01_concurrency)},
};

struct lane {
    struct text_list types;
    int64_t most;
    int64_t count; /* in flight here */
    bool look;     /* there may be something to claim */
    bool busy;     /* another process claimed at that moment */
    int64_t looked_us;
};

/* One claimed challenge. */
struct item {
    struct item *next;
    struct lane *lane;
    const char *challenge_id;
    const char *authz_id;
    struct validation_wish wish;
    int64_t began_us;
    struct validation *validation; /* the proof, then CAA */
    bool wants_caa;
    bool caa_began;
    bool over;
    bool valid;
    bool transient;
    struct fault fault;
    const char *address;
    const char *url;
    unsigned redirects;
};

struct work {
    struct job_run *run;
    const char *claimed_by;
    struct acme_rig *rig;
    struct item *first;
    struct lane lanes[ARRAY_SIZE(lane_kinds)];
    int64_t count;
    int64_t claimed; /* since the start, for --limit */
    int64_t told_to_stop_us;
};

static void on_done(void *context, const struct validation_outcome *outcome)
{
    struct item *item = context;

    item->over = true;
    item->valid = outcome->valid;
    item->transient = outcome->transient;
    item->fault = outcome->fault;
    if (item->caa_began) /* what was seen is of the proof */
        return;
    item->address = mem_text(item, outcome->address);
    item->url = mem_text(item, outcome->url);
    item->redirects = outcome->redirects;
}

static struct item *item_from_row(struct work *work, const struct rows *rows, size_t row)
{
    const struct settings *settings = work->run->settings;
    struct item *item = mem_new(work, struct item);

    item->challenge_id = mem_text(item, row_text(rows, row, "challenge_id"));
    item->authz_id = mem_text(item, row_text(rows, row, "authz_id"));
    item->began_us = clock_monotonic_us();
    item->wish = (struct validation_wish){
        .identifier = mem_text(item, row_text(rows, row, "identifier_value")),
        .is_address = text_equal(row_text(rows, row, "identifier_type"), "ip"),
        .wildcard = row_bool(rows, row, "wildcard"),
        .method = mem_text(item, row_text(rows, row, "type")),
        .token = mem_text(item, row_text(rows, row, "token")),
        .key_authorization = mem_printf(item, "%s.%s", row_text(rows, row, "token"),
                                        row_text(rows, row, "thumbprint")),
        .account_url = mem_text(item, row_text(rows, row, "account_url")),
        .addresses = work->rig->addresses,
        .records = work->rig->records,
        .deadline_us = item->began_us + settings->acme_challenge_timeout_ms * 1000,
    };
    item->wants_caa = !item->wish.is_address &&
                      caa_wanted(settings->acme_caa_mode, row_text(rows, row, "caa"),
                                 &settings->acme_caa_identities);
    return item;
}

static bool item_resolvers(struct work *work, struct item *item, const char *of_profile)
{
    if (!of_profile)
        return true;
    struct resolver *resolver = acme_rig_resolver(work->rig, of_profile, &item->fault);
    item->wish.addresses = resolver;
    item->wish.records = resolver;
    return resolver != NULL;
}

/* Ends without a look: whoever had it before was killed so often that it may be by it. */
static bool item_worn(const struct work *work, struct item *item, int64_t attempts)
{
    if (attempts <= work->run->settings->acme_validation_attempts + TAKEOVERS_MOST)
        return false;
    item->transient = false;
    fault_set(&item->fault, INTERNAL, NULL, "the challenge was taken up too often");
    return true;
}

static void item_start(struct work *work, struct lane *lane, const struct rows *rows, size_t row)
{
    struct item *item = item_from_row(work, rows, row);
    const struct validator *validator = validator_of(item->wish.method);

    item->lane = lane;
    item->next = work->first;
    work->first = item;
    work->count++;
    work->claimed++;
    lane->count++;
    item->over = true;
    item->transient = true;
    if (item_worn(work, item, row_integer(rows, row, "attempts")) ||
        !item_resolvers(work, item, row_text(rows, row, "resolver")))
        return;
    if (!validator) {
        fault_set(&item->fault, INTERNAL, NULL, "no such validator: %s", item->wish.method);
        return;
    }
    item->over = false;
    item->validation = validation_start(item, validator, &work->rig->validation, &item->wish,
                                        on_done, item);
}

/* What was proved is not yet permitted (01 section 11.6). */
static void item_begin_caa(struct work *work, struct item *item)
{
    item->caa_began = true;
    item->over = false;
    TALLOC_FREE(item->validation);
    item->validation = validation_start(item, &caa_validator, &work->rig->validation, &item->wish,
                                        on_done, item);
}

static bool claim(struct work *work, struct lane *lane, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct settings *settings = work->run->settings;
    const int64_t most_here = job_batch(work->run, work->claimed + lane->most);
    const int64_t lease_s = (settings->acme_challenge_timeout_ms + 999) / 1000 + LEASE_EXTRA_S;
    struct rows *rows = db_query(scratch, work->run->db, &acme_validate_claim, fault,
                                 TEXTS(&lane->types), INTEGER(lane->most),
                                 INTEGER(most_here - work->claimed), INTEGER(lease_s),
                                 TEXT(work->claimed_by));

    if (!rows)
        return false;
    lane->look = false;
    lane->looked_us = clock_monotonic_us();
    lane->busy = rows->count == 1 && row_null(rows, 0, "challenge_id");
    if (lane->busy || rows->count == 0)
        return true;
    if (!acme_rig_up(work->rig, fault))
        return false;
    for (size_t i = 0; i < rows->count; i++)
        item_start(work, lane, rows, i);
    return true;
}

static char *problem_text(TALLOC_CTX *ctx, const struct fault *fault)
{
    AUTO(json_t) *problem = acme_rig_problem(fault);

    return json_to_text(ctx, problem);
}

static char *record_of(TALLOC_CTX *ctx, const struct item *item)
{
    const struct resolver *asked = text_starts(item->wish.method, "dns-") ? item->wish.records
                                                                          : item->wish.addresses;
    AUTO(json_t) *record = json_object();

    json_set_text(record, "address", item->address);
    json_set_text(record, "url", item->url);
    json_set_integer(record, "redirects", item->redirects);
    if (asked)
        json_set_text(record, "resolver", resolver_name(asked));
    json_set_integer(record, "duration_ms", (clock_monotonic_us() - item->began_us) / 1000);
    return json_to_text(ctx, record);
}

/* The address is told here alone: a problem that named it would let clients map our network. */
static void say(const struct work *work, const struct item *item, const char *outcome,
                const char *order_status)
{
    struct log_line line;

    log_begin(&line, item->valid ? LOG_INFO : LOG_WARN, "challenge tried");
    log_text(&line, "job", work->run->entry->name);
    log_text(&line, "item", item->challenge_id);
    log_text(&line, "type", item->wish.method);
    log_text(&line, "identifier", item->wish.identifier);
    log_text(&line, "outcome", item->valid ? "valid" : "invalid");
    log_text(&line, "stored", outcome);
    log_text(&line, "order", order_status);
    log_text(&line, "address", item->address);
    log_text(&line, "url", item->url);
    log_duration_us(&line, "duration_ms", clock_monotonic_us() - item->began_us);
    if (!item->valid)
        log_fault(&line, &item->fault);
    log_end(&line);
}

static bool store(struct work *work, struct item *item, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct settings *settings = work->run->settings;
    struct rows *rows = db_query(
        scratch, work->run->db, &acme_validate_result, fault, TEXT(item->challenge_id),
        TEXT(work->claimed_by), TEXT(item->valid ? NULL : problem_text(scratch, &item->fault)),
        BOOLEAN(item->transient), INTEGER(settings->acme_validation_attempts),
        TEXT(record_of(scratch, item)), INTEGER(settings->acme_authz_ttl_ms / 1000),
        TEXT(id_new(scratch, "audit")),
        INTEGER(least(settings->acme_failed_validations_per_hour, INT64_C(1000000000))),
        BOOLEAN(item->caa_began));

    if (!rows)
        return false;
    say(work, item, row_text(rows, 0, "outcome"), row_text(rows, 0, "order_status"));
    metric_add(item->valid ? METRIC_ACME_CHALLENGE_VALID : METRIC_ACME_CHALLENGE_INVALID, NULL, 1);
    metric_observe(METRIC_ACME_CHALLENGE_DURATION, item->wish.method,
                   (double)(clock_monotonic_us() - item->began_us) / 1e6);
    if (item->valid)
        work->run->items_ok++;
    else
        work->run->items_failed++;
    return true;
}

/* Takes the next step of each, and out those that ended. */
static bool advance(struct work *work, struct fault *fault)
{
    struct item **at = &work->first;

    while (*at) {
        struct item *item = *at;

        if (item->validation)
            validation_tick(item->validation);
        if (item->over && item->valid && item->wants_caa && !item->caa_began) {
            item_begin_caa(work, item);
            validation_tick(item->validation);
        }
        if (!item->over) {
            at = &item->next;
            continue;
        }
        if (!store(work, item, fault))
            return false;
        *at = item->next;
        work->count--;
        item->lane->count--;
        item->lane->look = true; /* a slot is free */
        talloc_free(item);
    }
    return true;
}

static bool stopping(struct work *work)
{
    const int64_t now_us = clock_monotonic_us();

    if (job_should_stop(work->run) && work->told_to_stop_us == 0)
        work->told_to_stop_us = now_us;
    return work->told_to_stop_us != 0 ||
           (work->run->until_us != 0 && now_us >= work->run->until_us) ||
           (work->run->limit > 0 && work->claimed >= work->run->limit);
}

static bool may_claim(const struct lane *lane)
{
    const int64_t since_ms = (clock_monotonic_us() - lane->looked_us) / 1000;

    return lane->count < lane->most && (lane->look || since_ms >= (lane->busy ? BUSY_MS : POLL_MS));
}

static bool claim_all(struct work *work, struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(work->lanes); i++)
        if (!stopping(work) && may_claim(&work->lanes[i]) && !claim(work, &work->lanes[i], fault))
            return false;
    return true;
}

static bool any_busy(const struct work *work)
{
    for (size_t i = 0; i < ARRAY_SIZE(work->lanes); i++)
        if (work->lanes[i].busy)
            return true;
    return false;
}

static void wait_for_something(struct work *work)
{
    if (acme_rig_wait(work->rig, any_busy(work) ? BUSY_MS : TICK_MS))
        for (size_t i = 0; i < ARRAY_SIZE(work->lanes); i++)
            work->lanes[i].look = true;
}

/* Told to stop, and what is under way takes longer than we are given. */
static bool release(struct work *work, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return db_query(scratch, work->run->db, &acme_validate_release, fault,
                    TEXT(work->claimed_by)) != NULL;
}

static bool work_on(struct work *work, struct fault *fault)
{
    for (;;) {
        if (!claim_all(work, fault))
            return false;
        if (work->count == 0 && (stopping(work) || !any_busy(work)))
            return true;
        if (work->told_to_stop_us != 0 &&
            clock_monotonic_us() - work->told_to_stop_us > DRAIN_MS * 1000)
            return release(work, fault);
        if (work->count == 0)
            (void)usleep(BUSY_MS * 1000);
        else
            wait_for_something(work);
        if (!advance(work, fault))
            return false;
    }
}

static bool look_dry(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, run->db, &acme_validate_waiting, fault);

    if (rows)
        job_would("validate", "acme_challenges", row_integer(rows, 0, "waiting"));
    return rows != NULL;
}

/* Before what its requests and questions hang on. */
static void items_drop(struct work *work)
{
    while (work->first) {
        struct item *item = work->first;

        work->first = item->next;
        talloc_free(item);
    }
}

/* Ports that only a test wants; once, not with each look. */
static void warn_of_port(const struct settings *settings)
{
    static bool warned;

    if (!warned && settings->acme_http01_port != HTTP_PORT)
        log_message(LOG_WARN, "http-01 goes to port %d: RFC 8555 section 8.3 wants port 80",
                    (int)settings->acme_http01_port); /* 65535 at most */
    if (!warned && settings->acme_tlsalpn01_port != TLS_PORT)
        log_message(LOG_WARN, "tls-alpn-01 goes to port %d: RFC 8737 section 3 wants port 443",
                    (int)settings->acme_tlsalpn01_port); /* likewise */
    warned = true;
}

static void lanes_fill(struct work *work)
{
    const char *settings = (const char *)work->run->settings;

    for (size_t i = 0; i < ARRAY_SIZE(lane_kinds); i++) {
        work->lanes[i].types = text_split(work, lane_kinds[i].types, ',');
        /* An int64_t there, by the table. */
        work->lanes[i].most = *(const int64_t *)(settings + lane_kinds[i].concurrency);
        work->lanes[i].look = true;
    }
}

static bool validate(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct work *work = mem_new(scratch, struct work);

    work->run = run;
    lanes_fill(work);
    work->claimed_by = acme_rig_own_name(work, run);
    work->rig = acme_rig_new(work, run, fault);
    if (!work->rig)
        return false;
    warn_of_port(run->settings);
    if (run->dry_run)
        return look_dry(run, fault);
    const bool good = work_on(work, fault);
    items_drop(work);
    acme_rig_down(work->rig);
    return good;
}

static const struct job acme_validate = {
    .name = "acme-validate",
    .interval_ms = 1000,
    .limit_s = 60,
    .enabled = acme_rig_wanted,
    .confine = &acme_rig_confine,
    .run = validate,
};

int main(int argc, char **argv)
{
    return job_main(&acme_validate, argc, argv);
}
