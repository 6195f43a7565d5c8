/* test_layer.c - layer kinds: names, options, weights and their initial values, output shapes, and the messages for
 * inputs that do not fit. The arithmetic is tested per op in tests/ops, graphs in test_model.c. */
#include <math.h>
#include <stdlib.h>

#include "engine/layers/layers.h"
#include "tests/c/check.h"

static lur_context *context;

#define INT(key, value) ((lur_setting){.name = key, .type = LUR_INT, .integer = value, .real = (double)(value)})
#define REAL(key, value) ((lur_setting){.name = key, .type = LUR_REAL, .real = value})
#define BOOLEAN(key, value) ((lur_setting){.name = key, .type = LUR_BOOL, .boolean = value})
#define TEXT(key, value) ((lur_setting){.name = key, .type = LUR_STRING, .string = value})
#define PAIR(key, a, b) ((lur_setting){.name = key, .type = LUR_INTS, .ints = {a, b}, .count = 2})
#define SETTINGS(...) (lur_setting[]){__VA_ARGS__}, (int)(sizeof((lur_setting[]){__VA_ARGS__}) / sizeof(lur_setting))

static lur_layer *make_in(lur_context *c, const char *kind, const lur_setting *settings, int n) {
  lur_layer *layer = NULL;
  CHECK_OK(lur_layer_new(c, kind, settings, n, &layer));
  return layer;
}

static lur_layer *make(const char *kind, const lur_setting *settings, int n) {
  return make_in(context, kind, settings, n);
}

static lur_node *input(const char *name, lur_shape sample) {
  lur_node *node = NULL;
  CHECK_OK(lur_input(context, name, LUR_F32, &sample, &node));
  return node;
}

/* ---- windows ---- */

static void test_window(void) {
  static const struct {
    int64_t in, kernel, stride, out;
    int padding, before;
  } cases[] = {{147, 3, 2, 74, LUR_PADDING_SAME, 1},   {74, 3, 2, 37, LUR_PADDING_SAME, 0},
               {37, 3, 2, 19, LUR_PADDING_SAME, 1},    {19, 3, 2, 10, LUR_PADDING_SAME, 1},
               {147, 1, 2, 74, LUR_PADDING_SAME, 0},   {19, 3, 1, 19, LUR_PADDING_SAME, 1},
               {5, 4, 1, 5, LUR_PADDING_SAME, 1},      {1, 3, 2, 1, LUR_PADDING_SAME, 1},
               {2, 7, 3, 1, LUR_PADDING_SAME, 2},      {299, 3, 2, 149, LUR_PADDING_VALID, 0},
               {149, 3, 1, 147, LUR_PADDING_VALID, 0}, {3, 3, 2, 1, LUR_PADDING_VALID, 0},
               {4, 3, 2, 1, LUR_PADDING_VALID, 0},     {8, 1, 3, 3, LUR_PADDING_VALID, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t out = -1;
    int before = -1;
    CHECK_OK(lur_window(cases[i].in, cases[i].kernel, cases[i].stride, (lur_padding)cases[i].padding, &out, &before));
    CHECK(out == cases[i].out && before == cases[i].before);
  }
  CHECK_FAILS(lur_window(2, 3, 1, LUR_PADDING_VALID, &(int64_t){0}, &(int){0}), LUR_ESHAPE,
              "a window of 3 does not fit into 2");
}

/* ---- names and options ---- */

static void test_names(void) {
  lur_context *c = NULL;
  CHECK_OK(lur_context_new(0, 1, &c));
  static const struct {
    const char *kind, *name;
  } cases[] = {{"add", "add_1"},
               {"add", "add_2"},
               {"batchnorm", "batch_normalization_1"},
               {"normalization", "normalization_1"},
               {"max_pool", "max_pooling2d_1"},
               {"avg_pool", "average_pooling2d_1"},
               {"global_avg_pool", "global_average_pooling2d_1"},
               {"concat", "concatenate_1"},
               {"mul", "multiply_1"},
               {"sub", "subtract_1"},
               {"flatten", "flatten_1"},
               {"add", "add_3"}};
  lur_layer *bad = NULL;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    lur_layer *layer = make_in(c, cases[i].kind, NULL, 0);
    CHECK(strcmp(lur_layer_name(layer), cases[i].name) == 0);
    lur_layer_release(layer);
  }
  /* neither a layer that could not be made nor one with a given name uses up a number */
  CHECK_FAILS(lur_layer_new(c, "dropout", SETTINGS(REAL("rate", 1)), &bad), LUR_EARG,
              "from 0 to under 1 expected, got 1");
  lur_layer *named =
      make_in(c, "dropout", SETTINGS(REAL("rate", 0.5), TEXT("name", "mine"), BOOLEAN("trainable", false)));
  lur_layer *dropout = make_in(c, "dropout", SETTINGS(REAL("rate", 0.5)));
  CHECK(strcmp(lur_layer_name(named), "mine") == 0 && !lur_layer_trainable(named));
  CHECK(strcmp(lur_layer_name(dropout), "dropout_1") == 0 && lur_layer_trainable(dropout));
  lur_layer_release(named);
  lur_layer_release(dropout);
  char text[128];
  memset(text, 'x', 100);
  text[100] = '\0';
  CHECK_FAILS(lur_layer_new(c, "flatten", SETTINGS(TEXT("name", text)), &bad), LUR_EARG,
              "at most 95 bytes expected, got 100");
  CHECK_FAILS(lur_layer_new(c, "flatten", SETTINGS(TEXT("name", "a"), TEXT("name", "b")), &bad), LUR_EARG,
              "'name' to 'flatten' is given twice");
  CHECK_FAILS(lur_layer_new(c, "conv2", NULL, 0, &bad), LUR_EARG,
              "unknown layer kind 'conv2' (did you mean 'conv2d'?)");
  CHECK_FAILS(lur_layer_new(c, "conv2d", SETTINGS(INT("filters", 3), INT("kernel", 3), INT("strides", 2)), &bad),
              LUR_EARG, "unknown option 'strides' to 'conv2d' (did you mean 'stride'?)");
  CHECK_FAILS(lur_layer_new(c, "conv2d", SETTINGS(INT("filters", 3)), &bad), LUR_EARG,
              "missing option 'kernel' to 'conv2d'");
  CHECK_FAILS(lur_layer_new(c, "concat", SETTINGS(INT("axis", 0)), &bad), LUR_EARG, "got 0");
  CHECK_FAILS(lur_layer_new(c, "reshape", SETTINGS(PAIR("shape", -1, -1)), &bad), LUR_EARG, "one -1 expected, got 2");
  CHECK(bad == NULL);
  lur_context_release(c);
}

