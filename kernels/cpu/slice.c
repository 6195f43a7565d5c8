/* slice.c - slice and pad as copies of rows. Definition: kernels/ref/slice.c. Dimensions inside which the block is
 * whole are merged with the next one. */
#include "kernels/cpu/cpu.h"

#include <string.h>

/* A block of extents `in`, which begins at `begin` in a tensor of extents `out`; the innermost dimension first. */
typedef struct block {
  int ndim;
  int64_t in[LUR_MAX_DIMS], out[LUR_MAX_DIMS], begin[LUR_MAX_DIMS], inner_rows, outer_rows;
} block;

static block block_of(const lur_shape *in, const lur_shape *out, const int64_t *begin) {
  block b = {.ndim = 1, .in = {1}, .out = {1}, .inner_rows = 1, .outer_rows = 1};
  for (int i = in->ndim - 1; i >= 0; i--) {
    const int last = b.ndim - 1;
    if (b.in[last] == b.out[last]) {
      b.begin[last] = begin[i] * b.out[last];
      b.in[last] *= in->dim[i];
      b.out[last] *= out->dim[i];
    } else {
      b.in[b.ndim] = in->dim[i];
      b.out[b.ndim] = out->dim[i];
      b.begin[b.ndim++] = begin[i];
    }
  }
  for (int i = 1; i < b.ndim; i++) {
    b.inner_rows *= b.in[i];
    b.outer_rows *= b.out[i];
  }
  return b;
}

/* The outer row with row `row` of the block. */
static int64_t outer_row(const block *b, int64_t row) {
  int64_t found = 0, stride = 1;
  for (int i = 1; i < b->ndim; i++) {
    found += (b->begin[i] + row % b->in[i]) * stride;
    row /= b->in[i];
    stride *= b->out[i];
  }
  return found;
}

/* The block's row in outer row `row`; -1: none. */
static int64_t inner_row(const block *b, int64_t row) {
  int64_t found = 0, stride = 1;
  for (int i = 1; i < b->ndim; i++) {
    const int64_t at = row % b->out[i] - b->begin[i];
    if (at < 0 || at >= b->in[i]) return -1;
    found += at * stride;
    row /= b->out[i];
    stride *= b->in[i];
  }
  return found;
}

/* Between the block's rows and their places in the outer tensor; rows are divided into pieces of CPU_BLOCK. */
static void copy_rows(const lur_loops *loops, const block *b, bool to_outer, const float *from, float *to, bool add) {
  const int64_t pieces = cpu_blocks(b->in[0]);
#pragma omp parallel for schedule(static) if (b->inner_rows * b->in[0] > CPU_BLOCK)
  for (int64_t task = 0; task < b->inner_rows * pieces; task++) {
    const int64_t row = task / pieces, piece = task % pieces, many = cpu_block_size(b->in[0], piece);
    const int64_t inner = row * b->in[0] + piece * CPU_BLOCK,
                  outer = outer_row(b, row) * b->out[0] + b->begin[0] + piece * CPU_BLOCK;
    const float *a = from + (to_outer ? inner : outer);
    float *c = to + (to_outer ? outer : inner);
    if (add) loops->affine(1, 0, a, c, true, many);
    else memcpy(c, a, sizeof *c * (size_t)many);
  }
}

static void fill(float *to, float value, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = value;
}

/* All of the outer tensor: the block's rows, and `value` around them. A few long rows are rather written twice, so that
   threads share them. */
static void place(const lur_loops *loops, const block *b, const float *from, float value, float *to) {
  if (b->outer_rows < 2 * CPU_MAX_PARTS && b->out[0] > CPU_BLOCK) {
    const int64_t count = b->outer_rows * b->out[0], pieces = cpu_blocks(count);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < pieces; piece++)
      fill(to + piece * CPU_BLOCK, value, cpu_block_size(count, piece));
    copy_rows(loops, b, true, from, to, false);
    return;
  }
#pragma omp parallel for schedule(static) if (b->outer_rows * b->out[0] > CPU_BLOCK)
  for (int64_t row = 0; row < b->outer_rows; row++) {
    const int64_t inner = inner_row(b, row), after = b->begin[0] + b->in[0];
    float *at = to + row * b->out[0];
    if (inner < 0) {
      fill(at, value, b->out[0]);
      continue;
    }
    fill(at, value, b->begin[0]);
    memcpy(at + b->begin[0], from + inner * b->in[0], sizeof *at * (size_t)b->in[0]);
    fill(at + after, value, b->out[0] - after);
  }
}

static lur_status plan(lur_op *op) { return lur_cpu_all_f32(op) ? LUR_OK : lur_cpu_plan_parent(op); }

static lur_status slice_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const block b = block_of(&d->y.shape, &d->x[0].shape, d->u.slice.begin);
  copy_rows(cpu_loops(op), &b, false, args->x[0], args->y, false);
  return LUR_OK;
}

static lur_status slice_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const block b = block_of(&d->y.shape, &d->x[0].shape, d->u.slice.begin);
  if (args->dx_add & 1u) copy_rows(cpu_loops(op), &b, true, args->dy, args->dx[0], true);
  else place(cpu_loops(op), &b, args->dy, 0, args->dx[0]);
  return LUR_OK;
}

static lur_status pad_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const block b = block_of(&d->x[0].shape, &d->y.shape, d->u.pad.before);
  place(cpu_loops(op), &b, args->x[0], (float)d->u.pad.value, args->y);
  return LUR_OK;
}

static lur_status pad_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const block b = block_of(&d->x[0].shape, &d->y.shape, d->u.pad.before);
  copy_rows(cpu_loops(op), &b, false, args->dy, args->dx[0], args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_cpu_slice = {plan, slice_forward, slice_backward, NULL};
const lur_kernel lur_cpu_pad = {plan, pad_forward, pad_backward, NULL};
