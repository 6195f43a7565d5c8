/* model.c - a graph with named inputs and outputs, and the order of its layers.
 *
 * The order is that of Keras's model.layers (keras/engine/topology.py, Container, 2.0.6): "layers[105:]" of a paper
 * or a script then means the same layers here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

/* ---- the walk ---- */

typedef struct visit { /* one node on the walk's stack */
  lur_node *node;
  int next; /* input to look at next */
} visit;

typedef struct walk {
  int nnodes, room, nstack, stack_room, nlayers, layers_room;
  lur_node **nodes; /* post-order: inputs before users */
  visit *stack;
  lur_layer **layers; /* by first visit */
} walk;

static lur_status room_for_one(void **items, int count, int *room, size_t size) {
  if (count < *room) return LUR_OK;
  int more = *room ? 2 * *room : 256;
  void *bigger = realloc(*items, (size_t)more * size);
  if (!bigger) return lur_fail(LUR_ENOMEM, "no memory for a graph of %d nodes", more);
  *items = bigger;
  *room = more;
  return LUR_OK;
}

static int position(void *const *items, int n, const void *item) {
  for (int i = 0; i < n; i++) {
    if (items[i] == item) return i;
  }
  return -1;
}

int lur_model_node_at(const lur_model *model, const lur_node *node) {
  return position((void *const *)model->nodes, model->nnodes, node);
}

static lur_status enter(walk *w, lur_node *node) {
  LUR_TRY(room_for_one((void **)&w->stack, w->nstack, &w->stack_room, sizeof *w->stack));
  w->stack[w->nstack++] = (visit){node, 0};
  if (position((void *const *)w->layers, w->nlayers, node->layer) >= 0) return LUR_OK;
  LUR_TRY(room_for_one((void **)&w->layers, w->nlayers, &w->layers_room, sizeof *w->layers));
  w->layers[w->nlayers++] = node->layer;
  return LUR_OK;
}

/* Depth first from one output, without recursion; every node is visited once. */
static lur_status walk_from(walk *w, lur_node *output) {
  if (position((void *const *)w->nodes, w->nnodes, output) >= 0) return LUR_OK;
  LUR_TRY(enter(w, output));
  while (w->nstack > 0) {
    visit *top = &w->stack[w->nstack - 1];
    if (top->next < top->node->nx) {
      lur_node *input = top->node->x[top->next++];
      if (position((void *const *)w->nodes, w->nnodes, input) < 0) LUR_TRY(enter(w, input));
      continue;
    }
    lur_node *done = top->node;
    w->nstack--;
    if (position((void *const *)w->nodes, w->nnodes, done) >= 0) continue;
    LUR_TRY(room_for_one((void **)&w->nodes, w->nnodes, &w->room, sizeof *w->nodes));
    w->nodes[w->nnodes++] = done;
  }
  return LUR_OK;
}

/* ---- order ---- */

typedef struct ranked {
  void *item;
  int depth, visit;
} ranked;

static int by_depth(const void *a, const void *b) {
  const ranked *p = a, *q = b;
  if (p->depth != q->depth) return p->depth > q->depth ? -1 : 1;
  return p->visit - q->visit;
}

/* Longest distance to an output, layer by layer: all applications of a layer count as its deepest one. */
static void find_depths(const walk *w, int *node_depth, int *layer_depth) {
  for (int i = w->nnodes - 1; i >= 0; i--) {
    const lur_node *node = w->nodes[i];
    int layer = position((void *const *)w->layers, w->nlayers, node->layer);
    if (node_depth[i] < layer_depth[layer]) node_depth[i] = layer_depth[layer];
    layer_depth[layer] = node_depth[i];
    for (int k = 0; k < node->nx; k++) {
      int input = position((void *const *)w->nodes, w->nnodes, node->x[k]);
      if (node_depth[input] < node_depth[i] + 1) node_depth[input] = node_depth[i] + 1;
    }
  }
}

