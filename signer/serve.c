/* signer/serve.c: one connection, one request, one answer. 04 section 4.0.
 *
 * The peer's right is settled before its message is decoded. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "signer/signer.h"

#include "core/banned.h"

#define READ_US   1000000
#define WRITE_US  1000000
#define US_PER_MS 1000
/* Version and kind stand in front. */
#define KIND_AT 1

static bool wait_for(int connection, short events, int64_t deadline_us)
{
    struct pollfd watched = {.fd = connection, .events = events};
    const int64_t left_us = deadline_us - clock_monotonic_us();

    if (left_us <= 0)
        return false;
    const int ready = poll(&watched, 1, (int)(left_us / US_PER_MS) + 1);
    return ready > 0 || (ready < 0 && errno == EINTR);
}

/* The descriptor that came along, if it is one and alone; all others are closed. */
static int take_descriptor(struct msghdr *message)
{
    int kept = -1;

    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
            if (count == 1 && kept < 0)
                kept = fd;
            else
                (void)close(fd);
        }
    }
    return kept;
}

/* As recv; a descriptor that comes along goes to *passed, unless that holds one already. */
static ssize_t receive_passing(int connection, uint8_t *into, size_t size, int *passed)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec octets = {.iov_base = into, .iov_len = size};
    struct msghdr message = {.msg_iov = &octets,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    const ssize_t got = recvmsg(connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (got < 0)
        return got;
    const int fd = take_descriptor(&message);
    if (fd >= 0 && *passed >= 0)
        (void)close(fd);
    else if (fd >= 0)
        *passed = fd;
    return got;
}

/* False: closed, broken or too slow. *ret_got says how much had come. */
static bool receive(int connection, uint8_t *into, size_t size, int64_t deadline_us,
                    size_t *ret_got, int *passed)
{
    *ret_got = 0;
    while (*ret_got < size) {
        const ssize_t got = receive_passing(connection, into + *ret_got, size - *ret_got, passed);
        if (got > 0)
            *ret_got += got;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR) ||
                 !wait_for(connection, POLLIN, deadline_us))
            return false;
    }
    return true;
}

static void send_reply(int connection, struct bytes frame)
{
    const int64_t deadline_us = clock_monotonic_us() + WRITE_US;

    while (frame.size > 0) {
        const ssize_t sent = send(connection, frame.data, frame.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            frame.data += sent;
            frame.size -= sent;
        } else if ((errno != EAGAIN && errno != EINTR) ||
                   !wait_for(connection, POLLOUT, deadline_us)) {
            return;
        }
    }
}

/* One deadline for the whole frame, so that dripping octets buys nobody time. A connection that is
 * closed without an octet is no refusal: *ret_silent. */
static bool receive_frame(TALLOC_CTX *ctx, int connection, struct bytes *ret_frame, int *passed,
                          bool *ret_silent, struct fault *fault)
{
    const int64_t deadline_us = clock_monotonic_us() + READ_US;
    uint8_t prefix[SIGNER_FRAME_PREFIX];
    size_t size;
    size_t got;

    if (!receive(connection, prefix, sizeof(prefix), deadline_us, &got, passed)) {
        *ret_silent = got == 0;
        return fault_set(fault, SIGNER_MESSAGE, "frame", "%zu octets of a frame's length came",
                         got);
    }
    /* Nothing is allocated before this. */
    if (!signer_frame_size(prefix, &size))
        return fault_set(fault, SIGNER_MESSAGE, "frame", "a frame has 1 to %d octets",
                         SIGNER_FRAME_MAX);
    uint8_t *frame = mem_array(ctx, uint8_t, size);
    if (!receive(connection, frame, size, deadline_us, &got, passed))
        return fault_set(fault, SIGNER_MESSAGE, "frame", "%zu of %zu octets came in time", got,
                         size);
    *ret_frame = (struct bytes){frame, size};
    return true;
}

static unsigned kind_of(struct bytes frame)
{
    return frame.size > KIND_AT ? frame.data[KIND_AT] : 0;
}

static bool answer(struct call *call, struct bytes frame, struct fault *fault)
{
    struct signer_request request;

    if (!peer_check(&call->signer->policy, call->peer, kind_of(frame), fault))
        return false;
    if (!signer_request_decode(call->ctx, frame, &request, fault))
        return false;
    call->request = &request;
    return answer_request(call, fault);
}

static void log_refusal(const struct signer *signer, const struct peer *peer, const char *kind,
                        const struct fault *fault)
{
    struct log_line line;
    const bool ours = fault_reason_kind(fault->reason) == KIND_UNAVAILABLE ||
                      fault_reason_kind(fault->reason) == KIND_INTERNAL;

    log_begin(&line, ours ? LOG_ERROR : LOG_WARN, "refused");
    log_text(&line, "socket", peer_socket_name(&signer->policy));
    log_text(&line, "peer", peer->user);
    log_text(&line, "kind", kind);
    log_fault(&line, fault);
    log_end(&line);
}

/* A refusal is a line of the chain too: what a lost responder tried is evidence. */
static void record_refusal(struct signer *signer, const struct peer *peer, const char *kind,
                           const struct fault *refusal)
{
    AUTO(json_t) *record = record_begin(peer, "refused");
    struct fault fault = {0};

    json_set_text(record, "asked", kind);
    json_set_text(record, "reason", fault_reason_slug(refusal->reason));
    json_set_text(record, "field", refusal->field);
    json_set_text(record, "detail", refusal->detail);
    if (!signature_log_append(signer->log, record, false, &fault))
        log_refusal(signer, peer, "log", &fault);
}

static void refuse(struct signer *signer, TALLOC_CTX *ctx, const struct peer *peer, unsigned kind,
                   const struct fault *fault, struct signer_reply *ret_reply)
{
    const char *known = signer_kind_text(kind);
    const char *name = known ? known : mem_printf(ctx, "%u", kind);

    log_refusal(signer, peer, name, fault);
    record_refusal(signer, peer, name, fault);
    /* The detail was cut to its buffer, perhaps inside a character. */
    *ret_reply = (struct signer_reply){
        .refusal = fault_reason_slug(fault->reason),
        .detail = fault->detail[0] ? text_utf8_repair(ctx, fault->detail) : NULL,
    };
}

/* Garbage is told so and logged; it names no kind, so the chain has nothing to say about it. */
static void refuse_frame(struct signer *signer, int connection, const struct peer *peer,
                         const struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_reply reply = {.refusal = fault_reason_slug(fault->reason),
                                       .detail = fault->detail};

    log_refusal(signer, peer, "none", fault);
    send_reply(connection, signer_reply_encode(scratch, &reply));
}

void serve_connection(struct signer *signer, int connection)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct signer_reply reply = {.ok = true};
    struct fault fault = {0};
    struct peer peer = {0};
    struct bytes frame = {0};
    bool silent = false;
    AUTO_FD passed = -1;

    if (!peer_identify(&signer->policy, connection, &peer, &fault)) {
        refuse_frame(signer, connection, &peer, &fault);
        return;
    }
    if (!receive_frame(ctx, connection, &frame, &passed, &silent, &fault)) {
        if (!silent)
            refuse_frame(signer, connection, &peer, &fault);
        return;
    }
    struct call call = {
        .signer = signer, .ctx = ctx, .peer = &peer, .passed = passed, .reply = &reply};
    if (!answer(&call, frame, &fault))
        refuse(signer, ctx, &peer, kind_of(frame), &fault, &reply);
    send_reply(connection, signer_reply_encode(ctx, &reply));
}
