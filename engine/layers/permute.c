/* permute.c - the dimensions of a sample in another order; the batch stays first. */
#include "layers.h"

typedef struct permute {
  lur_shape order;
} permute;

static const lur_option options[] = {{.name = "order",
                                      .type = LUR_OPT_INTS,
                                      .offset = offsetof(permute, order),
                                      .min = 1,
                                      .max = LUR_MAX_DIMS - 1,
                                      .help = "the input's dimension at each place of the output, 1 the first"},
                                     {0}};

static lur_status check(const lur_layer *layer) {
  const lur_shape *order = &((const permute *)layer->options)->order;
  char text[LUR_SHAPE_TEXT];
  unsigned seen = 1;
  for (int i = 0; i < order->ndim; i++) seen |= 1u << order->dim[i];
  if (seen == (1u << (order->ndim + 1)) - 1u) return LUR_OK;
  return lur_fail(LUR_EARG, "bad option 'order' to 'permute' (each of 1 to %d once expected, got %s)", order->ndim,
                  lur_shape_format(order, text));
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const lur_shape *order = &((const permute *)layer->options)->order;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape in = *lur_emit_shape(emitter, x[0]);
  const lur_shape sample = lur_emit_sample(emitter, x[0]);
  if (sample.ndim != order->ndim) return lur_layer_need_dims(layer, &sample, order->ndim, "as many as in 'order'");
  lur_op_desc desc = {.kind = LUR_OP_PERMUTE};
  lur_emit_like(emitter, x[0], &desc);
  for (int i = 0; i < order->ndim; i++) {
    desc.u.permute.order[i + 1] = (int)order->dim[i];
    desc.y.shape.dim[i + 1] = in.dim[order->dim[i]];
  }
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, y);
}

const lur_layer_type lur_layer_permute = {.name = "permute",
                                          .help = "the dimensions of every sample in another order",
                                          .options = options,
                                          .options_size = sizeof(permute),
                                          .min_inputs = 1,
                                          .max_inputs = 1,
                                          .check = check,
                                          .emit = emit};
