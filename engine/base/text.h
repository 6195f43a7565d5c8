/* text.h - text that grows as it is written. */
#ifndef LUR_TEXT_H
#define LUR_TEXT_H

#include "kernels/base.h"

typedef struct lur_lines { /* zero-initialised; bytes is NUL-terminated once something was added */
  char *bytes;
  size_t length, capacity;
  bool failed; /* out of memory: later additions are dropped */
} lur_lines;
void lur_lines_add(lur_lines *buffer, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* Hands the text over ("" when nothing was added) and empties the buffer; LUR_ENOMEM when it failed. */
lur_status lur_lines_take(lur_lines *buffer, char **text);
/* strdup that sets the message. */
lur_status lur_text_copy(const char *text, char **copy);

#endif
