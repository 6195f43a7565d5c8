/* keras_read.c - Keras weight files of the HDF5 layout that Keras 1, 2 and 3 (legacy) share: weights only, or the whole
 * model with its weights under model_weights (Keras 2.0.6 engine/topology.py, Keras 3.10 legacy_h5_format.py).
 *
 *   / or /model_weights      attribute layer_names: every layer, weightless ones too
 *   LAYER                    attribute weight_names: paths of datasets inside this group, in order
 *   LAYER/LAYER/kernel:0     float32
 *
 * A model used as a layer is one group with all its arrays flat, trainable ones first: an order that depends on what was
 * frozen when it was saved, so its layers are told apart by the name before the array's and never matched by order.
 * Values are read when they are asked for. */
#include <stdlib.h>
#include <string.h>

#include "keras.h"

typedef struct keras_file {
  lur_hdf5 *hdf5;
  lur_hdf5_group *group; /* that has layer_names */
  int n, capacity;
  char **datasets; /* "LAYER/LAYER/kernel:0", by source number */
} keras_file;

/* ---- names ---- */

/* "xception/block1_conv1/kernel:0" to "block1_conv1" and "kernel"; scope is "" where there is no slash. */
static lur_status split_name(const char *weight, char **scope, char **array) {
  const char *slash = strrchr(weight, '/');
  const char *last = slash == NULL ? weight : slash + 1;
  const char *first = slash == NULL ? weight : slash;
  while (first > weight && first[-1] != '/') first--;
  char *a = slash == NULL ? strdup("") : strndup(first, (size_t)(slash - first)), *b = strndup(last, strcspn(last, ":"));
  if (a == NULL || b == NULL) {
    free(a);
    free(b);
    return lur_fail(LUR_ENOMEM, "no memory for the name '%.100s'", weight);
  }
  *scope = a;
  *array = b;
  return LUR_OK;
}

/* More than one scope among a group's arrays: it is a model used as a layer. */
static bool is_nested(const lur_strings *weights) {
  size_t length = 0;
  for (int i = 0; i < weights->n; i++) {
    const char *slash = strrchr(weights->items[i], '/');
    size_t here = slash == NULL ? 0 : (size_t)(slash - weights->items[i]);
    if (i > 0 && (here != length || strncmp(weights->items[i], weights->items[0], here) != 0)) return true;
    length = here;
  }
  return false;
}

static lur_status add_dataset(keras_file *keras, const char *layer, const char *weight, int *source) {
  if (keras->n == keras->capacity) {
    int capacity = keras->capacity * 2 + 64;
    char **datasets = realloc(keras->datasets, (size_t)capacity * sizeof *datasets);
    if (datasets == NULL) return lur_fail(LUR_ENOMEM, "no memory for %d arrays of '%s'", capacity, lur_hdf5_path(keras->hdf5));
    keras->datasets = datasets;
    keras->capacity = capacity;
  }
  lur_lines path = {0};
  lur_lines_add(&path, "%s/%s", layer, weight);
  LUR_TRY(lur_lines_take(&path, &keras->datasets[keras->n]));
  *source = keras->n++;
  return LUR_OK;
}

/* ---- layers ---- */

static lur_status add_array(lur_weight_file *file, int from, const char *group_name, const char *weight, bool nested) {
  keras_file *keras = file->self;
  lur_shape shape;
  char *scope = NULL, *array = NULL;
  int source = 0;
  lur_status status = split_name(weight, &scope, &array);
  if (status == LUR_OK) status = add_dataset(keras, group_name, weight, &source);
  if (status == LUR_OK) status = lur_hdf5_shape(keras->hdf5, keras->group, keras->datasets[source], &shape);
  if (status == LUR_OK) status = lur_weight_file_add(file, from, nested && scope[0] != '\0' ? scope : group_name, array, &shape, source);
  if (status == LUR_OK && !nested && scope[0] != '\0' && file->layers[file->nlayers - 1].inner == NULL) {
    file->layers[file->nlayers - 1].inner = scope;
    scope = NULL;
  }
  free(scope);
  free(array);
  return status;
}

