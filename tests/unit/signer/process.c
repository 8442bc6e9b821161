/* tests/unit/signer/process.c: what real signer processes sign, refuse, write and survive. */
#include <criterion/criterion.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/der.h"
#include "rig.h"

#include "core/banned.h"

AUTO_DEFINE(X509_STORE, X509_STORE_free)
AUTO_DEFINE(X509_STORE_CTX, X509_STORE_CTX_free)

static const char *verify_strictly(X509 *root, X509 *issuing, X509 *leaf)
{
    AUTO(X509_STORE) *store = X509_STORE_new();
    AUTO(X509_STORE_CTX) *context = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();

    (void)X509_STORE_add_cert(store, root);
    if (issuing)
        (void)sk_X509_push(between, issuing);
    (void)X509_STORE_CTX_init(context, store, leaf, between);
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    (void)X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(context), "www.example.com", 0);
    const bool good = X509_verify_cert(context) == 1;
    const int error = X509_STORE_CTX_get_error(context);
    sk_X509_free(between);
    return good ? "good" : X509_verify_cert_error_string(error);
}

static X509 *sign(struct rig *rig, const struct rig_key *key, const struct certificate_wish *wish)
{
    struct bytes der;
    struct fault fault = {0};

    cr_assert(rig_sign(rig, key, wish, &der, &fault), "%s: %s", fault.detail, fault.cause);
    return mem_adopt(rig, rig_parse(der), X509_free);
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? status.st_mode & 07777 : 0;
}

static const struct {
    const char *root;
    const char *issuing;
} hierarchies[] = {
    {"ECDSA-P256", "ECDSA-P256"},
    {"RSA-2048",   "ECDSA-P384"},
    {"ECDSA-P384", "RSA-2048"  },
};

Test(signer_process, signs_a_chain_that_verifies_strictly)
{
    for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_start_all(rig, 1);
        const struct rig_key root = rig_root(rig, hierarchies[i].root);
        struct rig_key issuing = rig_generate(rig, hierarchies[i].issuing);
        rig_make_ca(rig, &issuing, &root);
        rig_write_facts(rig, &issuing, ",\"ocsp_urls\":[\"http://o.example.com/\"]");
        const struct certificate_wish wish = rig_wish(rig);
        X509 *leaf = sign(rig, &issuing, &wish);

        cr_expect_str_eq(verify_strictly(root.certificate, issuing.certificate, leaf), "good",
                         "%s over %s", hierarchies[i].root, hierarchies[i].issuing);
        cr_expect_eq(rig_log_count(rig, "sign-leaf"), 1);
        cr_expect_eq(rig_log_count(rig, "sign-ca"), 2);
        cr_expect_eq(rig_log_count(rig, "generate"), 2);
        cr_expect_eq(rig_log_count(rig, "facts"), 2);
        rig_end(rig);
    }
}

Test(signer_process, writes_files_for_its_own_eyes)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    cr_assert_eq(mkdir(rig->key_dir, 0755), 0);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    cr_expect_eq(mode_of(rig->key_dir), 0700, "a wider directory is tightened");
    cr_expect_eq(mode_of(root.path), 0600);
    cr_expect_eq(mode_of(mem_printf(scratch, "%s.facts", root.path)), 0600);
    cr_expect_eq(mode_of(rig->log_path), 0640);
    const struct rig_key other = rig_generate(rig, "ECDSA-P256");
    cr_expect_str_neq(other.path, root.path, "every key has a file of its own");
    rig_end(rig);
}

static void expect_refusal(struct rig *rig, const struct rig_key *key,
                           const struct certificate_wish *wish, enum fault_reason reason,
                           const char *detail)
{
    struct bytes der = {0};
    struct fault fault = {0};

    cr_expect_not(rig_sign(rig, key, wish, &der, &fault), "signed against: %s", detail);
    cr_expect_eq(fault.reason, reason, "%s: %s %s", detail, fault.detail, fault.cause);
    cr_expect_not_null(strstr(fault.detail, detail), "%s is not in: %s", detail, fault.detail);
    cr_expect_null(der.data);
}

