/* test_gemm.c - the hand-written GEMM of the cpu backend (kernels/cpu/loops/gemm.h): each table that this processor
 * supports against sums in double, with sizes near those of tiles and panels, bias, residual and ReLU, both ways of
 * packing, and gradients of several blocks; NaN and infinity in each operand; and that sums of bfloat16 parts are as
 * accurate as f32 multiply-adds. Without AMX, its table is tested with emulated instructions (emulated_tiles.h), if the
 * processor converts to bfloat16. */
#include "kernels/cpu/gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const lur_gemm_loops lur_gemm_loops_amx_emulated;

static int failures;

static void check(bool good, const char *table, const char *what, int64_t m, int64_t n, int64_t k, double worst) {
  if (good) return;
  failures++;
  fprintf(stderr, "%s: %s of %lld x %lld x %lld is off by %g\n", table, what, (long long)m, (long long)n, (long long)k,
          worst);
}

static float drawn(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return (float)(*state >> 8) / (float)(1 << 24) * 2 - 0.7f;
}

/* count numbers between two guards of NaN, which must be neither written nor read. */
enum { GUARD = 64, PARTS = 3 };

static float *numbers(int64_t count, uint32_t seed) {
  float *all = aligned_alloc(64, (sizeof(float) * (size_t)(count + 2 * GUARD) + 63) / 64 * 64);
  if (!all) abort();
  for (int64_t i = 0; i < count + 2 * GUARD; i++) all[i] = NAN;
  for (int64_t i = 0; i < count; i++) all[GUARD + i] = drawn(&seed);
  return all + GUARD;
}

static void discard(float *values) { free(values - GUARD); }

static bool guarded(const float *values, int64_t count) {
  for (int64_t i = 0; i < GUARD; i++)
    if (!isnan(values[i - GUARD]) || !isnan(values[count + i])) return false;
  return true;
}

static void *room(size_t bytes) {
  void *made = aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (!made) abort();
  return memset(made, 0xff, (bytes + 127) / 64 * 64); /* NaN */
}

/* The errors of y relative to the sum of the magnitudes of its terms: the largest, and the sum of squares. */
typedef struct error {
  double worst, squares;
} error;

static void note(error *e, double is, double should, double magnitude) {
  const double off = fabs(is - should) / magnitude;
  if (!(off <= e->worst)) e->worst = off;
  e->squares += off * off;
}

/* The rounding errors of a chain of k sums are a random walk. */
static double bound(int64_t k) { return 1e-7 + 6e-8 * sqrt((double)k); }

typedef struct gemm_case {
  int64_t m, n, k;
  bool transposed, bias, residual, relu;
} gemm_case;

static error gemm_error(const gemm_case *c, const float *a, const float *w, const float *bias, const float *before,
                        const float *y) {
  error e = {0, 0};
  for (int64_t i = 0; i < c->m; i++) {
    for (int64_t j = 0; j < c->n; j++) {
      double sum = (c->bias ? (double)bias[j] : 0) + (c->residual ? (double)before[i * c->n + j] : 0);
      double magnitude = fabs(sum);
      for (int64_t p = 0; p < c->k; p++) {
        const double one = (double)a[i * c->k + p] * (double)(c->transposed ? w[j * c->k + p] : w[p * c->n + j]);
        sum += one;
        magnitude += fabs(one);
      }
      note(&e, (double)y[i * c->n + j], c->relu && sum < 0 ? 0 : sum, magnitude);
    }
  }
  return e;
}

/* y = a * w + bias [+ y]; the residual is y itself, as for a gradient that is added. */
static error gemm_of(const lur_gemm_loops *table, const gemm_case *c) {
  float *a = numbers(c->m * c->k, 1), *w = numbers(c->k * c->n, 2), *bias = numbers(c->n, 3);
  float *y = numbers(c->m * c->n, 4), *before = numbers(c->m * c->n, 4);
  lur_cpu_weights weights = {.k = c->k, .n = c->n, .transposed = c->transposed};
  void *packed = room(lur_cpu_weights_bytes(table, &weights)), *work = room(lur_cpu_gemm_scratch(table, c->k, PARTS));
  const lur_gemm p = {.k = c->k,
                      .n = c->n,
                      .packed = lur_cpu_weights_pack(table, &weights, w, 0, packed),
                      .bias = c->bias ? bias : NULL,
                      .relu = c->relu};
  lur_cpu_gemm(table, &p, a, c->m, c->residual ? y : NULL, y, PARTS, work);
  const error e = gemm_error(c, a, w, bias, before, y);
  check(e.worst <= bound(c->k), table->name, "a product", c->m, c->n, c->k, e.worst);
  check(guarded(y, c->m * c->n), table->name, "the guards of a product", c->m, c->n, c->k, NAN);
  discard(a), discard(w), discard(bias), discard(y), discard(before);
  free(packed);
  free(work);
  return e;
}

