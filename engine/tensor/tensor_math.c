/* tensor_math.c - element by element arithmetic of host tensors, with NumPy's broadcasting.
 *
 * For scripts and the REPL, not for models: no gradients, no device memory.
 * i32 with i32 stays i32 (computed wide, then saturated; division truncates); everything else computes in f32.
 * To add a function: a case in run2_f32 and one_i32, or in unary_f32 (and one_of_i32 where integers stay integers). */
#include <math.h>
#include <stdlib.h>

#include "engine/base/alloc.h"
#include "kernels/backend.h"
#include "tensor_host.h"
#include "tensor_walk.h"

/* ---- one run of n elements; strides are 0 or 1 ---- */

#define RUN(expression)                                                                                                \
  for (int64_t i = 0; i < n; i++) {                                                                                    \
    float u = a[i * sa], v = b[i * sb];                                                                                \
    y[i] = expression;                                                                                                 \
  }                                                                                                                    \
  break

/* The remainder with the divisor's sign, as Lua's. */
static float modulo(float u, float v) {
  float r = fmodf(u, v);
  return r * v < 0 ? r + v : r;
}

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
  case LUR_T_MOD: RUN(modulo(u, v));
  case LUR_T_FLOORDIV: RUN(floorf(u / v));
  default: break;
  }
}

static inline __attribute__((always_inline)) void run2_mask(lur_tensor_op2 op, int64_t n, const float *restrict a,
                                                            int64_t sa, const float *restrict b, int64_t sb,
                                                            int32_t *restrict y) {
  switch (op) {
  case LUR_T_EQ: RUN(u == v);
  case LUR_T_LT: RUN(u < v);
  case LUR_T_LE: RUN(u <= v);
  case LUR_T_NE: RUN(u != v);
  case LUR_T_GT: RUN(u > v);
  case LUR_T_GE: RUN(u >= v);
  case LUR_T_AND: RUN((u != 0) & (v != 0));
  case LUR_T_OR: RUN((u != 0) | (v != 0));
  case LUR_T_XOR: RUN((u != 0) ^ (v != 0));
  default: break;
  }
}

static int32_t narrow(int64_t value) {
  return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

static int64_t floor_divide(int64_t u, int64_t v) {
  if (v == 0) return u == 0 ? 0 : u > 0 ? INT32_MAX : INT32_MIN;
  return u / v - (u % v != 0 && (u < 0) != (v < 0));
}

static inline __attribute__((always_inline)) int32_t one_i32(lur_tensor_op2 op, int64_t u, int64_t v) {
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
  case LUR_T_NE: return u != v;
  case LUR_T_GT: return u > v;
  case LUR_T_GE: return u >= v;
  case LUR_T_AND: return (u != 0) & (v != 0);
  case LUR_T_OR: return (u != 0) | (v != 0);
  case LUR_T_XOR: return (u != 0) ^ (v != 0);
  case LUR_T_MOD: return v == 0 ? 0 : (int32_t)(u - floor_divide(u, v) * v);
  case LUR_T_FLOORDIV: return narrow(floor_divide(u, v));
  case LUR_T_OP2_COUNT: break;
  }
  return 0;
}

#define BY_STRIDES(run)                                                                                                \
  if (sa == 1 && sb == 1) run(op, n, a, 1, b, 1, y);                                                                   \
  else if (sa == 1) run(op, n, a, 1, b, 0, y);                                                                         \
  else if (sb == 1) run(op, n, a, 0, b, 1, y);                                                                         \
  else run(op, n, a, 0, b, 0, y)

/* The function is a constant in each loop, so that compilers vectorise those that can be. */
#define RUN_I32(op)                                                                                                    \
  case op:                                                                                                             \
    for (int64_t i = 0; i < n; i++) y[i] = one_i32(op, a[i * sa], b[i * sb]);                                          \
    break

static inline __attribute__((always_inline)) void run2_i32(lur_tensor_op2 op, int64_t n, const int32_t *restrict a,
                                                           int64_t sa, const int32_t *restrict b, int64_t sb,
                                                           int32_t *restrict y) {
  switch (op) {
    RUN_I32(LUR_T_ADD);
    RUN_I32(LUR_T_SUB);
    RUN_I32(LUR_T_MUL);
    RUN_I32(LUR_T_EQ);
    RUN_I32(LUR_T_LT);
    RUN_I32(LUR_T_LE);
    RUN_I32(LUR_T_NE);
    RUN_I32(LUR_T_GT);
    RUN_I32(LUR_T_GE);
    RUN_I32(LUR_T_AND);
    RUN_I32(LUR_T_OR);
  default:
    for (int64_t i = 0; i < n; i++) y[i] = one_i32(op, a[i * sa], b[i * sb]);
  }
}

static void run_i32(lur_tensor_op2 op, int64_t n, const int32_t *a, int64_t sa, const int32_t *b, int64_t sb,
                    int32_t *y) {
  BY_STRIDES(run2_i32);
}

static void run_f32(lur_tensor_op2 op, int64_t n, const float *a, int64_t sa, const float *b, int64_t sb, float *y) {
  BY_STRIDES(run2_f32);
}

