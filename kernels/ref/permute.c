/* permute.c - the same elements with their dimensions in another order. */
#include "ref.h"

static lur_status plan(lur_op *op) { return lur_ref_want_f32(op, 0); }

/* The position in x of element `at` of y. */
static int64_t position(const lur_op_desc *d, int64_t at) {
  const lur_shape *x = &d->x[0].shape, *y = &d->y.shape;
  int64_t stride[LUR_MAX_DIMS], next = 1, p = 0;
  for (int i = x->ndim - 1; i >= 0; i--) {
    stride[i] = next;
    next *= x->dim[i];
  }
  for (int i = y->ndim - 1; i >= 0; i--) {
    p += at % y->dim[i] * stride[d->u.permute.order[i]];
    at /= y->dim[i];
  }
  return p;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const float *x = args->x[0];
  float *y = args->y;
  const int64_t count = lur_shape_count(&op->desc.y.shape);
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) y[i] = x[position(&op->desc, i)];
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const float *dy = args->dy;
  const int64_t count = lur_shape_count(&op->desc.y.shape);
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++)
    ref_put(args->dx[0], position(&op->desc, i), (double)dy[i], args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_permute = {plan, forward, backward, NULL};
