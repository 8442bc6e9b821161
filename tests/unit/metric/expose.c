/* tests/unit/metric/expose.c: the text that Prometheus reads (07 section 10.1). */
#include "metric/expose.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/macro.h"
#include "core/text.h"
#include "metric/metric.h"

#include "core/banned.h"

static size_t times(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

Test(expose, shows_everything_from_zero)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = metric_expose(scratch, mem_array(scratch, struct metric_sample, 1), 0);

    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const char *help = mem_printf(scratch, "# HELP %s ", metric_families[i].name);
        const char *type = mem_printf(scratch, "# TYPE %s ", metric_families[i].name);

        cr_expect_eq(times(text, help), 1, "%s", help);
        cr_expect_eq(times(text, type), 1, "%s", type);
    }
    cr_expect(strstr(text, "\ncertctl_acme_directory_total 0\n"));
    cr_expect(strstr(text, "\ncertctl_acme_problems_total{type=\"badNonce\"} 0\n"));
    cr_expect(strstr(text, "\ncertctl_acme_finalize_duration_seconds_bucket{le=\"+Inf\"} 0\n"));
    cr_expect(strstr(text, "\ncertctl_acme_finalize_duration_seconds_sum 0\n"));
    cr_expect(strstr(text, "\ncertctl_acme_finalize_duration_seconds_count 0\n"));
    cr_expect_not(strstr(text, "\ncertctl_acme_orders"), "a gauge has the rows that it has");
}

Test(expose, sums_buckets_up)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct metric_sample samples[] = {
        {"certctl_acme_challenge_duration_seconds_sum",    "type=\"dns-01\"",             3.25},
        {"certctl_acme_challenge_duration_seconds_bucket", "type=\"dns-01\",le=\"+Inf\"", 1   },
        {"certctl_acme_challenge_duration_seconds_bucket", "type=\"dns-01\",le=\"0.1\"",  4   },
        {"certctl_acme_challenge_duration_seconds_bucket", "type=\"dns-01\",le=\"0.05\"", 2   },
    };
    const char *text = metric_expose(scratch, samples, ARRAY_SIZE(samples));
    static const char *const lines[] = {
        "_bucket{type=\"dns-01\",le=\"0.05\"} 2\n",
        "_bucket{type=\"dns-01\",le=\"0.1\"} 6\n",
        "_bucket{type=\"dns-01\",le=\"30\"} 6\n",
        "_bucket{type=\"dns-01\",le=\"+Inf\"} 7\n",
        "_sum{type=\"dns-01\"} 3.25\n",
        "_count{type=\"dns-01\"} 7\n",
        "_bucket{type=\"http-01\",le=\"+Inf\"} 0\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        cr_expect_eq(times(text, mem_printf(scratch, "\ncertctl_acme_challenge_duration_seconds%s",
                                            lines[i])),
                     1, "%s", lines[i]);
}

Test(expose, prints_numbers_and_sorts)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct metric_sample samples[] = {
        {"certctl_nobody_knows_total",   "",                      1               },
        {"certctl_jobs",                 "status=\"b\"",          9007199254740991},
        {"certctl_jobs",                 "status=\"a\\\"\"",      -1              },
        {"certctl_uptime_seconds",       "",                      0.1             },
        {"certctl_ocsp_counter_total",   "label=\"request_get\"", 7               },
        {"certctl_signer_orphans_total", "peer=\"acme\"",         2               },
    };
    const char *text = metric_expose(scratch, samples, ARRAY_SIZE(samples));

    cr_expect(strstr(text, "\ncertctl_jobs{status=\"a\\\"\"} -1\n"
                           "certctl_jobs{status=\"b\"} 9007199254740991\n# HELP"));
    cr_expect(strstr(text, "\ncertctl_uptime_seconds 0.10000000000000001\n"));
    cr_expect_eq(times(text, "\ncertctl_ocsp_counter_total{label=\"request_get\"} "), 1);
    cr_expect(strstr(text, "\ncertctl_ocsp_counter_total{label=\"request_get\"} 7\n"));
    cr_expect(strstr(text, "\ncertctl_signer_orphans_total{peer=\"acme\"} 2\n"));
    cr_expect_not(strstr(text, "nobody_knows"));
}
