/* emit.c - the model's nodes and the losses as values and ops of a plan. */
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

lur_status lur_plan_emit_model(const lur_plan_target *target, lur_plan *plan, bool training) {
  const lur_model *model = target->model;
  plan_emitter e = {
      .emitter = {.training = training,
                  .operand = operand_of,
                  .unbatched = is_unbatched,
                  .batch_statistics = batch_statistics,
                  .append = append},
      .target = target,
      .plan = plan};
  int *value_of = NULL;
  LUR_TRY(lur_alloc_items((size_t)model->nnodes, sizeof *value_of, &value_of));
  lur_status status = emit_inputs(target, plan, value_of);
  for (int i = 0; i < model->nnodes && status == LUR_OK; i++) {
    const lur_node *node = model->nodes[i];
    if (lur_node_is_input(node)) continue;
    int x[LUR_MAX_OPERANDS];
    for (int k = 0; k < node->nx; k++) x[k] = value_of[lur_model_node_at(model, node->x[k])];
    const int before = plan->nvalues;
    status = node->layer->kind->emit(node->layer, &e.emitter, node->nx, x, &value_of[i]);
    for (int v = before; v < plan->nvalues; v++) plan->values[v].frozen = target->frozen[i];
  }
  for (int i = 0; i < model->noutputs && status == LUR_OK; i++) {
    plan->outputs[i] = value_of[lur_model_node_at(model, model->outputs[i])];
  }
  free(value_of);
  return status;
}

/* ---- losses ---- */

/* Cross entropy is computed from logits where the output ends in the matching activation. */
static bool has_logits(const lur_plan *plan, int value, lur_loss_kind kind) {
  int producer = plan->values[value].producer;
  if (producer < 0) return false;
  const lur_op_desc *desc = &plan->ops[producer].desc;
  if (kind == LUR_CATEGORICAL_CROSSENTROPY) return desc->kind == LUR_OP_SOFTMAX;
  return kind == LUR_BINARY_CROSSENTROPY && desc->kind == LUR_OP_ACTIVATION &&
         desc->u.activation.function == LUR_SIGMOID;
}

static lur_status check_target(const lur_target_loss *loss, const lur_operand *predictions, const lur_operand *target) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  const lur_shape *p = &predictions->shape, *t = &target->shape;
  lur_loss_kind kind = loss->kind;
  const char *output = loss->output;
  if (p->ndim != 2) {
    return lur_fail(LUR_ESHAPE,
                    "loss of output '%s': predictions are %s (rows x classes expected: pool or flatten first)", output,
                    lur_shape_format(p, want));
  }
  bool ids = target->dtype == LUR_I32 && (t->ndim == 1 || (t->ndim == 2 && t->dim[1] == 1)) && t->dim[0] == p->dim[0] &&
             (kind == LUR_CATEGORICAL_CROSSENTROPY || (kind == LUR_BINARY_CROSSENTROPY && p->dim[1] == 1));
  bool rows =
      target->dtype == LUR_F32 && (lur_shape_equal(p, t) || (t->ndim == 1 && p->dim[1] == 1 && t->dim[0] == p->dim[0]));
  if (ids || rows) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "target of output '%s': %s %s (%s f32%s expected)", output, lur_shape_format(t, came),
                  lur_dtype_name(target->dtype), lur_shape_format(p, want),
                  kind == LUR_CATEGORICAL_CROSSENTROPY ? ", or one i32 class id per row," : "");
}

lur_status lur_plan_emit_loss(const lur_plan_target *target, lur_plan *plan, int i) {
  const lur_target_loss *loss = &target->losses[i];
  lur_plan_loss *made = &plan->losses[i];
  int output = plan->outputs[loss->output_index];
  bool logits = has_logits(plan, output, loss->kind);
  made->predictions = logits ? plan->ops[plan->values[output].producer].x[0] : output;
  made->sample_weight = -1;
  const lur_operand predictions = plan->values[made->predictions].operand;
  LUR_TRY(check_target(loss, &predictions, &plan->key.target[i]));
  LUR_TRY(lur_plan_add_value(plan, &plan->key.target[i], &made->target));
  int x[3] = {made->predictions, made->target, -1}, nx = 2;
  if (plan->key.sample_weight[i]) {
    lur_operand weight = {LUR_F32, {.ndim = 1, .dim = {predictions.shape.dim[0]}}};
    LUR_TRY(lur_plan_add_value(plan, &weight, &made->sample_weight));
    x[nx++] = made->sample_weight;
  }
  lur_op_desc desc = {.kind = LUR_OP_LOSS,
                      .name = loss->output,
                      .y = {LUR_F32, {.ndim = 1, .dim = {1}}},
                      .u.loss = {loss->kind, logits, loss->label_smoothing}};
  return lur_plan_add_op(plan, NULL, &desc, nx, x, 0, NULL, &made->y);
}
