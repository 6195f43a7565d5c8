/* named.c - a list of named tensors, to be written to a file. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "files.h"

static lur_status grow(lur_named *named) {
  if (named->n < named->capacity) return LUR_OK;
  int capacity = named->capacity * 2 + 32;
  char **names = realloc(named->names, (size_t)capacity * sizeof *names);
  if (names != NULL) named->names = names;
  lur_tensor **tensors = realloc(named->tensors, (size_t)capacity * sizeof *tensors);
  if (tensors != NULL) named->tensors = tensors;
  if (names == NULL || tensors == NULL) return lur_fail(LUR_ENOMEM, "no memory for a list of %d tensors", capacity);
  named->capacity = capacity;
  return LUR_OK;
}

lur_status lur_named_add(lur_named *named, lur_tensor *tensor, const char *format, ...) {
  LUR_TRY(grow(named));
  va_list args;
  va_start(args, format);
  char *name = NULL;
  int length = vasprintf(&name, format, args);
  va_end(args);
  if (length < 0) return lur_fail(LUR_ENOMEM, "no memory for the name of a tensor");
  lur_tensor_retain(tensor);
  named->names[named->n] = name;
  named->tensors[named->n++] = tensor;
  return LUR_OK;
}

lur_status lur_named_add_weights(lur_named *named, const lur_model *model) {
  for (int i = 0; i < lur_model_layer_count(model); i++) {
    const lur_layer *layer = lur_model_layer(model, i);
    for (int k = 0; k < lur_layer_weight_count(layer); k++)
      LUR_TRY(lur_named_add(named, lur_layer_weight(layer, k), "%s/%s", lur_layer_name(layer),
                            lur_layer_weight_name(layer, k)));
  }
  return LUR_OK;
}

void lur_named_release(lur_named *named) {
  for (int i = 0; i < named->n; i++) {
    free(named->names[i]);
    lur_tensor_release(named->tensors[i]);
  }
  free(named->names);
  free(named->tensors);
  *named = (lur_named){0};
}
