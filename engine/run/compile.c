/* compile.c - makes a run of a model: takes the options, lists what learns, brings weights to the device; makes it anew
 * with other options; and ends it. Nothing here depends on a batch: plans are run.c's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* ---- options ---- */

static const char *const loss_names[] = {"categorical_crossentropy", "binary_crossentropy", "mean_squared_error"};

static lur_status take_loss(lur_run *run, int i, const lur_loss *loss) {
  const lur_model *model = run->model;
  const char *known[LUR_MAX_OUTPUTS];
  int output = -1, kind = -1;
  for (int k = 0; k < model->noutputs; k++) {
    known[k] = model->output_names[k];
    if (strcmp(known[k], loss->output) == 0) output = k;
  }
  if (output < 0) {
    const char *near = lur_nearest(loss->output, known, model->noutputs);
    return lur_fail(LUR_EARG, "compile: loss for '%s', which is no output of the model (%s%s%s)", loss->output,
                    near ? "did you mean '" : "first output: '", near ? near : known[0], near ? "'?" : "'");
  }
  for (int k = 0; k < 3; k++) {
    if (strcmp(loss_names[k], loss->kind) == 0) kind = k;
  }
  if (kind < 0) {
    const char *near = lur_nearest(loss->kind, loss_names, 3);
    return lur_fail(LUR_EARG, "compile: unknown loss '%s' for output '%s' (%s%s%s)", loss->kind, loss->output,
                    near ? "did you mean '" : "categorical_crossentropy, binary_crossentropy or mean_squared_error",
                    near ? near : "", near ? "'?" : " expected");
  }
  if (!(loss->weight >= 0) || !(loss->label_smoothing >= 0 && loss->label_smoothing < 1)) {
    return lur_fail(
        LUR_EARG,
        "compile: loss of '%s' has weight %g and label smoothing %g (weight >= 0 and smoothing in [0, 1) expected)",
        loss->output, loss->weight, loss->label_smoothing);
  }
  snprintf(run->loss_texts[i][0], LUR_NAME, "%s", model->output_names[output]);
  snprintf(run->loss_texts[i][1], LUR_NAME, "%s", loss_names[kind]);
  run->losses[i] = *loss;
  run->losses[i].output = run->loss_texts[i][0];
  run->losses[i].kind = run->loss_texts[i][1];
  run->loss_kinds[i] = (lur_loss_kind)kind;
  run->loss_outputs[i] = output;
  return LUR_OK;
}

static lur_status check_precision(lur_precision precision, const lur_device *device) {
  const bool half = precision == LUR_PRECISION_BF16 || precision == LUR_PRECISION_F16;
  if (half && !device->backend->half) {
    return lur_fail(LUR_EUNSUPPORTED, "compile: precision '%s' is not served by %s (device cuda, or f32 expected)",
                    precision == LUR_PRECISION_BF16 ? "bf16" : "f16", lur_device_name(device));
  }
  if (precision == LUR_PRECISION_INT8 && !device->backend->int8) {
    return lur_fail(LUR_EUNSUPPORTED, "compile: precision 'int8' is not served by %s (device cpu, or bf16 expected)",
                    lur_device_name(device));
  }
  return LUR_OK;
}

static lur_status take_options(lur_run *run, const lur_compile_options *options) {
  run->options = *options;
  run->options.losses = run->losses;
  if (!options->device) LUR_TRY(lur_context_device(run->model->context, "cpu", &run->options.device));
  run->options.optimizer = NULL; /* until it is retained */
  LUR_TRY(check_precision(options->precision, run->options.device));
  run->options.nlosses = 0;
  if (options->nlosses > LUR_MAX_OUTPUTS) return lur_fail(LUR_EARG, "compile: more than %d losses", LUR_MAX_OUTPUTS);
  for (int i = 0; i < options->nlosses; i++) {
    LUR_TRY(take_loss(run, i, &options->losses[i]));
    run->options.nlosses++;
  }
  if (options->optimizer) {
    lur_optimizer_retain(options->optimizer);
    run->options.optimizer = options->optimizer;
    run->lr = lur_optimizer_lr(options->optimizer);
  }
  return LUR_OK;
}

/* ---- what a run holds ---- */

/* Which weights learn, and where each stands in the flat gradient. */
static lur_status list_learned(lur_run *run) {
  const lur_model *model = run->model;
  LUR_TRY(lur_alloc_items((size_t)model->nlayers, sizeof *run->trains, &run->trains));
  LUR_TRY(lur_alloc_items((size_t)model->nlayers * LUR_MAX_WEIGHTS, sizeof *run->learned, &run->learned));
  int64_t offset = 0;
  for (int i = 0; i < model->nlayers; i++) {
    lur_layer *layer = model->layers[i];
    run->trains[i] = layer->trainable;
    for (int k = 0; k < layer->nweights && layer->trainable; k++) {
      if (!layer->weights[k].learned) continue;
      int64_t count = lur_shape_count(&layer->weights[k].shape);
      run->learned[run->nlearned++] = (lur_learned){layer, k, offset, count, 1, 1};
      offset += (count + 15) / 16 * 16; /* every gradient starts on 64 bytes */
    }
  }
  run->gradient_count = offset;
  return LUR_OK;
}

