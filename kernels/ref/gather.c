/* gather.c - y[k] = x[rows[k]]. The gradient of a row is the sum over all k that take it. */
#include "ref.h"

#include <string.h>

static lur_status plan(lur_op *op) {
  if (ref_wants(op)) LUR_TRY(lur_ref_want_f32(op, 2));
  op->backward_x = op->desc.want_dx ? 2u : 0;
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  int64_t n = op->desc.x[0].shape.dim[0], m = op->desc.y.shape.dim[0];
  size_t bytes = lur_dtype_size(op->desc.y.dtype) * (size_t)(lur_shape_count(&op->desc.y.shape) / m);
  const int32_t *rows = args->x[1];
  for (int64_t k = 0; k < m; k++)
    if (rows[k] < 0 || rows[k] >= n)
      return lur_fail(LUR_EARG, "gather '%s': row %d at place %lld, x has %lld rows",
                      op->desc.name ? op->desc.name : "", rows[k], (long long)k, (long long)n);
#pragma omp parallel for
  for (int64_t k = 0; k < m; k++)
    memcpy((char *)args->y + (size_t)k * bytes, (const char *)args->x[0] + (size_t)rows[k] * bytes, bytes);
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  int64_t n = op->desc.x[0].shape.dim[0], m = op->desc.y.shape.dim[0], width = lur_shape_count(&op->desc.y.shape) / m;
  const int32_t *rows = args->x[1];
  const float *dy = args->dy;
#pragma omp parallel for
  for (int64_t r = 0; r < n; r++)
    for (int64_t i = 0; i < width; i++) {
      double sum = 0;
      for (int64_t k = 0; k < m; k++)
        if (rows[k] == r) sum += (double)dy[k * width + i];
      ref_put(args->dx[0], r * width + i, sum, args->dx_add & 1u);
    }
  return LUR_OK;
}

const lur_kernel lur_ref_gather = {plan, forward, backward, NULL};
