/* test_tensor.c - tensors: creation, views and lifetimes, elements, casts, copies, random numbers. Arithmetic is
 * tested in test_tensor_math.c. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/context.h"
#include "engine/tensor/tensor.h"
#include "tests/c/check.h"

static lur_context *context;

static lur_tensor *make(lur_dtype dtype, int ndim, const int64_t *dims) {
  lur_shape shape = {.ndim = ndim};
  for (int i = 0; i < ndim; i++) shape.dim[i] = dims[i];
  lur_tensor *tensor = NULL;
  CHECK_OK(lur_tensor_new(context, NULL, dtype, &shape, &tensor));
  return tensor;
}

static double at(lur_tensor *tensor, int64_t index) {
  double value = NAN;
  CHECK_OK(lur_tensor_get(tensor, index, &value));
  return value;
}

static void test_new(void) {
  lur_tensor *t = make(LUR_F32, 2, (int64_t[]){3, 4});
  CHECK(lur_tensor_bytes(t) == 48 && lur_tensor_shape(t)->ndim == 2 && lur_tensor_dtype(t) == LUR_F32);
  CHECK((uintptr_t)lur_tensor_data(t) % 64 == 0);
  for (int i = 0; i < 12; i++) CHECK(at(t, i) == 0);
  CHECK_FAILS(lur_tensor_get(t, 12, &(double){0}), LUR_EARG, "element 12 of a tensor of 3x4");
  CHECK_FAILS(lur_tensor_set(t, -1, 0), LUR_EARG, "element -1");
  lur_tensor_release(t);
  lur_tensor *scalar = make(LUR_I32, 0, NULL), *empty = make(LUR_U8, 2, (int64_t[]){0, 5});
  CHECK(lur_tensor_bytes(scalar) == 4 && lur_tensor_bytes(empty) == 0 && lur_tensor_data(empty) != NULL);
  lur_tensor_release(scalar);
  lur_tensor_release(empty);
}

static void test_shape_overflow(void) {
  lur_tensor *untouched = (lur_tensor *)&context, *t = untouched;
  lur_shape huge = {3, {1 << 20, 1 << 20, 2}}, negative = {1, {-1}}, deep = {LUR_MAX_DIMS + 1, {1}};
  lur_shape wraps = {4, {INT64_MAX, INT64_MAX, 4, 4}};
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_F32, &huge, &t), LUR_ESHAPE, "2^40");
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_F32, &wraps, &t), LUR_ESHAPE, "2^40");
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_F32, &negative, &t), LUR_ESHAPE, "negative");
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_F32, &deep, &t), LUR_ESHAPE, "7 dimensions");
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_DTYPE_COUNT, &(lur_shape){0}, &t), LUR_EARG, "dtype 5");
  CHECK(t == untouched);
  /* the check for overflow must not stop at an extent of 0: loops over the others would take forever */
  lur_tensor *hollow = NULL, *y = NULL;
  lur_shape vast = {4, {0, INT64_MAX, INT64_MAX, 3}}, wide = {2, {(int64_t)1 << 40, 0}}, tall = {2, {0, (int64_t)1 << 32}};
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_F32, &vast, &t), LUR_ESHAPE, "2^40");
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_F32, &wide, &t), LUR_ESHAPE, "a shape is empty");
  CHECK_FAILS(lur_tensor_new(context, NULL, LUR_F32, &tall, &t), LUR_ESHAPE, "a shape is empty");
  CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){4, {0, 299, 299, 3}}, &hollow));
  CHECK_OK(lur_tensor_view(hollow, 0, 0, &y));
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_softmax(hollow, &y));
  lur_tensor_release(y);
  lur_tensor_release(hollow);
}

