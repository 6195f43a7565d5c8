/* layer.c - layers of every kind: names, options, weights. What a kind is stands in engine/layers/.
 *
 * A layer knows nothing of graphs or runs; a node is one application of it (graph.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

/* ---- options every kind takes ---- */

typedef struct common_options {
  char name[LUR_OPTION_TEXT];
  bool trainable;
} common_options;

static const lur_option common_table[] = {{.name = "name",
                                           .type = LUR_OPT_TEXT,
                                           .offset = offsetof(common_options, name),
                                           .def = "",
                                           .help = "the layer's name in messages and files"},
                                          {.name = "trainable",
                                           .type = LUR_OPT_BOOL,
                                           .offset = offsetof(common_options, trainable),
                                           .def = "true",
                                           .help = "false: the optimizer leaves its weights alone"},
                                          {0}};
static const char *const common_names[] = {"name", "trainable", NULL};

static bool is_common(const lur_setting *s) {
  return s->name && (strcmp(s->name, common_names[0]) == 0 || strcmp(s->name, common_names[1]) == 0);
}

static lur_status read_common(const char *kind, const lur_setting *settings, int n, common_options *common) {
  lur_setting own[3]; /* a third one shows that one is given twice */
  int count = 0;
  for (int i = 0; i < n && count < 3; i++) {
    if (is_common(&settings[i])) own[count++] = settings[i];
  }
  LUR_TRY(lur_options_read(kind, common_table, own, count, NULL, common, sizeof *common));
  if (strlen(common->name) >= LUR_NAME) {
    return lur_fail(LUR_EARG, "bad option 'name' to '%s' (at most %d bytes expected, got %zu)", kind, LUR_NAME - 1,
                    strlen(common->name));
  }
  return LUR_OK;
}

/* ---- kinds ---- */

int lur_layer_kind_count(void) {
  int n = 0;
  while (lur_layer_types[n]) n++;
  return n;
}

const char *lur_layer_kind_name(int index) { return lur_layer_types[index]->name; }
const char *lur_layer_kind_help(int index) { return lur_layer_types[index]->help; }

int lur_layer_kind_options(int index, lur_option_info *info, int capacity) {
  int n = lur_options_info(lur_layer_types[index]->options, info, capacity);
  int room = capacity > n ? capacity - n : 0;
  return n + lur_options_info(common_table, room ? info + n : NULL, room);
}

const lur_layer_type *lur_layer_type_find(const char *name) {
  for (int i = 0; lur_layer_types[i]; i++) {
    if (strcmp(lur_layer_types[i]->name, name) == 0) return lur_layer_types[i];
  }
  return NULL;
}

static lur_status unknown_kind(const char *kind) {
  enum { MOST = 64 };
  const char *names[MOST];
  int n = 0;
  for (; lur_layer_types[n] && n < MOST; n++) names[n] = lur_layer_types[n]->name;
  const char *near = lur_nearest(kind, names, n);
  return lur_fail(LUR_EARG, "unknown layer kind '%.80s'%s%s%s", kind, near ? " (did you mean '" : "", near ? near : "",
                  near ? "'?)" : "");
}

/* ---- names ---- */

/* The counter of a kind's automatic names, made at first use. */
static lur_status counter_of(lur_context *context, const lur_layer_type *kind, lur_counter **counter) {
  const char *stem = kind->auto_name ? kind->auto_name : kind->name;
  const int most = (int)(sizeof context->counters / sizeof context->counters[0]);
  for (int i = 0; i < context->ncounters; i++) {
    *counter = &context->counters[i];
    if (strcmp((*counter)->kind, stem) == 0) return LUR_OK;
  }
  if (context->ncounters == most)
    return lur_fail(LUR_EARG, "layer kind '%s': a context counts at most %d kinds", stem, most);
  *counter = &context->counters[context->ncounters++];
  snprintf((*counter)->kind, sizeof(*counter)->kind, "%s", stem);
  return LUR_OK;
}

/* ---- life ---- */

static lur_status layer_fill(lur_layer *layer, const lur_setting *settings, int n) {
  const lur_layer_type *kind = layer->kind;
  common_options common;
  lur_counter *counter = NULL;
  LUR_TRY(lur_options_read(kind->name, kind->options, settings, n, common_names, layer->options, kind->options_size));
  LUR_TRY(read_common(kind->name, settings, n, &common));
  layer->trainable = common.trainable;
  if (common.name[0]) {
    snprintf(layer->name, sizeof layer->name, "%.*s", LUR_NAME - 1, common.name);
  } else {
    LUR_TRY(counter_of(layer->context, kind, &counter));
    snprintf(layer->name, sizeof layer->name, "%s_%d", counter->kind, counter->count + 1);
  }
  if (kind->check) LUR_TRY(kind->check(layer));
  if (counter) counter->count++; /* only a layer that came to be takes a number */
  return LUR_OK;
}

lur_status lur_layer_new(lur_context *context, const char *kind, const lur_setting *settings, int n,
                         lur_layer **layer) {
  const lur_layer_type *type = lur_layer_type_find(kind);
  if (!type) return unknown_kind(kind);
  lur_layer *made;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  lur_context_retain(context);
  made->context = context;
  made->kind = type;
  lur_status status = lur_alloc_items(1, type->options_size, &made->options);
  if (status == LUR_OK) status = layer_fill(made, settings, n);
  if (status != LUR_OK) {
    lur_layer_release(made);
    return status;
  }
  *layer = made;
  return LUR_OK;
}

static void drop_weights(lur_layer *layer) {
  for (int i = 0; i < layer->nweights; i++) lur_tensor_release(layer->weights[i].value);
  memset(layer->weights, 0, sizeof layer->weights);
  layer->nweights = 0;
}

