/* tensor_pick.c - elements of host tensors by ids and by masks. Ids count from 0; a mask is any tensor, whose elements
 * but 0 are true. What only moves elements keeps the dtype. */
#include <string.h>

#include "tensor_host.h"
#include "tensor_walk.h"

/* ---- ids ---- */

static lur_status check_ids(const char *what, const lur_tensor *a, const lur_tensor *ids, int axis) {
  char text[LUR_SHAPE_TEXT];
  if (a->shape.ndim == 0)
    return lur_fail(LUR_ESHAPE, "%s: a tensor of at least one dimension expected, got a scalar", what);
  if (axis < 0 || axis >= a->shape.ndim)
    return lur_fail(LUR_EARG, "%s: dimension %d of a tensor of %s (1 to %d expected)", what, axis + 1,
                    lur_shape_format(&a->shape, text), a->shape.ndim);
  LUR_TRY(lur_tensor_need_host(what, a));
  return lur_tensor_need_host(what, ids);
}

static lur_status check_range(const char *what, const char *noun, const lur_tensor *ids, int64_t limit) {
  const int32_t *id = lur_tensor_data(ids);
  int64_t n = lur_shape_count(&ids->shape);
  for (int64_t i = 0; i < n; i++) {
    if (id[i] < 0 || id[i] >= limit)
      return lur_fail(LUR_EARG, "%s: %s %d at position %lld (0 to %lld expected)", what, noun, id[i], (long long)i,
                      (long long)limit - 1);
  }
  return LUR_OK;
}

lur_status lur_tensor_select_along(lur_tensor *a, lur_tensor *rows, int axis, lur_tensor **y) {
  LUR_TRY(check_ids("select", a, rows, axis));
  if (rows->dtype != LUR_I32)
    return lur_fail(LUR_ETYPE, "select: i32 rows expected, got %s", lur_dtype_name(rows->dtype));
  if (rows->shape.ndim != 1)
    return lur_fail(LUR_ESHAPE, "select: rows of 1 dimension expected, got %d", rows->shape.ndim);
  int64_t extent = a->shape.dim[axis], n = rows->shape.dim[0], outer = 1;
  LUR_TRY(check_range("select", "row", rows, extent));
  lur_shape shape = a->shape;
  shape.dim[axis] = n;
  lur_status status = lur_shape_check(&shape);
  if (status != LUR_OK) return lur_blame(status, "select");
  LUR_TRY(lur_tensor_blank(a->storage->context, a->dtype, &shape, y));
  size_t bytes = lur_dtype_size(a->dtype);
  for (int d = 0; d < shape.ndim; d++) {
    if (d < axis) outer *= shape.dim[d];
    if (d > axis) bytes *= (size_t)shape.dim[d];
  }
  const int32_t *row = lur_tensor_data(rows);
  char *to = lur_tensor_data(*y);
  if (lur_shape_count(&shape) == 0) return LUR_OK;
  for (int64_t o = 0; o < outer; o++) {
    const char *from = (const char *)lur_tensor_data(a) + (size_t)(o * extent) * bytes;
    for (int64_t i = 0; i < n; i++, to += bytes) memcpy(to, from + (size_t)row[i] * bytes, bytes);
  }
  return LUR_OK;
}

lur_status lur_tensor_select(lur_tensor *a, lur_tensor *rows, lur_tensor **y) {
  return lur_tensor_select_along(a, rows, 0, y);
}

static lur_status check_gather(const lur_tensor *a, const lur_tensor *ids, int axis) {
  LUR_TRY(check_ids("gather", a, ids, axis));
  bool fits = ids->shape.ndim == a->shape.ndim;
  for (int d = 0; fits && d < a->shape.ndim; d++) fits = d == axis || ids->shape.dim[d] <= a->shape.dim[d];
  if (!fits) {
    char ta[LUR_SHAPE_TEXT], ti[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE,
                    "gather: ids of %s into %s (as many dimensions, and extents no larger but for "
                    "dimension %d, expected)",
                    lur_shape_format(&ids->shape, ti), lur_shape_format(&a->shape, ta), axis + 1);
  }
  if (ids->dtype != LUR_I32) return lur_fail(LUR_ETYPE, "gather: i32 ids expected, got %s", lur_dtype_name(ids->dtype));
  return check_range("gather", "id", ids, a->shape.dim[axis]);
}

