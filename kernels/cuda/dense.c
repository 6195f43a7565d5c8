/* dense.c - y[r,o] = [relu](b[o] + sum_i x[r,i] * w[i,o] [+ residual]) on cuBLASLt.
 *
 * conv2d.c plans its 1x1 convolutions with stride 1 here: in NHWC they are the same op. Bias and ReLU are cuBLASLt's
 * epilogue, the residual is its c; if it does not support the epilogue, lur_cuda_epilogue follows the product.
 * For half activations the f32 weights are converted in scratch at each call, because they change at every step. */
#include <stdlib.h>

#include "host.h"

typedef struct dense {
  int64_t rows, in, out;
  bool bias, residual, relu, half, apart; /* apart: bias and residual are added by a separate kernel */
  lur_cuda_gemm *forward, *data, *weights;
} dense;

static size_t most(size_t a, size_t b) { return a > b ? a : b; }

/* The scratch of one GEMM: half weights, half bias, workspace. */
static size_t gemm_scratch(const dense *l, const lur_cuda_gemm *g, bool w, bool bias) {
  size_t bytes = lur_cuda_round(lur_cuda_gemm_workspace(g));
  if (l->half && w) bytes += lur_cuda_round(2 * (size_t)(l->in * l->out));
  if (l->half && bias) bytes += lur_cuda_round(2 * (size_t)l->out);
  return bytes;
}

static lur_status plan_forward(lur_op *op, dense *l) {
  lur_dtype type = op->desc.y.dtype;
  lur_cuda_gemm_desc d = {l->rows, l->out, l->in, type, type, false, false, l->bias, op->desc.tf32, 1, 0};
  lur_status status = lur_cuda_gemm_plan(op->device, &d, &l->forward);
  if (status == LUR_EUNSUPPORTED && l->bias) {
    l->apart = true;
    d.bias = false;
    status = lur_cuda_gemm_plan(op->device, &d, &l->forward);
  }
  if (status == LUR_OK) op->forward_scratch = gemm_scratch(l, l->forward, true, l->bias && !l->apart);
  return status;
}

/* With a ReLU, the masked dy is at the front of backward's scratch. */
static size_t mask_bytes(const lur_op *op, const dense *l) {
  return l->relu ? lur_cuda_round(lur_cuda_bytes(&op->desc.y)) : 0;
}

static lur_status plan_backward(lur_op *op, dense *l) {
  const lur_op_desc *d = &op->desc;
  lur_dtype type = d->y.dtype;
  size_t scratch = 0;
  if (d->want_dx & 1u) {
    lur_cuda_gemm_desc data = {l->rows, l->in, l->out, type, type, false, true, false, d->tf32, 1, 0};
    LUR_TRY(lur_cuda_gemm_plan(op->device, &data, &l->data));
    scratch = gemm_scratch(l, l->data, true, false);
  }
  if (d->want_dw & 1u) {
    lur_cuda_gemm_desc weights = {l->in, l->out, l->rows, type, LUR_F32, true, false, false, d->tf32, 1, 0};
    LUR_TRY(lur_cuda_gemm_plan(op->device, &weights, &l->weights));
    scratch = most(scratch, gemm_scratch(l, l->weights, false, false));
  }
  if (d->want_dw & 2u) scratch = most(scratch, lur_cuda_columns_scratch(op->device, l->rows, l->out));
  if (lur_cuda_wants(op)) op->backward_scratch = mask_bytes(op, l) + scratch;
  return LUR_OK;
}

