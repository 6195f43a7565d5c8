/* json.c - see json.h. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/number.h"

enum { MAX_DEPTH = 100, MAX_NUMBER = 60 };

/* ---- characters ---- */

/* The number of bytes of the UTF-8 character at text, or 0. */
static size_t character(const unsigned char *c, size_t left) {
  static const unsigned char low[4] = {0xA0, 0x80, 0x90, 0x80}, high[4] = {0xBF, 0x9F, 0xBF, 0x8F};
  if (left == 0 || c[0] == 0) return 0;
  if (c[0] < 0x80) return 1;
  size_t count = c[0] < 0xC2 ? 0 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 0;
  if (count == 0 || left < count) return 0;
  for (size_t i = 1; i < count; i++)
    if ((c[i] & 0xC0) != 0x80) return 0;
  /* Overlong forms, surrogates, and characters beyond U+10FFFF. */
  int special = c[0] == 0xE0 ? 0 : c[0] == 0xED ? 1 : c[0] == 0xF0 ? 2 : c[0] == 0xF4 ? 3 : -1;
  if (special >= 0 && (c[1] < low[special] || c[1] > high[special])) return 0;
  return count;
}

bool lur_text_is_utf8(const char *text, size_t length) {
  for (size_t at = 0, count; at < length; at += count) {
    count = character((const unsigned char *)text + at, length - at);
    if (count == 0) return false;
  }
  return true;
}

static int digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* The four hexadecimal digits at text as a number, or -1. */
static long hexadecimal(const char *text, size_t left) {
  long value = 0;
  for (size_t i = 0; i < 4; i++) {
    int d = i < left ? digit(text[i]) : -1;
    if (d < 0) return -1;
    value = value * 16 + d;
  }
  return value;
}

/* Decodes the escape at text, which is after a backslash, to at most 4 bytes of UTF-8. Returns the number of characters
   read, 0 for an escape that is not allowed. */
static size_t escape(const char *text, size_t left, char bytes[4], size_t *count) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  *count = 1;
  if (left == 0) return 0;
  const char *letter = text[0] ? strchr(letters, text[0]) : NULL;
  if (letter) {
    bytes[0] = meanings[letter - letters];
    return 1;
  }
  long code = text[0] == 'u' ? hexadecimal(text + 1, left - 1) : -1;
  size_t used = 5;
  if (code >= 0xD800 && code < 0xDC00) {
    long low = left > 7 && text[5] == '\\' && text[6] == 'u' ? hexadecimal(text + 7, left - 7) : -1;
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    used = 11;
  }
  if (code <= 0 || (code >= 0xD800 && code < 0xE000)) return 0;
  *count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const unsigned char first[5] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = *count; i-- > 0; code >>= 6)
    bytes[i] = (char)(i == 0 ? (long)first[*count] | code : 0x80 | (code & 0x3F));
  return used;
}

/* ---- cJSON, in the C locale ---- */

cJSON *lur_json_tree(const char *text, size_t length, const char **end) {
  void *previous = lur_c_locale_enter();
  cJSON *item = cJSON_ParseWithLengthOpts(text, length, end, false);
  lur_c_locale_leave(previous);
  return item;
}

char *lur_json_print(const cJSON *item) {
  void *previous = lur_c_locale_enter();
  char *text = cJSON_PrintUnformatted(item);
  lur_c_locale_leave(previous);
  return text;
}

/* ---- the check ---- */

typedef struct key { /* of an object that is still open */
  uint64_t hash;     /* of the decoded key */
  size_t at;
} key;

typedef struct check {
  const char *text;
  size_t length, at;
  key *keys; /* a stack: those of the outer objects first */
  size_t nkeys, room;
} check;

static lur_status value(check *c, int depth);

static lur_status wrong(const char *what) { return lur_fail(LUR_EFORMAT, "%s", what); }

static void skip_space(check *c) {
  while (c->at < c->length && c->text[c->at] != '\0' && strchr(" \t\r\n", c->text[c->at])) c->at++;
}

static bool take(check *c, char wanted) {
  if (c->at >= c->length || c->text[c->at] != wanted) return false;
  c->at++;
  return true;
}

