/* ranges.h - what calibration for int8 has seen: the least, greatest and mean value of every channel that a convolution
 * reads. */
#ifndef LUR_RANGES_H
#define LUR_RANGES_H

#include "engine/graph/layer.h"

typedef struct lur_range {
  lur_layer *layer; /* borrowed: the model's */
  int64_t channels;
  float *low, *high, *mean; /* one block; low > high: nothing seen yet */
  double *sum;
  int64_t seen; /* values of each channel that are in sum; 0 for ranges that were set */
} lur_range;

typedef struct lur_ranges { /* zero-initialised */
  int n, room;
  lur_range **ranges; /* allocated one by one: plans point at them */
  int64_t samples;    /* of all calibrations; ranges that were set do not count */
} lur_ranges;

/* The range of a layer that reads that many channels; created where there is none. */
lur_status lur_ranges_get(lur_ranges *ranges, lur_layer *layer, int64_t channels, lur_range **range);
/* The range of layer when values were seen or set, else NULL. */
const lur_range *lur_ranges_known(const lur_ranges *ranges, const lur_layer *layer);
/* Widens range to count values, channels innermost. LUR_ESTATE where one is not finite. */
lur_status lur_range_observe(lur_range *range, const float *x, int64_t count);
void lur_ranges_free(lur_ranges *ranges);

#endif
