/* emit.c - growing a plan: values, ops, and what a layer's emit function may ask.
 *
 * The same functions serve graph.c, which emits one application with one row to learn its shape, and plan.c, which
 * emits a whole model. */
#include <stdlib.h>
#include <string.h>

#include "engine/plan/plan.h"
#include "engine/run/run.h"

/* Makes room for one more item; *items keeps its old content on failure. */
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
  if (nx > LUR_MAX_OPERANDS) {
    return lur_fail(LUR_EARG, "%s '%s': %d inputs (at most %d)", lur_op_kind_name(desc->kind),
                    layer ? layer->name : "loss", nx, LUR_MAX_OPERANDS);
  }
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
  /* Each dropout of a model draws a mask of its own, the same one in every plan. */
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
  if (plan->device) {
    lur_recording_free(plan->device, &plan->recording);
    lur_device_free_host(plan->device, plan->host);
  }
  free(plan);
}

int lur_plan_uses(const lur_plan *plan, int value) {
  int uses = 0;
  for (int i = 0; i < plan->nops; i++) {
    for (int k = 0; k < plan->ops[i].desc.nx; k++) uses += plan->ops[i].x[k] == value;
  }
  return uses;
}

/* Positions moved: producers are looked up again. */
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

/* ---- what emit functions use (declared in internal.h) ---- */

const lur_shape *lur_emit_shape(const lur_emitter *emitter, int value) {
  return &emitter->plan->values[value].operand.shape;
}

lur_dtype lur_emit_dtype(const lur_emitter *emitter, int value) { return emitter->plan->values[value].operand.dtype; }

bool lur_emit_training(const lur_emitter *emitter) { return emitter->training; }

bool lur_emit_batch_statistics(const lur_emitter *emitter, const lur_layer *layer) {
  if (!emitter->training || !emitter->run) return false;
  return emitter->run->options.batchnorm_batch || lur_run_trains(emitter->run, layer);
}

lur_status lur_emit(lur_emitter *emitter, const lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                    const int *weights, int *y) {
  /* The plan borrows the layer; the model that both hang on keeps it alive. */
  return lur_plan_add_op(emitter->plan, (lur_layer *)(uintptr_t)layer, desc, nx, x, nw, weights, y);
}

void lur_emit_like(const lur_emitter *emitter, int x, lur_op_desc *desc) {
  desc->y = emitter->plan->values[x].operand;
}
