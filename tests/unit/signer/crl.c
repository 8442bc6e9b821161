/* tests/unit/signer/crl.c: which CRLs real signer processes sign, and under which numbers. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "pki/crl_memory.h"
#include "rig.h"
#include "signer/client.h"
#include "signer/crl_record.h"
#include "signer/crl_state.h"

#include "core/banned.h"

#define HOUR INT64_C(3600)

/* What a list of this moment says; the rig's. */
static struct crl_head *head_of(struct rig *rig, const struct rig_key *key, int64_t number)
{
    AUTO_OPENSSL(uint8_t) *der = NULL;
    struct crl_head *head = mem_new(rig, struct crl_head);
    struct fault fault = {0};
    const int size = i2d_X509(key->certificate, &der);
    const struct certificate *ca = certificate_from_der(rig, (struct bytes){der, size}, &fault);

    cr_assert_not_null(ca, "%s", fault.detail);
    *head = (struct crl_head){
        .issuer_der = ca->subject_der,
        .ski = ca->ski,
        .algorithm = SIGNATURE_ECDSA_SHA256,
        .this_update = clock_now_s(),
        .next_update = clock_now_s() + HOUR,
        .number = number,
    };
    return head;
}

/* Asks for the signature of one list with two entries. */
static bool ask(struct rig *rig, const struct rig_key *key, const struct crl_head *head,
                struct fault *fault)
{
    static const struct crl_entry rows[] = {
        {.serial = "1", .revoked_at = 1795000000, .reason = REVOKED_SUPERSEDED },
        {.serial = "2", .revoked_at = 1795000001, .reason = REVOKED_UNSPECIFIED},
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct crl_memory *memory = crl_memory_new(scratch, fault);
    struct bytes tbs = {0};
    struct bytes signature = {0};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert(crl_memory_add(memory, (struct bytes){0}, &rows[i], fault));
    cr_assert(crl_memory_seal(memory, head, &tbs, fault), "%s %s", fault->detail, fault->cause);
    if (!signer_sign_crl(scratch, rig->socket, key->reference, crl_memory_fd(memory), &signature,
                         fault))
        return false;
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_X509(key->certificate, &der);
    const struct crl_signed crl = crl_signed(scratch, tbs, head->algorithm, signature);
    cr_expect(crl_check(&crl, signature, (struct bytes){der, size}, fault), "%s", fault->cause);
    return true;
}

static void expect_signed(struct rig *rig, const struct rig_key *key, int64_t number)
{
    struct crl_head *list = head_of(rig, key, number);
    struct fault fault = {0};

    cr_expect(ask(rig, key, list, &fault), "%d: %s %s", (int)number, fault.detail, fault.cause);
}

static void expect_refused(struct rig *rig, const struct rig_key *key, const struct crl_head *head,
                           const char *detail)
{
    struct fault fault = {0};

    cr_expect_not(ask(rig, key, head, &fault), "signed against: %s", detail);
    cr_expect_eq(fault.reason, SIGNER_REFUSED, "%s", fault.detail);
    cr_expect_not_null(strstr(fault.detail, detail), "%s is not in: %s", detail, fault.detail);
}

Test(signer_crl, numbers_rise_by_1_to_1000_also_after_a_restart)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 2);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct rig_key other = rig_root(rig, "ECDSA-P256");

    expect_refused(rig, &root, head_of(rig, &root, 1001), "more than 1000 above");
    expect_signed(rig, &root, 1000);
    expect_signed(rig, &root, 1001);
    for (int restart = 0; restart < 2; restart++) {
        expect_refused(rig, &root, head_of(rig, &root, 1001), "not above the last one, 1001");
        expect_refused(rig, &root, head_of(rig, &root, 1), "not above the last one, 1001");
        expect_refused(rig, &root, head_of(rig, &root, 2002), "more than 1000 above");
        expect_refused(rig, &root, head_of(rig, &root, INT64_MAX), "more than 1000 above");
        rig_stop(rig);
        rig_start_all(rig, 1);
    }
    expect_signed(rig, &root, 2001);
    expect_signed(rig, &other, 1);
    cr_expect_eq(rig_log_count(rig, "sign-crl"), 4);
    cr_expect_eq(rig_log_count(rig, "refused"), 9);
    rig_end(rig);
}

