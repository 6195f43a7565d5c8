/* dense.c - y[r,o] = [relu](b[o] + sum_i x[r,i] * w[i,o] [+ residual]), where r counts over all dimensions but the
 * last. */
#include "ref.h"

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->backward_x = op->desc.want_dw & 1u;
  op->backward_y = op->desc.u.dense.relu && ref_wants(op);
  if (op->backward_y) op->backward_scratch = sizeof(float) * (size_t)lur_shape_count(&op->desc.y.shape);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  int64_t in = op->desc.w[0].shape.dim[0], out = op->desc.w[0].shape.dim[1];
  int64_t rows = lur_shape_count(&op->desc.y.shape) / out, blocks = (out + REF_BLOCK - 1) / REF_BLOCK;
  const float *x = args->x[0], *residual = op->desc.nx == 2 ? args->x[1] : NULL;
  const float *w = args->w[0], *b = op->desc.nw == 2 ? args->w[1] : NULL;
  bool relu = op->desc.u.dense.relu;
  float *y = args->y;
#pragma omp parallel for
  for (int64_t task = 0; task < rows * blocks; task++) {
    double sum[REF_BLOCK];
    int64_t r = task / blocks, from = task % blocks * REF_BLOCK, many = ref_min(REF_BLOCK, out - from),
            at = r * out + from;
    for (int64_t o = 0; o < many; o++)
      sum[o] = (b ? (double)b[from + o] : 0) + (residual ? (double)residual[at + o] : 0);
    for (int64_t i = 0; i < in; i++)
      for (int64_t o = 0; o < many; o++) sum[o] += (double)x[r * in + i] * (double)w[i * out + from + o];
    for (int64_t o = 0; o < many; o++) y[at + o] = (float)(relu ? ref_relu(sum[o]) : sum[o]);
  }
  return LUR_OK;
}

static void backward_input(const float *dy, const float *w, int64_t rows, int64_t in, int64_t out, float *dx,
                           bool add) {
#pragma omp parallel for
  for (int64_t at = 0; at < rows * in; at++) {
    double sum = 0;
    for (int64_t o = 0; o < out; o++) sum += (double)dy[at / in * out + o] * (double)w[at % in * out + o];
    ref_put(dx, at, sum, add);
  }
}

static void backward_weights(const float *x, const float *dy, int64_t rows, int64_t in, int64_t out, float *dw) {
#pragma omp parallel for
  for (int64_t i = 0; i < in; i++)
    for (int64_t from = 0; from < out; from += REF_BLOCK) {
      double sum[REF_BLOCK] = {0};
      int64_t many = ref_min(REF_BLOCK, out - from);
      for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < many; o++) sum[o] += (double)x[r * in + i] * (double)dy[r * out + from + o];
      for (int64_t o = 0; o < many; o++) ref_put(dw, i * out + from + o, sum[o], true);
    }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  int64_t in = op->desc.w[0].shape.dim[0], out = op->desc.w[0].shape.dim[1];
  int64_t count = lur_shape_count(&op->desc.y.shape), rows = count / out;
  const float *dy = lur_ref_relu_dy(op->desc.u.dense.relu, args, args->scratch, count);
  if (op->desc.want_dw & 1u) backward_weights(args->x[0], dy, rows, in, out, args->dw[0]);
  if (op->desc.want_dw & 2u) lur_ref_add_columns(dy, rows, out, args->dw[1]);
  if (op->desc.want_dx & 1u) backward_input(dy, args->w[0], rows, in, out, args->dx[0], args->dx_add & 1u);
  if (op->desc.want_dx & 2u) lur_ref_put_all(args->dx[1], dy, count, args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_ref_dense = {plan, forward, backward, NULL};
