/* lib/resource/write.h: the write side of a resource as a table of facts, and the one
 * implementation of POST, PUT, PATCH and DELETE for all of them (05 sections 2.7 and 2.9).
 *
 * A body is held against the fields, one by one, and every failing one is told. What it says is
 * merged into the stored row under the row's lock, and the row is written together with its audit
 * row in one statement. SQL is made of the tables alone; values travel as one JSON parameter, which
 * jsonb_populate_record reads by the types of the table's columns. */
#ifndef CERTCTL_RESOURCE_WRITE_H
#define CERTCTL_RESOURCE_WRITE_H

#include <jansson.h>

#include "auth/admission.h"
#include "db/db.h"
#include "web/request.h"
#include "web/response.h"

struct resource;
struct resource_set;

enum field_kind {
    FIELD_NAME,    /* text of one line without white space at its ends */
    FIELD_TEXT,    /* text of one line */
    FIELD_NOTE,    /* text; line feed and tab are allowed */
    FIELD_ID,      /* the grammar of ids; names an object */
    FIELD_CHOICE,  /* one of `choices`, in that spelling */
    FIELD_BOOLEAN, /* true or false */
    FIELD_INTEGER, /* between least and most */
    FIELD_TEXTS,   /* array of at most `most` texts of one line */
    FIELD_ARRAY,   /* array of at most `most` items; `check` looks at them */
    FIELD_OBJECT,  /* object; PATCH merges into it (RFC 7396) */
};

enum field_flags {
    FIELD_REQUIRED = 1,        /* never absent or empty */
    FIELD_NULLABLE = 2,        /* may be NULL; "" and PATCH's null clear it */
    FIELD_FIXED = 4,           /* set at creation, read-only afterwards */
    FIELD_PRIVATE = 8,         /* the audit row says that it changed, never its value */
    FIELD_ZERO_IS_ABSENT = 16, /* POST: 0 stands for the fallback */
    FIELD_ELSEWHERE = 32,      /* no column: `column` is an SQL expression on t, hooks store it */
};

struct resource_field;

/* Adds what is wrong with a value of the right JSON type to the list, with field->name as field. */
typedef void field_check(const struct resource_field *field, const json_t *value,
                         struct fault_list *problems);

struct resource_field {
    const char *name; /* the JSON member */
    enum field_kind kind;
    unsigned flags;
    const char *fallback; /* JSON of what it is at creation where the body is silent; NULL: null */
    int64_t least;        /* FIELD_INTEGER */
    int64_t most;         /* FIELD_INTEGER; of texts: characters, 0: no limit; of arrays: items */
    const char *choices;  /* FIELD_CHOICE: separated by '|' */
    const char *refers;   /* FIELD_ID: "owner", in `no such owner "o-x"` */
    const char *column;   /* NULL: as name */
    const char *label;    /* in refusals: "profile name"; NULL: the name */
    field_check *check;
};

/* A row of a table of fields: FIELD("name", NAME, .flags = FIELD_REQUIRED, .most = 255). */
#define FIELD(member, type, ...)                                                                   \
    {                                                                                              \
        .name = (member), .kind = FIELD_##type, __VA_ARGS__                                        \
    }

/* What the database says of a constraint, in words. On unique constraints of the table: 409
 * duplicate; on foreign keys of others, met by a deletion: 409 in_use. */
struct resource_constraint {
    const char *name;
    const char *text;
};

enum resource_verb { RESOURCE_CREATE, RESOURCE_UPDATE, RESOURCE_DELETE };

/* One change on its way. Objects are keyed by member and complete. Hangs on the request. */
struct resource_change {
    struct request *request;
    const struct resource_set *set;
    const struct resource *resource;
    const struct principal *principal;
    enum resource_verb verb;
    const char *id;
    int64_t row_version; /* of the stored row; 0: create */
    const char *tag;     /* of the stored row, without quotes */
    const char *doc;     /* the stored row as the view shows it */
    json_t *stored;      /* NULL: create */
    json_t *row;         /* what it shall be; NULL: delete */
    json_t *columns;     /* more columns to write, for hooks (a sealed secret); else empty */
};

/* Each runs where it stands in the order of 05 section 7, inside the transaction that holds the
 * row's lock, but for adapt and check, which ask no database. False refuses, and all is undone. */
struct resource_hooks {
    /* Before anything is judged: older names of members, defaults that are settings. */
    void (*adapt)(const struct request *request, enum resource_verb verb, json_t *body);
    /* Rules over more than one member. */
    void (*check)(const struct resource_change *change, struct fault_list *problems);
    /* Apply now, or answer otherwise: where it sets the response (202), what it wrote is committed
     * and the row stays as it was. The one place for two-person edits. */
    bool (*gate)(const struct resource_change *change, struct response *response,
                 struct fault *fault);
    /* May look things up, complete row and columns, refuse. */
    bool (*before)(struct resource_change *change, struct fault *fault);
    /* Writes what lies in other tables. Not called for a deletion. */
    bool (*after)(const struct resource_change *change, struct fault *fault);
};

struct resource_write {
    const char *table;
    const char *noun; /* in refusals: "renewal policy" */
    const struct resource_field *fields;
    size_t field_count;
    const char *id_prefix; /* of ids that are made: "prof" */
    bool id_by_client;     /* POST may bring one */
    /* Makes an id of the row instead (a slug). Tried again with the next attempt while taken. */
    char *(*make_id)(TALLOC_CTX *ctx, const json_t *row, unsigned attempt);
    const struct resource_constraint *constraints;
    size_t constraint_count;
    const char *const *more_columns; /* that only hooks write, by change->columns; ends with NULL */
    const char *remove;              /* "UPDATE … t SET …" in place of DELETE FROM; or NULL */
    const char *actions[3];          /* of audit rows, by verb */
    const char *category;            /* of audit rows */
    const char *audit_type;          /* resource_type of audit rows */
    struct resource_hooks hooks;
};

#define RESOURCE_FIELDS_MAX 64

/* Handlers' bodies. The principal's scope is that of the permission to write. Answers: 201 with
 * Location, 200, 200, 204; bodies are the resource as the view shows it, with its new ETag. */
bool resource_create(struct request *request, struct response *response,
                     const struct resource_set *set, const struct resource *resource,
                     const struct principal *principal, struct fault *fault);
/* PUT: absent and null members keep what is stored. */
bool resource_put(struct request *request, struct response *response,
                  const struct resource_set *set, const struct resource *resource,
                  const struct principal *principal, struct fault *fault);
/* PATCH: RFC 7396; null clears. */
bool resource_patch(struct request *request, struct response *response,
                    const struct resource_set *set, const struct resource *resource,
                    const struct principal *principal, struct fault *fault);
bool resource_delete(struct request *request, struct response *response,
                     const struct resource_set *set, const struct resource *resource,
                     const struct principal *principal, struct fault *fault);

/* Writes a change in the caller's transaction, for what was decided on earlier (an approved edit):
 * request, set, resource, principal, verb, id, row, and row_version as it was then; the row must
 * still be of that version (RESOURCE_STATE). Runs `before` and `after`. */
bool resource_apply(struct resource_change *change, const char *action, const char *category,
                    struct fault *fault);

#endif
