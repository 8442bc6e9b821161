/* tests/bench/ocsp_load.c: OCSP requests for one certificate after the other, by POST or GET, with
 * or without a nonce. They are made before the clock runs; each answer must say of the right
 * one that it is good, or revoked where the file of serials says so: "SERIAL revoked". With
 * --believe=1 it is looked at whole, signature and all. */
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/der.h"
#include "pki/ocsp.h"
#include "tests/bench/asking.h"
#include "tests/bench/belief.h"
#include "tests/bench/options.h"

#include "core/banned.h"

#define SERIAL_LINE 128
#define PEM_MAX     16384
#define NONCE_SIZE  32
#define MEDIA_TYPE  "application/ocsp-request"

/* One certificate to ask about. */
struct question {
    const char *path;
    struct bytes body;
    struct bytes request; /* as body, also where that is in the path */
    struct bytes wanted;  /* serial and status, as they stand in the right answer */
    int status;
    struct bytes believed; /* an answer that was looked at whole; size 0: none yet */
};

struct run {
    struct asking asking;
    const char *ca_file;
    const char *serials_file;
    const char *form; /* post, get */
    int64_t nonce;
    int64_t believe;
    X509_STORE *believed; /* NULL: status and serial will do */
    struct ocsp_ca_hashes ca;
    struct question *questions;
    size_t question_count;
};

static FILE *file_open(const char *path)
{
    FILE *file = fopen(path, "re");

    if (!file)
        give_up("%s cannot be read", path);
    return file;
}

static void ca_read(struct run *run)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char pem[PEM_MAX];
    FILE *file = file_open(run->ca_file);
    const size_t size = fread(pem, 1, sizeof(pem) - 1, file);
    struct fault fault = {0};

    (void)fclose(file);
    pem[size] = '\0';
    const struct certificate *ca = certificate_from_pem(scratch, pem, &fault);
    if (!ca || !ocsp_ca_hashes(ca, &run->ca))
        give_up("%s: %s", run->ca_file, fault.detail);
    if (run->believe)
        run->believed = belief_in(ca->x509);
}

/* As clients write it: a nonce of 32 octets (RFC 9654 section 2.1) among the requestExtensions. */
static struct bytes with_nonce(TALLOC_CTX *ctx, struct bytes cert_id)
{
    uint8_t nonce[NONCE_SIZE];
    struct der_writer to;

    random_bytes(nonce, sizeof(nonce));
    der_start(&to, ctx, 256);
    der_put_value(&to, DER_OCTET_STRING, BYTES_OF(nonce));
    der_wrap(&to, DER_OCTET_STRING, 0);
    if (!der_put_oid(&to, "1.3.6.1.5.5.7.48.1.2"))
        give_up("the nonce has no OID");
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(2), 0);
    const size_t list = der_mark(&to);
    der_put(&to, cert_id);
    der_wrap(&to, DER_SEQUENCE, list);
    der_wrap(&to, DER_SEQUENCE, list);
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

/* base64 with what a path may not hold escaped (RFC 6960 appendix A.1). */
static const char *path_of(TALLOC_CTX *ctx, const char *base, struct bytes der)
{
    char *path = mem_printf(ctx, "%s/", base);

    for (const char *at = base64_from_bytes(ctx, der); *at; at++)
        path = *at == '+'   ? mem_append(path, "%%2B")
               : *at == '/' ? mem_append(path, "%%2F")
               : *at == '=' ? mem_append(path, "%%3D")
                            : mem_append(path, "%c", *at);
    return path;
}

static struct question question_of(struct run *run, const char *serial, bool revoked)
{
    struct question question = {
        .path = http_path(run->asking.url),
        .status = revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
    };
    struct ocsp_cert_id id = {0};

