/* tests/unit/jobs/ca_request.c: what an approval covers, and what it is worth (04 section 5.2). */

#include "lifecycle/ca_request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"

#include "place.h"

#include "core/banned.h"

static json_t *parse(const char *text)
{
    struct fault fault = {0};
    json_t *object = json_parse_object(bytes_of_text(text), INPUT_INVALID, "body", &fault);

    cr_assert_not_null(object, "%s: %s", text, fault.detail);
    return object;
}

Test(ca_request, canonical_fields_do_not_depend_on_the_order_of_members)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *one = parse("{\"b\": [2, 1], \"a\": {\"d\": \"x\", \"c\": true}}");
    AUTO(json_t) *two = parse("{\"a\":{\"c\":true,\"d\":\"x\"},\"b\":[2,1]}");
    const struct ca_request first = {"bootstrap", "iss-a", "alice", one};
    const struct ca_request second = {"bootstrap", "iss-a", "alice", two};
    const char *text = "{\"body\":{\"a\":{\"c\":true,\"d\":\"x\"},\"b\":[2,1]},"
                       "\"issuer_id\":\"iss-a\",\"kind\":\"bootstrap\",\"requested_by\":\"alice\"}";

    cr_expect_str_eq(ca_request_canonical(scratch, &first), text);
    cr_expect_str_eq(ca_request_canonical(scratch, &second), text);
    cr_expect_str_eq(ca_request_sha256(scratch, &first),
                     digest_sha256_hex(scratch, bytes_of_text(text)));
}

/* Each field counts: changed after the approval, the digest is another. */
Test(ca_request, digest_covers_every_field)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *body = parse("{\"root_days\":7300}");
    AUTO(json_t) *longer = parse("{\"root_days\":7301}");
    const struct ca_request cases[] = {
        {"bootstrap",    "iss-a", "alice", body  },
        {"create_child", "iss-a", "alice", body  },
        {"bootstrap",    "iss-b", "alice", body  },
        {"bootstrap",    "iss-a", "mallo", body  },
        {"bootstrap",    "iss-a", "alice", longer},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t other = 0; other < i; other++)
            cr_expect_str_neq(ca_request_sha256(scratch, &cases[i]),
                              ca_request_sha256(scratch, &cases[other]), "%zu and %zu", i, other);
    }
}

#define NAMES "\"root_common_name\":\"R\",\"issuing_common_name\":\"I\""
#define P256  "\"root_algorithm\":\"ECDSA-P256\",\"issuing_algorithm\":\"ECDSA-P256\""
#define CN64  "0123456789012345678901234567890123456789012345678901234567890123"

static const struct {
    const char *about;
    const char *body;
    const char *field; /* NULL: good */
} bodies[] = {
    {"the least",                "{" NAMES "," P256 "}",                                                       NULL            },
    {"longest name",             "{\"root_common_name\":\"" CN64 "\",\"issuing_common_name\":\"I\"," P256 "}",
     NULL                                                                                                                      },
    {"a name too long",
     "{\"root_common_name\":\"" CN64 "x\",\"issuing_common_name\":\"I\"," P256 "}",
     "root_common_name"                                                                                                        },
    {"an empty name",            "{\"root_common_name\":\"R\",\"issuing_common_name\":\"\"," P256 "}",
     "issuing_common_name"                                                                                                     },
    {"the same name twice",      "{\"root_common_name\":\"R\",\"issuing_common_name\":\"R\"," P256 "}",
     "issuing_common_name"                                                                                                     },
    {"a name that turns around",
     "{\"root_common_name\":\"a\\u202eb\",\"issuing_common_name\":\"I\"," P256 "}",
     "root_common_name"                                                                                                        },
    {"no algorithm",             "{" NAMES "}",                                                                "root_algorithm"},
    {"a weak algorithm",
     "{" NAMES ",\"root_algorithm\":\"ECDSA-P256\",\"issuing_algorithm\":\"RSA-1024\"}",
     "issuing_algorithm"                                                                                                       },
    {"one day",                  "{" NAMES "," P256 ",\"root_days\":1}",                                       NULL            },
    {"no day",                   "{" NAMES "," P256 ",\"root_days\":0}",                                       "root_days"     },
    {"thirty years",             "{" NAMES "," P256 ",\"issuing_days\":10950}",                                NULL            },
    {"a day more",               "{" NAMES "," P256 ",\"issuing_days\":10951}",                                "issuing_days"  },
    {"a URL",                    "{" NAMES "," P256 ",\"crl_urls\":[\"http://a/{ca}\"]}",                      NULL            },
    {"no URL",                   "{" NAMES "," P256 ",\"crl_urls\":[\"ftp://a\"]}",                            "crl_urls"      },
    {"a member nobody knows",    "{" NAMES "," P256 ",\"path_len\":9}",                                        "body"          },
};