static void test_views(void) {
  lur_tensor *t = make(LUR_F32, 2, (int64_t[]){4, 3}), *rows = NULL, *inner = NULL, *flat = NULL, *bad = NULL;
  for (int i = 0; i < 12; i++) CHECK_OK(lur_tensor_set(t, i, i));
  CHECK_OK(lur_tensor_view(t, 1, 2, &rows));
  CHECK_OK(lur_tensor_view(rows, 1, 1, &inner));
  CHECK(at(rows, 0) == 3 && at(inner, 0) == 6 && lur_tensor_shape(rows)->dim[0] == 2);
  CHECK_FAILS(lur_tensor_view(t, 3, 2, &bad), LUR_EARG, "2 rows from row 3 exceed a tensor of 4x3");
  CHECK_FAILS(lur_tensor_view(t, 1, INT64_MAX, &bad), LUR_EARG, "exceed a tensor of 4x3");
  CHECK_FAILS(lur_tensor_view(t, -1, 1, &bad), LUR_EARG, "exceed a tensor of 4x3");
  CHECK_OK(lur_tensor_view(t, 4, 0, &bad));
  lur_tensor_release(bad);
  CHECK_OK(lur_tensor_reshape(inner, &(lur_shape){3, {3, -1, 1}}, &flat));
  CHECK(lur_tensor_shape(flat)->dim[1] == 1 && at(flat, 2) == 8);
  CHECK_FAILS(lur_tensor_reshape(t, &(lur_shape){2, {5, -1}}, &bad), LUR_ESHAPE,
              "4x3 has 12 elements, they do not fill 5x-1");
  CHECK_FAILS(lur_tensor_reshape(t, &(lur_shape){2, {-1, -1}}, &bad), LUR_ESHAPE, "dimensions 1 and 2 both are");
  CHECK_FAILS(lur_tensor_reshape(t, &(lur_shape){1, {11}}, &bad), LUR_ESHAPE, "do not fill 11");
  CHECK_FAILS(lur_tensor_reshape(t, &(lur_shape){1, {-2}}, &bad), LUR_ESHAPE, "negative");
  /* memory is shared, and lives as long as any view */
  CHECK_OK(lur_tensor_fill(inner, 50));
  CHECK(at(t, 6) == 50 && at(t, 5) == 5 && at(t, 9) == 9);
  lur_tensor_release(t);
  lur_tensor_release(rows);
  CHECK(at(flat, 0) == 50);
  lur_tensor_release(inner);
  CHECK(at(flat, 2) == 50);
  lur_tensor_release(flat);
}

static void test_lifetimes(void) {
  lur_context *own = NULL;
  lur_tensor *t = NULL, *view = NULL;
  CHECK_OK(lur_context_new(1, 1, &own));
  CHECK_OK(lur_tensor_new(own, NULL, LUR_F32, &(lur_shape){1, {8}}, &t));
  CHECK_OK(lur_tensor_view(t, 2, 3, &view));
  lur_context_release(own); /* the tensors hold it, and it holds the device */
  lur_tensor_release(t);
  CHECK_OK(lur_tensor_set(view, 2, 7));
  CHECK(at(view, 2) == 7 && lur_context_threads(lur_tensor_context(view)) == 1);
  lur_tensor_release(view);
  lur_tensor_release(NULL);
  lur_context_release(NULL);
}

static int freed;
static void count_free(void *memory, size_t bytes) {
  freed += (int)bytes;
  free(memory);
}

static void test_wrap(void) {
  float mine[4] = {1, 2, 3, 4};
  lur_tensor *t = NULL, *view = NULL;
  CHECK_OK(lur_tensor_wrap(context, mine, LUR_F32, &(lur_shape){1, {4}}, NULL, &t));
  CHECK(lur_tensor_data(t) == mine && at(t, 3) == 4);
  lur_tensor_release(t);
  CHECK(mine[0] == 1);
  CHECK_OK(lur_tensor_wrap(context, malloc(16), LUR_F32, &(lur_shape){1, {4}}, count_free, &t));
  CHECK_OK(lur_tensor_view(t, 0, 1, &view));
  lur_tensor_release(t);
  CHECK(freed == 0);
  lur_tensor_release(view);
  CHECK(freed == 16);
  CHECK_FAILS(lur_tensor_wrap(context, NULL, LUR_F32, &(lur_shape){1, {4}}, NULL, &t), LUR_EARG, "NULL");
}

