/* lib/lifecycle/issue.c: check, sign, commit once (04 section 6, 00 decision 7). */
#include "lifecycle/issue.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "lifecycle/discard.h"
#include "pki/certificate.h"
#include "pki/lint.h"

#include "core/banned.h"

/* RFC 5280 appendix A.1, ub-common-name. */
#define COMMON_NAME_MAX 64
#define COMMON_NAME_OID "2.5.4.3"
/* A serial that is known already is drawn again by the signer. */
#define SERIAL_TRIES 3

struct issue_grant {
    const char *order_id;
    const char *account_id;
    const char *certificate_name; /* managed_certificates.name */
    const char *source;           /* managed_certificates.source */
    const char *action;           /* of the audit row */
    const char *trigger;          /* jobs.trigger, where it has to wait; NULL: it cannot */
    const char *job_id;           /* the job that issues, and who claimed it; or NULL */
    const char *worker;
    const char *certificate_id; /* of the job: its row is there already */
    bool approved;
    struct name_list names;
};

STATEMENT(
    issuance_commit,
    "SELECT issuance_commit($1, $2::timestamptz, $3, $4, $5, $6::bigint, $7, $8::bigint, $9, $10, "
    "$11, $12::text[], $13, $14, $15, $16, $17, $18, $19, $20::timestamptz, $21::timestamptz, "
    "$22, $23, $24::boolean, $25, $26, $27::bytea, $28, $29::integer, $30, $31, $32, "
    "$33::jsonb, $34::inet, $35, $36, $37) AS outcome");

STATEMENT(issuance_wait,
          "SELECT issuance_park($1, $2::timestamptz, $3, $4, $5, $6::bigint, $7, $8, $9, "
          "$10::text[], $11, $12, $13, $14, $15, $16, $17::bytea, $18, $19, $20, $21, $22, $23, "
          "$24, $25::inet, $26) AS outcome");

/* $1 audit, $2 actor, $3 order or NULL, $4 job or NULL, $5 profile, $6 details, $7 address, $8
 * request. */
STATEMENT(issuance_rejected,
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, source_ip, request_id) SELECT $1::text, $2::text, 'System', "
          "'certificate_issue_rejected', CASE WHEN $3::text IS NOT NULL THEN 'acme_order' "
          "WHEN $4::text IS NOT NULL THEN 'job' ELSE 'certificate_profile' END, "
          "coalesce($3::text, $4::text, $5::text), $6::text::jsonb, $7::text::inet, $8::text "
          "WHERE rl_take('rejected|' || coalesce($3::text, $4::text, $2::text), 20, '1 hour') = 0");

/* What one issuance carries from step to step. */
struct issuance {
    TALLOC_CTX *ctx;
    struct db *db;
    const struct settings *settings;
    const struct issue_request *request;
    const struct csr *csr;
    struct name_list names; /* of the certificate: the grant's, and what the profile mints */
    struct profile_subject subject;
    struct validity validity;
    struct certificate_wish wish;
    const char *common_name;
    struct text_list lint_warnings;
    const struct certificate_outline *certificate;
    const char *certificate_id;
    const char *version_id;
};

static bool identifier_add(TALLOC_CTX *ctx, struct name_list *names, const json_t *identifier)
{
    const char *type = json_text_at(identifier, "type");
    const char *value = json_text_at(identifier, "value");

    if (!type || !value)
        return false;
    name_list_add(ctx, names, text_equal(type, "ip") ? NAME_IP : NAME_DNS, mem_text(ctx, value));
    return true;
}

static bool identifiers_read(TALLOC_CTX *ctx, const char *text, struct name_list *names)
{
    AUTO(json_t) *list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    size_t index;
    json_t *identifier;

    if (!json_is_array(list))
        return false;
    json_array_foreach (list, index, identifier)
        if (!identifier_add(ctx, names, identifier))
            return false;
    return names->count > 0;
}