static void test_format(void) {
  char text[128], tiny[10];
  lur_layer *conv = make("conv2d", SETTINGS(INT("filters", 32), INT("kernel", 3), TEXT("padding", "same")));
  lur_layer *flat = make("flatten", NULL, 0), *pool = make("max_pool", SETTINGS(INT("size", 3)));
  int length = lur_layer_format(conv, text, sizeof text);
  CHECK(strcmp(text, "conv2d{ filters = 32, kernel = {3,3}, padding = \"same\" }") == 0 && length == (int)strlen(text));
  CHECK(lur_layer_format(conv, tiny, sizeof tiny) == length && strcmp(tiny, "conv2d{ f") == 0);
  CHECK(lur_layer_format(conv, NULL, 0) == length);
  lur_layer_format(flat, text, sizeof text);
  CHECK(strcmp(text, "flatten{}") == 0);
  lur_layer_format(pool, text, sizeof text); /* the default stride is the size, and is saved */
  CHECK(strcmp(text, "max_pool{ size = {3,3}, stride = {3,3} }") == 0);
  lur_setting settings[16];
  int n = lur_layer_settings(pool, settings, 16);
  lur_layer *again = make("max_pool", settings, n);
  lur_layer_release(again);
  lur_layer_release(conv);
  lur_layer_release(flat);
  lur_layer_release(pool);
}

static void test_kinds(void) { /* every kind has a description, and so has each option */
  int n = lur_layer_kind_count();
  CHECK(n > 25);
  for (int i = 0; i < n; i++) {
    lur_option_info info[32];
    int options = lur_layer_kind_options(i, info, 32);
    CHECK(lur_layer_kind_help(i)[0] != '\0' && options >= 2 && options <= 32);
    CHECK(strcmp(info[options - 1].name, "trainable") == 0);
    for (int k = 0; k < options; k++) CHECK(info[k].help && info[k].help[0] != '\0');
    CHECK(lur_layer_type_find(lur_layer_kind_name(i)) == lur_layer_types[i]);
    CHECK(lur_layer_kind_options(i, NULL, 0) == options);
  }
}

