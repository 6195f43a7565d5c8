/* torch.c - PyTorch's names and layouts. Which name belongs to which weight is a property of the model
 * (lur_model_set_weight_names); this file knows what all state dicts share. It opens no file. */
#include <stdio.h>
#include <string.h>

#include "files.h"

/* ---- names ---- */

static const char *without_wrapper(const char *name) { /* "module." is put before names by a data-parallel wrapper */
  return strncmp(name, "module.", 7) == 0 ? name + 7 : name;
}

static lur_torch_order order_of(const char *weight, int ndim) {
  if (strcmp(weight, "depthwise_kernel") == 0) return LUR_TORCH_DEPTHWISE;
  if (strcmp(weight, "pointwise_kernel") == 0) return LUR_TORCH_CONV;
  if (strcmp(weight, "kernel") == 0) return ndim == 2 ? LUR_TORCH_DENSE : LUR_TORCH_CONV;
  return LUR_TORCH_SAME;
}

bool lur_torch_translate(const lur_model *model, const char *name, int ndim, lur_torch_name *to) {
  name = without_wrapper(name);
  for (int i = 0; i < lur_model_weight_name_count(model); i++) {
    lur_weight_name known = lur_model_weight_name(model, i);
    if (strcmp(known.file, name) != 0) continue;
    const char *slash = strrchr(known.model, '/');
    snprintf(to->layer, sizeof to->layer, "%.*s", (int)(slash - known.model), known.model);
    snprintf(to->weight, sizeof to->weight, "%s", slash + 1);
    to->order = order_of(to->weight, ndim);
    return true;
  }
  return false;
}

bool lur_torch_ignores(const char *name) {
  const char *dot = strrchr(name, '.');
  return strcmp(dot == NULL ? name : dot + 1, "num_batches_tracked") == 0;
}

/* ---- layouts ---- */

/* For each dimension of the model's array, its position in the file's shape. */
static const int *axes(lur_torch_order order) {
  static const int same[] = {0, 1, 2, 3}, dense[] = {1, 0}, conv[] = {2, 3, 1, 0}, depthwise[] = {2, 3, 0, 1};
  return order == LUR_TORCH_DENSE       ? dense
         : order == LUR_TORCH_CONV      ? conv
         : order == LUR_TORCH_DEPTHWISE ? depthwise
                                        : same;
}

/* Vectors, and tokens and positions (1, n, c), whose first dimension stands for the batch, which our weights lack. */
static bool same_shape(const lur_shape *from, lur_shape *to) {
  int first = from->ndim > 1 && from->dim[0] == 1;
  if (from->ndim < 1 || from->ndim > 4) return false;
  *to = (lur_shape){.ndim = from->ndim - first};
  for (int i = 0; i < to->ndim; i++) to->dim[i] = from->dim[i + first];
  return true;
}

bool lur_torch_shape(lur_torch_order order, const lur_shape *from, lur_shape *to) {
  if (order == LUR_TORCH_SAME) return same_shape(from, to);
  int ndim = order == LUR_TORCH_DENSE ? 2 : 4;
  if (from->ndim != ndim) return false;
  *to = (lur_shape){.ndim = ndim};
  for (int i = 0; i < ndim; i++) to->dim[i] = from->dim[axes(order)[i]];
  return true;
}

void lur_torch_transpose(lur_torch_order order, const lur_shape *from, const float *x, float *y) {
  int64_t stride[4] = {0, 0, 0, 0}, extent[4] = {1, 1, 1, 1}, step = 1, strides[4];
  for (int i = from->ndim - 1; i >= 0; i--) {
    strides[i] = step;
    step *= from->dim[i];
  }
  /* Padded in front to four dimensions, so that shorter shapes use the same loops. */
  for (int i = 0; i < from->ndim; i++) {
    extent[4 - from->ndim + i] = from->dim[axes(order)[i]];
    stride[4 - from->ndim + i] = strides[axes(order)[i]];
  }
  for (int64_t a = 0; a < extent[0]; a++)
    for (int64_t b = 0; b < extent[1]; b++)
      for (int64_t c = 0; c < extent[2]; c++)
        for (int64_t d = 0; d < extent[3]; d++) *y++ = x[a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3]];
}
