/* fcgi/pki/ocsp.c: the OCSP responder (RFC 6960, 9654, 5019; 04 section 10). */
#include "ocsp.h"

#include <strings.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"
#include "web/query.h"

#include "core/banned.h"

#define TAIL_MAX    2048
#define LIMITED_S   60
#define NOT_READY_S 10
/* Answers "unknown" that one process signs in a second: who guesses serials is not worth more. */
#define UNKNOWN_A_SECOND 200

static bool reject_count(struct inquiry *inquiry, enum counter counter)
{
    inquiry->worker->counters.counts[COUNT_REQUEST_INVALID]++;
    if (counter != COUNT_REQUEST_INVALID)
        inquiry->worker->counters.counts[counter]++;
    return true;
}

static bool over_limit(struct inquiry *inquiry, unsigned retry_after_s)
{
    const bool later = text_equal(inquiry->request->settings->ocsp_rate_limit_status, "tryLater");

    inquiry->worker->counters.counts[COUNT_RATE_LIMITED]++;
    return inquiry_error(inquiry, 200, later ? OCSP_ERROR_TRY_LATER : OCSP_ERROR_UNAUTHORIZED,
                         retry_after_s);
}

/* Whom the CertIDs mean, among those that the path names; all of them mean one. */
static const struct ca *ca_asked(const struct inquiry *inquiry)
{
    const struct ca_table *table = &inquiry->worker->table;
    const struct ca *found = NULL;

    for (size_t i = 0; i < table->count && !found; i++)
        if (ca_is_named(table->items[i], inquiry->path_id) &&
            ocsp_ca_is_asked(&table->items[i]->hashes, &inquiry->asked.ids[0]))
            found = table->items[i];
    for (size_t i = 1; found && i < inquiry->asked.count; i++)
        if (!ocsp_ca_is_asked(&found->hashes, &inquiry->asked.ids[i]))
            return NULL;
    return found;
}

static bool is_named(const struct inquiry *inquiry)
{
    const struct ca_table *table = &inquiry->worker->table;

    for (size_t i = 0; i < table->count; i++)
        if (ca_is_named(table->items[i], inquiry->path_id))
            return true;
    return false;
}

/* Nobody made a key and a certificate for it yet: the job does within seconds. */
static bool not_ready(struct inquiry *inquiry)
{
    inquiry->worker->counters.counts[COUNT_SIGNING_FAILED]++;
    db_wake(inquiry->request->db, "ocsp-presign");
    return inquiry_error(inquiry, 200, OCSP_ERROR_TRY_LATER, NOT_READY_S);
}

static bool too_many_unknown(struct inquiry *inquiry)
{
    struct pki_worker *worker = inquiry->worker;
    const int64_t second = clock_monotonic_us() / 1000000;

    if (worker->unknown_second != second) {
        worker->unknown_second = second;
        worker->unknown_count = 0;
    }
    return ++worker->unknown_count > UNKNOWN_A_SECOND;
}

static void keep(struct inquiry *inquiry, const struct standing *standing, struct bytes der,
                 const struct ocsp_answer *answer)
{
    const struct ocsp_cert_id *id = &inquiry->asked.ids[0];
    const struct ocsp_row row = {
        .issuer_id = inquiry->ca->issuer_id,
        .serial = standing->serial,
        .hash = ocsp_hash_text(id->hash, id->null_parameters),
        .ca_id = inquiry->ca->id,
        .responder_serial = inquiry->ca->signer->serial,
        .der = der,
        .status = standing->single.status,
        .this_update = answer->this_update,
        .next_update = answer->next_update,
    };

    row_cache_keep(&inquiry->worker->rows, &row);
}

static bool answer_now(struct inquiry *inquiry, const struct standing *standings,
                       struct fault *fault)
{
    struct ocsp_single singles[OCSP_IDS_MAX];
    struct ocsp_answer answer = {
        .singles = singles,
        .count = inquiry->asked.count,
        .nonce = inquiry->asked.nonce,
    };
    struct bytes der;

    for (size_t i = 0; i < answer.count; i++)
        singles[i] = standings[i].single;
    ocsp_answer_date(&answer, inquiry->ca->signer, clock_now_s(),
                     inquiry->request->settings->ocsp_response_validity_ms / 1000);
    if (!ocsp_answer_sign(inquiry->request, inquiry->ca->signer, &answer, &der, fault)) {
        inquiry->worker->counters.counts[COUNT_SIGNING_FAILED]++;
        return false;
    }
    if (answer.nonce.size > 0)
        inquiry->worker->counters.counts[COUNT_NONCE_ECHOED]++;
    if (inquiry->canonical && !inquiry->short_serial)
        keep(inquiry, standings, der, &answer);
    return inquiry_answer(inquiry, der, &answer, standings[0].single.status != OCSP_UNKNOWN);
}

