/* feed.c - takes a batch of named tensors to the device: finds each by name, checks it, and works out the key of the
 * plan it needs. Nothing here trusts an id or a row number: kernels do not check them. */
#include <stdio.h>
#include <string.h>

#include "run.h"

static lur_tensor *find(const lur_batch *batch, const char *name) {
  for (int i = 0; i < batch->n; i++) {
    if (strcmp(batch->names[i], name) == 0) return batch->tensors[i];
  }
  return NULL;
}

/* "image, class" for messages. */
static const char *list_names(const lur_batch *batch, char *text, size_t capacity) {
  size_t used = 0;
  text[0] = '\0';
  for (int i = 0; i < batch->n && used + 1 < capacity; i++) {
    int n = snprintf(text + used, capacity - used, "%s%s", i ? ", " : "", batch->names[i]);
    used += n > 0 ? (size_t)n : 0;
  }
  return batch->n ? text : "nothing";
}

static void copy_operand(const lur_tensor *tensor, lur_operand *operand) {
  memset(operand, 0, sizeof *operand); /* keys are compared byte by byte */
  const lur_shape *shape = lur_tensor_shape(tensor);
  operand->dtype = lur_tensor_dtype(tensor);
  operand->shape.ndim = shape->ndim;
  for (int i = 0; i < shape->ndim; i++) operand->shape.dim[i] = shape->dim[i];
}

/* Into run->fed[slot]: as it is where the device can read it in place, else copied into a tensor that is kept. */
static lur_status put(lur_run *run, int slot, lur_tensor *tensor) {
  lur_device *device = run->options.device;
  lur_tensor *made = NULL, *old = run->fed[slot];
  bool aligned = ((uintptr_t)lur_tensor_address(tensor) & 63u) == 0;
  if (lur_tensor_device(tensor) == device && aligned) {
    lur_tensor_retain(tensor);
    made = tensor;
  } else if (device->backend->host_memory && lur_tensor_data(tensor) && aligned) {
    lur_tensor_retain(tensor);
    made = tensor;
  } else if (old && lur_tensor_device(old) == device && lur_tensor_dtype(old) == lur_tensor_dtype(tensor) &&
             lur_shape_equal(lur_tensor_shape(old), lur_tensor_shape(tensor)) && run->fed_ours[slot]) {
    return lur_tensor_copy(old, tensor);
  } else {
    LUR_TRY(lur_tensor_new(run->model->context, device, lur_tensor_dtype(tensor), lur_tensor_shape(tensor), &made));
    lur_status status = lur_tensor_copy(made, tensor);
    if (status != LUR_OK) {
      lur_tensor_release(made);
      return status;
    }
  }
  run->fed_ours[slot] = made != tensor;
  lur_tensor_release(old);
  run->fed[slot] = made;
  return LUR_OK;
}

void lur_run_drop_fed(lur_run *run) {
  for (int i = 0; i < LUR_MAX_FED; i++) {
    lur_tensor_release(run->fed[i]);
    run->fed[i] = NULL;
  }
}

/* ---- inputs ---- */

static lur_status check_input(const lur_node *input, const lur_tensor *tensor) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  const lur_shape *shape = lur_tensor_shape(tensor);
  bool fits = shape->ndim == input->sample.ndim + 1 && shape->dim[0] > 0;
  for (int i = 0; i < input->sample.ndim && fits; i++) fits = shape->dim[i + 1] == input->sample.dim[i];
  if (!fits) {
    return lur_fail(LUR_ESHAPE, "input '%s': got %s (rows x %s expected)", input->layer->name, lur_shape_format(shape, came),
                    input->sample.ndim ? lur_shape_format(&input->sample, want) : "nothing more");
  }
  if (lur_tensor_dtype(tensor) != input->dtype) {
    return lur_fail(LUR_ETYPE, "input '%s': got %s (%s expected: cast it)", input->layer->name,
                    lur_dtype_name(lur_tensor_dtype(tensor)), lur_dtype_name(input->dtype));
  }
  return LUR_OK;
}

