/* run.c - what a compiled model does with a batch: trains, evaluates, predicts, and goes backward. compile.c creates
 * and frees runs; gradients.c returns gradients. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tensor/tensor.h"
#include "run.h"

/* ---- one batch ---- */

static lur_status bind_and_execute(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_run_plan **plan) {
  lur_plan_key key;
  LUR_TRY(lur_run_bind(run, batch, mode, &key));
  LUR_TRY(lur_run_find_plan(run, &key, plan));
  LUR_TRY(lur_run_check_rows(run, (*plan)->plan, batch));
  if (mode == LUR_MODE_TRAIN || mode == LUR_MODE_FREE) {
    LUR_TRY(lur_run_need_gradients(run));
    run->step++;
    LUR_TRY(lur_run_write_step_parameters(run, NULL));
  }
  return lur_run_execute(run, *plan);
}

/* Binds the batch, finds its plan, launches forward and, in training with losses, backward. The caller waits
   before the batch goes back to its owner: copies of it may still be running. */
static lur_status start(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_run_plan **plan) {
  run->forward_done = false;
  if (run->target.precision == LUR_PRECISION_INT8 && (mode == LUR_MODE_TRAIN || mode == LUR_MODE_FREE)) {
    return lur_fail(LUR_ESTATE, "the run computes in int8, which has no gradients: compile with precision 'f32' to "
                                "train, or train another model on this one's predictions");
  }
  LUR_TRY(lur_context_check_interrupt(run->target.model->context));
  lur_status status = bind_and_execute(run, batch, mode, plan);
  if (status == LUR_OK) return LUR_OK;
  char why[512];
  snprintf(why, sizeof why, "%s", lur_last_error());
  (void)lur_device_sync(run->target.device);
  return lur_fail(status, "%s", why);
}

/* ---- training ---- */

static lur_status need_losses(const lur_run *run, const char *verb) {
  if (run->target.nlosses > 0) return LUR_OK;
  return lur_fail(LUR_ESTATE, "%s: the run was compiled without a loss", verb);
}

/* Gradients of a batch whose step failed are incomplete. */
static lur_status discard_gradients(lur_run *run, lur_status status) {
  char why[512];
  snprintf(why, sizeof why, "%s", lur_last_error());
  lur_run_zero_gradients(run);
  return lur_fail(status, "%s", why);
}

/* Launches forward and backward; the caller waits for the results. */
static lur_status start_training(lur_run *run, const lur_batch *batch, lur_run_plan **plan) {
  LUR_TRY(need_losses(run, "train"));
  lur_status status = start(run, batch, LUR_MODE_TRAIN, plan);
  if (status != LUR_OK) return status == LUR_EINTERRUPTED ? status : discard_gradients(run, status);
  run->loss_scale.applied = run->loss_scale.value != 1;
  return LUR_OK;
}

lur_status lur_run_accumulate(lur_run *run, const lur_batch *batch, lur_results *results) {
  lur_run_plan *plan = NULL;
  lur_results found;
  LUR_TRY(start_training(run, batch, &plan));
  lur_status status = lur_run_results(run, plan, &found);
  if (status != LUR_OK) return discard_gradients(run, status);
  if (results) *results = found;
  return LUR_OK;
}

static lur_status need_step(const lur_run *run, const char *verb) {
  if (!run->optimizing.optimizer) return lur_fail(LUR_ESTATE, "%s: the run was compiled without an optimizer", verb);
  if (run->target.nlearned == 0)
    return lur_fail(LUR_ESTATE, "%s: nothing to learn: every layer of the model is frozen", verb);
  return LUR_OK;
}

/* Launches the whole step, before the host waits once for its results. */
lur_status lur_run_train(lur_run *run, const lur_batch *batch, lur_results *results) {
  lur_run_plan *plan = NULL;
  lur_results found;
  LUR_TRY(need_step(run, "train"));
  LUR_TRY(start_training(run, batch, &plan));
  lur_status status = lur_run_update(run, 1);
  if (status == LUR_OK) status = lur_run_results(run, plan, &found);
  if (status == LUR_OK) status = lur_run_updated(run);
  if (status != LUR_OK) return discard_gradients(run, status);
  if (results) *results = found;
  return LUR_OK;
}

lur_status lur_run_step_scaled(lur_run *run, double scale) {
  LUR_TRY(need_step(run, "step"));
  if (!(scale > 0) || !isfinite(scale))
    return lur_fail(LUR_EARG, "step: scale is %g (a positive number expected)", scale);
  LUR_TRY(lur_run_need_gradients(run));
  LUR_TRY(lur_run_update(run, scale));
  if (run->loss_scale.applied || run->optimizing.watch) LUR_TRY(lur_run_read_back(run));
  return lur_run_updated(run);
}

