/* pass_gradients.c - marks the values whose gradient is needed and the ops that go backward: those between a loss with
 * a weight, or an output whose gradient the caller gives, and something trainable. */
#include "plan.h"

void lur_pass_gradients(const lur_plan_target *target, lur_plan *plan) {
  for (int i = 0; i < target->model->ninputs; i++) {
    lur_value *input = &plan->values[plan->inputs[i]];
    input->needs_grad = target->input_gradients && input->operand.dtype == LUR_F32;
  }
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    lur_value *y = &plan->values[op->y];
    const unsigned through = lur_op_gradients(&op->desc);
    for (int k = 0; k < op->desc.nx; k++) y->needs_grad |= (through >> k & 1u) && plan->values[op->x[k]].needs_grad;
    y->needs_grad |= lur_plan_op_learns(target, op);
  }
  for (int i = 0; i < plan->nlosses; i++) {
    plan->values[plan->losses[i].y].reached = target->losses[i].weight != 0 || target->no_prune;
  }
  for (int i = 0; i < target->model->noutputs && plan->key.mode == LUR_MODE_FREE; i++) {
    plan->values[plan->outputs[i]].reached = true;
  }
  for (int i = plan->nops - 1; i >= 0; i--) {
    lur_plan_op *op = &plan->ops[i];
    const lur_value *y = &plan->values[op->y];
    op->backward = y->reached && y->needs_grad;
    if (!op->backward) continue;
    for (int k = 0; k < op->desc.nx; k++) {
      lur_value *x = &plan->values[op->x[k]];
      if (!x->needs_grad || !(lur_op_gradients(&op->desc) >> k & 1u)) continue;
      x->reached = true;
      op->desc.want_dx |= 1u << k;
    }
    for (int k = 0; k < op->desc.nw; k++) {
      if (op->weights[k] >= 0 && lur_target_learned(target, op->layer, op->weights[k]) >= 0)
        op->desc.want_dw |= 1u << k;
    }
  }
}
