/* pass_split.c - marks the longest prefix that is frozen and deterministic: the same image gives the same values
 * there in every epoch, so it keeps no activations and can be computed once and stored. */
#include "plan.h"

static bool random_or_moving(const lur_op_desc *desc) {
  if (desc->kind == LUR_OP_DROPOUT) return desc->u.dropout.training;
  return desc->kind == LUR_OP_BATCHNORM && desc->u.batchnorm.batch;
}

void lur_pass_split(const lur_plan_target *target, lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    op->prefix = op->layer && !op->backward && !random_or_moving(&op->desc) && !lur_plan_op_learns(target, op);
    for (int k = 0; k < op->desc.nx && op->prefix; k++) {
      int producer = plan->values[op->x[k]].producer;
      if (producer >= 0 && !plan->ops[producer].prefix) op->prefix = false;
    }
  }
}
