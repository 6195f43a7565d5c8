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
  lur_keras_file *keras = file->self;
  lur_strings layers = {0};
  LUR_TRY(lur_h5_strings(&keras->h5, keras->group, "/", "layer_names", &layers));
  lur_status status = LUR_OK;
  for (int i = 0; i < layers.n && status == LUR_OK; i++) status = add_group(file, layers.items[i]);
  lur_strings_free(&layers);
  return status;
}

/* ---- the file ---- */

static bool has_layer_names(hid_t group) {
  return lur_h5_has_attribute(group, "layer_names") || lur_h5_has_attribute(group, "layer_names0");
}

static lur_status no_weights(const lur_keras_file *keras) {
  return lur_fail(LUR_EFORMAT,
                  "'%s' is HDF5 without Keras weights: attribute layer_names was expected on / or /model_weights",
                  keras->h5.path);
}

/* Makes model_weights the group, for a file of a whole model; otherwise the root stays the group. */
static void enter_model_weights(lur_keras_file *keras) {
  if (has_layer_names(keras->group) || !lur_h5_has_link(keras->group, "model_weights")) return;
  hid_t weights = H5Gopen2(keras->group, "model_weights", H5P_DEFAULT);
  if (weights < 0 || !has_layer_names(weights)) {
    if (weights >= 0) H5Gclose(weights);
    return;
  }
  H5Gclose(keras->group);
  keras->group = weights;
}

lur_status lur_keras_open(lur_weight_file *file, const lur_model *model, bool zipped) {
  LUR_TRY(lur_keras_file_open(file, zipped));
  lur_keras_file *keras = file->self;
  enter_model_weights(keras);
  if (has_layer_names(keras->group)) return add_layers(file);
  bool keras3 =
      lur_h5_has_link(keras->group, "layers") || lur_h5_has_link(keras->group, "_layer_checkpoint_dependencies");
  return keras3 ? lur_keras3_add_layers(file, model) : no_weights(keras);
}
