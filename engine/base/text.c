/* text.c - growing text for reports, names and JSON paths. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/number.h"

static bool reserve(lur_lines *buffer, size_t more) {
  if (buffer->capacity - buffer->length > more) return true;
  size_t capacity = buffer->capacity * 2 + more + 64;
  char *bytes = realloc(buffer->bytes, capacity);
  if (bytes == NULL) {
    buffer->failed = true;
    return false;
  }
  buffer->bytes = bytes;
  buffer->capacity = capacity;
  return true;
}

void lur_lines_add(lur_lines *buffer, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = lur_vformat(NULL, 0, format, args);
  if (length >= 0 && !buffer->failed && reserve(buffer, (size_t)length + 1)) {
    lur_vformat(buffer->bytes + buffer->length, (size_t)length + 1, format, again);
    buffer->length += (size_t)length;
  }
  va_end(again);
  va_end(args);
}

lur_status lur_lines_take(lur_lines *buffer, char **text) {
  if (buffer->bytes == NULL) lur_lines_add(buffer, "%s", "");
  if (buffer->failed) {
    free(buffer->bytes);
    *buffer = (lur_lines){0};
    return lur_fail(LUR_ENOMEM, "no memory for a text");
  }
  *text = buffer->bytes;
  *buffer = (lur_lines){0};
  return LUR_OK;
}

lur_status lur_text_copy(const char *text, char **copy) {
  char *bytes = strdup(text);
  if (bytes == NULL) return lur_fail(LUR_ENOMEM, "no memory for a text of %zu bytes", strlen(text));
  *copy = bytes;
  return LUR_OK;
}
