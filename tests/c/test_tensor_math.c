/* test_tensor_math.c - arithmetic of host tensors against plain loops over indices, and metrics against hand counts. */
#include <math.h>
#include <stdlib.h>

#include "engine/lurcher.h"
#include "tests/c/check.h"

static lur_context *context;

static lur_tensor *make(lur_dtype dtype, lur_shape shape) {
  lur_tensor *tensor = NULL;
  CHECK_OK(lur_tensor_new(context, NULL, dtype, &shape, &tensor));
  return tensor;
}

static lur_tensor *of(lur_dtype dtype, lur_shape shape, const double *values) {
  lur_tensor *tensor = make(dtype, shape);
  for (int64_t i = 0; i < lur_shape_count(&shape); i++) CHECK_OK(lur_tensor_set(tensor, i, values[i]));
  return tensor;
}

static double at(const lur_tensor *tensor, int64_t index) {
  double value = NAN;
  CHECK_OK(lur_tensor_get(tensor, index, &value));
  return value;
}

static int near(double a, double b, double tolerance) {
  return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= tolerance * (1 + fabs(b));
}

/* ---- broadcasting ---- */

/* Flat index into `shape` of the element that position `index` of y reads. */
static int64_t index_in(const lur_shape *shape, const lur_shape *y, int64_t index) {
  int64_t at_dim[LUR_MAX_DIMS], flat = 0;
  for (int i = y->ndim - 1; i >= 0; i--) {
    at_dim[i] = index % y->dim[i];
    index /= y->dim[i];
  }
  for (int i = 0; i < shape->ndim; i++) {
    int64_t p = at_dim[i + y->ndim - shape->ndim];
    flat = flat * shape->dim[i] + (shape->dim[i] == 1 ? 0 : p);
  }
  return flat;
}

static double plain(lur_tensor_op2 op, double u, double v) {
  switch (op) {
  case LUR_T_ADD: return u + v;
  case LUR_T_SUB: return u - v;
  case LUR_T_MUL: return u * v;
  case LUR_T_DIV: return u / v;
  case LUR_T_POW: return pow(u, v);
  case LUR_T_MAXIMUM: return u > v ? u : v;
  case LUR_T_MINIMUM: return u < v ? u : v;
  case LUR_T_EQ: return u == v;
  case LUR_T_LT: return u < v;
  case LUR_T_LE: return u <= v;
  case LUR_T_NE: return u != v;
  case LUR_T_GT: return u > v;
  case LUR_T_GE: return u >= v;
  case LUR_T_AND: return u != 0 && v != 0;
  case LUR_T_OR: return u != 0 || v != 0;
  case LUR_T_XOR: return (u != 0) != (v != 0);
  case LUR_T_MOD: return u - floor(u / v) * v;
  case LUR_T_FLOORDIV: return floor(u / v);
  case LUR_T_OP2_COUNT: break;
  }
  return NAN;
}

static void compare_with_loops(lur_shape sa, lur_shape sb, lur_shape sy, lur_dtype dtype) {
  lur_tensor *a = make(LUR_F32, sa), *b = make(LUR_F32, sb), *ca = NULL, *cb = NULL, *y = NULL;
  CHECK_OK(lur_tensor_uniform(a, 1, 6));
  CHECK_OK(lur_tensor_uniform(b, 1, 6));
  CHECK_OK(lur_tensor_cast(a, dtype, &ca));
  CHECK_OK(lur_tensor_cast(b, dtype, &cb));
  for (lur_tensor_op2 op = LUR_T_ADD; op < LUR_T_OP2_COUNT; op++) {
    CHECK_OK(lur_tensor_binary(op, ca, cb, &y));
    CHECK(lur_shape_equal(lur_tensor_shape(y), &sy));
    bool mask = op >= LUR_T_EQ && op <= LUR_T_XOR;
    CHECK(lur_tensor_dtype(y) == (dtype == LUR_I32 || mask ? LUR_I32 : LUR_F32));
    int wrong = 0;
    for (int64_t i = 0; i < lur_shape_count(&sy); i++) {
      double want = plain(op, at(ca, index_in(&sa, &sy, i)), at(cb, index_in(&sb, &sy, i)));
      wrong += !near(at(y, i), dtype == LUR_I32 ? trunc(want) : want, 1e-5);
    }
    CHECK(wrong == 0);
    lur_tensor_release(y);
  }
  lur_tensor_release(a);
  lur_tensor_release(b);
  lur_tensor_release(ca);
  lur_tensor_release(cb);
}

