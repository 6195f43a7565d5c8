/* option.c - reads, prints and lists options from declared tables; see option.h.
 *
 * It knows types and ranges, not meanings: the owner checks options that depend on each other.
 * To add an option type: a case in `store`, `store_default`, `lur_option_get` and `expected`, and a name in
 * `lur_options_info`. */
#include "option.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/number.h"

enum { MAX_NAME = 63, MAX_CANDIDATES = 64, TEXT = 192, UNBOUNDED = 1 << 30 };

/* ---- the nearest name ---- */

/* Edit distance: insertions, deletions, replacements and swaps of neighbours cost 1 each (optimal string alignment). */
static int distance(const char *a, const char *b) {
  int rows[3][MAX_NAME + 1], na = (int)strlen(a), nb = (int)strlen(b);
  for (int j = 0; j <= nb; j++) rows[0][j] = j;
  for (int i = 1; i <= na; i++) {
    int *row = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3]; /* of i, i - 1, i - 2 */
    row[0] = i;
    for (int j = 1; j <= nb; j++) {
      int least = last[j - 1] + (a[i - 1] != b[j - 1]);
      if (last[j] + 1 < least) least = last[j] + 1;
      if (row[j - 1] + 1 < least) least = row[j - 1] + 1;
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && before[j - 2] + 1 < least) least = before[j - 2] + 1;
      row[j] = least;
    }
  }
  return rows[na % 3][nb];
}

const char *lur_nearest(const char *name, const char *const *candidates, int n) {
  size_t length = strlen(name);
  const char *best = NULL;
  int best_distance = 3;
  if (length > MAX_NAME) return NULL;
  for (int i = 0; i < n; i++) {
    if (strlen(candidates[i]) > MAX_NAME) continue;
    int d = distance(name, candidates[i]);
    if (d < best_distance && (size_t)d * 2 < length) {
      best = candidates[i];
      best_distance = d;
    }
  }
  return best;
}

/* ---- text ---- */

typedef struct writer {
  char *text;
  size_t capacity;
  int used; /* as snprintf counts: the length needed so far */
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *format, ...) {
  size_t at = (size_t)w->used < w->capacity ? (size_t)w->used : w->capacity;
  va_list args;
  va_start(args, format);
  int n = lur_vformat(at < w->capacity ? w->text + at : NULL, w->capacity - at, format, args);
  va_end(args);
  if (n > 0) w->used += n;
}

/* The shortest decimal that reads back as the same number. */
static void put_real(writer *w, double value) {
  char text[LUR_NUMBER_TEXT];
  lur_shortest_number(value, 6, text);
  put(w, "%s", text);
}

static void put_ints(writer *w, int n, const int64_t *ints) {
  put(w, "{");
  for (int i = 0; i < n; i++) put(w, i ? ",%lld" : "%lld", (long long)ints[i]);
  put(w, "}");
}

/* In the form in which a user would write it. */
static void put_setting(writer *w, const lur_setting *s) {
  switch (s->type) {
  case LUR_NONE: put(w, "nil"); break;
  case LUR_BOOL: put(w, s->boolean ? "true" : "false"); break;
  case LUR_INT: put(w, "%lld", (long long)s->integer); break;
  case LUR_REAL: put_real(w, s->real); break;
  case LUR_STRING: put(w, "\"%.80s\"", s->string); break;
  case LUR_INTS: put_ints(w, s->count, s->ints); break;
  }
}

/* ---- what an option expects, in words ---- */

static bool bounded_below(const lur_option *o) { return o->min != 0 || o->max != 0; }
static bool bounded_above(const lur_option *o) { return bounded_below(o) && o->max >= o->min && o->max < UNBOUNDED; }

static void put_range(writer *w, const lur_option *o, const char *one, const char *positive) {
  if (bounded_above(o)) {
    put(w, "%s from %g to %g", one, o->min, o->max);
  } else if (!bounded_below(o)) {
    put(w, "%s", one);
  } else if (o->min == 1 && o->type != LUR_OPT_REAL) {
    put(w, "%s", positive);
  } else {
    put(w, "%s of at least %g", one, o->min);
  }
}

