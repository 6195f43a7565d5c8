/* optimizer.c - optimizers as declared options, and one update of all learned weights.
 *
 * Formulas are those of Keras 2.0.6 (keras/optimizers.py): Adam's and Nadam's epsilon is outside the bias
 * correction; the learning rate is inside SGD's velocity. AdamW: Loshchilov and Hutter, "Decoupled weight decay
 * regularization" (ICLR 2019), decay times the uncorrected learning rate. Weight decay applies to kernels only, never
 * to biases or batch norm. Clipping by norm is by the global norm of all gradients. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/option.h"
#include "engine/tensor/tensor.h"
#include "run.h"

typedef struct lur_optimizer_options {
  double lr, momentum, decay, beta_1, beta_2, epsilon, schedule_decay, weight_decay, clip_norm, clip_value;
  bool nesterov;
} lur_optimizer_options;

#define OFFSET(field) offsetof(lur_optimizer_options, field)
#define COMMON(decay_default)                                                                                          \
  {"decay", LUR_OPT_REAL, OFFSET(decay), "0", 0, 1e9, NULL, "lr / (1 + decay * steps made)"},                          \
      {"weight_decay",                                                                                                 \
       LUR_OPT_REAL,                                                                                                   \
       OFFSET(weight_decay),                                                                                           \
       decay_default,                                                                                                  \
       0,                                                                                                              \
       1e9,                                                                                                            \
       NULL,                                                                                                           \
       "weight decay (L2) of kernels; biases and batch norm never decay"},                                             \
      {"clip_norm",                                                                                                    \
       LUR_OPT_REAL,                                                                                                   \
       OFFSET(clip_norm),                                                                                              \
       "0",                                                                                                            \
       0,                                                                                                              \
       1e30,                                                                                                           \
       NULL,                                                                                                           \
       "scales all gradients down to this global norm (0: off)"},                                                      \
  {                                                                                                                    \
    "clip_value", LUR_OPT_REAL, OFFSET(clip_value), "0", 0, 1e30, NULL, "clips every gradient to [-v, v] (0: off)"     \
  }
#define BETAS(epsilon_default)                                                                                         \
  {"beta_1", LUR_OPT_REAL, OFFSET(beta_1), "0.9", 0, 0.999999, NULL, "decay of the mean gradient"},                    \
      {"beta_2", LUR_OPT_REAL, OFFSET(beta_2), "0.999", 0, 0.99999999, NULL, "decay of the mean squared gradient"}, {  \
    "epsilon", LUR_OPT_REAL, OFFSET(epsilon), epsilon_default, 0, 1, NULL,                                             \
        "added to the square root (Keras before 2.1.3: 1e-8)"                                                          \
  }

static const lur_option sgd_options[] = {
    {"lr", LUR_OPT_REAL, OFFSET(lr), "0.01", 0, 1e9, NULL, "learning rate"},
    {"momentum", LUR_OPT_REAL, OFFSET(momentum), "0", 0, 1, NULL, "fraction of the velocity that is kept"},
    {"nesterov", LUR_OPT_BOOL, OFFSET(nesterov), "false", 0, 0, NULL, "looks ahead along the velocity"},
    COMMON("0"),
    {0}};
static const lur_option adam_options[] = {
    {"lr", LUR_OPT_REAL, OFFSET(lr), "0.001", 0, 1e9, NULL, "learning rate"}, BETAS("1e-7"), COMMON("0"), {0}};
static const lur_option adamw_options[] = {
    {"lr", LUR_OPT_REAL, OFFSET(lr), "0.001", 0, 1e9, NULL, "learning rate"}, BETAS("1e-7"), COMMON("0.01"), {0}};
static const lur_option nadam_options[] = {
    {"lr", LUR_OPT_REAL, OFFSET(lr), "0.002", 0, 1e9, NULL, "learning rate"},
    BETAS("1e-7"),
    {"schedule_decay", LUR_OPT_REAL, OFFSET(schedule_decay), "0.004", 0, 1, NULL, "decay of the momentum schedule"},
    COMMON("0"),
    {0}};

static const struct {
  const char *name;
  const lur_option *options;
} kinds[LUR_UPDATE_RULE_COUNT] = {
    {"sgd", sgd_options}, {"adam", adam_options}, {"adamw", adamw_options}, {"nadam", nadam_options}};

static int find_kind(const char *kind) {
  for (int i = 0; i < LUR_UPDATE_RULE_COUNT; i++) {
    if (strcmp(kinds[i].name, kind) == 0) return i;
  }
  return -1;
}

lur_status lur_optimizer_new(lur_context *context, const char *kind, const lur_setting *settings, int n,
                             lur_optimizer **optimizer) {
  int rule = find_kind(kind);
  if (rule < 0) return lur_fail(LUR_EARG, "unknown optimizer '%s' (sgd, adam, adamw or nadam expected)", kind);
  lur_optimizer *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  made->context = context;
  lur_context_retain(context);
  made->rule = (lur_update_rule)rule;
  lur_status status = lur_alloc_items(1, sizeof(lur_optimizer_options), &made->options);
  if (status == LUR_OK) {
    status =
        lur_options_read(kind, kinds[rule].options, settings, n, NULL, made->options, sizeof(lur_optimizer_options));
  }
  if (status == LUR_OK) *optimizer = made;
  else lur_optimizer_release(made);
  return status;
}

void lur_optimizer_retain(lur_optimizer *optimizer) { atomic_fetch_add(&optimizer->refs, 1); }

void lur_optimizer_release(lur_optimizer *optimizer) {
  if (!optimizer || atomic_fetch_sub(&optimizer->refs, 1) != 1) return;
  free(optimizer->options);
  lur_context_release(optimizer->context);
  free(optimizer);
}

const char *lur_optimizer_kind(const lur_optimizer *optimizer) { return kinds[optimizer->rule].name; }

double lur_optimizer_lr(const lur_optimizer *optimizer) {
  return ((const lur_optimizer_options *)optimizer->options)->lr;
}

int lur_optimizer_kind_options(const char *kind, lur_option_info *info, int capacity) {
  int rule = find_kind(kind);
  return rule < 0 ? -1 : lur_options_info(kinds[rule].options, info, capacity);
}

int lur_optimizer_format(const lur_optimizer *optimizer, char *text, size_t capacity) {
  const char *name = kinds[optimizer->rule].name;
  int head = snprintf(text, capacity, "%s{ ", name);
  size_t used = (size_t)head < capacity ? (size_t)head : capacity;
  int body = lur_options_format(kinds[optimizer->rule].options, optimizer->options, true, text + used, capacity - used);
  used = (size_t)(head + body) < capacity ? (size_t)(head + body) : capacity;
  int tail = snprintf(text + used, capacity - used, " }");
  return head + body + tail;
}

/* ---- one update ---- */

