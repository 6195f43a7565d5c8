/* tensor_reduce.c - sums, means, extremes and softmax of host tensors.
 *
 * Sums accumulate in double (i32: in int64, then saturate). A NaN wins a maximum or minimum, as in NumPy.
 * Results: f32; sum, max and min of an i32 tensor are i32; argmax and argmin are i32 ids. */
#include <math.h>

#include "tensor_host.h"

/* The tensor as outer x n x inner, to be reduced over n. */
typedef struct span {
  int64_t outer, n, inner;
} span;

/* The shape without dimension axis; axis -1 reduces everything. */
static lur_shape rest_of(const lur_shape *shape, int axis) {
  lur_shape rest = {0, {0}};
  for (int i = 0; i < shape->ndim; i++) {
    if (axis >= 0 && i != axis) rest.dim[rest.ndim++] = shape->dim[i];
  }
  return rest;
}

static span span_of(const lur_shape *shape, int axis) {
  span s = {1, 1, 1};
  for (int i = 0; i < shape->ndim; i++) {
    *(axis < 0 || i == axis ? &s.n : i < axis ? &s.outer : &s.inner) *= shape->dim[i];
  }
  return s;
}

static bool beats(bool max, double value, double best) {
  if (isnan(value)) return !isnan(best);
  return max ? value > best : value < best;
}

/* x: n values, `step` apart. Position of the first extreme. */
#define FIRST_EXTREME(x, n, step, max, best)                                                                           \
  int64_t best = 0;                                                                                                    \
  for (int64_t i = 1; i < (n); i++) {                                                                                  \
    if (beats(max, (double)(x)[i * (step)], (double)(x)[best * (step)])) best = i;                                     \
  }

static double fold_f32(lur_tensor_reduction op, const float *x, int64_t n, int64_t step) {
  if (op == LUR_T_SUM || op == LUR_T_MEAN) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i * step];
    return op == LUR_T_SUM ? sum : sum / (double)n;
  }
  FIRST_EXTREME(x, n, step, op == LUR_T_MAX || op == LUR_T_ARGMAX, best)
  return op == LUR_T_MAX || op == LUR_T_MIN ? (double)x[best * step] : (double)best;
}

static double fold_i32(lur_tensor_reduction op, const int32_t *x, int64_t n, int64_t step) {
  if (op == LUR_T_SUM || op == LUR_T_MEAN) {
    int64_t sum = 0; /* 2^40 elements of 2^31 at most */
    for (int64_t i = 0; i < n; i++) {
      if (__builtin_add_overflow(sum, (int64_t)x[i * step], &sum)) break;
    }
    return op == LUR_T_SUM ? (double)sum : (double)sum / (double)n;
  }
  FIRST_EXTREME(x, n, step, op == LUR_T_MAX || op == LUR_T_ARGMAX, best)
  return op == LUR_T_MAX || op == LUR_T_MIN ? (double)x[best * step] : (double)best;
}

static void fold_all(lur_tensor_reduction op, span s, const lur_tensor *x, lur_tensor *y) {
  const void *from = lur_tensor_data(x);
  void *to = lur_tensor_data(y);
  for (int64_t o = 0; o < s.outer; o++) {
    for (int64_t i = 0; i < s.inner; i++) {
      int64_t at = o * s.n * s.inner + i, out = o * s.inner + i;
      double value = x->dtype == LUR_I32 ? fold_i32(op, (const int32_t *)from + at, s.n, s.inner)
                                         : fold_f32(op, (const float *)from + at, s.n, s.inner);
      if (y->dtype == LUR_I32) {
        ((int32_t *)to)[out] = lur_saturate_i32(value);
      } else {
        ((float *)to)[out] = (float)value;
      }
    }
  }
}

lur_status lur_tensor_reduce(lur_tensor_reduction op, lur_tensor *a, int axis, lur_tensor **y) {
  if ((unsigned)op > LUR_T_ARGMIN) return lur_fail(LUR_EARG, "reduce: no function has number %d", (int)op);
  char text[LUR_SHAPE_TEXT];
  if (axis < -1 || axis >= a->shape.ndim) {
    return lur_fail(LUR_EARG, "reduce: dimension %d of a tensor of %s (1 to %d expected)", axis + 1,
                    lur_shape_format(&a->shape, text), a->shape.ndim);
  }
  int64_t folded = axis < 0 ? lur_shape_count(&a->shape) : a->shape.dim[axis];
  if (folded == 0 && op != LUR_T_SUM) {
    return lur_fail(LUR_ESHAPE, "reduce: a tensor of %s has no elements (only their sum is defined)",
                    lur_shape_format(&a->shape, text));
  }
  bool position = op == LUR_T_ARGMAX || op == LUR_T_ARGMIN;
  if (position && folded > INT32_MAX)
    return lur_fail(LUR_EUNSUPPORTED, "reduce: a position among %lld elements does not fit i32", (long long)folded);
  bool integers = a->dtype == LUR_I32;
  lur_shape rest = rest_of(&a->shape, axis);
  LUR_TRY(lur_shape_check(&rest)); /* an extent of 0 may have hidden a huge product */
  lur_tensor *x, *made = NULL;
  LUR_TRY(lur_tensor_as("reduce", a, integers ? LUR_I32 : LUR_F32, &x));
  lur_status status = lur_tensor_blank(a->storage->context,
                                       position || (integers && op != LUR_T_MEAN) ? LUR_I32 : LUR_F32, &rest, &made);
  if (status == LUR_OK) {
    if (lur_shape_count(&rest) > 0) fold_all(op, span_of(&a->shape, axis), x, made);
    *y = made;
  }
  lur_tensor_release(x);
  return status;
}

static void softmax_row(const float *x, float *y, int64_t n) {
  float top = x[0];
  for (int64_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    y[i] = expf(x[i] - top);
    sum += (double)y[i];
  }
  for (int64_t i = 0; i < n; i++) y[i] = (float)((double)y[i] / sum);
}

lur_status lur_tensor_softmax(lur_tensor *a, lur_tensor **y) {
  lur_tensor *x, *made = NULL;
  LUR_TRY(lur_tensor_as("softmax", a, LUR_F32, &x));
  lur_status status = lur_tensor_blank(a->storage->context, LUR_F32, &a->shape, &made);
  if (status == LUR_OK) {
    int64_t count = lur_shape_count(&a->shape), n = a->shape.ndim ? a->shape.dim[a->shape.ndim - 1] : 1;
    const float *from = lur_tensor_data(x);
    float *to = lur_tensor_data(made);
    for (int64_t at = 0; at < count; at += n) softmax_row(from + at, to + at, n);
    *y = made;
  }
  lur_tensor_release(x);
  return status;
}
