/* tests/unit/signer/strangers.c: peers that send garbage, halves, nothing, or ask what they may
 * not. None gets a signature, none keeps the others waiting. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "rig.h"

#include "core/banned.h"

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends, and returns all that comes until the signer closes. */
static struct bytes exchange(TALLOC_CTX *ctx, const char *path, struct bytes sent, bool end)
{
    AUTO_FD fd = connect_to(path);
    uint8_t *answer = mem_array(ctx, uint8_t, 65536);
    size_t size = 0;

    (void)send(fd, sent.data, sent.size, MSG_NOSIGNAL);
    if (end)
        (void)shutdown(fd, SHUT_WR);
    for (;;) {
        const ssize_t got = recv(fd, answer + size, 65536 - size, 0);
        if (got <= 0)
            return (struct bytes){answer, size};
        size += got;
    }
}

static void expect_refused(TALLOC_CTX *ctx, struct bytes answer, const char *slug)
{
    struct signer_reply reply;
    struct fault fault = {0};

    cr_assert_gt(answer.size, SIGNER_FRAME_PREFIX);
    cr_assert(signer_reply_decode(ctx,
                                  (struct bytes){answer.data + SIGNER_FRAME_PREFIX,
                                                 answer.size - SIGNER_FRAME_PREFIX},
                                  &reply, &fault),
              "%s", fault.detail);
    cr_expect_not(reply.ok);
    cr_expect_str_eq(reply.refusal, slug, "%s", reply.detail);
    cr_expect_eq(reply.der.size, 0);
}

static struct bytes good_frame(struct rig *rig, const struct rig_key *key)
{
    const struct signer_request request = {
        .kind = SIGNER_SIGN_LEAF, .key_ref = key->reference, .leaf = rig_wish(rig)};

    return signer_request_encode(rig, &request);
}

Test(signer_strangers, get_no_signature_for_garbage_and_halves)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct bytes good = good_frame(rig, &root);
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 1, 3};
    static const uint8_t above[] = {0, 4, 0, 1, 1, 3};
    static const uint8_t none[] = {0, 0, 0, 0};
    uint8_t garbage[512];

    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (i * 151 + 7) & 0xff;
    expect_refused(scratch, exchange(scratch, rig->socket, BYTES_OF(garbage), false),
                   "signer_message");
    expect_refused(scratch, exchange(scratch, rig->socket, BYTES_OF(huge), false),
                   "signer_message");
    expect_refused(scratch, exchange(scratch, rig->socket, BYTES_OF(above), false),
                   "signer_message");
    expect_refused(scratch, exchange(scratch, rig->socket, BYTES_OF(none), false),
                   "signer_message");
    for (size_t size = 1; size < good.size; size += 13) {
        const struct bytes half = {good.data, size};
        expect_refused(scratch, exchange(scratch, rig->socket, half, true), "signer_message");
    }
    cr_expect_eq(exchange(scratch, rig->socket, (struct bytes){0}, true).size, 0);
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 0);
    cr_expect_gt(exchange(scratch, rig->socket, good, true).size, 300, "the whole is signed");
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 1);
    rig_end(rig);
}

/* Signs, and tells how long that took. */
static int64_t ten_leaves(struct rig *rig, const struct rig_key *root,
                          const struct certificate_wish *wish)
{
    const int64_t began_us = clock_monotonic_us();
    struct bytes der;
    struct fault fault = {0};

    for (size_t i = 0; i < 10; i++)
        cr_expect(rig_sign(rig, root, wish, &der, &fault), "%s", fault.detail);
    return clock_monotonic_us() - began_us;
}

Test(signer_strangers, that_are_slow_keep_nobody_waiting)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 2);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct bytes good = good_frame(rig, &root);
    const struct certificate_wish wish = rig_wish(rig);
    uint8_t rest[65536];

    const int64_t alone_us = ten_leaves(rig, &root, &wish);
    AUTO_FD slow = connect_to(rig->socket);
    cr_assert_eq(send(slow, good.data, good.size - 1, 0), (ssize_t)good.size - 1);
    const int64_t beside_us = ten_leaves(rig, &root, &wish);
    /* As long as this machine takes, and the second for which the slow one may hold its signer. */
    cr_expect_lt(beside_us, 900000 + 4 * alone_us, "they waited for the slow one");
    const int64_t began_us = clock_monotonic_us();
    const ssize_t got = recv(slow, rest, sizeof(rest), 0);
    cr_expect_lt(clock_monotonic_us() - began_us, 10000000, "the deadline of 1 s was not kept");
    cr_assert_gt(got, 0);
    expect_refused(scratch, (struct bytes){rest, got}, "signer_message");
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 20);
    rig_end(rig);
}

