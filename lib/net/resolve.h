/* lib/net/resolve.h: questions to DNS, many at once, without waiting (01 section 11.3, libunbound).
 *
 * The caller's loop waits for resolver_fd to become readable and calls resolver_work, which calls
 * back. Answers are never remembered: a second try sees a new record. */
#ifndef CERTCTL_NET_RESOLVE_H
#define CERTCTL_NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/text.h"

struct resolver;

enum dns_type { DNS_A = 1, DNS_TXT = 16, DNS_AAAA = 28, DNS_CAA = 257 };

/* "off": signatures are not looked at. "permissive": what is signed must hold, by the root's key in
 * RESOLVER_ROOT_KEY; without that file as "off". "require": what is not signed is refused too; the
 * file must be there. Names for private use (test., home.arpa., internal.) are never signed. */
#define RESOLVER_ROOT_KEY "/usr/share/dns/root.key"

/* `forwarders`: address:port each, IPv6 in brackets, the port may be missing; none: those of the
 * system's resolv.conf; the one word "recursive": ask the authoritative servers. SETTING_INVALID
 * names `setting`; INTERNAL when libunbound fails. On ctx; freeing it drops open questions. */
struct resolver *resolver_new(TALLOC_CTX *ctx, const char *setting,
                              const struct text_list *forwarders, const char *dnssec,
                              struct fault *fault);
/* "permissive" without the root's key: nothing is checked, and somebody should be told. */
bool resolver_lacks_root_key(const struct resolver *resolver);
/* As it was configured, for records: "192.0.2.53:53", "system" or "recursive". */
const char *resolver_name(const struct resolver *resolver);
int resolver_fd(const struct resolver *resolver);
void resolver_work(struct resolver *resolver);

/* What came back; gone after the call. `fault` has reason REASON_NONE exactly when there are
 * records; else NET_DNS with name and rcode. `absent`: the name or the type does not exist,
 * as opposed to servers that failed. */
struct dns_answer {
    enum dns_type type;
    const struct bytes *records; /* RDATA */
    size_t count;
    bool absent;
    bool cut; /* there are more records than these */
    struct fault fault;
};
typedef void dns_done(void *context, const struct dns_answer *answer);

struct dns_question;
/* CNAMEs are followed. Freeing the question (it hangs on ctx) drops it without a call; after the
 * call it is over, and done is called once. NULL with the fault: it could not be asked. */
struct dns_question *resolver_ask(TALLOC_CTX *ctx, struct resolver *resolver, const char *name,
                                  enum dns_type type, dns_done *done, void *context,
                                  struct fault *fault);

#endif
