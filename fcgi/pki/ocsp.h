/* fcgi/pki/ocsp.h: one OCSP request on its way to its answer; the responder's own. */
#ifndef CERTCTL_FCGI_PKI_OCSP_H
#define CERTCTL_FCGI_PKI_OCSP_H

#include "pki.h"

struct inquiry {
    struct request *request;
    struct response *response;
    struct pki_worker *worker;
    const char *path_id; /* as the path names issuer or CA */
    struct ocsp_request asked;
    const char *short_serial; /* the short form of GET: no request, but this */
    bool canonical;      /* one of the requests that the edge can name later (04 section 11.2) */
    const struct ca *ca; /* whom all CertIDs mean */
};

/* What is known of one certificate. */
struct standing {
    const char *serial;
    struct ocsp_single single;
    bool known;
    struct bytes stored; /* an answer that is still true; size 0: none */
    int64_t stored_this_update;
    int64_t stored_next_update;
};

/* One statement. For the short form *ca is chosen here: the one that issued, else who issues. */
bool standing_read(struct inquiry *inquiry, const struct ocsp_cert_id *id,
                   struct standing *ret_standing, struct fault *fault);

/* The three ways out; each returns true. inquiry_answer: 10.5, from bytes made now or before. */
bool inquiry_error(struct inquiry *inquiry, unsigned status, enum ocsp_error error,
                   unsigned retry_after_s);
bool inquiry_answer(struct inquiry *inquiry, struct bytes der, const struct ocsp_answer *answer,
                    bool may_be_kept);

#endif
