/* make.c - makes the seeds of checkpoint.c, weights.c and cache.c in the folder tests/fuzz/seeds.
 *   ninja fuzz_seeds && ./fuzz_seeds ../tests/fuzz/seeds
 * Files named crash_* were found by the fuzzers. */
#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "tests/fuzz/support/model.h"

static char folder[200];
static lur_context *context;

static void need(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "fuzz_seeds: %s: %s\n", what, lur_last_error());
  exit(1);
}
#define OK(call) need((call) == LUR_OK, #call)

static const char *seed(const char *name) {
  static char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

/* ---- the engine's own files ---- */

static void make_checkpoint(lur_model *model) {
  lur_run *run = small_run(context, model);
  OK(small_step(context, run));
  OK(lur_run_save(run, seed("checkpoint/run.safetensors"), "{\"epoch\":1}"));
  OK(lur_model_save_weights(model, seed("weights/own.safetensors")));
  OK(lur_model_save_weights(model, seed("weights/keras2.h5")));
  lur_run_release(run);
}

static void make_cache(const char *name, lur_dtype store) {
  lur_cache_state state;
  lur_cache *cache = small_cache(context, seed(name), store);
  lur_tensor *rows = small_numbers(context, SMALL_ROWS, SMALL_ROWS), *features = NULL;
  lur_tensor *images = small_numbers(context, SMALL_ROWS, SMALL_IMAGES);
  unlink(seed(name));
  OK(lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){2, {SMALL_ROWS, SMALL_ROW}}, &features));
  for (int i = 0; i < SMALL_ROWS * SMALL_ROW; i++) OK(lur_tensor_set(features, i, i));
  OK(lur_cache_open(cache, 0, &state));
  OK(lur_cache_put(cache, rows, images, features));
  OK(lur_cache_finish(cache, 1));
  lur_tensor_release(rows);
  lur_tensor_release(images);
  lur_tensor_release(features);
  lur_cache_release(cache);
}

/* ---- other programs' ---- */

typedef struct array {
  const char *group, *name; /* of Keras 3 */
  lur_shape keras;
  const char *torch_name;
  lur_shape torch;
} array;

static const array arrays[] = {
    {"conv2d", "0", {4, {2, 2, 2, 2}}, "features.0.weight", {4, {2, 2, 2, 2}}},
    {"conv2d", "1", {1, {2}}, "features.0.bias", {1, {2}}},
    {"batch_normalization", "0", {1, {2}}, "features.1.weight", {1, {2}}},
    {"batch_normalization", "1", {1, {2}}, "features.1.bias", {1, {2}}},
    {"batch_normalization", "2", {1, {2}}, "features.1.running_mean", {1, {2}}},
    {"batch_normalization", "3", {1, {2}}, "features.1.running_var", {1, {2}}},
    {"separable_conv2d", "0", {4, {2, 2, 2, 1}}, "features.2.conv1.weight", {4, {2, 1, 2, 2}}},
    {"separable_conv2d", "1", {4, {1, 1, 2, 3}}, "features.2.pointwise.weight", {4, {3, 2, 1, 1}}},
    {"separable_conv2d", "2", {1, {3}}, "features.2.bias", {1, {3}}},
    {"dense", "0", {2, {3, 3}}, "classifier.weight", {2, {3, 3}}},
    {"dense", "1", {1, {3}}, "classifier.bias", {1, {3}}}};
enum { ARRAYS = sizeof arrays / sizeof *arrays };

static void make_torch(void) {
  const char *names[ARRAYS];
  lur_tensor *tensors[ARRAYS];
  for (int i = 0; i < ARRAYS; i++) {
    names[i] = arrays[i].torch_name;
    OK(lur_tensor_new(context, NULL, LUR_F32, &arrays[i].torch, &tensors[i]));
    for (int64_t e = 0; e < lur_shape_count(&arrays[i].torch); e++) OK(lur_tensor_set(tensors[i], e, i));
  }
  OK(lur_tensors_save(seed("weights/torch.safetensors"), ARRAYS, names, tensors, 0, NULL));
  for (int i = 0; i < ARRAYS; i++) lur_tensor_release(tensors[i]);
}

/* below: the model used as a layer that all but the dense layer are in, or NULL. */
static void make_keras3(const char *path, const char *below) {
  static const float values[64];
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), links = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  H5Pset_create_intermediate_group(links, 1);
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  for (int i = 0; i < ARRAYS; i++) {
    hsize_t dims[4];
    char name[100];
    for (int k = 0; k < arrays[i].keras.ndim; k++) dims[k] = (hsize_t)arrays[i].keras.dim[k];
    bool inside = below != NULL && strcmp(arrays[i].group, "dense") != 0;
    snprintf(name, sizeof name, "/layers/%s%s%s/vars/%s", inside ? below : "", inside ? "/layers/" : "",
             arrays[i].group, arrays[i].name);
    hid_t space = H5Screate_simple(arrays[i].keras.ndim, dims, NULL);
    hid_t dataset = H5Dcreate2(file, name, H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT);
    need(dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, name);
    H5Dclose(dataset);
    H5Sclose(space);
  }
  H5Pclose(links);
  H5Pclose(access);
  need(H5Fclose(file) >= 0, path);
}

static void put32(unsigned char *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> 8 * i);
}

