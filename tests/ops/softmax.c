/* softmax.c - cases of softmax. */
#include "suite.h"

static void check(suite *s, lur_operand x, fill f) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_SOFTMAX, "%s", lur_shape_format(&x.shape, text));
  c.desc.nx = 1;
  c.desc.x[0] = c.desc.y = x;
  c.x[0] = f;
  suite_check(s, &c);
}

/* Large logits must not overflow; softmax(0, ln 2, ln 5) = 1/8, 2/8, 5/8. */
static void golden(suite *s) {
  static const float x[] = {1000, 1000, 0, 0, 0.6931471805599453f, 1.6094379124341003f, -1000, -1000, -2000};
  static const double y[] = {0.5, 0.5, 0, 0.125, 0.25, 0.625, 0.5, 0.5, 0};
  lur_op_desc d = {.kind = LUR_OP_SOFTMAX, .nx = 1, .x = {F32(3, 3)}, .y = F32(3, 3)};
  for (int k = 0; k < suite_devices(s); k++) {
    float got[9];
    if (suite_run(s, suite_device(s, k), &d, &(plain_args){.x = {x}, .y = got}))
      suite_near(s, "softmax by hand", suite_device(s, k), got, y, 9, 1e-7, 1e-6);
  }
}

void ops_softmax(suite *s) {
  check(s, F32(1, 1), FILL_UNIFORM);
  check(s, F32(1, 2), FILL_UNIFORM);
  check(s, F32(5), FILL_WIDE);
  check(s, F32(7, 3), FILL_WIDE);
  check(s, F32(9, 100), FILL_WIDE);
  check(s, F32(2, 1000), FILL_WIDE);
  check(s, F32(2, 3, 5, 17), FILL_UNIFORM);
  golden(s);
  lur_op_desc d = {.kind = LUR_OP_SOFTMAX, .nx = 1, .x = {{LUR_F32, {0, {0}}}}, .y = {LUR_F32, {0, {0}}}};
  suite_reject(s, "a scalar", &d, LUR_ESHAPE, "scalar");
  d = (lur_op_desc){.kind = LUR_OP_SOFTMAX, .nx = 2, .x = {F32(2, 3), F32(2, 3)}, .y = F32(2, 3)};
  suite_reject(s, "two inputs", &d, LUR_EARG, "inputs");
}
