/* fcgi/acme/nonce.c: nonces that cost no table until they are spent (01 section 7).
 *
 * base64url( key id[1] | issue time, seconds, big-endian[5] | random[16] | MAC[16] ). The MAC keys
 * lie in acme_nonce_keys, sealed; a worker reads them on first use and when it meets an unknown key
 * id, and opens each once, when a nonce first needs it: that takes 0.1 s (lib/seal). */
#include "fcgi/acme/acme.h"

#include <openssl/crypto.h>

#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "fcgi/acme/worker.h"
#include "seal/seal.h"

#include "core/banned.h"

#define TIME_AT       1
#define RANDOM_AT     6
#define MAC_AT        22
#define NONCE_SIZE    38
#define NONCE_CHARS   51
#define FUTURE_S      60
#define KEY_SIZE      32
#define RELOAD_US     1000000
#define SPENT_EXTRA_S 60

STATEMENT(
    acme_nonce_keys,
    "SELECT key_id, secret_enc FROM acme_nonce_keys ORDER BY retired_at IS NULL DESC, created_at "
    "DESC LIMIT 2");
STATEMENT(acme_nonce_key_first,
          "INSERT INTO acme_nonce_keys (key_id, secret_enc) VALUES (0, $1::bytea) ON CONFLICT DO "
          "NOTHING");
STATEMENT(acme_nonce_spent,
          "SELECT replay_spend('acme_nonce', $1, $2::timestamptz, $3::boolean) AS fresh");

/* A key that was opened stays open, for as long as its row is the same. */
static struct secret *opened_before(const struct acme_worker *worker, uint8_t id,
                                    struct bytes sealed)
{
    for (size_t i = 0; i < worker->nonce_key_count; i++) {
        const struct acme_nonce_key *key = &worker->nonce_keys[i];

        if (key->id == id && bytes_equal(key->sealed, sealed))
            return key->secret;
    }
    return NULL;
}

static bool keys_read(struct request *request, struct acme_worker *worker, struct fault *fault)
{
    struct acme_nonce_key fresh[ARRAY_SIZE(worker->nonce_keys)] = {0};
    struct rows *rows = db_query(request, request->db, &acme_nonce_keys, fault);

    if (!rows)
        return false;
    TALLOC_CTX *owner = talloc_new(worker);
    for (size_t i = 0; i < least(rows->count, ARRAY_SIZE(fresh)); i++) {
        fresh[i].id = (uint8_t)row_integer(rows, i, "key_id"); /* a CHECK holds it to 0…255 */
        fresh[i].sealed = row_bytes(owner, rows, i, "secret_enc");
        fresh[i].secret = opened_before(worker, fresh[i].id, fresh[i].sealed);
        if (fresh[i].secret)
            talloc_steal(owner, fresh[i].secret);
    }
    talloc_free(worker->nonce_keys_owner);
    worker->nonce_keys_owner = owner;
    worker->nonce_key_count = least(rows->count, ARRAY_SIZE(fresh));
    memcpy(worker->nonce_keys, fresh, sizeof(fresh));
    return true;
}

/* Whoever comes first makes the first key. */
static bool key_make(struct request *request, struct fault *fault)
{
    const struct seal_passphrases passphrases = seal_passphrases_of(request->settings);
    uint8_t fresh[KEY_SIZE];

    random_bytes(fresh, sizeof(fresh));
    const struct bytes *sealed = seal_write(request, &passphrases, BYTES_OF(fresh), fault);
    OPENSSL_cleanse(fresh, sizeof(fresh));
    return sealed && db_query(request, request->db, &acme_nonce_key_first, fault, BYTEA(*sealed));
}

/* At most once a second, so that forged key ids cost no queries. */
static void keys_load(struct request *request, struct acme_worker *worker)
{
    const int64_t now_us = clock_monotonic_us();

    if (worker->nonce_keys_read_us && now_us - worker->nonce_keys_read_us < RELOAD_US)
        return;
    worker->nonce_keys_read_us = now_us;
    worker->nonce_fault = (struct fault){0};
    if (!keys_read(request, worker, &worker->nonce_fault) || worker->nonce_key_count > 0)
        return;
    if (key_make(request, &worker->nonce_fault))
        (void)keys_read(request, worker, &worker->nonce_fault);
}

/* What does not open is tried again with the next nonce, which costs nothing more: the keys of its
 * passphrases are derived by then. */
static bool key_open(struct request *request, struct acme_nonce_key *key)
{
    struct acme_worker *worker = request->worker;
    const struct seal_passphrases passphrases = seal_passphrases_of(request->settings);

    if (key->secret)
        return true;
    struct secret *secret = seal_open(worker->nonce_keys_owner, &passphrases, key->sealed,
                                      &worker->nonce_fault);
    if (secret && secret->size != KEY_SIZE) {
        talloc_free(secret);
        return fault_set(&worker->nonce_fault, INTERNAL, NULL, "a nonce key has not %d octets",
                         KEY_SIZE);
    }
    key->secret = secret;
    return secret != NULL;
}

