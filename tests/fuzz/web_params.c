/* tests/fuzz/web_params.c: params, one a line, behind the right edge key; what follows the first
 * empty line is the body. Whatever they say, there is an answer, and it is in order. */
#include <assert.h>

#include "../unit/web/rig.h"
#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    const char *line = mem_text_n(scratch, (const char *)data, size);

    rig->count = 2; /* its role and key alone */
    for (; *line && *line != '\n' && rig->count < 290; line += *line == '\n') {
        const size_t length = strcspn(line, "\n");
        rig->params[rig->count++] = mem_text_n(scratch, line, length);
        line += length;
    }
    rig->params[rig->count] = NULL;
    rig->body = bytes_of_text(*line ? line + 1 : line);
    rig_serve(rig);
    assert(rig->response.started && rig->response.status >= 200 && rig->response.status <= 599);
    assert((rig->response.status >= 400) == (rig->fault.reason != REASON_NONE));
    assert(text_ends(web_response_head(scratch, &rig->response), "\r\n\r\n"));
    return 0;
}
