/* pass_fold.c - a batch norm on moving statistics becomes part of the convolution or dense layer before it, whose
 * weights are then folded ones (folded.c). Neither op may go backward. */
#include "engine/tensor/tensor.h"
#include "plan.h"

static bool may_fold(const lur_plan_op *op) {
  const lur_op_desc *d = &op->desc;
  bool conv = d->kind == LUR_OP_CONV2D || d->kind == LUR_OP_DEPTHWISE_CONV2D;
  if (!conv && d->kind != LUR_OP_DENSE) return false;
  return !op->backward && !op->folded && d->nx == 1 && !(conv ? d->u.conv2d.relu : d->u.dense.relu);
}

static lur_status fold_one(const lur_plan_target *target, lur_plan *plan, int at, bool *folded) {
  lur_plan_op *norm = &plan->ops[at];
  if (norm->desc.kind != LUR_OP_BATCHNORM || norm->desc.u.batchnorm.batch || norm->backward || norm->desc.nx != 1)
    return LUR_OK;
  lur_plan_op *conv = lur_plan_sole_producer(plan, norm->x[0]);
  if (!conv || !may_fold(conv)) return LUR_OK;
  lur_folded *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  *made = (lur_folded){.conv = conv->layer, .norm = norm->layer, .epsilon = norm->desc.u.batchnorm.epsilon,
                       .kernel_weight = conv->weights[0], .bias = conv->desc.nw > 1 ? conv->weights[1] : -1};
  const lur_shape *kernel = &conv->desc.w[0].shape, *mean = &norm->desc.w[2].shape;
  lur_status status = lur_tensor_new(target->model->context, target->device, LUR_F32, kernel, &made->kernel);
  if (status == LUR_OK) status = lur_tensor_new(target->model->context, target->device, LUR_F32, mean, &made->shift);
  if (status != LUR_OK) {
    lur_folded_free(made);
    return status;
  }
  conv->folded = made;
  conv->desc.nw = 2;
  conv->desc.w[1] = (lur_operand){LUR_F32, *mean};
  lur_plan_take_output(plan, conv, at);
  *folded = true;
  return LUR_OK;
}

lur_status lur_pass_fold(const lur_plan_target *target, lur_plan *plan) {
  for (int i = 0; i < plan->nops;) {
    bool folded = false;
    LUR_TRY(fold_one(target, plan, i, &folded));
    if (!folded) i++;
  }
  return LUR_OK;
}
