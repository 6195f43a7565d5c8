/* plan.c - from a model and batch sizes to a plan: emit, losses, passes, planned ops, buffers. */
#include <stdlib.h>
#include <string.h>

#include "engine/run/run.h"

bool lur_run_trains(const lur_run *run, const lur_layer *layer) {
  for (int i = 0; i < run->model->nlayers; i++) {
    if (run->model->layers[i] == layer) return run->trains[i];
  }
  return false;
}

int lur_run_learned(const lur_run *run, const lur_layer *layer, int weight) {
  for (int i = 0; i < run->nlearned; i++) {
    if (run->learned[i].layer == layer && run->learned[i].weight == weight) return i;
  }
  return -1;
}

bool lur_run_trains_op(const lur_run *run, const lur_plan_op *op) {
  for (int k = 0; k < op->desc.nw; k++) {
    if (op->weights[k] >= 0 && lur_run_learned(run, op->layer, op->weights[k]) >= 0) return true;
  }
  return false;
}

/* ---- the model's nodes as values and ops ---- */

static lur_status emit_inputs(const lur_run *run, lur_plan *plan, int *value_of) {
  const lur_model *model = run->model;
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

static int node_at(const lur_model *model, const lur_node *node) {
  for (int i = 0; i < model->nnodes; i++) {
    if (model->nodes[i] == node) return i;
  }
  return -1;
}

static lur_status emit_model(const lur_run *run, lur_plan *plan, bool training) {
  const lur_model *model = run->model;
  lur_emitter emitter = {.plan = plan, .training = training, .run = run};
  int *value_of = NULL;
  LUR_TRY(lur_alloc_items((size_t)model->nnodes, sizeof *value_of, &value_of));
  lur_status status = emit_inputs(run, plan, value_of);
  for (int i = 0; i < model->nnodes && status == LUR_OK; i++) {
    const lur_node *node = model->nodes[i];
    if (lur_node_is_input(node)) continue;
    int x[LUR_MAX_OPERANDS];
    for (int k = 0; k < node->nx; k++) x[k] = value_of[node_at(model, node->x[k])];
    const int before = plan->nvalues;
    status = node->layer->kind->emit(node->layer, &emitter, node->nx, x, &value_of[i]);
    for (int v = before; v < plan->nvalues; v++) plan->values[v].frozen = run->frozen[i];
  }
  for (int i = 0; i < model->noutputs && status == LUR_OK; i++) {
    plan->outputs[i] = value_of[node_at(model, model->outputs[i])];
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
  return kind == LUR_BINARY_CROSSENTROPY && desc->kind == LUR_OP_ACTIVATION && desc->u.activation.function == LUR_SIGMOID;
}

static lur_status check_target(const lur_run *run, int i, const lur_operand *predictions, const lur_operand *target) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  const lur_shape *p = &predictions->shape, *t = &target->shape;
  lur_loss_kind kind = run->loss_kinds[i];
  const char *output = run->losses[i].output;
  if (p->ndim != 2) {
    return lur_fail(LUR_ESHAPE, "loss of output '%s': predictions are %s (rows x classes expected: pool or flatten first)",
                    output, lur_shape_format(p, want));
  }
  bool ids = target->dtype == LUR_I32 && (t->ndim == 1 || (t->ndim == 2 && t->dim[1] == 1)) && t->dim[0] == p->dim[0] &&
             (kind == LUR_CATEGORICAL_CROSSENTROPY || (kind == LUR_BINARY_CROSSENTROPY && p->dim[1] == 1));
  bool rows = target->dtype == LUR_F32 && (lur_shape_equal(p, t) || (t->ndim == 1 && p->dim[1] == 1 && t->dim[0] == p->dim[0]));
  if (ids || rows) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "target of output '%s': %s %s (%s f32%s expected)", output, lur_shape_format(t, came),
                  lur_dtype_name(target->dtype), lur_shape_format(p, want),
                  kind == LUR_CATEGORICAL_CROSSENTROPY ? ", or one i32 class id a row," : "");
}

