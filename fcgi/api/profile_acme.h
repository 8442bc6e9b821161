/* fcgi/api/profile_acme.h: the member `acme` of a profile, its ACME settings (01 section 4.2). */
#ifndef CERTCTL_FCGI_API_PROFILE_ACME_H
#define CERTCTL_FCGI_API_PROFILE_ACME_H

#include "resource/write.h"

/* The settings as they are stored, an expression on the profile t; NULL: all are the defaults. */
#define PROFILE_ACME_STORED                                                                        \
    "(SELECT s.settings FROM acme_profile_settings s WHERE s.profile_id = t.id)"

/* Drops nulls of a POST's or PUT's object: there they say nothing, as elsewhere in a body. */
void profile_acme_adapt(const struct request *request, json_t *body);

/* Judges each setting by itself. */
field_check profile_acme_check;

/* What the settings and the profile's mode say together. `row` is the whole profile. */
void profile_acme_check_mode(const json_t *row, struct fault_list *problems);

/* Whether whoever asks has a say over each profile that orders may select from now on. A profile
 * outside of it is as one that is not there (DATABASE_REFERENCE). */
bool profile_acme_may_name(const struct resource_change *change, struct fault *fault);

/* Whether they are there, until the commit; a profile that orders of another one may select is not
 * deleted. INPUT_INVALID, DATABASE_REFERENCE, RESOURCE_IN_USE. */
bool profile_acme_refer(const struct resource_change *change, struct fault *fault);

/* Stores the settings of the change's row, or removes them where they are null. A row without the
 * member, of an edit that was asked for before there was one, leaves them alone. */
bool profile_acme_store(const struct resource_change *change, struct fault *fault);

#endif
