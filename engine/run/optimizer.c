/* optimizer.c - optimizers as declared options, and one update of all learned weights.
 *
 * Formulas are those of Keras 2.0.6 (keras/optimizers.py): Adam's and Nadam's epsilon stands outside the bias
 * correction; the learning rate is inside SGD's velocity. AdamW: Loshchilov and Hutter, "Decoupled weight decay
 * regularization" (ICLR 2019), decay times the uncorrected learning rate. Weight decay touches kernels only, never
 * biases or batch norm. Clipping by norm is by the global norm of all gradients. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

typedef struct lur_optimizer_options {
  double lr, momentum, decay, beta_1, beta_2, epsilon, schedule_decay, weight_decay, clip_norm, clip_value;
  bool nesterov;
} lur_optimizer_options;

#define OFFSET(field) offsetof(lur_optimizer_options, field)
#define COMMON(decay_default)                                                                                          \
  {"decay", LUR_OPT_REAL, OFFSET(decay), "0", 0, 1e9, NULL, "lr / (1 + decay * steps made)"},                           \
  {"weight_decay", LUR_OPT_REAL, OFFSET(weight_decay), decay_default, 0, 1e9, NULL, "of kernels; biases and batch norm never decay"}, \
  {"clip_norm", LUR_OPT_REAL, OFFSET(clip_norm), "0", 0, 1e30, NULL, "scales all gradients down to this global norm; 0: off"}, \
  {"clip_value", LUR_OPT_REAL, OFFSET(clip_value), "0", 0, 1e30, NULL, "clips every gradient to [-v, v]; 0: off"}
#define BETAS(epsilon_default)                                                                        \
  {"beta_1", LUR_OPT_REAL, OFFSET(beta_1), "0.9", 0, 0.999999, NULL, "decay of the mean"},             \
  {"beta_2", LUR_OPT_REAL, OFFSET(beta_2), "0.999", 0, 0.99999999, NULL, "decay of the mean square"},  \
  {"epsilon", LUR_OPT_REAL, OFFSET(epsilon), epsilon_default, 0, 1, NULL, "added to the root (1e-8: Keras before 2.1.3)"}

static const lur_option sgd_options[] = {
    {"lr", LUR_OPT_REAL, OFFSET(lr), "0.01", 0, 1e9, NULL, "learning rate"},
    {"momentum", LUR_OPT_REAL, OFFSET(momentum), "0", 0, 1, NULL, "share of the velocity that stays"},
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
    {"schedule_decay", LUR_OPT_REAL, OFFSET(schedule_decay), "0.004", 0, 1, NULL, "of the momentum schedule"},
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
    status = lur_options_read(kind, kinds[rule].options, settings, n, NULL, made->options, sizeof(lur_optimizer_options));
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

double lur_optimizer_lr(const lur_optimizer *optimizer) { return ((const lur_optimizer_options *)optimizer->options)->lr; }

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

/* What moves from step to step. */
static void schedule(lur_run *run, const lur_optimizer_options *o, lur_update *update) {
  double t = (double)run->iterations + 1;
  update->lr = update->decay_lr = run->lr / (1 + o->decay * (double)run->iterations);
  if (update->rule == LUR_ADAM || update->rule == LUR_ADAMW) {
    update->lr *= sqrt(1 - pow(o->beta_2, t)) / (1 - pow(o->beta_1, t));
  }
  if (update->rule != LUR_NADAM) return;
  double u = o->beta_1 * (1 - 0.5 * pow(0.96, t * o->schedule_decay));
  double next = o->beta_1 * (1 - 0.5 * pow(0.96, (t + 1) * o->schedule_decay));
  run->m_schedule *= u;
  update->g_scale = (1 - u) / (1 - run->m_schedule);
  update->m_scale = next / (1 - run->m_schedule * next);
  update->v_scale = 1 / (1 - pow(o->beta_2, t));
}

static lur_status need_state(lur_run *run, const lur_optimizer_options *o, lur_update_rule rule) {
  lur_shape shape = {.ndim = 1, .dim = {run->gradient_count}};
  bool m = rule != LUR_SGD || o->momentum != 0, v = rule != LUR_SGD;
  if (m && !run->m) LUR_TRY(lur_tensor_new(run->model->context, run->options.device, LUR_F32, &shape, &run->m));
  if (v && !run->v) LUR_TRY(lur_tensor_new(run->model->context, run->options.device, LUR_F32, &shape, &run->v));
  return LUR_OK;
}

static void fill_slots(lur_run *run, double decay, lur_parameter *slots) {
  const float *g = lur_tensor_address(run->gradients);
  float *m = run->m ? lur_tensor_address(run->m) : NULL, *v = run->v ? lur_tensor_address(run->v) : NULL;
  for (int i = 0; i < run->nlearned; i++) {
    const lur_learned *learned = &run->learned[i];
    const lur_weight *weight = &learned->layer->weights[learned->weight];
    slots[i] = (lur_parameter){.p = lur_tensor_address(weight->value),
                          .g = g + learned->offset,
                          .m = m ? m + learned->offset : NULL,
                          .v = v ? v + learned->offset : NULL,
                          .count = learned->count,
                          .lr_scale = learned->lr_scale,
                          .weight_decay = weight->decays ? (float)(decay * learned->decay_scale) : 0};
  }
}

