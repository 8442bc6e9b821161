/* jobs/acme/finalize.c: orders in processing whose CAA must be looked at again get their job, or
 * the one that they have goes on, or they end; and orders whose job ended without telling them (01
 * section 10.3).
 *
 * A claim is a lease; who is killed loses it, and the next one looks again. Nothing is signed here:
 * job-processor does that. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "net/caa_record.h"

#include "jobs/acme/rig.h"

#include "core/banned.h"

#define POLL_MS        INT64_C(2000)
#define TICK_MS        INT64_C(500)
#define LEASE_S        120
#define ORDER_MS       INT64_C(100000) /* what is not answered by then failed: the lease still runs */
#define DRAIN_MS       INT64_C(20000)
#define SWEEP_MS       INT64_C(60000)
#define SWEEP_BATCH    1000
#define TAKEOVERS_MOST 5 /* an order that kills us each time does not kill us for ever */

/* $1 orders at most, $2 lease in s, $3 who. */
STATEMENT(acme_finalize_claim,
          "SELECT * FROM acme_finalize_claim($1::integer, make_interval(secs => $2::integer), $3)");

/* $1 order, $2 who, $3 authorizations that are good, $4 problem or NULL, $5 may be better later, $6
 * attempts at most, $7 job, $8 approval, $9 audit id, $10 $11 notices. */
STATEMENT(acme_finalize_result,
          "SELECT outcome FROM acme_finalize_result($1, $2, $3::text[], $4::jsonb, $5, "
          "$6::integer, $7, $8, $9, $10, $11)");

STATEMENT(acme_finalize_release, "SELECT released FROM acme_finalize_release($1)");

/* $1 batch, $2 audit id. */
STATEMENT(acme_finalize_sweep, "SELECT swept FROM acme_finalize_sweep($1::integer, $2)");

STATEMENT(
    acme_finalize_waiting,
    "SELECT count(*) AS waiting FROM acme_orders WHERE status = 'processing' AND (job_id IS "
    "NULL OR caa_due) AND csr_pem IS NOT NULL AND (lease_until IS NULL OR lease_until <= now())");

/* One name of an order whose CAA is looked at. */
struct look {
    struct look *next;
    const char *authz_id;
    const char *resolver; /* the profile's, or NULL */
    struct validation_wish wish;
    struct validation *validation;
    bool began;
    bool over;
    bool valid;
    bool transient;
    struct fault fault;
};

/* One claimed order. */
struct item {
    struct item *next;
    const char *order_id;
    int64_t attempts;
    int64_t deadline_us;
    struct look *looks; /* in the order's own order */
};

struct work {
    struct job_run *run;
    const char *claimed_by;
    struct acme_rig *rig;
    struct item *first;
    int64_t count;     /* orders held */
    int64_t in_flight; /* names asked for at this moment */
    int64_t most;      /* of either */
    int64_t claimed;   /* since the start, for --limit */
    bool look;         /* there may be something to claim */
    int64_t looked_us;
    int64_t told_to_stop_us;
};

static void on_done(void *context, const struct validation_outcome *outcome)
{
    struct look *look = context;

    look->over = true;
    look->valid = outcome->valid;
    look->transient = outcome->transient;
    look->fault = outcome->fault;
}

/* CAA may have been switched off since the order was finalized. */
static bool is_wanted(const struct work *work, const struct rows *rows, size_t row)
{
    const struct settings *settings = work->run->settings;

    return !row_null(rows, row, "authz_id") &&
           caa_wanted(settings->acme_caa_mode, row_text(rows, row, "caa"),
                      &settings->acme_caa_identities);
}

static struct look *look_from_row(const struct work *work, struct item *item,
                                  const struct rows *rows, size_t row)
{
    struct look *look = mem_new(item, struct look);
    const char *method = row_text(rows, row, "method");

    look->authz_id = mem_text(look, row_text(rows, row, "authz_id"));
    look->resolver = mem_text(look, row_text(rows, row, "resolver"));
    look->wish = (struct validation_wish){
        .identifier = mem_text(look, row_text(rows, row, "value")),
        .wildcard = row_bool(rows, row, "wildcard"),
        .method = mem_text(look, method ? method : ""),
        .account_url = mem_text(look, row_text(rows, row, "account_url")),
        .addresses = work->rig->addresses,
        .records = work->rig->records,
    };
    return look;
}

