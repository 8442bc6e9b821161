/* admin/admin.c: certctl-admin, what an operator does on the signer's host (04 section 5.2).
 *
 * Run by root it goes on as user certctl-ca, where that exists: PostgreSQL's peer authentication
 * and the signer's admin socket know that user, and the approvals are its own files. */
#include "admin.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "backup.h"

#include "core/banned.h"

/* A noun, its verbs, and as whom they run. */
struct noun {
    const char *name;
    const struct verb *verbs;
    const size_t *count;
    const char *user; /* of the system, where we are root; NULL: root */
    const char *role; /* of the database */
    bool approves;    /* needs the directory of approvals */
};

static const struct noun nouns[] = {
    {"ca",     ca_verbs,     &ca_verbs_count,     "certctl-ca", "certctl_ca", true },
    {"crl",    crl_verbs,    &crl_verbs_count,    "certctl-ca", "certctl_ca", false},
    {"backup", backup_verbs, &backup_verbs_count, NULL,         "postgres",   false},
    {"eab",    eab_verbs,    &eab_verbs_count,    "postgres",   "postgres",   false},
    {"key",    key_verbs,    &key_verbs_count,    "postgres",   "postgres",   false},
    {"reseal", reseal_verbs, &reseal_verbs_count, "postgres",   "postgres",   false},
};

/* Until exit, as settings.h says of what they point to. */
static struct settings settings;

int admin_failed(const struct fault *fault)
{
    (void)fprintf(stderr, "certctl-admin: %s%s%s\n", fault->detail, *fault->cause ? ": " : "",
                  fault->cause);
    if (fault->reason == SETTING_INVALID)
        return EX_CONFIG;
    if (fault->reason == SCHEMA_MISMATCH)
        return EX_UNAVAILABLE;
    if (fault->reason == DATABASE_UNREACHABLE || fault->reason == DATABASE_BUSY)
        return EX_TEMPFAIL;
    return 1;
}

int admin_misused(const struct verb *verbs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (text_equal(verbs[i].verb, name))
            (void)fprintf(stderr, "usage: certctl-admin %s %s %s\n", verbs[i].noun, verbs[i].verb,
                          verbs[i].usage);
    }
    return EX_USAGE;
}

static void usage_of(FILE *out, const struct verb *verbs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "  %s %s %s\n      %s\n", verbs[i].noun, verbs[i].verb, verbs[i].usage,
                      verbs[i].help);
}

static void usage(FILE *out)
{
    (void)fprintf(out, "usage: certctl-admin NOUN VERB [OPTION…]\n\n");
    usage_of(out, ca_verbs, ca_verbs_count);
    usage_of(out, crl_verbs, crl_verbs_count);
    usage_of(out, backup_verbs, backup_verbs_count);
    usage_of(out, eab_verbs, eab_verbs_count);
    usage_of(out, key_verbs, key_verbs_count);
    usage_of(out, reseal_verbs, reseal_verbs_count);
}

static const struct noun *find_noun(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(nouns); i++)
        if (text_equal(nouns[i].name, name))
            return &nouns[i];
    return NULL;
}

static const struct verb *find_verb(const struct noun *noun, const char *name)
{
    for (size_t i = 0; noun && i < *noun->count; i++)
        if (text_equal(noun->verbs[i].verb, name))
            return &noun->verbs[i];
    return NULL;
}

/* Only root can be sudo's child here, so SUDO_USER is as true as root is. */
static const char *person(TALLOC_CTX *ctx)
{
    const struct passwd *me = getpwuid(getuid());
    const char *behind = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    const char *name = me ? me->pw_name : "unknown";

    return behind ? mem_printf(ctx, "%.64s (%.64s)", behind, name) : mem_text(ctx, name);
}

/* What only root may do: the directory of approvals, given to the user of the CA. */
static bool make_directory(const char *state_dir, const struct passwd *user, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s/ca-approvals", state_dir);

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ||
               fault_set(fault, FILE_FAILED, NULL, "the directory of approvals cannot be made") ||
               fault_cause_errno(fault, path);
    return lchown(path, user->pw_uid, user->pw_gid) == 0 ||
           fault_set(fault, FILE_FAILED, NULL, "the directory of approvals cannot be given away") ||
           fault_cause_errno(fault, path);
}

/* For good: there is no way back to root. */
static bool become(const struct passwd *user, struct fault *fault)
{
    if (initgroups(user->pw_name, user->pw_gid) == 0 &&
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) == 0 &&
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == 0 && geteuid() == user->pw_uid)
        return true;
    fault_set(fault, INTERNAL, NULL, "cannot become user %s", user->pw_name);
    return fault_cause_errno(fault, "setresuid");
}

static bool settle_user(const struct noun *noun, const char *state_dir, struct fault *fault)
{
    const struct passwd *user = geteuid() == 0 && noun->user ? getpwnam(noun->user) : NULL;

    if (!user)
        return true;
    return (!noun->approves || make_directory(state_dir, user, fault)) && become(user, fault);
}

static void open_database(struct admin *admin, const struct noun *noun)
{
    const struct db_options options = {
        .url = settings.database_url,
        .role = noun->role,
        .application_name = "certctl-admin",
        .statement_timeout_ms = 10000,
        .unnamed_statements = true,
        .wake_dir = mem_printf(admin->ctx, "%s/wake", settings.runtime_dir),
    };

    admin->db = db_new(admin->ctx, &options);
}

/* certctl-admin [NOUN] --check-statements: under the noun's role, ca's where none is named. */
static int check_statements(struct admin *admin, const struct noun *noun)
{
    struct fault fault = {0};

    if (noun->verbs == eab_verbs)
        eab_statements_add(admin->db);
    if (noun->verbs == key_verbs)
        key_statements_add(admin->db);
    if (noun->verbs == reseal_verbs)
        reseal_statements_add(admin->db);
    if (noun->verbs == backup_verbs)
        backup_statements_add(admin->db);
    if (!db_connect(admin->db, &fault))
        return admin_failed(&fault);
    return db_check_statements(admin->db, &fault) ? EX_OK : 1;
}

static int run(const struct noun *noun, const struct verb *verb, int argc, char **argv)
{
    settings_load_or_exit(&settings); /* first: nothing is owned yet where it exits */
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct admin admin = {.ctx = ctx, .settings = &settings, .actor = person(ctx)};
    struct fault fault = {0};

    if (!settle_user(noun, settings.state_dir, &fault))
        return admin_failed(&fault);
    open_database(&admin, noun);
    return verb ? verb->run(&admin, argc - 2, argv + 2) : check_statements(&admin, noun);
}

int main(int argc, char **argv)
{
    const bool check = (argc == 2 || argc == 3) && text_equal(argv[argc - 1], "--check-statements");
    const struct noun *noun = argc >= 3 ? find_noun(argv[1]) : NULL;

    if (argc == 2 && check)
        return run(&nouns[0], NULL, argc, argv);
    const struct verb *verb = noun ? find_verb(noun, argv[2]) : NULL;

    if (argc == 2 && text_equal(argv[1], "--version")) {
        (void)printf("certctl-admin %s\n", CERTCTL_VERSION);
        return EX_OK;
    }
    if (argc == 2 && text_equal(argv[1], "--help")) {
        usage(stdout);
        return EX_OK;
    }
    if (!noun || (!verb && !check)) {
        usage(stderr);
        return EX_USAGE;
    }
    return run(noun, verb, argc, argv);
}
