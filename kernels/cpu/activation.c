/* activation.c - activations and softmax on loops/activation.h. Definition: kernels/ref/activation.c. */
#include "kernels/cpu/cpu.h"

static lur_status plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  op->in_place = true;
  if (!cpu_wants(op)) return LUR_OK;
  op->backward_x = lur_activation_reads_x(op->desc.u.activation.function) ? 1u : 0;
  op->backward_y = !op->backward_x;
  op->dx_in_place = true;
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t count = lur_shape_count(&op->desc.y.shape), blocks = cpu_blocks(count);
  const float *x = args->x[0];
  float *y = args->y;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++)
    loops->activate(&op->desc.u.activation, x + b * CPU_BLOCK, y + b * CPU_BLOCK, cpu_block_size(count, b));
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t count = lur_shape_count(&op->desc.y.shape), blocks = cpu_blocks(count);
  const float *v = op->backward_x ? args->x[0] : args->y, *dy = args->dy;
  float *dx = args->dx[0];
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++)
    loops->activate_back(&op->desc.u.activation, v + b * CPU_BLOCK, dy + b * CPU_BLOCK, dx + b * CPU_BLOCK,
                         args->dx_add & 1u, cpu_block_size(count, b));
  return LUR_OK;
}

const lur_kernel lur_cpu_activation = {plan, forward, backward, NULL};

/* ---- softmax over the last dimension ---- */

static lur_status softmax_plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  op->in_place = true;
  op->backward_y = op->dx_in_place = cpu_wants(op);
  return LUR_OK;
}

static lur_status softmax_forward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t c = cpu_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
#pragma omp parallel for schedule(static) if (rows * c > CPU_BLOCK)
  for (int64_t r = 0; r < rows; r++) loops->softmax((const float *)args->x[0] + r * c, (float *)args->y + r * c, 1, c);
  return LUR_OK;
}

static lur_status softmax_backward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t c = cpu_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
#pragma omp parallel for schedule(static) if (rows * c > CPU_BLOCK)
  for (int64_t r = 0; r < rows; r++)
    loops->softmax_back((const float *)args->y + r * c, (const float *)args->dy + r * c, (float *)args->dx[0] + r * c,
                        args->dx_add & 1u, 1, c);
  return LUR_OK;
}

const lur_kernel lur_cpu_softmax = {softmax_plan, softmax_forward, softmax_backward, NULL};
