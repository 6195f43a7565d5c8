/* gather.c - rows of the first input, selected by the second, an index: one backbone pass per image, any number of
 * pairs. The result has the batch size of the index. Row numbers are checked when a batch is bound (run/bind.c). The
 * rows of a parameter are those of its first dimension: an embedding, or a table of centers. */
#include "layers.h"

/* Value x, which has no batch dimension, without its dimension 0. */
static lur_status rows_of_parameter(const lur_layer *layer, lur_emitter *emitter, int x, int *rows) {
  lur_op_desc desc = {.kind = LUR_OP_COPY, .y = {LUR_F32, lur_emit_sample(emitter, x)}};
  if (desc.y.shape.ndim < 1) return lur_layer_need_dims(layer, &desc.y.shape, 1, "rows");
  return lur_emit(emitter, layer, &desc, 1, &x, 0, NULL, rows);
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *inputs, int *y) {
  int x[2] = {inputs[0], inputs[1]};
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape *rows = lur_emit_shape(emitter, x[1]);
  if (lur_emit_dtype(emitter, x[1]) != LUR_I32 || rows->ndim != 1) {
    return lur_fail(
        LUR_ETYPE,
        "gather '%s': its second input must be an index (i32 row numbers), got %s of %d dimensions per sample",
        layer->name, lur_dtype_name(lur_emit_dtype(emitter, x[1])), rows->ndim - 1);
  }
  if (lur_emit_unbatched(emitter, x[0])) LUR_TRY(rows_of_parameter(layer, emitter, x[0], &x[0]));
  rows = lur_emit_shape(emitter, x[1]);
  lur_op_desc desc = {.kind = LUR_OP_GATHER};
  lur_emit_like(emitter, x[0], &desc);
  desc.y.shape.dim[0] = rows->dim[0];
  return lur_emit(emitter, layer, &desc, 2, x, 0, NULL, y);
}

const lur_layer_type lur_layer_gather = {.name = "gather",
                                         .help = "rows of the first input, selected by an index",
                                         .min_inputs = 2,
                                         .max_inputs = 2,
                                         .emit = emit};
