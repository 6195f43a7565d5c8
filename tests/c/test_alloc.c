/* test_alloc.c - makes every allocation of each case fail in turn: the case must return LUR_ENOMEM and free everything,
 * and succeed when no allocation fails. It may also succeed after a failure, if the allocation was for the text of a
 * message that is not read. To add a case, write a function of LUR_TRY steps that puts what it makes into `held`, and
 * add a row to `cases`. */
#include <cJSON.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/lurcher.h"
#include "tests/c/check.h"
#include "tests/c/failing_alloc.h"

int fsync(int fd) { return fd < 0; } /* thousands of files are written: not to the disk */

enum { MOST = 16, SURVIVED = 4 };

/* The objects of a case, released in one place wherever the case stopped. */
typedef struct held {
  lur_context *context;
  lur_tensor *tensors[MOST];
  lur_layer *layers[MOST];
  lur_node *nodes[MOST];
  lur_model *models[3];
  lur_optimizer *optimizer;
  lur_run *run;
  lur_archive *archive;
  lur_dataset *datasets[3];
  lur_loader *loader;
  lur_cache *cache;
  lur_loaded loaded;
  lur_load_report report;
  char *text;
} held;

static void let_go(held *h) {
  for (int i = 0; i < MOST; i++) {
    lur_tensor_release(h->tensors[i]);
    lur_layer_release(h->layers[i]);
    lur_node_release(h->nodes[i]);
  }
  lur_loaded_free(&h->loaded);
  lur_loader_release(h->loader);
  lur_cache_release(h->cache);
  for (int i = 0; i < 3; i++) lur_dataset_release(h->datasets[i]);
  lur_load_report_free(&h->report);
  lur_archive_close(h->archive);
  lur_run_release(h->run);
  lur_optimizer_release(h->optimizer);
  for (int i = 0; i < 3; i++) lur_model_release(h->models[i]);
  lur_text_free(h->text);
  lur_context_release(h->context);
}

/* Files that cases write in the working folder of the test, and a folder of six images in two classes. */
static char file[64], old_file[64], keras_file[64], folder[64], image[128];

#define INT(key, value) ((lur_setting){.name = key, .type = LUR_INT, .integer = value, .real = (double)(value)})
#define TEXT(key, value) ((lur_setting){.name = key, .type = LUR_STRING, .string = value})

/* ---- cases ---- */

static lur_status tensors(held *h) {
  lur_tensor **t = h->tensors;
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_F32, &(lur_shape){2, {6, 4}}, &t[0]));
  LUR_TRY(lur_tensor_uniform(t[0], 0, 1));
  LUR_TRY(lur_tensor_view(t[0], 1, 4, &t[1]));
  LUR_TRY(lur_tensor_reshape(t[1], &(lur_shape){1, {-1}}, &t[2]));
  LUR_TRY(lur_tensor_clone(t[1], &t[3]));
  LUR_TRY(lur_tensor_cast(t[3], LUR_I32, &t[4]));
  LUR_TRY(lur_tensor_binary(LUR_T_ADD, t[3], t[4], &t[5]));
  LUR_TRY(lur_tensor_unary(LUR_T_EXP, t[4], &t[6]));
  LUR_TRY(lur_tensor_reduce(LUR_T_SUM, t[5], 0, &t[7]));
  LUR_TRY(lur_tensor_softmax(t[4], &t[8]));
  LUR_TRY(lur_tensor_transpose(t[1], &t[9]));
  LUR_TRY(lur_tensor_matmul(t[1], t[9], &t[10]));
  LUR_TRY(lur_tensor_concat(2, (lur_tensor *[]){t[1], t[3]}, 1, &t[11]));
  lur_device *ref = NULL;
  LUR_TRY(lur_context_device(h->context, "ref", &ref));
  LUR_TRY(lur_tensor_to(t[1], ref, &t[12]));
  return lur_tensor_cast(t[12], LUR_F16, &t[13]);
}