static struct acme_nonce_key *key_find(struct request *request, uint8_t id)
{
    struct acme_worker *worker = request->worker;

    for (int attempt = 0; attempt < 2; attempt++) {
        for (size_t i = 0; i < worker->nonce_key_count; i++)
            if (worker->nonce_keys[i].id == id)
                return &worker->nonce_keys[i];
        keys_load(request, worker);
    }
    return NULL;
}

static void nonce_mac(const struct acme_nonce_key *key, const uint8_t *nonce,
                      uint8_t mac[DIGEST_SHA256_SIZE])
{
    digest_hmac_sha256((struct bytes){key->secret->data, key->secret->size},
                       (struct bytes){nonce, MAC_AT}, mac);
}

/* No key at all, or one that does not open: no fault of the client's nonce. */
static void *no_key(const struct acme_worker *worker, struct fault *fault)
{
    *fault = worker->nonce_fault;
    if (!fault->reason || fault_reason_kind(fault->reason) != KIND_UNAVAILABLE)
        fault_set(fault, DATABASE_UNREACHABLE, NULL, "the database cannot be reached");
    fault->retry_after_s = 5;
    return NULL;
}

char *acme_nonce_new(struct request *request, struct fault *fault)
{
    struct acme_worker *worker = request->worker;
    uint8_t nonce[NONCE_SIZE];
    uint8_t mac[DIGEST_SHA256_SIZE];

    if (worker->nonce_key_count == 0)
        keys_load(request, worker);
    if (worker->nonce_key_count == 0 || !key_open(request, &worker->nonce_keys[0]))
        return no_key(worker, fault);
    const struct acme_nonce_key *key = &worker->nonce_keys[0];
    const uint64_t now_s = (uint64_t)clock_now_s(); /* after 1970 */
    nonce[0] = key->id;
    for (unsigned i = 0; i < RANDOM_AT - TIME_AT; i++)
        nonce[TIME_AT + i] = (uint8_t)(now_s >> (8 * (RANDOM_AT - TIME_AT - 1 - i)));
    random_bytes(nonce + RANDOM_AT, MAC_AT - RANDOM_AT);
    nonce_mac(key, nonce, mac);
    memcpy(nonce + MAC_AT, mac, NONCE_SIZE - MAC_AT);
    return base64url_from_bytes(request, BYTES_OF(nonce));
}

static int64_t nonce_time(const uint8_t *nonce)
{
    int64_t time_s = 0;

    for (size_t i = TIME_AT; i < RANDOM_AT; i++)
        time_s = time_s << 8 | nonce[i];
    return time_s;
}

bool acme_nonce_check(struct request *request, const char *nonce, struct fault *fault)
{
    const struct acme_worker *worker = request->worker;
    const int64_t ttl_s = request->settings->acme_nonce_ttl_ms / 1000;
    const int64_t now_s = clock_now_s();
    struct bytes raw;
    uint8_t mac[DIGEST_SHA256_SIZE];

    if (!nonce)
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the protected header has no nonce");
    if (strlen(nonce) != NONCE_CHARS || !base64url_to_bytes(request, nonce, NONCE_CHARS, &raw))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "this server did not issue that nonce");
    struct acme_nonce_key *key = key_find(request, raw.data[0]);
    if (!key && worker->nonce_key_count == 0)
        return no_key(worker, fault);
    if (!key)
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "this server did not issue that nonce");
    if (!key_open(request, key))
        return no_key(worker, fault);
    nonce_mac(key, raw.data, mac);
    if (CRYPTO_memcmp(mac, raw.data + MAC_AT, NONCE_SIZE - MAC_AT) != 0)
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "this server did not issue that nonce");
    const int64_t issued_s = nonce_time(raw.data);
    if (issued_s > now_s + FUTURE_S || now_s >= issued_s + ttl_s)
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce has expired");
    return true;
}

int64_t acme_nonce_expires(const struct request *request)
{
    return clock_now_s() + request->settings->acme_nonce_ttl_ms / 1000 + FUTURE_S + SPENT_EXTRA_S;
}

bool acme_nonce_spend(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    acme->spent = true;
    struct rows *rows = db_query(request, request->db, &acme_nonce_spent, fault,
                                 TEXT(acme->jws->nonce), INSTANT(acme_nonce_expires(request)),
                                 BOOLEAN(true));
    if (!rows)
        return false;
    if (!row_bool(rows, 0, "fresh"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    return true;
}

void acme_nonce_header(struct request *request, struct response *response)
{
    struct fault ignored = {0}; /* an answer without a nonce is an answer */
    const char *nonce = acme_nonce_new(request, &ignored);

    if (nonce)
        response_header(response, "Replay-Nonce", "%s", nonce);
}
