/* lib/signer/client.c: one connection, one request, one answer. 04 section 4.0. */
#include "signer/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

#define CONNECT_US    1000000
#define WRITE_US      1000000
#define REPLY_US      5000000
#define RETRY_AFTER_S 5
#define US_PER_MS     1000
#define US_PER_S      1000000

static bool unreachable(struct fault *fault, const char *what)
{
    const int error = errno;

    fault_set(fault, SIGNER_UNREACHABLE, NULL, "the signer does not answer");
    fault->retry_after_s = RETRY_AFTER_S;
    errno = error;
    return fault_cause_errno(fault, what);
}

/* A unix socket whose backlog is full has nothing to poll for: connect waits in the kernel, and
 * SO_SNDTIMEO bounds that wait. */
static int open_connection(const char *socket_path, struct fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = CONNECT_US / US_PER_S};
    const size_t length = strlen(socket_path);

    if (length >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        (void)unreachable(fault, socket_path);
        return -1;
    }
    memcpy(address.sun_path, socket_path, length);
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)unreachable(fault, socket_path);
        return -1;
    }
    return TAKE_FD(fd);
}

/* False with errno ETIMEDOUT when the deadline passed. */
static bool wait_for(int fd, short events, int64_t deadline_us)
{
    for (;;) {
        struct pollfd watched = {.fd = fd, .events = events};
        const int64_t left_us = deadline_us - clock_monotonic_us();
        if (left_us <= 0) {
            errno = ETIMEDOUT;
            return false;
        }
        const int ready = poll(&watched, 1, (int)(left_us / US_PER_MS) + 1);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

static bool is_passing(int error)
{
    return error == EAGAIN || error == EINTR;
}

static bool send_all(int fd, struct bytes data, int64_t deadline_us)
{
    while (data.size > 0) {
        const ssize_t sent = send(fd, data.data, data.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && !is_passing(errno))
            return false;
        if (sent < 0 && !wait_for(fd, POLLOUT, deadline_us))
            return false;
        if (sent > 0) {
            data.data += sent;
            data.size -= sent;
        }
    }
    return true;
}

static bool receive_all(int fd, uint8_t *into, size_t size, int64_t deadline_us)
{
    while (size > 0) {
        const ssize_t got = recv(fd, into, size, MSG_DONTWAIT);
        if (got == 0) {
            errno = ECONNRESET;
            return false;
        }
        if (got < 0 && !is_passing(errno))
            return false;
        if (got < 0 && !wait_for(fd, POLLIN, deadline_us))
            return false;
        if (got > 0) {
            into += got;
            size -= got;
        }
    }
    return true;
}

static bool receive_frame(TALLOC_CTX *ctx, int fd, struct bytes *ret_frame, struct fault *fault)
{
    const int64_t deadline_us = clock_monotonic_us() + REPLY_US;
    uint8_t prefix[SIGNER_FRAME_PREFIX];
    size_t size;

    if (!receive_all(fd, prefix, sizeof(prefix), deadline_us))
        return unreachable(fault, "reading the answer's length");
    if (!signer_frame_size(prefix, &size)) {
        errno = EMSGSIZE;
        return unreachable(fault, "the answer's length");
    }
    uint8_t *frame = mem_array(ctx, uint8_t, size);
    if (!receive_all(fd, frame, size, deadline_us))
        return unreachable(fault, "reading the answer");
    *ret_frame = (struct bytes){frame, size};
    return true;
}

/* The length of the frame, and with it the descriptor: it must come with some octet. */
static bool send_passing(int fd, struct bytes prefix, int passed)
{
    uint8_t octets[SIGNER_FRAME_PREFIX];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = octets, .iov_len = sizeof(octets)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    memcpy(octets, prefix.data, sizeof(octets));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &passed, sizeof(int));
    /* A fresh socket has room for a few octets: no need to wait. */
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(octets);
}

/* `passed` is a descriptor to go along, or -1. */
static bool exchange(TALLOC_CTX *ctx, const char *socket_path, struct bytes request, int passed,
                     struct bytes *ret_frame, struct fault *fault)
{
    AUTO_FD fd = open_connection(socket_path, fault);
    struct bytes rest = request;

    if (fd < 0)
        return false;
    if (passed >= 0) {
        rest = (struct bytes){request.data + SIGNER_FRAME_PREFIX,
                              request.size - SIGNER_FRAME_PREFIX};
        if (!send_passing(fd, request, passed))
            return unreachable(fault, "passing a descriptor");
    }
    if (!send_all(fd, rest, clock_monotonic_us() + WRITE_US))
        return unreachable(fault, "sending the request");
    return receive_frame(ctx, fd, ret_frame, fault);
}

/* The refusal in the signer's own reason; what it does not name for us is SIGNER_REFUSED. */
static bool refused(const struct signer_reply *reply, struct fault *fault)
{
    const enum fault_reason named = fault_reason_from_slug(reply->refusal);
    const enum fault_reason reason = named == REASON_NONE ? SIGNER_REFUSED : named;

    fault_set(fault, reason, NULL, "%s", reply->detail ? reply->detail : reply->refusal);
    if (fault_reason_kind(reason) == KIND_UNAVAILABLE)
        fault->retry_after_s = RETRY_AFTER_S;
    return false;
}

static bool call(TALLOC_CTX *ctx, const char *socket_path, const struct signer_request *request,
                 int passed, struct signer_reply *ret_reply, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes frame = signer_request_encode(scratch, request);
    struct bytes answer = {0};
    struct signer_reply reply = {0};
    struct fault broken = {0};

    if (frame.size - SIGNER_FRAME_PREFIX > SIGNER_FRAME_MAX)
        return fault_set(fault, SIGNER_MESSAGE, "frame", "a request of %zu octets is above %d",
                         frame.size - SIGNER_FRAME_PREFIX, SIGNER_FRAME_MAX);
    if (!exchange(scratch, socket_path, frame, passed, &answer, fault))
        return false;
    /* An answer that cannot be read is the signer's fault, never the one of who asked us. */
    if (!signer_reply_decode(scratch, answer, &reply, &broken)) {
        errno = EBADMSG;
        return unreachable(fault, broken.detail);
    }
    if (!reply.ok)
        return refused(&reply, fault);
    return signer_reply_decode(ctx, answer, ret_reply, fault);
}

bool signer_call(TALLOC_CTX *ctx, const char *socket_path, const struct signer_request *request,
                 struct signer_reply *ret_reply, struct fault *fault)
{
    return call(ctx, socket_path, request, -1, ret_reply, fault);
}

static bool call_for_certificate(TALLOC_CTX *ctx, const char *socket_path,
                                 const struct signer_request *request, struct bytes *ret_der,
                                 struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct signer_reply reply = {0};

    if (!signer_call(scratch, socket_path, request, &reply, fault))
        return false;
    if (reply.der.size == 0) {
        errno = EBADMSG;
        return unreachable(fault, "an answer without a certificate");
    }
    *ret_der = bytes_copy(ctx, reply.der);
    return true;
}

bool signer_sign_leaf(TALLOC_CTX *ctx, const char *socket_path, const char *key_ref,
                      const struct certificate_wish *wish, struct bytes *ret_der,
                      struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_SIGN_LEAF, .key_ref = key_ref, .leaf = *wish};

    return call_for_certificate(ctx, socket_path, &request, ret_der, fault);
}

bool signer_sign_ocsp_responder(TALLOC_CTX *ctx, const char *socket_path, const char *key_ref,
                                const struct ocsp_wish *wish, struct bytes *ret_der,
                                struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_SIGN_OCSP_RESPONDER,
        .key_ref = key_ref,
        .leaf = {.spki = wish->spki, .not_before = wish->not_before, .not_after = wish->not_after}
    };

    return call_for_certificate(ctx, socket_path, &request, ret_der, fault);
}

bool signer_sign_crl(TALLOC_CTX *ctx, const char *socket_path, const char *key_ref, int memfd,
                     struct bytes *ret_signature, struct fault *fault)
{
    const struct signer_request request = {.kind = SIGNER_SIGN_CRL, .key_ref = key_ref};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct signer_reply reply = {0};

    if (!call(scratch, socket_path, &request, memfd, &reply, fault))
        return false;
    if (reply.signature.size == 0) {
        errno = EBADMSG;
        return unreachable(fault, "an answer without a signature");
    }
    *ret_signature = bytes_copy(ctx, reply.signature);
    return true;
}
