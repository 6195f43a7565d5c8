/* number.c - see number.h. uselocale acts on the calling thread alone, unlike setlocale. */
#include "number.h"

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static locale_t c_locale;

static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

void *lur_c_locale_enter(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_locale);
  /* glibc's and musl's C locale is static: making it cannot fail. Elsewhere, (locale_t)0 would change nothing. */
  return uselocale(c_locale);
}

void lur_c_locale_leave(void *previous) { uselocale(previous); }

int lur_vformat(char *text, size_t capacity, const char *format, va_list args) {
  void *previous = lur_c_locale_enter();
  int length = vsnprintf(text, capacity, format, args);
  lur_c_locale_leave(previous);
  return length;
}

int lur_format(char *text, size_t capacity, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = lur_vformat(text, capacity, format, args);
  va_end(args);
  return length;
}

double lur_parse_number(const char *text, char **end) {
  void *previous = lur_c_locale_enter();
  double value = strtod(text, end);
  lur_c_locale_leave(previous);
  return value;
}

void lur_shortest_number(double value, int digits, char text[LUR_NUMBER_TEXT]) {
  for (; digits <= 17; digits++) {
    lur_format(text, LUR_NUMBER_TEXT, "%.*g", digits, value);
    if (lur_parse_number(text, NULL) == value) break;
  }
}
