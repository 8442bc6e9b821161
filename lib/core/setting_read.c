/* lib/core/setting_read.c: the engine under every table of settings: one text into its place, and
 * back into text. The table of the CERTCTL_* variables is in settings.c. */

#include <inttypes.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/settings.h"

#include "core/banned.h"

struct size_unit {
    const char *suffix;
    int64_t bytes;
};

static const struct size_unit size_units[] = {
    {"GiB", 1073741824},
    {"MiB", 1048576   },
    {"KiB", 1024      },
    {"",    1         },
};

static bool text_to_size(const char *text, int64_t *ret_bytes)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    int64_t count;

    for (size_t i = 0; i < ARRAY_SIZE(size_units); i++) {
        const struct size_unit *unit = &size_units[i];
        if (!text_ends(text, unit->suffix))
            continue;
        const char *digits = mem_text_n(scratch, text, strlen(text) - strlen(unit->suffix));
        if (!text_to_integer(digits, 0, INT64_MAX / unit->bytes, &count))
            return false;
        *ret_bytes = count * unit->bytes;
        return true;
    }
    return false;
}

/* In the largest unit that divides it. */
static char *text_from_size(TALLOC_CTX *ctx, int64_t bytes)
{
    for (size_t i = 0; bytes > 0 && i < ARRAY_SIZE(size_units); i++) {
        const struct size_unit *unit = &size_units[i];
        if (bytes % unit->bytes == 0)
            return mem_printf(ctx, "%" PRId64 "%s", bytes / unit->bytes, unit->suffix);
    }
    return mem_printf(ctx, "%" PRId64, bytes);
}

static char *number_text(TALLOC_CTX *ctx, enum setting_kind kind, int64_t value)
{
    if (kind == SETTING_DURATION)
        return text_from_duration_ms(ctx, value);
    if (kind == SETTING_SIZE)
        return text_from_size(ctx, value);
    return mem_printf(ctx, "%" PRId64, value);
}

static char *choices_text(TALLOC_CTX *ctx, const struct setting *setting)
{
    const struct text_list choices = text_split(ctx, setting->choices, '|');

    return text_list_join(ctx, &choices, ", ");
}

char *settings_limits(TALLOC_CTX *ctx, const struct setting *setting)
{
    if (setting->kind == SETTING_CHOICE)
        return choices_text(ctx, setting);
    if (setting->least == 0 && setting->most == 0)
        return NULL;
    if (setting->kind == SETTING_SECRET)
        return mem_printf(ctx, "at least %" PRId64 " bytes", setting->least);
    const char *least_text = number_text(ctx, setting->kind, setting->least);
    if (setting->most == SETTING_NO_LIMIT)
        return mem_printf(ctx, "at least %s", least_text);
    return mem_printf(ctx, "%s to %s", least_text, number_text(ctx, setting->kind, setting->most));
}

/* A secret is not shown, whatever is wrong with it. */
static void *refuse(const struct setting *setting, const char *value, const char *rule,
                    struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *shown = setting->kind == SETTING_SECRET ? "the value" : text_quote(scratch, value);

    return fault_set(fault, SETTING_INVALID, setting->name, "%s: %s %s", setting->name, shown,
                     rule);
}

static bool parse_number(enum setting_kind kind, const char *value, int64_t *ret)
{
    if (kind == SETTING_DURATION)
        return text_to_duration_ms(value, ret);
    if (kind == SETTING_SIZE)
        return text_to_size(value, ret);
    return text_to_integer(value, INT64_MIN, INT64_MAX, ret);
}

static const char *number_rule(enum setting_kind kind)
{
    if (kind == SETTING_DURATION)
        return "is not a duration";
    if (kind == SETTING_SIZE)
        return "is not a size such as 1048576, 64KiB or 16MiB";
    return "is not a whole number";
}

static bool read_number(const struct setting *setting, const char *value, int64_t *into,
                        struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    int64_t number;

    if (!parse_number(setting->kind, value, &number))
        return refuse(setting, value, number_rule(setting->kind), fault);
    const bool limited = setting->least != 0 || setting->most != 0;
    if (limited && number < setting->least) {
        const char *limit = number_text(scratch, setting->kind, setting->least);
        return refuse(setting, value, mem_printf(scratch, "is less than %s", limit), fault);
    }
    if (limited && number > setting->most) {
        const char *limit = number_text(scratch, setting->kind, setting->most);
        return refuse(setting, value, mem_printf(scratch, "is more than %s", limit), fault);
    }
    *into = number;
    return true;
}

static bool read_bool(const struct setting *setting, const char *value, bool *into,
                      struct fault *fault)
{
    return text_to_bool(value, into) || refuse(setting, value, "is not true or false", fault);
}

/* Log lines, messages and file names are made of it. */
static bool plain_text(const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        if ((uint8_t)*at < 0x20 || *at == 0x7f)
            return false;
    }
    return text_utf8_valid(value, strlen(value));
}

static bool one_of(const char *value, const char *choices)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list list = text_split(scratch, choices, '|');

    return text_list_has(&list, value);
}

/* ":1" to ":65535", or nothing. */
static bool port_valid(const char *text)
{
    int64_t port;

    if (*text == '\0')
        return true;
    return *text == ':' && text[1] != '-' && text_to_integer(text + 1, 1, 65535, &port);
}

