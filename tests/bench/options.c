/* tests/bench/options.c: --name=value for the programs of this room. */
#include "tests/bench/options.h"

#include <stdbool.h>

#include "core/text.h"
#include "tests/bench/loop.h"

#include "core/banned.h"

static bool option_take(const char *argument, const struct option_slot *slot)
{
    const size_t length = strlen(slot->name);

    if (strncmp(argument, slot->name, length) != 0 || argument[length] != '=')
        return false;
    const char *value = argument + length + 1;
    if (slot->text)
        *slot->text = value;
    else if (!text_to_integer(value, 0, INT64_MAX, slot->integer))
        give_up("%s is no number", argument);
    return true;
}

void options_read(int argc, char **argv, const struct option_slot *slots, size_t count)
{
    for (int i = 1; i < argc; i++) {
        bool known = false;

        for (size_t j = 0; j < count; j++)
            known = known || option_take(argv[i], &slots[j]);
        if (!known)
            give_up("there is no option %s", argv[i]);
    }
}
