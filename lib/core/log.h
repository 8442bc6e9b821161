/* lib/core/log.h: one JSON object per line on stderr, one write(2) per line, at most 16 KiB.
 *
 * lib/ never logs: it fills faults. web_serve, the job runner, the signer's loop and the tools
 * write the lines.
 *
 *     struct log_line line;
 *     log_begin(&line, LOG_INFO, "request");
 *     log_text(&line, "request_id", id);
 *     log_end(&line);
 */
#ifndef CERTCTL_CORE_LOG_H
#define CERTCTL_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fault.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_JSON, LOG_PLAIN };

struct log_line {
    enum log_level level;
    size_t used;
    char text[16384];
};

/* Process-wide; before the first call: info, JSON. */
void log_configure(enum log_level least_level, enum log_format format);
bool log_enabled(enum log_level level);

void log_begin(struct log_line *line, enum log_level level, const char *message);
/* NULL writes nothing. Control characters are escaped, values are cut to what fits. */
void log_text(struct log_line *line, const char *name, const char *value);
void log_integer(struct log_line *line, const char *name, int64_t value);
/* Milliseconds with three decimals, from microseconds. */
void log_duration_us(struct log_line *line, const char *name, int64_t us);
/* reason, detail, field, cause, as far as they are set. */
void log_fault(struct log_line *line, const struct fault *fault);
void log_end(struct log_line *line);

/* The whole of it where there is nothing to add. */
void log_message(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
