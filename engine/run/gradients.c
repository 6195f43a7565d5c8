/* gradients.c - the weights that a run has, and gradients of its last backward: copies of them, and norms. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tensor/tensor.h"
#include "run.h"

/* ---- weights ---- */

int lur_run_weight_count(const lur_run *run) {
  int n = 0;
  for (int i = 0; i < run->target.nlayers; i++) n += run->target.layers[i]->nweights;
  return n;
}

lur_run_weight lur_run_get_weight(const lur_run *run, int index) {
  for (int i = 0; i < run->target.nlayers; i++) {
    lur_layer *layer = run->target.layers[i];
    if (index < layer->nweights)
      return (lur_run_weight){layer, index, lur_target_learned(&run->target, layer, index) >= 0};
    index -= layer->nweights;
  }
  return (lur_run_weight){0};
}

/* ---- gradients ---- */

static lur_status copy_floats(lur_run *run, const void *address, const lur_shape *shape, lur_tensor **tensor) {
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_new(run->target.model->context, NULL, LUR_F32, shape, &made));
  lur_status status =
      lur_device_copy(run->target.device, lur_tensor_data(made), address, lur_tensor_bytes(made), LUR_COPY_TO_HOST);
  if (status == LUR_OK) status = lur_device_sync(run->target.device);
  if (status == LUR_OK && run->loss_scale.applied) {
    float *v = lur_tensor_data(made);
    for (int64_t i = 0, n = lur_shape_count(shape); i < n; i++) v[i] = (float)((double)v[i] / run->loss_scale.value);
  }
  if (status == LUR_OK) *tensor = made;
  else lur_tensor_release(made);
  return status;
}

static lur_status input_gradient(lur_run *run, const char *name, lur_tensor **gradient) {
  const lur_plan *plan = run->plans.last ? run->plans.last->plan : NULL;
  for (int i = 0; i < run->target.model->ninputs; i++) {
    if (strcmp(run->target.model->inputs[i]->layer->name, name) != 0) continue;
    const void *address = plan ? lur_run_gradient_address(run, plan, plan->inputs[i]) : NULL;
    if (!address)
      return lur_fail(LUR_ESTATE, "gradient: none for input '%s' (compile with input_gradients, then backward)", name);
    return copy_floats(run, address, &plan->values[plan->inputs[i]].operand.shape, gradient);
  }
  return lur_fail(LUR_EARG, "gradient: the model has no input '%s'", name);
}

/* The gradients' address and that of one weight in it. */
static lur_status find_gradient(const lur_run *run, const lur_learned *learned, float **address) {
  if (!run->optimizing.gradients) return lur_fail(LUR_ESTATE, "gradient: no backward has run yet");
  *address = (float *)lur_tensor_address(run->optimizing.gradients) + learned->offset;
  return LUR_OK;
}

lur_status lur_run_gradient(lur_run *run, const char *layer, const char *weight, lur_tensor **gradient) {
  if (!weight) return input_gradient(run, layer, gradient);
  for (int i = 0; i < run->target.nlearned; i++) {
    const lur_learned *learned = &run->target.learned[i];
    const lur_weight *found = &learned->layer->weights[learned->weight];
    if (strcmp(learned->layer->name, layer) != 0 || strcmp(found->name, weight) != 0) continue;
    float *address = NULL;
    LUR_TRY(find_gradient(run, learned, &address));
    return copy_floats(run, address, &found->shape, gradient);
  }
  return lur_fail(LUR_EARG, "gradient: no weight '%s' of a trainable layer '%s' in this run", weight, layer);
}

/* ---- norms ---- */

lur_status lur_run_gradient_norm(lur_run *run, const char *layer, double *norm) {
  lur_parameter *parameters = NULL;
  int n = 0;
  LUR_TRY(lur_alloc_items((size_t)run->target.nlearned + 1, sizeof *parameters, &parameters));
  lur_status status = LUR_OK;
  for (int i = 0; i < run->target.nlearned && status == LUR_OK; i++) {
    const lur_learned *learned = &run->target.learned[i];
    float *address = NULL;
    if (layer && strcmp(learned->layer->name, layer) != 0) continue;
    status = find_gradient(run, learned, &address);
    parameters[n++] = (lur_parameter){.g = address, .count = learned->count};
  }
  if (status == LUR_OK && n == 0)
    status = lur_fail(LUR_EARG, "gradient norm: %s%s%s", layer ? "no trainable layer '" : "nothing in this run learns",
                      layer ? layer : "", layer ? "' with weights in this run" : "");
  if (status == LUR_OK)
    status = lur_device_gradient_norm(run->target.device, parameters, n, &run->readback.on_device->squares);
  if (status == LUR_OK) status = lur_run_read_back(run);
  if (status == LUR_OK)
    *norm = sqrt(run->readback.seen.squares) / (run->loss_scale.applied ? run->loss_scale.value : 1);
  free(parameters);
  return status;
}
