/* feed.c - takes a batch of named tensors to the device: finds each by name, checks it, and works out the key of the
 * plan it needs. Nothing here trusts an id or a row number: kernels do not check them.
 *
 * Copies are asked for, not waited for: whoever feeds waits before the batch's owner has it back. A batch announced with
 * lur_run_prefetch is on its way while the one before it is computed on: by the time the one after it is announced, which
 * is before its own step, it is there and goes to where that step reads it. */
#include <stdio.h>
#include <string.h>

#include "engine/tensor/tensor_host.h"
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

/* Room on the device for bytes, at the same address as long as it is enough. */
static lur_status need_room(lur_device *device, size_t bytes, void **memory, size_t *room) {
  if (*memory && bytes <= *room) return LUR_OK;
  void *made = NULL;
  lur_device_free(device, *memory);
  *memory = NULL;
  LUR_TRY(lur_device_alloc(device, bytes, &made));
  *memory = made;
  *room = bytes;
  return LUR_OK;
}

/* Whether ops can read tensor where it lies. What is recorded reads one address, whatever the batch. */
static bool reads_in_place(const lur_device *device, const lur_tensor *tensor) {
  if (((uintptr_t)lur_tensor_address(tensor) & 63u) != 0) return false;
  if (lur_tensor_device(tensor) == device) return !device->backend->capture_begin;
  return device->backend->host_memory && lur_tensor_data(tensor);
}

static void drop(lur_announced *announced) {
  lur_tensor_release(announced->tensor);
  announced->tensor = NULL;
}

/* Whether tensor was announced, and nobody has written to it since. */
static bool is_announced(const lur_announced *announced, const lur_tensor *tensor) {
  return announced->tensor == tensor && announced->writes == tensor->storage->writes;
}

static lur_status copy_in(lur_device *device, lur_fed *fed, lur_tensor *tensor) {
  size_t bytes = lur_tensor_bytes(tensor);
  LUR_TRY(need_room(device, bytes, &fed->memory, &fed->bytes));
  fed->address = fed->memory;
  if (is_announced(&fed->arrived, tensor)) return LUR_OK;
  if (is_announced(&fed->coming, tensor))
    return device->backend->prefetch_finish(device, fed->memory, fed->staged, bytes);
  if (lur_tensor_device(tensor) == device)
    return lur_device_copy(device, fed->memory, lur_tensor_address(tensor), bytes, LUR_COPY_WITHIN);
  if (lur_tensor_data(tensor)) return lur_device_copy(device, fed->memory, lur_tensor_data(tensor), bytes, LUR_COPY_TO_DEVICE);
  return lur_memory_copy(device, fed->memory, lur_tensor_device(tensor), lur_tensor_address(tensor), bytes);
}

/* Into run->fed[slot]: as it is where the device can read it in place, else copied into memory that is kept. */
static lur_status put(lur_run *run, int slot, lur_tensor *tensor) {
  lur_fed *fed = &run->fed[slot];
  lur_tensor *old = fed->tensor;
  fed->tensor = NULL;
  fed->address = NULL;
  lur_status status = LUR_OK;
  if (reads_in_place(run->options.device, tensor)) {
    lur_tensor_retain(tensor);
    fed->tensor = tensor;
    fed->address = lur_tensor_address(tensor);
  } else {
    status = copy_in(run->options.device, fed, tensor);
  }
  drop(&fed->arrived); /* it has been overwritten, or is the present batch from here on */
  if (fed->coming.tensor == tensor) drop(&fed->coming);
  lur_tensor_release(old);
  return status;
}

void lur_run_drop_fed(lur_run *run) {
  lur_device *device = run->options.device;
  for (int i = 0; i < LUR_MAX_FED; i++) {
    lur_fed *fed = &run->fed[i];
    if (fed->coming.tensor || fed->arrived.tensor) (void)lur_device_sync(device); /* it may be under way still */
    drop(&fed->coming);
    drop(&fed->arrived);
    lur_tensor_release(fed->tensor);
    if (device) lur_device_free(device, fed->memory);
    if (device) lur_device_free(device, fed->staged);
    memset(fed, 0, sizeof *fed);
  }
}

/* ---- the next batch ---- */

/* What was announced last goes to where ops read it: the next train takes it there, and staged is free for another. */
static lur_status arrive(lur_device *device, lur_fed *fed) {
  size_t bytes = lur_tensor_bytes(fed->coming.tensor);
  LUR_TRY(need_room(device, bytes, &fed->memory, &fed->bytes));
  LUR_TRY(device->backend->prefetch_finish(device, fed->memory, fed->staged, bytes));
  drop(&fed->arrived);
  fed->arrived = fed->coming;
  fed->coming.tensor = NULL;
  return LUR_OK;
}

/* held: a backward is still to come, which reads the present batch where it lies. */
static lur_status send_ahead(lur_device *device, lur_fed *fed, lur_tensor *tensor, bool held) {
  if (is_announced(&fed->coming, tensor)) return LUR_OK;
  if (fed->coming.tensor && !held) LUR_TRY(arrive(device, fed));
  if (fed->coming.tensor) LUR_TRY(lur_device_sync(device)); /* it is given up */
  drop(&fed->coming);
  LUR_TRY(need_room(device, lur_tensor_bytes(tensor), &fed->staged, &fed->staged_bytes));
  LUR_TRY(device->backend->prefetch_begin(device, fed->staged, lur_tensor_data(tensor), lur_tensor_bytes(tensor)));
  lur_tensor_retain(tensor);
  fed->coming = (lur_announced){tensor, tensor->storage->writes};
  return LUR_OK;
}

lur_status lur_run_prefetch(lur_run *run, const lur_batch *batch) {
  lur_device *device = run->options.device;
  if (!device->backend->prefetch_begin) return LUR_OK;
  for (int i = 0; i < run->model->ninputs; i++) {
    lur_tensor *tensor = find(batch, run->model->inputs[i]->layer->name);
    if (tensor && lur_tensor_data(tensor)) LUR_TRY(send_ahead(device, &run->fed[i], tensor, run->forward_done));
  }
  return LUR_OK;
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

lur_status lur_run_check_rows(lur_run *run, const lur_plan *plan, const lur_batch *batch) {
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    if (op->desc.kind != LUR_OP_GATHER) continue;
    for (int k = 0; k < run->model->ninputs; k++) {
      if (plan->inputs[k] != op->x[1]) continue;
      const char *name = run->model->inputs[k]->layer->name;
      LUR_TRY(check_range(find(batch, name), op->desc.x[0].shape.dim[0], "row numbers", name));
    }
  }
  return LUR_OK;
}