lur_status lur_cuda_dense_plan(lur_op *op, bool relu) {
  const lur_op_desc *d = &op->desc;
  LUR_TRY(lur_cuda_want_f32_weights(op));
  LUR_TRY(lur_cuda_want_gemm(op));
  dense *l = calloc(1, sizeof *l);
  if (!l) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  l->in = lur_cuda_last(&d->x[0].shape);
  l->out = lur_cuda_last(&d->y.shape);
  l->rows = lur_shape_count(&d->y.shape) / l->out;
  l->bias = d->nw == 2;
  l->residual = d->nx == 2;
  l->relu = relu;
  l->half = d->y.dtype != LUR_F32;
  op->state = l;
  op->backward_x = d->want_dw & 1u;
  op->backward_y = relu && lur_cuda_wants(op);
  lur_status status = plan_forward(op, l);
  if (status == LUR_OK) status = plan_backward(op, l);
  if (status != LUR_OK) lur_cuda_dense_release(op);
  return status;
}

/* f32 values in the type of the GEMM: as they are, or a half copy in scratch, which is advanced. */
static lur_status halved(lur_op *op, const dense *l, const float *from, int64_t count, char **scratch,
                         const void **to) {
  *to = from;
  if (!l->half) return LUR_OK;
  *to = *scratch;
  LUR_TRY(lur_cuda_cast(op->device, op->desc.y.dtype, from, *scratch, count));
  *scratch += lur_cuda_round(2 * (size_t)count);
  return LUR_OK;
}

lur_status lur_cuda_dense_forward(lur_op *op, const lur_args *args) {
  const dense *l = op->state;
  char *scratch = args->scratch;
  const void *w, *b = NULL, *residual = l->residual ? args->x[1] : NULL;
  LUR_TRY(halved(op, l, args->w[0], l->in * l->out, &scratch, &w));
  if (l->bias && !l->apart) LUR_TRY(halved(op, l, args->w[1], l->out, &scratch, &b));
  LUR_TRY(lur_cuda_gemm_run(op->device, l->forward, args->x[0], w, l->apart ? NULL : residual, b, args->y, scratch));
  if (!l->apart && !l->relu) return LUR_OK;
  return lur_cuda_epilogue(op->device, op->desc.y.dtype, args->y, l->apart && l->bias ? args->w[1] : NULL,
                           l->apart ? residual : NULL, l->relu, l->rows, l->out);
}

lur_status lur_cuda_dense_backward(lur_op *op, const lur_args *args) {
  const dense *l = op->state;
  const lur_op_desc *d = &op->desc;
  int64_t count = l->rows * l->out;
  char *scratch = (char *)args->scratch + mask_bytes(op, l);
  const void *dy = args->dy, *w;
  if (l->relu) {
    LUR_TRY(lur_cuda_put(op->device, d->y.dtype, args->scratch, dy, args->y, count, false));
    dy = args->scratch;
  }
  if (d->want_dw & 1u)
    LUR_TRY(lur_cuda_gemm_run(op->device, l->weights, args->x[0], dy, args->dw[0], NULL, args->dw[0], scratch));
  if (d->want_dw & 2u)
    LUR_TRY(lur_cuda_columns(op->device, d->y.dtype, dy, NULL, l->rows, l->out, args->dw[1], scratch));
  if (d->want_dx & 2u) LUR_TRY(lur_cuda_put(op->device, d->y.dtype, args->dx[1], dy, NULL, count, args->dx_add & 2u));
  if (!(d->want_dx & 1u)) return LUR_OK;
  LUR_TRY(halved(op, l, args->w[0], l->in * l->out, &scratch, &w));
  return lur_cuda_gemm_run(op->device, l->data, dy, w, args->dx_add & 1u ? args->dx[0] : NULL, NULL, args->dx[0],
                           scratch);
}

void lur_cuda_dense_release(lur_op *op) {
  dense *l = op->state;
  if (!l) return;
  lur_cuda_gemm_release(l->forward);
  lur_cuda_gemm_release(l->data);
  lur_cuda_gemm_release(l->weights);
  free(l);
  op->state = NULL;
}

static lur_status plan(lur_op *op) { return lur_cuda_dense_plan(op, op->desc.u.dense.relu); }

const lur_kernel lur_cuda_dense = {plan, lur_cuda_dense_forward, lur_cuda_dense_backward, lur_cuda_dense_release};
