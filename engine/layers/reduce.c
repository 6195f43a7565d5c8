/* reduce.c - sum, mean, max or min over dimensions of a sample, or over the whole sample. */
#include "layers.h"

static const char *const functions[] = {"sum", "mean", "max", "min", NULL}; /* in the order of lur_reduction */

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
                                      .help = "sum, mean, max or min"},
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

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const reduce *o = layer->options;
  unsigned axes = 0;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape in = *lur_emit_shape(emitter, x[0]);
  LUR_TRY(axes_of(layer, &in, &axes));
  lur_op_desc desc = {.kind = LUR_OP_REDUCE,
                      .y = {.dtype = LUR_F32},
                      .u.reduce = {.function = (lur_reduction)o->function, .axes = axes}};
  for (int d = 0; d < in.ndim; d++) {
    bool folded = axes >> d & 1u;
    if (!folded || o->keep) desc.y.shape.dim[desc.y.shape.ndim++] = folded ? 1 : in.dim[d];
  }
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, y);
}

const lur_layer_type lur_layer_reduce = {.name = "reduce",
                                         .help = "sum, mean, max or min over dimensions of each sample",
                                         .options = options,
                                         .options_size = sizeof(reduce),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .emit = emit};
