/* affine.c - cases of affine. */
#include "suite.h"

static void check(suite *s, double scale, double shift, lur_operand x) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_AFFINE, "%g * x + %g, %s", scale, shift, lur_shape_format(&x.shape, text));
  c.desc.nx = 1;
  c.desc.x[0] = c.desc.y = x;
  c.desc.u.affine = (lur_affine_desc){scale, shift};
  suite_check(s, &c);
}

void ops_affine(suite *s) {
  check(s, 2, 0, F32(1));
  check(s, 1, -0.5, F32(3, 7));
  check(s, -1.0 / 127.5, 1, F32(2, 5, 3, 33));
  check(s, 0, 3, F32(9));
  check(s, 1.5, -2, F32(24581)); /* a little more than three blocks of the cpu's loops */
  lur_op_desc d = {.kind = LUR_OP_AFFINE, .nx = 1, .x = {I32(3)}, .y = I32(3)};
  suite_reject(s, "integers", &d, LUR_ETYPE, "i32");
  d = (lur_op_desc){.kind = LUR_OP_AFFINE, .nx = 0, .y = F32(3)};
  suite_reject(s, "no input", &d, LUR_EARG, "0 inputs");
}
