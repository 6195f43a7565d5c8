/* test_option.c - option tables: every message in full, since users read them. */
#include "engine/base/option.h"
#include "tests/c/check.h"

typedef struct sample {
  int64_t filters, stride[2];
  double rate;
  bool bias;
  int padding;
  lur_shape shape;
  char label[LUR_OPTION_TEXT];
} sample;

static const char *const paddings[] = {"valid", "same", NULL};
static const lur_option table[] = {
    {.name = "filters", .type = LUR_OPT_INT, .offset = offsetof(sample, filters), .min = 1, .help = "output channels"},
    {.name = "stride", .type = LUR_OPT_PAIR, .offset = offsetof(sample, stride), .def = "1", .min = 1},
    {.name = "rate", .type = LUR_OPT_REAL, .offset = offsetof(sample, rate), .def = "0.1", .min = 0, .max = 1},
    {.name = "use_bias", .type = LUR_OPT_BOOL, .offset = offsetof(sample, bias), .def = "true"},
    {.name = "padding",
     .type = LUR_OPT_CHOICE,
     .offset = offsetof(sample, padding),
     .def = "valid",
     .choices = paddings},
    {.name = "shape",
     .type = LUR_OPT_SHAPE,
     .offset = offsetof(sample, shape),
     .def = "{4,-1}",
     .min = -1,
     .max = 1e12},
    {.name = "label", .type = LUR_OPT_TEXT, .offset = offsetof(sample, label), .def = "none"},
    {0}};
static const char *const skip[] = {"name", "trainable", NULL};

static lur_status read(const lur_setting *settings, int n, sample *options) {
  return lur_options_read("conv2d", table, settings, n, skip, options, sizeof *options);
}

/* One more setting beside filters, which is required. */
static lur_status with(lur_setting extra, sample *options) {
  lur_setting settings[2] = {{.name = "filters", .type = LUR_INT, .integer = 8, .real = 8}, extra};
  return read(settings, 2, options);
}

#define SAYS(call, text)                                                                                               \
  do {                                                                                                                 \
    CHECK_FAILS(call, LUR_EARG, text);                                                                                 \
    CHECK(strcmp(lur_last_error(), text) == 0);                                                                        \
  } while (0)

static void test_defaults(void) {
  sample o;
  CHECK_OK(read(&(lur_setting){.name = "filters", .type = LUR_INT, .integer = 8, .real = 8}, 1, &o));
  CHECK(o.filters == 8 && o.stride[0] == 1 && o.stride[1] == 1 && o.rate == 0.1 && o.bias && o.padding == 0);
  CHECK(o.shape.ndim == 2 && o.shape.dim[0] == 4 && o.shape.dim[1] == -1 && strcmp(o.label, "none") == 0);
}

typedef struct reduction {
  int64_t many;
  lur_shape axes;
} reduction;

static const char *const other_names[] = {"op", "many", "axis", "axes", NULL};
static const lur_option reduction_table[] = {
    {.name = "many", .type = LUR_OPT_INT, .offset = offsetof(reduction, many), .def = "1"},
    {.name = "axes", .type = LUR_OPT_INTS, .offset = offsetof(reduction, axes), .def = "-1", .min = -5, .max = 5},
    {.choices = other_names}};

static lur_status read_reduction(const lur_setting *settings, int n, reduction *options) {
  return lur_options_read("reduce", reduction_table, settings, n, NULL, options, sizeof *options);
}

/* One integer or a list, and one integer is saved as such. */
static void test_ints(void) {
  reduction o;
  lur_setting saved, list = {.name = "axes", .type = LUR_INTS, .ints = {1, -2}, .count = 2};
  CHECK_OK(read_reduction(NULL, 0, &o));
  CHECK(o.axes.ndim == 1 && o.axes.dim[0] == -1);
  CHECK_OK(read_reduction(&(lur_setting){.name = "axes", .type = LUR_INT, .integer = 3, .real = 3}, 1, &o));
  CHECK(o.axes.ndim == 1 && o.axes.dim[0] == 3);
  lur_option_get(&reduction_table[1], &o, &saved);
  CHECK(saved.type == LUR_INT && saved.integer == 3);
  CHECK_OK(read_reduction(&list, 1, &o));
  CHECK(o.axes.ndim == 2 && o.axes.dim[0] == 1 && o.axes.dim[1] == -2);
  lur_option_get(&reduction_table[1], &o, &saved);
  CHECK(saved.type == LUR_INTS && saved.count == 2 && saved.ints[1] == -2);
  list.ints[1] = 7;
  SAYS(read_reduction(&list, 1, &o), "bad option 'axes' to 'reduce' (integers from -5 to 5 expected, got {1,7})");
  SAYS(read_reduction(&(lur_setting){.name = "axes", .type = LUR_STRING, .string = "all"}, 1, &o),
       "bad option 'axes' to 'reduce' (integer or list of integers from -5 to 5 expected, got \"all\")");
}

