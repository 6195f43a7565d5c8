/* dense.c - dense on oneDNN's GEMM. Definition: kernels/ref/dense.c.
 *
 * Weights are not packed: there are few rows of x and megabytes of weights, which packing would read twice. */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>

typedef struct dense {
  int64_t rows, in, out;
  lur_dnn_call *forward, *dx, *dx_add, *dw;
  int parts;
  size_t masked_bytes; /* dy masked by the ReLU, at the front of backward's scratch */
} dense;

static void release(lur_op *op) {
  dense *s = op->state;
  if (!s) return;
  lur_dnn_release(s->forward);
  lur_dnn_release(s->dx);
  lur_dnn_release(s->dx_add);
  lur_dnn_release(s->dw);
  free(s);
  op->state = NULL;
}

static lur_status plan_backward(lur_op *op, dense *s) {
  const lur_op_desc *d = &op->desc;
  lur_dnn *dnn = cpu_dnn(op);
  if (d->want_dx & 1u) {
    LUR_TRY(lur_dnn_gemm(dnn, s->rows, s->in, s->out, LUR_DNN_PLAIN, LUR_DNN_TRANSPOSED, 0, &s->dx));
    LUR_TRY(
        lur_dnn_gemm(dnn, s->rows, s->in, s->out, LUR_DNN_PLAIN, LUR_DNN_TRANSPOSED, LUR_DNN_ACCUMULATE, &s->dx_add));
  }
  if (d->want_dw & 1u)
    LUR_TRY(lur_dnn_gemm(dnn, s->in, s->out, s->rows, LUR_DNN_TRANSPOSED, LUR_DNN_PLAIN, LUR_DNN_ACCUMULATE, &s->dw));
  op->backward_x = d->want_dw & 1u;
  op->backward_y = d->u.dense.relu;
  if (d->u.dense.relu) s->masked_bytes = cpu_round(sizeof(float) * (size_t)(s->rows * s->out));
  size_t rest = cpu_larger(lur_dnn_scratch(s->dx), lur_dnn_scratch(s->dx_add));
  rest = cpu_larger(rest, lur_dnn_scratch(s->dw));
  if (d->want_dw & 2u) rest = cpu_larger(rest, lur_cpu_columns_scratch(s->parts, s->out));
  op->backward_scratch = s->masked_bytes + rest;
  return LUR_OK;
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  dense *s = calloc(1, sizeof *s);
  if (!s) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = s;
  s->in = d->w[0].shape.dim[0];
  s->out = d->w[0].shape.dim[1];
  s->rows = lur_shape_count(&d->y.shape) / s->out;
  s->parts = cpu_parts(s->rows);
  unsigned post = (d->nw == 2 ? LUR_DNN_BIAS : 0u) | (d->nx == 2 ? LUR_DNN_RESIDUAL : 0u);
  lur_status status =
      lur_dnn_gemm(cpu_dnn(op), s->rows, s->out, s->in, LUR_DNN_PLAIN, LUR_DNN_PLAIN, post, &s->forward);
  if (status == LUR_OK) op->forward_scratch = lur_dnn_scratch(s->forward);
  if (status == LUR_OK && cpu_wants(op)) status = plan_backward(op, s);
  if (status != LUR_OK) release(op);
  return status;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const dense *s = op->state;
  const lur_dnn_args run = {.src = args->x[0],
                            .weights = args->w[0],
                            .bias = op->desc.nw == 2 ? args->w[1] : NULL,
                            .residual = op->desc.nx == 2 ? args->x[1] : NULL,
                            .dst = args->y,
                            .scratch = args->scratch};
  LUR_TRY(lur_dnn_run(s->forward, &run));
  if (op->desc.u.dense.relu) lur_cpu_relu(cpu_loops(op), args->y, s->rows * s->out);
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const dense *s = op->state;
  const int64_t count = s->rows * s->out;
  void *rest = (char *)args->scratch + s->masked_bytes;
  const float *dy = args->dy;
  if (d->u.dense.relu) {
    lur_cpu_mask(cpu_loops(op), args->y, dy, args->scratch, count);
    dy = args->scratch;
  }
  if (d->want_dw & 1u) {
    const lur_dnn_args run = {.src = args->x[0], .weights = dy, .dst = args->dw[0], .scratch = rest};
    LUR_TRY(lur_dnn_run(s->dw, &run));
  }
  if (d->want_dw & 2u) lur_cpu_columns(cpu_loops(op), s->parts, dy, s->rows, s->out, rest, args->dw[1]);
  if (d->want_dx & 1u) {
    const lur_dnn_args run = {.src = dy, .weights = args->w[0], .dst = args->dx[0], .scratch = rest};
    LUR_TRY(lur_dnn_run(args->dx_add & 1u ? s->dx_add : s->dx, &run));
  }
  if (d->want_dx & 2u) lur_cpu_put(cpu_loops(op), args->dx[1], dy, count, args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_cpu_dense = {plan, forward, backward, release};
