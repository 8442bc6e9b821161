/* jobs/revocation/ocsp_refresh.c: after a revocation, this host's web server gets the new OCSP
 * answers (04 section 11.4, 07 section 2).
 *
 * Three times: at once; after a second, since an answer from before may have been on its way to the
 * web server and overwritten the new one; and after five. A row stays before the cursor for half a
 * minute, since ids are not committed in their order. What a killed run has done, the next does
 * again: harmless.
 *
 * Who was never told of comes first, and among those who was revoked alone, and the newest: so one
 * revocation waits neither for what is told again nor for thousands revoked at once. Therefore a
 * look ends early, after a fifth of a second or when somebody wakes it, and the next one reads what
 * came meanwhile. Eight are under way at once. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "metric/metric.h"
#include "pki/ocsp_edge.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define TIMES         3
#define OLDEST        20000            /* rows from the cursor on, read at once */
#define NEWEST        2000             /* and from the end, where there are more */
#define RECENT        2000             /* ids: so far an id may be committed after a higher one */
#define WHOLE_US      INT64_C(5000000) /* each so often everything behind the cursor is read again */
#define CROWD         16 /* so many at one time, one after the other, were revoked at once */
#define PASSED_MS     30000
#define MARGIN_MS     30000 /* what the web server may keep has ended, and this long since */
#define PATIENCE_US   INT64_C(2000000)
#define LANES         8               /* rows under way, a connection each (04 section 11.4) */
#define SLICE_US      INT64_C(200000) /* then a look ends, whatever waits */
#define DEAF_US       INT64_C(20000)  /* a wake ends none before */
#define ASKS_AGAIN_MS 500             /* where the web server does not answer */

static const int64_t due_at_ms[TIMES] = {0, 1000, 5000};

/* $1 host. A new host begins where nothing older is kept by anybody. */
STATEMENT(
    edge_cursor,
    "INSERT INTO ocsp_edge_cursors AS c (node_id, last_id) SELECT $1::text, "
    "coalesce(max(id), 0) FROM ocsp_invalidations WHERE created_at < now() - interval '1 hour' "
    "ON CONFLICT (node_id) DO UPDATE SET updated_at = c.updated_at RETURNING last_id");
STATEMENT(edge_cursor_read, "SELECT last_id FROM ocsp_edge_cursors WHERE node_id = $1::text");
STATEMENT(edge_cursor_move, "UPDATE ocsp_edge_cursors SET last_id = $2::bigint, updated_at = now() "
                            "WHERE node_id = $1::text AND last_id < $2::bigint");

/* $1 after, $2 how many of the oldest, $3 of the newest. */
STATEMENT(edge_rows,
          "SELECT v.id, (extract(epoch FROM v.created_at) * 1000000)::bigint AS created_us, "
          "(extract(epoch FROM now() - v.created_at) * 1000)::bigint AS age_ms "
          "FROM ((SELECT id, created_at FROM ocsp_invalidations WHERE id > $1::bigint ORDER BY id "
          "LIMIT $2::bigint) UNION (SELECT id, created_at FROM ocsp_invalidations "
          "WHERE id > $1::bigint ORDER BY id DESC LIMIT $3::bigint)) v ORDER BY v.id");
/* $1 id. No row: of no CA of ours. */
STATEMENT(edge_target, "SELECT v.issuer_id, v.serial_hex, c.name_sha1, c.key_sha1, c.name_sha256, "
                       "c.key_sha256 FROM ocsp_invalidations v JOIN ca_instances c "
                       "ON c.id = v.ca_id WHERE v.id = $1::bigint");

/* A row behind the cursor, and how often it was told. */
struct told {
    int64_t id;
    int64_t created_us; /* the database's clock: rows of one transaction have one time */
    int64_t born_us;    /* our monotonic clock */
    int times;
    bool crowd; /* revoked with many others */
};

/* Of this process, since a look may come each few milliseconds. */
static struct known {
    struct told *items; /* in the order of ids, each once */
    size_t count;
    int64_t cursor;
    int64_t complete_to; /* no row between the cursor and this id is missing in items */
    int64_t whole_us;    /* when all was read last */
    bool begun;
} known;

/* A connection to the web server, and the row whose answers are awaited on it, or NULL. */
struct lane {
    struct ocsp_edge *edge;
    struct told *told;
};

struct round {
    TALLOC_CTX *ctx;
    struct job_run *run;
    struct told **order; /* those that are due, the most urgent first */
    size_t due;
    struct lane lanes[LANES];
    int64_t refreshed;
    int64_t failed;
    int64_t now_us;  /* when the round began */
    int64_t soon_ms; /* when the next is due; 0: none is */
};

static int64_t age_ms(const struct round *round, const struct told *told)
{
    return (round->now_us - told->born_us) / 1000;
}