/* ---- weights ---- */

static lur_layer *built_dense(lur_context *c, const char *name, int64_t in, int64_t units) {
  lur_layer *layer = make_in(c, "dense", SETTINGS(INT("units", units), TEXT("name", name)));
  CHECK_OK(lur_layer_build(layer, 1, &(lur_shape){1, {in}}));
  return layer;
}

static int same_values(const lur_layer *a, const lur_layer *b) {
  const lur_tensor *x = lur_layer_weight(a, 0), *y = lur_layer_weight(b, 0);
  return memcmp(lur_tensor_data(x), lur_tensor_data(y), lur_tensor_bytes(x)) == 0;
}

static void test_init_order(void) {
  lur_context *one = NULL, *two = NULL, *other = NULL;
  CHECK_OK(lur_context_new(5, 1, &one));
  CHECK_OK(lur_context_new(5, 2, &two));
  CHECK_OK(lur_context_new(6, 1, &other));
  lur_layer *a1 = built_dense(one, "a", 300, 300), *b1 = built_dense(one, "b", 300, 300);
  lur_layer *b2 = built_dense(two, "b", 300, 300), *a2 = built_dense(two, "a", 300, 300),
            *a3 = built_dense(other, "a", 300, 300);
  CHECK(same_values(a1, a2) && same_values(b1, b2)); /* other order, other number of threads */
  CHECK(!same_values(a1, b1) && !same_values(a1, a3));
  CHECK_OK(lur_tensor_fill(lur_layer_weight(a1, 0), 0));
  CHECK_OK(lur_layer_reset(a1));
  CHECK(same_values(a1, a2) && a1->weights[0].version == 2);
  lur_context_seed(one, 6);
  CHECK_OK(lur_layer_reset(a1));
  CHECK(same_values(a1, a3));
  lur_layer *all[] = {a1, b1, a2, b2, a3};
  for (int i = 0; i < 5; i++) lur_layer_release(all[i]);
  lur_context_release(one);
  lur_context_release(two);
  lur_context_release(other);
}

/* Largest magnitude and std of a layer's first weight. */
static void spread(const lur_layer *layer, double *largest, double *deviation) {
  const float *x = lur_tensor_data(lur_layer_weight(layer, 0));
  int64_t n = lur_shape_count(lur_tensor_shape(lur_layer_weight(layer, 0)));
  double squares = 0;
  *largest = 0;
  for (int64_t i = 0; i < n; i++) {
    *largest = fmax(*largest, fabs((double)x[i]));
    squares += (double)x[i] * (double)x[i];
  }
  *deviation = sqrt(squares / (double)n);
}

static void test_init_spread(void) {
  double largest, deviation;
  lur_layer *dense = built_dense(context, "glorot", 2048, 100); /* Keras: U(-L, L), L = sqrt(6 / (2048 + 100)) */
  spread(dense, &largest, &deviation);
  CHECK(largest <= 0.0528516 && largest > 0.0528 && fabs(deviation - 0.0528516 / sqrt(3)) < 2e-4);
  CHECK(dense->weights[0].decays && !dense->weights[1].decays && lur_layer_weight_learned(dense, 1));
  lur_layer_release(dense);
  lur_layer *he = make("conv2d", SETTINGS(INT("filters", 64), INT("kernel", 3), TEXT("init", "he_normal")));
  CHECK_OK(lur_layer_build(he, 1, &(lur_shape){3, {8, 8, 64}}));
  spread(he, &largest, &deviation); /* truncated at two std, which leaves 0.8796 of the std */
  double full = sqrt(2.0 / (9 * 64));
  CHECK(largest <= 2 * full && largest > 1.99 * full && fabs(deviation - 0.8796 * full) < 0.01 * full);
  lur_layer_release(he);
  lur_layer *normal = make("dense", SETTINGS(INT("units", 100), TEXT("init", "normal"), REAL("init_deviation", 0.001)));
  CHECK_OK(lur_layer_build(normal, 1, &(lur_shape){1, {500}}));
  spread(normal, &largest, &deviation);
  CHECK(fabs(deviation - 0.001) < 2e-5);
  lur_layer_release(normal);
}