static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t count) { /* FNV-1a */
  for (size_t i = 0; i < count; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001B3u;
  return hash;
}

/* The string at the cursor, and a hash of what it decodes to. */
static lur_status string(check *c, uint64_t *hash) {
  *hash = 0xCBF29CE484222325u;
  if (!take(c, '"')) return wrong("a string in double quotes was expected");
  while (!take(c, '"')) {
    const char *here = c->text + c->at;
    size_t left = c->length - c->at, count = 0;
    char bytes[4];
    if (left == 0) return wrong("a string does not end");
    if (*here == '\\') {
      size_t used = escape(here + 1, left - 1, bytes, &count);
      if (used == 0) return wrong("an escape in a string is wrong, or stands for NUL or half a character");
      *hash = hash_bytes(*hash, bytes, count);
      c->at += 1 + used;
      continue;
    }
    count = character((const unsigned char *)here, left);
    if (count == 0) return wrong("a string is not UTF-8");
    if ((unsigned char)*here < 0x20) return wrong("a control character in a string must be an escape");
    *hash = hash_bytes(*hash, here, count);
    c->at += count;
  }
  return LUR_OK;
}

static bool digits(check *c) {
  size_t begin = c->at;
  while (c->at < c->length && c->text[c->at] >= '0' && c->text[c->at] <= '9') c->at++;
  return c->at > begin;
}

static lur_status number(check *c) {
  size_t start = c->at;
  take(c, '-');
  size_t begin = c->at;
  bool good = digits(c) && (c->text[begin] != '0' || c->at == begin + 1);
  if (good && take(c, '.')) good = digits(c);
  if (good && (take(c, 'e') || take(c, 'E'))) {
    if (!take(c, '+')) take(c, '-');
    good = digits(c);
  }
  if (good && c->at - start > MAX_NUMBER) return wrong("a number has too many digits"); /* for cJSON, which cuts it */
  return good ? LUR_OK : wrong("a value was expected");
}

static lur_status word(check *c, const char *wanted) {
  size_t count = strlen(wanted);
  if (c->length - c->at < count || memcmp(c->text + c->at, wanted, count) != 0) return wrong("a value was expected");
  c->at += count;
  return LUR_OK;
}

static lur_status push_key(check *c, size_t at, uint64_t hash) {
  if (c->nkeys == c->room) {
    size_t room = 2 * c->room + 64;
    key *more = realloc(c->keys, room * sizeof *more);
    if (!more) return lur_fail(LUR_ENOMEM, "no memory to check a JSON text of %zu bytes", c->length);
    c->keys = more;
    c->room = room;
  }
  c->keys[c->nkeys++] = (key){hash, at};
  return LUR_OK;
}

static int by_hash(const void *a, const void *b) {
  const key *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

/* Pops the keys of an object, from number `first` on, and compares them. Two different keys with one hash of 64 bits do
   not happen by chance; who makes them gets this error. */
static lur_status pop_keys(check *c, size_t first) {
  size_t n = c->nkeys - first;
  c->nkeys = first;
  if (n < 2) return LUR_OK;
  qsort(c->keys + first, n, sizeof *c->keys, by_hash);
  for (size_t i = first + 1; i < first + n; i++) {
    if (c->keys[i].hash != c->keys[i - 1].hash) continue;
    c->at = c->keys[i].at;
    const char *name = c->text + c->at + 1;
    int length = 0;
    while (length < 100 && name[length] != '"') length++;
    return lur_fail(LUR_EFORMAT, "the key '%.*s' is there twice", length, name);
  }
  return LUR_OK;
}

static lur_status object(check *c, int depth) {
  size_t first = c->nkeys;
  uint64_t hash;
  skip_space(c);
  if (take(c, '}')) return LUR_OK;
  do {
    skip_space(c);
    size_t at = c->at;
    LUR_TRY(string(c, &hash));
    LUR_TRY(push_key(c, at, hash));
    skip_space(c);
    if (!take(c, ':')) return wrong("a colon was expected after a key");
    LUR_TRY(value(c, depth + 1));
    skip_space(c);
  } while (take(c, ','));
  if (!take(c, '}')) return wrong("a comma or the end of an object was expected");
  return pop_keys(c, first);
}

static lur_status array(check *c, int depth) {
  skip_space(c);
  if (take(c, ']')) return LUR_OK;
  do {
    LUR_TRY(value(c, depth + 1));
    skip_space(c);
  } while (take(c, ','));
  return take(c, ']') ? LUR_OK : wrong("a comma or the end of an array was expected");
}

static lur_status value(check *c, int depth) {
  uint64_t hash;
  skip_space(c);
  if (depth > MAX_DEPTH) return wrong("it is nested too deep");
  if (take(c, '{')) return object(c, depth);
  if (take(c, '[')) return array(c, depth);
  switch (c->at < c->length ? c->text[c->at] : '\0') {
  case '"': return string(c, &hash);
  case 't': return word(c, "true");
  case 'f': return word(c, "false");
  case 'n': return word(c, "null");
  default: return number(c);
  }
}

lur_status lur_json_check(const char *text, size_t length, size_t *end) {
  check c = {.text = text, .length = length};
  lur_status status = value(&c, 0);
  free(c.keys);
  *end = c.at;
  return status;
}

lur_status lur_json_parse(const char *text, cJSON **tree) {
  size_t length = strlen(text), end = 0;
  lur_status status = lur_json_check(text, length, &end);
  if (status == LUR_OK) {
    while (end < length && strchr(" \t\r\n", text[end])) end++;
    if (end < length) status = wrong("something follows the value");
  }
  if (status == LUR_EFORMAT) {
    char what[256];
    strncpy(what, lur_last_error(), sizeof what - 1);
    what[sizeof what - 1] = '\0';
    return lur_fail(LUR_EFORMAT, "not JSON: %s at byte %zu", what, end + 1);
  }
  LUR_TRY(status);
  *tree = lur_json_tree(text, length, NULL);
  return *tree ? LUR_OK : lur_fail(LUR_ENOMEM, "no memory for a JSON text of %zu bytes", length);
}

/* ---- the cursor ---- */

static void pass_space(const char **at) {
  while (**at == ' ' || **at == '\t' || **at == '\r' || **at == '\n') ++*at;
}

char lur_json_kind(const char **at) {
  pass_space(at);
  return **at;
}

void lur_json_enter(const char **at) {
  pass_space(at);
  ++*at;
}

bool lur_json_more(const char **at) {
  pass_space(at);
  if (**at == ',') {
    ++*at;
    pass_space(at);
    return true;
  }
  if (**at != '}' && **at != ']') return true;
  ++*at;
  return false;
}

const char *lur_json_string(const char **at, char **to) {
  const char *begin = *to;
  pass_space(at);
  for (++*at; **at != '"';) {
    if (**at != '\\') {
      *(*to)++ = *(*at)++;
      continue;
    }
    size_t count = 0;
    *at += 1 + escape(*at + 1, strnlen(*at + 1, 11), *to, &count);
    *to += count;
  }
  ++*at;
  *(*to)++ = '\0';
  pass_space(at);
  if (**at == ':') ++*at;
  return begin;
}

bool lur_json_whole(const char **at, uint64_t most, uint64_t *value) {
  pass_space(at);
  const char *here = *at;
  uint64_t sum = 0;
  for (; *here >= '0' && *here <= '9'; here++) {
    uint64_t d = (uint64_t)(*here - '0');
    if (sum > (most - d) / 10) return false;
    sum = 10 * sum + d;
  }
  if (here == *at || *here == '.' || *here == 'e' || *here == 'E') return false;
  *at = here;
  *value = sum;
  return true;
}

void lur_json_skip(const char **at) {
  int depth = 0;
  pass_space(at);
  do {
    char c = *(*at)++;
    if (c == '{' || c == '[') depth++;
    else if (c == '}' || c == ']') depth--;
    else if (c == '"')
      for (; **at != '"' || (++*at, false); ++*at) *at += **at == '\\';
    else if (depth == 0) /* a number or a word */
      while (**at && !strchr(",]} \t\r\n", **at)) ++*at;
  } while (depth > 0);
}