Test(signer_process, refuses_a_key_that_others_can_read)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    const struct {
        mode_t mode;
        const char *text;
    } modes[] = {
        {0644, "0644"},
        {0640, "0640"},
        {0601, "0601"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        /* It is open in the process already: the changed mode must be seen all the same. */
        (void)sign(rig, &root, &wish);
        cr_assert_eq(chmod(root.path, modes[i].mode), 0);
        expect_refusal(rig, &root, &wish, SIGNER_KEY,
                       mem_printf(scratch, "CA key file %s has mode %s; must be 0600 or stricter",
                                  root.path, modes[i].text));
        cr_assert_eq(chmod(root.path, 0400), 0);
    }
    cr_assert_eq(chown(root.path, 4711, 0), 0);
    expect_refusal(rig, &root, &wish, SIGNER_KEY, "belongs to user 4711");
    rig_end(rig);
}

Test(signer_process, opens_no_key_outside_its_directory)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    const char *outside = mem_printf(scratch, "%s/outside.key", rig->directory);
    const char *link_path = mem_printf(scratch, "%s/link.key", rig->key_dir);
    cr_assert_eq(link(root.path, outside), 0);
    cr_assert_eq(symlink(root.path, link_path), 0);
    const struct {
        const char *reference;
        enum fault_reason reason;
        const char *detail;
    } references[] = {
        {outside,            SIGNER_REFUSED,      "outside"                             },
        {mem_printf(scratch, "file:%s",           outside),                               SIGNER_REFUSED, "outside"},
        {mem_printf(scratch,         "%s/../outside.key",                            rig->key_dir),                                                 SIGNER_MESSAGE, "canonical"},
        {mem_printf(scratch,     "%s/",rig->key_dir),SIGNER_MESSAGE, "canonical"},
        {mem_printf(scratch, "%s/.hidden",           rig->key_dir),                                                      SIGNER_MESSAGE, "canonical"},
        {mem_printf(scratch,       "%s/none.key",                          rig->key_dir),                                               SIGNER_KEY, "cannot be open"},
        {link_path,     SIGNER_KEY,"cannot be open"},
        {"/etc/passwd", SIGNER_REFUSED, "outside"},
        {"relative.key",  SIGNER_MESSAGE,                     "unknown key dr"                                                  },
        {"awskms:token=x",  SIGNER_MESSAGE,                      "unknown key dr"                                                                          },
    };

    for (size_t i = 0; i < ARRAY_SIZE(references); i++) {
        const struct rig_key key = {.reference = references[i].reference};
        expect_refusal(rig, &key, &wish, references[i].reason, references[i].detail);
    }
    /* Both spellings of the good one. */
    (void)sign(rig, &root, &wish);
    (void)sign(rig, &(struct rig_key){.reference = root.path}, &wish);
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 2);
    cr_expect_eq(rig_log_count(rig, "refused"), ARRAY_SIZE(references));
    rig_end(rig);
}

Test(signer_process, holds_every_leaf_to_the_facts)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish good = rig_wish(rig);
    struct certificate_wish wish = good;
    struct name two[] = {
        {NAME_DNS, "www.example.com"},
        {NAME_DNS, "www.example.org"},
    };

    rig_write_facts(rig, &root,
                    ",\"max_leaf_days\":30,\"permitted_dns\":[\"example.com\"],"
                    "\"excluded_dns\":[\"no.example.com\"],\"allowed_ekus\":[\"serverAuth\"]");
    /* Two names, one of them outside: never is the first checked twice. */
    wish.names = (struct name_list){two, 2};
    expect_refusal(rig, &root, &wish, NAME_CONSTRAINT, "permitted names");
    two[1].value = "a.no.example.com";
    expect_refusal(rig, &root, &wish, NAME_CONSTRAINT, "excluded names");
    wish = good;
    wish.ekus = EKU_SERVER_AUTH | EKU_CLIENT_AUTH;
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "extended key usage");
    wish.ekus = 32; /* OCSPSigning would be the next bit */
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "extended key usage");
    wish = good;
    wish.key_usage = USAGE_DIGITAL_SIGNATURE | 32; /* keyCertSign */
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "key usage");
    wish = good;
    wish.not_before = clock_now_s() + 86400 + 120;
    wish.not_after = wish.not_before + 3600;
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "notBefore is more than");
    wish.not_before = clock_now_s() + 86400;
    wish.not_after = wish.not_before - 1;
    expect_refusal(rig, &root, &wish, VALIDITY_EMPTY, "nothing is left");
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 0);

    int days = 0;
    int seconds = 0;
    X509 *leaf = sign(rig, &root, &good);
    (void)ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf));
    cr_expect_eq(days, 30, "the ceiling cuts");
    cr_expect_eq(seconds, 0);

    wish = good;
    wish.not_before = clock_now_s() - 80000;
    leaf = sign(rig, &root, &wish);
    (void)ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), NULL);
    cr_expect_eq(days, 0);
    cr_expect(seconds >= 3600 && seconds <= 3660 + 60, "backdated by %d s", seconds);
    rig_end(rig);
}