static void test_weights(void) {
  lur_layer *dense = make("dense", SETTINGS(INT("units", 3), TEXT("name", "fc")));
  lur_tensor *good = NULL, *bad = NULL;
  CHECK_OK(lur_tensor_new(context, NULL, LUR_I32, &(lur_shape){2, {2, 3}}, &good));
  CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){2, {3, 2}}, &bad));
  CHECK_OK(lur_tensor_fill(good, 4));
  CHECK_FAILS(lur_layer_set_weight(dense, 0, good), LUR_EARG, "its weights are made when it is first applied");
  CHECK_OK(lur_layer_build(dense, 1, &(lur_shape){1, {2}}));
  CHECK(lur_layer_weight_count(dense) == 2 && strcmp(lur_layer_weight_name(dense, 1), "bias") == 0);
  CHECK_OK(lur_layer_set_weight(dense, 0, good)); /* i32 values become f32 */
  CHECK(((float *)lur_tensor_data(lur_layer_weight(dense, 0)))[5] == 4);
  uint64_t version = lur_weight_version(&dense->weights[0]);
  CHECK_OK(lur_layer_set_weight(dense, 0, good));
  CHECK(lur_weight_version(&dense->weights[0]) > version);
  version = lur_weight_version(&dense->weights[0]);
  CHECK_FAILS(lur_layer_set_weight(dense, 0, bad), LUR_ESHAPE, "dense 'fc': weight 'kernel' is 2x3, got 3x2");
  CHECK_FAILS(lur_layer_set_weight(dense, 2, good), LUR_EARG, "weight 2 of 2");
  lur_device *ref = NULL;
  CHECK_OK(lur_context_device(context, "ref", &ref));
  CHECK_OK(lur_weight_to(&dense->weights[0], ref));
  CHECK(lur_tensor_device(lur_layer_weight(dense, 0)) == ref && lur_weight_version(&dense->weights[0]) >= version);
  CHECK_OK(lur_layer_set_weight(dense, 0, good));
  lur_tensor_release(good);
  lur_tensor_release(bad);
  lur_layer_release(dense);
}

static void test_weight_shapes(void) {
  static const struct {
    const char *kind;
    lur_setting settings[3];
    int n;
    lur_shape sample;
    const char *names;
    int64_t parameters;
  } cases[] = {
      {"conv2d",
       {{.name = "filters", .type = LUR_INT, .integer = 64}, {.name = "kernel", .type = LUR_INT, .integer = 3}},
       2,
       {3, {149, 149, 32}},
       "kernel bias",
       18432 + 64},
      {"separable_conv2d",
       {{.name = "filters", .type = LUR_INT, .integer = 728},
        {.name = "kernel", .type = LUR_INT, .integer = 3},
        {.name = "use_bias", .type = LUR_BOOL}},
       3,
       {3, {37, 37, 256}},
       "depthwise_kernel pointwise_kernel",
       188672},
      {"depthwise_conv2d",
       {{.name = "kernel", .type = LUR_INT, .integer = 3}},
       1,
       {3, {9, 9, 5}},
       "depthwise_kernel bias",
       50},
      {"dense", {{.name = "units", .type = LUR_INT, .integer = 1000}}, 1, {1, {2048}}, "kernel bias", 2049000},
      {"batchnorm", {{0}}, 0, {3, {5, 5, 728}}, "gamma beta moving_mean moving_variance", 2912},
      {"batchnorm",
       {{.name = "scale", .type = LUR_BOOL}},
       1,
       {3, {5, 5, 728}},
       "beta moving_mean moving_variance",
       2184},
      {"batchnorm",
       {{.name = "scale", .type = LUR_BOOL}, {.name = "center", .type = LUR_BOOL}},
       2,
       {1, {10}},
       "moving_mean moving_variance",
       20},
      {"normalization", {{0}}, 0, {3, {5, 5, 3}}, "mean variance", 6}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    lur_layer *layer = make(cases[i].kind, cases[i].settings, cases[i].n);
    CHECK_OK(lur_layer_build(layer, 1, &cases[i].sample));
    char names[128] = "";
    int64_t parameters = 0;
    for (int w = 0; w < lur_layer_weight_count(layer); w++) {
      if (w) strcat(names, " ");
      strcat(names, lur_layer_weight_name(layer, w));
      parameters += lur_shape_count(lur_tensor_shape(lur_layer_weight(layer, w)));
    }
    CHECK(strcmp(names, cases[i].names) == 0 && parameters == cases[i].parameters);
    lur_layer_release(layer);
  }
}

