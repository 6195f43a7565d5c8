/* tensor_reduce.c - sums, means, extremes, deviations, norms, running sums and softmax of host tensors.
 *
 * Sums accumulate in double (i32: then saturate). A NaN wins a maximum or minimum, as in NumPy.
 * Everything is a fold of lines of contiguous elements; sums and extremes over outer dimensions go row by row instead,
 * and for other folds the dimensions are permuted first.
 * To add a fold: a case in line_f32 and line_i32, and its dtype in result_dtype. */
#include <math.h>

#include "engine/base/simd.h"
#include "tensor_host.h"

enum { LANES = 16, WIDE = 64, CHUNK = 256, PARALLEL = 65536 };

/* The tensor as outer x n x inner, to be reduced over n. */
typedef struct span {
  int64_t outer, n, inner;
} span;

/* ---- one line: n contiguous elements ---- */

/* The same for f32 and i32, for which v != v is never true. Lanes are independent, so that compilers vectorise them;
   their number is fixed, so that results depend on nothing else. */
#define DEFINE_LINES(name, type)                                                                                       \
  LUR_SIMD_BODY double sum_##name(const type *x, int64_t n) {                                                          \
    double lane[LANES] = {0}, sum = 0;                                                                                 \
    int64_t i = 0;                                                                                                     \
    for (; i + LANES <= n; i += LANES)                                                                                 \
      for (int k = 0; k < LANES; k++) lane[k] += (double)x[i + k];                                                     \
    for (; i < n; i++) lane[0] += (double)x[i];                                                                        \
    for (int k = 0; k < LANES; k++) sum += lane[k];                                                                    \
    return sum;                                                                                                        \
  }                                                                                                                    \
  LUR_SIMD_BODY double squares_##name(const type *x, int64_t n, double mean) {                                         \
    double lane[LANES] = {0}, sum = 0;                                                                                 \
    int64_t i = 0;                                                                                                     \
    for (; i + LANES <= n; i += LANES)                                                                                 \
      for (int k = 0; k < LANES; k++) lane[k] += ((double)x[i + k] - mean) * ((double)x[i + k] - mean);                \
    for (; i < n; i++) lane[0] += ((double)x[i] - mean) * ((double)x[i] - mean);                                       \
    for (int k = 0; k < LANES; k++) sum += lane[k];                                                                    \
    return sum;                                                                                                        \
  }                                                                                                                    \
  LUR_SIMD_BODY type max_##name(const type *x, int64_t n) {                                                            \
    type lane[WIDE], best = x[0];                                                                                      \
    for (int k = 0; k < WIDE; k++) lane[k] = x[0];                                                                     \
    int64_t i = 0;                                                                                                     \
    for (; i + WIDE <= n; i += WIDE)                                                                                   \
      for (int k = 0; k < WIDE; k++) lane[k] = (x[i + k] > lane[k]) | (x[i + k] != x[i + k]) ? x[i + k] : lane[k];     \
    for (; i < n; i++) lane[0] = x[i] > lane[0] || x[i] != x[i] ? x[i] : lane[0];                                      \
    for (int k = 0; k < WIDE; k++) best = lane[k] > best || lane[k] != lane[k] ? lane[k] : best;                       \
    return best;                                                                                                       \
  }                                                                                                                    \
  LUR_SIMD_BODY type min_##name(const type *x, int64_t n) {                                                            \
    type lane[WIDE], best = x[0];                                                                                      \
    for (int k = 0; k < WIDE; k++) lane[k] = x[0];                                                                     \
    int64_t i = 0;                                                                                                     \
    for (; i + WIDE <= n; i += WIDE)                                                                                   \
      for (int k = 0; k < WIDE; k++) lane[k] = (x[i + k] < lane[k]) | (x[i + k] != x[i + k]) ? x[i + k] : lane[k];     \
    for (; i < n; i++) lane[0] = x[i] < lane[0] || x[i] != x[i] ? x[i] : lane[0];                                      \
    for (int k = 0; k < WIDE; k++) best = lane[k] < best || lane[k] != lane[k] ? lane[k] : best;                       \
    return best;                                                                                                       \
  }                                                                                                                    \
  LUR_SIMD_BODY double first_##name(const type *x, int64_t n, type value) {                                            \
    int64_t i = 0;                                                                                                     \
    for (; i + WIDE <= n; i += WIDE) {                                                                                 \
      int found = 0;                                                                                                   \
      for (int k = 0; k < WIDE; k++) found |= (x[i + k] == value) | ((value != value) & (x[i + k] != x[i + k]));       \
      if (found) break;                                                                                                \
    }                                                                                                                  \
    while (i < n - 1 && !((x[i] == value) | ((value != value) & (x[i] != x[i])))) i++;                                 \
    return (double)i;                                                                                                  \
  }                                                                                                                    \
  LUR_SIMD_BODY double product_##name(const type *x, int64_t n) {                                                      \
    double product = 1;                                                                                                \
    for (int64_t i = 0; i < n; i++) product *= (double)x[i];                                                           \
    return product;                                                                                                    \
  }                                                                                                                    \
  LUR_SIMD_BODY int64_t true_##name(const type *x, int64_t n) {                                                        \
    int64_t count = 0;                                                                                                 \
    for (int64_t i = 0; i < n; i++) count += x[i] != 0;                                                                \
    return count;                                                                                                      \
  }                                                                                                                    \
  LUR_SIMD_BODY double norm_##name(const type *x, int64_t n, double p) {                                               \
    double sum = 0;                                                                                                    \
    if (p == 2) return sqrt(squares_##name(x, n, 0));                                                                  \
    if (p == 0) return (double)true_##name(x, n);                                                                      \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      double u = fabs((double)x[i]);                                                                                   \
      if (isinf(p)) sum = u > sum || u != u ? u : sum;                                                                 \
      else sum += p == 1 ? u : pow(u, p);                                                                              \
    }                                                                                                                  \
    return isinf(p) || p == 1 ? sum : pow(sum, 1 / p);                                                                 \
  }                                                                                                                    \
  LUR_SIMD_BODY double variance_##name(const type *x, int64_t n, int ddof) {                                           \
    if (n <= ddof) return NAN;                                                                                         \
    return squares_##name(x, n, sum_##name(x, n) / (double)n) / (double)(n - ddof);                                    \
  }                                                                                                                    \
  LUR_SIMD_BODY double line_##name(lur_tensor_reduction op, const type *x, int64_t n, const lur_reduce_options *o) {   \
    switch (op) {                                                                                                      \
    case LUR_T_SUM: return sum_##name(x, n);                                                                           \
    case LUR_T_MEAN: return sum_##name(x, n) / (double)n;                                                              \
    case LUR_T_MAX: return (double)max_##name(x, n);                                                                   \
    case LUR_T_MIN: return (double)min_##name(x, n);                                                                   \
    case LUR_T_ARGMAX: return first_##name(x, n, max_##name(x, n));                                                    \
    case LUR_T_ARGMIN: return first_##name(x, n, min_##name(x, n));                                                    \
    case LUR_T_PROD: return product_##name(x, n);                                                                      \
    case LUR_T_VAR: return variance_##name(x, n, o->ddof);                                                             \
    case LUR_T_STD: return sqrt(variance_##name(x, n, o->ddof));                                                       \
    case LUR_T_NORM: return norm_##name(x, n, o->p);                                                                   \
    case LUR_T_ANY: return true_##name(x, n) > 0;                                                                      \
    case LUR_T_ALL: return true_##name(x, n) == n;                                                                     \
    case LUR_T_REDUCTION_COUNT: break;                                                                                 \
    }                                                                                                                  \
    return 0;                                                                                                          \
  }
