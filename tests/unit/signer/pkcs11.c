/* tests/unit/signer/pkcs11.c: CA keys in a SoftHSM token, with real signers (04 section 4.3). */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/settings.h"
#include "signer/key_driver.h"
#include "signer/pkcs11_token.h"

#include "rig.h"

#include "core/banned.h"

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

struct bench {
    struct rig *rig;
    const char *tokens;
    const char *pin_file;
};

static void write_text(const char *path, const char *text, mode_t mode)
{
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
}

static void make_token(const char *label)
{
    const pid_t pid = fork();

    if (pid == 0) {
        (void)dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDOUT_FILENO);
        (void)execlp("softhsm2-util", "softhsm2-util", "--init-token", "--free", "--label", label,
                     "--pin", "1234", "--so-pin", "5678", NULL);
        _exit(127);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "softhsm2-util: install softhsm2");
}

/* A token with one user PIN, and signers (none with plain 0) whose settings name it. */
static struct bench bench_new(TALLOC_CTX *ctx, size_t plain)
{
    struct bench bench = {.rig = rig_new(ctx)};
    const char *directory = bench.rig->directory;
    const char *conf = mem_printf(ctx, "%s/softhsm2.conf", directory);

    bench.tokens = mem_printf(ctx, "%s/tokens", directory);
    bench.pin_file = mem_printf(ctx, "%s/pin", directory);
    cr_assert_eq(mkdir(bench.tokens, 0700), 0);
    write_text(conf,
               mem_printf(ctx, "directories.tokendir = %s\nlog.level = ERROR\n", bench.tokens),
               0600);
    write_text(bench.pin_file, "1234\n", 0600);
    (void)setenv("SOFTHSM2_CONF", conf, 1);
    (void)setenv("CERTCTL_PKCS11_MODULE", MODULE, 1);
    (void)setenv("CERTCTL_PKCS11_TOKEN", "certctl test", 1);
    (void)setenv("CERTCTL_PKCS11_PIN_FILE", bench.pin_file, 1);
    (void)setenv("CERTCTL_PKCS11_PATHS", mem_printf(ctx, "%s,%s", conf, bench.tokens), 1);
    make_token("certctl test");
    if (plain > 0)
        rig_start_all(bench.rig, plain);
    return bench;
}

static bool ask(struct rig *rig, const struct signer_request *request, struct signer_reply *reply,
                struct fault *fault)
{
    *reply = (struct signer_reply){0};
    *fault = (struct fault){0};
    return signer_call(rig, rig->admin_socket, request, reply, fault);
}

static struct rig_key make_in_token(struct rig *rig, const char *algorithm)
{
    const struct signer_request request = {
        .kind = SIGNER_GENERATE, .algorithm = algorithm, .hint = "issuing", .driver = "pkcs11"};
    struct signer_reply reply;
    struct fault fault;

    cr_assert(ask(rig, &request, &reply, &fault), "%s %s: %s", algorithm, fault.detail,
              fault.cause);
    return (struct rig_key){.reference = reply.key_ref, .spki = reply.spki};
}

static struct rig_key root_in_token(struct rig *rig, const char *algorithm)
{
    struct rig_key key = make_in_token(rig, algorithm);

    rig_make_ca(rig, &key, NULL);
    rig_write_facts(rig, &key, "");
    return key;
}

Test(pkcs11, keys_of_all_kinds_sign)
{
    static const char *const algorithms[] = {"ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bench bench = bench_new(scratch, 1);

    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        const struct rig_key key = root_in_token(bench.rig, algorithms[i]);
        const struct certificate_wish wish = rig_wish(bench.rig);
        struct fault fault = {0};
        struct bytes der;
        cr_expect(text_starts(key.reference, "pkcs11:token=certctl%20test;id=%"), "%s",
                  key.reference);
        for (size_t j = 0; j < 20; j++) { /* r or s with a leading zero, now and then */
            cr_assert(rig_sign(bench.rig, &key, &wish, &der, &fault), "%s: %s %s", algorithms[i],
                      fault.detail, fault.cause);
            AUTO(X509) *leaf = rig_parse(der);
            cr_expect_eq(X509_verify(leaf, X509_get0_pubkey(key.certificate)), 1, "%s",
                         algorithms[i]);
        }
    }
    rig_end(bench.rig);
}

