/* test_frozen.c - the frozen backbone of small graphs: which layers are frozen, where the model is to be split, and
 * that runs label the same ops. A graph is a case of its own: add one as a function, and to main. */
#include <stdlib.h>

#include "check.h"
#include "engine/lurcher.h"

static lur_context *context;

/* ---- building ---- */

static lur_node *image(void) {
  lur_node *node = NULL;
  const lur_shape sample = {1, {4}};
  CHECK_OK(lur_input(context, "image", LUR_F32, &sample, &node));
  return node;
}

static lur_layer *layer_new(const char *kind, const char *name, bool trainable) {
  lur_layer *layer = NULL;
  lur_setting settings[3] = {{.name = "name", .type = LUR_STRING, .string = name}};
  int n = 1;
  const lur_setting units = {.name = "units", .type = LUR_INT, .integer = 4, .real = 4};
  const lur_setting rate = {.name = "rate", .type = LUR_REAL, .real = 0.5};
  if (strcmp(kind, "dense") == 0) settings[n++] = units;
  if (strcmp(kind, "dropout") == 0) settings[n++] = rate;
  CHECK_OK(lur_layer_new(context, kind, settings, n, &layer));
  lur_layer_set_trainable(layer, trainable);
  return layer;
}

/* Applies a layer to one node, or to two (b not NULL); the nodes stay the caller's. */
static lur_node *apply(lur_layer *layer, lur_node *a, lur_node *b) {
  lur_node *y = NULL;
  CHECK_OK(lur_layer_apply(layer, b ? 2 : 1, (lur_node *[]){a, b}, &y));
  return y;
}

/* Nodes that a case makes; dropped at its end. */
static lur_node *made[32];
static int nmade;

static lur_node *keep(lur_node *node) { return made[nmade++] = node; }

static lur_node *put(const char *kind, const char *name, bool trainable, lur_node *a, lur_node *b) {
  lur_layer *layer = layer_new(kind, name, trainable);
  lur_node *node = keep(apply(layer, a, b));
  lur_layer_release(layer);
  return node;
}

static lur_node *frozen_dense(const char *name, lur_node *x) { return put("dense", name, false, x, NULL); }
static lur_node *learned_dense(const char *name, lur_node *x) { return put("dense", name, true, x, NULL); }
static lur_node *relu(const char *name, lur_node *x) { return put("relu", name, true, x, NULL); }

/* ---- checking ---- */

static void add_name(char *text, size_t capacity, const char *name) {
  size_t used = strlen(text);
  snprintf(text + used, capacity - used, "%s%s", used ? " " : "", name);
}

/* The model's frozen layers and cuts, as names, are these. Drops the nodes of the case. */
static lur_model *expect(int n, lur_node *const *outputs, const char *frozen, const char *cuts) {
  static const char *const names[] = {"y1", "y2"};
  enum { MOST = 32, TEXT = 512 };
  char found_frozen[TEXT] = "", found_cuts[TEXT] = "";
  bool is_frozen[MOST];
  int at[MOST], count = -1;
  lur_model *model = NULL;
  CHECK_OK(lur_model_new(context, 0, NULL, n, names, outputs, &model));
  CHECK_OK(lur_model_frozen(model, "image", is_frozen, at, &count));
  for (int i = 0; i < lur_model_layer_count(model); i++) {
    if (is_frozen[i]) add_name(found_frozen, TEXT, lur_layer_name(lur_model_layer(model, i)));
  }
  for (int i = 0; i < count; i++) add_name(found_cuts, TEXT, lur_layer_name(lur_model_layer(model, at[i])));
  if (!CHECK(strcmp(found_frozen, frozen) == 0)) fprintf(stderr, "  frozen: '%s', not '%s'\n", found_frozen, frozen);
  if (!CHECK(strcmp(found_cuts, cuts) == 0)) fprintf(stderr, "  cuts: '%s', not '%s'\n", found_cuts, cuts);
  CHECK_OK(lur_model_frozen(model, "image", NULL, at, &count)); /* without the frozen layers */
  CHECK_FAILS(lur_model_frozen(model, "imgae", is_frozen, at, &count), LUR_EARG, "no input 'imgae'");
  while (nmade > 0) lur_node_release(made[--nmade]);
  return model;
}

static void expect_one(lur_node *output, const char *frozen, const char *cuts) {
  lur_model_release(expect(1, &output, frozen, cuts));
}

/* ---- graphs ---- */

static void test_chain(void) {
  lur_node *x = keep(image());
  expect_one(learned_dense("head", relu("r", frozen_dense("b", frozen_dense("a", x)))), "image a b r", "r");
  x = keep(image());
  expect_one(frozen_dense("last", learned_dense("head", frozen_dense("a", x))), "image a", "a");
}

static void test_nothing_to_gain(void) {
  lur_node *x = keep(image());
  expect_one(frozen_dense("b", learned_dense("a", x)), "image", "");
  x = keep(image());
  expect_one(learned_dense("head", relu("r", x)), "image r", ""); /* no weights before: no work to save */
  x = keep(image());
  expect_one(relu("r", frozen_dense("a", x)), "image a r", ""); /* nothing after that learns */
}

