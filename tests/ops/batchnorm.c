/* batchnorm.c - cases of batchnorm. */
#include "suite.h"

enum { BATCH = 1, NO_GAMMA = 2, NO_BETA = 4, RESIDUAL = 8, RELU = 16, AFFINE_OUT = 32 };

static op_case case_of(lur_operand x, int flags) {
  char text[LUR_SHAPE_TEXT];
  int64_t c = x.shape.dim[x.shape.ndim - 1];
  op_case k = suite_case(LUR_OP_BATCHNORM, "%s %s%s%s%s%s%s", lur_shape_format(&x.shape, text),
                         flags & BATCH ? "batch" : "moving", flags & NO_GAMMA ? " no gamma" : "",
                         flags & NO_BETA ? " no beta" : "", flags & RESIDUAL ? " residual" : "",
                         flags & RELU ? " relu" : "", flags & AFFINE_OUT ? " affine_out" : "");
  k.desc.nx = flags & RESIDUAL ? 2 : 1;
  k.desc.nw = 4;
  k.desc.x[0] = k.desc.x[1] = k.desc.y = x;
  for (int i = 0; i < 4; i++) k.desc.w[i] = F32(c);
  if (flags & NO_GAMMA) k.desc.w[0] = (lur_operand){0};
  if (flags & NO_BETA) k.desc.w[1] = (lur_operand){0};
  k.desc.u.batchnorm = (lur_batchnorm_desc){
      1e-3, 0.99, flags & BATCH, !(flags & NO_GAMMA), !(flags & NO_BETA), flags & RELU, flags & AFFINE_OUT};
  if (flags & AFFINE_OUT) k.desc.y = F32(2, c);
  k.optional = flags & AFFINE_OUT;
  k.w[0] = k.w[3] = FILL_POSITIVE;
  k.w[1] = k.w[2] = FILL_UNIFORM;
  k.atol = 1e-5; /* one row: dx is the difference of equal numbers times 1 / sqrt(epsilon) */
  k.slope_atol = 1e-3;
  return k;
}

/* Columns 1 3 and 2 6: means 2 4, biased variances 1 4, epsilon 0: y = -+gamma + beta. Moving statistics 10 and 20 at
   momentum 0.9 become 10 - (10 - 2) / 10 and so on. Keras 2.0.6 uses the biased variance. */
static void golden(suite *s) {
  static const float x[] = {1, 2, 3, 6};
  static const double y[] = {-2.5, -2, 3.5, 4}, mean[] = {9.2, 18.4}, variance[] = {9.1, 18.4};
  lur_op_desc d = {.kind = LUR_OP_BATCHNORM,
                   .nx = 1,
                   .nw = 4,
                   .x = {F32(2, 2)},
                   .w = {F32(2), F32(2), F32(2), F32(2)},
                   .y = F32(2, 2),
                   .u.batchnorm = {1e-12, 0.9, true, true, true, false, false}};
  for (int k = 0; k < suite_devices(s); k++) {
    lur_device *device = suite_device(s, k);
    float gamma[] = {3, 3}, beta[] = {0.5f, 1}, m[] = {10, 20}, v[] = {10, 20}, got[4];
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .w = {gamma, beta, m, v}, .y = got})) continue;
    suite_near(s, "batchnorm by hand: y", device, got, y, 4, 1e-5, 1e-5);
    suite_near(s, "batchnorm by hand: moving mean", device, m, mean, 2, 0, 1e-6);
    suite_near(s, "batchnorm by hand: moving variance", device, v, variance, 2, 0, 1e-6);
  }
}

/* A mean far from zero: E[x^2] - E[x]^2 in float would lose the variance. */
static void far_mean(suite *s) {
  enum { ROWS = 64 };
  float x[ROWS], y[ROWS];
  double expected[ROWS];
  for (int i = 0; i < ROWS; i++) {
    x[i] = 1000 + (i % 2 ? 0.125f : -0.125f);
    expected[i] = i % 2 ? 1 : -1;
  }
  lur_op_desc d = {.kind = LUR_OP_BATCHNORM,
                   .nx = 1,
                   .nw = 4,
                   .x = {F32(ROWS, 1)},
                   .w = {F32(1), F32(1), F32(1), F32(1)},
                   .y = F32(ROWS, 1),
                   .u.batchnorm = {1e-9, 0.99, true, true, true, false, false}};
  for (int k = 0; k < suite_devices(s); k++) {
    float gamma[] = {1}, beta[] = {0}, m[] = {0}, v[] = {1};
    if (suite_run(s, suite_device(s, k), &d, &(plain_args){.x = {x}, .w = {gamma, beta, m, v}, .y = y}))
      suite_near(s, "batchnorm far from zero", suite_device(s, k), y, expected, ROWS, 1e-3, 0);
  }
}

static void errors(suite *s) {
  const lur_op_desc good = case_of(F32(4, 3), BATCH).desc;
  lur_op_desc d = good;
  d.w[2] = F32(4);
  suite_reject(s, "mean of another length", &d, LUR_ESHAPE, "mean is 4");
  d = good, d.want_dw = 4;
  suite_reject(s, "gradient of the mean", &d, LUR_EARG, "no gradient");
  d = good, d.u.batchnorm.has_gamma = false, d.want_dw = 1;
  suite_reject(s, "gradient of no gamma", &d, LUR_EARG, "not there");
  d = good, d.nw = 2;
  suite_reject(s, "no statistics", &d, LUR_EARG, "weights");
  d = good, d.u.batchnorm.epsilon = 0;
  suite_reject(s, "epsilon 0", &d, LUR_EARG, "epsilon");
  d = good, d.y = F32(3, 4);
  suite_reject(s, "y unlike x", &d, LUR_ESHAPE, "y is 3x4");
  d = good, d.u.batchnorm.affine_out = true;
  suite_reject(s, "y no affine", &d, LUR_ESHAPE, "y is 4x3");
}

void ops_batchnorm(suite *s) {
  static const int flags[] = {0,
                              NO_GAMMA,
                              NO_BETA,
                              NO_GAMMA | NO_BETA,
                              RESIDUAL,
                              RELU,
                              RESIDUAL | RELU,
                              NO_GAMMA | RELU,
                              AFFINE_OUT,
                              AFFINE_OUT | NO_GAMMA,
                              AFFINE_OUT | NO_BETA};
  const lur_operand shapes[] = {F32(1, 1),       F32(1, 3),        F32(7, 1),       F32(5, 7),
                                F32(2, 3, 5, 3), F32(2, 4, 3, 17), F32(2, 7, 5, 32)};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (size_t k = 0; k < 2 * sizeof flags / sizeof *flags; k++) {
      op_case c = case_of(shapes[i], flags[k / 2] | (k % 2 ? BATCH : 0));
      suite_check(s, &c);
    }
  op_case wide = case_of(F32(2, 5, 5, 728), BATCH | RELU);
  suite_check(s, &wide);
  for (size_t k = 0; k < 2 * sizeof flags / sizeof *flags; k++) {
    op_case deep = case_of(F32(8, 19, 19, 5), flags[k / 2] | (k % 2 ? BATCH : 0));
    suite_check(s, &deep);
  }
  golden(s);
  far_mean(s);
  errors(s);
}
