/* tensor_reduce.c - sums, means, extremes, deviations, norms, running sums and softmax of host tensors.
 *
 * Folds go through the tensor in blocks of doubles: a block of up to CHUNK elements (several rows, where rows are
 * short) is folded element by element into as many accumulators, and these in the end into one row. The order of
 * operations depends on shapes alone, and the loops are as wide as the processor can. A NaN wins a maximum or minimum,
 * as in NumPy. To add a fold: its step in step_of, its last operation in finish, and its dtype in result_dtype. */
#include <math.h>

#include "engine/base/simd.h"
#include "tensor_host.h"

enum { CHUNK = 1024, SHORT = 256, PARALLEL = 65536 };

/* ---- steps: x into acc, element by element ---- */

typedef enum step { ADD, MULTIPLY, LARGEST, SMALLEST, SQUARE, ABSOLUTE, LARGEST_ABSOLUTE, POWER, COUNT } step;

#define EACH(expression)                                                                                               \
  for (int j = 0; j < n; j++) acc[j] = expression;                                                                     \
  break

/* mean: one per element, for SQUARE. */
LUR_SIMD_BODY void take(step s, double p, const double *x, const double *mean, int n, double *restrict acc) {
  switch (s) {
  case ADD: EACH(acc[j] + x[j]);
  case MULTIPLY: EACH(acc[j] * x[j]);
  case LARGEST: EACH(((x[j] > acc[j]) | (x[j] != x[j])) ? x[j] : acc[j]);
  case SMALLEST: EACH(((x[j] < acc[j]) | (x[j] != x[j])) ? x[j] : acc[j]);
  case SQUARE: EACH(acc[j] + (x[j] - mean[j]) * (x[j] - mean[j]));
  case ABSOLUTE: EACH(acc[j] + fabs(x[j]));
  case LARGEST_ABSOLUTE: EACH(((fabs(x[j]) > acc[j]) | (x[j] != x[j])) ? fabs(x[j]) : acc[j]);
  case POWER: EACH(acc[j] + pow(fabs(x[j]), p));
  case COUNT: EACH(acc[j] + (x[j] != 0 ? 1 : 0));
  }
}

#define TAKE_PARAMETERS (step s, double p, const double *x, const double *mean, int n, double *restrict acc)
LUR_SIMD_VARIANTS(take_wide, TAKE_PARAMETERS, take(s, p, x, mean, n, acc))

static void start(step s, int n, double *acc) {
  double first = s == MULTIPLY ? 1 : s == LARGEST ? -INFINITY : s == SMALLEST ? INFINITY : 0;
  for (int j = 0; j < n; j++) acc[j] = first;
}

/* The step that joins two accumulators. */
static step joining(step s) {
  return s == MULTIPLY || s == LARGEST || s == SMALLEST ? s : s == LARGEST_ABSOLUTE ? LARGEST : ADD;
}

LUR_SIMD_BODY void load_body(const float *reals, const int32_t *integers, int n, double *to) {
  if (reals) {
    for (int j = 0; j < n; j++) to[j] = (double)reals[j];
  } else {
    for (int j = 0; j < n; j++) to[j] = (double)integers[j];
  }
}

#define LOAD_PARAMETERS (const float *reals, const int32_t *integers, int n, double *to)
LUR_SIMD_VARIANTS(load_wide, LOAD_PARAMETERS, load_body(reals, integers, n, to))

/* n elements of x, f32 or i32, from `at` on. */
static void load(const lur_tensor *x, int64_t at, int n, double *to) {
  if (x->dtype == LUR_I32) LUR_SIMD_CALL(load_wide, (NULL, (const int32_t *)lur_tensor_data(x) + at, n, to));
  else LUR_SIMD_CALL(load_wide, ((const float *)lur_tensor_data(x) + at, NULL, n, to));
}

/* n elements of y, f32 or i32, from `at` on. */
static void store(lur_tensor *y, int64_t at, int n, const double *from) {
  float *reals = (float *)lur_tensor_data(y) + at;
  int32_t *integers = (int32_t *)lur_tensor_data(y) + at;
  if (y->dtype == LUR_I32) {
    for (int j = 0; j < n; j++) integers[j] = lur_saturate_i32(from[j]);
  } else {
    for (int j = 0; j < n; j++) reals[j] = (float)from[j];
  }
}

