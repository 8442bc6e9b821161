/* tests/unit/pki/constraint.c: name constraints as text, and what they cover. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/constraint.h"

#include "core/banned.h"

static const struct {
    const char *text;
    const char *broken; /* NULL: good */
} texts[] = {
    {"a.test",                  NULL                   },
    {".a.test",                 NULL                   },
    {"IP:10.0.0.0/8",           NULL                   },
    {"IP:0.0.0.0/0",            NULL                   },
    {"IP:192.0.2.1/32",         NULL                   },
    {"IP:10.0.1.0/255.0.255.0", NULL                   },
    {"IP:2001:db8::/33",        NULL                   },
    {"email:a.test",            NULL                   },
    {"email:.a.test",           NULL                   },
    {"email:Some.One@a.test",   NULL                   },
    {"URI:a.test",              NULL                   },
    {"URI:.a.test",             NULL                   },
    {"",                        "is no DNS name"       },
    {"*.a.test",                "is no DNS name"       },
    {"a b",                     "is no DNS name"       },
    {"ip:10.0.0.0/8",           "is no DNS name"       },
    {"IP:10.0.0.0",             "is no name constraint"},
    {"IP:10.0.0.0/33",          "is no name constraint"},
    {"IP:10.0.0.0/-1",          "is no name constraint"},
    {"IP:10.0.0.0/",            "is no name constraint"},
    {"IP:10.0.0.1/8",           "is no name constraint"},
    {"IP:10.0.0.0/ffff::",      "is no name constraint"},
    {"IP:a.test/8",             "is no name constraint"},
    {"IP:/8",                   "is no name constraint"},
    {"email:",                  "is no name constraint"},
    {"email:@a.test",           "holds no host name"   },
    {"email:*.a.test",          "holds no host name"   },
    {"email:.",                 "holds no host name"   },
    {"URI:",                    "is no name constraint"},
    {"URI:https://a.test/",     "holds no host name"   },
};

Test(constraint, is_read_and_written)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *broken = constraint_rule_broken(texts[i].text);
        struct constraint one;

        cr_expect_eq(broken == NULL, texts[i].broken == NULL, "%s: %s", texts[i].text, broken);
        if (texts[i].broken) {
            cr_expect_str_eq(broken ? broken : "", texts[i].broken, "%s", texts[i].text);
            continue;
        }
        cr_assert(constraint_read(texts[i].text, &one), "%s", texts[i].text);
        GENERAL_NAME *name = constraint_to_general_name(&one);
        cr_expect_str_eq(constraint_from_general_name(scratch, name), texts[i].text);
        GENERAL_NAME_free(name);
    }
}

static const struct {
    const char *bases; /* separated by commas */
    enum name_kind kind;
    const char *name;
    bool permits;
    bool excludes;
} cases[] = {
    {"a.test",                         NAME_DNS,   "a.test",                     true,  true },
    {"a.test",                         NAME_DNS,   "x.A.test",                   true,  true },
    {"a.test",                         NAME_DNS,   "xa.test",                    false, false},
    {"x.a.test",                       NAME_DNS,   "*.a.test",                   false, true },
    {".a.test",                        NAME_DNS,   "a.test",                     false, false},
    {"a.test",                         NAME_IP,    "10.0.0.1",                   true,  false},
    {"a.test",                         NAME_UPN,   "x@b.test",                   true,  false},
    {"IP:10.0.0.0/8",                  NAME_IP,    "10.255.0.1",                 true,  true },
    {"IP:10.0.0.0/8",                  NAME_IP,    "11.0.0.1",                   false, false},
    {"IP:10.0.0.0/8",                  NAME_IP,    "2001:db8::1",                false, false},
    {"IP:10.0.0.0/8,IP:2001:db8::/32", NAME_IP,    "2001:db8:1::1",              true,  true },
    {"IP:2001:db8::/33",               NAME_IP,    "2001:db8:8000::1",           false, false},
    {"IP:0.0.0.0/0",                   NAME_IP,    "192.0.2.1",                  true,  true },
    {"IP:10.0.1.0/255.0.255.0",        NAME_IP,    "10.9.1.7",                   true,  true },
    {"IP:10.0.0.0/8",                  NAME_DNS,   "b.test",                     true,  false},
    {"email:a.test",                   NAME_EMAIL, "x@a.test",                   true,  true },
    {"email:a.test",                   NAME_EMAIL, "x@A.TEST",                   true,  true },
    {"email:a.test",                   NAME_EMAIL, "x@b.a.test",                 false, false},
    {"email:.a.test",                  NAME_EMAIL, "x@b.a.test",                 true,  true },
    {"email:.a.test",                  NAME_EMAIL, "x@a.test",                   false, false},
    {"email:x@a.test",                 NAME_EMAIL, "x@a.test",                   true,  true },
    {"email:x@a.test",                 NAME_EMAIL, "X@a.test",                   false, false},
    {"email:x@a.test",                 NAME_EMAIL, "xx@a.test",                  false, false},
    {"URI:a.test",                     NAME_URI,   "https://a.test/x",           true,  true },
    {"URI:a.test",                     NAME_URI,   "https://u@A.test:8/",        true,  true },
    {"URI:a.test",                     NAME_URI,   "https://a.test@b.test/",     false, false},
    {"URI:a.test",                     NAME_URI,   "https://b.a.test?a.test",    false, false},
    {"URI:.a.test",                    NAME_URI,   "spiffe://b.a.test/x",        true,  true },
    {"URI:.a.test",                    NAME_URI,   "spiffe://a.test",            false, false},
    {"URI:a.test",                     NAME_URI,   "urn:a.test",                 false, true },
    {"URI:a.test",                     NAME_URI,   "https://[2001:db8::1]/",     false, true },
    {"URI:a.test",                     NAME_URI,   "https:///x",                 false, true },
    {"URI:a.test",                     NAME_URI,   "https://a.test./",           false, true },
    {"URI:a.test",                     NAME_URI,   "https://%61.test/",          false, true },
    {"URI:a.test",                     NAME_URI,   "https://192.0.2.1/",         false, true },
    {"URI:a.test",                     NAME_URI,   "https://*.a.test/",          false, true },
    {"URI:a.test",                     NAME_URI,   "https://x@a.test:1@b.test/", false, true },
    {"URI:a.test",                     NAME_URI,   "https://b.test\\@a.test/",   false, true },
    {"email:a.test",                   NAME_URI,   "https://b.test/",            true,  false},
};

Test(constraint, binds_names_of_its_kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct text_list bases = text_split(scratch, cases[i].bases, ',');
        const struct name name = {cases[i].kind, cases[i].name};

        cr_expect_eq(constraint_permits(&bases, &name), cases[i].permits, "%s permits %s",
                     cases[i].bases, cases[i].name);
        cr_expect_eq(constraint_excludes(&bases, &name), cases[i].excludes, "%s excludes %s",
                     cases[i].bases, cases[i].name);
    }
}

Test(constraint, without_any_everything_is_permitted)
{
    const struct text_list none = {0};
    const struct name name = {NAME_URI, "urn:x"};

    cr_expect(constraint_permits(&none, &name));
    cr_expect_not(constraint_excludes(&none, &name));
    cr_expect_not(constraint_within("a.test", &none));
}
