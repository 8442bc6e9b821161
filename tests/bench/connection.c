/* tests/bench/connection.c: connections as the users that the product's processes have. */
#include "tests/bench/connection.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "core/text.h"
#include "tests/bench/loop.h"

#include "core/banned.h"

#define CONNECT_TIME_S 5

/* The saved user id stays root's. */
void become(const char *user)
{
    if (getuid() != 0)
        return;
    if (!user) {
        if (seteuid(0) != 0 || setegid(0) != 0 || setgroups(0, NULL) != 0)
            give_up("cannot become root again: %s", strerror(errno));
        return;
    }
    const struct passwd *entry = getpwnam(user);
    if (!entry || initgroups(user, entry->pw_gid) != 0 || setegid(entry->pw_gid) != 0 ||
        seteuid(entry->pw_uid) != 0)
        give_up("cannot become %s", user);
}

struct db *connection_as(TALLOC_CTX *ctx, const char *url, const char *user, const char *role)
{
    const struct db_options options = {
        .url = url, .role = role, .application_name = "bench", .connect_timeout_s = CONNECT_TIME_S};
    struct db *db = db_new(ctx, &options);
    struct fault fault = {0};

    become(user);
    if (!db_connect(db, &fault))
        give_up("%s: %s; %s", role, fault.detail, fault.cause);
    become(NULL);
    return db;
}
