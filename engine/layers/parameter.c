/* parameter.c - nodes without inputs: a learned tensor, and a constant. They have no batch dimension; in a plan their
 * dimension 0 is 1, and ops that broadcast repeat it for every sample. */
#include "layers.h"

/* The op's result: one row of that shape. */
static lur_status one_row(const lur_layer *layer, const lur_shape *shape, lur_op_desc *desc) {
  *desc = (lur_op_desc){.kind = LUR_OP_PARAMETER, .y = {LUR_F32, {.ndim = shape->ndim + 1, .dim = {1}}}};
  for (int i = 0; i < shape->ndim && i + 1 < LUR_MAX_DIMS; i++) desc->y.shape.dim[i + 1] = shape->dim[i];
  if (shape->ndim < LUR_MAX_DIMS) return LUR_OK;
  return lur_fail(LUR_EARG, "bad option 'shape' to '%s' (at most %d extents expected, got %d)", layer->kind->name,
                  LUR_MAX_DIMS - 1, shape->ndim);
}

/* ---- parameter ---- */

static const char *const init_names[] = {"zeros",          "ones",      "normal",   "truncated_normal", "uniform",
                                         "glorot_uniform", "he_normal", "constant", NULL};
static const lur_init inits[] = {LUR_INIT_ZEROS,     LUR_INIT_ONES,    LUR_INIT_NORMAL, LUR_INIT_TRUNCATED_NORMAL,
                                 LUR_INIT_UNIFORM,   LUR_INIT_GLOROT_UNIFORM,
                                 LUR_INIT_HE_NORMAL, LUR_INIT_CONSTANT};

typedef struct parameter {
  lur_shape shape;
  int init;
  double value, deviation;
  bool decay;
} parameter;

static const lur_option options[] = {
    {.name = "shape", .type = LUR_OPT_SHAPE, .offset = offsetof(parameter, shape), .min = 1, .help = "extents"},
    {.name = "init",
     .type = LUR_OPT_CHOICE,
     .offset = offsetof(parameter, init),
     .def = "zeros",
     .choices = init_names,
     .help = "first values"},
    {.name = "init_deviation",
     .type = LUR_OPT_REAL,
     .offset = offsetof(parameter, deviation),
     .def = "0.05",
     .min = 0,
     .max = 1e9,
     .help = "standard deviation of the normal ones, limit of \"uniform\""},
    {.name = "value",
     .type = LUR_OPT_REAL,
     .offset = offsetof(parameter, value),
     .def = "0",
     .help = "the value of init = \"constant\""},
    {.name = "decay",
     .type = LUR_OPT_BOOL,
     .offset = offsetof(parameter, decay),
     .def = "false",
     .help = "weight decay applies to it"},
    {0}};

static lur_status check(const lur_layer *layer) {
  lur_op_desc desc;
  return one_row(layer, &((const parameter *)layer->options)->shape, &desc);
}

/* Fans as of a matrix in out, repeated along the other dimensions. */
static lur_status build(lur_layer *layer, int n, const lur_shape *samples) {
  const parameter *o = layer->options;
  const lur_shape *s = &o->shape;
  const double out = s->ndim > 0 ? (double)s->dim[s->ndim - 1] : 1;
  const double in = s->ndim > 1 ? (double)s->dim[s->ndim - 2] : out;
  (void)n, (void)samples;
  LUR_TRY(lur_layer_add_weight(layer, 0, "value", s, true, inits[o->init], in, out));
  layer->weights[0].scale = inits[o->init] == LUR_INIT_CONSTANT ? o->value : o->deviation;
  layer->weights[0].decays = o->decay;
  return LUR_OK;
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const int weights[1] = {0};
  lur_op_desc desc;
  (void)n, (void)x;
  LUR_TRY(one_row(layer, &((const parameter *)layer->options)->shape, &desc));
  return lur_emit(emitter, layer, &desc, 0, NULL, 1, weights, y);
}

const lur_layer_type lur_layer_parameter = {.name = "parameter",
                                            .help = "a learned tensor, the same for every sample",
                                            .options = options,
                                            .options_size = sizeof(parameter),
                                            .check = check,
                                            .build = build,
                                            .emit = emit};

/* ---- constant ---- */

typedef struct constant {
  double value;
  lur_shape shape;
} constant;

static const lur_option constant_options[] = {
    {.name = "value", .type = LUR_OPT_REAL, .offset = offsetof(constant, value), .help = "of every element"},
    {.name = "shape", .type = LUR_OPT_SHAPE, .offset = offsetof(constant, shape), .def = "", .min = 1,
     .help = "extents; default: one number, which meets every shape"},
    {0}};

static lur_status check_constant(const lur_layer *layer) {
  lur_op_desc desc;
  return one_row(layer, &((const constant *)layer->options)->shape, &desc);
}

static lur_status emit_constant(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const constant *o = layer->options;
  lur_op_desc desc;
  (void)n, (void)x;
  LUR_TRY(one_row(layer, &o->shape, &desc));
  desc.u.parameter.value = o->value;
  return lur_emit(emitter, layer, &desc, 0, NULL, 0, NULL, y);
}

const lur_layer_type lur_layer_constant = {.name = "constant",
                                           .help = "a number as a node, the same for every sample",
                                           .options = constant_options,
                                           .options_size = sizeof(constant),
                                           .check = check_constant,
                                           .emit = emit_constant};
