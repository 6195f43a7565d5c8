/* test_weights.c - weights files of other programs: Keras layouts written here with libhdf5, PyTorch's names, and files
 * that are damaged or of another kind. To add a layout: a table of groups like `whole`, and a test that loads it. */
#include <hdf5.h>

#include "engine/files/files.h"
#include "tests/c/folder.h"

static lur_context *context;

/* ---- models: a chain of layers ---- */

typedef struct link {
  const char *kind, *name;
  int filters;
} link_;

static lur_node *add_link(lur_node *x, const link_ *link) {
  lur_setting settings[4] = {{.name = "name", .type = LUR_STRING, .string = link->name}};
  int n = 1;
  bool dense = strcmp(link->kind, "dense") == 0;
  if (link->filters > 0)
    settings[n++] = (lur_setting){
        .name = dense ? "units" : "filters", .type = LUR_INT, .integer = link->filters, .real = link->filters};
  if (link->filters > 0 && !dense) {
    settings[n++] = (lur_setting){.name = "kernel", .type = LUR_INT, .integer = 3, .real = 3};
    settings[n++] = (lur_setting){.name = "use_bias", .type = LUR_BOOL, .boolean = false};
  }
  lur_layer *layer = NULL;
  lur_node *y = NULL;
  CHECK_OK(lur_layer_new(context, link->kind, settings, n, &layer));
  CHECK_OK(lur_layer_apply(layer, 1, &x, &y));
  lur_layer_release(layer);
  lur_node_release(x);
  return y;
}

static lur_model *make_chain(const link_ *links) {
  lur_node *x = NULL;
  lur_model *model = NULL;
  CHECK_OK(lur_input(context, "image", LUR_F32, &(lur_shape){3, {16, 16, 3}}, &x));
  for (; links->kind != NULL; links++) x = add_link(x, links);
  CHECK_OK(lur_model_new(context, 0, NULL, 1, (const char *[]){"out"}, &x, &model));
  lur_node_release(x);
  return model;
}

static const link_ plain[] = {{"conv2d", "conv2d_1", 4},
                              {"batchnorm", "batch_normalization_1", 0},
                              {"separable_conv2d", "sep", 6},
                              {"batchnorm", "sep_bn", 0},
                              {"conv2d", "conv2d_2", 5},
                              {"batchnorm", "batch_normalization_2", 0},
                              {"global_avg_pool", "avg_pool", 0},
                              {"dense", "predictions", 7},
                              {NULL, NULL, 0}};

static double weight_at(const lur_model *model, const char *layer, int weight, int64_t index) {
  double value = -1e30;
  int at = lur_model_find(model, layer);
  if (CHECK(at >= 0)) CHECK_OK(lur_tensor_get(lur_layer_weight(lur_model_layer(model, at), weight), index, &value));
  return value;
}

static void fill_model(lur_model *model, double value) {
  for (int i = 0; i < lur_model_layer_count(model); i++)
    for (int k = 0; k < lur_layer_weight_count(lur_model_layer(model, i)); k++)
      CHECK_OK(lur_tensor_fill(lur_layer_weight(lur_model_layer(model, i), k), value));
}

static bool all_are(lur_model *model, double value) {
  double found;
  for (int i = 0; i < lur_model_layer_count(model); i++)
    for (int k = 0; k < lur_layer_weight_count(lur_model_layer(model, i)); k++) {
      lur_tensor *weight = lur_layer_weight(lur_model_layer(model, i), k);
      for (int64_t e = 0; e < lur_shape_count(lur_tensor_shape(weight)); e++)
        if (lur_tensor_get(weight, e, &found) != LUR_OK || found != value) return false;
    }
  return true;
}

/* ---- files: Keras's layout, made with libhdf5 ---- */

typedef struct array {
  const char *name; /* relative to its group; NULL ends a layer */
  int ndim;
  hsize_t dims[4];
} array;

typedef struct group {
  const char *name;
  array arrays[8];
} group;

typedef enum style { FIXED = 0, VARIABLE = 1, SPLIT = 2, WHOLE = 4 } style;