Test(signer_process, signs_nothing_with_a_key_without_facts)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    struct rig_key root = rig_generate(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);

    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "no facts");
    rig_make_ca(rig, &root, NULL);
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "no facts");
    rig_write_facts(rig, &root, "");
    (void)sign(rig, &root, &wish);
    cr_assert_eq(unlink(mem_printf(scratch, "%s.facts", root.path)), 0);
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "no facts");
    rig_end(rig);
}

static bool ask_ca(struct rig *rig, const struct rig_key *parent, struct bytes spki, int path_len,
                   struct fault *fault)
{
    const struct rdn subject = {"2.5.4.3", RDN_UTF8, "Below"};
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CA,
        .issuer_key_ref = parent->reference,
        .ca = {.subject = &subject,
               .subject_count = 1,
               .spki = spki,
               .not_before = clock_now_s(),
               .not_after = clock_now_s() + RIG_YEAR_S,
               .path_len = path_len},
    };
    struct signer_reply reply;

    return signer_call(rig, rig->admin_socket, &request, &reply, fault);
}

/* RFC 5280 section 4.2.1.9; the root of the rig has path length 1. */
Test(signer_process, keeps_the_path_length)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 0);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct rig_key issuing = rig_generate(rig, "ECDSA-P256");
    const struct rig_key third = rig_generate(rig, "ECDSA-P256");
    struct fault fault = {0};

    cr_expect_not(ask_ca(rig, &root, issuing.spki, 1, &fault));
    cr_expect_eq(fault.reason, SIGNER_REFUSED, "%s", fault.detail);
    cr_expect(ask_ca(rig, &root, issuing.spki, 0, &fault), "%s", fault.detail);
    cr_expect(ask_ca(rig, &root, issuing.spki, -1, &fault), "open means the most: 0");
    cr_expect_not(ask_ca(rig, &root, root.spki, 0, &fault), "by its own key");
    rig_make_ca(rig, &issuing, &root);
    rig_write_facts(rig, &issuing, "");
    cr_expect_not(ask_ca(rig, &issuing, third.spki, 0, &fault));
    cr_expect_not(ask_ca(rig, &issuing, third.spki, -1, &fault));
    cr_expect_not_null(strstr(fault.detail, "exceeds parent's PathLenConstraint"));
    rig_end(rig);
}

Test(signer_process, self_signs_only_the_key_itself)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 0);
    const struct rig_key one = rig_generate(rig, "ECDSA-P256");
    const struct rig_key other = rig_generate(rig, "ECDSA-P256");
    const struct rdn subject = {"2.5.4.3", RDN_UTF8, "Root"};
    struct signer_request request = {
        .kind = SIGNER_SIGN_CA,
        .key_ref = one.reference,
        .ca = {.subject = &subject,
               .subject_count = 1,
               .spki = other.spki,
               .not_before = clock_now_s(),
               .not_after = clock_now_s() + RIG_YEAR_S,
               .path_len = -1},
    };
    struct signer_reply reply;
    struct fault fault = {0};

    cr_expect_not(signer_call(rig, rig->admin_socket, &request, &reply, &fault));
    cr_expect_eq(fault.reason, SIGNER_REFUSED);
    request.key_ref = NULL;
    cr_expect_not(signer_call(rig, rig->admin_socket, &request, &reply, &fault));
    cr_expect_eq(fault.reason, SIGNER_MESSAGE);
    cr_expect_eq(rig_log_count(rig, "sign-ca"), 0);
    rig_end(rig);
}

Test(signer_process, forgets_a_key_for_good)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    const struct signer_request request = {.kind = SIGNER_FORGET, .key_ref = root.reference};
    struct signer_reply reply;
    struct fault fault = {0};

    (void)sign(rig, &root, &wish); /* so that the other process has it open */
    cr_assert(signer_call(rig, rig->admin_socket, &request, &reply, &fault), "%s", fault.detail);
    cr_expect_neq(access(root.path, F_OK), 0);
    cr_expect_neq(access(mem_printf(scratch, "%s.facts", root.path), F_OK), 0);
    expect_refusal(rig, &root, &wish, SIGNER_KEY, "cannot be opened");
    rig_end(rig);
}