struct issue_grant *issue_grant_from_acme_order(TALLOC_CTX *ctx, const struct rows *rows,
                                                size_t row, const char *account_id,
                                                struct fault *fault)
{
    if (!text_equal(row_text(rows, row, "order_account_id"), account_id))
        return fault_set(fault, ACME_NOT_OWNER, NULL, "account does not own this resource");
    if (!text_equal(row_text(rows, row, "order_status"), "ready"))
        return fault_set(fault, ACME_ORDER_NOT_READY, NULL, "the order is %s, not ready",
                         row_text(rows, row, "order_status"));
    if (row_time(rows, row, "order_expires") <= clock_now_s())
        return fault_set(fault, ACME_ORDER_NOT_READY, NULL, "the order has expired");

    struct issue_grant *grant = mem_new(ctx, struct issue_grant);
    grant->order_id = mem_text(grant, row_text(rows, row, "order_id"));
    grant->account_id = mem_text(grant, account_id);
    grant->certificate_name = mem_printf(grant, "acme-%s", grant->order_id);
    grant->source = "ACME";
    grant->action = "acme_order_finalized";
    grant->trigger = "acme";
    if (!identifiers_read(grant, row_text(rows, row, "order_identifiers"), &grant->names)) {
        talloc_free(grant);
        return fault_set(fault, INTERNAL, NULL, "the order's identifiers cannot be read");
    }
    return grant;
}

static bool site_name_add(TALLOC_CTX *ctx, struct name_list *names, const char *text,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *value = NULL;

    if (name_ip_normalise(scratch, text, &value, fault)) {
        name_list_add(ctx, names, NAME_IP, mem_text(ctx, value));
        return true;
    }
    if (!name_dns_normalise(scratch, text, NAME_ALLOW_WILDCARD | NAME_ALLOW_SINGLE_LABEL, &value,
                            fault)) {
        fault->reason = SETTING_INVALID;
        fault->field = "CERTCTL_SITE_CERT_NAMES";
        return false;
    }
    name_list_add(ctx, names, NAME_DNS, mem_text(ctx, value));
    return true;
}

struct issue_grant *issue_grant_for_site(TALLOC_CTX *ctx, const struct settings *settings,
                                         struct fault *fault)
{
    struct issue_grant *grant = mem_new(ctx, struct issue_grant);
    const struct text_list *names = &settings->site_cert_names;

    grant->certificate_name = mem_printf(grant, "site-%.64s-%s", settings->node_id,
                                         id_new(grant, "at"));
    grant->source = "";
    grant->action = "site_certificate_issued";
    for (size_t i = 0; i < names->count; i++) {
        if (site_name_add(grant, &grant->names, names->items[i], fault))
            continue;
        talloc_free(grant);
        return NULL;
    }
    if (grant->names.count > 0)
        return grant;
    talloc_free(grant);
    return fault_set(fault, SETTING_INVALID, "CERTCTL_SITE_CERT_NAMES", "no name is set");
}

/* 05 section 3.3. Names are stored without their types, which their forms tell apart. */
static enum name_kind kind_of(TALLOC_CTX *ctx, const char *san)
{
    struct fault ignored = {0};
    const char *value = NULL;

    if (name_ip_normalise(ctx, san, &value, &ignored))
        return NAME_IP;
    if (strchr(san, ':'))
        return NAME_URI;
    return strchr(san, '@') ? NAME_EMAIL : NAME_DNS;
}

/* As they were granted: normalised. */
static void job_names_read(struct issue_grant *grant, const struct text_list *sans)
{
    for (size_t i = 0; i < sans->count; i++)
        name_list_add(grant, &grant->names, kind_of(grant, sans->items[i]),
                      mem_text(grant, sans->items[i]));
}