/* ---- applications: shapes and messages ---- */

static lur_status apply(lur_layer *layer, int n, lur_node *const *x, lur_shape *shape) {
  lur_node *y = NULL;
  LUR_TRY(lur_layer_apply(layer, n, x, &y));
  *shape = *lur_node_shape(y);
  lur_node_release(y);
  return LUR_OK;
}

/* Applies a new layer to inputs of the given shapes and compares the output's shape as text. */
static void shape_case(const char *kind, const lur_setting *settings, int n, int ninputs, const lur_shape *inputs,
                       const char *want) {
  lur_node *x[3] = {NULL};
  lur_layer *layer = make(kind, settings, n);
  lur_shape got = {0};
  char text[LUR_SHAPE_TEXT], name[16];
  for (int i = 0; i < ninputs; i++) {
    snprintf(name, sizeof name, "in%d", i);
    x[i] = input(name, inputs[i]);
  }
  CHECK_OK(apply(layer, ninputs, x, &got));
  if (!CHECK(strcmp(lur_shape_format(&got, text), want) == 0))
    fprintf(stderr, "  %s gives %s, not %s\n", kind, text, want);
  for (int i = 0; i < ninputs; i++) lur_node_release(x[i]);
  lur_layer_release(layer);
}

static void test_shapes(void) {
  const lur_shape image = {3, {147, 74, 8}}, vector = {1, {10}};
  const lur_shape three[3] = {{3, {4, 4, 2}}, {3, {4, 4, 3}}, {3, {4, 4, 5}}}, equal[3] = {image, image, image};
  shape_case("conv2d", SETTINGS(INT("filters", 5), INT("kernel", 3), INT("stride", 2), TEXT("padding", "same")), 1,
             &image, "74x37x5");
  shape_case("conv2d", SETTINGS(INT("filters", 5), PAIR("kernel", 1, 7), TEXT("activation", "relu")), 1, &image,
             "147x68x5");
  shape_case("depthwise_conv2d", SETTINGS(INT("kernel", 3)), 1, &image, "145x72x8");
  shape_case("separable_conv2d", SETTINGS(INT("filters", 6), INT("kernel", 3), TEXT("padding", "same")), 1, &image,
             "147x74x6");
  shape_case("dense", SETTINGS(INT("units", 4), TEXT("activation", "softmax")), 1, &vector, "4");
  shape_case("dense", SETTINGS(INT("units", 4)), 1, &image, "147x74x4");
  shape_case("batchnorm", NULL, 0, 1, &image, "147x74x8");
  shape_case("normalization", NULL, 0, 1, &image, "147x74x8");
  shape_case("activation", SETTINGS(TEXT("function", "tanh")), 1, &image, "147x74x8");
  shape_case("activation", SETTINGS(TEXT("function", "linear")), 1, &vector, "10");
  shape_case("max_pool", SETTINGS(INT("size", 3), INT("stride", 2), TEXT("padding", "same")), 1, &image, "74x37x8");
  shape_case("avg_pool", NULL, 0, 1, &image, "73x37x8");
  shape_case("global_avg_pool", NULL, 0, 1, &image, "8");
  shape_case("global_max_pool", NULL, 0, 1, &image, "8");
  shape_case("add", NULL, 0, 3, equal, "147x74x8");
  shape_case("sub", NULL, 0, 2, equal, "147x74x8");
  shape_case("mul", NULL, 0, 3, equal, "147x74x8");
  shape_case("maximum", NULL, 0, 2, equal, "147x74x8");
  shape_case("concat", NULL, 0, 3, three, "4x4x10");
  shape_case("concat", SETTINGS(INT("axis", 1)), 2, equal, "294x74x8");
  shape_case("affine", SETTINGS(REAL("scale", 2), REAL("shift", -1)), 1, &vector, "10");
  shape_case("dropout", SETTINGS(REAL("rate", 0.5)), 1, &vector, "10");
  shape_case("normalize", NULL, 0, 1, &vector, "10");
  shape_case("flatten", NULL, 0, 1, &three[0], "32");
  shape_case("reshape", SETTINGS(PAIR("shape", 8, -1)), 1, &three[0], "8x4");
  shape_case("reduce", SETTINGS(TEXT("function", "max")), 1, &image, "147x74");
  shape_case("reduce", SETTINGS(TEXT("function", "sum"), INT("axis", 1), BOOLEAN("keep", true)), 1, &image, "1x74x8");
  shape_case("reduce", SETTINGS(TEXT("function", "mean"), INT("axis", 0)), 1, &image, "scalar");
  shape_case("reduce", SETTINGS(TEXT("op", "mean"), PAIR("axis", 1, 2)), 1, &image, "8");
  shape_case("reduce", SETTINGS(TEXT("op", "mean"), PAIR("axis", -1, 1), BOOLEAN("keep", true)), 1, &image, "1x74x1");
  const lur_shape matrices[2] = {{3, {4, 5, 6}}, {3, {4, 6, 7}}}, broadcast[2] = {{3, {4, 6, 5}}, {2, {6, 7}}};
  shape_case("matmul", NULL, 0, 2, matrices, "4x5x7");
  shape_case("matmul", SETTINGS(BOOLEAN("transpose_a", true)), 2, broadcast, "4x5x7");
  shape_case("permute", SETTINGS(((lur_setting){.name = "order", .type = LUR_INTS, .ints = {3, 1, 2}, .count = 3})), 1,
             &image, "8x147x74");
  shape_case("slice", SETTINGS(PAIR("from", 2, -4), PAIR("to", -2, -1)), 1, &image, "145x4x8");
  shape_case("slice", SETTINGS(INT("axis", -1), INT("to", 2)), 1, &image, "147x74x2");
  shape_case("pad", SETTINGS(INT("before", 3)), 1, &image, "153x80x8");
  shape_case("pad", SETTINGS(PAIR("before", 0, 0), PAIR("after", 1, 2), REAL("value", -1)), 1, &image, "148x76x8");
  shape_case("layernorm", NULL, 0, 1, &image, "147x74x8");
  shape_case("groupnorm", SETTINGS(INT("groups", 4), BOOLEAN("center", false)), 1, &image, "147x74x8");
  shape_case("upsample", NULL, 0, 1, &image, "294x148x8");
  shape_case("upsample", SETTINGS(PAIR("factor", 1, 3), TEXT("interpolation", "bilinear")), 1, &image, "147x222x8");
  shape_case("upsample", SETTINGS(PAIR("size", 20, 30)), 1, &image, "20x30x8");
  static const char *const plain[] = {"relu", "sigmoid", "tanh", "softmax", "square"};
  for (int i = 0; i < 5; i++) shape_case(plain[i], NULL, 0, 1, &image, "147x74x8");
}