static lur_status emit_loss(const lur_run *run, lur_plan *plan, int i) {
  const lur_loss *loss = &run->losses[i];
  lur_plan_loss *made = &plan->losses[i];
  int output = plan->outputs[run->loss_outputs[i]];
  bool logits = has_logits(plan, output, run->loss_kinds[i]);
  made->predictions = logits ? plan->ops[plan->values[output].producer].x[0] : output;
  made->sample_weight = -1;
  const lur_operand predictions = plan->values[made->predictions].operand;
  LUR_TRY(check_target(run, i, &predictions, &plan->key.target[i]));
  LUR_TRY(lur_plan_add_value(plan, &plan->key.target[i], &made->target));
  int x[3] = {made->predictions, made->target, -1}, nx = 2;
  if (plan->key.sample_weight[i]) {
    lur_operand weight = {LUR_F32, {.ndim = 1, .dim = {predictions.shape.dim[0]}}};
    LUR_TRY(lur_plan_add_value(plan, &weight, &made->sample_weight));
    x[nx++] = made->sample_weight;
  }
  lur_op_desc desc = {.kind = LUR_OP_LOSS,
                      .name = run->losses[i].output,
                      .y = {LUR_F32, {.ndim = 1, .dim = {1}}},
                      .u.loss = {run->loss_kinds[i], logits, loss->label_smoothing}};
  return lur_plan_add_op(plan, NULL, &desc, nx, x, 0, NULL, &made->y);
}

/* What the caller reads after forward. */
static void mark_wanted(lur_plan *plan, int noutputs) {
  bool outputs = plan->key.mode != LUR_MODE_EVALUATE && plan->key.mode != LUR_MODE_TRAIN;
  for (int i = 0; i < noutputs && outputs; i++) plan->values[plan->outputs[i]].wanted = true;
  for (int i = 0; i < plan->nlosses; i++) {
    plan->values[plan->losses[i].y].wanted = true;
    plan->values[plan->losses[i].predictions].wanted = true;
  }
}

/* ---- gradients ---- */

/* Marks values whose gradient is needed and ops that go backward. Not optional, so not a switchable pass. */
void lur_pass_gradients(const lur_run *run, lur_plan *plan) {
  for (int i = 0; i < run->model->ninputs; i++) {
    lur_value *input = &plan->values[plan->inputs[i]];
    input->needs_grad = run->options.input_gradients && input->operand.dtype == LUR_F32;
  }
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    lur_value *y = &plan->values[op->y];
    for (int k = 0; k < op->desc.nx; k++) y->needs_grad |= plan->values[op->x[k]].needs_grad;
    y->needs_grad |= lur_run_trains_op(run, op);
  }
  for (int i = 0; i < plan->nlosses; i++) {
    plan->values[plan->losses[i].y].reached = run->losses[i].weight != 0 || run->options.no_prune;
  }
  for (int i = 0; i < run->model->noutputs && plan->key.mode == LUR_MODE_FREE; i++) {
    plan->values[plan->outputs[i]].reached = true;
  }
  for (int i = plan->nops - 1; i >= 0; i--) {
    lur_plan_op *op = &plan->ops[i];
    const lur_value *y = &plan->values[op->y];
    op->backward = y->reached && y->needs_grad;
    if (!op->backward) continue;
    for (int k = 0; k < op->desc.nx; k++) {
      lur_value *x = &plan->values[op->x[k]];
      if (!x->needs_grad) continue;
      x->reached = true;
      op->desc.want_dx |= 1u << k;
    }
    for (int k = 0; k < op->desc.nw; k++) {
      if (op->weights[k] >= 0 && lur_run_learned(run, op->layer, op->weights[k]) >= 0) op->desc.want_dw |= 1u << k;
    }
  }
}

