/* graph.c - nodes: inputs and applications of layers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "graph.h"

/* like: its shape, type and `unbatched` are taken. */
static lur_status new_node(lur_layer *layer, int n, lur_node *const *x, const lur_node *like, lur_node **node) {
  lur_node *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  if (n > 0 && lur_alloc_items((size_t)n, sizeof *made->x, &made->x) != LUR_OK) {
    free(made);
    return LUR_ENOMEM;
  }
  for (int i = 0; i < n; i++) {
    lur_node_retain(x[i]);
    made->x[i] = x[i];
  }
  made->nx = n;
  made->layer = layer;
  lur_layer_retain(layer);
  made->sample = like->sample;
  made->dtype = like->dtype;
  made->unbatched = like->unbatched;
  *node = made;
  return LUR_OK;
}

void lur_node_retain(lur_node *node) { atomic_fetch_add(&node->refs, 1); }

/* Releasing a chain of a thousand nodes must not recurse a thousand deep: nodes to be freed form a list, linked through
   the place of x[0], until their inputs have been released too. */
void lur_node_release(lur_node *node) {
  lur_node *dead = NULL;
  if (node && atomic_fetch_sub(&node->refs, 1) == 1) dead = node;
  while (dead) {
    lur_node *now = dead;
    dead = now->dead;
    for (int i = 0; i < now->nx; i++) {
      if (atomic_fetch_sub(&now->x[i]->refs, 1) != 1) continue;
      now->x[i]->dead = dead;
      dead = now->x[i];
    }
    lur_layer_release(now->layer);
    free(now->x);
    free(now);
  }
}

lur_layer *lur_node_layer(const lur_node *node) { return node->layer; }
const lur_shape *lur_node_shape(const lur_node *node) { return &node->sample; }
bool lur_node_unbatched(const lur_node *node) { return node->unbatched; }
lur_context *lur_node_context(const lur_node *node) { return node->layer->context; }

bool lur_node_is_input(const lur_node *node) {
  return strcmp(node->layer->kind->name, "input") == 0 || strcmp(node->layer->kind->name, "index") == 0;
}

/* A layer of kind "input" or "index" and its one node. */
static lur_status new_input(lur_context *context, const char *kind, const lur_setting *settings, int n, lur_dtype dtype,
                            const lur_shape *sample, lur_node **node) {
  lur_layer *layer = NULL;
  LUR_TRY(lur_layer_new(context, kind, settings, n, &layer));
  const lur_node like = {.dtype = dtype, .sample = *sample};
  lur_status status = new_node(layer, 0, NULL, &like, node);
  lur_layer_release(layer);
  return status;
}

lur_status lur_input(lur_context *context, const char *name, lur_dtype dtype, const lur_shape *sample,
                     lur_node **node) {
  LUR_TRY(lur_shape_check(sample));
  if (sample->ndim + 1 > LUR_MAX_DIMS) {
    return lur_fail(LUR_ESHAPE, "input '%s': a sample has %d dimensions (at most %d)", name, sample->ndim,
                    LUR_MAX_DIMS - 1);
  }
  lur_setting settings[3] = {{.name = "name", .type = LUR_STRING, .string = name},
                             {.name = "shape", .type = LUR_INTS, .count = sample->ndim},
                             {.name = "dtype", .type = LUR_STRING, .string = lur_dtype_name(dtype)}};
  for (int i = 0; i < sample->ndim; i++) settings[1].ints[i] = sample->dim[i];
  return new_input(context, "input", settings, 3, dtype, sample, node);
}

lur_status lur_index(lur_context *context, const char *name, lur_node **node) {
  lur_setting settings[1] = {{.name = "name", .type = LUR_STRING, .string = name}};
  return new_input(context, "index", settings, 1, LUR_I32, &(lur_shape){0}, node);
}

/* ---- learning a shape ---- */

/* An emitter that keeps the operand of each value and no ops: a node needs only its output's shape. */
typedef struct shape_value {
  lur_operand operand;
  bool unbatched;
} shape_value;

typedef struct shape_emitter {
  lur_emitter emitter; /* first: emit functions see only this */
  int n, room;
  shape_value *values;
} shape_emitter;

