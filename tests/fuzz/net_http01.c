/* tests/fuzz/net_http01.c: a web server that answers http-01 as the input says: parts between NUL
 * octets are the answers to the first request, to what it redirects to, and so on. All names are
 * this web server, but for those that begin with "no" (they do not exist) and "in" (inside). */
#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/memory.h"
#include "net/validation.h"

#include "core/banned.h"

#define EXPECTED "token.thumbprint"
#define PEERS    16
#define PORT     8099

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    int listening;
    int peers[PEERS];
    size_t count;
    struct bytes left;
    bool over;
    bool valid;
};

/* Of this process alone, so that several may run at once on one port. */
static uint8_t own_address[4];

/* In place of lib/net/resolve.c: there is no DNS here. */
struct dns_question *resolver_ask(TALLOC_CTX *ctx, struct resolver *resolver, const char *name,
                                  enum dns_type type, dns_done *done, void *context,
                                  struct fault *fault)
{
    static const uint8_t inside[] = {10, 0, 0, 1};
    struct bytes record = {text_starts(name, "in") ? inside : own_address, 4};
    struct dns_answer answer = {.type = type, .records = &record, .count = 1};

    (void)resolver;
    (void)fault;
    if (type == DNS_AAAA || text_starts(name, "no")) {
        answer.count = 0;
        answer.absent = true;
        fault_set(&answer.fault, NET_DNS, NULL, "there is no such name");
    }
    done(context, &answer);
    return talloc_new(ctx);
}

static void listen_once(struct world *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    const int on = 1;
    const pid_t pid = getpid();

    own_address[0] = 127;
    own_address[1] = (uint8_t)(pid >> 14 & 0xff);
    own_address[2] = (uint8_t)(pid >> 7 & 0x7f);
    own_address[3] = (uint8_t)((pid & 0x7f) + 1);
    memcpy(&address.sin_addr, own_address, sizeof(own_address));

    world->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(world->listening >= 0);
    assert(setsockopt(world->listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
    assert(bind(world->listening, (struct sockaddr *)&address, sizeof(address)) == 0);
    assert(listen(world->listening, PEERS) == 0);
}

/* Whoever connects is answered by the next part, whatever was asked; then it is closed. */
static void answer(struct world *world)
{
    const int peer = accept4(world->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    const uint8_t *end = world->left.size ? memchr(world->left.data, 0, world->left.size) : NULL;
    const size_t part = end ? (size_t)(end - world->left.data) : world->left.size;

    if (peer < 0)
        return;
    (void)send(peer, world->left.data, part, MSG_NOSIGNAL);
    (void)shutdown(peer, SHUT_WR);
    world->left.data += part + (end != NULL);
    world->left.size -= part + (end != NULL);
    if (world->count < PEERS)
        world->peers[world->count++] = peer;
    else
        (void)close(peer);
}

static void on_done(void *context, const struct validation_outcome *outcome)
{
    struct world *world = context;

    world->over = true;
    world->valid = outcome->valid;
    assert(outcome->valid == (outcome->fault.reason == REASON_NONE));
}

static void validate(TALLOC_CTX *ctx, struct world *world)
{
    struct text_list allowed = {0};
    struct fault fault = {0};

    text_list_add(ctx, &allowed, "127.0.0.0/8");
    struct guard *guard = guard_new(ctx, false, &allowed, &fault);
    struct fetcher *fetcher = fetcher_new(ctx, guard, &fault);
    const struct validation_rig rig = {
        .guard = guard, .fetcher = fetcher, .user_agent = "fuzz", .http_port = PORT};
    const struct validation_wish wish = {.identifier = "a.example",
                                         .method = "http-01",
                                         .token = "token",
                                         .key_authorization = EXPECTED,
                                         .deadline_us = clock_monotonic_us() + 250000};
    struct validation *validation = validation_start(fetcher, &http01_validator, &rig, &wish,
                                                     on_done, world);

    validation_tick(validation);
    while (!world->over) {
        fetcher_wait(fetcher, &world->listening, 1, 20);
        answer(world);
        fetcher_work(fetcher);
        validation_tick(validation);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);

    if (world.listening == 0)
        listen_once(&world);
    world.over = world.valid = false;
    world.count = 0;
    world.left = bytes_copy(ctx, (struct bytes){data, size});
    validate(ctx, &world);
    for (size_t i = 0; i < world.count; i++)
        (void)close(world.peers[i]);
    assert(!world.valid || memmem(data, size, EXPECTED, strlen(EXPECTED)));
    return 0;
}
