/* conv2d_int8.c - the int8 form of conv2d, on oneDNN. Definition: kernels/ref/conv2d_int8.c.
 *
 * If the processor has no int8 multiplication (VNNI or AMX), or oneDNN does not support the shape, x is converted to
 * f32 and the f32 convolution runs: correct up to rounding, no faster than f32, so that every machine runs the model.
 * Sums of integers are finite, so only a scale or bias can make NaN, which oneDNN's ReLU would turn into 0: then ref
 * runs. */
#include "kernels/cpu/cpu.h"
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>

typedef struct conv2d_int8 {
  lur_dnn_call *call;
  bool floats;        /* the call convolves x as f32, without scale and bias */
  size_t float_bytes; /* x as f32, at the front of scratch */
  int64_t x_count, rows, co;
  float *zeros; /* co; only with `floats` */
} conv2d_int8;

static void release(lur_op *op) {
  conv2d_int8 *c = op->state;
  if (!c) return;
  lur_dnn_release(c->call);
  free(c->zeros);
  free(c);
  op->state = NULL;
}

static lur_status plan_floats(lur_op *op, conv2d_int8 *c, const lur_dnn_conv2d *s) {
  LUR_TRY(lur_dnn_conv2d_forward(cpu_dnn(op), s, false, 0, &c->call));
  c->floats = true;
  c->float_bytes = cpu_round(sizeof(float) * (size_t)c->x_count);
  c->zeros = calloc((size_t)c->co, sizeof *c->zeros);
  return c->zeros ? LUR_OK : lur_fail(LUR_ENOMEM, "no memory for a plan");
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  const lur_dnn_conv2d s = cpu_conv2d_sizes(d);
  conv2d_int8 *c = calloc(1, sizeof *c);
  if (!c) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = c;
  c->x_count = lur_shape_count(&d->x[0].shape);
  c->rows = s.n * s.oh * s.ow;
  c->co = s.co;
  const unsigned post = LUR_DNN_SCALE | (d->u.conv2d.relu && d->nx == 1 ? LUR_DNN_RELU : 0u);
  lur_status status = lur_dnn_conv2d_int8(cpu_dnn(op), &s, post, &c->call);
  if (status == LUR_EUNSUPPORTED) status = plan_floats(op, c, &s);
  if (status == LUR_OK) status = lur_dnn_keep_weights(c->call);
  if (status == LUR_OK) op->forward_scratch = c->float_bytes + lur_dnn_scratch(c->call);
  if (status == LUR_OK) return LUR_OK;
  release(op);
  return status == LUR_EUNSUPPORTED ? lur_cpu_plan_parent(op) : status;
}

static void to_floats(const conv2d_int8 *c, const lur_loops *loops, const uint8_t *x, float *floats) {
  const int64_t blocks = cpu_blocks(c->x_count);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++)
    loops->floats(x + b * CPU_BLOCK, floats + b * CPU_BLOCK, cpu_block_size(c->x_count, b));
}

/* y = [relu](y * scale + bias [+ residual]), row by row. */
static void finish(const lur_op *op, const lur_args *args) {
  const conv2d_int8 *c = op->state;
  const lur_loops *loops = cpu_loops(op);
  const lur_norm norm = {c->zeros, args->w[2], args->w[1]};
  const float *residual = op->desc.nx == 2 ? args->x[1] : NULL;
  float *y = args->y;
  const int parts = cpu_parts(c->rows);
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < parts; part++) {
    const int64_t begin = cpu_part_start(c->rows, parts, part), rows = cpu_part_start(c->rows, parts, part + 1) - begin;
    const int64_t at = begin * c->co;
    loops->norm_forward(&norm, y + at, residual ? residual + at : NULL, op->desc.u.conv2d.relu, y + at, rows, c->co);
  }
}

static bool all_finite(const float *v, int64_t count) {
  bool finite = true;
  for (int64_t i = 0; i < count; i++) finite = finite && isfinite(v[i]);
  return finite;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const conv2d_int8 *c = op->state;
  lur_dnn_args run = {.src = args->x[0],
                      .weights = args->w[0],
                      .bias = args->w[1],
                      .scale = args->w[2],
                      .dst = args->y,
                      .scratch = (char *)args->scratch + c->float_bytes,
                      .version = args->version};
  if (!all_finite(args->w[1], c->co) || !all_finite(args->w[2], c->co)) return lur_ref_conv2d_int8.forward(op, args);
  if (c->floats) {
    to_floats(c, cpu_loops(op), args->x[0], args->scratch);
    run.src = args->scratch;
  }
  LUR_TRY(lur_dnn_run(c->call, &run));
  if (c->floats) finish(op, args);
  else if (op->desc.nx == 2)
    lur_cpu_add_residual(cpu_loops(op), args->x[1], op->desc.u.conv2d.relu, args->y, c->rows * c->co);
  return LUR_OK;
}

const lur_kernel lur_cpu_conv2d_int8 = {plan, forward, NULL, release};
