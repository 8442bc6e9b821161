/* admin/admin.h: what the verbs of certctl-admin share. */
#ifndef CERTCTL_ADMIN_ADMIN_H
#define CERTCTL_ADMIN_ADMIN_H

#include <stddef.h>
#include <talloc.h>

#include "core/fault.h"
#include "core/settings.h"
#include "db/db.h"

struct admin {
    TALLOC_CTX *ctx;
    const struct settings *settings;
    struct db *db;
    const char *actor; /* the person, for audit rows */
};

/* certctl-admin NOUN VERB …; argv[0] is the verb. Returns the exit status. */
struct verb {
    const char *noun;
    const char *verb;
    const char *usage; /* its arguments */
    const char *help;  /* one line */
    int (*run)(struct admin *admin, int argc, char **argv);
};

extern const struct verb ca_verbs[];
extern const size_t ca_verbs_count;
extern const struct verb crl_verbs[];
extern const size_t crl_verbs_count;
extern const struct verb backup_verbs[];
extern const size_t backup_verbs_count;
extern const struct verb key_verbs[];
extern const size_t key_verbs_count;
extern const struct verb reseal_verbs[];
extern const size_t reseal_verbs_count;
extern const struct verb eab_verbs[];
extern const size_t eab_verbs_count;
/* The statements of the eab verbs, for the check under their role. */
void eab_statements_add(struct db *db);
/* Whether the passphrase is this database's; the first that asks decides what is. The session has
 * the owner's rights already. SEAL_KEY_MISSING, SEAL_UNREADABLE. */
bool reseal_canary_check(struct admin *admin, struct fault *fault);
/* The statements of the reseal verbs, for the check under their role. */
void reseal_statements_add(struct db *db);
/* The statements of the key verbs, for the check under their role. */
void key_statements_add(struct db *db);

/* One line on stderr; the exit status that fits: 1, 69, 75 or 78. */
int admin_failed(const struct fault *fault);
/* The usage of the verb on stderr; 64. */
int admin_misused(const struct verb *verbs, size_t count, const char *name);

/* The verbs about requests, in ca_request.c. */
int ca_bootstrap_verb(struct admin *admin, int argc, char **argv);
int ca_requests_verb(struct admin *admin, int argc, char **argv);
int ca_approve_verb(struct admin *admin, int argc, char **argv);
int ca_self_signed_verb(struct admin *admin, int argc, char **argv);
int ca_create_verb(struct admin *admin, int argc, char **argv);
int ca_csr_verb(struct admin *admin, int argc, char **argv);
int ca_import_verb(struct admin *admin, int argc, char **argv);
int ca_sign_verb(struct admin *admin, int argc, char **argv);
int ca_rotate_verb(struct admin *admin, int argc, char **argv);
int ca_retire_verb(struct admin *admin, int argc, char **argv);
int ca_result_verb(struct admin *admin, int argc, char **argv);
int ca_facts_verb(struct admin *admin, int argc, char **argv);
int ca_refuse_verb(struct admin *admin, int argc, char **argv);
/* In ca_chains.c. */
int ca_chains_verb(struct admin *admin, int argc, char **argv);

#endif