/* Other names of options. */
static void test_other_names(void) {
  reduction o;
  const lur_setting twice[2] = {{.name = "op", .type = LUR_INT, .integer = 8, .real = 8},
                                {.name = "many", .type = LUR_INT, .integer = 8, .real = 8}};
  CHECK_OK(read_reduction(twice, 1, &o));
  CHECK(o.many == 8);
  SAYS(read_reduction(twice, 2, &o), "option 'many' to 'reduce' is given twice");
  SAYS(read_reduction(&(lur_setting){.name = "axis", .type = LUR_INT, .integer = 9, .real = 9}, 1, &o),
       "bad option 'axes' to 'reduce' (integer or list of integers from -5 to 5 expected, got 9)");
}

static void test_values(void) {
  sample o;
  lur_setting all[] = {{.position = 1, .type = LUR_REAL, .real = 64}, /* 64.0 is an integer */
                       {.position = 2, .type = LUR_INTS, .ints = {2, 3}, .count = 2},
                       {.name = "rate", .type = LUR_INT, .integer = 1, .real = 1},
                       {.name = "use_bias", .type = LUR_BOOL, .boolean = false},
                       {.name = "padding", .type = LUR_STRING, .string = "same"},
                       {.name = "shape", .type = LUR_INTS, .ints = {7}, .count = 1},
                       {.name = "label", .type = LUR_STRING, .string = "x"},
                       {.name = "trainable", .type = LUR_BOOL, .boolean = false}};
  CHECK_OK(read(all, 8, &o));
  CHECK(o.filters == 64 && o.stride[0] == 2 && o.stride[1] == 3 && o.rate == 1 && !o.bias && o.padding == 1);
  CHECK(o.shape.ndim == 1 && o.shape.dim[0] == 7 && strcmp(o.label, "x") == 0);
  CHECK_OK(with((lur_setting){.name = "stride", .type = LUR_INT, .integer = 2, .real = 2}, &o));
  CHECK(o.stride[0] == 2 && o.stride[1] == 2);
}