static lur_status sort_layers(lur_model *model, const walk *w) {
  size_t nodes = (size_t)w->nnodes, layers = (size_t)w->nlayers;
  int *depths = NULL;
  ranked *order = NULL;
  lur_status status = lur_alloc_items(nodes + layers, sizeof *depths, &depths);
  if (status == LUR_OK) status = lur_alloc_items(layers, sizeof *order, &order);
  if (status == LUR_OK) status = lur_alloc_items(layers, sizeof *model->layers, &model->layers);
  if (status == LUR_OK) status = lur_alloc_items(layers, sizeof *model->layer_nodes, &model->layer_nodes);
  if (status != LUR_OK) goto done;
  find_depths(w, depths, depths + nodes);
  for (int i = 0; i < w->nlayers; i++) order[i] = (ranked){w->layers[i], depths[nodes + (size_t)i], i};
  qsort(order, layers, sizeof *order, by_depth);
  model->nlayers = w->nlayers;
  for (int i = 0; i < w->nlayers; i++) {
    model->layers[i] = order[i].item;
    for (int k = 0; k < w->nnodes && !model->layer_nodes[i]; k++) {
      if (w->nodes[k]->layer == model->layers[i]) model->layer_nodes[i] = w->nodes[k];
    }
  }
done:
  free(depths);
  free(order);
  return status;
}

/* ---- checks ---- */

static lur_status check_names(const lur_model *model) {
  for (int i = 0; i < model->nlayers; i++) {
    for (int k = 0; k < i; k++) {
      if (strcmp(model->layers[i]->name, model->layers[k]->name) != 0) continue;
      return lur_fail(LUR_EARG, "model: two layers are named '%s': give one of them another name",
                      model->layers[i]->name);
    }
  }
  for (int i = 0; i < model->noutputs; i++) {
    for (int k = 0; k < i; k++) {
      if (strcmp(model->output_names[i], model->output_names[k]) != 0) continue;
      return lur_fail(LUR_EARG, "model: two outputs are named '%s'", model->output_names[i]);
    }
  }
  return LUR_OK;
}

static int by_name(const void *a, const void *b) {
  const lur_node *const *p = a, *const *q = b;
  return strcmp((*p)->layer->name, (*q)->layer->name);
}

static lur_status find_inputs(lur_model *model, const walk *w) {
  LUR_TRY(lur_alloc_items(LUR_MAX_INPUTS, sizeof *model->inputs, &model->inputs));
  for (int i = 0; i < w->nnodes; i++) {
    if (!lur_node_is_input(w->nodes[i])) continue;
    if (model->ninputs == LUR_MAX_INPUTS) return lur_fail(LUR_EARG, "model: more than %d inputs", LUR_MAX_INPUTS);
    lur_node_retain(w->nodes[i]);
    model->inputs[model->ninputs++] = w->nodes[i];
  }
  qsort(model->inputs, (size_t)model->ninputs, sizeof *model->inputs, by_name);
  return LUR_OK;
}

static lur_status take_inputs(lur_model *model, const walk *w, int n, lur_node *const *inputs) {
  if (n > LUR_MAX_INPUTS) return lur_fail(LUR_EARG, "model: %d inputs (at most %d)", n, LUR_MAX_INPUTS);
  LUR_TRY(lur_alloc_items((size_t)n, sizeof *model->inputs, &model->inputs));
  for (int i = 0; i < n; i++) {
    if (!lur_node_is_input(inputs[i])) {
      return lur_fail(LUR_EARG, "model: input %d is the output of layer '%s' (an input node expected)", i + 1,
                      inputs[i]->layer->name);
    }
    lur_node_retain(inputs[i]);
    model->inputs[model->ninputs++] = inputs[i];
  }
  for (int i = 0; i < w->nnodes; i++) {
    if (!lur_node_is_input(w->nodes[i])) continue;
    if (position((void *const *)model->inputs, model->ninputs, w->nodes[i]) >= 0) continue;
    return lur_fail(LUR_EARG, "model: the outputs need input '%s', which is not among the inputs",
                    w->nodes[i]->layer->name);
  }
  return LUR_OK;
}

