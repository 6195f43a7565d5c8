/* elementwise.c - small kinds without weights that keep their input's shape: affine, neg, dropout, normalize. */
#include "layers.h"

static lur_status emit_one(const lur_layer *layer, lur_emitter *emitter, lur_op_desc *desc, int x, int *y) {
  LUR_TRY(lur_layer_need_input(layer, emitter, x, -1, ""));
  lur_emit_like(emitter, x, desc);
  return lur_emit(emitter, layer, desc, 1, &x, 0, NULL, y);
}

/* ---- affine ---- */

typedef struct affine {
  double scale, shift;
} affine;

static const lur_option affine_options[] = {
    {.name = "scale", .type = LUR_OPT_REAL, .offset = offsetof(affine, scale), .def = "1", .help = "factor"},
    {.name = "shift",
     .type = LUR_OPT_REAL,
     .offset = offsetof(affine, shift),
     .def = "0",
     .help = "added after the factor"},
    {0}};

static lur_status emit_affine(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const affine *o = layer->options;
  (void)n;
  lur_op_desc desc = {.kind = LUR_OP_AFFINE, .u.affine = {.scale = o->scale, .shift = o->shift}};
  return emit_one(layer, emitter, &desc, x[0], y);
}

const lur_layer_type lur_layer_affine = {.name = "affine",
                                         .help = "scale * x + shift, with constants",
                                         .options = affine_options,
                                         .options_size = sizeof(affine),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .emit = emit_affine};

static lur_status emit_neg(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  lur_op_desc desc = {.kind = LUR_OP_AFFINE, .u.affine = {.scale = -1}};
  (void)n;
  return emit_one(layer, emitter, &desc, x[0], y);
}

const lur_layer_type lur_layer_neg = {
    .name = "neg", .help = "-x", .min_inputs = 1, .max_inputs = 1, .emit = emit_neg};

/* ---- dropout (Srivastava et al., 2014; divided by 1 - rate in training, as Keras does) ---- */

typedef struct dropout {
  double rate;
} dropout;

static const lur_option dropout_options[] = {{.name = "rate",
                                              .type = LUR_OPT_REAL,
                                              .offset = offsetof(dropout, rate),
                                              .min = 0,
                                              .max = 1,
                                              .help = "fraction of the elements set to 0 in training, below 1"},
                                             {0}};

static lur_status check_dropout(const lur_layer *layer) {
  if (((const dropout *)layer->options)->rate < 1) return LUR_OK;
  return lur_fail(LUR_EARG, "bad option 'rate' to 'dropout' (number from 0 to under 1 expected, got 1)");
}

static lur_status emit_dropout(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const dropout *o = layer->options;
  (void)n;
  lur_op_desc desc = {.kind = LUR_OP_DROPOUT, .u.dropout = {.rate = o->rate, .training = true}};
  if (lur_emit_training(emitter)) return emit_one(layer, emitter, &desc, x[0], y); /* the emitter numbers the stream */
  *y = x[0];
  return LUR_OK;
}

const lur_layer_type lur_layer_dropout = {.name = "dropout",
                                          .help = "drops elements at random in training",
                                          .options = dropout_options,
                                          .options_size = sizeof(dropout),
                                          .random = true,
                                          .min_inputs = 1,
                                          .max_inputs = 1,
                                          .check = check_dropout,
                                          .emit = emit_dropout};

/* ---- normalize ---- */

typedef struct normalize {
  double epsilon;
} normalize;

static const lur_option normalize_options[] = {{.name = "epsilon",
                                                .type = LUR_OPT_REAL,
                                                .offset = offsetof(normalize, epsilon),
                                                .def = "1e-12",
                                                .min = 1e-30,
                                                .max = 1,
                                                .help = "lower limit of the length that is divided by"},
                                               {0}};

static lur_status emit_normalize(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const normalize *o = layer->options;
  (void)n;
  lur_shape sample = lur_emit_sample(emitter, x[0]);
  if (sample.ndim < 1) return lur_layer_need_dims(layer, &sample, 1, "features");
  lur_op_desc desc = {.kind = LUR_OP_NORMALIZE, .u.normalize = {.epsilon = o->epsilon}};
  return emit_one(layer, emitter, &desc, x[0], y);
}

const lur_layer_type lur_layer_normalize = {.name = "normalize",
                                            .help = "divides by the Euclidean length over the last dimension",
                                            .options = normalize_options,
                                            .options_size = sizeof(normalize),
                                            .min_inputs = 1,
                                            .max_inputs = 1,
                                            .emit = emit_normalize};