/* The numbers of this step. */
static void schedule(lur_optimizing *o, const lur_optimizer_options *options, lur_update *update) {
  double t = (double)o->iterations + 1;
  update->lr = update->decay_lr = o->lr / (1 + options->decay * (double)o->iterations);
  if (update->rule == LUR_ADAM || update->rule == LUR_ADAMW) {
    update->lr *= sqrt(1 - pow(options->beta_2, t)) / (1 - pow(options->beta_1, t));
  }
  if (update->rule != LUR_NADAM) return;
  double u = options->beta_1 * (1 - 0.5 * pow(0.96, t * options->schedule_decay));
  double next = options->beta_1 * (1 - 0.5 * pow(0.96, (t + 1) * options->schedule_decay));
  o->m_schedule *= u;
  update->g_scale = (1 - u) / (1 - o->m_schedule);
  update->m_scale = next / (1 - o->m_schedule * next);
  update->v_scale = 1 / (1 - pow(options->beta_2, t));
}

static lur_status new_array(const lur_run *run, lur_tensor **array) {
  lur_shape shape = {.ndim = 1, .dim = {run->optimizing.count}};
  return *array ? LUR_OK : lur_tensor_new(run->target.model->context, run->target.device, LUR_F32, &shape, array);
}

static lur_status need_state(lur_run *run, const lur_optimizer_options *options, lur_update_rule rule) {
  bool m = rule != LUR_SGD || options->momentum != 0, v = rule != LUR_SGD;
  if (m) LUR_TRY(new_array(run, &run->optimizing.m));
  return v ? new_array(run, &run->optimizing.v) : LUR_OK;
}

lur_status lur_run_need_gradients(lur_run *run) {
  return run->optimizing.count == 0 ? LUR_OK : new_array(run, &run->optimizing.gradients);
}

