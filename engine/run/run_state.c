/* run_state.c - a run's counters and optimizer arrays, out and in again: what a checkpoint keeps besides weights. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

void lur_run_state_free(lur_run_state *state) {
  for (int i = 0; i < state->n; i++) lur_tensor_release(state->tensors[i]);
  free(state->names);
  free(state->tensors);
  memset(state, 0, sizeof *state);
}

static void name_slot(const lur_learned *learned, char which, char *name, size_t capacity) {
  snprintf(name, capacity, "%c/%s/%s", which, learned->layer->name, learned->layer->weights[learned->weight].name);
}

/* A host copy of one weight's stretch of a flat array. */
static lur_status read_slot(lur_run *run, lur_tensor *flat, const lur_learned *learned, lur_tensor **tensor) {
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->model->context, NULL, LUR_F32, &learned->layer->weights[learned->weight].shape, &made));
  const float *from = (const float *)lur_tensor_address(flat) + learned->offset;
  lur_status status = lur_device_copy(run->options.device, lur_tensor_data(made), from, lur_tensor_bytes(made), LUR_COPY_TO_HOST);
  if (status == LUR_OK) status = lur_device_sync(run->options.device);
  if (status == LUR_OK) *tensor = made;
  else lur_tensor_release(made);
  return status;
}

lur_status lur_run_export(lur_run *run, lur_run_state *state) {
  lur_run_state made = {.iterations = run->iterations, .step = run->step, .seed = run->seed, .lr = run->lr,
                        .m_schedule = run->m_schedule};
  if (run->options.precision == LUR_PRECISION_F16) made.loss_scale = run->loss_scale, made.good_steps = run->good_steps;
  lur_tensor *const flats[2] = {run->m, run->v};
  size_t most = 2 * (size_t)run->nlearned + 1;
  lur_status status = lur_alloc_items(most, sizeof *made.names, &made.names);
  if (status == LUR_OK) status = lur_alloc_items(most, sizeof *made.tensors, &made.tensors);
  for (int which = 0; which < 2; which++) {
    for (int i = 0; i < run->nlearned && flats[which] && status == LUR_OK; i++) {
      name_slot(&run->learned[i], "mv"[which], made.names[made.n], sizeof made.names[0]);
      status = read_slot(run, flats[which], &run->learned[i], &made.tensors[made.n]);
      if (status == LUR_OK) made.n++;
    }
  }
  if (status == LUR_OK) *state = made;
  else lur_run_state_free(&made);
  return status;
}

static int find_slot(const lur_run *run, const char *name, int *which) {
  char text[2 * LUR_NAME + 48];
  for (int w = 0; w < 2; w++) {
    for (int i = 0; i < run->nlearned; i++) {
      name_slot(&run->learned[i], "mv"[w], text, sizeof text);
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
    int which = 0, at = find_slot(run, state->names[i], &which);
    if (at < 0) {
      return lur_fail(LUR_ESTATE, "restore: the file has optimizer state '%s', which this run does not learn: freeze the same layers first",
                      state->names[i]);
    }
    const lur_shape *shape = &run->learned[at].layer->weights[run->learned[at].weight].shape;
    if (lur_shape_equal(shape, lur_tensor_shape(state->tensors[i])) && lur_tensor_dtype(state->tensors[i]) == LUR_F32) continue;
    return lur_fail(LUR_ESHAPE, "restore: optimizer state '%s' is %s (%s f32 expected)", state->names[i],
                    lur_shape_format(lur_tensor_shape(state->tensors[i]), came), lur_shape_format(shape, want));
  }
  return LUR_OK;
}

/* The scale of an f16 run goes on where it was; other runs have none. */
static lur_status take_loss_scale(lur_run *run, const lur_run_state *state) {
  if (run->options.precision != LUR_PRECISION_F16 || state->loss_scale <= 0) return LUR_OK;
  double before = run->loss_scale;
  run->loss_scale = state->loss_scale;
  lur_status status = lur_run_set_loss_weights(run);
  if (status == LUR_OK) run->good_steps = (int)state->good_steps;
  else run->loss_scale = before;
  return status;
}

lur_status lur_run_import(lur_run *run, const lur_run_state *state) {
  LUR_TRY(check_state(run, state));
  lur_shape shape = {.ndim = 1, .dim = {run->gradient_count}};
  lur_tensor *fresh[2] = {NULL, NULL};
  lur_status status = LUR_OK;
  for (int i = 0; i < state->n && status == LUR_OK; i++) {
    int which = 0, at = find_slot(run, state->names[i], &which);
    if (!fresh[which]) status = lur_tensor_new(run->model->context, run->options.device, LUR_F32, &shape, &fresh[which]);
    if (status != LUR_OK) break;
    float *to = (float *)lur_tensor_address(fresh[which]) + run->learned[at].offset;
    status = lur_device_copy(run->options.device, to, lur_tensor_data(state->tensors[i]), lur_tensor_bytes(state->tensors[i]),
                             LUR_COPY_TO_DEVICE);
  }
  if (status == LUR_OK) status = lur_device_sync(run->options.device);
  if (status == LUR_OK) status = take_loss_scale(run, state);
  if (status != LUR_OK) {
    lur_tensor_release(fresh[0]);
    lur_tensor_release(fresh[1]);
    return status;
  }
  lur_tensor_release(run->m);
  lur_tensor_release(run->v);
  run->m = fresh[0];
  run->v = fresh[1];
  run->iterations = state->iterations;
  run->step = state->step;
  run->seed = state->seed;
  run->lr = state->lr;
  run->m_schedule = state->m_schedule;
  return LUR_OK;
}
