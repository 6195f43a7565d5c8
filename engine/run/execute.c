/* execute.c - runs a plan: fills in addresses, calls kernels, in check mode watches what they write.
 *
 * Launching has no effect on the host, so that record.c may record it; what follows from it on the host (a weight has
 * moved) is noted after. */
#include <string.h>
#include <time.h>

#include "run.h"

/* ---- addresses ---- */

static char *buffer_address(const lur_run *run, const lur_plan *plan, int buffer) {
  return buffer < 0 ? NULL : (char *)run->arena + plan->buffers[buffer].offset;
}

/* Values fed from outside lie in run->fed, in the order of feed.c: inputs, then target and weight of each loss. */
static void *fed_address(const lur_run *run, const lur_plan *plan, int value) {
  for (int i = 0; i < run->model->ninputs; i++) {
    if (plan->inputs[i] == value) return run->fed[i].address;
  }
  for (int i = 0; i < plan->nlosses; i++) {
    if (plan->losses[i].target == value) return run->fed[LUR_MAX_INPUTS + 2 * i].address;
    if (plan->losses[i].sample_weight == value) return run->fed[LUR_MAX_INPUTS + 2 * i + 1].address;
  }
  return NULL;
}

void *lur_plan_address(const lur_run *run, const lur_plan *plan, int value) {
  if (plan->values[value].buffer >= 0) return buffer_address(run, plan, plan->values[value].buffer);
  return fed_address(run, plan, value);
}

void *lur_plan_gradient_address(const lur_run *run, const lur_plan *plan, int value) {
  for (int i = 0; i < plan->nlosses; i++) {
    if (plan->losses[i].y == value) return (float *)lur_tensor_address(run->loss_weights) + i;
  }
  return buffer_address(run, plan, plan->values[value].grad_buffer);
}

/* ---- one op ---- */

/* An op's weights are where they are expected, and copies made of them are up to date. */
static lur_status ready_weights(const lur_run *run, const lur_plan_op *op) {
  if (op->folded) LUR_TRY(lur_folded_refresh(op->folded, run->options.device));
  for (int i = op->folded ? LUR_FOLDED_WEIGHTS : 0; i < op->desc.nw; i++) {
    if (op->weights[i] < 0) continue;
    const lur_device *there = lur_tensor_device(op->layer->weights[op->weights[i]].value);
    if (there == run->options.device) continue;
    return lur_fail(LUR_ESTATE, "%s '%s': its weights were moved to %s by another compile (this run is on %s): recompile",
                    op->layer->kind->name, op->layer->name, lur_device_name(there), lur_device_name(run->options.device));
  }
  return op->quantized ? lur_quantized_refresh(op) : LUR_OK;
}

static void set_weights(const lur_plan_op *op, lur_args *args) {
  if (op->quantized) {
    args->w[0] = lur_tensor_address(op->quantized->kernel);
    args->w[1] = lur_tensor_address(op->quantized->shift);
    if (op->quantized->scale) args->w[2] = lur_tensor_address(op->quantized->scale);
    args->version = op->quantized->versions;
    return;
  }
  if (op->folded) {
    args->w[0] = lur_tensor_address(op->folded->kernel);
    args->w[1] = lur_tensor_address(op->folded->shift);
  }
  args->version = op->folded ? op->folded->versions : 1;
  for (int i = op->folded ? LUR_FOLDED_WEIGHTS : 0; i < op->desc.nw; i++) {
    if (op->weights[i] < 0) continue;
    args->w[i] = lur_tensor_address(op->layer->weights[op->weights[i]].value);
    args->version += lur_weight_version(&op->layer->weights[op->weights[i]]);
  }
}