static const struct {
    const char *about;
    int64_t this_update; /* from now */
    int64_t next_update; /* from this_update */
    const char *refusal; /* NULL: signed */
} times[] = {
    {"now",                        0,      HOUR,         NULL        },
    {"just not too old",           -298,   HOUR,         NULL        },
    {"too old",                    -303,   HOUR,         "thisUpdate"},
    {"just not too early",         298,    HOUR,         NULL        },
    {"from the future",            303,    HOUR,         "thisUpdate"},
    {"yesterday's, replayed",      -86400, 2 * 86400,    "thisUpdate"},
    {"as long as the facts allow", 0,      2 * HOUR,     NULL        },
    {"a second longer",            0,      2 * HOUR + 1, "nextUpdate"},
    {"for ever",                   0,      1000000000,   "nextUpdate"},
    {"over before it begins",      0,      -1,           "nextUpdate"},
    {"over when it begins",        0,      0,            "nextUpdate"},
};

Test(signer_crl, times_are_of_now_and_within_the_facts)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");

    rig_write_facts(rig, &root, ",\"crl_validity_seconds\":7200");
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        struct crl_head *list = head_of(rig, &root, (int64_t)i + 1);
        struct fault fault = {0};
        list->this_update = clock_now_s() + times[i].this_update;
        list->next_update = list->this_update + times[i].next_update;
        if (times[i].refusal)
            expect_refused(rig, &root, list, times[i].refusal);
        else
            cr_expect(ask(rig, &root, list, &fault), "%s: %s", times[i].about, fault.detail);
    }
    rig_end(rig);
}

/* Facts that say nothing: a week. */
Test(signer_crl, has_a_ceiling_without_one_in_the_facts)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct crl_head *list = head_of(rig, &root, 1);
    struct fault fault = {0};

    list->next_update = list->this_update + 7 * 24 * HOUR + 1;
    expect_refused(rig, &root, list, "nextUpdate");
    list->next_update--;
    cr_expect(ask(rig, &root, list, &fault), "%s", fault.detail);
    rig_end(rig);
}

Test(signer_crl, is_of_this_ca_alone)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct rig_key issuing = rig_generate(rig, "ECDSA-P256");
    rig_make_ca(rig, &issuing, &root);
    rig_write_facts(rig, &issuing, "");
    struct crl_head *mine = head_of(rig, &root, 1);
    struct crl_head *others = head_of(rig, &issuing, 1);
    struct crl_head head = *mine;

    expect_refused(rig, &root, others, "issuer is another CA");
    head.ski = others->ski;
    expect_refused(rig, &root, &head, "extensions are not those");
    head = *mine;
    head.algorithm = SIGNATURE_ECDSA_SHA384;
    expect_refused(rig, &root, &head, "algorithm");
    head.algorithm = SIGNATURE_RSA_SHA256;
    expect_refused(rig, &root, &head, "algorithm");
    expect_signed(rig, &root, 1);
    cr_expect_eq(rig_log_count(rig, "sign-crl"), 1, "what is refused takes no number");
    rig_end(rig);
}

/* Descriptors that are no sealed list. */

static int memory_of(struct bytes content, unsigned flags, int seals)
{
    const int fd = memfd_create("test", MFD_CLOEXEC | flags);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content.data, content.size), (ssize_t)content.size);
    if (seals)
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void expect_fd_refused(struct rig *rig, const struct rig_key *key, int passed,
                              enum fault_reason reason, const char *about)
{
    AUTO_FD fd = passed;
    struct bytes signature = {0};
    struct fault fault = {0};

    cr_expect_not(signer_sign_crl(rig, rig->socket, key->reference, fd, &signature, &fault), "%s",
                  about);
    cr_expect_eq(fault.reason, reason, "%s: %s %s", about, fault.detail, fault.cause);
    cr_expect_null(signature.data);
}