static lur_status list_frozen(lur_run *run) {
  LUR_TRY(lur_alloc_items((size_t)run->model->nnodes, sizeof *run->frozen, &run->frozen));
  lur_frozen_nodes(run->model, NULL, run->options.batchnorm_batch, run->frozen);
  return LUR_OK;
}

static lur_status move_weights(lur_run *run) {
  for (int i = 0; i < run->model->nlayers; i++) {
    lur_layer *layer = run->model->layers[i];
    for (int k = 0; k < layer->nweights; k++) LUR_TRY(lur_weight_to(&layer->weights[k], run->options.device));
  }
  return LUR_OK;
}

lur_status lur_run_set_loss_weights(lur_run *run) {
  lur_tensor *host = NULL;
  lur_shape shape = {.ndim = 1, .dim = {LUR_MAX_OUTPUTS}};
  LUR_TRY(lur_tensor_new(run->model->context, NULL, LUR_F32, &shape, &host));
  for (int i = 0; i < run->options.nlosses; i++)
    ((float *)lur_tensor_data(host))[i] = (float)(run->losses[i].weight * run->loss_scale);
  lur_status status = run->loss_weights ? lur_tensor_copy(run->loss_weights, host)
                                        : lur_tensor_to(host, run->options.device, &run->loss_weights);
  lur_tensor_release(host);
  return status;
}

/* What hangs on the options: everything but the model. */
static void clear(lur_run *run) {
  if (run->options.device) {
    lur_run_drop_fed(run);
    lur_recording_free(run->options.device, &run->step_recording);
    lur_device_free(run->options.device, run->on_device);
    run->on_device = NULL;
  }
  for (int i = 0; i < run->nplans; i++) lur_plan_free(run->plans[i]);
  run->nplans = 0;
  lur_run_drop_ranges(run);
  run->last = NULL;
  run->forward_done = false;
  if (run->options.device) lur_device_free(run->options.device, run->arena);
  run->arena = NULL;
  run->arena_bytes = 0;
  lur_tensor_release(run->gradients);
  lur_tensor_release(run->m);
  lur_tensor_release(run->v);
  lur_tensor_release(run->loss_weights);
  run->gradients = run->m = run->v = run->loss_weights = NULL;
  free(run->slots);
  free(run->watched);
  free(run->learned);
  run->slots = run->watched = NULL;
  free(run->trains);
  free(run->frozen);
  run->learned = NULL;
  run->trains = run->frozen = NULL;
  run->nlearned = 0;
  lur_optimizer_release(run->options.optimizer);
  run->options.optimizer = NULL;
}

static lur_status set_up(lur_run *run, const lur_compile_options *options) {
  LUR_TRY(take_options(run, options));
  LUR_TRY(list_learned(run));
  LUR_TRY(list_frozen(run));
  LUR_TRY(lur_plan_check_kernels(run));
  LUR_TRY(move_weights(run));
  void *memory = NULL;
  LUR_TRY(lur_device_alloc(run->options.device, sizeof *run->on_device, &memory));
  run->on_device = memory;
  LUR_TRY(lur_device_fill(run->options.device, memory, 0, sizeof *run->on_device));
  run->loss_scale = run->options.precision == LUR_PRECISION_F16 ? 65536 : 1;
  LUR_TRY(lur_run_set_loss_weights(run));
  run->iterations = 0;
  run->step = 0;
  run->m_schedule = 1;
  run->finite = -1;
  run->seed = lur_context_get_seed(run->model->context);
  return LUR_OK;
}

/* ---- life ---- */

lur_status lur_model_compile(lur_model *model, const lur_compile_options *options, lur_run **run) {
  lur_run *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  made->model = model;
  lur_model_retain(model);
  lur_status status = set_up(made, options);
  if (status == LUR_OK) *run = made;
  else lur_run_release(made);
  return status;
}

/* An int8 run stays calibrated: the model is the same. */
static void keep_ranges(lur_run *from, lur_run *to) {
  if (to->options.precision != LUR_PRECISION_INT8) return;
  to->ranges = from->ranges;
  to->nranges = from->nranges;
  to->ranges_room = from->ranges_room;
  to->calibrated = from->calibrated;
  from->ranges = NULL;
  from->nranges = from->ranges_room = 0;
}

/* A failure leaves the run as it was. */
lur_status lur_run_recompile(lur_run *run, const lur_compile_options *options) {
  lur_run *made = NULL;
  LUR_TRY(lur_model_compile(run->model, options, &made));
  made->profile = run->profile;
  keep_ranges(run, made);
  made->watch = run->watch;
  lur_run swapped = *run;
  atomic_int refs = atomic_load(&run->refs);
  *run = *made;
  atomic_init(&run->refs, refs);
  *made = swapped;
  atomic_init(&made->refs, 1);
  for (int i = 0; i < run->options.nlosses; i++) { /* these point into the struct itself */
    run->losses[i].output = run->loss_texts[i][0];
    run->losses[i].kind = run->loss_texts[i][1];
  }
  run->options.losses = run->losses;
  lur_run_release(made);
  return LUR_OK;
}

void lur_run_retain(lur_run *run) { atomic_fetch_add(&run->refs, 1); }

void lur_run_release(lur_run *run) {
  if (!run || atomic_fetch_sub(&run->refs, 1) != 1) return;
  clear(run);
  lur_model_release(run->model);
  free(run);
}

lur_model *lur_run_model(const lur_run *run) { return run->model; }
lur_device *lur_run_device(const lur_run *run) { return run->options.device; }