static lur_status fill_args(const lur_run *run, const lur_plan *plan, const lur_plan_op *op, bool backward, lur_args *args) {
  memset(args, 0, sizeof *args);
  for (int i = 0; i < op->desc.nx; i++) {
    args->x[i] = lur_plan_address(run, plan, op->x[i]);
    if (!args->x[i]) return lur_fail(LUR_ESTATE, "%s '%s': input %d was not fed", lur_op_kind_name(op->desc.kind), op->desc.name, i + 1);
  }
  set_weights(op, args);
  args->y = lur_plan_address(run, plan, op->y);
  args->saved = buffer_address(run, plan, op->saved);
  args->scratch = plan->scratch_bytes ? (char *)run->arena + plan->scratch_offset : NULL;
  args->seed = run->seed;
  args->step = run->step;
  args->step_parameters = lur_run_moving(run);
  if (!backward) return LUR_OK;
  args->dy = lur_plan_gradient_address(run, plan, op->y);
  args->dx_add = op->dx_add;
  for (int i = 0; i < op->desc.nx; i++) {
    if (op->desc.want_dx >> i & 1u) args->dx[i] = lur_plan_gradient_address(run, plan, op->x[i]);
  }
  float *gradients = run->gradients ? lur_tensor_address(run->gradients) : NULL;
  for (int i = 0; i < op->desc.nw; i++) {
    if (op->desc.want_dw >> i & 1u) args->dw[i] = gradients + run->learned[lur_run_learned(run, op->layer, op->weights[i])].offset;
  }
  return LUR_OK;
}

/* ---- check mode: guard zones hold a pattern, outputs and scratch start as NaN ---- */

enum { PATTERN = 0xA5, NAN_BYTE = 0xFF };

static lur_status prepare_buffer(lur_run *run, char *at, size_t bytes) {
  lur_device *device = run->options.device;
  LUR_TRY(lur_device_fill(device, at - LUR_GUARD, PATTERN, LUR_GUARD));
  LUR_TRY(lur_device_fill(device, at, NAN_BYTE, bytes));
  return lur_device_fill(device, at + bytes, PATTERN, LUR_GUARD);
}

static lur_status inspect_buffer(lur_run *run, const lur_plan_op *op, const char *what, const char *at, size_t bytes) {
  unsigned char guard[2 * LUR_GUARD];
  lur_device *device = run->options.device;
  LUR_TRY(lur_device_copy(device, guard, at - LUR_GUARD, LUR_GUARD, LUR_COPY_TO_HOST));
  LUR_TRY(lur_device_copy(device, guard + LUR_GUARD, at + bytes, LUR_GUARD, LUR_COPY_TO_HOST));
  LUR_TRY(lur_device_sync(device));
  for (int i = 0; i < 2 * LUR_GUARD; i++) {
    if (guard[i] == PATTERN) continue;
    return lur_fail(LUR_ESTATE, "check: %s '%s' wrote %s its %s", lur_op_kind_name(op->desc.kind), op->desc.name,
                    i < LUR_GUARD ? "before" : "past", what);
  }
  return LUR_OK;
}

/* Calls visit for every buffer the call writes whole: y and saved, or the overwritten dx; and scratch. */
static lur_status each_written(lur_run *run, lur_plan *plan, const lur_plan_op *op, bool backward, bool inspect) {
  int buffers[LUR_MAX_OPERANDS + 2], n = 0;
  const char *what[LUR_MAX_OPERANDS + 2];
  if (!backward) {
    buffers[n] = plan->values[op->y].buffer;
    what[n++] = "output";
    buffers[n] = op->saved;
    what[n++] = "saved values";
  }
  for (int i = 0; i < op->desc.nx && backward; i++) {
    if (!(op->desc.want_dx >> i & 1u) || (op->dx_add >> i & 1u)) continue;
    buffers[n] = plan->values[op->x[i]].grad_buffer;
    what[n++] = "input gradient";
  }
  for (int i = 0; i < n; i++) {
    if (buffers[i] < 0 || (plan->buffers[buffers[i]].alias >= 0 && !inspect)) continue;
    char *at = buffer_address(run, plan, buffers[i]);
    size_t bytes = plan->buffers[buffers[i]].bytes;
    LUR_TRY(inspect ? inspect_buffer(run, op, what[i], at, bytes) : prepare_buffer(run, at, bytes));
  }
  size_t scratch = backward ? op->op.backward_scratch : op->op.forward_scratch;
  if (scratch == 0) return LUR_OK;
  char *at = (char *)run->arena + plan->scratch_offset;
  return inspect ? inspect_buffer(run, op, "scratch", at, scratch) : prepare_buffer(run, at, scratch);
}

/* ---- all ops ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Statistics move in a batch norm's forward: copies folded from them are stale. */
static void note_moved_weights(const lur_plan_op *op) {
  if (op->desc.kind != LUR_OP_BATCHNORM || !op->desc.u.batchnorm.batch) return;
  for (int i = 2; i < 4; i++) op->layer->weights[op->weights[i]].version++;
}

