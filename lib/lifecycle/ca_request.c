/* lib/lifecycle/ca_request.c: CA requests as both their approver and their job see them
 * (04 sections 3.3 and 5.2). */
#include "ca_request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/memory.h"
#include "pki/name.h"

#include "core/banned.h"

#define COMMON_NAME_MAX 64 /* ub-common-name, RFC 5280 appendix A.1 */
#define URLS_MAX        4
#define URL_MAX         512
#define DAY_S           (INT64_C(24) * 3600)
#define SHA256_HEX      64

static const struct member bootstrap_members[] = {
    {"root_common_name",    MEMBER_TEXT,    REQUIRED, AT(ca_bootstrap, root_common_name)   },
    {"issuing_common_name", MEMBER_TEXT,    REQUIRED, AT(ca_bootstrap, issuing_common_name)},
    {"organization",        MEMBER_TEXT,    OPTIONAL, AT(ca_bootstrap, organization)       },
    {"root_algorithm",      MEMBER_TEXT,    REQUIRED, AT(ca_bootstrap, root_algorithm)     },
    {"issuing_algorithm",   MEMBER_TEXT,    REQUIRED, AT(ca_bootstrap, issuing_algorithm)  },
    {"root_driver",         MEMBER_TEXT,    OPTIONAL, AT(ca_bootstrap, root_driver)        },
    {"issuing_driver",      MEMBER_TEXT,    OPTIONAL, AT(ca_bootstrap, issuing_driver)     },
    {"root_days",           MEMBER_INTEGER, OPTIONAL, AT(ca_bootstrap, root_days)          },
    {"issuing_days",        MEMBER_INTEGER, OPTIONAL, AT(ca_bootstrap, issuing_days)       },
    {"ocsp_urls",           MEMBER_TEXTS,   OPTIONAL, AT(ca_bootstrap, ocsp_urls)          },
    {"ca_issuers_urls",     MEMBER_TEXTS,   OPTIONAL, AT(ca_bootstrap, ca_issuers_urls)    },
    {"crl_urls",            MEMBER_TEXTS,   OPTIONAL, AT(ca_bootstrap, crl_urls)           },
};

char *ca_request_canonical(TALLOC_CTX *ctx, const struct ca_request *request)
{
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS;
    AUTO(json_t) *fields = json_object();

    json_set_text(fields, "kind", request->kind);
    json_set_text(fields, "issuer_id", request->issuer_id);
    json_set_text(fields, "requested_by", request->requested_by);
    json_set_new(fields, "body", json_deep_copy(request->body));
    /* json_dumpb into our own memory, since Jansson's would have to be given to free(). */
    const size_t size = json_dumpb(fields, NULL, 0, flags);
    char *text = mem_array(ctx, char, size + 1);
    (void)json_dumpb(fields, text, size, flags);
    return text;
}

char *ca_request_sha256(TALLOC_CTX *ctx, const struct ca_request *request)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return digest_sha256_hex(ctx, bytes_of_text(ca_request_canonical(scratch, request)));
}

static bool members_known(json_t *body, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *name;
    json_t *value;

    json_object_foreach (body, name, value) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_SIZE(bootstrap_members) && !known; i++)
            known = text_equal(bootstrap_members[i].name, name);
        if (!known)
            return fault_set(fault, INPUT_INVALID, "body", "a bootstrap has no member %s",
                             text_quote(scratch, name));
    }
    return true;
}

static bool subject_text_fits(const char *member, const char *text, struct fault *fault)
{
    const size_t length = strlen(text);

    if (length == 0 || length > COMMON_NAME_MAX)
        return fault_set(fault, INPUT_INVALID, member, "%s must be 1 to 64 bytes", member);
    if (!text_utf8_valid(text, length))
        return fault_set(fault, INPUT_INVALID, member, "%s is no UTF-8", member);
    if (name_text_check(member, text, length, fault))
        return true;
    fault->field = member;
    return false;
}

static bool algorithm_fits(const char *member, const char *text, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    enum signature_algorithm algorithm;

    return signature_algorithm_from_text(text, &algorithm) ||
           fault_set(fault, INPUT_INVALID, member,
                     "%s %s is none of RSA-2048, RSA-3072, RSA-4096, ECDSA-P256, ECDSA-P384",
                     member, text_quote(scratch, text));
}

