/* lib/core/settings.c: every CERTCTL_* variable, from one table (INDEX section e). */

#include "core/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/log.h"
#include "core/memory.h"

#include "core/banned.h"

#define SECRET_FILE_MAX 65536
#define FAULTS_SHOWN    32
#define EXIT_CONFIG     78 /* sysexits.h: EX_CONFIG */

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define MIB    1048576

static const struct setting table[] = {
#define SETTING(name, kind, member, fallback, least, most, choices, help)                          \
    {"CERTCTL_" #name, SETTING_##kind, AT(settings, member), fallback, help, least, most, choices},
#include "core/settings.def"
#undef SETTING
};

const struct setting *settings_table(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(table);
    return table;
}

/* Settings live until exit. The leak checker finds them from here, but only since the root is not
 * empty: a pointer to an empty talloc context points behind its block. */
static TALLOC_CTX *settings_root(void)
{
    static TALLOC_CTX *root;

    if (!root)
        root = talloc_named_const(NULL, 1, "settings");
    return root;
}

static const char *environment_text(const char *name)
{
    const char *value = getenv(name);

    return value && *value != '\0' ? value : NULL;
}

/* Others than owner and group must have no rights at all, not even to write. */
static bool secret_file_acceptable(int fd, const char *name, const char *shown, struct fault *fault)
{
    struct stat facts;

    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode))
        return fault_set(fault, SETTING_INVALID, name, "%s_FILE: %s is not a regular file", name,
                         shown);
    if ((facts.st_mode & S_IRWXO) != 0)
        return fault_set(fault, SETTING_INVALID, name,
                         "%s_FILE: %s is open to other users (mode %04o)", name, shown,
                         (unsigned)facts.st_mode & 07777U);
    if (facts.st_size > SECRET_FILE_MAX)
        return fault_set(fault, SETTING_INVALID, name, "%s_FILE: %s is larger than 64KiB", name,
                         shown);
    return true;
}

static bool read_whole(int fd, char *into, size_t room, size_t *ret_size)
{
    size_t used = 0;

    while (used < room) {
        const ssize_t got = read(fd, into + used, room - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    *ret_size = used;
    return true;
}

/* The text of the file without one newline at its end. O_NONBLOCK: a FIFO must not hold us up. */
static const char *secret_from_file(TALLOC_CTX *ctx, const char *name, const char *path,
                                    struct fault *fault)
{
    const char *shown = text_quote(ctx, path);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    size_t size = 0;

    if (fd < 0) {
        fault_set(fault, SETTING_INVALID, name, "%s_FILE: %s cannot be opened", name, shown);
        return fault_cause_errno(fault, "open");
    }
    if (!secret_file_acceptable(fd, name, shown, fault))
        return NULL;
    char *text = mem_array(ctx, char, SECRET_FILE_MAX + 2);
    if (!read_whole(fd, text, SECRET_FILE_MAX + 1, &size)) {
        fault_set(fault, SETTING_INVALID, name, "%s_FILE: %s cannot be read", name, shown);
        return fault_cause_errno(fault, "read");
    }
    if (size > SECRET_FILE_MAX)
        return fault_set(fault, SETTING_INVALID, name, "%s_FILE: %s is larger than 64KiB", name,
                         shown);
    if (memchr(text, '\0', size))
        return fault_set(fault, SETTING_INVALID, name, "%s_FILE: %s holds a NUL", name, shown);
    if (size > 0 && text[size - 1] == '\n')
        text[size - 1] = '\0';
    return text;
}

/* *ret_value stays NULL where nothing is set. */
static bool secret_value(TALLOC_CTX *ctx, const struct setting *setting, const char **ret_value,
                         struct fault *fault)
{
    const char *path = environment_text(mem_printf(ctx, "%s_FILE", setting->name));

    if (path && *ret_value)
        return fault_set(fault, SETTING_INVALID, setting->name,
                         "%s: set both directly and by %s_FILE; one must go", setting->name,
                         setting->name);
    if (!path)
        return true;
    *ret_value = secret_from_file(ctx, setting->name, path, fault);
    if (!*ret_value)
        return false;
    if (**ret_value == '\0')
        return fault_set(fault, SETTING_INVALID, setting->name, "%s_FILE: %s is empty",
                         setting->name, text_quote(ctx, path));
    return true;
}

/* The reference takes an order lifetime or a concurrency of zero or less for the default (01
 * section 4.1). */
static bool means_default(const struct setting *setting, const char *value)
{
    const bool minus = *value == '-';
    int64_t number;

    if (setting->offset == AT(settings, acme_http01_concurrency) ||
        setting->offset == AT(settings, acme_dns01_concurrency) ||
        setting->offset == AT(settings, acme_tlsalpn01_concurrency))
        return text_to_integer(value, INT64_MIN, 0, &number);
    if (setting->offset != AT(settings, acme_order_ttl_ms))
        return false;
    return text_to_duration_ms(value + (minus ? 1 : 0), &number) && (minus || number == 0);
}

static const char *host_name(TALLOC_CTX *ctx)
{
    char name[256] = {0};

    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
        return "localhost";
    return mem_text(ctx, name);
}

/* The table lists the directories before all that stands on them. */
static const char *fallback_value(TALLOC_CTX *ctx, const struct setting *setting,
                                  const struct settings *settings)
{
    const char *fallback = setting->fallback ? setting->fallback : "";

    if (text_starts(fallback, "<runtime dir>"))
        return mem_printf(ctx, "%s%s", settings->runtime_dir, strchr(fallback, '>') + 1);
    if (text_starts(fallback, "<state dir>"))
        return mem_printf(ctx, "%s%s", settings->state_dir, strchr(fallback, '>') + 1);
    if (text_starts(fallback, "<data dir>"))
        return mem_printf(ctx, "%s%s", CERTCTL_DATADIR, strchr(fallback, '>') + 1);
    if (text_equal(fallback, "<host name>"))
        return host_name(ctx);
    return fallback;
}

static void take_fallback(const struct setting *setting, struct settings *settings)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *value = fallback_value(scratch, setting, settings);
    struct fault fault;

    /* Only the host name is not ours; where it cannot be used, one that can stands in. */
    if (!setting_read(settings_root(), setting, value, settings, &fault))
        (void)setting_read(settings_root(), setting, "localhost", settings, &fault);
}

static bool take_environment(const struct setting *setting, struct settings *settings,
                             struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *value = environment_text(setting->name);

    if (setting->kind == SETTING_SECRET && !secret_value(scratch, setting, &value, fault))
        return false;
    if (!value || means_default(setting, value))
        return true;
    return setting_read(settings_root(), setting, value, settings, fault);
}

void settings_defaults(struct settings *ret_settings)
{
    *ret_settings = (struct settings){0};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        take_fallback(&table[i], ret_settings);
}

/* A refused value leaves its default behind, so that the rest can be checked too; but the whole
 * is handed out only when nothing was refused. */
bool settings_load(struct settings *ret_settings, struct fault *faults, size_t faults_max,
                   size_t *ret_faults)
{
    struct settings settings = {0};
    size_t refused = 0;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct fault fault = {0};
        take_fallback(&table[i], &settings);
        if (take_environment(&table[i], &settings, &fault))
            continue;
        if (refused < faults_max)
            faults[refused] = fault;
        refused++;
    }
    *ret_faults = refused;
    if (refused > 0)
        return false;
    *ret_settings = settings;
    return true;
}

