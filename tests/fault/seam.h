/* tests/fault/seam.h: the shared page by which a test tells the seam what to break; seam.py writes
 * the same layout. */
#ifndef CERTCTL_TESTS_FAULT_SEAM_H
#define CERTCTL_TESTS_FAULT_SEAM_H

#include <stdint.h>

#define SEAM_MAGIC      0x5345414d /* "SEAM" */
#define SEAM_NAME_BYTES 32

/* What a call goes to; a test chooses a set of them. */
enum seam_kind {
    SEAM_DATABASE = 1, /* a socket connected to PostgreSQL */
    SEAM_SIGNER = 2,   /* a socket to the signer, or the signer's own to its peers */
    SEAM_NETWORK = 4,  /* any other socket: FastCGI, DNS, HTTP */
    SEAM_FILE = 8,     /* what changes a file, a link or a directory */
};

enum seam_action {
    SEAM_FAIL = 1,        /* the call is not made and fails with `error` */
    SEAM_FAIL_AFTER = 2,  /* the call is made and seems to have failed */
    SEAM_KILL_BEFORE = 3, /* SIGKILL instead of the call */
    SEAM_KILL_AFTER = 4,  /* SIGKILL when the call is done */
    SEAM_SHORT = 5,       /* half is written, the rest fails with `error` */
};

struct seam_page {
    uint32_t magic;
    uint32_t kinds;                      /* set of enum seam_kind that are counted */
    uint32_t action;                     /* enum seam_action */
    int32_t error;                       /* errno of a failure */
    uint64_t at;                         /* the call that is broken, from 1; 0: none */
    uint64_t count;                      /* calls seen since the test reset it */
    uint64_t fired;                      /* how often something was broken */
    int64_t shift_s;                     /* the real time clock of clock_program is so far ahead */
    uint32_t every;                      /* not 0: every call from `at` on is broken */
    uint32_t padding;                    /* the names begin at a round offset */
    char program[SEAM_NAME_BYTES];       /* whose calls are counted */
    char clock_program[SEAM_NAME_BYTES]; /* whose clock is shifted; ends in '*': a prefix */
    char last[SEAM_NAME_BYTES];          /* the function that was broken last */
};

#endif
