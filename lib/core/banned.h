/* lib/core/banned.h: what we never want to see again. Included last by every .c file of ours.
 *
 * Names that are members of somebody's struct (time, free, system) are banned as function-like
 * macros, since poison would hit the members too; the others are poisoned outright. */
#ifndef CERTCTL_CORE_BANNED_H
#define CERTCTL_CORE_BANNED_H

/* A use expands to a name nobody declared, which says what to do instead. */
#define malloc(...)       banned_malloc_use_talloc(__VA_ARGS__)
#define calloc(...)       banned_calloc_use_talloc(__VA_ARGS__)
#define realloc(...)      banned_realloc_use_talloc(__VA_ARGS__)
#define free(...)         banned_free_use_talloc(__VA_ARGS__)
#define time(...)         banned_time_use_core_clock(__VA_ARGS__)
#define system(...)       banned_system_use_exec(__VA_ARGS__)
#define rand(...)         banned_rand_use_core_random(__VA_ARGS__)
#define random(...)       banned_random_use_core_random(__VA_ARGS__)
#define json_pack(...)    banned_json_pack(__VA_ARGS__)
#define json_unpack(...)  banned_json_unpack(__VA_ARGS__)
#define PKCS7_verify(...) banned_PKCS7_verify_use_CMS(__VA_ARGS__)

/* clang complains when a name that it poisons is a macro of the hardened C library. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strtok
#undef sprintf
#undef vsprintf
#undef atoi
#undef atol
#undef strtol
#pragma GCC poison strcpy strcat strncpy sprintf vsprintf strtok atoi atol strtol gmtime localtime
#pragma GCC poison popen PQexec X509V3_EXT_conf_nid

#endif
