/* admin/restore_replay.c: what was issued and revoked since the back-up, from where it is still
 * known (00 decision 65, 04 section 21): certificates from the signer's log, revocations from the
 * newest published CRL, CRL numbers from both and from the signer's own memory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "lifecycle/revoke.h"
#include "pki/certificate.h"
#include "pki/crl_entry.h"
#include "signer/crl_record.h"
#include "signer/log.h"

#include "core/banned.h"

#define BATCH     500
#define LEAP      1000 /* where nobody knows how far the numbers went (10 section 17) */
#define SERIAL_CN "2.5.4.3="
/* Whoever signed within it before the snapshot may have committed after it. */
#define OVERLAP_S 300
#define FACTS     ".facts"

static const struct statement replay_statements[] = {
    {"replay_become_owner", "SET ROLE certctl_owner"                                            },
    {"replay_cas",          "SELECT id, cert_der, crl_number FROM ca_instances ORDER BY id"     },
 /* $1 node, $2 lines, $3 since, $4 owner, $5 team, $6 renewal policy. */
    {"replay_signatures",
     "SELECT registered, strangers FROM restore_signatures($1::text, $2::text::jsonb, "
     "$3::timestamptz, $4::text, $5::text, $6::text)"                                           },
 /* $1 CA, $2 entries. */
    {"replay_revocations",  "SELECT revoked FROM restore_revocations($1::text, $2::text::jsonb)"},
 /* $1 numbers, $2 node, $3 line, $4 SHA-256, $5 inode, $6 offset, $7 audit, $8 who, $9 details. */
    {"replay_finish",
     "SELECT restore_finish($1::text::jsonb, $2::text, $3::bigint, $4::text, $5::bigint, "
     "$6::bigint, $7::text, $8::text, $9::text::jsonb)"                                         },
};
enum replay_statement { BECOME_OWNER, CAS, SIGNATURES, REVOCATIONS, FINISH };

void restore_statements_add(struct db *db)
{
    db_statements_add(db, &replay_statements[CAS], FINISH - CAS + 1);
}

struct ca {
    const char *id;
    const char *sha256;
    X509 *certificate;
    int64_t number;   /* as the database knows it */
    int64_t logged;   /* highest in the signer's log */
    int64_t listed;   /* of the newest list at hand */
    const char *list; /* its file */
    int64_t state;    /* highest in a <key>.state */
};

struct replay {
    struct restore *restore;
    struct db *db;
    struct ca *cas;
    size_t ca_count;
    struct log_position end; /* of the log that goes on here */
    bool end_in_place;       /* its inode is the one it will have */
    bool leap;
    int64_t registered;
    int64_t strangers;
    int64_t revoked;
    size_t breaks;
    char why[256];
};

static struct ca *ca_by_sha256(const struct replay *replay, const char *sha256)
{
    for (size_t i = 0; i < replay->ca_count; i++)
        if (text_equal(replay->cas[i].sha256, sha256))
            return &replay->cas[i];
    return NULL;
}

static bool load_cas(struct replay *replay, struct fault *fault)
{
    TALLOC_CTX *ctx = replay->restore->ctx;
    struct rows *rows = db_query_params(ctx, replay->db, &replay_statements[CAS], fault, NULL, 0);

    if (!rows)
        return false;
    replay->cas = mem_array(ctx, struct ca, rows->count + 1);
    for (size_t i = 0; i < rows->count; i++) {
        const struct bytes der = row_bytes(ctx, rows, i, "cert_der");
        const uint8_t *at = der.data;
        X509 *certificate = d2i_X509(NULL, &at, (long)der.size); /* at most a field */
        if (!certificate)
            return fault_set(fault, CERTIFICATE_MALFORMED, NULL, "a CA's certificate is broken");
        replay->cas[replay->ca_count++] = (struct ca){
            .id = row_text(rows, i, "id"),
            .sha256 = digest_sha256_hex(ctx, der),
            .certificate = mem_adopt(ctx, certificate, X509_free),
            .number = row_integer(rows, i, "crl_number"),
        };
    }
    return true;
}

/* ---- the signer's log ---- */

/* "dns:www.example.org": the value alone, as managed_certificates has it. */
static json_t *sans_of(const json_t *names)
{
    json_t *sans = json_array();

    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const char *colon = name ? strchr(name, ':') : NULL;
        if (colon)
            json_add_text(sans, colon + 1);
    }
    return sans;
}