/* got may be NULL. A pair is described as one number, unless a list was given. */
static const char *expected(const lur_option *o, const lur_setting *got, char text[TEXT]) {
  bool list = got && got->type == LUR_INTS;
  writer w = {text, TEXT, 0};
  switch (o->type) {
  case LUR_OPT_BOOL: put(&w, "true or false"); break;
  case LUR_OPT_INT: put_range(&w, o, "integer", "positive integer"); break;
  case LUR_OPT_REAL: put_range(&w, o, "number", "number"); break;
  case LUR_OPT_PAIR:
    put_range(&w, o, list ? "pair of integers" : "integer", list ? "pair of positive integers" : "positive integer");
    break;
  case LUR_OPT_SHAPE: put_range(&w, o, "list of extents", "list of positive extents"); break;
  case LUR_OPT_INTS:
    put_range(&w, o, list ? "integers" : "integer or list of integers",
              list ? "positive integers" : "positive integer or list of them");
    break;
  case LUR_OPT_CHOICE:
    for (int i = 0; o->choices[i]; i++)
      put(&w, "%s\"%s\"", i == 0 ? "" : o->choices[i + 1] ? ", " : " or ", o->choices[i]);
    break;
  case LUR_OPT_TEXT: put(&w, "text of at most %d bytes", LUR_OPTION_TEXT - 1); break;
  }
  return text;
}

static lur_status bad(const char *owner, const lur_option *o, const lur_setting *s) {
  char want[TEXT], got[TEXT];
  writer w = {got, sizeof got, 0};
  put_setting(&w, s);
  return lur_fail(LUR_EARG, "bad option '%s' to '%s' (%s expected, got %s)", o->name, owner, expected(o, s, want), got);
}

