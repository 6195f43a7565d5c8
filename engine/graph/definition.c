/* definition.c - writes and reads a model's definition as JSON: layers with their options, applications, names.
 *
 *   { "format": "lurcher-model", "version": 1,
 *     "layers":  [ { "name": "dense_1", "kind": "dense", "trainable": true, "options": { "units": 24 } }, ... ],
 *     "nodes":   [ { "layer": 0, "inputs": [] }, ... ],          inputs come before their users
 *     "inputs":  [ 0 ],  "outputs": [ { "name": "class", "node": 133 } ],
 *     "losses":  [ { "output": "class", "graph": { "layers": ..., "nodes": ..., "inputs": ..., "outputs": ... } } ] }
 *
 * "losses" is there only if there are losses that are graphs. A layer of such a graph that has the name and the kind of
 * one of the model's is that layer.
 * A definition may come from a file, so everything in it is checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "graph.h"

void lur_text_free(char *text) { free(text); }

/* ---- writing ---- */

/* Adds an item, which may be NULL for lack of memory, to an object or array, which may be NULL too. Returns whether all
   went well; otherwise the item is freed. */
static bool add(cJSON *to, const char *name, cJSON *item) {
  bool good = to && item && (name ? cJSON_AddItemToObject(to, name, item) : cJSON_AddItemToArray(to, item));
  if (!good) cJSON_Delete(item);
  return good;
}

static cJSON *integers(int n, const int64_t *values) {
  cJSON *list = cJSON_CreateArray();
  for (int i = 0; i < n && list; i++) {
    if (add(list, NULL, cJSON_CreateNumber((double)values[i]))) continue;
    cJSON_Delete(list);
    list = NULL;
  }
  return list;
}

static cJSON *option_value(const lur_setting *setting) {
  switch (setting->type) {
    case LUR_BOOL: return cJSON_CreateBool(setting->boolean);
    case LUR_INT: return cJSON_CreateNumber((double)setting->integer);
    case LUR_REAL: return cJSON_CreateNumber(setting->real);
    case LUR_STRING: return cJSON_CreateString(setting->string);
    case LUR_INTS: return integers(setting->count, setting->ints);
    default: return cJSON_CreateNull();
  }
}

enum { MAX_SETTINGS = 32 };

/* Each of these fills an object that is already in the tree. */
static bool fill_layer(cJSON *object, const lur_layer *layer) {
  lur_setting settings[MAX_SETTINGS];
  bool good = object && add(object, "name", cJSON_CreateString(layer->name)) &&
              add(object, "kind", cJSON_CreateString(layer->kind->name)) &&
              add(object, "trainable", cJSON_CreateBool(layer->trainable));
  cJSON *options = good ? cJSON_AddObjectToObject(object, "options") : NULL;
  int n = lur_layer_settings(layer, settings, MAX_SETTINGS);
  good = good && options && n <= MAX_SETTINGS;
  for (int i = 0; i < n && good; i++) good = add(options, settings[i].name, option_value(&settings[i]));
  return good;
}

static int layer_at(const lur_model *model, const lur_layer *layer) {
  for (int i = 0; i < model->nlayers; i++) {
    if (model->layers[i] == layer) return i;
  }
  return -1;
}

static bool fill_node(cJSON *object, const lur_model *model, const lur_node *node) {
  bool good = object && add(object, "layer", cJSON_CreateNumber(layer_at(model, node->layer)));
  cJSON *inputs = good ? cJSON_AddArrayToObject(object, "inputs") : NULL;
  for (int i = 0; i < node->nx && good; i++)
    good = add(inputs, NULL, cJSON_CreateNumber(lur_model_node_at(model, node->x[i])));
  return good && inputs;
}

static bool fill_output(cJSON *object, const lur_model *model, int i) {
  return object && add(object, "name", cJSON_CreateString(model->output_names[i])) &&
         add(object, "node", cJSON_CreateNumber(lur_model_node_at(model, model->outputs[i])));
}

/* A new object at the end of list, or NULL. */
static cJSON *append(cJSON *list) {
  cJSON *object = cJSON_CreateObject();
  return add(list, NULL, object) ? object : NULL;
}

static bool fill_graph(cJSON *root, const lur_model *model) {
  cJSON *layers = cJSON_AddArrayToObject(root, "layers"), *nodes = cJSON_AddArrayToObject(root, "nodes");
  cJSON *inputs = cJSON_AddArrayToObject(root, "inputs"), *outputs = cJSON_AddArrayToObject(root, "outputs");
  bool good = layers && nodes && inputs && outputs;
  for (int i = 0; i < model->nlayers && good; i++) good = fill_layer(append(layers), model->layers[i]);
  for (int i = 0; i < model->nnodes && good; i++) good = fill_node(append(nodes), model, model->nodes[i]);
  for (int i = 0; i < model->ninputs && good; i++)
    good = add(inputs, NULL, cJSON_CreateNumber(lur_model_node_at(model, model->inputs[i])));
  for (int i = 0; i < model->noutputs && good; i++) good = fill_output(append(outputs), model, i);
  return good;
}

