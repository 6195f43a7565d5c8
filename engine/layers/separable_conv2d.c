/* separable_conv2d.c - a depthwise convolution, then a 1x1 one, with nothing in between (Keras's SeparableConv2D,
 * depth multiplier 1). Stride and padding are those of the depthwise one.
 * Weights: depthwise_kernel (kh, kw, C, 1), pointwise_kernel (1, 1, C, filters), bias (filters). */
#include "layers.h"

typedef struct separable {
  int64_t filters, kernel[2], stride[2];
  int padding, activation, init;
  bool use_bias;
  double init_deviation;
} separable;

static const lur_option options[] = {{.name = "filters",
                                      .type = LUR_OPT_INT,
                                      .offset = offsetof(separable, filters),
                                      .min = 1,
                                      .help = "output channels"},
                                     LUR_ROW_KERNEL(separable),
                                     LUR_ROW_STRIDE(separable),
                                     LUR_ROW_PADDING(separable),
                                     LUR_ROW_BIAS(separable),
                                     LUR_ROW_ACTIVATION(separable),
                                     LUR_ROWS_INIT(separable),
                                     {0}};

static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  const separable *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_dims(layer, &samples[0], 3, "h w c"));
  int64_t c = samples[0].dim[2];
  LUR_TRY(lur_layer_need_channels(layer, 0, 2, c));
  lur_shape depthwise = {4, {o->kernel[0], o->kernel[1], c, 1}}, pointwise = {4, {1, 1, c, o->filters}},
            bias = {1, {o->filters}};
  double window = (double)o->kernel[0] * (double)o->kernel[1];
  lur_init init = (lur_init)o->init;
  LUR_TRY(lur_layer_add_weight(layer, 0, "depthwise_kernel", &depthwise, true, init, window * (double)c, window));
  LUR_TRY(lur_layer_add_weight(layer, 1, "pointwise_kernel", &pointwise, true, init, (double)c, (double)o->filters));
  if (!layer->built) layer->weights[0].scale = layer->weights[1].scale = o->init_deviation;
  return o->use_bias ? lur_layer_add_weight(layer, 2, "bias", &bias, true, LUR_INIT_ZEROS, 0, 0) : LUR_OK;
}

static lur_status emit_depthwise(const lur_layer *layer, lur_emitter *emitter, int x, int *y) {
  const separable *o = layer->options;
  const lur_shape in = *lur_emit_shape(emitter, x);
  lur_window_2d w;
  LUR_TRY(lur_layer_window(layer, &in, o->kernel, o->stride, o->padding, &w));
  lur_op_desc desc = {.kind = LUR_OP_DEPTHWISE_CONV2D, .y = {LUR_F32, {4, {in.dim[0], w.out_h, w.out_w, in.dim[3]}}}};
  desc.u.conv2d = lur_layer_conv(o->kernel, o->stride, &w);
  const int weights[1] = {0};
  return lur_emit(emitter, layer, &desc, 1, &x, 1, weights, y);
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const separable *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], 3, "h w c"));
  LUR_TRY(lur_layer_need_channels(layer, 0, 2, lur_emit_shape(emitter, x[0])->dim[3]));
  int middle, value;
  LUR_TRY(emit_depthwise(layer, emitter, x[0], &middle));
  lur_op_desc desc = {.kind = LUR_OP_CONV2D};
  lur_emit_like(emitter, middle, &desc);
  desc.y.shape.dim[3] = o->filters;
  desc.u.conv2d = (lur_conv2d_desc){.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
  const int weights[2] = {1, 2};
  LUR_TRY(lur_emit(emitter, layer, &desc, 1, &middle, o->use_bias ? 2 : 1, weights, &value));
  return lur_emit_activation(emitter, layer, o->activation, value, y);
}

const lur_layer_type lur_layer_separable_conv2d = {.name = "separable_conv2d",
                                                   .help = "depthwise then 1x1 convolution: h w c -> h' w' filters",
                                                   .options = options,
                                                   .options_size = sizeof(separable),
                                                   .min_inputs = 1,
                                                   .max_inputs = 1,
                                                   .build = build,
                                                   .emit = emit};
