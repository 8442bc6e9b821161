/* admin/backup.h: what the verbs of certctl-admin backup share (10 section 17). */
#ifndef CERTCTL_ADMIN_BACKUP_H
#define CERTCTL_ADMIN_BACKUP_H

#include <jansson.h>

#include "admin.h"
#include "backup/set.h"
#include "core/bytes.h"

/* ---- backup_process.c: other programs, and the database as its superuser ---- */

/* We are root, and PostgreSQL's peer authentication knows no root: a connection is opened, and a
 * program run, as the user that owns the cluster. Where there is no such user, as we are. */
struct db *backup_connect(TALLOC_CTX *ctx, const struct settings *settings, const char *database,
                          struct fault *fault);
/* The name of the database in CERTCTL_DATABASE_URL, and the URL with another one. */
const char *backup_database_name(TALLOC_CTX *ctx, const char *url);
const char *backup_url_of(TALLOC_CTX *ctx, const char *url, const char *database);

/* A program of PostgreSQL's with its connection in the environment, never in its arguments. Its
 * input is read from `input` (-1: none); its output can be read from *ret_output where that is not
 * NULL. A talloc object: freed, the program is ended. */
struct program;
struct program *program_start(TALLOC_CTX *ctx, const struct settings *settings,
                              const char *const *arguments, int input, int *ret_output,
                              struct fault *fault);
bool program_end(struct program *program, struct fault *fault);
/* Both, for what says nothing on its output. */
bool program_run(const struct settings *settings, const char *const *arguments, int input,
                 struct fault *fault);
/* certctl-migrate --up, as the superuser. */
bool backup_migrate(const struct settings *settings, const char *database, struct fault *fault);

/* ---- backup_files.c: what lies on the disk ---- */

/* A place whose files belong to a back-up. */
struct place {
    const char *name;      /* of its entries: "ca" */
    const char *directory; /* absolute */
    const char *prefix;    /* the files that begin so; NULL: all */
};
#define PLACES 4
enum place_number { PLACE_CA, PLACE_OCSP, PLACE_APPROVALS, PLACE_LOG };
void backup_places(TALLOC_CTX *ctx, const struct settings *settings, struct place places[PLACES]);

/* Each regular file of the place; of the log only whole lines. */
bool backup_place(struct set_writer *set, const struct place *place, struct fault *fault);
/* The directories and files of CERTCTL_BACKUP_PATHS, with all below them, without `except`. */
bool backup_config(struct set_writer *set, const struct settings *settings, const char *except,
                   struct fault *fault);

/* A whole file, or what fault says. */
bool backup_file_read(TALLOC_CTX *ctx, const char *path, struct bytes *ret_content,
                      struct fault *fault);
/* A copy of `from`, by rename, with this owner; flushed, and its name too. What stood there is kept
 * under the name with `aside` behind it, where that is not NULL. */
bool backup_file_put(const char *path, const char *from, const struct set_entry *as,
                     const char *aside, struct fault *fault);
bool backup_directory_flush(const char *directory, struct fault *fault);
/* The directory and all in it; true where there is none. */
bool backup_remove_all(const char *directory, struct fault *fault);

/* ---- backup.c ---- */

/* The passphrase, from the file or the terminal; on ctx, wiped with it. */
bool backup_passphrase(TALLOC_CTX *ctx, const char *path, bool twice, struct bytes *ret,
                       struct fault *fault);
struct set_reader *backup_open(TALLOC_CTX *ctx, const char *path, const char *passphrase_file,
                               struct fault *fault);
/* The statements of these verbs, for the check under their role. */
void backup_statements_add(struct db *db);
void restore_statements_add(struct db *db);
void verify_statements_add(struct db *db);
void judge_statements_add(struct db *db);

/* ---- backup_judge.c ---- */

/* The members of a manifest that count rows. */
#define BACKUP_COUNTS 3
extern const char *const backup_counts[BACKUP_COUNTS];
/* Whether a database that was restored from the set, which was read to its end, is what the
 * manifest says and holds together; each fault is printed. INPUT_MALFORMED: it does not. */
bool backup_judge(TALLOC_CTX *ctx, struct set_reader *set, struct db *db, struct fault *fault);

/* ---- restore.c, restore_database.c, restore_replay.c ---- */

struct restore {
    TALLOC_CTX *ctx;
    const struct settings *settings;
    const char *actor;
    const char *file;
    const char *passphrase_file;
    bool force;
    bool without_log;
    bool without_crl;
    bool without_config;
    const char *log; /* a copy of the signer's log, or NULL */
    struct text_list crls;

    const char *database; /* the name in the settings */
    const char *scratch;  /* the one that is filled first */
    const char *staging;
    const char *marker;
    const char *aside; /* ".before-restore-…" */
    const char *id;    /* of the set; as its head says */
    int64_t taken_at;
    const json_t *head;
    struct staged *staged;
    size_t staged_count;
};

/* An entry of the set in the staging directory. */
struct staged {
    struct set_entry entry;
    const char *path;
};

int backup_restore_verb(struct admin *admin, int argc, char **argv);

/* One command without parameters; a name as SQL has it. restore_database.c */
bool database_command(struct db *db, const char *sql, struct fault *fault);
const char *database_quoted(TALLOC_CTX *ctx, const char *name);

/* A fresh database, filled from the staged dump and brought to this release's schema. */
bool restore_fill(struct restore *restore, struct fault *fault);
bool restore_drop_scratch(struct restore *restore, struct fault *fault);
/* RESOURCE_STATE: somebody works with it. *ret_empty: it is not there, or has no CA. */
bool restore_look(struct restore *restore, bool *ret_empty, bool *ret_ours, struct fault *fault);
/* One transaction: the filled one takes the name, what had it is kept under another. */
bool restore_swap(struct restore *restore, struct fault *fault);

/* What is known from elsewhere goes into the fresh database: the signer's log, and lists. Judges
 * first whether that is enough. */
struct replay;
struct replay *restore_replay(struct restore *restore, struct fault *fault);
/* After the files are in their places: the signer's numbers, and where its log is read on. */
bool restore_numbers(struct restore *restore, struct replay *replay, struct fault *fault);
void restore_tell(const struct replay *replay);

/* ---- backup_verify.c ---- */

int backup_verify_verb(struct admin *admin, int argc, char **argv);

#endif
