/* jobs/revocation/crl_publish.c: CRLs and CA certificates as files of this host (04 section
 * 9.5). */
#include "jobs/revocation/crl_publish.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "jobs/revocation/crl_file.h"

#include "core/banned.h"

#define SLICE     (1024 * 1024)
#define NAMES_MAX 3

/* Without the lists themselves: this is asked every two seconds. */
STATEMENT(crl_published, "SELECT c.id, c.issuer_id, c.intermediate_ca_id, c.cert_der, "
                         "i.id IS NOT NULL AS issues, k.crl_number, k.this_update, "
                         "coalesce(k.next_update > now(), false) AS in_force "
                         "FROM ca_instances c LEFT JOIN issuing_cas i ON i.id = c.id "
                         "LEFT JOIN crl_cache k ON k.issuer_id = c.issuer_id AND k.ca_id = c.id "
                         "AND k.kind = 'full' ORDER BY c.id");

/* $1 issuer, $2 CA, $3 number, $4 from, $5 octets. */
STATEMENT(crl_slice, "SELECT substring(crl_der FROM $4::integer FOR $5::integer) AS part "
                     "FROM crl_cache WHERE issuer_id = $1::text AND ca_id = $2::text "
                     "AND kind = 'full' AND crl_number = $3::bigint");

/* What a file held when it was last read, so that large ones are not read every two seconds. */
struct remembered {
    struct remembered *next;
    const char *path;
    struct timespec changed;
    ino_t inode;
    off_t size;
    int64_t number; /* 0: no list */
    int64_t next_update;
};

static struct remembered *memory; /* of this process, which lives for a minute */

struct publication {
    TALLOC_CTX *ctx;
    struct job_run *run;
    const struct rows *rows;
    size_t row;
    const char *names[NAMES_MAX];
    size_t names_count;
};

static const char *crl_path(const struct publication *publication, const char *name)
{
    return mem_printf(publication->ctx, "%s/crl/%s.crl",
                      publication->run->settings->pki_publish_dir, name);
}

static struct remembered *remembered_of(const char *path)
{
    for (struct remembered *each = memory; each; each = each->next)
        if (text_equal(each->path, path))
            return each;
    struct remembered *made = mem_new(NULL, struct remembered);
    made->path = mem_text(made, path);
    made->next = memory;
    memory = made;
    return made;
}

static bool same(const struct remembered *known, const struct stat *status)
{
    return known->inode == status->st_ino && known->size == status->st_size &&
           known->changed.tv_sec == status->st_ctim.tv_sec &&
           known->changed.tv_nsec == status->st_ctim.tv_nsec;
}

/* What the file holds now; NULL: there is none. */
static const struct remembered *look_at(const char *path)
{
    struct remembered *known = remembered_of(path);
    struct stat status;

    if (stat(path, &status) != 0)
        return NULL;
    if (same(known, &status))
        return known;
    if (!served_crl_look(path, &known->number, &known->next_update))
        known->number = known->next_update = 0;
    known->inode = status.st_ino;
    known->size = status.st_size;
    known->changed = status.st_ctim;
    return known;
}

/* The number of the list in the file; 0: there is none. */
static int64_t number_in(const char *path)
{
    const struct remembered *found = look_at(path);

    return found ? found->number : 0;
}

static bool copy_slices(const struct publication *publication, struct served_file *file,
                        struct fault *fault)
{
    const struct rows *rows = publication->rows;
    struct bytes part = {.size = SLICE};

    for (int64_t at = 1; part.size == SLICE; at += SLICE) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rows *found = db_query(scratch, publication->run->db, &crl_slice, fault,
                                      TEXT(row_text(rows, publication->row, "issuer_id")),
                                      TEXT(row_text(rows, publication->row, "id")),
                                      INTEGER(row_integer(rows, publication->row, "crl_number")),
                                      INTEGER(at), INTEGER(SLICE));
        if (!found)
            return false;
        if (found->count == 0)
            return fault_set(fault, RESOURCE_STATE, NULL, "a newer list came meanwhile");
        part = row_bytes(scratch, found, 0, "part");
        if (!served_file_write(file, part, fault))
            return false;
    }
    return true;
}

