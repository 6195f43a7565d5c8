/* concat.c - cases of concat. */
#include "suite.h"

static void check(suite *s, int axis, int n, const lur_operand *x) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_CONCAT, "%d inputs from %s along %d", n, lur_shape_format(&x[0].shape, text), axis);
  c.desc.nx = n;
  c.desc.y = x[0];
  c.desc.y.shape.dim[axis] = 0;
  for (int i = 0; i < n; i++) {
    c.desc.x[i] = x[i];
    if (axis > 0 && x[i].shape.dim[0] > c.desc.y.shape.dim[0]) c.desc.y.shape.dim[0] = x[i].shape.dim[0];
    c.desc.y.shape.dim[axis] += x[i].shape.dim[axis];
  }
  c.desc.u.concat.axis = axis;
  suite_check(s, &c);
}

void ops_concat(suite *s) {
  check(s, 0, 1, (lur_operand[]){F32(3)});
  check(s, 0, 2, (lur_operand[]){F32(3), F32(5)});
  check(s, 1, 3, (lur_operand[]){F32(2, 1), F32(2, 4), F32(2, 3)});
  check(s, 3, 4, (lur_operand[]){F32(2, 5, 5, 3), F32(2, 5, 5, 16), F32(2, 5, 5, 1), F32(2, 5, 5, 7)});
  check(s, 1, 2, (lur_operand[]){F32(2, 2, 3, 4), F32(2, 5, 3, 4)});
  check(s, 2, 2, (lur_operand[]){F32(2, 3, 1, 4), F32(2, 3, 2, 4)});
  check(s, 0, 2, (lur_operand[]){F32(1, 2, 3), F32(2, 2, 3)});
  check(s, 3, 2, (lur_operand[]){F32(2, 17, 16, 33), F32(2, 17, 16, 7)});
  check(s, 0, 2, (lur_operand[]){F32(12000), F32(12581)});
  check(s, 1, 2, (lur_operand[]){F32(1, 1, 5), F32(3, 4, 5)}); /* repeated, like the class token of a ViT */
  check(s, 2, 3, (lur_operand[]){F32(4, 3, 8), F32(1, 3, 4), F32(4, 3, 4)});
  check(s, 3, 2, (lur_operand[]){F32(5, 2, 3, 7), F32(1, 2, 3, 2)});
  lur_operand many[LUR_MAX_OPERANDS];
  for (int i = 0; i < LUR_MAX_OPERANDS; i++) many[i] = F32(3, i % 3 + 1);
  check(s, 1, LUR_MAX_OPERANDS, many);
  lur_op_desc d = {.kind = LUR_OP_CONCAT, .nx = 2, .x = {F32(2, 3), F32(3, 3)}, .y = F32(2, 6), .u.concat = {1}};
  suite_reject(s, "other rows", &d, LUR_ESHAPE, "x[1] is 3x3");
  d.x[1] = F32(2, 4);
  suite_reject(s, "y too narrow", &d, LUR_ESHAPE, "y is 2x6");
  d = (lur_op_desc){.kind = LUR_OP_CONCAT, .nx = 2, .x = {F32(3, 1), F32(2, 1)}, .y = F32(3, 2), .u.concat = {1}};
  suite_reject(s, "2 of 3 rows", &d, LUR_ESHAPE, "x[1] is 2x1");
  d = (lur_op_desc){.kind = LUR_OP_CONCAT, .nx = 2, .x = {F32(2, 3), F32(2, 4)}, .y = F32(2, 7)};
  d.u.concat.axis = 2;
  suite_reject(s, "no such axis", &d, LUR_EARG, "axis 2");
  d.u.concat.axis = -1;
  suite_reject(s, "negative axis", &d, LUR_EARG, "axis -1");
  d = (lur_op_desc){.kind = LUR_OP_CONCAT, .nx = LUR_MAX_OPERANDS + 1, .y = F32(2, 6)};
  suite_reject(s, "too many inputs", &d, LUR_EARG, "17 inputs");
}
