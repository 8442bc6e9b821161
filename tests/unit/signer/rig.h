/* tests/unit/signer/rig.h: real signer processes on sockets in a directory of their own. */
#ifndef CERTCTL_TESTS_UNIT_SIGNER_RIG_H
#define CERTCTL_TESTS_UNIT_SIGNER_RIG_H

#include <openssl/x509.h>
#include <sys/types.h>

#include "signer/client.h"

#define RIG_SIGNERS_MAX 4
#define RIG_YEAR_S      (365 * INT64_C(86400))

struct rig {
    TALLOC_CTX *root;
    const char *directory;
    const char *key_dir;
    const char *log_path;
    const char *socket;
    const char *admin_socket;
    int listening;
    int admin_listening;
    pid_t signers[RIG_SIGNERS_MAX];
    size_t count;
};

/* A directory below /tmp with two listening sockets, nobody behind them yet. */
struct rig *rig_new(TALLOC_CTX *ctx);
/* Starts one process on one of the sockets. */
pid_t rig_start(struct rig *rig, bool admin);
/* As a systemd socket unit would: the socket is descriptor 3, LISTEN_FDS and LISTEN_PID say so. */
void rig_start_by_systemd(struct rig *rig);
/* `plain` processes on signer.sock, one on signer-admin.sock. */
void rig_start_all(struct rig *rig, size_t plain);
/* SIGTERM or SIGQUIT to all; each must end with status 0, under the sanitizers without a leak. */
void rig_stop(struct rig *rig);
void rig_kill(struct rig *rig, pid_t signer);
/* rig_stop, and the directory goes. */
void rig_end(struct rig *rig);

struct rig_key {
    const char *reference;
    const char *path;
    struct bytes spki;
    X509 *certificate; /* of its CA, once there is one; the rig's */
};

/* Each asserts that it worked. */
struct rig_key rig_generate(struct rig *rig, const char *algorithm);
/* A self-signed root of path length 1, or (parent given) a CA below it of path length 0. */
void rig_make_ca(struct rig *rig, struct rig_key *key, const struct rig_key *parent);
/* Facts with the CA's certificate and `more`, further members that begin with a comma. */
void rig_write_facts(struct rig *rig, const struct rig_key *key, const char *more);
/* A root with facts, the usual start. */
struct rig_key rig_root(struct rig *rig, const char *algorithm);

bool rig_facts(struct rig *rig, const struct rig_key *key, const char *json, struct fault *fault);
/* Names www.example.com, a fresh P-256 key, serverAuth, from now for 90 days. */
struct certificate_wish rig_wish(struct rig *rig);
bool rig_sign(struct rig *rig, const struct rig_key *key, const struct certificate_wish *wish,
              struct bytes *ret_der, struct fault *fault);
X509 *rig_parse(struct bytes der);

/* How many lines of the log are of this kind ("sign-leaf", "refused"), after checking that the
 * whole log is one chain from line 1. */
size_t rig_log_count(const struct rig *rig, const char *kind);

#endif