static void put_list(hid_t object, const char *name, int n, const char *const *texts, style how) {
  if ((how & SPLIT) && n > 1) {
    char piece[64];
    snprintf(piece, sizeof piece, "%s0", name);
    put_list(object, piece, n / 2, texts, how & VARIABLE);
    snprintf(piece, sizeof piece, "%s1", name);
    put_list(object, piece, n - n / 2, texts + n / 2, how & VARIABLE);
    return;
  }
  enum { SIZE = 64 };
  char *fixed = calloc((size_t)n + 1, SIZE);
  for (int i = 0; i < n; i++) snprintf(fixed + i * SIZE, SIZE, "%s", texts[i]);
  hid_t space = H5Screate_simple(1, &(hsize_t){(hsize_t)n}, NULL), type = H5Tcopy(n == 0 ? H5T_IEEE_F64LE : H5T_C_S1);
  if (n > 0) H5Tset_size(type, how & VARIABLE ? H5T_VARIABLE : SIZE);
  if (n > 0 && (how & VARIABLE)) H5Tset_cset(type, H5T_CSET_UTF8);
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  CHECK(attribute >= 0);
  if (n > 0) CHECK(H5Awrite(attribute, type, how & VARIABLE ? (const void *)texts : (const void *)fixed) >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
  free(fixed);
}

/* Element e of the k-th array of the file is k + e / 1024. */
static void put_values(hid_t to, const array *what, int k) {
  hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(what->ndim, what->dims, NULL);
  H5Pset_create_intermediate_group(links, 1);
  hssize_t count = H5Sget_simple_extent_npoints(space);
  float *values = malloc((size_t)count * sizeof *values + 1);
  for (hssize_t e = 0; e < count; e++) values[e] = (float)k + (float)e / 1024;
  hid_t dataset = H5Dcreate2(to, what->name, H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT);
  CHECK(dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  H5Dclose(dataset);
  H5Sclose(space);
  H5Pclose(links);
  free(values);
}

static const char *write_keras(const char *name, const group *groups, style how) {
  const char *path = in_folder(name);
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
  hid_t top = how & WHOLE ? H5Gcreate2(root, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) : root;
  const char *names[32], *arrays[32];
  int n = 0, k = 0;
  for (; groups[n].name != NULL; n++) {
    names[n] = groups[n].name;
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t made = H5Gcreate2(top, names[n], links, H5P_DEFAULT, H5P_DEFAULT);
    H5Pclose(links);
    int m = 0;
    for (; groups[n].arrays[m].name != NULL; m++) {
      arrays[m] = groups[n].arrays[m].name;
      put_values(made, &groups[n].arrays[m], k++);
    }
    put_list(made, "weight_names", m, arrays, how & VARIABLE);
    H5Gclose(made);
  }
  put_list(top, "layer_names", n, names, how);
  if (top != root) H5Gclose(top);
  H5Gclose(root);
  H5Fclose(file);
  return path;
}

/* clang-format off */
#define CONV(name, in, out) {name, {{name "/kernel:0", 4, {3, 3, in, out}}}}
#define NORM(name, c) \
  {name, {{name "/gamma:0", 1, {c}}, {name "/beta:0", 1, {c}}, \
          {name "/moving_mean:0", 1, {c}}, {name "/moving_variance:0", 1, {c}}}}
#define SEP(name, in, out) \
  {name, {{name "/depthwise_kernel:0", 4, {3, 3, in, 1}}, {name "/pointwise_kernel:0", 4, {1, 1, in, out}}}}
#define DENSE(name, in, out) {name, {{name "/kernel:0", 2, {in, out}}, {name "/bias:0", 1, {out}}}}
#define EMPTY(name) {name, {{NULL, 0, {0}}}}
#define END {NULL, {{NULL, 0, {0}}}}
/* clang-format on */

static const group whole[] = {EMPTY("input_1"),
                              CONV("conv2d_1", 3, 4),
                              NORM("batch_normalization_1", 4),
                              SEP("sep", 4, 6),
                              NORM("sep_bn", 6),
                              CONV("conv2d_2", 6, 5),
                              NORM("batch_normalization_2", 5),
                              EMPTY("avg_pool"),
                              DENSE("predictions", 5, 7),
                              END};

static void test_layouts(void) {
  static const style styles[] = {FIXED, VARIABLE, SPLIT, WHOLE, VARIABLE | WHOLE, SPLIT | VARIABLE};
  lur_model *model = make_chain(plain);
  for (size_t i = 0; i < sizeof styles / sizeof *styles; i++) {
    lur_load_report report = {0};
    fill_model(model, -7);
    CHECK_OK(lur_model_load_weights(model, write_keras("a.h5", whole, styles[i]), LUR_LOAD_AUTO, true, &report));
    CHECK(report.loaded == 7 && report.missing + report.unused + report.mismatched == 0 &&
          strcmp(report.text, "") == 0);
    CHECK(weight_at(model, "conv2d_1", 0, 5) == 5. / 1024);
    CHECK(weight_at(model, "batch_normalization_1", 3, 2) == 4 + 2. / 1024);
    CHECK(weight_at(model, "sep", 1, 7) == 6 + 7. / 1024);
    CHECK(weight_at(model, "predictions", 1, 6) == 17 + 6. / 1024);
    lur_load_report_free(&report);
    CHECK_OK(lur_model_load_weights(model, in_folder("a.h5"), LUR_LOAD_BY_NAME, true, NULL));
    CHECK_OK(lur_model_load_weights(model, in_folder("a.h5"), LUR_LOAD_BY_ORDER, true, NULL));
  }
  lur_model_release(model);
}

static void test_report(void) {
  static const group other[] = {
      CONV("conv2d_1", 3, 4),           NORM("batch_normalization_1", 4), SEP("sep", 4, 6),     CONV("conv2d_2", 6, 5),
      NORM("batch_normalization_2", 5), DENSE("predictions", 5, 1000),    DENSE("extra", 2, 2), END};
  lur_model *model = make_chain(plain);
  lur_load_report report = {0};
  const char *path = write_keras("b.h5", other, FIXED);
  fill_model(model, -7);
  CHECK_FAILS(lur_model_load_weights(model, path, LUR_LOAD_AUTO, true, &report), LUR_ESHAPE,
              "1 layers are missing, 1 have other shapes; the first: sep_bn: missing in the file");
  CHECK(report.text == NULL && all_are(model, -7));
  CHECK_OK(lur_model_load_weights(model, path, LUR_LOAD_AUTO, false, &report));
  CHECK(report.loaded == 5 && report.missing == 1 && report.mismatched == 1 && report.unused == 1);
  CHECK(strcmp(report.text, "sep_bn: missing in the file\n"
                            "predictions: kernel 5x7 was expected, the file has 5x1000\n"
                            "extra: in the file, not in the model\n") == 0);
  CHECK(weight_at(model, "sep_bn", 0, 0) == -7 && weight_at(model, "predictions", 0, 0) == -7 &&
        weight_at(model, "sep", 0, 1) == 5 + 1. / 1024);
  lur_load_report_free(&report);
  lur_model_release(model);
}

/* The process that wrote the file had built another network before, so its counters start later. */
static void test_automatic_names(void) {
  static const group later[] = {
      CONV("conv2d_95", 3, 4), NORM("batch_normalization_95", 4), SEP("sep", 4, 6),           NORM("sep_bn", 6),
      CONV("conv2d_96", 6, 5), NORM("batch_normalization_96", 5), DENSE("predictions", 5, 7), END};
  static const group unsuffixed[] = {
      CONV("conv2d", 3, 4),   NORM("batch_normalization", 4),   SEP("sep", 4, 6),           NORM("sep_bn", 6),
      CONV("conv2d_1", 6, 5), NORM("batch_normalization_1", 5), DENSE("predictions", 5, 7), END};
  /* More layers of each kind than the model has, with names that fit by accident: batch_normalization_2 has 5 channels
     in both. */
  static const group longer[] = {NORM("batch_normalization_1", 9),
                                 CONV("conv2d_1", 3, 9),
                                 CONV("conv2d_2", 9, 3),
                                 NORM("batch_normalization_2", 5),
                                 CONV("conv2d_3", 3, 4),
                                 NORM("batch_normalization_3", 4),
                                 SEP("sep", 4, 6),
                                 NORM("sep_bn", 6),
                                 CONV("conv2d_4", 6, 5),
                                 NORM("batch_normalization_4", 5),
                                 DENSE("predictions", 5, 7),
                                 END};
  static const group cut[] = {CONV("conv2d_1", 3, 4), NORM("batch_normalization_1", 4), END};
  lur_model *model = make_chain(plain);
  lur_load_report report = {0};
  CHECK_OK(lur_model_load_weights(model, write_keras("c.h5", later, FIXED), LUR_LOAD_AUTO, true, &report));
  CHECK(report.loaded == 7 && weight_at(model, "conv2d_2", 0, 0) == 11 &&
        weight_at(model, "batch_normalization_2", 0, 0) == 12);
  CHECK(strstr(report.text, "conv2d_1 to conv2d_2: from 'conv2d_95' to 'conv2d_96' of the file") != NULL);
  lur_load_report_free(&report);
  CHECK_OK(lur_model_load_weights(model, write_keras("c.h5", unsuffixed, FIXED), LUR_LOAD_AUTO, true, NULL));
  CHECK(weight_at(model, "conv2d_1", 0, 0) == 0 && weight_at(model, "conv2d_2", 0, 0) == 11);
  CHECK_OK(lur_model_load_weights(model, write_keras("c.h5", longer, FIXED), LUR_LOAD_AUTO, true, &report));
  CHECK(weight_at(model, "conv2d_1", 0, 0) == 10 && weight_at(model, "batch_normalization_1", 0, 0) == 11);
  CHECK(weight_at(model, "batch_normalization_2", 0, 0) == 22 && report.unused == 4);
  lur_load_report_free(&report);
  CHECK_FAILS(lur_model_load_weights(model, write_keras("c.h5", cut, FIXED), LUR_LOAD_AUTO, LUR_LOAD_MOST, &report),
              LUR_EFORMAT, "only 2 of the model's 7 layers with weights can be loaded, 5 are missing, 0 have other");
  CHECK_OK(lur_model_load_weights(model, in_folder("c.h5"), LUR_LOAD_AUTO, LUR_LOAD_PARTIAL, &report));
  CHECK(report.loaded == 2 && report.missing == 5 && weight_at(model, "conv2d_1", 0, 0) == 0);
  lur_load_report_free(&report);
  lur_model_release(model);
}

static void test_order(void) {
  static const group renamed[] = {CONV("a", 3, 4), NORM("b", 4), SEP("c", 4, 6),   NORM("d", 6),
                                  CONV("e", 6, 5), NORM("f", 5), DENSE("g", 5, 7), END};
  static const group wrong[] = {CONV("a", 3, 4), NORM("b", 4), SEP("c", 4, 6),   NORM("d", 6),
                                CONV("e", 6, 5), NORM("f", 5), DENSE("g", 5, 8), END};
  static const group nothing[] = {EMPTY("input_1"), END};
  lur_model *model = make_chain(plain);
  lur_load_report report = {0};
  CHECK_OK(lur_model_load_weights(model, write_keras("d.h5", renamed, FIXED), LUR_LOAD_AUTO, true, &report));
  CHECK(report.loaded == 7 && strstr(report.text, "matched by order") != NULL &&
        weight_at(model, "predictions", 1, 0) == 17);
  lur_load_report_free(&report);
  fill_model(model, 3);
  CHECK_FAILS(lur_model_load_weights(model, in_folder("d.h5"), LUR_LOAD_BY_NAME, false, &report), LUR_ESHAPE,
              "none of the model's 7 layers with weights can be loaded (conv2d_1: missing in the file)");
  CHECK_FAILS(lur_model_load_weights(model, write_keras("d.h5", wrong, FIXED), LUR_LOAD_AUTO, false, &report),
              LUR_ESHAPE, "none of the model's");
  CHECK_FAILS(lur_model_load_weights(model, in_folder("d.h5"), LUR_LOAD_BY_ORDER, true, &report), LUR_ESHAPE,
              "predictions: kernel 5x7 was expected, the file has 5x8 (as 'g')");
  CHECK_FAILS(lur_model_load_weights(model, write_keras("d.h5", nothing, FIXED), LUR_LOAD_AUTO, false, &report),
              LUR_EFORMAT, "no layer with weights");
  CHECK_FAILS(lur_model_load_weights(model, write_keras("d.h5", whole + 2, FIXED), LUR_LOAD_BY_ORDER, false, &report),
              LUR_ESHAPE, "has 6 layers with weights and the model 7");
  CHECK(all_are(model, 3));
  lur_model_release(model);
}

/* A layer with a slash in its name is a group inside a group. */
static void test_slashes(void) {
  static const group slashed[] = {CONV("block/conv2d_1", 3, 4), NORM("block/bn_1", 4), SEP("block/sep", 4, 6), NORM("sep_bn", 6),
                                  CONV("conv2d_2", 6, 5), NORM("bn_2", 5), DENSE("top/predictions", 5, 7), END};
  static const group missing[] = {CONV("conv2d_1", 3, 4), END};
  lur_model *model = make_chain(plain);
  CHECK_OK(lur_model_load_weights(model, write_keras("e.h5", slashed, FIXED), LUR_LOAD_BY_ORDER, true, NULL));
  CHECK(weight_at(model, "sep", 1, 7) == 6 + 7. / 1024 && weight_at(model, "predictions", 1, 6) == 17 + 6. / 1024);
  hid_t file = H5Fopen(write_keras("e.h5", missing, FIXED), H5F_ACC_RDWR, H5P_DEFAULT);
  CHECK(H5Ldelete(file, "conv2d_1", H5P_DEFAULT) >= 0);
  H5Fclose(file);
  CHECK_FAILS(lur_model_load_weights(model, in_folder("e.h5"), LUR_LOAD_AUTO, false, NULL), LUR_EFORMAT,
              "layer_names lists a layer without a group, 'conv2d_1'");
  lur_model_release(model);
}

/* A backbone used as a layer: one flat group, the trainable arrays of the last part first, moving statistics last. */
static void test_nested(void) {
  static const group nested[] = {
      EMPTY("img_1"),
      {"backbone",
       {{"sep_bn/gamma:0", 1, {6}},
        {"sep_bn/beta:0", 1, {6}},
        {"sep/depthwise_kernel:0", 4, {3, 3, 4, 1}},
        {"sep/pointwise_kernel:0", 4, {1, 1, 4, 6}},
        {"sep_bn/moving_mean:0", 1, {6}},
        {"sep_bn/moving_variance:0", 1, {6}}}},
      {"predictions", {{"predictions_1/kernel:0", 2, {6, 7}}, {"predictions_1/bias:0", 1, {7}}}},
      END};
  static const link_ links[] = {{"conv2d", "stem", 4},       {"separable_conv2d", "sep", 6},
                                {"batchnorm", "sep_bn", 0},  {"global_avg_pool", "pool", 0},
                                {"dense", "predictions", 7}, {NULL, NULL, 0}};
  lur_model *model = make_chain(links);
  lur_load_report report = {0};
  CHECK_OK(lur_model_load_weights(model, write_keras("e.h5", nested, WHOLE), LUR_LOAD_AUTO, false, &report));
  CHECK(report.loaded == 3 && report.missing == 1 && report.unused == 0 &&
        strcmp(report.text, "stem: missing in the file\n") == 0);
  CHECK(weight_at(model, "sep_bn", 0, 0) == 0 && weight_at(model, "sep_bn", 2, 0) == 4 &&
        weight_at(model, "sep", 1, 0) == 3);
  CHECK(weight_at(model, "predictions", 1, 0) == 7);
  lur_load_report_free(&report);
  CHECK_FAILS(lur_model_load_weights(model, in_folder("e.h5"), LUR_LOAD_BY_ORDER, false, NULL), LUR_EUNSUPPORTED,
              "only be matched by name");
  lur_model_release(model);
}

/* Our own .h5 and .safetensors, loaded again; an odd layer name; a name that promises no format. */
static void test_save(void) {
  static const char *const files[] = {"f.h5", "f.safetensors", "f.HDF5"};
  lur_model *model = make_chain(plain);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    lur_load_report report = {0};
    const char *path = in_folder(files[i]);
    CHECK_OK(lur_model_load_weights(model, write_keras("a.h5", whole, FIXED), LUR_LOAD_AUTO, true, NULL));
    CHECK_OK(lur_model_save_weights(model, path));
    fill_model(model, 0);
    CHECK_OK(lur_model_load_weights(model, path, LUR_LOAD_BY_ORDER, true, &report));
    CHECK(report.loaded == 7 && report.unused == 0);
    CHECK(weight_at(model, "sep", 1, 7) == 6 + 7. / 1024 && weight_at(model, "predictions", 1, 6) == 17 + 6. / 1024);
    lur_load_report_free(&report);
  }
  CHECK_FAILS(lur_model_save_weights(model, in_folder("f.pth")), LUR_EARG, ".h5 or .safetensors");
  CHECK_FAILS(lur_model_save_weights(model, "/nowhere/f.h5"), LUR_EIO, "/nowhere/f.h5");
  lur_model_release(model);
}

/* ---- PyTorch's names ---- */

static void test_torch(void) {
  static const link_ links[] = {{"conv2d", "block1_conv1", 4},
                                {"batchnorm", "block1_conv1_bn", 0},
                                {"separable_conv2d", "block3_sepconv2", 5},
                                {"batchnorm", "block3_sepconv2_bn", 0},
                                {"conv2d", "conv2d_7", 6},
                                {"global_avg_pool", "pool", 0},
                                {"dense", "predictions", 3},
                                {NULL, NULL, 0}};
  static const struct {
    const char *name;
    lur_shape shape;
  } arrays[] = {{"bn1.bias", {1, {4}}},
                {"bn1.num_batches_tracked", {0, {0}}},
                {"bn1.running_mean", {1, {4}}},
                {"bn1.running_var", {1, {4}}},
                {"bn1.weight", {1, {4}}},
                {"block2.rep.4.conv1.weight", {4, {4, 1, 3, 3}}},
                {"block2.rep.4.pointwise.weight", {4, {5, 4, 1, 1}}},
                {"block2.rep.5.bias", {1, {5}}},
                {"block2.rep.5.running_mean", {1, {5}}},
                {"block2.rep.5.running_var", {1, {5}}},
                {"block2.rep.5.weight", {1, {5}}},
                {"block2.skip.weight", {4, {6, 5, 3, 3}}},
                {"conv1.weight", {4, {4, 3, 3, 3}}},
                {"fc.bias", {1, {3}}},
                {"fc.weight", {2, {3, 6}}},
                {"stranger.weight", {1, {2}}}};
  enum { N = sizeof arrays / sizeof *arrays };
  const char *names[N];
  lur_tensor *tensors[N];
  for (int i = 0; i < N; i++) {
    names[i] = arrays[i].name;
    CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &arrays[i].shape, &tensors[i]));
    for (int64_t e = 0; e < lur_shape_count(&arrays[i].shape); e++)
      CHECK_OK(lur_tensor_set(tensors[i], e, 1000. * i + (double)e));
  }
  CHECK_OK(lur_tensors_save(in_folder("t.safetensors"), N, names, tensors, 0, NULL));
  static const lur_weight_name known[] = {
      {"conv1.weight", "block1_conv1/kernel"}, {"bn1.weight", "block1_conv1_bn/gamma"}, {"bn1.bias", "block1_conv1_bn/beta"},
      {"bn1.running_mean", "block1_conv1_bn/moving_mean"}, {"bn1.running_var", "block1_conv1_bn/moving_variance"},
      {"block2.rep.4.conv1.weight", "block3_sepconv2/depthwise_kernel"},
      {"block2.rep.4.pointwise.weight", "block3_sepconv2/pointwise_kernel"},
      {"block2.rep.5.weight", "block3_sepconv2_bn/gamma"}, {"block2.rep.5.bias", "block3_sepconv2_bn/beta"},
      {"block2.rep.5.running_mean", "block3_sepconv2_bn/moving_mean"},
      {"block2.rep.5.running_var", "block3_sepconv2_bn/moving_variance"}, {"block2.skip.weight", "conv2d_2/kernel"},
      {"fc.weight", "predictions/kernel"}, {"fc.bias", "predictions/bias"}};
  const lur_weight_name flat = {"fc.weight", "predictions"};
  lur_model *model = make_chain(links);
  lur_load_report report = {0};
  CHECK_FAILS(lur_model_load_weights(model, in_folder("t.safetensors"), LUR_LOAD_AUTO, true, NULL), LUR_EFORMAT, "weight_names");
  CHECK_FAILS(lur_model_set_weight_names(model, 1, &flat), LUR_EARG, "LAYER/WEIGHT expected");
  CHECK_OK(lur_model_set_weight_names(model, 1, known));
  CHECK_OK(lur_model_set_weight_names(model, sizeof known / sizeof *known, known)); /* instead of the first */
  CHECK(lur_model_weight_name_count(model) == sizeof known / sizeof *known && strcmp(lur_model_weight_name(model, 0).file, "conv1.weight") == 0);
  CHECK_OK(lur_model_load_weights(model, in_folder("t.safetensors"), LUR_LOAD_AUTO, true, &report));
  CHECK(report.loaded == 6 && report.unused == 1 && strstr(report.text, "stranger.weight: in the file") != NULL);
  lur_load_report_free(&report);
  /* conv [h][w][in][out] = torch [out][in][h][w] at h 1, w 2, in 1, out 3 */
  CHECK(weight_at(model, "block1_conv1", 0, ((1 * 3 + 2) * 3 + 1) * 4 + 3) == 12000 + ((3 * 3 + 1) * 3 + 1) * 3 + 2);
  CHECK(weight_at(model, "block3_sepconv2", 0, (1 * 3 + 2) * 4 + 3) == 5000 + (3 * 3 + 1) * 3 + 2);
  CHECK(weight_at(model, "block3_sepconv2", 1, 2 * 5 + 4) == 6000 + 4 * 4 + 2);
  CHECK(weight_at(model, "predictions", 0, 5 * 3 + 2) == 14000 + 2 * 6 + 5 &&
        weight_at(model, "predictions", 1, 2) == 13002);
  CHECK(weight_at(model, "block1_conv1_bn", 0, 1) == 4001 && weight_at(model, "block1_conv1_bn", 1, 1) == 1);
  CHECK(weight_at(model, "block1_conv1_bn", 2, 1) == 2001 && weight_at(model, "block1_conv1_bn", 3, 1) == 3001);
  CHECK(weight_at(model, "conv2d_7", 0, 0) == 11000);
  CHECK_FAILS(lur_model_load_weights(model, in_folder("t.safetensors"), LUR_LOAD_BY_ORDER, false, NULL),
              LUR_EUNSUPPORTED, "does not keep the order");
  for (int i = 0; i < N; i++) lur_tensor_release(tensors[i]);
  lur_model_release(model);
}

