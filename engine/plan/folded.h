/* folded.h - the weights of a convolution or dense layer with a batch norm multiplied in. */
#ifndef LUR_FOLDED_H
#define LUR_FOLDED_H

#include "engine/graph/layer.h"

typedef struct lur_folded {
  lur_layer *conv, *norm;
  double epsilon;
  int kernel_weight, bias; /* positions in the convolution's weights; bias -1: none */
  uint64_t versions;      /* sum of the sources' versions when the values were computed; 0: never */
  lur_tensor *kernel, *shift; /* on the plan's device */
} lur_folded;

enum { LUR_FOLDED_WEIGHTS = 2 }; /* kernel and shift: an op's first weights; the others are its layer's own */

/* Recomputes the values when a source weight has changed since. */
lur_status lur_folded_refresh(lur_folded *folded, lur_device *device);
void lur_folded_free(lur_folded *folded); /* NULL is fine */

#endif