static lur_status take_outputs(lur_model *model, int n, const char *const *names, lur_node *const *outputs) {
  if (n < 1 || n > LUR_MAX_OUTPUTS)
    return lur_fail(LUR_EARG, "model: %d outputs (1 to %d expected)", n, LUR_MAX_OUTPUTS);
  LUR_TRY(lur_alloc_items((size_t)n, sizeof *model->outputs, &model->outputs));
  LUR_TRY(lur_alloc_items((size_t)n, sizeof *model->output_names, &model->output_names));
  for (int i = 0; i < n; i++) {
    if (strlen(names[i]) >= LUR_NAME) return lur_fail(LUR_EARG, "model: output name '%s' is too long", names[i]);
    if (outputs[i]->layer->context != model->context) {
      return lur_fail(LUR_EARG, "model: output '%s' belongs to another context", names[i]);
    }
    snprintf(model->output_names[i], LUR_NAME, "%s", names[i]);
    lur_node_retain(outputs[i]);
    model->outputs[model->noutputs++] = outputs[i];
  }
  return LUR_OK;
}

lur_status lur_model_new(lur_context *context, int ninputs, lur_node *const *inputs, int noutputs,
                         const char *const *names, lur_node *const *outputs, lur_model **model) {
  lur_model *made = NULL;
  walk w = {0};
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  made->context = context;
  lur_context_retain(context);
  lur_status status = take_outputs(made, noutputs, names, outputs);
  for (int i = 0; i < noutputs && status == LUR_OK; i++) status = walk_from(&w, outputs[i]);
  for (int i = 0; i < ninputs && status == LUR_OK; i++) status = walk_from(&w, inputs[i]); /* unused ones are nodes too */
  if (status == LUR_OK) status = ninputs > 0 ? take_inputs(made, &w, ninputs, inputs) : find_inputs(made, &w);
  if (status == LUR_OK && made->ninputs == 0)
    status = lur_fail(LUR_EARG, "model: output '%s' depends on no input", names[0]);
  if (status == LUR_OK) status = sort_layers(made, &w);
  if (status == LUR_OK) status = check_names(made);
  if (status == LUR_OK) {
    made->nodes = w.nodes;
    made->nnodes = w.nnodes;
    w.nodes = NULL;
    *model = made;
  } else {
    lur_model_release(made);
  }
  free(w.nodes);
  free(w.stack);
  free(w.layers);
  return status;
}

void lur_model_retain(lur_model *model) { atomic_fetch_add(&model->refs, 1); }

/* The outputs hold the nodes, and those the layers. */
void lur_model_release(lur_model *model) {
  if (!model || atomic_fetch_sub(&model->refs, 1) != 1) return;
  for (int i = 0; i < model->ninputs; i++) lur_node_release(model->inputs[i]);
  for (int i = 0; i < model->noutputs; i++) lur_node_release(model->outputs[i]);
  free(model->inputs);
  free(model->outputs);
  free(model->output_names);
  free(model->nodes);
  free(model->layers);
  free(model->layer_nodes);
  lur_model_drop_weight_names(model);
  for (int i = 0; i < model->nlosses; i++) lur_model_release(model->losses[i].graph);
  lur_context_release(model->context);
  free(model);
}

/* ---- applying a model to other inputs ---- */