/* ---- Keras 3: .weights.h5, alone and inside a .keras archive ---- */

typedef struct vars { /* the arrays of one layer; path NULL ends a list */
  const char *path, *layer;
  array arrays[5];
} vars;

/* clang-format off */
#define KERAS3_NORM(path, layer, c) {path, layer, {{"0", 1, {c}}, {"1", 1, {c}}, {"2", 1, {c}}, {"3", 1, {c}}}}
#define KERAS3_CONV(path, layer, in, out) {path, layer, {{"0", 4, {3, 3, in, out}}}}
#define KERAS3_DENSE(path, layer, in, out) {path, layer, {{"0", 2, {in, out}}, {"1", 1, {out}}}}
/* clang-format on */

/* names: write the attribute with the layer's name, as Keras does from 3.10 on. */
static const char *write_vars(const char *name, const vars *layers, bool names) {
  const char *path = in_folder(name);
  char inside[200];
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), links = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(links, 1);
  for (int k = 0; layers->path != NULL; layers++) {
    snprintf(inside, sizeof inside, "layers/%s/vars", layers->path);
    hid_t made = H5Gcreate2(file, inside, links, H5P_DEFAULT, H5P_DEFAULT);
    for (int m = 0; layers->arrays[m].name != NULL; m++) put_values(made, &layers->arrays[m], k++);
    if (names) put_list(made, "name", 1, &layers->layer, VARIABLE);
    H5Gclose(made);
  }
  H5Pclose(links);
  H5Fclose(file);
  return path;
}

