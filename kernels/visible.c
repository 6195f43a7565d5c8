/* visible.c - see visible.h. */
#include "visible.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The length in bytes of the UTF-8 sequence at text, and its code point; 0: not UTF-8. RFC 3629. */
static size_t sequence(const unsigned char *text, size_t left, uint32_t *code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t n = text[0] < 0x80 ? 1 : text[0] < 0xC0 ? 0 : text[0] < 0xE0 ? 2 : text[0] < 0xF0 ? 3 : text[0] < 0xF8 ? 4 : 0;
  if (n == 0 || n > left) return 0;
  *code = n == 1 ? text[0] : text[0] & (0x7Fu >> n);
  for (size_t i = 1; i < n; i++) {
    if ((text[i] & 0xC0) != 0x80) return 0;
    *code = *code << 6 | (text[i] & 0x3Fu);
  }
  bool valid = *code >= least[n] && *code <= 0x10FFFF && !(*code >= 0xD800 && *code <= 0xDFFF);
  return valid ? n : 0;
}

static bool is_control(uint32_t code, bool lines) {
  if (lines && (code == '\n' || code == '\t')) return false;
  return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

static bool is_direction(uint32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0x200E || code == 0x200F ||
         code == 0x061C || code == 0x2028 || code == 0x2029;
}

size_t lur_visible(const char *text, size_t length, bool lines, char *out, size_t capacity) {
  size_t total = 0, used = 0;
  bool full = capacity == 0;
  for (size_t at = 0; at < length;) {
    const unsigned char *bytes = (const unsigned char *)text + at;
    char escaped[16];
    uint32_t code = 0;
    size_t n = sequence(bytes, length - at, &code);
    const char *put = escaped;
    int count;
    if (n == 0 || is_control(code, lines))
      count = snprintf(escaped, sizeof escaped, "\\x%02x", n == 0 ? bytes[0] : code);
    else if (is_direction(code)) count = snprintf(escaped, sizeof escaped, "\\u{%04x}", code);
    else put = text + at, count = (int)n;
    total += (size_t)count;
    full = full || used + (size_t)count >= capacity;
    if (!full) {
      memcpy(out + used, put, (size_t)count);
      used += (size_t)count;
    }
    at += n == 0 ? 1 : n;
  }
  if (capacity > 0) out[used] = '\0';
  return total;
}
