/* tests/fuzz/core_setting.c: the value of a variable. NAME=value; what was read is shown, and what
 * is shown is read again alike. */
#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/settings.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct setting *named(TALLOC_CTX *ctx, const char *text)
{
    const char *name = mem_printf(ctx, "CERTCTL_%.*s", (int)strcspn(text, "="), text);
    size_t count = 0;
    const struct setting *table = settings_table(&count);

    for (size_t i = 0; i < count; i++)
        if (text_equal(table[i].name, name))
            return &table[i];
    return &table[strlen(text) % count];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct settings *settings = mem_new(scratch, struct settings);
    const char *text = mem_text_n(scratch, (const char *)data, size);
    const struct setting *setting = named(scratch, text);
    const char *equals = strchr(text, '=');
    const char *value = equals ? equals + 1 : text;
    struct fault fault = {0};

    (void)settings_limits(scratch, setting);
    if (!setting_read(scratch, setting, value, settings, &fault)) {
        assert(fault.reason == SETTING_INVALID);
        return 0;
    }
    const char *shown = settings_text(scratch, settings, setting);
    if (setting->kind == SETTING_SECRET || *shown == '\0')
        return 0;
    assert(setting_read(scratch, setting, shown, settings, &fault));
    assert(text_equal(settings_text(scratch, settings, setting), shown));
    return 0;
}
