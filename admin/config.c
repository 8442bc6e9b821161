/* admin/config.c: certctl-config, which says what the environment means before a process does.
 *
 *     certctl-config check          all refusals and warnings; exit 0 or 78
 *     certctl-config list           every variable with its value; a star where not the default
 *     certctl-config explain NAME   kind, default, limits, meaning, value in force */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/settings.h"
#include "net/guard.h"

#include "core/banned.h"

#define FAULTS_MAX  64
#define EXIT_USAGE  64 /* sysexits.h: EX_USAGE */
#define EXIT_CONFIG 78 /* sysexits.h: EX_CONFIG */

struct outcome {
    struct settings settings; /* meaningful when nothing was refused */
    struct fault faults[FAULTS_MAX];
    size_t refused;
};

/* "192.0.2.0/24", "2001:db8::/32". */
static bool cidr_valid(TALLOC_CTX *ctx, const char *text)
{
    uint8_t address[16];
    int64_t prefix;
    const char *slash = strchr(text, '/');

    if (!slash || slash[1] == '-')
        return false;
    const char *host = mem_text_n(ctx, text, (size_t)(slash - text));
    const bool v6 = strchr(host, ':') != NULL;
    return inet_pton(v6 ? AF_INET6 : AF_INET, host, address) == 1 &&
           text_to_integer(slash + 1, 0, v6 ? 128 : 32, &prefix);
}

/* Responders never read the list, so only this tool checks it (05 section 1.3). */
static bool proxies_valid(const struct settings *settings, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list *list = &settings->trusted_proxies;

    for (size_t i = 0; i < list->count; i++) {
        if (!cidr_valid(scratch, list->items[i]))
            return fault_set(fault, SETTING_INVALID, "CERTCTL_TRUSTED_PROXIES",
                             "CERTCTL_TRUSTED_PROXIES: %s is not an address with a prefix length",
                             text_quote(scratch, list->items[i]));
    }
    return true;
}

/* Who dials out reads it when there is work; here it is read before. */
static bool exceptions_valid(const struct settings *settings, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return guard_new(scratch, settings->block_rfc1918_outbound, &settings->outbound_allow_cidrs,
                     fault) != NULL;
}

/* So that a client has a list while two builds in a row fail (04 section 2). */
static bool crl_valid(const struct settings *settings, struct fault *fault)
{
    return settings->crl_validity_ms / 2 > settings->crl_generation_interval_ms ||
           fault_set(fault, SETTING_INVALID, "CERTCTL_CRL_VALIDITY",
                     "CERTCTL_CRL_VALIDITY must be more than twice "
                     "CERTCTL_CRL_GENERATION_INTERVAL");
}

static void load(struct outcome *outcome)
{
    if (settings_load(&outcome->settings, outcome->faults, FAULTS_MAX, &outcome->refused) &&
        (!proxies_valid(&outcome->settings, &outcome->faults[0]) ||
         !crl_valid(&outcome->settings, &outcome->faults[0]) ||
         !exceptions_valid(&outcome->settings, &outcome->faults[0])))
        outcome->refused = 1;
}

static void show_refusals(const struct outcome *outcome)
{
    for (size_t i = 0; i < least(outcome->refused, (size_t)FAULTS_MAX); i++) {
        const struct fault *fault = &outcome->faults[i];
        (void)fprintf(stderr, "refused: %s", fault->detail);
        if (fault->cause[0] != '\0')
            (void)fprintf(stderr, " (%s)", fault->cause);
        (void)fprintf(stderr, "\n");
    }
}

static int check(const struct outcome *outcome)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list unknown = settings_unknown(scratch);

    for (size_t i = 0; i < unknown.count; i++)
        (void)fprintf(stderr, "warning: %s is no variable of certctl\n", unknown.items[i]);
    show_refusals(outcome);
    if (outcome->refused > 0)
        return EXIT_CONFIG;
    (void)printf("the configuration is accepted\n");
    return EXIT_SUCCESS;
}

static int list(const struct outcome *outcome)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct settings defaults;
    size_t count;
    const struct setting *table = settings_table(&count);

    show_refusals(outcome);
    if (outcome->refused > 0)
        return EXIT_CONFIG;
    settings_defaults(&defaults);
    for (size_t i = 0; i < count; i++) {
        const char *value = settings_text(scratch, &outcome->settings, &table[i]);
        const char *usual = settings_text(scratch, &defaults, &table[i]);
        (void)printf("%s %s=%s\n", text_equal(value, usual) ? " " : "*", table[i].name, value);
    }
    return EXIT_SUCCESS;
}

static const char *kind_text(enum setting_kind kind)
{
    switch (kind) {
    case SETTING_TEXT:
        return "text";
    case SETTING_BOOL:
        return "true or false";
    case SETTING_INTEGER:
        return "whole number";
    case SETTING_SIZE:
        return "size in bytes, or with KiB, MiB, GiB";
    case SETTING_DURATION:
        return "duration such as 90s, 1h30m, 250ms";
    case SETTING_CHOICE:
        return "one of a few words";
    case SETTING_LIST:
        return "list, separated by commas";
    case SETTING_URL:
        return "http or https://host[:port]";
    case SETTING_PATH:
        return "absolute path";
    case SETTING_HEX32:
        return "32 octets in lower-case hex";
    case SETTING_SECRET:
        return "secret, directly or in the file that NAME_FILE names";
    }
    return "unknown";
}

static const struct setting *find(const char *name)
{
    size_t count;
    const struct setting *table = settings_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (text_equal(table[i].name, name))
            return &table[i];
    }
    return NULL;
}

/* Why the value in force is none, on ctx; NULL: nothing was refused. */
static const char *refusal_of(TALLOC_CTX *ctx, const struct outcome *outcome, const char *name)
{
    for (size_t i = 0; i < least(outcome->refused, (size_t)FAULTS_MAX); i++) {
        if (text_equal(outcome->faults[i].field, name))
            return mem_printf(ctx, "refused: %s", outcome->faults[i].detail);
    }
    return outcome->refused > 0 ? "none, since other variables are refused" : NULL;
}

static int explain(const struct outcome *outcome, const char *name)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct setting *setting = find(name);

    if (!setting) {
        (void)fprintf(stderr, "certctl-config: %s is no variable of certctl\n", name);
        return EXIT_USAGE;
    }
    const char *limits = settings_limits(scratch, setting);
    const char *refusal = refusal_of(scratch, outcome, name);
    const char *value = refusal ? refusal : settings_text(scratch, &outcome->settings, setting);
    (void)printf("%s: %s\n", setting->name, setting->help);
    (void)printf("  kind      %s\n", kind_text(setting->kind));
    (void)printf("  default   %s\n", setting->fallback ? setting->fallback : "none");
    (void)printf("  limits    %s\n", limits ? limits : "none");
    (void)printf("  in force  %s\n", *value != '\0' ? value : "nothing");
    return refusal ? EXIT_CONFIG : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct outcome outcome;
    const char *verb = argc > 1 ? argv[1] : "";

    load(&outcome);
    if (argc == 2 && text_equal(verb, "check"))
        return check(&outcome);
    if (argc == 2 && text_equal(verb, "list"))
        return list(&outcome);
    if (argc == 3 && text_equal(verb, "explain"))
        return explain(&outcome, argv[2]);
    (void)fprintf(stderr, "usage: certctl-config check | list | explain NAME\n");
    return EXIT_USAGE;
}
