/* tests/fuzz/core_setting.c: the value of a variable. The first octet chooses it; what was read is
 * shown, and what is shown is read again alike. */
#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/settings.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct settings *settings = mem_new(scratch, struct settings);
    size_t count = 0;
    const struct setting *table = settings_table(&count);
    const struct setting *setting = &table[size > 0 ? data[0] % count : 0];
    const char *value = size > 0 ? mem_text_n(scratch, (const char *)data + 1, size - 1) : "";
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
