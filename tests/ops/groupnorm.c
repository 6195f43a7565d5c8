/* groupnorm.c - cases of groupnorm. */
#include "suite.h"

static op_case make(lur_operand x, int64_t groups, bool gamma, bool beta) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_GROUPNORM, "%s in %lld groups%s%s", lur_shape_format(&x.shape, text),
                         (long long)groups, gamma ? " gamma" : "", beta ? " beta" : "");
  const lur_operand channels = F32(x.shape.dim[x.shape.ndim - 1]);
  c.desc.nx = 1;
  c.desc.nw = 2;
  c.desc.x[0] = c.desc.y = x;
  c.desc.w[0] = gamma ? channels : (lur_operand){0};
  c.desc.w[1] = beta ? channels : (lur_operand){0};
  c.desc.u.layernorm = (lur_layernorm_desc){1e-3, groups, gamma, beta};
  c.w[0] = FILL_POSITIVE;
  return c;
}

static void check(suite *s, lur_operand x, int64_t groups) {
  for (int flags = 0; flags < 4; flags++) {
    op_case c = make(x, groups, flags & 1, flags & 2);
    suite_check(s, &c);
  }
}

/* Two pixels of four channels in two groups: {1, 3, 5, 7} has mean 4 and variance 5; {2, 2, 2, 2} has variance 0. */
static void golden(suite *s) {
  static const float x[] = {1, 3, 2, 2, 5, 7, 2, 2};
  static float gamma[] = {1, 2, 3, 4}, beta[] = {0, 0, 1, 2};
  const double r = 1 / 3.0; /* epsilon 4 */
  const double y[] = {-3 * r, -2 * r, 1, 2, r, 6 * r, 1, 2};
  op_case c = make(F32(1, 2, 1, 4), 2, true, true);
  c.desc.u.layernorm.epsilon = 4;
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[8];
    lur_device *device = suite_device(s, k);
    if (suite_run(s, device, &c.desc, &(plain_args){.x = {x}, .w = {gamma, beta}, .y = gy}))
      suite_near(s, "groupnorm by hand: y", device, gy, y, 8, 1e-6, 1e-6);
  }
}

void ops_groupnorm(suite *s) {
  check(s, F32(3, 8), 2);
  check(s, F32(2, 5, 6), 6);
  check(s, F32(2, 5, 5, 9), 1);
  check(s, F32(2, 5, 5, 9), 3);
  check(s, F32(1, 9, 7, 32), 8);
  check(s, F32(3, 2, 2, 3, 8), 4);
  check(s, F32(1, 40, 30, 12), 4);
  golden(s);
  for (int i = 0; i < 2; i++) {
    op_case c = make(i ? F32(2, 5, 6, 24) : F32(2, 3, 3, 6), i ? 4 : 2, true, true);
    suite_half(s, i ? "24 channels" : "6 channels", c.desc, 0);
  }
  lur_op_desc d = make(F32(2, 4, 6), 4, true, true).desc;
  suite_reject(s, "groups", &d, LUR_ESHAPE, "6 channels cannot be divided into 4 groups");
  d.u.layernorm.groups = 0;
  suite_reject(s, "no groups", &d, LUR_ESHAPE, "0 groups");
  d = make(F32(4), 2, true, true).desc;
  suite_reject(s, "no batch", &d, LUR_ESHAPE, "1 dimensions, at least 2");
}
