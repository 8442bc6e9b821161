/* tests/unit/lifecycle/grant.c: a grant comes from a ready order of the asking account only. */
#include <criterion/criterion.h>
#include <libpq-fe.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "lifecycle/issue.h"

#include "core/banned.h"

static const char *const columns[] = {"order_id", "order_account_id", "order_status",
                                      "order_expires", "order_identifiers"};

/* A row as the database would give it. */
static struct rows *row_of(TALLOC_CTX *ctx, const char *const *names, const char *const *values,
                           size_t count)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc attributes[8] = {0};

    cr_assert_leq(count, ARRAY_SIZE(attributes));
    for (size_t i = 0; i < count; i++) {
        attributes[i].name = mem_text(ctx, names[i]);
        attributes[i].typid = text_equal(names[i], "order_expires") ? 1184 : 25; /* or text */
        attributes[i].typlen = -1;
    }
    cr_assert(PQsetResultAttrs(result, (int)count, attributes));
    for (size_t i = 0; i < count; i++)
        cr_assert(PQsetvalue(result, 0, (int)i, mem_text(ctx, values[i]),
                             values[i] ? (int)strlen(values[i]) : -1));
    struct rows *rows = mem_new(ctx, struct rows);
    rows->count = 1;
    rows->result = mem_adopt(rows, result, PQclear);
    return rows;
}

static const struct {
    const char *about;
    const char *values[ARRAY_SIZE(columns)];
    enum fault_reason reason;
} cases[] = {
    {"ready and its own",
     {"acme-ord-1", "acme-acc-1", "ready", "2100-01-01 00:00:00+00",
      "[{\"type\":\"dns\",\"value\":\"a.example\"}]"},
     REASON_NONE         },
    {"another account's",
     {"acme-ord-1", "acme-acc-2", "ready", "2100-01-01 00:00:00+00",
      "[{\"type\":\"dns\",\"value\":\"a.example\"}]"},
     ACME_NOT_OWNER      },
    {"another account's, in any state",
     {"acme-ord-1", "acme-acc-2", "valid", "2001-01-01 00:00:00+00",
      "[{\"type\":\"dns\",\"value\":\"a.example\"}]"},
     ACME_NOT_OWNER      },
    {"pending",
     {"acme-ord-1", "acme-acc-1", "pending", "2100-01-01 00:00:00+00",
      "[{\"type\":\"dns\",\"value\":\"a.example\"}]"},
     ACME_ORDER_NOT_READY},
    {"valid already",
     {"acme-ord-1", "acme-acc-1", "valid", "2100-01-01 00:00:00+00",
      "[{\"type\":\"dns\",\"value\":\"a.example\"}]"},
     ACME_ORDER_NOT_READY},
    {"expired",
     {"acme-ord-1", "acme-acc-1", "ready", "2001-01-01 00:00:00+00",
      "[{\"type\":\"dns\",\"value\":\"a.example\"}]"},
     ACME_ORDER_NOT_READY},
    {"no identifier at all",
     {"acme-ord-1", "acme-acc-1", "ready", "2100-01-01 00:00:00+00", "[]"},
     INTERNAL            },
    {"an identifier without a value",
     {"acme-ord-1", "acme-acc-1", "ready", "2100-01-01 00:00:00+00", "[{\"type\":\"dns\"}]"},
     INTERNAL            },
};

Test(grant, comes_from_a_ready_order_of_the_account)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
        struct fault fault = {0};
        struct issue_grant *grant = issue_grant_from_acme_order(
            kept, row_of(scratch, columns, cases[i].values, ARRAY_SIZE(columns)), 0, "acme-acc-1",
            &fault);

        cr_expect_eq(grant != NULL, cases[i].reason == REASON_NONE, "%s", cases[i].about);
        cr_expect_eq(fault.reason, cases[i].reason, "%s: %s", cases[i].about, fault.detail);
        if (!grant)
            cr_expect_eq(talloc_total_blocks(kept), 1, "%s: memory left behind", cases[i].about);
    }
}