static bool attribute_is(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_BBOOL wanted)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    struct bytes value;

    cr_assert(token_attribute(scratch, object, type, &value, &fault), "%s", fault.cause);
    return value.size == 1 && value.data[0] == wanted;
}

Test(pkcs11, the_private_half_cannot_leave_the_token)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bench bench = bench_new(scratch, 1);
    struct settings settings = {
        .pkcs11_module = MODULE, .pkcs11_token = "certctl test", .pkcs11_pin_file = bench.pin_file};
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE object;
    CK_ULONG count;
    struct fault fault = {0};
    struct bytes value;

    (void)make_in_token(bench.rig, "ECDSA-P256");
    cr_assert(token_open(&settings, &fault), "%s %s", fault.detail, fault.cause);
    cr_assert(token_find(&wanted, 1, &object, 1, &count, &fault));
    cr_assert_eq(count, 1);
    cr_expect(attribute_is(object, CKA_SENSITIVE, CK_TRUE));
    cr_expect(attribute_is(object, CKA_EXTRACTABLE, CK_FALSE));
    cr_expect(attribute_is(object, CKA_PRIVATE, CK_TRUE));
    cr_expect(attribute_is(object, CKA_ALWAYS_SENSITIVE, CK_TRUE));
    cr_assert(token_attribute(scratch, object, CKA_VALUE, &value, &fault));
    cr_expect_eq(value.size, 0);
    token_close();
    rig_end(bench.rig);
}

Test(pkcs11, refuses_references_that_name_anything_else)
{
    static const struct {
        const char *about;
        const char *reference;
        enum fault_reason reason;
        const char *detail;
    } cases[] = {
        {"a PIN",         "pkcs11:object=issuing?pin-value=1234",        SIGNER_MESSAGE, "settings" },
        {"a PIN file",    "pkcs11:object=issuing?pin-source=/etc/x",     SIGNER_MESSAGE, "settings" },
        {"a module",      "pkcs11:object=issuing?module-path=/tmp/x.so", SIGNER_MESSAGE, "settings" },
        {"no object",     "pkcs11:token=certctl%20test",                 SIGNER_MESSAGE, "names no" },
        {"nonsense",      "pkcs11:token=%zz;object=a",                   SIGNER_MESSAGE, "RFC 7512" },
        {"unknown word",  "pkcs11:object=issuing;colour=red",            SIGNER_MESSAGE, "RFC 7512" },
        {"another token", "pkcs11:token=other;object=issuing",           SIGNER_REFUSED, "another"  },
        {"no such key",   "pkcs11:object=nobody",                        SIGNER_KEY,     "not found"},
        {"two keys",      "pkcs11:object=issuing",                       SIGNER_KEY,     "matches 2"},
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bench bench = bench_new(scratch, 1);

    (void)make_in_token(bench.rig, "ECDSA-P256");
    (void)make_in_token(bench.rig, "ECDSA-P256");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct signer_request request = {.kind = SIGNER_FORGET,
                                               .key_ref = cases[i].reference};
        struct signer_reply reply;
        struct fault fault;
        cr_expect_not(ask(bench.rig, &request, &reply, &fault), "%s", cases[i].about);
        cr_expect_eq(fault.reason, cases[i].reason, "%s: %s", cases[i].about, fault.detail);
        cr_expect_not_null(strstr(fault.detail, cases[i].detail), "%s: %s", cases[i].about,
                           fault.detail);
    }
    rig_end(bench.rig);
}

