/* reduce.c - sum, mean, max, min or variance over dimensions of a sample, or over the whole sample. */
#include "layers.h"

enum { VAR = LUR_MIN + 1 }; /* the mean of the squared differences from the mean */
static const char *const functions[] = {"sum", "mean", "max", "min", "var", NULL}; /* in the order of lur_reduction */

static const char *const other_names[] = {"op", "function", NULL}; /* `function` is a keyword of Lua */

typedef struct reduce {
  int function;
  lur_shape axis;
  bool keep;
} reduce;

static const lur_option options[] = {{.name = "function",
                                      .type = LUR_OPT_CHOICE,
                                      .offset = offsetof(reduce, function),
                                      .choices = functions,
                                      .help = "sum, mean, max, min or var, the variance"},
                                     {.name = "axis",
                                      .type = LUR_OPT_INTS,
                                      .offset = offsetof(reduce, axis),
                                      .def = "-1",
                                      .min = 1 - LUR_MAX_DIMS,
                                      .max = LUR_MAX_DIMS - 1,
                                      .help = "dimensions of a sample, 1 the first, -1 the last; 0: all"},
                                     {.name = "keep",
                                      .type = LUR_OPT_BOOL,
                                      .offset = offsetof(reduce, keep),
                                      .def = "false",
                                      .help = "keeps the dimensions, with extent 1"},
                                     {.choices = other_names}};

/* The dimensions of `in`, whose dimension 0 is the batch, as bits. */
static lur_status axes_of(const lur_layer *layer, const lur_shape *in, unsigned *axes) {
  const lur_shape *axis = &((const reduce *)layer->options)->axis;
  *axes = 0;
  for (int i = 0; i < axis->ndim; i++) {
    int d = 0;
    if (axis->dim[i] == 0 && axis->ndim == 1 && in->ndim > 1) {
      *axes = (1u << in->ndim) - 2u;
      return LUR_OK;
    }
    LUR_TRY(lur_layer_axis(layer, in, axis->dim[i], &d));
    *axes |= 1u << d;
  }
  return LUR_OK;
}

static lur_status emit_op(const lur_layer *layer, lur_emitter *emitter, lur_reduction function, unsigned axes,
                          bool keep, int x, int *y) {
  const lur_shape in = *lur_emit_shape(emitter, x);
  lur_op_desc desc = {.kind = LUR_OP_REDUCE, .y = {.dtype = LUR_F32}, .u.reduce = {function, axes}};
  for (int d = 0; d < in.ndim; d++) {
    const bool folded = axes >> d & 1u;
    if (!folded || keep) desc.y.shape.dim[desc.y.shape.ndim++] = folded ? 1 : in.dim[d];
  }
  return lur_emit(emitter, layer, &desc, 1, &x, 0, NULL, y);
}

/* mean((x - mean(x))^2): two passes, so that a large mean does not cost digits. */
static lur_status emit_variance(const lur_layer *layer, lur_emitter *emitter, unsigned axes, bool keep, int x, int *y) {
  int mean, difference, square;
  LUR_TRY(emit_op(layer, emitter, LUR_MEAN, axes, true, x, &mean));
  LUR_TRY(lur_emit_binary(emitter, layer, LUR_SUB, x, mean, &difference));
  lur_op_desc desc = {.kind = LUR_OP_ACTIVATION, .u.activation.function = LUR_SQUARE};
  lur_emit_like(emitter, difference, &desc);
  LUR_TRY(lur_emit(emitter, layer, &desc, 1, &difference, 0, NULL, &square));
  return emit_op(layer, emitter, LUR_MEAN, axes, keep, square, y);
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const reduce *o = layer->options;
  unsigned axes = 0;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape in = *lur_emit_shape(emitter, x[0]);
  LUR_TRY(axes_of(layer, &in, &axes));
  if (o->function == VAR) return emit_variance(layer, emitter, axes, o->keep, x[0], y);
  return emit_op(layer, emitter, (lur_reduction)o->function, axes, o->keep, x[0], y);
}

const lur_layer_type lur_layer_reduce = {.name = "reduce",
                                         .help = "sum, mean, max, min or variance over dimensions of each sample",
                                         .options = options,
                                         .options_size = sizeof(reduce),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .emit = emit};
