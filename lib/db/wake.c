/* lib/db/wake.c: telling a lingering job that there is work (00 decision 44, 07 section 1.8).
 *
 * A wake is only speed: the job polls every two seconds anyway, so every error is ignored. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/memory.h"
#include "db/db_private.h"

#include "core/banned.h"

static void wake_send(struct db *db, const char *job)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock",
                                db->options.wake_dir, job);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path))
        return;
    if (db->wake_fd < 0)
        db->wake_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (db->wake_fd < 0)
        return;
    /* The sockets API takes every kind of address by this cast. */
    (void)sendto(db->wake_fd, "w", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                 (const struct sockaddr *)&address, sizeof(address));
}

void db_wakes_forget(struct db *db)
{
    TALLOC_FREE(db->wakes.items);
    db->wakes.count = 0;
}

void db_wakes_send(struct db *db)
{
    for (size_t i = 0; i < db->wakes.count; i++)
        wake_send(db, db->wakes.items[i]);
    db_wakes_forget(db);
}

void db_wake(struct db *db, const char *job)
{
    if (!db->options.wake_dir)
        return;
    if (!db->in_transaction && !db->enclosed)
        wake_send(db, job);
    else if (!text_list_has(&db->wakes, job))
        text_list_add(db, &db->wakes, job);
}