static void test_broadcasting(void) {
  const lur_shape cases[][3] = {{{0, {0}}, {0, {0}}, {0, {0}}},
                                {{1, {5}}, {0, {0}}, {1, {5}}},
                                {{0, {0}}, {2, {2, 3}}, {2, {2, 3}}},
                                {{2, {4, 3}}, {2, {4, 3}}, {2, {4, 3}}},
                                {{2, {4, 3}}, {1, {3}}, {2, {4, 3}}},
                                {{2, {4, 1}}, {2, {1, 3}}, {2, {4, 3}}},
                                {{1, {1}}, {3, {2, 1, 3}}, {3, {2, 1, 3}}},
                                {{3, {2, 1, 3}}, {2, {4, 1}}, {3, {2, 4, 3}}},
                                {{4, {2, 3, 4, 5}}, {4, {2, 1, 1, 5}}, {4, {2, 3, 4, 5}}},
                                {{4, {2, 3, 4, 5}}, {3, {3, 1, 1}}, {4, {2, 3, 4, 5}}},
                                {{6, {2, 1, 2, 1, 2, 1}}, {6, {1, 2, 1, 2, 1, 2}}, {6, {2, 2, 2, 2, 2, 2}}},
                                {{2, {0, 3}}, {1, {3}}, {2, {0, 3}}},
                                {{2, {0, 3}}, {2, {1, 1}}, {2, {0, 3}}}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    compare_with_loops(cases[i][0], cases[i][1], cases[i][2], LUR_F32);
    compare_with_loops(cases[i][1], cases[i][0], cases[i][2], LUR_I32);
  }
  lur_tensor *a = make(LUR_F32, (lur_shape){2, {4, 3}}), *b = make(LUR_F32, (lur_shape){1, {4}}), *y = NULL;
  CHECK_FAILS(lur_tensor_binary(LUR_T_ADD, a, b, &y), LUR_ESHAPE, "4x3 and 4 do not broadcast");
  lur_tensor *wide = make(LUR_F32, (lur_shape){2, {1 << 21, 1}}), *tall = make(LUR_F32, (lur_shape){2, {1, 1 << 21}});
  CHECK_FAILS(lur_tensor_binary(LUR_T_ADD, wide, tall, &y), LUR_ESHAPE, "2^40");
  lur_tensor *all[] = {a, b, wide, tall};
  for (int i = 0; i < 4; i++) lur_tensor_release(all[i]);
}

static void test_integers(void) {
  lur_tensor *a = of(LUR_I32, (lur_shape){1, {4}}, (double[]){2147483647.0, -2147483648.0, 7, -7});
  lur_tensor *b = of(LUR_I32, (lur_shape){1, {4}}, (double[]){2147483647.0, 2, 0, 2}), *y = NULL;
  CHECK_OK(lur_tensor_binary(LUR_T_ADD, a, b, &y));
  CHECK(at(y, 0) == 2147483647.0 && at(y, 1) == -2147483646.0);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_binary(LUR_T_MUL, a, b, &y));
  CHECK(at(y, 0) == 2147483647.0 && at(y, 1) == -2147483648.0 && at(y, 3) == -14);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_binary(LUR_T_DIV, a, b, &y)); /* by zero: saturated, as a cast of infinity is */
  CHECK(at(y, 2) == 2147483647.0 && at(y, 3) == -3);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_unary(LUR_T_NEG, a, &y));
  CHECK(lur_tensor_dtype(y) == LUR_I32 && at(y, 1) == 2147483647.0 && at(y, 3) == 7);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_unary(LUR_T_ABS, a, &y));
  CHECK(at(y, 1) == 2147483647.0 && at(y, 3) == 7);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_unary(LUR_T_EXP, a, &y));
  CHECK(lur_tensor_dtype(y) == LUR_F32);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_reduce(LUR_T_SUM, a, -1, &y));
  CHECK(lur_tensor_dtype(y) == LUR_I32 && at(y, 0) == -1);
  lur_tensor_release(y);
  lur_tensor_release(a);
  lur_tensor_release(b);
}

