/* list.c - datasets from a list or CSV file: one image per line, columns by number or by the names in the header.
 * Quoting follows RFC 4180: "a ""quoted"" field, with a comma". Malformed lists are LUR_EFORMAT, with the line number.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "dataset.h"

enum { MAX_FIELDS = 256 };

typedef struct reader {
  const char *path;
  const char *at, *end;
  char separator;
  int64_t line;      /* where the last record read begins, from 1 */
  int64_t next_line; /* of the next record */
  lur_texts fields;  /* of the record last read */
} reader;

/* Reads a quoted field into buffer, from after its opening quote to after its closing one. */
static lur_status quoted_field(reader *r, lur_bytes *buffer) {
  for (;;) {
    if (r->at == r->end)
      return lur_fail(LUR_EFORMAT, "%s: line %lld: a quoted field does not end", r->path, (long long)r->line);
    char c = *r->at++;
    if (c == '"' && (r->at == r->end || *r->at != '"')) return LUR_OK;
    if (c == '"') r->at++;
    if (c == '\n') r->next_line++;
    if (buffer->count == buffer->capacity) LUR_TRY(lur_bytes_reserve(buffer, 2 * buffer->capacity + 256));
    buffer->data[buffer->count++] = (uint8_t)c;
  }
}

static lur_status read_field(reader *r, lur_bytes *buffer) {
  if (r->fields.n == MAX_FIELDS)
    return lur_fail(LUR_EFORMAT, "%s: line %lld has more than %d fields", r->path, (long long)r->line, MAX_FIELDS);
  buffer->count = 0;
  if (r->at < r->end && *r->at == '"') {
    r->at++;
    LUR_TRY(quoted_field(r, buffer));
    if (r->at < r->end && *r->at != r->separator && *r->at != '\n' && *r->at != '\r')
      return lur_fail(LUR_EFORMAT, "%s: line %lld: text after a closing quote", r->path, (long long)r->line);
    return lur_texts_add_n(&r->fields, (const char *)buffer->data, buffer->count);
  }
  const char *from = r->at;
  while (r->at < r->end && *r->at != r->separator && *r->at != '\n') r->at++;
  size_t n = (size_t)(r->at - from);
  if (n && from[n - 1] == '\r') n--;
  return lur_texts_add_n(&r->fields, from, n);
}

/* The next record, empty lines and comments (#) skipped; *more is false at the end. */
static lur_status read_record(reader *r, lur_bytes *buffer, bool *more) {
  lur_texts_free(&r->fields);
  while (r->at < r->end && (*r->at == '\n' || *r->at == '\r' || *r->at == '#')) {
    while (r->at < r->end && *r->at != '\n') r->at++;
    if (r->at < r->end) r->at++, r->next_line++;
  }
  *more = r->at < r->end;
  r->line = r->next_line;
  while (*more) {
    LUR_TRY(read_field(r, buffer));
    if (r->at < r->end && *r->at == '\r') r->at++;
    if (r->at == r->end || *r->at == '\n') break;
    r->at++;
  }
  if (r->at < r->end) r->at++, r->next_line++;
  return LUR_OK;
}

/* Position of a column that is given by number or name. */
static lur_status find_column(const reader *r, const char *column, bool header, int *position) {
  char *end;
  long number = strtol(column, &end, 10);
  if (*column && *end == 0 && number >= 1 && number <= MAX_FIELDS) {
    *position = (int)number - 1;
    return LUR_OK;
  }
  for (int64_t i = 0; header && i < r->fields.n; i++)
    if (strcmp(r->fields.at[i], column) == 0) {
      *position = (int)i;
      return LUR_OK;
    }
  if (!header)
    return lur_fail(LUR_EARG, "%s: column '%s' is not a number, and the list has no header with column names", r->path,
                    column);
  return lur_fail(LUR_EFORMAT, "%s: the header has no column '%s'", r->path, column);
}

typedef struct columns {
  int path, class_id;
} columns;

static lur_status find_columns(const reader *r, const lur_list_options *o, columns *c) {
  LUR_TRY(find_column(r, o->path_column ? o->path_column : "1", o->header, &c->path));
  c->class_id = r->fields.n > 1 ? 1 : -1;
  if (o->class_column) LUR_TRY(find_column(r, o->class_column, o->header, &c->class_id));
  return LUR_OK;
}

