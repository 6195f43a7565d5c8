/* ranges.c - calibration of int8: least, greatest and mean of every channel that a convolution reads.
 *
 * A range is the plain minimum and maximum over all calibration samples (Krishnamoorthi 2018, "Quantizing deep
 * convolutional networks for efficient inference", section 3.1.1), of each channel by itself, because the step of a
 * channel costs nothing: it is folded into the weights that multiply it (pass_quantize.c). It refuses to clip: an
 * outlier widens its own channel alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run/run.h"

/* ---- a run's ranges ---- */

static void range_free(lur_range *range) {
  if (!range) return;
  free(range->low);
  free(range->sum);
  free(range);
}

void lur_run_drop_ranges(lur_run *run) {
  for (int i = 0; i < run->nranges; i++) range_free(run->ranges[i]);
  free(run->ranges);
  run->ranges = NULL;
  run->nranges = run->ranges_room = 0;
  run->calibrated = 0;
}

static lur_range *find(const lur_run *run, const lur_layer *layer) {
  for (int i = 0; i < run->nranges; i++) {
    if (run->ranges[i]->layer == layer) return run->ranges[i];
  }
  return NULL;
}

static void forget(lur_range *range) {
  for (int64_t c = 0; c < range->channels; c++) {
    range->low[c] = INFINITY;
    range->high[c] = -INFINITY;
    range->sum[c] = 0;
  }
  range->seen = 0;
}

static lur_status range_new(lur_layer *layer, int64_t channels, lur_range **range) {
  lur_range *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  *made = (lur_range){.layer = layer, .channels = channels};
  lur_status status = lur_alloc_items(3 * (size_t)channels, sizeof *made->low, &made->low);
  if (status == LUR_OK) status = lur_alloc_items((size_t)channels, sizeof *made->sum, &made->sum);
  if (status != LUR_OK) {
    range_free(made);
    return status;
  }
  made->high = made->low + channels;
  made->mean = made->high + channels;
  forget(made);
  *range = made;
  return LUR_OK;
}

static lur_status make_room(lur_run *run) {
  if (run->nranges < run->ranges_room) return LUR_OK;
  const int room = run->ranges_room ? 2 * run->ranges_room : 64;
  lur_range **bigger = realloc(run->ranges, (size_t)room * sizeof *bigger);
  if (!bigger) return lur_fail(LUR_ENOMEM, "no memory for the ranges of %d layers", room);
  run->ranges = bigger;
  run->ranges_room = room;
  return LUR_OK;
}

lur_status lur_run_range_of(lur_run *run, lur_layer *layer, int64_t channels, lur_range **range) {
  lur_range *found = find(run, layer);
  if (!found) {
    LUR_TRY(make_room(run));
    LUR_TRY(range_new(layer, channels, &found));
    run->ranges[run->nranges++] = found;
  }
  *range = found;
  return LUR_OK;
}

const lur_range *lur_run_known_range(const lur_run *run, const lur_layer *layer) {
  const lur_range *found = find(run, layer);
  return found && found->low[0] <= found->high[0] ? found : NULL;
}

/* ---- seeing ---- */

static void widen(lur_range *range, const float *x) {
  float *low = range->low, *high = range->high;
  double *sum = range->sum;
  for (int64_t c = 0; c < range->channels; c++) {
    low[c] = x[c] < low[c] ? x[c] : low[c];
    high[c] = x[c] > high[c] ? x[c] : high[c];
    sum[c] += (double)x[c];
  }
}

/* A NaN widens nothing, so it is looked for by itself. */
static bool all_finite(const float *x, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; i++) sum += x[i] * 0.0f;
  return sum == 0;
}

lur_status lur_range_observe(lur_range *range, const float *x, int64_t count) {
  if (range->seen == 0) forget(range); /* what was given is no part of what is seen */
  for (int64_t i = 0; i < count; i += range->channels) {
    if (!all_finite(x + i, range->channels))
      return lur_fail(LUR_ESTATE, "calibrate: what layer '%s' reads is not finite", range->layer->name);
    widen(range, x + i);
  }
  range->seen += count / range->channels;
  for (int64_t c = 0; c < range->channels; c++) range->mean[c] = (float)(range->sum[c] / (double)range->seen);
  return LUR_OK;
}

lur_status lur_run_calibrate(lur_run *run, const lur_batch *batch) {
  if (run->options.precision != LUR_PRECISION_INT8)
    return lur_fail(LUR_ESTATE, "calibrate: the run was not compiled with precision 'int8', and needs none");
  LUR_TRY(lur_run_observe(run, batch));
  run->calibrated += run->last->key.rows[0];
  lur_run_drop_quantized_plans(run);
  return LUR_OK;
}

/* ---- out and in ---- */

int lur_run_range_count(const lur_run *run) { return run->nranges; }

lur_status lur_run_get_range(const lur_run *run, int index, const char **layer, lur_tensor **tensor) {
  if (index < 0 || index >= run->nranges)
    return lur_fail(LUR_EARG, "range %d of a run that has %d", index, run->nranges);
  const lur_range *range = run->ranges[index];
  const lur_shape shape = {2, {3, range->channels}};
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->model->context, NULL, LUR_F32, &shape, &made));
  memcpy(lur_tensor_data(made), range->low, lur_tensor_bytes(made));
  *layer = range->layer->name;
  *tensor = made;
  return LUR_OK;
}

static lur_layer *layer_named(const lur_run *run, const char *name) {
  for (int i = 0; i < run->model->nlayers; i++) {
    if (strcmp(run->model->layers[i]->name, name) == 0) return run->model->layers[i];
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
  if (run->options.precision != LUR_PRECISION_INT8)
    return lur_fail(LUR_ESTATE, "calibration: the run was not compiled with precision 'int8', and needs none");
  lur_layer *found = layer_named(run, layer);
  if (!found) return lur_fail(LUR_EARG, "calibration: the model has no layer '%s'", layer);
  LUR_TRY(check_range(layer, tensor));
  const int64_t channels = lur_tensor_shape(tensor)->dim[1];
  LUR_TRY(lur_run_range_of(run, found, channels, &range));
  if (range->channels != channels)
    return lur_fail(LUR_ESHAPE, "range of layer '%s' has %lld channels (%lld expected)", layer, (long long)channels,
                    (long long)range->channels);
  memcpy(range->low, lur_tensor_data(tensor), lur_tensor_bytes(tensor));
  range->seen = 0;
  lur_run_drop_quantized_plans(run);
  return LUR_OK;
}