lur_status lur_run_step(lur_run *run) { return lur_run_step_scaled(run, 1); }

/* ---- inference ---- */

lur_status lur_run_evaluate(lur_run *run, const lur_batch *batch, lur_results *results) {
  lur_run_plan *plan = NULL;
  lur_results found;
  LUR_TRY(need_losses(run, "evaluate"));
  LUR_TRY(start(run, batch, LUR_MODE_EVALUATE, &plan));
  LUR_TRY(lur_run_results(run, plan, &found));
  *results = found;
  return LUR_OK;
}

static lur_status read_outputs(lur_run *run, const lur_plan *plan, lur_tensor **outputs) {
  int n = run->target.model->noutputs;
  lur_tensor *read[LUR_MAX_OUTPUTS] = {NULL};
  lur_status status = LUR_OK;
  for (int i = 0; i < n && status == LUR_OK; i++) status = lur_run_read(run, plan, plan->outputs[i], &read[i]);
  lur_status waited = lur_device_sync(run->target.device); /* after a failure too */
  if (status == LUR_OK) status = waited;
  for (int i = 0; i < n && status != LUR_OK; i++) lur_tensor_release(read[i]);
  if (status == LUR_OK) memcpy(outputs, read, (size_t)n * sizeof *outputs);
  return status;
}

lur_status lur_run_predict(lur_run *run, const lur_batch *batch, lur_tensor **outputs) {
  lur_run_plan *plan = NULL;
  LUR_TRY(start(run, batch, LUR_MODE_PREDICT, &plan));
  return read_outputs(run, plan->plan, outputs);
}

lur_status lur_run_observe(lur_run *run, const lur_batch *batch) {
  lur_run_plan *plan = NULL;
  LUR_TRY(start(run, batch, LUR_MODE_CALIBRATE, &plan));
  return lur_device_sync(run->target.device);
}

/* ---- forward and backward by hand ---- */

lur_status lur_run_forward(lur_run *run, const lur_batch *batch, bool training, lur_tensor **outputs) {
  lur_run_plan *plan = NULL;
  LUR_TRY(start(run, batch, training ? LUR_MODE_FREE : LUR_MODE_PREDICT, &plan));
  LUR_TRY(read_outputs(run, plan->plan, outputs));
  run->forward_done = training;
  return LUR_OK;
}

/* Copies one output's gradient to its place; NULL is zero. */
static lur_status seed_gradient(lur_run *run, const lur_plan *plan, int i, lur_tensor *gradient) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  const lur_operand *operand = &plan->values[plan->outputs[i]].operand;
  void *address = lur_run_gradient_address(run, plan, plan->outputs[i]);
  size_t bytes = (size_t)lur_shape_count(&operand->shape) * sizeof(float);
  if (!gradient) return lur_device_fill(run->target.device, address, 0, bytes);
  if (lur_tensor_dtype(gradient) != LUR_F32 || !lur_shape_equal(lur_tensor_shape(gradient), &operand->shape)) {
    return lur_fail(LUR_ESHAPE, "backward: gradient of output '%s' is %s %s (%s f32 expected)",
                    run->target.model->output_names[i], lur_shape_format(lur_tensor_shape(gradient), came),
                    lur_dtype_name(lur_tensor_dtype(gradient)), lur_shape_format(&operand->shape, want));
  }
  lur_device *from = lur_tensor_device(gradient), *to = run->target.device;
  lur_copy_kind kind = lur_tensor_data(gradient) ? LUR_COPY_TO_DEVICE : LUR_COPY_WITHIN;
  if (kind == LUR_COPY_WITHIN && from != to)
    return lur_fail(LUR_EDEVICE, "backward: gradient on %s, run on %s", from->name, to->name);
  return lur_device_copy(to, address, lur_tensor_address(gradient), bytes, kind);
}

lur_status lur_run_backward(lur_run *run, lur_tensor *const *output_gradients) {
  if (!run->forward_done || !run->plans.last) {
    return lur_fail(LUR_ESTATE,
                    "backward: call run:forward(batch, { training = true }) first");
  }
  if (run->loss_scale.applied)
    return lur_fail(LUR_ESTATE,
                    "backward: gradients of accumulate are scaled for f16 and these are not: call step first");
  lur_plan *plan = run->plans.last->plan;
  for (int i = 0; i < run->target.model->noutputs; i++) LUR_TRY(seed_gradient(run, plan, i, output_gradients[i]));
  run->forward_done = false; /* backward may overwrite activations in place */
  return lur_run_execute_backward(run, plan);
}