static void gradient_of(const lur_gemm_loops *table, int64_t pixels, int64_t ci, int64_t co) {
  float *x = numbers(pixels * ci, 5), *dy = numbers(pixels * co, 6);
  float *dw = numbers(ci * co, 7), *before = numbers(ci * co, 7);
  void *scratch = room(lur_cpu_gemm_gradient_scratch(table, pixels, ci, co));
  error e = {0, 0};
  lur_cpu_gemm_gradient(table, x, dy, pixels, ci, co, scratch, dw);
  for (int64_t i = 0; i < ci; i++) {
    for (int64_t j = 0; j < co; j++) {
      double sum = (double)before[i * co + j], magnitude = fabs(sum);
      for (int64_t p = 0; p < pixels; p++) {
        const double one = (double)x[p * ci + i] * (double)dy[p * co + j];
        sum += one;
        magnitude += fabs(one);
      }
      note(&e, (double)dw[i * co + j], sum, magnitude);
    }
  }
  check(e.worst <= bound(pixels), table->name, "a gradient", ci, co, pixels, e.worst);
  check(guarded(dw, ci * co), table->name, "the guards of a gradient", ci, co, pixels, NAN);
  discard(x), discard(dy), discard(dw), discard(before);
  free(scratch);
}

/* Whether y is NaN or infinite exactly where the sum is; inf that overflows counts as such in both. */
static bool agree(float y, double sum) { return isnan(sum) ? isnan(y) : isinf(sum) ? (double)y == sum : isfinite(y); }

/* `special` in one place of one operand (0: a, 1: w, 2: bias, 3: both a and w). */
static void nonfinite_gemm(const lur_gemm_loops *table, const gemm_case *c, float special, int operand) {
  float *a = numbers(c->m * c->k, 11), *w = numbers(c->k * c->n, 12), *bias = numbers(c->n, 13);
  float *y = numbers(c->m * c->n, 14), *before = numbers(c->m * c->n, 14);
  if (operand == 0 || operand == 3) a[c->m * c->k / 2] = special;
  if (operand == 1 || operand == 3) w[c->k * c->n / 3] = special;
  if (operand == 2) bias[c->n / 2] = special;
  a[0] = w[0] = 0; /* 0 times infinity is NaN */
  lur_cpu_weights weights = {.k = c->k, .n = c->n, .transposed = c->transposed};
  void *packed = room(lur_cpu_weights_bytes(table, &weights)), *work = room(lur_cpu_gemm_scratch(table, c->k, PARTS));
  const lur_gemm p = {.k = c->k,
                      .n = c->n,
                      .packed = lur_cpu_weights_pack(table, &weights, w, 0, packed),
                      .bias = bias,
                      .relu = c->relu};
  lur_cpu_gemm(table, &p, a, c->m, c->residual ? y : NULL, y, PARTS, work);
  int64_t wrong = 0;
  for (int64_t i = 0; i < c->m; i++) {
    for (int64_t j = 0; j < c->n; j++) {
      double sum = (double)bias[j] + (c->residual ? (double)before[i * c->n + j] : 0);
      for (int64_t q = 0; q < c->k; q++)
        sum += (double)a[i * c->k + q] * (double)(c->transposed ? w[j * c->k + q] : w[q * c->n + j]);
      wrong += !agree(y[i * c->n + j], c->relu && sum < 0 ? 0 : sum);
    }
  }
  check(wrong == 0, table->name, "NaN or infinity in a product", c->m, c->n, c->k, (double)wrong);
  discard(a), discard(w), discard(bias), discard(y), discard(before);
  free(packed);
  free(work);
}

static void nonfinite_gradient(const lur_gemm_loops *table, int64_t pixels, int64_t ci, int64_t co, float special) {
  float *x = numbers(pixels * ci, 15), *dy = numbers(pixels * co, 16), *dw = numbers(ci * co, 17);
  void *scratch = room(lur_cpu_gemm_gradient_scratch(table, pixels, ci, co));
  x[pixels * ci / 2] = special;
  dy[pixels * co / 3] = -special;
  lur_cpu_gemm_gradient(table, x, dy, pixels, ci, co, scratch, dw);
  int64_t wrong = 0;
  for (int64_t i = 0; i < ci; i++) {
    for (int64_t j = 0; j < co; j++) {
      double sum = 0;
      for (int64_t p = 0; p < pixels; p++) sum += (double)x[p * ci + i] * (double)dy[p * co + j];
      wrong += !agree(dw[i * co + j], sum);
    }
  }
  check(wrong == 0, table->name, "NaN or infinity in a gradient", ci, co, pixels, (double)wrong);
  discard(x), discard(dy), discard(dw);
  free(scratch);
}

