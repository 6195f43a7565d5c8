/* one_hot.c - cases of one_hot. */
#include "suite.h"

static void check(suite *s, lur_operand x, int classes) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_ONE_HOT, "%s of %d classes", lur_shape_format(&x.shape, text), classes);
  c.desc.nx = 1;
  c.desc.x[0] = c.desc.y = x;
  c.desc.y.dtype = LUR_F32;
  c.desc.y.shape.dim[c.desc.y.shape.ndim++] = classes;
  c.limit = classes;
  suite_check(s, &c);
}

/* Ids outside of the classes give rows of zeros. */
static void golden(suite *s) {
  static const int32_t ids[] = {2, 0, -1, 3};
  static const double y[] = {0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  lur_op_desc d = {.kind = LUR_OP_ONE_HOT, .nx = 1, .x = {I32(4)}, .y = F32(4, 3)};
  for (int k = 0; k < suite_devices(s); k++) {
    float got[12];
    if (!suite_run(s, suite_device(s, k), &d, &(plain_args){.x = {ids}, .y = got})) continue;
    suite_near(s, "one_hot by hand", suite_device(s, k), got, y, 12, 0, 0);
  }
}

void ops_one_hot(suite *s) {
  check(s, I32(1), 1);
  check(s, I32(7), 3);
  check(s, I32(3, 5), 4);
  check(s, I32(2, 3, 5), 33);
  check(s, I32(65), 1000);
  golden(s);
  lur_op_desc d = {.kind = LUR_OP_ONE_HOT, .nx = 1, .x = {F32(4)}, .y = F32(4, 3)};
  suite_reject(s, "ids as numbers", &d, LUR_ETYPE, "i32 expected");
  d.x[0] = I32(4);
  d.y = F32(3, 4);
  suite_reject(s, "classes first", &d, LUR_ESHAPE, "y is 3x4");
  d.y = F32(4);
  suite_reject(s, "no classes", &d, LUR_ESHAPE, "y is 4");
  d.y = I32(4, 3);
  suite_reject(s, "whole numbers", &d, LUR_ETYPE, "f32 expected");
  d.y = F32(4, 3);
  d.want_dx = 1;
  suite_reject(s, "gradient of ids", &d, LUR_EARG, "no gradient");
}