static bool write_crl(const struct publication *publication, const char *path, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct served_file *file = served_file_begin(scratch, path, fault);

    return file && copy_slices(publication, file, fault) &&
           served_file_done(file, row_time(publication->rows, publication->row, "this_update"),
                            fault);
}

/* All names are one file, written for the first of them. */
static bool publish_crl(const struct publication *publication, struct fault *fault)
{
    const int64_t number = row_integer(publication->rows, publication->row, "crl_number");
    const char *first = crl_path(publication, publication->names[0]);

    if (number_in(first) != number && !write_crl(publication, first, fault))
        return false;
    for (size_t i = 1; i < publication->names_count; i++) {
        const char *path = crl_path(publication, publication->names[i]);
        if (number_in(path) != number && !served_file_link(first, path, fault))
            return false;
    }
    return true;
}

/* Never an expired list with status 200: without a file the web server answers 503. */
static void withdraw_crl(const struct publication *publication)
{
    for (size_t i = 0; i < publication->names_count; i++)
        (void)unlink(crl_path(publication, publication->names[i]));
}

static bool publish_certificate(const struct publication *publication, const char *name,
                                struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s/ca/%s.crt",
                                  publication->run->settings->pki_publish_dir, name);
    const struct bytes der = row_bytes(scratch, publication->rows, publication->row, "cert_der");

    if (served_file_is(path, der))
        return true;
    struct served_file *file = served_file_begin(scratch, path, fault);
    return file && served_file_write(file, der, fault) && served_file_done(file, 0, fault);
}

static bool publish_one(const struct publication *publication, struct fault *fault)
{
    for (size_t i = 0; i < publication->names_count; i++)
        if (!publish_certificate(publication, publication->names[i], fault))
            return false;
    if (row_bool(publication->rows, publication->row, "in_force"))
        return publish_crl(publication, fault);
    withdraw_crl(publication);
    return true;
}

static void fill_names(struct publication *publication)
{
    const char *id = row_text(publication->rows, publication->row, "id");
    const char *intermediate = row_text(publication->rows, publication->row, "intermediate_ca_id");

    publication->names[publication->names_count++] = id;
    if (intermediate && !text_equal(intermediate, id))
        publication->names[publication->names_count++] = intermediate;
    if (row_bool(publication->rows, publication->row, "issues"))
        publication->names[publication->names_count++] = row_text(publication->rows,
                                                                  publication->row, "issuer_id");
}

/* What no CA stands behind any more (an issuer without one, a CA that was lost) is served until its
 * list ends, and not a second longer. Half-written files of a run that was killed go too. */
static void sweep(const struct job_run *run)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *place = mem_printf(scratch, "%s/crl", run->settings->pki_publish_dir);
    AUTO(DIR) *directory = opendir(place);

    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry;
         entry = readdir(directory)) {
        const char *path = mem_printf(scratch, "%s/%s", place, entry->d_name);
        const bool list = text_ends(entry->d_name, ".crl");
        const struct remembered *found = list ? look_at(path) : NULL;
        if ((found && found->next_update <= clock_now_s()) || text_ends(entry->d_name, ".tmp"))
            (void)unlink(path);
    }
}

static bool make_directories(const struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *place = run->settings->pki_publish_dir;

    return served_directory(place, fault) &&
           served_directory(mem_printf(scratch, "%s/crl", place), fault) &&
           served_directory(mem_printf(scratch, "%s/ca", place), fault);
}

bool crl_publish(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct rows *rows = db_query_params(ctx, run->db, &crl_published, fault, NULL, 0);
    struct fault why = {0};

    if (!rows)
        return false;
    if (rows->count > 0 && !make_directories(run, &why)) {
        job_item_failed(run, run->settings->pki_publish_dir, &why);
        return true;
    }
    for (size_t i = 0; i < rows->count && !job_should_stop(run); i++) {
        struct publication publication = {.ctx = ctx, .run = run, .rows = rows, .row = i};
        struct fault file_fault = {0};

        fill_names(&publication);
        if (!publish_one(&publication, &file_fault))
            job_item_failed(run, publication.names[0], &file_fault);
    }
    sweep(run);
    return true;
}
