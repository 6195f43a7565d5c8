/* calibrate.c - the public functions for int8 calibration: running samples, and reading and setting ranges. */
#include <math.h>
#include <string.h>

#include "run.h"

lur_status lur_run_calibrate(lur_run *run, const lur_batch *batch) {
  if (run->target.precision != LUR_PRECISION_INT8)
    return lur_fail(LUR_ESTATE,
                    "calibrate: the run needs no calibration, because it was not compiled with precision 'int8'");
  LUR_TRY(lur_run_observe(run, batch));
  run->target.ranges.samples += run->plans.last->plan->key.rows[0];
  lur_run_drop_quantized_plans(run);
  return LUR_OK;
}

/* ---- reading and setting ranges ---- */

int lur_run_range_count(const lur_run *run) { return run->target.ranges.n; }

lur_status lur_run_get_range(const lur_run *run, int index, const char **layer, lur_tensor **tensor) {
  if (index < 0 || index >= run->target.ranges.n)
    return lur_fail(LUR_EARG, "range %d requested, but the run has %d", index, run->target.ranges.n);
  const lur_range *range = run->target.ranges.ranges[index];
  const lur_shape shape = {2, {3, range->channels}};
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->target.model->context, NULL, LUR_F32, &shape, &made));
  memcpy(lur_tensor_data(made), range->low, lur_tensor_bytes(made));
  *layer = range->layer->name;
  *tensor = made;
  return LUR_OK;
}

static lur_layer *layer_named(const lur_run *run, const char *name) {
  for (int i = 0; i < run->target.model->nlayers; i++) {
    if (strcmp(run->target.model->layers[i]->name, name) == 0) return run->target.model->layers[i];
  }
  return NULL;
}

static lur_status check_range(const char *layer, const lur_tensor *tensor) {
  char text[LUR_SHAPE_TEXT];
  const lur_shape *shape = lur_tensor_shape(tensor);
  const float *values = lur_tensor_data((lur_tensor *)(uintptr_t)tensor);
  if (lur_tensor_dtype(tensor) != LUR_F32 || shape->ndim != 2 || shape->dim[0] != 3 || shape->dim[1] < 1 || !values)
    return lur_fail(LUR_ESHAPE, "range of layer '%s' is %s %s (3 x channels f32 in host memory expected)", layer,
                    lur_shape_format(shape, text), lur_dtype_name(lur_tensor_dtype(tensor)));
  for (int64_t c = 0; c < shape->dim[1]; c++) {
    const float low = values[c], high = values[shape->dim[1] + c], mean = values[2 * shape->dim[1] + c];
    if (!(low <= mean) || !(mean <= high) || !isfinite(low) || !isfinite(high))
      return lur_fail(LUR_EARG, "range of layer '%s': channel %lld goes from %g to %g with a mean of %g", layer,
                      (long long)c + 1, (double)low, (double)high, (double)mean);
  }
  return LUR_OK;
}

lur_status lur_run_set_range(lur_run *run, const char *layer, lur_tensor *tensor) {
  lur_range *range = NULL;
  if (run->target.precision != LUR_PRECISION_INT8)
    return lur_fail(LUR_ESTATE,
                    "calibration: the run needs no ranges, because it was not compiled with precision 'int8'");
  lur_layer *found = layer_named(run, layer);
  if (!found) return lur_fail(LUR_EARG, "calibration: the model has no layer '%s'", layer);
  LUR_TRY(check_range(layer, tensor));
  const int64_t channels = lur_tensor_shape(tensor)->dim[1];
  LUR_TRY(lur_ranges_get(&run->target.ranges, found, channels, &range));
  if (range->channels != channels)
    return lur_fail(LUR_ESHAPE, "range of layer '%s' has %lld channels (%lld expected)", layer, (long long)channels,
                    (long long)range->channels);
  memcpy(range->low, lur_tensor_data(tensor), lur_tensor_bytes(tensor));
  range->seen = 0;
  lur_run_drop_quantized_plans(run);
  return LUR_OK;
}
