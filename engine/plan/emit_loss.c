/* emit_loss.c - the losses of a target as values and ops of a plan: an op of its own, or the nodes of a graph and the
 * mean of what they compute. */
#include <stdlib.h>

#include "plan.h"

/* The value of a loss's sample weights. */
static lur_status add_weights(lur_plan *plan, lur_plan_loss *made) {
  const lur_operand weights = {LUR_F32, {.ndim = 1, .dim = {made->rows}}};
  return lur_plan_add_value(plan, &weights, &made->sample_weight);
}

/* ---- losses that are an op ---- */

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

static lur_status emit_op(const lur_plan_target *target, lur_plan *plan, int i) {
  const lur_target_loss *loss = &target->losses[i];
  lur_plan_loss *made = &plan->losses[i];
  int output = plan->outputs[loss->output_index];
  bool logits = has_logits(plan, output, loss->kind);
  made->predictions = logits ? plan->ops[plan->values[output].producer].x[0] : output;
  const lur_operand predictions = plan->values[made->predictions].operand;
  LUR_TRY(check_target(loss, &predictions, &plan->key.target[i]));
  LUR_TRY(lur_plan_add_value(plan, &plan->key.target[i], &made->target));
  int x[3] = {made->predictions, made->target, -1}, nx = 2;
  if (plan->key.sample_weight[i]) {
    LUR_TRY(add_weights(plan, made));
    x[nx++] = made->sample_weight;
  }
  lur_op_desc desc = {.kind = LUR_OP_LOSS,
                      .name = loss->output,
                      .y = {LUR_F32, {.ndim = 1, .dim = {1}}},
                      .u.loss = {loss->kind, logits, loss->label_smoothing}};
  return lur_plan_add_op(plan, NULL, &desc, nx, x, 0, NULL, &made->y);
}

/* ---- losses that are a graph, or the output itself ---- */

/* Equal but for extents of 1 after the rows: n targets fit n x 1 predictions, and the other way round. */
static bool fits(const lur_shape *a, const lur_shape *b) {
  int i = 1, k = 1;
  if (a->ndim < 1 || b->ndim < 1 || a->dim[0] != b->dim[0]) return false;
  for (;;) {
    while (i < a->ndim && a->dim[i] == 1) i++;
    while (k < b->ndim && b->dim[k] == 1) k++;
    if (i == a->ndim || k == b->ndim) return i == a->ndim && k == b->ndim;
    if (a->dim[i++] != b->dim[k++]) return false;
  }
}

/* The operand that the graph reads as its target. */
static lur_operand target_operand(const lur_node *node, int64_t rows) {
  lur_operand operand = {node->dtype, {.ndim = node->sample.ndim + 1, .dim = {rows}}};
  for (int i = 0; i < node->sample.ndim; i++) operand.shape.dim[i + 1] = node->sample.dim[i];
  return operand;
}

static lur_status check_graph_target(const lur_target_loss *loss, const lur_operand *want, const lur_operand *came) {
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  if (want->dtype == came->dtype && fits(&want->shape, &came->shape)) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "target of output '%s': %s %s (%s %s expected%s)", loss->output,
                  lur_shape_format(&came->shape, a), lur_dtype_name(came->dtype), lur_shape_format(&want->shape, b),
                  lur_dtype_name(want->dtype),
                  loss->is_custom ? " by its loss: see the option 'target' of compile" : "");
}

/* y = sum_i w_i * mean(x_i) / n over the n samples of x; without sample weights, the mean of all elements. */
static lur_status emit_mean(const lur_target_loss *loss, lur_plan *plan, lur_plan_loss *made, bool weighted, int x) {
  const lur_shape shape = plan->values[x].operand.shape;
  lur_op_desc mean = {.kind = LUR_OP_REDUCE, .name = loss->output, .u.reduce = {LUR_MEAN, 0}};
  if (weighted) {
    lur_op_desc product = {.kind = LUR_OP_BINARY, .name = loss->output, .u.binary = {LUR_MUL, false}};
    product.y = mean.y = (lur_operand){LUR_F32, {.ndim = 1, .dim = {shape.dim[0]}}};
    mean.u.reduce.axes = (1u << shape.ndim) - 2u;
    if (shape.ndim > 1) LUR_TRY(lur_plan_add_op(plan, NULL, &mean, 1, &x, 0, NULL, &x));
    LUR_TRY(add_weights(plan, made));
    LUR_TRY(lur_plan_add_op(plan, NULL, &product, 2, (const int[]){x, made->sample_weight}, 0, NULL, &x));
  }
  mean.u.reduce.axes = (1u << plan->values[x].operand.shape.ndim) - 1u;
  mean.y = (lur_operand){LUR_F32, {.ndim = 1, .dim = {1}}};
  return lur_plan_add_op(plan, NULL, &mean, 1, &x, 0, NULL, &made->y);
}

/* *loss: the value of the graph's output. */
static lur_status emit_nodes(const lur_plan_target *target, lur_plan *plan, int i, int *loss) {
  const lur_model *graph = target->losses[i].graph;
  const lur_node *prediction = lur_loss_graph_prediction(graph), *node = lur_loss_graph_target(graph);
  int *value_of = NULL;
  if (node) {
    const lur_operand operand = target_operand(node, plan->losses[i].rows);
    LUR_TRY(lur_plan_add_value(plan, &operand, &plan->losses[i].target));
  }
  LUR_TRY(lur_alloc_items((size_t)graph->nnodes, sizeof *value_of, &value_of));
  value_of[lur_model_node_at(graph, prediction)] = *loss;
  if (node) value_of[lur_model_node_at(graph, node)] = plan->losses[i].target;
  lur_status status = lur_plan_emit_nodes(target, plan, graph, plan->key.mode == LUR_MODE_TRAIN, value_of);
  if (status == LUR_OK) *loss = value_of[lur_model_node_at(graph, graph->outputs[0])];
  free(value_of);
  return status == LUR_OK ? LUR_OK : lur_blame(status, "loss of output '%s'", target->losses[i].output);
}

lur_status lur_plan_emit_loss_graph(const lur_plan_target *target, lur_plan *plan, int i) {
  const lur_target_loss *loss = &target->losses[i];
  lur_plan_loss *made = &plan->losses[i];
  int value = plan->outputs[loss->output_index];
  made->predictions = loss->has_accuracy ? value : -1;
  if (loss->form == LUR_LOSS_GRAPH) LUR_TRY(emit_nodes(target, plan, i, &value));
  return emit_mean(loss, plan, made, plan->key.sample_weight[i], value);
}

/* ---- both ---- */

lur_status lur_plan_emit_loss(const lur_plan_target *target, lur_plan *plan, int i) {
  const lur_target_loss *loss = &target->losses[i];
  const int64_t rows = plan->values[plan->outputs[loss->output_index]].operand.shape.dim[0];
  plan->losses[i] = (lur_plan_loss){-1, -1, -1, -1, rows};
  if (loss->form == LUR_LOSS_OP) return emit_op(target, plan, i);
  if (lur_loss_needs_target(loss)) {
    const lur_operand want = target_operand(lur_loss_graph_target(loss->graph), rows);
    LUR_TRY(check_graph_target(loss, &want, &plan->key.target[i]));
  }
  return lur_plan_emit_loss_graph(target, plan, i);
}
