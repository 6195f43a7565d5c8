/* bind.c - binds a batch of named tensors to the inputs of a plan: finds each by name, checks it, brings it to the
 * device, and computes the key of the plan that the batch needs. Kernels do not check class ids and row numbers, and a
 * loss of impossible targets is a number like any other, so the values of ids, row numbers, targets and sample weights
 * are checked here. They are read in host memory; those on another device are copied back for it, if they are small.
 *
 * Copies are started, not waited for: the caller waits before the batch's owner has it back. The next batch can be
 * prefetched (lur_run_prefetch): it is copied to a staging area while the device computes on the present one. When the
 * batch after it is prefetched, before its own step, the copy has arrived and moves to where that step reads it. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/number.h"
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

/* Whether ops can read the tensor in place. A captured step reads one address, whatever the batch. */
static bool reads_in_place(const lur_device *device, const lur_tensor *tensor) {
  if (((uintptr_t)lur_tensor_address(tensor) & 63u) != 0) return false;
  if (lur_tensor_device(tensor) == device) return !device->backend->capture_begin;
  return device->backend->host_memory && lur_tensor_data(tensor);
}

static void drop(lur_prefetched *prefetched) {
  lur_tensor_release(prefetched->tensor);
  prefetched->tensor = NULL;
}

/* Whether tensor was prefetched and has not been written to since. */
static bool is_prefetched(const lur_prefetched *prefetched, const lur_tensor *tensor) {
  return prefetched->tensor == tensor && prefetched->writes == tensor->storage->writes;
}

static lur_status copy_in(lur_device *device, lur_bound_input *bound, lur_tensor *tensor) {
  size_t bytes = lur_tensor_bytes(tensor);
  LUR_TRY(need_room(device, bytes, &bound->memory, &bound->bytes));
  bound->address = bound->memory;
  if (is_prefetched(&bound->arrived, tensor)) return LUR_OK;
  if (is_prefetched(&bound->in_flight, tensor))
    return device->backend->prefetch_finish(device, bound->memory, bound->staged, bytes);
  if (lur_tensor_device(tensor) == device)
    return lur_device_copy(device, bound->memory, lur_tensor_address(tensor), bytes, LUR_COPY_WITHIN);
  if (lur_tensor_data(tensor))
    return lur_device_copy(device, bound->memory, lur_tensor_data(tensor), bytes, LUR_COPY_TO_DEVICE);
  return lur_memory_copy(device, bound->memory, lur_tensor_device(tensor), lur_tensor_address(tensor), bytes);
}

/* Binds tensor to run->bound[at]: as it is where the device can read it in place, else as a copy in memory that is
 * kept. */
static lur_status put(lur_run *run, int at, lur_tensor *tensor) {
  lur_bound_input *bound = &run->bound[at];
  lur_tensor *old = bound->tensor;
  bound->tensor = NULL;
  bound->address = NULL;
  lur_status status = LUR_OK;
  if (reads_in_place(run->target.device, tensor)) {
    lur_tensor_retain(tensor);
    bound->tensor = tensor;
    bound->address = lur_tensor_address(tensor);
  } else {
    status = copy_in(run->target.device, bound, tensor);
  }
  drop(&bound->arrived); /* overwritten, or the present batch from now on */
  if (bound->in_flight.tensor == tensor) drop(&bound->in_flight);
  lur_tensor_release(old);
  return status;
}

void lur_run_unbind(lur_run *run) {
  lur_device *device = run->target.device;
  for (int i = 0; i < LUR_MAX_BOUND; i++) {
    lur_bound_input *bound = &run->bound[i];
    if (bound->in_flight.tensor || bound->arrived.tensor)
      (void)lur_device_sync(device); /* a copy may still be running */
    drop(&bound->in_flight);
    drop(&bound->arrived);
    lur_tensor_release(bound->tensor);
    if (device) lur_device_free(device, bound->memory);
    if (device) lur_device_free(device, bound->staged);
    memset(bound, 0, sizeof *bound);
  }
}

