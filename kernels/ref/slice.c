/* slice.c - slice, a block of a tensor, and pad, a tensor as a block of a larger one. The gradient of each is the
 * other; pixels that slice leaves out have the gradient 0. */
#include "ref.h"

/* The position in `outer` of element `at` of the block `inner`, which begins at `begin`. */
static int64_t position(const lur_shape *inner, const lur_shape *outer, const int64_t *begin, int64_t at) {
  int64_t p = 0, stride = 1;
  for (int i = inner->ndim - 1; i >= 0; i--) {
    p += (begin[i] + at % inner->dim[i]) * stride;
    at /= inner->dim[i];
    stride *= outer->dim[i];
  }
  return p;
}

/* to = or += the block of `from`. */
static void cut(const lur_shape *inner, const lur_shape *outer, const int64_t *begin, const float *from, float *to,
                bool add) {
  const int64_t count = lur_shape_count(inner);
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) ref_put(to, i, (double)from[position(inner, outer, begin, i)], add);
}

/* The block of `to` = or += from; outside it `to` is set to `value`, or stays with `add`. */
static void place(const lur_shape *inner, const lur_shape *outer, const int64_t *begin, const float *from, float value,
                  float *to, bool add) {
  const int64_t count = lur_shape_count(inner), all = lur_shape_count(outer);
  for (int64_t i = 0; i < all && !add; i++) to[i] = value;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) ref_put(to, position(inner, outer, begin, i), (double)from[i], add);
}

static lur_status plan(lur_op *op) { return lur_ref_want_f32(op, 0); }

static lur_status slice_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  cut(&d->y.shape, &d->x[0].shape, d->u.slice.begin, args->x[0], args->y, false);
  return LUR_OK;
}

static lur_status slice_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  place(&d->y.shape, &d->x[0].shape, d->u.slice.begin, args->dy, 0, args->dx[0], args->dx_add & 1u);
  return LUR_OK;
}

static lur_status pad_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  place(&d->x[0].shape, &d->y.shape, d->u.pad.before, args->x[0], (float)d->u.pad.value, args->y, false);
  return LUR_OK;
}

static lur_status pad_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  cut(&d->x[0].shape, &d->y.shape, d->u.pad.before, args->dy, args->dx[0], args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_slice = {plan, slice_forward, slice_backward, NULL};
const lur_kernel lur_ref_pad = {plan, pad_forward, pad_backward, NULL};