/* Parts, orders, ids and masks. */
static lur_status tensor_parts(held *h) {
  lur_tensor **t = h->tensors;
  const lur_slice slices[] = {{0, 3, 2, false}, {1, 1, 1, true}};
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_F32, &(lur_shape){2, {6, 4}}, &t[0]));
  LUR_TRY(lur_tensor_uniform(t[0], -1, 1));
  LUR_TRY(lur_tensor_slice(t[0], slices, &t[1]));
  LUR_TRY(lur_tensor_assign(t[0], slices, t[1]));
  LUR_TRY(lur_tensor_flip(t[0], 3, &t[2]));
  LUR_TRY(lur_tensor_tile(t[1], 2, (int64_t[]){2, 1}, &t[3]));
  LUR_TRY(lur_tensor_unary(LUR_T_ROUND, t[0], &t[4]));
  LUR_TRY(lur_tensor_where(t[4], t[0], t[2], &t[5]));
  LUR_TRY(lur_tensor_masked_select(t[0], t[4], &t[6]));
  LUR_TRY(lur_tensor_nonzero(t[4], &t[7]));
  LUR_TRY(lur_tensor_sort(t[0], 1, false, &t[8], &t[9]));
  LUR_TRY(lur_tensor_gather(t[0], t[9], 1, &t[10]));
  LUR_TRY(lur_tensor_one_hot(t[9], 4, &t[11]));
  LUR_TRY(lur_tensor_unique(t[4], &t[12], &t[13], &t[14]));
  return lur_tensor_clamp(t[0], 0, 1, &t[15]);
}

/* Reductions, running sums and products in batches off 64-byte boundaries. */
static lur_status tensor_folds(held *h) {
  lur_tensor **t = h->tensors;
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_F32, &(lur_shape){3, {2, 3, 5}}, &t[0]));
  LUR_TRY(lur_tensor_uniform(t[0], -1, 1));
  LUR_TRY(lur_tensor_reduce_over(LUR_T_STD, t[0], &(lur_reduce_options){.axes = 5, .keep = true, .ddof = 1}, &t[1]));
  LUR_TRY(lur_tensor_cumsum(t[0], 1, &t[2]));
  LUR_TRY(lur_tensor_topk(t[0], 2, 0, true, &t[3], &t[4]));
  LUR_TRY(lur_tensor_permute(t[0], (int[]){0, 2, 1}, &t[5]));
  LUR_TRY(lur_tensor_matmul(t[0], t[5], &t[6]));
  bool close = false;
  LUR_TRY(lur_tensor_allclose(t[0], t[1], 1, 1, true, &close));
  return lur_tensor_expand(t[1], &(lur_shape){3, {2, 3, 4}}, &t[8]);
}

static lur_status layer(held *h, int index, const char *kind, const lur_setting *settings, int n, int nx,
                        lur_node *const *x) {
  LUR_TRY(lur_layer_new(h->context, kind, settings, n, &h->layers[index]));
  return lur_layer_apply(h->layers[index], nx, x, &h->nodes[index]);
}

/* An image classifier: all allocations of building a model. */
static lur_status network(held *h) {
  lur_node **y = h->nodes;
  lur_setting conv[] = {INT("filters", 4), INT("kernel", 3), TEXT("padding", "same"), TEXT("name", "conv")};
  lur_setting separable[] = {INT("filters", 4), INT("kernel", 3), TEXT("padding", "same"), TEXT("activation", "relu")};
  lur_setting dense[] = {INT("units", 3), TEXT("activation", "softmax"), TEXT("name", "out")};
  lur_setting half = {.name = "rate", .type = LUR_REAL, .real = 0.5};
  LUR_TRY(lur_input(h->context, "image", LUR_F32, &(lur_shape){3, {6, 6, 2}}, &y[0]));
  LUR_TRY(layer(h, 1, "conv2d", conv, 4, 1, &y[0]));
  LUR_TRY(layer(h, 2, "batchnorm", NULL, 0, 1, &y[1]));
  LUR_TRY(layer(h, 3, "separable_conv2d", separable, 4, 1, &y[2]));
  LUR_TRY(layer(h, 4, "add", NULL, 0, 2, (lur_node *[]){y[3], y[1]}));
  LUR_TRY(layer(h, 5, "max_pool", NULL, 0, 1, &y[4]));
  LUR_TRY(layer(h, 6, "global_avg_pool", NULL, 0, 1, &y[5]));
  LUR_TRY(layer(h, 7, "dropout", &half, 1, 1, &y[6]));
  LUR_TRY(layer(h, 8, "dense", dense, 3, 1, &y[7]));
  return lur_model_new(h->context, 0, NULL, 1, (const char *[]){"out"}, &y[8], &h->models[0]);
}