    if (!ocsp_cert_id_of(run, &run->ca, serial, &id))
        give_up("%s is no serial", serial);
    question.body = run->nonce ? with_nonce(run, id.whole) : ocsp_request_encode(run, id.whole);
    question.request = question.body;
    if (text_equal(run->form, "get")) {
        question.path = path_of(run, question.path, question.body);
        question.body = (struct bytes){0};
    }
    uint8_t *wanted = mem_array(run, uint8_t, id.serial.size + 1);
    memcpy(wanted, id.serial.data, id.serial.size);
    wanted[id.serial.size] = revoked ? 0xa1 : 0x80; /* [1] RevokedInfo, [0] NULL, both IMPLICIT */
    question.wanted = (struct bytes){wanted, id.serial.size + 1};
    return question;
}

static void questions_read(struct run *run)
{
    char line[SERIAL_LINE];
    FILE *file = file_open(run->serials_file);
    size_t room = 0;

    while (fgets(line, sizeof(line), file)) {
        const bool revoked = strstr(line, " revoked") != NULL;

        line[strcspn(line, " \n")] = '\0';
        if (run->question_count == room) {
            room = most(2 * room, (size_t)1024);
            run->questions = mem_resize(run, run->questions, struct question, room);
        }
        run->questions[run->question_count++] = question_of(run, line, revoked);
    }
    (void)fclose(file);
    if (run->question_count == 0)
        give_up("%s has no serials", run->serials_file);
}

static struct question *question_at(const struct run *run, int64_t number)
{
    return &run->questions[(size_t)number % run->question_count]; /* not negative */
}

static void ask(struct http *http, int64_t number, void *arg)
{
    const struct question *question = question_at(arg, number);

    http_request(http, question->body.data ? "POST" : "GET", question->path, MEDIA_TYPE,
                 question->body);
}

/* What a web server keeps it says often: octet for octet the same is looked at once. */
static bool is_believed(struct run *run, struct question *question, struct bytes answer)
{
    if (bytes_equal(question->believed, answer))
        return true;
    if (!belief_holds(run->believed, question->request, answer, question->status))
        return false;
    if (!run->nonce)
        question->believed = bytes_copy(run, answer);
    return true;
}

static bool is_right(const struct http_answer *answer, int64_t number, void *arg)
{
    struct run *run = arg;
    struct question *question = question_at(run, number);
    const struct bytes wanted = question->wanted;

    return answer->status == 200 &&
           memmem(answer->body.data, answer->body.size, wanted.data, wanted.size) &&
           (!run->believed || is_believed(run, question, answer->body));
}

static void run_read(struct run *run, int argc, char **argv)
{
    struct asking *asking = &run->asking;
    const struct option_slot slots[] = {
        {"--url",         &asking->url,       NULL                },
        {"--ca",          &run->ca_file,      NULL                },
        {"--serials",     &run->serials_file, NULL                },
        {"--form",        &run->form,         NULL                },
        {"--nonce",       NULL,               &run->nonce         },
        {"--believe",     NULL,               &run->believe       },
        {"--connections", NULL,               &asking->connections},
        {"--count",       NULL,               &asking->count      },
        {"--warmup",      NULL,               &asking->warmup     },
    };

    options_read(argc, argv, slots, ARRAY_SIZE(slots));
    if (!asking_is_whole(asking) || !run->ca_file || !run->serials_file)
        give_up("wanted: --url=URL --ca=FILE --serials=FILE [--form=post|get --nonce=1 "
                "--believe=1 --connections=N --count=N --warmup=N]");
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *root = talloc_named_const(NULL, 0, "ocsp-load");
    struct run *run = mem_new(root, struct run);

    *run = (struct run){
        .form = "post", .asking = {ASKING_DEFAULTS, .ask = ask, .is_right = is_right, .arg = run}
    };
    run_read(run, argc, argv);
    ca_read(run);
    questions_read(run);
    asking_run(&run->asking);
    X509_STORE_free(run->believed);
    return EXIT_SUCCESS;
}
