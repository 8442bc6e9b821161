/* lib/db/connection.c: opening, checking and closing the one connection (05 section 1.2). */
#include <inttypes.h>
#include <poll.h>

#include "core/memory.h"
#include "db/db_private.h"

#include "core/banned.h"

/* Names and values for PQconnectdbParams; a later one replaces an earlier one. */
struct parameters {
    const char **names;
    const char **values;
    size_t count;
};

#define CONNECT_TIMEOUT_S INT64_C(5)

/* Ours beside those of the URL, and the NULL at the end. */
#define PARAMETERS_OF_OURS 7

static void parameter_add(struct parameters *list, const char *name, const char *value)
{
    list->names[list->count] = name;
    list->values[list->count] = value;
    list->count++;
}

static const char *url_value(const PQconninfoOption *url, const char *name)
{
    for (; url->keyword; url++)
        if (text_equal(url->keyword, name))
            return url->val;
    return NULL;
}

/* Several hosts are separated by commas; an empty one means libpq's own directory. */
static bool all_are_paths(const char *hosts)
{
    while (*hosts) {
        if (*hosts != '/' && *hosts != ',')
            return false;
        hosts += strcspn(hosts, ",");
        hosts += *hosts == ',';
    }
    return true;
}

bool db_is_local(const char *url)
{
    static const struct {
        const char *name;
        const char *variable;
    } asked[] = {
        {"service",  "PGSERVICE" },
        {"hostaddr", "PGHOSTADDR"},
        {"host",     "PGHOST"    }
    };
    PQconninfoOption *parsed = PQconninfoParse(url, NULL);
    bool local = parsed != NULL;

    for (size_t i = 0; local && i < ARRAY_SIZE(asked); i++) {
        const char *value = url_value(parsed, asked[i].name);
        value = value ? value : getenv(asked[i].variable);
        local = !value || all_are_paths(value);
    }
    PQconninfoFree(parsed);
    return local;
}

/* Session settings travel in the startup packet, so that they cost no round trip. What the URL
 * says itself comes last and wins. A session that keeps its plans never scans whole tables: a plan
 * made while a table was small would go on reading all of it when it has grown. */
static char *session_options(TALLOC_CTX *ctx, const struct db_options *options, const char *more)
{
    return mem_printf(ctx,
                      "-c timezone=UTC -c datestyle=ISO -c bytea_output=hex"
                      " -c search_path=public,pg_temp"
                      " -c default_transaction_isolation=read\\ committed -c jit=off"
                      " -c statement_timeout=%" PRId64 " -c lock_timeout=3000"
                      " -c idle_in_transaction_session_timeout=10000%s %s",
                      options->statement_timeout_ms,
                      options->unnamed_statements ? "" : " -c enable_seqscan=off",
                      more ? more : "");
}

static struct parameters connection_parameters(TALLOC_CTX *ctx, const struct db_options *options,
                                               const PQconninfoOption *url)
{
    size_t room = PARAMETERS_OF_OURS;
    for (const PQconninfoOption *each = url; each->keyword; each++)
        room++;
    struct parameters list = {mem_array(ctx, const char *, room),
                              mem_array(ctx, const char *, room), 0};

    parameter_add(
        &list, "connect_timeout",
        mem_printf(ctx, "%" PRId64,
                   options->connect_timeout_s ? options->connect_timeout_s : CONNECT_TIMEOUT_S));
    parameter_add(&list, "tcp_user_timeout", "20000");
    if (options->role && !url_value(url, "user"))
        parameter_add(&list, "user", options->role);
    if (options->application_name)
        parameter_add(&list, "application_name", options->application_name);
    for (const PQconninfoOption *each = url; each->keyword; each++)
        if (each->val)
            parameter_add(&list, each->keyword, each->val);
    parameter_add(&list, "client_encoding", "UTF8");
    parameter_add(&list, "options", session_options(ctx, options, url_value(url, "options")));
    return list;
}

static PGconn *connection_open(struct db *db, const PQconninfoOption *url, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct parameters list = connection_parameters(scratch, &db->options, url);
    PGconn *connection = PQconnectdbParams(list.names, list.values, 0);
    if (!connection)
        mem_exhausted(0, "connection");
    if (PQstatus(connection) == CONNECTION_OK)
        return connection;

    fault_set(fault, DATABASE_UNREACHABLE, NULL, "the database cannot be reached");
    fault_cause(fault, "%s", PQerrorMessage(connection));
    fault->retry_after_s = 5;
    db->password_refused = PQconnectionUsedPassword(connection);
    PQfinish(connection);
    return NULL;
}

