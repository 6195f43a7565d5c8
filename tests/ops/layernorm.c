/* layernorm.c - cases of layernorm. Its gradients are compared with finite differences like every op's. */
#include <math.h>

#include "suite.h"

static op_case make(lur_operand x, bool gamma, bool beta) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_LAYERNORM, "%s%s%s", lur_shape_format(&x.shape, text), gamma ? " gamma" : "",
                         beta ? " beta" : "");
  const lur_operand channels = F32(x.shape.dim[x.shape.ndim - 1]);
  c.desc.nx = 1;
  c.desc.nw = 2;
  c.desc.x[0] = c.desc.y = x;
  c.desc.w[0] = gamma ? channels : (lur_operand){0};
  c.desc.w[1] = beta ? channels : (lur_operand){0};
  c.desc.u.layernorm = (lur_layernorm_desc){.epsilon = 1e-3, .has_gamma = gamma, .has_beta = beta};
  c.w[0] = FILL_POSITIVE;
  return c;
}

static void check(suite *s, lur_operand x) {
  for (int flags = 0; flags < 4; flags++) {
    op_case c = make(x, flags & 1, flags & 2);
    suite_check(s, &c);
  }
}

/* torch 2.1: layer_norm([[1, 2, 3, 6], [0, 0, 0, 0]], [4], gamma, beta, eps=0.5); the gradients by its autograd. */
static void golden(suite *s) {
  static const float x[] = {1, 2, 3, 6, 0, 0, 0, 0}, dy[] = {1, 0, 0, 2, 1, 0, 0, 0};
  static float gamma[] = {1, 2, 1, 0.5f}, beta[] = {0, 1, 0, 0};
  const double r = 1 / 2.0, h[] = {-2 * r, -1 * r, 0, 3 * r}; /* mean 3, variance 3.5 */
  const double y[] = {h[0], 2 * h[1] + 1, h[2], h[3] * 0.5, 0, 1, 0, 0};
  const double z = 1 / sqrt(0.5); /* the second row: h is 0 */
  const double m = 0.5, q = (h[0] + h[3]) / 4; /* g is 1 0 0 1 */
  const double dx[] = {r * (1 - m - h[0] * q), r * (-m - h[1] * q), r * (-m - h[2] * q), r * (1 - m - h[3] * q),
                       z * 0.75,               z * -0.25,           z * -0.25,           z * -0.25};
  const double dgamma[] = {h[0], 0, 0, 2 * h[3]}, dbeta[] = {2, 0, 0, 2};
  op_case c = make(F32(2, 4), true, true);
  c.desc.u.layernorm.epsilon = 0.5;
  c.desc.want_dx = 1;
  c.desc.want_dw = 3;
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[8], gx[8], gg[4], gb[4];
    lur_device *device = suite_device(s, k);
    const plain_args args = {.x = {x}, .w = {gamma, beta}, .y = gy, .dy = dy, .dx = {gx}, .dw = {gg, gb}};
    if (!suite_run(s, device, &c.desc, &args)) continue;
    suite_near(s, "layernorm by hand: y", device, gy, y, 8, 1e-6, 1e-6);
    suite_near(s, "layernorm by hand: dx", device, gx, dx, 8, 1e-6, 1e-6);
    suite_near(s, "layernorm by hand: dgamma", device, gg, dgamma, 4, 1e-6, 1e-6);
    suite_near(s, "layernorm by hand: dbeta", device, gb, dbeta, 4, 1e-6, 1e-6);
  }
}

/* A mean of 1000 does not cost the digits of the variance: the rows are k and k + 1, for which y is -1 and 1. */
static void large_mean(suite *s) {
  enum { C = 50 };
  float x[C], y[C];
  double expected[C];
  for (int i = 0; i < C; i++) x[i] = (float)(1000 + i % 2), expected[i] = i % 2 ? 1 : -1;
  op_case c = make(F32(1, C), false, false);
  c.desc.u.layernorm.epsilon = 1e-9;
  for (int k = 0; k < suite_devices(s); k++)
    if (suite_run(s, suite_device(s, k), &c.desc, &(plain_args){.x = {x}, .y = y}))
      suite_near(s, "layernorm with a large mean: y", suite_device(s, k), y, expected, C, 1e-5, 0);
}

void ops_layernorm(suite *s) {
  check(s, F32(5));
  check(s, F32(3, 7));
  check(s, F32(2, 3, 16));
  check(s, F32(2, 3, 2, 33));
  check(s, F32(70, 24));
  check(s, F32(4, 768));
  golden(s);
  large_mean(s);
  for (int i = 0; i < 2; i++) {
    op_case c = make(i ? F32(6, 40) : F32(2, 3, 7), true, true);
    suite_half(s, i ? "rows of 40" : "rows of 7", c.desc, 0);
  }
  lur_op_desc d = make(F32(2, 4), true, true).desc;
  d.w[0] = F32(3);
  suite_reject(s, "gamma of 3", &d, LUR_ESHAPE, "gamma is 3");
  d = make(F32(2, 4), true, true).desc;
  d.u.layernorm.epsilon = 0;
  suite_reject(s, "epsilon 0", &d, LUR_EARG, "epsilon");
  d = make(F32(2, 4), false, true).desc;
  d.want_dw = 1;
  suite_reject(s, "no gamma", &d, LUR_EARG, "not there");
  d = make(F32(2, 4), true, true).desc;
  d.y = F32(4, 2);
  suite_reject(s, "other y", &d, LUR_ESHAPE, "y is 4x2");
  d.nw = 1;
  suite_reject(s, "one weight", &d, LUR_EARG, "2 to 2 weights");
}
