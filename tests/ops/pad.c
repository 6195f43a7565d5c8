/* pad.c - cases of pad. */
#include "suite.h"

static void check(suite *s, lur_operand x, lur_operand y, const int64_t *before, double value) {
  char from[LUR_SHAPE_TEXT], to[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_PAD, "%s to %s", lur_shape_format(&x.shape, from), lur_shape_format(&y.shape, to));
  c.desc.nx = 1;
  c.desc.x[0] = x;
  c.desc.y = y;
  for (int i = 0; i < x.shape.ndim; i++) c.desc.u.pad.before[i] = before[i];
  c.desc.u.pad.value = value;
  suite_check(s, &c);
}

static void golden(suite *s) {
  static const float x[] = {1, 2}, dy[] = {1, 2, 3, 4, 5, 6};
  static const double y[] = {-1, -1, -1, 1, 2, -1}, dx[] = {4, 5};
  lur_op_desc d = {
      .kind = LUR_OP_PAD, .nx = 1, .x = {F32(1, 2)}, .y = F32(2, 3), .want_dx = 1, .u.pad = {{1, 0}, -1}};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[6], gx[2];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .y = gy, .dy = dy, .dx = {gx}})) continue;
    suite_near(s, "pad by hand: y", device, gy, y, 6, 0, 0);
    suite_near(s, "pad by hand: dx", device, gx, dx, 2, 0, 0);
  }
}

void ops_pad(suite *s) {
  check(s, F32(1), F32(1), (int64_t[]){0}, 0);
  check(s, F32(4), F32(9), (int64_t[]){3}, 0.5);
  check(s, F32(3, 7), F32(3, 7), (int64_t[]){0, 0}, 1);
  check(s, F32(2, 5, 5, 3), F32(2, 7, 8, 3), (int64_t[]){0, 1, 2, 0}, 0);
  check(s, F32(2, 5, 5, 4), F32(2, 6, 6, 4), (int64_t[]){0, 0, 0, 0}, 0);
  check(s, F32(2, 3, 8), F32(2, 3, 16), (int64_t[]){0, 0, 4}, 2);
  check(s, F32(1, 2, 1, 4, 4, 2), F32(2, 3, 2, 5, 4, 3), (int64_t[]){1, 1, 0, 1, 0, 1}, -3);
  check(s, F32(2, 51, 60, 5), F32(2, 60, 70, 5), (int64_t[]){0, 4, 7, 0}, 0);
  golden(s);
  HALF(s, PAD, "image", 0, .nx = 1, .x = {F32(2, 5, 5, 8)}, .y = F32(2, 7, 7, 8), .u.pad = {{0, 1, 1, 0}, 0});
  HALF(s, PAD, "odd, with a value", 0, .nx = 1, .x = {F32(2, 5, 3)}, .y = F32(2, 7, 7), .u.pad = {{0, 1, 3}, 0.5});
  lur_op_desc d = {.kind = LUR_OP_PAD, .nx = 1, .x = {F32(2, 3)}, .y = F32(2, 4), .u.pad = {{0, 2}, 0}};
  suite_reject(s, "beyond the end", &d, LUR_ESHAPE, "x[0] is 2x3");
  d.u.pad.before[1] = 0;
  d.y = F32(2, 4, 1);
  suite_reject(s, "other dimensions", &d, LUR_ESHAPE, "does not lie inside");
}