static void test_unary(void) {
  const double x[6] = {-2, -0.5, 0, 0.5, 3, NAN};
  lur_tensor *a = of(LUR_F32, (lur_shape){2, {2, 3}}, x), *y = NULL;
  for (lur_tensor_op1 op = LUR_T_NEG; op <= LUR_T_TANH; op++) {
    CHECK_OK(lur_tensor_unary(op, a, &y));
    for (int i = 0; i < 6; i++) {
      double u = x[i];
      const double want[] = {
          -u, fabs(u), exp(u), log(u), sqrt(u), u * u, isnan(u) || u > 0 ? u : 0, 1 / (1 + exp(-u)), tanh(u)};
      CHECK(near(at(y, i), want[op], 1e-6));
    }
    lur_tensor_release(y);
  }
  CHECK_FAILS(lur_tensor_unary((lur_tensor_op1)99, a, &y), LUR_EARG, "99");
  lur_tensor_release(a);
}

/* ---- folding ---- */

static double fold(lur_tensor_reduction op, const double *x, int n) {
  double sum = 0;
  int high = 0, low = 0;
  for (int i = 0; i < n; i++) {
    sum += x[i];
    if (x[i] > x[high]) high = i;
    if (x[i] < x[low]) low = i;
  }
  const double all[] = {sum, sum / n, x[high], x[low], high, low};
  return all[op];
}

static void test_reduce(void) {
  lur_shape shape = {3, {3, 4, 5}};
  lur_tensor *a = make(LUR_F32, shape), *y = NULL;
  CHECK_OK(lur_tensor_normal(a, 0, 1));
  CHECK_OK(lur_tensor_set(a, 0, 9));
  CHECK_OK(lur_tensor_set(a, 5, 9)); /* ties: the first wins */
  for (int axis = -1; axis < 3; axis++) {
    for (lur_tensor_reduction op = LUR_T_SUM; op <= LUR_T_ARGMIN; op++) {
      CHECK_OK(lur_tensor_reduce(op, a, axis, &y));
      CHECK(lur_tensor_dtype(y) == (op >= LUR_T_ARGMAX ? LUR_I32 : LUR_F32));
      int n = axis < 0 ? 60 : (int)shape.dim[axis], inner = 1, wrong = 0;
      for (int d = axis + 1; axis >= 0 && d < 3; d++) inner *= (int)shape.dim[d];
      CHECK(lur_shape_count(lur_tensor_shape(y)) == 60 / n && lur_tensor_shape(y)->ndim == (axis < 0 ? 0 : 2));
      for (int o = 0; o < 60 / n; o++) {
        double x[60] = {0};
        for (int i = 0; i < n; i++) x[i] = at(a, (o / inner) * n * inner + i * inner + o % inner);
        wrong += !near(at(y, o), fold(op, x, n), 1e-6);
      }
      CHECK(wrong == 0);
      lur_tensor_release(y);
    }
  }
  CHECK_FAILS(lur_tensor_reduce(LUR_T_SUM, a, 3, &y), LUR_EARG, "dimension 4 of a tensor of 3x4x5");
  lur_tensor_release(a);
  lur_tensor *empty = make(LUR_F32, (lur_shape){2, {0, 2}});
  CHECK_OK(lur_tensor_reduce(LUR_T_SUM, empty, 0, &y));
  CHECK(at(y, 1) == 0);
  lur_tensor_release(y);
  CHECK_FAILS(lur_tensor_reduce(LUR_T_MAX, empty, 0, &y), LUR_ESHAPE, "has no elements");
  lur_tensor_release(empty);
  lur_tensor *nans = of(LUR_F32, (lur_shape){1, {3}}, (double[]){1, NAN, 2});
  CHECK_OK(lur_tensor_reduce(LUR_T_ARGMAX, nans, -1, &y));
  CHECK(at(y, 0) == 1);
  lur_tensor_release(y);
  lur_tensor_release(nans);
}

