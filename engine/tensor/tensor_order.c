/* tensor_order.c - host tensors by value: sorting, the k first, different values.
 *
 * Elements become 32-bit keys whose unsigned order is theirs; keys are sorted together with positions, by insertion
 * where there are few and else digit by digit (LSD radix sort; Knuth, The Art of Computer Programming 3, 5.2.5), which
 * is stable. NaN is above every number, whether ascending or descending; -0 and 0 are equal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/alloc.h"
#include "tensor_host.h"

enum { FEW = 48, DIGITS = 4, VALUES = 256 };

typedef struct item {
  uint32_t key;
  int32_t id;
} item;

/* ---- keys ---- */

static uint32_t key_of_f32(float value, bool descending) {
  uint32_t bits, sign = 0x80000000u;
  if (value != value) return UINT32_MAX;
  if (value == 0) value = 0; /* -0 too */
  memcpy(&bits, &value, sizeof bits);
  bits = bits & sign ? ~bits : bits | sign;
  return descending ? ~bits : bits;
}

static uint32_t key_of_i32(int32_t value, bool descending) {
  uint32_t bits = (uint32_t)value ^ 0x80000000u;
  return descending ? ~bits : bits;
}

/* items: the n elements of x from `at` on, `step` apart. */
static void fill_items(const lur_tensor *x, int64_t at, int64_t step, int64_t n, bool descending, item *items) {
  const float *reals = lur_tensor_data(x);
  const int32_t *integers = lur_tensor_data(x);
  for (int64_t i = 0; i < n; i++, at += step) {
    uint32_t key = x->dtype == LUR_I32 ? key_of_i32(integers[at], descending) : key_of_f32(reals[at], descending);
    items[i] = (item){key, (int32_t)i};
  }
}

/* ---- sorting items ---- */

static void insertion_sort(item *items, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    item moved = items[i];
    int64_t j = i;
    for (; j > 0 && items[j - 1].key > moved.key; j--) items[j] = items[j - 1];
    items[j] = moved;
  }
}

/* One pass by an 8-bit digit, from `from` to `to`. Returns false, and does nothing, where all digits are equal. */
static bool pass(const item *from, item *to, int64_t n, int digit, const int64_t *count) {
  int64_t start[VALUES], sum = 0;
  int shift = 8 * digit;
  if (count[from[0].key >> shift & 0xff] == n) return false;
  for (int v = 0; v < VALUES; v++) {
    start[v] = sum;
    sum += count[v];
  }
  for (int64_t i = 0; i < n; i++) to[start[from[i].key >> shift & 0xff]++] = from[i];
  return true;
}

/* Sorts items; room is as large. Returns where they are: items or room. */
static item *sort_items(item *items, item *room, int64_t n) {
  if (n <= FEW) {
    insertion_sort(items, n);
    return items;
  }
  int64_t count[DIGITS][VALUES] = {{0}};
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < DIGITS; d++) count[d][items[i].key >> (8 * d) & 0xff]++;
  for (int d = 0; d < DIGITS; d++) {
    if (!pass(items, room, n, d, count[d])) continue;
    item *swap = items;
    items = room;
    room = swap;
  }
  return items;
}

/* ---- the k first ---- */

/* The key that the k-th of the sorted items has, by counting digits from the highest. */
static uint32_t key_at(const item *items, int64_t n, int64_t k) {
  uint32_t known = 0, mask = 0;
  for (int d = DIGITS - 1; d >= 0; d--) {
    int64_t count[VALUES] = {0};
    for (int64_t i = 0; i < n; i++)
      if ((items[i].key & mask) == known) count[items[i].key >> (8 * d) & 0xff]++;
    uint32_t v = 0;
    for (; k >= count[v]; v++) k -= count[v];
    known |= v << (8 * d);
    mask |= 0xffu << (8 * d);
  }
  return known;
}

/* Moves the k first of the sorted order to the front of items, in their original order. */
static void keep_first(item *items, int64_t n, int64_t k) {
  uint32_t limit = key_at(items, n, k - 1);
  int64_t below = 0, kept = 0;
  for (int64_t i = 0; i < n; i++) below += items[i].key < limit;
  int64_t equal = k - below; /* the first of those that are equal to the limit */
  for (int64_t i = 0; i < n; i++) {
    if (items[i].key > limit || (items[i].key == limit && equal-- <= 0)) continue;
    items[kept++] = items[i];
  }
}