DEFINE_LINES(f32, float)
DEFINE_LINES(i32, int32_t)

#define LINE_PARAMETERS(type)                                                                                          \
  (lur_tensor_reduction op, const type *x, int64_t n, const lur_reduce_options *o, double *value)
LUR_SIMD_VARIANTS(wide_f32, LINE_PARAMETERS(float), *value = line_f32(op, x, n, o))
LUR_SIMD_VARIANTS(wide_i32, LINE_PARAMETERS(int32_t), *value = line_i32(op, x, n, o))

/* Line i of x, as wide as this processor can. */
static double fold_line(lur_tensor_reduction op, const lur_tensor *x, int64_t i, int64_t n,
                        const lur_reduce_options *o) {
  double value = 0;
  if (x->dtype == LUR_I32) LUR_SIMD_CALL(wide_i32, (op, (const int32_t *)lur_tensor_data(x) + i * n, n, o, &value));
  else LUR_SIMD_CALL(wide_f32, (op, (const float *)lur_tensor_data(x) + i * n, n, o, &value));
  return value;
}

static void store(lur_tensor *y, int64_t at, double value) {
  if (y->dtype == LUR_I32) ((int32_t *)lur_tensor_data(y))[at] = lur_saturate_i32(value);
  else ((float *)lur_tensor_data(y))[at] = (float)value;
}