static lur_status definition(held *h) {
  LUR_TRY(network(h));
  LUR_TRY(lur_layer_reset(h->layers[1]));
  LUR_TRY(lur_model_to_json(h->models[0], &h->text));
  return lur_model_from_json(h->context, h->text, &h->models[1]);
}

static lur_status compile(held *h) {
  lur_loss loss = {.output = "out", .kind = "categorical_crossentropy", .weight = 1};
  lur_compile_options options = {.nlosses = 1, .losses = &loss};
  LUR_TRY(network(h));
  LUR_TRY(lur_context_device(h->context, "ref", &options.device));
  LUR_TRY(lur_optimizer_new(h->context, "nadam", NULL, 0, &h->optimizer));
  options.optimizer = h->optimizer;
  return lur_model_compile(h->models[0], &options, &h->run);
}

/* Squared differences to one_hot targets, mixed by a weight of the loss's own. */
static lur_status squared_distance(held *h, lur_model **graph) {
  lur_node **y = h->nodes;
  lur_setting dense[] = {INT("units", 3), TEXT("name", "mixing")}, classes = INT("classes", 3);
  LUR_TRY(lur_input(h->context, "prediction", LUR_F32, &(lur_shape){1, {3}}, &y[9]));
  LUR_TRY(lur_input(h->context, "target", LUR_I32, &(lur_shape){0}, &y[10]));
  LUR_TRY(layer(h, 11, "dense", dense, 2, 1, &y[9]));
  LUR_TRY(layer(h, 12, "one_hot", &classes, 1, 1, &y[10]));
  LUR_TRY(layer(h, 13, "sub", NULL, 0, 2, (lur_node *[]){y[11], y[12]}));
  LUR_TRY(layer(h, 14, "square", NULL, 0, 1, &y[13]));
  return lur_loss_graph_new(y[9], y[10], y[14], graph);
}

static lur_status batch(held *h, lur_batch *b) {
  static const char *const names[] = {"image", "out"};
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_F32, &(lur_shape){4, {2, 6, 6, 2}}, &h->tensors[0]));
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_I32, &(lur_shape){1, {2}}, &h->tensors[1]));
  LUR_TRY(lur_tensor_normal(h->tensors[0], 0, 1));
  *b = (lur_batch){2, names, h->tensors};
  return LUR_OK;
}

static lur_status training(held *h) {
  lur_batch b;
  lur_results results;
  LUR_TRY(compile(h));
  LUR_TRY(batch(h, &b));
  LUR_TRY(lur_run_train(h->run, &b, &results));
  LUR_TRY(lur_run_evaluate(h->run, &b, &results));
  LUR_TRY(lur_run_predict(h->run, &b, &h->tensors[2]));
  LUR_TRY(lur_run_gradient(h->run, "conv", "kernel", &h->tensors[3]));
  return lur_run_describe(h->run, &h->text);
}

/* A convolution whose bytes a depthwise one writes, and one with a pass of its own. */
static lur_status bytes_network(held *h) {
  lur_node **y = h->nodes;
  lur_setting separable[] = {INT("filters", 4), INT("kernel", 3), TEXT("padding", "same"), TEXT("activation", "relu")};
  lur_setting conv[] = {INT("filters", 32), INT("kernel", 3)};
  LUR_TRY(lur_input(h->context, "image", LUR_F32, &(lur_shape){3, {6, 6, 2}}, &y[0]));
  LUR_TRY(layer(h, 1, "separable_conv2d", separable, 4, 1, &y[0]));
  LUR_TRY(layer(h, 2, "conv2d", conv, 2, 1, &y[1]));
  return lur_model_new(h->context, 0, NULL, 1, (const char *[]){"out"}, &y[2], &h->models[0]);
}