static void test_softmax(void) {
  lur_tensor *a = of(LUR_F32, (lur_shape){2, {2, 3}}, (double[]){1, 2, 3, 1000, 1000, -1000}), *y = NULL;
  CHECK_OK(lur_tensor_softmax(a, &y));
  double sum = exp(1) + exp(2) + exp(3);
  CHECK(near(at(y, 0), exp(1) / sum, 1e-6) && near(at(y, 2), exp(3) / sum, 1e-6));
  CHECK(at(y, 3) == 0.5 && at(y, 4) == 0.5 && at(y, 5) == 0);
  lur_tensor_release(y);
  lur_tensor_release(a);
}

/* ---- rows and matrices ---- */

static void test_rows(void) {
  lur_tensor *a = make(LUR_F32, (lur_shape){2, {37, 50}}), *t = NULL, *y = NULL;
  CHECK_OK(lur_tensor_uniform(a, 0, 1));
  CHECK_OK(lur_tensor_transpose(a, &t));
  int wrong = 0;
  for (int i = 0; i < 37; i++) {
    for (int j = 0; j < 50; j++) wrong += at(t, j * 37 + i) != at(a, i * 50 + j);
  }
  CHECK(wrong == 0 && lur_tensor_shape(t)->dim[0] == 50);
  lur_tensor_release(t);
  lur_tensor *rows = of(LUR_I32, (lur_shape){1, {3}}, (double[]){36, 0, 36}),
             *bad = of(LUR_I32, (lur_shape){1, {2}}, (double[]){0, 37});
  CHECK_OK(lur_tensor_select(a, rows, &y));
  CHECK(lur_tensor_shape(y)->dim[0] == 3 && at(y, 0) == at(a, 36 * 50) && at(y, 50) == at(a, 0) &&
        at(y, 149) == at(a, 36 * 50 + 49));
  lur_tensor_release(y);
  CHECK_FAILS(lur_tensor_select(a, bad, &y), LUR_EARG, "row 37 at position 1 (0 to 36 expected)");
  CHECK_FAILS(lur_tensor_select(a, a, &y), LUR_ETYPE, "i32 rows expected, got f32");
  lur_tensor *b = make(LUR_F32, (lur_shape){2, {37, 2}}), *bytes = make(LUR_U8, (lur_shape){2, {37, 2}});
  CHECK_OK(lur_tensor_fill(b, 8));
  CHECK_OK(lur_tensor_concat(3, (lur_tensor *[]){a, b, a}, 1, &y));
  CHECK(lur_tensor_shape(y)->dim[1] == 102 && at(y, 102 + 51) == 8 && at(y, 102 + 52) == at(a, 50) &&
        at(y, 49) == at(a, 49));
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_concat(2, (lur_tensor *[]){a, a}, 0, &y));
  CHECK(lur_tensor_shape(y)->dim[0] == 74 && at(y, 37 * 50 + 3) == at(a, 3));
  lur_tensor_release(y);
  CHECK_FAILS(lur_tensor_concat(2, (lur_tensor *[]){a, b}, 0, &y), LUR_ESHAPE, "tensor 2 is 37x2, tensor 1 is 37x50");
  CHECK_FAILS(lur_tensor_concat(2, (lur_tensor *[]){b, bytes}, 0, &y), LUR_ETYPE, "tensor 2 is u8, tensor 1 is f32");
  CHECK_FAILS(lur_tensor_concat(0, NULL, 0, &y), LUR_EARG, "at least one");
  CHECK_FAILS(lur_tensor_concat(1, &a, 2, &y), LUR_EARG, "dimension 3");
  lur_tensor *all[] = {a, rows, bad, b, bytes};
  for (int i = 0; i < 5; i++) lur_tensor_release(all[i]);
}

static void multiply(lur_tensor *a, lur_tensor *b) {
  lur_tensor *y = NULL;
  int64_t m = lur_tensor_shape(a)->dim[0], k = lur_tensor_shape(a)->dim[1], n = lur_tensor_shape(b)->dim[1];
  CHECK_OK(lur_tensor_matmul(a, b, &y));
  int wrong = 0;
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (int64_t l = 0; l < k; l++) sum += at(a, i * k + l) * at(b, l * n + j);
      wrong += !near(at(y, i * n + j), sum, 1e-5);
    }
  }
  CHECK(wrong == 0);
  lur_tensor_release(y);
}

