/* dataset.c - items, classes, subsets, splits and the summary of a dataset. Files are found by folder.c and list.c.
 * To add a kind of dataset: a function that fills a new one (dataset.h) and ends with lur_dataset_finish. */
#include "dataset.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kernels/number.h"
#include "kernels/random.h"

static lur_status out_of_memory(void) { return lur_fail(LUR_ENOMEM, "out of memory for a dataset"); }

/* ---- texts ---- */

lur_status lur_texts_add_n(lur_texts *texts, const char *text, size_t count) {
  if (texts->n == texts->capacity) {
    int64_t capacity = texts->capacity ? 2 * texts->capacity : 64;
    char **at = realloc(texts->at, (size_t)capacity * sizeof *at);
    if (!at) return out_of_memory();
    texts->at = at;
    texts->capacity = capacity;
  }
  char *copy = malloc(count + 1);
  if (!copy) return out_of_memory();
  memcpy(copy, text, count);
  copy[count] = 0;
  texts->at[texts->n++] = copy;
  return LUR_OK;
}

lur_status lur_texts_add(lur_texts *texts, const char *text) { return lur_texts_add_n(texts, text, strlen(text)); }

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void lur_texts_sort(lur_texts *texts) {
  if (texts->n) qsort(texts->at, (size_t)texts->n, sizeof *texts->at, compare_texts);
}

void lur_texts_free(lur_texts *texts) {
  for (int64_t i = 0; i < texts->n; i++) free(texts->at[i]);
  free(texts->at);
  *texts = (lur_texts){0};
}

/* ---- building ---- */

lur_status lur_dataset_new(const char *source, lur_dataset **dataset) {
  lur_dataset *d = calloc(1, sizeof *d);
  if (!d) return out_of_memory();
  atomic_init(&d->refs, 1);
  d->source = strdup(source);
  if (!d->source) {
    free(d);
    return out_of_memory();
  }
  *dataset = d;
  return LUR_OK;
}

static void free_item(lur_item *item, int ncolumns) {
  free(item->path);
  free(item->name);
  for (int c = 0; item->columns && c < ncolumns; c++) free(item->columns[c]);
  free(item->columns);
}

lur_status lur_dataset_add(lur_dataset *d, const char *path, const char *name, int class_id,
                           const char *const *columns) {
  if (d->size == INT32_MAX) return lur_fail(LUR_EFORMAT, "a dataset holds at most %d images", INT32_MAX);
  if (d->size == d->capacity) {
    int64_t capacity = d->capacity ? 2 * d->capacity : 256;
    lur_item *items = realloc(d->items, (size_t)capacity * sizeof *items);
    if (!items) return out_of_memory();
    d->items = items;
    d->capacity = capacity;
  }
  lur_item item = {strdup(path), strdup(name), class_id, NULL};
  bool good = item.path && item.name;
  if (columns && d->ncolumns) {
    item.columns = calloc((size_t)d->ncolumns, sizeof *item.columns);
    good = good && item.columns;
    for (int c = 0; good && c < d->ncolumns; c++)
      good = (item.columns[c] = strdup(columns[c] ? columns[c] : "")) != NULL;
  }
  if (!good) {
    free_item(&item, d->ncolumns);
    return out_of_memory();
  }
  d->items[d->size++] = item;
  return LUR_OK;
}

lur_status lur_dataset_add_class(lur_dataset *d, const char *name) {
  if (d->nclasses == d->class_capacity) {
    int capacity = d->class_capacity ? 2 * d->class_capacity : 64;
    char **classes = realloc(d->classes, (size_t)capacity * sizeof *classes);
    if (!classes) return out_of_memory();
    d->classes = classes;
    d->class_capacity = capacity;
  }
  char *copy = strdup(name);
  if (!copy) return out_of_memory();
  d->classes[d->nclasses++] = copy;
  return LUR_OK;
}

int lur_dataset_find_class(const lur_dataset *d, const char *name) {
  for (int i = 0; i < d->nclasses; i++)
    if (strcmp(d->classes[i], name) == 0) return i;
  return -1;
}

