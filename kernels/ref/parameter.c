/* parameter.c - a learned tensor, or a constant, as the value of a node that has no inputs. */
#include "ref.h"

#include <string.h>

static lur_status plan(lur_op *op) {
  (void)op;
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const int64_t count = lur_shape_count(&op->desc.y.shape);
  float *y = args->y;
  if (op->desc.nw == 1) memcpy(y, args->w[0], sizeof *y * (size_t)count);
  for (int64_t i = 0; i < count && op->desc.nw == 0; i++) y[i] = (float)op->desc.u.parameter.value;
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  if (op->desc.want_dw) lur_ref_put_all(args->dw[0], args->dy, lur_shape_count(&op->desc.y.shape), true);
  return LUR_OK;
}

const lur_kernel lur_ref_parameter = {plan, forward, backward, NULL};
