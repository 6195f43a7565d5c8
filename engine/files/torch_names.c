/* torch_names.c - PyTorch's names and layouts for networks that were converted from Keras, and back to ours. Xception:
 * timm/models/xception.py at pytorch-image-models 16664ea (`xception`, later `legacy_xception`). It opens no file.
 *
 *   conv1, bn1, conv2, bn2       block1_conv1, block1_conv1_bn, block1_conv2, ...
 *   block1 .. block12            block2 .. block13; inside, rep.N: see rep below; skip, skipbn: the residual branch
 *   conv3, bn3, conv4, bn4, fc   block14_sepconv1, ..., predictions
 *
 * For another network: a translate function like xception's, tried in lur_torch_translate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

/* ---- weights inside a layer ---- */

/* Splits "rest.weight" at its last dot. */
static const char *last_part(const char *name, size_t *before) {
  const char *dot = strrchr(name, '.');
  *before = dot == NULL ? 0 : (size_t)(dot - name);
  return dot == NULL ? name : dot + 1;
}

static bool is_batchnorm(const char *part, char weight[32]) {
  static const char *const pairs[][2] = {
      {"weight", "gamma"}, {"bias", "beta"}, {"running_mean", "moving_mean"}, {"running_var", "moving_variance"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (strcmp(part, pairs[i][0]) == 0) {
      snprintf(weight, 32, "%s", pairs[i][1]);
      return true;
    }
  return false;
}

/* ---- Xception ---- */

/* Name of the Keras layer for "rep.N" of Keras block b, and whether it is a batch norm. Blocks 5 to 12 have three
   separable convolutions, the others two; every block but the second begins with an activation. */
static bool rep(int block, int n, char *layer, size_t capacity, bool *batchnorm) {
  int start = block == 2 ? 0 : 1, count = block >= 5 && block <= 12 ? 3 : 2;
  int place = n - start;
  if (place < 0 || place % 3 == 2 || place / 3 >= count) return false;
  *batchnorm = place % 3 == 1;
  snprintf(layer, capacity, "block%d_sepconv%d%s", block, place / 3 + 1, *batchnorm ? "_bn" : "");
  return true;
}

/* The residual branches have automatic names, counted over the four of them. */
static int skip_number(int block) { return block >= 2 && block <= 4 ? block - 1 : block == 13 ? 4 : 0; }

typedef enum part_kind { NO_PART, CONV, SEPCONV, BATCHNORM, DENSE } part_kind;

/* "block3.rep.4" without its weight's name; sepconvs keep their ".conv1" or ".pointwise" apart. */
static part_kind xception_layer(const char *path, char *layer, size_t capacity) {
  static const struct {
    const char *torch, *keras;
    part_kind kind;
  } outer[] = {{"conv1", "block1_conv1", CONV},         {"bn1", "block1_conv1_bn", BATCHNORM},
               {"conv2", "block1_conv2", CONV},         {"bn2", "block1_conv2_bn", BATCHNORM},
               {"conv3", "block14_sepconv1", SEPCONV},  {"bn3", "block14_sepconv1_bn", BATCHNORM},
               {"conv4", "block14_sepconv2", SEPCONV},  {"bn4", "block14_sepconv2_bn", BATCHNORM},
               {"fc", "predictions", DENSE},            {"last_linear", "predictions", DENSE}};
  for (size_t i = 0; i < sizeof outer / sizeof *outer; i++)
    if (strcmp(path, outer[i].torch) == 0) {
      snprintf(layer, capacity, "%s", outer[i].keras);
      return outer[i].kind;
    }
  int block = 0, n = 0, end = 0;
  bool batchnorm = false;
  if (sscanf(path, "block%2d.rep.%2d%n", &block, &n, &end) == 2 && path[end] == '\0' && block >= 1 && block <= 12)
    return !rep(block + 1, n, layer, capacity, &batchnorm) ? NO_PART : batchnorm ? BATCHNORM : SEPCONV;
  end = 0;
  if (sscanf(path, "block%2d.skip%n", &block, &end) != 1 || end == 0 || skip_number(block + 1) == 0) return NO_PART;
  batchnorm = strcmp(path + end, "bn") == 0;
  if (!batchnorm && path[end] != '\0') return NO_PART;
  snprintf(layer, capacity, "%s_%d", batchnorm ? "batch_normalization" : "conv2d", skip_number(block + 1));
  return batchnorm ? BATCHNORM : CONV;
}

static bool xception(const char *name, int ndim, lur_torch_name *to) {
  char path[LUR_NAME];
  size_t before;
  const char *part = last_part(name, &before);
  if (before == 0 || before >= sizeof path) return false;
  memcpy(path, name, before);
  path[before] = '\0';
  /* A separable convolution is two modules, each with one weight of four dimensions. */
  size_t inner;
  const char *module = last_part(path, &inner);
  bool depthwise = strcmp(module, "conv1") == 0, pointwise = strcmp(module, "pointwise") == 0;
  if (inner > 0 && (depthwise || pointwise) && strcmp(part, "weight") == 0 && ndim == 4) {
    path[inner] = '\0';
    if (xception_layer(path, to->layer, sizeof to->layer) != SEPCONV) return false;
    snprintf(to->weight, sizeof to->weight, "%s", depthwise ? "depthwise_kernel" : "pointwise_kernel");
    to->order = depthwise ? LUR_TORCH_DEPTHWISE : LUR_TORCH_CONV;
    return true;
  }
  part_kind kind = xception_layer(path, to->layer, sizeof to->layer);
  to->order = kind == CONV ? LUR_TORCH_CONV : kind == DENSE && ndim == 2 ? LUR_TORCH_DENSE : LUR_TORCH_SAME;
  if (kind == BATCHNORM) return ndim == 1 && is_batchnorm(part, to->weight);
  if ((kind != CONV && kind != DENSE) || (strcmp(part, "weight") != 0 && strcmp(part, "bias") != 0)) return false;
  snprintf(to->weight, sizeof to->weight, "%s", strcmp(part, "weight") == 0 ? "kernel" : "bias");
  return strcmp(part, "bias") == 0 ? ndim == 1 : ndim == (kind == CONV ? 4 : 2);
}

/* ---- all networks ---- */

bool lur_torch_translate(const char *name, int ndim, lur_torch_name *to) {
  if (strncmp(name, "module.", 7) == 0) name += 7; /* saved from a data-parallel wrapper */
  return xception(name, ndim, to);
}

bool lur_torch_ignores(const char *name) {
  size_t before;
  return strcmp(last_part(name, &before), "num_batches_tracked") == 0;
}

/* ---- layouts ---- */

/* Position in the file's shape of each of our dimensions. */
static const int *axes(lur_torch_order order) {
  static const int same[] = {0, 1, 2, 3}, dense[] = {1, 0}, conv[] = {2, 3, 1, 0}, depthwise[] = {2, 3, 0, 1};
  return order == LUR_TORCH_DENSE ? dense : order == LUR_TORCH_CONV ? conv : order == LUR_TORCH_DEPTHWISE ? depthwise : same;
}

bool lur_torch_shape(lur_torch_order order, const lur_shape *from, lur_shape *to) {
  int ndim = order == LUR_TORCH_SAME ? 1 : order == LUR_TORCH_DENSE ? 2 : 4;
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
  /* Our dimensions at the end of four, so that shorter shapes run through the same loops. */
  for (int i = 0; i < from->ndim; i++) {
    extent[4 - from->ndim + i] = from->dim[axes(order)[i]];
    stride[4 - from->ndim + i] = strides[axes(order)[i]];
  }
  for (int64_t a = 0; a < extent[0]; a++)
    for (int64_t b = 0; b < extent[1]; b++)
      for (int64_t c = 0; c < extent[2]; c++)
        for (int64_t d = 0; d < extent[3]; d++) *y++ = x[a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3]];
}
