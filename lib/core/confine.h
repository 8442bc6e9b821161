/* lib/core/confine.h: what a process gives up before it reads a stranger's first octet.
 *
 * Three layers, each beside what systemd's units say and each worth something alone: no new
 * privileges, no core and no tracing (prctl); files (Landlock); system calls (seccomp). They are
 * laid on at start, once configuration is read and sockets are open, and nothing takes them off. */
#ifndef CERTCTL_CORE_CONFINE_H
#define CERTCTL_CORE_CONFINE_H

#include "core/fault.h"
#include "core/settings.h"

enum confine_access {
    CONFINE_READ,        /* files and directories below */
    CONFINE_READ_BESIDE, /* likewise in the directory that holds it, for a file that is replaced */
    CONFINE_WRITE,       /* and make, change, rename and remove them */
    CONFINE_BESIDE,      /* likewise in the directory that holds it */
};

/* A place, and all that lies below. Where it is missing the directory above it is meant, so that
 * it can be made; where that is missing too, nothing is. */
struct confine_path {
    enum confine_access access;
    size_t setting;   /* AT(settings, …) of a path; CONFINE_FIXED: none */
    const char *rest; /* appended to it; NULL: nothing */
};
#define CONFINE_FIXED ((size_t)-1)

/* What a kind of process needs beyond what all need: the system's configuration and libraries to
 * read, unix sockets, memory, threads. One const table each, beside the process. */
struct confine_plan {
    const struct confine_path *paths;
    size_t path_count;
    size_t list;   /* AT(settings, …) of paths to write, which it needs beside them; 0: none */
    bool any_file; /* no bounds for files: who starts others, which lay on their own */
    bool may_exec;
    bool may_refresh; /* the web server's cache: IPv4 where CERTCTL_OCSP_REFRESH_SOCKET is a port */
    bool may_network; /* IPv4, IPv6; without it there are unix sockets alone */
};

/* All three layers. False with CONFINEMENT_PARTIAL in *fault: the kernel, a container or
 * CERTCTL_CONFINEMENT left some out; the caller says so once and goes on. `network`: also where the
 * plan has none (a database that is reached by TCP).
 *
 * Builds with sanitizers get the first layer only, and no word about it: LeakSanitizer traces its
 * own process at exit, and reports and symbols are files. Tests call the layers by themselves. */
bool confine_process(const struct confine_plan *plan, const struct settings *settings, bool network,
                     struct fault *fault);

/* The layers. False: not laid on, and why. */
bool confine_privileges(struct fault *fault);
bool confine_files(const struct confine_plan *plan, const struct settings *settings, bool network,
                   struct fault *fault);
bool confine_calls(const struct confine_plan *plan, bool network, struct fault *fault);

#endif
