/* run.c - a compiled model at work: chooses the plan for a batch, trains, evaluates, predicts, and gives out gradients.
 * How a run is made and ends is compile.c's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* ---- plans ---- */

/* What held the memory that there was not: "2.0 MiB of activations on cuda:0 (...)" before the message. */
static lur_status blame_arena(lur_status status, const lur_run *run, const lur_plan *plan) {
  const lur_buffer *largest = NULL;
  for (int i = 0; i < plan->nbuffers; i++) {
    const lur_buffer *b = &plan->buffers[i];
    if (b->alias < 0 && (!largest || b->bytes > largest->bytes)) largest = b;
  }
  const double mib = 1048576;
  return lur_blame(
      status,
      "%.1f MiB of activations on %s (the largest: %.1f MiB, %s of '%s'), beside %.1f MiB of weights, gradients "
      "and optimizer state (a smaller batch or more frozen layers need less)",
      (double)plan->arena_bytes / mib, lur_device_name(run->options.device), largest ? (double)largest->bytes / mib : 0,
      largest ? largest->what : "output", largest && largest->op >= 0 ? plan->ops[largest->op].desc.name : "",
      (double)lur_run_state_bytes(run) / mib);
}

static lur_status grow_arena(lur_run *run, const lur_plan *plan) {
  size_t bytes = plan->arena_bytes;
  if (bytes <= run->arena_bytes) return LUR_OK;
  lur_device *device = run->options.device;
  lur_device_free(device, run->arena);
  run->arena = NULL;
  run->arena_bytes = 0;
  lur_status status = lur_device_alloc(device, bytes, &run->arena);
  if (status != LUR_OK) return blame_arena(status, run, plan);
  run->arena_bytes = bytes;
  return LUR_OK;
}

static void forget_oldest(lur_run *run) {
  int oldest = 0;
  for (int i = 1; i < run->nplans; i++) {
    if (run->plans[i]->used < run->plans[oldest]->used) oldest = i;
  }
  if (run->last == run->plans[oldest]) run->last = NULL;
  lur_plan_free(run->plans[oldest]);
  run->plans[oldest] = run->plans[--run->nplans];
}

void lur_run_drop_quantized_plans(lur_run *run) {
  for (int i = 0; i < run->nplans;) {
    if (run->plans[i]->key.mode == LUR_MODE_CALIBRATE) {
      i++;
      continue;
    }
    if (run->last == run->plans[i]) run->last = NULL;
    lur_plan_free(run->plans[i]);
    run->plans[i] = run->plans[--run->nplans];
  }
}

static lur_status find_plan(lur_run *run, const lur_plan_key *key, lur_plan **plan) {
  lur_plan *found = NULL;
  for (int i = 0; i < run->nplans && !found; i++) {
    if (memcmp(&run->plans[i]->key, key, sizeof *key) == 0) found = run->plans[i];
  }
  if (!found) {
    LUR_TRY(lur_plan_build(run, key, &found));
    if (run->nplans == LUR_MAX_PLANS) forget_oldest(run);
    run->plans[run->nplans++] = found;
  }
  LUR_TRY(grow_arena(run, found));
  found->used = ++run->clock;
  run->last = found;
  *plan = found;
  return LUR_OK;
}

static lur_status need_gradients(lur_run *run) {
  if (run->gradients || run->gradient_count == 0) return LUR_OK;
  lur_shape shape = {.ndim = 1, .dim = {run->gradient_count}};
  return lur_tensor_new(run->model->context, run->options.device, LUR_F32, &shape, &run->gradients);
}

static lur_status feed_and_run(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_plan **plan) {
  lur_plan_key key;
  LUR_TRY(lur_run_feed(run, batch, mode, &key));
  LUR_TRY(find_plan(run, &key, plan));
  LUR_TRY(lur_run_check_rows(run, *plan, batch));
  if (mode == LUR_MODE_TRAIN || mode == LUR_MODE_FREE) {
    LUR_TRY(need_gradients(run));
    run->step++;
    LUR_TRY(lur_run_move(run, NULL));
  }
  return lur_plan_run(run, *plan);
}

/* Feeds, finds the plan, asks the device for forward and, in training with losses, backward. The caller waits before
   the batch goes back to its owner: copies of it may be under way. */
