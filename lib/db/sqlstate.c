/* lib/db/sqlstate.c: from what the server answered to a fault (05 section 2.2). */
#include "core/text.h"
#include "db/db_private.h"

#include "core/banned.h"

static const struct {
    const char *prefix; /* the first that fits */
    enum fault_reason reason;
    const char *detail; /* to the caller: no SQL, no names of ours */
} sqlstates[] = {
    {"23505", DATABASE_DUPLICATE,   "duplicate value"                                     },
    {"23503", DATABASE_REFERENCE,   "what this refers to does not exist, or is still used"},
    {"23514", DATABASE_VALUE,       "a value is not allowed here"                         },
    {"22001", DATABASE_VALUE,       "a value is too long"                                 },
    {"22P02", DATABASE_VALUE,       "a value has the wrong form"                          },
    {"22021", DATABASE_VALUE,       "a text is not UTF-8"                                 },
    {"40001", DATABASE_BUSY,        "the database is busy"                                },
    {"40P01", DATABASE_BUSY,        "the database is busy"                                },
    {"55P03", DATABASE_BUSY,        "the database is busy"                                },
    {"57014", DATABASE_BUSY,        "the database took too long"                          },
    {"53",    DATABASE_BUSY,        "the database is out of room"                         },
    {"08",    DATABASE_UNREACHABLE, "the database cannot be reached"                      },
    {"57P0",  DATABASE_UNREACHABLE, "the database cannot be reached"                      },
 /* Raised by our own functions. */
    {"CT001", RESOURCE_STATE,       "the present state does not allow this"               },
    {"CT002", ISSUANCE_STALE,       "what this was decided on has changed meanwhile"      },
    {"",      DATABASE_FAILED,      "the database refused the statement"                  },
};

static size_t sqlstate_entry(const char *sqlstate)
{
    size_t i = 0;
    while (!text_starts(sqlstate, sqlstates[i].prefix))
        i++;
    return i;
}

enum fault_reason db_sqlstate_reason(const char *sqlstate)
{
    return sqlstates[sqlstate_entry(sqlstate)].reason;
}

static const char *error_field(const PGresult *result, int field)
{
    const char *value = result ? PQresultErrorField(result, field) : NULL;
    return value ? value : "";
}

bool db_result_good(const PGresult *result)
{
    const ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/* In flight means: the server may have committed it before the line broke. */
static void *fault_lost(struct db *db, const PGresult *result, const char *what,
                        struct fault *fault)
{
    if (db->in_transaction)
        fault_set(fault, DATABASE_UNREACHABLE, NULL, "the database connection was lost");
    else
        fault_set(fault, DATABASE_COMMIT_UNKNOWN, NULL,
                  "the database connection was lost at work; the change may have been made");
    fault_cause(fault, "%s: %s %s", what, error_field(result, PG_DIAG_SQLSTATE),
                result ? PQresultErrorMessage(result) : PQerrorMessage(db->connection));
    fault->retry_after_s = 5;
    db_drop(db);
    return NULL;
}

void *db_result_fault(struct db *db, const PGresult *result, const char *what, struct fault *fault)
{
    const char *sqlstate = error_field(result, PG_DIAG_SQLSTATE);
    (void)snprintf(db->refusal.sqlstate, sizeof(db->refusal.sqlstate), "%s", sqlstate);
    (void)snprintf(db->refusal.constraint, sizeof(db->refusal.constraint), "%s",
                   error_field(result, PG_DIAG_CONSTRAINT_NAME));
    if (!result || PQstatus(db->connection) != CONNECTION_OK)
        return fault_lost(db, result, what, fault);

    const size_t entry = sqlstate_entry(sqlstate);
    fault_set(fault, sqlstates[entry].reason, NULL, "%s", sqlstates[entry].detail);
    fault_cause(fault, "%s: %s %s: %s", what, sqlstate,
                error_field(result, PG_DIAG_CONSTRAINT_NAME),
                error_field(result, PG_DIAG_MESSAGE_PRIMARY));
    if (fault_reason_kind(fault->reason) == KIND_UNAVAILABLE)
        fault->retry_after_s = 5;
    return NULL;
}

const struct db_refusal *db_refusal(const struct db *db)
{
    return &db->refusal;
}
