/* depthwise.c - depthwise_conv2d on our own loops (kernels/cpu/loops/depthwise.h). Definition: kernels/ref/depthwise.c.
 *
 * It works in memory order: rows of all pictures are cut into as many parts as there are threads, and one walk gives
 * both gradients. Each part sums dw for itself in double; the parts are added in order. */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

typedef struct depthwise {
  lur_window_shape s;
  int64_t n;
  int parts, column_parts;
  size_t masked_bytes; /* dy behind the ReLU, at the front of backward's scratch */
} depthwise;

static void release(lur_op *op) {
  free(op->state);
  op->state = NULL;
}

static size_t sums_count(const lur_window_shape *s) { return (size_t)(s->kh * s->kw) * (size_t)s->c; }

static void plan_backward(lur_op *op, depthwise *p) {
  const lur_op_desc *d = &op->desc;
  const bool mask = d->u.conv.relu_in && d->want_dx & 1u;
  op->backward_x = d->want_dw & 1u || mask ? 1u : 0;
  op->backward_y = d->u.conv.relu;
  if (d->u.conv.relu) p->masked_bytes = (sizeof(float) * (size_t)lur_shape_count(&d->y.shape) + 63) / 64 * 64;
  size_t rest = d->want_dw & 1u ? (sizeof(double) + sizeof(float)) * (size_t)p->parts * sums_count(&p->s) : 0;
  size_t columns = d->want_dw & 2u ? lur_cpu_columns_scratch(p->column_parts, p->s.c) : 0;
  op->backward_scratch = p->masked_bytes + (rest > columns ? rest : columns);
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op) || d->u.conv.affine_in) return lur_cpu_plan_parent(op);
  depthwise *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  const lur_conv_desc *u = &d->u.conv;
  p->n = x[0];
  p->s = (lur_window_shape){x[1],        x[2],        y[1],        y[2],       x[3],       u->kernel_h,
                            u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left};
  p->parts = cpu_parts(p->n * p->s.ih);
  p->column_parts = cpu_parts(p->n * p->s.oh * p->s.ow);
  if (cpu_wants(op)) plan_backward(op, p);
  return LUR_OK;
}

/* Rows begin..end of all pictures' rows, cut where a picture ends: *picture, and rows *y0..*y1 of it. Gives the next begin. */
static int64_t rows_of_picture(int64_t begin, int64_t end, int64_t height, int64_t *picture, int64_t *y0, int64_t *y1) {
  *picture = begin / height;
  *y0 = begin % height;
  *y1 = cpu_min(height, *y0 + end - begin);
  return begin + *y1 - *y0;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const depthwise *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const lur_window_shape *s = &p->s;
  const bool relu_in = op->desc.u.conv.relu_in, relu = op->desc.u.conv.relu;
  const float *x = args->x[0], *w = args->w[0], *bias = op->desc.nw == 2 ? args->w[1] : NULL;
  float *y = args->y;
  const int64_t rows = p->n * s->oh;
  const int parts = cpu_parts(rows);
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < parts; part++) {
    const int64_t end = cpu_part_start(rows, parts, part + 1);
    int64_t picture, y0, y1;
    for (int64_t r = cpu_part_start(rows, parts, part); r < end;) {
      r = rows_of_picture(r, end, s->oh, &picture, &y0, &y1);
      loops->depthwise(s, x + picture * s->ih * s->iw * s->c, relu_in, w, bias, relu, y + picture * s->oh * s->ow * s->c, y0, y1);
    }
  }
  return LUR_OK;
}

static void add_sums(const depthwise *p, const double *sums, float *dw) {
  const int64_t count = (int64_t)sums_count(&p->s);
  for (int64_t i = 0; i < count; i++) {
    double sum = 0;
    for (int part = 0; part < p->parts; part++) sum += sums[part * count + i];
    dw[i] = (float)((double)dw[i] + sum);
  }
}

static void backward_main(lur_op *op, const lur_args *args, const float *dy, double *sums) {
  const depthwise *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const lur_window_shape *s = &p->s;
  const bool relu_in = op->desc.u.conv.relu_in, add = args->dx_add & 1u;
  const float *x = op->backward_x ? args->x[0] : NULL, *w = args->w[0];
  float *dx = op->desc.want_dx & 1u ? args->dx[0] : NULL;
  const int64_t rows = p->n * s->ih, count = (int64_t)sums_count(s);
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t end = cpu_part_start(rows, p->parts, part + 1);
    int64_t picture, y0, y1;
    double *own = sums ? sums + part * count : NULL;
    float *work = sums ? (float *)(sums + p->parts * count) + part * count : NULL;
    if (own) memset(own, 0, sizeof *own * (size_t)count);
    for (int64_t r = cpu_part_start(rows, p->parts, part); r < end;) {
      r = rows_of_picture(r, end, s->ih, &picture, &y0, &y1);
      const int64_t at = picture * s->ih * s->iw * s->c;
      loops->depthwise_back(s, x ? x + at : NULL, relu_in, w, dy + picture * s->oh * s->ow * s->c, dx ? dx + at : NULL, add, work,
                            own, y0, y1);
    }
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const depthwise *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  void *rest = (char *)args->scratch + p->masked_bytes;
  const float *dy = args->dy;
  if (d->u.conv.relu) {
    lur_cpu_mask(loops, args->y, dy, args->scratch, lur_shape_count(&d->y.shape));
    dy = args->scratch;
  }
  if (d->want_dw & 2u) lur_cpu_columns(loops, p->column_parts, dy, p->n * p->s.oh * p->s.ow, p->s.c, rest, args->dw[1]);
  if (d->want_dx & 1u || d->want_dw & 1u) backward_main(op, args, dy, d->want_dw & 1u ? rest : NULL);
  if (d->want_dw & 1u) add_sums(p, rest, args->dw[0]);
  return LUR_OK;
}

const lur_kernel lur_cpu_depthwise = {plan, forward, backward, release};