static lur_status int8(held *h) {
  lur_batch b;
  const char *layer = NULL;
  lur_compile_options options = {.precision = LUR_PRECISION_INT8};
  LUR_TRY(bytes_network(h));
  LUR_TRY(lur_context_device(h->context, "ref", &options.device));
  LUR_TRY(lur_model_compile(h->models[0], &options, &h->run));
  LUR_TRY(batch(h, &b));
  LUR_TRY(lur_run_calibrate(h->run, &b));
  LUR_TRY(lur_run_predict(h->run, &b, &h->tensors[2]));
  CHECK(lur_run_range_count(h->run) == 2);
  LUR_TRY(lur_run_get_range(h->run, 0, &layer, &h->tensors[3]));
  LUR_TRY(lur_run_recompile(h->run, &options));
  LUR_TRY(lur_run_set_range(h->run, layer, h->tensors[3]));
  LUR_TRY(lur_run_predict(h->run, &b, &h->tensors[4]));
  return lur_run_describe(h->run, &h->text);
}

static lur_status checkpoint(held *h) {
  lur_batch b;
  lur_results results;
  LUR_TRY(compile(h));
  LUR_TRY(batch(h, &b));
  LUR_TRY(lur_run_train(h->run, &b, &results));
  LUR_TRY(lur_run_save_with(h->run, file, "{}", 1, (const char *[]){"kept/x"}, h->tensors));
  LUR_TRY(lur_run_restore(h->run, file, &h->text));
  lur_text_free(h->text);
  h->text = NULL;
  return lur_model_load(h->context, file, &h->models[1], &h->text);
}

/* A loss that is a graph: trained, saved, restored, loaded. */
static lur_status custom_loss(held *h) {
  lur_batch b;
  lur_results results;
  lur_loss loss = {.output = "out", .weight = 1};
  lur_compile_options options = {.nlosses = 1, .losses = &loss};
  LUR_TRY(network(h));
  LUR_TRY(squared_distance(h, &h->models[1]));
  LUR_TRY(lur_context_device(h->context, "ref", &options.device));
  LUR_TRY(lur_optimizer_new(h->context, "adam", NULL, 0, &h->optimizer));
  options.optimizer = h->optimizer;
  loss.graph = h->models[1];
  LUR_TRY(lur_model_compile(h->models[0], &options, &h->run));
  LUR_TRY(batch(h, &b));
  LUR_TRY(lur_run_train(h->run, &b, &results));
  double norm = 0;
  LUR_TRY(lur_run_accumulate(h->run, &b, &results));
  LUR_TRY(lur_run_gradient_norm(h->run, "mixing", &norm));
  CHECK(norm > 0 && results.n == 2);
  LUR_TRY(lur_run_save(h->run, file, "{}"));
  LUR_TRY(lur_run_restore(h->run, file, &h->text));
  lur_text_free(h->text);
  h->text = NULL;
  LUR_TRY(lur_model_load(h->context, file, &h->models[2], NULL));
  CHECK(lur_model_loss_count(h->models[2]) == 1 && strcmp(lur_model_loss_output(h->models[2], 0), "out") == 0);
  loss = (lur_loss){.output = "out", .kind = "mae", .weight = 1};
  return lur_run_recompile(h->run, &options);
}

/* A checkpoint is saved over another one: whatever happens, the file is a checkpoint that loads. */
static lur_status overwritten(held *h) {
  LUR_TRY(compile(h));
  lur_status status = lur_run_save(h->run, old_file, "{\"epoch\":2}");
  bool spared = alloc_spare(true);
  lur_model *model = NULL;
  char *text = NULL;
  CHECK_OK(lur_model_load(h->context, old_file, &model, &text));
  CHECK(text != NULL && strncmp(text, "{\"epoch\":", 9) == 0);
  lur_model_release(model);
  lur_text_free(text);
  alloc_spare(spared);
  return status;
}

static lur_status archive(held *h) {
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_F32, &(lur_shape){2, {3, 4}}, &h->tensors[0]));
  LUR_TRY(lur_tensors_save(file, 1, (const char *[]){"x"}, h->tensors, 1, (const char *[]){"key", "value"}));
  LUR_TRY(lur_archive_open(h->context, file, &h->archive));
  return lur_archive_read(h->archive, 0, &h->tensors[1]);
}

static lur_status weights(held *h) {
  LUR_TRY(network(h));
  LUR_TRY(lur_model_save_weights(h->models[0], keras_file));
  LUR_TRY(lur_model_load_weights(h->models[0], keras_file, LUR_LOAD_AUTO, true, &h->report));
  lur_load_report_free(&h->report);
  h->report = (lur_load_report){0};
  LUR_TRY(lur_model_save_weights(h->models[0], file));
  return lur_model_load_weights(h->models[0], file, LUR_LOAD_BY_NAME, true, &h->report);
}