/* ---- the next batch ---- */

/* Moves what was prefetched last to where ops read it: the next step finds it there, and staged is free for another. */
static lur_status arrive(lur_device *device, lur_bound_input *bound) {
  size_t bytes = lur_tensor_bytes(bound->in_flight.tensor);
  LUR_TRY(need_room(device, bytes, &bound->memory, &bound->bytes));
  LUR_TRY(device->backend->prefetch_finish(device, bound->memory, bound->staged, bytes));
  drop(&bound->arrived);
  bound->arrived = bound->in_flight;
  bound->in_flight.tensor = NULL;
  return LUR_OK;
}

/* held: a backward that reads the present batch is still to come, so that nothing may overwrite it. */
static lur_status start_copy(lur_device *device, lur_bound_input *bound, lur_tensor *tensor, bool held) {
  if (is_prefetched(&bound->in_flight, tensor)) return LUR_OK;
  if (bound->in_flight.tensor && !held) LUR_TRY(arrive(device, bound));
  if (bound->in_flight.tensor) LUR_TRY(lur_device_sync(device)); /* given up */
  drop(&bound->in_flight);
  LUR_TRY(need_room(device, lur_tensor_bytes(tensor), &bound->staged, &bound->staged_bytes));
  LUR_TRY(device->backend->prefetch_begin(device, bound->staged, lur_tensor_data(tensor), lur_tensor_bytes(tensor)));
  lur_tensor_retain(tensor);
  bound->in_flight = (lur_prefetched){tensor, tensor->storage->writes};
  return LUR_OK;
}

lur_status lur_run_prefetch(lur_run *run, const lur_batch *batch) {
  lur_device *device = run->target.device;
  if (!device->backend->prefetch_begin) return LUR_OK;
  for (int i = 0; i < run->target.model->ninputs; i++) {
    lur_tensor *tensor = find(batch, run->target.model->inputs[i]->layer->name);
    if (tensor && lur_tensor_data(tensor)) LUR_TRY(start_copy(device, &run->bound[i], tensor, run->forward_done));
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
    return lur_fail(LUR_ESHAPE, "input '%s': got %s (rows x %s expected)", input->layer->name,
                    lur_shape_format(shape, came),
                    input->sample.ndim ? lur_shape_format(&input->sample, want) : "nothing more");
  }
  if (lur_tensor_dtype(tensor) != input->dtype) {
    return lur_fail(LUR_ETYPE, "input '%s': got %s (%s expected: cast it)", input->layer->name,
                    lur_dtype_name(lur_tensor_dtype(tensor)), lur_dtype_name(input->dtype));
  }
  return LUR_OK;
}

