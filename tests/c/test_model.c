/* test_model.c - graphs, order of layers, definitions, and passes: with any of them switched off, outputs, losses and
 * gradients are the same; check mode finds no error. test_model [DEVICE]: cpu by default. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "engine/lurcher.h"
#include "small_model.h"

static void make_batch(lur_context *context, fixture *f) {
  const lur_shape shapes[5] = {{4, {ROWS, 9, 9, 3}}, {1, {PAIRS}}, {1, {PAIRS}}, {1, {ROWS}}, {1, {PAIRS}}};
  for (int i = 0; i < 5; i++) {
    CHECK_OK(lur_tensor_new(context, NULL, i ? LUR_I32 : LUR_F32, &shapes[i], &f->tensors[i]));
    if (i == 0) CHECK_OK(lur_tensor_uniform(f->tensors[0], -1, 1));
    int64_t limit = i == 3 ? 5 : i == 4 ? 2 : ROWS;
    for (int64_t k = 0; i && k < shapes[i].dim[0]; k++) CHECK_OK(lur_tensor_set(f->tensors[i], k, (double)((k * 7 + i) % limit)));
  }
  f->batch = (lur_batch){5, names, f->tensors};
}

static lur_compile_options options_for(lur_context *context, const char *device, lur_optimizer *optimizer, const lur_loss *losses) {
  lur_compile_options options = {.nlosses = 2, .losses = losses, .optimizer = optimizer};
  CHECK_OK(lur_context_device(context, device, &options.device));
  return options;
}

static const lur_loss both[2] = {{"class", "categorical_crossentropy", 1, 0.1, NULL}, {"same", "categorical_crossentropy", 0.5, 0, NULL}};

static const char *tested = "cpu"; /* the device: the first argument */

enum { STEPS = 5 };

/* Losses of some training steps and one evaluation, from new weights. freeze: layers below this index. */
static void curve(const char *device, int freeze, void (*change)(lur_compile_options *), double losses[STEPS + 1]) {
  lur_context *context = NULL;
  CHECK_OK(lur_context_new(7, 2, &context));
  lur_model *model = make_model(context);
  for (int i = 0; i < freeze; i++) lur_layer_set_trainable(lur_model_layer(model, i), false);
  lur_setting sgd[] = {{.name = "lr", .type = LUR_REAL, .real = 0.05}, {.name = "momentum", .type = LUR_REAL, .real = 0.9}};
  lur_optimizer *optimizer = NULL;
  lur_run *run = NULL;
  fixture f;
  CHECK_OK(lur_optimizer_new(context, "sgd", sgd, 2, &optimizer));
  lur_compile_options options = options_for(context, device, optimizer, both);
  if (change) change(&options);
  CHECK_OK(lur_model_compile(model, &options, &run));
  make_batch(context, &f);
  for (int i = 0; i < STEPS; i++) {
    lur_results results = {0};
    CHECK_OK(lur_run_train(run, &f.batch, &results));
    losses[i] = results.values[0];
  }
  lur_results results = {0};
  CHECK_OK(lur_run_evaluate(run, &f.batch, &results));
  losses[STEPS] = results.values[0];
  drop_batch(&f);
  lur_run_release(run);
  lur_optimizer_release(optimizer);
  lur_model_release(model);
  lur_context_release(context);
}

static void no_prune(lur_compile_options *o) { o->no_prune = true; }
static void no_fold(lur_compile_options *o) { o->no_fold = true; }
static void no_lifetimes(lur_compile_options *o) { o->no_lifetimes = true; }
static void no_arena(lur_compile_options *o) { o->no_arena = true; }
static void check_mode(lur_compile_options *o) { o->check = true; }
static void plain(lur_compile_options *o) { o->no_prune = o->no_fold = o->no_lifetimes = o->no_arena = true; }

static void same_curves(const double *a, const double *b, double tolerance, const char *what) {
  for (int i = 0; i <= STEPS; i++) {
    if (fabs(a[i] - b[i]) <= tolerance * fabs(a[i])) continue;
    fprintf(stderr, "%s: step %d: %.9g against %.9g\n", what, i, b[i], a[i]);
    CHECK(false && "curves differ");
    return;
  }
  CHECK(1);
}

