/* weights_fit.c - whether a layer of a file fits one of the model: the number and the shapes of their arrays. */
#include <string.h>

#include "files.h"

static int array_named(const lur_file_layer *layer, const char *name) {
  for (int i = 0; i < layer->narrays; i++)
    if (strcmp(layer->arrays[i].name, name) == 0) return i;
  return -1;
}

/* Pairs arrays by name if the file has all the names, otherwise by position: Keras 1 and others use other names. */
static void pair_arrays(const lur_file_layer *file, lur_pairing *pairing) {
  bool named = true;
  int n = lur_layer_weight_count(pairing->layer);
  for (int k = 0; k < n; k++) {
    pairing->arrays[k] = array_named(file, lur_layer_weight_name(pairing->layer, k));
    named = named && pairing->arrays[k] >= 0;
  }
  for (int k = 0; k < n && !named; k++) pairing->arrays[k] = k;
}

/* A depthwise kernel h w c 1 is h w 1 c in the file where it is that of a convolution with groups: the same values in
   the same order. */
static bool shape_fits(const lur_layer *layer, int k, const lur_shape *file) {
  const lur_shape *shape = lur_tensor_shape(lur_layer_weight(layer, k));
  if (lur_shape_equal(shape, file)) return true;
  if (strcmp(lur_layer_weight_name(layer, k), "depthwise_kernel") != 0 || file->ndim != 4) return false;
  const lur_shape grouped = {4, {shape->dim[0], shape->dim[1], shape->dim[3], shape->dim[2]}};
  return shape->dim[3] == 1 && lur_shape_equal(&grouped, file);
}

/* Whether the file's last array is none of the layer's weights: how many values Keras's Normalization has seen. */
static bool has_count(const lur_file_layer *file, const lur_layer *layer) {
  return lur_layer_is_given(layer) && file->narrays == lur_layer_weight_count(layer) + 1 &&
         lur_shape_count(&file->arrays[file->narrays - 1].shape) == 1;
}

bool lur_weights_fit(const lur_file_layer *file, lur_pairing *pairing, lur_lines *why) {
  const lur_layer *layer = pairing->layer;
  int n = lur_layer_weight_count(layer);
  if (file->narrays != n && !has_count(file, layer)) {
    if (why != NULL) lur_lines_add(why, "%d arrays were expected, the file has %d", n, file->narrays);
    return false;
  }
  pair_arrays(file, pairing);
  for (int k = 0; k < n; k++) {
    const lur_file_array *array = &file->arrays[pairing->arrays[k]];
    const lur_shape *shape = lur_tensor_shape(lur_layer_weight(layer, k));
    char here[LUR_SHAPE_TEXT], there[LUR_SHAPE_TEXT];
    if (shape_fits(layer, k, &array->shape)) continue;
    if (why != NULL)
      lur_lines_add(why, "%s %s was expected, the file has %s", lur_layer_weight_name(layer, k),
                    lur_shape_format(shape, here), lur_shape_format(&array->shape, there));
    return false;
  }
  return true;
}

void lur_weights_assign(const lur_weight_file *file, lur_pairing *pairing, int from) {
  pairing->from = from;
  pairing->fits = from >= 0 && lur_weights_fit(&file->layers[from], pairing, NULL);
}