static void test_cast(void) {
  const double given[] = {1.9, -1.9, 3e9, -3e9, NAN, INFINITY, -INFINITY, 255.7, 256, 65519};
  enum { N = 10 };
  const double i32[N] = {1, -1, 2147483647.0, -2147483648.0, 0, 2147483647.0, -2147483648.0, 255, 256, 65519};
  const double u8[N] = {1, 0, 255, 0, 0, 255, 0, 255, 255, 255};
  lur_tensor *f = make(LUR_F32, 1, (int64_t[]){N}), *y = NULL;
  for (int i = 0; i < N; i++) CHECK_OK(lur_tensor_set(f, i, given[i]));
  CHECK_OK(lur_tensor_cast(f, LUR_I32, &y));
  for (int i = 0; i < N; i++) CHECK(at(y, i) == i32[i]);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_cast(f, LUR_U8, &y));
  for (int i = 0; i < N; i++) CHECK(at(y, i) == u8[i]);
  CHECK_OK(lur_tensor_set(y, 0, -5));
  CHECK_OK(lur_tensor_set(y, 1, 400));
  CHECK(at(y, 0) == 0 && at(y, 1) == 255);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_cast(f, LUR_F16, &y));
  CHECK(at(y, 2) == (double)INFINITY && at(y, 9) == 65504 && isnan(at(y, 4)));
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_cast(f, LUR_BF16, &y));
  CHECK(at(y, 0) == 1.8984375 && at(y, 8) == 256);
  lur_tensor_release(y);
  CHECK_OK(lur_tensor_cast(f, LUR_F32, &y)); /* a cast to the same type is a copy too */
  CHECK(y != f && at(y, 0) == (double)1.9f);
  lur_tensor_release(y);
  CHECK_FAILS(lur_tensor_cast(f, LUR_DTYPE_COUNT, &y), LUR_EARG, "dtype 5");
  lur_tensor_release(f);
}

static void test_long_cast(void) { /* several blocks and a remainder */
  lur_tensor *t = make(LUR_U8, 1, (int64_t[]){1000}), *y = NULL;
  uint8_t *bytes = lur_tensor_data(t);
  for (int i = 0; i < 1000; i++) bytes[i] = (uint8_t)(i * 7);
  CHECK_OK(lur_tensor_cast(t, LUR_F32, &y));
  const float *f = lur_tensor_data(y);
  int wrong = 0;
  for (int i = 0; i < 1000; i++) wrong += f[i] != (float)(uint8_t)(i * 7);
  CHECK(wrong == 0);
  lur_tensor_release(y);
  lur_tensor_release(t);
}

static void test_copy(void) {
  lur_device *ref = NULL, *cpu = NULL, *again = NULL;
  CHECK_OK(lur_context_device(context, "ref", &ref));
  CHECK_OK(lur_context_device(context, "cpu", &cpu));
  CHECK_OK(lur_context_device(context, "ref", &again));
  CHECK(ref == again && ref != cpu && strcmp(lur_device_name(ref), "ref") == 0);
  CHECK_FAILS(lur_context_device(context, "gpu", &again), LUR_EARG, "unknown device 'gpu'");
  lur_tensor *a = make(LUR_F32, 1, (int64_t[]){3}), *b = make(LUR_F32, 1, (int64_t[]){4}),
             *i = make(LUR_I32, 1, (int64_t[]){3});
  lur_tensor *there = NULL, *same = NULL, *copy = NULL;
  CHECK_OK(lur_tensor_fill(a, 2.5));
  CHECK_OK(lur_tensor_to(a, ref, &there));
  CHECK_OK(lur_tensor_to(a, cpu, &same));
  CHECK(same == a && there != a && lur_tensor_device(there) == ref && at(there, 2) == 2.5);
  CHECK_OK(lur_tensor_clone(there, &copy));
  CHECK(lur_tensor_device(copy) == ref && lur_tensor_data(copy) != lur_tensor_data(there));
  CHECK_OK(lur_tensor_set(there, 0, -1));
  CHECK_OK(lur_tensor_copy(a, there));
  CHECK(at(a, 0) == -1 && at(copy, 0) == 2.5);
  CHECK_FAILS(lur_tensor_copy(a, b), LUR_ESHAPE, "4 into 3");
  CHECK_FAILS(lur_tensor_copy(a, i), LUR_ETYPE, "i32 into f32");
  lur_tensor *all[] = {a, b, i, there, same, copy};
  for (int k = 0; k < 6; k++) lur_tensor_release(all[k]);
}

