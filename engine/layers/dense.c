/* dense.c - a matrix product over the last dimension. Weights: kernel (in, units), bias (units). */
#include "layers.h"

typedef struct dense {
  int64_t units;
  int activation, init;
  bool use_bias;
  double init_deviation;
} dense;

static const lur_option options[] = {
    {.name = "units", .type = LUR_OPT_INT, .offset = offsetof(dense, units), .min = 1, .help = "output features"},
    LUR_ROW_BIAS(dense),
    LUR_ROW_ACTIVATION(dense),
    LUR_ROWS_INIT(dense),
    {0}};

static lur_status need_features(const lur_layer *layer, const lur_shape *sample) {
  if (sample->ndim < 1) return lur_layer_need_dims(layer, sample, 1, "features");
  return lur_layer_need_channels(layer, 0, 0, sample->dim[sample->ndim - 1]);
}

static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  const dense *o = layer->options;
  (void)n;
  LUR_TRY(need_features(layer, &samples[0]));
  int64_t in = samples[0].dim[samples[0].ndim - 1];
  lur_shape kernel = {2, {in, o->units}}, bias = {1, {o->units}};
  LUR_TRY(lur_layer_add_weight(layer, 0, "kernel", &kernel, true, (lur_init)o->init, (double)in, (double)o->units));
  if (!layer->built) layer->weights[0].scale = o->init_deviation;
  return o->use_bias ? lur_layer_add_weight(layer, 1, "bias", &bias, true, LUR_INIT_ZEROS, 0, 0) : LUR_OK;
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const dense *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  lur_shape sample = lur_emit_sample(emitter, x[0]);
  LUR_TRY(need_features(layer, &sample));
  lur_op_desc desc = {.kind = LUR_OP_DENSE};
  lur_emit_like(emitter, x[0], &desc);
  desc.y.shape.dim[desc.y.shape.ndim - 1] = o->units;
  int value, weights[2] = {0, 1};
  LUR_TRY(lur_emit(emitter, layer, &desc, 1, x, o->use_bias ? 2 : 1, weights, &value));
  return lur_emit_activation(emitter, layer, o->activation, value, y);
}

const lur_layer_type lur_layer_dense = {.name = "dense",
                                        .help = "matrix product over the last dimension: ... in -> ... units",
                                        .options = options,
                                        .options_size = sizeof(dense),
                                        .min_inputs = 1,
                                        .max_inputs = 1,
                                        .build = build,
                                        .emit = emit};