static void test_matmul(void) {
  lur_tensor *a = make(LUR_F32, (lur_shape){2, {9, 7}}), *b = make(LUR_F32, (lur_shape){2, {7, 5}}), *view = NULL,
             *y = NULL;
  CHECK_OK(lur_tensor_uniform(a, -1, 1));
  CHECK_OK(lur_tensor_uniform(b, -1, 1));
  multiply(a, b);
  CHECK_OK(lur_tensor_view(a, 1, 3, &view)); /* not on a 64-byte boundary */
  multiply(view, b);
  CHECK_FAILS(lur_tensor_matmul(b, a, &y), LUR_ESHAPE, "7x5 times 9x7");
  lur_tensor *ia = of(LUR_I32, (lur_shape){2, {1, 2}}, (double[]){2147483647.0, 3}),
             *ib = of(LUR_I32, (lur_shape){2, {2, 1}}, (double[]){4, 5});
  CHECK_OK(lur_tensor_matmul(ia, ib, &y));
  CHECK(lur_tensor_dtype(y) == LUR_I32 && at(y, 0) == 2147483647.0);
  lur_tensor_release(y);
  lur_tensor *none = make(LUR_F32, (lur_shape){2, {3, 0}}), *nothing = make(LUR_F32, (lur_shape){2, {0, 2}});
  CHECK_OK(lur_tensor_matmul(none, nothing, &y));
  CHECK(lur_shape_count(lur_tensor_shape(y)) == 6 && at(y, 5) == 0);
  lur_tensor_release(y);
  lur_tensor *all[] = {a, b, view, ia, ib, none, nothing};
  for (int i = 0; i < 7; i++) lur_tensor_release(all[i]);
}

/* ---- parts, orders: what Lua cannot reach ---- */

static void test_parts(void) {
  lur_tensor *a = make(LUR_F32, (lur_shape){2, {4, 3}}), *untouched = (lur_tensor *)&context, *y = untouched;
  for (int i = 0; i < 12; i++) CHECK_OK(lur_tensor_set(a, i, i));
  const lur_slice all = {0, 3, 1, false}, bad[] = {{0, 5, 1, false}, {-1, 1, 1, false}, {4, 1, 1, false},
                                                   {1, 2, 3, false}, {0, 1, 0, false},  {0, 2, 1, true},
                                                   {0, -1, 1, false}, {0, INT64_MAX, 1, false}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    CHECK_FAILS(lur_tensor_slice(a, (lur_slice[]){bad[i], all}, &y), LUR_EARG, "of dimension 1 of a tensor of 4x3");
    CHECK_FAILS(lur_tensor_assign(a, (lur_slice[]){bad[i], all}, a), LUR_EARG, "of dimension 1 of a tensor of 4x3");
  }
  CHECK_FAILS(lur_tensor_permute(a, (int[]){0, 2}, &y), LUR_EARG, "permute: dimension 3 at position 2");
  CHECK_FAILS(lur_tensor_tile(a, 2, (int64_t[]){1 << 30, 1 << 30}, &y), LUR_ESHAPE, "tile: ");
  CHECK_FAILS(lur_tensor_tile(a, 2, (int64_t[]){1, -1}, &y), LUR_EARG, "tile: -1 repetitions of dimension 2");
  CHECK_FAILS(lur_tensor_tile(a, 7, (int64_t[]){1, 1, 1, 1, 1, 1, 1}, &y), LUR_EARG, "tile: 7 repetitions");
  CHECK_FAILS(lur_tensor_expand(a, &(lur_shape){3, {-1, 4, 3}}, &y), LUR_ESHAPE, "expand: ");
  CHECK_FAILS(lur_tensor_cumsum(a, 2, &y), LUR_EARG, "cumsum: dimension 3 of a tensor of 4x3");
  CHECK_FAILS(lur_tensor_sort(a, -1, false, &y, NULL), LUR_EARG, "sort: dimension 0 of a tensor of 4x3");
  CHECK_FAILS(lur_tensor_reduce_over(LUR_T_SUM, a, &(lur_reduce_options){.axes = 8}, &y), LUR_EARG,
              "sum: dimension 4 of a tensor of 4x3");
  CHECK_FAILS(lur_tensor_reduce_over((lur_tensor_reduction)99, a, &(lur_reduce_options){0}, &y), LUR_EARG, "99");
  CHECK_FAILS(lur_tensor_clamp(a, NAN, 1, &y), LUR_EARG, "clamp: ");
  CHECK(y == untouched);
  lur_tensor *ids = NULL, *values = NULL;
  CHECK_OK(lur_tensor_sort(a, 0, true, NULL, &ids)); /* one of the two results */
  CHECK(at(ids, 0) == 3 && at(ids, 11) == 0);
  CHECK_OK(lur_tensor_topk(a, 0, 0, true, &values, NULL));
  CHECK(lur_shape_count(lur_tensor_shape(values)) == 0 && lur_tensor_shape(values)->ndim == 2);
  lur_tensor *all_tensors[] = {a, ids, values};
  for (int i = 0; i < 3; i++) lur_tensor_release(all_tensors[i]);
}