/* Adds the distinct texts as classes, in byte-wise order. */
static lur_status add_found_classes(lur_dataset *d, const char *const *texts) {
  const char **sorted = malloc(((size_t)d->size + 1) * sizeof *sorted);
  if (!sorted) return out_of_memory();
  int64_t n = 0;
  for (int64_t i = 0; i < d->size; i++)
    if (texts[i]) sorted[n++] = texts[i];
  qsort(sorted, (size_t)n, sizeof *sorted, compare_texts);
  lur_status status = LUR_OK;
  for (int64_t i = 0; status == LUR_OK && i < n; i++)
    if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0) status = lur_dataset_add_class(d, sorted[i]);
  free(sorted);
  return status;
}

lur_status lur_dataset_classify(lur_dataset *d, const char *const *texts, const lur_dataset_options *options) {
  bool given = options && options->nclasses > 0;
  if (given)
    for (int i = 0; i < options->nclasses; i++) LUR_TRY(lur_dataset_add_class(d, options->classes[i]));
  else LUR_TRY(add_found_classes(d, texts));
  for (int64_t i = 0; i < d->size; i++) {
    const char *text = texts[i];
    if (!text) continue;
    char **hit = NULL;
    if (given) d->items[i].class_id = lur_dataset_find_class(d, text);
    else if ((hit = bsearch(&text, d->classes, (size_t)d->nclasses, sizeof *d->classes, compare_texts)) != NULL)
      d->items[i].class_id = (int)(hit - d->classes);
    if (d->items[i].class_id < 0)
      return lur_fail(LUR_EFORMAT,
                      "%s: class '%s' of '%s' is not one of the %d given classes (usually those of the training set)",
                      d->source, text, d->items[i].name, d->nclasses);
  }
  return LUR_OK;
}

lur_status lur_dataset_finish(lur_dataset *d) {
  d->class_start = calloc((size_t)d->nclasses + 2, sizeof *d->class_start);
  d->class_items = calloc((size_t)d->size + 1, sizeof *d->class_items);
  if (!d->class_start || !d->class_items) return out_of_memory();
  int64_t *end = d->class_start + 1; /* end[c] advances from the start of class c to its end */
  for (int64_t i = 0; i < d->size; i++)
    if (d->items[i].class_id >= 0 && d->items[i].class_id + 1 < d->nclasses) end[d->items[i].class_id + 1]++;
  for (int c = 1; c < d->nclasses; c++) end[c] += end[c - 1];
  for (int64_t i = 0; i < d->size; i++)
    if (d->items[i].class_id >= 0) d->class_items[end[d->items[i].class_id]++] = i;
  return LUR_OK;
}

static bool ends_in(const char *name, const char *extension) {
  size_t n = strlen(name), m = strlen(extension);
  return n > m && name[n - m - 1] == '.' && strcasecmp(name + n - m, extension) == 0;
}

bool lur_dataset_accepts(const lur_dataset_options *options, const char *name) {
  static const char *const usual[] = {"jpg", "jpeg", "png"};
  bool own = options && options->nextensions > 0;
  int n = own ? options->nextensions : 3;
  for (int i = 0; i < n; i++)
    if (ends_in(name, own ? options->extensions[i] : usual[i])) return true;
  return false;
}

lur_status lur_dataset_items(int64_t n, const char *const *paths, const char *const *names,
                             const char *const *class_names, const lur_dataset_options *options,
                             lur_dataset **dataset) {
  lur_dataset *d = NULL;
  LUR_TRY(lur_dataset_new("list", &d));
  lur_status status = LUR_OK;
  for (int64_t i = 0; status == LUR_OK && i < n; i++)
    status = lur_dataset_add(d, paths[i], names && names[i] ? names[i] : paths[i], -1, NULL);
  if (status == LUR_OK && class_names) status = lur_dataset_classify(d, class_names, options);
  if (status == LUR_OK) status = lur_dataset_finish(d);
  if (status == LUR_OK) *dataset = d;
  else lur_dataset_release(d);
  return status;
}

/* ---- release, queries ---- */

void lur_dataset_retain(lur_dataset *d) { atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed); }

void lur_dataset_release(lur_dataset *d) {
  if (!d || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1) return;
  for (int64_t i = 0; i < d->size; i++) free_item(&d->items[i], d->ncolumns);
  for (int i = 0; i < d->nclasses; i++) free(d->classes[i]);
  free(d->items);
  free(d->classes);
  free(d->class_start);
  free(d->class_items);
  lur_texts_free(&d->ignored);
  lur_texts_free(&d->loose);
  free(d->source);
  free(d);
}

