/* ranges.c - calibration of int8 (ranges.h).
 *
 * A range is the plain minimum and maximum over all calibration samples (Krishnamoorthi 2018, "Quantizing deep
 * convolutional networks for efficient inference", section 3.1.1), for each channel separately: a separate step per
 * channel costs nothing, because it is folded into the weights that multiply the channel (quantized.c). Nothing is
 * clipped: an outlier widens only its own channel. */
#include "ranges.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void range_free(lur_range *range) {
  if (!range) return;
  free(range->low);
  free(range->sum);
  free(range);
}

void lur_ranges_free(lur_ranges *ranges) {
  for (int i = 0; i < ranges->n; i++) range_free(ranges->ranges[i]);
  free(ranges->ranges);
  *ranges = (lur_ranges){0};
}

static lur_range *find(const lur_ranges *ranges, const lur_layer *layer) {
  for (int i = 0; i < ranges->n; i++) {
    if (ranges->ranges[i]->layer == layer) return ranges->ranges[i];
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

static lur_status make_room(lur_ranges *ranges) {
  if (ranges->n < ranges->room) return LUR_OK;
  const int room = ranges->room ? 2 * ranges->room : 64;
  lur_range **bigger = realloc(ranges->ranges, (size_t)room * sizeof *bigger);
  if (!bigger) return lur_fail(LUR_ENOMEM, "no memory for the ranges of %d layers", room);
  ranges->ranges = bigger;
  ranges->room = room;
  return LUR_OK;
}

lur_status lur_ranges_get(lur_ranges *ranges, lur_layer *layer, int64_t channels, lur_range **range) {
  lur_range *found = find(ranges, layer);
  if (!found) {
    LUR_TRY(make_room(ranges));
    LUR_TRY(range_new(layer, channels, &found));
    ranges->ranges[ranges->n++] = found;
  }
  *range = found;
  return LUR_OK;
}

const lur_range *lur_ranges_known(const lur_ranges *ranges, const lur_layer *layer) {
  const lur_range *found = find(ranges, layer);
  return found && found->low[0] <= found->high[0] ? found : NULL;
}

/* ---- observing ---- */

static void widen(lur_range *range, const float *x) {
  float *low = range->low, *high = range->high;
  double *sum = range->sum;
  for (int64_t c = 0; c < range->channels; c++) {
    low[c] = x[c] < low[c] ? x[c] : low[c];
    high[c] = x[c] > high[c] ? x[c] : high[c];
    sum[c] += (double)x[c];
  }
}

/* Comparisons ignore NaN, so it is looked for separately. */
static bool all_finite(const float *x, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; i++) sum += x[i] * 0.0f;
  return sum == 0;
}

lur_status lur_range_observe(lur_range *range, const float *x, int64_t count) {
  if (range->seen == 0) forget(range); /* a range that was set is replaced, not widened */
  for (int64_t i = 0; i < count; i += range->channels) {
    if (!all_finite(x + i, range->channels))
      return lur_fail(LUR_ESTATE, "calibrate: the input of layer '%s' is not finite", range->layer->name);
    widen(range, x + i);
  }
  range->seen += count / range->channels;
  for (int64_t c = 0; c < range->channels; c++) range->mean[c] = (float)(range->sum[c] / (double)range->seen);
  return LUR_OK;
}