Test(ca_bootstrap, body_is_taken_or_refused_whole)
{
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(json_t) *body = parse(bodies[i].body);
        struct ca_bootstrap wanted = {.root_days = -7};
        struct fault fault = {0};
        const bool taken = ca_bootstrap_from_body(scratch, body, &wanted, &fault);

        cr_expect_eq(taken, bodies[i].field == NULL, "%s: %s", bodies[i].about, fault.detail);
        if (taken)
            continue;
        cr_expect_str_eq(fault.field, bodies[i].field, "%s", bodies[i].about);
        cr_expect_eq(wanted.root_days, -7, "%s: result touched", bodies[i].about);
    }
}

Test(ca_bootstrap, defaults_and_the_way_back)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *body = parse("{" NAMES "," P256 "}");
    struct ca_bootstrap wanted;
    struct ca_bootstrap again;
    struct fault fault = {0};

    cr_assert(ca_bootstrap_from_body(scratch, body, &wanted, &fault), "%s", fault.detail);
    cr_expect_eq(wanted.root_days, 7300);
    cr_expect_eq(wanted.issuing_days, 1825);
    cr_expect_null(wanted.organization);
    AUTO(json_t) *back = ca_bootstrap_to_body(&wanted);
    cr_assert(ca_bootstrap_from_body(scratch, back, &again, &fault), "%s", fault.detail);
    cr_expect_eq(again.issuing_days, wanted.issuing_days);
    cr_expect_str_eq(again.issuing_common_name, "I");
}

Test(ca_bootstrap, wishes_are_a_root_over_an_issuing_ca)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct ca_bootstrap bootstrap = {.root_common_name = "R",
                                           .issuing_common_name = "I",
                                           .organization = "O",
                                           .root_days = 2,
                                           .issuing_days = 1};
    const struct bytes spki = bytes_of_text("key");
    const struct ca_wish root = ca_bootstrap_wish(scratch, &bootstrap, CA_PLACE_ROOT, spki, 1000000,
                                                  60);
    const struct ca_wish issuing = ca_bootstrap_wish(scratch, &bootstrap, CA_PLACE_ISSUING, spki,
                                                     1000000, 60);

    cr_expect_eq(root.path_len, 1);
    cr_expect_eq(issuing.path_len, 0);
    cr_expect_eq(root.not_before, 1000000 - 60);
    cr_expect_eq(root.not_after - root.not_before + 1, 2 * 86400, "both ends count");
    cr_expect_eq(issuing.not_after - issuing.not_before + 1, 86400);
    cr_assert_eq(root.subject_count, 2);
    cr_expect_str_eq(root.subject[0].value, "O");
    cr_expect_str_eq(root.subject[1].value, "R");
    cr_expect_str_eq(issuing.subject[1].value, "I");
}

Test(ca_bootstrap, facts_let_the_root_sign_no_leaf)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *body = parse("{" NAMES "," P256 ",\"ocsp_urls\":[\"http://o/{ca}\"],"
                               "\"crl_urls\":[\"http://c/{ca}.crl\",\"http://c/iss\"]}");
    struct ca_bootstrap wanted;
    struct fault fault = {0};

    cr_assert(ca_bootstrap_from_body(scratch, body, &wanted, &fault), "%s", fault.detail);
    const struct bytes der = bytes_of_text("DER");
    cr_expect_str_eq(ca_bootstrap_facts(scratch, &wanted, CA_PLACE_ROOT, "ica-r", der, 90),
                     "{\"ca_certificate\":\"REVS\",\"max_leaf_days\":90,\"allowed_ekus\":[],"
                     "\"ocsp_urls\":[\"http://o/ica-r\"],"
                     "\"crl_urls\":[\"http://c/ica-r.crl\"]}");
    cr_expect_str_eq(ca_bootstrap_facts(scratch, &wanted, CA_PLACE_ISSUING, "ica-i", der, 90),
                     "{\"ca_certificate\":\"REVS\",\"max_leaf_days\":90,\"allowed_ekus\":"
                     "[\"serverAuth\",\"clientAuth\",\"codeSigning\",\"emailProtection\","
                     "\"timeStamping\"],\"ocsp_urls\":[\"http://o/ica-i\"],"
                     "\"crl_urls\":[\"http://c/ica-i.crl\",\"http://c/iss\"]}");
}

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