static const char *write_keras3(const char *name, bool names) {
  static const vars layers[] = {
      KERAS3_NORM("batch_normalization", "batch_normalization", 4),
      KERAS3_NORM("batch_normalization_1", "sep_bn", 6),
      KERAS3_NORM("batch_normalization_2", "batch_normalization_1", 5),
      KERAS3_CONV("conv2d", "conv2d", 3, 4),
      KERAS3_CONV("conv2d_1", "conv2d_1", 6, 5),
      KERAS3_DENSE("dense", "predictions", 5, 7),
      {"separable_conv2d", "sep", {{"0", 4, {3, 3, 4, 1}}, {"1", 4, {1, 1, 4, 6}}}},
      {NULL, NULL, {{NULL, 0, {0}}}}};
  return write_vars(name, layers, names);
}

static void put32(unsigned char *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> 8 * i);
}

typedef struct member {
  const char *name;
  const unsigned char *bytes;
  size_t count;
} member;

static uint32_t crc_of(const member *from) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < from->count; i++) {
    crc ^= from->bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
  }
  return ~crc;
}

/* The bytes of a zip archive with uncompressed members; the caller frees them. */
static unsigned char *zip(int n, const member *members, size_t *total) {
  size_t directory = 0, entries = 0, at = 0;
  for (int i = 0; i < n; i++) {
    directory += 30 + strlen(members[i].name) + members[i].count;
    entries += 46 + strlen(members[i].name);
  }
  *total = directory + entries + 22;
  unsigned char *to = calloc(1, *total), *entry = to + directory, *end = to + directory + entries;
  for (int i = 0; i < n; i++) {
    size_t length = strlen(members[i].name);
    put32(to + at, 0x04034b50);
    put32(entry, 0x02014b50);
    put32(entry + 42, (uint32_t)at);
    for (int k = 0; k < 2; k++) {
      unsigned char *fields = k ? entry + 16 : to + at + 14;
      put32(fields, crc_of(&members[i]));
      put32(fields + 4, (uint32_t)members[i].count);
      put32(fields + 8, (uint32_t)members[i].count);
      put32(fields + 12, (uint32_t)length);
      memcpy(k ? entry + 46 : to + at + 30, members[i].name, length);
    }
    memcpy(to + at + 30 + length, members[i].bytes, members[i].count);
    at += 30 + length + members[i].count;
    entry += 46 + length;
  }
  put32(end, 0x06054b50);
  put32(end + 12, (uint32_t)entries);
  put32(end + 16, (uint32_t)directory);
  return to;
}

