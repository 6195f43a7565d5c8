/* folded.c - weights with a batch norm multiplied in (folded.h):
 *
 *   (conv(x, w) + b - mean) * s + beta  =  conv(x, w * s) + (b - mean) * s + beta
 *   where s = gamma / sqrt(variance + epsilon)
 *
 * They are computed in double on the host and copied to the device; pass_fold.c decides for which ops. */
#include "folded.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tensor/tensor.h"
#include "kernels/backend.h"

void lur_folded_free(lur_folded *folded) {
  if (!folded) return;
  lur_tensor_release(folded->kernel);
  lur_tensor_release(folded->shift);
  free(folded);
}

static uint64_t source_versions(const lur_folded *folded) {
  uint64_t sum = 1;
  for (int i = 0; i < folded->conv->nweights; i++) sum += lur_weight_version(&folded->conv->weights[i]);
  for (int i = 0; i < folded->norm->nweights; i++) sum += lur_weight_version(&folded->norm->weights[i]);
  return sum;
}

/* A weight's values on the host, or the constant `absent` where the layer has no such weight. The caller frees them. */
static lur_status host_weight(const lur_layer *layer, const char *name, double absent, int64_t count, float **values) {
  LUR_TRY(lur_alloc_items((size_t)count, sizeof **values, values));
  for (int i = 0; i < layer->nweights; i++) {
    if (strcmp(layer->weights[i].name, name) != 0) continue;
    lur_tensor *value = layer->weights[i].value;
    lur_status status = lur_device_copy(lur_tensor_device(value), *values, lur_tensor_address(value),
                                        (size_t)count * sizeof **values, LUR_COPY_TO_HOST);
    if (status == LUR_OK) status = lur_device_sync(lur_tensor_device(value));
    if (status == LUR_OK) return LUR_OK;
    free(*values);
    *values = NULL;
    return status;
  }
  for (int64_t i = 0; i < count; i++) (*values)[i] = (float)absent;
  return LUR_OK;
}

/* scale and shift of the batch norm per channel; shift includes the convolution's bias. */
static lur_status scale_and_shift(const lur_folded *folded, int64_t channels, float *scale, float *shift) {
  float *gamma = NULL, *beta = NULL, *mean = NULL, *variance = NULL, *bias = NULL;
  lur_status status = host_weight(folded->norm, "gamma", 1, channels, &gamma);
  if (status == LUR_OK) status = host_weight(folded->norm, "beta", 0, channels, &beta);
  if (status == LUR_OK) status = host_weight(folded->norm, "moving_mean", 0, channels, &mean);
  if (status == LUR_OK) status = host_weight(folded->norm, "moving_variance", 1, channels, &variance);
  if (status == LUR_OK) {
    status =
        host_weight(folded->conv, folded->bias < 0 ? "" : folded->conv->weights[folded->bias].name, 0, channels, &bias);
  }
  for (int64_t c = 0; c < channels && status == LUR_OK; c++) {
    double s = gamma[c] / sqrt((double)variance[c] + folded->epsilon);
    scale[c] = (float)s;
    shift[c] = (float)(((double)bias[c] - mean[c]) * s + beta[c]);
  }
  free(gamma);
  free(beta);
  free(mean);
  free(variance);
  free(bias);
  return status;
}

lur_status lur_folded_refresh(lur_folded *folded, lur_device *device) {
  uint64_t versions = source_versions(folded);
  if (folded->versions == versions) return LUR_OK;
  const lur_shape *shape = lur_tensor_shape(folded->kernel);
  int64_t count = lur_shape_count(shape), channels = lur_shape_count(lur_tensor_shape(folded->shift));
  float *scale = NULL, *shift = NULL, *kernel = NULL;
  lur_status status = lur_alloc_items((size_t)channels, sizeof *scale, &scale);
  if (status == LUR_OK) status = lur_alloc_items((size_t)channels, sizeof *shift, &shift);
  if (status == LUR_OK) status = scale_and_shift(folded, channels, scale, shift);
  if (status == LUR_OK)
    status = host_weight(folded->conv, folded->conv->weights[folded->kernel_weight].name, 0, count, &kernel);
  if (status != LUR_OK) goto done;
  /* Channels are the last extent of every kernel (a depthwise one ends in c 1). */
  for (int64_t i = 0; i < count; i += channels) {
    for (int64_t c = 0; c < channels; c++) kernel[i + c] *= scale[c];
  }
  size_t kernel_bytes = (size_t)count * sizeof *kernel, shift_bytes = (size_t)channels * sizeof *shift;
  status = lur_device_copy(device, lur_tensor_address(folded->kernel), kernel, kernel_bytes, LUR_COPY_TO_DEVICE);
  if (status == LUR_OK) {
    status = lur_device_copy(device, lur_tensor_address(folded->shift), shift, shift_bytes, LUR_COPY_TO_DEVICE);
  }
  if (status == LUR_OK) status = lur_device_sync(device); /* before the host copies are freed */
  if (status == LUR_OK) folded->versions = versions;
done:
  free(scale);
  free(shift);
  free(kernel);
  return status;
}
