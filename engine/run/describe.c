/* describe.c - a plan as text, and its times: what print(run) and run:profile() show. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/text.h"
#include "run.h"

static double mib(size_t bytes) { return (double)bytes / 1048576; }

static size_t operand_bytes(const lur_operand *operand) {
  return (size_t)lur_shape_count(&operand->shape) * lur_dtype_size(operand->dtype);
}

/* What is fused into the op, before and after it: "batchnorm+ relu+ +residual +relu". */
static void put_fused(lur_lines *t, const lur_plan_op *op) {
  const lur_op_desc *d = &op->desc;
  bool conv = d->kind == LUR_OP_CONV2D || d->kind == LUR_OP_DEPTHWISE_CONV2D || d->kind == LUR_OP_SEPARABLE_CONV2D;
  bool relu = conv                          ? d->u.conv2d.relu
              : d->kind == LUR_OP_DENSE     ? d->u.dense.relu
              : d->kind == LUR_OP_BATCHNORM ? d->u.batchnorm.relu
                                            : d->kind == LUR_OP_BINARY && d->u.binary.relu;
  const bool affine_in =
      (d->kind == LUR_OP_DEPTHWISE_CONV2D && d->u.conv2d.affine_in) || (d->kind == LUR_OP_POOL && d->u.pool.affine_in);
  if (affine_in) lur_lines_add(t, " batchnorm+");
  if (conv && d->u.conv2d.relu_in) lur_lines_add(t, " relu+");
  if (conv && d->x[0].dtype == LUR_U8) lur_lines_add(t, " int8");
  if (op->folded) lur_lines_add(t, " +batchnorm");
  if (d->nx == 2 && !affine_in && (conv || d->kind == LUR_OP_DENSE || d->kind == LUR_OP_BATCHNORM))
    lur_lines_add(t, " +residual");
  if (relu) lur_lines_add(t, " +relu");
  if (conv && d->y.dtype == LUR_U8) lur_lines_add(t, " +quantize");
}

/* The state of an int8 run's calibration. */
static void put_calibration(lur_lines *t, const lur_run *run) {
  const lur_ranges *ranges = &run->target.ranges;
  if (run->target.precision != LUR_PRECISION_INT8) return;
  if (ranges->n == 0 && ranges->samples) lur_lines_add(t, "int8: no layer would gain from it, all are f32\n");
  else if (ranges->n == 0) lur_lines_add(t, "int8: not calibrated yet (call run:calibrate(batch))\n");
  else if (ranges->samples)
    lur_lines_add(t, "int8: %d layers calibrated on %lld samples\n", ranges->n, (long long)ranges->samples);
  else lur_lines_add(t, "int8: %d layers with ranges that were set\n", ranges->n);
}

static void put_ops(lur_lines *t, const lur_plan *plan) {
  char shape[LUR_SHAPE_TEXT];
  lur_lines_add(t, "%4s  %-28s %-18s %-18s %9s %9s  %s\n", "step", "layer", "op", "output", "MiB", "MFLOP", "");
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    lur_lines_add(t, "%4d  %-28s %-18s %-18s %9.2f %9.1f  %s", i + 1, op->desc.name, lur_op_kind_name(op->desc.kind),
        lur_shape_format(&op->desc.y.shape, shape), mib(operand_bytes(&op->desc.y)), lur_op_flops(&op->desc) * 1e-6,
        op->backward ? "backward" : plan->values[op->y].frozen ? "frozen" : "");
    put_fused(t, op);
    lur_lines_add(t, "\n");
  }
}

static int by_bytes(const void *a, const void *b, void *plan) {
  const lur_buffer *buffers = ((const lur_plan *)plan)->buffers;
  size_t p = buffers[*(const int *)a].bytes, q = buffers[*(const int *)b].bytes;
  return p > q ? -1 : p < q ? 1 : *(const int *)a - *(const int *)b;
}