static const struct {
    const char *about;
    const char *names; /* as the setting is written */
    size_t count;      /* 0: refused */
    const char *first;
} sites[] = {
    {"names and addresses of both kinds",   "localhost, 127.0.0.1, ::1", 3, "localhost"      },
    {"in lower case",                       "WWW.Example.ORG",           1, "www.example.org"},
    {"a wildcard",                          "*.example.org",             1, "*.example.org"  },
    {"the same twice",                      "a.example,a.example",       1, "a.example"      },
    {"no name at all",                      " , ",                       0, NULL             },
    {"an address that is not canonical",    "127.0.0.1,::0:1",           0, NULL             },
    {"a name with a blank",                 "a b.example",               0, NULL             },
    {"a good name does not save a bad one", "good.example,-bad.example", 0, NULL             },
};

Test(grant, of_the_site_is_what_the_setting_names)
{
    for (size_t i = 0; i < ARRAY_SIZE(sites); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
        const struct settings settings = {.node_id = "node-1",
                                          .site_cert_names = text_split(ctx, sites[i].names, ',')};
        struct fault fault = {0};
        const struct issue_grant *grant = issue_grant_for_site(kept, &settings, &fault);

        cr_assert_eq(grant != NULL, sites[i].count > 0, "%s: %s", sites[i].about, fault.detail);
        if (!grant) {
            cr_expect_eq(fault.reason, SETTING_INVALID, "%s", sites[i].about);
            cr_expect_str_eq(fault.field, "CERTCTL_SITE_CERT_NAMES");
            cr_expect_eq(talloc_total_blocks(kept), 1, "%s: memory left behind", sites[i].about);
            continue;
        }
        cr_expect_eq(issue_grant_names(grant)->count, sites[i].count, "%s", sites[i].about);
        cr_expect_str_eq(issue_grant_names(grant)->items[0].value, sites[i].first);
    }
}

static const struct {
    const char *about;
    bool of_job;
    bool approved; /* the job */
    bool caa_due;
    bool requires_approval;
    unsigned offers;
    enum issue_way way;
} ways[] = {
    {"our own CA",                     false, false, false, false, ISSUES_AT_ONCE,   WAY_HERE    },
    {"a CA elsewhere",                 false, false, false, false, HONOURS_VALIDITY, WAY_QUEUE   },
    {"two persons",                    false, false, false, true,  ISSUES_AT_ONCE,   WAY_APPROVAL},
    {"two persons, a CA elsewhere",    false, false, false, true,  0,                WAY_APPROVAL},
    {"CAA is old",                     false, false, true,  false, ISSUES_AT_ONCE,   WAY_CAA     },
    {"CAA is old, a CA elsewhere",     false, false, true,  false, 0,                WAY_CAA     },
    {"CAA comes before the persons",   false, false, true,  true,  ISSUES_AT_ONCE,   WAY_CAA     },
    {"a job",                          true,  false, false, false, ISSUES_AT_ONCE,   WAY_HERE    },
    {"a job, a CA elsewhere",          true,  false, false, false, 0,                WAY_HERE    },
    {"a job that somebody agreed to",  true,  true,  false, true,  ISSUES_AT_ONCE,   WAY_HERE    },
    {"a job that nobody agreed to",    true,  false, false, true,  ISSUES_AT_ONCE,   WAY_APPROVAL},
    {"a job is not for acme-finalize", true,  false, true,  false, ISSUES_AT_ONCE,   WAY_HERE    },
};

Test(grant, tells_who_issues)
{
    static const char *const names[] = {"job_id",   "certificate_id",   "sans",          "approved",
                                        "order_id", "order_account_id", "account_status"};

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        const char *const values[] = {
            "job-1",      "mc-1",       "{a.example}", ways[i].approved ? "t" : "f",
            "acme-ord-1", "acme-acc-1", "valid"};
        const struct profile profile = {.requires_approval = ways[i].requires_approval};
        struct fault fault = {0};
        const struct issue_request request = {
            .grant = ways[i].of_job
                         ? issue_grant_from_job(ctx, row_of(ctx, names, values, ARRAY_SIZE(names)),
                                                "w", &fault)
                         : issue_grant_from_acme_order(
                               ctx, row_of(ctx, columns, cases[0].values, ARRAY_SIZE(columns)), 0,
                               "acme-acc-1", &fault),
            .profile = &profile,
            .caa_due = ways[i].caa_due,
        };

        cr_assert(request.grant, "%s: %s", ways[i].about, fault.detail);
        cr_expect_eq(issue_way(&request, ways[i].offers), ways[i].way, "%s", ways[i].about);
    }
}