static void fold_lines(lur_tensor_reduction op, span s, const lur_tensor *x, const lur_reduce_options *o,
                       lur_tensor *y) {
#pragma omp parallel for if (s.outer > 1 && s.outer * s.n > PARALLEL)
  for (int64_t i = 0; i < s.outer; i++) store(y, i, fold_line(op, x, i, s.n, o));
}

/* ---- rows: sums and extremes over outer dimensions ---- */

#define ROW(expression)                                                                                                \
  for (int j = 0; j < n; j++) {                                                                                        \
    double v = (double)x[j];                                                                                           \
    acc[j] = expression;                                                                                               \
  }                                                                                                                    \
  break
#define DEFINE_ROW(name, type)                                                                                         \
  LUR_SIMD_BODY void row_##name(lur_tensor_reduction op, const type *x, int n, double *acc) {                          \
    switch (op) {                                                                                                      \
    case LUR_T_MAX: ROW((v > acc[j]) | (v != v) ? v : acc[j]);                                                         \
    case LUR_T_MIN: ROW((v < acc[j]) | (v != v) ? v : acc[j]);                                                         \
    default: ROW(acc[j] + v);                                                                                          \
    }                                                                                                                  \
  }
DEFINE_ROW(f32, float)
DEFINE_ROW(i32, int32_t)
#define ROW_PARAMETERS(type) (lur_tensor_reduction op, const type *x, int n, double *acc)
LUR_SIMD_VARIANTS(wide_row_f32, ROW_PARAMETERS(float), row_f32(op, x, n, acc))
LUR_SIMD_VARIANTS(wide_row_i32, ROW_PARAMETERS(int32_t), row_i32(op, x, n, acc))

/* acc: folded with n elements of x from `at` on. */
static void fold_row(lur_tensor_reduction op, const lur_tensor *x, int64_t at, int n, double *acc) {
  if (x->dtype == LUR_I32) LUR_SIMD_CALL(wide_row_i32, (op, (const int32_t *)lur_tensor_data(x) + at, n, acc));
  else LUR_SIMD_CALL(wide_row_f32, (op, (const float *)lur_tensor_data(x) + at, n, acc));
}

static bool goes_by_rows(lur_tensor_reduction op) { return op <= LUR_T_MIN; }

/* Columns first to first + n of the o-th block. */
static void fold_chunk(lur_tensor_reduction op, span s, const lur_tensor *x, lur_tensor *y, int64_t o, int64_t first,
                       int n) {
  double acc[CHUNK];
  bool extreme = op == LUR_T_MAX || op == LUR_T_MIN;
  for (int j = 0; j < n; j++) acc[j] = !extreme ? 0 : op == LUR_T_MAX ? -INFINITY : INFINITY;
  for (int64_t i = 0; i < s.n; i++) fold_row(op, x, (o * s.n + i) * s.inner + first, n, acc);
  for (int j = 0; j < n; j++) store(y, o * s.inner + first + j, op == LUR_T_MEAN ? acc[j] / (double)s.n : acc[j]);
}

static void fold_rows(lur_tensor_reduction op, span s, const lur_tensor *x, lur_tensor *y) {
  int64_t chunks = (s.inner + CHUNK - 1) / CHUNK;
#pragma omp parallel for if (s.outer * chunks > 1 && s.outer * s.n * s.inner > PARALLEL)
  for (int64_t c = 0; c < s.outer * chunks; c++) {
    int64_t first = c % chunks * CHUNK;
    fold_chunk(op, s, x, y, c / chunks, first, s.inner - first < CHUNK ? (int)(s.inner - first) : CHUNK);
  }
}

/* ---- shapes ---- */

static const char *const names[] = {"sum",  "mean", "max", "min",  "argmax", "argmin",
                                    "prod", "var",  "std", "norm", "any",    "all"};

static unsigned every(const lur_shape *shape) { return (1u << shape->ndim) - 1; }

static lur_shape rest_of(const lur_shape *shape, unsigned axes, bool keep) {
  lur_shape rest = {0, {0}};
  for (int i = 0; i < shape->ndim; i++) {
    bool reduced = axes >> i & 1;
    if (!reduced || keep) rest.dim[rest.ndim++] = reduced ? 1 : shape->dim[i];
  }
  return rest;
}