Test(signer_process, counts_signatures_over_all_processes)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 2);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    size_t signed_count = 0;

    rig_write_facts(rig, &root, ",\"signatures_per_hour_per_peer\":5");
    for (size_t i = 0; i < 12; i++) {
        struct bytes der;
        struct fault fault = {0};
        const bool ok = rig_sign(rig, &root, &wish, &der, &fault);
        signed_count += ok;
        cr_expect(ok || fault.reason == RATE_LIMITED, "%s", fault.detail);
    }
    /* The hour may turn in between. */
    cr_expect(signed_count == 5 || signed_count == 10, "%zu", signed_count);
    rig_end(rig);
}

/* Signs in a process of its own; ends with the number of failures. */
static pid_t sign_many(struct rig *rig, const struct rig_key *key, size_t times)
{
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    int failures = 0;
    for (size_t i = 0; i < times; i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        struct bytes der;
        const struct certificate_wish wish = rig_wish(rig);
        failures += !signer_sign_leaf(scratch, rig->socket, key->reference, &wish, &der, &fault);
    }
    _exit(failures);
}

static int wait_for_child(pid_t pid)
{
    int status = -1;

    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(signer_process, chains_200_signatures_of_4_clients_and_2_signers)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 2);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    pid_t clients[4];

    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        clients[i] = sign_many(rig, &root, 50);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        cr_expect_eq(wait_for_child(clients[i]), 0);
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), 200);
    rig_end(rig);
}

static char *read_proc(TALLOC_CTX *ctx, pid_t pid, const char *name)
{
    char *text = mem_array(ctx, char, 8192);
    AUTO(FILE) *file = fopen(mem_printf(ctx, "/proc/%d/%s", pid, name), "rbe");

    cr_assert_not_null(file);
    cr_assert_gt(fread(text, 1, 8191, file), 0);
    return text;
}

/* utime and stime, proc(5). */
static int64_t cpu_ticks(pid_t pid)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *behind_name = strrchr(read_proc(scratch, pid, "stat"), ')');
    int64_t user = 0;
    int64_t kernel = 0;

    cr_assert_not_null(behind_name);
    const struct text_list fields = text_split(scratch, behind_name + 2, ' ');
    cr_assert_gt(fields.count, 12);
    cr_assert(text_to_integer(fields.items[11], 0, INT64_MAX, &user));
    cr_assert(text_to_integer(fields.items[12], 0, INT64_MAX, &kernel));
    return user + kernel;
}

/* The octets of the serial, right-aligned. False where it is not positive, below 2^127 and without
 * an octet too many: at most 32 hex digits (00 decision 6). */
static bool read_serial(struct bytes der, uint8_t *ret_octets)
{
    struct bytes certificate;
    struct bytes tbs;
    struct bytes serial;

    if (!der_read_tag(&der, DER_SEQUENCE, &certificate) ||
        !der_read_tag(&certificate, DER_SEQUENCE, &tbs) ||
        !der_read_tag(&tbs, DER_CONTEXT_CONSTRUCTED(0), NULL) ||
        !der_read_tag(&tbs, DER_INTEGER, &serial))
        return false;
    if (serial.size == 0 || serial.size > CERTIFICATE_SERIAL_SIZE || serial.data[0] & 0x80)
        return false;
    if (serial.data[0] == 0 && (serial.size == 1 || !(serial.data[1] & 0x80)))
        return false;
    memcpy(ret_octets + CERTIFICATE_SERIAL_SIZE - serial.size, serial.data, serial.size);
    return true;
}

/* As sign_many, and puts each serial into memory that is shared. */
static pid_t draw_many(struct rig *rig, const struct rig_key *key,
                       const struct certificate_wish *wish, uint8_t *serials, size_t times)
{
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    for (size_t i = 0; i < times; i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        struct bytes der;
        if (!signer_sign_leaf(scratch, rig->socket, key->reference, wish, &der, &fault) ||
            !read_serial(der, serials + i * CERTIFICATE_SERIAL_SIZE))
            _exit(1);
    }
    _exit(0);
}

static int compare_serials(const void *one, const void *other)
{
    return memcmp(one, other, CERTIFICATE_SERIAL_SIZE);
}

