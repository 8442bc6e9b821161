/* signer/peer.c: the table of who may ask what. 04 section 4.0, 00 decision 46. */
#include "signer/peer.h"

#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/text.h"

#include "core/banned.h"

#define OWN_USER    "certctl-signer"
#define PASSWD_SIZE 4096

#define ASK       (KIND_BIT(SIGNER_PING) | KIND_BIT(SIGNER_PUBLIC_KEY))
#define LEAF      (ASK | KIND_BIT(SIGNER_SIGN_LEAF))
#define JOBS      (LEAF | KIND_BIT(SIGNER_SIGN_CRL) | KIND_BIT(SIGNER_SIGN_OCSP_RESPONDER))
#define AUTHORITY (KIND_BIT(SIGNER_GENERATE) | KIND_BIT(SIGNER_SIGN_CA) | KIND_BIT(SIGNER_SIGN_CSR))
#define LOOK      (KIND_BIT(SIGNER_SHOW_FACTS) | KIND_BIT(SIGNER_CHECK_FACTS))
#define FACTS     (KIND_BIT(SIGNER_FACTS) | KIND_BIT(SIGNER_CLOSE) | LOOK)
#define CARE      (FACTS | KIND_BIT(SIGNER_FORGET) | KIND_BIT(SIGNER_CRL_FLOOR))

struct right {
    const char *user;
    uint32_t kinds;
};

static const struct right rights[] = {
    {"certctl-acme",     LEAF},
    {"certctl-est",      LEAF},
    {"certctl-scep",     LEAF},
    {"certctl-agentapi", LEAF},
    {"certctl-jobs",     JOBS},
    {"certctl-pki",      ASK },
    {"certctl-ca",       ASK },
    {"root",             ASK },
};

static const struct right admin_rights[] = {
    {"certctl-ca", ASK | AUTHORITY | CARE},
};

struct right_list {
    const struct right *items;
    size_t count;
};

static struct right_list rights_of(const struct peer_policy *policy)
{
    if (policy->admin)
        return (struct right_list){admin_rights, ARRAY_SIZE(admin_rights)};
    return (struct right_list){rights, ARRAY_SIZE(rights)};
}

static uint32_t kinds_of_all(const struct peer_policy *policy)
{
    const struct right_list list = rights_of(policy);
    uint32_t kinds = 0;

    for (size_t i = 0; i < list.count; i++)
        kinds |= list.items[i].kinds;
    return kinds;
}

uint32_t peer_kinds(const struct peer_policy *policy, const char *user)
{
    const struct right_list list = rights_of(policy);

    for (size_t i = 0; i < list.count; i++)
        if (text_equal(list.items[i].user, user))
            return list.items[i].kinds;
    return 0;
}

struct peer_policy peer_policy_now(bool admin)
{
    char buffer[PASSWD_SIZE];
    struct passwd entry;
    struct passwd *found = NULL;
    const uid_t own = geteuid();
    const bool known = getpwnam_r(OWN_USER, &entry, buffer, sizeof(buffer), &found) == 0 &&
                       found != NULL;

    return (struct peer_policy){
        .admin = admin, .own = own, .one_uid = !known || entry.pw_uid != own};
}

bool peer_identify(const struct peer_policy *policy, int connection, struct peer *ret_peer,
                   struct fault *fault)
{
    char buffer[PASSWD_SIZE];
    struct passwd entry;
    struct passwd *found = NULL;
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    struct peer peer = {0};

    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        fault_set(fault, FORBIDDEN, NULL, "the socket does not say who asks");
        return fault_cause_errno(fault, "SO_PEERCRED");
    }
    if (getpwuid_r(credentials.uid, &entry, buffer, sizeof(buffer), &found) == 0 && found) {
        (void)snprintf(peer.user, sizeof(peer.user), "%s", entry.pw_name);
        peer.kinds = peer_kinds(policy, peer.user);
    } else {
        (void)snprintf(peer.user, sizeof(peer.user), "uid %u", credentials.uid);
    }
    if (policy->one_uid && credentials.uid == policy->own)
        peer.kinds = kinds_of_all(policy);
    *ret_peer = peer;
    return true;
}

bool peer_check(const struct peer_policy *policy, const struct peer *peer, unsigned kind,
                struct fault *fault)
{
    const char *name = signer_kind_text(kind);

    if (!name)
        return fault_set(fault, FORBIDDEN, "kind", "request kind %u is not served", kind);
    if (!(peer->kinds & KIND_BIT(kind)))
        return fault_set(fault, FORBIDDEN, "kind", "%s may not ask for %s on %s", peer->user, name,
                         peer_socket_name(policy));
    return true;
}

const char *peer_socket_name(const struct peer_policy *policy)
{
    return policy->admin ? "signer-admin.sock" : "signer.sock";
}
