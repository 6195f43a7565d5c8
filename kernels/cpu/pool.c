/* pool.c - pool and global_pool on our own loops. Definition: kernels/ref/pool.c.
 *
 * A maximum keeps one byte a cell: the winner's number in its window. Rows are cut over the threads. */
#include "kernels/cpu/cpu.h"

#include <string.h>

enum { MOST_TAPS = 256 }; /* a winner's number must fit a byte */

static lur_window_shape shape_of(const lur_op_desc *d) {
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  const lur_pool_desc *u = &d->u.pool;
  return (lur_window_shape){x[1],        x[2],        y[1],        y[2],       x[3],       u->kernel_h,
                            u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left};
}

static lur_status plan(lur_op *op) {
  const lur_pool_desc *u = &op->desc.u.pool;
  if (!lur_cpu_all_f32(op) || u->affine_in || (int64_t)u->kernel_h * u->kernel_w > MOST_TAPS) return lur_cpu_plan_parent(op);
  if (u->mode == LUR_POOL_MAX && cpu_wants(op)) op->saved_bytes = (size_t)lur_shape_count(&op->desc.y.shape);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_window_shape s = shape_of(&op->desc);
  const lur_loops *loops = cpu_loops(op);
  const bool max = op->desc.u.pool.mode == LUR_POOL_MAX;
  uint8_t *winner = op->saved_bytes ? args->saved : NULL;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < op->desc.x[0].shape.dim[0] * s.oh; row++) {
    const int64_t picture = row / s.oh, oy = row % s.oh, to = picture * s.oh * s.ow * s.c;
    const float *x = (const float *)args->x[0] + picture * s.ih * s.iw * s.c;
    if (max)
      loops->max_pool(&s, x, (float *)args->y + to, winner ? winner + to : NULL, oy, oy + 1);
    else
      loops->avg_pool(&s, x, (float *)args->y + to, oy, oy + 1);
  }
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_window_shape s = shape_of(&op->desc);
  const lur_loops *loops = cpu_loops(op);
  const bool add = args->dx_add & 1u;
  const uint8_t *winner = op->saved_bytes ? args->saved : NULL;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < op->desc.x[0].shape.dim[0] * s.ih; row++) {
    const int64_t picture = row / s.ih, iy = row % s.ih, from = picture * s.oh * s.ow * s.c;
    const float *dy = (const float *)args->dy + from;
    float *dx = (float *)args->dx[0] + picture * s.ih * s.iw * s.c;
    if (winner)
      loops->max_pool_back(&s, dy, winner + from, dx, add, iy, iy + 1);
    else
      loops->avg_pool_back(&s, dy, dx, add, iy, iy + 1);
  }
  return LUR_OK;
}

const lur_kernel lur_cpu_pool = {plan, forward, backward, NULL};

/* ---- global_pool: the mean over height and width ---- */

static lur_status global_plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  /* Each picture's sums in double, and the float work of column_sums. */
  op->forward_scratch = (size_t)lur_shape_count(&op->desc.y.shape) * (sizeof(double) + sizeof(float));
  return LUR_OK;
}

static lur_status global_forward(lur_op *op, const lur_args *args) {
  const int64_t *d = op->desc.x[0].shape.dim, area = d[1] * d[2], c = d[3];
  const lur_loops *loops = cpu_loops(op);
  double *sums = args->scratch;
  float *work = (float *)(sums + d[0] * c), *y = args->y;
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < d[0]; n++) {
    double *own = sums + n * c;
    memset(own, 0, sizeof *own * (size_t)c);
    loops->column_sums((const float *)args->x[0] + n * area * c, area, c, work + n * c, own);
    for (int64_t i = 0; i < c; i++) y[n * c + i] = (float)(own[i] / (double)area);
  }
  return LUR_OK;
}

static lur_status global_backward(lur_op *op, const lur_args *args) {
  const int64_t *d = op->desc.x[0].shape.dim, area = d[1] * d[2], c = d[3];
  const lur_loops *loops = cpu_loops(op);
  const float share = (float)(1 / (double)area);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < d[0] * area; r++)
    loops->affine(share, 0, (const float *)args->dy + r / area * c, (float *)args->dx[0] + r * c, args->dx_add & 1u, c);
  return LUR_OK;
}

const lur_kernel lur_cpu_global_pool = {global_plan, global_forward, global_backward, NULL};