/* ---- along a dimension ---- */

typedef struct sorting {
  lur_tensor *x, *a;        /* x: a as f32 or i32 */
  lur_tensor *values, *ids; /* results; NULL: not wanted */
  int64_t n, k, inner;      /* of outer x n x inner, the k first */
  bool descending;
} sorting;

static void move_value(const sorting *s, int64_t to, int64_t from) {
  size_t size = lur_dtype_size(s->a->dtype);
  memcpy((char *)lur_tensor_data(s->values) + (size_t)to * size,
         (const char *)lur_tensor_data(s->a) + (size_t)from * size, size);
}

static void sort_line(const sorting *s, int64_t line, item *items, item *room) {
  int64_t from = line / s->inner * s->n * s->inner + line % s->inner;
  int64_t to = line / s->inner * s->k * s->inner + line % s->inner;
  fill_items(s->x, from, s->inner, s->n, s->descending, items);
  int64_t left = s->n;
  if (s->k < s->n / 4) {
    keep_first(items, s->n, s->k);
    left = s->k;
  }
  items = sort_items(items, room, left);
  for (int64_t i = 0; i < s->k; i++) {
    if (s->ids) ((int32_t *)lur_tensor_data(s->ids))[to + i * s->inner] = items[i].id;
    if (s->values) move_value(s, to + i * s->inner, from + items[i].id * s->inner);
  }
}

static lur_status sort_all(const sorting *s, int64_t lines) {
  item *items = NULL;
  LUR_TRY(lur_alloc_items((size_t)s->n, 2 * sizeof *items, &items));
  for (int64_t i = 0; i < lines; i++) sort_line(s, i, items, items + s->n);
  free(items);
  return LUR_OK;
}

static lur_status check_axis(const char *what, const lur_tensor *a, int axis) {
  char text[LUR_SHAPE_TEXT];
  if (a->shape.ndim == 0)
    return lur_fail(LUR_ESHAPE, "%s: a tensor of at least one dimension expected, got a scalar", what);
  if (axis < 0 || axis >= a->shape.ndim)
    return lur_fail(LUR_EARG, "%s: dimension %d of a tensor of %s (1 to %d expected)", what, axis + 1,
                    lur_shape_format(&a->shape, text), a->shape.ndim);
  if (a->shape.dim[axis] > INT32_MAX)
    return lur_fail(LUR_EUNSUPPORTED, "%s: positions among %lld elements do not fit i32", what,
                    (long long)a->shape.dim[axis]);
  return LUR_OK;
}

static lur_dtype key_dtype(const lur_tensor *a) {
  return a->dtype == LUR_I32 || a->dtype == LUR_U8 ? LUR_I32 : LUR_F32;
}

static lur_status first_of(const char *what, lur_tensor *a, int64_t k, int axis, bool descending, lur_tensor **values,
                           lur_tensor **ids) {
  LUR_TRY(check_axis(what, a, axis));
  sorting s = {.a = a, .n = a->shape.dim[axis], .k = k, .inner = 1, .descending = descending};
  lur_shape shape = a->shape;
  shape.dim[axis] = k;
  for (int d = axis + 1; d < shape.ndim; d++) s.inner *= shape.dim[d];
  LUR_TRY(lur_tensor_as(what, a, key_dtype(a), &s.x));
  lur_context *context = a->storage->context;
  lur_status status = LUR_OK;
  if (values) status = lur_tensor_blank(context, a->dtype, &shape, &s.values);
  if (status == LUR_OK && ids) status = lur_tensor_blank(context, LUR_I32, &shape, &s.ids);
  if (status == LUR_OK && lur_shape_count(&shape) > 0) status = sort_all(&s, lur_shape_count(&shape) / k);
  lur_tensor_release(s.x);
  if (status != LUR_OK) {
    lur_tensor_release(s.values);
    lur_tensor_release(s.ids);
    return status;
  }
  if (values) *values = s.values;
  if (ids) *ids = s.ids;
  return LUR_OK;
}