/* What nodes without inputs, and those computed from them alone, look like; and shapes that broadcast. */
static void test_algebra(void) {
  lur_layer *parameter = make("parameter", SETTINGS(PAIR("shape", 3, 4), TEXT("name", "table"))),
            *constant = make("constant", SETTINGS(REAL("value", 2)));
  lur_layer *sum = make("add", SETTINGS(TEXT("name", "sum"))), *ratio = make("div", NULL, 0);
  lur_node *x = input("x", (lur_shape){2, {3, 4}}), *row = input("row", (lur_shape){1, {4}}), *p = NULL, *two = NULL,
           *scaled = NULL, *both = NULL, *wide = NULL;
  CHECK_OK(lur_layer_apply(parameter, 0, NULL, &p));
  CHECK_OK(lur_layer_apply(constant, 0, NULL, &two));
  CHECK(lur_node_unbatched(p) && lur_node_unbatched(two) && !lur_node_unbatched(x));
  CHECK(lur_node_shape(p)->ndim == 2 && lur_node_shape(p)->dim[1] == 4 && lur_node_shape(two)->ndim == 0);
  CHECK(lur_layer_weight_count(parameter) == 1 && strcmp(lur_layer_weight_name(parameter, 0), "value") == 0);
  CHECK_OK(lur_layer_apply(ratio, 2, (lur_node *[]){p, two}, &scaled));
  CHECK(lur_node_unbatched(scaled) && lur_shape_equal(lur_node_shape(scaled), lur_node_shape(p)));
  CHECK_OK(lur_layer_apply(sum, 2, (lur_node *[]){x, scaled}, &both));
  CHECK(!lur_node_unbatched(both));
  CHECK_OK(lur_layer_apply(ratio, 2, (lur_node *[]){row, x}, &wide));
  CHECK(lur_shape_equal(lur_node_shape(wide), lur_node_shape(x)));
  CHECK_FAILS(lur_layer_apply(sum, 2, (lur_node *[]){x, row}, &wide), LUR_ESHAPE,
              "add 'sum': input 1 is 3x4, input 2 is 4 (equal shapes expected; broadcast = true");
  CHECK_FAILS(lur_layer_apply(parameter, 1, &x, &wide), LUR_EARG,
              "parameter 'table': applied to 1 inputs (0 expected)");
  lur_node *nodes[] = {x, row, p, two, scaled, both, wide};
  for (int i = 0; i < 7; i++) lur_node_release(nodes[i]);
  lur_layer *layers[] = {parameter, constant, sum, ratio};
  for (int i = 0; i < 4; i++) lur_layer_release(layers[i]);
}