static struct ocsp_edge_target target_of(TALLOC_CTX *ctx, const struct rows *rows)
{
    return (struct ocsp_edge_target){
        .issuer_id = row_text(rows, 0, "issuer_id"),
        .serial = row_text(rows, 0, "serial_hex"),
        .name_sha1 = row_bytes(ctx, rows, 0, "name_sha1"),
        .key_sha1 = row_bytes(ctx, rows, 0, "key_sha1"),
        .name_sha256 = row_bytes(ctx, rows, 0, "name_sha256"),
        .key_sha256 = row_bytes(ctx, rows, 0, "key_sha256"),
    };
}

/* The connection is not used again; so no answer to this row is taken for one to another. */
static bool lane_failed(struct round *round, struct lane *lane, const char *item,
                        const struct fault *fault)
{
    round->failed++;
    job_item_failed(round->run, item, fault);
    TALLOC_FREE(lane->edge);
    lane->told = NULL;
    return false;
}

/* False: the web server did not answer. */
static bool lane_finish(struct round *round, struct lane *lane)
{
    struct told *told = lane->told;
    struct fault fault = {0};

    if (!told)
        return true;
    if (!ocsp_edge_wait(lane->edge, &fault))
        return lane_failed(round, lane, "the web server's cache", &fault);
    lane->told = NULL;
    round->refreshed++;
    round->run->items_ok++;
    /* One that we came to late counts for those that it missed. */
    while (told->times < TIMES && age_ms(round, told) >= due_at_ms[told->times])
        told->times++;
    return true;
}

static bool lane_send(struct round *round, struct lane *lane, struct told *told,
                      const struct ocsp_edge_target *target)
{
    struct fault fault = {0};

    if (!lane->edge)
        lane->edge = ocsp_edge_open(round->ctx, round->run->settings->ocsp_refresh_socket, &fault);
    if (!lane->edge ||
        !ocsp_edge_send(lane->edge, target, clock_monotonic_us() + PATIENCE_US, &fault))
        return lane_failed(round, lane, target->serial, &fault);
    lane->told = told;
    return true;
}

/* *ret_sent: false where the web server does not answer. False: the database does not. */
static bool tell(struct round *round, struct lane *lane, struct told *told, bool *ret_sent,
                 struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, round->run->db, &edge_target, fault, INTEGER(told->id));

    if (!rows)
        return false;
    *ret_sent = lane_finish(round, lane);
    if (rows->count == 0) {
        told->times = TIMES;
        return true;
    }
    const struct ocsp_edge_target target = target_of(scratch, rows);
    *ret_sent = *ret_sent && lane_send(round, lane, told, &target);
    return true;
}

static void want_soon(struct round *round, int64_t ms)
{
    round->soon_ms = round->soon_ms == 0 ? ms : least(round->soon_ms, ms);
}

/* Of whom nobody ever heard, then who was revoked alone, then the newest. */
static int compare_urgency(const void *left, const void *right)
{
    const struct told *a = *(struct told *const *)left; /* qsort's own */
    const struct told *b = *(struct told *const *)right;

    if ((a->times > 0) != (b->times > 0))
        return a->times > 0 ? 1 : -1;
    if (a->crowd != b->crowd)
        return a->crowd ? 1 : -1;
    return a->id < b->id ? 1 : -1;
}

/* Rows of one transaction stand together unless others were revoked between. */
static void find_crowds(void)
{
    size_t begin = 0;

    for (size_t i = 1; i <= known.count; i++) {
        if (i < known.count && known.items[i].created_us == known.items[begin].created_us)
            continue;
        for (size_t k = begin; k < i; k++)
            known.items[k].crowd = i - begin > CROWD;
        begin = i;
    }
}

/* Both are in the order of ids; what is known stays, with its count. */
static void merge(const struct round *round, const struct rows *rows)
{
    struct told *all = mem_array(NULL, struct told, known.count + rows->count + 1);
    size_t old = 0;
    size_t count = 0;

    for (size_t row = 0; row < rows->count; row++) {
        const int64_t id = row_integer(rows, row, "id");
        while (old < known.count && known.items[old].id < id)
            all[count++] = known.items[old++];
        if (old < known.count && known.items[old].id == id)
            continue;
        all[count++] = (struct told){
            .id = id,
            .created_us = row_integer(rows, row, "created_us"),
            .born_us = round->now_us - row_integer(rows, row, "age_ms") * 1000,
        };
    }
    while (old < known.count)
        all[count++] = known.items[old++];
    talloc_free(known.items);
    known.items = all;
    known.count = count;
}

/* Everything behind the cursor now and then, and else what may be new. */
static bool read_rows(struct round *round, struct fault *fault)
{
    const bool whole = known.whole_us == 0 || round->now_us - known.whole_us >= WHOLE_US;
    const int64_t newest = known.count > 0 ? known.items[known.count - 1].id : known.cursor;
    const int64_t after = whole ? known.cursor : most(known.cursor, newest - RECENT);
    struct rows *rows = db_query(round->ctx, round->run->db, &edge_rows, fault, INTEGER(after),
                                 INTEGER(OLDEST), INTEGER(NEWEST));

    if (!rows)
        return false;
    if (whole) {
        known.whole_us = round->now_us;
        known.complete_to = rows->count < OLDEST ? INT64_MAX : row_integer(rows, OLDEST - 1, "id");
    }
    merge(round, rows);
    find_crowds();
    return true;
}

