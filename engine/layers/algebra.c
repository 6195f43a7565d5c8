/* algebra.c - kinds that compute one number from several, element by element: add, sub, mul, maximum, minimum, div,
 * pow, power, the comparisons and where.
 *
 * The shapes of samples broadcast as NumPy's arrays do, aligned at their last dimension; the batch is not among them.
 * The merge layers of Keras (add, sub, mul, maximum, minimum) do it only with `broadcast`, so that a wrong shape is
 * never a silent repeat. A node without a batch dimension, which is a parameter or a constant, meets every sample. */
#include "kernels/broadcast.h"
#include "layers.h"

/* ---- shapes ---- */

/* Inputs 0 and i, for messages. */
static lur_status mismatch(const lur_layer *layer, const lur_emitter *emitter, const int *x, int i, const char *what) {
  const lur_shape a = lur_emit_sample(emitter, x[0]), b = lur_emit_sample(emitter, x[i]);
  char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "%s '%s': input 1 is %s, input %d is %s (%s)", layer->kind->name, layer->name,
                  lur_shape_format(&a, ta), i + 1, lur_shape_format(&b, tb), what);
}

/* LUR_ESHAPE unless inputs i and 0 have the same number of rows, or one has no batch dimension. */
static lur_status need_rows(const lur_layer *layer, const lur_emitter *emitter, const int *x, int i) {
  const lur_shape *a = lur_emit_shape(emitter, x[0]), *b = lur_emit_shape(emitter, x[i]);
  if (lur_emit_unbatched(emitter, x[0]) || lur_emit_unbatched(emitter, x[i]) || a->dim[0] == b->dim[0]) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "%s '%s': input 1 has %lld rows, input %d has %lld", layer->kind->name, layer->name,
                  (long long)a->dim[0], i + 1, (long long)b->dim[0]);
}

/* LUR_ETYPE unless all inputs are f32; LUR_ESHAPE for batches of different sizes. */
static lur_status need_inputs(const lur_layer *layer, const lur_emitter *emitter, int n, const int *x) {
  for (int i = 0; i < n; i++) {
    LUR_TRY(lur_layer_need_input(layer, emitter, x[i], -1, ""));
    for (int k = 0; k < i; k++) LUR_TRY(need_rows(layer, emitter, x, i));
  }
  return LUR_OK;
}

static lur_status broadcast(const lur_layer *layer, const lur_emitter *emitter, int n, const int *x, lur_shape *y) {
  for (int i = 1; i < n; i++) {
    const lur_shape *shapes[LUR_BROADCAST_MOST];
    for (int k = 0; k <= i; k++) shapes[k] = lur_emit_shape(emitter, x[k]);
    if (lur_broadcast_shape(i + 1, shapes, y) != LUR_OK)
      return mismatch(layer, emitter, x, i, "equal extents, or 1, expected, aligned at the last dimension");
  }
  return LUR_OK;
}

/* A number meets every shape: it cannot be a mistake. */
static bool is_number(const lur_emitter *emitter, int x) {
  return lur_emit_unbatched(emitter, x) && lur_emit_shape(emitter, x)->ndim == 1;
}

static lur_status need_equal(const lur_layer *layer, const lur_emitter *emitter, int n, const int *x) {
  for (int i = 1; i < n; i++) {
    const lur_shape a = lur_emit_sample(emitter, x[0]), b = lur_emit_sample(emitter, x[i]);
    const lur_shape *shapes[2] = {lur_emit_shape(emitter, x[0]), lur_emit_shape(emitter, x[i])};
    lur_shape y;
    if (lur_shape_equal(&a, &b) || is_number(emitter, x[0]) || is_number(emitter, x[i])) continue;
    const bool could = lur_broadcast_shape(2, shapes, &y) == LUR_OK;
    return mismatch(layer, emitter, x, i,
                    could ? "equal shapes expected; broadcast = true repeats the smaller one, and so do operators"
                          : "equal shapes expected");
  }
  return LUR_OK;
}

