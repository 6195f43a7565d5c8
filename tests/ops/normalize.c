/* normalize.c - cases of normalize. */
#include "suite.h"

static void check(suite *s, lur_operand x, fill f, double epsilon) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_NORMALIZE, "%s%s", lur_shape_format(&x.shape, text),
                         f == FILL_SMALL ? " shorter than epsilon" : "");
  c.desc.nx = 1;
  c.desc.x[0] = c.desc.y = x;
  c.desc.u.normalize.epsilon = epsilon;
  c.x[0] = f;
  suite_check(s, &c);
}

/* 3 4 has length 5; a zero row stays zero and passes dy / epsilon. */
static void golden(suite *s) {
  static const float x[] = {3, 4, 0, 0}, dy[] = {1, 0, 1, 2};
  static const double y[] = {0.6, 0.8, 0, 0}, dx[] = {0.128, -0.096, 2, 4};
  lur_op_desc d = {
      .kind = LUR_OP_NORMALIZE, .nx = 1, .x = {F32(2, 2)}, .y = F32(2, 2), .want_dx = 1, .u.normalize = {0.5}};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[4], gx[4];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .y = gy, .dy = dy, .dx = {gx}})) continue;
    suite_near(s, "normalize by hand: y", device, gy, y, 4, 0, 1e-6);
    suite_near(s, "normalize by hand: dx", device, gx, dx, 4, 1e-7, 1e-6);
  }
}

void ops_normalize(suite *s) {
  check(s, F32(1), FILL_AWAY, 1e-12);
  check(s, F32(5), FILL_AWAY, 1e-12);
  check(s, F32(3, 7), FILL_UNIFORM, 1e-12);
  check(s, F32(2, 3, 17), FILL_UNIFORM, 1e-6);
  check(s, F32(4, 2048), FILL_UNIFORM, 1e-12);
  check(s, F32(3, 7), FILL_SMALL, 0.5);
  golden(s);
  lur_op_desc d = {.kind = LUR_OP_NORMALIZE, .nx = 1, .x = {F32(2, 2)}, .y = F32(2, 2), .u.normalize = {0}};
  suite_reject(s, "epsilon 0", &d, LUR_EARG, "epsilon");
}
