/* tests/fuzz/signer_rig.c: a signer in memory with one CA key, which forgets what it did. */
#include "signer_rig.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/memory.h"
#include "rig_data.h"
#include "signer/crl_record.h"
#include "signer/crl_state.h"

#include "core/banned.h"

static struct signer *signer;
static char directory[] = "/dev/shm/certctl-fuzz-XXXXXX";
static char *key_ref;
static char *state_path;
static char *log_path;

static void write_file(const char *path, const char *text)
{
    AUTO(FILE) *file = fopen(path, "wbe");

    assert(file && fputs(text, file) >= 0 && fflush(file) == 0 && chmod(path, 0600) == 0);
}

static void remove_all(void)
{
    (void)unlink(key_ref + strlen("file:"));
    (void)unlink(mem_printf(signer, "%s%s", key_ref + strlen("file:"), FACTS_ENDING));
    (void)unlink(state_path);
    (void)unlink(log_path);
    (void)rmdir(directory);
    TALLOC_FREE(signer);
}

static void set_clock(void)
{
    clock_shift_s(0);
    clock_shift_s(RIG_NOW_S - clock_now_s());
}

static void write_key(void)
{
    struct bytes der;
    const char *path = key_ref + strlen("file:");

    assert(hex_to_bytes(signer, rig_ca_hex, &der));
    write_file(path, rig_ca_key);
    write_file(mem_printf(signer, "%s%s", path, FACTS_ENDING),
               mem_printf(signer,
                          "{\"ca_certificate\":\"%s\",\"max_leaf_days\":90,"
                          "\"crl_urls\":[\"http://pki.example/crl\"],"
                          "\"ca_issuers_urls\":[\"http://pki.example/ca\"],"
                          "\"ocsp_urls\":[\"http://pki.example/ocsp\"],"
                          "\"allowed_ekus\":[\"serverAuth\",\"clientAuth\",\"emailProtection\"],"
                          "\"allowed_policies\":[\"2.23.140.1.2.1\"],"
                          "\"permitted_dns\":[\"example.com\",\"example.org\"],"
                          "\"excluded_dns\":[\"secret.example.com\"]}",
                          base64_from_bytes(signer, der)));
}

static void start_once(void)
{
    struct fault fault = {0};

    if (signer)
        return;
    log_configure(LOG_ERROR, LOG_JSON);
    assert(mkdtemp(directory));
    signer = mem_new(NULL, struct signer);
    settings_defaults(&signer->settings);
    key_ref = mem_printf(signer, "file:%s/ca.key", directory);
    state_path = mem_printf(signer, "%s/ca.key%s", directory, CRL_STATE_ENDS);
    log_path = mem_printf(signer, "%s/log", directory);
    write_key();
    signer->policy = peer_policy_now(false);
    signer->settings.ca_key_dir = directory;
    signer->keys = key_store_new(signer, &signer->settings);
    signer->log = signature_log_open(signer, log_path, "fuzz", &fault);
    assert(signer->log);
    (void)atexit(remove_all);
}

struct key *signer_rig_key(void)
{
    struct fault fault = {0};

    start_once();
    set_clock();
    struct key *key = key_store_find(signer->keys, key_ref, &fault);
    assert(key);
    return key;
}

const struct key *signer_rig_find(const char *reference, struct fault *fault)
{
    start_once();
    set_clock();
    return key_store_find(signer->keys, reference, fault);
}

struct signer_outcome signer_rig_ask(TALLOC_CTX *ctx, struct signer_request *request, int passed)
{
    static const struct peer peer = {.user = "certctl-jobs"};
    struct signer_outcome outcome = {.reply = {.ok = true}};

    start_once();
    set_clock();
    request->key_ref = key_ref;
    if (request->issuer_key_ref)
        request->issuer_key_ref = key_ref;
    else if (request->kind == SIGNER_SIGN_CA)
        request->ca.spki = signer_rig_key()->spki; /* else nothing would be self-signed */
    struct call call = {.signer = signer,
                        .ctx = ctx,
                        .peer = &peer,
                        .request = request,
                        .passed = passed,
                        .reply = &outcome.reply};
    outcome.ok = answer_request(&call, &outcome.fault);
    (void)unlink(state_path);
    return outcome;
}