static void test_messages(void) {
  lur_shape shape;
  lur_node *wide = input("wide", (lur_shape){3, {19, 19, 728}}),
           *narrow = input("narrow", (lur_shape){3, {19, 19, 256}});
  lur_node *vector = input("vector", (lur_shape){1, {10}}), *tiny = input("tiny", (lur_shape){3, {2, 2, 728}}),
           *index = NULL;
  CHECK_OK(lur_index(context, "rows", &index));
  lur_layer *sep =
      make("separable_conv2d", SETTINGS(INT("filters", 4), INT("kernel", 3), TEXT("name", "block4_sepconv1")));
  CHECK_OK(apply(sep, 1, &wide, &shape));
  CHECK_FAILS(apply(sep, 1, &narrow, &shape), LUR_ESHAPE,
              "separable_conv2d 'block4_sepconv1': input has 256 channels, weights expect 728");
  CHECK_FAILS(apply(sep, 1, &vector, &shape), LUR_ESHAPE, "input is 10 per sample, 3 dimensions (h w c) expected");
  CHECK_FAILS(apply(sep, 1, &tiny, &shape), LUR_ESHAPE,
              "separable_conv2d 'block4_sepconv1': a window of 3 does not fit into 2");
  CHECK_FAILS(apply(sep, 1, &index, &shape), LUR_ESHAPE,
              "separable_conv2d 'block4_sepconv1': input is scalar per sample");
  CHECK_FAILS(apply(sep, 2, (lur_node *[]){wide, wide}, &shape), LUR_EARG, "block4_sepconv1");
  lur_layer *add = make("add", SETTINGS(TEXT("name", "add_3"))), *relu = make("relu", SETTINGS(TEXT("name", "act")));
  CHECK_FAILS(apply(add, 2, (lur_node *[]){wide, narrow}, &shape), LUR_ESHAPE,
              "add 'add_3': input 1 is 19x19x728, input 2 is 19x19x256 (equal shapes expected)");
  CHECK_FAILS(apply(relu, 1, &index, &shape), LUR_ETYPE, "relu 'act': input is i32, f32 expected");
  lur_layer *concat = make("concat", SETTINGS(INT("axis", 1), TEXT("name", "join"))),
            *gather = make("gather", SETTINGS(TEXT("name", "left")));
  CHECK_FAILS(
      apply(concat, 2, (lur_node *[]){wide, narrow}, &shape), LUR_ESHAPE,
      "concat 'join': input 1 is 19x19x728, input 2 is 19x19x256 (equal but for the joined dimension expected)");
  CHECK_OK(apply(gather, 2, (lur_node *[]){vector, index}, &shape));
  CHECK(shape.ndim == 1 && shape.dim[0] == 10);
  CHECK_FAILS(apply(gather, 2, (lur_node *[]){vector, wide}, &shape), LUR_ETYPE,
              "gather 'left': its second input must be an index");
  lur_layer *one_hot = make("one_hot", SETTINGS(INT("classes", 7), TEXT("name", "ids")));
  CHECK_OK(apply(one_hot, 1, &index, &shape));
  CHECK(shape.ndim == 1 && shape.dim[0] == 7);
  CHECK_FAILS(apply(one_hot, 1, &vector, &shape), LUR_ETYPE, "one_hot 'ids': its input is f32 (i32 class ids expected)");
  lur_layer *reshape = make("reshape", SETTINGS(PAIR("shape", 3, -1), TEXT("name", "fold")));
  CHECK_FAILS(apply(reshape, 1, &vector, &shape), LUR_ESHAPE,
              "reshape 'fold': a sample of 10 has 10 elements, they do not fill 3x-1");
  lur_layer *layers[] = {sep, add, relu, concat, gather, one_hot, reshape};
  for (int i = 0; i < 7; i++) lur_layer_release(layers[i]);
  lur_node *nodes[] = {wide, narrow, vector, tiny, index};
  for (int i = 0; i < 5; i++) lur_node_release(nodes[i]);
}

