/* tests/fuzz/api_rig.c: see api_rig.h. */
#include "api_rig.h"

#include <assert.h>

#include "auth/key.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "fake_main.h"

#include "core/banned.h"

/* Made once, since their texts are kept for the life of the process. */
static const struct settings *settings_once(void)
{
    static struct settings settings;

    if (!settings.database_url)
        settings_defaults(&settings);
    return &settings;
}

/* Its statements are made of tables, once a process. */
static void responder_once(void)
{
    static char *kept;

    if (fake_responder)
        return;
    kept = mem_array(NULL, char, 1);
    (void)certctl_api_main(0, NULL);
    fake_responder->declare(kept, NULL);
}

void api_rig_column(struct fake_column *columns, size_t count, const char *name, const char *value)
{
    for (size_t i = 0; i < count; i++)
        if (text_equal(columns[i].name, name))
            columns[i].value = value;
}

struct rig *api_rig_new(TALLOC_CTX *ctx, struct fake_column *columns, size_t count)
{
    struct rig *rig = rig_new(ctx);
    struct fault fault = {0};
    uint8_t digest[DIGEST_SHA256_SIZE];

    responder_once();
    api_key_digest(API_RIG_KEY, digest);
    api_rig_column(columns, count, "key_hash", hex_from_bytes(ctx, BYTES_OF(digest)));
    fake_columns = columns;
    fake_column_count = count;
    rig->settings = *settings_once();
    log_configure(LOG_ERROR, LOG_JSON);
    rig->host.responder = fake_responder;
    rig->host.db = fake_db_new(ctx);
    rig->host.worker = fake_responder->start(ctx, &rig->settings, &fault);
    rig_set(rig, "CERTCTL_SURFACE", "api");
    return rig;
}

void api_rig_serve(struct rig *rig)
{
    rig_serve(rig);
    fake_responder->finish(rig->request, &rig->response);
    assert(rig->response.started && rig->response.status >= 200 && rig->response.status <= 599);
    assert((rig->response.status >= 400) == (rig->fault.reason != REASON_NONE));
}