static void test_curves(void) {
  static const struct {
    const char *what;
    void (*change)(lur_compile_options *);
    double tolerance;
  } passes[] = {{"no prune", no_prune, 1e-6}, {"no fold", no_fold, 1e-4}, {"no lifetimes", no_lifetimes, 0}, {"no arena", no_arena, 0},
                {"check", check_mode, 0},     {"plain", plain, 1e-4}};
  const int freezes[] = {0, 10, 14};
  for (int k = 0; k < 3; k++) {
    double base[STEPS + 1], other[STEPS + 1];
    curve("ref", freezes[k], NULL, base);
    CHECK(base[STEPS - 1] < base[0]);
    curve(tested, freezes[k], NULL, other);
    same_curves(base, other, 1e-3, tested);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
      curve(tested, freezes[k], NULL, base);
      curve(tested, freezes[k], passes[i].change, other);
      same_curves(base, other, passes[i].tolerance, passes[i].what);
    }
  }
}

static void tf32(lur_compile_options *o) { o->precision = LUR_PRECISION_TF32; }
static void bf16(lur_compile_options *o) { o->precision = LUR_PRECISION_BF16; }
static void f16(lur_compile_options *o) { o->precision = LUR_PRECISION_F16; }
static void f16_checked(lur_compile_options *o) { o->precision = LUR_PRECISION_F16, o->check = true; }

/* With loss weights this large every gradient overflows in f16: steps are skipped, and the loss scale is halved. */
static void test_overflow(void) {
  static const lur_loss heavy[2] = {{"class", "categorical_crossentropy", 1e9, 0, NULL}, {"same", "categorical_crossentropy", 1, 0, NULL}};
  lur_context *context = NULL;
  CHECK_OK(lur_context_new(7, 2, &context));
  lur_model *model = make_model(context);
  lur_optimizer *optimizer = NULL;
  lur_run *run = NULL;
  fixture f;
  lur_results first = {0}, second = {0};
  CHECK_OK(lur_optimizer_new(context, "sgd", NULL, 0, &optimizer));
  lur_compile_options options = options_for(context, tested, optimizer, heavy);
  options.precision = LUR_PRECISION_F16;
  CHECK_OK(lur_model_compile(model, &options, &run));
  make_batch(context, &f);
  CHECK_OK(lur_run_train(run, &f.batch, &first));
  CHECK_OK(lur_run_train(run, &f.batch, &second));
  CHECK(lur_run_iterations(run) == 0 && isfinite(second.values[0])); /* so the weights have not changed */
  for (int i = 0; i < 60 && lur_run_iterations(run) == 0; i++) CHECK_OK(lur_run_train(run, &f.batch, &second));
  CHECK(lur_run_iterations(run) == 1);
  drop_batch(&f);
  lur_run_release(run);
  lur_optimizer_release(optimizer);
  lur_model_release(model);
  lur_context_release(context);
}

/* Half precision agrees with f32 within its digits; a device without it returns an error. */
static void test_precision(void) {
  static const struct {
    const char *what;
    void (*change)(lur_compile_options *);
    double tolerance;
  } modes[] = {{"tf32", tf32, 5e-3}, {"bf16", bf16, 5e-2}, {"f16", f16, 1e-2}, {"f16 checked", f16_checked, 1e-2}};
  const int freezes[] = {0, 10};
  bool half = strncmp(tested, "cuda", 4) == 0;
  for (int k = 0; k < 2; k++) {
    double base[STEPS + 1], other[STEPS + 1];
    curve(tested, freezes[k], NULL, base);
    for (int i = 0; i < (half ? 4 : 1); i++) {
      curve(tested, freezes[k], modes[i].change, other);
      same_curves(base, other, modes[i].tolerance, modes[i].what);
    }
  }
  if (half) {
    test_overflow();
    return;
  }
  lur_context *context = NULL;
  CHECK_OK(lur_context_new(7, 2, &context));
  lur_model *model = make_model(context);
  lur_run *run = NULL;
  lur_compile_options options = options_for(context, tested, NULL, both);
  options.precision = LUR_PRECISION_BF16;
  CHECK_FAILS(lur_model_compile(model, &options, &run), LUR_EUNSUPPORTED, "precision 'bf16' is not supported by");
  lur_model_release(model);
  lur_context_release(context);
}

