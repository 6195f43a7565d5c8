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
  const lur_h5 *h5;
  const lur_model *model;
} walk;

static lur_status add_vars(const walk *in, hid_t vars, const char *path, const char *group, bool top) {
  lur_strings names = {0};
  if (lur_h5_has_attribute(vars, "name")) LUR_TRY(lur_h5_strings(in->h5, vars, path, "name", &names));
  const char *layer = names.n == 1 ? names.items[0] : top ? layer_of_class(in->model, group) : NULL;
  if (layer == NULL) layer = group;
  int from = in->file->nlayers;
  lur_status status = LUR_OK;
  char array[16];
  for (int i = 0; i <= LUR_MAX_WEIGHTS && status == LUR_OK; i++) {
    snprintf(array, sizeof array, "%d", i);
    if (!lur_h5_has_link(vars, array)) break;
    status = lur_keras_file_add(in->file, from, layer, array, path, array);
  }
  lur_strings_free(&names);
  return status;
}

static lur_status add_level(const walk *in, hid_t level, const char *path, int depth);

/* One layer's group: its own arrays, or another model's layers. */
static lur_status add_layer(const walk *in, hid_t level, const char *path, const char *name, int depth) {
  char below[4 * MAX_NAME];
  hid_t group = H5Gopen2(level, name, H5P_DEFAULT);
  if (group < 0) {
    H5Eclear2(H5E_DEFAULT); /* a dataset, not a layer */
    return LUR_OK;
  }
  lur_status status = LUR_OK;
  const char *inside = lur_h5_has_link(group, "layers") ? "layers" : lur_h5_has_link(group, "vars") ? "vars" : NULL;
  hid_t next = inside == NULL ? H5I_INVALID_HID : H5Gopen2(group, inside, H5P_DEFAULT);
  int length = snprintf(below, sizeof below, "%s/%s/%s", path, name, inside == NULL ? "" : inside);
  if (inside != NULL && (next < 0 || length >= (int)sizeof below)) status = lur_h5_fail(in->h5, "cannot open", name);
  else if (inside != NULL)
    status = strcmp(inside, "layers") == 0 ? add_level(in, next, below, depth + 1)
                                           : add_vars(in, next, below, name, depth == 0);
  if (next >= 0) H5Gclose(next);
  H5Gclose(group);
  return status;
}

static lur_status add_level(const walk *in, hid_t level, const char *path, int depth) {
  H5G_info_t info;
  if (depth > MAX_DEPTH)
    return lur_fail(LUR_EFORMAT, "'%s': '%.100s' is nested more than %d models deep", in->h5->path, path, MAX_DEPTH);
  if (H5Gget_info(level, &info) < 0) return lur_h5_fail(in->h5, "cannot list", path);
  for (hsize_t i = 0; i < info.nlinks; i++) {
    char name[MAX_NAME];
    ssize_t length = H5Lget_name_by_idx(level, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
    if (length < 0) return lur_h5_fail(in->h5, "cannot list", path);
    if ((size_t)length >= sizeof name)
      return lur_fail(LUR_EFORMAT, "'%s': a name of %zd bytes in '%.100s'", in->h5->path, length, path);
    LUR_TRY(add_layer(in, level, path, name, depth));
  }
  return LUR_OK;
}

lur_status lur_keras3_add_layers(lur_weight_file *file, const lur_model *model) {
  const lur_keras_file *keras = file->self;
  walk in = {file, &keras->h5, model};
  const char *path = lur_h5_has_link(keras->group, "layers") ? "layers" : "_layer_checkpoint_dependencies";
  hid_t level = H5Gopen2(keras->group, path, H5P_DEFAULT);
  if (level < 0) return lur_h5_fail(&keras->h5, "cannot open", path);
  file->unordered = true;
  lur_status status = add_level(&in, level, path, 0);
  H5Gclose(level);
  return status;
}