/* Notices are for people at a terminal; a goodbye that comes while we are idle is for us. */
static void on_notice(void *arg, const PGresult *notice)
{
    struct db *db = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (text_equal(severity, "FATAL") || text_equal(severity, "PANIC"))
        db->dying = true;
}

static bool db_open(struct db *db, struct fault *fault)
{
    char *wrong = NULL;
    AUTO(PQconninfoOption) *url = PQconninfoParse(db->options.url ? db->options.url : "", &wrong);
    if (!url) {
        fault_set(fault, DATABASE_UNREACHABLE, NULL, "the database URL cannot be read");
        fault_cause(fault, "%s", wrong ? wrong : "out of memory");
        PQfreemem(wrong);
        return false;
    }
    db->connection = connection_open(db, url, fault);
    if (!db->connection)
        return false;
    db->dying = false;
    (void)PQsetNoticeReceiver(db->connection, on_notice, db);
    return true;
}

static bool readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

/* A server that ended the session while we were idle has left its goodbye, or an end of file, in
 * the socket. Looked for before each statement: as long as nothing was sent, trying again is
 * safe. Each turn reads what is there, so the end of file is met in the second. */
static bool connection_dead(struct db *db)
{
    for (int turn = 0; turn < 4 && readable(PQsocket(db->connection)); turn++) {
        if (!PQconsumeInput(db->connection))
            return true;
        (void)PQisBusy(db->connection); /* has libpq parse what it read */
    }
    return db->dying || PQstatus(db->connection) != CONNECTION_OK;
}

void db_drop(struct db *db)
{
    if (db->connection)
        PQfinish(db->connection);
    db->connection = NULL;
    db->prepared_count = 0;
}

STATEMENT(db_schema_version, "SELECT coalesce(max(version::integer), 0) AS version"
                             "  FROM schema_migrations WHERE version ~ '^[0-9]{4}$'");

/* On the connection that is open. */
static bool schema_check(struct db *db, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    int64_t version = 0;
    const struct rows *rows = db_query_params(scratch, db, &db_schema_version, fault, NULL, 0);
    if (rows)
        version = row_integer(rows, 0, "version");
    else if (!text_equal(db->refusal.sqlstate, "42P01")) /* nothing was migrated yet */
        return false;

    if (version < DB_SCHEMA_LEAST || version > DB_SCHEMA_MOST)
        return fault_set(fault, SCHEMA_MISMATCH, NULL,
                         "schema %" PRId64 ", this build serves %d to %d", version, DB_SCHEMA_LEAST,
                         DB_SCHEMA_MOST);
    return true;
}

/* A schema outside our range is met before the first statement of a request, not by it. */
static bool db_open_checked(struct db *db, struct fault *fault)
{
    if (!db_open(db, fault))
        return false;
    if (!db->options.checks_schema || schema_check(db, fault))
        return true;
    db_drop(db);
    return false;
}

bool db_ready(struct db *db, struct fault *fault)
{
    if (db->connection && connection_dead(db))
        db_drop(db);
    if (db->connection)
        return true;
    if (!db->in_transaction && !db->enclosed && !db->pinned)
        return db_open_checked(db, fault);

    fault_set(fault, DATABASE_UNREACHABLE, NULL, "the database connection was lost");
    fault_cause(fault, "lost with %s", db->pinned ? "its session" : "its transaction");
    fault->retry_after_s = 5;
    return false;
}

bool db_connect(struct db *db, struct fault *fault)
{
    return db_ready(db, fault) && schema_check(db, fault);
}

bool db_pin(struct db *db, struct fault *fault)
{
    if (!db_ready(db, fault))
        return false;
    db->pinned = true;
    return true;
}

void db_close(struct db *db)
{
    db_drop(db);
    db->pinned = false;
    db->in_transaction = false;
    db->enclosed = false;
    db_wakes_forget(db);
}

struct db_counts db_counts(const struct db *db)
{
    return db->counts;
}

static int db_destructor(struct db *db)
{
    db_drop(db);
    if (db->wake_fd >= 0)
        (void)close(db->wake_fd);
    return 0;
}

struct db *db_new(TALLOC_CTX *ctx, const struct db_options *options)
{
    struct db *db = mem_new(ctx, struct db);
    db->options = *options;
    db->options.url = mem_text(db, options->url);
    db->options.role = mem_text(db, options->role);
    db->options.application_name = mem_text(db, options->application_name);
    db->options.wake_dir = mem_text(db, options->wake_dir);
    db->wake_fd = -1;
    talloc_set_destructor(db, db_destructor);
    return db;
}
