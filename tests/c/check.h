/* check.h - the macros of the C tests: conditions that are counted, and calls that must succeed or fail with a given
 * message. A test is a program whose main ends with `return check_report("name");`. */
#ifndef LUR_CHECK_H
#define LUR_CHECK_H

#include <stdio.h>
#include <string.h>

#include "kernels/base.h"

static int check_count, check_failures;

static inline int check_note(int good, const char *file, int line, const char *what, const char *why) {
  check_count++;
  if (good) return 1;
  check_failures++;
  fprintf(stderr, "%s:%d: failed: %s%s%s\n", file, line, what, why[0] ? ": " : "", why);
  return 0;
}

#define CHECK(condition) check_note((condition) ? 1 : 0, __FILE__, __LINE__, #condition, "")
/* The call must return LUR_OK. */
#define CHECK_OK(call) check_note((call) == LUR_OK, __FILE__, __LINE__, #call, lur_last_error())
/* The call must return this status, and its message must contain `part`. */
#define CHECK_FAILS(call, expected, part)                                                                \
  check_note((call) == (expected) && strstr(lur_last_error(), part) != NULL, __FILE__, __LINE__,         \
             #call " fails with " #expected, lur_last_error())

static inline int check_report(const char *name) {
  printf("%s: %d checks, %d failed\n", name, check_count, check_failures);
  return check_failures != 0;
}

#endif
