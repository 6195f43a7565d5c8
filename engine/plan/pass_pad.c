/* pass_pad.c - zeros that a pad op puts around an image become the padding of the convolutions that read it, or of max
 * pools after a ReLU: the larger image is never stored. */
#include "plan.h"

/* Whether the op pads height and width alone, by zeros. */
static bool pads_image(const lur_op_desc *d) {
  const lur_pad_desc *u = &d->u.pad;
  const lur_shape *x = &d->x[0].shape, *y = &d->y.shape;
  return d->kind == LUR_OP_PAD && y->ndim == 4 && u->value == 0 && u->before[0] == 0 && u->before[3] == 0 &&
         x->dim[0] == y->dim[0] && x->dim[3] == y->dim[3];
}

/* Where an op describes its window. */
typedef struct window {
  int kernel_h, kernel_w, stride_h, stride_w, *pad_top, *pad_left;
} window;

/* The window of a convolution, or of a max pool of what a ReLU gives: its padding, which never wins, is then as good as
   zeros. */
static bool find_window(lur_op_desc *d, bool after_relu, window *w) {
  if (d->kind == LUR_OP_CONV2D || d->kind == LUR_OP_DEPTHWISE_CONV2D) {
    lur_conv2d_desc *u = &d->u.conv2d;
    *w = (window){u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, &u->pad_top, &u->pad_left};
    return true;
  }
  lur_pool_desc *u = &d->u.pool;
  if (d->kind != LUR_OP_POOL || u->mode != LUR_POOL_MAX || !after_relu) return false;
  *w = (window){u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, &u->pad_top, &u->pad_left};
  return true;
}

/* Padding by `before`, and what follows from it behind an extent of x, stays smaller than the window. */
static bool stays_inside(int64_t x, int64_t y, int64_t before, int kernel, int stride) {
  const int64_t after = (y - 1) * stride + kernel - before - x;
  return before < kernel && after < kernel;
}

static bool reads(const lur_plan_op *op, int first, int value) {
  for (int k = first; k < op->desc.nx; k++) {
    if (op->x[k] == value) return true;
  }
  return false;
}

static bool can_pad(lur_plan_op *op, const lur_plan_op *pad, bool after_relu) {
  const int64_t *x = pad->desc.x[0].shape.dim, *y = op->desc.y.shape.dim, *before = pad->desc.u.pad.before;
  window w;
  if (reads(op, 1, pad->y) || !find_window(&op->desc, after_relu, &w)) return false;
  return stays_inside(x[1], y[1], *w.pad_top + before[1], w.kernel_h, w.stride_h) &&
         stays_inside(x[2], y[2], *w.pad_left + before[2], w.kernel_w, w.stride_w);
}

static bool comes_from_relu(const lur_plan *plan, int value) {
  const int at = plan->values[value].producer;
  return at >= 0 && plan->ops[at].desc.kind == LUR_OP_ACTIVATION &&
         plan->ops[at].desc.u.activation.function == LUR_RELU;
}

static bool move_into_readers(lur_plan *plan, int at) {
  const lur_plan_op *pad = &plan->ops[at];
  const int x = pad->x[0], y = pad->y;
  const bool after_relu = comes_from_relu(plan, x);
  if (!pads_image(&pad->desc) || plan->values[y].wanted || lur_plan_uses(plan, y) == 0) return false;
  for (int i = 0; i < plan->nops; i++) {
    if (reads(&plan->ops[i], 0, y) && !can_pad(&plan->ops[i], pad, after_relu)) return false;
  }
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    window w;
    if (!reads(op, 0, y) || !find_window(&op->desc, after_relu, &w)) continue;
    op->x[0] = x;
    op->desc.x[0] = plan->values[x].operand;
    *w.pad_top += (int)pad->desc.u.pad.before[1];
    *w.pad_left += (int)pad->desc.u.pad.before[2];
  }
  lur_plan_remove_op(plan, at);
  return true;
}

void lur_pass_pad(lur_plan *plan) {
  for (int i = 0; i < plan->nops;) i += !move_into_readers(plan, i);
}