static lur_status add_record(lur_dataset *d, const reader *r, const columns *c, const char *root, lur_texts *classes) {
  int need = c->path > c->class_id ? c->path : c->class_id;
  if (r->fields.n <= need)
    return lur_fail(LUR_EFORMAT, "%s: line %lld has %lld fields, at least %d expected", r->path, (long long)r->line,
                    (long long)r->fields.n, need + 1);
  const char *name = r->fields.at[c->path];
  if (!*name) return lur_fail(LUR_EFORMAT, "%s: line %lld has no image", r->path, (long long)r->line);
  char path[4096];
  int n = name[0] == '/' || !*root ? snprintf(path, sizeof path, "%s", name)
                                   : snprintf(path, sizeof path, "%s/%s", root, name);
  if (n < 0 || n >= (int)sizeof path)
    return lur_fail(LUR_EFORMAT, "%s: line %lld: path too long", r->path, (long long)r->line);
  LUR_TRY(lur_dataset_add(d, path, name, -1, NULL));
  return c->class_id < 0 ? LUR_OK : lur_texts_add(classes, r->fields.at[c->class_id]);
}

static lur_status read_list(reader *r, const lur_list_options *o, const char *root, lur_bytes *buffer, lur_dataset *d,
                            lur_texts *classes) {
  columns c = {0, -1};
  bool more, first = true;
  LUR_TRY(read_record(r, buffer, &more));
  for (; more; first = false) {
    if (first) LUR_TRY(find_columns(r, o, &c));
    if (!first || !o->header) LUR_TRY(add_record(d, r, &c, root, classes));
    LUR_TRY(read_record(r, buffer, &more));
  }
  return d->size ? LUR_OK : lur_fail(LUR_EFORMAT, "%s: the list names no image", r->path);
}

static char find_separator(const lur_bytes *text) {
  for (size_t i = 0; i < text->count && text->data[i] != '\n'; i++)
    if (text->data[i] == '\t') return '\t';
  return ',';
}

/* The folder of the list file; "" for the current folder. */
static void folder_of(const char *path, char *root, size_t room) {
  const char *slash = strrchr(path, '/');
  snprintf(root, room, "%.*s", slash ? (int)(slash - path) + (slash == path) : 0, path);
}

lur_status lur_dataset_list(const char *path, const lur_list_options *list, const lur_dataset_options *options,
                            lur_dataset **dataset) {
  lur_list_options o = list ? *list : (lur_list_options){0};
  lur_bytes text = {0}, buffer = {0};
  lur_texts classes = {0};
  lur_dataset *d = NULL;
  char source[4200], root[4096];
  reader r = {.path = path, .line = 1, .next_line = 1};
  snprintf(source, sizeof source, "list '%s'", path);
  folder_of(path, root, sizeof root);
  lur_status status = lur_dataset_new(source, &d);
  if (status == LUR_OK && (status = lur_bytes_read(path, &text, NULL)) != LUR_OK) lur_blame(status, "list '%s'", path);
  if (status == LUR_OK) status = lur_bytes_reserve(&buffer, 256);
  if (status == LUR_OK) {
    bool mark = text.count >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0;
    r.at = (const char *)text.data + (mark ? 3 : 0);
    r.end = (const char *)text.data + text.count;
    r.separator = o.separator ? o.separator : find_separator(&text);
    if (memchr(text.data, 0, text.count)) status = lur_fail(LUR_EFORMAT, "list '%s' is not a text file", path);
    else status = read_list(&r, &o, o.root ? o.root : root, &buffer, d, &classes);
  }
  if (status == LUR_OK && classes.n) status = lur_dataset_classify(d, (const char *const *)classes.at, options);
  if (status == LUR_OK) status = lur_dataset_finish(d);
  lur_texts_free(&r.fields);
  lur_texts_free(&classes);
  lur_bytes_free(&text);
  lur_bytes_free(&buffer);
  if (status == LUR_OK) *dataset = d;
  else lur_dataset_release(d);
  return status;
}