/* ---- folds ---- */

/* x as outer x n x inner, to be folded over n. */
typedef struct span {
  int64_t outer, n, inner;
} span;

typedef struct fold {
  lur_tensor_reduction op;
  const lur_reduce_options *o;
  const lur_tensor *x;
  lur_tensor *y;
  span s;
} fold;

/* Columns first to first + width of block o: rows of them are taken `rows` at a time. */
typedef struct part {
  int64_t o, first;
  int width, rows;
} part;

static step step_of(const fold *f) {
  double p = f->o->p;
  switch (f->op) {
  case LUR_T_MAX:
  case LUR_T_ARGMAX: return LARGEST;
  case LUR_T_MIN:
  case LUR_T_ARGMIN: return SMALLEST;
  case LUR_T_PROD: return MULTIPLY;
  case LUR_T_VAR:
  case LUR_T_STD: return SQUARE;
  case LUR_T_NORM: return p == 2 ? SQUARE : p == 1 ? ABSOLUTE : p == 0 ? COUNT : isinf(p) ? LARGEST_ABSOLUTE : POWER;
  case LUR_T_ANY:
  case LUR_T_ALL: return COUNT;
  default: return ADD;
  }
}

/* acc[0] to acc[width - 1]: the columns of the part, folded. mean: width x rows of them. */
static void run_step(const fold *f, const part *c, step s, const double *mean, double *acc) {
  double block[CHUNK];
  start(s, c->width * c->rows, acc);
  for (int64_t i = 0; i < f->s.n; i += c->rows) {
    int n = (f->s.n - i < c->rows ? (int)(f->s.n - i) : c->rows) * c->width;
    load(f->x, (c->o * f->s.n + i) * f->s.inner + c->first, n, block);
    LUR_SIMD_CALL(take_wide, (s, f->o->p, block, mean, n, acc));
  }
  for (int rows = c->rows, half; rows > 1; rows -= half) { /* the last half of the rows into the first */
    half = rows / 2;
    take(joining(s), 0, acc + (rows - half) * c->width, NULL, half * c->width, acc);
  }
}

/* What a folded column becomes. */
static double finish(const fold *f, double value) {
  double n = (double)f->s.n, p = f->o->p, left = n - f->o->ddof;
  switch (f->op) {
  case LUR_T_MEAN: return value / n;
  case LUR_T_VAR: return left > 0 ? value / left : (double)NAN;
  case LUR_T_STD: return left > 0 ? sqrt(value / left) : (double)NAN;
  case LUR_T_NORM: return p == 2 ? sqrt(value) : p == 0 || p == 1 || isinf(p) ? value : pow(value, 1 / p);
  case LUR_T_ANY: return value > 0;
  case LUR_T_ALL: return value == n;
  default: return value;
  }
}

static bool is_same(double u, double v) { return u == v || (u != u && v != v); }

LUR_SIMD_BODY void holds(const double *x, int n, double value, int *found) {
  int any = 0;
  for (int j = 0; j < n; j++) any |= (x[j] == value) | ((value != value) & (x[j] != x[j]));
  *found = any;
}

#define HOLDS_PARAMETERS (const double *x, int n, double value, int *found)
LUR_SIMD_VARIANTS(holds_wide, HOLDS_PARAMETERS, holds(x, n, value, found))

/* The first position of value in line o; NaN is where the first NaN is. */
static int64_t position_of(const fold *f, int64_t o, double value) {
  double block[SHORT];
  for (int64_t i = 0; i < f->s.n; i += SHORT) {
    int n = f->s.n - i < SHORT ? (int)(f->s.n - i) : SHORT, found = 0;
    load(f->x, o * f->s.n + i, n, block);
    LUR_SIMD_CALL(holds_wide, (block, n, value, &found));
    for (int j = 0; found && j < n; j++)
      if (is_same(block[j], value)) return i + j;
  }
  return 0;
}

static bool is_position(lur_tensor_reduction op) { return op == LUR_T_ARGMAX || op == LUR_T_ARGMIN; }

