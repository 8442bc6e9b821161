/* tests/unit/core/log.c: lines as they arrive on the other side of stderr (07 section 10.4). */

#include "core/log.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

static int reading;

/* A pipe holds 64 KiB, more than any line. */
static void catch_stderr(void)
{
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    cr_assert_eq(close(ends[1]), 0);
    reading = ends[0];
}

static char *caught(TALLOC_CTX *ctx)
{
    char *text = mem_array(ctx, char, 70000);

    cr_assert_eq(close(STDERR_FILENO), 0);
    for (size_t used = 0; used < 69999;) {
        const ssize_t got = read(reading, text + used, 69999 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    return text;
}

TestSuite(log, .init = catch_stderr);

static json_t *parsed(const char *line)
{
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

    cr_assert_not_null(object, "no JSON: %s", line);
    return object;
}

Test(log, one_json_object_per_line)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct log_line line;
    struct fault fault = {0};

    fault_set(&fault, CSR_MALFORMED, "csr", "no \"key\"");
    fault_cause(&fault, "asn1");
    log_begin(&line, LOG_WARN, "request");
    log_text(&line, "request_id", "r\"\\\n\x01\xc3\xa4\xff");
    log_text(&line, "absent", NULL);
    log_integer(&line, "status", -9223372036854775807LL - 1);
    log_duration_us(&line, "duration_ms", 1234567);
    log_fault(&line, &fault);
    log_end(&line);

    const char *text = caught(scratch);
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line");
    AUTO(json_t) *object = parsed(text);
    cr_expect_str_eq(json_text_at(object, "level"), "WARN");
    cr_expect_str_eq(json_text_at(object, "msg"), "request");
    cr_expect_str_eq(json_text_at(object, "request_id"), "r\"\\\n\x01\xc3\xa4\xef\xbf\xbd");
    cr_expect_null(json_object_get(object, "absent"));
    cr_expect_eq(json_integer_value(json_object_get(object, "status")), INT64_MIN);
    cr_expect_not_null(strstr(text, "\"duration_ms\":1234.567,"));
    cr_expect_str_eq(json_text_at(object, "reason"), "csr_malformed");
    cr_expect_str_eq(json_text_at(object, "detail"), "no \"key\"");
    cr_expect_str_eq(json_text_at(object, "field"), "csr");
    cr_expect_str_eq(json_text_at(object, "cause"), "asn1");
    cr_expect_eq(strlen(json_text_at(object, "time")), strlen("2026-11-20T17:05:00.123456Z"));
}

Test(log, a_line_that_is_too_long_stays_json_of_at_most_16_kib)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct log_line line;
    char *huge = mem_array(scratch, char, 40001);

    memset(huge, '\x02', 40000);
    log_begin(&line, LOG_ERROR, "long");
    log_text(&line, "huge", huge);
    log_text(&line, "late", "no room");
    log_integer(&line, "number", 1);
    log_end(&line);

    const char *text = caught(scratch);
    cr_expect_leq(strlen(text), 16384);
    cr_expect_gt(strlen(text), 16300);
    AUTO(json_t) *object = parsed(text);
    cr_expect(text_ends(json_text_at(object, "huge"), "\x02…"));
    cr_expect_null(json_object_get(object, "late"));
}

/* Each length of the first value puts the end of the line at another place of the buffer. */
Test(log, no_length_breaks_the_line)
{
    for (size_t length = 16200; length <= 16400; length++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct log_line line;
        char *value = mem_array(scratch, char, length + 1);

        memset(value, 'a', length);
        log_begin(&line, LOG_ERROR, "x");
        log_text(&line, "value", value);
        log_text(
            &line, "next",
            "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"");
        log_integer(&line, "number", INT64_MIN);
        cr_assert_leq(line.used + 2, sizeof(line.text), "%zu", length);
        line.text[line.used] = '}';
        AUTO(json_t) *object = json_loadb(line.text, line.used + 1, 0, NULL);
        cr_assert_not_null(object, "%zu: no JSON", length);
    }
}

Test(log, levels_below_the_configured_are_not_written)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    log_message(LOG_DEBUG, "before any configuration");
    log_configure(LOG_ERROR, LOG_JSON);
    cr_expect_not(log_enabled(LOG_WARN));
    cr_expect(log_enabled(LOG_ERROR));
    log_message(LOG_WARN, "quiet");
    log_message(LOG_ERROR, "loud %d", 1);

    const char *text = caught(scratch);
    AUTO(json_t) *object = parsed(text);
    cr_expect_str_eq(json_text_at(object, "msg"), "loud 1");
}

Test(log, plain_quotes_what_would_be_ambiguous)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct log_line line;

    log_configure(LOG_INFO, LOG_PLAIN);
    log_begin(&line, LOG_INFO, "two words");
    log_text(&line, "id", "mc-1");
    log_text(&line, "empty", "");
    log_text(&line, "equation", "a=b");
    log_text(&line, "forged", "x\nlevel=ERROR");
    log_integer(&line, "status", 200);
    log_end(&line);

    const char *text = caught(scratch);
    cr_expect(text_ends(text, " level=INFO msg=\"two words\" id=mc-1 empty=\"\" equation=\"a=b\" "
                              "forged=\"x\\u000alevel=ERROR\" status=200\n"),
              "%s", text);
}
