/* keras3_read.c - reads Keras 3's .weights.h5 (Keras 3.10 keras/src/saving/saving_lib.py), which has no list of layers,
 * but paths of class names and counters that are independent of the layers' names.
 *
 *   layers/conv2d_1/vars/0            the second Conv2D of model.layers; arrays in order of creation
 *   layers/functional/layers/...      a model used as a layer
 *
 * From 3.10 on, vars has an attribute `name` with the layer's name, which is used if it is present. Without it, the
 * k-th group of a class is the model's k-th layer of that class. The paths do not tell the order between classes. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keras3_read.h"

enum { MAX_DEPTH = 8, MAX_NAME = 256 };

static const struct {
  const char *group, *kind;
} classes[] = {{"conv2d", "conv2d"},
               {"separable_conv2d", "separable_conv2d"},
               {"depthwise_conv2d", "depthwise_conv2d"},
               {"batch_normalization", "batchnorm"},
               {"normalization", "normalization"},
               {"layer_normalization", "layernorm"},
               {"group_normalization", "groupnorm"},
               {"layer_scale", "layer_scale"},
               {"dense", "dense"}};

/* Name of the model's layer for a group: for "conv2d_3", the fourth of that kind. */
static const char *layer_of_class(const lur_model *model, const char *group) {
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
    size_t length = strlen(classes[i].group);
    if (strncmp(group, classes[i].group, length) != 0) continue;
    long k = 0;
    if (group[length] == '_' && isdigit((unsigned char)group[length + 1])) {
      char *end;
      k = strtol(group + length + 1, &end, 10);
      if (*end != '\0') continue;
    } else if (group[length] != '\0') {
      continue;
    }
    for (int at = 0; at < lur_model_layer_count(model); at++) {
      const lur_layer *layer = lur_model_layer(model, at);
      if (strcmp(lur_layer_kind(layer), classes[i].kind) == 0 && k-- == 0) return lur_layer_name(layer);
    }
  }
  return NULL;
}

typedef struct walk {
  lur_weight_file *file;
  lur_hdf5 *hdf5;
  const lur_model *model;
} walk;

static lur_status add_vars(const walk *in, const lur_hdf5_group *vars, const char *path, const char *group, bool top) {
  lur_strings names = {0};
  if (lur_hdf5_has_attribute(vars, "name")) LUR_TRY(lur_hdf5_strings(vars, "name", &names));
  const char *layer = names.n == 1 ? names.items[0] : top ? layer_of_class(in->model, group) : NULL;
  if (layer == NULL) layer = group;
  int from = in->file->nlayers;
  lur_status status = LUR_OK;
  char array[16];
  for (int i = 0; i <= LUR_MAX_WEIGHTS && status == LUR_OK; i++) {
    snprintf(array, sizeof array, "%d", i);
    if (!lur_hdf5_has_link(vars, array)) break;
    status = lur_keras_file_add(in->file, from, layer, array, path, array);
  }
  lur_strings_free(&names);
  return status;
}

static lur_status add_level(const walk *in, const lur_hdf5_group *level, const char *path, int depth);

/* What is in one layer's group: its own arrays, or another model's layers. */
static lur_status add_inside(const walk *in, const lur_hdf5_group *group, const char *path, const char *name,
                             int depth) {
  char below[4 * MAX_NAME];
  lur_hdf5_group *next = NULL;
  const char *inside = lur_hdf5_has_link(group, "layers") ? "layers" : lur_hdf5_has_link(group, "vars") ? "vars" : NULL;
  if (inside == NULL) return LUR_OK;
  if (snprintf(below, sizeof below, "%s/%s/%s", path, name, inside) >= (int)sizeof below)
    return lur_fail(LUR_EFORMAT, "'%s': the path '%.100s' has more than %d bytes", in->file->path, path, 4 * MAX_NAME);
  LUR_TRY(lur_hdf5_group_open(in->hdf5, group, inside, &next));
  lur_status status = strcmp(inside, "layers") == 0 ? add_level(in, next, below, depth + 1)
                                                    : add_vars(in, next, below, name, depth == 0);
  lur_hdf5_group_close(next);
  return status;
}

static lur_status add_layer(const walk *in, const lur_hdf5_group *level, const char *path, const char *name,
                            int depth) {
  bool is_group = false;
  lur_hdf5_group *group = NULL;
  LUR_TRY(lur_hdf5_is_group(level, name, &is_group));
  if (!is_group) return LUR_OK; /* a dataset: not a layer */
  LUR_TRY(lur_hdf5_group_open(in->hdf5, level, name, &group));
  lur_status status = add_inside(in, group, path, name, depth);
  lur_hdf5_group_close(group);
  return status;
}

static lur_status add_level(const walk *in, const lur_hdf5_group *level, const char *path, int depth) {
  if (depth > MAX_DEPTH)
    return lur_fail(LUR_EFORMAT, "'%s': '%.100s' is nested more than %d models deep", in->file->path, path, MAX_DEPTH);
  for (int i = 0; i < lur_hdf5_link_count(level); i++) {
    const char *name = lur_hdf5_link_name(level, i);
    if (strlen(name) >= MAX_NAME)
      return lur_fail(LUR_EFORMAT, "'%s': a name in '%.100s' has %zu bytes", in->file->path, path, strlen(name));
    LUR_TRY(add_layer(in, level, path, name, depth));
  }
  return LUR_OK;
}

lur_status lur_keras3_add_layers(lur_weight_file *file, const lur_model *model) {
  const lur_keras_file *keras = file->self;
  walk in = {file, keras->hdf5, model};
  const char *path = lur_hdf5_has_link(keras->group, "layers") ? "layers" : "_layer_checkpoint_dependencies";
  lur_hdf5_group *level = NULL;
  LUR_TRY(lur_hdf5_group_open(keras->hdf5, keras->group, path, &level));
  file->unordered = true;
  lur_status status = add_level(&in, level, path, 0);
  lur_hdf5_group_close(level);
  return status;
}