static void test_order(void) {
  lur_context *context = NULL;
  CHECK_OK(lur_context_new(1, 1, &context));
  lur_model *model = make_model(context);
  /* "sep2_bn" and "residual" have equal depth: the main path comes first (Keras 2.0.6, keras/engine/topology.py). */
  static const char *const order[] = {"image", "entry", "entry_bn", "entry_act", "sep1", "sep1_bn", "sep2_act", "sep2",
                                      "sep2_bn", "residual", "pool", "residual_bn", "add_1"};
  for (int i = 0; i < 13; i++) {
    if (strcmp(lur_layer_name(lur_model_layer(model, i)), order[i]) == 0) continue;
    fprintf(stderr, "layer %d is %s, expected %s\n", i, lur_layer_name(lur_model_layer(model, i)), order[i]);
    CHECK(false && "order");
  }
  CHECK(lur_model_find(model, "add_1") == 12);
  CHECK(lur_model_find(model, "absent") == -1);
  lur_model_release(model);
  lur_context_release(context);
}

static void test_definition(void) {
  lur_context *context = NULL;
  lur_model *again = NULL;
  char *json = NULL, *json2 = NULL;
  CHECK_OK(lur_context_new(1, 1, &context));
  lur_model *model = make_model(context);
  lur_layer_set_trainable(lur_model_layer(model, 1), false);
  CHECK_OK(lur_model_to_json(model, &json));
  CHECK_OK(lur_model_from_json(context, json, &again));
  CHECK_OK(lur_model_to_json(again, &json2));
  CHECK(json && json2 && strcmp(json, json2) == 0);
  CHECK(lur_model_parameters(model, false) == lur_model_parameters(again, false));
  CHECK(lur_model_parameters(model, true) == lur_model_parameters(again, true));
  lur_model *none = NULL;
  CHECK_FAILS(lur_model_from_json(context, "{", &none), LUR_EFORMAT, "not JSON");
  CHECK_FAILS(lur_model_from_json(context, "{}", &none), LUR_EFORMAT, "lurcher-model");
  /* Every truncation and every changed character is an error or makes a model; none crashes. */
  size_t length = strlen(json);
  char *broken = malloc(length + 1);
  for (size_t i = 0; broken && i < length; i += 3) {
    memcpy(broken, json, length + 1);
    broken[i] = (char)(broken[i] == '9' ? '-' : '9');
    if (lur_model_from_json(context, broken, &none) == LUR_OK) lur_model_release(none);
    broken[i] = '\0';
    CHECK(lur_model_from_json(context, broken, &none) != LUR_OK);
  }
  free(broken);
  lur_text_free(json);
  lur_text_free(json2);
  lur_model_release(again);
  lur_model_release(model);
  lur_context_release(context);
}

