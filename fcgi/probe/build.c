/* fcgi/probe/build.c: what this binary was built from, 05 section 4.1.
 *
 * The build passes CERTCTL_VERSION, CERTCTL_COMMIT, CERTCTL_MODIFIED and CERTCTL_BUILD_TIME where
 * it knows them; a tree without any of them says "dev". */
#include "probe.h"

#include "core/json.h"

#include "core/banned.h"

#ifndef CERTCTL_COMMIT
#    define CERTCTL_COMMIT ""
#endif
#ifndef CERTCTL_VERSION
#    define CERTCTL_VERSION ""
#endif
#ifndef CERTCTL_MODIFIED
#    define CERTCTL_MODIFIED false
#endif
#ifndef CERTCTL_BUILD_TIME
#    define CERTCTL_BUILD_TIME ""
#endif

#define NUMBER_TEXT_(number) #number
#define NUMBER_TEXT(number)  NUMBER_TEXT_(number)
#ifdef __clang__
#    define COMPILER                                                                               \
        "clang-" NUMBER_TEXT(__clang_major__) "." NUMBER_TEXT(__clang_minor__) "." NUMBER_TEXT(    \
            __clang_patchlevel__)
#else
#    define COMPILER                                                                               \
        "gcc-" NUMBER_TEXT(__GNUC__) "." NUMBER_TEXT(__GNUC_MINOR__) "." NUMBER_TEXT(              \
            __GNUC_PATCHLEVEL__)
#endif

bool show_version(struct request *request, struct response *response, struct fault *fault)
{
    static const char *const names[] = {CERTCTL_VERSION, CERTCTL_COMMIT, "dev"};
    size_t best = 0;

    (void)request;
    (void)fault;
    while (*names[best] == '\0')
        best++;
    json_t *body = json_object();
    json_set_text(body, "version", names[best]);
    json_set_text(body, "commit", CERTCTL_COMMIT);
    json_set_bool(body, "modified", CERTCTL_MODIFIED);
    json_set_text(body, "build_time", CERTCTL_BUILD_TIME);
    json_set_text(body, "go_version", "c17 " COMPILER); /* the name is the reference's */
    return response_json(response, 200, body);
}