static void run_mask(lur_tensor_op2 op, int64_t n, const float *a, int64_t sa, const float *b, int64_t sb, int32_t *y) {
  BY_STRIDES(run2_mask);
}

/* ---- all runs ---- */

static bool is_comparison(lur_tensor_op2 op) { return op >= LUR_T_EQ && op <= LUR_T_XOR; }

typedef struct binary {
  lur_tensor_op2 op;
  bool integers;
  const void *a, *b;
  void *y;
} binary;

static void binary_line(void *self, int64_t n, int64_t at, const int64_t *from, const int64_t *stride) {
  const binary *s = self;
  if (s->integers) {
    run_i32(s->op, n, (const int32_t *)s->a + from[0], stride[0], (const int32_t *)s->b + from[1], stride[1],
            (int32_t *)s->y + at);
  } else if (is_comparison(s->op)) {
    run_mask(s->op, n, (const float *)s->a + from[0], stride[0], (const float *)s->b + from[1], stride[1],
             (int32_t *)s->y + at);
  } else {
    run_f32(s->op, n, (const float *)s->a + from[0], stride[0], (const float *)s->b + from[1], stride[1],
            (float *)s->y + at);
  }
}

static const char *const names2[] = {"add", "sub", "mul", "div", "pow", "maximum", "minimum", "eq",  "lt",
                                     "le",  "ne",  "gt",  "ge",  "and", "or",      "xor",     "mod", "floor division"};

lur_status lur_tensor_binary(lur_tensor_op2 op, lur_tensor *a, lur_tensor *b, lur_tensor **y) {
  if ((unsigned)op >= LUR_T_OP2_COUNT) return lur_fail(LUR_EARG, "arithmetic: no function has number %d", (int)op);
  lur_walk walk;
  binary s = {.op = op, .integers = a->dtype == LUR_I32 && b->dtype == LUR_I32};
  lur_dtype dtype = s.integers ? LUR_I32 : LUR_F32;
  lur_tensor *fa = NULL, *fb = NULL, *made = NULL;
  lur_status status = lur_walk_plan(names2[op], 2, (lur_tensor *[]){a, b}, &walk);
  if (status == LUR_OK) status = lur_tensor_as(names2[op], a, dtype, &fa);
  if (status == LUR_OK) status = lur_tensor_as(names2[op], b, dtype, &fb);
  if (status == LUR_OK)
    status = lur_tensor_blank(a->storage->context, is_comparison(op) ? LUR_I32 : dtype, &walk.y, &made);
  if (status == LUR_OK) {
    s.a = lur_tensor_data(fa);
    s.b = lur_tensor_data(fb);
    s.y = lur_tensor_data(made);
    lur_walk_run(&walk, binary_line, &s);
    *y = made;
  }
  lur_tensor_release(fa);
  lur_tensor_release(fb);
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

static float sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; } /* 0 and NaN stay */

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
  case LUR_T_FLOOR: EACH(floorf(u));
  case LUR_T_CEIL: EACH(ceilf(u));
  case LUR_T_ROUND: EACH(rintf(u)); /* half to even, in the rounding mode that every program starts in */
  case LUR_T_TRUNC: EACH(truncf(u));
  case LUR_T_SIGN: EACH(sign(u));
  case LUR_T_SIN: EACH(sinf(u));
  case LUR_T_COS: EACH(cosf(u));
  case LUR_T_LOG1P: EACH(log1pf(u));
  case LUR_T_EXPM1: EACH(expm1f(u));
  case LUR_T_ERF: EACH(erff(u));
  default: break;
  }
}

static void unary_mask(lur_tensor_op1 op, int64_t n, const float *a, int32_t *y) {
  switch (op) {
  case LUR_T_ISNAN: EACH(u != u);
  case LUR_T_ISINF: EACH(fabsf(u) == INFINITY);
  case LUR_T_ISFINITE: EACH(fabsf(u) < INFINITY);
  case LUR_T_NOT: EACH(u == 0);
  default: break;
  }
}

static int32_t one_of_i32(lur_tensor_op1 op, int64_t u) {
  switch (op) {
  case LUR_T_NEG: return narrow(-u);
  case LUR_T_SQUARE: return narrow(u * u);
  case LUR_T_RELU: return (int32_t)(u > 0 ? u : 0);
  case LUR_T_ABS: return narrow(u < 0 ? -u : u);
  case LUR_T_SIGN: return (u > 0) - (u < 0);
  default: return (int32_t)u; /* roundings */
  }
}

static bool is_mask(lur_tensor_op1 op) { return op >= LUR_T_ISNAN; }

static bool keeps_integers(lur_tensor_op1 op) {
  return op == LUR_T_NEG || op == LUR_T_ABS || op == LUR_T_SQUARE || op == LUR_T_RELU ||
         (op >= LUR_T_FLOOR && op <= LUR_T_SIGN);
}

static const char *const names1[] = {"neg",   "abs",   "exp",  "log",   "sqrt",  "square",   "relu",       "sigmoid",
                                     "tanh",  "floor", "ceil", "round", "trunc", "sign",     "sin",        "cos",
                                     "log1p", "expm1", "erf",  "isnan", "isinf", "isfinite", "logical_not"};