static lur_status bind_inputs(lur_run *run, const lur_batch *batch, lur_plan_key *key) {
  char names[256];
  for (int i = 0; i < run->target.model->ninputs; i++) {
    const lur_node *input = run->target.model->inputs[i];
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

/* The tensor, or a copy of it in host memory. *host is the caller's to release. */
static lur_status host_of(lur_tensor *tensor, lur_tensor **host) {
  lur_device *cpu = NULL;
  if (lur_tensor_data(tensor)) {
    lur_tensor_retain(tensor);
    *host = tensor;
    return LUR_OK;
  }
  LUR_TRY(lur_context_device(lur_tensor_context(tensor), "cpu", &cpu));
  return lur_tensor_to(tensor, cpu, host);
}

/* LUR_EARG unless every i32 of tensor is in [0, limit). */
static lur_status check_ids(lur_tensor *tensor, int64_t limit, const char *what, const char *name) {
  lur_tensor *host = NULL;
  LUR_TRY(host_of(tensor, &host));
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

/* What the values of an f32 tensor must be. */
typedef struct value_range {
  float low, high;
  const char *expected;
} value_range;

/* Soft targets are often sums of products that end in 1 but for rounding. */
static const value_range PROBABILITY = {-1e-5f, 1 + 1e-5f, "a probability from 0 to 1"},
                         FINITE = {-FLT_MAX, FLT_MAX, "a finite number"},
                         WEIGHT = {0, FLT_MAX, "a finite number that is not negative"};

enum { MOST_CHECKED = 1 << 20 }; /* bytes that are copied back from a device to be checked */

static bool within(const value_range *range, float v) { return v >= range->low && v <= range->high; }

/* column -1: the only one. */
static lur_status blame(const char *what, const char *name, int64_t row, int64_t column, double value,
                        const char *expected) {
  char number[32] = "NaN", place[48] = "";
  if (!isnan(value)) lur_format(number, sizeof number, "%g", value);
  if (column >= 0) snprintf(place, sizeof place, " in column %lld", (long long)column);
  return lur_fail(LUR_EARG, "%s '%s': row %lld holds %s%s (%s expected)", what, name, (long long)row, number, place,
                  expected);
}

/* LUR_EARG unless every f32 of tensor (rows of `columns`) is in the range; NaN is in none. */
static lur_status check_values(lur_tensor *tensor, int64_t columns, const value_range *range, const char *what,
                               const char *name) {
  lur_tensor *host = NULL;
  if (!lur_tensor_data(tensor) && lur_tensor_bytes(tensor) > MOST_CHECKED) return LUR_OK;
  LUR_TRY(host_of(tensor, &host));
  const float *v = lur_tensor_data(host);
  int64_t count = lur_shape_count(lur_tensor_shape(host)), at = 0;
  lur_status status = LUR_OK;
  int bad = 0;
  for (int64_t i = 0; i < count; i++) bad |= !within(range, v[i]); /* no early exit: the compiler vectorizes it */
  while (bad && within(range, v[at])) at++;
  if (bad) status = blame(what, name, at / columns, columns > 1 ? at % columns : -1, (double)v[at], range->expected);
  lur_tensor_release(host);
  return status;
}

/* Checks the values of a target whose shape fits; the plan refuses the others. */
static lur_status check_target(const lur_run *run, int i, lur_tensor *target) {
  const lur_target_loss *loss = &run->target.losses[i];
  const lur_shape *sample = &run->target.model->outputs[loss->output_index]->sample, *shape = lur_tensor_shape(target);
  if (loss->form != LUR_LOSS_OP) {
    const int64_t count = lur_shape_count(shape);
    if (lur_tensor_dtype(target) != LUR_F32 || shape->ndim < 1 || count == 0) return LUR_OK;
    return check_values(target, count / shape->dim[0], &FINITE, "target", loss->output);
  }
  if (sample->ndim != 1 || shape->ndim < 1) return LUR_OK;
  const int64_t count = lur_shape_count(shape), rows = shape->dim[0], units = sample->dim[0];
  const bool squares = loss->kind == LUR_MEAN_SQUARED_ERROR;
  if (lur_tensor_dtype(target) == LUR_I32 && count == rows && !squares)
    return check_ids(target, loss->kind == LUR_BINARY_CROSSENTROPY ? 2 : units, "target", loss->output);
  if (lur_tensor_dtype(target) == LUR_F32 && count == rows * units)
    return check_values(target, units, squares ? &FINITE : &PROBABILITY, "target", loss->output);
  return LUR_OK;
}

static lur_status bind_target(lur_run *run, const lur_batch *batch, int i, lur_plan_key *key) {
  char names[256];
  const char *output = run->target.losses[i].output;
  if (!lur_loss_needs_target(&run->target.losses[i])) return LUR_OK;
  lur_tensor *target = find(batch, output);
  if (!target) {
    return lur_fail(LUR_EARG, "the batch has no '%s', the target of an output with a loss (it has %s)", output,
                    list_names(batch, names, sizeof names));
  }
  LUR_TRY(check_target(run, i, target));
  copy_operand(target, &key->target[i]);
  return put(run, LUR_MAX_INPUTS + 2 * i, target);
}

/* Whether there is one per row is checked with the plan, which knows the rows. */
static lur_status bind_weights(lur_run *run, const lur_batch *batch, int i, lur_plan_key *key) {
  char text[LUR_NAME + 8], came[LUR_SHAPE_TEXT];
  const char *output = run->target.losses[i].output;
  snprintf(text, sizeof text, "%s_weight", output);
  lur_tensor *weight = find(batch, text);
  key->sample_weight[i] = weight != NULL;
  if (!weight) return LUR_OK;
  const lur_shape *shape = lur_tensor_shape(weight);
  if (lur_tensor_dtype(weight) != LUR_F32 || shape->ndim != 1) {
    return lur_fail(LUR_ESHAPE, "sample weights '%s': %s %s (one f32 per row expected)", text,
                    lur_shape_format(shape, came), lur_dtype_name(lur_tensor_dtype(weight)));
  }
  LUR_TRY(check_values(weight, 1, &WEIGHT, "sample weights", text));
  return put(run, LUR_MAX_INPUTS + 2 * i + 1, weight);
}

lur_status lur_run_bind(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_plan_key *key) {
  memset(key, 0, sizeof *key);
  key->mode = mode;
  LUR_TRY(bind_inputs(run, batch, key));
  if (mode != LUR_MODE_TRAIN && mode != LUR_MODE_EVALUATE) return LUR_OK;
  for (int i = 0; i < run->target.nlosses; i++) {
    LUR_TRY(bind_target(run, batch, i, key));
    LUR_TRY(bind_weights(run, batch, i, key));
  }
  return LUR_OK;
}

/* LUR_ESHAPE unless there is one sample weight for each row. */
static lur_status check_weight_rows(const lur_plan *plan, const lur_batch *batch, const lur_target_loss *loss, int i) {
  char text[LUR_NAME + 8];
  if (!plan->key.sample_weight[i]) return LUR_OK;
  snprintf(text, sizeof text, "%s_weight", loss->output);
  const int64_t came = lur_tensor_shape(find(batch, text))->dim[0];
  if (came == plan->losses[i].rows) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "sample weights '%s': %lld f32 (one f32 per row expected: %lld)", text, (long long)came,
                  (long long)plan->losses[i].rows);
}

/* The name of the tensor that is bound to a value: an input's or a target's; NULL for other values. */
static const char *bound_name(const lur_run *run, const lur_plan *plan, int value) {
  for (int k = 0; k < run->target.model->ninputs; k++) {
    if (plan->inputs[k] == value) return run->target.model->inputs[k]->layer->name;
  }
  for (int k = 0; k < plan->nlosses; k++) {
    if (plan->losses[k].target == value) return run->target.losses[k].output;
  }
  return NULL;
}

lur_status lur_run_check_rows(lur_run *run, const lur_plan *plan, const lur_batch *batch) {
  for (int i = 0; i < plan->nlosses; i++) LUR_TRY(check_weight_rows(plan, batch, &run->target.losses[i], i));
  for (int i = 0; i < plan->nops; i++) {
    const lur_op_desc *desc = &plan->ops[i].desc;
    const bool rows = desc->kind == LUR_OP_GATHER, ids = desc->kind == LUR_OP_ONE_HOT;
    if (!rows && !ids) continue;
    const char *name = bound_name(run, plan, plan->ops[i].x[rows]);
    if (!name) continue;
    const int64_t limit = rows ? desc->x[0].shape.dim[0] : desc->y.shape.dim[desc->y.shape.ndim - 1];
    LUR_TRY(check_ids(find(batch, name), limit, rows ? "row numbers" : "class ids", name));
  }
  return LUR_OK;
}
