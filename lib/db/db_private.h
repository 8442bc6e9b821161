/* lib/db/db_private.h: what the files of this room share. */
#ifndef CERTCTL_DB_DB_PRIVATE_H
#define CERTCTL_DB_DB_PRIVATE_H

#include <libpq-fe.h>

#include "core/auto.h"
#include "db/db.h"

AUTO_DEFINE(PGresult, PQclear)
AUTO_DEFINE(PQconninfoOption, PQconninfoFree)

/* What db_statements_add was told. */
struct added_statements {
    const struct statement *list;
    size_t count;
};

struct db {
    struct db_options options; /* texts hang on the db */
    PGconn *connection;        /* NULL: closed */
    bool dying;                /* the server said goodbye while we were idle */
    bool in_transaction;       /* since db_begin; the connection may be lost meanwhile */
    bool enclosed;             /* since db_enclose: transactions are savepoints of one */
    bool pinned;               /* by db_pin */
    bool password_refused; /* the last attempt to connect failed after a password was asked for */
    struct db_refusal refusal;         /* of the last failure */
    const struct statement **prepared; /* by name, on this connection */
    size_t prepared_count;
    struct added_statements *added;
    size_t added_count;
    struct text_list wakes; /* asked for in this transaction */
    int wake_fd;            /* -1: none yet */
    struct db_counts counts;
};

/* True when the next statement can be sent: opens or reopens where that loses nothing. */
bool db_ready(struct db *db, struct fault *fault);
/* Ends the connection and forgets what was prepared on it; a transaction stays marked as open. */
void db_drop(struct db *db);

/* Reads to the end of what was asked for. An error wins over rows that came before it, since a
 * deferred constraint fails after the rows were sent. NULL: the connection gave nothing. */
PGresult *db_receive(PGconn *connection);
/* One simple command, such as BEGIN. Counts a round trip; NULL: connection lost. */
PGresult *db_command(struct db *db, const char *sql);

bool db_result_good(const PGresult *result);
/* Fills the fault from a bad result, or from a lost connection (then drops it). `what` names the
 * statement for the log. Returns NULL. */
void *db_result_fault(struct db *db, const PGresult *result, const char *what, struct fault *fault);
/* The reason that a SQLSTATE stands for. */
enum fault_reason db_sqlstate_reason(const char *sqlstate);

/* Sends the wakes of the transaction that was committed, or forgets them. */
void db_wakes_send(struct db *db);
void db_wakes_forget(struct db *db);

#endif