static lur_status feed_inputs(lur_run *run, const lur_batch *batch, lur_plan_key *key) {
  char names[256];
  for (int i = 0; i < run->model->ninputs; i++) {
    const lur_node *input = run->model->inputs[i];
    lur_tensor *tensor = find(batch, input->layer->name);
    if (!tensor) {
      return lur_fail(LUR_EARG, "the batch has no '%s', an input of the model (it has %s)", input->layer->name,
                      list_names(batch, names, sizeof names));
    }
    LUR_TRY(check_input(input, tensor));
    key->rows[i] = lur_tensor_shape(tensor)->dim[0];
    LUR_TRY(put(run, i, tensor));
  }
  return LUR_OK;
}

/* ---- targets ---- */

/* Every i32 of tensor lies in [0, limit). */
static lur_status check_range(lur_tensor *tensor, int64_t limit, const char *what, const char *name) {
  lur_tensor *host = NULL;
  lur_device *cpu = NULL;
  LUR_TRY(lur_context_device(lur_tensor_context(tensor), "cpu", &cpu));
  if (lur_tensor_data(tensor)) {
    lur_tensor_retain(tensor);
    host = tensor;
  } else {
    LUR_TRY(lur_tensor_to(tensor, cpu, &host));
  }
  const int32_t *ids = lur_tensor_data(host);
  int64_t count = lur_shape_count(lur_tensor_shape(host));
  lur_status status = LUR_OK;
  for (int64_t i = 0; i < count && status == LUR_OK; i++) {
    if (ids[i] >= 0 && ids[i] < limit) continue;
    status = lur_fail(LUR_EARG, "%s '%s': row %lld holds %d (0 to %lld expected)", what, name, (long long)i, ids[i],
                      (long long)limit - 1);
  }
  lur_tensor_release(host);
  return status;
}

static lur_status feed_target(lur_run *run, const lur_batch *batch, int i, lur_plan_key *key) {
  char text[LUR_NAME + 8], names[256];
  const char *output = run->losses[i].output;
  lur_tensor *target = find(batch, output);
  if (!target) {
    return lur_fail(LUR_EARG, "the batch has no '%s', the target of an output with a loss (it has %s)", output,
                    list_names(batch, names, sizeof names));
  }
  const lur_shape *predictions = &run->model->outputs[run->loss_outputs[i]]->sample;
  if (lur_tensor_dtype(target) == LUR_I32 && predictions->ndim == 1) {
    int64_t classes = predictions->dim[0] > 1 ? predictions->dim[0] : 2;
    LUR_TRY(check_range(target, classes, "target", output));
  }
  copy_operand(target, &key->target[i]);
  LUR_TRY(put(run, LUR_MAX_INPUTS + 2 * i, target));
  snprintf(text, sizeof text, "%s_weight", output);
  lur_tensor *weight = find(batch, text);
  key->sample_weight[i] = weight != NULL;
  if (!weight) return LUR_OK;
  const lur_shape *shape = lur_tensor_shape(weight);
  if (lur_tensor_dtype(weight) != LUR_F32 || shape->ndim != 1 || shape->dim[0] != lur_tensor_shape(target)->dim[0]) {
    return lur_fail(LUR_ESHAPE, "sample weights '%s': %s %s (one f32 a row expected)", text, lur_shape_format(shape, names),
                    lur_dtype_name(lur_tensor_dtype(weight)));
  }
  return put(run, LUR_MAX_INPUTS + 2 * i + 1, weight);
}

lur_status lur_run_feed(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_plan_key *key) {
  memset(key, 0, sizeof *key);
  key->mode = mode;
  LUR_TRY(feed_inputs(run, batch, key));
  if (mode != LUR_MODE_TRAIN && mode != LUR_MODE_EVALUATE) return LUR_OK;
  for (int i = 0; i < run->options.nlosses; i++) LUR_TRY(feed_target(run, batch, i, key));
  return LUR_OK;
}

lur_status lur_run_check_rows(lur_run *run, const lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    if (op->desc.kind != LUR_OP_GATHER) continue;
    for (int k = 0; k < run->model->ninputs; k++) {
      if (plan->inputs[k] != op->x[1]) continue;
      LUR_TRY(check_range(run->fed[k], op->desc.x[0].shape.dim[0], "row numbers", run->model->inputs[k]->layer->name));
    }
  }
  return LUR_OK;
}