/* Rows of one order follow each other. */
static void items_from_rows(struct work *work, const struct rows *rows)
{
    struct look **at = NULL;

    for (size_t i = 0; i < rows->count; i++) {
        if (!at || !text_equal(work->first->order_id, row_text(rows, i, "order_id"))) {
            struct item *item = mem_new(work, struct item);

            item->order_id = mem_text(item, row_text(rows, i, "order_id"));
            item->attempts = row_integer(rows, i, "attempts");
            item->deadline_us = clock_monotonic_us() + ORDER_MS * 1000;
            item->next = work->first;
            work->first = item;
            at = &item->looks;
            work->count++;
            work->claimed++;
        }
        if (!is_wanted(work, rows, i))
            continue;
        *at = look_from_row(work, work->first, rows, i);
        at = &(*at)->next;
    }
}

static bool claim(struct work *work, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t room = job_batch(work->run, work->claimed + work->most) - work->claimed;
    struct rows *rows = db_query(scratch, work->run->db, &acme_finalize_claim, fault,
                                 INTEGER(least(room, work->most - work->count)), INTEGER(LEASE_S),
                                 TEXT(work->claimed_by));

    if (!rows)
        return false;
    work->look = false;
    work->looked_us = clock_monotonic_us();
    if (rows->count == 0)
        return true;
    if (!acme_rig_up(work->rig, fault))
        return false;
    items_from_rows(work, rows);
    return true;
}

static bool look_resolver(struct work *work, struct look *look)
{
    if (!look->resolver)
        return true;
    struct resolver *resolver = acme_rig_resolver(work->rig, look->resolver, &look->fault);
    look->wish.addresses = resolver;
    look->wish.records = resolver;
    return resolver != NULL;
}

static void look_start(struct work *work, const struct item *item, struct look *look)
{
    const int64_t most_us = work->run->settings->acme_challenge_timeout_ms * 1000;

    look->began = true;
    look->over = true;
    look->transient = true;
    if (item->attempts > work->run->settings->acme_validation_attempts + TAKEOVERS_MOST) {
        look->transient = false;
        fault_set(&look->fault, INTERNAL, NULL, "the order was taken up too often");
        return;
    }
    if (!look_resolver(work, look))
        return;
    look->over = false;
    look->wish.deadline_us = least(item->deadline_us, clock_monotonic_us() + most_us);
    work->in_flight++;
    look->validation = validation_start(look, &caa_validator, &work->rig->validation, &look->wish,
                                        on_done, look);
}

static void look_advance(struct work *work, const struct item *item, struct look *look)
{
    if (!look->began && work->in_flight < work->most)
        look_start(work, item, look);
    if (look->validation)
        validation_tick(look->validation);
    if (!look->validation || !look->over)
        return;
    TALLOC_FREE(look->validation);
    work->in_flight--;
}

/* True: nothing of this order is open any more. */
static bool item_advance(struct work *work, struct item *item)
{
    bool over = true;

    for (struct look *look = item->looks; look; look = look->next) {
        look_advance(work, item, look);
        over = over && look->over;
    }
    return over;
}

static void subproblem_add(json_t *list, const struct look *look)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    json_t *problem = acme_rig_problem(&look->fault);
    json_t *identifier = json_object();

    json_set_text(identifier, "type", "dns");
    json_set_text(
        identifier, "value",
        mem_printf(scratch, "%s%s", look->wish.wildcard ? "*." : "", look->wish.identifier));
    json_set_new(problem, "identifier", identifier);
    json_add_new(list, problem);
}

/* The first refusal that is final, else the first of all, with one entry for each name that is not
 * good. NULL: all are. */
static char *problem_of(TALLOC_CTX *ctx, const struct item *item, bool *ret_again)
{
    AUTO(json_t) *list = json_array();
    const struct look *worst = NULL;

    for (const struct look *look = item->looks; look; look = look->next) {
        if (look->valid)
            continue;
        subproblem_add(list, look);
        if (!worst || (worst->transient && !look->transient))
            worst = look;
    }
    *ret_again = worst && worst->transient;
    if (!worst)
        return NULL;
    AUTO(json_t) *problem = acme_rig_problem(&worst->fault);
    json_set_new(problem, "subproblems", json_incref(list));
    return json_to_text(ctx, problem);
}

static void say(const struct work *work, const struct item *item, const char *outcome)
{
    struct log_line line;

    log_begin(&line, text_equal(outcome, "refused") ? LOG_WARN : LOG_INFO, "CAA looked at again");
    log_text(&line, "job", work->run->entry->name);
    log_text(&line, "item", item->order_id);
    log_text(&line, "outcome", outcome);
    for (const struct look *look = item->looks; look; look = look->next)
        if (!look->valid) {
            log_text(&line, "identifier", look->wish.identifier);
            log_fault(&line, &look->fault);
            break;
        }
    log_end(&line);
}

