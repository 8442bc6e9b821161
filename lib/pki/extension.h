/* lib/pki/extension.h: the parts of a TBSCertificate, each written by one function; for compose.c
 * alone. All write backwards (der.h): call them from the last part to the first. */
#ifndef CERTCTL_PKI_EXTENSION_H
#define CERTCTL_PKI_EXTENSION_H

#include "pki/compose.h"
#include "pki/der.h"

#define USAGE_KEY_CERT_SIGN 32u
#define USAGE_CRL_SIGN      64u
#define KEY_ID_SIZE         20

/* Name: one RDN per attribute. The attributes have been checked. */
void put_name(struct der_writer *to, const struct rdn *rdns, size_t count);
void put_signature_algorithm(struct der_writer *to, enum signature_algorithm algorithm);
/* RFC 7093 section 2, method 1. `spki` has been walked before. */
void key_identifier(struct bytes spki, uint8_t ret_id[KEY_ID_SIZE]);

/* path_len -1: none; a leaf is written as an empty SEQUENCE. */
void put_basic_constraints(struct der_writer *to, bool is_ca, int path_len);
void put_key_usage(struct der_writer *to, unsigned usage);
/* Critical where time stamping is alone (RFC 3161 section 2.3). */
void put_ekus(struct der_writer *to, unsigned ekus);
void put_subject_key_id(struct der_writer *to, struct bytes id);
void put_authority_key_id(struct der_writer *to, struct bytes id);
/* Non-critical (RFC 5280 section 5.2.3). */
void put_crl_number(struct der_writer *to, uint64_t number);
void put_names(struct der_writer *to, const struct name_list *names, bool critical);
/* Nothing is written for empty lists. */
void put_authority_info(struct der_writer *to, const struct text_list *ocsp_urls,
                        const struct text_list *ca_issuers_urls);
void put_crl_points(struct der_writer *to, const struct text_list *urls);
void put_must_staple(struct der_writer *to);
void put_no_rev_avail(struct der_writer *to);
/* OCSPSigning, which no bit of a leaf can ask for, and id-pkix-ocsp-nocheck (RFC 6960 section
 * 4.2.2.2). */
void put_ocsp_signing(struct der_writer *to);
void put_policies(struct der_writer *to, const struct text_list *oids);
/* Critical (RFC 5280 section 4.2.1.10). */
void put_name_constraints(struct der_writer *to, const struct text_list *permitted_dns,
                          const struct text_list *excluded_dns);

#endif
