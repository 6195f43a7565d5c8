/* reduce.c - sum, mean, max or min over one dimension of a sample, or over the whole sample. */
#include "layers.h"

static const char *const functions[] = {"sum", "mean", "max", "min", NULL}; /* in the order of lur_reduction */

typedef struct reduce {
  int function;
  int64_t axis;
  bool keep;
} reduce;

static const lur_option options[] = {{.name = "function",
                                      .type = LUR_OPT_CHOICE,
                                      .offset = offsetof(reduce, function),
                                      .choices = functions,
                                      .help = "sum, mean, max or min"},
                                     {.name = "axis",
                                      .type = LUR_OPT_INT,
                                      .offset = offsetof(reduce, axis),
                                      .def = "-1",
                                      .min = -1,
                                      .max = LUR_MAX_DIMS - 1,
                                      .help = "dimension of a sample, 1 the first; -1: the last; 0: all"},
                                     {.name = "keep",
                                      .type = LUR_OPT_BOOL,
                                      .offset = offsetof(reduce, keep),
                                      .def = "false",
                                      .help = "keeps the dimension, with extent 1"},
                                     {0}};

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const reduce *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape in = *lur_emit_shape(emitter, x[0]);
  int axis = o->axis < 0 ? in.ndim - 1 : (int)o->axis; /* dimension 0 is the batch, so 1-based already */
  if (in.ndim < 2 || axis >= in.ndim) {
    return lur_fail(LUR_ESHAPE, "reduce '%s': axis %lld of samples of %d dimensions", layer->name, (long long)o->axis,
                    in.ndim - 1);
  }
  unsigned axes = axis ? 1u << axis : (1u << in.ndim) - 2u;
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
                                         .help = "sum, mean, max or min over a dimension of each sample",
                                         .options = options,
                                         .options_size = sizeof(reduce),
                                         .min_inputs = 1,
                                         .max_inputs = 1,
                                         .emit = emit};