static void find_due(struct round *round)
{
    const int64_t given_up_ms = round->run->settings->ocsp_edge_ttl_s * 1000 + MARGIN_MS;

    round->order = mem_array(round->ctx, struct told *, known.count + 1);
    for (size_t i = 0; i < known.count; i++) {
        struct told *told = &known.items[i];
        if (age_ms(round, told) > given_up_ms)
            told->times = TIMES; /* too late to matter */
        if (told->times < TIMES && age_ms(round, told) >= due_at_ms[told->times])
            round->order[round->due++] = told;
    }
    qsort(round->order, round->due, sizeof(void *), compare_urgency);
}

/* Somebody may wait for what this look does not know yet. */
static bool must_look_again(const struct round *round)
{
    const int64_t ran_us = clock_monotonic_us() - round->now_us;

    return ran_us >= SLICE_US ||
           (ran_us >= DEAF_US && round->run->wake && wake_wait(round->run->wake, 0));
}

/* The lanes take turns, so what is urgent is under way first; who takes the turn of another waits
 * for its answers. */
static bool tell_those_due(struct round *round, struct fault *fault)
{
    size_t i = 0;
    bool answers = true;

    while (answers && i < round->due && !job_should_stop(round->run) &&
           (i == 0 || !must_look_again(round))) {
        if (!tell(round, &round->lanes[i % LANES], round->order[i], &answers, fault))
            return false;
        i++;
    }
    for (size_t k = 0; k < LANES; k++)
        answers = lane_finish(round, &round->lanes[k]) && answers;
    if (!answers)
        want_soon(round, ASKS_AGAIN_MS);
    else if (i < round->due)
        want_soon(round, 1);
    return true;
}

static void find_next(struct round *round)
{
    for (size_t i = 0; i < known.count; i++) {
        const struct told *told = &known.items[i];
        if (told->times < TIMES && age_ms(round, told) < due_at_ms[told->times])
            want_soon(round, due_at_ms[told->times] - age_ms(round, told));
    }
}

/* How many of the oldest were told three times and are old enough. */
static size_t count_passed(const struct round *round)
{
    size_t passed = 0;

    while (passed < known.count && known.items[passed].times == TIMES &&
           known.items[passed].id <= known.complete_to &&
           age_ms(round, &known.items[passed]) >= PASSED_MS)
        passed++;
    return passed;
}

static bool move_cursor(struct round *round, struct fault *fault)
{
    const size_t passed = count_passed(round);

    if (passed == 0)
        return true;
    const int64_t id = known.items[passed - 1].id;
    if (!db_query(round->ctx, round->run->db, &edge_cursor_move, fault,
                  TEXT(round->run->settings->node_id), INTEGER(id)))
        return false;
    known.cursor = id;
    known.count -= passed;
    memmove(known.items, known.items + passed, known.count * sizeof *known.items);
    return true;
}

static bool settle(struct round *round, struct fault *fault)
{
    round->run->look_again_ms = round->soon_ms;
    if (!move_cursor(round, fault))
        return false;
    metric_add(METRIC_OCSP, "edge_refresh", round->refreshed);
    metric_add(METRIC_OCSP, "edge_refresh_failed", round->failed);
    return true;
}

static bool read_cursor(struct round *round, struct fault *fault)
{
    const struct db_param host = TEXT(round->run->settings->node_id);
    struct rows *rows;

    if (known.begun)
        return true;
    rows = db_query(round->ctx, round->run->db, &edge_cursor_read, fault, host);
    if (rows && rows->count == 0 && !round->run->dry_run)
        rows = db_query(round->ctx, round->run->db, &edge_cursor, fault, host);
    if (!rows)
        return false;
    known.cursor = rows->count > 0 ? row_integer(rows, 0, "last_id") : 0;
    known.begun = true;
    return true;
}

static bool look(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct round round = {.ctx = ctx, .run = run, .now_us = clock_monotonic_us()};

    if (!read_cursor(&round, fault) || !read_rows(&round, fault))
        return false;
    if (run->dry_run) {
        job_would("refresh", "OCSP answers", (int64_t)known.count); /* at most both limits */
        return true;
    }
    find_due(&round);
    if (!tell_those_due(&round, fault))
        return false;
    find_next(&round);
    return settle(&round, fault);
}

static bool enabled(const struct settings *settings)
{
    return !text_equal(settings->ocsp_refresh_socket, "none") && settings->ocsp_edge_ttl_s > 0;
}

static const struct confine_path confine_paths[] = {JOB_CONFINE_PATHS};
static const struct confine_plan confine_plan = {
    .paths = confine_paths, .path_count = ARRAY_SIZE(confine_paths), .may_refresh = true};

static const struct job ocsp_refresh = {
    .name = "ocsp-refresh",
    .interval_ms = 5000,
    .limit_s = 60,
    .enabled = enabled,
    .confine = &confine_plan,
    .run = look,
};

int main(int argc, char **argv)
{
    return job_main(&ocsp_refresh, argc, argv);
}
