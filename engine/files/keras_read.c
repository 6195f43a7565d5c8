/* keras_read.c - Keras weight files of the HDF5 layout that Keras 1, 2 and 3 (legacy) share: weights only, or the whole
 * model with its weights under model_weights (Keras 2.0.6 engine/topology.py, Keras 3.10 legacy_h5_format.py).
 *
 *   / or /model_weights      attribute layer_names: every layer, weightless ones too
 *   LAYER                    attribute weight_names: paths of datasets inside this group, in order
 *   LAYER/LAYER/kernel:0     float32
 *
 * A model used as a layer is one group with all its arrays flat, trainable ones first: an order that depends on what
 * was frozen when it was saved, so its layers are told apart by the name before the array's and never matched by order.
 * Values are read when they are asked for. */
#include <stdlib.h>
#include <string.h>

#include "h5.h"
#include "keras.h"

typedef struct keras_file {
  lur_h5 h5;
  hid_t group; /* that has layer_names */
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
  char *a = slash == NULL ? strdup("") : strndup(first, (size_t)(slash - first)),
       *b = strndup(last, strcspn(last, ":"));
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
    if (datasets == NULL) return lur_fail(LUR_ENOMEM, "no memory for %d arrays of '%s'", capacity, keras->h5.path);
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
  hid_t dataset = H5I_INVALID_HID;
  lur_shape shape;
  char *scope = NULL, *array = NULL;
  int source = 0;
  lur_status status = split_name(weight, &scope, &array);
  if (status == LUR_OK) status = add_dataset(keras, group_name, weight, &source);
  if (status == LUR_OK)
    status = lur_h5_open_numbers(&keras->h5, keras->group, keras->datasets[source], &dataset, &shape);
  if (status == LUR_OK)
    status = lur_weight_file_add(file, from, nested && scope[0] != '\0' ? scope : group_name, array, &shape, source);
  if (status == LUR_OK && !nested && scope[0] != '\0' && file->layers[file->nlayers - 1].inner == NULL) {
    file->layers[file->nlayers - 1].inner = scope;
    scope = NULL;
  }
  if (dataset >= 0) H5Dclose(dataset);
  free(scope);
  free(array);
  return status;
}

static lur_status add_group(lur_weight_file *file, const char *name) {
  keras_file *keras = file->self;
  lur_strings weights = {0};
  hid_t group = name[0] == '\0' ? H5I_INVALID_HID : H5Gopen2(keras->group, name, H5P_DEFAULT);
  if (group < 0) return lur_h5_fail(&keras->h5, "layer_names lists a layer without a group,", name);
  lur_status status = lur_h5_strings(&keras->h5, group, name, "weight_names", &weights);
  int from = file->nlayers;
  bool nested = is_nested(&weights);
  file->unordered = file->unordered || nested;
  for (int i = 0; i < weights.n && status == LUR_OK; i++)
    status = add_array(file, from, name, weights.items[i], nested);
  lur_strings_free(&weights);
  H5Gclose(group);
  return status;
}

static lur_status add_layers(lur_weight_file *file) {
  keras_file *keras = file->self;
  lur_strings layers = {0};
  LUR_TRY(lur_h5_strings(&keras->h5, keras->group, "/", "layer_names", &layers));
  lur_status status = LUR_OK;
  for (int i = 0; i < layers.n && status == LUR_OK; i++) status = add_group(file, layers.items[i]);
  lur_strings_free(&layers);
  return status;
}

/* ---- the file ---- */

static lur_status read_array(lur_weight_file *file, const lur_file_array *array, float *values) {
  keras_file *keras = file->self;
  const char *name = keras->datasets[array->source];
  hid_t dataset = H5I_INVALID_HID;
  lur_shape shape;
  LUR_TRY(lur_h5_open_numbers(&keras->h5, keras->group, name, &dataset, &shape));
  lur_status status = lur_h5_read_numbers(&keras->h5, dataset, name, lur_shape_count(&array->shape), values);
  H5Dclose(dataset);
  return status;
}

static void close_keras(lur_weight_file *file) {
  keras_file *keras = file->self;
  for (int i = 0; i < keras->n; i++) free(keras->datasets[i]);
  free(keras->datasets);
  if (keras->group >= 0) H5Gclose(keras->group);
  lur_h5_close(&keras->h5);
  free(keras);
}

static bool has_layer_names(hid_t group) {
  return lur_h5_has_attribute(group, "layer_names") || lur_h5_has_attribute(group, "layer_names0");
}

/* The root where it has layer_names, else model_weights where that has. */
static lur_status find_weights(keras_file *keras, bool *keras3) {
  hid_t root = H5Gopen2(keras->h5.file, "/", H5P_DEFAULT);
  if (root < 0) return lur_h5_fail(&keras->h5, "cannot open", "/");
  hid_t whole = !has_layer_names(root) && lur_h5_has_link(root, "model_weights")
                    ? H5Gopen2(root, "model_weights", H5P_DEFAULT)
                    : root;
  *keras3 = false;
  if (whole >= 0 && has_layer_names(whole)) {
    keras->group = whole;
    if (whole != root) H5Gclose(root);
    return LUR_OK;
  }
  if (whole >= 0 && whole != root) H5Gclose(whole);
  *keras3 = lur_h5_has_link(root, "layers") || lur_h5_has_link(root, "_layer_checkpoint_dependencies");
  if (*keras3) {
    keras->group = root;
    return LUR_OK;
  }
  H5Gclose(root);
  return lur_fail(LUR_EFORMAT,
                  "'%s' is HDF5 without Keras weights: attribute layer_names was expected on / or /model_weights",
                  keras->h5.path);
}

lur_status lur_keras_add_array(lur_weight_file *file, int from, const char *layer, const char *array, const char *group,
                               const char *name) {
  keras_file *keras = file->self;
  hid_t dataset = H5I_INVALID_HID;
  lur_shape shape;
  int source = 0;
  LUR_TRY(add_dataset(keras, group, name, &source));
  LUR_TRY(lur_h5_open_numbers(&keras->h5, keras->group, keras->datasets[source], &dataset, &shape));
  H5Dclose(dataset);
  return lur_weight_file_add(file, from, layer, array, &shape, source);
}

/* The .weights.h5 inside a .keras archive. */
static lur_status open_zipped(const char *path, lur_h5 *h5) {
  void *bytes = NULL;
  size_t count = 0;
  LUR_TRY(lur_zip_read(path, "model.weights.h5", &bytes, &count));
  lur_status status = lur_h5_open_image(path, bytes, count, h5);
  free(bytes);
  return status;
}

lur_status lur_keras_open(lur_weight_file *file, const lur_model *model, bool zipped) {
  keras_file *keras = NULL;
  bool keras3 = false;
  LUR_TRY(lur_alloc_items(1, sizeof *keras, &keras));
  keras->group = H5I_INVALID_HID;
  lur_status status = zipped ? open_zipped(file->path, &keras->h5) : lur_h5_open(file->path, &keras->h5);
  if (status != LUR_OK) {
    free(keras);
    return status;
  }
  file->self = keras;
  file->read = read_array;
  file->close = close_keras;
  LUR_TRY(find_weights(keras, &keras3));
  return keras3 ? lur_keras3_add_layers(file, &keras->h5, keras->group, model) : add_layers(file);
}