static bool driver_fits(const char *member, const char *name, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return !name || text_equal(name, "file") || text_equal(name, "pkcs11") ||
           fault_set(fault, INPUT_INVALID, member, "%s %s is none of file, pkcs11", member,
                     text_quote(scratch, name));
}

static bool days_fit(const char *member, int64_t days, struct fault *fault)
{
    return (days >= 1 && days <= CA_DAYS_MAX) ||
           fault_set(fault, INPUT_INVALID, member, "%s must be 1 to %d", member, CA_DAYS_MAX);
}

bool ca_urls_fit(const char *member, const struct text_list *urls, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (urls->count > URLS_MAX)
        return fault_set(fault, INPUT_INVALID, member, "at most %d URLs", URLS_MAX);
    for (size_t i = 0; i < urls->count; i++) {
        const char *url = urls->items[i];
        const bool http = text_starts(url, "http://") || text_starts(url, "https://");
        if (!http || strlen(url) > URL_MAX)
            return fault_set(fault, INPUT_INVALID, member, "%s is no http URL of at most %d bytes",
                             text_quote(scratch, url), URL_MAX);
    }
    return true;
}

static bool bootstrap_fits(const struct ca_bootstrap *wanted, struct fault *fault)
{
    if (!subject_text_fits("root_common_name", wanted->root_common_name, fault) ||
        !subject_text_fits("issuing_common_name", wanted->issuing_common_name, fault))
        return false;
    if (wanted->organization && !subject_text_fits("organization", wanted->organization, fault))
        return false;
    /* An issuing CA named as its root would look self-issued to RFC 5280 section 6.1. */
    if (text_equal(wanted->root_common_name, wanted->issuing_common_name))
        return fault_set(fault, INPUT_INVALID, "issuing_common_name",
                         "root and issuing CA must not have the same name");
    return algorithm_fits("root_algorithm", wanted->root_algorithm, fault) &&
           algorithm_fits("issuing_algorithm", wanted->issuing_algorithm, fault) &&
           driver_fits("root_driver", wanted->root_driver, fault) &&
           driver_fits("issuing_driver", wanted->issuing_driver, fault) &&
           days_fit("root_days", wanted->root_days, fault) &&
           days_fit("issuing_days", wanted->issuing_days, fault) &&
           ca_urls_fit("ocsp_urls", &wanted->ocsp_urls, fault) &&
           ca_urls_fit("ca_issuers_urls", &wanted->ca_issuers_urls, fault) &&
           ca_urls_fit("crl_urls", &wanted->crl_urls, fault);
}

bool ca_bootstrap_from_body(TALLOC_CTX *ctx, json_t *body, struct ca_bootstrap *ret_bootstrap,
                            struct fault *fault)
{
    struct ca_bootstrap wanted = {.root_days = CA_ROOT_DAYS, .issuing_days = CA_ISSUING_DAYS};

    if (!members_known(body, fault) || !json_decode(ctx, body, bootstrap_members, &wanted, fault) ||
        !bootstrap_fits(&wanted, fault))
        return false;
    *ret_bootstrap = wanted;
    return true;
}

/* An empty list is left out. */
void ca_set_texts(json_t *object, const char *name, const struct text_list *texts)
{
    if (texts->count == 0)
        return;
    json_t *array = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_add_text(array, texts->items[i]);
    json_set_new(object, name, array);
}

json_t *ca_bootstrap_to_body(const struct ca_bootstrap *bootstrap)
{
    json_t *body = json_object();

    json_set_text(body, "root_common_name", bootstrap->root_common_name);
    json_set_text(body, "issuing_common_name", bootstrap->issuing_common_name);
    json_set_text(body, "organization", bootstrap->organization);
    json_set_text(body, "root_algorithm", bootstrap->root_algorithm);
    json_set_text(body, "issuing_algorithm", bootstrap->issuing_algorithm);
    json_set_text(body, "root_driver", bootstrap->root_driver);
    json_set_text(body, "issuing_driver", bootstrap->issuing_driver);
    json_set_integer(body, "root_days", bootstrap->root_days);
    json_set_integer(body, "issuing_days", bootstrap->issuing_days);
    ca_set_texts(body, "ocsp_urls", &bootstrap->ocsp_urls);
    ca_set_texts(body, "ca_issuers_urls", &bootstrap->ca_issuers_urls);
    ca_set_texts(body, "crl_urls", &bootstrap->crl_urls);
    return body;
}

