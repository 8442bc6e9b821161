/* lib/metric/expose.c: see expose.h. */
#include "metric/expose.h"

#include <math.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/macro.h"
#include "core/text.h"
#include "metric/metric.h"

#include "core/banned.h"

#define EXACT_MOST 9007199254740992.0 /* 2^53 */

struct exposure {
    struct metric_sample *samples; /* by name, then labels */
    size_t count;
    char *text;
};

static int by_name(const void *a, const void *b)
{
    const struct metric_sample *one = a;
    const struct metric_sample *other = b;
    const int names = strcmp(one->name, other->name);

    return names != 0 ? names : strcmp(one->labels, other->labels);
}

static int families_by_name(const void *a, const void *b)
{
    const struct metric_family *const *one = a;
    const struct metric_family *const *other = b;

    return strcmp((*one)->name, (*other)->name);
}

static void put_sample(struct exposure *exposure, const char *name, const char *labels,
                       double value)
{
    const bool whole = value == floor(value) && fabs(value) < EXACT_MOST;

    exposure->text = mem_append(exposure->text, "%s", name);
    if (*labels)
        exposure->text = mem_append(exposure->text, "{%s}", labels);
    exposure->text = mem_append(exposure->text, whole ? " %.0f\n" : " %.17g\n", value);
}

static double value_of(const struct exposure *exposure, const char *name, const char *labels)
{
    const struct metric_sample wanted = {name, labels, 0};
    const struct metric_sample *found = bsearch(&wanted, exposure->samples, exposure->count,
                                                sizeof(wanted), by_name);

    return found ? found->value : 0;
}

static char *label_text(TALLOC_CTX *ctx, const struct metric_family *family, const char *value)
{
    return mem_printf(ctx, "%s=\"%s\"", family->label, value);
}

/* The series that there are whatever was counted, and those that rows bear, once each. */
static void put_series(struct exposure *exposure, const struct metric_family *family)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list values = text_split(scratch, family->values ? family->values : "", '|');
    struct metric_sample *all = mem_array(scratch, struct metric_sample,
                                          exposure->count + values.count + 1);
    size_t count = 0;

    for (size_t i = 0; i < exposure->count; i++)
        if (text_equal(exposure->samples[i].name, family->name))
            all[count++] = exposure->samples[i];
    const size_t stored = count;
    if (!family->label && family->kind == METRIC_COUNTER && stored == 0)
        all[count++] = (struct metric_sample){family->name, "", 0};
    for (size_t i = 0; i < values.count; i++) {
        const struct metric_sample zero = {family->name,
                                           label_text(scratch, family, values.items[i]), 0};
        if (!bsearch(&zero, all, stored, sizeof(zero), by_name))
            all[count++] = zero;
    }
    qsort(all, count, sizeof(*all), by_name);
    for (size_t i = 0; i < count; i++)
        put_sample(exposure, family->name, all[i].labels, all[i].value);
}

/* `labels` without `le`. Buckets are told summed up. */
static void put_histogram(struct exposure *exposure, const struct metric_family *family,
                          const char *labels)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list bounds = text_split(scratch, family->bounds, '|');
    const char *bucket = mem_printf(scratch, "%s_bucket", family->name);
    double sum = 0;

    text_list_add(scratch, &bounds, "+Inf");
    for (size_t i = 0; i < bounds.count; i++) {
        const char *with_bound = mem_printf(scratch, "%s%sle=\"%s\"", labels, *labels ? "," : "",
                                            bounds.items[i]);
        sum += value_of(exposure, bucket, with_bound);
        put_sample(exposure, bucket, with_bound, sum);
    }
    const char *total = mem_printf(scratch, "%s_sum", family->name);
    put_sample(exposure, total, labels, value_of(exposure, total, labels));
    put_sample(exposure, mem_printf(scratch, "%s_count", family->name), labels, sum);
}

static void put_histograms(struct exposure *exposure, const struct metric_family *family)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list values = text_split(scratch, family->values ? family->values : "", '|');

    if (!family->label)
        put_histogram(exposure, family, "");
    for (size_t i = 0; i < values.count; i++)
        put_histogram(exposure, family, label_text(scratch, family, values.items[i]));
}

static void put_family(struct exposure *exposure, const struct metric_family *family)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_HISTOGRAM] = "histogram",
        [METRIC_GAUGE] = "gauge",
    };

    exposure->text = mem_append(exposure->text, "# HELP %s %s\n# TYPE %s %s\n", family->name,
                                family->help, family->name, kinds[family->kind]);
    if (family->kind == METRIC_HISTOGRAM)
        put_histograms(exposure, family);
    else
        put_series(exposure, family);
}

char *metric_expose(TALLOC_CTX *ctx, struct metric_sample *samples, size_t count)
{
    struct exposure exposure = {samples, count, mem_text(ctx, "")};
    const struct metric_family *families[METRIC_COUNT];

    qsort(samples, count, sizeof(*samples), by_name);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        families[i] = &metric_families[i];
    qsort(families, METRIC_COUNT, sizeof(void *), families_by_name);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        put_family(&exposure, families[i]);
    return exposure.text;
}
