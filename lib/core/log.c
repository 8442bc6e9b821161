/* lib/core/log.c: one line, one write(2), so that lines of several processes never mix. */

#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

/* Kept free for what ends a value and the line: "…" (3 bytes), quote, brace, newline. */
#define LINE_TAIL 6
#define LINE_ROOM (sizeof(((struct log_line *)NULL)->text) - LINE_TAIL)
/* A member with less room than this is left out whole. */
#define VALUE_LEAST 32

static enum log_level least_logged = LOG_INFO;
static enum log_format line_format = LOG_JSON;

void log_configure(enum log_level least_level, enum log_format format)
{
    least_logged = least_level;
    line_format = format;
}

bool log_enabled(enum log_level level)
{
    return level >= least_logged;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "DEBUG";
    case LOG_INFO:
        return "INFO";
    case LOG_WARN:
        return "WARN";
    case LOG_ERROR:
        return "ERROR";
    }
    return "ERROR";
}

/* All of it or nothing. */
static bool put(struct log_line *line, const char *text, size_t size)
{
    if (line->used + size > LINE_ROOM)
        return false;
    memcpy(line->text + line->used, text, size);
    line->used += size;
    return true;
}

static bool put_text(struct log_line *line, const char *text)
{
    return put(line, text, strlen(text));
}

/* Past the room that values may use: what closes a value always fits. */
static void put_tail(struct log_line *line, const char *text)
{
    const size_t size = strlen(text);

    memcpy(line->text + line->used, text, size);
    line->used += size;
}

/* One character of the value, escaped; returns the bytes it took, 0 when the line is full. */
static size_t put_character(struct log_line *line, const char *text, size_t length)
{
    char escaped[8];
    const uint8_t byte = (uint8_t)text[0];
    const size_t size = text_utf8_sequence(text, length);

    if (size == 0)
        return put_text(line, "\xef\xbf\xbd") ? 1 : 0;
    if (byte == '"' || byte == '\\') {
        (void)snprintf(escaped, sizeof(escaped), "\\%c", byte);
        return put_text(line, escaped) ? 1 : 0;
    }
    if (byte < 0x20 || byte == 0x7f) {
        (void)snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
        return put_text(line, escaped) ? 1 : 0;
    }
    return put(line, text, size) ? size : 0;
}

/* What stands in the line as it is, and fits. */
static size_t put_plain(struct log_line *line, const char *text, size_t length)
{
    const size_t left = line->used < LINE_ROOM ? LINE_ROOM - line->used : 0;
    const size_t room = least(length, left);
    size_t size = 0;

    while (size < room && text[size] >= ' ' && text[size] < 0x7f && text[size] != '"' &&
           text[size] != '\\')
        size++;
    return put(line, text, size) ? size : 0;
}

static void put_quoted(struct log_line *line, const char *value)
{
    const size_t length = strlen(value);
    size_t at = 0;

    put_tail(line, "\"");
    while (at < length) {
        at += put_plain(line, value + at, length - at);
        if (at == length)
            break;
        const size_t taken = put_character(line, value + at, length - at);
        if (taken == 0)
            break;
        at += taken;
    }
    if (at < length)
        put_tail(line, "…");
    put_tail(line, "\"");
}

/* In the plain format only what would be ambiguous is quoted. */
static bool bare(const char *value)
{
    if (line_format == LOG_JSON || *value == '\0')
        return false;
    for (const char *at = value; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f || strchr("\"\\=", *at))
            return false;
    }
    return true;
}

/* False: no room for a member of that name and a value of `size` bytes. */
static bool begin_member(struct log_line *line, const char *name, size_t size)
{
    const bool first = line->used == 0;

    if (line->used + strlen(name) + size + 8 > LINE_ROOM)
        return false;
    if (line_format == LOG_JSON)
        return put_text(line, first ? "{\"" : ",\"") && put_text(line, name) &&
               put_text(line, "\":");
    return put_text(line, first ? "" : " ") && put_text(line, name) && put_text(line, "=");
}

void log_text(struct log_line *line, const char *name, const char *value)
{
    if (!value)
        return;
    const size_t length = strlen(value);
    if (!begin_member(line, name, VALUE_LEAST))
        return;
    if (!bare(value) || !put(line, value, length))
        put_quoted(line, value);
}

void log_integer(struct log_line *line, const char *name, int64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    if (begin_member(line, name, sizeof(text)))
        (void)put_text(line, text);
}

void log_duration_us(struct log_line *line, const char *name, int64_t us)
{
    char text[32];
    const int64_t kept = most(us, (int64_t)0); /* a clock set back must not break the line */

    (void)snprintf(text, sizeof(text), "%lld.%03lld", (long long)(kept / 1000),
                   (long long)(kept % 1000));
    if (begin_member(line, name, sizeof(text)))
        (void)put_text(line, text);
}

void log_fault(struct log_line *line, const struct fault *fault)
{
    if (fault->reason != REASON_NONE)
        log_text(line, "reason", fault_reason_slug(fault->reason));
    if (fault->detail[0] != '\0')
        log_text(line, "detail", fault->detail);
    log_text(line, "field", fault->field);
    if (fault->cause[0] != '\0')
        log_text(line, "cause", fault->cause);
}

void log_begin(struct log_line *line, enum log_level level, const char *message)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t now_us = clock_now_us();
    const char *second = time_to_rfc3339(scratch, now_us / 1000000);

    line->level = level;
    line->used = 0;
    if (!log_enabled(level))
        return;
    const char *shown = mem_printf(scratch, "%.19s.%06dZ", second, (int)(now_us % 1000000));
    log_text(line, "time", shown);
    log_text(line, "level", level_name(level));
    log_text(line, "msg", message);
}

void log_end(struct log_line *line)
{
    if (!log_enabled(line->level))
        return;
    if (line_format == LOG_JSON)
        put_tail(line, "}");
    put_tail(line, "\n");

    size_t at = 0;
    while (at < line->used) {
        const ssize_t written = write(STDERR_FILENO, line->text + at, line->used - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nowhere left to complain */
        at += (size_t)written;
    }
}

void log_message(enum log_level level, const char *format, ...)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct log_line line;
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    const char *message = mem_vprintf(scratch, format, args);
    va_end(args);
    log_begin(&line, level, message);
    log_end(&line);
}