struct ca_wish ca_bootstrap_wish(TALLOC_CTX *ctx, const struct ca_bootstrap *bootstrap,
                                 enum ca_place place, struct bytes spki, int64_t now_s,
                                 int64_t backdate_s)
{
    const bool root = place == CA_PLACE_ROOT;
    const int64_t days = root ? bootstrap->root_days : bootstrap->issuing_days;
    struct rdn *subject = mem_array(ctx, struct rdn, 2);
    size_t count = 0;

    if (bootstrap->organization)
        subject[count++] = (struct rdn){"2.5.4.10", RDN_UTF8, bootstrap->organization};
    subject[count++] = (struct rdn){
        "2.5.4.3", RDN_UTF8, root ? bootstrap->root_common_name : bootstrap->issuing_common_name};
    return (struct ca_wish){
        .subject = subject,
        .subject_count = count,
        .spki = spki,
        .not_before = now_s - backdate_s,
        .not_after = now_s - backdate_s + days * DAY_S - 1, /* both ends count: RFC 5280 4.1.2.5 */
        .path_len = root ? 1 : 0,
    };
}

struct text_list ca_urls_named(TALLOC_CTX *ctx, const struct text_list *urls, bool others,
                               const char *ca_id)
{
    struct text_list found = {0};

    for (size_t i = 0; i < urls->count; i++) {
        const char *url = urls->items[i];
        const char *mark = strstr(url, "{ca}");
        if (mark)
            text_list_add(ctx, &found,
                          mem_printf(ctx, "%.*s%s%s", (int)(mark - url), url, ca_id, mark + 4));
        else if (others)
            text_list_add(ctx, &found, url);
    }
    return found;
}

/* One responder answers for root and issuing CA. */
static void set_urls(json_t *facts, const char *name, const struct text_list *urls, bool others,
                     const char *ca_id)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list found = ca_urls_named(scratch, urls, others, ca_id);

    ca_set_texts(facts, name, &found);
}

char *ca_bootstrap_facts(TALLOC_CTX *ctx, const struct ca_bootstrap *bootstrap, enum ca_place place,
                         const char *ca_id, struct bytes certificate_der, int64_t max_leaf_days)
{
    static const char *const ekus[] = {"serverAuth", "clientAuth", "codeSigning", "emailProtection",
                                       "timeStamping"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *facts = json_object();
    json_t *allowed = json_array();
    const bool issuing = place == CA_PLACE_ISSUING;

    for (size_t i = 0; issuing && i < ARRAY_SIZE(ekus); i++)
        json_add_text(allowed, ekus[i]);
    json_set_text(facts, "ca_certificate", base64_from_bytes(scratch, certificate_der));
    json_set_integer(facts, "max_leaf_days", max_leaf_days);
    json_set_new(facts, "allowed_ekus", allowed);
    set_urls(facts, "ocsp_urls", &bootstrap->ocsp_urls, true, ca_id);
    set_urls(facts, "ca_issuers_urls", &bootstrap->ca_issuers_urls, issuing, ca_id);
    set_urls(facts, "crl_urls", &bootstrap->crl_urls, issuing, ca_id);
    return json_to_text(ctx, facts);
}

/* The OCSP URL bears the issuer's id: the web server keeps answers under that one name (04 section
 * 11.2). */
void ca_add_urls(TALLOC_CTX *ctx, const char *base_url, const char *issuer_id,
                 struct ca_bootstrap *ret_urls)
{
    if (!base_url)
        return;
    text_list_add(ctx, &ret_urls->ocsp_urls,
                  mem_printf(ctx, "%s/.well-known/pki/ocsp/%s", base_url, issuer_id));
    text_list_add(ctx, &ret_urls->crl_urls,
                  mem_printf(ctx, "%s/.well-known/pki/crl/{ca}", base_url));
    text_list_add(ctx, &ret_urls->ca_issuers_urls,
                  mem_printf(ctx, "%s/.well-known/pki/ca/{ca}", base_url));
}

static bool only_ours(int fd, mode_t type, const char *what, struct fault *fault)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return fault_set(fault, FILE_FAILED, NULL, "%s cannot be looked at", what) ||
               fault_cause_errno(fault, what);
    const bool ours = status.st_uid == geteuid() || status.st_uid == 0;
    if ((status.st_mode & S_IFMT) != type || !ours || (status.st_mode & 022) != 0)
        return fault_set(fault, FILE_FAILED, NULL,
                         "%s must belong to the user of the CA or to root, and nobody else may "
                         "write it",
                         what);
    return true;
}