/* Which input gradients add to what a later op has written already. */
static void mark_adds(lur_plan *plan) {
  bool seeded = plan->key.mode == LUR_MODE_FREE; /* outputs' gradients come from the caller */
  for (int v = 0; v < plan->nvalues; v++) plan->values[v].grad_buffer = -1;
  /* grad_buffer serves as the "written" mark here: -2 written; arena.c replaces it. */
  for (int i = 0; i < LUR_MAX_OUTPUTS && seeded; i++) {
    if (plan->outputs[i] >= 0) plan->values[plan->outputs[i]].grad_buffer = -2;
  }
  for (int i = plan->nops - 1; i >= 0; i--) {
    lur_plan_op *op = &plan->ops[i];
    op->dx_add = 0;
    if (!op->backward) continue;
    for (int k = 0; k < op->desc.nx; k++) {
      if (!(op->desc.want_dx >> k & 1u)) continue;
      lur_value *x = &plan->values[op->x[k]];
      if (x->grad_buffer == -2) op->dx_add |= 1u << k;
      x->grad_buffer = -2;
    }
  }
}

/* ---- all together ---- */

static lur_status plan_ops(lur_run *run, lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    LUR_TRY(lur_op_plan(run->options.device, &op->desc, &op->op));
  }
  return LUR_OK;
}

static lur_status build(lur_run *run, lur_plan *plan) {
  const lur_compile_options *options = &run->options;
  bool training = plan->key.mode == LUR_MODE_TRAIN || plan->key.mode == LUR_MODE_FREE;
  bool losses = plan->key.mode == LUR_MODE_TRAIN || plan->key.mode == LUR_MODE_EVALUATE;
  LUR_TRY(emit_model(run, plan, training));
  plan->nlosses = losses ? options->nlosses : 0;
  for (int i = 0; i < plan->nlosses; i++) LUR_TRY(emit_loss(run, plan, i));
  LUR_TRY(lur_pass_precision(run, plan));
  mark_wanted(plan, run->model->noutputs);
  if (training) lur_pass_gradients(run, plan);
  if (!options->no_prune) lur_pass_prune(plan);
  if (!options->no_fold) {
    LUR_TRY(lur_pass_fold(run, plan));
    lur_pass_fuse(run, plan);
    lur_pass_separable(run, plan);
  }
  LUR_TRY(lur_pass_quantize(run, plan));
  mark_adds(plan);
  LUR_TRY(plan_ops(run, plan));
  LUR_TRY(lur_plan_alloc_host(run, plan));
  return lur_plan_arena(plan, !options->no_arena, !options->no_lifetimes, options->check ? LUR_GUARD : 0);
}

lur_status lur_plan_build(lur_run *run, const lur_plan_key *key, lur_plan **plan) {
  lur_plan *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  made->key = *key;
  for (int i = 0; i < LUR_MAX_OUTPUTS; i++) made->outputs[i] = -1;
  lur_status status = build(run, made);
  if (status != LUR_OK) {
    lur_plan_free(made);
    return status;
  }
  *plan = made;
  return LUR_OK;
}

lur_status lur_plan_check_kernels(lur_run *run) {
  lur_plan *plan = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *plan, &plan));
  for (int i = 0; i < LUR_MAX_INPUTS; i++) plan->key.rows[i] = 1;
  lur_status status = emit_model(run, plan, true);
  for (int i = 0; i < plan->nops && status == LUR_OK; i++) {
    const lur_op_desc *desc = &plan->ops[i].desc;
    if (lur_device_kernel(run->options.device, desc->kind)) continue;
    status = lur_fail(LUR_EUNSUPPORTED, "compile: op '%s' of layer '%s' has no %s kernel", lur_op_kind_name(desc->kind),
                      desc->name, lur_device_name(run->options.device));
  }
  lur_plan_free(plan);
  return status;
}