/* 04 section 18: as many workers as a large host has, two signers. Nobody waits in vain, neither
 * signer idles, and of ten thousand serials no two are equal. */
Test(signer_process, gives_32_clients_and_2_signers_10240_serials)
{
    enum { CLIENTS = 32, EACH = 320, ALL = CLIENTS * EACH };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 2);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    const int64_t before[] = {cpu_ticks(rig->signers[0]), cpu_ticks(rig->signers[1])};
    uint8_t *serials = mmap(NULL, ALL * CERTIFICATE_SERIAL_SIZE, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t clients[CLIENTS];

    cr_assert_neq(serials, MAP_FAILED);
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = draw_many(rig, &root, &wish, serials + i * EACH * CERTIFICATE_SERIAL_SIZE,
                               EACH);
    for (size_t i = 0; i < CLIENTS; i++)
        cr_expect_eq(wait_for_child(clients[i]), 0, "client %zu", i);
    cr_expect_eq(rig_log_count(rig, "sign-leaf"), ALL);
    const int64_t first = cpu_ticks(rig->signers[0]) - before[0];
    const int64_t second = cpu_ticks(rig->signers[1]) - before[1];
    cr_expect(first > 0 && second > 0, "%d and %d ticks", (int)first, (int)second);
    qsort(serials, ALL, CERTIFICATE_SERIAL_SIZE, compare_serials);
    for (size_t i = 1; i < ALL; i++)
        cr_expect_neq(compare_serials(serials + i * CERTIFICATE_SERIAL_SIZE,
                                      serials + (i - 1) * CERTIFICATE_SERIAL_SIZE),
                      0, "a serial twice");
    (void)munmap(serials, ALL * CERTIFICATE_SERIAL_SIZE);
    rig_end(rig);
}

Test(signer_process, survives_kill_9)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);

    for (size_t i = 0; i < 5; i++) {
        const pid_t client = sign_many(rig, &root, 40);
        (void)usleep(3000 * (useconds_t)(i + 1));
        rig_kill(rig, rig->signers[i == 0 ? 0 : rig->count - 1]);
        (void)rig_start(rig, false);
        /* The call that was in the signer's hands may be lost; no other. */
        cr_expect_leq(wait_for_child(client), 1);
    }
    (void)sign(rig, &root, &wish);
    (void)rig_log_count(rig, "sign-leaf"); /* one chain, no torn line */
    rig_end(rig);
}

Test(signer_process, signs_nothing_that_it_cannot_log)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);

    rig_stop(rig);
    rig->log_path = "/dev/full";
    rig_start_all(rig, 1);
    expect_refusal(rig, &root, &wish, SIGNER_KEY, "log cannot be kept");
    const size_t before = mode_of(root.path);
    const struct signer_request request = {
        .kind = SIGNER_GENERATE, .algorithm = "ECDSA-P256", .hint = "lost"};
    struct signer_reply reply;
    struct fault fault = {0};
    cr_expect_not(signer_call(rig, rig->admin_socket, &request, &reply, &fault));
    cr_expect_eq(fault.reason, SIGNER_KEY);
    cr_expect_eq(fault.retry_after_s, 5);
    cr_expect_eq(mode_of(root.path), before);
    rig_end(rig);
}

Test(signer_process, answers_who_it_is_and_which_key)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct signer_request request = {.kind = SIGNER_PUBLIC_KEY, .key_ref = root.path};
    struct signer_reply reply;
    struct fault fault = {0};

    cr_assert(signer_call(rig, rig->socket, &request, &reply, &fault), "%s", fault.detail);
    cr_expect(bytes_equal(reply.spki, root.spki));
    cr_expect_str_eq(reply.key_ref, root.reference);
    rig_end(rig);
}

Test(signer_process, takes_its_socket_from_systemd)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    const struct signer_request request = {.kind = SIGNER_PING};
    struct signer_reply reply;
    struct fault fault = {0};

    rig_start_by_systemd(rig);
    cr_assert(signer_call(rig, rig->socket, &request, &reply, &fault), "%s", fault.cause);
    cr_expect_not_null(strstr(reply.text, "signer.sock"));
    rig_end(rig);
}

Test(signer_process, gives_up_core_dumps_and_new_privileges)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_start_all(rig, 1);
    const char *limits = strstr(read_proc(scratch, rig->signers[0], "limits"),
                                "Max core file size");
    cr_assert_not_null(limits);
    limits += strlen("Max core file size");
    limits += strspn(limits, " ");
    cr_expect(text_starts(limits, "0 "), "%.20s", limits);
    cr_expect_not_null(strstr(read_proc(scratch, rig->signers[0], "status"), "NoNewPrivs:\t1"));
    rig_end(rig);
}