static lur_status start(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_plan **plan) {
  run->forward_done = false;
  if (run->options.precision == LUR_PRECISION_INT8 && (mode == LUR_MODE_TRAIN || mode == LUR_MODE_FREE)) {
    return lur_fail(LUR_ESTATE, "the run computes in int8, which has no gradients: compile with precision 'f32' to "
                                "train, or train a model of its own on what this one predicts");
  }
  LUR_TRY(lur_context_check_interrupt(run->model->context));
  lur_status status = feed_and_run(run, batch, mode, plan);
  if (status == LUR_OK) return LUR_OK;
  char why[512];
  snprintf(why, sizeof why, "%s", lur_last_error());
  (void)lur_device_sync(run->options.device);
  return lur_fail(status, "%s", why);
}

/* ---- training ---- */

static lur_status need_losses(const lur_run *run, const char *verb) {
  if (run->options.nlosses > 0) return LUR_OK;
  return lur_fail(LUR_ESTATE, "%s: the run was compiled without a loss", verb);
}

/* Gradients of a batch whose step failed are worth nothing. */
static lur_status forget_gradients(lur_run *run, lur_status status) {
  char why[512];
  snprintf(why, sizeof why, "%s", lur_last_error());
  lur_run_zero_gradients(run);
  return lur_fail(status, "%s", why);
}

/* Asks for forward and backward; results are not there yet. */
static lur_status start_training(lur_run *run, const lur_batch *batch, lur_plan **plan) {
  LUR_TRY(need_losses(run, "train"));
  lur_status status = start(run, batch, LUR_MODE_TRAIN, plan);
  if (status != LUR_OK) return status == LUR_EINTERRUPTED ? status : forget_gradients(run, status);
  run->scaled = run->loss_scale != 1;
  return LUR_OK;
}

lur_status lur_run_accumulate(lur_run *run, const lur_batch *batch, lur_results *results) {
  lur_plan *plan = NULL;
  lur_results found;
  LUR_TRY(start_training(run, batch, &plan));
  lur_status status = lur_run_results(run, plan, &found);
  if (status != LUR_OK) return forget_gradients(run, status);
  if (results) *results = found;
  return LUR_OK;
}

static lur_status need_step(const lur_run *run, const char *verb) {
  if (!run->options.optimizer) return lur_fail(LUR_ESTATE, "%s: the run was compiled without an optimizer", verb);
  if (run->nlearned == 0) return lur_fail(LUR_ESTATE, "%s: nothing to learn: every layer of the model is frozen", verb);
  return LUR_OK;
}

/* The whole step is asked for before the host waits, once, for what came out. */
lur_status lur_run_train(lur_run *run, const lur_batch *batch, lur_results *results) {
  lur_plan *plan = NULL;
  lur_results found;
  LUR_TRY(need_step(run, "train"));
  LUR_TRY(start_training(run, batch, &plan));
  lur_status status = lur_run_update(run);
  if (status == LUR_OK) status = lur_run_results(run, plan, &found);
  if (status == LUR_OK) status = lur_run_updated(run);
  if (status != LUR_OK) return forget_gradients(run, status);
  if (results) *results = found;
  return LUR_OK;
}

lur_status lur_run_step(lur_run *run) {
  LUR_TRY(need_step(run, "step"));
  LUR_TRY(need_gradients(run));
  LUR_TRY(lur_run_update(run));
  if (run->scaled || run->watch) { /* nothing else is waited for */
    LUR_TRY(lur_device_copy(run->options.device, &run->seen, run->on_device, sizeof run->seen, LUR_COPY_TO_HOST));
    LUR_TRY(lur_device_sync(run->options.device));
  }
  return lur_run_updated(run);
}

void lur_run_set_watch(lur_run *run, bool on) {
  run->watch = on;
  run->finite = -1;
}

bool lur_run_watches(const lur_run *run) { return run->watch; }
int lur_run_finite(const lur_run *run) { return run->finite; }

void lur_run_zero_gradients(lur_run *run) {
  run->scaled = false;
  if (!run->gradients) return;
  (void)lur_device_fill(run->options.device, lur_tensor_address(run->gradients), 0, lur_tensor_bytes(run->gradients));
}