static lur_status bad_choice(const char *owner, const lur_option *o, const char *got) {
  char want[TEXT];
  int n = 0;
  while (o->choices[n]) n++;
  const char *near = lur_nearest(got, o->choices, n);
  return lur_fail(LUR_EARG, "bad option '%s' to '%s' (%s expected, got \"%.80s\"%s%s%s)", o->name, owner,
                  expected(o, NULL, want), got, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* ---- storing one value ---- */

static bool in_range(const lur_option *o, double value) {
  if (!isfinite(value)) return false;
  if (bounded_below(o) && value < o->min) return false;
  return !(bounded_above(o) && value > o->max);
}

/* An integer, or a real that is one: Lua and JSON both write 3.0 where they mean 3. */
static bool whole(const lur_setting *s, int64_t *value) {
  if (s->type == LUR_INT) {
    *value = s->integer;
    return true;
  }
  if (s->type != LUR_REAL || !(fabs(s->real) < 9007199254740992.0) || s->real != floor(s->real)) return false;
  *value = (int64_t)s->real;
  return true;
}

/* One integer or a list, all in range; a lone integer counts as a list of one. */
static bool whole_list(const lur_option *o, const lur_setting *s, int *n, int64_t ints[LUR_MAX_DIMS]) {
  if (s->type == LUR_INTS) {
    if (s->count < 0 || s->count > LUR_MAX_DIMS) return false;
    *n = s->count;
    memcpy(ints, s->ints, sizeof s->ints);
  } else {
    *n = 1;
    if (!whole(s, &ints[0])) return false;
  }
  for (int i = 0; i < *n; i++) {
    if (!in_range(o, (double)ints[i])) return false;
  }
  return true;
}

static bool store_number(const lur_option *o, const lur_setting *s, void *field) {
  int64_t integer;
  if (o->type == LUR_OPT_INT) {
    if (!whole(s, &integer) || !in_range(o, (double)integer)) return false;
    memcpy(field, &integer, sizeof integer);
    return true;
  }
  double real = s->type == LUR_INT ? (double)s->integer : s->real;
  if ((s->type != LUR_INT && s->type != LUR_REAL) || !in_range(o, real)) return false;
  memcpy(field, &real, sizeof real);
  return true;
}

static bool store_list(const lur_option *o, const lur_setting *s, void *field) {
  int n;
  int64_t ints[LUR_MAX_DIMS] = {0};
  if (!whole_list(o, s, &n, ints)) return false;
  if (o->type == LUR_OPT_SHAPE || o->type == LUR_OPT_INTS) {
    lur_shape *shape = field;
    shape->ndim = n;
    memcpy(shape->dim, ints, sizeof shape->dim);
    return true;
  }
  if (n == 1) ints[1] = ints[0];
  if (n > 2 || (s->type == LUR_INTS && n != 2)) return false;
  if (ints[0] > INT32_MAX || ints[1] > INT32_MAX) return false; /* windows are ints in op descriptions */
  memcpy(field, ints, 2 * sizeof ints[0]);
  return true;
}

static lur_status store(const char *owner, const lur_option *o, const lur_setting *s, void *options) {
  void *field = (char *)options + o->offset;
  bool good = false;
  switch (o->type) {
  case LUR_OPT_BOOL:
    good = s->type == LUR_BOOL;
    if (good) *(bool *)field = s->boolean;
    break;
  case LUR_OPT_INT:
  case LUR_OPT_REAL: good = store_number(o, s, field); break;
  case LUR_OPT_PAIR:
  case LUR_OPT_SHAPE:
  case LUR_OPT_INTS: good = store_list(o, s, field); break;
  case LUR_OPT_CHOICE:
    for (int i = 0; s->type == LUR_STRING && o->choices[i]; i++) {
      if (strcmp(o->choices[i], s->string) != 0) continue;
      *(int *)field = i;
      return LUR_OK;
    }
    if (s->type == LUR_STRING) return bad_choice(owner, o, s->string);
    break;
  case LUR_OPT_TEXT:
    good = s->type == LUR_STRING && strlen(s->string) < LUR_OPTION_TEXT;
    if (good) memcpy(field, s->string, strlen(s->string) + 1);
    break;
  }
  return good ? LUR_OK : bad(owner, o, s);
}

/* ---- defaults: texts of the table, assumed to be well-formed but not to be in the range ---- */

static int parse_ints(const char *text, int64_t ints[LUR_MAX_DIMS]) {
  int n = 0;
  while (*text && n < LUR_MAX_DIMS) {
    if (isdigit((unsigned char)*text) || *text == '-') {
      char *end;
      ints[n++] = strtoll(text, &end, 10);
      text = end;
    } else {
      text++;
    }
  }
  return n;
}

static void store_default(const lur_option *o, void *options) {
  void *field = (char *)options + o->offset;
  int64_t ints[LUR_MAX_DIMS] = {0};
  switch (o->type) {
  case LUR_OPT_BOOL: *(bool *)field = strcmp(o->def, "true") == 0; break;
  case LUR_OPT_INT: *(int64_t *)field = strtoll(o->def, NULL, 10); break;
  case LUR_OPT_REAL: *(double *)field = lur_parse_number(o->def, NULL); break;
  case LUR_OPT_PAIR:
    if (parse_ints(o->def, ints) < 2) ints[1] = ints[0];
    memcpy(field, ints, 2 * sizeof ints[0]);
    break;
  case LUR_OPT_SHAPE:
  case LUR_OPT_INTS:
    ((lur_shape *)field)->ndim = parse_ints(o->def, ints);
    memcpy(((lur_shape *)field)->dim, ints, sizeof ints);
    break;
  case LUR_OPT_CHOICE:
    for (int i = 0; o->choices[i]; i++) {
      if (strcmp(o->choices[i], o->def) == 0) *(int *)field = i;
    }
    break;
  case LUR_OPT_TEXT: snprintf(field, LUR_OPTION_TEXT, "%s", o->def); break;
  }
}

/* ---- reading a whole set ---- */

static int rows_of(const lur_option *table) {
  int n = 0;
  while (table && table[n].name) n++;
  return n;
}

static int row_named(const lur_option *table, const char *name) {
  const char *const *others = table ? table[rows_of(table)].choices : NULL;
  for (int i = 0; others && others[i]; i += 2) {
    if (strcmp(others[i], name) == 0) name = others[i + 1];
  }
  for (int i = 0; table && table[i].name; i++) {
    if (strcmp(table[i].name, name) == 0) return i;
  }
  return -1;
}

static bool skipped(const char *const *skip, const char *name) {
  for (int i = 0; skip && skip[i]; i++) {
    if (strcmp(skip[i], name) == 0) return true;
  }
  return false;
}

static lur_status unknown(const char *owner, const lur_option *table, const char *const *skip, const char *name) {
  const char *candidates[MAX_CANDIDATES];
  int n = 0;
  for (int i = 0; table && table[i].name && n < MAX_CANDIDATES; i++) candidates[n++] = table[i].name;
  for (int i = 0; skip && skip[i] && n < MAX_CANDIDATES; i++) candidates[n++] = skip[i];
  const char *near = lur_nearest(name, candidates, n);
  if (near)
    return lur_fail(LUR_EARG, "unknown option '%.80s' to '%s' (did you mean '%s'?)", name, owner, near);
  char known[2 * TEXT];
  writer w = {known, sizeof known, 0};
  for (int i = 0; i < n; i++) put(&w, "%s%s", i ? ", " : " (", candidates[i]);
  put(&w, n ? " expected)" : "");
  return lur_fail(LUR_EARG, "unknown option '%.80s' to '%s'%s", name, owner,
                  (size_t)w.used < sizeof known ? known : "");
}

/* The table row a setting goes to: *row, or -1 where another table owns it. */
static lur_status find_row(const char *owner, const lur_option *table, const char *const *skip, const lur_setting *s,
                           int *row) {
  if (s->name) {
    *row = row_named(table, s->name);
    return *row >= 0 || skipped(skip, s->name) ? LUR_OK : unknown(owner, table, skip, s->name);
  }
  int n = rows_of(table);
  if (s->position < 1 || s->position > n) {
    return lur_fail(LUR_EARG, "option number %d to '%s' (at most %d options without a name expected)", s->position,
                    owner, n);
  }
  *row = s->position - 1;
  return LUR_OK;
}

lur_status lur_options_read(const char *owner, const lur_option *table, const lur_setting *settings, int n,
                            const char *const *skip, void *options, size_t size) {
  bool given[MAX_CANDIDATES] = {false};
  int rows = rows_of(table);
  if (rows > MAX_CANDIDATES)
    return lur_fail(LUR_EARG, "'%s' declares %d options (at most %d expected)", owner, rows, MAX_CANDIDATES);
  if (size) memset(options, 0, size);
  for (int i = 0; i < rows; i++) {
    if (table[i].def) store_default(&table[i], options);
  }
  for (int i = 0; i < n; i++) {
    int row;
    LUR_TRY(find_row(owner, table, skip, &settings[i], &row));
    if (row < 0) continue;
    if (given[row]) return lur_fail(LUR_EARG, "option '%s' to '%s' is given twice", table[row].name, owner);
    given[row] = true;
    LUR_TRY(store(owner, &table[row], &settings[i], options));
  }
  for (int i = 0; i < rows; i++) {
    char want[TEXT];
    if (table[i].def || given[i]) continue;
    return lur_fail(LUR_EARG, "missing option '%s' to '%s' (%s expected)", table[i].name, owner,
                    expected(&table[i], NULL, want));
  }
  return LUR_OK;
}

/* ---- reading back ---- */

void lur_option_get(const lur_option *o, const void *options, lur_setting *setting) {
  const void *field = (const char *)options + o->offset;
  lur_setting s = {.name = o->name};
  switch (o->type) {
  case LUR_OPT_BOOL:
    s.type = LUR_BOOL;
    s.boolean = *(const bool *)field;
    break;
  case LUR_OPT_INT:
    s.type = LUR_INT;
    s.integer = *(const int64_t *)field;
    s.real = (double)s.integer;
    break;
  case LUR_OPT_REAL:
    s.type = LUR_REAL;
    s.real = *(const double *)field;
    break;
  case LUR_OPT_PAIR:
    s.type = LUR_INTS;
    s.count = 2;
    memcpy(s.ints, field, 2 * sizeof s.ints[0]);
    break;
  case LUR_OPT_INTS:
  case LUR_OPT_SHAPE:
    s.type = LUR_INTS;
    s.count = ((const lur_shape *)field)->ndim;
    memcpy(s.ints, ((const lur_shape *)field)->dim, sizeof s.ints);
    if (o->type == LUR_OPT_SHAPE || s.count != 1) break;
    s.type = LUR_INT;
    s.integer = s.ints[0];
    s.real = (double)s.integer;
    break;
  case LUR_OPT_CHOICE:
    s.type = LUR_STRING;
    s.string = o->choices[*(const int *)field];
    break;
  case LUR_OPT_TEXT:
    s.type = LUR_STRING;
    s.string = field;
    break;
  }
  *setting = s;
}

/* Room for the default of one option, of any type. */
typedef union one_value {
  bool boolean;
  int64_t integers[2];
  double real;
  lur_shape shape;
  int choice;
  char text[LUR_OPTION_TEXT];
} one_value;

static bool is_default(const lur_option *o, const lur_setting *now) {
  if (!o->def) return false;
  one_value value = {.text = {0}};
  lur_option alone = *o;
  lur_setting def;
  alone.offset = 0;
  store_default(&alone, &value);
  lur_option_get(&alone, &value, &def);
  char a[2 * TEXT], b[2 * TEXT];
  writer wa = {a, sizeof a, 0}, wb = {b, sizeof b, 0};
  put_setting(&wa, now);
  put_setting(&wb, &def);
  return strcmp(a, b) == 0;
}

bool lur_option_is_default(const lur_option *o, const void *options) {
  lur_setting now;
  lur_option_get(o, options, &now);
  return is_default(o, &now);
}

int lur_options_format(const lur_option *table, const void *options, bool all, char *text, size_t capacity) {
  writer w = {text, capacity, 0};
  const char *between = "";
  if (capacity) text[0] = '\0';
  for (int i = 0; table && table[i].name; i++) {
    lur_setting s;
    lur_option_get(&table[i], options, &s);
    if (!all && is_default(&table[i], &s)) continue;
    put(&w, "%s%s = ", between, table[i].name);
    put_setting(&w, &s);
    between = ", ";
  }
  return w.used;
}

int lur_options_info(const lur_option *table, lur_option_info *info, int capacity) {
  static const char *const types[] = {"boolean", "integer", "number", "integer or pair", "shape", "integer or list",
                                      "choice",  "text"};
  int n = rows_of(table);
  for (int i = 0; i < n && i < capacity; i++) {
    info[i] = (lur_option_info){table[i].name, types[table[i].type], table[i].def, table[i].help,
                                table[i].choices};
  }
  return n;
}