static lur_status images(held *h) {
  LUR_TRY(lur_image_load(h->context, image, NULL, &h->tensors[0]));
  LUR_TRY(lur_image_resize(h->tensors[0], 7, 5, LUR_RESIZE_BILINEAR, &h->tensors[1]));
  LUR_TRY(lur_image_resize(h->tensors[0], 7, 5, LUR_RESIZE_NEAREST, &h->tensors[2]));
  return lur_image_crop(h->tensors[0], 1, 1, 4, 4, &h->tensors[3]);
}

static lur_status encoding(held *h) {
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_F32, &(lur_shape){3, {9, 11, 3}}, &h->tensors[0]));
  for (int format = LUR_IMAGE_JPEG; format <= LUR_IMAGE_PNG; format++) {
    void *data = NULL;
    size_t count = 0;
    LUR_TRY(lur_image_encode(h->tensors[0], (lur_image_format)format, 80, &data, &count));
    free(data);
  }
  return LUR_OK;
}

static lur_status datasets(held *h) {
  LUR_TRY(lur_dataset_folder(folder, NULL, &h->datasets[0]));
  return lur_dataset_split(h->datasets[0], 0.3, 1, &h->datasets[1], &h->datasets[2]);
}

static lur_status load(held *h, int workers) {
  lur_loader_options options = {.height = 8, .width = 8, .workers = workers, .seed = 3};
  static const int64_t rows[4] = {0, 5, 1, 0}; /* 1 is a PNG */
  lur_load_field field = {"image", 4, rows};
  LUR_TRY(lur_dataset_folder(folder, NULL, &h->datasets[0]));
  LUR_TRY(lur_loader_new(h->context, h->datasets[0], &options, &h->loader));
  for (int i = 0; i < 2; i++) {
    lur_loaded_free(&h->loaded);
    h->loaded = (lur_loaded){0};
    LUR_TRY(lur_loader_push(h->loader, 1, &field));
    LUR_TRY(lur_loader_pop(h->loader, &h->loaded));
  }
  /* running out of memory must not be mistaken for a damaged image */
  return lur_loader_damage_count(h->loader) == 0 ? LUR_OK : lur_fail(LUR_ESTATE, "an image was called damaged");
}

static lur_status loader(held *h) { return load(h, -1); }
static lur_status threaded_loader(held *h) { return load(h, 2); }

/* Filled, in f16, mended and read. */
static lur_status feature_cache(held *h) {
  lur_tensor **t = h->tensors;
  uint64_t prints[2] = {1, 2};
  char path[96];
  snprintf(path, sizeof path, "%s/cache.features", folder);
  const lur_cache_options options = {
      .path = path, .key = "k", .store = LUR_F16, .row = {1, {3}}, .images = 2, .views = 1, .fingerprints = prints};
  lur_cache_state state;
  unlink(path);
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_I32, &(lur_shape){1, {2}}, &t[0]));
  LUR_TRY(lur_tensor_set(t[0], 1, 1));
  LUR_TRY(lur_tensor_new(h->context, NULL, LUR_F32, &(lur_shape){2, {2, 3}}, &t[1]));
  for (int i = 0; i < 2; i++, prints[1]++) {
    lur_cache_release(h->cache);
    h->cache = NULL;
    LUR_TRY(lur_cache_new(h->context, &options, &h->cache));
    LUR_TRY(lur_cache_open(h->cache, 0, &state));
    LUR_TRY(lur_cache_put(h->cache, t[0], t[0], t[1]));
    LUR_TRY(lur_cache_finish(h->cache, 1));
  }
  LUR_TRY(lur_cache_select(h->cache, t[0], &t[2]));
  LUR_TRY(lur_cache_index(h->cache, &t[3]));
  char text[LUR_HASH_TEXT];
  return lur_tensor_hash(t[1], text);
}

/* ---- files that the cases read ---- */

