/* loss_graph.c - losses that are graphs: models of their own with the inputs "prediction" and, if they use it,
 * "target", and one output, whose mean over each sample is the sample's loss. A graph knows nothing of the model that
 * it is a loss of, so it can be saved, and used for any output of the same shape. */
#include <string.h>

#include "graph.h"

static const char *const input_names[] = {"prediction", "target"};

static const lur_node *find_input(const lur_model *graph, const char *name) {
  for (int i = 0; i < graph->ninputs; i++) {
    if (strcmp(graph->inputs[i]->layer->name, name) == 0) return graph->inputs[i];
  }
  return NULL;
}

const lur_node *lur_loss_graph_prediction(const lur_model *graph) { return find_input(graph, input_names[0]); }
const lur_node *lur_loss_graph_target(const lur_model *graph) { return find_input(graph, input_names[1]); }

lur_status lur_loss_graph_check(const lur_model *graph) {
  char shape[LUR_SHAPE_TEXT];
  const lur_node *prediction = lur_loss_graph_prediction(graph), *loss = graph->outputs[0];
  for (int i = 0; i < graph->ninputs; i++) {
    const char *name = graph->inputs[i]->layer->name;
    if (strcmp(name, input_names[0]) == 0 || strcmp(name, input_names[1]) == 0) continue;
    return lur_fail(LUR_EARG,
                    "it reads input '%s' of a model: a loss is computed from its prediction and its target alone (make "
                    "it an output of the model, and give that output the loss \"output\")",
                    name);
  }
  if (graph->nnodes > LUR_MAX_LOSS_NODES)
    return lur_fail(LUR_EARG, "it has %d nodes (at most %d expected)", graph->nnodes, LUR_MAX_LOSS_NODES);
  if (graph->noutputs != 1)
    return lur_fail(LUR_EARG, "it has %d outputs (one node, the loss, expected)", graph->noutputs);
  if (!prediction || lur_model_node_at(graph, prediction) < 0) {
    return lur_fail(LUR_EARG,
                    "its node, '%s' of shape %s, does not depend on the prediction, so nothing would be learned",
                    loss->layer->name, lur_shape_format(&loss->sample, shape));
  }
  if (loss->dtype == LUR_F32) return LUR_OK;
  return lur_fail(LUR_ETYPE, "its node '%s' is %s (f32 expected)", loss->layer->name, lur_dtype_name(loss->dtype));
}

lur_status lur_loss_graph_new(lur_node *prediction, lur_node *target, lur_node *loss, lur_model **graph) {
  const char *name = "loss";
  lur_model *found = NULL, *made = NULL;
  lur_context *context = lur_node_context(loss);
  LUR_TRY(lur_model_new(context, 0, NULL, 1, &name, &loss, &found)); /* its inputs: those that it reads */
  lur_status status = lur_loss_graph_check(found);
  if (status == LUR_OK && lur_model_node_at(found, prediction) < 0)
    status = lur_fail(LUR_EARG, "it reads another input 'prediction' than the one it was given");
  bool reads_target = status == LUR_OK && lur_loss_graph_target(found);
  if (reads_target && lur_model_node_at(found, target) < 0)
    status = lur_fail(LUR_EARG, "it reads another input 'target' than the one it was given");
  lur_model_release(found);
  lur_node *inputs[2] = {prediction, target};
  if (status == LUR_OK) status = lur_model_new(context, reads_target ? 2 : 1, inputs, 1, &name, &loss, &made);
  if (status == LUR_OK) *graph = made;
  return status;
}

bool lur_loss_graph_compares_classes(const lur_model *graph) {
  const lur_node *prediction = lur_loss_graph_prediction(graph), *target = lur_loss_graph_target(graph);
  if (!target || target->dtype != LUR_I32 || target->sample.ndim != 0 || prediction->sample.ndim != 1) return false;
  const int64_t classes = prediction->sample.dim[0];
  for (int i = 0; i < graph->nnodes && classes > 1; i++) {
    const lur_node *node = graph->nodes[i];
    if (strcmp(node->layer->kind->name, "one_hot") == 0 && node->x[0] == target && node->sample.dim[0] == classes)
      return true;
  }
  return false;
}

/* ---- mean absolute error ---- */

/* Applies a new layer of that kind; name: the layer's. Releases the layer: the node keeps it. */
static lur_status apply(lur_context *context, const char *kind, const char *name, const char *function, int n,
                        lur_node *const *x, lur_node **y) {
  lur_layer *layer = NULL;
  const lur_setting settings[2] = {{.name = "name", .type = LUR_STRING, .string = name},
                                   {.position = 1, .type = LUR_STRING, .string = function}};
  LUR_TRY(lur_layer_new(context, kind, settings, function ? 2 : 1, &layer));
  lur_status status = lur_layer_apply(layer, n, x, y);
  lur_layer_release(layer);
  return status;
}

lur_status lur_loss_graph_absolute(lur_context *context, const lur_shape *sample, lur_model **graph) {
  lur_node *x[2] = {NULL, NULL}, *difference = NULL, *loss = NULL;
  lur_status status = lur_input(context, input_names[0], LUR_F32, sample, &x[0]);
  if (status == LUR_OK) status = lur_input(context, input_names[1], LUR_F32, sample, &x[1]);
  if (status == LUR_OK) status = apply(context, "sub", "difference", NULL, 2, x, &difference);
  if (status == LUR_OK) status = apply(context, "activation", "absolute", "abs", 1, &difference, &loss);
  if (status == LUR_OK) status = lur_loss_graph_new(x[0], x[1], loss, graph);
  lur_node_release(loss);
  lur_node_release(difference);
  lur_node_release(x[1]);
  lur_node_release(x[0]);
  return status;
}