/* ---- functions of two ---- */

lur_status lur_emit_binary(lur_emitter *emitter, const lur_layer *layer, lur_binary function, int a, int b, int *y) {
  const int x[2] = {a, b};
  lur_op_desc desc = {.kind = LUR_OP_BINARY, .y.dtype = LUR_F32, .u.binary = {.function = function}};
  LUR_TRY(need_inputs(layer, emitter, 2, x));
  LUR_TRY(broadcast(layer, emitter, 2, x, &desc.y.shape));
  return lur_emit(emitter, layer, &desc, 2, x, 0, NULL, y);
}

lur_status lur_emit_constant(lur_emitter *emitter, const lur_layer *layer, double value, int *y) {
  lur_op_desc desc = {
      .kind = LUR_OP_PARAMETER, .y = {LUR_F32, {.ndim = 1, .dim = {1}}}, .u.parameter = {.value = value}};
  return lur_emit(emitter, layer, &desc, 0, NULL, 0, NULL, y);
}

/* The inputs one after another. */
static lur_status emit_chain(const lur_layer *layer, lur_emitter *emitter, lur_binary function, int n, const int *x,
                             int *y) {
  int value = x[0];
  LUR_TRY(need_inputs(layer, emitter, n, x));
  for (int i = 1; i < n; i++) LUR_TRY(lur_emit_binary(emitter, layer, function, value, x[i], &value));
  *y = value;
  return LUR_OK;
}

typedef struct merge {
  bool broadcast;
} merge;

static const lur_option merge_options[] = {{.name = "broadcast",
                                            .type = LUR_OPT_BOOL,
                                            .offset = offsetof(merge, broadcast),
                                            .def = "false",
                                            .help = "repeats inputs along dimensions where they have extent 1 or none"},
                                           {0}};

static const char *const later[] = {"broadcast", NULL};

static lur_status emit_merge(const lur_layer *layer, lur_emitter *emitter, lur_binary function, int n, const int *x,
                             int *y) {
  LUR_TRY(need_inputs(layer, emitter, n, x));
  if (!((const merge *)layer->options)->broadcast) LUR_TRY(need_equal(layer, emitter, n, x));
  return emit_chain(layer, emitter, function, n, x, y);
}

#define MERGE_KIND(kind, op, most, keras, text)                                                                        \
  static lur_status emit_##kind(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {           \
    return emit_merge(layer, emitter, op, n, x, y);                                                                    \
  }                                                                                                                    \
  const lur_layer_type lur_layer_##kind = {.name = #kind,                                                              \
                                           .auto_name = keras,                                                         \
                                           .help = text,                                                               \
                                           .options = merge_options,                                                   \
                                           .options_size = sizeof(merge),                                              \
                                           .later_options = later,                                                     \
                                           .min_inputs = 2,                                                            \
                                           .max_inputs = most,                                                         \
                                           .numbers = true,                                                            \
                                           .emit = emit_##kind}

MERGE_KIND(add, LUR_ADD, -1, "add", "the sum of its inputs");
MERGE_KIND(sub, LUR_SUB, 2, "subtract", "the first input minus the second");
MERGE_KIND(mul, LUR_MUL, -1, "multiply", "the product of its inputs, element by element");
MERGE_KIND(maximum, LUR_MAXIMUM, -1, "maximum", "the largest of its inputs, element by element");
MERGE_KIND(minimum, LUR_MINIMUM, -1, "minimum", "the smallest of its inputs, element by element");

#define BINARY_KIND(kind, op, text)                                                                                    \
  static lur_status emit_##kind(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {           \
    return emit_chain(layer, emitter, op, n, x, y);                                                                    \
  }                                                                                                                    \
  const lur_layer_type lur_layer_##kind = {                                                                            \
      .name = #kind, .help = text, .min_inputs = 2, .max_inputs = 2, .numbers = true, .emit = emit_##kind}

