/* where.c - cases of where. */
#include "suite.h"

#include <math.h>

static void check(suite *s, lur_operand condition, lur_operand a, lur_operand b, lur_operand y) {
  char tc[LUR_SHAPE_TEXT], ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_WHERE, "%s, %s, %s", lur_shape_format(&condition.shape, tc),
                         lur_shape_format(&a.shape, ta), lur_shape_format(&b.shape, tb));
  c.desc.nx = 3;
  c.desc.x[0] = condition;
  c.desc.x[1] = a;
  c.desc.x[2] = b;
  c.desc.y = y;
  c.x[0] = FILL_BITS;
  c.x[1] = c.x[2] = FILL_UNIFORM;
  suite_check(s, &c);
}

/* A NaN is not 0; what is not selected does not matter, nor does its gradient. */
static void golden(suite *s) {
  static const float condition[] = {1, 0, -0.0f, NAN}, a[] = {1, NAN, 3, 4}, b[] = {5, 6, 7, INFINITY};
  static const float dy[] = {10, 20, 30, 40};
  static const double y[] = {1, 6, 7, 4}, da[] = {10, 0, 0, 40}, db[] = {0, 20, 30, 0};
  const lur_op_desc d = {.kind = LUR_OP_WHERE, .nx = 3, .x = {F32(4), F32(4), F32(4)}, .y = F32(4), .want_dx = 6};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[4], ga[4], gb[4];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {condition, a, b}, .y = gy, .dy = dy, .dx = {NULL, ga, gb}}))
      continue;
    suite_near(s, "where by hand: y", device, gy, y, 4, 0, 0);
    suite_near(s, "where by hand: dx[1]", device, ga, da, 4, 0, 0);
    suite_near(s, "where by hand: dx[2]", device, gb, db, 4, 0, 0);
  }
}

void ops_where(suite *s) {
  const lur_operand scalar = {LUR_F32, {0, {0}}};
  check(s, F32(1), F32(1), F32(1), F32(1));
  check(s, F32(3, 7), F32(3, 7), F32(3, 7), F32(3, 7));
  check(s, F32(2, 5, 3, 33), F32(2, 5, 3, 33), scalar, F32(2, 5, 3, 33));
  check(s, F32(2, 5, 3, 33), F32(1, 33), F32(2, 1, 1, 33), F32(2, 5, 3, 33));
  check(s, F32(6, 1), F32(6, 50), F32(1, 50), F32(6, 50));
  check(s, F32(1, 50), scalar, F32(6, 1), F32(6, 50));
  check(s, F32(24581), F32(24581), F32(24581), F32(24581));
  check(s, F32(40, 61, 24), F32(40, 1, 24), F32(1, 61, 1), F32(40, 61, 24));
  golden(s);
  lur_op_desc d = {.kind = LUR_OP_WHERE, .nx = 3, .x = {F32(3, 4), F32(3, 4), F32(3, 5)}, .y = F32(3, 4)};
  suite_reject(s, "shapes that do not broadcast", &d, LUR_ESHAPE, "x[2] is 3x5");
  d.x[2] = d.x[1];
  d.want_dx = 1;
  suite_reject(s, "gradient of the condition", &d, LUR_EARG, "gradient");
  d.want_dx = 0;
  d.x[0].dtype = LUR_F16;
  suite_reject(s, "two types", &d, LUR_ETYPE, "f16");
  d.nx = 2;
  suite_reject(s, "two inputs", &d, LUR_EARG, "inputs");
}