struct issue_grant *issue_grant_from_job(TALLOC_CTX *ctx, const struct rows *rows,
                                         const char *worker, struct fault *fault)
{
    const struct text_list sans = row_texts(ctx, rows, 0, "sans");

    if (!row_null(rows, 0, "order_id") && !text_equal(row_text(rows, 0, "account_status"), "valid"))
        return fault_set(fault, ACME_ACCOUNT_STATE, NULL, "the account is not valid any more");
    struct issue_grant *grant = mem_new(ctx, struct issue_grant);
    grant->order_id = mem_text(grant, row_text(rows, 0, "order_id"));
    grant->account_id = mem_text(grant, row_text(rows, 0, "order_account_id"));
    grant->job_id = mem_text(grant, row_text(rows, 0, "job_id"));
    grant->worker = mem_text(grant, worker);
    grant->certificate_id = mem_text(grant, row_text(rows, 0, "certificate_id"));
    grant->approved = row_bool(rows, 0, "approved");
    grant->action = grant->order_id ? "acme_order_finalized" : "renewal_job_completed";
    job_names_read(grant, &sans);
    return grant;
}

const struct name_list *issue_grant_names(const struct issue_grant *grant)
{
    return &grant->names;
}

/* A common name is one more name of the request: an address or a DNS name (01 section 10.1). */
static bool common_name_of(struct issuance *issuance, struct name *ret_name, struct fault *fault)
{
    const char *text = issuance->csr->common_name;
    struct fault ignored = {0};
    const char *value = NULL;

    if (name_ip_normalise(issuance->ctx, text, &value, &ignored)) {
        *ret_name = (struct name){NAME_IP, value};
        return true;
    }
    if (!name_dns_normalise(issuance->ctx, text, NAME_ALLOW_WILDCARD | NAME_ALLOW_SINGLE_LABEL,
                            &value, &ignored))
        return fault_set(fault, CSR_NAMES_DIFFER, "csr",
                         "the CSR's common name %s is none of the order's identifiers",
                         text_quote(issuance->ctx, text));
    *ret_name = (struct name){NAME_DNS, value};
    return true;
}

/* Both directions, since a count comparison lets duplicates smuggle a name in. What the profile
 * mints need not be asked for: a job's row has it. */
static bool names_equal_grant(struct issuance *issuance, struct fault *fault)
{
    const struct name_list *granted = &issuance->request->grant->names;
    struct name_list asked = {0};
    struct name common_name = {NAME_DNS, NULL};

    for (size_t i = 0; i < issuance->csr->names.count; i++) {
        const struct name *name = &issuance->csr->names.items[i];

        if (name->kind != NAME_DNS && name->kind != NAME_IP)
            return fault_set(fault, CSR_NAMES_DIFFER, "csr",
                             "the CSR holds a name of type %s; only dns and ip are served",
                             name_kind_text(name->kind));
        name_list_add(issuance->ctx, &asked, name->kind, name->value);
    }
    if (issuance->csr->common_name) {
        if (!common_name_of(issuance, &common_name, fault))
            return false;
        name_list_add(issuance->ctx, &asked, common_name.kind, common_name.value);
    }
    for (size_t i = 0; i < asked.count; i++)
        if (!name_list_has(granted, &asked.items[i]))
            return fault_set(fault, CSR_NAMES_DIFFER, "csr",
                             "the CSR asks for %s, which the order does not",
                             text_quote(issuance->ctx, asked.items[i].value));
    for (size_t i = 0; i < granted->count; i++)
        if (!name_list_has(&asked, &granted->items[i]) &&
            !profile_mints(issuance->request->profile, &granted->items[i]))
            return fault_set(fault, CSR_NAMES_DIFFER, "csr",
                             "the order asks for %s, which the CSR does not",
                             text_quote(issuance->ctx, granted->items[i].value));
    return true;
}