static bool answer_stored(struct inquiry *inquiry, const struct standing *standing)
{
    const struct ocsp_answer answer = {.this_update = standing->stored_this_update,
                                       .next_update = standing->stored_next_update};

    inquiry->worker->counters.counts[COUNT_CACHE_HIT]++;
    return inquiry_answer(inquiry, standing->stored, &answer, true);
}

/* The short form is answered with the CertID that everybody understands (04 section 10.4). */
static bool short_cert_id(struct inquiry *inquiry, struct standing *standing)
{
    struct ocsp_cert_id *id = &inquiry->asked.ids[0];

    if (!standing->serial ||
        !ocsp_cert_id_of(inquiry->request, &inquiry->ca->hashes, standing->serial, id))
        return false;
    standing->single.cert_id = id->whole;
    return true;
}

static bool answer(struct inquiry *inquiry, struct fault *fault)
{
    struct standing standings[OCSP_IDS_MAX] = {0};
    bool unknown = false;

    for (size_t i = 0; i < inquiry->asked.count; i++) {
        const struct ocsp_cert_id *id = &inquiry->asked.ids[i];
        if (!standing_read(inquiry, id, &standings[i], fault))
            return false;
        unknown = unknown || standings[i].single.status == OCSP_UNKNOWN;
    }
    if (unknown) {
        inquiry->worker->counters.counts[COUNT_CERT_NOT_FOUND]++;
        if (too_many_unknown(inquiry))
            return over_limit(inquiry, 0);
    }
    if (standings[0].stored.size > 0)
        return answer_stored(inquiry, &standings[0]);
    if (!inquiry->ca || !inquiry->ca->signer)
        return not_ready(inquiry);
    if (inquiry->short_serial && !short_cert_id(inquiry, &standings[0]))
        return fault_set(fault, INTERNAL, NULL, "the serial is no number");
    inquiry->worker->counters.counts[COUNT_CACHE_MISS]++;
    return answer_now(inquiry, standings, fault);
}

/* What replaces kept answers has the address "unix:" in nginx, whose socket has none, and in
 * Apache, which is told to say so. A limit would leave an old answer in place. */
static bool is_refresh(const struct request *request)
{
    return text_equal(request->remote_addr, "unix:");
}

/* Issuer, then address: what they cost is bounded by the table of CAs and by the limit itself. */
static bool admitted(struct inquiry *inquiry, bool *ret_answered, struct fault *fault)
{
    const struct settings *settings = inquiry->request->settings;
    int64_t wait_s = 0;

    *ret_answered = false;
    if (!ca_table_refresh(inquiry->request, fault))
        return false;
    if (!is_named(inquiry)) {
        inquiry->worker->counters.counts[COUNT_ISSUER_NOT_FOUND]++;
        return issuer_refuse(inquiry->request, inquiry->path_id, "OCSP", fault);
    }
    if (!is_refresh(inquiry->request) &&
        !limit_take(&inquiry->worker->limit, inquiry->request->db, inquiry->request->remote_addr,
                    settings->ocsp_rate_limit_per_ip_min, &wait_s, fault))
        return false;
    if (wait_s > 0)
        *ret_answered = over_limit(inquiry, LIMITED_S);
    return true;
}

static bool answer_request(struct inquiry *inquiry, struct bytes der, struct fault *fault)
{
    switch (ocsp_request_read(der, &inquiry->asked)) {
    case OCSP_MALFORMED:
        reject_count(inquiry, COUNT_REQUEST_INVALID);
        return inquiry_error(inquiry, 400, OCSP_ERROR_MALFORMED, 0);
    case OCSP_NONCE_MALFORMED:
        reject_count(inquiry, COUNT_NONCE_MALFORMED);
        return inquiry_error(inquiry, 200, OCSP_ERROR_MALFORMED, 0);
    case OCSP_READ:
        break;
    }
    inquiry->ca = ca_asked(inquiry);
    if (!inquiry->ca) {
        reject_count(inquiry, COUNT_REQUEST_INVALID);
        return inquiry_error(inquiry, 200, OCSP_ERROR_UNAUTHORIZED, 0);
    }
    inquiry->canonical = inquiry->canonical && inquiry->asked.bare &&
                         inquiry->asked.ids[0].hash <= OCSP_SHA256 &&
                         inquiry->asked.ids[0].serial.size > 0 &&
                         text_equal(inquiry->path_id, inquiry->ca->issuer_id);
    return answer(inquiry, fault);
}