static void test_messages(void) {
  sample o;
  char long_text[200];
  memset(long_text, 'a', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = '\0';
  SAYS(with((lur_setting){.name = "stride", .type = LUR_STRING, .string = "2x"}, &o),
       "bad option 'stride' to 'conv2d' (positive integer expected, got \"2x\")");
  SAYS(with((lur_setting){.name = "stride", .type = LUR_INT, .integer = 0}, &o),
       "bad option 'stride' to 'conv2d' (positive integer expected, got 0)");
  SAYS(with((lur_setting){.name = "stride", .type = LUR_INTS, .ints = {1, 2, 3}, .count = 3}, &o),
       "bad option 'stride' to 'conv2d' (pair of positive integers expected, got {1,2,3})");
  SAYS(with((lur_setting){.name = "stride", .type = LUR_INT, .integer = INT64_C(1) << 40}, &o),
       "bad option 'stride' to 'conv2d' (positive integer expected, got 1099511627776)");
  SAYS(with((lur_setting){.name = "rate", .type = LUR_REAL, .real = 1.5}, &o),
       "bad option 'rate' to 'conv2d' (number from 0 to 1 expected, got 1.5)");
  SAYS(with((lur_setting){.name = "rate", .type = LUR_REAL, .real = -0.1}, &o),
       "bad option 'rate' to 'conv2d' (number from 0 to 1 expected, got -0.1)");
  SAYS(with((lur_setting){.name = "rate", .type = LUR_REAL, .real = 0.0 / 0.0}, &o),
       lur_last_error()); /* NaN prints with or without a sign; that it fails is enough */
  SAYS(with((lur_setting){.name = "use_bias", .type = LUR_INT, .integer = 1}, &o),
       "bad option 'use_bias' to 'conv2d' (true or false expected, got 1)");
  SAYS(with((lur_setting){.name = "padding", .type = LUR_STRING, .string = "sane"}, &o),
       "bad option 'padding' to 'conv2d' (\"valid\" or \"same\" expected, got \"sane\"; did you mean \"same\"?)");
  SAYS(with((lur_setting){.name = "padding", .type = LUR_BOOL, .boolean = true}, &o),
       "bad option 'padding' to 'conv2d' (\"valid\" or \"same\" expected, got true)");
  SAYS(with((lur_setting){.name = "shape", .type = LUR_INTS, .ints = {3, -2}, .count = 2}, &o),
       "bad option 'shape' to 'conv2d' (list of extents of at least -1 expected, got {3,-2})");
  CHECK_FAILS(with((lur_setting){.name = "label", .type = LUR_STRING, .string = long_text}, &o), LUR_EARG,
              "bad option 'label' to 'conv2d' (text of at most 127 bytes expected, got \"aaa");
  SAYS(with((lur_setting){.name = "strides", .type = LUR_INT, .integer = 1}, &o),
       "unknown option 'strides' to 'conv2d' (did you mean 'stride'?)");
  SAYS(with((lur_setting){.name = "trainble", .type = LUR_BOOL}, &o),
       "unknown option 'trainble' to 'conv2d' (did you mean 'trainable'?)");
  SAYS(with((lur_setting){.name = "zzz", .type = LUR_BOOL}, &o),
       "unknown option 'zzz' to 'conv2d' (filters, stride, rate, use_bias, padding, shape, label, name, trainable expected)");
  SAYS(with((lur_setting){.name = "filters", .type = LUR_INT, .integer = 4}, &o),
       "option 'filters' to 'conv2d' is given twice");
  SAYS(with((lur_setting){.position = 8, .type = LUR_INT, .integer = 4}, &o),
       "option number 8 to 'conv2d' (at most 7 options without a name expected)");
  SAYS(read(NULL, 0, &o), "missing option 'filters' to 'conv2d' (positive integer expected)");
  SAYS(read(&(lur_setting){.name = "filters", .type = LUR_REAL, .real = 2.5}, 1, &o),
       "bad option 'filters' to 'conv2d' (positive integer expected, got 2.5)");
}

static void test_nearest(void) {
  const char *const names[] = {"filters", "kernel", "stride", "padding", "size"};
  const struct {
    const char *given, *near;
  } cases[] = {{"filter", "filters"}, {"kernal", "kernel"}, {"stirde", "stride"}, {"sizes", "size"}, {"sie", "size"},
               {"pad", NULL},         {"x", NULL},          {"", NULL},           {"velocity", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *near = lur_nearest(cases[i].given, names, 5);
    CHECK(cases[i].near ? near && strcmp(near, cases[i].near) == 0 : near == NULL);
  }
}

static void test_format(void) {
  sample o;
  char text[256], tiny[8];
  CHECK_OK(with((lur_setting){.name = "stride", .type = LUR_INTS, .ints = {2, 1}, .count = 2}, &o));
  int length = lur_options_format(table, &o, false, text, sizeof text);
  CHECK(strcmp(text, "filters = 8, stride = {2,1}") == 0 && length == (int)strlen(text));
  CHECK(lur_options_format(table, &o, false, tiny, sizeof tiny) == length && strcmp(tiny, "filters") == 0);
  CHECK(lur_options_format(table, &o, false, NULL, 0) == length);
  lur_options_format(table, &o, true, text, sizeof text);
  CHECK(strcmp(text, "filters = 8, stride = {2,1}, rate = 0.1, use_bias = true, padding = \"valid\", shape = {4,-1}, "
                     "label = \"none\"") == 0);
}

static void test_round_trip(void) { /* what lur_option_get gives, lur_options_read takes */
  sample a, b;
  lur_setting settings[7];
  CHECK_OK(with((lur_setting){.name = "rate", .type = LUR_REAL, .real = 1.0 / 3}, &a));
  for (int i = 0; i < 7; i++) lur_option_get(&table[i], &a, &settings[i]);
  CHECK_OK(read(settings, 7, &b));
  char ta[256], tb[256];
  lur_options_format(table, &a, true, ta, sizeof ta);
  lur_options_format(table, &b, true, tb, sizeof tb);
  CHECK(strcmp(ta, tb) == 0 && a.rate == b.rate);
  lur_option_info info[3];
  CHECK(lur_options_info(table, info, 3) == 7 && strcmp(info[0].name, "filters") == 0 && info[0].def == NULL);
  CHECK(strcmp(info[1].type, "integer or pair") == 0 && strcmp(info[2].def, "0.1") == 0);
}

int main(void) {
  test_defaults();
  test_values();
  test_ints();
  test_other_names();
  test_messages();
  test_nearest();
  test_format();
  test_round_trip();
  return check_report("test_option");
}
