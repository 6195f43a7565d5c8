/* layers.h - what the layer kinds share: checks of their inputs, so that messages are the same everywhere, windows, and
 * options that several kinds have. Included by the kinds and their tests only. */
#ifndef LUR_LAYERS_H
#define LUR_LAYERS_H

#include "engine/graph/emit.h"

/* LUR_ESHAPE unless a sample has as many dimensions; `form` names them: "h w c". */
lur_status lur_layer_need_dims(const lur_layer *layer, const lur_shape *sample, int ndim, const char *form);
/* The same of value x of an emitter, and LUR_ETYPE unless it is f32. ndim < 0: any. */
lur_status lur_layer_need_input(const lur_layer *layer, const lur_emitter *emitter, int x, int ndim, const char *form);
/* LUR_ESHAPE where weight `index` was made for another number of channels, which is its dimension `dim`. */
lur_status lur_layer_need_channels(const lur_layer *layer, int index, int dim, int64_t channels);

/* Value x's shape without the batch. */
lur_shape lur_emit_sample(const lur_emitter *emitter, int x);
/* A dimension of a sample as options give it (1 the first, -1 the last), as a dimension of a value of that shape, whose
   dimension 0 is the batch. LUR_ESHAPE if there is none. */
lur_status lur_layer_axis(const lur_layer *layer, const lur_shape *value, int64_t axis, int *dim);
/* A window over images of shape x (n h w c): the output's extents and the padding before. */
typedef struct lur_window_2d {
  int64_t out_h, out_w;
  int pad_top, pad_left;
} lur_window_2d;
lur_status lur_layer_window(const lur_layer *layer, const lur_shape *x, const int64_t kernel[2],
                            const int64_t stride[2], int padding, lur_window_2d *window);

/* The op's description of such a window, nothing fused. */
lur_conv2d_desc lur_layer_conv(const int64_t kernel[2], const int64_t stride[2], const lur_window_2d *window);

/* ---- ops that several kinds append ---- */

/* y = function(a, b), with broadcasting of samples (kernels/broadcast.h): LUR_ESHAPE if they do not. */
lur_status lur_emit_binary(lur_emitter *emitter, const lur_layer *layer, lur_binary function, int a, int b, int *y);
/* A number, without a batch dimension. */
lur_status lur_emit_constant(lur_emitter *emitter, const lur_layer *layer, double value, int *y);

/* ---- options that several kinds have ---- */

/* The `activation` option of conv2d, depthwise_conv2d, separable_conv2d, dense and activation. */
extern const char *const lur_activation_names[]; /* linear, those of LUR_ACTIVATIONS (op_desc.h), softmax, NULL */
/* Appends the activation; "linear" appends nothing. */
lur_status lur_emit_activation(lur_emitter *emitter, const lur_layer *layer, int activation, int x, int *y);

/* TensorFlow's rule. same: out = ceil(in / stride), before = floor(total / 2); valid: no padding. */
typedef enum lur_padding { LUR_PADDING_VALID = 0, LUR_PADDING_SAME } lur_padding;
extern const char *const lur_padding_names[]; /* valid same NULL */
/* LUR_ESHAPE when the kernel does not fit. */
lur_status lur_window(int64_t in, int64_t kernel, int64_t stride, lur_padding padding, int64_t *out, int *before);

/* Rows of option tables that several kinds have. `owner` is the kind's options struct. */
#define LUR_ROW_KERNEL(owner)                                                                                          \
  {                                                                                                                    \
    .name = "kernel", .type = LUR_OPT_PAIR, .offset = offsetof(owner, kernel), .min = 1,                               \
    .help = "height and width of the window"                                                                           \
  }
#define LUR_ROW_STRIDE(owner)                                                                                          \
  {                                                                                                                    \
    .name = "stride", .type = LUR_OPT_PAIR, .offset = offsetof(owner, stride), .def = "1", .min = 1,                   \
    .help = "step of the window"                                                                                       \
  }
#define LUR_ROW_PADDING(owner)                                                                                         \
  {                                                                                                                    \
    .name = "padding", .type = LUR_OPT_CHOICE, .offset = offsetof(owner, padding), .def = "valid",                     \
    .choices = lur_padding_names, .help = "valid: the window stays inside; same: out = ceil(in / stride)"              \
  }
#define LUR_ROW_BIAS(owner)                                                                                            \
  {                                                                                                                    \
    .name = "use_bias", .type = LUR_OPT_BOOL, .offset = offsetof(owner, use_bias), .def = "true",                      \
    .help = "adds a learned constant per channel"                                                                      \
  }
#define LUR_ROW_ACTIVATION(owner)                                                                                      \
  {                                                                                                                    \
    .name = "activation", .type = LUR_OPT_CHOICE, .offset = offsetof(owner, activation), .def = "linear",              \
    .choices = lur_activation_names, .help = "applied to the result"                                                   \
  }
#define LUR_ROWS_INIT(owner)                                                                                           \
  {.name = "init",                                                                                                     \
   .type = LUR_OPT_CHOICE,                                                                                             \
   .offset = offsetof(owner, init),                                                                                    \
   .def = "glorot_uniform",                                                                                            \
   .choices = lur_init_names,                                                                                          \
   .help = "first values of the kernel"},                                                                              \
  {                                                                                                                    \
    .name = "init_deviation", .type = LUR_OPT_REAL, .offset = offsetof(owner, init_deviation), .def = "0.05",          \
    .min = 0, .max = 1e9, .help = "standard deviation of init = \"normal\""                                            \
  }

#endif
