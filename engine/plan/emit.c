/* emit.c - nodes as values and ops of a plan: those of the model, and for emit_loss.c those of losses. */
#include "engine/graph/emit.h"

#include <stdlib.h>

#include "plan.h"

/* ---- the emitter that appends to a plan ---- */

typedef struct plan_emitter {
  lur_emitter emitter; /* first: emit functions see only this */
  const lur_plan_target *target;
  lur_plan *plan;
} plan_emitter;

static const lur_operand *operand_of(const lur_emitter *emitter, int value) {
  return &((const plan_emitter *)emitter)->plan->values[value].operand;
}

static bool is_unbatched(const lur_emitter *emitter, int value) {
  return ((const plan_emitter *)emitter)->plan->values[value].unbatched;
}

static bool batch_statistics(const lur_emitter *emitter, const lur_layer *layer) {
  const lur_plan_target *target = ((const plan_emitter *)emitter)->target;
  return target->batchnorm_batch || lur_target_trains(target, layer);
}

static lur_status append(lur_emitter *emitter, lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                         const int *weights, int *y) {
  return lur_plan_add_op(((plan_emitter *)emitter)->plan, layer, desc, nx, x, nw, weights, y);
}

/* ---- the model ---- */

static lur_status emit_inputs(const lur_plan_target *target, lur_plan *plan, int *value_of) {
  const lur_model *model = target->model;
  for (int i = 0; i < model->ninputs; i++) {
    const lur_node *node = model->inputs[i];
    lur_operand operand = {node->dtype, {.ndim = node->sample.ndim + 1, .dim = {plan->key.rows[i]}}};
    for (int d = 0; d < node->sample.ndim; d++) operand.shape.dim[d + 1] = node->sample.dim[d];
    LUR_TRY(lur_plan_add_value(plan, &operand, &plan->inputs[i]));
    plan->values[plan->inputs[i]].frozen = true;
    for (int k = 0; k < model->nnodes; k++) {
      if (model->nodes[k] == node) value_of[k] = plan->inputs[i];
    }
  }
  return LUR_OK;
}

lur_status lur_plan_emit_nodes(const lur_plan_target *target, lur_plan *plan, const lur_model *model, bool training,
                               int *value_of) {
  plan_emitter e = {
      .emitter = {.training = training,
                  .operand = operand_of,
                  .unbatched = is_unbatched,
                  .batch_statistics = batch_statistics,
                  .append = append},
      .target = target,
      .plan = plan};
  for (int i = 0; i < model->nnodes; i++) {
    const lur_node *node = model->nodes[i];
    if (lur_node_is_input(node)) continue;
    int x[LUR_MAX_OPERANDS];
    for (int k = 0; k < node->nx; k++) x[k] = value_of[lur_model_node_at(model, node->x[k])];
    const int before = plan->nvalues;
    LUR_TRY(node->layer->kind->emit(node->layer, &e.emitter, node->nx, x, &value_of[i]));
    for (int v = before; v < plan->nvalues && model == target->model; v++) plan->values[v].frozen = target->frozen[i];
  }
  return LUR_OK;
}

lur_status lur_plan_emit_model(const lur_plan_target *target, lur_plan *plan, bool training) {
  const lur_model *model = target->model;
  int *value_of = NULL;
  LUR_TRY(lur_alloc_items((size_t)model->nnodes, sizeof *value_of, &value_of));
  lur_status status = emit_inputs(target, plan, value_of);
  if (status == LUR_OK) status = lur_plan_emit_nodes(target, plan, model, training, value_of);
  for (int i = 0; i < model->noutputs && status == LUR_OK; i++) {
    plan->outputs[i] = value_of[lur_model_node_at(model, model->outputs[i])];
  }
  plan->loss_ops = plan->nops;
  free(value_of);
  return status;
}
