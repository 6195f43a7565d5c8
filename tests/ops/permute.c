/* permute.c - cases of permute. */
#include <string.h>

#include "suite.h"

static lur_op_desc make(lur_operand x, const int *order) {
  lur_op_desc d = {.kind = LUR_OP_PERMUTE, .nx = 1, .x = {x}, .y = x};
  for (int i = 0; i < x.shape.ndim; i++) {
    d.u.permute.order[i] = order[i];
    d.y.shape.dim[i] = x.shape.dim[order[i]];
  }
  return d;
}

static void check(suite *s, lur_operand x, const int *order) {
  char from[LUR_SHAPE_TEXT], to[LUR_SHAPE_TEXT];
  lur_op_desc d = make(x, order);
  op_case c = suite_case(LUR_OP_PERMUTE, "%s to %s", lur_shape_format(&x.shape, from),
                         lur_shape_format(&d.y.shape, to));
  c.desc.nx = 1;
  c.desc.x[0] = d.x[0];
  c.desc.y = d.y;
  c.desc.u = d.u;
  suite_check(s, &c);
}

static void golden(suite *s) {
  static const float x[] = {1, 2, 3, 4, 5, 6}, dy[] = {1, 2, 3, 4, 5, 6};
  static const double y[] = {1, 4, 2, 5, 3, 6}, dx[] = {1, 3, 5, 2, 4, 6};
  lur_op_desc d = make(F32(2, 3), (int[]){1, 0});
  d.want_dx = 1;
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[6], gx[6];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .y = gy, .dy = dy, .dx = {gx}})) continue;
    suite_near(s, "permute by hand: y", device, gy, y, 6, 0, 0);
    suite_near(s, "permute by hand: dx", device, gx, dx, 6, 0, 0);
  }
}

void ops_permute(suite *s) {
  check(s, F32(1), (int[]){0});
  check(s, F32(3, 7), (int[]){0, 1});
  check(s, F32(3, 7), (int[]){1, 0});
  check(s, F32(37, 70), (int[]){1, 0});
  check(s, F32(2, 5, 3, 4), (int[]){0, 2, 1, 3});
  check(s, F32(2, 5, 3, 4), (int[]){0, 2, 3, 1});
  check(s, F32(2, 5, 3, 4), (int[]){3, 2, 1, 0});
  check(s, F32(2, 5, 3, 7), (int[]){0, 3, 1, 2});
  check(s, F32(2, 17, 3, 16), (int[]){0, 2, 1, 3});
  check(s, F32(2, 33, 3, 18), (int[]){0, 2, 3, 1});
  check(s, F32(2, 3, 1, 2, 5, 4), (int[]){1, 0, 2, 5, 4, 3});
  check(s, F32(2, 3, 1, 2, 3, 4), (int[]){0, 5, 3, 1, 2, 4});
  check(s, F32(3, 40, 50, 3), (int[]){2, 0, 1, 3});
  golden(s);
  for (int i = 0; i < 2; i++) {
    lur_op_desc d = i ? make(F32(2, 5, 3, 8), (int[]){0, 2, 1, 3}) : make(F32(2, 5, 3, 7), (int[]){0, 3, 1, 2});
    suite_half(s, i ? "rows of 8" : "all moved", d, 0);
  }
  lur_op_desc d = make(F32(2, 3), (int[]){1, 0});
  d.y = F32(2, 3);
  suite_reject(s, "y not permuted", &d, LUR_ESHAPE, "y is 2x3");
  d.u.permute.order[0] = 0;
  suite_reject(s, "a dimension twice", &d, LUR_EARG, "order[1] is 0");
  d.u.permute.order[0] = 2;
  suite_reject(s, "no such dimension", &d, LUR_EARG, "order[0] is 2");
}