Test(pkcs11, a_token_that_went_away_is_found_again)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bench bench = bench_new(scratch, 1);
    const char *aside = mem_printf(scratch, "%s.aside", bench.tokens);
    const struct rig_key key = root_in_token(bench.rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(bench.rig);
    struct fault fault = {0};
    struct bytes der;

    cr_assert(rig_sign(bench.rig, &key, &wish, &der, &fault), "%s", fault.detail);
    cr_assert_eq(rename(bench.tokens, aside), 0);
    cr_assert_eq(mkdir(bench.tokens, 0700), 0);
    cr_expect_not(rig_sign(bench.rig, &key, &wish, &der, &fault));
    cr_expect_eq(fault.reason, SIGNER_KEY, "%s", fault.detail);
    cr_expect_eq(fault.retry_after_s, 5);
    cr_assert_eq(rmdir(bench.tokens), 0);
    cr_assert_eq(rename(aside, bench.tokens), 0);
    cr_expect(rig_sign(bench.rig, &key, &wish, &der, &fault), "%s %s", fault.detail, fault.cause);
    rig_end(bench.rig);
}

Test(pkcs11, a_wrong_pin_is_tried_once)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bench bench = bench_new(scratch, 1);
    const struct signer_request request = {
        .kind = SIGNER_GENERATE, .algorithm = "ECDSA-P256", .hint = "issuing", .driver = "pkcs11"};
    struct signer_reply reply;
    struct fault fault;

    write_text(bench.pin_file, "0000", 0600);
    for (size_t i = 0; i < 3; i++) {
        cr_expect_not(ask(bench.rig, &request, &reply, &fault));
        cr_expect_eq(fault.reason, SIGNER_KEY);
        cr_expect_not_null(strstr(fault.detail, "waits for a new PIN file"), "%s", fault.detail);
    }
    write_text(bench.pin_file, "1234", 0644);
    cr_expect_not(ask(bench.rig, &request, &reply, &fault));
    cr_expect_not_null(strstr(fault.detail, "has mode 0644"), "%s", fault.detail);
    write_text(bench.pin_file, "1234", 0600);
    cr_expect(ask(bench.rig, &request, &reply, &fault), "%s %s", fault.detail, fault.cause);
    rig_end(bench.rig);
}

Test(pkcs11, a_forgotten_key_is_gone)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bench bench = bench_new(scratch, 1);
    const struct rig_key key = root_in_token(bench.rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(bench.rig);
    const struct signer_request forget = {.kind = SIGNER_FORGET, .key_ref = key.reference};
    struct signer_reply reply;
    struct fault fault = {0};
    struct bytes der;

    cr_assert(rig_sign(bench.rig, &key, &wish, &der, &fault), "%s", fault.detail);
    cr_assert(ask(bench.rig, &forget, &reply, &fault), "%s", fault.detail);
    cr_expect_not(rig_sign(bench.rig, &key, &wish, &der, &fault));
    cr_expect_not(ask(bench.rig, &forget, &reply, &fault));
    cr_expect_not_null(strstr(fault.detail, "not found"), "%s", fault.detail);
    rig_end(bench.rig);
}

Test(pkcs11, without_settings_there_is_no_token)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    const struct signer_request requests[] = {
        {.kind = SIGNER_GENERATE, .algorithm = "ECDSA-P256", .hint = "a", .driver = "pkcs11"},
        {.kind = SIGNER_FORGET,     .key_ref = "pkcs11:object=a"                             },
    };

    rig_start_all(rig, 1);
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct signer_reply reply;
        struct fault fault;
        cr_expect_not(ask(rig, &requests[i], &reply, &fault));
        cr_expect_eq(fault.reason, SIGNER_KEY);
        cr_expect_not_null(strstr(fault.detail, "CERTCTL_PKCS11_TOKEN"), "%s", fault.detail);
    }
    rig_end(rig);
}

Test(pkcs11, unknown_drivers_make_nothing)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    const struct signer_request request = {
        .kind = SIGNER_GENERATE, .algorithm = "ECDSA-P256", .hint = "a", .driver = "awskms"};
    struct signer_reply reply;
    struct fault fault;

    rig_start_all(rig, 1);
    cr_expect_not(ask(rig, &request, &reply, &fault));
    cr_expect_eq(fault.reason, SIGNER_MESSAGE);
    cr_expect_not_null(strstr(fault.detail, "unknown key driver"), "%s", fault.detail);
    rig_end(rig);
}