/* Asked extensions that we know and either take over or ignore; others could mean anything. */
static bool extensions_known(const struct issuance *issuance, struct fault *fault)
{
    static const char *const known[] = {
        "2.5.29.15",          /* keyUsage */
        "2.5.29.37",          /* extKeyUsage */
        "2.5.29.19",          /* basicConstraints */
        "2.5.29.14",          /* subjectKeyIdentifier */
        "1.3.6.1.5.5.7.1.24", /* tlsfeature */
    };
    const struct text_list *asked = &issuance->csr->extensions;

    if (issuance->csr->asks_ca)
        return fault_set(fault, CSR_EXTENSION, "csr", "the CSR asks for a CA certificate");
    for (size_t i = 0; i < asked->count; i++) {
        bool found = false;

        for (size_t k = 0; k < ARRAY_SIZE(known); k++)
            found = found || text_equal(asked->items[i], known[k]);
        if (!found)
            return fault_set(fault, CSR_EXTENSION, "csr",
                             "the CSR asks for extension %s, which is not served", asked->items[i]);
    }
    return true;
}

/* The names of the certificate that will be, held against the profile. */
static bool names_allowed(struct issuance *issuance, struct fault *fault)
{
    const struct name_list *names = &issuance->request->grant->names;

    if (names->count > (size_t)issuance->settings->max_sans)
        return fault_set(fault, CSR_NAME_REJECTED, "csr", "%zu names; at most %lld are allowed",
                         names->count, (long long)issuance->settings->max_sans);
    return profile_names(issuance->ctx, issuance->request->profile, names,
                         issuance->csr->common_name, &issuance->names, fault);
}

/* Where the request has no common name, the first name is the common name too, if it fits and the
 * profile takes common names at all. */
static bool subject_decided(struct issuance *issuance, struct fault *fault)
{
    const struct profile *profile = issuance->request->profile;
    struct profile_subject *subject = &issuance->subject;

    issuance->common_name = issuance->csr->common_name ? issuance->csr->common_name
                            : issuance->names.items    ? issuance->names.items[0].value
                                                       : "";
    if (!profile_subject(issuance->ctx, profile, issuance->csr, &issuance->names, true, subject,
                         fault))
        return false;
    if (issuance->csr->common_name || strlen(issuance->common_name) > COMMON_NAME_MAX ||
        (profile->subject.limits && !text_list_has(&profile->subject.allowed, COMMON_NAME_OID)))
        return true;
    subject->rdns = mem_resize(issuance->ctx, subject->rdns, struct rdn, subject->count + 1);
    subject->rdns[subject->count++] = (struct rdn){COMMON_NAME_OID, RDN_UTF8,
                                                   issuance->common_name};
    return true;
}

static bool key_allowed(const struct issuance *issuance, struct fault *fault)
{
    const struct issue_request *request = issuance->request;

    if (!profile_check_key(request->profile, &issuance->csr->key, fault))
        return false;
    if (request->barred_key && EVP_PKEY_eq(request->barred_key, issuance->csr->pkey) == 1)
        return fault_set(fault, CSR_KEY_POLICY, "csr",
                         "the CSR's key is the account's own (RFC 8555 section 11.1)");
    return true;
}

static bool issuance_judge(struct issuance *issuance, struct fault *fault)
{
    const struct issue_request *request = issuance->request;
    const int64_t now_s = clock_now_s();

    issuance->csr = csr_from_der(issuance->ctx, request->csr_der, request->profile->allow_sha1_csr,
                                 fault);
    if (!issuance->csr)
        return false;
    if (!request->profile->enabled)
        return fault_set(fault, PROFILE_UNAVAILABLE, NULL, "profile is disabled");
    if (!key_allowed(issuance, fault) || !extensions_known(issuance, fault) ||
        !names_equal_grant(issuance, fault) || !names_allowed(issuance, fault) ||
        !subject_decided(issuance, fault))
        return false;
    if (request->ca && !ca_check(request->ca, now_s, fault))
        return false;
    return profile_validity(request->profile, request->issuer_validity_days,
                            issuance->settings->not_before_backdate_ms / 1000, now_s,
                            request->wished, &issuance->validity, fault);
}