static const lur_item *item_at(const lur_dataset *d, int64_t index) {
  return index >= 0 && index < d->size ? &d->items[index] : NULL;
}

static const char *text_at(const lur_texts *texts, int64_t i) { return i >= 0 && i < texts->n ? texts->at[i] : NULL; }

const char *lur_dataset_ignored(const lur_dataset *d, int64_t i) { return text_at(&d->ignored, i); }

const char *lur_dataset_loose(const lur_dataset *d, int64_t i) { return text_at(&d->loose, i); }

int64_t lur_dataset_size(const lur_dataset *d) { return d->size; }
const char *lur_dataset_path(const lur_dataset *d, int64_t index) {
  return item_at(d, index) ? d->items[index].path : NULL;
}
const char *lur_dataset_name(const lur_dataset *d, int64_t index) {
  return item_at(d, index) ? d->items[index].name : NULL;
}
int lur_dataset_class(const lur_dataset *d, int64_t index) { return item_at(d, index) ? d->items[index].class_id : -1; }
int lur_dataset_class_count(const lur_dataset *d) { return d->nclasses; }
const char *lur_dataset_class_name(const lur_dataset *d, int id) {
  return id >= 0 && id < d->nclasses ? d->classes[id] : NULL;
}
int64_t lur_dataset_class_size(const lur_dataset *d, int id) {
  return id >= 0 && id < d->nclasses ? d->class_start[id + 1] - d->class_start[id] : 0;
}
int lur_dataset_column_count(const lur_dataset *d) { return d->ncolumns; }
const char *lur_dataset_column_name(const lur_dataset *d, int column) {
  return column >= 0 && column < d->ncolumns ? d->columns[column] : NULL;
}
const char *lur_dataset_column(const lur_dataset *d, int column, int64_t index) {
  if (column < 0 || column >= d->ncolumns || !item_at(d, index) || !d->items[index].columns) return NULL;
  return d->items[index].columns[column];
}

/* ---- subset, split ---- */

/* A dataset with the same classes and columns, and no items. */
static lur_status empty_like(const lur_dataset *d, lur_dataset **out) {
  lur_dataset *like = NULL;
  LUR_TRY(lur_dataset_new(d->source, &like));
  lur_status status = LUR_OK;
  for (int c = 0; status == LUR_OK && c < d->nclasses; c++) status = lur_dataset_add_class(like, d->classes[c]);
  like->ncolumns = d->ncolumns;
  memcpy(like->columns, d->columns, sizeof d->columns);
  if (status == LUR_OK) *out = like;
  else lur_dataset_release(like);
  return status;
}

static lur_status add_from(lur_dataset *to, const lur_dataset *from, int64_t index) {
  const lur_item *item = &from->items[index];
  return lur_dataset_add(to, item->path, item->name, item->class_id, (const char *const *)item->columns);
}

lur_status lur_dataset_subset(lur_dataset *d, int64_t n, const int64_t *indices, lur_dataset **subset) {
  lur_dataset *part = NULL;
  LUR_TRY(empty_like(d, &part));
  lur_status status = LUR_OK;
  for (int64_t i = 0; status == LUR_OK && i < n; i++) {
    if (item_at(d, indices[i])) status = add_from(part, d, indices[i]);
    else
      status = lur_fail(LUR_EARG, "subset: index %lld is outside the dataset of %lld", (long long)indices[i],
                        (long long)d->size);
  }
  if (status == LUR_OK) status = lur_dataset_finish(part);
  if (status == LUR_OK) *subset = part;
  else lur_dataset_release(part);
  return status;
}

typedef struct ticket { /* the items with the lowest numbers are drawn */
  uint64_t number;
  int64_t index;
} ticket;

