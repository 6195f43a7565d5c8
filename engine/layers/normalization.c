/* normalization.c - (x - mean) / sqrt(variance) with a given mean and variance per channel, that of a network's input
 * (Keras's Normalization layer). Training changes neither.
 * Weights: mean, variance, each (C), at first 0 and 1: x is unchanged. */
#include "layers.h"

/* Keras divides by max(sqrt(variance), 1e-7) (Keras 3, keras/src/layers/preprocessing/normalization.py). */
#define EPSILON 1e-14

static lur_status need_channels(const lur_layer *layer, const lur_shape *sample) {
  if (sample->ndim < 1) return lur_layer_need_dims(layer, sample, 1, "channels last");
  return lur_layer_need_channels(layer, 0, 0, sample->dim[sample->ndim - 1]);
}

static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  (void)n;
  LUR_TRY(need_channels(layer, &samples[0]));
  lur_shape shape = {1, {samples[0].dim[samples[0].ndim - 1]}};
  LUR_TRY(lur_layer_add_weight(layer, 0, "mean", &shape, false, LUR_INIT_ZEROS, 0, 0));
  return lur_layer_add_weight(layer, 1, "variance", &shape, false, LUR_INIT_ONES, 0, 0);
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  lur_shape sample = lur_emit_sample(emitter, x[0]);
  LUR_TRY(need_channels(layer, &sample));
  lur_op_desc desc = {.kind = LUR_OP_BATCHNORM, .u.batchnorm = {.epsilon = EPSILON}};
  lur_emit_like(emitter, x[0], &desc);
  const int weights[4] = {-1, -1, 0, 1};
  return lur_emit(emitter, layer, &desc, 1, x, 4, weights, y);
}

const lur_layer_type lur_layer_normalization = {.name = "normalization",
                                                .help = "(x - mean) / sqrt(variance), with a given mean and variance "
                                                        "per channel",
                                                .given = true,
                                                .min_inputs = 1,
                                                .max_inputs = 1,
                                                .build = build,
                                                .emit = emit};
