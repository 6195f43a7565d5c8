/* merge.c - ops that combine or copy tensors: affine, concat, copy. */
#include "ref.h"

#include <string.h>

/* ---- affine: y = scale * x + shift ---- */

static lur_status affine_plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

static lur_status affine_forward(lur_op *op, const lur_args *args) {
  const lur_affine_desc u = op->desc.u.affine;
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *x = args->x[0];
  float *y = args->y;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) y[i] = (float)(u.scale * (double)x[i] + u.shift);
  return LUR_OK;
}

static lur_status affine_backward(lur_op *op, const lur_args *args) {
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *dy = args->dy;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++)
    ref_put(args->dx[0], i, op->desc.u.affine.scale * (double)dy[i], args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_affine = {affine_plan, affine_forward, affine_backward, NULL};

/* ---- concat: y has `outer` rows; each holds one run of elements per input ---- */

static lur_status concat_plan(lur_op *op) { return lur_ref_want_f32(op, 0); }

/* Elements of x[k] in one outer row: the product of its extents from the axis on. */
static int64_t run_length(const lur_op_desc *d, int k) {
  int64_t length = 1;
  for (int i = d->u.concat.axis; i < d->x[k].shape.ndim; i++) length *= d->x[k].shape.dim[i];
  return length;
}

static lur_status concat_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  int64_t row = 0, offset = 0;
  for (int k = 0; k < d->nx; k++) row += run_length(d, k);
  int64_t outer = lur_shape_count(&d->y.shape) / row;
  for (int k = 0; k < d->nx; k++) {
    const float *x = args->x[k];
    int64_t run = run_length(d, k), rows = lur_shape_count(&d->x[k].shape) / run; /* fewer than outer: repeated */
#pragma omp parallel for
    for (int64_t r = 0; r < outer; r++)
      memcpy((float *)args->y + r * row + offset, x + r % rows * run, sizeof(float) * (size_t)run);
    offset += run;
  }
  return LUR_OK;
}

static lur_status concat_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  int64_t row = 0, offset = 0;
  for (int k = 0; k < d->nx; k++) row += run_length(d, k);
  const float *dy = args->dy;
  const int64_t outer = lur_shape_count(&d->y.shape) / row;
  for (int k = 0; k < d->nx; k++) {
    int64_t run = run_length(d, k), count = lur_shape_count(&d->x[k].shape);
    if (d->want_dx >> k & 1u) {
#pragma omp parallel for
      for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t r = i / run; r < outer; r += count / run) sum += (double)dy[r * row + offset + i % run];
        ref_put(args->dx[k], i, sum, args->dx_add >> k & 1u);
      }
    }
    offset += run;
  }
  return LUR_OK;
}

const lur_kernel lur_ref_concat = {concat_plan, concat_forward, concat_backward, NULL};

/* ---- copy: the same elements under another shape, of any type ---- */

static lur_status copy_plan(lur_op *op) {
  if (op->desc.y.dtype != op->desc.x[0].dtype)
    return lur_fail(LUR_ETYPE, "from %s to %s: %s does not convert", lur_dtype_name(op->desc.x[0].dtype),
                    lur_dtype_name(op->desc.y.dtype), op->device->name);
  if (ref_wants(op)) LUR_TRY(lur_ref_want_f32(op, 0));
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

static lur_status copy_forward(lur_op *op, const lur_args *args) {
  size_t bytes = lur_dtype_size(op->desc.y.dtype) * (size_t)lur_shape_count(&op->desc.y.shape);
  if (args->y != args->x[0]) memcpy(args->y, args->x[0], bytes);
  return LUR_OK;
}

static lur_status copy_backward(lur_op *op, const lur_args *args) {
  lur_ref_put_all(args->dx[0], args->dy, lur_shape_count(&op->desc.y.shape), args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_copy = {copy_plan, copy_forward, copy_backward, NULL};