static void test_errors(void) {
  lur_context *context = NULL;
  lur_run *run = NULL;
  fixture f;
  lur_results results;
  CHECK_OK(lur_context_new(1, 1, &context));
  lur_model *model = make_model(context);
  make_batch(context, &f);
  lur_loss losses[2] = {{"clas", "categorical_crossentropy", 1, 0, NULL}, {"same", "categorical_crossentropy", 1, 0, NULL}};
  lur_compile_options options = options_for(context, tested, NULL, losses);
  CHECK_FAILS(lur_model_compile(model, &options, &run), LUR_EARG, "did you mean 'class'");
  losses[0] = (lur_loss){"class", "hinge", 1, 0, NULL};
  CHECK_FAILS(lur_model_compile(model, &options, &run), LUR_EARG, "unknown loss 'hinge'");
  losses[0].kind = "categorical_crossentropy";
  CHECK_OK(lur_model_compile(model, &options, &run));
  CHECK_FAILS(lur_run_train(run, &f.batch, &results), LUR_ESTATE, "without an optimizer");
  CHECK_FAILS(lur_run_backward(run, f.tensors), LUR_ESTATE, "call run:forward(batch, { training = true }) first");
  lur_batch few = {1, names, f.tensors};
  CHECK_FAILS(lur_run_evaluate(run, &few, &results), LUR_EARG, "'left'");
  CHECK_OK(lur_tensor_set(f.tensors[1], 2, ROWS));
  CHECK_FAILS(lur_run_evaluate(run, &f.batch, &results), LUR_EARG, "'left': row 2 holds 6");
  CHECK_OK(lur_tensor_set(f.tensors[1], 2, 0));
  CHECK_OK(lur_tensor_set(f.tensors[3], 1, 5));
  CHECK_FAILS(lur_run_evaluate(run, &f.batch, &results), LUR_EARG, "'class': row 1 holds 5 (0 to 4 expected)");
  CHECK_OK(lur_tensor_set(f.tensors[3], 1, 4));
  CHECK_OK(lur_run_evaluate(run, &f.batch, &results));
  CHECK(results.n == 5 && strcmp(results.names[1], "class_loss") == 0 && strcmp(results.names[4], "same_acc") == 0);
  lur_context_interrupt(context);
  CHECK_FAILS(lur_run_evaluate(run, &f.batch, &results), LUR_EINTERRUPTED, "");
  CHECK_OK(lur_run_evaluate(run, &f.batch, &results));
  drop_batch(&f);
  lur_run_release(run);
  lur_model_release(model);
  lur_context_release(context);
}

/* A loss that is a graph: what it may read, and what a batch must have. */
static void test_custom_loss(void) {
  lur_context *context = NULL;
  lur_run *run = NULL;
  lur_model *graph = NULL;
  lur_layer *layer = NULL;
  lur_node *x[2] = {NULL, NULL}, *other = NULL, *y = NULL;
  fixture f;
  lur_results results = {0};
  CHECK_OK(lur_context_new(1, 1, &context));
  lur_model *model = make_model(context);
  make_batch(context, &f);
  const lur_shape *shape = lur_node_shape(lur_model_output(model, 0));
  CHECK_OK(lur_input(context, "prediction", LUR_F32, shape, &x[0]));
  CHECK_OK(lur_input(context, "target", LUR_F32, shape, &x[1]));
  CHECK_OK(lur_input(context, "other", LUR_F32, shape, &other));
  CHECK_OK(lur_context_begin_scope(context, "mine_"));
  CHECK_FAILS(lur_context_begin_scope(context, "again_"), LUR_ESTATE, "'mine_...'");
  CHECK_OK(lur_layer_new(context, "mul", NULL, 0, &layer));
  CHECK(strcmp(lur_layer_name(layer), "mine_multiply_1") == 0);
  lur_context_end_scope(context);
  CHECK_OK(lur_layer_apply(layer, 2, (lur_node *[]){x[0], other}, &y));
  CHECK_FAILS(lur_loss_graph_new(x[0], x[1], y, &graph), LUR_EARG, "it reads input 'other'");
  lur_node_release(y);
  CHECK_OK(lur_layer_apply(layer, 2, (lur_node *[]){x[1], x[1]}, &y));
  CHECK_FAILS(lur_loss_graph_new(x[0], x[1], y, &graph), LUR_EARG, "does not depend on the prediction");
  lur_node_release(y);
  CHECK_OK(lur_layer_apply(layer, 2, (lur_node *[]){x[0], x[0]}, &y));
  CHECK_OK(lur_loss_graph_new(x[0], x[1], y, &graph));
  CHECK(lur_model_input_count(graph) == 1); /* it has no use for a target, so a batch needs none */
  const lur_loss loss = {.output = lur_model_output_name(model, 0), .weight = 1, .graph = graph};
  lur_compile_options options = options_for(context, tested, NULL, &loss);
  options.nlosses = 1;
  CHECK_OK(lur_model_compile(model, &options, &run));
  CHECK(!lur_run_needs_target(run, 0) && !lur_run_takes_ids(run, 0) && !lur_run_needs_target(run, 1));
  CHECK_OK(lur_run_evaluate(run, &f.batch, &results));
  CHECK(results.samples > 0 && results.values[0] > 0 && results.values[0] < 1);
  drop_batch(&f);
  lur_run_release(run);
  lur_model_release(graph);
  lur_node *const nodes[] = {x[0], x[1], other, y};
  for (int i = 0; i < 4; i++) lur_node_release(nodes[i]);
  lur_layer_release(layer);
  lur_model_release(model);
  lur_context_release(context);
}

