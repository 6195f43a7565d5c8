/* merge.c - ops that combine or copy tensors: affine, concat, copy, gather. Definitions: kernels/ref/merge.c
 * and gather.c. All of them are bound by memory; they run in blocks that fit into the L1 cache. */
#include "kernels/cpu/cpu.h"

#include <string.h>

/* ---- affine ---- */

static lur_status affine_plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

static void affine_all(lur_op *op, double scale, double shift, const float *from, float *to, bool add) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t count = lur_shape_count(&op->desc.y.shape), blocks = cpu_blocks(count);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++)
    loops->affine((float)scale, (float)shift, from + b * CPU_BLOCK, to + b * CPU_BLOCK, add, cpu_block_size(count, b));
}

static lur_status affine_forward(lur_op *op, const lur_args *args) {
  affine_all(op, op->desc.u.affine.scale, op->desc.u.affine.shift, args->x[0], args->y, false);
  return LUR_OK;
}

static lur_status affine_backward(lur_op *op, const lur_args *args) {
  affine_all(op, op->desc.u.affine.scale, 0, args->dy, args->dx[0], args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_cpu_affine = {affine_plan, affine_forward, affine_backward, NULL};

/* ---- concat: y has `outer` rows; each holds one run of elements per input ---- */

static lur_status concat_plan(lur_op *op) { return lur_cpu_all_f32(op) ? LUR_OK : lur_cpu_plan_parent(op); }

/* Elements of an operand in one outer row: the product of its extents from the axis on. */
static int64_t run_length(const lur_op_desc *d, const lur_shape *shape) {
  int64_t length = 1;
  for (int i = d->u.concat.axis; i < shape->ndim; i++) length *= shape->dim[i];
  return length;
}

static lur_status concat_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const int64_t row = run_length(d, &d->y.shape), outer = lur_shape_count(&d->y.shape) / row;
#pragma omp parallel for schedule(static) if (row * outer > CPU_BLOCK)
  for (int64_t r = 0; r < outer; r++) {
    float *to = (float *)args->y + r * row;
    for (int k = 0; k < d->nx; k++) {
      const int64_t run = run_length(d, &d->x[k].shape), rows = lur_shape_count(&d->x[k].shape) / run;
      memcpy(to, (const float *)args->x[k] + r % rows * run, sizeof(float) * (size_t)run);
      to += run;
    }
  }
  return LUR_OK;
}

/* dx of an input that is repeated: the sum over the rows that it is in, in order. from: its first element in dy. */
static void sum_repetitions(const float *from, int64_t outer, int64_t row, int64_t rows, int64_t run, float *dx,
                            bool add) {
#pragma omp parallel for schedule(static) if (outer * run > CPU_BLOCK)
  for (int64_t i = 0; i < rows * run; i++) {
    double sum = add ? (double)dx[i] : 0;
    for (int64_t r = i / run; r < outer; r += rows) sum += (double)from[r * row + i % run];
    dx[i] = (float)sum;
  }
}

static lur_status concat_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const lur_loops *loops = cpu_loops(op);
  const int64_t row = run_length(d, &d->y.shape), outer = lur_shape_count(&d->y.shape) / row;
  int64_t offset = 0;
  unsigned each = d->want_dx; /* the inputs that have a row for each of y's */
  for (int k = 0; k < d->nx; k++) {
    const int64_t run = run_length(d, &d->x[k].shape), rows = lur_shape_count(&d->x[k].shape) / run;
    if (rows < outer && each >> k & 1u) {
      sum_repetitions((const float *)args->dy + offset, outer, row, rows, run, args->dx[k], args->dx_add >> k & 1u);
      each &= ~(1u << k);
    }
    offset += run;
  }
#pragma omp parallel for schedule(static) if (row * outer > CPU_BLOCK)
  for (int64_t r = 0; r < outer; r++) {
    const float *from = (const float *)args->dy + r * row;
    for (int k = 0; k < d->nx; k++) {
      const int64_t run = run_length(d, &d->x[k].shape);
      float *to = each >> k & 1u ? (float *)args->dx[k] + r * run : NULL;
      if (to && args->dx_add >> k & 1u) loops->affine(1, 0, from, to, true, run);
      else if (to) memcpy(to, from, sizeof(float) * (size_t)run);
      from += run;
    }
  }
  return LUR_OK;
}

const lur_kernel lur_cpu_concat = {concat_plan, concat_forward, concat_backward, NULL};

/* ---- copy: the same elements under another shape ---- */

static lur_status copy_plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

static lur_status copy_forward(lur_op *op, const lur_args *args) {
  lur_cpu_put(cpu_loops(op), args->y, args->x[0], lur_shape_count(&op->desc.y.shape), false);
  return LUR_OK;
}

static lur_status copy_backward(lur_op *op, const lur_args *args) {
  lur_cpu_put(cpu_loops(op), args->dx[0], args->dy, lur_shape_count(&op->desc.y.shape), args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_cpu_copy = {copy_plan, copy_forward, copy_backward, NULL};

/* ---- gather: forward is ref's; backward adds rows in the order of the index ---- */

static lur_status gather_plan(lur_op *op) {
  if (!cpu_wants(op)) return lur_cpu_plan_parent(op);
  if (op->desc.x[0].dtype != LUR_F32) return lur_cpu_plan_parent(op);
  op->backward_x = op->desc.want_dx ? 2u : 0;
  return LUR_OK;
}

static lur_status gather_forward(lur_op *op, const lur_args *args) {
  return lur_ref_backend.kernels[LUR_OP_GATHER]->forward(op, args);
}

/* Divided by columns: each thread goes through the whole index for its own columns, so no two write one element. */
static lur_status gather_backward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t n = op->desc.x[0].shape.dim[0], m = op->desc.y.shape.dim[0],
                width = lur_shape_count(&op->desc.y.shape) / m;
  const int32_t *rows = args->x[1];
  const float *dy = args->dy;
  float *dx = args->dx[0];
  const int parts = cpu_parts(cpu_blocks(width * m));
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int p = 0; p < parts; p++) {
    const int64_t begin = cpu_part_start(width, parts, p), count = cpu_part_start(width, parts, p + 1) - begin;
    if (!(args->dx_add & 1u))
      for (int64_t r = 0; r < n; r++) memset(dx + r * width + begin, 0, sizeof(float) * (size_t)count);
    for (int64_t k = 0; k < m; k++)
      loops->affine(1, 0, dy + k * width + begin, dx + rows[k] * width + begin, true, count);
  }
  return LUR_OK;
}

const lur_kernel lur_cpu_gather = {gather_plan, gather_forward, gather_backward, NULL};
