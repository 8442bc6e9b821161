/* lib/db/transaction.c: explicit transactions, for jobs and tools. */
#include "core/memory.h"
#include "db/db_private.h"

#include "core/banned.h"

static bool begin(struct db *db, const char *command, struct fault *fault)
{
    if (db->in_transaction)
        return fault_set(fault, INTERNAL, NULL, "a transaction is open already");
    if (!db_ready(db, fault))
        return false;

    AUTO(PGresult) *result = db_command(db, command);
    db->in_transaction = true; /* a BEGIN that was lost changed nothing */
    if (result && db_result_good(result))
        return true;
    db_result_fault(db, result, "begin", fault);
    db->in_transaction = false;
    return false;
}

bool db_begin(struct db *db, struct fault *fault)
{
    return begin(db, "BEGIN", fault);
}

bool db_begin_snapshot(struct db *db, struct fault *fault)
{
    return begin(db, "BEGIN ISOLATION LEVEL REPEATABLE READ", fault);
}

/* A COMMIT whose transaction had failed before answers ROLLBACK, without an error. */
static bool committed(struct db *db, struct fault *fault)
{
    if (!db_ready(db, fault))
        return false;
    AUTO(PGresult) *result = db_command(db, "COMMIT");
    db->in_transaction = false; /* so that a lost answer is an unknown commit */
    if (!result || !db_result_good(result))
        return db_result_fault(db, result, "commit", fault);
    if (!text_equal(PQcmdStatus(result), "COMMIT"))
        return fault_set(fault, DATABASE_FAILED, NULL,
                         "an earlier failure had undone the transaction");
    return true;
}

bool db_commit(struct db *db, struct fault *fault)
{
    if (!db->in_transaction)
        return fault_set(fault, INTERNAL, NULL, "no transaction is open");

    const bool done = committed(db, fault);
    db->in_transaction = false;
    if (!done) {
        db_wakes_forget(db);
        return false;
    }
    db->counts.commits++;
    db_wakes_send(db);
    return true;
}

void db_rollback(struct db *db)
{
    db_wakes_forget(db);
    if (!db->in_transaction)
        return;
    db->in_transaction = false;
    if (!db->connection)
        return;
    AUTO(PGresult) *result = db_command(db, "ROLLBACK");
    if (!result || !db_result_good(result))
        db_drop(db); /* the server undoes it with the connection */
}