/* Whether the reduced dimensions are neighbours; those of extent 1 count as either. */
static bool span_of(const lur_shape *shape, unsigned axes, span *s) {
  *s = (span){1, 1, 1};
  bool reducing = false;
  for (int i = 0; i < shape->ndim; i++) {
    int64_t extent = shape->dim[i];
    bool reduced = axes >> i & 1;
    if (extent == 1) continue;
    if (reduced && s->inner > 1) return false;
    reducing = reducing || reduced;
    *(reduced ? &s->n : reducing ? &s->inner : &s->outer) *= extent;
  }
  return true;
}

/* *y: x with the reduced dimensions last. */
static lur_status move_last(lur_tensor *x, unsigned axes, lur_tensor **y) {
  int order[LUR_MAX_DIMS], n = 0;
  for (int i = 0; i < x->shape.ndim; i++)
    if (!(axes >> i & 1)) order[n++] = i;
  for (int i = 0; i < x->shape.ndim; i++)
    if (axes >> i & 1) order[n++] = i;
  return lur_tensor_permute(x, order, y);
}

static lur_status fold(lur_tensor_reduction op, lur_tensor *x, unsigned axes, const lur_reduce_options *o,
                       lur_tensor *y) {
  span s;
  bool neighbours = span_of(&x->shape, axes, &s);
  if (neighbours && s.inner > 1 && goes_by_rows(op)) {
    fold_rows(op, s, x, y);
    return LUR_OK;
  }
  if (neighbours && s.inner == 1) {
    fold_lines(op, s, x, o, y);
    return LUR_OK;
  }
  lur_tensor *moved;
  LUR_TRY(move_last(x, axes, &moved));
  span_of(&x->shape, 0, &s);
  int64_t lines = lur_shape_count(&y->shape);
  fold_lines(op, (span){lines, s.outer / lines, 1}, moved, o, y);
  lur_tensor_release(moved);
  return LUR_OK;
}

static bool is_position(lur_tensor_reduction op) { return op == LUR_T_ARGMAX || op == LUR_T_ARGMIN; }

static lur_status check(lur_tensor_reduction op, const lur_tensor *a, const lur_reduce_options *o, unsigned axes) {
  char text[LUR_SHAPE_TEXT];
  lur_shape_format(&a->shape, text);
  if (o->axes & ~every(&a->shape))
    return lur_fail(LUR_EARG, "%s: dimension %d of a tensor of %s (1 to %d expected)", names[op],
                    __builtin_ctz(o->axes & ~every(&a->shape)) + 1, text, a->shape.ndim);
  if (op == LUR_T_NORM && !(o->p >= 0)) return lur_fail(LUR_EARG, "norm: p is %g (0 or more expected)", o->p);
  lur_shape reduced = rest_of(&a->shape, ~axes, false);
  int64_t folded = lur_shape_count(&reduced);
  bool defined = op == LUR_T_SUM || op == LUR_T_PROD || op >= LUR_T_NORM;
  if (folded == 0 && !defined) {
    return lur_fail(LUR_ESHAPE, "%s: a tensor of %s has no elements (sum, prod, norm, any and all are defined)",
                    names[op], text);
  }
  if (!is_position(op)) return LUR_OK;
  if (folded > INT32_MAX)
    return lur_fail(LUR_EUNSUPPORTED, "%s: a position among %lld elements does not fit i32", names[op],
                    (long long)folded);
  if (axes != every(&a->shape) && (axes & (axes - 1)))
    return lur_fail(LUR_EARG, "%s: one dimension expected, or all", names[op]);
  return LUR_OK;
}

static lur_dtype result_dtype(lur_tensor_reduction op, const lur_tensor *a) {
  switch (op) {
  case LUR_T_MEAN:
  case LUR_T_VAR:
  case LUR_T_STD:
  case LUR_T_NORM: return LUR_F32;
  case LUR_T_ARGMAX:
  case LUR_T_ARGMIN:
  case LUR_T_ANY:
  case LUR_T_ALL: return LUR_I32;
  default: return a->dtype == LUR_I32 ? LUR_I32 : LUR_F32;
  }
}