static void moments(const float *x, int64_t n, double *mean, double *variance) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; i++) {
    sum += (double)x[i];
    squares += (double)x[i] * (double)x[i];
  }
  *mean = sum / (double)n;
  *variance = squares / (double)n - *mean * *mean;
}

static void test_random(void) {
  enum { N = 100000 };
  double mean, variance;
  lur_tensor *a = make(LUR_F32, 1, (int64_t[]){N}), *b = make(LUR_F32, 1, (int64_t[]){N}),
             *ids = make(LUR_I32, 1, (int64_t[]){2});
  lur_context_seed(context, 42);
  CHECK_OK(lur_tensor_uniform(a, -1, 3));
  moments(lur_tensor_data(a), N, &mean, &variance);
  CHECK(fabs(mean - 1) < 0.02 && fabs(variance - 16.0 / 12) < 0.02);
  const float *x = lur_tensor_data(a);
  int outside = 0;
  for (int i = 0; i < N; i++) outside += !(x[i] >= -1 && x[i] < 3);
  CHECK(outside == 0);
  CHECK_OK(lur_tensor_uniform(b, -1, 3)); /* the next numbers of the stream are different */
  CHECK(memcmp(lur_tensor_data(a), lur_tensor_data(b), 64) != 0);
  lur_context_seed(context, 42);
  CHECK_OK(lur_tensor_uniform(b, -1, 3));
  CHECK(memcmp(lur_tensor_data(a), lur_tensor_data(b), sizeof(float) * N) == 0);
  CHECK_OK(lur_tensor_normal(b, 5, 2));
  moments(lur_tensor_data(b), N, &mean, &variance);
  CHECK(fabs(mean - 5) < 0.03 && fabs(variance - 4) < 0.06);
  CHECK_OK(lur_tensor_uniform(b, 16777216, 16777217)); /* one float wide: never the upper bound */
  x = lur_tensor_data(b);
  for (int i = 0; i < 100; i++) CHECK(x[i] == 16777216.0f);
  CHECK_FAILS(lur_tensor_uniform(ids, 0, 1), LUR_ETYPE, "f32 tensor expected, got i32");
  CHECK_FAILS(lur_tensor_uniform(a, 1, 0), LUR_EARG, "from 1 to 0");
  CHECK_FAILS(lur_tensor_normal(a, 0, -1), LUR_EARG, "std -1");
  lur_tensor_release(a);
  lur_tensor_release(b);
  lur_tensor_release(ids);
}

static void test_context(void) {
  lur_context *c = NULL;
  CHECK_FAILS(lur_context_new(0, -1, &c), LUR_EARG, "-1 compute threads");
  setenv("LURCHER_THREADS", "2x", 1);
  CHECK_FAILS(lur_context_new(0, 1, &c), LUR_EARG, "LURCHER_THREADS is \"2x\"");
  setenv("LURCHER_THREADS", "3", 1);
  CHECK_OK(lur_context_new(9, 1, &c));
  CHECK(lur_context_threads(c) == 3 && lur_context_get_seed(c) == 9);
  unsetenv("LURCHER_THREADS");
  CHECK_OK(lur_context_check_interrupt(c));
  lur_context_interrupt(c);
  CHECK_FAILS(lur_context_check_interrupt(c), LUR_EINTERRUPTED, "interrupted");
  CHECK_OK(lur_context_check_interrupt(c));
  char names[LUR_MAX_DEVICES][32];
  const char *why = NULL;
  int n = lur_device_list(names, LUR_MAX_DEVICES, &why);
  CHECK(n >= 2 && strcmp(names[0], "ref") == 0 && strcmp(names[1], "cpu") == 0 && (n > 2) == (why == NULL));
  lur_context_release(c);
}

int main(void) {
  unsetenv("LURCHER_THREADS"); /* it would override the context's number of threads */
  CHECK_OK(lur_context_new(7, 2, &context));
  test_new();
  test_shape_overflow();
  test_views();
  test_lifetimes();
  test_wrap();
  test_cast();
  test_long_cast();
  test_copy();
  test_random();
  test_context();
  lur_context_release(context);
  return check_report("test_tensor");
}
