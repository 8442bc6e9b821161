/* tests/unit/jobs/run/wake.c: the wake socket, and the lock of the host beside it (07 1.3, 1.8). */

#include "jobs/run/wake.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "jobs/run/lock.h"

#include "tests/unit/jobs/place.h"

#include "core/banned.h"

static bool send_wake(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return sendto(fd, "", 1, 0, (struct sockaddr *)&address, sizeof address) == 1;
}

Test(wake, datagrams_end_the_wait_and_are_taken_together)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct wake wake;
    struct fault fault = {0};
    struct stat status;

    cr_assert(wake_listen(scratch, place_make(scratch), "job", &wake, &fault), "%s", fault.cause);
    cr_assert_eq(stat(wake.path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0660, "the group may wake, nobody else");
    cr_expect_not(wake_wait(&wake, 0), "nobody woke");
    cr_assert(send_wake(wake.path) && send_wake(wake.path));
    const int64_t began_us = clock_monotonic_us();
    cr_expect(wake_wait(&wake, 60000));
    cr_expect_lt(clock_monotonic_us() - began_us, 10000000);
    cr_expect_not(wake_wait(&wake, 0), "both were taken at once");
    wake_close(&wake);
    cr_expect_neq(stat(wake.path, &status), 0, "unlinked");
}

Test(wake, one_left_behind_is_replaced_and_only_ones_own_is_unlinked)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *place = place_make(scratch);
    struct wake dead;
    struct wake wake;
    struct fault fault = {0};

    cr_assert(wake_listen(scratch, place, "job", &dead, &fault));
    cr_assert(wake_listen(scratch, place, "job", &wake, &fault), "%s", fault.detail);
    wake_close(&dead);
    cr_expect(send_wake(wake.path), "the newer one is still there");
    cr_expect(wake_wait(&wake, 0));
    wake_close(&wake);
}

Test(wake, without_a_socket_it_only_sleeps)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct wake wake;
    struct fault fault = {0};

    cr_expect_not(wake_listen(scratch, "/nowhere/at/all", "job", &wake, &fault));
    cr_expect_eq(fault.reason, FILE_FAILED);
    cr_expect_not(wake_wait(&wake, 1));
    wake_close(&wake);
    cr_expect_not(wake_listen(scratch, mem_printf(scratch, "/%0120d", 0), "job", &wake, &fault));
    cr_expect_eq(wake.fd, -1, "longer than an address can be");
}

Test(host_lock, has_one_holder)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *place = place_make(scratch);
    struct fault fault = {0};
    bool busy = true;
    const int first = host_lock_take(place, "job", &busy, &fault);

    cr_assert_geq(first, 0, "%s", fault.detail);
    cr_expect_not(busy);
    cr_expect_eq(host_lock_take(place, "job", &busy, &fault), -1);
    cr_expect(busy, "held");
    cr_expect_eq(fault.reason, REASON_NONE, "being second is no fault");
    AUTO_FD other = host_lock_take(place, "other-job", &busy, &fault);
    cr_expect_geq(other, 0, "another job is another lock");
    (void)close(first);
    AUTO_FD again = host_lock_take(place, "job", &busy, &fault);
    cr_expect_geq(again, 0, "free again when its holder is gone");
    cr_expect_eq(host_lock_take("/nowhere", "job", &busy, &fault), -1);
    cr_expect_not(busy);
    cr_expect_eq(fault.reason, FILE_FAILED);
}
