/* test_keras3.c - Keras 3's weights files: .weights.h5, alone and inside a .keras archive, with the names of layers and
 * without them. */
#include "tests/c/weights.h"

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

int main(void) {
  folder_begin();
  CHECK_OK(lur_context_new(1, 1, &context));
  lur_model *model = make_chain(plain);
  test_keras3(model);
  lur_model_release(model);
  test_keras3_nested();
  lur_context_release(context);
  unlink(in_folder("k.weights.h5"));
  unlink(in_folder("k.keras"));
  CHECK(files_in_folder() == 0);
  folder_end();
  return check_report("keras3");
}
