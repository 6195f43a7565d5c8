/* losses.c - the losses of a run's target: finds their outputs, knows their names, and checks those that are graphs.
 *
 * To add a name: a row in `kinds`. A loss that no op computes has a function that makes its graph; all others are made
 * by the caller, with lur_loss_graph_new. */
#include <stdio.h>
#include <string.h>

#include "run.h"

/* The names of losses, and after them those that other frameworks use. */
static const struct {
  const char *name;
  lur_loss_form form;
  lur_loss_kind kind;
} kinds[] = {{"categorical_crossentropy", LUR_LOSS_OP, LUR_CATEGORICAL_CROSSENTROPY},
             {"binary_crossentropy", LUR_LOSS_OP, LUR_BINARY_CROSSENTROPY},
             {"mean_squared_error", LUR_LOSS_OP, LUR_MEAN_SQUARED_ERROR},
             {"mean_absolute_error", LUR_LOSS_GRAPH, LUR_MEAN_SQUARED_ERROR},
             {"output", LUR_LOSS_OUTPUT, LUR_MEAN_SQUARED_ERROR},
             {"crossentropy", LUR_LOSS_OP, LUR_CATEGORICAL_CROSSENTROPY},
             {"sparse_categorical_crossentropy", LUR_LOSS_OP, LUR_CATEGORICAL_CROSSENTROPY},
             {"bce", LUR_LOSS_OP, LUR_BINARY_CROSSENTROPY},
             {"mse", LUR_LOSS_OP, LUR_MEAN_SQUARED_ERROR},
             {"mae", LUR_LOSS_GRAPH, LUR_MEAN_SQUARED_ERROR}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static lur_status find_output(const lur_model *model, const lur_loss *loss, int *output) {
  const char *known[LUR_MAX_OUTPUTS];
  for (int k = 0; k < model->noutputs; k++) {
    known[k] = model->output_names[k];
    if (strcmp(known[k], loss->output) != 0) continue;
    *output = k;
    return LUR_OK;
  }
  const char *near = lur_nearest(loss->output, known, model->noutputs);
  return lur_fail(LUR_EARG, "compile: loss for '%s', which is not an output of the model (%s%s%s)", loss->output,
                  near ? "did you mean '" : "first output: '", near ? near : known[0], near ? "'?" : "'");
}

static lur_status find_kind(const lur_loss *loss, lur_target_loss *made) {
  const char *names[KINDS];
  for (int k = 0; k < KINDS; k++) {
    names[k] = kinds[k].name;
    if (strcmp(names[k], loss->kind) != 0) continue;
    made->form = kinds[k].form;
    made->kind = kinds[k].kind;
    return LUR_OK;
  }
  const char *near = lur_nearest(loss->kind, names, KINDS);
  return lur_fail(LUR_EARG, "compile: unknown loss '%s' for output '%s' (%s%s%s)", loss->kind, loss->output,
                  near ? "did you mean '" : "categorical_crossentropy, binary_crossentropy, mean_squared_error, "
                                            "mean_absolute_error, output or a graph",
                  near ? near : "", near ? "'?" : " expected");
}

static lur_status check_numbers(const lur_loss *loss, const lur_target_loss *made) {
  if (!(loss->weight >= 0) || !(loss->label_smoothing >= 0 && loss->label_smoothing < 1)) {
    return lur_fail(
        LUR_EARG,
        "compile: loss of '%s' has weight %g and label smoothing %g (weight >= 0 and smoothing in [0, 1) expected)",
        loss->output, loss->weight, loss->label_smoothing);
  }
  if (made->form == LUR_LOSS_OP || loss->label_smoothing == 0) return LUR_OK;
  return lur_fail(LUR_EARG, "compile: loss of '%s' has label smoothing, which only cross entropies have", loss->output);
}

/* Takes the graph, or makes the one that the kind's name stands for. */
static lur_status take_graph(const lur_model *model, const lur_loss *loss, lur_target_loss *made) {
  const lur_node *output = model->outputs[made->output_index];
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  if (made->form == LUR_LOSS_OUTPUT && output->dtype != LUR_F32)
    return lur_fail(LUR_ETYPE, "compile: loss of '%s': the output is %s (f32 expected)", loss->output,
                    lur_dtype_name(output->dtype));
  if (made->form != LUR_LOSS_GRAPH) return LUR_OK;
  if (!loss->graph) return lur_loss_graph_absolute(model->context, &output->sample, &made->graph);
  lur_status status = lur_loss_graph_check(loss->graph);
  if (status != LUR_OK) return lur_blame(status, "compile: loss of '%s'", loss->output);
  const lur_node *prediction = lur_loss_graph_prediction(loss->graph);
  if (!lur_shape_equal(&prediction->sample, &output->sample) || prediction->dtype != output->dtype) {
    return lur_fail(LUR_ESHAPE, "compile: loss of '%s': it is made for predictions of shape %s %s, the output is %s %s",
                    loss->output, lur_shape_format(&prediction->sample, want), lur_dtype_name(prediction->dtype),
                    lur_shape_format(&output->sample, came), lur_dtype_name(output->dtype));
  }
  made->is_custom = true;
  made->graph = loss->graph;
  lur_model_retain(made->graph);
  return LUR_OK;
}

static bool has_accuracy(const lur_target_loss *loss) {
  if (loss->form == LUR_LOSS_OP) return loss->kind != LUR_MEAN_SQUARED_ERROR;
  return loss->form == LUR_LOSS_GRAPH && lur_loss_graph_compares_classes(loss->graph);
}

/* The layers of graphs are saved by name, as the model's are. */
static lur_status check_names(const lur_plan_target *target) {
  for (int i = target->model->nlayers; i < target->nlayers; i++) {
    const lur_layer *layer = target->layers[i];
    for (int k = 0; k < i && layer->nweights > 0; k++) {
      if (target->layers[k]->nweights == 0 || strcmp(target->layers[k]->name, layer->name) != 0) continue;
      return lur_fail(LUR_EARG, "compile: a loss has a layer '%s', and so has %s: give one of them another name",
                      layer->name, k < target->model->nlayers ? "the model" : "another loss");
    }
  }
  return LUR_OK;
}

int lur_target_graphs(const lur_plan_target *target, lur_output_loss *losses) {
  int n = 0;
  for (int i = 0; i < target->nlosses; i++) {
    if (!target->losses[i].is_custom) continue;
    memcpy(losses[n].output, target->losses[i].output, LUR_NAME);
    losses[n++].graph = target->losses[i].graph;
  }
  return n;
}

lur_status lur_target_take_losses(lur_plan_target *target, int n, const lur_loss *losses) {
  lur_output_loss graphs[LUR_MAX_OUTPUTS];
  if (n > LUR_MAX_OUTPUTS) return lur_fail(LUR_EARG, "compile: more than %d losses", LUR_MAX_OUTPUTS);
  for (int i = 0; i < n; i++) {
    lur_target_loss made = {.form = LUR_LOSS_GRAPH,
                            .weight = losses[i].weight,
                            .label_smoothing = losses[i].label_smoothing};
    LUR_TRY(find_output(target->model, &losses[i], &made.output_index));
    if (!losses[i].graph) LUR_TRY(find_kind(&losses[i], &made));
    LUR_TRY(check_numbers(&losses[i], &made));
    LUR_TRY(take_graph(target->model, &losses[i], &made));
    memcpy(made.output, target->model->output_names[made.output_index], LUR_NAME);
    made.has_accuracy = has_accuracy(&made);
    target->losses[target->nlosses++] = made;
  }
  const int ngraphs = lur_target_graphs(target, graphs);
  LUR_TRY(lur_model_all_layers(target->model, ngraphs, graphs, &target->layers, &target->nlayers));
  return check_names(target);
}

void lur_target_drop_losses(lur_plan_target *target) {
  for (int i = 0; i < target->nlosses; i++) lur_model_release(target->losses[i].graph);
  target->nlosses = 0;
}

/* ---- targets ---- */

static const lur_target_loss *loss_of(const lur_run *run, int output) {
  for (int i = 0; i < run->target.nlosses; i++) {
    if (run->target.losses[i].output_index == output) return &run->target.losses[i];
  }
  return NULL;
}

bool lur_run_needs_target(const lur_run *run, int output) {
  const lur_target_loss *loss = loss_of(run, output);
  return loss && lur_loss_needs_target(loss);
}

lur_dtype lur_run_target_dtype(const lur_run *run, int output) {
  const lur_target_loss *loss = loss_of(run, output);
  const lur_node *target = loss && loss->graph ? lur_loss_graph_target(loss->graph) : NULL;
  return target ? target->dtype : LUR_F32;
}

bool lur_run_takes_ids(const lur_run *run, int output) {
  const lur_target_loss *loss = loss_of(run, output);
  if (!loss || loss->form == LUR_LOSS_OUTPUT) return false;
  if (loss->form == LUR_LOSS_OP) return loss->kind == LUR_CATEGORICAL_CROSSENTROPY;
  const lur_node *target = lur_loss_graph_target(loss->graph);
  return target && target->dtype == LUR_I32 && target->sample.ndim == 0;
}
