/* reshape.c - the same elements under another shape: flatten and reshape. The batch stays as it is. */
#include "layers.h"

static lur_status emit_copy(const lur_layer *layer, lur_emitter *emitter, int x, const lur_shape *sample, int *y) {
  lur_op_desc desc = {.kind = LUR_OP_COPY};
  lur_emit_like(emitter, x, &desc);
  desc.y.shape.ndim = sample->ndim + 1;
  for (int i = 0; i < sample->ndim; i++) desc.y.shape.dim[i + 1] = sample->dim[i];
  return lur_emit(emitter, layer, &desc, 1, &x, 0, NULL, y);
}

static lur_status emit_flatten(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  lur_shape sample = lur_emit_sample(emitter, x[0]);
  lur_shape flat = {1, {lur_shape_count(&sample)}};
  return emit_copy(layer, emitter, x[0], &flat, y);
}

const lur_layer_type lur_layer_flatten = {
    .name = "flatten", .help = "every sample as one vector", .min_inputs = 1, .max_inputs = 1, .emit = emit_flatten};

typedef struct reshape {
  lur_shape shape;
} reshape;

static const lur_option options[] = {{.name = "shape",
                                      .type = LUR_OPT_SHAPE,
                                      .offset = offsetof(reshape, shape),
                                      .min = -1,
                                      .max = 1e12,
                                      .help = "extents of one sample; one of them may be -1: what is left"},
                                     {0}};

static lur_status check(const lur_layer *layer) {
  const lur_shape *shape = &((const reshape *)layer->options)->shape;
  int open = 0;
  if (shape->ndim >= LUR_MAX_DIMS) {
    return lur_fail(LUR_EARG, "bad option 'shape' to 'reshape' (at most %d extents expected, got %d)", LUR_MAX_DIMS - 1,
                    shape->ndim);
  }
  for (int i = 0; i < shape->ndim; i++) open += shape->dim[i] == -1;
  if (open <= 1) return LUR_OK;
  return lur_fail(LUR_EARG, "bad option 'shape' to 'reshape' (one -1 expected, got %d)", open);
}

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  lur_shape from = lur_emit_sample(emitter, x[0]), to = ((const reshape *)layer->options)->shape;
  int64_t count = lur_shape_count(&from);
  int open = -1;
  (void)n;
  for (int i = 0; i < to.ndim; i++) {
    if (to.dim[i] != -1) continue;
    open = i;
    to.dim[i] = 1;
  }
  LUR_TRY(lur_shape_check(&to));
  int64_t known = lur_shape_count(&to);
  if (open >= 0 && known > 0 && count % known == 0) {
    to.dim[open] = count / known;
    known = count;
  }
  if (known == count) return emit_copy(layer, emitter, x[0], &to, y);
  char have[LUR_SHAPE_TEXT], want[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "reshape '%s': a sample of %s has %lld elements, they do not fill %s", layer->name,
                  lur_shape_format(&from, have), (long long)count,
                  lur_shape_format(&((const reshape *)layer->options)->shape, want));
}

const lur_layer_type lur_layer_reshape = {.name = "reshape",
                                          .help = "every sample under another shape of as many elements",
                                          .options = options,
                                          .options_size = sizeof(reshape),
                                          .min_inputs = 1,
                                          .max_inputs = 1,
                                          .check = check,
                                          .emit = emit};
