/* upsample.c - images of another size, by the nearest or by interpolation between two rows and two columns
 * (lur_upsample_desc has the formulas). */
#include "ref.h"

/* An output row or column: its two source pixels and the share of the second. */
typedef struct source {
  int64_t first, second;
  double share;
} source;

static source source_of(lur_upsample_mode mode, int64_t i, int64_t in, int64_t out) {
  if (mode == LUR_UPSAMPLE_NEAREST) return (source){i * in / out, i * in / out, 0};
  const int64_t above = (2 * i + 1) * in - out, number = above > 0 ? above : 0; /* the position times 2 out: exact */
  source s = {.first = number / (2 * out)};
  if (s.first > in - 1) s.first = in - 1;
  s.second = s.first < in - 1 ? s.first + 1 : s.first;
  s.share = (double)(number % (2 * out)) / (double)(2 * out);
  return s;
}

static lur_status plan(lur_op *op) {
  const int64_t *in = op->desc.x[0].shape.dim;
  LUR_TRY(lur_ref_want_f32(op, 0));
  if (ref_wants(op)) op->backward_scratch = sizeof(double) * (size_t)(in[1] * in[2] * in[3]);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const int64_t *in = op->desc.x[0].shape.dim, *out = op->desc.y.shape.dim, c = out[3];
  const lur_upsample_mode mode = op->desc.u.upsample.mode;
#pragma omp parallel for
  for (int64_t row = 0; row < out[0] * out[1]; row++) {
    const source v = source_of(mode, row % out[1], in[1], out[1]);
    const float *image = (const float *)args->x[0] + row / out[1] * in[1] * in[2] * c;
    for (int64_t column = 0; column < out[2]; column++) {
      const source h = source_of(mode, column, in[2], out[2]);
      const float *a = image + (v.first * in[2] + h.first) * c, *b = image + (v.first * in[2] + h.second) * c;
      const float *e = image + (v.second * in[2] + h.first) * c, *f = image + (v.second * in[2] + h.second) * c;
      float *y = (float *)args->y + (row * out[2] + column) * c;
      for (int64_t i = 0; i < c; i++) {
        if (mode == LUR_UPSAMPLE_NEAREST) y[i] = a[i];
        else
          y[i] = (float)((1 - v.share) * ((1 - h.share) * (double)a[i] + h.share * (double)b[i]) +
                         v.share * ((1 - h.share) * (double)e[i] + h.share * (double)f[i]));
      }
    }
  }
  return LUR_OK;
}

/* Adds an output pixel's gradient, times `weight`, to the sums of its source pixel. */
static void spread(const float *dy, double weight, int64_t c, double *sums) {
  for (int64_t i = 0; i < c; i++) sums[i] += weight * (double)dy[i];
}

/* Sums in double for one image at a time, in scratch. */
static lur_status backward(lur_op *op, const lur_args *args) {
  const int64_t *in = op->desc.x[0].shape.dim, *out = op->desc.y.shape.dim, c = out[3], pixels = in[1] * in[2];
  const lur_upsample_mode mode = op->desc.u.upsample.mode;
  double *sums = args->scratch;
  for (int64_t n = 0; n < out[0]; n++) {
    for (int64_t i = 0; i < pixels * c; i++) sums[i] = 0;
    for (int64_t row = 0; row < out[1]; row++)
      for (int64_t column = 0; column < out[2]; column++) {
        const source v = source_of(mode, row, in[1], out[1]), h = source_of(mode, column, in[2], out[2]);
        const float *dy = (const float *)args->dy + ((n * out[1] + row) * out[2] + column) * c;
        spread(dy, (1 - v.share) * (1 - h.share), c, sums + (v.first * in[2] + h.first) * c);
        if (mode == LUR_UPSAMPLE_NEAREST) continue;
        spread(dy, (1 - v.share) * h.share, c, sums + (v.first * in[2] + h.second) * c);
        spread(dy, v.share * (1 - h.share), c, sums + (v.second * in[2] + h.first) * c);
        spread(dy, v.share * h.share, c, sums + (v.second * in[2] + h.second) * c);
      }
    for (int64_t i = 0; i < pixels * c; i++)
      ref_put(args->dx[0], n * pixels * c + i, sums[i], args->dx_add & 1u);
  }
  return LUR_OK;
}

const lur_kernel lur_ref_upsample = {plan, forward, backward, NULL};
