/* broadcast.h - which elements of its operands an element of y is computed from, where operands repeat.
 *
 * The rule is NumPy's, applied to samples: dimension 0, the batch, meets dimension 0, and all others are aligned at the
 * last one. Where y has more than one element along a dimension, an operand has as many, or one or no such dimension,
 * and is repeated. So n c, or 1 c, broadcasts over n h w c; a scalar (no dimensions) over everything. */
#ifndef LUR_BROADCAST_H
#define LUR_BROADCAST_H

#include "op_desc.h"

LUR_API_BEGIN

enum { LUR_BROADCAST_MOST = 3 };

/* *y: the shape that n <= LUR_BROADCAST_MOST operands broadcast to; LUR_ESHAPE if they do not. */
lur_status lur_broadcast_shape(int n, const lur_shape *const *x, lur_shape *y);

/* How a loop over y goes through the operands. Neighbouring dimensions that all operands go through alike are one;
   those of extent 1 are left out. */
typedef struct lur_broadcast {
  int ndim;                   /* 1 to LUR_MAX_DIMS */
  int64_t dim[LUR_MAX_DIMS];  /* of y, the last one innermost */
  int64_t step[LUR_BROADCAST_MOST][LUR_MAX_DIMS]; /* elements from one to the next; 0: it is repeated */
  bool full[LUR_BROADCAST_MOST]; /* the operand has an element for each of y */
  bool all_full;
} lur_broadcast;

/* That of an op whose check has passed: binary or where. */
void lur_broadcast_plan(const lur_op_desc *desc, lur_broadcast *b);

/* The number of the operand's element that belongs to element i of y. */
static inline int64_t lur_broadcast_at(const lur_broadcast *b, int operand, int64_t i) {
  int64_t at = 0;
  for (int d = b->ndim - 1; d > 0; d--) {
    at += i % b->dim[d] * b->step[operand][d];
    i /= b->dim[d];
  }
  return at + i * b->step[operand][0];
}

LUR_API_END
#endif