static bool fill_losses(cJSON *root, int n, const lur_output_loss *losses) {
  cJSON *list = n > 0 ? cJSON_AddArrayToObject(root, "losses") : NULL;
  bool good = list || n == 0;
  for (int i = 0; i < n && good; i++) {
    cJSON *object = append(list);
    good = object && add(object, "output", cJSON_CreateString(losses[i].output));
    cJSON *graph = good ? cJSON_AddObjectToObject(object, "graph") : NULL;
    good = graph && fill_graph(graph, losses[i].graph);
  }
  return good;
}

lur_status lur_model_write_json(const lur_model *model, int nlosses, const lur_output_loss *losses, char **text) {
  cJSON *root = cJSON_CreateObject();
  bool good = root && add(root, "format", cJSON_CreateString("lurcher-model")) &&
              add(root, "version", cJSON_CreateNumber(1)) && fill_graph(root, model) &&
              fill_losses(root, nlosses, losses);
  char *made = good ? lur_json_print(root) : NULL;
  cJSON_Delete(root);
  if (!made) return lur_fail(LUR_ENOMEM, "no memory for a model's definition");
  *text = made;
  return LUR_OK;
}

lur_status lur_model_to_json(const lur_model *model, char **text) {
  return lur_model_write_json(model, model->nlosses, model->losses, text);
}

/* ---- reading ---- */

/* Walking a graph takes time quadratic in the number of its nodes: with so many, about a second. */
enum { MAX_ENTRIES = 20000 };

typedef struct reader {
  lur_context *context;
  const lur_model *known; /* of a loss: the model whose layers it may share; else NULL */
  int nlayers, nnodes;
  lur_layer **layers;
  lur_node **nodes; /* NULL where not created yet */
} reader;

static lur_status wrong(const char *what, int index) {
  return lur_fail(LUR_EFORMAT, "model definition: %s of entry %d is missing or wrong", what, index);
}

/* A whole number in [0, limit). */
static bool read_index(const cJSON *item, int limit, int *index) {
  if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble >= limit) return false;
  if (item->valuedouble != (double)(int)item->valuedouble) return false;
  *index = (int)item->valuedouble;
  return true;
}

static lur_status read_option(const cJSON *item, lur_setting *setting) {
  *setting = (lur_setting){.name = item->string};
  if (cJSON_IsBool(item)) {
    setting->type = LUR_BOOL;
    setting->boolean = cJSON_IsTrue(item);
  } else if (cJSON_IsNumber(item)) {
    double number = item->valuedouble;
    bool whole = number >= -9007199254740992.0 && number <= 9007199254740992.0 && number == (double)(int64_t)number;
    setting->type = whole ? LUR_INT : LUR_REAL;
    setting->integer = whole ? (int64_t)number : 0;
    setting->real = number;
  } else if (cJSON_IsString(item)) {
    setting->type = LUR_STRING;
    setting->string = item->valuestring;
  } else if (cJSON_IsArray(item) && cJSON_GetArraySize(item) <= LUR_MAX_DIMS) {
    setting->type = LUR_INTS;
    for (const cJSON *entry = item->child; entry; entry = entry->next) {
      if (!cJSON_IsNumber(entry) || !(entry->valuedouble > -1e15 && entry->valuedouble < 1e15)) return LUR_EFORMAT;
      setting->ints[setting->count++] = (int64_t)entry->valuedouble;
    }
  } else {
    return LUR_EFORMAT;
  }
  return LUR_OK;
}

/* The model's layer of that name and kind, retained, or NULL. */
static lur_layer *known_layer(const reader *r, const char *name, const char *kind) {
  for (int i = 0; r->known && i < r->known->nlayers; i++) {
    lur_layer *layer = r->known->layers[i];
    if (strcmp(layer->name, name) != 0 || strcmp(layer->kind->name, kind) != 0) continue;
    lur_layer_retain(layer);
    return layer;
  }
  return NULL;
}