void lur_layer_retain(lur_layer *layer) { atomic_fetch_add(&layer->refs, 1); }

void lur_layer_release(lur_layer *layer) {
  if (!layer || atomic_fetch_sub(&layer->refs, 1) != 1) return;
  drop_weights(layer);
  free(layer->options);
  lur_context_release(layer->context);
  free(layer);
}

const char *lur_layer_name(const lur_layer *layer) { return layer->name; }
const char *lur_layer_kind(const lur_layer *layer) { return layer->kind->name; }
bool lur_layer_trainable(const lur_layer *layer) { return layer->trainable; }
void lur_layer_set_trainable(lur_layer *layer, bool trainable) { layer->trainable = trainable; }

/* ---- options given back ---- */

int lur_layer_format(const lur_layer *layer, char *text, size_t capacity) {
  int options = lur_options_format(layer->kind->options, layer->options, false, NULL, 0);
  int before = snprintf(text, capacity, options ? "%s{ " : "%s{", layer->kind->name);
  size_t at = (size_t)before < capacity ? (size_t)before : capacity;
  lur_options_format(layer->kind->options, layer->options, false, capacity ? text + at : NULL, capacity - at);
  at = (size_t)(before + options) < capacity ? (size_t)(before + options) : capacity;
  int after = snprintf(capacity ? text + at : NULL, capacity - at, options ? " }" : "}");
  return before + options + after;
}

int lur_layer_settings(const lur_layer *layer, lur_setting *settings, int capacity) {
  int n = 0;
  for (const lur_option *o = layer->kind->options; o && o->name; o++, n++) {
    if (n < capacity) lur_option_get(o, layer->options, &settings[n]);
  }
  return n;
}

/* ---- weights ---- */

lur_status lur_layer_add_weight(lur_layer *layer, int index, const char *name, const lur_shape *shape, bool learned,
                                lur_init init, double fan_in, double fan_out) {
  const char *kind = layer->kind->name;
  if (layer->built) {
    const lur_weight *weight = &layer->weights[index];
    if (index < layer->nweights && lur_shape_equal(&weight->shape, shape)) return LUR_OK;
    char have[LUR_SHAPE_TEXT], want[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "%s '%s': its '%s' is %s, this input needs %s", kind, layer->name, name,
                    lur_shape_format(&weight->shape, have), lur_shape_format(shape, want));
  }
  lur_status status = lur_shape_check(shape);
  if (status != LUR_OK) return lur_blame(status, "%s '%s': weight '%s'", kind, layer->name, name);
  lur_weight *weight = &layer->weights[index];
  *weight = (lur_weight){
      .shape = *shape, .learned = learned, .init = init, .fan_in = fan_in, .fan_out = fan_out, .scale = 0.05};
  snprintf(weight->name, sizeof weight->name, "%s", name);
  weight->decays = strstr(name, "kernel") != NULL;
  if (index >= layer->nweights) layer->nweights = index + 1;
  return LUR_OK;
}

lur_status lur_layer_build(lur_layer *layer, int n, const lur_shape *samples) {
  lur_status status = layer->kind->build ? layer->kind->build(layer, n, samples) : LUR_OK;
  if (layer->built) return status;
  for (int i = 0; i < layer->nweights && status == LUR_OK; i++) status = lur_weight_draw(layer, &layer->weights[i]);
  if (status != LUR_OK) {
    drop_weights(layer);
    return status;
  }
  layer->built = true;
  return LUR_OK;
}

int lur_layer_weight_count(const lur_layer *layer) { return layer->nweights; }
const char *lur_layer_weight_name(const lur_layer *layer, int index) { return layer->weights[index].name; }
bool lur_layer_weight_learned(const lur_layer *layer, int index) { return layer->weights[index].learned; }
lur_tensor *lur_layer_weight(const lur_layer *layer, int index) { return layer->weights[index].value; }

lur_status lur_layer_set_weight(lur_layer *layer, int index, lur_tensor *value) {
  if (index < 0 || index >= layer->nweights) {
    return lur_fail(LUR_EARG, "%s '%s': weight %d of %d%s", layer->kind->name, layer->name, index, layer->nweights,
                    layer->built ? "" : " (its weights are made when it is first applied)");
  }
  lur_weight *weight = &layer->weights[index];
  if (!lur_shape_equal(&value->shape, &weight->shape)) {
    char have[LUR_SHAPE_TEXT], got[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "%s '%s': weight '%s' is %s, got %s", layer->kind->name, layer->name, weight->name,
                    lur_shape_format(&weight->shape, have), lur_shape_format(&value->shape, got));
  }
  lur_tensor *f32 = value;
  if (value->dtype == LUR_F32) {
    lur_tensor_retain(value);
  } else {
    LUR_TRY(lur_tensor_cast(value, LUR_F32, &f32));
  }
  lur_status status = lur_tensor_copy(weight->value, f32);
  if (status == LUR_OK) weight->version++;
  lur_tensor_release(f32);
  return status;
}

lur_status lur_layer_reset(lur_layer *layer) {
  for (int i = 0; i < layer->nweights; i++) LUR_TRY(lur_weight_draw(layer, &layer->weights[i]));
  return LUR_OK;
}

uint64_t lur_weight_version(const lur_weight *weight) { return weight->version + weight->value->storage->writes; }

lur_status lur_weight_to(lur_weight *weight, lur_device *device) {
  lur_tensor *there;
  LUR_TRY(lur_tensor_to(weight->value, device, &there));
  if (there != weight->value) weight->version += weight->value->storage->writes; /* the new tensor counts from 0 */
  lur_tensor_release(weight->value);
  weight->value = there;
  return LUR_OK;
}
