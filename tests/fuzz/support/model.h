/* model.h - the small model into which fuzzers load weights and checkpoints, and the settings of their caches. The
 * seeds in tests/fuzz/seeds/ belong to them: run tests/fuzz/seeds/make.c again after a change. */
#ifndef LUR_FUZZ_MODEL_H
#define LUR_FUZZ_MODEL_H

#include <stdlib.h>

#include "engine/lurcher.h"

/* image h 4 w 4 c 2: conv2d, batchnorm, separable_conv2d, global pooling, dense of 3. */
static const char small_definition[] =
    "{\"format\":\"lurcher-model\",\"version\":1,\"layers\":["
    "{\"name\":\"x\",\"kind\":\"input\",\"trainable\":true,\"options\":{\"shape\":[4,4,2],\"dtype\":\"f32\"}},"
    "{\"name\":\"conv\",\"kind\":\"conv2d\",\"trainable\":true,\"options\":{\"filters\":2,\"kernel\":[2,2]}},"
    "{\"name\":\"norm\",\"kind\":\"batchnorm\",\"trainable\":true,\"options\":{}},"
    "{\"name\":\"sep\",\"kind\":\"separable_conv2d\",\"trainable\":true,\"options\":{\"filters\":3,\"kernel\":[2,2]}},"
    "{\"name\":\"pool\",\"kind\":\"global_avg_pool\",\"trainable\":true,\"options\":{}},"
    "{\"name\":\"out\",\"kind\":\"dense\",\"trainable\":true,\"options\":{\"units\":3,\"activation\":\"softmax\"}}],"
    "\"nodes\":[{\"layer\":0,\"inputs\":[]},{\"layer\":1,\"inputs\":[0]},{\"layer\":2,\"inputs\":[1]},"
    "{\"layer\":3,\"inputs\":[2]},{\"layer\":4,\"inputs\":[3]},{\"layer\":5,\"inputs\":[4]}],"
    "\"inputs\":[0],\"outputs\":[{\"name\":\"y\",\"node\":5}]}";

/* The model's weights in a PyTorch state dict. */
static const lur_weight_name small_names[] = {
    {"features.0.weight", "conv/kernel"},          {"features.0.bias", "conv/bias"},
    {"features.1.weight", "norm/gamma"},           {"features.1.bias", "norm/beta"},
    {"features.1.running_mean", "norm/moving_mean"}, {"features.1.running_var", "norm/moving_variance"},
    {"features.2.conv1.weight", "sep/depthwise_kernel"}, {"features.2.pointwise.weight", "sep/pointwise_kernel"},
    {"features.2.bias", "sep/bias"},               {"classifier.weight", "out/kernel"},
    {"classifier.bias", "out/bias"}};

static inline lur_model *small_model(lur_context *context) {
  lur_model *model = NULL;
  if (lur_model_from_json(context, small_definition, &model) != LUR_OK ||
      lur_model_set_weight_names(model, sizeof small_names / sizeof *small_names, small_names) != LUR_OK)
    abort();
  return model;
}

/* A run of it with an optimizer that keeps all that a checkpoint can hold. */
static inline lur_run *small_run(lur_context *context, lur_model *model) {
  lur_loss loss = {"y", "categorical_crossentropy", 1, 0, NULL};
  lur_compile_options options = {.nlosses = 1, .losses = &loss};
  lur_run *run = NULL;
  if (lur_context_device(context, "cpu", &options.device) != LUR_OK ||
      lur_optimizer_new(context, "nadam", NULL, 0, &options.optimizer) != LUR_OK ||
      lur_model_compile(model, &options, &run) != LUR_OK)
    abort();
  lur_optimizer_release(options.optimizer);
  return run;
}

/* One step on two images. */
static inline lur_status small_step(lur_context *context, lur_run *run) {
  static const char *const names[] = {"x", "y"};
  lur_tensor *tensors[2] = {NULL, NULL};
  lur_results results;
  if (lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){4, {2, 4, 4, 2}}, &tensors[0]) != LUR_OK ||
      lur_tensor_new(context, NULL, LUR_I32, &(lur_shape){1, {2}}, &tensors[1]) != LUR_OK)
    abort();
  for (int i = 0; i < 64; i++)
    if (lur_tensor_set(tensors[0], i, i % 7) != LUR_OK) abort();
  lur_status status = lur_run_train(run, &(lur_batch){2, names, tensors}, &results);
  lur_tensor_release(tensors[0]);
  lur_tensor_release(tensors[1]);
  return status;
}

/* Two views of three images, four values each; the images cannot be read, so that their fingerprints are 0. */
enum { SMALL_IMAGES = 3, SMALL_VIEWS = 2, SMALL_ROW = 4, SMALL_ROWS = SMALL_IMAGES * SMALL_VIEWS };
static inline lur_cache *small_cache(lur_context *context, const char *path, lur_dtype store) {
  static const uint64_t fingerprints[SMALL_IMAGES];
  lur_cache_options options = {.path = path,
                               .key = "fuzz",
                               .store = store,
                               .row = {1, {SMALL_ROW}},
                               .images = SMALL_IMAGES,
                               .views = SMALL_VIEWS,
                               .fingerprints = fingerprints,
                               .label = "a small cache"};
  lur_cache *cache = NULL;
  if (lur_cache_new(context, &options, &cache) != LUR_OK) abort();
  return cache;
}

/* i32 0, 1, ..., n - 1, each of them modulo `modulo`. */
static inline lur_tensor *small_numbers(lur_context *context, int n, int modulo) {
  lur_tensor *numbers = NULL;
  if (lur_tensor_new(context, NULL, LUR_I32, &(lur_shape){1, {n}}, &numbers) != LUR_OK) abort();
  for (int i = 0; i < n; i++)
    if (lur_tensor_set(numbers, i, i % modulo) != LUR_OK) abort();
  return numbers;
}

#endif