/* The wish in the granted names' own order, so that the same request gives the same bytes. */
static void issuance_wish(struct issuance *issuance)
{
    const struct issue_request *request = issuance->request;
    const bool short_lived = profile_is_short_lived(request->profile);

    issuance->wish = (struct certificate_wish){
        .subject = issuance->subject.rdns,
        .subject_count = issuance->subject.count,
        .spki = issuance->csr->spki,
        .names = issuance->names,
        .key_usage = profile_key_usage(request->profile, &issuance->csr->key),
        .ekus = request->profile->ekus,
        .policies = request->profile->policy_oids,
        .must_staple = request->profile->must_staple && !short_lived,
        .short_lived = short_lived,
        .not_before = issuance->validity.not_before,
        .not_after = issuance->validity.not_after,
    };
}

/* What no certificate of this CA can hold: names are the asker's, all else is the profile's. */
static bool refuse_composition(struct fault *fault)
{
    if (fault->reason == SIGNER_REFUSED)
        fault->reason = text_equal(fault->field, "subject") || text_equal(fault->field, "names")
                            ? CSR_NAME_REJECTED
                            : PROFILE_UNAVAILABLE;
    return false;
}

/* What the signer will compose, before it is asked: the lints judge it (00 decision 50). */
static bool issuance_lint(struct issuance *issuance, struct fault *fault)
{
    static const uint8_t placeholder[CERTIFICATE_SERIAL_SIZE] = {[CERTIFICATE_SERIAL_SIZE - 1] = 1};
    const struct issuer_facts *facts = &issuance->request->ca->facts;
    struct bytes tbs;

    if (!certificate_compose(issuance->ctx, facts, &issuance->wish, placeholder, &tbs, fault))
        return refuse_composition(fault);
    return certificate_lint(issuance->ctx, tbs, facts, &issuance->lint_warnings, fault);
}

static bool issuance_sign(struct issuance *issuance, struct fault *fault)
{
    const struct issue_request *request = issuance->request;
    const struct issuer_ops *driver = issuer_find(request->issuer_type);
    const struct issuer_call call = {.ctx = issuance->ctx, .settings = issuance->settings};
    struct issuer_order order = {
        .wish = &issuance->wish, .ca = request->ca, .csr_der = request->csr_der};

    if (!driver || !(driver->offers & ISSUES_AT_ONCE))
        return fault_set(fault, ISSUER_UNAVAILABLE, NULL, "issuer %s cannot issue at once",
                         request->issuer_id);
    if (driver->submit(&call, &order, fault) != ISSUER_ISSUED)
        return false;
    struct certificate_outline *certificate = mem_new(issuance->ctx, struct certificate_outline);
    issuance->certificate = certificate;
    return certificate_outline_read(issuance->ctx, order.ret_der, certificate, fault);
}

static char *issuance_details(const struct issuance *issuance)
{
    AUTO(json_t) *details = json_object();

    json_set_text(details, "profile_id", issuance->request->profile->id);
    json_set_text(details, "certificate_id", issuance->certificate_id);
    json_set_text(details, "version_id", issuance->version_id);
    json_set_text(details, "serial", issuance->certificate->serial);
    json_set_text(details, "common_name", issuance->common_name);
    json_set_text(details, "spki_sha256", issuance->csr->spki_sha256);
    json_set_text(details, "job_id", issuance->request->grant->job_id);
    if (issuance->certificate->not_after < issuance->validity.not_after)
        json_set_bool(details, "truncated_by_ca", true);
    if (issuance->csr->must_staple && !issuance->request->profile->must_staple)
        json_set_bool(details, "must_staple_ignored", true);
    if (issuance->lint_warnings.count > 0)
        json_set_text(details, "lint",
                      text_list_join(issuance->ctx, &issuance->lint_warnings, "; "));
    return json_to_text(issuance->ctx, details);
}