static const char *common_name_of(const json_t *line)
{
    const json_t *subject = json_object_get(line, "subject");
    const json_t *sans = json_object_get(line, "sans");

    for (size_t i = 0; i < json_array_size(subject); i++) {
        const char *rdn = json_string_value(json_array_get(subject, i));
        if (rdn && text_starts(rdn, SERIAL_CN) && rdn[strlen(SERIAL_CN)])
            return rdn + strlen(SERIAL_CN);
    }
    return json_array_size(sans) > 0 && *json_string_value(json_array_get(sans, 0))
               ? json_string_value(json_array_get(sans, 0))
               : json_text_at(line, "serial");
}

/* What a row needs that the line does not say. */
static bool complete(json_t *line, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct crl_entry entry = {.serial = json_text_at(line, "serial"),
                                    .revoked_at = clock_now_s()};
    struct bytes der;

    if (!crl_entry_encode(scratch, &entry, &der, fault))
        return false;
    json_set_new(line, "sans", sans_of(json_object_get(line, "names")));
    json_set_text(line, "common_name", common_name_of(line));
    json_set_text(line, "certificate_id", id_new(scratch, "mc"));
    json_set_text(line, "version_id", id_new(scratch, "cv"));
    json_set_text(line, "revocation_id", id_new(scratch, "rev"));
    json_set_text(line, "entry", hex_from_bytes(scratch, der));
    return true;
}

static bool register_signatures(struct replay *replay, json_t *lines, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct settings *settings = replay->restore->settings;

    if (json_array_size(lines) == 0)
        return true;
    for (size_t i = 0; i < json_array_size(lines); i++)
        if (!complete(json_array_get(lines, i), fault))
            return false;
    struct rows *rows = db_query(
        scratch, replay->db, &replay_statements[SIGNATURES], fault, TEXT(settings->node_id),
        TEXT(json_to_text(scratch, lines)), INSTANT(replay->restore->taken_at - OVERLAP_S),
        TEXT(settings->acme_default_owner_id), TEXT(settings->acme_default_team_id),
        TEXT(settings->acme_default_renewal_policy_id));
    if (!rows)
        return false;
    replay->registered += row_integer(rows, 0, "registered");
    replay->strangers += row_integer(rows, 0, "strangers");
    return true;
}

static void note_lists(struct replay *replay, const json_t *lists)
{
    for (size_t i = 0; i < json_array_size(lists); i++) {
        const json_t *list = json_array_get(lists, i);
        struct ca *ca = ca_by_sha256(replay, json_text_at(list, "ca_sha256"));
        if (ca)
            ca->logged = most(ca->logged, json_integer_value(json_object_get(list, "crl_number")));
    }
}

/* From its first line: what is recorded costs a look. */
static bool replay_log(struct replay *replay, const char *path, struct log_position *ret_end,
                       struct fault *fault)
{
    struct log_position at = {0};
    bool more = true;

    while (more) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct log_batch batch = {0};
        if (!signer_log_read(scratch, path, &at, BATCH, &batch, fault) ||
            !register_signatures(replay, batch.signatures, fault))
            return false;
        note_lists(replay, batch.lists);
        if (batch.breaks > 0 && replay->breaks == 0)
            (void)snprintf(replay->why, sizeof(replay->why), "%s", batch.why);
        replay->breaks += batch.breaks;
        at = batch.after;
        more = batch.more;
    }
    *ret_end = at;
    return true;
}

/* Whether the log goes on from that line: some line of it is that one. */
static bool file_has_line(const char *path, const struct log_position *line)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *opens = mem_printf(scratch, "{\"line\":%" PRId64 ",", line->line);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    AUTO(FILE) *file = fd >= 0 ? fdopen(TAKE_FD(fd), "r") : NULL;
    char *text = NULL;
    size_t room = 0;
    ssize_t size;
    bool found = false;

    while (file && !found && (size = getline(&text, &room, file)) > 1)
        found = text_starts(text, opens) &&
                text_equal(digest_sha256_hex(
                               scratch, (struct bytes){(const uint8_t *)text, (size_t)size - 1}),
                           line->sha256);
    (free)(text); /* getline's own */
    return found;
}

static bool log_has_line(const char *path, const struct log_position *line)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? mem_text_n(scratch, path, slash - path + 1) : "./";
    AUTO(DIR) *directory = opendir(folder);
    const struct dirent *entry;

    while (directory && (entry = readdir(directory)))
        if (text_starts(entry->d_name, slash ? slash + 1 : path) &&
            file_has_line(mem_printf(scratch, "%s%s", folder, entry->d_name), line))
            return true;
    return false;
}

static bool check_log(struct replay *replay, const char *path, const struct log_position *line,
                      struct fault *fault)
{
    const bool goes_on = path && (line->line == 0 || log_has_line(path, line));