#define MOVE(type) ((type *)to)[i] = ((const type *)from)[at]

static void move_element(size_t size, void *to, int64_t i, const void *from, int64_t at) {
  switch (size) {
  case 4: MOVE(uint32_t); break;
  case 2: MOVE(uint16_t); break;
  default: MOVE(uint8_t); break;
  }
}

lur_status lur_tensor_gather(lur_tensor *a, lur_tensor *ids, int axis, lur_tensor **y) {
  LUR_TRY(check_gather(a, ids, axis));
  LUR_TRY(lur_tensor_blank(a->storage->context, a->dtype, &ids->shape, y));
  const lur_shape *shape = &ids->shape;
  const int32_t *id = lur_tensor_data(ids);
  int64_t stride[LUR_MAX_DIMS], index[LUR_MAX_DIMS] = {0}, base = 0, n = lur_shape_count(shape);
  lur_strided_of(&a->shape, 1, stride); /* in elements */
  int64_t along = stride[axis];
  stride[axis] = 0; /* ids take its place */
  for (int64_t i = 0; i < n; i++) {
    move_element(lur_dtype_size(a->dtype), lur_tensor_data(*y), i, lur_tensor_data(a), base + id[i] * along);
    for (int d = shape->ndim - 1; d >= 0; d--) {
      base += stride[d];
      if (++index[d] < shape->dim[d]) break;
      base -= stride[d] * index[d];
      index[d] = 0;
    }
  }
  return LUR_OK;
}

lur_status lur_tensor_one_hot(lur_tensor *ids, int64_t classes, lur_tensor **y) {
  lur_shape shape = ids->shape;
  LUR_TRY(lur_tensor_need_host("one_hot", ids));
  if (ids->dtype != LUR_I32 && ids->dtype != LUR_U8)
    return lur_fail(LUR_ETYPE, "one_hot: ids of i32 or u8 expected, got %s", lur_dtype_name(ids->dtype));
  if (shape.ndim == LUR_MAX_DIMS)
    return lur_fail(LUR_ESHAPE, "one_hot: ids of at most %d dimensions expected, got %d", LUR_MAX_DIMS - 1, shape.ndim);
  if (classes < 0) return lur_fail(LUR_EARG, "one_hot: %lld classes (0 or more expected)", (long long)classes);
  shape.dim[shape.ndim++] = classes;
  lur_tensor *wide;
  LUR_TRY(lur_tensor_as("one_hot", ids, LUR_I32, &wide));
  lur_status status = check_range("one_hot", "id", wide, classes);
  if (status == LUR_OK) status = lur_tensor_new(ids->storage->context, NULL, LUR_F32, &shape, y);
  if (status == LUR_OK) {
    const int32_t *id = lur_tensor_data(wide);
    int64_t n = lur_shape_count(&ids->shape);
    for (int64_t i = 0; i < n; i++) ((float *)lur_tensor_data(*y))[i * classes + id[i]] = 1;
  }
  lur_tensor_release(wide);
  return status;
}

/* ---- masks ---- */

/* A new u8 tensor: 1 where the element is not 0. */
static lur_status truth_of(const char *what, lur_tensor *mask, lur_tensor **truth) {
  bool whole = mask->dtype == LUR_I32 || mask->dtype == LUR_U8;
  lur_tensor *x;
  LUR_TRY(lur_tensor_as(what, mask, whole ? LUR_I32 : LUR_F32, &x));
  lur_status status = lur_tensor_blank(mask->storage->context, LUR_U8, &mask->shape, truth);
  if (status == LUR_OK) {
    int64_t n = lur_shape_count(&mask->shape);
    uint8_t *to = lur_tensor_data(*truth);
    const int32_t *integers = lur_tensor_data(x);
    const float *reals = lur_tensor_data(x);
    if (whole) {
      for (int64_t i = 0; i < n; i++) to[i] = integers[i] != 0;
    } else {
      for (int64_t i = 0; i < n; i++) to[i] = reals[i] != 0;
    }
  }
  lur_tensor_release(x);
  return status;
}

typedef struct choice {
  size_t size;
  const uint8_t *truth;
  const void *a, *b;
  void *y;
} choice;

