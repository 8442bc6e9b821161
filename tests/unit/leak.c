/* tests/unit/leak.c: leaks on purpose; ./check proves with it that its leak gate closes. */
#include <talloc.h>

#include "core/banned.h"

static void *volatile held;

int main(void)
{
    held = talloc_size(NULL, 64);
    held = NULL;
    return 0;
}