lur_status lur_tensor_reduce_over(lur_tensor_reduction op, lur_tensor *a, const lur_reduce_options *options,
                                  lur_tensor **y) {
  if ((unsigned)op >= LUR_T_REDUCTION_COUNT) return lur_fail(LUR_EARG, "reduce: no function has number %d", (int)op);
  unsigned axes = options->axes ? options->axes : every(&a->shape);
  LUR_TRY(check(op, a, options, axes));
  lur_shape rest = rest_of(&a->shape, axes, options->keep);
  LUR_TRY(lur_shape_check(&rest)); /* an extent of 0 may have hidden a huge product */
  lur_tensor *x, *made = NULL;
  LUR_TRY(lur_tensor_as(names[op], a, a->dtype == LUR_I32 ? LUR_I32 : LUR_F32, &x));
  lur_status status = lur_tensor_blank(a->storage->context, result_dtype(op, a), &rest, &made);
  if (status == LUR_OK && lur_shape_count(&rest) > 0) {
    lur_shape reduced = rest_of(&a->shape, ~axes, false);
    if (lur_shape_count(&reduced) == 0) fold_lines(op, (span){lur_shape_count(&rest), 0, 1}, x, options, made);
    else status = fold(op, x, axes, options, made);
  }
  lur_tensor_release(x);
  if (status != LUR_OK) {
    lur_tensor_release(made);
    return status;
  }
  *y = made;
  return LUR_OK;
}

lur_status lur_tensor_reduce(lur_tensor_reduction op, lur_tensor *a, int axis, lur_tensor **y) {
  char text[LUR_SHAPE_TEXT];
  if (axis < -1 || axis >= a->shape.ndim) {
    return lur_fail(LUR_EARG, "reduce: dimension %d of a tensor of %s (1 to %d expected)", axis + 1,
                    lur_shape_format(&a->shape, text), a->shape.ndim);
  }
  return lur_tensor_reduce_over(op, a, &(lur_reduce_options){.axes = axis < 0 ? 0 : 1u << axis, .ddof = 1, .p = 2}, y);
}

/* ---- running sums ---- */

/* Along n contiguous elements. */
static void run_sum(const lur_tensor *x, lur_tensor *y, int64_t at, int64_t n) {
  const float *reals = (const float *)lur_tensor_data(x) + at;
  const int32_t *integers = (const int32_t *)lur_tensor_data(x) + at;
  float *to = (float *)lur_tensor_data(y) + at;
  double sum = 0;
  if (x->dtype == LUR_I32) {
    for (int64_t i = 0; i < n; i++) store(y, at + i, sum += (double)integers[i]);
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = (float)(sum += (double)reals[i]);
  }
}

/* Along n of outer x n x inner, a chunk of columns at a time. */
static void run_sums(span s, const lur_tensor *x, lur_tensor *y) {
  int64_t chunks = (s.inner + CHUNK - 1) / CHUNK;
#pragma omp parallel for if (s.outer * chunks > 1 && s.outer * s.n * s.inner > PARALLEL)
  for (int64_t c = 0; c < s.outer * chunks; c++) {
    if (s.inner == 1) {
      run_sum(x, y, c * s.n, s.n);
      continue;
    }
    double acc[CHUNK] = {0};
    int64_t first = c % chunks * CHUNK;
    int n = s.inner - first < CHUNK ? (int)(s.inner - first) : CHUNK;
    for (int64_t i = 0; i < s.n; i++) {
      int64_t at = (c / chunks * s.n + i) * s.inner + first;
      fold_row(LUR_T_SUM, x, at, n, acc);
      for (int j = 0; j < n; j++) store(y, at + j, acc[j]);
    }
  }
}

lur_status lur_tensor_cumsum(lur_tensor *a, int axis, lur_tensor **y) {
  char text[LUR_SHAPE_TEXT];
  if (axis < 0 || axis >= a->shape.ndim)
    return lur_fail(LUR_EARG, "cumsum: dimension %d of a tensor of %s (1 to %d expected)", axis + 1,
                    lur_shape_format(&a->shape, text), a->shape.ndim);
  lur_dtype dtype = a->dtype == LUR_I32 ? LUR_I32 : LUR_F32;
  lur_tensor *x, *made = NULL;
  LUR_TRY(lur_tensor_as("cumsum", a, dtype, &x));
  lur_status status = lur_tensor_blank(a->storage->context, dtype, &a->shape, &made);
  if (status == LUR_OK) {
    span s = {1, a->shape.dim[axis], 1};
    for (int i = 0; i < a->shape.ndim; i++)
      if (i != axis) *(i < axis ? &s.outer : &s.inner) *= a->shape.dim[i];
    if (lur_shape_count(&a->shape) > 0) run_sums(s, x, made);
    *y = made;
  }
  lur_tensor_release(x);
  return status;
}

/* ---- softmax ---- */

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
