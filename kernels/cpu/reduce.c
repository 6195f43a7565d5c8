/* reduce.c - sums and means over neighbouring dimensions. Definition: kernels/ref/reduce.c, which also computes the
 * extrema, and sums over dimensions that are apart. */
#include "kernels/cpu/cpu.h"

#include <string.h>

/* x as outer x many x inner; `many` is reduced. False: the reduced dimensions are not neighbours. */
static bool sizes_of(const lur_op_desc *d, int64_t *outer, int64_t *many, int64_t *inner) {
  const lur_shape *x = &d->x[0].shape;
  *outer = *many = *inner = 1;
  for (int i = 0; i < x->ndim; i++) {
    const bool reduced = d->u.reduce.axes >> i & 1u;
    if (x->dim[i] == 1) continue;
    if (reduced && *inner > 1) return false;
    if (reduced) *many *= x->dim[i];
    else if (*many > 1) *inner *= x->dim[i];
    else *outer *= x->dim[i];
  }
  return true;
}

static lur_status plan(lur_op *op) {
  const lur_reduction f = op->desc.u.reduce.function;
  int64_t outer, many, inner;
  if (!lur_cpu_all_f32(op) || (f != LUR_SUM && f != LUR_MEAN) || !sizes_of(&op->desc, &outer, &many, &inner))
    return lur_cpu_plan_parent(op);
  if (inner > 1) op->forward_scratch = (size_t)outer * (size_t)inner * (sizeof(double) + sizeof(float));
  return LUR_OK;
}

/* scratch: the sums of each outer index, then float work. */
static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  int64_t outer, many, inner;
  sizes_of(&op->desc, &outer, &many, &inner);
  const double divisor = op->desc.u.reduce.function == LUR_MEAN ? (double)many : 1;
  const float *x = args->x[0];
  float *y = args->y;
  double *sums = args->scratch;
  float *work = inner > 1 ? (float *)(sums + outer * inner) : NULL;
#pragma omp parallel for schedule(static) if (outer * many * inner > CPU_BLOCK)
  for (int64_t o = 0; o < outer; o++) {
    if (inner == 1) {
      y[o] = (float)(loops->row_sum(x + o * many, many) / divisor);
      continue;
    }
    memset(sums + o * inner, 0, sizeof *sums * (size_t)inner);
    loops->column_sums(x + o * many * inner, many, inner, work + o * inner, sums + o * inner);
    for (int64_t i = 0; i < inner; i++) y[o * inner + i] = (float)(sums[o * inner + i] / divisor);
  }
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  int64_t outer, many, inner;
  sizes_of(&op->desc, &outer, &many, &inner);
  const float share = (float)(op->desc.u.reduce.function == LUR_MEAN ? 1 / (double)many : 1);
  const bool add = args->dx_add & 1u;
  const float *dy = args->dy;
  float *dx = args->dx[0];
  const int64_t rows = inner > 1 ? outer * many : outer;
#pragma omp parallel for schedule(static) if (outer * many * inner > CPU_BLOCK)
  for (int64_t r = 0; r < rows; r++) {
    if (inner > 1) {
      loops->affine(share, 0, dy + r / many * inner, dx + r * inner, add, inner);
      continue;
    }
    const float value = dy[r] * share;
    float *to = dx + r * many;
    for (int64_t i = 0; i < many; i++) to[i] = add ? to[i] + value : value;
  }
  return LUR_OK;
}

const lur_kernel lur_cpu_reduce = {plan, forward, backward, NULL};
