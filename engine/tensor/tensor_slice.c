/* tensor_slice.c - parts of host tensors and other orders of their elements: slices, permutations, flips, repetitions.
 * All keep the dtype and copy, since a tensor has no strides (tensor.c); each is one lur_strided_copy. */
#include <string.h>

#include "tensor_host.h"
#include "tensor_walk.h"

/* A strided copy of `shape` into y, which is contiguous; the caller sets from and from_stride. */
static lur_strided into(lur_tensor *y, const lur_shape *shape) {
  lur_strided c = {.ndim = shape->ndim, .size = lur_dtype_size(y->dtype), .to = lur_tensor_data(y)};
  memcpy(c.extent, shape->dim, sizeof *shape->dim * (size_t)shape->ndim);
  lur_strided_of(shape, c.size, c.to_stride);
  return c;
}

static lur_status new_like(const char *what, lur_tensor *a, const lur_shape *shape, lur_tensor **y) {
  LUR_TRY(lur_tensor_need_host(what, a));
  lur_status status = lur_shape_check(shape);
  if (status != LUR_OK) return lur_blame(status, "%s", what);
  return lur_tensor_blank(a->storage->context, a->dtype, shape, y);
}

/* ---- slices ---- */

static lur_status check_slice(const lur_tensor *a, const lur_slice *s, int d) {
  int64_t extent = a->shape.dim[d];
  bool good = s->step >= 1 && s->first >= 0 && s->count >= 0 && s->first <= extent && (!s->drop || s->count == 1);
  if (good && s->count > 0) good = s->first < extent && s->count - 1 <= (extent - 1 - s->first) / s->step;
  if (good) return LUR_OK;
  char text[LUR_SHAPE_TEXT];
  return lur_fail(LUR_EARG, "slice: %lld elements from %lld on, every %lldth, of dimension %d of a tensor of %s",
                  (long long)s->count, (long long)s->first, (long long)s->step, d + 1,
                  lur_shape_format(&a->shape, text));
}

/* The part of a as a strided memory: extents of the kept dimensions, strides, and the address of the first element. */
static lur_status part_of(lur_tensor *a, const lur_slice *slices, lur_shape *shape, int64_t *stride, char **first) {
  int64_t strides[LUR_MAX_DIMS];
  *shape = (lur_shape){0};
  *first = lur_tensor_data(a);
  lur_strided_of(&a->shape, lur_dtype_size(a->dtype), strides);
  for (int d = 0; d < a->shape.ndim; d++) {
    const lur_slice *s = &slices[d];
    LUR_TRY(check_slice(a, s, d));
    if (s->count > 0) *first += s->first * strides[d];
    if (s->drop) continue;
    stride[shape->ndim] = strides[d] * s->step;
    shape->dim[shape->ndim++] = s->count;
  }
  return LUR_OK;
}

lur_status lur_tensor_slice(lur_tensor *a, const lur_slice *slices, lur_tensor **y) {
  lur_shape shape;
  int64_t stride[LUR_MAX_DIMS];
  char *first;
  LUR_TRY(lur_tensor_need_host("slice", a));
  LUR_TRY(part_of(a, slices, &shape, stride, &first));
  LUR_TRY(new_like("slice", a, &shape, y));
  lur_strided c = into(*y, &shape);
  c.from = first;
  memcpy(c.from_stride, stride, sizeof *stride * (size_t)shape.ndim);
  lur_strided_copy(c);
  return LUR_OK;
}

/* The shape without leading dimensions of extent 1 beyond ndim dimensions. */
static lur_shape without_lead(const lur_shape *shape, int ndim) {
  int skip = 0;
  while (shape->ndim - skip > ndim && shape->dim[skip] == 1) skip++;
  lur_shape rest = {.ndim = shape->ndim - skip};
  memcpy(rest.dim, shape->dim + skip, sizeof *rest.dim * (size_t)rest.ndim);
  return rest;
}

/* Whether `from` broadcasts to exactly `to`; its strides there, in bytes. */
static lur_status spread(const char *what, const lur_shape *from, size_t size, const lur_shape *to, int64_t *stride) {
  int64_t own[LUR_MAX_DIMS];
  bool fits = from->ndim <= to->ndim;
  lur_strided_of(from, size, own);
  for (int i = to->ndim - 1, j = from->ndim - 1; fits && i >= 0; i--, j--) {
    fits = j < 0 || from->dim[j] == 1 || from->dim[j] == to->dim[i];
    stride[i] = j < 0 || from->dim[j] == 1 ? 0 : own[j];
  }
  if (fits) return LUR_OK;
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "%s: %s does not broadcast to %s (trailing extents must be equal or 1)", what,
                  lur_shape_format(from, a), lur_shape_format(to, b));
}