static void fill_parameters(lur_run *run, double decay) {
  lur_optimizing *o = &run->optimizing;
  const float *g = lur_tensor_address(o->gradients);
  float *m = o->m ? lur_tensor_address(o->m) : NULL, *v = o->v ? lur_tensor_address(o->v) : NULL;
  for (int i = 0; i < run->target.nlearned; i++) {
    const lur_learned *learned = &run->target.learned[i];
    const lur_weight *weight = &learned->layer->weights[learned->weight];
    o->parameters[i] = (lur_parameter){.p = lur_tensor_address(weight->value),
                                       .g = g + learned->offset,
                                       .m = m ? m + learned->offset : NULL,
                                       .v = v ? v + learned->offset : NULL,
                                       .count = learned->count,
                                       .lr_scale = o->scales[i].lr,
                                       .weight_decay = weight->decays ? (float)(decay * o->scales[i].decay) : 0};
  }
}

/* The weights that training changes: those of trainable layers and of every batch norm. */
static lur_status fill_watched(lur_run *run) {
  lur_optimizing *o = &run->optimizing;
  const lur_plan_target *target = &run->target;
  if (!o->watched)
    LUR_TRY(lur_alloc_items((size_t)target->nlayers * LUR_MAX_WEIGHTS, sizeof *o->watched, &o->watched));
  o->nwatched = 0;
  for (int i = 0; i < target->nlayers; i++) {
    const lur_layer *layer = target->layers[i];
    if (!target->trains[i] && strcmp(layer->kind->name, "batchnorm") != 0) continue;
    for (int k = 0; k < layer->nweights; k++) {
      o->watched[o->nwatched++] = (lur_parameter){.g = lur_tensor_address(layer->weights[k].value),
                                                  .count = lur_shape_count(&layer->weights[k].shape)};
    }
  }
  return LUR_OK;
}

/* The device's part of an update. The host reads none of its results, so that it can be captured. */
static lur_status launch(lur_run *run, void *context) {
  const lur_update *update = context;
  const lur_optimizing *o = &run->optimizing;
  lur_device *device = run->target.device;
  lur_on_device *found = run->readback.on_device;
  if (update->squares) LUR_TRY(lur_device_gradient_norm(device, o->parameters, run->target.nlearned, &found->squares));
  LUR_TRY(lur_device_update(device, update, o->parameters, run->target.nlearned));
  if (o->watch) LUR_TRY(lur_device_gradient_norm(device, o->watched, o->nwatched, &found->watched));
  return lur_device_fill(device, lur_tensor_address(o->gradients), 0, lur_tensor_bytes(o->gradients));
}

/* Of everything that stays the same from step to step. The optimizer's own numbers change only with a recompile. */
static uint64_t capture_key(const lur_run *run, const lur_update *update) {
  const lur_optimizing *o = &run->optimizing;
  uint64_t key = lur_key_add_bytes(1, o->parameters, (size_t)run->target.nlearned * sizeof *o->parameters);
  if (o->watch) key = lur_key_add_bytes(key, o->watched, (size_t)o->nwatched * sizeof *o->watched);
  return lur_key_add_bytes(key, (const bool[]){update->squares != NULL, update->skip_overflow, o->watch},
                           3 * sizeof(bool));
}

/* The numbers of this step, and clipping. Advances the run's schedule. */
static lur_update make_update(lur_run *run, const lur_optimizer_options *o, double scale) {
  const bool scaled = run->loss_scale.applied;
  lur_update update = {.rule = run->optimizing.optimizer->rule,
                       .momentum = o->momentum,
                       .nesterov = o->nesterov,
                       .beta1 = o->beta_1,
                       .beta2 = o->beta_2,
                       .epsilon = o->epsilon,
                       .gradient_scale = (float)(scaled ? scale / run->loss_scale.value : scale),
                       .clip_value = (float)o->clip_value,
                       .clip_norm = o->clip_norm,
                       .skip_overflow = scaled,
                       .step_parameters = lur_run_step_parameters(run)};
  if (o->clip_norm > 0 || scaled) update.squares = &run->readback.on_device->squares;
  schedule(&run->optimizing, o, &update);
  return update;
}

lur_status lur_run_update(lur_run *run, double scale) {
  lur_optimizing *o = &run->optimizing;
  const lur_optimizer_options *options = o->optimizer->options;
  LUR_TRY(need_state(run, options, o->optimizer->rule));
  if (!o->parameters) LUR_TRY(lur_alloc_items((size_t)run->target.nlearned, sizeof *o->parameters, &o->parameters));
  fill_parameters(run, options->weight_decay);
  if (o->watch) LUR_TRY(fill_watched(run));
  o->m_schedule_before = o->m_schedule;
  lur_update update = make_update(run, options, scale);
  lur_status status = lur_run_write_step_parameters(run, &update);
  if (status == LUR_OK) status = lur_run_captured(run, &o->capture, capture_key(run, &update), launch, &update);
  if (status != LUR_OK) {
    o->m_schedule = o->m_schedule_before;
    return lur_blame(status, "%s's update of the weights", lur_optimizer_kind(o->optimizer));
  }
  for (int i = 0; i < run->target.nlearned; i++) {
    const lur_learned *learned = &run->target.learned[i];
    learned->layer->weights[learned->weight].version++;
  }
  return LUR_OK;
}