static lur_status read_layer(reader *r, const cJSON *object, int index) {
  const cJSON *name = cJSON_GetObjectItemCaseSensitive(object, "name"),
              *kind = cJSON_GetObjectItemCaseSensitive(object, "kind");
  const cJSON *trainable = cJSON_GetObjectItemCaseSensitive(object, "trainable");
  const cJSON *options = cJSON_GetObjectItemCaseSensitive(object, "options");
  if (!cJSON_IsString(name) || !cJSON_IsString(kind) || !cJSON_IsBool(trainable) || !cJSON_IsObject(options)) {
    return wrong("a field of layers", index);
  }
  r->layers[index] = known_layer(r, name->valuestring, kind->valuestring);
  if (r->layers[index]) return LUR_OK;
  lur_setting settings[MAX_SETTINGS] = {{.name = "name", .type = LUR_STRING, .string = name->valuestring}};
  int n = 1;
  for (const cJSON *item = options->child; item; item = item->next) {
    if (n == MAX_SETTINGS || read_option(item, &settings[n++]) != LUR_OK) return wrong("options", index);
  }
  LUR_TRY(lur_layer_new(r->context, kind->valuestring, settings, n, &r->layers[index]));
  r->layers[index]->deferred = true;
  lur_layer_set_trainable(r->layers[index], cJSON_IsTrue(trainable));
  return LUR_OK;
}

/* lur_input and lur_index create the layer and its node together. */
static lur_status read_input(reader *r, lur_layer *layer, int index) {
  const lur_input_options *options = layer->options;
  if (strcmp(layer->kind->name, "index") == 0) return lur_index(r->context, layer->name, &r->nodes[index]);
  return lur_input(r->context, layer->name, (lur_dtype)options->dtype, &options->shape, &r->nodes[index]);
}

static lur_status read_node(reader *r, const cJSON *object, int index) {
  const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(object, "inputs");
  int layer, n = 0;
  lur_node *x[LUR_MAX_OPERANDS];
  if (!read_index(cJSON_GetObjectItemCaseSensitive(object, "layer"), r->nlayers, &layer) || !cJSON_IsArray(inputs)) {
    return wrong("a field of nodes", index);
  }
  for (const cJSON *item = inputs->child; item; item = item->next) {
    int input;
    if (n == LUR_MAX_OPERANDS || !read_index(item, index, &input)) return wrong("an input of nodes", index);
    x[n++] = r->nodes[input];
  }
  const char *kind = r->layers[layer]->kind->name;
  if (strcmp(kind, "input") == 0 || strcmp(kind, "index") == 0) return read_input(r, r->layers[layer], index);
  return lur_layer_apply(r->layers[layer], n, x, &r->nodes[index]);
}

static lur_status read_model(reader *r, const cJSON *root, lur_model **model) {
  const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(root, "inputs");
  const cJSON *outputs = cJSON_GetObjectItemCaseSensitive(root, "outputs");
  lur_node *input_nodes[LUR_MAX_INPUTS], *output_nodes[LUR_MAX_OUTPUTS];
  const char *names[LUR_MAX_OUTPUTS];
  int ninputs = 0, noutputs = 0, node;
  if (!cJSON_IsArray(inputs) || !cJSON_IsArray(outputs)) return wrong("inputs or outputs", 0);
  for (const cJSON *item = inputs->child; item; item = item->next) {
    if (ninputs == LUR_MAX_INPUTS || !read_index(item, r->nnodes, &node)) return wrong("node of inputs", ninputs);
    input_nodes[ninputs++] = r->nodes[node];
  }
  for (const cJSON *item = outputs->child; item; item = item->next) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
    bool good = noutputs < LUR_MAX_OUTPUTS && cJSON_IsString(name) &&
                read_index(cJSON_GetObjectItemCaseSensitive(item, "node"), r->nnodes, &node);
    if (!good) return wrong("a field of outputs", noutputs);
    names[noutputs] = name->valuestring;
    output_nodes[noutputs++] = r->nodes[node];
  }
  return lur_model_new(r->context, ninputs, input_nodes, noutputs, names, output_nodes, model);
}

static lur_status check_header(const cJSON *root) {
  const cJSON *format = cJSON_GetObjectItemCaseSensitive(root, "format"),
              *version = cJSON_GetObjectItemCaseSensitive(root, "version");
  if (!cJSON_IsString(format) || strcmp(format->valuestring, "lurcher-model") != 0) {
    return lur_fail(LUR_EFORMAT, "not a model definition (\"format\": \"lurcher-model\" expected)");
  }
  if (!cJSON_IsNumber(version) || version->valuedouble != 1) {
    return lur_fail(LUR_EFORMAT, "model definition: version %g (1 expected)",
                    cJSON_IsNumber(version) ? version->valuedouble : 0.0);
  }
  return LUR_OK;
}

