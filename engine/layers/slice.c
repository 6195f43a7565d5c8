/* slice.c - a part of every sample (slice), and samples with a margin (pad). */
#include "layers.h"

/* ---- slice ---- */

typedef struct slice {
  lur_shape from, to;
  int64_t axis;
} slice;

static const lur_option slice_options[] = {
    {.name = "from",
     .type = LUR_OPT_INTS,
     .offset = offsetof(slice, from),
     .def = "1",
     .help = "first element along each dimension; 1 is the first, -1 the last"},
    {.name = "to",
     .type = LUR_OPT_INTS,
     .offset = offsetof(slice, to),
     .def = "-1",
     .help = "last element along each dimension, included"},
    {.name = "axis",
     .type = LUR_OPT_INT,
     .offset = offsetof(slice, axis),
     .def = "0",
     .min = 1 - LUR_MAX_DIMS,
     .max = LUR_MAX_DIMS - 1,
     .help = "the one dimension that from and to are for, 1 the first, -1 the last; 0: from the first on"},
    {0}};

static lur_status check_slice(const lur_layer *layer) {
  const slice *o = layer->options;
  if (o->axis != 0 && (o->from.ndim > 1 || o->to.ndim > 1))
    return lur_fail(LUR_EARG, "bad option 'axis' to 'slice' (one 'from' and one 'to' expected with it, got %d and %d)",
                    o->from.ndim, o->to.ndim);
  return LUR_OK;
}

/* Position `at` of a list, or `otherwise` beyond its end; as an index from 0 along `extent` elements. */
static int64_t index_of(const lur_shape *list, int at, int64_t otherwise, int64_t extent) {
  const int64_t given = at < list->ndim ? list->dim[at] : otherwise;
  return given < 0 ? given + extent : given - 1;
}

static lur_status emit_slice(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const slice *o = layer->options;
  lur_op_desc desc = {.kind = LUR_OP_SLICE};
  int first = 1;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  const lur_shape in = *lur_emit_shape(emitter, x[0]);
  if (o->axis != 0) LUR_TRY(lur_layer_axis(layer, &in, o->axis, &first));
  lur_emit_like(emitter, x[0], &desc);
  const int given = o->from.ndim > o->to.ndim ? o->from.ndim : o->to.ndim;
  if (first + given > in.ndim)
    return lur_fail(LUR_ESHAPE, "slice '%s': 'from' and 'to' have %d elements, samples have %d dimensions",
                    layer->name, given, in.ndim - 1);
  for (int i = 0; i < given; i++) {
    const int d = first + i;
    const int64_t from = index_of(&o->from, i, 1, in.dim[d]), to = index_of(&o->to, i, -1, in.dim[d]);
    if (from < 0 || to < from || to >= in.dim[d])
      return lur_fail(LUR_ESHAPE, "slice '%s': from %lld to %lld along dimension %d, which has %lld elements",
                      layer->name, (long long)(i < o->from.ndim ? o->from.dim[i] : 1),
                      (long long)(i < o->to.ndim ? o->to.dim[i] : -1), d, (long long)in.dim[d]);
    desc.u.slice.begin[d] = from;
    desc.y.shape.dim[d] = to - from + 1;
  }
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, y);
}

const lur_layer_type lur_layer_slice = {.name = "slice",
                                        .help = "a part of every sample: a range along each dimension",
                                        .options = slice_options,
                                        .options_size = sizeof(slice),
                                        .min_inputs = 1,
                                        .max_inputs = 1,
                                        .check = check_slice,
                                        .emit = emit_slice};

/* ---- pad ---- */

typedef struct pad {
  lur_shape before, after;
  double value;
} pad;

static const lur_option pad_options[] = {
    {.name = "before",
     .type = LUR_OPT_INTS,
     .offset = offsetof(pad, before),
     .min = 0,
     .max = 1e9,
     .help = "elements added before each dimension, the first first; one number: every dimension but the last"},
    {.name = "after",
     .type = LUR_OPT_INTS,
     .offset = offsetof(pad, after),
     .def = "",
     .min = 0,
     .max = 1e9,
     .help = "elements added after each dimension; none given: as before"},
    {.name = "value", .type = LUR_OPT_REAL, .offset = offsetof(pad, value), .def = "0", .help = "what is added"},
    {0}};

/* What dimension d of a value gets. A lone number goes to all dimensions of a sample but the last (channels), if there
   are several. */
static int64_t added(const lur_shape *list, int d, int ndim) {
  if (list->ndim == 1) return d < ndim - 1 || ndim == 2 ? list->dim[0] : 0;
  return d - 1 < list->ndim ? list->dim[d - 1] : 0;
}

static lur_status emit_pad(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const pad *o = layer->options;
  const lur_shape *after = o->after.ndim > 0 ? &o->after : &o->before;
  lur_op_desc desc = {.kind = LUR_OP_PAD, .u.pad = {.value = o->value}};
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  lur_emit_like(emitter, x[0], &desc);
  const int ndim = desc.y.shape.ndim;
  if (o->before.ndim >= ndim || after->ndim >= ndim)
    return lur_fail(LUR_ESHAPE, "pad '%s': 'before' and 'after' have %d and %d elements, samples have %d dimensions",
                    layer->name, o->before.ndim, after->ndim, ndim - 1);
  for (int d = 1; d < ndim; d++) {
    desc.u.pad.before[d] = added(&o->before, d, ndim);
    desc.y.shape.dim[d] += desc.u.pad.before[d] + added(after, d, ndim);
  }
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, y);
}

const lur_layer_type lur_layer_pad = {.name = "pad",
                                      .auto_name = "zero_padding2d",
                                      .help = "every sample with a margin of a constant value",
                                      .options = pad_options,
                                      .options_size = sizeof(pad),
                                      .min_inputs = 1,
                                      .max_inputs = 1,
                                      .emit = emit_pad};