Test(signer_crl, comes_in_memory_that_nobody_can_change)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct crl_head *list = head_of(rig, &root, 1);
    const struct crl_frame frame = crl_frame(rig, list, 0);
    uint8_t *whole = mem_array(rig, uint8_t, frame.before.size + frame.after.size);
    const struct bytes tbs = {whole, frame.before.size + frame.after.size};
    const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    int pipes[2];

    memcpy(whole, frame.before.data, frame.before.size);
    memcpy(whole + frame.before.size, frame.after.data, frame.after.size);
    expect_fd_refused(rig, &root, -1, SIGNER_MESSAGE, "no descriptor");
    expect_fd_refused(rig, &root, memory_of(tbs, MFD_ALLOW_SEALING, 0), SIGNER_MESSAGE, "no seal");
    expect_fd_refused(rig, &root, memory_of(tbs, 0, 0), SIGNER_MESSAGE, "cannot be sealed");
    expect_fd_refused(rig, &root, memory_of(tbs, MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_GROW),
                      SIGNER_MESSAGE, "writable");
    expect_fd_refused(rig, &root, memory_of(tbs, MFD_ALLOW_SEALING, F_SEAL_WRITE | F_SEAL_GROW),
                      SIGNER_MESSAGE, "may shrink under the reader");
    expect_fd_refused(rig, &root, memory_of((struct bytes){whole, 0}, MFD_ALLOW_SEALING, all),
                      SIGNER_MESSAGE, "empty");
    expect_fd_refused(rig, &root, open(root.path, O_RDONLY | O_CLOEXEC), SIGNER_MESSAGE, "a file");
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    expect_fd_refused(rig, &root, pipes[0], SIGNER_MESSAGE, "a pipe");
    (void)close(pipes[1]);
    whole[0] ^= 1;
    expect_fd_refused(rig, &root, memory_of(tbs, MFD_ALLOW_SEALING, all), SIGNER_REFUSED,
                      "no TBSCertList");
    whole[0] ^= 1;
    AUTO_FD good = memory_of(tbs, MFD_ALLOW_SEALING, all);
    struct bytes signature = {0};
    struct fault fault = {0};
    cr_expect(signer_sign_crl(rig, rig->socket, root.reference, good, &signature, &fault), "%s",
              fault.detail);
    rig_end(rig);
}

/* What would be a certificate if it were signed. */
Test(signer_crl, is_no_certificate)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct crl_head *list = head_of(rig, &root, 1);
    const struct issuer_facts facts = {
        .subject_der = list->issuer_der,
        .ski = list->ski,
        .algorithm = SIGNATURE_ECDSA_SHA256,
        .not_before = 0,
        .not_after = clock_now_s() + RIG_YEAR_S,
        .ceiling_s = RIG_YEAR_S,
        .allowed_ekus = EKU_ALL_LEAF,
    };
    const uint8_t serial[CERTIFICATE_SERIAL_SIZE] = {1};
    const struct certificate_wish wish = rig_wish(rig);
    struct bytes tbs = {0};
    struct fault fault = {0};

    cr_assert(certificate_compose(rig, &facts, &wish, serial, &tbs, &fault), "%s", fault.detail);
    expect_fd_refused(rig, &root,
                      memory_of(tbs, MFD_ALLOW_SEALING, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW),
                      SIGNER_REFUSED, "a TBSCertificate");
    cr_expect_eq(rig_log_count(rig, "sign-crl"), 0);
    rig_end(rig);
}

static const char *const records[] = {"",
                                      "x",
                                      "crl_number 5",
                                      "crl_number -1                  \n\n",
                                      "crl_number 99999999999999999999\n",
                                      "crl_number 5                   \nmore"};

Test(signer_crl, a_broken_memory_of_numbers_is_not_read_as_none)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const char *path = mem_printf(scratch, "%s.state", root.path);
    struct fault fault = {0};
    struct stat status;

    expect_signed(rig, &root, 5);
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 07777, 0600);
    for (size_t i = 1; i < ARRAY_SIZE(records); i++) {
        struct crl_head *list = head_of(rig, &root, 6);
        AUTO_FD fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        cr_assert_eq(write(fd, records[i], strlen(records[i])), (ssize_t)strlen(records[i]));
        cr_expect_not(ask(rig, &root, list, &fault), "%s", records[i]);
        cr_expect_eq(fault.reason, SIGNER_KEY, "%s: %s", records[i], fault.detail);
    }
    AUTO_FD fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd, "crl_number 9                   \n", 32), 32);
    expect_refused(rig, &root, head_of(rig, &root, 9), "not above the last one, 9");
    expect_signed(rig, &root, 10);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_expect_not(ask(rig, &root, head_of(rig, &root, 11), &fault), "others may read it");
    rig_end(rig);
}

static bool raise_floor(TALLOC_CTX *ctx, const struct rig *rig, const char *key_ref, int64_t number,
                        const char **ret_text, struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_CRL_FLOOR, .key_ref = key_ref, .crl_number = number};
    struct signer_reply reply = {0};
    const bool raised = signer_call(ctx, rig->admin_socket, &request, &reply, fault);

    *ret_text = raised ? reply.text : "";
    return raised;
}

