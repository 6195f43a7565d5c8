/* tensor_math.c - element by element arithmetic of host tensors, with NumPy's broadcasting.
 *
 * For scripts and the REPL, not for models: no gradients, no device memory.
 * i32 with i32 stays i32 (computed wide, then saturated; division truncates); everything else computes in f32.
 * To add a function: a case in run2_f32 and run2_i32, or in unary_f32 (and unary_i32 where integers stay integers). */
#include <math.h>
#include <stdlib.h>

#include "engine/base/alloc.h"
#include "kernels/backend.h"
#include "tensor_host.h"

/* ---- broadcasting ---- */

/* Both operands broadcast to y's shape: strides in elements, 0 where an operand repeats. */
typedef struct pairing {
  lur_shape y;
  int64_t stride_a[LUR_MAX_DIMS], stride_b[LUR_MAX_DIMS];
} pairing;

static void strides_of(const lur_shape *shape, const lur_shape *y, int64_t *stride) {
  int64_t step = 1;
  for (int i = y->ndim - 1, j = shape->ndim - 1; i >= 0; i--, j--) {
    int64_t extent = j >= 0 ? shape->dim[j] : 1;
    stride[i] = extent == 1 ? 0 : step;
    step *= extent;
  }
}

static lur_status pair(const lur_shape *a, const lur_shape *b, pairing *p) {
  p->y.ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
  for (int i = 0; i < p->y.ndim; i++) {
    int ia = a->ndim - 1 - i, ib = b->ndim - 1 - i; /* from the last dimension */
    int64_t ea = ia >= 0 ? a->dim[ia] : 1, eb = ib >= 0 ? b->dim[ib] : 1;
    if (ea != eb && ea != 1 && eb != 1) {
      char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
      return lur_fail(LUR_ESHAPE, "arithmetic: %s and %s do not broadcast (trailing extents must be equal or 1)",
                      lur_shape_format(a, ta), lur_shape_format(b, tb));
    }
    p->y.dim[p->y.ndim - 1 - i] = ea == 1 ? eb : ea;
  }
  LUR_TRY(lur_shape_check(&p->y));
  if (lur_shape_count(&p->y) == 0) return LUR_OK;
  strides_of(a, &p->y, p->stride_a);
  strides_of(b, &p->y, p->stride_b);
  return LUR_OK;
}

/* Merges neighbouring dimensions where both operands allow it, so that the innermost run is long. */
static void merge_dims(pairing *p) {
  int last = 0;
  for (int i = 1; i < p->y.ndim; i++) {
    int64_t extent = p->y.dim[i];
    if (p->stride_a[last] == p->stride_a[i] * extent && p->stride_b[last] == p->stride_b[i] * extent) {
      p->y.dim[last] *= extent;
    } else {
      p->y.dim[++last] = extent;
    }
    p->stride_a[last] = p->stride_a[i];
    p->stride_b[last] = p->stride_b[i];
  }
  if (p->y.ndim > 0) p->y.ndim = last + 1;
}

/* ---- one run of n elements; strides are 0 or 1 ---- */

#define RUN(expression)                                                                                                \
  for (int64_t i = 0; i < n; i++) {                                                                                    \
    float u = a[i * sa], v = b[i * sb];                                                                                \
    y[i] = expression;                                                                                                 \
  }                                                                                                                    \
  break

static inline __attribute__((always_inline)) void run2_f32(lur_tensor_op2 op, int64_t n, const float *restrict a,
                                                           int64_t sa, const float *restrict b, int64_t sb,
                                                           float *restrict y) {
  switch (op) {
  case LUR_T_ADD: RUN(u + v);
  case LUR_T_SUB: RUN(u - v);
  case LUR_T_MUL: RUN(u * v);
  case LUR_T_DIV: RUN(u / v);
  case LUR_T_POW: RUN(powf(u, v));
  case LUR_T_MAXIMUM: RUN(u >= v || u != u ? u : v); /* NaN wins, as in NumPy */
  case LUR_T_MINIMUM: RUN(u <= v || u != u ? u : v);
  default: break;
  }
}

static void compare_f32(lur_tensor_op2 op, int64_t n, const float *a, int64_t sa, const float *b, int64_t sb,
                        int32_t *y) {
  switch (op) {
  case LUR_T_EQ: RUN(u == v);
  case LUR_T_LT: RUN(u < v);
  case LUR_T_LE: RUN(u <= v);
  default: break;
  }
}

