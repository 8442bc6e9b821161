/* tests/unit/signer/rig.c: starting, asking and ending real signer processes. */
#include "rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"

#include "core/banned.h"

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_lt(strlen(path), sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path));
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 128), 0);
    return fd;
}

struct rig *rig_new(TALLOC_CTX *ctx)
{
    struct rig *rig = mem_new(ctx, struct rig);
    char directory[] = "/tmp/certctl-signer-XXXXXX";

    cr_assert_not_null(mkdtemp(directory));
    rig->root = rig;
    rig->directory = mem_text(rig, directory);
    rig->key_dir = mem_printf(rig, "%s/ca", directory);
    rig->log_path = mem_printf(rig, "%s/signer.log", directory);
    rig->socket = mem_printf(rig, "%s/signer.sock", directory);
    rig->admin_socket = mem_printf(rig, "%s/signer-admin.sock", directory);
    rig->listening = listen_at(rig->socket);
    rig->admin_listening = listen_at(rig->admin_socket);
    return rig;
}

/* In the child; does not return. */
static void become_signer(const struct rig *rig, bool admin, bool by_systemd)
{
    static char program[] = SIGNER_PROGRAM;
    static char flag[] = "--admin";
    char *arguments[] = {program, admin ? flag : NULL, NULL};
    const int quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
    char pid[16];

    /* No test may leave one behind, however it ends. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setenv("CERTCTL_CA_KEY_DIR", rig->key_dir, 1);
    (void)setenv("CERTCTL_SIGNER_LOG_PATH", rig->log_path, 1);
    (void)setenv("CERTCTL_NODE_ID", "node-1", 1);
    if (!getenv("RIG_TALK"))
        (void)dup2(quiet, STDERR_FILENO);
    if (by_systemd) {
        (void)snprintf(pid, sizeof(pid), "%d", getpid());
        (void)setenv("LISTEN_PID", pid, 1);
        (void)setenv("LISTEN_FDS", "1", 1);
        (void)dup2(quiet, STDIN_FILENO);
        (void)dup2(rig->listening, 3);
        (void)fcntl(3, F_SETFD, 0);
    } else {
        (void)dup2(admin ? rig->admin_listening : rig->listening, STDIN_FILENO);
    }
    (void)execv(program, arguments);
    _exit(127);
}

static pid_t start(struct rig *rig, bool admin, bool by_systemd)
{
    const pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0)
        become_signer(rig, admin, by_systemd);
    cr_assert_lt(rig->count, RIG_SIGNERS_MAX);
    rig->signers[rig->count++] = pid;
    return pid;
}

pid_t rig_start(struct rig *rig, bool admin)
{
    return start(rig, admin, false);
}

void rig_start_by_systemd(struct rig *rig)
{
    (void)start(rig, false, true);
}

/* A call waits in the backlog until somebody accepts, so nothing has to be waited for. */
void rig_start_all(struct rig *rig, size_t plain)
{
    for (size_t i = 0; i < plain; i++)
        (void)rig_start(rig, false);
    (void)rig_start(rig, true);
    for (size_t i = 0; i <= plain; i++) {
        const struct signer_request ping = {.kind = SIGNER_PING};
        struct signer_reply reply;
        struct fault fault = {0};
        cr_assert(signer_call(rig, i ? rig->socket : rig->admin_socket, &ping, &reply, &fault),
                  "%s %s", fault.detail, fault.cause);
    }
}

void rig_stop(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++)
        (void)kill(rig->signers[i], i % 2 ? SIGQUIT : SIGTERM);
    for (size_t i = 0; i < rig->count; i++) {
        int status = -1;
        cr_assert_eq(waitpid(rig->signers[i], &status, 0), rig->signers[i]);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "signer ended with %d", status);
    }
    rig->count = 0;
}