static lur_status add_group(lur_weight_file *file, const char *name) {
  keras_file *keras = file->self;
  lur_strings weights = {0};
  lur_hdf5_group *group = NULL;
  bool is_group = false;
  if (name[0] != '\0') LUR_TRY(lur_hdf5_is_group(keras->group, name, &is_group));
  if (!is_group)
    return lur_fail(LUR_EFORMAT, "'%s': layer_names lists a layer without a group, '%.100s'", file->path, name);
  LUR_TRY(lur_hdf5_group_open(keras->hdf5, keras->group, name, &group));
  lur_status status = lur_hdf5_strings(group, "weight_names", &weights);
  lur_hdf5_group_close(group);
  int from = file->nlayers;
  bool nested = is_nested(&weights);
  file->unordered = file->unordered || nested;
  for (int i = 0; i < weights.n && status == LUR_OK; i++) status = add_array(file, from, name, weights.items[i], nested);
  lur_strings_free(&weights);
  return status;
}

static lur_status add_layers(lur_weight_file *file) {
  keras_file *keras = file->self;
  lur_strings layers = {0};
  LUR_TRY(lur_hdf5_strings(keras->group, "layer_names", &layers));
  lur_status status = LUR_OK;
  for (int i = 0; i < layers.n && status == LUR_OK; i++) status = add_group(file, layers.items[i]);
  lur_strings_free(&layers);
  return status;
}

/* ---- the file ---- */

static lur_status read_array(lur_weight_file *file, const lur_file_array *array, float *values) {
  keras_file *keras = file->self;
  return lur_hdf5_values(keras->hdf5, keras->group, keras->datasets[array->source], lur_shape_count(&array->shape), values);
}

static void close_keras(lur_weight_file *file) {
  keras_file *keras = file->self;
  for (int i = 0; i < keras->n; i++) free(keras->datasets[i]);
  free(keras->datasets);
  lur_hdf5_group_close(keras->group);
  lur_hdf5_close(keras->hdf5);
  free(keras);
}

static bool has_layer_names(const lur_hdf5_group *group) {
  return lur_hdf5_has_attribute(group, "layer_names") || lur_hdf5_has_attribute(group, "layer_names0");
}

/* The root where it has layer_names, else model_weights where that has. */
static lur_status find_weights(keras_file *keras, bool *keras3) {
  lur_hdf5_group *whole = NULL;
  LUR_TRY(lur_hdf5_group_open(keras->hdf5, NULL, "/", &keras->group));
  *keras3 = false;
  if (has_layer_names(keras->group)) return LUR_OK;
  if (lur_hdf5_has_link(keras->group, "model_weights")) LUR_TRY(lur_hdf5_group_open(keras->hdf5, keras->group, "model_weights", &whole));
  if (whole != NULL && has_layer_names(whole)) {
    lur_hdf5_group_close(keras->group);
    keras->group = whole;
    return LUR_OK;
  }
  lur_hdf5_group_close(whole);
  *keras3 = lur_hdf5_has_link(keras->group, "layers") || lur_hdf5_has_link(keras->group, "_layer_checkpoint_dependencies");
  if (*keras3) return LUR_OK;
  return lur_fail(LUR_EFORMAT, "'%s' is HDF5 without Keras weights: attribute layer_names was expected on / or /model_weights",
                  lur_hdf5_path(keras->hdf5));
}

lur_status lur_keras_add_array(lur_weight_file *file, int from, const char *layer, const char *array, const char *group, const char *name) {
  keras_file *keras = file->self;
  lur_shape shape;
  int source = 0;
  LUR_TRY(add_dataset(keras, group, name, &source));
  LUR_TRY(lur_hdf5_shape(keras->hdf5, keras->group, keras->datasets[source], &shape));
  return lur_weight_file_add(file, from, layer, array, &shape, source);
}

/* The .weights.h5 inside a .keras archive. */
static lur_status open_zipped(const char *path, lur_hdf5 **hdf5) {
  void *bytes = NULL;
  size_t count = 0;
  LUR_TRY(lur_zip_read(path, "model.weights.h5", &bytes, &count));
  return lur_hdf5_open_bytes(path, bytes, count, hdf5);
}

lur_status lur_keras_open(lur_weight_file *file, const lur_model *model, bool zipped) {
  keras_file *keras = NULL;
  bool keras3 = false;
  LUR_TRY(lur_alloc_items(1, sizeof *keras, &keras));
  lur_status status = zipped ? open_zipped(file->path, &keras->hdf5) : lur_hdf5_open(file->path, &keras->hdf5);
  if (status != LUR_OK) {
    free(keras);
    return status;
  }
  file->self = keras;
  file->read = read_array;
  file->close = close_keras;
  LUR_TRY(find_weights(keras, &keras3));
  return keras3 ? lur_keras3_add_layers(file, keras->hdf5, keras->group, model) : add_layers(file);
}
