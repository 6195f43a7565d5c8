/* ops.c - the lists of a plan: values, ops and buffers are appended, looked up, moved and removed. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* Makes room for one more item; *items keeps its content on failure. */
static lur_status grow(void **items, int count, int *room, size_t size) {
  if (count < *room) return LUR_OK;
  int more = *room ? *room * 2 : 64;
  void *bigger = realloc(*items, (size_t)more * size);
  if (!bigger) return lur_fail(LUR_ENOMEM, "no memory for a plan of %d entries", more);
  *items = bigger;
  *room = more;
  return LUR_OK;
}

lur_status lur_plan_add_value(lur_plan *plan, const lur_operand *operand, int *value) {
  LUR_TRY(lur_shape_check(&operand->shape));
  LUR_TRY(grow((void **)&plan->values, plan->nvalues, &plan->values_room, sizeof *plan->values));
  plan->values[plan->nvalues] = (lur_value){.operand = *operand, .producer = -1, .buffer = -1, .grad_buffer = -1};
  *value = plan->nvalues++;
  return LUR_OK;
}

lur_status lur_plan_add_op(lur_plan *plan, lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                           const int *weights, int *y) {
  LUR_TRY(grow((void **)&plan->ops, plan->nops, &plan->ops_room, sizeof *plan->ops));
  lur_plan_op op = {.desc = *desc, .layer = layer, .saved = -1};
  op.desc.name = layer ? layer->name : desc->name;
  op.desc.nx = nx;
  op.desc.nw = nw;
  op.desc.want_dx = op.desc.want_dw = 0;
  for (int i = 0; i < nx; i++) {
    op.x[i] = x[i];
    op.desc.x[i] = plan->values[x[i]].operand;
  }
  for (int i = 0; i < LUR_MAX_WEIGHTS; i++) {
    op.weights[i] = i < nw ? weights[i] : -1;
    if (op.weights[i] >= 0) op.desc.w[i] = (lur_operand){LUR_F32, layer->weights[weights[i]].shape};
  }
  LUR_TRY(lur_plan_add_value(plan, &desc->y, &op.y));
  plan->values[op.y].producer = plan->nops;
  plan->values[op.y].unbatched = true;
  for (int i = 0; i < nx; i++) plan->values[op.y].unbatched &= plan->values[x[i]].unbatched;
  /* Each dropout of a model draws its own mask, the same one in every plan. */
  if (desc->kind == LUR_OP_DROPOUT) op.desc.u.dropout.stream = (uint32_t)plan->ndropouts++;
  plan->ops[plan->nops++] = op;
  *y = op.y;
  return LUR_OK;
}

lur_status lur_plan_add_buffer(lur_plan *plan, const lur_buffer *buffer, int *index) {
  LUR_TRY(grow((void **)&plan->buffers, plan->nbuffers, &plan->buffers_room, sizeof *plan->buffers));
  plan->buffers[plan->nbuffers] = *buffer;
  *index = plan->nbuffers++;
  return LUR_OK;
}

void lur_plan_free(lur_plan *plan) {
  if (!plan) return;
  for (int i = 0; i < plan->nops; i++) {
    lur_op_release(&plan->ops[i].op);
    lur_folded_free(plan->ops[i].folded);
    lur_quantized_free(plan->ops[i].quantized);
  }
  free(plan->ops);
  free(plan->values);
  free(plan->buffers);
  free(plan);
}

int lur_plan_uses(const lur_plan *plan, int value) {
  int uses = 0;
  for (int i = 0; i < plan->nops; i++) {
    for (int k = 0; k < plan->ops[i].desc.nx; k++) uses += plan->ops[i].x[k] == value;
  }
  return uses;
}

lur_plan_op *lur_plan_sole_producer(lur_plan *plan, int value) {
  int producer = plan->values[value].producer;
  if (producer < 0 || plan->values[value].wanted || lur_plan_uses(plan, value) != 1) return NULL;
  return &plan->ops[producer];
}

bool lur_plan_op_learns(const lur_plan_target *target, const lur_plan_op *op) {
  for (int k = 0; k < op->desc.nw; k++) {
    if (op->weights[k] >= 0 && lur_target_learned(target, op->layer, op->weights[k]) >= 0) return true;
  }
  return false;
}

/* ---- rewriting ---- */

/* Looks producers up again after ops have moved. */
static void renumber(lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) plan->values[plan->ops[i].y].producer = i;
}

void lur_plan_remove_op(lur_plan *plan, int op) {
  plan->values[plan->ops[op].y].producer = -1;
  lur_folded_free(plan->ops[op].folded);
  lur_quantized_free(plan->ops[op].quantized);
  memmove(&plan->ops[op], &plan->ops[op + 1], (size_t)(plan->nops - op - 1) * sizeof *plan->ops);
  plan->nops--;
  renumber(plan);
}

void lur_plan_move_op(lur_plan *plan, int op, int after) {
  lur_plan_op moved = plan->ops[op];
  memmove(&plan->ops[op], &plan->ops[op + 1], (size_t)(after - op) * sizeof *plan->ops);
  plan->ops[after] = moved;
  renumber(plan);
}

void lur_plan_raise_last(lur_plan *plan, int at) {
  const int last = plan->nops - 1;
  lur_plan_op raised = plan->ops[last];
  memmove(&plan->ops[at + 1], &plan->ops[at], (size_t)(last - at) * sizeof *plan->ops);
  plan->ops[at] = raised;
  renumber(plan);
}

void lur_plan_take_output(lur_plan *plan, lur_plan_op *op, int gone) {
  int y = plan->ops[gone].y;
  plan->values[op->y].producer = -1;
  op->y = y;
  op->backward |= plan->ops[gone].backward;
  op->desc.y = plan->values[y].operand;
  lur_plan_remove_op(plan, gone); /* looks producers up again */
}
