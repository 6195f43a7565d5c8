/* pass_prune.c - takes out ops that nothing wanted depends on: outputs nobody asked for, a softmax whose loss reads
 * the logits. (Backward of zero-weight losses and of what nothing trainable lies behind never enters the plan:
 * plan.c marks it.) */
#include "plan.h"

void lur_pass_prune(lur_plan *plan) {
  for (int i = plan->nops - 1; i >= 0; i--) {
    int y = plan->ops[i].y;
    if (plan->values[y].wanted || lur_plan_uses(plan, y) > 0) continue;
    lur_plan_remove_op(plan, i); /* from the end: its inputs' producers come later in this loop */
  }
}
