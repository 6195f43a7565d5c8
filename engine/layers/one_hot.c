/* one_hot.c - class ids as rows of zeros with a one: for losses, whose targets are ids, and for embeddings. Ids that
 * come straight from a batch are checked when it is bound (run/bind.c). */
#include "layers.h"

typedef struct one_hot {
  int64_t classes;
} one_hot;

static const lur_option options[] = {{.name = "classes",
                                      .type = LUR_OPT_INT,
                                      .offset = offsetof(one_hot, classes),
                                      .min = 1,
                                      .max = 1 << 24,
                                      .help = "how many there are: ids go from 0 to classes - 1"},
                                     {0}};

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const one_hot *o = layer->options;
  (void)n;
  if (lur_emit_dtype(emitter, x[0]) != LUR_I32)
    return lur_fail(LUR_ETYPE, "one_hot '%s': its input is %s (i32 class ids expected)", layer->name,
                    lur_dtype_name(lur_emit_dtype(emitter, x[0])));
  lur_op_desc desc = {.kind = LUR_OP_ONE_HOT};
  lur_emit_like(emitter, x[0], &desc);
  if (desc.y.shape.ndim == LUR_MAX_DIMS)
    return lur_fail(LUR_ESHAPE, "one_hot '%s': its input has %d dimensions per sample (at most %d expected)",
                    layer->name, LUR_MAX_DIMS - 1, LUR_MAX_DIMS - 2);
  desc.y.dtype = LUR_F32;
  desc.y.shape.dim[desc.y.shape.ndim++] = o->classes;
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, y);
}

const lur_layer_type lur_layer_one_hot = {.name = "one_hot",
                                          .help = "class ids as rows of zeros with a one at the class",
                                          .options = options,
                                          .options_size = sizeof(one_hot),
                                          .min_inputs = 1,
                                          .max_inputs = 1,
                                          .emit = emit};