lur_status lur_tensor_assign(lur_tensor *a, const lur_slice *slices, lur_tensor *value) {
  lur_shape shape;
  lur_strided c = {.size = lur_dtype_size(a->dtype)};
  LUR_TRY(lur_tensor_need_host("assign", a));
  LUR_TRY(lur_tensor_need_host("assign", value));
  LUR_TRY(part_of(a, slices, &shape, c.to_stride, &c.to));
  lur_shape from = without_lead(&value->shape, shape.ndim);
  LUR_TRY(spread("assign", &from, c.size, &shape, c.from_stride));
  lur_tensor *source;
  if (value->storage == a->storage && value->dtype == a->dtype) LUR_TRY(lur_tensor_clone(value, &source));
  else LUR_TRY(lur_tensor_as("assign", value, a->dtype, &source));
  c.ndim = shape.ndim;
  memcpy(c.extent, shape.dim, sizeof *shape.dim * (size_t)shape.ndim);
  c.from = lur_tensor_data(source);
  a->storage->writes++;
  lur_strided_copy(c);
  lur_tensor_release(source);
  return LUR_OK;
}

/* ---- orders ---- */

lur_status lur_tensor_permute(lur_tensor *a, const int *order, lur_tensor **y) {
  lur_shape shape = a->shape;
  int64_t strides[LUR_MAX_DIMS];
  unsigned seen = 0;
  for (int d = 0; d < shape.ndim; d++) {
    if (order[d] < 0 || order[d] >= shape.ndim || (seen >> order[d] & 1)) {
      char text[LUR_SHAPE_TEXT];
      return lur_fail(LUR_EARG, "permute: dimension %d at position %d, for a tensor of %s (each of 1 to %d once)",
                      order[d] + 1, d + 1, lur_shape_format(&a->shape, text), shape.ndim);
    }
    seen |= 1u << order[d];
    shape.dim[d] = a->shape.dim[order[d]];
  }
  LUR_TRY(new_like("permute", a, &shape, y));
  lur_strided c = into(*y, &shape);
  c.from = lur_tensor_data(a);
  lur_strided_of(&a->shape, c.size, strides);
  for (int d = 0; d < shape.ndim; d++) c.from_stride[d] = strides[order[d]];
  lur_strided_copy(c);
  return LUR_OK;
}

lur_status lur_tensor_transpose(lur_tensor *a, lur_tensor **y) {
  char text[LUR_SHAPE_TEXT];
  if (a->shape.ndim != 2)
    return lur_fail(LUR_ESHAPE, "transpose: a tensor of 2 dimensions expected, got %s",
                    lur_shape_format(&a->shape, text));
  return lur_tensor_permute(a, (int[]){1, 0}, y);
}

lur_status lur_tensor_flip(lur_tensor *a, unsigned axes, lur_tensor **y) {
  LUR_TRY(new_like("flip", a, &a->shape, y));
  lur_strided c = into(*y, &a->shape);
  c.from = lur_tensor_data(a);
  for (int d = 0; d < a->shape.ndim; d++) {
    c.from_stride[d] = c.to_stride[d];
    if (!(axes >> d & 1) || a->shape.dim[d] == 0) continue;
    c.from += c.from_stride[d] * (a->shape.dim[d] - 1);
    c.from_stride[d] = -c.from_stride[d];
  }
  if (lur_shape_count(&a->shape) > 0) lur_strided_copy(c);
  return LUR_OK;
}

/* ---- repetitions ---- */

lur_status lur_tensor_expand(lur_tensor *a, const lur_shape *shape, lur_tensor **y) {
  lur_shape settled = *shape;
  int lead = settled.ndim - a->shape.ndim;
  for (int d = 0; d < settled.ndim && d < LUR_MAX_DIMS; d++) {
    if (settled.dim[d] == -1 && d >= lead) settled.dim[d] = a->shape.dim[d - lead];
  }
  int64_t stride[LUR_MAX_DIMS];
  lur_status status = lur_shape_check(&settled);
  if (status != LUR_OK) return lur_blame(status, "expand");
  LUR_TRY(spread("expand", &a->shape, lur_dtype_size(a->dtype), &settled, stride));
  LUR_TRY(new_like("expand", a, &settled, y));
  lur_strided c = into(*y, &settled);
  c.from = lur_tensor_data(a);
  memcpy(c.from_stride, stride, sizeof *stride * (size_t)settled.ndim);
  lur_strided_copy(c);
  return LUR_OK;
}