static lur_status make_images(void) {
  held h = {0};
  LUR_TRY(lur_context_new(1, 1, &h.context));
  lur_status status = lur_tensor_new(h.context, NULL, LUR_F32, &(lur_shape){3, {12, 10, 3}}, &h.tensors[0]);
  mkdir(folder, 0777);
  for (int i = 0; i < 6 && status == LUR_OK; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, i % 2 ? "pug" : "whippet");
    mkdir(path, 0777);
    snprintf(image, sizeof image, "%s/%s/%d.%s", folder, i % 2 ? "pug" : "whippet", i, i % 3 ? "jpg" : "png");
    status = lur_tensor_uniform(h.tensors[0], 0, 255);
    if (status == LUR_OK) status = lur_image_save(image, h.tensors[0], 0);
  }
  let_go(&h);
  return status;
}

static lur_status make_old_file(void) {
  held h = {0};
  lur_status status = lur_context_new(1, 1, &h.context);
  if (status == LUR_OK) status = compile(&h);
  if (status == LUR_OK) status = lur_run_save(h.run, old_file, "{\"epoch\":1}");
  let_go(&h);
  return status;
}

static void remove_files(void) {
  char command[400];
  snprintf(command, sizeof command, "rm -rf '%s' '%s' '%s' '%s'", file, old_file, keras_file, folder);
  CHECK(system(command) == 0);
}

/* ---- the loop ---- */

typedef lur_status case_fn(held *h);

static lur_status run_case(case_fn *fn) {
  held h = {0};
  lur_status status = lur_context_new(11, 1, &h.context);
  if (status == LUR_OK) status = fn(&h);
  let_go(&h);
  return status;
}

/* Returns the number of allocations of the case. */
static long fail_each(const char *name, case_fn *fn, bool from_then_on) {
  long before = alloc_live();
  int survived = 0;
  for (long n = 1; n < 20000; n++) {
    alloc_fail_at(n, from_then_on);
    lur_status status = run_case(fn);
    bool hit = alloc_failed();
    alloc_fail_at(0, false);
    if (hit && status == LUR_OK) survived++;
    int good = CHECK(status == LUR_OK || (hit && status == LUR_ENOMEM)) && CHECK(alloc_live() == before) &&
               CHECK(survived <= SURVIVED);
    if (!good) {
      fprintf(stderr, "  case %s, allocation %ld%s: %s (%s), %ld blocks left\n", name, n,
              from_then_on ? " and all after" : "", lur_status_name(status), lur_last_error(), alloc_live() - before);
      before = alloc_live();
    }
    if (!hit) return n - 1;
  }
  CHECK(false && "a case of fewer than 20000 allocations");
  return 0;
}

int main(int argc, char **argv) { /* argument: the name of the only case to run */
  static const struct {
    const char *name;
    case_fn *fn;
  } cases[] = {{"tensors", tensors},   {"tensor_parts", tensor_parts}, {"tensor_folds", tensor_folds},
               {"definition", definition},
               {"training", training}, {"custom loss", custom_loss}, {"checkpoint", checkpoint},
               {"overwritten", overwritten}, {"int8", int8},
               {"archive", archive},   {"weights", weights},
               {"images", images}, {"encoding", encoding}, {"datasets", datasets},
               {"loader", loader},     {"threaded_loader", threaded_loader},
               {"feature_cache", feature_cache}};
  snprintf(file, sizeof file, "test_alloc_%ld.safetensors", (long)getpid());
  snprintf(old_file, sizeof old_file, "test_alloc_%ld_old.safetensors", (long)getpid());
  snprintf(keras_file, sizeof keras_file, "test_alloc_%ld.h5", (long)getpid());
  snprintf(folder, sizeof folder, "test_alloc_%ld", (long)getpid());
  cJSON_InitHooks(&(cJSON_Hooks){malloc, free}); /* the wrapped ones: cJSON's allocations fail in turn too */
  CHECK_OK(make_images());
  CHECK_OK(make_old_file());
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (argc > 1 && strcmp(argv[1], cases[i].name) != 0) continue;
    CHECK_OK(run_case(cases[i].fn)); /* libraries now allocate what they never free */
    long n = fail_each(cases[i].name, cases[i].fn, false);
    fail_each(cases[i].name, cases[i].fn, true);
    printf("%s: %ld allocations\n", cases[i].name, n);
  }
  remove_files();
  return check_report("test_alloc");
}