static lur_status read_entries(reader *r, const cJSON *root, lur_model **model) {
  const cJSON *layers = cJSON_GetObjectItemCaseSensitive(root, "layers"),
              *nodes = cJSON_GetObjectItemCaseSensitive(root, "nodes");
  if (!cJSON_IsArray(layers) || !cJSON_IsArray(nodes)) return wrong("layers or nodes", 0);
  int nlayers = cJSON_GetArraySize(layers), nnodes = cJSON_GetArraySize(nodes);
  const int most = r->known ? LUR_MAX_LOSS_NODES : MAX_ENTRIES;
  if (nlayers > most || nnodes > most) {
    return lur_fail(LUR_EFORMAT, "model definition: %d layers and %d nodes%s (at most %d of each expected)", nlayers,
                    nnodes, r->known ? " of a loss" : "", most);
  }
  r->nlayers = nlayers;
  r->nnodes = nnodes;
  LUR_TRY(lur_alloc_items((size_t)r->nlayers + 1, sizeof *r->layers, &r->layers));
  LUR_TRY(lur_alloc_items((size_t)r->nnodes + 1, sizeof *r->nodes, &r->nodes));
  int i = 0;
  for (const cJSON *item = layers->child; item; item = item->next) LUR_TRY(read_layer(r, item, i++));
  i = 0;
  for (const cJSON *item = nodes->child; item; item = item->next) LUR_TRY(read_node(r, item, i++));
  return read_model(r, root, model);
}

/* known: NULL, or the model that the graph is a loss of. */
static lur_status read_graph(lur_context *context, const lur_model *known, const cJSON *root, lur_model **model) {
  reader r = {.context = context, .known = known};
  lur_status status = read_entries(&r, root, model);
  for (int i = 0; i < r.nnodes && r.nodes; i++) lur_node_release(r.nodes[i]);
  for (int i = 0; i < r.nlayers && r.layers; i++) lur_layer_release(r.layers[i]);
  free(r.nodes);
  free(r.layers);
  return status;
}

static bool is_output(const lur_model *model, const char *name) {
  for (int i = 0; i < model->noutputs; i++) {
    if (strcmp(model->output_names[i], name) == 0) return true;
  }
  return false;
}

static lur_status read_losses(const cJSON *root, lur_model *model) {
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "losses");
  if (!list) return LUR_OK;
  if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > model->noutputs) return wrong("losses", 0);
  for (const cJSON *item = list->child; item; item = item->next) {
    const char *output = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "output"));
    if (!output || !is_output(model, output)) return wrong("the output of losses", model->nlosses);
    lur_output_loss *loss = &model->losses[model->nlosses];
    LUR_TRY(read_graph(model->context, model, cJSON_GetObjectItemCaseSensitive(item, "graph"), &loss->graph));
    snprintf(loss->output, sizeof loss->output, "%s", output);
    model->nlosses++;
    lur_status status = lur_loss_graph_check(loss->graph);
    if (status != LUR_OK) return lur_blame(LUR_EFORMAT, "model definition: the loss of output '%s'", output);
  }
  return LUR_OK;
}

lur_status lur_model_read_json(lur_context *context, const char *text, lur_model **model) {
  cJSON *root = NULL;
  lur_model *made = NULL;
  lur_status status = lur_json_parse(text, &root);
  if (status != LUR_OK) return lur_blame(status, "model definition");
  status = check_header(root);
  if (status == LUR_OK) status = read_graph(context, NULL, root, &made);
  if (status == LUR_OK) status = read_losses(root, made);
  if (status == LUR_OK) *model = made;
  else lur_model_release(made);
  cJSON_Delete(root);
  return status;
}

lur_status lur_model_make_weights(lur_model *model, bool draw) {
  for (int i = 0; i < model->nlayers; i++) LUR_TRY(lur_layer_make_weights(model->layers[i], draw));
  for (int i = 0; i < model->nlosses; i++) LUR_TRY(lur_model_make_weights(model->losses[i].graph, draw));
  return LUR_OK;
}

/* A definition of a few bytes may ask for any amount of memory, so there is a limit where no file vouches for it. */
static lur_status check_weights(const lur_model *model, int64_t count) {
  const int64_t limit = (int64_t)1 << 29;
  for (int i = 0; i < model->nlayers; i++) {
    const lur_layer *layer = model->layers[i];
    for (int k = 0; k < layer->nweights; k++) {
      count += lur_shape_count(&layer->weights[k].shape); /* 2^40 at most for each weight, of which there are few */
      if (count > limit)
        return lur_fail(
            LUR_EUNSUPPORTED,
            "model definition: up to layer '%s' its weights have %lld elements, at most %lld are made from a "
            "definition alone (a checkpoint may have more)",
            layer->name, (long long)count, (long long)limit);
    }
  }
  for (int i = 0; i < model->nlosses; i++) LUR_TRY(check_weights(model->losses[i].graph, count));
  return LUR_OK;
}

lur_status lur_model_from_json(lur_context *context, const char *text, lur_model **model) {
  lur_model *made = NULL;
  LUR_TRY(lur_model_read_json(context, text, &made));
  lur_status status = check_weights(made, 0);
  if (status == LUR_OK) status = lur_model_make_weights(made, true);
  if (status == LUR_OK) *model = made;
  else lur_model_release(made);
  return status;
}