#define CHOOSE(type)                                                                                                   \
  for (int64_t i = 0; i < n; i++)                                                                                      \
    ((type *)c->y)[at + i] = c->truth[from[0] + i * stride[0]] ? ((const type *)c->a)[from[1] + i * stride[1]]         \
                                                               : ((const type *)c->b)[from[2] + i * stride[2]];        \
  break

static void choose_line(void *self, int64_t n, int64_t at, const int64_t *from, const int64_t *stride) {
  const choice *c = self;
  switch (c->size) {
  case 4: CHOOSE(uint32_t);
  case 2: CHOOSE(uint16_t);
  default: CHOOSE(uint8_t);
  }
}

lur_status lur_tensor_where(lur_tensor *mask, lur_tensor *a, lur_tensor *b, lur_tensor **y) {
  lur_dtype dtype = a->dtype == b->dtype ? a->dtype : LUR_F32;
  lur_walk walk;
  lur_tensor *truth = NULL, *xa = NULL, *xb = NULL, *made = NULL;
  lur_status status = lur_walk_plan("where", 3, (lur_tensor *[]){mask, a, b}, &walk);
  if (status == LUR_OK) status = truth_of("where", mask, &truth);
  if (status == LUR_OK) status = lur_tensor_as("where", a, dtype, &xa);
  if (status == LUR_OK) status = lur_tensor_as("where", b, dtype, &xb);
  if (status == LUR_OK) status = lur_tensor_blank(a->storage->context, dtype, &walk.y, &made);
  if (status == LUR_OK) {
    choice c = {lur_dtype_size(dtype), lur_tensor_data(truth), lur_tensor_data(xa), lur_tensor_data(xb),
                lur_tensor_data(made)};
    lur_walk_run(&walk, choose_line, &c);
    *y = made;
  }
  lur_tensor_release(truth);
  lur_tensor_release(xa);
  lur_tensor_release(xb);
  return status;
}

static int64_t count_true(const uint8_t *truth, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) count += truth[i];
  return count;
}

lur_status lur_tensor_masked_select(lur_tensor *a, lur_tensor *mask, lur_tensor **y) {
  lur_tensor *spread = NULL, *truth = NULL;
  LUR_TRY(lur_tensor_need_host("masked_select", a));
  LUR_TRY(lur_tensor_need_host("masked_select", mask));
  lur_status status = lur_tensor_expand(mask, &a->shape, &spread);
  if (status != LUR_OK) return lur_blame(status, "masked_select: the mask");
  status = truth_of("masked_select", spread, &truth);
  if (status == LUR_OK) {
    int64_t n = lur_shape_count(&a->shape);
    const uint8_t *is = lur_tensor_data(truth);
    status = lur_tensor_blank(a->storage->context, a->dtype, &(lur_shape){1, {count_true(is, n)}}, y);
    for (int64_t i = 0, at = 0; status == LUR_OK && i < n; i++) {
      if (is[i]) move_element(lur_dtype_size(a->dtype), lur_tensor_data(*y), at++, lur_tensor_data(a), i);
    }
  }
  lur_tensor_release(spread);
  lur_tensor_release(truth);
  return status;
}

lur_status lur_tensor_nonzero(lur_tensor *mask, lur_tensor **y) {
  lur_tensor *truth;
  int ndim = mask->shape.ndim;
  LUR_TRY(truth_of("nonzero", mask, &truth));
  int64_t n = lur_shape_count(&mask->shape), index[LUR_MAX_DIMS] = {0};
  const uint8_t *is = lur_tensor_data(truth);
  lur_shape shape = {2, {count_true(is, n), ndim}};
  lur_status status = lur_tensor_blank(mask->storage->context, LUR_I32, &shape, y);
  int32_t *to = status == LUR_OK ? lur_tensor_data(*y) : NULL;
  for (int64_t i = 0; status == LUR_OK && i < n; i++) {
    for (int d = 0; is[i] && d < ndim; d++) *to++ = (int32_t)index[d];
    for (int d = ndim - 1; d >= 0; d--) {
      if (++index[d] < mask->shape.dim[d]) break;
      index[d] = 0;
    }
  }
  lur_tensor_release(truth);
  return status;
}
