/* signer/peer.h: who asks, and what that user may ask for (04 section 4.0, 00 decision 46). */
#ifndef CERTCTL_SIGNER_PEER_H
#define CERTCTL_SIGNER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/fault.h"
#include "signer/message.h"

#define PEER_USER_SIZE 64
#define KIND_BIT(kind) (UINT32_C(1) << (kind))

struct peer {
    char user[PEER_USER_SIZE]; /* "uid 4711" for one without a name */
    uint32_t kinds;            /* KIND_BIT of what it may ask for */
};

/* What this process serves. */
struct peer_policy {
    bool admin;   /* signer-admin.sock */
    bool one_uid; /* our own user may ask for everything of this socket: 00 decision 43 */
    uid_t own;
};

/* One uid when we do not run as certctl-signer. */
struct peer_policy peer_policy_now(bool admin);
/* The kernel's word, not the peer's: SO_PEERCRED, and the user's name looked up now. FORBIDDEN
 * when the socket cannot say. A user without any right is a peer with no kinds. */
bool peer_identify(const struct peer_policy *policy, int connection, struct peer *ret_peer,
                   struct fault *fault);
/* KIND_BIT of what the table gives a user on this socket; 0 for one that is not in it. */
uint32_t peer_kinds(const struct peer_policy *policy, const char *user);
/* FORBIDDEN unless the peer may ask for this kind; a number that is no kind is forbidden too, with
 * words of its own. */
bool peer_check(const struct peer_policy *policy, const struct peer *peer, unsigned kind,
                struct fault *fault);
/* "signer.sock" or "signer-admin.sock". */
const char *peer_socket_name(const struct peer_policy *policy);

#endif