    replay->leap |= !goes_on;
    if (goes_on || replay->restore->without_log)
        return true;
    if (!path)
        return fault_set(fault, RESOURCE_STATE, NULL,
                         "the signer's log is not here, and it alone knows what was issued since "
                         "the back-up: put it back or give a copy by --log=FILE; --without-log "
                         "gives those certificates up");
    return fault_set(fault, RESOURCE_STATE, NULL,
                     "the signer's log %.60s does not go on from line %" PRId64
                     " of the back-up's: unpack what was rotated, or give --log=FILE; --without-log"
                     " gives what was issued between up",
                     path, line->line);
}

static bool replay_logs(struct replay *replay, struct fault *fault)
{
    struct restore *restore = replay->restore;
    const char *here = restore->settings->signer_log_path;
    const char *name = strrchr(here, '/') + 1;
    const char *staged = mem_printf(restore->ctx, "%s/log/%s", restore->staging, name);
    const bool log_is_here = access(here, F_OK) == 0;
    const char *newest = log_is_here ? here : restore->log;
    struct log_position of_set = {0};
    struct log_position given;

    if (access(staged, F_OK) == 0 && !replay_log(replay, staged, &of_set, fault))
        return false;
    if (!check_log(replay, restore->log ? restore->log : newest, &of_set, fault))
        return false;
    replay->end = of_set;
    if (restore->log && !replay_log(replay, restore->log, &given, fault))
        return false;
    if (restore->log)
        replay->end = given;
    replay->end_in_place = log_is_here;
    return !log_is_here || replay_log(replay, here, &replay->end, fault);
}

/* ---- published lists ---- */

static X509_CRL *read_list(const char *path, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes der;

    if (!backup_file_read(scratch, path, &der, fault))
        return NULL;
    const uint8_t *at = der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.size); /* at most 1 GiB */
    if (crl && at == der.data + der.size)
        return crl;
    X509_CRL_free(crl);
    return fault_set(fault, INPUT_MALFORMED, "crl", "%.200s is no CRL in DER", path);
}

static struct ca *ca_of_list(const struct replay *replay, X509_CRL *crl)
{
    for (size_t i = 0; i < replay->ca_count; i++) {
        X509 *certificate = replay->cas[i].certificate;
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(certificate)) == 0 &&
            X509_CRL_verify(crl, X509_get0_pubkey(certificate)) == 1)
            return &replay->cas[i];
    }
    return NULL;
}

static int64_t number_of(const X509_CRL *crl)
{
    AUTO(ASN1_INTEGER) *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    int64_t value = 0;

    return number && ASN1_INTEGER_get_int64(&value, number) == 1 ? value : 0;
}

static bool look_at_list(struct replay *replay, const char *path, struct fault *fault)
{
    AUTO(X509_CRL) *crl = read_list(path, fault);
    struct ca *ca = crl ? ca_of_list(replay, crl) : NULL;

    if (!crl)
        return false;
    if (!ca)
        return fault_set(fault, INPUT_INVALID, "crl", "%.200s is of no CA in the back-up", path);
    if (number_of(crl) > ca->listed) {
        ca->listed = number_of(crl);
        ca->list = mem_text(replay->restore->ctx, path);
    }
    return true;
}

/* What was given must be good; what lies about is taken where it is. */
static bool look_at_lists(struct replay *replay, struct fault *fault)
{
    struct restore *restore = replay->restore;
    const char *folder = mem_printf(restore->ctx, "%s/crl", restore->settings->pki_publish_dir);
    AUTO(DIR) *directory = opendir(folder);
    const struct dirent *entry;

    for (size_t i = 0; i < restore->crls.count; i++)
        if (!look_at_list(replay, restore->crls.items[i], fault))
            return false;
    while (directory && (entry = readdir(directory))) {
        struct fault ignored = {0};
        if (text_ends(entry->d_name, ".crl"))
            (void)look_at_list(replay, mem_printf(restore->ctx, "%s/%s", folder, entry->d_name),
                               &ignored);
    }
    return true;
}

/* A list that was signed and is not at hand may have revocations that nobody else knows. */
static bool check_lists(struct replay *replay, struct fault *fault)
{
    for (size_t i = 0; i < replay->ca_count; i++) {
        const struct ca *ca = &replay->cas[i];
        if (ca->logged < ca->number || ca->listed >= ca->logged)
            continue;
        replay->leap = true;
        if (!replay->restore->without_crl)
            return fault_set(fault, RESOURCE_STATE, NULL,
                             "CRL %" PRId64 " of %.40s was signed, the newest at hand is %" PRId64
                             ": give it by --crl=FILE; --without-crl makes valid again what was "
                             "revoked since",
                             ca->logged, ca->id, ca->listed);
    }
    return true;
}