static const char *chain_pem(const struct issuance *issuance)
{
    const char *leaf = pem_encode(issuance->ctx, "CERTIFICATE", issuance->certificate->der);

    return mem_printf(issuance->ctx, "%s%s", leaf, issuance->request->ca->chain_pem);
}

static struct text_list names_as_texts(const struct issuance *issuance)
{
    const struct name_list *names = &issuance->names;
    struct text_list texts = {0};

    for (size_t i = 0; i < names->count; i++)
        text_list_add(issuance->ctx, &texts, names->items[i].value);
    return texts;
}

static const char *issuance_store(struct issuance *issuance, struct fault *fault)
{
    const struct issue_request *request = issuance->request;
    const struct certificate_outline *certificate = issuance->certificate;
    TALLOC_CTX *ctx = issuance->ctx;
    const struct text_list sans = names_as_texts(issuance);
    uint8_t csr_sha256[DIGEST_SHA256_SIZE];

    digest_sha256(request->csr_der, csr_sha256);
    issuance->certificate_id = request->grant->certificate_id ? request->grant->certificate_id
                                                              : id_new(ctx, "mc");
    issuance->version_id = id_new(ctx, "cv");
    struct rows *rows = db_query(
        ctx, issuance->db, &issuance_commit, fault, TEXT(request->nonce),
        INSTANT(request->nonce_expires), TEXT(request->grant->order_id),
        TEXT(request->grant->account_id), TEXT(request->profile->id),
        INTEGER(request->profile->row_version), TEXT(request->ca->id),
        INTEGER(request->ca->row_version), TEXT(issuance->certificate_id),
        TEXT(request->grant->certificate_name), TEXT(issuance->common_name), TEXTS(&sans),
        TEXT(request->owner_id), TEXT(request->team_id), TEXT(request->issuer_id),
        TEXT(request->renewal_policy_id), TEXT(request->grant->source), TEXT(issuance->version_id),
        TEXT(certificate->serial), INSTANT(certificate->not_before),
        INSTANT(certificate->not_after), TEXT(certificate->fingerprint_sha256),
        TEXT(certificate->spki_sha256), BOOLEAN(issuance->wish.short_lived),
        TEXT(chain_pem(issuance)), TEXT(csr_to_pem(ctx, issuance->csr)),
        BYTEA(BYTES_OF(csr_sha256)), TEXT(certificate->key.algorithm),
        INTEGER(certificate->key.bits), TEXT(id_new(ctx, "audit")), TEXT(request->actor),
        TEXT(request->grant->action), TEXT(issuance_details(issuance)),
        TEXT(issuance->settings->audit_record_ip ? request->source_ip : NULL),
        TEXT(request->request_id), TEXT(request->grant->job_id), TEXT(request->grant->worker));
    return rows ? row_text(rows, 0, "outcome") : NULL;
}

/* Everything but the signature is known to be good. */
static const char *issuance_leave(struct issuance *issuance, enum issue_way way,
                                  struct fault *fault)
{
    const struct issue_request *request = issuance->request;
    const struct issue_grant *grant = request->grant;
    TALLOC_CTX *ctx = issuance->ctx;
    const struct text_list sans = names_as_texts(issuance);
    uint8_t csr_sha256[DIGEST_SHA256_SIZE];

    digest_sha256(request->csr_der, csr_sha256);
    issuance->certificate_id = id_new(ctx, "mc");
    struct rows *rows = db_query(
        ctx, issuance->db, &issuance_wait, fault, TEXT(request->nonce),
        INSTANT(request->nonce_expires), TEXT(grant->order_id), TEXT(grant->account_id),
        TEXT(request->profile->id), INTEGER(request->profile->row_version),
        TEXT(issuance->certificate_id), TEXT(grant->certificate_name), TEXT(issuance->common_name),
        TEXTS(&sans), TEXT(request->owner_id), TEXT(request->team_id), TEXT(request->issuer_id),
        TEXT(request->renewal_policy_id), TEXT(grant->source), TEXT(csr_to_pem(ctx, issuance->csr)),
        BYTEA(BYTES_OF(csr_sha256)), TEXT(way == WAY_CAA ? NULL : id_new(ctx, "job")),
        TEXT(way == WAY_APPROVAL ? id_new(ctx, "apr") : NULL), TEXT(grant->trigger),
        TEXT(request->actor), TEXT(id_new(ctx, "audit")), TEXT(id_new(ctx, "notif")),
        TEXT(id_new(ctx, "notif")),
        TEXT(issuance->settings->audit_record_ip ? request->source_ip : NULL),
        TEXT(request->request_id));
    return rows ? row_text(rows, 0, "outcome") : NULL;
}

