/* lib/core/clock.c: the one clock, and RFC 3339 both ways, in the proleptic Gregorian calendar. */

#include "core/clock.h"

#include <string.h>
#include <time.h>

#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define SECONDS_PER_DAY 86400
#define YEAR_1_START_S  (-62135596800)
#define YEAR_9999_END_S 253402300799

static int64_t shift_s;

static int64_t read_us(clockid_t clock)
{
    struct timespec now = {0};

    /* Neither clock can be missing on Linux, and the pointer is good. */
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_us(CLOCK_REALTIME) + shift_s * 1000000;
}

int64_t clock_now_s(void)
{
    return clock_now_us() / 1000000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

void clock_shift_s(int64_t seconds)
{
    shift_s = seconds;
}

static bool leap_year(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && leap_year(year) ? 29 : days[month - 1];
}

/* From 0001-01-01 to January 1st of the year. */
static int64_t days_before_year(int64_t year)
{
    const int64_t past = year - 1;

    return past * 365 + past / 4 - past / 100 + past / 400;
}

static int64_t days_before_month(int64_t year, int64_t month)
{
    int64_t days = 0;

    for (int64_t i = 1; i < month; i++)
        days += days_in_month(year, i);
    return days;
}

char *time_to_rfc3339(TALLOC_CTX *ctx, int64_t unix_s)
{
    const int64_t kept = most((int64_t)YEAR_1_START_S, least((int64_t)YEAR_9999_END_S, unix_s));
    const int64_t since = kept - YEAR_1_START_S;
    const int64_t second = since % SECONDS_PER_DAY;
    int64_t day = since / SECONDS_PER_DAY;
    int64_t year = day / 366 + 1; /* never too late, and at most 21 too early */
    int64_t month = 1;

    while (days_before_year(year + 1) <= day)
        year++;
    day -= days_before_year(year);
    while (day >= days_in_month(year, month))
        day -= days_in_month(year, month++);
    return mem_printf(ctx, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, (int)month, (int)day + 1,
                      (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60));
}

char *time_to_http(TALLOC_CTX *ctx, int64_t unix_s)
{
    static const char days[] =
        "ThuFriSatSunMonTueWed"; /* the first of January 1970 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const int64_t kept = most(INT64_C(0), unix_s);
    char *iso = time_to_rfc3339(ctx, kept);
    const int month = (iso[5] - '0') * 10 + iso[6] - '1';
    char *text = mem_printf(ctx, "%.3s, %.2s %.3s %.4s %.8s GMT",
                            days + 3 * (kept / SECONDS_PER_DAY % 7), iso + 8, months + 3 * month,
                            iso, iso + 11);

    talloc_free(iso);
    return text;
}

/* Takes exactly `count` digits and, if `after` is none of "", one of its characters. */
static bool take_number(const char **at, size_t count, const char *after, int64_t *ret)
{
    int64_t value = 0;

    for (size_t i = 0; i < count; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9')
            return false;
        value = value * 10 + ((*at)[i] - '0');
    }
    *at += count;
    if (*after != '\0') {
        if (**at == '\0' || !strchr(after, **at))
            return false;
        (*at)++;
    }
    *ret = value;
    return true;
}

/* A dot needs a digit after it. */
static bool skip_fraction(const char **at)
{
    if (**at != '.')
        return true;
    const size_t digits = strspn(*at + 1, "0123456789");
    *at += 1 + digits;
    return digits > 0;
}

/* "Z" or "+hh:mm", to the end of the text. */
static bool take_offset(const char *at, int64_t *ret_offset_s)
{
    int64_t hours;
    int64_t minutes;

    *ret_offset_s = 0;
    if (*at == 'Z' || *at == 'z')
        return at[1] == '\0';
    if (*at != '+' && *at != '-')
        return false;
    const int64_t sign = *at++ == '-' ? -1 : 1;
    if (!take_number(&at, 2, ":", &hours) || !take_number(&at, 2, "", &minutes) || *at != '\0')
        return false;
    *ret_offset_s = sign * (hours * 3600 + minutes * 60);
    return hours <= 23 && minutes <= 59;
}

struct civil {
    int64_t year, month, day, hour, minute, second, offset_s;
};

static bool read_civil(const char *at, struct civil *civil)
{
    return take_number(&at, 4, "-", &civil->year) && take_number(&at, 2, "-", &civil->month) &&
           take_number(&at, 2, "Tt", &civil->day) && take_number(&at, 2, ":", &civil->hour) &&
           take_number(&at, 2, ":", &civil->minute) && take_number(&at, 2, "", &civil->second) &&
           skip_fraction(&at) && take_offset(at, &civil->offset_s);
}

static bool civil_in_range(const struct civil *civil)
{
    return civil->year >= 1 && civil->month >= 1 && civil->month <= 12 && civil->day >= 1 &&
           civil->day <= days_in_month(civil->year, civil->month) && civil->hour <= 23 &&
           civil->minute <= 59 && civil->second <= 60;
}

bool time_from_rfc3339(const char *text, int64_t *ret_unix_s)
{
    struct civil civil;

    if (!text || !read_civil(text, &civil) || !civil_in_range(&civil))
        return false;
    const int64_t days = days_before_year(civil.year) + days_before_month(civil.year, civil.month) +
                         civil.day - 1;
    const int64_t unix_s = YEAR_1_START_S + days * SECONDS_PER_DAY + civil.hour * 3600 +
                           civil.minute * 60 + civil.second - civil.offset_s;
    /* RFC 3339 section 5.7: a 61st second exists only at the end of a UTC day. */
    if (civil.second == 60 && unix_s % SECONDS_PER_DAY != 0)
        return false;
    if (unix_s < YEAR_1_START_S || unix_s > YEAR_9999_END_S)
        return false;
    *ret_unix_s = unix_s;
    return true;
}