static const char *reason_of(const X509_REVOKED *entry)
{
    ASN1_ENUMERATED *given = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    enum revocation_reason reason = REVOKED_UNSPECIFIED;

    if (given)
        (void)!revocation_reason_from_code(ASN1_ENUMERATED_get(given), &reason);
    ASN1_ENUMERATED_free(given);
    return revocation_reason_text(reason);
}

static bool time_of(const X509_REVOKED *entry, int64_t *ret_unix_s)
{
    struct tm parts = {0};

    if (ASN1_TIME_to_tm(X509_REVOKED_get0_revocationDate(entry), &parts) != 1)
        return false;
    *ret_unix_s = timegm(&parts);
    return true;
}

/* The entry stays as it was published, octet for octet. */
static bool add_entry(json_t *list, X509_REVOKED *entry, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(entry);
    const struct bytes octets = {ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)};
    const int size = i2d_X509_REVOKED(entry, &der);
    const char *canonical;
    int64_t revoked_at;

    if (size <= 0 || !time_of(entry, &revoked_at) ||
        !serial_canonical(scratch, hex_from_bytes(scratch, octets), &canonical))
        return fault_set(fault, INPUT_MALFORMED, "crl", "an entry of the CRL cannot be read");
    json_t *item = json_object();
    json_set_text(item, "id", id_new(scratch, "rev"));
    json_set_text(item, "serial", canonical);
    json_set_text(item, "revoked_at", time_to_rfc3339(scratch, revoked_at));
    json_set_text(item, "reason", reason_of(entry));
    json_set_text(item, "entry", hex_from_bytes(scratch, (struct bytes){der, (size_t)size}));
    json_add_new(list, item);
    return true;
}

static bool send_entries(struct replay *replay, const struct ca *ca, json_t *list,
                         struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, replay->db, &replay_statements[REVOCATIONS], fault,
                                 TEXT(ca->id), TEXT(json_to_text(scratch, list)));

    if (!rows)
        return false;
    replay->revoked += row_integer(rows, 0, "revoked");
    return json_array_clear(list) == 0;
}

static bool take_list(struct replay *replay, const struct ca *ca, struct fault *fault)
{
    AUTO(X509_CRL) *crl = read_list(ca->list, fault);
    STACK_OF(X509_REVOKED) *entries = crl ? X509_CRL_get_REVOKED(crl) : NULL;
    AUTO(json_t) *list = json_array();

    if (!crl)
        return false;
    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        if (!add_entry(list, sk_X509_REVOKED_value(entries, i), fault))
            return false;
        if (json_array_size(list) == BATCH && !send_entries(replay, ca, list, fault))
            return false;
    }
    return send_entries(replay, ca, list, fault);
}

static bool take_lists(struct replay *replay, struct fault *fault)
{
    if (!look_at_lists(replay, fault) || !check_lists(replay, fault))
        return false;
    for (size_t i = 0; i < replay->ca_count; i++)
        if (replay->cas[i].list && !take_list(replay, &replay->cas[i], fault))
            return false;
    return true;
}

struct replay *restore_replay(struct restore *restore, struct fault *fault)
{
    struct replay *replay = mem_new(restore->ctx, struct replay);

    replay->restore = restore;
    replay->db = backup_connect(replay, restore->settings, restore->scratch, fault);
    const bool done = replay->db &&
                      db_query_params(replay, replay->db, &replay_statements[BECOME_OWNER], fault,
                                      NULL, 0) &&
                      load_cas(replay, fault) && replay_logs(replay, fault) &&
                      take_lists(replay, fault);
    return done ? replay : NULL;
}

/* ---- numbers ---- */

static void note_state(struct ca *ca, const char *path)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes record;
    struct fault ignored = {0};
    int64_t number = 0;

    if (access(path, F_OK) == 0 && backup_file_read(scratch, path, &record, &ignored) &&
        crl_record_read(record, &number))
        ca->state = most(ca->state, number);
}

static struct ca *ca_of_facts(const struct replay *replay, const char *path)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault ignored = {0};
    struct bytes text;
    struct bytes der;

    if (!backup_file_read(scratch, path, &text, &ignored))
        return NULL;
    AUTO(json_t) *facts = json_parse_object(text, INPUT_MALFORMED, "facts", &ignored);
    const char *base64 = facts ? json_text_at(facts, "ca_certificate") : NULL;
    if (!base64 || !base64_to_bytes(scratch, base64, strlen(base64), &der))
        return NULL;
    return ca_by_sha256(replay, digest_sha256_hex(scratch, der));
}

