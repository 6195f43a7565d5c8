/* number.h - numbers as text and back, in the C locale whatever locale the program has chosen: a decimal point, never
 * a comma. A program that embeds the engine may have called setlocale (GTK and Qt do), and so may a script
 * (os.setlocale).
 *
 * No other file calls strtod or formats a floating-point number with printf's family (tests/lua/locale.lua reads the
 * sources). */
#ifndef LUR_NUMBER_H
#define LUR_NUMBER_H

#include <stdarg.h>

#include "base.h"

LUR_API_BEGIN

/* snprintf and vsnprintf in the C locale. */
int lur_format(char *text, size_t capacity, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
int lur_vformat(char *text, size_t capacity, const char *format, va_list args)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 0)))
#endif
    ;

/* strtod in the C locale. end may be NULL. */
double lur_parse_number(const char *text, char **end);

enum { LUR_NUMBER_TEXT = 40 };
/* The shortest decimal of at least `digits` significant digits (trailing zeros left out) that reads back as the same
   number. */
void lur_shortest_number(double value, int digits, char text[LUR_NUMBER_TEXT]);

/* For libraries that go through the locale of the calling thread (cJSON, Lua): the C locale between the two calls,
   which must come in pairs, so that nothing between them may raise or return early. */
void *lur_c_locale_enter(void);
void lur_c_locale_leave(void *previous);

LUR_API_END

#endif
