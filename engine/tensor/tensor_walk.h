/* tensor_walk.h - goes through the elements of several host tensors at once: tensors that broadcast to one shape
 * (lur_walk), and copies between two memories with any strides (lur_strided). */
#ifndef LUR_TENSOR_WALK_H
#define LUR_TENSOR_WALK_H

#include "tensor.h"

/* ---- tensors that broadcast to one shape ---- */

enum { LUR_WALK_MOST = 3 };
typedef struct lur_walk {
  int n;                                       /* operands */
  lur_shape y;                                 /* what they broadcast to */
  lur_shape merged;                            /* y in as few dimensions as the strides allow */
  int64_t stride[LUR_WALK_MOST][LUR_MAX_DIMS]; /* of merged, in elements; 0 where an operand repeats */
} lur_walk;

/* Called for n elements of y from position `at` on: element i reads x[k][from[k] + i * stride[k]]; strides are 0 or 1.
   Several threads call it at the same time, for different elements. */
typedef void (*lur_walk_line)(void *self, int64_t n, int64_t at, const int64_t *from, const int64_t *stride);

/* LUR_ESHAPE, naming what, where the shapes do not broadcast. */
lur_status lur_walk_plan(const char *what, int n, lur_tensor *const *x, lur_walk *walk);
void lur_walk_run(const lur_walk *walk, lur_walk_line line, void *self);

/* ---- copies with strides ---- */

enum { LUR_STRIDED_DIMS = 2 * LUR_MAX_DIMS };
typedef struct lur_strided {
  int ndim;
  size_t size; /* bytes of an element: 1, 2 or 4 */
  int64_t extent[LUR_STRIDED_DIMS];
  int64_t to_stride[LUR_STRIDED_DIMS], from_stride[LUR_STRIDED_DIMS]; /* bytes; any sign, 0 repeats */
  char *to;
  const char *from;
} lur_strided;

/* Copies every element. The memories do not overlap. */
void lur_strided_copy(lur_strided copy);
/* Strides in bytes of a contiguous tensor. */
void lur_strided_of(const lur_shape *shape, size_t size, int64_t *stride);

#endif