Test(signer_crl, a_floor_raises_the_number_and_never_lowers_it)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const char *path = mem_printf(scratch, "%s.state", root.path);
    struct fault fault = {0};
    const char *text;
    static const int64_t wrong[] = {0, CRL_NUMBER_FLOOR_MAX + 1};

    cr_expect(raise_floor(scratch, rig, root.reference, 5000, &text, &fault), "%s", fault.detail);
    cr_expect_str_eq(text, "5000");
    expect_refused(rig, &root, head_of(rig, &root, 5000), "not above the last one, 5000");
    expect_signed(rig, &root, 5001);
    cr_expect(raise_floor(scratch, rig, root.reference, 7, &text, &fault), "%s", fault.detail);
    cr_expect_str_eq(text, "5001");
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        cr_expect_not(raise_floor(scratch, rig, root.reference, wrong[i], &text, &fault), "%zu", i);
        cr_expect_eq(fault.reason, SIGNER_REFUSED, "%zu: %s", i, fault.detail);
    }
    cr_assert_eq(truncate(path, 9), 0); /* broken */
    cr_expect(raise_floor(scratch, rig, root.reference, 6000, &text, &fault), "%s", fault.detail);
    expect_signed(rig, &root, 6001);
    cr_assert_eq(unlink(path), 0); /* lost */
    cr_expect(raise_floor(scratch, rig, root.reference, CRL_NUMBER_FLOOR_MAX, &text, &fault));
    expect_signed(rig, &root, CRL_NUMBER_FLOOR_MAX + 1);
    cr_expect_eq(rig_log_count(rig, "crl-floor"), 4);
    rig_end(rig);
}

/* An empty file would say that no list was ever signed: a floor that cannot be written, or that is
 * ended while it is, leaves the number that was there. */
Test(signer_crl, a_floor_that_fails_forgets_nothing)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *beside = mem_printf(scratch, "/tmp/certctl-floor-%d", (int)getpid());
    const char *path = mem_printf(scratch, "%s" CRL_STATE_ENDS, beside);
    const struct rlimit nothing = {0, RLIM_INFINITY};
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    struct fault fault = {0};
    struct fault full = {0};
    int64_t last = 0;

    cr_assert(crl_state_raise(beside, 700, &last, &fault), "%s", fault.detail);
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &nothing), 0);
    cr_expect_not(crl_state_raise(beside, 900, &last, &full));
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
    cr_expect_eq(full.reason, SIGNER_KEY);
    cr_expect_not(crl_state_take(beside, 700, &fault));
    cr_expect_not_null(strstr(fault.detail, "not above the last one, 700"), "%s", fault.detail);
    cr_assert_eq(unlink(path), 0);
}

/* Many ask two processes for the same twenty numbers: each number is signed once at most. */
Test(signer_crl, no_number_is_signed_twice_by_processes_at_once)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    pid_t children[4];
    rig_start_all(rig, 2);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");

    for (size_t c = 0; c < ARRAY_SIZE(children); c++) {
        children[c] = fork();
        cr_assert_geq(children[c], 0);
        if (children[c] != 0)
            continue;
        for (int64_t number = 1; number <= 20; number++) {
            struct fault fault = {0};
            (void)ask(rig, &root, head_of(rig, &root, number), &fault);
        }
        _exit(0);
    }
    for (size_t c = 0; c < ARRAY_SIZE(children); c++)
        cr_assert_eq(waitpid(children[c], NULL, 0), children[c]);
    cr_expect_leq(rig_log_count(rig, "sign-crl"), 20);
    cr_expect_eq(rig_log_count(rig, "sign-crl") + rig_log_count(rig, "refused"), 80);
    expect_refused(rig, &root, head_of(rig, &root, 20), "not above the last one, 20");
    rig_end(rig);
}

Test(signer_crl, is_signed_for_the_jobs_alone)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    if (geteuid() != 0)
        cr_skip_test("needs root to ask as somebody else");
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct crl_head *list = head_of(rig, &root, 1);
    struct fault fault = {0};

    cr_assert_eq(chmod(rig->directory, 0711), 0);
    cr_assert_eq(chmod(rig->socket, 0666), 0);
    cr_assert_eq(seteuid(65534), 0);
    const bool ok = ask(rig, &root, list, &fault);
    cr_assert_eq(seteuid(0), 0);
    cr_expect_not(ok);
    cr_expect_eq(fault.reason, FORBIDDEN);
    rig_end(rig);
}

/* Descriptors that nobody asked for must not pile up in the process. */
Test(signer_crl, descriptors_with_other_requests_are_closed)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct fault fault = {0};
    struct bytes signature = {0};

    for (int i = 0; i < 50; i++) {
        AUTO_FD fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        (void)signer_sign_crl(rig, rig->socket, root.reference, fd, &signature, &fault);
    }
    const char *place = mem_printf(scratch, "/proc/%d/fd", rig->signers[0]);
    AUTO(DIR) *open_now = opendir(place);
    size_t count = 0;
    cr_assert_not_null(open_now);
    while (readdir(open_now))
        count++;
    cr_expect_lt(count, 20, "%zu descriptors are open", count);
    rig_end(rig);
}
