/* quantized.h - the int8 weights of an op that writes or reads 8-bit values. pass_quantize.c decides which ops; the
 * formulas are at the top of quantized.c. */
#ifndef LUR_QUANTIZED_H
#define LUR_QUANTIZED_H

#include "folded.h"
#include "ranges.h"

typedef struct lur_quantized {
  const lur_range *range;  /* of the 8-bit values */
  const lur_layer *layer;  /* whose weights these are */
  int weights[2];          /* positions of kernel and bias in the layer's; -1: a kernel of ones, a bias of zeros */
  const lur_folded *folded; /* replaces both where it is not NULL; borrowed: the op's */
  bool writes;       /* the op writes 8-bit values; else it reads them */
  bool zero_is_zero; /* the 8-bit value 0 represents 0; else the channel's least value */
  uint64_t versions; /* of the sources when the values were computed; 0: never */
  float widest;      /* width of the channel with the widest range */
  lur_tensor *kernel, *shift, *scale; /* on the plan's device; scale: only of an op that reads */
} lur_quantized;

enum { LUR_INT8_LEVELS = 255, LUR_INT8_WEIGHT = 127 }; /* steps of an activation; greatest quantized weight */

/* Creates one from form (range, layer, weights, folded, writes and zero_is_zero set) for a kernel of that shape and
   that many outputs. The first refresh computes its values. */
lur_status lur_quantized_new(lur_context *context, lur_device *device, const lur_quantized *form,
                             const lur_shape *kernel, int64_t outputs, lur_quantized **quantized);
/* Recomputes the values when a source weight has changed since. Folded sources are up to date. */
lur_status lur_quantized_refresh(lur_quantized *quantized);
void lur_quantized_free(lur_quantized *quantized); /* NULL is fine */

#endif
