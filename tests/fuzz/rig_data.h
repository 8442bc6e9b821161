/* tests/fuzz/rig_data.h: what the rigs of the fuzz targets know. Fixed, so that an input says
 * tomorrow what it says today. */
#ifndef CERTCTL_TESTS_FUZZ_RIG_DATA_H
#define CERTCTL_TESTS_FUZZ_RIG_DATA_H

/* January 2027: when it is, in the rigs. */
#define RIG_NOW_S INT64_C(1800000000)

extern const char rig_account_key[];
extern const char rig_account_public[];
/* Of the CA "CN=Fuzz CA" and of the leaf www.example.com, api.example.com. */
extern const char rig_ca_key[];
extern const char rig_ca_pem[];
extern const char rig_ca_hex[];
extern const char rig_ca_subject_hex[];
extern const char rig_ca_ski_hex[];
extern const char rig_leaf_pem[];
#define RIG_LEAF_SERIAL "1234567890abcdef1234567890abcdef"

#endif
