/* text.h - growing text for reports, names and JSON paths. */
#ifndef LUR_TEXT_H
#define LUR_TEXT_H

#include "kernels/base.h"

typedef struct lur_lines { /* zero-initialised: empty; bytes is NUL-terminated after the first addition */
  char *bytes;
  size_t length, capacity;
  bool failed; /* out of memory; later additions are ignored */
} lur_lines;
void lur_lines_add(lur_lines *buffer, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* Moves the text to the caller ("" if nothing was added) and empties the buffer. LUR_ENOMEM: an addition failed. */
lur_status lur_lines_take(lur_lines *buffer, char **text);
/* strdup that reports LUR_ENOMEM. */
lur_status lur_text_copy(const char *text, char **copy);

#endif