lur_status lur_run_updated(lur_run *run) {
  lur_optimizing *o = &run->optimizing;
  const lur_on_device *seen = &run->readback.seen;
  bool scaled = run->loss_scale.applied,
       overflow = scaled && !isfinite(seen->squares); /* the device skipped the step */
  if (o->watch) o->finite = isfinite(seen->watched) ? 1 : 0;
  run->loss_scale.applied = false;
  if (overflow) o->m_schedule = o->m_schedule_before;
  else o->iterations++;
  return scaled ? lur_run_adapt_loss_scale(run, overflow) : LUR_OK;
}

/* ---- the run's part ---- */

lur_status lur_run_open_optimizer(lur_run *run, lur_optimizer *optimizer) {
  lur_optimizing *o = &run->optimizing;
  if (optimizer) {
    lur_optimizer_retain(optimizer);
    o->optimizer = optimizer;
    o->lr = lur_optimizer_lr(optimizer);
  }
  o->m_schedule = 1;
  o->finite = -1;
  LUR_TRY(lur_alloc_items((size_t)run->target.nlearned, sizeof *o->scales, &o->scales));
  for (int i = 0; i < run->target.nlearned; i++) o->scales[i] = (lur_scales){1, 1};
  if (run->target.nlearned > 0) {
    const lur_learned *last = &run->target.learned[run->target.nlearned - 1];
    o->count = last->offset + lur_learned_room(last->count);
  }
  return LUR_OK;
}

void lur_run_close_optimizer(lur_run *run) {
  lur_optimizing *o = &run->optimizing;
  lur_capture_free(run->target.device, &o->capture);
  lur_tensor_release(o->gradients);
  lur_tensor_release(o->m);
  lur_tensor_release(o->v);
  free(o->scales);
  free(o->parameters);
  free(o->watched);
  lur_optimizer_release(o->optimizer);
  *o = (lur_optimizing){0};
}

void lur_run_zero_gradients(lur_run *run) {
  const lur_tensor *gradients = run->optimizing.gradients;
  run->loss_scale.applied = false;
  if (!gradients) return;
  (void)lur_device_fill(run->target.device, lur_tensor_address(gradients), 0, lur_tensor_bytes(gradients));
}

double lur_run_lr(const lur_run *run) { return run->optimizing.lr; }
void lur_run_set_lr(lur_run *run, double lr) { run->optimizing.lr = lr; }
int64_t lur_run_iterations(const lur_run *run) { return run->optimizing.iterations; }

void lur_run_set_watch(lur_run *run, bool on) {
  run->optimizing.watch = on;
  run->optimizing.finite = -1;
}

bool lur_run_watches(const lur_run *run) { return run->optimizing.watch; }
int lur_run_finite(const lur_run *run) { return run->optimizing.finite; }

lur_status lur_run_scale_layer(lur_run *run, const char *layer, double lr_scale, double decay_scale) {
  int found = 0;
  for (int i = 0; i < run->target.nlearned; i++) {
    if (strcmp(run->target.learned[i].layer->name, layer) != 0) continue;
    run->optimizing.scales[i] = (lur_scales){(float)lr_scale, (float)decay_scale};
    found++;
  }
  return found ? LUR_OK : lur_fail(LUR_EARG, "scale: no trainable layer '%s' with weights in this run", layer);
}

size_t lur_run_state_bytes(const lur_run *run) {
  size_t bytes = 0;
  for (int i = 0; i < run->target.nlayers; i++) {
    const lur_layer *layer = run->target.layers[i];
    for (int k = 0; k < layer->nweights; k++)
      bytes += (size_t)lur_shape_count(&layer->weights[k].shape) * sizeof(float);
  }
  const lur_tensor *arrays[] = {run->optimizing.gradients, run->optimizing.m, run->optimizing.v};
  for (int i = 0; i < 3; i++) bytes += arrays[i] ? lur_tensor_bytes(arrays[i]) : 0;
  return bytes;
}