/* The add reads r and a: only after it, or at a, does one value represent everything before it. */
static void test_skip(void) {
  lur_node *x = keep(image()), *a = frozen_dense("a", x), *b = relu("r", frozen_dense("b", a));
  expect_one(learned_dense("head", put("add", "sum", true, a, b)), "image a b r sum", "sum");
  x = keep(image()), a = frozen_dense("a", x), b = learned_dense("b", relu("r", a));
  expect_one(put("add", "sum", true, a, b), "image a r", "a");
}

/* Two backbones on one image; what joins them learns on each side, or is itself frozen. */
static void test_branches(void) {
  lur_node *x = keep(image()), *one = relu("r1", frozen_dense("a1", x));
  lur_node *two = frozen_dense("b2", frozen_dense("a2", x));
  lur_node *outputs[2] = {learned_dense("y1", put("dropout", "drop", true, one, NULL)), learned_dense("y2", two)};
  lur_model_release(expect(2, outputs, "image a1 r1 a2 b2", "r1 b2"));
  x = keep(image()), one = frozen_dense("a1", x), two = frozen_dense("a2", x);
  expect_one(learned_dense("head", put("add", "sum", true, one, two)), "image a1 a2 sum", "sum");
  x = keep(image()), one = frozen_dense("a1", x), two = learned_dense("a2", x); /* the second needs the image */
  expect_one(learned_dense("head", put("add", "sum", true, one, two)), "image a1", "");
}

static void test_dropout(void) {
  lur_node *x = keep(image()), *a = frozen_dense("a", x), *drop = put("dropout", "drop", true, a, NULL);
  expect_one(learned_dense("head", frozen_dense("b", drop)), "image a", "a");
}

/* A layer that is applied twice is no place to cut, though both applications are frozen; nor is it frozen where one of
   them is not. */
static void test_shared(void) {
  lur_layer *shared = layer_new("dense", "shared", false);
  lur_node *x = keep(image()), *a = frozen_dense("a", x);
  lur_node *once = keep(apply(shared, a, NULL)), *twice = keep(apply(shared, once, NULL));
  expect_one(learned_dense("head", twice), "image a shared", "a");
  lur_layer_release(shared);
  shared = layer_new("dense", "shared", false);
  x = keep(image()), a = frozen_dense("a", x);
  once = keep(apply(shared, a, NULL));
  twice = keep(apply(shared, learned_dense("middle", once), NULL));
  expect_one(twice, "image a", "a");
  lur_layer_release(shared);
}

/* An output of the model is not behind the cut, nor the cut: it would be lost. */
static void test_output_inside(void) {
  lur_node *x = keep(image()), *a = frozen_dense("a", x), *b = relu("b", a);
  lur_node *outputs[2] = {b, learned_dense("head", frozen_dense("c", b))};
  lur_model_release(expect(2, outputs, "image a b c", "a"));
  x = keep(image()), a = frozen_dense("a", x);
  lur_node *two[2] = {a, learned_dense("head", a)};
  lur_model_release(expect(2, two, "image a", ""));
}

/* print(run) calls the same ops frozen; with batchnorm_batch, none from the first batch norm on. */
static int count_frozen(lur_model *model, bool batchnorm_batch) {
  const lur_loss loss = {"y1", "mean_squared_error", 1, 0, NULL};
  lur_compile_options options = {.nlosses = 1, .losses = &loss, .no_fold = true, .batchnorm_batch = batchnorm_batch};
  lur_run *run = NULL;
  lur_tensor *x = NULL;
  const lur_shape shape = {2, {3, 4}};
  char *text = NULL;
  int count = 0;
  CHECK_OK(lur_context_device(context, "cpu", &options.device));
  CHECK_OK(lur_optimizer_new(context, "sgd", NULL, 0, &options.optimizer));
  CHECK_OK(lur_model_compile(model, &options, &run));
  CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &shape, &x));
  lur_results results = {0};
  lur_batch batch = {2, (const char *[]){"image", "y1"}, (lur_tensor *[]){x, x}};
  CHECK_OK(lur_run_train(run, &batch, &results));
  CHECK_OK(lur_run_describe(run, &text));
  for (const char *at = text; at && (at = strstr(at, "frozen")); at++) count++;
  lur_text_free(text);
  lur_tensor_release(x);
  lur_run_release(run);
  lur_optimizer_release(options.optimizer);
  return count;
}

static void test_label(void) {
  lur_node *x = keep(image()), *norm = put("batchnorm", "norm", false, frozen_dense("a", x), NULL);
  lur_node *y = learned_dense("y1", put("dropout", "drop", true, relu("r", norm), NULL));
  lur_model *model = expect(1, &y, "image a norm r", "r");
  CHECK(count_frozen(model, false) == 3);
  CHECK(count_frozen(model, true) == 1);
  lur_model_release(model);
}

int main(void) {
  CHECK_OK(lur_context_new(7, 1, &context));
  test_chain();
  test_nothing_to_gain();
  test_skip();
  test_branches();
  test_dropout();
  test_shared();
  test_output_inside();
  test_label();
  lur_context_release(context);
  return check_report("test_frozen");
}