static lur_status add_operand(shape_emitter *e, const lur_operand *operand, bool unbatched, int *value) {
  if (e->n == e->room) {
    int room = e->room ? 2 * e->room : 16;
    shape_value *bigger = realloc(e->values, (size_t)room * sizeof *bigger);
    if (!bigger) return lur_fail(LUR_ENOMEM, "no memory for the shapes of %d values", room);
    e->values = bigger;
    e->room = room;
  }
  e->values[e->n] = (shape_value){*operand, unbatched};
  *value = e->n++;
  return LUR_OK;
}

static const lur_operand *operand_of(const lur_emitter *emitter, int value) {
  return &((const shape_emitter *)emitter)->values[value].operand;
}

static bool is_unbatched(const lur_emitter *emitter, int value) {
  return ((const shape_emitter *)emitter)->values[value].unbatched;
}

static lur_status append(lur_emitter *emitter, lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                         const int *weights, int *y) {
  bool unbatched = true;
  (void)layer, (void)nw, (void)weights;
  for (int i = 0; i < nx; i++) unbatched = unbatched && is_unbatched(emitter, x[i]);
  return add_operand((shape_emitter *)emitter, &desc->y, unbatched, y);
}

/* The node's output with a batch of one row. */
static lur_operand one_row(const lur_node *node) {
  lur_operand operand = {node->dtype, {.ndim = node->sample.ndim + 1, .dim = {1}}};
  for (int i = 0; i < node->sample.ndim; i++) operand.shape.dim[i + 1] = node->sample.dim[i];
  return operand;
}

/* Emits the application with one row, and takes the shape from the result. */
static lur_status learn_shape(lur_layer *layer, int n, lur_node *const *x, lur_node *learned) {
  shape_emitter e = {.emitter = {.operand = operand_of, .unbatched = is_unbatched, .append = append}};
  int values[LUR_MAX_OPERANDS], y = -1;
  lur_status status = LUR_OK;
  for (int i = 0; i < n && status == LUR_OK; i++) {
    lur_operand operand = one_row(x[i]);
    status = lur_shape_check(&operand.shape);
    if (status == LUR_OK) status = add_operand(&e, &operand, x[i]->unbatched, &values[i]);
  }
  if (status == LUR_OK) status = layer->kind->emit(layer, &e.emitter, n, values, &y);
  if (status == LUR_OK) {
    const lur_operand *operand = &e.values[y].operand;
    learned->dtype = operand->dtype;
    learned->unbatched = e.values[y].unbatched;
    learned->sample = (lur_shape){.ndim = operand->shape.ndim - 1};
    for (int i = 0; i < learned->sample.ndim; i++) learned->sample.dim[i] = operand->shape.dim[i + 1];
  }
  free(e.values);
  return status;
}

/* ---- applying a layer ---- */

lur_status lur_layer_apply(lur_layer *layer, int n, lur_node *const *x, lur_node **y) {
  const lur_layer_type *kind = layer->kind;
  int most = kind->max_inputs < 0 ? LUR_MAX_OPERANDS : kind->max_inputs;
  if (!kind->emit || n < kind->min_inputs || n > most) {
    char want[32];
    if (kind->min_inputs == most) snprintf(want, sizeof want, "%d", most);
    else snprintf(want, sizeof want, "%d to %d", kind->min_inputs, most);
    return lur_fail(LUR_EARG, "%s '%s': applied to %d inputs (%s expected)", kind->name, layer->name, n, want);
  }
  lur_shape samples[LUR_MAX_OPERANDS] = {{0}};
  for (int i = 0; i < n; i++) {
    if (x[i]->layer->context != layer->context) {
      return lur_fail(LUR_EARG, "%s '%s': input %d belongs to another context", kind->name, layer->name, i + 1);
    }
    samples[i] = x[i]->sample;
  }
  lur_node learned = {.dtype = LUR_F32};
  LUR_TRY(lur_layer_build(layer, n, samples));
  LUR_TRY(learn_shape(layer, n, x, &learned));
  return new_node(layer, n, x, &learned, y);
}
