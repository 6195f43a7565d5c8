/* pass_separable.c - where nothing goes backward, the two halves of a separable convolution become one op. */
#include "plan.h"

static bool is_pointwise(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  return d->kind == LUR_OP_CONV2D && u->kernel_h == 1 && u->kernel_w == 1 && u->stride_h == 1 && u->stride_w == 1 &&
         u->pad_top == 0 && u->pad_left == 0 && d->nw == 2 && d->y.dtype == LUR_F32;
}

/* The depthwise convolution of a separable layer becomes part of the 1x1 convolution that alone reads it: the values in
   between are never stored. */
static bool fuse_depthwise_into_pointwise(lur_plan *plan, const lur_device *device, int at) {
  lur_plan_op *op = &plan->ops[at];
  if (!is_pointwise(&op->desc) || op->backward || !device->backend->separable(device, &op->desc)) return false;
  const lur_plan_op *depthwise = lur_plan_sole_producer(plan, op->x[0]);
  if (!depthwise || depthwise->desc.kind != LUR_OP_DEPTHWISE_CONV2D || depthwise->layer != op->layer) return false;
  const lur_op_desc *d = &depthwise->desc;
  if (depthwise->folded || d->nx != 1 || d->nw != 1 || d->u.conv2d.relu) return false;
  const bool relu = op->desc.u.conv2d.relu;
  op->desc.kind = LUR_OP_SEPARABLE_CONV2D;
  op->desc.u.conv2d = d->u.conv2d;
  op->desc.u.conv2d.relu = relu;
  op->x[0] = depthwise->x[0];
  op->desc.x[0] = d->x[0];
  op->desc.nw = 3;
  op->desc.w[2] = d->w[0];
  op->weights[2] = depthwise->weights[0];
  lur_plan_remove_op(plan, (int)(depthwise - plan->ops));
  return true;
}

/* With int8 the halves stay separate: the values between them are the ones that are quantized. */
void lur_pass_separable(const lur_plan_target *target, lur_plan *plan) {
  const lur_device *device = target->device;
  if (!device->backend->separable || target->precision == LUR_PRECISION_INT8) return;
  for (int i = 0; i < plan->nops;) i += !fuse_depthwise_into_pointwise(plan, device, i);
}
