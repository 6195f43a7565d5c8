/* batchnorm.c - batch normalisation over every dimension but the last (Ioffe and Szegedy, 2015).
 * Defaults of Keras 2.0.6.
 * Weights: gamma where scale, beta where center, moving_mean, moving_variance, each (C). */
#include "layers.h"

typedef struct batchnorm {
  double momentum, epsilon;
  bool center, scale;
} batchnorm;

static const lur_option options[] = {{.name = "momentum",
                                      .type = LUR_OPT_REAL,
                                      .offset = offsetof(batchnorm, momentum),
                                      .def = "0.99",
                                      .min = 0,
                                      .max = 1,
                                      .help = "fraction of the moving statistics that is kept at every update"},
                                     {.name = "epsilon",
                                      .type = LUR_OPT_REAL,
                                      .offset = offsetof(batchnorm, epsilon),
                                      .def = "0.001",
                                      .min = 1e-12,
                                      .max = 1,
                                      .help = "added to the variance"},
                                     {.name = "center",
                                      .type = LUR_OPT_BOOL,
                                      .offset = offsetof(batchnorm, center),
                                      .def = "true",
                                      .help = "a learned shift, beta"},
                                     {.name = "scale",
                                      .type = LUR_OPT_BOOL,
                                      .offset = offsetof(batchnorm, scale),
                                      .def = "true",
                                      .help = "a learned factor, gamma"},
                                     {0}};

static lur_status need_channels(const lur_layer *layer, const lur_shape *sample) {
  if (sample->ndim < 1) return lur_layer_need_dims(layer, sample, 1, "channels last");
  return lur_layer_need_channels(layer, 0, 0, sample->dim[sample->ndim - 1]);
}

static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  const batchnorm *o = layer->options;
  (void)n;
  LUR_TRY(need_channels(layer, &samples[0]));
  lur_shape shape = {1, {samples[0].dim[samples[0].ndim - 1]}};
  int next = 0;
  if (o->scale) LUR_TRY(lur_layer_add_weight(layer, next++, "gamma", &shape, true, LUR_INIT_ONES, 0, 0));
  if (o->center) LUR_TRY(lur_layer_add_weight(layer, next++, "beta", &shape, true, LUR_INIT_ZEROS, 0, 0));
  LUR_TRY(lur_layer_add_weight(layer, next++, "moving_mean", &shape, false, LUR_INIT_ZEROS, 0, 0));
  return lur_layer_add_weight(layer, next, "moving_variance", &shape, false, LUR_INIT_ONES, 0, 0);
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const batchnorm *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  lur_shape sample = lur_emit_sample(emitter, x[0]);
  LUR_TRY(need_channels(layer, &sample));
  lur_op_desc desc = {.kind = LUR_OP_BATCHNORM};
  lur_emit_like(emitter, x[0], &desc);
  desc.u.batchnorm = (lur_batchnorm_desc){.epsilon = o->epsilon,
                                          .momentum = o->momentum,
                                          .has_gamma = o->scale,
                                          .has_beta = o->center,
                                          .batch = lur_emit_batch_statistics(emitter, layer)};
  int mean = (o->scale ? 1 : 0) + (o->center ? 1 : 0);
  const int weights[4] = {o->scale ? 0 : -1, o->center ? mean - 1 : -1, mean, mean + 1};
  return lur_emit(emitter, layer, &desc, 1, x, 4, weights, y);
}

const lur_layer_type lur_layer_batchnorm = {.name = "batchnorm",
                                            .auto_name = "batch_normalization",
                                            .help = "normalises each channel by batch or moving statistics",
                                            .options = options,
                                            .options_size = sizeof(batchnorm),
                                            .min_inputs = 1,
                                            .max_inputs = 1,
                                            .build = build,
                                            .emit = emit};