static struct inquiry inquiry_of(struct request *request, struct response *response)
{
    return (struct inquiry){
        .request = request,
        .response = response,
        .worker = pki_worker_of(request),
        .path_id = request_captured(request, "issuer"),
    };
}

static bool contains_nocase(const char *text, const char *part)
{
    for (; *text; text++)
        if (strncasecmp(text, part, strlen(part)) == 0)
            return true;
    return false;
}

bool show_ocsp_post(struct request *request, struct response *response, struct fault *fault)
{
    struct inquiry inquiry = inquiry_of(request, response);
    bool answered = false;

    inquiry.worker->counters.counts[COUNT_REQUEST_POST]++;
    inquiry.canonical = true;
    if (request->content_type && !contains_nocase(request->content_type, "ocsp-request")) {
        reject_count(&inquiry, COUNT_REQUEST_INVALID);
        return fault_set(fault, MEDIA_TYPE_WRONG, NULL,
                         "Content-Type must be application/ocsp-request, got %s",
                         text_quote(request, request->content_type));
    }
    if (!admitted(&inquiry, &answered, fault))
        return false;
    return answered || answer_request(&inquiry, request->body, fault);
}

/* base64 as clients write it: either alphabet, with or without padding, '+' that became a space
 * (RFC 6960 appendix A.1 escapes it, browsers of the path do not all). */
static bool tail_to_der(struct inquiry *inquiry, const char *tail, struct bytes *ret_der)
{
    char *text = mem_text(inquiry->request, tail + strspn(tail, "/"));
    size_t length = strlen(text);

    for (char *at = text; *at; at++) {
        *at = *at == '-' || *at == ' ' ? '+' : *at == '_' ? '/' : *at;
        if (*at == '\t' || *at == '\n' || *at == '\r')
            return false;
    }
    while (length > 0 && text[length - 1] == '=')
        text[--length] = '\0';
    for (; length % 4 != 0; length++)
        text = mem_append(text, "=");
    if (!base64_to_bytes(inquiry->request, text, length, ret_der))
        return false;
    /* What the web server keeps it under is the decoded path: only the usual spelling can be named
     * later. */
    inquiry->canonical = text_equal(tail, text);
    return true;
}

static bool is_short(const char *tail)
{
    const char *digits = text_starts(tail, "0x") ? tail + 2 : tail;

    return *digits != '\0' && digits[strspn(digits, "0123456789abcdefABCDEF:")] == '\0';
}

static bool answer_short(struct inquiry *inquiry, const char *tail, struct fault *fault)
{
    const char *serial = NULL;

    if (!serial_canonical(inquiry->request, tail, &serial) ||
        strlen(serial) > 2 * OCSP_SERIAL_MAX) {
        reject_count(inquiry, COUNT_REQUEST_INVALID);
        return inquiry_error(inquiry, 400, OCSP_ERROR_MALFORMED, 0);
    }
    inquiry->short_serial = serial;
    inquiry->asked.ids[0] = (struct ocsp_cert_id){.hash = OCSP_SHA1, .null_parameters = true};
    inquiry->asked.count = 1;
    inquiry->canonical = text_equal(tail, serial);
    for (size_t i = 0; i < inquiry->worker->table.count && inquiry->canonical; i++)
        if (ca_is_named(inquiry->worker->table.items[i], inquiry->path_id))
            inquiry->canonical = text_equal(inquiry->worker->table.items[i]->issuer_id,
                                            inquiry->path_id);
    return answer(inquiry, fault);
}

bool show_ocsp_get(struct request *request, struct response *response, struct fault *fault)
{
    struct inquiry inquiry = inquiry_of(request, response);
    char *tail = mem_text(request, request_captured(request, "request"));
    struct bytes der;
    bool answered = false;

    inquiry.worker->counters.counts[COUNT_REQUEST_GET]++;
    if (*tail == '\0')
        return show_ocsp_nothing(request, response, fault);
    if (!admitted(&inquiry, &answered, fault))
        return false;
    if (answered)
        return true;
    const bool readable = strlen(tail) <= TAIL_MAX && web_percent_decode(tail);
    if (readable && is_short(tail))
        return answer_short(&inquiry, tail, fault);
    if (!readable || !tail_to_der(&inquiry, tail, &der)) {
        reject_count(&inquiry, COUNT_REQUEST_INVALID);
        return inquiry_error(&inquiry, 400, OCSP_ERROR_MALFORMED, 0);
    }
    return answer_request(&inquiry, der, fault);
}

bool show_ocsp_nothing(struct request *request, struct response *response, struct fault *fault)
{
    (void)request;
    (void)response;
    return fault_set(fault, INPUT_MALFORMED, NULL, "Issuer ID and serial number are required");
}
