/* pool.c - pool and global_pool on loops/pool.h. Definition: kernels/ref/pool.c.
 *
 * For a maximum, saved holds one byte per output: the number of the maximum's pixel in its window. Rows are divided
 * among threads; in backward each part sums the affine's gradients in double, and the parts are added in order. */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TAPS = 256 }; /* the number of a pixel in its window must fit into a byte */

typedef struct pool {
  lur_window_shape s;
  int64_t n;
  int parts; /* of backward */
} pool;

static void release(lur_op *op) {
  free(op->state);
  op->state = NULL;
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  const lur_pool_desc *u = &d->u.pool;
  if (!lur_cpu_all_f32(op) || (int64_t)u->kernel_h * u->kernel_w > MOST_TAPS) return lur_cpu_plan_parent(op);
  pool *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  p->n = d->x[0].shape.dim[0];
  p->s = cpu_window(d);
  p->parts = cpu_parts(p->n * p->s.ih);
  if (u->mode == LUR_POOL_MAX && cpu_wants(op)) op->saved_bytes = (size_t)lur_shape_count(&d->y.shape);
  if (!u->affine_in) return LUR_OK;
  op->backward_x = (d->want_dx & 2u ? 1u : 0) | (d->want_dx & 1u ? 2u : 0);
  if (d->want_dx & 2u) op->backward_scratch = (sizeof(double) + sizeof(float)) * (size_t)p->parts * 2 * (size_t)p->s.c;
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const pool *p = op->state;
  const lur_window_shape *s = &p->s;
  const lur_loops *loops = cpu_loops(op);
  const bool max = op->desc.u.pool.mode == LUR_POOL_MAX;
  const float *affine = op->desc.u.pool.affine_in ? args->x[1] : NULL;
  uint8_t *winner = op->saved_bytes ? args->saved : NULL;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < p->n * s->oh; row++) {
    const int64_t image = row / s->oh, oy = row % s->oh, to = image * s->oh * s->ow * s->c;
    const float *x = (const float *)args->x[0] + image * s->ih * s->iw * s->c;
    if (max) loops->max_pool(s, x, affine, (float *)args->y + to, winner ? winner + to : NULL, oy, oy + 1);
    else loops->avg_pool(s, x, affine, (float *)args->y + to, oy, oy + 1);
  }
  return LUR_OK;
}

/* The input rows of one part. own: its sums, or NULL. */
static void backward_part(const lur_op *op, const lur_args *args, int part, double *own, float *work) {
  const pool *p = op->state;
  const lur_window_shape *s = &p->s;
  const unsigned want = op->desc.want_dx;
  const int64_t rows = p->n * s->ih, end = cpu_part_start(rows, p->parts, part + 1);
  int64_t image, y0, y1;
  lur_pool_grads g = {.sums = own, .work = work, .add = args->dx_add & 1u};
  if (op->desc.u.pool.affine_in) g.affine = args->x[1];
  if (own) memset(own, 0, sizeof *own * 2 * (size_t)s->c);
  for (int64_t r = cpu_part_start(rows, p->parts, part); r < end;) {
    r = cpu_rows_of_image(r, end, s->ih, &image, &y0, &y1);
    const int64_t from = image * s->oh * s->ow * s->c, at = image * s->ih * s->iw * s->c;
    g.dy = (const float *)args->dy + from;
    g.winner = op->saved_bytes ? (const uint8_t *)args->saved + from : NULL;
    g.x = own ? (const float *)args->x[0] + at : NULL;
    g.dx = want & 1u ? (float *)args->dx[0] + at : NULL;
    cpu_loops(op)->pool_back(s, &g, y0, y1);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const pool *p = op->state;
  const int64_t width = 2 * p->s.c;
  double *sums = op->desc.want_dx & 2u ? args->scratch : NULL;
  float *work = sums ? (float *)(sums + p->parts * width) : NULL;
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++)
    backward_part(op, args, part, sums ? sums + part * width : NULL, sums ? work + part * width : NULL);
  if (sums) lur_cpu_put_sums(sums, p->parts, width, args->dx[1], width, args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_cpu_pool = {plan, forward, backward, release};

/* ---- global_pool: the mean over height and width ---- */

static lur_status global_plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  /* The sums of each image in double, and the float work space of column_sums. */
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