lur_status lur_tensor_unary(lur_tensor_op1 op, lur_tensor *a, lur_tensor **y) {
  if ((unsigned)op >= LUR_T_OP1_COUNT) return lur_fail(LUR_EARG, "arithmetic: no function has number %d", (int)op);
  lur_dtype dtype = keeps_integers(op) && a->dtype == LUR_I32 ? LUR_I32 : LUR_F32;
  lur_tensor *x, *made = NULL;
  LUR_TRY(lur_tensor_as(names1[op], a, dtype, &x));
  lur_status status = lur_tensor_blank(a->storage->context, is_mask(op) ? LUR_I32 : dtype, &a->shape, &made);
  if (status == LUR_OK) {
    int64_t n = lur_shape_count(&a->shape);
    if (dtype == LUR_I32) {
      const int32_t *from = lur_tensor_data(x);
      int32_t *to = lur_tensor_data(made);
      for (int64_t i = 0; i < n; i++) to[i] = one_of_i32(op, from[i]);
    } else if (is_mask(op)) {
      unary_mask(op, n, lur_tensor_data(x), lur_tensor_data(made));
    } else {
      unary_f32(op, n, lur_tensor_data(x), lur_tensor_data(made));
    }
    *y = made;
  }
  lur_tensor_release(x);
  return status;
}

/* ---- bounds ---- */

static bool is_whole_bound(double value) { return isinf(value) || (value == trunc(value) && fabs(value) < 4e9); }

static void clamp_f32(const float *x, float *y, int64_t n, float low, float high) {
#pragma omp parallel for if (n > 65536)
  for (int64_t i = 0; i < n; i++) {
    float u = x[i] < low ? low : x[i];
    y[i] = u > high ? high : u;
  }
}

static void clamp_i32(const int32_t *x, int32_t *y, int64_t n, double low, double high) {
  int32_t least = lur_saturate_i32(low), most = lur_saturate_i32(high);
  for (int64_t i = 0; i < n; i++) y[i] = x[i] < least ? least : x[i] > most ? most : x[i];
}

lur_status lur_tensor_clamp(lur_tensor *a, double low, double high, lur_tensor **y) {
  if (!(low <= high)) return lur_fail(LUR_EARG, "clamp: %g to %g (bounds in ascending order expected)", low, high);
  bool integers = a->dtype == LUR_I32 && is_whole_bound(low) && is_whole_bound(high);
  lur_dtype dtype = integers ? LUR_I32 : LUR_F32;
  lur_tensor *x, *made = NULL;
  LUR_TRY(lur_tensor_as("clamp", a, dtype, &x));
  lur_status status = lur_tensor_blank(a->storage->context, dtype, &a->shape, &made);
  if (status == LUR_OK) {
    int64_t n = lur_shape_count(&a->shape);
    if (integers) clamp_i32(lur_tensor_data(x), lur_tensor_data(made), n, low, high);
    else clamp_f32(lur_tensor_data(x), lur_tensor_data(made), n, (float)low, (float)high);
    *y = made;
  }
  lur_tensor_release(x);
  return status;
}

/* ---- closeness ---- */

typedef struct closeness {
  const float *a, *b;
  double rtol, atol;
  bool equal_nan;
  atomic_bool apart; /* an element is not close */
} closeness;

static bool is_close(const closeness *c, float u, float v) {
  if (u != u || v != v) return c->equal_nan && u != u && v != v;
  if (u == v) return true; /* infinities too */
  if (isinf(u) || isinf(v)) return false;
  return fabs((double)u - (double)v) <= c->atol + c->rtol * fabs((double)v);
}

static void close_line(void *self, int64_t n, int64_t at, const int64_t *from, const int64_t *stride) {
  closeness *c = self;
  (void)at;
  for (int64_t i = 0; i < n; i++) {
    if (is_close(c, c->a[from[0] + i * stride[0]], c->b[from[1] + i * stride[1]])) continue;
    c->apart = true;
    return;
  }
}

lur_status lur_tensor_allclose(lur_tensor *a, lur_tensor *b, double rtol, double atol, bool equal_nan, bool *close) {
  lur_walk walk;
  lur_tensor *fa = NULL, *fb = NULL;
  closeness c = {.rtol = rtol, .atol = atol, .equal_nan = equal_nan};
  atomic_init(&c.apart, false);
  lur_status status = lur_walk_plan("allclose", 2, (lur_tensor *[]){a, b}, &walk);
  if (status == LUR_OK) status = lur_tensor_as("allclose", a, LUR_F32, &fa);
  if (status == LUR_OK) status = lur_tensor_as("allclose", b, LUR_F32, &fb);
  if (status == LUR_OK) {
    c.a = lur_tensor_data(fa);
    c.b = lur_tensor_data(fb);
    lur_walk_run(&walk, close_line, &c);
    *close = !c.apart;
  }
  lur_tensor_release(fa);
  lur_tensor_release(fb);
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
