/* frozen.c - the frozen backbone of a model: the nodes that training leaves as they are, and the cuts, where the model
 * can be split so that everything before is computed once per image. It reads the graph alone: nodes, layers, and which
 * layers are trainable. Plans take their "frozen" label from it, and lurcher.frozen (Lua) splits models by it.
 *
 * Parameters and constants that do not learn are frozen too, but the model is not split at them: a cut depends on the
 * image.
 *
 * All arrays are by node, in the order of model->nodes: the nodes that a node reads come before it. */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

/* ---- frozen nodes ---- */

static bool learns(const lur_layer *layer) {
  return layer->trainable && layer->nweights > 0 && !layer->kind->given;
}

/* Whether the layer computes batch statistics when all batch norms do: it is the kind that keeps moving statistics. */
static bool has_statistics(const lur_layer *layer) {
  for (int i = 0; i < layer->nweights; i++) {
    if (!layer->weights[i].learned && !layer->kind->given) return true;
  }
  return false;
}

void lur_frozen_nodes(const lur_model *model, const lur_node *input, bool batch_statistics, bool *frozen) {
  for (int i = 0; i < model->nnodes; i++) {
    const lur_node *node = model->nodes[i];
    const lur_layer *layer = node->layer;
    if (lur_node_is_input(node)) {
      frozen[i] = !input || node == input;
      continue;
    }
    frozen[i] = !layer->kind->random && !learns(layer) && !(batch_statistics && has_statistics(layer));
    for (int k = 0; k < node->nx && frozen[i]; k++) frozen[i] = frozen[lur_model_node_at(model, node->x[k])];
  }
}

/* ---- the graph, prepared for the search ---- */

enum { NO_BRANCH = -1, JOINS_BRANCHES = -2 };

typedef struct search {
  const lur_model *model;
  int n, input;       /* nodes; position of the input's node */
  int *first, *reads; /* node i reads nodes reads[first[i]] to reads[first[i + 1] - 1] */
  int *branch;        /* the reader of the input that the node descends from; NO_BRANCH, JOINS_BRANCHES */
  bool *frozen, *is_output, *may_cut;
  bool *before;       /* the node to cut at, and all that it is computed from */
  bool *open;         /* the nodes of `before` that later nodes may read */
  bool *before_all;   /* as `before`, for several cuts together */
} search;

static void search_free(search *s) {
  free(s->first);
  free(s->frozen);
}

static lur_status search_alloc(search *s) {
  size_t n = (size_t)s->n, edges = 0;
  for (int i = 0; i < s->n; i++) edges += (size_t)s->model->nodes[i]->nx;
  LUR_TRY(lur_alloc_items(2 * n + 1 + edges, sizeof *s->first, &s->first));
  s->branch = s->first + n + 1;
  s->reads = s->branch + n;
  LUR_TRY(lur_alloc_items(6 * n, sizeof *s->frozen, &s->frozen));
  s->is_output = s->frozen + n;
  s->may_cut = s->is_output + n;
  s->before = s->may_cut + n;
  s->open = s->before + n;
  s->before_all = s->open + n;
  return LUR_OK;
}

static int uses(const lur_model *model, const lur_layer *layer) {
  int count = 0;
  for (int i = 0; i < model->nnodes; i++) count += model->nodes[i]->layer == layer;
  return count;
}

static lur_status search_init(search *s, const lur_model *model, const lur_node *input) {
  *s = (search){.model = model, .n = model->nnodes, .input = lur_model_node_at(model, input)};
  LUR_TRY(search_alloc(s));
  lur_frozen_nodes(model, input, false, s->frozen);
  for (int i = 0; i < s->n; i++) {
    const lur_node *node = model->nodes[i];
    s->first[i + 1] = s->first[i] + node->nx;
    for (int k = 0; k < node->nx; k++) s->reads[s->first[i] + k] = lur_model_node_at(model, node->x[k]);
  }
  for (int i = 0; i < model->noutputs; i++) s->is_output[lur_model_node_at(model, model->outputs[i])] = true;
  for (int i = 0; i < s->n; i++) {
    s->may_cut[i] = s->frozen[i] && i != s->input && !model->nodes[i]->unbatched && !s->is_output[i] &&
                    uses(model, model->nodes[i]->layer) == 1;
  }
  return LUR_OK;
}

/* ---- cuts ---- */

/* Writes s->before: node k and all that it is computed from. */
static void find_ancestors(search *s, int k) {
  memset(s->before, 0, (size_t)s->n * sizeof *s->before);
  s->before[k] = true;
  for (int i = k; i >= 0; i--) {
    for (int e = s->first[i]; e < s->first[i + 1] && s->before[i]; e++) s->before[s->reads[e]] = true;
  }
}