lur_status lur_model_apply(lur_model *model, int n, lur_node *const *x, lur_node **y) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  if (n != model->ninputs) return lur_fail(LUR_EARG, "model: applied to %d inputs (%d expected)", n, model->ninputs);
  for (int i = 0; i < n; i++) {
    const lur_node *input = model->inputs[i];
    if (lur_shape_equal(&x[i]->sample, &input->sample) && x[i]->dtype == input->dtype) continue;
    return lur_fail(LUR_ESHAPE, "model: input '%s' expects %s %s, got %s %s from '%s'", input->layer->name,
                    lur_shape_format(&input->sample, want), lur_dtype_name(input->dtype),
                    lur_shape_format(&x[i]->sample, came), lur_dtype_name(x[i]->dtype), x[i]->layer->name);
  }
  lur_node **made = NULL;
  LUR_TRY(lur_alloc_items((size_t)model->nnodes, sizeof *made, &made));
  lur_status status = LUR_OK;
  for (int i = 0; i < model->nnodes && status == LUR_OK; i++) {
    const lur_node *node = model->nodes[i];
    int input = position((void *const *)model->inputs, n, node);
    if (input >= 0) {
      made[i] = x[input];
      lur_node_retain(made[i]);
      continue;
    }
    lur_node *operands[LUR_MAX_OPERANDS];
    for (int k = 0; k < node->nx; k++) operands[k] = made[lur_model_node_at(model, node->x[k])];
    status = lur_layer_apply(node->layer, node->nx, operands, &made[i]);
  }
  for (int i = 0; i < model->noutputs && status == LUR_OK; i++) {
    y[i] = made[lur_model_node_at(model, model->outputs[i])];
    lur_node_retain(y[i]);
  }
  for (int i = 0; i < model->nnodes; i++) lur_node_release(made[i]);
  free(made);
  return status;
}

/* ---- queries ---- */

lur_context *lur_model_context(const lur_model *model) { return model->context; }
int lur_model_input_count(const lur_model *model) { return model->ninputs; }
int lur_model_output_count(const lur_model *model) { return model->noutputs; }
const char *lur_model_input_name(const lur_model *model, int index) { return model->inputs[index]->layer->name; }
const char *lur_model_output_name(const lur_model *model, int index) { return model->output_names[index]; }
lur_node *lur_model_input(const lur_model *model, int index) { return model->inputs[index]; }
lur_node *lur_model_output(const lur_model *model, int index) { return model->outputs[index]; }
int lur_model_layer_count(const lur_model *model) { return model->nlayers; }
lur_layer *lur_model_layer(const lur_model *model, int index) { return model->layers[index]; }
lur_node *lur_model_layer_node(const lur_model *model, int index) { return model->layer_nodes[index]; }
const lur_shape *lur_model_layer_shape(const lur_model *model, int index) { return &model->layer_nodes[index]->sample; }

int lur_model_find(const lur_model *model, const char *name) {
  for (int i = 0; i < model->nlayers; i++) {
    if (strcmp(model->layers[i]->name, name) == 0) return i;
  }
  return -1;
}

int lur_model_layer_inputs(const lur_model *model, int index, const char **names, int capacity) {
  const lur_node *node = model->layer_nodes[index];
  for (int i = 0; i < node->nx && i < capacity; i++) names[i] = node->x[i]->layer->name;
  return node->nx;
}

int64_t lur_model_parameters(const lur_model *model, bool trainable_only) {
  int64_t count = 0;
  for (int i = 0; i < model->nlayers; i++) {
    const lur_layer *layer = model->layers[i];
    for (int k = 0; k < layer->nweights; k++) {
      if (trainable_only && !(layer->trainable && layer->weights[k].learned)) continue;
      count += lur_shape_count(&layer->weights[k].shape);
    }
  }
  return count;
}

int lur_model_loss_count(const lur_model *model) { return model->nlosses; }
const char *lur_model_loss_output(const lur_model *model, int index) { return model->losses[index].output; }
lur_model *lur_model_loss(const lur_model *model, int index) { return model->losses[index].graph; }

lur_status lur_model_all_layers(const lur_model *model, int nlosses, const lur_output_loss *losses, lur_layer ***layers,
                                int *count) {
  lur_layer **all = NULL;
  int n = model->nlayers, room = n;
  for (int i = 0; i < nlosses; i++) room += losses[i].graph->nlayers;
  LUR_TRY(lur_alloc_items((size_t)room + 1, sizeof *all, &all));
  for (int i = 0; i < model->nlayers; i++) all[i] = model->layers[i];
  for (int i = 0; i < nlosses; i++) {
    for (int k = 0; k < losses[i].graph->nlayers; k++) {
      lur_layer *layer = losses[i].graph->layers[k];
      if (position((void *const *)all, n, layer) < 0) all[n++] = layer;
    }
  }
  *layers = all;
  *count = n;
  return LUR_OK;
}