static void issuance_throw_away(const struct issuance *issuance, const char *why)
{
    const struct issue_request *request = issuance->request;
    const struct discard discard = {
        .issuer_id = request->issuer_id,
        .ca_id = request->ca->id,
        .serial = issuance->certificate->serial,
        .spki_sha256 = issuance->csr->spki_sha256,
        .not_after = issuance->certificate->not_after,
        .actor = request->actor,
        .request_id = request->request_id,
        .why = why,
    };

    discard_signature(issuance->db, &discard);
}

static bool refuse_outcome(const char *outcome, struct fault *fault)
{
    if (text_equal(outcome, "stale"))
        return fault_set(fault, ISSUANCE_STALE, NULL, "profile or CA changed meanwhile");
    if (text_equal(outcome, "bad_nonce"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (text_equal(outcome, "unapproved"))
        return fault_set(fault, APPROVAL_PENDING, NULL, "this profile needs an approval");
    if (text_equal(outcome, "blocked"))
        return fault_set(fault, KEY_BLOCKED, "csr", "this key must not be certified again");
    fault_set(fault, INTERNAL, NULL, "the certificate could not be recorded");
    return fault_cause(fault, "issuance_commit: %s", outcome);
}

/* One signature and its commit. *ret_outcome is the database's word. */
static bool issuance_try(struct issuance *issuance, const char **ret_outcome, struct fault *fault)
{
    if (!issuance_sign(issuance, fault))
        return false;
    const char *outcome = issuance_store(issuance, fault);
    if (!outcome) { /* where it is not known whether it failed, the entry waits for the answer */
        issuance_throw_away(issuance, "commit failed");
        return false;
    }
    if (!text_equal(outcome, "issued"))
        issuance_throw_away(issuance, outcome);
    *ret_outcome = outcome;
    return true;
}

static bool refuse_to_wait(const struct issuance *issuance, enum issue_way way, struct fault *fault)
{
    if (way == WAY_APPROVAL)
        return fault_set(fault, APPROVAL_PENDING, NULL, "this profile needs an approval");
    return fault_set(fault, ISSUER_UNAVAILABLE, NULL, "issuer %s cannot issue at once",
                     issuance->request->issuer_id);
}

/* Who may wait does; the commit refuses the others once more. */
static bool issuance_wait_for(struct issuance *issuance, enum issue_way way,
                              struct issue_result *ret_result, struct fault *fault)
{
    if (!issuance->request->grant->trigger)
        return refuse_to_wait(issuance, way, fault);
    const char *outcome = issuance_leave(issuance, way, fault);
    if (!outcome)
        return false;
    *ret_result = (struct issue_result){.outcome = ISSUE_WAITING,
                                        .way = way,
                                        .csr = issuance->csr,
                                        .certificate_id = issuance->certificate_id};
    if (text_equal(outcome, "superseded"))
        ret_result->outcome = ISSUE_SUPERSEDED;
    else if (!text_equal(outcome, "waiting"))
        return refuse_outcome(outcome, fault);
    /* Also what waits for people: under CERTCTL_APPROVAL_BYPASS there is work. */
    db_wake(issuance->db, way == WAY_CAA ? "acme-finalize" : "job-processor");
    return true;
}

enum issue_way issue_way(const struct issue_request *request, unsigned offers)
{
    const struct issue_grant *grant = request->grant;

    if (request->caa_due && !grant->job_id)
        return WAY_CAA;
    if (request->profile->requires_approval && !grant->approved)
        return WAY_APPROVAL;
    return (offers & ISSUES_AT_ONCE) || grant->job_id ? WAY_HERE : WAY_QUEUE;
}

/* What is no driver of ours is refused when it comes to sign. */
static unsigned offers_of(const char *issuer_type)
{
    const struct issuer_ops *driver = issuer_find(issuer_type);

    return driver ? driver->offers : ISSUES_AT_ONCE;
}

/* A request that is refused for what it asks leaves a row (04 section 6.2); where nothing can be
 * issued, the log says why. The refusal stands whether or not the row could be written. Who repeats
 * it leaves twenty an hour. */
static bool issuance_refuse(const struct issuance *issuance, const struct fault *fault)
{
    const struct issue_request *request = issuance->request;
    const enum fault_kind kind = fault_reason_kind(fault->reason);
    AUTO(json_t) *details = NULL;
    struct fault unwritten = {0};

    if (kind == KIND_INTERNAL || kind == KIND_UNAVAILABLE || kind == KIND_UPSTREAM)
        return false;
    details = json_object();
    json_set_text(details, "code", fault_reason_slug(fault->reason));
    json_set_text(details, "detail", fault->detail);
    json_set_text(details, "profile_id", request->profile->id);
    json_set_text(details, "source", request->grant->source);
    json_set_text(details, "common_name", issuance->csr ? issuance->csr->common_name : NULL);
    json_set_text(details, "spki_sha256", issuance->csr ? issuance->csr->spki_sha256 : NULL);
    if (!db_query(issuance->ctx, issuance->db, &issuance_rejected, &unwritten,
                  TEXT(id_new(issuance->ctx, "audit")), TEXT(request->actor),
                  TEXT(request->grant->order_id), TEXT(request->grant->job_id),
                  TEXT(request->profile->id), TEXT(json_to_text(issuance->ctx, details)),
                  TEXT(issuance->settings->audit_record_ip ? request->source_ip : NULL),
                  TEXT(request->request_id)))
        log_message(LOG_WARN, "a refused issuance left no row: %s", unwritten.cause);
    return false;
}

bool lifecycle_issue(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                     const struct issue_request *request, struct issue_result *ret_result,
                     struct fault *fault)
{
    struct issuance issuance = {.ctx = ctx, .db = db, .settings = settings, .request = request};
    const unsigned offers = offers_of(request->issuer_type);
    const char *outcome = "serial";

    if (!request->ca && (offers & ISSUES_AT_ONCE))
        return fault_set(fault, ISSUER_UNAVAILABLE, NULL, "issuer %s has no active CA yet",
                         request->issuer_id);
    if (!issuance_judge(&issuance, fault))
        return issuance_refuse(&issuance, fault);
    issuance_wish(&issuance);
    if (request->ca && !issuance_lint(&issuance, fault))
        return issuance_refuse(&issuance, fault);
    const enum issue_way way = issue_way(request, offers);
    if (way != WAY_HERE)
        return issuance_wait_for(&issuance, way, ret_result, fault);
    for (int i = 0; i < SERIAL_TRIES && text_equal(outcome, "serial"); i++)
        if (!issuance_try(&issuance, &outcome, fault))
            return false;
    if (text_equal(outcome, "superseded")) {
        *ret_result = (struct issue_result){.outcome = ISSUE_SUPERSEDED, .csr = issuance.csr};
        return true;
    }
    if (!text_equal(outcome, "issued"))
        return refuse_outcome(outcome, fault);
    *ret_result = (struct issue_result){
        .outcome = ISSUE_DONE,
        .csr = issuance.csr,
        .certificate = issuance.certificate,
        .certificate_id = issuance.certificate_id,
        .version_id = issuance.version_id,
    };
    return true;
}
