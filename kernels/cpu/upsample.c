/* upsample.c - images of another size. Definition: kernels/ref/upsample.c. A task is a row: of y, or in backward of x,
 * which collects the gradients of the rows of y that it is part of. */
#include "kernels/cpu/cpu.h"

#include <string.h>

/* An output row or column: its two source pixels and the share of the second. Exact: fractions of 2 out. */
typedef struct source {
  int64_t at[2];
  float share;
} source;

static source source_of(lur_upsample_mode mode, int64_t i, int64_t in, int64_t out) {
  if (mode == LUR_UPSAMPLE_NEAREST) return (source){{i * in / out, -1}, 0};
  const int64_t above = (2 * i + 1) * in - out, number = above > 0 ? above : 0;
  const int64_t first = cpu_min(number / (2 * out), in - 1);
  return (source){{first, cpu_min(first + 1, in - 1)}, (float)((double)(number % (2 * out)) / (double)(2 * out))};
}

static lur_status plan(lur_op *op) { return lur_cpu_all_f32(op) ? LUR_OK : lur_cpu_plan_parent(op); }

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t *in = op->desc.x[0].shape.dim, *out = op->desc.y.shape.dim, c = out[3];
  const lur_upsample_mode mode = op->desc.u.upsample.mode;
#pragma omp parallel for schedule(static) if (lur_shape_count(&op->desc.y.shape) > CPU_BLOCK)
  for (int64_t row = 0; row < out[0] * out[1]; row++) {
    const source v = source_of(mode, row % out[1], in[1], out[1]);
    const float *image = (const float *)args->x[0] + row / out[1] * in[1] * in[2] * c;
    const float *above = image + v.at[0] * in[2] * c, *below = image + v.at[1] * in[2] * c;
    float *y = (float *)args->y + row * out[2] * c;
    for (int64_t column = 0; column < out[2]; column++, y += c) {
      const source h = source_of(mode, column, in[2], out[2]);
      if (mode == LUR_UPSAMPLE_NEAREST) {
        memcpy(y, above + h.at[0] * c, sizeof *y * (size_t)c);
        continue;
      }
      const float *const p[4] = {above + h.at[0] * c, above + h.at[1] * c, below + h.at[0] * c, below + h.at[1] * c};
      const float weight[4] = {(1 - v.share) * (1 - h.share), (1 - v.share) * h.share, v.share * (1 - h.share),
                               v.share * h.share};
      loops->blend(p, weight, y, c);
    }
  }
  return LUR_OK;
}

/* The outputs from *from to before *to, and perhaps some more, have the source pixel `at`. */
static void outputs_of(lur_upsample_mode mode, int64_t at, int64_t in, int64_t out, int64_t *from, int64_t *to) {
  const bool nearest = mode == LUR_UPSAMPLE_NEAREST;
  *from = nearest ? at * out / in : ((2 * at - 1) * out / in - 1) / 2 - 1;
  *to = nearest ? (at + 1) * out / in + 1 : (2 * at + 3) * out / in / 2 + 2;
  if (*from < 0 || at == 0) *from = 0;
  if (*to > out || at == in - 1) *to = out;
}

/* Adds a row of dy, times `weight`, to a row of dx. */
static void spread_row(const lur_loops *loops, lur_upsample_mode mode, float weight, int64_t in, int64_t out, int64_t c,
                       const float *dy, float *dx) {
  for (int64_t column = 0; column < out; column++, dy += c) {
    const source h = source_of(mode, column, in, out);
    loops->affine(weight * (1 - h.share), 0, dy, dx + h.at[0] * c, true, c);
    if (h.at[1] >= 0) loops->affine(weight * h.share, 0, dy, dx + h.at[1] * c, true, c);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t *in = op->desc.x[0].shape.dim, *out = op->desc.y.shape.dim, c = out[3];
  const lur_upsample_mode mode = op->desc.u.upsample.mode;
#pragma omp parallel for schedule(static) if (lur_shape_count(&op->desc.y.shape) > CPU_BLOCK)
  for (int64_t row = 0; row < in[0] * in[1]; row++) {
    const int64_t at = row % in[1];
    const float *image = (const float *)args->dy + row / in[1] * out[1] * out[2] * c;
    float *dx = (float *)args->dx[0] + row * in[2] * c;
    int64_t from, to;
    if (!(args->dx_add & 1u)) memset(dx, 0, sizeof *dx * (size_t)(in[2] * c));
    outputs_of(mode, at, in[1], out[1], &from, &to);
    for (int64_t i = from; i < to; i++) {
      const source v = source_of(mode, i, in[1], out[1]);
      const float *dy = image + i * out[2] * c;
      if (v.at[0] == at) spread_row(loops, mode, 1 - v.share, in[2], out[2], c, dy, dx);
      if (v.at[1] == at) spread_row(loops, mode, v.share, in[2], out[2], c, dy, dx);
    }
  }
  return LUR_OK;
}

const lur_kernel lur_cpu_upsample = {plan, forward, backward, NULL};
