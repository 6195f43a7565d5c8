/* layer_scale.c - a learned factor per channel (Touvron et al., "Going deeper with image transformers", 2021,
 * LayerScale), small at first, so that a deep network begins close to the identity.
 * Weights: gamma (C). */
#include "layers.h"

typedef struct layer_scale {
  double init;
} layer_scale;

static const lur_option options[] = {{.name = "init",
                                      .type = LUR_OPT_REAL,
                                      .offset = offsetof(layer_scale, init),
                                      .def = "1e-6",
                                      .help = "first value of the factors"},
                                     {0}};

static lur_status need_channels(const lur_layer *layer, const lur_shape *sample) {
  if (sample->ndim < 1) return lur_layer_need_dims(layer, sample, 1, "channels last");
  return lur_layer_need_channels(layer, 0, 0, sample->dim[sample->ndim - 1]);
}

static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  (void)n;
  LUR_TRY(need_channels(layer, &samples[0]));
  const lur_shape shape = {1, {samples[0].dim[samples[0].ndim - 1]}};
  LUR_TRY(lur_layer_add_weight(layer, 0, "gamma", &shape, true, LUR_INIT_CONSTANT, 0, 0));
  layer->weights[0].scale = ((const layer_scale *)layer->options)->init;
  return LUR_OK;
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape sample = lur_emit_sample(emitter, x[0]);
  LUR_TRY(need_channels(layer, &sample));
  const int weights[1] = {0};
  int values[2] = {x[0], 0};
  lur_op_desc factors = {.kind = LUR_OP_PARAMETER, .y = {LUR_F32, {2, {1, sample.dim[sample.ndim - 1]}}}};
  LUR_TRY(lur_emit(emitter, layer, &factors, 0, NULL, 1, weights, &values[1]));
  lur_op_desc product = {.kind = LUR_OP_BINARY, .u.binary = {.function = LUR_MUL}};
  lur_emit_like(emitter, x[0], &product);
  return lur_emit(emitter, layer, &product, 2, values, 0, NULL, y);
}

const lur_layer_type lur_layer_layer_scale = {.name = "layer_scale",
                                              .help = "a learned factor per channel, small at first",
                                              .options = options,
                                              .options_size = sizeof(layer_scale),
                                              .min_inputs = 1,
                                              .max_inputs = 1,
                                              .build = build,
                                              .emit = emit};