/* Whether the other nodes read no node of `before` except open ones, and none of `before` is an output. */
static bool is_bottleneck(const search *s, const bool *before) {
  for (int i = 0; i < s->n; i++) {
    if (before[i] && s->is_output[i]) return false;
    for (int e = s->first[i]; e < s->first[i + 1] && !before[i]; e++) {
      if (before[s->reads[e]] && !s->open[s->reads[e]]) return false;
    }
  }
  return true;
}

/* The last node that may be cut at and is a bottleneck, on one branch or (NO_BRANCH) anywhere; -1 if there is none.
   Writes s->before for it. */
static int last_bottleneck(search *s, int branch) {
  for (int k = s->n - 1; k >= 0; k--) {
    if (!s->may_cut[k] || (branch != NO_BRANCH && s->branch[k] != branch)) continue;
    find_ancestors(s, k);
    s->open[k] = true;
    bool found = is_bottleneck(s, s->before);
    s->open[k] = false;
    if (found) return k;
  }
  return -1;
}

/* Finds the branch of each frozen node. Two backbones on one image are two branches. */
static void find_branches(search *s) {
  for (int i = 0; i < s->n; i++) {
    s->branch[i] = NO_BRANCH;
    for (int e = s->first[i]; e < s->first[i + 1] && s->frozen[i]; e++) {
      if (s->model->nodes[s->reads[e]]->unbatched) continue; /* of no branch */
      int from = s->reads[e] == s->input ? i : s->branch[s->reads[e]];
      s->branch[i] = s->branch[i] == NO_BRANCH || s->branch[i] == from ? from : JOINS_BRANCHES;
    }
  }
}

/* One cut per branch, for a model whose branches meet only behind a layer that learns or is random. Writes cuts and
   s->before_all. Returns the number of cuts; 0 if a branch has none, or if later nodes read more than the cuts. */
static int cut_branches(search *s, int *cuts) {
  int n = 0;
  find_branches(s);
  memset(s->before_all, 0, (size_t)s->n * sizeof *s->before_all);
  for (int root = 0; root < s->n; root++) {
    if (s->branch[root] != root) continue;
    s->open[s->input] = true; /* the other branches read it, too */
    int k = last_bottleneck(s, root);
    s->open[s->input] = false;
    if (k < 0) return 0;
    cuts[n++] = k;
    for (int i = 0; i < s->n; i++) s->before_all[i] |= s->before[i];
  }
  for (int i = 0; i < n; i++) s->open[cuts[i]] = true;
  return is_bottleneck(s, s->before_all) ? n : 0;
}

/* Whether a split saves the work of some layer, and leaves something to train. */
static bool is_worth_it(const search *s, const bool *before) {
  bool saves = false, trains = false;
  for (int i = 0; i < s->n; i++) {
    const lur_layer *layer = s->model->nodes[i]->layer;
    if (before[i]) saves |= layer->nweights > 0 && !layer->kind->given;
    else trains |= learns(layer);
  }
  return saves && trains;
}

/* The nodes to cut at: a single one if that is possible. */
static int find_cuts(search *s, int *cuts) {
  cuts[0] = last_bottleneck(s, NO_BRANCH);
  if (cuts[0] >= 0 && is_worth_it(s, s->before)) return 1;
  int n = cut_branches(s, cuts);
  return is_worth_it(s, s->before_all) ? n : 0;
}

/* ---- the public side ---- */

static int layer_at(const lur_model *model, const lur_layer *layer) {
  int i = 0;
  while (model->layers[i] != layer) i++;
  return i;
}

static lur_status find_input(const lur_model *model, const char *name, const lur_node **input) {
  for (int i = 0; i < model->ninputs; i++) {
    if (strcmp(model->inputs[i]->layer->name, name) != 0) continue;
    *input = model->inputs[i];
    return LUR_OK;
  }
  return lur_fail(LUR_EARG, "frozen: the model has no input '%s' (its first is '%s')", name,
                  model->ninputs > 0 ? model->inputs[0]->layer->name : "");
}

lur_status lur_model_frozen(const lur_model *model, const char *input, bool *frozen, int *cuts, int *ncuts) {
  const lur_node *node = NULL;
  search s = {0};
  LUR_TRY(find_input(model, input, &node));
  lur_status status = search_init(&s, model, node);
  if (status == LUR_OK) {
    int n = find_cuts(&s, cuts);
    for (int i = 0; i < n; i++) cuts[i] = layer_at(model, model->nodes[cuts[i]]->layer);
    for (int i = 0; i < model->nlayers && frozen; i++) frozen[i] = true;
    for (int i = 0; i < s.n && frozen; i++) frozen[layer_at(model, model->nodes[i]->layer)] &= s.frozen[i];
    *ncuts = n;
  }
  search_free(&s);
  return status;
}
