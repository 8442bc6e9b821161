/* signer/signer.h: the state of one signer process, and the way of one connection through it. */
#ifndef CERTCTL_SIGNER_SIGNER_H
#define CERTCTL_SIGNER_SIGNER_H

#include "core/settings.h"
#include "signer/key_store.h"
#include "signer/message.h"
#include "signer/peer.h"
#include "signer/signature_log.h"

/* Made at start, kept until exit. */
struct signer {
    struct settings settings;
    struct peer_policy policy;
    struct key_store *keys;
    struct signature_log *log;
};

/* What one request is answered from; reply and everything in it hang on ctx. */
struct call {
    struct signer *signer;
    TALLOC_CTX *ctx;
    const struct peer *peer;
    const struct signer_request *request;
    int passed; /* descriptor that came with the request; -1: none. serve.c closes it */
    struct signer_reply *reply;
};

/* Does what the request asks. The peer's right to ask has been checked. False: nothing was signed,
 * nothing was written that matters, and the fault says why. answer.c, answer_admin.c */
bool answer_request(struct call *call, struct fault *fault);

/* answer_crl.c */
bool answer_sign_crl(struct call *call, struct fault *fault);

/* The admin requests, answer_admin.c. */
bool answer_generate(struct call *call, struct fault *fault);
bool answer_sign_ca(struct call *call, struct fault *fault);
bool answer_sign_csr(struct call *call, struct fault *fault);
bool answer_forget(struct call *call, struct fault *fault);
bool answer_facts(struct call *call, struct fault *fault);
bool answer_crl_floor(struct call *call, struct fault *fault);
bool answer_close(struct call *call, struct fault *fault);
bool answer_show_facts(struct call *call, struct fault *fault);
bool answer_check_facts(struct call *call, struct fault *fault);

/* SIGNER_REFUSED when its facts say that the CA is retired. */
bool ca_may_sign(const struct ca_facts *facts, struct fault *fault);
/* 16 octets from RAND_priv_bytes, top bit clear, not zero (04 section 6.4). */
void draw_serial(uint8_t ret_serial[CERTIFICATE_SERIAL_SIZE]);
/* Signs, appends the line, and only then puts the certificate into the reply. With `flush` the line
 * is on the disk before. `names` are the leaf's. */
bool sign_and_record(struct call *call, struct key *key, const char *issuer_certificate_sha256,
                     struct bytes tbs, bool flush, struct fault *fault);
/* A line that begins with time's peer and kind; the caller adds and releases. */
json_t *record_begin(const struct peer *peer, const char *kind);

/* One connection: peer, frame, right, request, answer. serve.c */
void serve_connection(struct signer *signer, int connection);

#endif
