/* mix.c - mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019) within a batch, with mixed targets.
 *
 * Rows are paired at random and the two rows of a pair are mixed with each other, so that no copy of the batch is
 * needed; with an odd number of rows, one stays as it is. Each batch draws one lambda from Beta(alpha, alpha). */
#include <math.h>
#include <string.h>

#include "augment.h"

static double normal_draw(lur_source *s) { /* Box-Muller */
  double u = lur_source_uniform(s, 0, 1), v = lur_source_uniform(s, 0, 1);
  return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

/* Gamma(alpha, 1) by Marsaglia and Tsang 2000; alpha below 1 by way of alpha + 1, as they suggest. */
static double gamma_draw(lur_source *s, double alpha) {
  if (alpha < 1) {
    double u = lur_source_uniform(s, 0, 1);
    return gamma_draw(s, alpha + 1) * pow(1 - u, 1 / alpha);
  }
  double d = alpha - 1.0 / 3, c = 1 / sqrt(9 * d);
  for (;;) {
    double x = normal_draw(s), t = 1 + c * x, v = t * t * t;
    if (t <= 0) continue;
    double u = 1 - lur_source_uniform(s, 0, 1);
    if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
  }
}

static double beta_draw(lur_source *s, double alpha) {
  double a = gamma_draw(s, alpha), b = gamma_draw(s, alpha);
  return a + b > 0 ? a / (a + b) : 0.5;
}

typedef struct box {
  int top, left, bottom, right;
} box;

/* A box of area 1 - lambda around a random centre, clipped to the image; *lambda becomes the fraction outside it. */
static box draw_box(lur_source *s, int height, int width, double *lambda) {
  double side = sqrt(1 - *lambda), cy = lur_source_uniform(s, 0, height), cx = lur_source_uniform(s, 0, width);
  box b = {(int)fmax(cy - side * height / 2, 0), (int)fmax(cx - side * width / 2, 0),
           (int)fmin(cy + side * height / 2, height), (int)fmin(cx + side * width / 2, width)};
  *lambda = 1 - (double)(b.bottom - b.top) * (b.right - b.left) / ((double)height * width);
  return b;
}

static void blend(double lambda, size_t n, float *a, float *b) {
  float l = (float)lambda;
  for (size_t i = 0; i < n; i++) {
    float x = a[i], y = b[i];
    a[i] = y + (x - y) * l;
    b[i] = x + (y - x) * l;
  }
}

static void swap_box(box part, int width, int channels, float *a, float *b) {
  size_t from = (size_t)part.left * (size_t)channels, count = (size_t)(part.right - part.left) * (size_t)channels;
  for (int y = part.top; y < part.bottom; y++) {
    float *p = a + (size_t)y * (size_t)width * (size_t)channels + from,
          *q = b + (size_t)y * (size_t)width * (size_t)channels + from;
    for (size_t i = 0; i < count; i++) {
      float t = p[i];
      p[i] = q[i];
      q[i] = t;
    }
  }
}

static void write_targets(int64_t n, const int32_t *ids, int classes, float *targets) {
  memset(targets, 0, (size_t)n * (size_t)classes * sizeof *targets);
  for (int64_t i = 0; i < n; i++)
    if (ids[i] >= 0 && ids[i] < classes) targets[i * classes + ids[i]] = 1;
}

/* The first unpaired row from a random one on, cyclically; marks it in `used`. */
static int64_t take_row(lur_source *s, int64_t n, uint64_t *used) {
  int64_t at = (int64_t)lur_source_uniform(s, 0, (double)n);
  while (used[at / 64] >> (at % 64) & 1) at = (at + 1) % n;
  used[at / 64] |= (uint64_t)1 << (at % 64);
  return at;
}

enum { MAX_MIXED = 4096 }; /* rows of a batch that are mixed; bounds the bit set on the stack */

void lur_mix_batch(const lur_augment *augment, lur_source *source, int64_t n, int height, int width, int channels,
                   float *images, const int32_t *ids, int classes, float *targets) {
  double up = augment->s.mixup, cut = augment->s.cutmix;
  size_t size = (size_t)height * (size_t)width * (size_t)channels;
  uint64_t used[MAX_MIXED / 64] = {0};
  write_targets(n, ids, classes, targets);
  if (up <= 0 && cut <= 0) return;
  bool cuts = cut > 0 && (up <= 0 || lur_source_uniform(source, 0, 1) < 0.5);
  double lambda = beta_draw(source, cuts ? cut : up);
  box b = {0};
  if (cuts) b = draw_box(source, height, width, &lambda);
  int64_t rows = n < MAX_MIXED ? n : MAX_MIXED;
  for (int64_t k = 0; k + 1 < rows; k += 2) {
    int64_t i = take_row(source, rows, used), j = take_row(source, rows, used);
    float *p = images + (size_t)i * size, *q = images + (size_t)j * size;
    if (cuts) swap_box(b, width, channels, p, q);
    else blend(lambda, size, p, q);
    blend(lambda, (size_t)classes, targets + i * classes, targets + j * classes);
  }
}
