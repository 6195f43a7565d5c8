/* parameter.c - cases of parameter. */
#include "suite.h"

static void check(suite *s, lur_operand w, lur_operand y) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_PARAMETER, "%s", lur_shape_format(&y.shape, text));
  c.desc.nw = 1;
  c.desc.w[0] = w;
  c.desc.y = y;
  suite_check(s, &c);
}

static void check_constant(suite *s, lur_operand y) {
  op_case c = suite_case(LUR_OP_PARAMETER, "constant");
  c.desc.y = y;
  c.desc.u.parameter.value = 2.5;
  suite_check(s, &c);
}

/* The gradient is added to what dw holds. */
static void golden(suite *s) {
  const lur_op_desc d = {.kind = LUR_OP_PARAMETER, .nw = 1, .w = {F32(3)}, .y = F32(1, 3), .want_dw = 1};
  const lur_op_desc constant = {.kind = LUR_OP_PARAMETER, .y = F32(1, 3), .u.parameter = {2.5}};
  static const float dy[] = {10, 20, 30};
  static const double y[] = {1, 2, 3}, two[] = {2.5, 2.5, 2.5};
  for (int k = 0; k < suite_devices(s); k++) {
    float w[] = {1, 2, 3}, gy[3], dw[3] = {0};
    lur_device *device = suite_device(s, k);
    if (suite_run(s, device, &d, &(plain_args){.w = {w}, .y = gy, .dy = dy, .dw = {dw}}))
      suite_near(s, "parameter by hand: y", device, gy, y, 3, 0, 0);
    if (suite_run(s, device, &constant, &(plain_args){.y = gy}))
      suite_near(s, "constant by hand: y", device, gy, two, 3, 0, 0);
  }
}

void ops_parameter(suite *s) {
  check(s, F32(1), F32(1, 1));
  check(s, F32(5, 3), F32(1, 5, 3));
  check(s, F32(24581), F32(1, 24581));
  check_constant(s, F32(1));
  check_constant(s, F32(1, 5, 41));
  golden(s);
  lur_op_desc d = {.kind = LUR_OP_PARAMETER, .nw = 1, .w = {F32(3)}, .y = F32(1, 4)};
  suite_reject(s, "another size", &d, LUR_ESHAPE, "y is 1x4");
  d.y = (lur_operand){LUR_BF16, SHAPE(1, 3)};
  suite_reject(s, "half", &d, LUR_ETYPE, "bf16");
  d.y = F32(1, 3);
  d.nx = 1;
  d.x[0] = d.y;
  suite_reject(s, "an input", &d, LUR_EARG, "inputs");
}