static const gemm_case cases[] = {
    {1, 1, 1, false, false, false, false},      {9, 48, 16, false, true, false, false},
    {10, 49, 17, false, true, true, false},     {8, 15, 33, true, false, false, true},
    {16, 16, 32, true, true, true, true},       {17, 33, 31, true, false, true, false},
    {33, 31, 64, false, true, false, true},     {31, 97, 65, false, false, true, true},
    {200, 40, 129, true, true, true, false},    {350, 50, 96, false, true, true, true},
    {1100, 33, 40, false, false, false, false}, {70, 130, 1000, true, true, false, false},
};

static void test(const lur_gemm_loops *table) {
  printf("%s\n", table->name);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) gemm_of(table, &cases[i]);
  gradient_of(table, 1, 1, 1);
  gradient_of(table, 31, 17, 33);
  gradient_of(table, 32, 9, 48);
  gradient_of(table, 33, 50, 15);
  gradient_of(table, 1000, 40, 20);
  gradient_of(table, 1025, 33, 49); /* three blocks */
  static const float specials[] = {NAN, INFINITY, -INFINITY};
  for (int s = 0; s < 3; s++) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      for (int operand = 0; operand < 4; operand++) nonfinite_gemm(table, &cases[i], specials[s], operand);
    nonfinite_gradient(table, 33, 50, 15, specials[s]);
    nonfinite_gradient(table, 1025, 33, 49, specials[s]);
  }
}

/* Six products of bfloat16 parts against a chain of f32 multiply-adds. */
static void test_closeness(const lur_gemm_loops *amx) {
  const gemm_case c = {64, 64, 728, false, false, false, false};
  const error parts = gemm_of(amx, &c), chain = gemm_of(&lur_gemm_loops_avx512, &c);
  printf("sums of 728: root mean square error %.1e by parts, %.1e by multiply-adds\n",
         sqrt(parts.squares / (double)(c.m * c.n)), sqrt(chain.squares / (double)(c.m * c.n)));
  check(parts.squares <= chain.squares, "amx", "the error compared with avx512's", c.m, c.n, c.k, sqrt(parts.squares));
}

/* Numbers that need all three parts, and numbers that need fewer: exact where no sum rounds. */
static void test_parts(const lur_gemm_loops *amx) {
  const float values[] = {1,     -1,       16777215, 8388609, 0.1f,  -3.3e38f, 1e-30f, 0,
                          65535, 1.0f / 3, 4097,     1e30f,   -0.0f, 255.5f,   1e-37f, 12345.678f};
  float a[16 * 16] = {0}, w[16 * 16] = {0}, y[16 * 16];
  for (int i = 0; i < 16; i++) a[i * 16 + i] = values[i], w[i * 16 + i] = 1;
  lur_cpu_weights weights = {.k = 16, .n = 16};
  void *packed = room(lur_cpu_weights_bytes(amx, &weights)), *work = room(lur_cpu_gemm_scratch(amx, 16, PARTS));
  const lur_gemm p = {.k = 16, .n = 16, .packed = lur_cpu_weights_pack(amx, &weights, w, 0, packed)};
  lur_cpu_gemm(amx, &p, a, 16, NULL, y, PARTS, work);
  for (int i = 0; i < 16; i++) {
    const double off = fabs((double)y[i * 16 + i] - (double)values[i]);
    check(off <= 1e-38, "amx", "a number times 1, the row", i, i, 16, off);
  }
  free(packed);
  free(work);
}

int main(void) {
  const lur_gemm_loops *widest = lur_gemm_loops_pick();
  if (!widest) return printf("no hand-written GEMM for this processor: nothing to test\n"), 0;
  test(&lur_gemm_loops_avx512);
  const bool has_amx = widest == &lur_gemm_loops_amx;
  if (!has_amx && !__builtin_cpu_supports("avx512bf16")) return failures > 0;
  const lur_gemm_loops *amx = has_amx ? widest : &lur_gemm_loops_amx_emulated;
  if (!has_amx) printf("emulated ");
  test(amx);
  if (has_amx) test_closeness(amx); /* the emulation sums in another order */
  test_parts(amx);
  return failures > 0;
}
