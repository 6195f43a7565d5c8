/* matmul.c - the product of two inputs as matrices over their last two dimensions. The dimensions before, batch
 * included, must be equal, or 1 in one input, which is then repeated: a parameter, which has no batch, goes with every
 * sample. The input with fewer dimensions counts as having dimensions of extent 1 before its first. */
#include "layers.h"

typedef struct matmul {
  bool transpose_a, transpose_b;
} matmul;

static const lur_option options[] = {{.name = "transpose_a",
                                      .type = LUR_OPT_BOOL,
                                      .offset = offsetof(matmul, transpose_a),
                                      .def = "false",
                                      .help = "swaps the last two dimensions of the first input"},
                                     {.name = "transpose_b",
                                      .type = LUR_OPT_BOOL,
                                      .offset = offsetof(matmul, transpose_b),
                                      .def = "false",
                                      .help = "swaps the last two dimensions of the second input"},
                                     {0}};

/* Gives value *x `ndim` dimensions: those that it lacks follow the batch. */
static lur_status widen(const lur_layer *layer, lur_emitter *emitter, int ndim, int *x) {
  const lur_shape from = *lur_emit_shape(emitter, *x);
  const int missing = ndim - from.ndim;
  if (missing <= 0) return LUR_OK;
  lur_op_desc desc = {.kind = LUR_OP_COPY};
  lur_emit_like(emitter, *x, &desc);
  desc.y.shape.ndim = ndim;
  for (int i = 1; i < ndim; i++) desc.y.shape.dim[i] = i <= missing ? 1 : from.dim[i - missing];
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, x);
}

static lur_status misfit(const lur_layer *layer, const lur_emitter *emitter, const int *x, const char *expected) {
  const matmul *o = layer->options;
  const lur_shape a = lur_emit_sample(emitter, x[0]), b = lur_emit_sample(emitter, x[1]);
  char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "matmul '%s': input 1 is %s per sample%s, input 2 is %s%s (%s expected)", layer->name,
                  lur_shape_format(&a, ta), o->transpose_a ? ", transposed" : "", lur_shape_format(&b, tb),
                  o->transpose_b ? ", transposed" : "", expected);
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const matmul *o = layer->options;
  int values[2] = {x[0], x[1]};
  for (int i = 0; i < n; i++) LUR_TRY(lur_layer_need_input(layer, emitter, x[i], -1, ""));
  const lur_shape *first = lur_emit_shape(emitter, x[0]), *second = lur_emit_shape(emitter, x[1]);
  if (first->ndim < 3 || second->ndim < 3) return misfit(layer, emitter, x, "at least 2 dimensions each");
  const int ndim = first->ndim > second->ndim ? first->ndim : second->ndim;
  for (int i = 0; i < n; i++) LUR_TRY(widen(layer, emitter, ndim, &values[i]));
  const lur_shape a = *lur_emit_shape(emitter, values[0]), b = *lur_emit_shape(emitter, values[1]);
  if (a.dim[ndim - (o->transpose_a ? 2 : 1)] != b.dim[ndim - (o->transpose_b ? 1 : 2)])
    return misfit(layer, emitter, x, "the columns of input 1 as many as the rows of input 2");
  lur_op_desc desc = {.kind = LUR_OP_MATMUL, .u.matmul = {o->transpose_a, o->transpose_b}};
  lur_emit_like(emitter, values[0], &desc);
  for (int i = 0; i < ndim - 2; i++) {
    if (i == 0 && a.dim[0] != b.dim[0] && !lur_emit_unbatched(emitter, x[0]) && !lur_emit_unbatched(emitter, x[1]))
      return lur_fail(LUR_ESHAPE, "matmul '%s': input 1 has %lld rows, input 2 has %lld", layer->name,
                      (long long)a.dim[0], (long long)b.dim[0]);
    if (a.dim[i] != b.dim[i] && a.dim[i] != 1 && b.dim[i] != 1)
      return misfit(layer, emitter, x, "equal dimensions before the last two, or 1,");
    if (a.dim[i] == 1) desc.y.shape.dim[i] = b.dim[i];
  }
  desc.y.shape.dim[ndim - 2] = a.dim[ndim - (o->transpose_a ? 1 : 2)];
  desc.y.shape.dim[ndim - 1] = b.dim[ndim - (o->transpose_b ? 2 : 1)];
  return lur_emit(emitter, layer, &desc, 2, values, 0, NULL, y);
}

const lur_layer_type lur_layer_matmul = {.name = "matmul",
                                         .help = "matrix product of two inputs: ... m k times ... k n -> ... m n",
                                         .options = options,
                                         .options_size = sizeof(matmul),
                                         .min_inputs = 2,
                                         .max_inputs = 2,
                                         .emit = emit};
