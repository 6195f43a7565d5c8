/* depthwise_conv2d.c - every channel is convolved with its own window.
 * Weights: depthwise_kernel (kh, kw, C, 1), bias (C). */
#include "layers.h"

typedef struct depthwise {
  int64_t kernel[2], stride[2];
  int padding, activation, init;
  bool use_bias;
  double init_deviation;
} depthwise;

static const lur_option options[] = {LUR_ROW_KERNEL(depthwise),
                                     LUR_ROW_STRIDE(depthwise),
                                     LUR_ROW_PADDING(depthwise),
                                     LUR_ROW_BIAS(depthwise),
                                     LUR_ROW_ACTIVATION(depthwise),
                                     LUR_ROWS_INIT(depthwise),
                                     {0}};

static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  const depthwise *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_dims(layer, &samples[0], 3, "h w c"));
  int64_t channels = samples[0].dim[2];
  LUR_TRY(lur_layer_need_channels(layer, 0, 2, channels));
  lur_shape kernel = {4, {o->kernel[0], o->kernel[1], channels, 1}}, bias = {1, {channels}};
  double window = (double)o->kernel[0] * (double)o->kernel[1];
  LUR_TRY(lur_layer_add_weight(layer, 0, "depthwise_kernel", &kernel, true, (lur_init)o->init,
                               window * (double)channels, window));
  if (!layer->built) layer->weights[0].scale = o->init_deviation;
  return o->use_bias ? lur_layer_add_weight(layer, 1, "bias", &bias, true, LUR_INIT_ZEROS, 0, 0) : LUR_OK;
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const depthwise *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], 3, "h w c"));
  const lur_shape in = *lur_emit_shape(emitter, x[0]);
  LUR_TRY(lur_layer_need_channels(layer, 0, 2, in.dim[3]));
  lur_window_2d w;
  LUR_TRY(lur_layer_window(layer, &in, o->kernel, o->stride, o->padding, &w));
  lur_op_desc desc = {.kind = LUR_OP_DEPTHWISE_CONV2D, .y = {LUR_F32, {4, {in.dim[0], w.out_h, w.out_w, in.dim[3]}}}};
  desc.u.conv2d = lur_layer_conv(o->kernel, o->stride, &w);
  int value, weights[2] = {0, 1};
  LUR_TRY(lur_emit(emitter, layer, &desc, 1, x, o->use_bias ? 2 : 1, weights, &value));
  return lur_emit_activation(emitter, layer, o->activation, value, y);
}

const lur_layer_type lur_layer_depthwise_conv2d = {.name = "depthwise_conv2d",
                                                   .help = "one window per channel: h w c -> h' w' c",
                                                   .options = options,
                                                   .options_size = sizeof(depthwise),
                                                   .min_inputs = 1,
                                                   .max_inputs = 1,
                                                   .build = build,
                                                   .emit = emit};
