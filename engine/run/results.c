/* results.c - losses and accuracies of one batch, under Keras's names (keras/engine/training.py, 2.0.6): loss, then
 * NAME_loss of every output, then NAME_acc; with one output only loss and acc. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

static void add_result(lur_results *results, const char *output, const char *what, double value) {
  if (results->n == LUR_MAX_RESULTS) return;
  char *name = results->names[results->n];
  if (output) snprintf(name, sizeof results->names[0], "%.55s_%s", output, what);
  else snprintf(name, sizeof results->names[0], "%s", what);
  results->values[results->n++] = value;
}

/* Targets below: ids, or rows of numbers. First maximum of a row; -1: the row has a NaN, which is no class. */
static int64_t argmax(const float *row, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 0; i < n; i++) {
    if (isnan(row[i])) return -1;
    if (row[i] > row[best]) best = i;
  }
  return best;
}

static double categorical_accuracy(const float *predictions, const void *data, bool ids, int64_t rows,
                                   int64_t classes) {
  int64_t right = 0;
  for (int64_t r = 0; r < rows; r++) {
    int64_t truth = ids ? ((const int32_t *)data)[r] : argmax((const float *)data + r * classes, classes);
    right += argmax(predictions + r * classes, classes) == truth;
  }
  return (double)right / (double)rows;
}

/* The probability, rounded half to even: of a sigmoid, p > 0.5 is logit > 0; the softmax of one number is 1. NaN for
   NaN, which equals no target. */
static double rounded(lur_loss_kind kind, bool logits, double x) {
  if (!logits || isnan(x)) return nearbyint(x);
  return kind == LUR_CATEGORICAL_CROSSENTROPY ? exp(x - x) : x > 0;
}

/* Mean of (target == round(p)). Class id 0 of one class is the target 1. */
static double binary_accuracy(const float *predictions, lur_loss_kind kind, bool logits, const void *data, bool ids,
                              int64_t count) {
  int64_t right = 0;
  for (int64_t i = 0; i < count; i++) {
    double truth = ids ? (double)((const int32_t *)data)[i] : (double)((const float *)data)[i];
    if (ids && kind == LUR_CATEGORICAL_CROSSENTROPY) truth = truth == 0;
    right += rounded(kind, logits, (double)predictions[i]) == truth;
  }
  return (double)right / (double)count;
}

static bool from_logits(const lur_plan *plan, int loss) {
  return plan->ops[plan->values[plan->losses[loss].y].producer].desc.u.loss.from_logits;
}

/* ---- from the device ---- */

enum { LOSS, PREDICTIONS, TARGET, READ };

/* The values that are read of one loss; -1: its kind has no accuracy. */
static void values_read(const lur_run *run, const lur_plan *plan, int i, int values[READ]) {
  bool counted = run->target.losses[i].has_accuracy;
  values[LOSS] = plan->losses[i].y;
  values[PREDICTIONS] = counted ? plan->losses[i].predictions : -1;
  values[TARGET] = counted ? plan->losses[i].target : -1;
}

static size_t value_bytes(const lur_plan *plan, int value) {
  const lur_operand *operand = &plan->values[value].operand;
  return lur_dtype_size(operand->dtype) * (size_t)lur_shape_count(&operand->shape);
}

lur_status lur_run_plan_alloc_host(const lur_run *run, lur_run_plan *entry) {
  const lur_plan *plan = entry->plan;
  if (run->target.device->backend->host_memory) return LUR_OK;
  for (int i = 0; i < plan->nlosses; i++) {
    int values[READ];
    values_read(run, plan, i, values);
    for (int k = 0; k < READ; k++)
      entry->host_bytes += values[k] < 0 ? 0 : (value_bytes(plan, values[k]) + 63) & ~(size_t)63;
  }
  if (entry->host_bytes == 0) return LUR_OK;
  entry->host_bytes += sizeof(lur_on_device);
  return lur_device_alloc_host(run->target.device, entry->host_bytes, &entry->host);
}

