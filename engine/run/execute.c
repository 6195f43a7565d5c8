/* execute.c - runs a plan: fills in addresses, calls kernels, and in check mode inspects what they write.
 *
 * Launching changes nothing on the host, so that capture.c can capture it; what follows on the host (the version of a
 * weight) is updated afterwards. */
#include <string.h>
#include <time.h>

#include "engine/tensor/tensor.h"
#include "run.h"

/* ---- addresses ---- */

static char *buffer_address(const lur_run *run, const lur_plan *plan, int buffer) {
  return buffer < 0 ? NULL : (char *)run->plans.arena + plan->buffers[buffer].offset;
}

/* Values from outside are in run->bound: inputs, then target and sample weights of each loss (bind.c). */
static void *bound_address(const lur_run *run, const lur_plan *plan, int value) {
  for (int i = 0; i < run->target.model->ninputs; i++) {
    if (plan->inputs[i] == value) return run->bound[i].address;
  }
  for (int i = 0; i < plan->nlosses; i++) {
    if (plan->losses[i].target == value) return run->bound[LUR_MAX_INPUTS + 2 * i].address;
    if (plan->losses[i].sample_weight == value) return run->bound[LUR_MAX_INPUTS + 2 * i + 1].address;
  }
  return NULL;
}

void *lur_run_address(const lur_run *run, const lur_plan *plan, int value) {
  if (plan->values[value].buffer >= 0) return buffer_address(run, plan, plan->values[value].buffer);
  return bound_address(run, plan, value);
}

void *lur_run_gradient_address(const lur_run *run, const lur_plan *plan, int value) {
  for (int i = 0; i < plan->nlosses; i++) {
    if (plan->losses[i].y == value) return (float *)lur_tensor_address(run->loss_scale.weights) + i;
  }
  return buffer_address(run, plan, plan->values[value].grad_buffer);
}

/* ---- one op ---- */

