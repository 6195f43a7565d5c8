/* copy.c - cases of copy. */
#include "suite.h"

static void check(suite *s, lur_operand x, lur_operand y) {
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_COPY, "%s %s to %s", lur_dtype_name(x.dtype), lur_shape_format(&x.shape, a),
                         lur_shape_format(&y.shape, b));
  c.desc.nx = 1;
  c.desc.x[0] = x;
  c.desc.y = y;
  c.limit = 1000;
  suite_check(s, &c);
}

void ops_copy(suite *s) {
  check(s, F32(1), F32(1));
  check(s, F32(2, 3, 4, 5), F32(2, 60));
  check(s, F32(7, 33), F32(7, 3, 11));
  check(s, F32(24581), F32(24581, 1));
  check(s, I32(5, 3), I32(15));
  check(s, (lur_operand){LUR_U8, SHAPE(5, 3)}, (lur_operand){LUR_U8, SHAPE(15)});
  lur_op_desc d = {.kind = LUR_OP_COPY, .nx = 1, .x = {F32(2, 3)}, .y = F32(7)};
  suite_reject(s, "other count", &d, LUR_ESHAPE, "y is 7");
  d.y = I32(6);
  suite_reject(s, "other type", &d, LUR_ETYPE, "i32");
  d = (lur_op_desc){.kind = LUR_OP_COPY, .nx = 1, .x = {I32(6)}, .y = I32(6), .want_dx = 1};
  suite_reject(s, "gradient of integers", &d, LUR_ETYPE, "no gradient");
}
