/* compile.c - creates a run of a model: takes the options into the target, lists what learns, brings weights to the
 * device, opens the run's parts; recompiles it with other options; and frees it. Nothing here depends on a batch:
 * plans.c builds the plans. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* ---- the target ---- */

static lur_status check_precision(lur_precision precision, const lur_device *device) {
  const bool half = precision == LUR_PRECISION_BF16 || precision == LUR_PRECISION_F16;
  if (half && !device->backend->half) {
    return lur_fail(LUR_EUNSUPPORTED,
                    "compile: precision '%s' is not supported by %s (device cuda, or precision f32, expected)",
                    precision == LUR_PRECISION_BF16 ? "bf16" : "f16", lur_device_name(device));
  }
  if (precision == LUR_PRECISION_INT8 && !device->backend->int8) {
    return lur_fail(LUR_EUNSUPPORTED,
                    "compile: precision 'int8' is not supported by %s (device cpu, or precision bf16, expected)",
                    lur_device_name(device));
  }
  return LUR_OK;
}

static lur_status take_options(lur_plan_target *target, const lur_compile_options *o) {
  target->device = o->device;
  if (!o->device) LUR_TRY(lur_context_device(target->model->context, "cpu", &target->device));
  target->precision = o->precision;
  target->batchnorm_batch = o->batchnorm_batch;
  target->input_gradients = o->input_gradients;
  target->check = o->check;
  target->no_prune = o->no_prune;
  target->no_fold = o->no_fold;
  target->no_lifetimes = o->no_lifetimes;
  target->no_arena = o->no_arena;
  LUR_TRY(check_precision(o->precision, target->device));
  return lur_target_take_losses(target, o->nlosses, o->losses);
}

/* Lists the weights that learn, and where each is in the flat arrays. */
static lur_status list_learned(lur_plan_target *target) {
  LUR_TRY(lur_alloc_items((size_t)target->nlayers, sizeof *target->trains, &target->trains));
  LUR_TRY(lur_alloc_items((size_t)target->nlayers * LUR_MAX_WEIGHTS, sizeof *target->learned, &target->learned));
  int64_t offset = 0;
  for (int i = 0; i < target->nlayers; i++) {
    lur_layer *layer = target->layers[i];
    target->trains[i] = layer->trainable;
    for (int k = 0; k < layer->nweights && layer->trainable; k++) {
      if (!layer->weights[k].learned) continue;
      int64_t count = lur_shape_count(&layer->weights[k].shape);
      target->learned[target->nlearned++] = (lur_learned){layer, k, offset, count};
      offset += lur_learned_room(count);
    }
  }
  return LUR_OK;
}

static lur_status list_frozen(lur_plan_target *target) {
  LUR_TRY(lur_alloc_items((size_t)target->model->nnodes, sizeof *target->frozen, &target->frozen));
  lur_frozen_nodes(target->model, NULL, target->batchnorm_batch, target->frozen);
  return LUR_OK;
}

static void free_target(lur_plan_target *target) {
  lur_ranges_free(&target->ranges);
  lur_target_drop_losses(target);
  free(target->layers);
  free(target->trains);
  free(target->frozen);
  free(target->learned);
  lur_model_release(target->model);
}

static lur_status move_weights(const lur_plan_target *target) {
  for (int i = 0; i < target->nlayers; i++) {
    lur_layer *layer = target->layers[i];
    for (int k = 0; k < layer->nweights; k++) LUR_TRY(lur_weight_to(&layer->weights[k], target->device));
  }
  return LUR_OK;
}

/* ---- the run ---- */

static lur_status set_up(lur_run *run, const lur_compile_options *options) {
  lur_plan_target *target = &run->target;
  LUR_TRY(take_options(target, options));
  LUR_TRY(list_learned(target));
  LUR_TRY(list_frozen(target));
  LUR_TRY(lur_run_open_optimizer(run, options->optimizer));
  LUR_TRY(lur_plan_check_kernels(target));
  LUR_TRY(move_weights(target));
  LUR_TRY(lur_run_open_results(run));
  run->capturing.disabled = options->no_graph;
  run->seed = lur_context_get_seed(target->model->context);
  return lur_run_set_loss_scale(run, options->precision == LUR_PRECISION_F16 ? 65536 : 1, 0);
}

/* Plans first: they use the rest. Every part may be half set up, or not at all. */
static void tear_down(lur_run *run) {
  if (run->target.device) {
    lur_run_unbind(run);
    lur_run_drop_plans(run);
    lur_run_close_optimizer(run);
    lur_run_close_results(run);
    lur_tensor_release(run->loss_scale.weights);
  }
  free_target(&run->target);
}

lur_status lur_model_compile(lur_model *model, const lur_compile_options *options, lur_run **run) {
  lur_run *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  made->target.model = model;
  lur_model_retain(model);
  lur_status status = set_up(made, options);
  if (status == LUR_OK) *run = made;
  else lur_run_release(made);
  return status;
}

/* A recompiled int8 run stays calibrated, because the model is the same. */
static void keep_ranges(lur_run *from, lur_run *to) {
  if (to->target.precision != LUR_PRECISION_INT8) return;
  to->target.ranges = from->target.ranges;
  from->target.ranges = (lur_ranges){0};
}

/* A failure leaves the run as it was. */
lur_status lur_run_recompile(lur_run *run, const lur_compile_options *options) {
  lur_run *made = NULL;
  LUR_TRY(lur_model_compile(run->target.model, options, &made));
  made->profile = run->profile;
  keep_ranges(run, made);
  lur_run_set_watch(made, run->optimizing.watch);
  lur_run swapped = *run;
  atomic_int refs = atomic_load(&run->refs);
  *run = *made;
  atomic_init(&run->refs, refs);
  *made = swapped;
  atomic_init(&made->refs, 1);
  lur_run_release(made);
  return LUR_OK;
}

void lur_run_retain(lur_run *run) { atomic_fetch_add(&run->refs, 1); }

void lur_run_release(lur_run *run) {
  if (!run || atomic_fetch_sub(&run->refs, 1) != 1) return;
  tear_down(run);
  free(run);
}

lur_model *lur_run_model(const lur_run *run) { return run->target.model; }
lur_device *lur_run_device(const lur_run *run) { return run->target.device; }