/* ---- inference ---- */

lur_status lur_run_evaluate(lur_run *run, const lur_batch *batch, lur_results *results) {
  lur_plan *plan = NULL;
  lur_results found;
  LUR_TRY(need_losses(run, "evaluate"));
  LUR_TRY(start(run, batch, LUR_MODE_EVALUATE, &plan));
  LUR_TRY(lur_run_results(run, plan, &found));
  *results = found;
  return LUR_OK;
}

static lur_status read_outputs(lur_run *run, const lur_plan *plan, lur_tensor **outputs) {
  int n = run->model->noutputs;
  lur_tensor *read[LUR_MAX_OUTPUTS] = {NULL};
  lur_status status = LUR_OK;
  for (int i = 0; i < n && status == LUR_OK; i++) status = lur_plan_read(run, plan, plan->outputs[i], &read[i]);
  lur_status waited = lur_device_sync(run->options.device); /* after a failure too */
  if (status == LUR_OK) status = waited;
  for (int i = 0; i < n && status != LUR_OK; i++) lur_tensor_release(read[i]);
  if (status == LUR_OK) memcpy(outputs, read, (size_t)n * sizeof *outputs);
  return status;
}

lur_status lur_run_predict(lur_run *run, const lur_batch *batch, lur_tensor **outputs) {
  lur_plan *plan = NULL;
  LUR_TRY(start(run, batch, LUR_MODE_PREDICT, &plan));
  return read_outputs(run, plan, outputs);
}

lur_status lur_run_observe(lur_run *run, const lur_batch *batch) {
  lur_plan *plan = NULL;
  LUR_TRY(start(run, batch, LUR_MODE_CALIBRATE, &plan));
  return lur_device_sync(run->options.device);
}

/* ---- forward and backward by hand ---- */

lur_status lur_run_forward(lur_run *run, const lur_batch *batch, bool training, lur_tensor **outputs) {
  lur_plan *plan = NULL;
  LUR_TRY(start(run, batch, training ? LUR_MODE_FREE : LUR_MODE_PREDICT, &plan));
  LUR_TRY(read_outputs(run, plan, outputs));
  run->forward_done = training;
  return LUR_OK;
}

/* One output's gradient into its place; NULL is zero. */
static lur_status seed_gradient(lur_run *run, const lur_plan *plan, int i, lur_tensor *gradient) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  const lur_operand *operand = &plan->values[plan->outputs[i]].operand;
  void *address = lur_plan_gradient_address(run, plan, plan->outputs[i]);
  size_t bytes = (size_t)lur_shape_count(&operand->shape) * sizeof(float);
  if (!gradient) return lur_device_fill(run->options.device, address, 0, bytes);
  if (lur_tensor_dtype(gradient) != LUR_F32 || !lur_shape_equal(lur_tensor_shape(gradient), &operand->shape)) {
    return lur_fail(LUR_ESHAPE, "backward: gradient of output '%s' is %s %s (%s f32 expected)",
                    run->model->output_names[i], lur_shape_format(lur_tensor_shape(gradient), came),
                    lur_dtype_name(lur_tensor_dtype(gradient)), lur_shape_format(&operand->shape, want));
  }
  lur_device *from = lur_tensor_device(gradient), *to = run->options.device;
  lur_copy_kind kind = lur_tensor_data(gradient) ? LUR_COPY_TO_DEVICE : LUR_COPY_WITHIN;
  if (kind == LUR_COPY_WITHIN && from != to)
    return lur_fail(LUR_EDEVICE, "backward: gradient on %s, run on %s", from->name, to->name);
  return lur_device_copy(to, address, lur_tensor_address(gradient), bytes, kind);
}

lur_status lur_run_backward(lur_run *run, lur_tensor *const *output_gradients) {
  if (!run->forward_done || !run->last) {
    return lur_fail(LUR_ESTATE,
                    "backward: no forward in training form before it (run:forward(batch, { training = true }))");
  }
  if (run->scaled)
    return lur_fail(LUR_ESTATE,
                    "backward: gradients of accumulate wait in f16, whose scale these have not: step first");
  lur_plan *plan = run->last;
  for (int i = 0; i < run->model->noutputs; i++) LUR_TRY(seed_gradient(run, plan, i, output_gradients[i]));
  run->forward_done = false; /* in-place backward may have used activations up */
  return lur_plan_backward(run, plan);
}