static void put_holders(lur_lines *t, const lur_plan *plan) {
  int *order = NULL, n = 0;
  if (lur_alloc_items((size_t)plan->nbuffers, sizeof *order, &order) != LUR_OK) {
    t->failed = true;
    return;
  }
  for (int i = 0; i < plan->nbuffers; i++) {
    if (plan->buffers[i].alias < 0) order[n++] = i;
  }
  qsort_r(order, (size_t)n, sizeof *order, by_bytes, (void *)(uintptr_t)plan);
  lur_lines_add(t, "largest holders:\n");
  for (int i = 0; i < n && i < 10; i++) {
    const lur_buffer *buffer = &plan->buffers[order[i]];
    const lur_op_desc *desc = &plan->ops[buffer->op].desc;
    lur_lines_add(t, "  %9.2f MiB  %s of %s (%s)\n", mib(buffer->bytes), buffer->what, desc->name,
                  lur_op_kind_name(desc->kind));
  }
  free(order);
}

lur_status lur_run_describe(lur_run *run, char **result) {
  static const char *const modes[] = {"predict", "evaluate", "train", "forward in training form", "calibrate"};
  const lur_plan *plan = run->plans.last ? run->plans.last->plan : NULL;
  lur_lines t = {0};
  if (!plan) {
    lur_lines_add(&t, "run on %s: no plan yet (plans are made at the first batch)\n",
                  lur_device_name(run->target.device));
  } else {
    double flops = 0;
    int64_t rows = plan->key.rows[0];
    for (int i = 0; i < plan->nops; i++) flops += lur_op_flops(&plan->ops[i].desc);
    lur_lines_add(&t, "run on %s, plan for %s, %lld rows: %d steps, %.2f GFLOP forward\n",
                  lur_device_name(run->target.device), modes[plan->key.mode], (long long)rows, plan->nops,
                  flops * 1e-9);
    put_ops(&t, plan);
    const char *reason = lur_run_capture_reason(run);
    if (run->target.device->backend->capture_begin)
      lur_lines_add(&t, "steps are %s%s\n", reason ? "launched op by op: " : "captured and replayed",
                    reason ? reason : "");
    lur_lines_add(&t, "arena %.1f MiB (scratch %.1f), weights, gradients and optimizer state %.1f MiB\n",
                  mib(plan->arena_bytes), mib(plan->scratch_bytes), mib(lur_run_state_bytes(run)));
    put_holders(&t, plan);
  }
  put_calibration(&t, run);
  char *text = NULL;
  LUR_TRY(lur_lines_take(&t, &text));
  size_t length = strlen(text);
  if (length > 0 && text[length - 1] == '\n') text[length - 1] = '\0'; /* print(run) ends the last line */
  *result = text;
  return LUR_OK;
}

/* Bytes that the forward of op must move at least: operands, weights, output, once each. */
static double op_bytes(const lur_op_desc *desc) {
  double bytes = (double)operand_bytes(&desc->y);
  for (int i = 0; i < desc->nx; i++) bytes += (double)operand_bytes(&desc->x[i]);
  for (int i = 0; i < desc->nw; i++) bytes += desc->w[i].shape.ndim ? (double)operand_bytes(&desc->w[i]) : 0;
  return bytes;
}

int lur_run_profile(const lur_run *run, lur_profile_row *rows, int capacity) {
  const lur_plan *plan = run->plans.last ? run->plans.last->plan : NULL;
  int n = 0;
  for (int i = 0; plan && i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    for (int backward = 0; backward < 2; backward++) {
      if (op->calls[backward] == 0) continue;
      int gradients = backward ? (op->desc.want_dx != 0) + (op->desc.want_dw != 0) : 1;
      if (n < capacity) {
        rows[n] = (lur_profile_row){.layer = op->desc.name,
                                    .op = lur_op_kind_name(op->desc.kind),
                                    .type = lur_dtype_name(op->desc.x[0].dtype),
                                    .pass = backward ? "backward" : "forward",
                                    .seconds = op->seconds[backward],
                                    .flops = lur_op_flops(&op->desc) * gradients,
                                    .bytes = op_bytes(&op->desc) * gradients,
                                    .calls = op->calls[backward]};
      }
      n++;
    }
  }
  return n;
}
