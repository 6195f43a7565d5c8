/* keras_read.c - reads Keras weights files: here the HDF5 layout that Keras 1, 2 and 3 (legacy) share, of weights only
 * or of a whole model with its weights under model_weights (Keras 2.0.6 keras/engine/topology.py and keras/models.py,
 * Keras 3.10 keras/src/legacy/saving/legacy_h5_format.py); keras3_read.c reads Keras 3's own layout.
 *
 *   / or /model_weights      attribute layer_names: every layer, also those without weights
 *   LAYER                    attribute weight_names: paths of datasets inside this group, in order
 *   LAYER/LAYER/kernel:0     float32
 *
 * A model used as a layer is one group with all its arrays, the trainable ones first. Their order depends on what was
 * frozen when the file was saved, so its layers are matched by the name in front of the array's name, never by order.
 */
#include <stdlib.h>
#include <string.h>

#include "keras3_read.h"
#include "keras_file.h"

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

/* Whether a group's arrays have more than one scope: then it is a model used as a layer. */
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

/* ---- layers ---- */

static lur_status add_array(lur_weight_file *file, int from, const char *group, const char *weight, bool nested) {
  char *scope = NULL, *array = NULL;
  LUR_TRY(split_name(weight, &scope, &array));
  const char *layer = nested && scope[0] != '\0' ? scope : group;
  lur_status status = lur_keras_file_add(file, from, layer, array, group, weight);
  if (status == LUR_OK && !nested && scope[0] != '\0' && file->layers[file->nlayers - 1].inner == NULL) {
    file->layers[file->nlayers - 1].inner = scope;
    scope = NULL;
  }
  free(scope);
  free(array);
  return status;
}

static lur_status add_group(lur_weight_file *file, const char *name) {
  lur_keras_file *keras = file->self;
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
  for (int i = 0; i < weights.n && status == LUR_OK; i++)
    status = add_array(file, from, name, weights.items[i], nested);
  lur_strings_free(&weights);
  return status;
}

static lur_status add_layers(lur_weight_file *file) {
  lur_keras_file *keras = file->self;
  lur_strings layers = {0};
  LUR_TRY(lur_hdf5_strings(keras->group, "layer_names", &layers));
  lur_status status = LUR_OK;
  for (int i = 0; i < layers.n && status == LUR_OK; i++) status = add_group(file, layers.items[i]);
  lur_strings_free(&layers);
  return status;
}

/* ---- the file ---- */

static bool has_layer_names(const lur_hdf5_group *group) {
  return lur_hdf5_has_attribute(group, "layer_names") || lur_hdf5_has_attribute(group, "layer_names0");
}

/* Makes model_weights the group, for a file of a whole model; otherwise the root stays the group. */
static lur_status enter_model_weights(lur_keras_file *keras) {
  lur_hdf5_group *weights = NULL;
  if (has_layer_names(keras->group) || !lur_hdf5_has_link(keras->group, "model_weights")) return LUR_OK;
  LUR_TRY(lur_hdf5_group_open(keras->hdf5, keras->group, "model_weights", &weights));
  if (!has_layer_names(weights)) {
    lur_hdf5_group_close(weights);
    return LUR_OK;
  }
  lur_hdf5_group_close(keras->group);
  keras->group = weights;
  return LUR_OK;
}

lur_status lur_keras_open(lur_weight_file *file, bool zipped) {
  LUR_TRY(lur_keras_file_open(file, zipped));
  lur_keras_file *keras = file->self;
  LUR_TRY(enter_model_weights(keras));
  if (has_layer_names(keras->group)) return add_layers(file);
  if (lur_hdf5_has_link(keras->group, "layers") || lur_hdf5_has_link(keras->group, "_layer_checkpoint_dependencies"))
    return lur_keras3_add_layers(file, zipped);
  return lur_fail(LUR_EFORMAT,
                  "'%s' is HDF5 without Keras weights: attribute layer_names was expected on / or /model_weights",
                  file->path);
}
