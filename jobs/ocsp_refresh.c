/* jobs/ocsp_refresh.c: after a revocation, this host's web server gets the new OCSP answers (04
 * section 11.4, 07 section 2).
 *
 * Three times: at once; after a second, since an answer from before may have been on its way to the
 * web server and overwritten the new one; and after five. A row stays before the cursor for half a
 * minute, since ids are not committed in their order. What a killed run has done, the next does
 * again: harmless. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "pki/ocsp_edge.h"

#include "runner.h"

#include "core/banned.h"

#define TIMES       3
#define BATCH       20000
#define PASSED_MS   30000
#define GIVEN_UP_MS INT64_C(3600000) /* what the web server keeps has ended long since */
#define PATIENCE_US INT64_C(2000000)

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

/* $1 after, $2 batch. */
STATEMENT(edge_rows,
          "SELECT v.id, v.issuer_id, v.serial_hex, c.name_sha1, c.key_sha1, c.name_sha256, "
          "c.key_sha256, (extract(epoch FROM now() - v.created_at) * 1000)::bigint AS age_ms "
          "FROM ocsp_invalidations v LEFT JOIN ca_instances c ON c.id = v.ca_id "
          "WHERE v.id > $1::bigint ORDER BY v.id LIMIT $2::bigint");

/* $1 refreshed, $2 failed. */
STATEMENT(edge_counters,
          "INSERT INTO metric_counters AS m (name, labels, shard, value) "
          "SELECT 'certctl_ocsp_counter_total', n.label, 0, n.count "
          "FROM (VALUES ('label=\"edge_refresh\"', $1::bigint), "
          "('label=\"edge_refresh_failed\"', $2::bigint)) AS n (label, count) WHERE n.count > 0 "
          "ON CONFLICT (name, labels, shard) DO UPDATE SET value = m.value + EXCLUDED.value");

/* How often each row was told, by id; in its order. */
struct told {
    int64_t id;
    int times;
};

static struct told *memory; /* of this process */
static size_t memory_count;

struct round {
    TALLOC_CTX *ctx;
    struct job_run *run;
    const struct rows *rows;
    struct told *told; /* parallel to rows */
    size_t remembered; /* where in memory we are: both are in the order of ids */
    struct ocsp_edge *edge;
    int64_t refreshed;
    int64_t failed;
    int64_t soon_ms; /* when the next is due; 0: none is */
};

static int times_of(struct round *round, int64_t id)
{
    while (round->remembered < memory_count && memory[round->remembered].id < id)
        round->remembered++;
    return round->remembered < memory_count && memory[round->remembered].id == id
               ? memory[round->remembered].times
               : 0;
}

static struct ocsp_edge_target target_of(const struct round *round, size_t row)
{
    return (struct ocsp_edge_target){
        .issuer_id = row_text(round->rows, row, "issuer_id"),
        .serial = row_text(round->rows, row, "serial_hex"),
        .name_sha1 = row_bytes(round->ctx, round->rows, row, "name_sha1"),
        .key_sha1 = row_bytes(round->ctx, round->rows, row, "key_sha1"),
        .name_sha256 = row_bytes(round->ctx, round->rows, row, "name_sha256"),
        .key_sha256 = row_bytes(round->ctx, round->rows, row, "key_sha256"),
    };
}

/* Once the web server does not answer, nobody asks it again in this round. */
static bool tell(struct round *round, size_t row)
{
    const struct ocsp_edge_target target = target_of(round, row);
    struct fault fault = {0};

    if (round->failed > 0)
        return false;
    if (!round->edge)
        round->edge = ocsp_edge_open(round->ctx, round->run->settings->ocsp_refresh_socket, &fault);
    if (round->edge &&
        ocsp_edge_refresh(round->edge, &target, clock_monotonic_us() + PATIENCE_US, &fault)) {
        round->refreshed++;
        return true;
    }
    round->failed++;
    job_item_failed(round->run, target.serial, &fault);
    return false;
}

static void want_soon(struct round *round, int64_t ms)
{
    round->soon_ms = round->soon_ms == 0 ? ms : least(round->soon_ms, ms);
}

static void look_at(struct round *round, size_t row)
{
    const int64_t age_ms = row_integer(round->rows, row, "age_ms");
    struct told *told = &round->told[row];

    *told = (struct told){row_integer(round->rows, row, "id"), 0};
    told->times = times_of(round, told->id);
    if (row_null(round->rows, row, "name_sha1") || age_ms > GIVEN_UP_MS)
        told->times = TIMES; /* of no CA of ours, or too late to matter */
    if (told->times == TIMES)
        return;
    if (age_ms >= due_at_ms[told->times] && tell(round, row)) {
        /* One that we came to late counts for those that it missed. */
        while (told->times < TIMES && age_ms >= due_at_ms[told->times])
            told->times++;
        round->run->items_ok++;
    }
    if (told->times < TIMES)
        want_soon(round, most(due_at_ms[told->times] - age_ms, INT64_C(100)));
}

/* The last before which all were told three times and are old enough. */
static int64_t passed_id(const struct round *round)
{
    int64_t passed = 0;

    for (size_t i = 0; i < round->rows->count; i++) {
        if (round->told[i].times < TIMES || row_integer(round->rows, i, "age_ms") < PASSED_MS)
            break;
        passed = round->told[i].id;
    }
    return passed;
}

static void remember(struct round *round)
{
    talloc_free(memory);
    memory = talloc_steal(NULL, round->told);
    memory_count = round->rows->count;
}

static bool settle(struct round *round, struct fault *fault)
{
    const int64_t passed = passed_id(round);
    struct job_run *run = round->run;

    remember(round);
    run->look_again_ms = round->soon_ms;
    if (passed > 0 && !db_query(round->ctx, run->db, &edge_cursor_move, fault,
                                TEXT(run->settings->node_id), INTEGER(passed)))
        return false;
    return round->refreshed + round->failed == 0 ||
           db_query(round->ctx, run->db, &edge_counters, fault, INTEGER(round->refreshed),
                    INTEGER(round->failed)) != NULL;
}

static bool read_cursor(struct round *round, int64_t *ret_id, struct fault *fault)
{
    const struct db_param host = TEXT(round->run->settings->node_id);
    struct rows *rows = db_query(round->ctx, round->run->db, &edge_cursor_read, fault, host);

    if (rows && rows->count == 0 && !round->run->dry_run)
        rows = db_query(round->ctx, round->run->db, &edge_cursor, fault, host);
    if (!rows)
        return false;
    *ret_id = rows->count > 0 ? row_integer(rows, 0, "last_id") : 0;
    return true;
}

static bool look(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct round round = {.ctx = ctx, .run = run};
    int64_t after = 0;

    if (!read_cursor(&round, &after, fault))
        return false;
    round.rows = db_query(ctx, run->db, &edge_rows, fault, INTEGER(after), INTEGER(BATCH));
    if (!round.rows)
        return false;
    if (run->dry_run) {
        job_would("refresh", "OCSP answers", (int64_t)round.rows->count); /* at most BATCH */
        return true;
    }
    round.told = mem_array(ctx, struct told, round.rows->count + 1);
    for (size_t i = 0; i < round.rows->count && !job_should_stop(run); i++)
        look_at(&round, i);
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