static void fold_part(const fold *f, const part *c) {
  double acc[CHUNK], mean[CHUNK];
  int n = c->width * c->rows;
  if (f->op == LUR_T_VAR || f->op == LUR_T_STD) {
    run_step(f, c, ADD, NULL, acc);
    for (int j = 0; j < n; j++) mean[j] = acc[j % c->width] / (double)f->s.n;
  } else {
    for (int j = 0; j < n; j++) mean[j] = 0;
  }
  run_step(f, c, step_of(f), mean, acc);
  for (int j = 0; j < c->width; j++)
    acc[j] = is_position(f->op) ? (double)position_of(f, c->o, acc[j]) : finish(f, acc[j]);
  store(f->y, c->o * f->s.inner + c->first, c->width, acc);
}

/* As many rows at a time as have SHORT elements, and fewer where the fold is short. */
static int rows_at_a_time(span s) {
  int64_t fit = s.inner < SHORT ? SHORT / s.inner : 1;
  return s.n < fit ? (s.n > 0 ? (int)s.n : 1) : (int)fit;
}

static void fold_all(const fold *f) {
  span s = f->s;
  int64_t chunks = (s.inner + CHUNK - 1) / CHUNK;
  int rows = rows_at_a_time(s);
#pragma omp parallel for if (s.outer * chunks > 1 && s.outer * s.n * s.inner > PARALLEL)
  for (int64_t i = 0; i < s.outer * chunks; i++) {
    int64_t first = i % chunks * CHUNK;
    fold_part(f, &(part){i / chunks, first, s.inner - first < CHUNK ? (int)(s.inner - first) : CHUNK, rows});
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

static lur_status reduce(lur_tensor_reduction op, lur_tensor *x, unsigned axes, const lur_reduce_options *o,
                         lur_tensor *y) {
  fold f = {op, o, x, y, {0, 0, 0}};
  if (span_of(&x->shape, axes, &f.s) && (f.s.inner == 1 || !is_position(op))) {
    fold_all(&f);
    return LUR_OK;
  }
  lur_tensor *moved;
  LUR_TRY(move_last(x, axes, &moved));
  int64_t lines = lur_shape_count(&y->shape);
  f.x = moved;
  f.s = (span){lines, lur_shape_count(&x->shape) / lines, 1};
  fold_all(&f);
  lur_tensor_release(moved);
  return LUR_OK;
}

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
    fold empty = {op, options, x, made, {lur_shape_count(&rest), 0, 1}};
    if (lur_shape_count(&a->shape) == 0) fold_all(&empty);
    else status = reduce(op, x, axes, options, made);
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
static void run_line(const lur_tensor *x, lur_tensor *y, int64_t at, int64_t n) {
  double block[CHUNK], sum = 0;
  for (int64_t i = 0; i < n; i += CHUNK) {
    int count = n - i < CHUNK ? (int)(n - i) : CHUNK;
    load(x, at + i, count, block);
    for (int j = 0; j < count; j++) block[j] = sum += block[j];
    store(y, at + i, count, block);
  }
}

/* Along n rows, `apart` elements from each other, of width elements each. */
static void run_rows(const lur_tensor *x, lur_tensor *y, int64_t at, int64_t n, int64_t apart, int width) {
  double block[CHUNK], acc[CHUNK] = {0};
  for (int64_t i = 0; i < n; i++, at += apart) {
    load(x, at, width, block);
    for (int j = 0; j < width; j++) acc[j] += block[j];
    store(y, at, width, acc);
  }
}

static void run_sums(span s, const lur_tensor *x, lur_tensor *y) {
  int64_t chunks = (s.inner + CHUNK - 1) / CHUNK;
#pragma omp parallel for if (s.outer * chunks > 1 && s.outer * s.n * s.inner > PARALLEL)
  for (int64_t c = 0; c < s.outer * chunks; c++) {
    int64_t first = c % chunks * CHUNK, at = c / chunks * s.n * s.inner + first;
    if (s.inner == 1) run_line(x, y, at, s.n);
    else run_rows(x, y, at, s.n, s.inner, s.inner - first < CHUNK ? (int)(s.inner - first) : CHUNK);
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
