/* init.c - the first values of weights.
 *
 * A weight is a pure function of (context seed, layer name, weight name, element): layers may be created in any order,
 * on any number of threads. Formulas: Keras 2.0.6, keras/initializers.py. To add one: a name in lur_init
 * (layer.h) and lur_init_names, and a case in `draw`. */
#include <math.h>

#include "engine/base/context.h"
#include "engine/tensor/tensor_host.h"
#include "kernels/random.h"
#include "layer.h"

const char *const lur_init_names[] = {"glorot_uniform", "he_normal", "normal", "zeros", "ones", NULL};

static uint64_t hash_text(uint64_t hash, const char *text) { /* FNV-1a; the final zero keeps "a","bc" from "ab","c" */
  for (;; text++) {
    hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    if (!*text) return hash;
  }
}

static uint64_t key_of(const lur_layer *layer, const lur_weight *weight) {
  uint64_t names = hash_text(hash_text(0xCBF29CE484222325u, layer->name), weight->name);
  return lur_random_mix(lur_random_mix(layer->context->seed) ^ names);
}

static void draw_uniform(uint64_t key, float *y, int64_t count, double limit) {
#pragma omp parallel for if (count > 65536)
  for (int64_t block = 0; block < (count + 3) / 4; block++) {
    lur_random4 r = lur_philox(key, 0, (uint64_t)block);
    for (int64_t i = 4 * block; i < count && i < 4 * block + 4; i++) {
      y[i] = (float)((2 * (double)lur_random_unit(r.v[i - 4 * block]) - 1) * limit);
    }
  }
}

/* truncated: values beyond two standard deviations are drawn again, as TensorFlow's truncated_normal does. */
static void draw_normal(uint64_t key, float *y, int64_t count, double std, bool truncated) {
#pragma omp parallel for if (count > 65536)
  for (int64_t i = 0; i < count; i++) {
    double normal[4];
    int pick = 0;
    for (uint64_t attempt = 0;; attempt++) {
      lur_random_normal4(key, attempt, (uint64_t)i, normal);
      for (pick = 0; pick < 4 && truncated && fabs(normal[pick]) > 2; pick++) continue;
      if (pick < 4) break;
    }
    y[i] = (float)(std * normal[pick]);
  }
}

static lur_status draw(const lur_layer *layer, const lur_weight *weight, lur_tensor *y) {
  uint64_t key = key_of(layer, weight);
  int64_t count = lur_shape_count(&weight->shape);
  float *to = lur_tensor_data(y);
  switch (weight->init) {
  case LUR_INIT_GLOROT_UNIFORM:
    draw_uniform(key, to, count, sqrt(6 / fmax(1, weight->fan_in + weight->fan_out)));
    break;
  case LUR_INIT_HE_NORMAL: draw_normal(key, to, count, sqrt(2 / fmax(1, weight->fan_in)), true); break;
  case LUR_INIT_NORMAL: draw_normal(key, to, count, weight->scale, false); break;
  case LUR_INIT_TRUNCATED_NORMAL: draw_normal(key, to, count, weight->scale, true); break;
  case LUR_INIT_UNIFORM: draw_uniform(key, to, count, weight->scale); break;
  case LUR_INIT_CONSTANT: return lur_tensor_fill(y, weight->scale);
  case LUR_INIT_ZEROS: return lur_tensor_fill(y, 0);
  case LUR_INIT_ONES: return lur_tensor_fill(y, 1);
  }
  return LUR_OK;
}

lur_status lur_weight_draw(const lur_layer *layer, lur_weight *weight) {
  lur_tensor *fresh;
  LUR_TRY(lur_tensor_blank(layer->context, LUR_F32, &weight->shape, &fresh));
  lur_status status = draw(layer, weight, fresh);
  if (status == LUR_OK && weight->value) status = lur_tensor_copy(weight->value, fresh);
  if (status == LUR_OK) weight->version++;
  if (status == LUR_OK && !weight->value) {
    weight->value = fresh;
  } else {
    lur_tensor_release(fresh);
  }
  return status;
}