void rig_kill(struct rig *rig, pid_t signer)
{
    cr_assert_eq(kill(signer, SIGKILL), 0);
    cr_assert_eq(waitpid(signer, NULL, 0), signer);
    for (size_t i = 0; i < rig->count; i++)
        if (rig->signers[i] == signer)
            rig->signers[i] = rig->signers[--rig->count];
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

void rig_end(struct rig *rig)
{
    rig_stop(rig);
    (void)close(rig->listening);
    (void)close(rig->admin_listening);
    (void)nftw(rig->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct signer_reply ask_admin(struct rig *rig, const struct signer_request *request)
{
    struct signer_reply reply = {0};
    struct fault fault = {0};

    cr_assert(signer_call(rig, rig->admin_socket, request, &reply, &fault), "%s: %s", fault.detail,
              fault.cause);
    return reply;
}

struct rig_key rig_generate(struct rig *rig, const char *algorithm)
{
    const struct signer_request request = {
        .kind = SIGNER_GENERATE, .algorithm = algorithm, .hint = "iss-local"};
    const struct signer_reply reply = ask_admin(rig, &request);

    cr_assert(text_starts(reply.key_ref, "file:/"));
    return (struct rig_key){
        .reference = reply.key_ref, .path = reply.key_ref + strlen("file:"), .spki = reply.spki};
}

X509 *rig_parse(struct bytes der)
{
    const uint8_t *at = der.data;
    X509 *certificate = d2i_X509(NULL, &at, (long)der.size);

    cr_assert_not_null(certificate);
    cr_assert_eq(at, der.data + der.size);
    return certificate;
}

void rig_make_ca(struct rig *rig, struct rig_key *key, const struct rig_key *parent)
{
    const struct rdn subject = {"2.5.4.3", RDN_UTF8, parent ? "Issuing CA" : "Root CA"};
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CA,
        .key_ref = parent ? NULL : key->reference,
        .issuer_key_ref = parent ? parent->reference : NULL,
        .ca = {.subject = &subject,
               .subject_count = 1,
               .spki = key->spki,
               .not_before = clock_now_s() - 86400, /* older than any leaf may claim to be */
               .not_after = clock_now_s() + 10 * RIG_YEAR_S,
               .path_len = parent ? 0 : 1},
    };
    const struct signer_reply reply = ask_admin(rig, &request);

    key->certificate = mem_adopt(rig, rig_parse(reply.der), X509_free);
}

bool rig_facts(struct rig *rig, const struct rig_key *key, const char *json, struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_FACTS, .key_ref = key->reference, .facts_json = json};
    struct signer_reply reply;

    return signer_call(rig, rig->admin_socket, &request, &reply, fault);
}

void rig_write_facts(struct rig *rig, const struct rig_key *key, const char *more)
{
    struct fault fault = {0};
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_X509(key->certificate, &der);
    const char *json = mem_printf(rig, "{\"ca_certificate\":\"%s\"%s}",
                                  base64_from_bytes(rig, (struct bytes){der, size}), more);

    cr_assert(rig_facts(rig, key, json, &fault), "%s %s", fault.detail, fault.cause);
}

struct rig_key rig_root(struct rig *rig, const char *algorithm)
{
    struct rig_key key = rig_generate(rig, algorithm);

    rig_make_ca(rig, &key, NULL);
    rig_write_facts(rig, &key, "");
    return key;
}

struct certificate_wish rig_wish(struct rig *rig)
{
    AUTO(EVP_PKEY) *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    AUTO_OPENSSL(uint8_t) *spki = NULL;
    const int size = i2d_PUBKEY(key, &spki);
    struct name *name = mem_new(rig, struct name);

    *name = (struct name){NAME_DNS, "www.example.com"};
    return (struct certificate_wish){
        .spki = bytes_copy(rig, (struct bytes){spki, size}
            ),
        .names = {name, 1   },
        .key_usage = USAGE_DIGITAL_SIGNATURE,
        .ekus = EKU_SERVER_AUTH,
        .not_before = clock_now_s() - 30,
        .not_after = clock_now_s() + 90 * INT64_C(86400),
    };
}

bool rig_sign(struct rig *rig, const struct rig_key *key, const struct certificate_wish *wish,
              struct bytes *ret_der, struct fault *fault)
{
    return signer_sign_leaf(rig, rig->socket, key->reference, wish, ret_der, fault);
}

static char *read_log(TALLOC_CTX *ctx, const char *path)
{
    AUTO(FILE) *file = fopen(path, "rbe");
    struct stat status;

    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fstat(fileno(file), &status), 0);
    const size_t size = status.st_size;
    char *text = mem_array(ctx, char, size + 1);
    cr_assert_eq(fread(text, 1, size, file), size);
    return text;
}

size_t rig_log_count(const struct rig *rig, const char *kind)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *at = read_log(scratch, rig->log_path);
    const char *prev = "0000000000000000000000000000000000000000000000000000000000000000";
    size_t count = 0;

    for (int64_t number = 1; *at; number++) {
        const char *end = strchr(at, '\n');
        cr_assert_not_null(end, "line %d has no end", (int)number);
        const char *text = mem_text_n(scratch, at, end - at);
        AUTO(json_t) *line = json_loads(text, 0, NULL);
        cr_assert_not_null(line, "%s", text);
        cr_assert_eq(json_integer_value(json_object_get(line, "line")), number, "%s", text);
        cr_assert_str_eq(json_string_value(json_object_get(line, "prev")), prev, "%s", text);
        count += text_equal(json_string_value(json_object_get(line, "kind")), kind);
        prev = digest_sha256_hex(scratch, bytes_of_text(text));
        at = end + 1;
    }
    return count;
}
