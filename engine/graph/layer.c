/* layer.c - layers of every kind: creation, names and options. Weights are in weight.c, the kinds in engine/layers/. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/context.h"
#include "layer.h"

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
                                           .help = "false: the optimizer does not change its weights"},
                                          {0}};
static const char *const common_names[] = {"name", "trainable", NULL};

static bool is_common(const lur_setting *s) {
  return s->name && (strcmp(s->name, common_names[0]) == 0 || strcmp(s->name, common_names[1]) == 0);
}

static lur_status read_common(const char *kind, const lur_setting *settings, int n, common_options *common) {
  lur_setting own[3]; /* room for a third, which shows that an option is given twice */
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

bool lur_layer_kind_takes_numbers(const char *kind) {
  const lur_layer_type *type = lur_layer_type_find(kind);
  return type && type->numbers;
}

static lur_status unknown_kind(const char *kind) {
  enum { MOST = 256 };
  const char *names[MOST];
  int n = 0;
  for (; lur_layer_types[n] && n < MOST; n++) names[n] = lur_layer_types[n]->name;
  const char *near = lur_nearest(kind, names, n);
  return lur_fail(LUR_EARG, "unknown layer kind '%.80s'%s%s%s", kind, near ? " (did you mean '" : "", near ? near : "",
                  near ? "'?)" : "");
}

/* ---- names ---- */

/* The counter of a kind's automatic names, created at first use. */
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
    snprintf(layer->name, sizeof layer->name, "%.*s%s_%d", LUR_NAME - 48, layer->context->scope, counter->kind,
             counter->count + 1);
  }
  if (kind->check) LUR_TRY(kind->check(layer));
  if (counter) counter->count++; /* a layer that could not be created takes no number */
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

void lur_layer_retain(lur_layer *layer) { atomic_fetch_add(&layer->refs, 1); }

void lur_layer_release(lur_layer *layer) {
  if (!layer || atomic_fetch_sub(&layer->refs, 1) != 1) return;
  lur_layer_drop_weights(layer);
  free(layer->options);
  lur_context_release(layer->context);
  free(layer);
}

const char *lur_layer_name(const lur_layer *layer) { return layer->name; }
const char *lur_layer_kind(const lur_layer *layer) { return layer->kind->name; }
bool lur_layer_is_given(const lur_layer *layer) { return layer->kind->given; }
bool lur_layer_trainable(const lur_layer *layer) { return layer->trainable; }
void lur_layer_set_trainable(lur_layer *layer, bool trainable) { layer->trainable = trainable; }

/* ---- reading options back ---- */

int lur_layer_format(const lur_layer *layer, char *text, size_t capacity) {
  int options = lur_options_format(layer->kind->options, layer->options, false, NULL, 0);
  int before = snprintf(text, capacity, options ? "%s{ " : "%s{", layer->kind->name);
  size_t at = (size_t)before < capacity ? (size_t)before : capacity;
  lur_options_format(layer->kind->options, layer->options, false, capacity ? text + at : NULL, capacity - at);
  at = (size_t)(before + options) < capacity ? (size_t)(before + options) : capacity;
  int after = snprintf(capacity ? text + at : NULL, capacity - at, options ? " }" : "}");
  return before + options + after;
}

static bool is_later(const lur_layer_type *kind, const char *option) {
  for (const char *const *name = kind->later_options; name && *name; name++) {
    if (strcmp(*name, option) == 0) return true;
  }
  return false;
}

int lur_layer_settings(const lur_layer *layer, lur_setting *settings, int capacity) {
  int n = 0;
  for (const lur_option *o = layer->kind->options; o && o->name; o++) {
    if (is_later(layer->kind, o->name) && lur_option_is_default(o, layer->options)) continue;
    if (n < capacity) lur_option_get(o, layer->options, &settings[n]);
    n++;
  }
  return n;
}