typedef struct member {
  const char *name;
  const unsigned char *bytes;
  uint32_t count;
} member;

/* A zip archive of uncompressed members: local headers and bytes, directory, end of directory. */
static void make_zip(int n, const member *members, const char *to) {
  unsigned char entries[4][46] = {{0}}, end[22] = {0};
  uint32_t at = 0, directory = 0;
  FILE *file = fopen(to, "wb");
  need(file != NULL, to);
  for (int i = 0; i < n; i++) {
    unsigned char local[30] = {0}, *entry = entries[i];
    uint32_t length = (uint32_t)strlen(members[i].name), count = members[i].count;
    put32(local, 0x04034b50);
    put32(entry, 0x02014b50);
    put32(entry + 42, at);
    for (int k = 0; k < 2; k++) {
      unsigned char *fields = k ? entry + 16 : local + 14;
      put32(fields, (uint32_t)crc32(0, members[i].bytes, count));
      put32(fields + 4, count);
      put32(fields + 8, count);
      put32(fields + 12, length);
    }
    fwrite(local, 1, sizeof local, file);
    fwrite(members[i].name, 1, length, file);
    fwrite(members[i].bytes, 1, count, file);
    at += (uint32_t)sizeof local + length + count;
    directory += (uint32_t)sizeof *entries + length;
  }
  for (int i = 0; i < n; i++) {
    fwrite(entries[i], 1, sizeof *entries, file);
    fwrite(members[i].name, 1, strlen(members[i].name), file);
  }
  put32(end, 0x06054b50);
  end[8] = end[10] = (unsigned char)n;
  put32(end + 12, directory);
  put32(end + 16, at);
  fwrite(end, 1, sizeof end, file);
  need(fclose(file) == 0, to);
}

static member whole_file(const char *path, const char *name) {
  static unsigned char bytes[1 << 16];
  FILE *file = fopen(path, "rb");
  need(file != NULL, path);
  uint32_t count = (uint32_t)fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  return (member){name, bytes, count};
}

/* A model used as a layer, whose layers only config.json names. */
static void make_nested(void) {
  static const char config[] =
      "{\"class_name\":\"Functional\",\"config\":{\"name\":\"m\",\"layers\":["
      "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"image\"}},"
      "{\"class_name\":\"Functional\",\"config\":{\"name\":\"backbone\",\"layers\":["
      "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"conv\"}},"
      "{\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"norm\"}},"
      "{\"class_name\":\"SeparableConv2D\",\"config\":{\"name\":\"sep\"}}]}},"
      "{\"class_name\":\"Dense\",\"config\":{\"name\":\"top\"}}]}}";
  char from[300];
  make_keras3(seed("weights/keras3_nested.weights.h5"), "functional");
  snprintf(from, sizeof from, "%s", seed("weights/keras3_nested.weights.h5"));
  const member members[] = {{"config.json", (const unsigned char *)config, sizeof config - 1},
                            whole_file(from, "model.weights.h5")};
  make_zip(2, members, seed("weights/keras3_nested.keras"));
}

/* Our own file with the first two metadata swapped, as by a program that orders keys in another way. */
static void make_resaved(const char *from, const char *to) {
  static const char first[] = "\"lurcher.checksum\":\"xxh3-128:", second[] = "\"lurcher.format\":\"1\"";
  member whole = whole_file(from, "");
  unsigned char *bytes = (unsigned char *)(uintptr_t)whole.bytes, text[100];
  size_t length = sizeof first - 1 + 32 + 1, next = sizeof second - 1;
  unsigned char *at = memmem(bytes, whole.count, first, sizeof first - 1);
  need(at != NULL, from);
  memcpy(text, at, length);
  memmove(at, at + length + 1, next);
  at[next] = ',';
  memcpy(at + next + 1, text, length);
  FILE *file = fopen(to, "wb");
  need(file != NULL && fwrite(bytes, 1, whole.count, file) == whole.count && fclose(file) == 0, to);
}

int main(int argc, char **argv) {
  need(argc == 2, "usage: fuzz_seeds FOLDER");
  char from[300];
  snprintf(folder, sizeof folder, "%s", argv[1]);
  OK(lur_context_new(1, 1, &context));
  lur_model *model = small_model(context);
  make_checkpoint(model);
  make_cache("cache/f32.cache", LUR_F32);
  make_cache("cache/f16.cache", LUR_F16);
  make_torch();
  make_keras3(seed("weights/keras3.weights.h5"), NULL);
  snprintf(from, sizeof from, "%s", seed("weights/keras3.weights.h5"));
  const member alone = whole_file(from, "model.weights.h5");
  make_zip(1, &alone, seed("weights/keras3.keras"));
  make_nested();
  snprintf(from, sizeof from, "%s", seed("weights/own.safetensors"));
  make_resaved(from, seed("weights/resaved.safetensors"));
  /* All of them can be loaded. */
  static const char *const files[] = {"weights/own.safetensors", "weights/keras2.h5", "weights/torch.safetensors",
                                      "weights/keras3.weights.h5", "weights/keras3.keras",
                                      "weights/keras3_nested.weights.h5", "weights/keras3_nested.keras",
                                      "weights/resaved.safetensors"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    OK(lur_model_load_weights(model, seed(files[i]), LUR_LOAD_AUTO, true, NULL));
  lur_model_release(model);
  lur_context_release(context);
  return 0;
}