lur_status lur_tensor_tile(lur_tensor *a, int n, const int64_t *counts, lur_tensor **y) {
  int ndim = n > a->shape.ndim ? n : a->shape.ndim;
  if (n < 0 || n > LUR_MAX_DIMS)
    return lur_fail(LUR_EARG, "tile: %d repetitions (at most %d expected, one per dimension)", n, LUR_MAX_DIMS);
  lur_shape shape = {.ndim = ndim};
  lur_strided c = {.ndim = 2 * ndim, .size = lur_dtype_size(a->dtype)};
  for (int d = 0; d < ndim; d++) { /* dimension d becomes two: repetitions, elements */
    int own = d - (ndim - a->shape.ndim), at = d - (ndim - n);
    int64_t extent = own >= 0 ? a->shape.dim[own] : 1, times = at >= 0 ? counts[at] : 1;
    if (times < 0 || times > INT32_MAX)
      return lur_fail(LUR_EARG, "tile: %lld repetitions of dimension %d", (long long)times, d + 1);
    if (__builtin_mul_overflow(extent, times, &shape.dim[d])) shape.dim[d] = INT64_MAX;
    c.extent[2 * d] = times;
    c.extent[2 * d + 1] = extent;
  }
  LUR_TRY(new_like("tile", a, &shape, y));
  c.to = lur_tensor_data(*y);
  c.from = lur_tensor_data(a);
  int64_t to = (int64_t)c.size, from = to;
  for (int d = ndim - 1; d >= 0; d--) {
    c.to_stride[2 * d + 1] = to;
    c.to_stride[2 * d] = to * c.extent[2 * d + 1];
    c.from_stride[2 * d + 1] = from;
    c.from_stride[2 * d] = 0;
    to *= shape.dim[d];
    from *= c.extent[2 * d + 1];
  }
  lur_strided_copy(c);
  return LUR_OK;
}

/* ---- joins ---- */

static lur_status check_piece(const lur_tensor *first, const lur_tensor *x, int position, int axis) {
  bool fits = x->shape.ndim == first->shape.ndim;
  for (int d = 0; fits && d < first->shape.ndim; d++) fits = d == axis || x->shape.dim[d] == first->shape.dim[d];
  if (!fits) {
    char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "concat: tensor %d is %s, tensor 1 is %s (equal but for dimension %d expected)",
                    position + 1, lur_shape_format(&x->shape, a), lur_shape_format(&first->shape, b), axis + 1);
  }
  if (x->dtype != first->dtype) {
    return lur_fail(LUR_ETYPE, "concat: tensor %d is %s, tensor 1 is %s", position + 1, lur_dtype_name(x->dtype),
                    lur_dtype_name(first->dtype));
  }
  return lur_tensor_need_host("concat", x);
}

lur_status lur_tensor_concat(int n, lur_tensor *const *x, int axis, lur_tensor **y) {
  if (n < 1) return lur_fail(LUR_EARG, "concat: at least one tensor expected, got %d", n);
  if (axis < 0 || axis >= x[0]->shape.ndim) {
    return lur_fail(LUR_EARG, "concat: dimension %d of a tensor of %d dimensions", axis + 1, x[0]->shape.ndim);
  }
  lur_shape shape = x[0]->shape;
  shape.dim[axis] = 0;
  for (int i = 0; i < n; i++) {
    LUR_TRY(check_piece(x[0], x[i], i, axis));
    shape.dim[axis] += x[i]->shape.dim[axis];
    LUR_TRY(lur_shape_check(&shape));
  }
  lur_tensor *made;
  LUR_TRY(lur_tensor_blank(x[0]->storage->context, x[0]->dtype, &shape, &made));
  if (lur_shape_count(&shape) > 0) {
    int64_t outer = 1;
    for (int d = 0; d < axis; d++) outer *= shape.dim[d];
    char *to = lur_tensor_data(made);
    for (int64_t o = 0; o < outer; o++) {
      for (int i = 0; i < n; i++) {
        size_t bytes = lur_tensor_bytes(x[i]) / (size_t)outer;
        memcpy(to, (const char *)lur_tensor_data(x[i]) + (size_t)o * bytes, bytes);
        to += bytes;
      }
    }
  }
  *y = made;
  return LUR_OK;
}