static lur_status copy_floats(lur_run *run, const void *address, const lur_shape *shape, lur_tensor **tensor) {
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->model->context, NULL, LUR_F32, shape, &made));
  lur_status status =
      lur_device_copy(run->options.device, lur_tensor_data(made), address, lur_tensor_bytes(made), LUR_COPY_TO_HOST);
  if (status == LUR_OK) status = lur_device_sync(run->options.device);
  if (status == LUR_OK && run->scaled) {
    float *v = lur_tensor_data(made);
    for (int64_t i = 0, n = lur_shape_count(shape); i < n; i++) v[i] = (float)((double)v[i] / run->loss_scale);
  }
  if (status == LUR_OK) *tensor = made;
  else lur_tensor_release(made);
  return status;
}

static lur_status input_gradient(lur_run *run, const char *name, lur_tensor **gradient) {
  for (int i = 0; i < run->model->ninputs; i++) {
    if (strcmp(run->model->inputs[i]->layer->name, name) != 0) continue;
    const void *address = run->last ? lur_plan_gradient_address(run, run->last, run->last->inputs[i]) : NULL;
    if (!address)
      return lur_fail(LUR_ESTATE, "gradient: none for input '%s' (compile with input_gradients, then backward)", name);
    return copy_floats(run, address, &run->last->values[run->last->inputs[i]].operand.shape, gradient);
  }
  return lur_fail(LUR_EARG, "gradient: the model has no input '%s'", name);
}

lur_status lur_run_gradient(lur_run *run, const char *layer, const char *weight, lur_tensor **gradient) {
  if (!weight) return input_gradient(run, layer, gradient);
  for (int i = 0; i < run->nlearned; i++) {
    const lur_learned *learned = &run->learned[i];
    const lur_weight *found = &learned->layer->weights[learned->weight];
    if (strcmp(learned->layer->name, layer) != 0 || strcmp(found->name, weight) != 0) continue;
    if (!run->gradients) return lur_fail(LUR_ESTATE, "gradient: no backward has run yet");
    return copy_floats(run, (float *)lur_tensor_address(run->gradients) + learned->offset, &found->shape, gradient);
  }
  return lur_fail(LUR_EARG, "gradient: no weight '%s' of a trainable layer '%s' in this run", weight, layer);
}

/* ---- settings ---- */

double lur_run_lr(const lur_run *run) { return run->lr; }
void lur_run_set_lr(lur_run *run, double lr) { run->lr = lr; }
int64_t lur_run_iterations(const lur_run *run) { return run->iterations; }

lur_status lur_run_scale_layer(lur_run *run, const char *layer, double lr_scale, double decay_scale) {
  int found = 0;
  for (int i = 0; i < run->nlearned; i++) {
    if (strcmp(run->learned[i].layer->name, layer) != 0) continue;
    run->learned[i].lr_scale = (float)lr_scale;
    run->learned[i].decay_scale = (float)decay_scale;
    found++;
  }
  return found ? LUR_OK : lur_fail(LUR_EARG, "scale: no trainable layer '%s' with weights in this run", layer);
}

size_t lur_run_arena_bytes(const lur_run *run) { return run->last ? run->last->arena_bytes : 0; }

size_t lur_run_state_bytes(const lur_run *run) {
  size_t bytes = (size_t)lur_model_parameters(run->model, false) * sizeof(float);
  const lur_tensor *state[] = {run->gradients, run->m, run->v};
  for (int i = 0; i < 3; i++) bytes += state[i] ? lur_tensor_bytes(state[i]) : 0;
  return bytes;
}

void lur_run_set_profile(lur_run *run, bool on) {
  run->profile = on;
  for (int i = 0; i < run->nplans && on; i++) {
    for (int k = 0; k < run->plans[i]->nops; k++) {
      lur_plan_op *op = &run->plans[i]->ops[k];
      op->seconds[0] = op->seconds[1] = 0;
      op->calls[0] = op->calls[1] = 0;
    }
  }
}