Test(ca_approval, is_for_these_fields_or_for_others)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *place = place_make(scratch);
    enum ca_approval approval = CA_APPROVAL_OTHER;
    struct fault fault = {0};
    struct stat status;

    cr_assert(ca_approval_read(place, "car-1", SHA_A, &approval, &fault), "%s", fault.detail);
    cr_expect_eq(approval, CA_APPROVAL_NONE, "no directory yet");
    cr_assert(ca_approval_write(place, "car-1", SHA_A, &fault), "%s", fault.detail);
    cr_assert_eq(stat(mem_printf(scratch, "%s/ca-approvals/car-1", place), &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0600);
    cr_assert(ca_approval_read(place, "car-1", SHA_A, &approval, &fault));
    cr_expect_eq(approval, CA_APPROVAL_GIVEN);
    cr_assert(ca_approval_read(place, "car-1", SHA_B, &approval, &fault));
    cr_expect_eq(approval, CA_APPROVAL_OTHER);
    cr_assert(ca_approval_read(place, "car-2", SHA_A, &approval, &fault));
    cr_expect_eq(approval, CA_APPROVAL_NONE, "another request");
    cr_assert(ca_approval_write(place, "car-1", SHA_B, &fault), "a second one replaces the first");
    ca_approval_remove(place, "car-1");
    cr_assert(ca_approval_read(place, "car-1", SHA_B, &approval, &fault));
    cr_expect_eq(approval, CA_APPROVAL_NONE);
}

static void overwrite(const char *path, const char *text)
{
    AUTO(FILE) *file = fopen(path, "w");

    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
}

Test(ca_approval, what_others_can_write_is_none)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *place = place_make(scratch);
    const char *directory = mem_printf(scratch, "%s/ca-approvals", place);
    const char *path = mem_printf(scratch, "%s/car-1", directory);
    enum ca_approval approval = CA_APPROVAL_OTHER;
    struct fault fault = {0};

    cr_assert(ca_approval_write(place, "car-1", SHA_A, &fault));
    cr_assert_eq(chmod(path, 0620), 0);
    cr_expect_not(ca_approval_read(place, "car-1", SHA_A, &approval, &fault));
    cr_expect_eq(fault.reason, FILE_FAILED);
    cr_expect_eq(approval, CA_APPROVAL_OTHER, "result touched");
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(chmod(directory, 0702), 0);
    cr_expect_not(ca_approval_read(place, "car-1", SHA_A, &approval, &fault));
    cr_assert_eq(chmod(directory, 0700), 0);
    cr_assert_eq(rename(path, mem_printf(scratch, "%s/elsewhere", place)), 0);
    cr_assert_eq(symlink(mem_printf(scratch, "%s/elsewhere", place), path), 0);
    cr_expect_not(ca_approval_read(place, "car-1", SHA_A, &approval, &fault), "a link elsewhere");
    cr_expect_not(ca_approval_read(place, "../elsewhere", SHA_A, &approval, &fault));
    cr_expect_not(ca_approval_write(place, "..", SHA_A, &fault));
}

Test(ca_approval, a_file_cut_short_approves_nothing)
{
    static const char *const texts[] = {"", "\n", "a", SHA_A "a", SHA_A "\n\n"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *place = place_make(scratch);
    const char *path = mem_printf(scratch, "%s/ca-approvals/car-1", place);
    struct fault fault = {0};

    cr_assert(ca_approval_write(place, "car-1", SHA_A, &fault));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        enum ca_approval approval = CA_APPROVAL_GIVEN;
        overwrite(path, texts[i]);
        cr_assert(ca_approval_read(place, "car-1", SHA_A, &approval, &fault));
        cr_expect_eq(approval, CA_APPROVAL_OTHER, "case %zu", i);
    }
}
