/* activation.c - cases of activation. */
#include "suite.h"

#include <math.h>

typedef struct row {
  const char *name;
  lur_activation function;
  fill x;
} row;

static const row rows[] = {{"relu", LUR_RELU, FILL_AWAY},          {"relu with zeros", LUR_RELU, FILL_TIES},
                           {"sigmoid", LUR_SIGMOID, FILL_WIDE},    {"tanh", LUR_TANH, FILL_WIDE},
                           {"square", LUR_SQUARE, FILL_UNIFORM},   {"abs", LUR_ABS, FILL_AWAY},
                           {"abs with zeros", LUR_ABS, FILL_TIES}, {"exp", LUR_EXP, FILL_UNIFORM},
                           {"log", LUR_LOG, FILL_POSITIVE},        {"sqrt", LUR_SQRT, FILL_POSITIVE},
                           {"gelu", LUR_GELU, FILL_WIDE},          {"silu", LUR_SILU, FILL_WIDE},
                           {"leaky_relu", LUR_LEAKY_RELU, FILL_AWAY}, {"elu", LUR_ELU, FILL_AWAY},
                           {"leaky_relu with zeros", LUR_LEAKY_RELU, FILL_TIES},
                           {"relu6", LUR_RELU6, FILL_HALVES},      {"hard_sigmoid", LUR_HARD_SIGMOID, FILL_WIDE},
                           {"hard_swish", LUR_HARD_SWISH, FILL_WIDE}, {"softplus", LUR_SOFTPLUS, FILL_WIDE}};

static void check(suite *s, const row *r, lur_operand x) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_ACTIVATION, "%s %s", r->name, lur_shape_format(&x.shape, text));
  c.desc.nx = 1;
  c.desc.x[0] = c.desc.y = x;
  c.desc.u.activation = (lur_activation_desc){r->function, 0.2};
  c.x[0] = r->x;
  suite_check(s, &c);
}

/* Values by hand, also at the ends, where a formula overflows first. gelu(1) = erfc(-1 / sqrt 2) / 2; silu(1) =
   sigmoid(1); elu(-1) = 1/e - 1; softplus(1) = log(1 + e). */
static void golden(suite *s) {
  static const float x[] = {-200, -1, 0, 1, 200};
  static const double sigmoid[] = {0, 0.2689414213699951, 0.5, 0.7310585786300049, 1}, relu[] = {0, 0, 0, 1, 200},
                      tanhs[] = {-1, -0.7615941559557649, 0, 0.7615941559557649, 1},
                      gelu[] = {0, -0.15865525393145705, 0, 0.8413447460685429, 200},
                      silu[] = {0, -0.2689414213699951, 0, 0.7310585786300049, 200}, leaky[] = {-50, -0.25, 0, 1, 200},
                      elu[] = {-1, -0.6321205588285577, 0, 1, 200}, relu6[] = {0, 0, 0, 1, 6},
                      hard_sigmoid[] = {0, 1.0 / 3, 0.5, 2.0 / 3, 1}, hard_swish[] = {0, -1.0 / 3, 0, 2.0 / 3, 200},
                      softplus[] = {0, 0.31326168751822286, 0.6931471805599453, 1.3132616875182228, 200};
  const struct {
    lur_activation f;
    const double *y;
  } expected[] = {{LUR_SIGMOID, sigmoid}, {LUR_RELU, relu}, {LUR_TANH, tanhs}, {LUR_GELU, gelu},
                  {LUR_SILU, silu}, {LUR_LEAKY_RELU, leaky}, {LUR_ELU, elu}, {LUR_RELU6, relu6},
                  {LUR_HARD_SIGMOID, hard_sigmoid}, {LUR_HARD_SWISH, hard_swish}, {LUR_SOFTPLUS, softplus}};
  for (int k = 0; k < suite_devices(s); k++)
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
      float y[5];
      lur_op_desc d = {
          .kind = LUR_OP_ACTIVATION, .nx = 1, .x = {F32(5)}, .y = F32(5), .u.activation = {expected[i].f, 0.25}};
      if (suite_run(s, suite_device(s, k), &d, &(plain_args){.x = {x}, .y = y}))
        suite_near(s, "activation by hand", suite_device(s, k), y, expected[i].y, 5, 1e-7, 1e-6);
    }
}

/* The ReLU of NaN must be NaN, so that divergence is noticed. */
static void nan_passes(suite *s) {
  const float x[] = {1, NAN, -1};
  lur_op_desc d = {.kind = LUR_OP_ACTIVATION, .nx = 1, .x = {F32(3)}, .y = F32(3),
                   .u.activation = {.function = LUR_RELU}};
  for (int k = 0; k < suite_devices(s); k++) {
    float y[3];
    if (suite_run(s, suite_device(s, k), &d, &(plain_args){.x = {x}, .y = y}))
      suite_expect(s, y[0] == 1 && isnan(y[1]) && y[2] == 0, "relu on %s: NaN became %g", suite_device(s, k)->name,
                   (double)y[1]);
  }
}

void ops_activation(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    check(s, &rows[i], F32(1));
    check(s, &rows[i], F32(3, 5, 7));
    check(s, &rows[i], F32(2, 9, 11, 33));
    check(s, &rows[i], F32(24581)); /* a little more than three blocks of the cpu's loops */
  }
  golden(s);
  nan_passes(s);
  lur_op_desc d = {.kind = LUR_OP_ACTIVATION, .nx = 1, .x = {F32(3, 4)}, .y = F32(4, 3),
                   .u.activation = {.function = LUR_RELU}};
  suite_reject(s, "y of another shape", &d, LUR_ESHAPE, "y is 4x3");
  d.y = d.x[0];
  d.u.activation.function = (lur_activation)99;
  suite_reject(s, "unknown function", &d, LUR_EARG, "99");
  d.u.activation = (lur_activation_desc){LUR_LEAKY_RELU, -0.1};
  suite_reject(s, "negative slope", &d, LUR_EARG, "slope -0.1");
}
