/* lib/db/transaction.c: explicit transactions, for jobs and tools. */
#include "core/memory.h"
#include "db/db_private.h"

#include "core/banned.h"

/* One level of them is all there is: an enclosed transaction has no transactions inside. */
#define INNER "enclosed"

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
    return begin(db, db->enclosed ? "SAVEPOINT " INNER : "BEGIN", fault);
}

bool db_begin_snapshot(struct db *db, struct fault *fault)
{
    if (db->enclosed)
        return fault_set(fault, INTERNAL, NULL, "a snapshot cannot begin inside a transaction");
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

/* Of an enclosed one. What had failed before is undone here, as a COMMIT would. */
static bool released(struct db *db, struct fault *fault)
{
    if (!db_ready(db, fault)) {
        db->in_transaction = false;
        return false;
    }
    AUTO(PGresult) *result = db_command(db, "RELEASE SAVEPOINT " INNER);
    if (result && db_result_good(result)) {
        db->in_transaction = false;
        return true;
    }
    db_result_fault(db, result, "release", fault);
    db_rollback(db);
    return false;
}

bool db_commit(struct db *db, struct fault *fault)
{
    if (!db->in_transaction)
        return fault_set(fault, INTERNAL, NULL, "no transaction is open");
    if (db->enclosed)
        return released(db, fault);

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

/* A wake that was asked for in an enclosed transaction stays: for nothing it does no harm. */
void db_rollback(struct db *db)
{
    if (!db->enclosed)
        db_wakes_forget(db);
    if (!db->in_transaction)
        return;
    db->in_transaction = false;
    if (!db->connection)
        return;
    AUTO(PGresult) *result = db_command(db, db->enclosed ? "ROLLBACK TO SAVEPOINT " INNER
                                                           "; RELEASE SAVEPOINT " INNER
                                                         : "ROLLBACK");
    if (!result || !db_result_good(result))
        db_drop(db); /* the server undoes it with the connection */
}

bool db_enclose(struct db *db, struct fault *fault)
{
    if (db->enclosed)
        return fault_set(fault, INTERNAL, NULL, "a transaction is enclosed already");
    if (!db_begin(db, fault))
        return false;
    db->in_transaction = false;
    db->enclosed = true;
    return true;
}

bool db_enclosed_commit(struct db *db, struct fault *fault)
{
    if (!db->enclosed)
        return fault_set(fault, INTERNAL, NULL, "no transaction is enclosed");
    db->enclosed = false;
    db->in_transaction = true;
    return db_commit(db, fault);
}

bool db_is_enclosed(const struct db *db)
{
    return db->enclosed;
}

void db_enclosed_rollback(struct db *db)
{
    db->in_transaction |= db->enclosed;
    db->enclosed = false;
    db_rollback(db);
}