/* Where the host can read them: in place, or copied. This is the one wait of a step. */
static lur_status read_values(lur_run *run, lur_run_plan *entry, const void *(*found)[READ]) {
  const lur_plan *plan = entry->plan;
  lur_device *device = run->target.device;
  lur_readback *readback = &run->readback;
  char *to = entry->host;
  for (int i = 0; i < plan->nlosses; i++) {
    int values[READ];
    values_read(run, plan, i, values);
    for (int k = 0; k < READ; k++) {
      found[i][k] = values[k] < 0 ? NULL : lur_run_address(run, plan, values[k]);
      if (!found[i][k] || !to) continue;
      size_t bytes = value_bytes(plan, values[k]);
      LUR_TRY(lur_device_copy(device, to, found[i][k], bytes, LUR_COPY_TO_HOST));
      found[i][k] = to;
      to += (bytes + 63) & ~(size_t)63;
    }
  }
  if (to) LUR_TRY(lur_device_copy(device, to, readback->on_device, sizeof *readback->on_device, LUR_COPY_TO_HOST));
  LUR_TRY(lur_device_sync(device));
  readback->seen = to ? *(const lur_on_device *)(const void *)to : *readback->on_device;
  return LUR_OK;
}

lur_status lur_run_read_back(lur_run *run) {
  lur_readback *readback = &run->readback;
  LUR_TRY(lur_device_copy(run->target.device, &readback->seen, readback->on_device, sizeof readback->seen,
                          LUR_COPY_TO_HOST));
  return lur_device_sync(run->target.device);
}

lur_status lur_run_open_results(lur_run *run) {
  void *memory = NULL;
  LUR_TRY(lur_device_alloc(run->target.device, sizeof(lur_on_device), &memory));
  run->readback.on_device = memory;
  return lur_device_fill(run->target.device, memory, 0, sizeof(lur_on_device));
}

void lur_run_close_results(lur_run *run) {
  lur_device_free(run->target.device, run->readback.on_device);
  run->readback.on_device = NULL;
}

/* ---- results ---- */

/* NaN where the loss has no accuracy. With one unit it is binary, whatever the loss (Keras 2.0.6, engine/training.py,
   compile). */
static double accuracy(const lur_run *run, const lur_plan *plan, int i, const void *const *found) {
  if (!found[PREDICTIONS]) return NAN;
  const lur_shape *shape = &plan->values[plan->losses[i].predictions].operand.shape;
  bool ids = plan->values[plan->losses[i].target].operand.dtype == LUR_I32;
  if (run->target.losses[i].form == LUR_LOSS_GRAPH) /* has_accuracy: it compares class ids */
    return categorical_accuracy(found[PREDICTIONS], found[TARGET], ids, shape->dim[0], shape->dim[1]);
  lur_loss_kind kind = run->target.losses[i].kind;
  if (kind == LUR_BINARY_CROSSENTROPY || shape->dim[1] == 1)
    return binary_accuracy(found[PREDICTIONS], kind, from_logits(plan, i), found[TARGET], ids, lur_shape_count(shape));
  return categorical_accuracy(found[PREDICTIONS], found[TARGET], ids, shape->dim[0], shape->dim[1]);
}

lur_status lur_run_results(lur_run *run, lur_run_plan *entry, lur_results *results) {
  const lur_plan *plan = entry->plan;
  bool several = run->target.model->noutputs > 1;
  double losses[LUR_MAX_OUTPUTS], total = 0;
  const void *found[LUR_MAX_OUTPUTS][READ];
  LUR_TRY(read_values(run, entry, found));
  for (int i = 0; i < plan->nlosses; i++) {
    losses[i] = (double)*(const float *)found[i][LOSS];
    if (run->target.losses[i].weight != 0) total += run->target.losses[i].weight * losses[i];
  }
  memset(results, 0, sizeof *results);
  results->samples = plan->losses[0].rows;
  add_result(results, NULL, "loss", total);
  for (int i = 0; i < plan->nlosses && several; i++)
    add_result(results, run->target.losses[i].output, "loss", losses[i]);
  for (int i = 0; i < plan->nlosses; i++) {
    double value = accuracy(run, plan, i, found[i]);
    if (!isnan(value)) add_result(results, several ? run->target.losses[i].output : NULL, "acc", value);
  }
  return LUR_OK;
}