static void check_keras3(lur_model *model, const char *path) {
  fill_model(model, -7);
  CHECK_OK(lur_model_load_weights(model, path, LUR_LOAD_AUTO, true, NULL));
  CHECK(weight_at(model, "batch_normalization_1", 3, 1) == 3 + 1. / 1024 && weight_at(model, "sep_bn", 0, 0) == 4);
  CHECK(weight_at(model, "batch_normalization_2", 2, 0) == 10 && weight_at(model, "conv2d_1", 0, 0) == 12);
  CHECK(weight_at(model, "conv2d_2", 0, 0) == 13 && weight_at(model, "predictions", 1, 0) == 15 &&
        weight_at(model, "sep", 1, 0) == 17);
}

static void test_keras3(lur_model *model) {
  size_t count, total;
  check_keras3(model, write_keras3("k.weights.h5", true));
  check_keras3(model, write_keras3("k.weights.h5", false));
  CHECK_FAILS(lur_model_load_weights(model, in_folder("k.weights.h5"), LUR_LOAD_BY_ORDER, true, NULL), LUR_EUNSUPPORTED,
              "by name");
  unsigned char *bytes = read_file(in_folder("k.weights.h5"), &count);
  unsigned char *archive = zip(1, &(member){"model.weights.h5", bytes, count}, &total);
  write_file(in_folder("k.keras"), archive, total);
  check_keras3(model, in_folder("k.keras"));
  fill_model(model, -7);
  for (size_t i = 1; i < count; i += count / 50) { /* damage inside the member: its checksum fails */
    archive[46 + i] ^= 16;
    write_file(in_folder("k.keras"), archive, total);
    CHECK_FAILS(lur_model_load_weights(model, in_folder("k.keras"), LUR_LOAD_AUTO, true, NULL), LUR_EFORMAT,
                "checksum of 'model.weights.h5'");
    archive[46 + i] ^= 16;
  }
  for (size_t length = 4; length < total; length += 1 + total / 100) {
    write_file(in_folder("k.keras"), archive, length);
    CHECK(lur_model_load_weights(model, in_folder("k.keras"), LUR_LOAD_AUTO, true, NULL) == LUR_EFORMAT);
  }
  CHECK(all_are(model, -7));
  for (size_t i = total - 84; i < total; i++) { /* damage in the directory: an error, or a field that does not matter */
    archive[i] ^= 0xff;
    write_file(in_folder("k.keras"), archive, total);
    if (lur_model_load_weights(model, in_folder("k.keras"), LUR_LOAD_AUTO, true, NULL) == LUR_OK)
      check_keras3(model, in_folder("k.keras"));
    archive[i] ^= 0xff;
  }
  free(archive);
  free(bytes);
}