static int32_t narrow(int64_t value) {
  return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

static int32_t one_i32(lur_tensor_op2 op, int64_t u, int64_t v) {
  switch (op) {
  case LUR_T_ADD: return narrow(u + v);
  case LUR_T_SUB: return narrow(u - v);
  case LUR_T_MUL: return narrow(u * v);
  case LUR_T_DIV: return lur_saturate_i32((double)u / (double)v);
  case LUR_T_POW: return lur_saturate_i32(pow((double)u, (double)v));
  case LUR_T_MAXIMUM: return (int32_t)(u > v ? u : v);
  case LUR_T_MINIMUM: return (int32_t)(u < v ? u : v);
  case LUR_T_EQ: return u == v;
  case LUR_T_LT: return u < v;
  case LUR_T_LE: return u <= v;
  }
  return 0;
}

static void run_i32(lur_tensor_op2 op, int64_t n, const int32_t *a, int64_t sa, const int32_t *b, int64_t sb,
                    int32_t *y) {
  for (int64_t i = 0; i < n; i++) y[i] = one_i32(op, a[i * sa], b[i * sb]);
}

static void run_f32(lur_tensor_op2 op, int64_t n, const float *a, int64_t sa, const float *b, int64_t sb, float *y) {
  if (sa == 1 && sb == 1) {
    run2_f32(op, n, a, 1, b, 1, y);
  } else if (sa == 1) {
    run2_f32(op, n, a, 1, b, 0, y);
  } else {
    run2_f32(op, n, a, sa, b, sb, y);
  }
}

/* ---- all runs ---- */

static bool is_comparison(lur_tensor_op2 op) { return op == LUR_T_EQ || op == LUR_T_LT || op == LUR_T_LE; }

static void walk(lur_tensor_op2 op, const pairing *p, bool integers, const void *a, const void *b, void *y) {
  int inner = p->y.ndim - 1;
  int64_t run = p->y.dim[inner], runs = 1, at[LUR_MAX_DIMS] = {0}, ia = 0, ib = 0;
  int64_t sa = p->stride_a[inner], sb = p->stride_b[inner];
  for (int i = 0; i < inner; i++) runs *= p->y.dim[i];
  for (int64_t r = 0; r < runs; r++) {
    if (integers) {
      run_i32(op, run, (const int32_t *)a + ia, sa, (const int32_t *)b + ib, sb, (int32_t *)y + r * run);
    } else if (is_comparison(op)) {
      compare_f32(op, run, (const float *)a + ia, sa, (const float *)b + ib, sb, (int32_t *)y + r * run);
    } else {
      run_f32(op, run, (const float *)a + ia, sa, (const float *)b + ib, sb, (float *)y + r * run);
    }
    for (int d = inner - 1; d >= 0; d--) { /* the next position of the outer dimensions */
      ia += p->stride_a[d];
      ib += p->stride_b[d];
      if (++at[d] < p->y.dim[d]) break;
      ia -= p->stride_a[d] * at[d];
      ib -= p->stride_b[d] * at[d];
      at[d] = 0;
    }
  }
}

lur_status lur_tensor_binary(lur_tensor_op2 op, lur_tensor *a, lur_tensor *b, lur_tensor **y) {
  if ((unsigned)op > LUR_T_LE) return lur_fail(LUR_EARG, "arithmetic: no function has number %d", (int)op);
  pairing p;
  bool integers = a->dtype == LUR_I32 && b->dtype == LUR_I32;
  lur_dtype dtype = integers ? LUR_I32 : LUR_F32;
  lur_tensor *fa = NULL, *fb = NULL, *made = NULL;
  lur_status status = pair(&a->shape, &b->shape, &p);
  if (status == LUR_OK) status = lur_tensor_as("arithmetic", a, dtype, &fa);
  if (status == LUR_OK) status = lur_tensor_as("arithmetic", b, dtype, &fb);
  if (status == LUR_OK)
    status = lur_tensor_blank(a->storage->context, is_comparison(op) ? LUR_I32 : dtype, &p.y, &made);
  if (status == LUR_OK && lur_shape_count(&p.y) > 0) {
    if (p.y.ndim == 0) { /* a scalar is a run of one */
      p.y = (lur_shape){1, {1}};
      p.stride_a[0] = p.stride_b[0] = 0;
    }
    merge_dims(&p);
    walk(op, &p, integers, lur_tensor_data(fa), lur_tensor_data(fb), lur_tensor_data(made));
  }
  lur_tensor_release(fa);
  lur_tensor_release(fb);
  if (status == LUR_OK) *y = made;
  return status;
}

/* ---- functions of one tensor ---- */

static float sigmoid(float x) { return x >= 0 ? 1 / (1 + expf(-x)) : expf(x) / (1 + expf(x)); }

#define EACH(expression)                                                                                               \
  _Pragma("omp parallel for if (n > 65536)") for (int64_t i = 0; i < n; i++) {                                         \
    float u = a[i];                                                                                                    \
    y[i] = expression;                                                                                                 \
  }                                                                                                                    \
  break

static void unary_f32(lur_tensor_op1 op, int64_t n, const float *a, float *y) {
  switch (op) {
  case LUR_T_NEG: EACH(-u);
  case LUR_T_ABS: EACH(fabsf(u));
  case LUR_T_EXP: EACH(expf(u));
  case LUR_T_LOG: EACH(logf(u));
  case LUR_T_SQRT: EACH(sqrtf(u));
  case LUR_T_SQUARE: EACH(u * u);
  case LUR_T_RELU: EACH(u > 0 || u != u ? u : 0.0f);
  case LUR_T_SIGMOID: EACH(sigmoid(u));
  case LUR_T_TANH: EACH(tanhf(u));
  }
}

static void unary_i32(lur_tensor_op1 op, int64_t n, const int32_t *a, int32_t *y) {
  for (int64_t i = 0; i < n; i++) {
    int64_t u = a[i];
    y[i] = op == LUR_T_NEG      ? narrow(-u)
           : op == LUR_T_SQUARE ? narrow(u * u)
           : op == LUR_T_RELU   ? (int32_t)(u > 0 ? u : 0)
                                : narrow(u < 0 ? -u : u);
  }
}

lur_status lur_tensor_unary(lur_tensor_op1 op, lur_tensor *a, lur_tensor **y) {
  if ((unsigned)op > LUR_T_TANH) return lur_fail(LUR_EARG, "arithmetic: no function has number %d", (int)op);
  bool whole = op == LUR_T_NEG || op == LUR_T_ABS || op == LUR_T_SQUARE || op == LUR_T_RELU;
  lur_dtype dtype = whole && a->dtype == LUR_I32 ? LUR_I32 : LUR_F32;
  lur_tensor *x, *made = NULL;
  LUR_TRY(lur_tensor_as("arithmetic", a, dtype, &x));
  lur_status status = lur_tensor_blank(a->storage->context, dtype, &a->shape, &made);
  if (status == LUR_OK) {
    int64_t n = lur_shape_count(&a->shape);
    if (dtype == LUR_I32) {
      unary_i32(op, n, lur_tensor_data(x), lur_tensor_data(made));
    } else {
      unary_f32(op, n, lur_tensor_data(x), lur_tensor_data(made));
    }
    *y = made;
  }
  lur_tensor_release(x);
  return status;
}

/* ---- in place ---- */

/* Checks one pair: equal shapes, f32, the same device as the others. */
static lur_status check_lerp(const lur_tensor *dst, const lur_tensor *src, const lur_device *device) {
  if (!lur_shape_equal(&dst->shape, &src->shape)) {
    char to[LUR_SHAPE_TEXT], from[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "lerp: %s towards %s (equal shapes expected)", lur_shape_format(&dst->shape, to),
                    lur_shape_format(&src->shape, from));
  }
  if (dst->dtype != LUR_F32 || src->dtype != LUR_F32)
    return lur_fail(LUR_ETYPE, "lerp: %s towards %s (f32 expected)", lur_dtype_name(dst->dtype),
                    lur_dtype_name(src->dtype));
  const lur_device *odd = dst->storage->device != device ? dst->storage->device : src->storage->device;
  if (odd != device)
    return lur_fail(LUR_EDEVICE, "lerp: a tensor on %s and one on %s (the same device expected)", device->name,
                    odd->name);
  return LUR_OK;
}

lur_status lur_tensors_lerp(lur_tensor *const *dst, lur_tensor *const *src, int n, double share) {
  lur_parameter *parameters = NULL;
  if (n == 0) return LUR_OK;
  lur_device *device = dst[0]->storage->device;
  for (int i = 0; i < n; i++) LUR_TRY(check_lerp(dst[i], src[i], device));
  LUR_TRY(lur_alloc_items((size_t)n, sizeof *parameters, &parameters));
  for (int i = 0; i < n; i++) {
    dst[i]->storage->writes++;
    parameters[i] = (lur_parameter){
        .p = lur_tensor_address(dst[i]), .g = lur_tensor_address(src[i]), .count = lur_shape_count(&dst[i]->shape)};
  }
  lur_status status = lur_device_lerp(device, parameters, n, share);
  free(parameters);
  return status;
}