static void configure_log(const struct settings *settings)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    size_t level = 0;

    while (level < LOG_ERROR && !text_equal(settings->log_level, levels[level]))
        level++;
    log_configure((enum log_level)level,
                  text_equal(settings->log_format, "json") ? LOG_JSON : LOG_PLAIN);
}

/* 04 section 5.2: whoever can ask for a CA then gets one. */
static void announce(const struct settings *settings)
{
    if (text_equal(settings->ca_approval, "api"))
        log_message(LOG_WARN,
                    "CERTCTL_CA_APPROVAL=api: CA requests are carried out without approval "
                    "on this host");
}

static void show_refusal(const struct fault *fault)
{
    (void)fprintf(stderr, "refused: %s%s%s%s\n", fault->detail, fault->cause[0] != '\0' ? " (" : "",
                  fault->cause, fault->cause[0] != '\0' ? ")" : "");
}

void settings_load_or_exit(struct settings *ret_settings)
{
    static struct fault faults[FAULTS_SHOWN];
    const struct timespec pause = {.tv_sec = 1};
    size_t count = 0;

    if (settings_load(ret_settings, faults, ARRAY_SIZE(faults), &count)) {
        configure_log(ret_settings);
        announce(ret_settings);
        return;
    }
    for (size_t i = 0; i < least(count, ARRAY_SIZE(faults)); i++)
        show_refusal(&faults[i]);
    if (count > ARRAY_SIZE(faults))
        (void)fprintf(stderr, "refused: %zu more\n", count - ARRAY_SIZE(faults));
    (void)nanosleep(&pause, NULL);
    exit(EXIT_CONFIG);
}

/* NAME of a setting, or NAME_FILE of a secret. */
static bool known(const char *name, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const size_t size = strlen(table[i].name);
        if (length < size || memcmp(name, table[i].name, size) != 0)
            continue;
        if (length == size)
            return true;
        if (table[i].kind == SETTING_SECRET && length == size + 5 &&
            memcmp(name + size, "_FILE", 5) == 0)
            return true;
    }
    return false;
}

struct text_list settings_unknown(TALLOC_CTX *ctx)
{
    struct text_list unknown = {0};

    for (char **at = environ; at && *at; at++) {
        const size_t length = (size_t)(strchrnul(*at, '=') - *at);
        if (!text_starts(*at, "CERTCTL_") || known(*at, length))
            continue;
        char *name = mem_text_n(ctx, *at, length);
        text_list_add(ctx, &unknown, name);
        talloc_free(name);
    }
    return unknown;
}