/* A backbone used as a layer, in files without names: its counters begin again. The outer model has a conv2d before it
   and one behind it. Sorted by counter, conv2d_10 comes after conv2d_2. */
static const link_ deep[] = {{"conv2d", "pre", 3},         {"conv2d", "c1", 4},
                             {"batchnorm", "b1", 0},       {"conv2d", "c2", 4},
                             {"batchnorm", "b2", 0},       {"conv2d", "post", 6},
                             {"global_avg_pool", "p", 0},  {"dense", "top", 7},
                             {NULL, NULL, 0}};
static const vars nested_vars[] = {KERAS3_DENSE("dense", "dense_9", 6, 7),
                                   KERAS3_NORM("functional/layers/batch_normalization_1", "b2", 4),
                                   KERAS3_NORM("functional/layers/batch_normalization", "b1", 4),
                                   KERAS3_CONV("functional/layers/conv2d_1", "c2", 4, 4),
                                   KERAS3_CONV("functional/layers/conv2d", "c1", 3, 4),
                                   KERAS3_CONV("conv2d", "pre", 3, 3),
                                   KERAS3_CONV("conv2d_1", "post", 4, 6),
                                   {NULL, NULL, {{NULL, 0, {0}}}}};

static void check_nested3(lur_model *model, const char *path) {
  lur_load_report report = {0};
  fill_model(model, -7);
  CHECK_OK(lur_model_load_weights(model, path, LUR_LOAD_AUTO, LUR_LOAD_ALL, &report));
  CHECK(report.loaded == 7 && report.unused == 0);
  CHECK(weight_at(model, "top", 0, 0) == 0 && weight_at(model, "b2", 0, 0) == 2 && weight_at(model, "b1", 3, 0) == 9);
  CHECK(weight_at(model, "c2", 0, 0) == 10 && weight_at(model, "c1", 0, 0) == 11);
  CHECK(weight_at(model, "pre", 0, 0) == 12 && weight_at(model, "post", 0, 0) == 13);
  lur_load_report_free(&report);
}