/* -1 with the fault, or without it when the directory does not exist. */
static int open_directory(const char *state_dir, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s/ca-approvals", state_dir);
    AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 && errno == ENOENT)
        return -1;
    if (fd < 0) {
        fault_set(fault, FILE_FAILED, NULL, "the directory of approvals cannot be opened");
        fault_cause_errno(fault, path);
        return -1;
    }
    return only_ours(fd, S_IFDIR, "the directory of approvals", fault) ? TAKE_FD(fd) : -1;
}

bool ca_approval_read(const char *state_dir, const char *request_id, const char *sha256,
                      enum ca_approval *ret_approval, struct fault *fault)
{
    char text[SHA256_HEX + 2]; /* one more than there may be, so that it shows */

    if (!id_valid(request_id))
        return fault_set(fault, INPUT_INVALID, "request_id", "this is no id of a request");
    fault->reason = REASON_NONE;
    AUTO_FD directory = open_directory(state_dir, fault);
    if (directory < 0) {
        *ret_approval = CA_APPROVAL_NONE;
        return fault->reason == REASON_NONE;
    }
    AUTO_FD fd = openat(directory, request_id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret_approval = CA_APPROVAL_NONE;
        return true;
    }
    if (fd < 0)
        return fault_set(fault, FILE_FAILED, NULL, "the approval cannot be opened") ||
               fault_cause_errno(fault, request_id);
    if (!only_ours(fd, S_IFREG, "the approval", fault))
        return false;
    const ssize_t got = read(fd, text, sizeof text);
    const bool whole = got == SHA256_HEX || (got == SHA256_HEX + 1 && text[SHA256_HEX] == '\n');
    const bool same = whole && strlen(sha256) == SHA256_HEX &&
                      memcmp(text, sha256, SHA256_HEX) == 0;
    *ret_approval = same ? CA_APPROVAL_GIVEN : CA_APPROVAL_OTHER;
    return true;
}

/* The file under its temporary name, on disk. */
static bool write_whole(int directory, const char *name, const char *sha256, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *line = mem_printf(scratch, "%s\n", sha256);

    (void)unlinkat(directory, name, 0); /* of a run that was killed */
    AUTO_FD fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        0600);
    if (fd >= 0 && write(fd, line, strlen(line)) == SHA256_HEX + 1 && fsync(fd) == 0)
        return true;
    return fault_set(fault, FILE_FAILED, NULL, "the approval cannot be written") ||
           fault_cause_errno(fault, name);
}

bool ca_approval_write(const char *state_dir, const char *request_id, const char *sha256,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    /* No id begins with a dot and ends so: id_valid refuses the comma. */
    const char *temporary = mem_printf(scratch, "%s,new", request_id);

    if (!id_valid(request_id))
        return fault_set(fault, INPUT_INVALID, "request_id", "this is no id of a request");
    if (mkdir(mem_printf(scratch, "%s/ca-approvals", state_dir), 0700) != 0 && errno != EEXIST)
        return fault_set(fault, FILE_FAILED, NULL, "the directory of approvals cannot be made") ||
               fault_cause_errno(fault, state_dir);
    AUTO_FD directory = open_directory(state_dir, fault);
    if (directory < 0)
        return false;
    if (!write_whole(directory, temporary, sha256, fault))
        return false;
    return renameat(directory, temporary, directory, request_id) == 0 ||
           fault_set(fault, FILE_FAILED, NULL, "the approval cannot be put in its place") ||
           fault_cause_errno(fault, request_id);
}

void ca_approval_remove(const char *state_dir, const char *request_id)
{
    struct fault fault = {0};
    AUTO_FD directory = open_directory(state_dir, &fault);

    if (directory >= 0 && id_valid(request_id))
        (void)unlinkat(directory, request_id, 0);
}
