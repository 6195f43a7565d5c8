/* test_weights.c - weights files of other programs: the layout that Keras 1 and 2 share, written here with libhdf5,
 * PyTorch's names, and files that are damaged or of another kind. test_keras3.c has Keras 3's layout. To add a layout:
 * a table of groups like `whole`, and a test that loads it. */
#include "tests/c/weights.h"

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

/* What fits in several ways could be another layer's, and is not loaded: automatic names without a common start, and
   layers of one name in two models that are used as layers. */
static void test_ambiguous(void) {
  static const link_ links[] = {{"conv2d", "a", 4}, {"batchnorm", "batch_normalization_1", 0},
                                {"conv2d", "b", 4}, {"batchnorm", "batch_normalization_2", 0},
                                {"conv2d", "c", 4}, {NULL, NULL, 0}};
  static const group three[] = {CONV("a", 3, 4), NORM("batch_normalization_94", 4), NORM("batch_normalization_95", 4),
                                CONV("b", 4, 4), NORM("batch_normalization_96", 4), CONV("c", 4, 4), END};
  static const group twins[] = {CONV("a", 3, 4),
                                NORM("batch_normalization_1", 4),
                                NORM("batch_normalization_2", 4),
                                {"one", {{"b/kernel:0", 4, {3, 3, 4, 4}}, {"c/kernel:0", 4, {3, 3, 4, 5}}}},
                                {"two", {{"b/kernel:0", 4, {3, 3, 4, 4}}, {"c/kernel:0", 4, {3, 3, 4, 4}}}},
                                END};
  lur_model *model = make_chain(links);
  lur_load_report report = {0};
  CHECK_OK(lur_model_load_weights(model, write_keras("c.h5", three, FIXED), LUR_LOAD_AUTO, LUR_LOAD_MOST, &report));
  CHECK(report.loaded == 3 && report.missing == 2 && report.unused == 3);
  CHECK(strstr(report.text, "batchnorm: the file has 3 layers with automatic names, which fit the model's 2") != NULL);
  lur_load_report_free(&report);
  fill_model(model, -7);
  for (int by = LUR_LOAD_AUTO; by <= LUR_LOAD_BY_NAME; by++) {
    CHECK_OK(lur_model_load_weights(model, write_keras("c.h5", twins, FIXED), (lur_load_match)by, LUR_LOAD_MOST,
                                    &report));
    CHECK(report.loaded == 4 && strstr(report.text, "b: 2 layers of the file have this name and fit: not") != NULL);
    CHECK(weight_at(model, "b", 0, 0) == -7 && weight_at(model, "c", 0, 0) == 12); /* the one that fits */
    lur_load_report_free(&report);
  }
  lur_model_release(model);
}

/* A file of another network that shares a name or two with PyTorch's names of this one. */
static void test_other_network(void) {
  static const link_ links[] = {{"conv2d", "stem", 4},         {"batchnorm", "stem_bn", 0}, {"conv2d", "last", 6},
                                {"global_avg_pool", "pool", 0}, {"dense", "predictions", 3}, {NULL, NULL, 0}};
  static const lur_weight_name known[] = {
      {"conv1.weight", "stem/kernel"}, {"bn1.weight", "stem_bn/gamma"},       {"bn1.bias", "stem_bn/beta"},
      {"bn1.running_mean", "stem_bn/moving_mean"}, {"bn1.running_var", "stem_bn/moving_variance"},
      {"conv2.weight", "last/kernel"}, {"fc.weight", "predictions/kernel"},   {"fc.bias", "predictions/bias"}};
  static const char *const names[] = {"conv1.weight", "fc.weight", "fc.bias", "layer1.0.conv1.weight"};
  static const lur_shape shapes[] = {{4, {8, 3, 7, 7}}, {2, {3, 6}}, {1, {3}}, {4, {8, 8, 1, 1}}};
  enum { N = sizeof names / sizeof *names };
  lur_tensor *tensors[N];
  lur_model *model = make_chain(links);
  lur_load_report report = {0};
  for (int i = 0; i < N; i++) {
    CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &shapes[i], &tensors[i]));
    CHECK_OK(lur_tensor_fill(tensors[i], 1));
  }
  CHECK_OK(lur_tensors_save(in_folder("t.safetensors"), N, names, tensors, 0, NULL));
  CHECK_OK(lur_model_set_weight_names(model, sizeof known / sizeof *known, known));
  fill_model(model, -7);
  CHECK_FAILS(lur_model_load_weights(model, in_folder("t.safetensors"), LUR_LOAD_AUTO, LUR_LOAD_MOST, &report),
              LUR_ESHAPE, "only 1 of the model's 4 layers with weights can be loaded, 2 are missing, 1 have other");
  CHECK(all_are(model, -7));
  CHECK_OK(lur_model_load_weights(model, in_folder("t.safetensors"), LUR_LOAD_AUTO, LUR_LOAD_PARTIAL, &report));
  CHECK(report.loaded == 1 && weight_at(model, "predictions", 1, 0) == 1 && weight_at(model, "stem", 0, 0) == -7);
  lur_load_report_free(&report);
  for (int i = 0; i < N; i++) lur_tensor_release(tensors[i]);
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
  test_ambiguous();
  test_other_network();
  test_order();
  test_slashes();
  test_nested();
  test_save();
  test_torch();
  lur_model *model = make_chain(plain);
  test_other_files(model);
  test_truncation(model);
  test_noise(model);
  lur_model_release(model);
  lur_context_release(context);
  static const char *const made[] = {"a.h5", "b.h5",          "c.h5",   "d.h5",          "e.h5",
                                     "f.h5", "f.safetensors", "f.HDF5", "t.safetensors", "x.h5",
                                     "y.h5", "z.h5",          "n.h5"};
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) unlink(in_folder(made[i]));
  CHECK(files_in_folder() == 0);
  folder_end();
  return check_report("weights");
}
