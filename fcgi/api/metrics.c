/* fcgi/api/metrics.c: metrics as JSON and as Prometheus reads them (07 section 10.1). */
#include <stdlib.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/memory.h"
#include "fcgi/api/api.h"
#include "metric/expose.h"
#include "metric/metric.h"

#include "core/banned.h"

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#ifndef CERTCTL_VERSION
#    define CERTCTL_VERSION "dev"
#endif

/* The row's lock lets one of several scrapers compute. $1 key. */
STATEMENT(
    api_metrics_lock,
    "INSERT INTO metric_cache AS c (key, body, rendered_at) VALUES ($1::text, '', '-infinity') "
    "ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key "
    "RETURNING c.body, c.rendered_at > clock_timestamp() - interval '5 seconds' AS fresh");
STATEMENT(api_metrics_keep, "UPDATE metric_cache SET body = $2::text, "
                            "rendered_at = clock_timestamp() WHERE key = $1::text");
/* $1 CERTCTL_ACME_SERVER_EAB_REQUIRED. */
STATEMENT(api_metrics_read,
          "SELECT m.name, m.labels, sum(m.value) AS value FROM metric_counters m "
          "GROUP BY m.name, m.labels "
          "UNION ALL SELECT g.name, g.labels, g.value FROM metric_gauges($1::boolean) g");
STATEMENT(api_metrics_inventory,
          "SELECT i.*, extract(epoch FROM now() - i.started_at)::bigint AS uptime_s, "
          "api_time(i.started_at) AS started, api_time(now()) AS measured "
          "FROM metric_inventory() i");

static const char *rendered(TALLOC_CTX *ctx, const struct rows *rows)
{
    struct metric_sample *samples = mem_array(ctx, struct metric_sample, rows->count + 1);

    for (size_t i = 0; i < rows->count; i++)
        samples[i] = (struct metric_sample){row_text(rows, i, "name"), row_text(rows, i, "labels"),
                                            strtod(row_text(rows, i, "value"), NULL)};
    samples[rows->count] = (struct metric_sample){metric_families[METRIC_BUILD_INFO].name,
                                                  "version=\"" CERTCTL_VERSION "\"", 1};
    return metric_expose(ctx, samples, rows->count + 1);
}

/* NULL with the fault. The transaction is open. */
static const char *metrics_text(struct request *request, struct fault *fault)
{
    const struct db_param key = TEXT("prometheus");
    const struct rows *kept = db_query(request, request->db, &api_metrics_lock, fault, key);

    if (!kept)
        return NULL;
    if (row_bool(kept, 0, "fresh"))
        return row_text(kept, 0, "body");
    const struct rows *rows = db_query(request, request->db, &api_metrics_read, fault,
                                       BOOLEAN(request->settings->acme_eab_required));
    if (!rows)
        return NULL;
    const char *text = rendered(request, rows);
    return db_query(request, request->db, &api_metrics_keep, fault, key, TEXT(text)) ? text : NULL;
}

bool api_metrics_prometheus(struct request *request, struct response *response, struct fault *fault)
{
    if (!db_begin(request->db, fault))
        return false;
    const char *text = metrics_text(request, fault);
    if (!text) {
        db_rollback(request->db);
        return false;
    }
    return db_commit(request->db, fault) &&
           response_bytes(response, 200, CONTENT_TYPE, bytes_of_text(text));
}

static json_t *numbers(const struct rows *rows, const char *const names[][2], size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++)
        json_set_integer(object, names[i][0], row_integer(rows, 0, names[i][1]));
    return object;
}

bool api_metrics(struct request *request, struct response *response, struct fault *fault)
{
    static const char *const gauges[][2] = {
        {"certificate_total",         "certificate_total"        },
        {"certificate_active",        "certificate_active"       },
        {"certificate_expiring_soon", "certificate_expiring_soon"},
        {"certificate_expired",       "certificate_expired"      },
        {"certificate_revoked",       "certificate_revoked"      },
        {"agent_total",               "agent_total"              },
        {"agent_online",              "agent_online"             },
        {"job_pending",               "job_pending"              },
    };
    static const char *const counters[][2] = {
        {"job_completed_total",      "job_completed"    },
        {"job_failed_total",         "job_failed"       },
        {"notifications_dead_total", "notification_dead"},
    };
    const struct rows *rows = db_query_params(request, request->db, &api_metrics_inventory, fault,
                                              NULL, 0);

    if (!rows)
        return false;
    json_t *uptime = json_object();
    json_set_integer(uptime, "uptime_seconds", row_integer(rows, 0, "uptime_s"));
    json_set_text(uptime, "server_started", row_text(rows, 0, "started"));
    json_set_text(uptime, "measured_at", row_text(rows, 0, "measured"));
    json_t *body = json_object();
    json_set_new(body, "gauge", numbers(rows, gauges, ARRAY_SIZE(gauges)));
    json_set_new(body, "counter", numbers(rows, counters, ARRAY_SIZE(counters)));
    json_set_new(body, "uptime", uptime);
    return response_json(response, 200, body);
}