/* Sums in lanes, by rows and after a permutation agree with one plain sum, whatever the number of threads. */
static void test_large_sums(void) {
  lur_tensor *a = make(LUR_F32, (lur_shape){3, {70, 33, 65}}), *y = NULL;
  CHECK_OK(lur_tensor_normal(a, 1, 1));
  double plain_total = 0;
  for (int64_t i = 0; i < lur_shape_count(lur_tensor_shape(a)); i++) plain_total += at(a, i);
  for (unsigned axes = 1; axes < 8; axes++) {
    CHECK_OK(lur_tensor_reduce_over(LUR_T_SUM, a, &(lur_reduce_options){.axes = axes}, &y));
    double total = 0;
    for (int64_t i = 0; i < lur_shape_count(lur_tensor_shape(y)); i++) total += at(y, i);
    CHECK(near(total, plain_total, 1e-6));
    lur_tensor_release(y);
  }
  lur_tensor_release(a);
}

/* ---- metrics ---- */

static void test_metrics(void) {
  lur_tensor *p = of(LUR_F32, (lur_shape){2, {3, 3}}, (double[]){0.2, 0.5, 0.3, 0.4, 0.4, 0.2, 0, 0.1, 0.9});
  lur_tensor *ids = of(LUR_I32, (lur_shape){1, {3}}, (double[]){2, 1, 0}),
             *bad = of(LUR_I32, (lur_shape){1, {3}}, (double[]){0, 3, 0});
  lur_tensor *counts = make(LUR_I32, (lur_shape){2, {3, 3}});
  double value = -1;
  CHECK_OK(lur_top_k(p, ids, 1, &value));
  CHECK(value == 0);
  CHECK_OK(lur_top_k(p, ids, 2, &value)); /* row 1: a tie, which the earlier class wins */
  CHECK(near(value, 2.0 / 3, 1e-12));
  CHECK_OK(lur_top_k(p, ids, 3, &value));
  CHECK(value == 1);
  CHECK_OK(lur_log_loss(p, ids, &value));
  CHECK(near(value, -(log(0.3) + log(0.4) + log(1e-15)) / 3, 1e-6));
  CHECK_OK(lur_confusion(p, ids, counts));
  CHECK_OK(lur_confusion(p, ids, counts));
  CHECK(at(counts, 2 * 3 + 1) == 2 && at(counts, 1 * 3 + 0) == 2 && at(counts, 2) == 2 && at(counts, 0) == 0);
  CHECK_FAILS(lur_top_k(p, bad, 1, &value), LUR_EARG, "id 3 in row 1 (0 to 2 expected)");
  CHECK_FAILS(lur_top_k(p, ids, 0, &value), LUR_EARG, "k is 0");
  CHECK_FAILS(lur_top_k(ids, ids, 1, &value), LUR_ESHAPE, "scores n x c");
  CHECK_FAILS(lur_confusion(p, ids, p), LUR_ESHAPE, "i32 counts");
  lur_tensor *all[] = {p, ids, bad, counts};
  for (int i = 0; i < 4; i++) lur_tensor_release(all[i]);
}

int main(void) {
  CHECK_OK(lur_context_new(3, 2, &context));
  test_broadcasting();
  test_integers();
  test_unary();
  test_reduce();
  test_softmax();
  test_rows();
  test_matmul();
  test_parts();
  test_large_sums();
  test_metrics();
  lur_context_release(context);
  return check_report("test_tensor_math");
}