/* Micikevicius et al., "Mixed precision training" (2018), section 3.2: halved where a gradient overflowed, doubled after
   2000 steps without. */
static lur_status adapt_scale(lur_run *run, bool overflow) {
  enum { PATIENCE = 2000 };
  if (!overflow && ++run->good_steps < PATIENCE) return LUR_OK;
  double scale = overflow ? run->loss_scale / 2 : run->loss_scale * 2;
  run->good_steps = 0;
  if (scale < 1 || scale > 16777216) return LUR_OK;
  run->loss_scale = scale;
  return lur_run_set_loss_weights(run);
}

/* The weights that training moves: of layers that learn, and of every batch norm. */
static lur_status fill_watched(lur_run *run) {
  const lur_model *model = run->model;
  if (!run->watched) LUR_TRY(lur_alloc_items((size_t)model->nlayers * LUR_MAX_WEIGHTS, sizeof *run->watched, &run->watched));
  run->nwatched = 0;
  for (int i = 0; i < model->nlayers; i++) {
    const lur_layer *layer = model->layers[i];
    if (!run->trains[i] && strcmp(layer->kind->name, "batchnorm") != 0) continue;
    for (int k = 0; k < layer->nweights; k++) {
      run->watched[run->nwatched++] =
          (lur_parameter){.g = lur_tensor_address(layer->weights[k].value), .count = lur_shape_count(&layer->weights[k].shape)};
    }
  }
  return LUR_OK;
}

/* What the device is asked for; the host looks at none of it. */
static lur_status launch(lur_run *run, void *context) {
  const lur_update *update = context;
  lur_device *device = run->options.device;
  if (update->squares) LUR_TRY(lur_device_gradient_norm(device, run->slots, run->nlearned, &run->on_device->squares));
  LUR_TRY(lur_device_update(device, update, run->slots, run->nlearned));
  if (run->watch) LUR_TRY(lur_device_gradient_norm(device, run->watched, run->nwatched, &run->on_device->watched));
  return lur_device_fill(device, lur_tensor_address(run->gradients), 0, lur_tensor_bytes(run->gradients));
}

/* Of all that does not move from step to step: the optimizer's own numbers change with a recompile only. */
static uint64_t recording_key(const lur_run *run, const lur_update *update) {
  uint64_t key = lur_key_add_bytes(1, run->slots, (size_t)run->nlearned * sizeof *run->slots);
  if (run->watch) key = lur_key_add_bytes(key, run->watched, (size_t)run->nwatched * sizeof *run->watched);
  return lur_key_add_bytes(key, (const bool[]){update->squares != NULL, update->skip_overflow, run->watch}, 3 * sizeof(bool));
}

/* The numbers of this step, and what clips; the run's schedule moves. */
static lur_update make_update(lur_run *run, const lur_optimizer_options *o) {
  lur_update update = {.rule = run->options.optimizer->rule, .momentum = o->momentum, .nesterov = o->nesterov,
                       .beta1 = o->beta_1, .beta2 = o->beta_2, .epsilon = o->epsilon,
                       .gradient_scale = (float)(run->scaled ? 1 / run->loss_scale : 1), .clip_value = (float)o->clip_value,
                       .clip_norm = o->clip_norm, .skip_overflow = run->scaled, .step_parameters = lur_run_moving(run)};
  if (o->clip_norm > 0 || run->scaled) update.squares = &run->on_device->squares;
  schedule(run, o, &update);
  return update;
}

lur_status lur_run_update(lur_run *run) {
  const lur_optimizer_options *o = run->options.optimizer->options;
  LUR_TRY(need_state(run, o, run->options.optimizer->rule));
  if (!run->slots) LUR_TRY(lur_alloc_items((size_t)run->nlearned, sizeof *run->slots, &run->slots));
  fill_slots(run, o->weight_decay, run->slots);
  if (run->watch) LUR_TRY(fill_watched(run));
  run->m_schedule_before = run->m_schedule;
  lur_update update = make_update(run, o);
  lur_status status = lur_run_move(run, &update);
  if (status == LUR_OK) status = lur_run_recorded(run, &run->step_recording, recording_key(run, &update), launch, &update);
  if (status != LUR_OK) {
    run->m_schedule = run->m_schedule_before;
    return lur_blame(status, "%s's update of the weights", lur_optimizer_kind(run->options.optimizer));
  }
  for (int i = 0; i < run->nlearned; i++) run->learned[i].layer->weights[run->learned[i].weight].version++;
  return LUR_OK;
}

lur_status lur_run_updated(lur_run *run) {
  bool scaled = run->scaled, overflow = scaled && !isfinite(run->seen.squares); /* then the step was left out */
  if (run->watch) run->finite = isfinite(run->seen.watched) ? 1 : 0;
  run->scaled = false;
  if (overflow) run->m_schedule = run->m_schedule_before;
  else run->iterations++;
  return scaled ? adapt_scale(run, overflow) : LUR_OK;
}