/* http or https, host, perhaps a port; lower case, since others compare it byte by byte. */
static bool base_url(const char *value)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    static const char address[] = "abcdef0123456789:.";

    if (!text_starts(value, "http://") && !text_starts(value, "https://"))
        return false;
    const char *host = strstr(value, "://") + 3;
    if (*host != '[') {
        const size_t length = strspn(host, name);
        return length > 0 && port_valid(host + length);
    }
    const size_t length = strspn(host + 1, address);
    return length > 1 && host[1 + length] == ']' && port_valid(host + 1 + length + 1);
}

static bool hex32(const char *value)
{
    return strlen(value) == 64 && strspn(value, "0123456789abcdef") == 64;
}

/* NULL: the value is good. Else what to say after it; on ctx or constant. */
static const char *text_fails(TALLOC_CTX *ctx, const struct setting *setting, const char *value)
{
    if (!plain_text(value))
        return "holds a control character or is not UTF-8";
    if (setting->kind == SETTING_CHOICE && !one_of(value, setting->choices))
        return mem_printf(ctx, "is none of %s", choices_text(ctx, setting));
    if (setting->kind == SETTING_URL && !base_url(value))
        return "is not http or https://host[:port] in lower case, without a path";
    if (setting->kind == SETTING_PATH && *value != '/')
        return "is not an absolute path";
    if (setting->kind == SETTING_HEX32 && !hex32(value))
        return "is not 64 lower-case hex digits";
    return NULL;
}

/* The words are the reference's (04 section 2). */
static bool long_enough(const struct setting *setting, const char *value, struct fault *fault)
{
    const size_t size = strlen(value);

    return setting->kind != SETTING_SECRET || (int64_t)size >= setting->least ||
           fault_set(fault, SETTING_INVALID, setting->name,
                     "%s too short (%zu bytes; minimum %" PRId64
                     "). Generate with: openssl rand -base64 32",
                     setting->name, size, setting->least);
}

static bool read_text(TALLOC_CTX *ctx, const struct setting *setting, const char *value,
                      const char **into, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (*value == '\0' && setting->kind != SETTING_CHOICE) {
        *into = NULL;
        return true;
    }
    const char *rule = text_fails(scratch, setting, value);
    if (rule)
        return refuse(setting, value, rule, fault);
    if (!long_enough(setting, value, fault))
        return false;
    *into = mem_text(ctx, value);
    return true;
}

static bool read_list(TALLOC_CTX *ctx, const struct setting *setting, const char *value,
                      struct text_list *into, struct fault *fault)
{
    if (!plain_text(value))
        return refuse(setting, value, "holds a control character or is not UTF-8", fault);
    *into = text_split(ctx, value, ',');
    return true;
}

bool setting_read(TALLOC_CTX *ctx, const struct setting *setting, const char *value, void *into,
                  struct fault *fault)
{
    void *place = (char *)into + setting->offset;

    switch (setting->kind) {
    case SETTING_BOOL:
        return read_bool(setting, value, place, fault);
    case SETTING_INTEGER:
    case SETTING_SIZE:
    case SETTING_DURATION:
        return read_number(setting, value, place, fault);
    case SETTING_LIST:
        return read_list(ctx, setting, value, place, fault);
    case SETTING_TEXT:
    case SETTING_CHOICE:
    case SETTING_URL:
    case SETTING_PATH:
    case SETTING_HEX32:
    case SETTING_SECRET:
        return read_text(ctx, setting, value, place, fault);
    }
    return fault_set(fault, INTERNAL, setting->name, "setting of an unknown kind");
}

/* Most database URLs hold no password (peer authentication), and then showing one helps. In doubt
 * it counts as holding one: a colon before the last '@', an escape in the query, or a parameter
 * that speaks of a password or a secret. Key-value connection strings are always in doubt. */
static bool database_url_without_password(const char *value)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!text_starts(value, "postgres://") && !text_starts(value, "postgresql://"))
        return false;
    const char *authority = strstr(value, "://") + 3;
    const char *query = strchrnul(authority, '?');
    const char *at = memrchr(authority, '@', (size_t)(query - authority));
    if (at && memchr(authority, ':', (size_t)(at - authority)))
        return false;
    const char *lowered = text_lower(scratch, query);
    return !strchr(lowered, '%') && !strchr(lowered, '@') && !strstr(lowered, "pass") &&
           !strstr(lowered, "secret");
}

static char *secret_text(TALLOC_CTX *ctx, const char *value)
{
    if (!value)
        return mem_text(ctx, "[not set]");
    return mem_text(ctx, database_url_without_password(value) ? value : "[set]");
}

char *settings_text(TALLOC_CTX *ctx, const void *settings, const struct setting *setting)
{
    const void *place = (const char *)settings + setting->offset;
    const char *text;

    switch (setting->kind) {
    case SETTING_BOOL:
        return mem_text(ctx, *(const bool *)place ? "true" : "false");
    case SETTING_INTEGER:
    case SETTING_SIZE:
    case SETTING_DURATION:
        return number_text(ctx, setting->kind, *(const int64_t *)place);
    case SETTING_LIST:
        return text_list_join(ctx, place, ",");
    case SETTING_SECRET:
        return secret_text(ctx, *(const char *const *)place);
    case SETTING_TEXT:
    case SETTING_CHOICE:
    case SETTING_URL:
    case SETTING_PATH:
    case SETTING_HEX32:
        text = *(const char *const *)place;
        return mem_text(ctx, text ? text : "");
    }
    return NULL;
}
