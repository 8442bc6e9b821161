/* tests/fuzz/web_edge.c: params, one a line, from somebody who has to know the edge key. Without it
 * the answer is 403, and nothing of the params has been believed. */
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
    const char *said = NULL;

    rig->count = 0;
    for (; *line && rig->count < 290; line += *line == '\n') {
        const size_t length = strcspn(line, "\n");
        rig->params[rig->count++] = mem_text_n(scratch, line, length);
        line += length;
    }
    rig->params[rig->count] = NULL;
    said = web_param_find(rig->params, "CERTCTL_EDGE_KEY");
    rig_serve(rig);
    if (text_equal(said, RIG_EDGE_KEY))
        return 0;
    assert(rig->response.status == 403 && rig->fault.reason == EDGE_KEY_WRONG);
    assert(!rig->request->remote_addr && !rig->request->tls_client_verify);
    assert(!*rig->request->path && !rig->request->method);
    return 0;
}
