/* lib/pki/profile_private.h: what the files about profiles share. */
#ifndef CERTCTL_PKI_PROFILE_PRIVATE_H
#define CERTCTL_PKI_PROFILE_PRIVATE_H

#include <jansson.h>

#include "pki/profile.h"

/* PROFILE_UNAVAILABLE: "profile <field> <rule>". Returns NULL. */
void *profile_unavailable(struct fault *fault, const char *field, const char *rule);
/* The column's array; no text means an empty one. A new reference. */
json_t *profile_array(const char *json, const char *field, struct fault *fault);

#endif