/* The structural kinds: what does not fit is named. */
static void test_structure_messages(void) {
  lur_shape shape;
  lur_layer *bad = NULL;
  lur_node *a = input("a", (lur_shape){2, {5, 6}}), *b = input("b", (lur_shape){3, {4, 7, 6}}),
           *vector = input("v", (lur_shape){1, {6}});
  lur_layer *product = make("matmul", SETTINGS(TEXT("name", "qk")));
  CHECK_FAILS(apply(product, 2, (lur_node *[]){a, b}, &shape), LUR_ESHAPE,
              "matmul 'qk': input 1 is 5x6 per sample, input 2 is 4x7x6 (the columns of input 1 as many as the rows of "
              "input 2 expected)");
  CHECK_FAILS(apply(product, 2, (lur_node *[]){a, vector}, &shape), LUR_ESHAPE, "at least 2 dimensions each");
  lur_layer *slice = make("slice", SETTINGS(PAIR("to", 9, 2), TEXT("name", "part")));
  CHECK_FAILS(apply(slice, 1, &a, &shape), LUR_ESHAPE,
              "slice 'part': from 1 to 9 along dimension 1, which has 5 elements");
  CHECK_FAILS(apply(slice, 1, &vector, &shape), LUR_ESHAPE,
              "'from' and 'to' have 2 elements, samples have 1 dimensions");
  const lur_setting three = {.name = "before", .type = LUR_INTS, .ints = {1, 2, 3}, .count = 3};
  lur_layer *pad = make("pad", SETTINGS(three, TEXT("name", "margin")));
  CHECK_FAILS(apply(pad, 1, &a, &shape), LUR_ESHAPE, "pad 'margin': 'before' and 'after' have 3 and 3 elements");
  lur_layer *norm = make("groupnorm", SETTINGS(INT("groups", 4), TEXT("name", "gn")));
  CHECK_FAILS(apply(norm, 1, &a, &shape), LUR_ESHAPE, "groupnorm 'gn': 6 channels cannot be divided into 4 groups");
  lur_layer *order = make("permute", SETTINGS(PAIR("order", 2, 1), TEXT("name", "swap")));
  CHECK_FAILS(apply(order, 1, &b, &shape), LUR_ESHAPE, "permute 'swap': input is 4x7x6 per sample, 2 dimensions");
  lur_layer *fold = make("reduce", SETTINGS(TEXT("op", "sum"), PAIR("axis", 1, 3), TEXT("name", "fold")));
  CHECK_FAILS(apply(fold, 1, &a, &shape), LUR_ESHAPE, "reduce 'fold': axis 3 of samples of 2 dimensions");
  CHECK_FAILS(lur_layer_new(context, "permute", SETTINGS(PAIR("order", 1, 1)), &bad), LUR_EARG,
              "bad option 'order' to 'permute' (each of 1 to 2 once expected, got 1x1)");
  CHECK_FAILS(lur_layer_new(context, "slice", SETTINGS(PAIR("from", 1, 1), INT("axis", 1)), &bad), LUR_EARG,
              "one 'from' and one 'to' expected with it, got 2 and 1");
  CHECK_FAILS(lur_layer_new(context, "reduce", SETTINGS(TEXT("op", "sum"), TEXT("function", "sum")), &bad), LUR_EARG,
              "given twice");
  lur_layer *layers[] = {product, slice, pad, norm, order, fold};
  for (int i = 0; i < 6; i++) lur_layer_release(layers[i]);
  lur_node *nodes[] = {a, b, vector};
  for (int i = 0; i < 3; i++) lur_node_release(nodes[i]);
}

int main(void) {
  CHECK_OK(lur_context_new(1, 2, &context));
  test_window();
  test_names();
  test_format();
  test_kinds();
  test_init_order();
  test_init_spread();
  test_weights();
  test_weight_shapes();
  test_shapes();
  test_algebra();
  test_messages();
  test_structure_messages();
  lur_context_release(context);
  return check_report("test_layer");
}