static int compare_tickets(const void *a, const void *b) {
  const ticket *x = a, *y = b;
  if (x->number != y->number) return x->number < y->number ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t ticket_number(uint64_t seed, const char *name) {
  uint64_t h = lur_random_mix(seed);
  for (const char *p = name; *p; p++) h = lur_random_mix(h ^ (uint64_t)(unsigned char)*p);
  return h;
}

/* Marks round(share * n) of the n items of this class: those with the lowest numbers. */
static void draw_class(const lur_dataset *d, int class_id, double share, uint64_t seed, ticket *tickets, bool *drawn) {
  int64_t n = 0;
  for (int64_t i = 0; i < d->size; i++)
    if (d->items[i].class_id == class_id) tickets[n++] = (ticket){ticket_number(seed, d->items[i].name), i};
  qsort(tickets, (size_t)n, sizeof *tickets, compare_tickets);
  int64_t take = (int64_t)floor(share * (double)n + 0.5);
  for (int64_t i = 0; i < take; i++) drawn[tickets[i].index] = true;
}

lur_status lur_dataset_split(lur_dataset *d, double share, uint64_t seed, lur_dataset **first, lur_dataset **second) {
  if (!(share > 0 && share < 1)) return lur_fail(LUR_EARG, "split: a share between 0 and 1 expected, got %g", share);
  lur_dataset *a = NULL, *b = NULL;
  bool *drawn = calloc((size_t)d->size + 1, sizeof *drawn);
  ticket *tickets = calloc((size_t)d->size + 1, sizeof *tickets);
  lur_status status = drawn && tickets ? LUR_OK : out_of_memory();
  for (int c = -1; status == LUR_OK && c < d->nclasses; c++) draw_class(d, c, share, seed, tickets, drawn);
  if (status == LUR_OK) status = empty_like(d, &a);
  if (status == LUR_OK) status = empty_like(d, &b);
  for (int64_t i = 0; status == LUR_OK && i < d->size; i++) status = add_from(drawn[i] ? b : a, d, i);
  if (status == LUR_OK) status = lur_dataset_finish(a);
  if (status == LUR_OK) status = lur_dataset_finish(b);
  free(drawn);
  free(tickets);
  if (status != LUR_OK) {
    lur_dataset_release(a);
    lur_dataset_release(b);
    return status;
  }
  *first = a;
  *second = b;
  return LUR_OK;
}

/* ---- summary ---- */

static void append(char *text, size_t capacity, int *length, const char *format, ...) {
  va_list args;
  va_start(args, format);
  size_t at = (size_t)*length < capacity ? (size_t)*length : capacity;
  int n = lur_vformat(at < capacity ? text + at : NULL, capacity - at, format, args);
  va_end(args);
  if (n > 0) *length += n;
}

int lur_dataset_format(const lur_dataset *d, char *text, size_t capacity) {
  int least = 0, most = 0, length = 0;
  int64_t bare = d->size - (d->nclasses ? d->class_start[d->nclasses] : 0);
  for (int c = 0; c < d->nclasses; c++) {
    if (lur_dataset_class_size(d, c) < lur_dataset_class_size(d, least)) least = c;
    if (lur_dataset_class_size(d, c) > lur_dataset_class_size(d, most)) most = c;
  }
  append(text, capacity, &length, "%s: %lld image%s", d->source, (long long)d->size, d->size == 1 ? "" : "s");
  if (d->nclasses && lur_dataset_class_size(d, least) == lur_dataset_class_size(d, most))
    append(text, capacity, &length, ", %d class%s of %lld", d->nclasses, d->nclasses == 1 ? "" : "es",
           (long long)lur_dataset_class_size(d, most));
  else if (d->nclasses)
    append(text, capacity, &length, ", %d classes of %lld (%s) to %lld (%s)", d->nclasses,
           (long long)lur_dataset_class_size(d, least), d->classes[least], (long long)lur_dataset_class_size(d, most),
           d->classes[most]);
  if (bare) append(text, capacity, &length, ", %lld without a class", (long long)bare);
  for (int c = 0; c < d->ncolumns; c++) append(text, capacity, &length, "%s%s", c ? ", " : ", columns ", d->columns[c]);
  if (d->ignored.n)
    append(text, capacity, &length, ", %lld other file%s ignored", (long long)d->ignored.n,
           d->ignored.n == 1 ? "" : "s");
  if (d->loose.n)
    append(text, capacity, &length, ", %lld image%s in no class folder", (long long)d->loose.n,
           d->loose.n == 1 ? "" : "s");
  return length;
}
