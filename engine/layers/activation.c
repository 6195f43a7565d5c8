/* activation.c - functions applied element by element, and softmax: the kind `activation`, one kind for each common
 * function, and the `activation` option of other kinds. A new function: LUR_ACTIVATIONS in kernels/op_desc.h (see
 * kernels/README.md), and optionally a kind of its own at the end. */
#include <string.h>

#include "layers.h"

/* Positions in lur_activation_names; those between are the lur_activation constants, in order. */
enum { LINEAR = 0, FIRST_FUNCTION = 1, SOFTMAX = FIRST_FUNCTION + LUR_ACTIVATION_COUNT };

lur_status lur_emit_activation(lur_emitter *emitter, const lur_layer *layer, int activation, int x, int *y) {
  if (activation == LINEAR) {
    *y = x;
    return LUR_OK;
  }
  LUR_TRY(lur_layer_need_input(layer, emitter, x, -1, ""));
  lur_op_desc desc = {.kind = activation == SOFTMAX ? LUR_OP_SOFTMAX : LUR_OP_ACTIVATION};
  lur_emit_like(emitter, x, &desc);
  if (activation != SOFTMAX) {
    desc.u.activation.function = (lur_activation)(activation - FIRST_FUNCTION);
    desc.u.activation.slope = LUR_LEAKY_SLOPE;
  } else if (desc.y.shape.ndim < 2) {
    lur_shape sample = lur_emit_sample(emitter, x);
    return lur_layer_need_dims(layer, &sample, 1, "classes");
  }
  return lur_emit(emitter, layer, &desc, 1, &x, 0, NULL, y);
}

typedef struct activation {
  int function;
} activation;

static const lur_option options[] = {{.name = "function",
                                      .type = LUR_OPT_CHOICE,
                                      .offset = offsetof(activation, function),
                                      .choices = lur_activation_names,
                                      .help = "name of the function"},
                                     {0}};

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  return lur_emit_activation(emitter, layer, ((const activation *)layer->options)->function, x[0], y);
}

const lur_layer_type lur_layer_activation = {.name = "activation",
                                             .help = "a function applied element by element, or softmax",
                                             .options = options,
                                             .options_size = sizeof(activation),
                                             .min_inputs = 1,
                                             .max_inputs = 1,
                                             .emit = emit};

/* The kinds that are named after their function. */
static lur_status emit_named(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  int function = LINEAR;
  (void)n;
  for (int i = 0; lur_activation_names[i]; i++) {
    if (strcmp(lur_activation_names[i], layer->kind->name) == 0) function = i;
  }
  return lur_emit_activation(emitter, layer, function, x[0], y);
}

#define NAMED_KIND(kind, text)                                                                                         \
  const lur_layer_type lur_layer_##kind = {                                                                            \
      .name = #kind, .help = text, .min_inputs = 1, .max_inputs = 1, .emit = emit_named}
NAMED_KIND(relu, "max(x, 0)");
NAMED_KIND(sigmoid, "1 / (1 + exp(-x))");
NAMED_KIND(tanh, "hyperbolic tangent");
NAMED_KIND(softmax, "exp(x), divided by its sum over the last dimension");
NAMED_KIND(square, "x * x");
NAMED_KIND(abs, "|x|");
NAMED_KIND(exp, "exp(x)");
NAMED_KIND(log, "natural logarithm");
NAMED_KIND(sqrt, "square root");
NAMED_KIND(gelu, "x * Phi(x), Phi the cumulative distribution of the standard normal distribution");
NAMED_KIND(silu, "x * sigmoid(x), also known as swish");
NAMED_KIND(elu, "x where x > 0, else exp(x) - 1");
NAMED_KIND(relu6, "min(max(x, 0), 6)");
NAMED_KIND(hard_sigmoid, "min(max(x + 3, 0), 6) / 6");
NAMED_KIND(hard_swish, "x * min(max(x + 3, 0), 6) / 6");
NAMED_KIND(softplus, "log(1 + exp(x))");

/* ---- leaky_relu ---- */

typedef struct leaky_relu {
  double slope;
} leaky_relu;

static const lur_option leaky_relu_options[] = {{.name = "slope",
                                                 .type = LUR_OPT_REAL,
                                                 .offset = offsetof(leaky_relu, slope),
                                                 .def = "0.01",
                                                 .min = 0,
                                                 .max = 1,
                                                 .help = "factor of negative numbers; 0.3 is Keras's default"},
                                                {0}};

static lur_status emit_leaky_relu(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  lur_op_desc desc = {.kind = LUR_OP_ACTIVATION};
  (void)n;
  desc.u.activation = (lur_activation_desc){LUR_LEAKY_RELU, ((const leaky_relu *)layer->options)->slope};
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], -1, ""));
  lur_emit_like(emitter, x[0], &desc);
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, y);
}

const lur_layer_type lur_layer_leaky_relu = {.name = "leaky_relu",
                                             .help = "x where x > 0, else slope * x",
                                             .options = leaky_relu_options,
                                             .options_size = sizeof(leaky_relu),
                                             .min_inputs = 1,
                                             .max_inputs = 1,
                                             .emit = emit_leaky_relu};