/* Folded and packed weights are updated when their tensors are written. */
static void test_written_weights(void) {
  lur_context *context = NULL;
  lur_run *run = NULL;
  fixture f;
  lur_results before = {0}, after = {0}, again = {0};
  CHECK_OK(lur_context_new(5, 1, &context));
  lur_model *model = make_model(context);
  lur_compile_options options = options_for(context, "cpu", NULL, both);
  CHECK_OK(lur_model_compile(model, &options, &run));
  make_batch(context, &f);
  static const char *const layers[] = {"entry", "sep1_bn", "sep3"};
  for (int i = 0; i < 3; i++) {
    lur_tensor *weight = lur_layer_weight(lur_model_layer(model, lur_model_find(model, layers[i])), i == 2);
    double old = 0;
    CHECK_OK(lur_run_evaluate(run, &f.batch, &before));
    CHECK_OK(lur_tensor_get(weight, 3, &old));
    CHECK_OK(lur_tensor_set(weight, 3, old + 2));
    CHECK_OK(lur_run_evaluate(run, &f.batch, &after));
    CHECK(after.values[0] != before.values[0]);
    CHECK_OK(lur_tensor_set(weight, 3, old));
    CHECK_OK(lur_run_evaluate(run, &f.batch, &again));
    CHECK(again.values[0] == before.values[0]);
  }
  drop_batch(&f);
  lur_run_release(run);
  lur_model_release(model);
  lur_context_release(context);
}

/* Gradient of sum(outputs) for the image against central differences on ref. */
static void test_input_gradient(void) {
  lur_context *context = NULL;
  lur_run *run = NULL;
  fixture f;
  lur_tensor *outputs[2], *ones[2], *gradient = NULL;
  CHECK_OK(lur_context_new(3, 1, &context));
  lur_model *model = make_model(context);
  lur_compile_options options = options_for(context, "ref", NULL, NULL);
  options.nlosses = 0;
  options.input_gradients = true;
  CHECK_OK(lur_model_compile(model, &options, &run));
  make_batch(context, &f);
  CHECK_OK(lur_run_forward(run, &f.batch, true, outputs));
  for (int i = 0; i < 2; i++) {
    CHECK_OK(lur_tensor_clone(outputs[i], &ones[i]));
    for (int64_t k = 0; k < lur_shape_count(lur_tensor_shape(ones[i])); k++) CHECK_OK(lur_tensor_set(ones[i], k, (double)(k % 3)));
    lur_tensor_release(outputs[i]);
  }
  CHECK_OK(lur_run_backward(run, ones));
  CHECK_OK(lur_run_gradient(run, "image", NULL, &gradient));
  double norm = 0;
  for (int64_t k = 0; k < lur_shape_count(lur_tensor_shape(gradient)); k++) {
    double value;
    CHECK_OK(lur_tensor_get(gradient, k, &value));
    norm += value * value;
  }
  CHECK(norm > 0 && isfinite(norm));
  CHECK_FAILS(lur_run_backward(run, ones), LUR_ESTATE, "call run:forward");
  lur_tensor_release(gradient);
  for (int i = 0; i < 2; i++) lur_tensor_release(ones[i]);
  drop_batch(&f);
  lur_run_release(run);
  lur_model_release(model);
  lur_context_release(context);
}

int main(int argc, char **argv) {
  if (argc > 1) tested = argv[1];
  test_order();
  test_definition();
  test_errors();
  test_custom_loss();
  test_curves();
  test_written_weights();
  test_precision();
  test_input_gradient();
  return check_report("test_model");
}