BINARY_KIND(div, LUR_DIV, "the first input divided by the second; they broadcast");
BINARY_KIND(pow, LUR_POW, "the first input to the power of the second; they broadcast");
BINARY_KIND(gt, LUR_GT, "1 where the first input is greater than the second, else 0; they broadcast; no gradient");
BINARY_KIND(ge, LUR_GE, "1 where the first input is at least the second, else 0; they broadcast; no gradient");
BINARY_KIND(lt, LUR_LT, "1 where the first input is less than the second, else 0; they broadcast; no gradient");
BINARY_KIND(le, LUR_LE, "1 where the first input is at most the second, else 0; they broadcast; no gradient");
BINARY_KIND(eq, LUR_EQ, "1 where the inputs are equal, else 0; they broadcast; no gradient");
BINARY_KIND(ne, LUR_NE, "1 where the inputs differ, else 0; they broadcast; no gradient");

/* ---- where ---- */

static lur_status emit_where(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  lur_op_desc desc = {.kind = LUR_OP_WHERE, .y.dtype = LUR_F32};
  LUR_TRY(need_inputs(layer, emitter, n, x));
  LUR_TRY(broadcast(layer, emitter, n, x, &desc.y.shape));
  return lur_emit(emitter, layer, &desc, n, x, 0, NULL, y);
}

const lur_layer_type lur_layer_where = {.name = "where",
                                        .help = "the second input where the first is not 0, else the third; they "
                                                "broadcast",
                                        .min_inputs = 3,
                                        .max_inputs = 3,
                                        .numbers = true,
                                        .emit = emit_where};

/* ---- power: a constant exponent ---- */

typedef struct power {
  double exponent;
} power;

static const lur_option power_options[] = {
    {.name = "exponent", .type = LUR_OPT_REAL, .offset = offsetof(power, exponent), .help = "a constant"}, {0}};

static lur_status emit_function(const lur_layer *layer, lur_emitter *emitter, lur_activation function, int x, int *y) {
  lur_op_desc desc = {.kind = LUR_OP_ACTIVATION, .u.activation = {.function = function}};
  lur_emit_like(emitter, x, &desc);
  return lur_emit(emitter, layer, &desc, 1, &x, 0, NULL, y);
}

/* x to the power 1/2 or 1 to 4, by a root or products; *y is -1 for other exponents. */
static lur_status emit_small_power(const lur_layer *layer, lur_emitter *emitter, double exponent, int x, int *y) {
  int square = -1;
  *y = -1;
  if (exponent == 0.5) return emit_function(layer, emitter, LUR_SQRT, x, y);
  if (exponent == 1) *y = x;
  if (exponent != 2 && exponent != 3 && exponent != 4) return LUR_OK;
  LUR_TRY(emit_function(layer, emitter, LUR_SQUARE, x, &square));
  if (exponent == 4) return emit_function(layer, emitter, LUR_SQUARE, square, y);
  if (exponent == 3) return lur_emit_binary(emitter, layer, LUR_MUL, square, x, y);
  *y = square;
  return LUR_OK;
}

static lur_status emit_power(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const double exponent = ((const power *)layer->options)->exponent;
  int constant, value;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  LUR_TRY(emit_small_power(layer, emitter, exponent < 0 ? -exponent : exponent, x[0], &value));
  if (value >= 0 && exponent > 0) {
    *y = value;
    return LUR_OK;
  }
  LUR_TRY(lur_emit_constant(emitter, layer, value >= 0 ? 1 : exponent, &constant));
  if (value >= 0) return lur_emit_binary(emitter, layer, LUR_DIV, constant, value, y);
  return lur_emit_binary(emitter, layer, LUR_POW, x[0], constant, y);
}

const lur_layer_type lur_layer_power = {.name = "power",
                                        .help = "x to a constant power",
                                        .options = power_options,
                                        .options_size = sizeof(power),
                                        .min_inputs = 1,
                                        .max_inputs = 1,
                                        .emit = emit_power};