/* One octet every 100 ms would keep a deadline per read from ever passing. */
Test(signer_strangers, that_drip_are_cut_off)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct bytes good = good_frame(rig, &root);
    size_t sent = 0;

    AUTO_FD slow = connect_to(rig->socket);
    while (sent < 200 && send(slow, good.data + sent, 1, MSG_NOSIGNAL) == 1) {
        sent++;
        (void)usleep(100000);
    }
    cr_expect_lt(sent, 150, "after a second, and what a busy machine adds");
    rig_end(rig);
}

Test(signer_strangers, may_not_ask_the_wrong_socket)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");

    /* Every kind there is and is not, on both sockets, with nothing that could be signed in it. */
    for (unsigned kind = 0; kind <= 255; kind++) {
        const bool both = kind == SIGNER_PING || kind == SIGNER_PUBLIC_KEY;
        const bool plain = both || kind == SIGNER_SIGN_LEAF || kind == SIGNER_SIGN_CRL ||
                           kind == SIGNER_SIGN_OCSP_RESPONDER;
        const bool admin = both || kind == SIGNER_GENERATE || kind == SIGNER_SIGN_CA ||
                           kind == SIGNER_SIGN_CSR || kind == SIGNER_FORGET ||
                           kind == SIGNER_FACTS || kind == SIGNER_CRL_FLOOR ||
                           kind == SIGNER_CLOSE || kind == SIGNER_SHOW_FACTS ||
                           kind == SIGNER_CHECK_FACTS;
        const uint8_t frame[] = {0, 0, 0, 3, 1, kind, 0};
        expect_refused(scratch, exchange(scratch, rig->socket, BYTES_OF(frame), false),
                       plain ? "signer_message" : "forbidden");
        expect_refused(scratch, exchange(scratch, rig->admin_socket, BYTES_OF(frame), false),
                       admin ? "signer_message" : "forbidden");
    }
    expect_refused(scratch, exchange(scratch, rig->admin_socket, good_frame(rig, &root), false),
                   "forbidden");
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 0);
    cr_expect_eq(rig_log_count(rig, "refused"), 513);
    rig_end(rig);
}

/* Asks as another user: one that no table names gets nothing, root's rights are not inherited. */
static bool ask_as(struct rig *rig, uid_t user, const struct signer_request *request,
                   enum fault_reason *ret_reason)
{
    struct signer_reply reply;
    struct fault fault = {0};

    cr_assert_eq(seteuid(user), 0);
    const bool ok = signer_call(rig, rig->socket, request, &reply, &fault);
    cr_assert_eq(seteuid(0), 0);
    *ret_reason = fault.reason;
    return ok;
}

Test(signer_strangers, of_other_users_are_refused)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    if (geteuid() != 0)
        cr_skip_test("needs root to ask as somebody else");
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct signer_request ping = {.kind = SIGNER_PING};
    const struct signer_request leaf = {
        .kind = SIGNER_SIGN_LEAF, .key_ref = root.reference, .leaf = rig_wish(rig)};
    enum fault_reason reason;

    cr_assert_eq(chmod(rig->directory, 0711), 0);
    cr_assert_eq(chmod(rig->socket, 0666), 0);
    cr_expect_not(ask_as(rig, 65534, &leaf, &reason));
    cr_expect_eq(reason, FORBIDDEN);
    cr_expect_not(ask_as(rig, 4711, &ping, &reason), "a user without a name");
    cr_expect_eq(reason, FORBIDDEN);
    cr_expect(ask_as(rig, 0, &leaf, &reason), "the signer's own user, in one-uid mode");
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 1);
    rig_end(rig);
}

Test(signer_strangers, asking_nobody_are_told_to_come_back)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_request ping = {.kind = SIGNER_PING};
    struct signer_reply reply = {.text = "untouched"};
    struct fault fault = {0};

    cr_expect_not(signer_call(scratch, "/tmp/certctl-no-such.sock", &ping, &reply, &fault));
    cr_expect_eq(fault.reason, SIGNER_UNREACHABLE);
    cr_expect_eq(fault.retry_after_s, 5);
    cr_expect_str_eq(reply.text, "untouched");
    cr_expect_eq(talloc_total_blocks(scratch), 1);
}
