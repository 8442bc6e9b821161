/* lib/pki/crl_memory.h: a TBSCertList as it grows, in memory that can be sealed and handed over.
 *
 * The signer reads the same pages (04 section 4.0), so a list exists once, whatever its size. */
#ifndef CERTCTL_PKI_CRL_MEMORY_H
#define CERTCTL_PKI_CRL_MEMORY_H

#include "pki/crl.h"
#include "pki/crl_entry.h"

struct crl_memory;

/* A talloc object that lets the memory go. FILE_FAILED when the system gives none. */
struct crl_memory *crl_memory_new(TALLOC_CTX *ctx, struct fault *fault);
/* One entry: `der` as it was encoded when it was revoked, or (size 0) encoded from `entry` now.
 * INTERNAL: the entry cannot be encoded, the list grows above CRL_TBS_MAX, or writing failed. */
bool crl_memory_add(struct crl_memory *memory, struct bytes der, const struct crl_entry *entry,
                    struct fault *fault);
/* Puts the frame around the entries and seals it all. *ret_tbs lives as long as the memory. */
bool crl_memory_seal(struct crl_memory *memory, const struct crl_head *head, struct bytes *ret_tbs,
                     struct fault *fault);
/* The memfd, for the signer; still the memory's own. */
int crl_memory_fd(const struct crl_memory *memory);
size_t crl_memory_count(const struct crl_memory *memory);

#endif