lur_status lur_tensor_sort(lur_tensor *a, int axis, bool descending, lur_tensor **values, lur_tensor **ids) {
  LUR_TRY(check_axis("sort", a, axis));
  return first_of("sort", a, a->shape.dim[axis], axis, descending, values, ids);
}

lur_status lur_tensor_topk(lur_tensor *a, int64_t k, int axis, bool descending, lur_tensor **values, lur_tensor **ids) {
  char text[LUR_SHAPE_TEXT];
  LUR_TRY(check_axis("topk", a, axis));
  if (k < 0 || k > a->shape.dim[axis])
    return lur_fail(LUR_EARG, "topk: k is %lld; 0 to %lld expected for dimension %d of %s", (long long)k,
                    (long long)a->shape.dim[axis], axis + 1, lur_shape_format(&a->shape, text));
  return first_of("topk", a, k, axis, descending, values, ids);
}

/* ---- different values ---- */

/* Numbers the runs of equal elements of sorted; returns how many there are. starts: where each begins. */
static int64_t find_runs(const item *sorted, int64_t n, int32_t *starts) {
  int64_t runs = 0;
  for (int64_t i = 0; i < n; i++)
    if (i == 0 || sorted[i].key != sorted[i - 1].key) starts[runs++] = (int32_t)i;
  return runs;
}

typedef struct uniting {
  lur_tensor *a, *values, *inverse, *counts;
  const item *sorted;
  const int32_t *starts;
  int64_t n, runs;
} uniting;

static void fill_unique(const uniting *u) {
  size_t size = lur_dtype_size(u->a->dtype);
  for (int64_t r = 0; r < u->runs; r++) {
    int64_t first = u->starts[r], end = r + 1 < u->runs ? u->starts[r + 1] : u->n;
    memcpy((char *)lur_tensor_data(u->values) + (size_t)r * size,
           (const char *)lur_tensor_data(u->a) + (size_t)u->sorted[first].id * size, size);
    ((int32_t *)lur_tensor_data(u->counts))[r] = (int32_t)(end - first);
    for (int64_t i = first; i < end; i++) ((int32_t *)lur_tensor_data(u->inverse))[u->sorted[i].id] = (int32_t)r;
  }
}

/* items: 2 n of them. */
static lur_status unite(lur_tensor *a, const lur_tensor *x, item *items, int32_t *starts, uniting *u) {
  lur_context *context = a->storage->context;
  u->a = a;
  u->n = lur_shape_count(&a->shape);
  fill_items(x, 0, 1, u->n, false, items);
  u->sorted = sort_items(items, items + u->n, u->n);
  u->starts = starts;
  u->runs = find_runs(u->sorted, u->n, starts);
  LUR_TRY(lur_tensor_blank(context, a->dtype, &(lur_shape){1, {u->runs}}, &u->values));
  LUR_TRY(lur_tensor_blank(context, LUR_I32, &a->shape, &u->inverse));
  LUR_TRY(lur_tensor_blank(context, LUR_I32, &(lur_shape){1, {u->runs}}, &u->counts));
  fill_unique(u);
  return LUR_OK;
}

lur_status lur_tensor_unique(lur_tensor *a, lur_tensor **values, lur_tensor **inverse, lur_tensor **counts) {
  int64_t n = lur_shape_count(&a->shape);
  if (n > INT32_MAX)
    return lur_fail(LUR_EUNSUPPORTED, "unique: positions among %lld elements do not fit i32", (long long)n);
  lur_tensor *x;
  item *items = NULL;
  int32_t *starts = NULL;
  uniting u = {0};
  LUR_TRY(lur_tensor_as("unique", a, key_dtype(a), &x));
  lur_status status = lur_alloc_items((size_t)n + 1, 2 * sizeof *items, &items);
  if (status == LUR_OK) status = lur_alloc_items((size_t)n + 1, sizeof *starts, &starts);
  if (status == LUR_OK) status = unite(a, x, items, starts, &u);
  free(items);
  free(starts);
  lur_tensor_release(x);
  if (status == LUR_OK) *values = u.values;
  else lur_tensor_release(u.values);
  if (status == LUR_OK && inverse) *inverse = u.inverse;
  else lur_tensor_release(u.inverse);
  if (status == LUR_OK && counts) *counts = u.counts;
  else lur_tensor_release(u.counts);
  return status;
}