/* "conv2d 'stem' (forward, 8x12x12x3 f32 to 8x10x10x32 f32)" before the message. */
static lur_status blame_op(lur_status status, const lur_op_desc *desc, bool backward) {
  char x[LUR_SHAPE_TEXT], y[LUR_SHAPE_TEXT];
  return lur_blame(status, "%s '%s' (%s, %s %s to %s %s)", lur_op_kind_name(desc->kind), desc->name, backward ? "backward" : "forward",
                   lur_shape_format(&desc->x[0].shape, x), lur_dtype_name(desc->x[0].dtype), lur_shape_format(&desc->y.shape, y),
                   lur_dtype_name(desc->y.dtype));
}

static lur_status call(lur_run *run, lur_plan *plan, int at, bool backward) {
  lur_plan_op *op = &plan->ops[at];
  lur_args args;
  LUR_TRY(fill_args(run, plan, op, backward, &args));
  if (run->options.check) LUR_TRY(each_written(run, plan, op, backward, false));
  if (op->observes) LUR_TRY(lur_range_observe(op->observes, args.x[0], lur_shape_count(&op->desc.x[0].shape)));
  double start = run->profile ? now() : 0;
  lur_status status = backward ? op->op.kernel->backward(&op->op, &args) : op->op.kernel->forward(&op->op, &args);
  if (status != LUR_OK) return blame_op(status, &op->desc, backward);
  if (run->profile) {
    LUR_TRY(lur_device_sync(run->options.device));
    op->seconds[backward] += now() - start;
    op->calls[backward]++;
  }
  return run->options.check ? each_written(run, plan, op, backward, true) : LUR_OK;
}

static lur_status launch_forward(lur_run *run, lur_plan *plan) {
  /* Inference changes nothing, so it may stop anywhere; a training step is not left half done. */
  bool stoppable = plan->key.mode != LUR_MODE_TRAIN && plan->key.mode != LUR_MODE_FREE && !run->recording;
  lur_denormals_off();
  for (int i = 0; i < plan->nops; i++) {
    if (stoppable) LUR_TRY(lur_context_check_interrupt(run->model->context));
    LUR_TRY(call(run, plan, i, false));
  }
  return LUR_OK;
}

/* Forward, and in training with losses backward. */
static lur_status launch(lur_run *run, void *context) {
  lur_plan *plan = context;
  LUR_TRY(launch_forward(run, plan));
  return plan->key.mode == LUR_MODE_TRAIN ? lur_plan_backward(run, plan) : LUR_OK;
}

/* Of everything a recorded plan has in it that may lie elsewhere the next time. */
static uint64_t addresses(const lur_run *run, const lur_plan *plan) {
  uint64_t key = lur_key_add(1, run->arena);
  key = lur_key_add(key, run->gradients ? lur_tensor_address(run->gradients) : NULL);
  key = lur_key_add(key, run->loss_weights ? lur_tensor_address(run->loss_weights) : NULL);
  for (int i = 0; i < LUR_MAX_FED; i++) key = lur_key_add(key, run->fed[i].address);
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    for (int k = 0; k < op->desc.nw && !op->folded && !op->quantized; k++) {
      if (op->weights[k] >= 0) key = lur_key_add(key, lur_tensor_address(op->layer->weights[op->weights[k]].value));
    }
  }
  return key;
}

lur_status lur_plan_run(lur_run *run, lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) LUR_TRY(ready_weights(run, &plan->ops[i]));
  LUR_TRY(lur_run_recorded(run, &plan->recording, addresses(run, plan), launch, plan));
  for (int i = 0; i < plan->nops; i++) note_moved_weights(&plan->ops[i]);
  return LUR_OK;
}

lur_status lur_plan_backward(lur_run *run, lur_plan *plan) {
  lur_denormals_off();
  for (int i = plan->nops - 1; i >= 0; i--) {
    if (plan->ops[i].backward) LUR_TRY(call(run, plan, i, true));
  }
  return LUR_OK;
}

lur_status lur_plan_read(lur_run *run, const lur_plan *plan, int value, lur_tensor **tensor) {
  const lur_operand *operand = &plan->values[value].operand;
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->model->context, NULL, operand->dtype, &operand->shape, &made));
  lur_status status = lur_device_copy(run->options.device, lur_tensor_data(made), lur_plan_address(run, plan, value),
                                      lur_tensor_bytes(made), LUR_COPY_TO_HOST);
  if (status == LUR_OK) *tensor = made;
  else lur_tensor_release(made);
  return status;
}
