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

/* First maximum of a row. */
static int64_t argmax(const float *row, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++) {
    if (row[i] > row[best]) best = i;
  }
  return best;
}

static double categorical_accuracy(const float *predictions, const lur_tensor *target, int64_t rows, int64_t classes) {
  const void *data = lur_tensor_data(target);
  bool ids = lur_tensor_dtype(target) == LUR_I32;
  int64_t right = 0;
  for (int64_t r = 0; r < rows; r++) {
    int64_t truth = ids ? ((const int32_t *)data)[r] : argmax((const float *)data + r * classes, classes);
    right += argmax(predictions + r * classes, classes) == truth;
  }
  return (double)right / (double)rows;
}

/* Mean of (target == round(p)), half to even; of logits, p > 0.5 is logit > 0. */
static double binary_accuracy(const float *predictions, bool logits, const lur_tensor *target, int64_t count) {
  const void *data = lur_tensor_data(target);
  bool ids = lur_tensor_dtype(target) == LUR_I32;
  int64_t right = 0;
  for (int64_t i = 0; i < count; i++) {
    double said = logits ? (predictions[i] > 0 ? 1 : 0) : nearbyint((double)predictions[i]);
    double truth = ids ? (double)((const int32_t *)data)[i] : (double)((const float *)data)[i];
    right += said == truth;
  }
  return (double)right / (double)count;
}

static bool from_logits(const lur_plan *plan, int loss) {
  return plan->ops[plan->values[plan->losses[loss].y].producer].desc.u.loss.from_logits;
}

/* NaN where the loss has no accuracy. */
static lur_status accuracy(lur_run *run, const lur_plan *plan, int i, double *value) {
  *value = NAN;
  if (run->loss_kinds[i] == LUR_MEAN_SQUARED_ERROR) return LUR_OK;
  lur_tensor *predictions = NULL, *target = NULL;
  LUR_TRY(lur_plan_read(run, plan, plan->losses[i].predictions, &predictions));
  lur_status status = lur_plan_read(run, plan, plan->losses[i].target, &target);
  if (status == LUR_OK) {
    const lur_shape *shape = lur_tensor_shape(predictions);
    const float *p = lur_tensor_data(predictions);
    bool binary = run->loss_kinds[i] == LUR_BINARY_CROSSENTROPY || shape->dim[1] == 1;
    *value = binary ? binary_accuracy(p, from_logits(plan, i), target, lur_shape_count(shape))
                    : categorical_accuracy(p, target, shape->dim[0], shape->dim[1]);
  }
  lur_tensor_release(predictions);
  lur_tensor_release(target);
  return status;
}

lur_status lur_run_results(lur_run *run, lur_plan *plan, lur_results *results) {
  bool several = run->model->noutputs > 1;
  double losses[LUR_MAX_OUTPUTS], accuracies[LUR_MAX_OUTPUTS], total = 0;
  for (int i = 0; i < plan->nlosses; i++) {
    lur_tensor *loss = NULL;
    LUR_TRY(lur_plan_read(run, plan, plan->losses[i].y, &loss));
    losses[i] = (double)*(const float *)lur_tensor_data(loss);
    lur_tensor_release(loss);
    LUR_TRY(accuracy(run, plan, i, &accuracies[i]));
    if (run->losses[i].weight != 0) total += run->losses[i].weight * losses[i];
  }
  memset(results, 0, sizeof *results);
  results->samples = plan->key.target[0].shape.dim[0];
  add_result(results, NULL, "loss", total);
  for (int i = 0; i < plan->nlosses && several; i++) add_result(results, run->losses[i].output, "loss", losses[i]);
  for (int i = 0; i < plan->nlosses; i++) {
    if (!isnan(accuracies[i])) add_result(results, several ? run->losses[i].output : NULL, "acc", accuracies[i]);
  }
  return LUR_OK;
}