static int64_t highest(const struct replay *replay, const struct ca *ca)
{
    int64_t known = most(ca->number, ca->logged);

    known = most(known, ca->listed);
    known = most(known, ca->state);
    return known + (replay->leap ? LEAP : 0);
}

/* The signer's memory beside the key: never lower than what is there or was. */
static bool write_state(struct replay *replay, struct ca *ca, const char *name, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct restore *restore = replay->restore;
    const int length = (int)(strlen(name) - strlen(FACTS)); /* of a file's name */
    const char *path = mem_printf(scratch, "%s/%.*s" CRL_STATE_ENDS, restore->settings->ca_key_dir,
                                  length, name);
    const char *source = mem_printf(scratch, "%s/state", restore->staging);
    const struct set_entry as = {
        .owner = "certctl-signer", .group = "certctl-signer", .mode = 0600};
    char record[CRL_RECORD_SIZE + 1];

    note_state(ca, path);
    note_state(ca,
               mem_printf(scratch, "%s/ca/%.*s" CRL_STATE_ENDS, restore->staging, length, name));
    if (highest(replay, ca) == 0)
        return true;
    crl_record_write(highest(replay, ca), record);
    (void)unlink(source);
    AUTO_FD fd = open(source, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, record, CRL_RECORD_SIZE) != CRL_RECORD_SIZE) {
        fault_set(fault, FILE_FAILED, NULL, "a CRL number cannot be written");
        return fault_cause_errno(fault, source);
    }
    return backup_file_put(path, source, &as, NULL, fault);
}

static bool write_states(struct replay *replay, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *folder = replay->restore->settings->ca_key_dir;
    AUTO(DIR) *directory = opendir(folder);
    const struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        if (!text_ends(entry->d_name, FACTS))
            continue;
        struct ca *ca = ca_of_facts(replay, mem_printf(scratch, "%s/%s", folder, entry->d_name));
        if (ca && !write_state(replay, ca, entry->d_name, fault))
            return false;
    }
    return true;
}

static json_t *details_of(const struct replay *replay)
{
    json_t *details = json_object();

    json_set_text(details, "backup", replay->restore->id);
    json_set_text(details, "taken_at", json_text_at(replay->restore->head, "taken_at"));
    json_set_integer(details, "issued_since", replay->registered);
    json_set_integer(details, "revoked_since", replay->revoked);
    json_set_bool(details, "without_log", replay->restore->without_log);
    json_set_bool(details, "without_crl", replay->restore->without_crl);
    return details;
}

/* Where signer-reconcile goes on: the file that will be there has an inode of its own. */
static void settle_position(struct replay *replay)
{
    struct stat status;

    if (replay->end_in_place)
        return;
    if (stat(replay->restore->settings->signer_log_path, &status) == 0)
        replay->end.inode = (int64_t)status.st_ino; /* compared only */
    else
        replay->end = (struct log_position){0};
}

bool restore_numbers(struct restore *restore, struct replay *replay, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *numbers = json_object();
    AUTO(json_t) *details = details_of(replay);

    if (!write_states(replay, fault))
        return false;
    for (size_t i = 0; i < replay->ca_count; i++)
        json_set_integer(numbers, replay->cas[i].id, highest(replay, &replay->cas[i]));
    settle_position(replay);
    const struct log_position *end = &replay->end;
    const bool done = db_query(scratch, replay->db, &replay_statements[FINISH], fault,
                               TEXT(json_to_text(scratch, numbers)),
                               TEXT(restore->settings->node_id), INTEGER(end->line),
                               TEXT(end->sha256), INTEGER(end->inode), INTEGER(end->offset),
                               TEXT(id_new(scratch, "audit")), TEXT(restore->actor),
                               TEXT(json_to_text(scratch, details))) != NULL;
    db_close(replay->db); /* a database with sessions takes no other name */
    return done;
}

void restore_tell(const struct replay *replay)
{
    (void)printf("issued since the back-up and recorded from the signer's log: %" PRId64 "\n"
                 "revoked since, from the published lists: %" PRId64 "\n",
                 replay->registered, replay->revoked);
    if (replay->strangers > 0)
        (void)printf("signatures of CAs that the back-up does not have: %" PRId64
                     "; signer-reconcile will tell them one by one\n",
                     replay->strangers);
    if (replay->breaks > 0)
        (void)printf("the signer's log is broken in %zu places, first: %s\n", replay->breaks,
                     replay->why);
    for (size_t i = 0; i < replay->ca_count; i++)
        (void)printf("%s\tnext CRL above %" PRId64 "\n", replay->cas[i].id,
                     highest(replay, &replay->cas[i]));
}
