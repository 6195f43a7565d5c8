/* depthwise_conv2d.c - depthwise_conv2d on loops/depthwise_conv2d.h. Definition: kernels/ref/depthwise_conv2d.c.
 *
 * The rows of all images are divided into one part per thread, and one pass over a part computes all gradients. Each
 * part sums dw and the affine's gradients in double; the parts are added in order. */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

typedef struct depthwise {
  lur_window_shape s;
  int64_t n;
  int parts, column_parts;
  size_t masked_bytes; /* dy masked by the ReLU, at the front of backward's scratch */
} depthwise;

static void release(lur_op *op) {
  free(op->state);
  op->state = NULL;
}

static int64_t taps_count(const lur_window_shape *s) { return (int64_t)s->kh * s->kw * s->c; }

/* The sums of one part: dw, then with affine_in the gradients of scale and shift. */
static int64_t sums_count(const lur_op *op) {
  const depthwise *p = op->state;
  return taps_count(&p->s) + (op->desc.u.conv2d.affine_in ? 2 * p->s.c : 0);
}

static bool wants_sums(const lur_op_desc *d) { return d->want_dw & 1u || d->want_dx & 2u; }

static void plan_backward(lur_op *op, depthwise *p) {
  const lur_op_desc *d = &op->desc;
  const bool gate = d->u.conv2d.relu_in && d->want_dx;
  op->backward_x = wants_sums(d) || gate ? 1u : 0;
  if (d->u.conv2d.affine_in && (d->want_dx || wants_sums(d))) op->backward_x |= 2u;
  op->backward_y = d->u.conv2d.relu;
  if (d->u.conv2d.relu) p->masked_bytes = cpu_round(sizeof(float) * (size_t)lur_shape_count(&d->y.shape));
  size_t rest = wants_sums(d) ? (sizeof(double) + sizeof(float)) * (size_t)p->parts * (size_t)sums_count(op) : 0;
  size_t columns = d->want_dw & 2u ? lur_cpu_columns_scratch(p->column_parts, p->s.c) : 0;
  op->backward_scratch = p->masked_bytes + cpu_larger(rest, columns);
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op) && !lur_op_is_int8(d)) return lur_cpu_plan_parent(op);
  depthwise *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  p->n = d->x[0].shape.dim[0];
  p->s = cpu_window(d);
  p->parts = cpu_parts(p->n * p->s.ih);
  p->column_parts = cpu_parts(p->n * p->s.oh * p->s.ow);
  if (cpu_wants(op)) plan_backward(op, p);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const depthwise *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const lur_window_shape *s = &p->s;
  const bool relu_in = op->desc.u.conv2d.relu_in, relu = op->desc.u.conv2d.relu;
  const float *x = args->x[0], *w = args->w[0], *bias = op->desc.nw == 2 ? args->w[1] : NULL;
  const float *affine = op->desc.u.conv2d.affine_in ? args->x[1] : NULL;
  float *y = args->y;
  uint8_t *int8 = op->desc.y.dtype == LUR_U8 ? args->y : NULL;
  const int64_t rows = p->n * s->oh;
  const int parts = cpu_parts(rows);
  bool numbers = true; /* only int8 tells */
#pragma omp parallel for schedule(static, 1) reduction(&& : numbers)
  for (int part = 0; part < parts; part++) {
    const int64_t end = cpu_part_start(rows, parts, part + 1);
    int64_t image, y0, y1;
    for (int64_t r = cpu_part_start(rows, parts, part); r < end;) {
      r = cpu_rows_of_image(r, end, s->oh, &image, &y0, &y1);
      const float *from = x + image * s->ih * s->iw * s->c;
      const int64_t to = image * s->oh * s->ow * s->c;
      if (int8) numbers = loops->depthwise_conv2d_int8(s, from, relu_in, w, bias, int8 + to, y0, y1) && numbers;
      else loops->depthwise_conv2d(s, from, affine, relu_in, w, bias, relu, y + to, y0, y1);
    }
  }
  return numbers ? LUR_OK : lur_fail_int8_nan();
}

/* What all parts share. Each part sets x, dy and dx to its image, and uses its own sums and work. */
static lur_depthwise_conv2d_grads grads_of(const lur_op *op, const lur_args *args) {
  const lur_conv2d_desc *u = &op->desc.u.conv2d;
  return (lur_depthwise_conv2d_grads){
      .affine = u->affine_in ? args->x[1] : NULL, .w = args->w[0], .relu_in = u->relu_in, .add = args->dx_add & 1u};
}

static void backward_main(lur_op *op, const lur_args *args, const float *dy, double *sums) {
  const depthwise *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const lur_window_shape *s = &p->s;
  const float *x = op->backward_x & 1u ? args->x[0] : NULL;
  float *dx = op->desc.want_dx & 1u ? args->dx[0] : NULL;
  const int64_t rows = p->n * s->ih, count = sums_count(op);
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t end = cpu_part_start(rows, p->parts, part + 1);
    int64_t image, y0, y1;
    lur_depthwise_conv2d_grads g = grads_of(op, args);
    g.sums = sums ? sums + part * count : NULL;
    g.work = sums ? (float *)(sums + p->parts * count) + part * count : NULL;
    if (sums) memset(g.sums, 0, sizeof *g.sums * (size_t)count);
    for (int64_t r = cpu_part_start(rows, p->parts, part); r < end;) {
      r = cpu_rows_of_image(r, end, s->ih, &image, &y0, &y1);
      const int64_t at = image * s->ih * s->iw * s->c;
      g.x = x ? x + at : NULL;
      g.dy = dy + image * s->oh * s->ow * s->c;
      g.dx = dx ? dx + at : NULL;
      loops->depthwise_conv2d_back(s, &g, y0, y1);
    }
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const depthwise *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  void *rest = (char *)args->scratch + p->masked_bytes;
  const float *dy = args->dy;
  if (d->u.conv2d.relu) {
    lur_cpu_mask(loops, args->y, dy, args->scratch, lur_shape_count(&d->y.shape));
    dy = args->scratch;
  }
  if (d->want_dw & 2u) lur_cpu_columns(loops, p->column_parts, dy, p->n * p->s.oh * p->s.ow, p->s.c, rest, args->dw[1]);
  if (d->want_dx || wants_sums(d)) backward_main(op, args, dy, wants_sums(d) ? rest : NULL);
  const double *sums = rest;
  const int64_t width = sums_count(op), taps = taps_count(&p->s);
  if (d->want_dw & 1u) lur_cpu_put_sums(sums, p->parts, width, args->dw[0], taps, true);
  if (d->want_dx & 2u) lur_cpu_put_sums(sums + taps, p->parts, width, args->dx[1], 2 * p->s.c, args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_cpu_depthwise_conv2d = {plan, forward, backward, release};