/* Checks that an op's weights are on the run's device, and brings those derived from them up to date. */
static lur_status ready_weights(const lur_run *run, const lur_plan_op *op) {
  if (op->folded) LUR_TRY(lur_folded_refresh(op->folded, run->target.device));
  for (int i = op->folded ? LUR_FOLDED_WEIGHTS : 0; i < op->desc.nw; i++) {
    if (op->weights[i] < 0) continue;
    const lur_device *there = lur_tensor_device(op->layer->weights[op->weights[i]].value);
    if (there == run->target.device) continue;
    return lur_fail(
        LUR_ESTATE, "%s '%s': its weights were moved to %s by another compile (this run is on %s): recompile",
        op->layer->kind->name, op->layer->name, lur_device_name(there), lur_device_name(run->target.device));
  }
  return op->quantized ? lur_quantized_refresh(op->quantized) : LUR_OK;
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

static lur_status fill_args(const lur_run *run, const lur_plan *plan, const lur_plan_op *op, bool backward,
                            lur_args *args) {
  memset(args, 0, sizeof *args);
  for (int i = 0; i < op->desc.nx; i++) {
    args->x[i] = lur_run_address(run, plan, op->x[i]);
    if (!args->x[i])
      return lur_fail(LUR_ESTATE, "%s '%s': input %d is not bound", lur_op_kind_name(op->desc.kind), op->desc.name,
                      i + 1);
  }
  set_weights(op, args);
  args->y = lur_run_address(run, plan, op->y);
  args->saved = buffer_address(run, plan, op->saved);
  args->scratch = plan->scratch_bytes ? (char *)run->plans.arena + plan->scratch_offset : NULL;
  args->seed = run->seed;
  args->step = run->step;
  args->step_parameters = lur_run_step_parameters(run);
  if (!backward) return LUR_OK;
  args->dy = lur_run_gradient_address(run, plan, op->y);
  args->dx_add = op->dx_add;
  for (int i = 0; i < op->desc.nx; i++) {
    if (op->desc.want_dx >> i & 1u) args->dx[i] = lur_run_gradient_address(run, plan, op->x[i]);
  }
  float *gradients = run->optimizing.gradients ? lur_tensor_address(run->optimizing.gradients) : NULL;
  for (int i = 0; i < op->desc.nw; i++) {
    if (op->desc.want_dw >> i & 1u)
      args->dw[i] = gradients + run->target.learned[lur_target_learned(&run->target, op->layer, op->weights[i])].offset;
  }
  return LUR_OK;
}

/* ---- check mode: guard zones hold a pattern, outputs and scratch start as NaN ---- */

enum { PATTERN = 0xA5, NAN_BYTE = 0xFF };

static lur_status prepare_buffer(lur_run *run, char *at, size_t bytes) {
  lur_device *device = run->target.device;
  LUR_TRY(lur_device_fill(device, at - LUR_GUARD, PATTERN, LUR_GUARD));
  LUR_TRY(lur_device_fill(device, at, NAN_BYTE, bytes));
  return lur_device_fill(device, at + bytes, PATTERN, LUR_GUARD);
}

static lur_status inspect_buffer(lur_run *run, const lur_plan_op *op, const char *what, const char *at, size_t bytes) {
  unsigned char guard[2 * LUR_GUARD];
  lur_device *device = run->target.device;
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

/* Prepares or inspects every buffer that the call overwrites: y and saved, or dx; and scratch. */
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
  char *at = (char *)run->plans.arena + plan->scratch_offset;
  return inspect ? inspect_buffer(run, op, "scratch", at, scratch) : prepare_buffer(run, at, scratch);
}

/* ---- all ops ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A batch norm's forward updates its moving statistics: weights folded from them are stale. */
static void note_updated_statistics(const lur_plan_op *op) {
  if (op->desc.kind != LUR_OP_BATCHNORM || !op->desc.u.batchnorm.batch) return;
  for (int i = 2; i < 4; i++) op->layer->weights[op->weights[i]].version++;
}

/* "conv2d 'stem' (forward, 8x12x12x3 f32 to 8x10x10x32 f32)" before the message. */
static lur_status blame_op(lur_status status, const lur_op_desc *desc, bool backward) {
  char x[LUR_SHAPE_TEXT], y[LUR_SHAPE_TEXT];
  return lur_blame(status, "%s '%s' (%s, %s %s to %s %s)", lur_op_kind_name(desc->kind), desc->name,
                   backward ? "backward" : "forward", lur_shape_format(&desc->x[0].shape, x),
                   lur_dtype_name(desc->x[0].dtype), lur_shape_format(&desc->y.shape, y),
                   lur_dtype_name(desc->y.dtype));
}

static lur_status call(lur_run *run, lur_plan *plan, int at, bool backward) {
  lur_plan_op *op = &plan->ops[at];
  lur_args args;
  LUR_TRY(fill_args(run, plan, op, backward, &args));
  if (run->target.check) LUR_TRY(each_written(run, plan, op, backward, false));
  if (op->observes) LUR_TRY(lur_range_observe(op->observes, args.x[0], lur_shape_count(&op->desc.x[0].shape)));
  double start = run->profile ? now() : 0;
  lur_status status = backward ? op->op.kernel->backward(&op->op, &args) : op->op.kernel->forward(&op->op, &args);
  if (status != LUR_OK) return blame_op(status, &op->desc, backward);
  if (run->profile) {
    LUR_TRY(lur_device_sync(run->target.device));
    op->seconds[backward] += now() - start;
    op->calls[backward]++;
  }
  return run->target.check ? each_written(run, plan, op, backward, true) : LUR_OK;
}

static lur_status launch_forward(lur_run *run, lur_plan *plan) {
  /* Inference changes nothing, so it can be interrupted anywhere; a training step is always completed. */
  bool stoppable = plan->key.mode != LUR_MODE_TRAIN && plan->key.mode != LUR_MODE_FREE && !run->capturing.active;
  lur_denormals_off();
  for (int i = 0; i < plan->nops; i++) {
    if (stoppable) LUR_TRY(lur_context_check_interrupt(run->target.model->context));
    LUR_TRY(call(run, plan, i, false));
  }
  return LUR_OK;
}

/* Forward, and in training with losses backward. */
static lur_status launch(lur_run *run, void *context) {
  lur_plan *plan = context;
  LUR_TRY(launch_forward(run, plan));
  return plan->key.mode == LUR_MODE_TRAIN ? lur_run_execute_backward(run, plan) : LUR_OK;
}

/* A key of every address in a captured plan that may change. */
static uint64_t addresses(const lur_run *run, const lur_plan *plan) {
  uint64_t key = lur_key_add(1, run->plans.arena);
  key = lur_key_add(key, run->optimizing.gradients ? lur_tensor_address(run->optimizing.gradients) : NULL);
  key = lur_key_add(key, run->loss_scale.weights ? lur_tensor_address(run->loss_scale.weights) : NULL);
  for (int i = 0; i < LUR_MAX_BOUND; i++) key = lur_key_add(key, run->bound[i].address);
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    for (int k = 0; k < op->desc.nw && !op->folded && !op->quantized; k++) {
      if (op->weights[k] >= 0) key = lur_key_add(key, lur_tensor_address(op->layer->weights[op->weights[k]].value));
    }
  }
  return key;
}

lur_status lur_run_execute(lur_run *run, lur_run_plan *entry) {
  lur_plan *plan = entry->plan;
  for (int i = 0; i < plan->nops; i++) LUR_TRY(ready_weights(run, &plan->ops[i]));
  LUR_TRY(lur_run_captured(run, &entry->capture, addresses(run, plan), launch, plan));
  for (int i = 0; i < plan->nops; i++) note_updated_statistics(&plan->ops[i]);
  return LUR_OK;
}

lur_status lur_run_execute_backward(lur_run *run, lur_plan *plan) {
  lur_denormals_off();
  for (int i = plan->nops - 1; i >= 0; i--) {
    if (plan->ops[i].backward) LUR_TRY(call(run, plan, i, true));
  }
  return LUR_OK;
}

lur_status lur_run_read(lur_run *run, const lur_plan *plan, int value, lur_tensor **tensor) {
  const lur_operand *operand = &plan->values[value].operand;
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->target.model->context, NULL, operand->dtype, &operand->shape, &made));
  lur_status status = lur_device_copy(run->target.device, lur_tensor_data(made), lur_run_address(run, plan, value),
                                      lur_tensor_bytes(made), LUR_COPY_TO_HOST);
  if (status == LUR_OK) *tensor = made;
  else lur_tensor_release(made);
  return status;
}