static bool store(struct work *work, const struct item *item, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list good = {0};
    bool again = false;

    for (const struct look *look = item->looks; look; look = look->next)
        if (look->valid)
            text_list_add(scratch, &good, look->authz_id);
    const char *problem = problem_of(scratch, item, &again);
    struct rows *rows = db_query(
        scratch, work->run->db, &acme_finalize_result, fault, TEXT(item->order_id),
        TEXT(work->claimed_by), TEXTS(&good), TEXT(problem), BOOLEAN(again),
        INTEGER(work->run->settings->acme_validation_attempts), TEXT(id_new(scratch, "job")),
        TEXT(id_new(scratch, "apr")), TEXT(id_new(scratch, "audit")),
        TEXT(id_new(scratch, "notif")), TEXT(id_new(scratch, "notif")));
    if (!rows)
        return false;
    const char *outcome = row_text(rows, 0, "outcome");
    say(work, item, outcome);
    if (text_equal(outcome, "queued") || text_equal(outcome, "waits"))
        db_wake(work->run->db, "job-processor");
    if (problem)
        work->run->items_failed++;
    else
        work->run->items_ok++;
    return true;
}

/* Takes the next step of each, and out those that ended. */
static bool advance(struct work *work, struct fault *fault)
{
    struct item **at = &work->first;

    while (*at) {
        struct item *item = *at;

        if (!item_advance(work, item)) {
            at = &item->next;
            continue;
        }
        if (!store(work, item, fault))
            return false;
        *at = item->next;
        work->count--;
        work->look = true; /* there is room */
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

static bool may_claim(struct work *work)
{
    return !stopping(work) && work->count < work->most &&
           (work->look || clock_monotonic_us() - work->looked_us >= POLL_MS * 1000);
}

/* Told to stop, and DNS takes longer than we are given. */
static bool release(struct work *work, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return db_query(scratch, work->run->db, &acme_finalize_release, fault,
                    TEXT(work->claimed_by)) != NULL;
}

static bool work_on(struct work *work, struct fault *fault)
{
    for (;;) {
        if (may_claim(work) && !claim(work, fault))
            return false;
        if (!advance(work, fault))
            return false;
        if (work->count == 0 && (!work->look || stopping(work)))
            return true;
        if (work->told_to_stop_us != 0 &&
            clock_monotonic_us() - work->told_to_stop_us > DRAIN_MS * 1000)
            return release(work, fault);
        if (work->in_flight > 0 && acme_rig_wait(work->rig, TICK_MS))
            work->look = true;
    }
}

/* Before what its questions hang on. */
static void items_drop(struct work *work)
{
    while (work->first) {
        struct item *item = work->first;

        work->first = item->next;
        talloc_free(item);
    }
}

/* Once a minute: nobody should leave an order behind. */
static bool sweep(struct job_run *run, struct fault *fault)
{
    static int64_t swept_us;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (swept_us != 0 && clock_monotonic_us() - swept_us < SWEEP_MS * 1000)
        return true;
    swept_us = clock_monotonic_us();
    struct rows *rows = db_query(scratch, run->db, &acme_finalize_sweep, fault,
                                 INTEGER(job_batch(run, SWEEP_BATCH)),
                                 TEXT(id_new(scratch, "audit")));
    if (rows)
        run->items_ok += row_integer(rows, 0, "swept");
    return rows != NULL;
}

static bool look_dry(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, run->db, &acme_finalize_waiting, fault);

    if (rows)
        job_would("look at CAA of", "acme_orders", row_integer(rows, 0, "waiting"));
    return rows != NULL;
}

static bool finalize(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct work *work = mem_new(scratch, struct work);

    if (run->dry_run)
        return look_dry(run, fault);
    work->run = run;
    work->most = run->settings->acme_dns01_concurrency;
    work->look = true;
    work->claimed_by = acme_rig_own_name(work, run);
    work->rig = acme_rig_new(work, run, fault);
    if (!work->rig || !sweep(run, fault))
        return false;
    const bool good = work_on(work, fault);
    items_drop(work);
    acme_rig_down(work->rig);
    return good;
}

static const struct job acme_finalize = {
    .name = "acme-finalize",
    .interval_ms = 2000,
    .limit_s = 60,
    .enabled = acme_rig_wanted,
    .confine = &acme_rig_confine,
    .run = finalize,
};

int main(int argc, char **argv)
{
    return job_main(&acme_finalize, argc, argv);
}
