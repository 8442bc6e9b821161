/* tests/unit/web/rig.h: a responder and a web server in memory, so that a test says only what is
 * special about its request. */
#ifndef CERTCTL_TESTS_UNIT_WEB_RIG_H
#define CERTCTL_TESTS_UNIT_WEB_RIG_H

#include "web/web_private.h"

#define RIG_EDGE_KEY "5f4dcc3b5aa765d61d8327deb882cf99aabbccddeeff00112233445566778899"

struct rig {
    TALLOC_CTX *root;
    struct settings settings;
    struct responder responder;
    struct web_host host;
    char *params[300];
    size_t count;
    struct bytes body; /* what the web server sends, whatever CONTENT_LENGTH says */
    size_t body_read;  /* bytes that were asked for */

    struct request *request; /* of the last rig_serve */
    struct response response;
    struct fault fault;
    char *text; /* the response's body as text */
};

/* A good GET of /thing over https, with the right key; child of ctx. */
struct rig *rig_new(TALLOC_CTX *ctx);
/* Sets, replaces or (NULL) removes a param. */
void rig_set(struct rig *rig, const char *name, const char *value);
/* Adds without looking for an earlier one. */
void rig_add(struct rig *rig, const char *name, const char *value);
/* A body and its CONTENT_LENGTH. */
void rig_body(struct rig *rig, const char *text);
/* REQUEST_METHOD and REQUEST_URI at once. */
void rig_ask(struct rig *rig, const char *method, const char *uri);
void rig_serve(struct rig *rig);
/* Of the last answer, or NULL. */
const char *rig_header(const struct rig *rig, const char *name);

#endif
