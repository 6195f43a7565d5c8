/* merge.c - concat: several inputs joined along a dimension. Functions of several inputs are in algebra.c. */
#include "layers.h"

/* LUR_ESHAPE unless inputs i and `first` agree in all dimensions of samples but `except`, and in their rows, where both
   have a batch. */
static lur_status need_alike(const lur_layer *layer, const lur_emitter *emitter, const int *x, int first, int i,
                             int except) {
  const lur_shape *a = lur_emit_shape(emitter, x[first]), *b = lur_emit_shape(emitter, x[i]);
  char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  bool same = a->ndim == b->ndim;
  for (int d = 1; same && d < a->ndim; d++) same = d == except || a->dim[d] == b->dim[d];
  if (!same) {
    lur_shape sa = lur_emit_sample(emitter, x[first]), sb = lur_emit_sample(emitter, x[i]);
    return lur_fail(LUR_ESHAPE,
                    "concat '%s': input %d is %s, input %d is %s (equal but for the joined dimension expected)",
                    layer->name, first + 1, lur_shape_format(&sa, ta), i + 1, lur_shape_format(&sb, tb));
  }
  if (a->dim[0] != b->dim[0] && !lur_emit_unbatched(emitter, x[i])) {
    return lur_fail(LUR_ESHAPE, "concat '%s': input %d has %lld rows, input %d has %lld", layer->name, first + 1,
                    (long long)a->dim[0], i + 1, (long long)b->dim[0]);
  }
  if (lur_emit_dtype(emitter, x[first]) == lur_emit_dtype(emitter, x[i])) return LUR_OK;
  return lur_fail(LUR_ETYPE, "concat '%s': input %d is %s, input %d is %s", layer->name, first + 1,
                  lur_dtype_name(lur_emit_dtype(emitter, x[first])), i + 1,
                  lur_dtype_name(lur_emit_dtype(emitter, x[i])));
}

typedef struct concat {
  int64_t axis;
} concat;

static const lur_option options[] = {{.name = "axis",
                                      .type = LUR_OPT_INT,
                                      .offset = offsetof(concat, axis),
                                      .def = "-1",
                                      .min = -1,
                                      .max = LUR_MAX_DIMS - 1,
                                      .help = "dimension of a sample to join along, 1 the first; -1: the last"},
                                     {0}};

static lur_status check_concat(const lur_layer *layer) {
  if (((const concat *)layer->options)->axis != 0) return LUR_OK;
  return lur_fail(LUR_EARG,
                  "bad option 'axis' to 'concat' (dimension of a sample, counted from 1, or -1 expected, got 0)");
}

static lur_status emit_concat(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const concat *o = layer->options;
  int first = 0; /* the first input with a batch, if there is one */
  while (first < n - 1 && lur_emit_unbatched(emitter, x[first])) first++;
  if (lur_emit_unbatched(emitter, x[first])) first = 0;
  const lur_shape in = *lur_emit_shape(emitter, x[first]);
  int axis = o->axis < 0 ? in.ndim - 1 : (int)o->axis; /* dimension 0 is the batch, so 1-based already */
  if (axis < 1 || axis >= in.ndim) {
    return lur_fail(LUR_ESHAPE, "concat '%s': axis %lld of samples of %d dimensions", layer->name, (long long)o->axis,
                    in.ndim - 1);
  }
  lur_op_desc desc = {.kind = LUR_OP_CONCAT, .u.concat = {.axis = axis}};
  lur_emit_like(emitter, x[first], &desc);
  for (int i = 0; i < n; i++) {
    if (i == first) continue;
    LUR_TRY(need_alike(layer, emitter, x, first, i, axis));
    desc.y.shape.dim[axis] += lur_emit_shape(emitter, x[i])->dim[axis];
  }
  return lur_emit(emitter, layer, &desc, n, x, 0, NULL, y);
}

const lur_layer_type lur_layer_concat = {.name = "concat",
                                         .auto_name = "concatenate",
                                         .help = "its inputs joined along one dimension",
                                         .options = options,
                                         .options_size = sizeof(concat),
                                         .min_inputs = 2,
                                         .max_inputs = -1,
                                         .check = check_concat,
                                         .emit = emit_concat};