/* The archive's config.json names the layers, here in another order than the model's: they are matched by name. */
static void test_keras3_config(lur_model *model) {
  static const char config[] =
      "{\"class_name\":\"Functional\",\"config\":{\"name\":\"m\",\"layers\":["
      "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"image\"}},"
      "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"pre\"}},"
      "{\"class_name\":\"Conv2D\",\"module\":\"keras.src.ops.nn\",\"config\":{\"name\":\"operation\"}},"
      "{\"class_name\":\"Functional\",\"config\":{\"name\":\"backbone\",\"layers\":["
      "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"c1\"}},"
      "{\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"b2\"}},"
      "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"c2\"}},"
      "{\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"b1\"}}]}},"
      "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"post\"}},"
      "{\"class_name\":\"Dense\",\"config\":{\"name\":\"top\"}}]}}";
  size_t count, total;
  lur_load_report report = {0};
  unsigned char *bytes = read_file(write_vars("k.weights.h5", nested_vars, false), &count);
  const member members[] = {{"config.json", (const unsigned char *)config, sizeof config - 1},
                            {"model.weights.h5", bytes, count}};
  unsigned char *archive = zip(2, members, &total);
  write_file(in_folder("k.keras"), archive, total);
  CHECK_OK(lur_model_load_weights(model, in_folder("k.keras"), LUR_LOAD_BY_NAME, LUR_LOAD_ALL, &report));
  CHECK(report.loaded == 7 && strcmp(report.text, "") == 0);
  CHECK(weight_at(model, "b1", 0, 0) == 2 && weight_at(model, "b2", 0, 0) == 6 && weight_at(model, "c2", 0, 0) == 10);
  CHECK(weight_at(model, "post", 0, 0) == 13 && weight_at(model, "top", 1, 0) == 1);
  lur_load_report_free(&report);
  archive[30 + 11 + 20] ^= 1; /* in config.json */
  write_file(in_folder("k.keras"), archive, total);
  CHECK_FAILS(lur_model_load_weights(model, in_folder("k.keras"), LUR_LOAD_AUTO, LUR_LOAD_ALL, NULL), LUR_EFORMAT,
              "checksum of 'config.json'");
  free(archive);
  free(bytes);
}

/* Every layer has another name than here: loaded by position, as Keras loads its own files, but only if all fit; where
   a name says otherwise, the name counts. */
static void test_keras3_renamed(lur_model *model) {
  static const vars one[] = {KERAS3_DENSE("dense", "top", 6, 7), KERAS3_CONV("conv2d", "x", 3, 3),
                             {NULL, NULL, {{NULL, 0, {0}}}}};
  vars renamed[sizeof nested_vars / sizeof *nested_vars];
  char names[8][20];
  lur_load_report report = {0};
  memcpy(renamed, nested_vars, sizeof renamed);
  for (int i = 0; renamed[i].path != NULL; i++) {
    snprintf(names[i], sizeof names[i], "other_name_%c", 'a' + i);
    renamed[i].layer = names[i];
  }
  check_nested3(model, write_vars("k.weights.h5", renamed, true));
  renamed[0].layer = "top";
  check_nested3(model, write_vars("k.weights.h5", renamed, true));
  fill_model(model, -7);
  renamed[1].layer = "b1"; /* by position it is b2's */
  CHECK_FAILS(lur_model_load_weights(model, write_vars("k.weights.h5", renamed, true), LUR_LOAD_AUTO, LUR_LOAD_MOST,
                                     NULL), LUR_EFORMAT, "only 2 of the model's 7 layers");
  CHECK_FAILS(lur_model_load_weights(model, write_vars("k.weights.h5", one, true), LUR_LOAD_AUTO, LUR_LOAD_MOST, NULL),
              LUR_EFORMAT, "only 1 of the model's 7 layers");
  CHECK(all_are(model, -7));
  CHECK_OK(lur_model_load_weights(model, in_folder("k.weights.h5"), LUR_LOAD_AUTO, LUR_LOAD_PARTIAL, &report));
  CHECK(report.loaded == 1 && report.missing == 6 && report.unused == 1 && weight_at(model, "pre", 0, 0) == -7);
  lur_load_report_free(&report);
}

/* Two layers of the same shape, one in a nested model and one outside: either could be the other. */
static void test_keras3_ambiguous(void) {
  static const link_ links[] = {{"conv2d", "a", 3},          {"conv2d", "b", 3},    {"conv2d", "c", 5},
                                {"global_avg_pool", "p", 0}, {"dense", "top", 7},   {NULL, NULL, 0}};
  static const vars twice[] = {KERAS3_DENSE("dense", "", 5, 7), KERAS3_CONV("conv2d", "", 3, 3),
                               KERAS3_CONV("conv2d_1", "", 3, 5), KERAS3_CONV("functional/layers/conv2d", "", 3, 3),
                               {NULL, NULL, {{NULL, 0, {0}}}}};
  static const vars two[] = {KERAS3_DENSE("dense", "", 5, 7), KERAS3_CONV("functional/layers/conv2d", "", 3, 3),
                             KERAS3_CONV("functional_1/layers/conv2d", "", 3, 3),
                             KERAS3_CONV("functional_2/layers/conv2d", "", 3, 5), {NULL, NULL, {{NULL, 0, {0}}}}};
  lur_model *model = make_chain(links);
  lur_load_report report = {0};
  fill_model(model, -7);
  CHECK_OK(lur_model_load_weights(model, write_vars("k.weights.h5", twice, false), LUR_LOAD_AUTO, LUR_LOAD_PARTIAL,
                                  &report));
  CHECK(report.loaded == 1 && strstr(report.text, "conv2d: the file has no names, and its 3 layers fit") != NULL);
  CHECK(weight_at(model, "a", 0, 0) == -7 && weight_at(model, "c", 0, 0) == -7);
  lur_load_report_free(&report);
  /* Models of one class keep their order. */
  CHECK_OK(lur_model_load_weights(model, write_vars("k.weights.h5", two, false), LUR_LOAD_AUTO, LUR_LOAD_ALL, NULL));
  CHECK(weight_at(model, "a", 0, 0) == 2 && weight_at(model, "b", 0, 0) == 3 && weight_at(model, "c", 0, 0) == 4);
  lur_model_release(model);
}

