/* run_state.c - exports and imports a run's counters and optimizer arrays: what a checkpoint stores besides weights. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tensor/tensor.h"
#include "run.h"

void lur_run_state_free(lur_run_state *state) {
  for (int i = 0; i < state->n; i++) lur_tensor_release(state->tensors[i]);
  free(state->names);
  free(state->tensors);
  memset(state, 0, sizeof *state);
}

static void name_array(const lur_learned *learned, char which, char *name, size_t capacity) {
  snprintf(name, capacity, "%c/%s/%s", which, learned->layer->name, learned->layer->weights[learned->weight].name);
}

/* A host copy of one weight's part of a flat array. */
static lur_status read_array(lur_run *run, lur_tensor *flat, const lur_learned *learned, lur_tensor **tensor) {
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->target.model->context, NULL, LUR_F32, &learned->layer->weights[learned->weight].shape,
                         &made));
  const float *from = (const float *)lur_tensor_address(flat) + learned->offset;
  lur_status status =
      lur_device_copy(run->target.device, lur_tensor_data(made), from, lur_tensor_bytes(made), LUR_COPY_TO_HOST);
  if (status == LUR_OK) status = lur_device_sync(run->target.device);
  if (status == LUR_OK) *tensor = made;
  else lur_tensor_release(made);
  return status;
}

lur_status lur_run_export(lur_run *run, lur_run_state *state) {
  const lur_optimizing *o = &run->optimizing;
  lur_run_state made = {.iterations = o->iterations, .step = run->step, .seed = run->seed, .lr = o->lr,
                        .m_schedule = o->m_schedule};
  if (run->target.precision == LUR_PRECISION_F16) {
    made.loss_scale = run->loss_scale.value;
    made.good_steps = run->loss_scale.good_steps;
  }
  lur_tensor *const flats[2] = {o->m, o->v};
  size_t most = 2 * (size_t)run->target.nlearned + 1;
  lur_status status = lur_alloc_items(most, sizeof *made.names, &made.names);
  if (status == LUR_OK) status = lur_alloc_items(most, sizeof *made.tensors, &made.tensors);
  for (int which = 0; which < 2; which++) {
    for (int i = 0; i < run->target.nlearned && flats[which] && status == LUR_OK; i++) {
      name_array(&run->target.learned[i], "mv"[which], made.names[made.n], sizeof made.names[0]);
      status = read_array(run, flats[which], &run->target.learned[i], &made.tensors[made.n]);
      if (status == LUR_OK) made.n++;
    }
  }
  if (status == LUR_OK) *state = made;
  else lur_run_state_free(&made);
  return status;
}

static int find_array(const lur_run *run, const char *name, int *which) {
  char text[2 * LUR_NAME + 48];
  for (int w = 0; w < 2; w++) {
    for (int i = 0; i < run->target.nlearned; i++) {
      name_array(&run->target.learned[i], "mv"[w], text, sizeof text);
      if (strcmp(text, name) != 0) continue;
      *which = w;
      return i;
    }
  }
  return -1;
}

static lur_status check_state(const lur_run *run, const lur_run_state *state) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  for (int i = 0; i < state->n; i++) {
    int which = 0, at = find_array(run, state->names[i], &which);
    if (at < 0) {
      return lur_fail(
          LUR_ESTATE,
          "restore: the file has optimizer state '%s', which this run does not learn: freeze the same layers first",
          state->names[i]);
    }
    const lur_shape *shape = &run->target.learned[at].layer->weights[run->target.learned[at].weight].shape;
    if (lur_shape_equal(shape, lur_tensor_shape(state->tensors[i])) && lur_tensor_dtype(state->tensors[i]) == LUR_F32)
      continue;
    return lur_fail(LUR_ESHAPE, "restore: optimizer state '%s' is %s (%s f32 expected)", state->names[i],
                    lur_shape_format(lur_tensor_shape(state->tensors[i]), came), lur_shape_format(shape, want));
  }
  return LUR_OK;
}

/* The scale of an f16 run continues where it was; other runs have none. */
static lur_status take_loss_scale(lur_run *run, const lur_run_state *state) {
  if (run->target.precision != LUR_PRECISION_F16 || state->loss_scale <= 0) return LUR_OK;
  return lur_run_set_loss_scale(run, state->loss_scale, state->good_steps);
}

lur_status lur_run_import(lur_run *run, const lur_run_state *state) {
  LUR_TRY(check_state(run, state));
  lur_shape shape = {.ndim = 1, .dim = {run->optimizing.count}};
  lur_tensor *fresh[2] = {NULL, NULL};
  lur_status status = LUR_OK;
  for (int i = 0; i < state->n && status == LUR_OK; i++) {
    int which = 0, at = find_array(run, state->names[i], &which);
    if (!fresh[which])
      status = lur_tensor_new(run->target.model->context, run->target.device, LUR_F32, &shape, &fresh[which]);
    if (status != LUR_OK) break;
    float *to = (float *)lur_tensor_address(fresh[which]) + run->target.learned[at].offset;
    status = lur_device_copy(run->target.device, to, lur_tensor_data(state->tensors[i]),
                             lur_tensor_bytes(state->tensors[i]), LUR_COPY_TO_DEVICE);
  }
  if (status == LUR_OK) status = lur_device_sync(run->target.device);
  if (status == LUR_OK) status = take_loss_scale(run, state);
  if (status != LUR_OK) {
    lur_tensor_release(fresh[0]);
    lur_tensor_release(fresh[1]);
    return status;
  }
  lur_optimizing *o = &run->optimizing;
  lur_tensor_release(o->m);
  lur_tensor_release(o->v);
  o->m = fresh[0];
  o->v = fresh[1];
  o->iterations = state->iterations;
  o->lr = state->lr;
  o->m_schedule = state->m_schedule;
  run->step = state->step;
  run->seed = state->seed;
  return LUR_OK;
}

lur_layer *const *lur_run_layers(const lur_run *run, int *n) {
  *n = run->target.nlayers;
  return run->target.layers;
}

int lur_run_graphs(const lur_run *run, lur_output_loss *losses) { return lur_target_graphs(&run->target, losses); }

const char *lur_run_optimizer_kind(const lur_run *run) {
  return run->optimizing.optimizer ? lur_optimizer_kind(run->optimizing.optimizer) : "none";
}
