/* tests/unit/jose/libjose.h: what the tests hold us against. libjose declares it in <jose/jwk.h>
 * and <jose/jws.h>, which our own headers of the same path hide. */
#ifndef CERTCTL_TESTS_JOSE_LIBJOSE_H
#define CERTCTL_TESTS_JOSE_LIBJOSE_H

#include <jansson.h>
#include <jose/cfg.h>
#include <stdbool.h>

/* RFC 7638: a JSON string, or NULL. */
json_t *jose_jwk_thp(jose_cfg_t *cfg, const json_t *jwk, const char *alg);
/* `sig` NULL: the one inside `jws`. */
bool jose_jws_ver(jose_cfg_t *cfg, const json_t *jws, const json_t *sig, const json_t *jwk,
                  bool all);

#endif