static void test_keras3_nested(void) {
  lur_model *model = make_chain(deep);
  check_nested3(model, write_vars("k.weights.h5", nested_vars, false));
  CHECK_FAILS(lur_model_load_weights(model, in_folder("k.weights.h5"), LUR_LOAD_BY_NAME, LUR_LOAD_ALL, NULL),
              LUR_EUNSUPPORTED, "no names of layers");
  test_keras3_config(model);
  test_keras3_renamed(model);
  lur_model_release(model);
  test_keras3_ambiguous();
}

static void test_other_files(lur_model *model) {
  static const struct {
    const char *bytes;
    size_t count;
    const char *part;
  } files[] = {{"", 0, "it is empty"},
               {"<!DOCTYPE html><html>", 21, "it begins with \"<!DOCTYPE html><\""},
               {"\x89HDF\r\n\x1a\n", 8, "cut short"},
               {"\x89HDF\r\n\x1a\nand then nothing that HDF5 knows", 40, "superblock has version 97"},
               {"PK\3\4............", 16, "directory of a zip archive was expected at its end"},
               {"PK\3\4PK\5\6\0\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0\0\0", 26, "255 bytes were expected at byte 0"},
               {"PK\3\4PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 26, "zip archive without 'model.weights.h5'"},
               {"\xff\0\0\0\0\0\0\0{", 9, "state a header of 255"},
               {"\x02\0\0\0\0\0\0\0{}", 10, "no tensor"}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    write_file(in_folder("x.h5"), files[i].bytes, files[i].count);
    CHECK_FAILS(lur_model_load_weights(model, in_folder("x.h5"), LUR_LOAD_AUTO, false, NULL), LUR_EFORMAT,
                files[i].part);
    CHECK(strstr(lur_last_error(), "x.h5") != NULL && strchr(lur_last_error(), '\n') == NULL);
  }
  CHECK_FAILS(lur_model_load_weights(model, in_folder("absent.h5"), LUR_LOAD_AUTO, false, NULL), LUR_EIO,
              "absent.h5': No such file");
  CHECK_FAILS(lur_model_load_weights(model, test_folder, LUR_LOAD_AUTO, false, NULL), LUR_EIO, "a folder");
  hid_t file = H5Fcreate(in_folder("y.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  CHECK_FAILS(lur_model_load_weights(model, in_folder("y.h5"), LUR_LOAD_AUTO, false, NULL), LUR_EFORMAT,
              "layer_names was expected");
}

/* Truncated to many lengths: always an error, never a partial load. */
static void test_truncation(lur_model *model) {
  size_t count;
  unsigned char *bytes = read_file(write_keras("a.h5", whole, FIXED), &count);
  for (size_t length = 0; length < count; length += 97) {
    write_file(in_folder("z.h5"), bytes, length);
    fill_model(model, 5);
    CHECK(lur_model_load_weights(model, in_folder("z.h5"), LUR_LOAD_AUTO, true, NULL) == LUR_EFORMAT);
    CHECK(all_are(model, 5) && strchr(lur_last_error(), '\n') == NULL);
  }
  free(bytes);
}

/* Random bytes changed, the same in every run: an error or a complete load, never a partial one. */
enum { NOISY_FILES = 300 };

static void test_noise(lur_model *model) {
  size_t count;
  unsigned char *bytes = read_file(write_keras("a.h5", whole, VARIABLE | SPLIT), &count), *noisy = malloc(count);
  uint64_t state = 12345;
  int loads = 0;
  for (int tries = 0; tries < NOISY_FILES; tries++) {
    memcpy(noisy, bytes, count);
    for (int i = 0; i <= tries % 4; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      size_t at = (size_t)(state >> 33) % (tries % 2 ? count : count < 6000 ? count : 6000); /* structures are first */
      noisy[at] = (unsigned char)(state >> 20);
    }
    write_file(in_folder("n.h5"), noisy, count);
    fill_model(model, 5);
    if (lur_model_load_weights(model, in_folder("n.h5"), LUR_LOAD_AUTO, true, NULL) == LUR_OK)
      loads++;
    else
      CHECK(all_are(model, 5) && lur_last_error()[0] != '\0' && strchr(lur_last_error(), '\n') == NULL);
  }
  printf("weights: %d noisy files, %d still loaded\n", NOISY_FILES, loads);
  free(bytes);
  free(noisy);
}

int main(void) {
  folder_begin();
  CHECK_OK(lur_context_new(1, 1, &context));
  test_layouts();
  test_report();
  test_automatic_names();
  test_order();
  test_slashes();
  test_nested();
  test_save();
  test_torch();
  test_keras3_nested();
  lur_model *model = make_chain(plain);
  test_other_files(model);
  test_keras3(model);
  test_truncation(model);
  test_noise(model);
  lur_model_release(model);
  lur_context_release(context);
  static const char *const made[] = {"a.h5", "b.h5",          "c.h5",   "d.h5",          "e.h5",
                                     "f.h5", "f.safetensors", "f.HDF5", "t.safetensors", "x.h5",
                                     "y.h5", "z.h5",          "n.h5",   "k.weights.h5",  "k.keras"};
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) unlink(in_folder(made[i]));
  CHECK(files_in_folder() == 0);
  folder_end();
  return check_report("weights");
}
