/* jobs/site/probe.c: one TLS handshake, for the certificate that is served (07 section 2). */
#include "jobs/site/probe.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define PATIENCE_S 3

typedef struct addrinfo ADDRESSES;
AUTO_DEFINE(ADDRESSES, freeaddrinfo)
AUTO_DEFINE(SSL_CTX, SSL_CTX_free)
AUTO_DEFINE(SSL, SSL_free)

static void *unreachable(struct fault *fault, const char *what)
{
    const int error = errno;

    fault_set(fault, RESOURCE_STATE, NULL, "the site's port cannot be probed");
    errno = error;
    return fault_cause_errno(fault, what);
}

/* "127.0.0.1:443", "[::1]:443": numbers only, so that no resolver is asked. */
static ADDRESSES *address_of(const char *where)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    const char *colon = strrchr(where, ':');
    ADDRESSES *found = NULL;

    if (!colon)
        return NULL;
    const bool brackets = where[0] == '[' && colon > where && colon[-1] == ']';
    const char *host = brackets ? mem_text_n(scratch, where + 1, (size_t)(colon - where) - 2)
                                : mem_text_n(scratch, where, (size_t)(colon - where));
    return getaddrinfo(host, colon + 1, &wanted, &found) == 0 ? found : NULL;
}

static int connect_to(const char *where, struct fault *fault)
{
    AUTO(ADDRESSES) *address = address_of(where);
    const struct timeval patience = {.tv_sec = PATIENCE_S};

    if (!address) {
        fault_set(fault, SETTING_INVALID, "CERTCTL_SITE_CERT_PROBE",
                  "%s is no numeric address with a port", where);
        return -1;
    }
    AUTO_FD fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        (void)unreachable(fault, where);
        return -1;
    }
    return TAKE_FD(fd);
}

static const char *fingerprint(TALLOC_CTX *ctx, const SSL *tls)
{
    AUTO(X509) *served = SSL_get1_peer_certificate(tls);
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = served ? i2d_X509(served, &der) : 0;

    return size > 0 ? digest_sha256_hex(ctx, (struct bytes){der, (size_t)size}) : NULL;
}

const char *site_probe(TALLOC_CTX *ctx, const char *where, const char *server_name,
                       struct fault *fault)
{
    AUTO_FD fd = connect_to(where, fault);
    AUTO(SSL_CTX) *settings = SSL_CTX_new(TLS_client_method());
    AUTO(SSL) *tls = settings ? SSL_new(settings) : NULL;

    if (fd < 0)
        return NULL;
    if (!tls || SSL_set_fd(tls, fd) != 1 ||
        (server_name && SSL_set_tlsext_host_name(tls, mem_text(ctx, server_name)) != 1) ||
        SSL_connect(tls) != 1) {
        fault_set(fault, RESOURCE_STATE, NULL, "the site's port cannot be probed");
        return fault_cause_openssl(fault, where);
    }
    const char *found = fingerprint(ctx, tls);
    (void)SSL_shutdown(tls);
    return found ? found
                 : fault_set(fault, RESOURCE_STATE, NULL, "the site's port serves no certificate");
}
