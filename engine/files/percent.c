/* percent.c - metadata of any bytes in a header that must be UTF-8. A class folder may have a name in Latin-1; what the
 * engine writes must still open in every other reader, and come back as the same bytes here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "files.h"

/* The length of the longest prefix that is UTF-8, up to one character. */
static size_t one_character(const char *text, size_t left) {
  for (size_t count = 1; count <= 4 && count <= left; count++)
    if (lur_text_is_utf8(text, count)) return count;
  return 0;
}

lur_status lur_percent_encode(const char *text, char **encoded) {
  size_t length = strlen(text);
  char *to = malloc(3 * length + 1);
  if (to == NULL) return lur_fail(LUR_ENOMEM, "no memory for a text of %zu bytes", length);
  *encoded = to;
  for (size_t at = 0; at < length;) {
    size_t count = text[at] == '%' ? 0 : one_character(text + at, length - at);
    if (count == 0) {
      to += snprintf(to, 4, "%%%02X", (unsigned)(unsigned char)text[at++]);
      continue;
    }
    memcpy(to, text + at, count);
    to += count;
    at += count;
  }
  *to = '\0';
  return LUR_OK;
}

bool lur_percent_decode(char *text) {
  char *to = text;
  for (const char *at = text; *at; at++) {
    if (*at != '%') {
      *to++ = *at;
      continue;
    }
    char digits[3] = {at[1], at[1] ? at[2] : '\0', '\0'}, *end = NULL;
    unsigned long byte = strspn(digits, "0123456789ABCDEF") == 2 ? strtoul(digits, &end, 16) : 0;
    if (byte == 0) return false; /* NUL would cut the text */
    *to++ = (char)byte;
    at += 2;
  }
  *to = '\0';
  return true;
}