/* The facts file is empty on purpose: what binds is the certificate, for every kind of name. */
Test(signer_process, holds_leaves_to_the_constraints_of_the_certificate)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    static char example[] = "example.com";
    static char *permitted[] = {example};
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct rig_key issuing = rig_generate(rig, "ECDSA-P256");
    const struct rdn subject = {"2.5.4.3", RDN_UTF8, "Constrained CA"};
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CA,
        .issuer_key_ref = root.reference,
        .ca = {.subject = &subject,
               .subject_count = 1,
               .spki = issuing.spki,
               .not_before = clock_now_s() - 60,
               .not_after = clock_now_s() + RIG_YEAR_S,
               .path_len = 0,
               .permitted_dns = {permitted, 1}},
    };
    struct signer_reply reply;
    struct fault fault = {0};

    cr_assert(signer_call(rig, rig->admin_socket, &request, &reply, &fault), "%s", fault.detail);
    issuing.certificate = mem_adopt(rig, rig_parse(reply.der), X509_free);
    rig_write_facts(rig, &issuing, "");
    struct certificate_wish wish = rig_wish(rig);
    cr_expect(rig_sign(rig, &issuing, &wish, &reply.der, &fault), "%s", fault.detail);
    wish.names.items[0].value = "www.example.org";
    expect_refusal(rig, &issuing, &wish, NAME_CONSTRAINT, "permitted subtree violation");
    rig_end(rig);
}

Test(signer_process, a_retired_ca_signs_no_certificate)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct rig_key below = rig_generate(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    struct fault fault = {0};
    struct bytes der;

    cr_expect(rig_sign(rig, &root, &wish, &der, &fault), "%s", fault.detail);
    rig_write_facts(rig, &root, ",\"retired\":true");
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "retired");
    cr_expect_not(ask_ca(rig, &root, below.spki, 0, &fault));
    cr_expect_not_null(strstr(fault.detail, "retired"), "%s", fault.detail);
    rig_end(rig);
}

static bool ask_to_close(struct rig *rig, const struct rig_key *key, const char *ca_sha256,
                         const char *socket, struct signer_reply *ret_reply)
{
    const struct signer_request request = {
        .kind = SIGNER_CLOSE, .key_ref = key->reference, .ca_sha256 = ca_sha256};
    struct fault fault = {0};

    return signer_call(rig, socket, &request, ret_reply, &fault);
}

static bool ask_facts(struct rig *rig, enum signer_kind kind, const struct rig_key *key,
                      const char *facts, struct signer_reply *ret_reply, struct fault *fault)
{
    const struct signer_request request = {
        .kind = kind, .key_ref = key->reference, .facts_json = facts};

    return signer_call(rig, rig->admin_socket, &request, ret_reply, fault);
}

static const char *facts_now(struct rig *rig, const struct rig_key *key)
{
    char *text = mem_array(rig, char, 8192);
    AUTO(FILE) *file = fopen(mem_printf(rig, "%s.facts", key->path), "rbe");

    cr_assert_not_null(file);
    cr_assert_gt(fread(text, 1, 8191, file), 0);
    return text;
}

static const char *fingerprint(struct rig *rig, const struct rig_key *key)
{
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_X509(key->certificate, &der);

    return digest_sha256_hex(rig, (struct bytes){der, size});
}

Test(signer_process, closes_a_ca_for_good)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 2);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    const char *digest = fingerprint(rig, &root);
    struct signer_reply reply = {0};
    struct fault fault = {0};

    rig_write_facts(rig, &root, ",\"ocsp_validity_seconds\":777");
    const char *open = facts_now(rig, &root);
    cr_expect_not(ask_to_close(rig, &root, digest, rig->socket, &reply), "on signer.sock");
    cr_assert(ask_to_close(rig, &root, "00", rig->admin_socket, &reply));
    cr_expect_str_eq(reply.text, "superseded", "another certificate of the key");
    cr_expect_str_eq(facts_now(rig, &root), open);
    (void)sign(rig, &root, &wish);

    for (size_t i = 0; i < 2; i++) {
        cr_assert(ask_to_close(rig, &root, digest, rig->admin_socket, &reply));
        cr_expect_str_eq(reply.text, "closed");
        expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "retired");
    }
    cr_expect_eq(rig_log_count(rig, "close"), 1, "once is enough");
    cr_expect_not_null(strstr(facts_now(rig, &root), "777"), "responders go on as before");
    cr_expect_not(rig_facts(rig, &root, open, &fault));
    cr_expect_eq(fault.reason, SIGNER_REFUSED);
    cr_expect_not_null(strstr(fault.detail, "not opened again"), "%s", fault.detail);
    cr_expect_not(ask_facts(rig, SIGNER_CHECK_FACTS, &root, open, &reply, &fault));
    expect_refusal(rig, &root, &wish, SIGNER_REFUSED, "retired");
    rig_end(rig);
}

