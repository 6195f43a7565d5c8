/* layernorm.c - layer normalisation over the last dimension (Ba, Kiros and Hinton, 2016), and group normalisation (Wu
 * and He, 2018). Both are the same in training and in inference, and keep no moving statistics. The defaults are
 * Keras's (3.0, layers/normalization/layer_normalization.py and group_normalization.py), whose epsilon is 0.001;
 * PyTorch's is 1e-5, and models of timm have 1e-6.
 * Weights: gamma where scale, beta where center, each (C). */
#include "layers.h"

typedef struct norm {
  double epsilon;
  int64_t groups; /* groupnorm */
  bool center, scale;
} norm;

#define NORM_ROWS                                                                                                      \
  {.name = "epsilon", .type = LUR_OPT_REAL, .offset = offsetof(norm, epsilon), .def = "0.001", .min = 1e-12, .max = 1, \
   .help = "added to the variance"},                                                                                   \
      {.name = "center", .type = LUR_OPT_BOOL, .offset = offsetof(norm, center), .def = "true",                        \
       .help = "a learned shift, beta"},                                                                               \
      {.name = "scale", .type = LUR_OPT_BOOL, .offset = offsetof(norm, scale), .def = "true",                          \
       .help = "a learned factor, gamma"},                                                                             \
  {                                                                                                                    \
    0                                                                                                                  \
  }

static const lur_option layernorm_options[] = {NORM_ROWS};
static const lur_option groupnorm_options[] = {{.name = "groups",
                                                .type = LUR_OPT_INT,
                                                .offset = offsetof(norm, groups),
                                                .def = "32",
                                                .min = 1,
                                                .help = "groups that the channels are divided into"},
                                               NORM_ROWS};

static lur_status need_channels(const lur_layer *layer, const lur_shape *sample) {
  const norm *o = layer->options;
  if (sample->ndim < 1) return lur_layer_need_dims(layer, sample, 1, "channels last");
  const int64_t c = sample->dim[sample->ndim - 1];
  if (o->groups > 0 && c % o->groups != 0)
    return lur_fail(LUR_ESHAPE, "%s '%s': %lld channels cannot be divided into %lld groups", layer->kind->name,
                    layer->name, (long long)c, (long long)o->groups);
  return o->scale || o->center ? lur_layer_need_channels(layer, 0, 0, c) : LUR_OK;
}

static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  const norm *o = layer->options;
  int next = 0;
  (void)n;
  LUR_TRY(need_channels(layer, &samples[0]));
  const lur_shape shape = {1, {samples[0].dim[samples[0].ndim - 1]}};
  if (o->scale) LUR_TRY(lur_layer_add_weight(layer, next++, "gamma", &shape, true, LUR_INIT_ONES, 0, 0));
  return o->center ? lur_layer_add_weight(layer, next, "beta", &shape, true, LUR_INIT_ZEROS, 0, 0) : LUR_OK;
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const norm *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape sample = lur_emit_sample(emitter, x[0]);
  LUR_TRY(need_channels(layer, &sample));
  lur_op_desc desc = {.kind = o->groups > 0 ? LUR_OP_GROUPNORM : LUR_OP_LAYERNORM,
                      .u.layernorm = {o->epsilon, o->groups, o->scale, o->center}};
  lur_emit_like(emitter, x[0], &desc);
  const int weights[2] = {o->scale ? 0 : -1, o->center ? (o->scale ? 1 : 0) : -1};
  return lur_emit(emitter, layer, &desc, 1, x, 2, weights, y);
}

#define NORM_KIND(kind, keras, text)                                                                                  \
  const lur_layer_type lur_layer_##kind = {.name = #kind,                                                             \
                                           .auto_name = keras,                                                        \
                                           .help = text,                                                              \
                                           .options = kind##_options,                                                 \
                                           .options_size = sizeof(norm),                                              \
                                           .min_inputs = 1,                                                           \
                                           .max_inputs = 1,                                                           \
                                           .build = build,                                                            \
                                           .emit = emit}
NORM_KIND(layernorm, "layer_normalization", "normalises every row of the last dimension");
NORM_KIND(groupnorm, "group_normalization", "normalises groups of channels of each sample");
