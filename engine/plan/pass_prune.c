/* pass_prune.c - removes ops that no wanted value depends on: unused outputs, a softmax whose loss reads the logits.
 * (The backward of losses with weight 0, and of ops below which nothing is trainable, never enters the plan: see
 * pass_gradients.c.) */
#include "plan.h"

void lur_pass_prune(lur_plan *plan) {
  for (int i = plan->nops - 1; i >= 0; i--) {
    int y = plan->ops[i].y;
    if (plan->values[y].wanted || lur_plan_uses(plan, y) > 0) continue;
    lur_plan_remove_op(plan, i); /* from the end: the producers of its inputs come later in this loop */
  }
}