Test(signer_process, shows_and_checks_facts_and_changes_nothing)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct rig_key bare = rig_generate(rig, "ECDSA-P256");
    struct signer_reply reply = {0};
    struct fault fault = {0};

    rig_write_facts(rig, &root, ",\"max_leaf_days\":30");
    const char *before = facts_now(rig, &root);
    const size_t written = rig_log_count(rig, "facts");
    cr_assert(ask_facts(rig, SIGNER_SHOW_FACTS, &root, NULL, &reply, &fault), "%s", fault.detail);
    cr_expect_str_eq(reply.facts_json, before);
    cr_expect_not(ask_facts(rig, SIGNER_SHOW_FACTS, &bare, NULL, &reply, &fault));
    cr_expect_not_null(strstr(fault.detail, "no facts"), "%s", fault.detail);

    char *other = mem_text(rig, before);
    memcpy(strstr(other, ":30"), ":31", 3);
    cr_expect(ask_facts(rig, SIGNER_CHECK_FACTS, &root, other, &reply, &fault), "%s", fault.detail);
    memcpy(strstr(other, ":31"), ":00", 3);
    cr_expect_not(ask_facts(rig, SIGNER_CHECK_FACTS, &root, other, &reply, &fault));
    cr_expect_not(ask_facts(rig, SIGNER_CHECK_FACTS, &bare, before, &reply, &fault));
    cr_expect_not_null(strstr(fault.detail, "does not match"), "%s", fault.detail);
    cr_expect_str_eq(facts_now(rig, &root), before);
    cr_expect_eq(rig_log_count(rig, "facts"), written);
    rig_end(rig);
}

Test(signer_process, a_retired_ca_renews_itself_no_more)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct rdn subject = {"2.5.4.3", RDN_UTF8, "Again"};
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CA,
        .key_ref = root.reference,
        .ca = {.subject = &subject,
               .subject_count = 1,
               .spki = root.spki,
               .not_before = clock_now_s() - 60,
               .not_after = clock_now_s() + RIG_YEAR_S,
               .path_len = 0},
    };
    struct signer_reply reply;
    struct fault fault = {0};

    cr_expect(signer_call(rig, rig->admin_socket, &request, &reply, &fault), "%s", fault.detail);
    cr_assert(ask_to_close(rig, &root, fingerprint(rig, &root), rig->admin_socket, &reply));
    cr_expect_not(signer_call(rig, rig->admin_socket, &request, &reply, &fault));
    cr_expect_not_null(strstr(fault.detail, "retired"), "%s", fault.detail);
    rig_end(rig);
}

Test(signer_process, signs_requests_for_cas_elsewhere)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key key = rig_generate(rig, "RSA-2048");
    const struct rdn subject = {"2.5.4.3", RDN_UTF8, "Sub CA"};
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CSR,
        .key_ref = key.reference,
        .ca = {.subject = &subject, .subject_count = 1}
    };
    struct signer_reply reply;
    struct fault fault = {0};

    cr_expect_not(signer_call(rig, rig->socket, &request, &reply, &fault), "on signer.sock");
    cr_assert(signer_call(rig, rig->admin_socket, &request, &reply, &fault), "%s", fault.detail);
    const uint8_t *at = reply.der.data;
    AUTO(X509_REQ) *csr = d2i_X509_REQ(NULL, &at, (long)reply.der.size);
    cr_assert_not_null(csr);
    cr_expect_eq(X509_REQ_verify(csr, X509_REQ_get0_pubkey(csr)), 1);
    cr_expect_eq(rig_log_count(rig, "sign-csr"), 1);
    rig_end(rig);
}
