/* slice.c - cases of slice. */
#include "suite.h"

static void check(suite *s, lur_operand x, lur_operand y, const int64_t *begin) {
  char from[LUR_SHAPE_TEXT], to[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_SLICE, "%s of %s", lur_shape_format(&y.shape, to), lur_shape_format(&x.shape, from));
  c.desc.nx = 1;
  c.desc.x[0] = x;
  c.desc.y = y;
  for (int i = 0; i < x.shape.ndim; i++) c.desc.u.slice.begin[i] = begin[i];
  suite_check(s, &c);
}

/* The second row's last two of three. What is left out has no gradient. */
static void golden(suite *s) {
  static const float x[] = {1, 2, 3, 4, 5, 6}, dy[] = {7, 8};
  static const double y[] = {5, 6}, dx[] = {0, 0, 0, 0, 7, 8};
  lur_op_desc d = {
      .kind = LUR_OP_SLICE, .nx = 1, .x = {F32(2, 3)}, .y = F32(1, 2), .want_dx = 1, .u.slice = {{1, 1}}};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[2], gx[6];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .y = gy, .dy = dy, .dx = {gx}})) continue;
    suite_near(s, "slice by hand: y", device, gy, y, 2, 0, 0);
    suite_near(s, "slice by hand: dx", device, gx, dx, 6, 0, 0);
  }
}

void ops_slice(suite *s) {
  check(s, F32(1), F32(1), (int64_t[]){0});
  check(s, F32(9), F32(4), (int64_t[]){3});
  check(s, F32(3, 7), F32(3, 7), (int64_t[]){0, 0});
  check(s, F32(3, 7), F32(2, 7), (int64_t[]){1, 0});
  check(s, F32(3, 7), F32(3, 1), (int64_t[]){0, 6});
  check(s, F32(2, 5, 3, 4), F32(2, 3, 2, 4), (int64_t[]){0, 1, 1, 0});
  check(s, F32(2, 5, 3, 16), F32(2, 5, 3, 8), (int64_t[]){0, 0, 0, 4});
  check(s, F32(2, 3, 2, 5, 4, 3), F32(1, 2, 1, 4, 4, 2), (int64_t[]){1, 1, 0, 1, 0, 1});
  check(s, F32(2, 60, 70, 5), F32(2, 51, 60, 5), (int64_t[]){0, 4, 7, 0});
  golden(s);
  HALF(s, SLICE, "rows of 8", 0, .nx = 1, .x = {F32(3, 6, 8)}, .y = F32(3, 4, 8), .u.slice = {{0, 1, 0}});
  HALF(s, SLICE, "odd", 0, .nx = 1, .x = {F32(3, 6, 7)}, .y = F32(2, 4, 5), .u.slice = {{1, 1, 2}});
  lur_op_desc d = {.kind = LUR_OP_SLICE, .nx = 1, .x = {F32(2, 3)}, .y = F32(2, 2), .u.slice = {{0, 2}}};
  suite_reject(s, "beyond the end", &d, LUR_ESHAPE, "y is 2x2");
  d.u.slice.begin[1] = -1;
  suite_reject(s, "before the beginning", &d, LUR_ESHAPE, "does not lie inside");
  d.u.slice.begin[1] = 0;
  d.y = F32(4);
  suite_reject(s, "other dimensions", &d, LUR_ESHAPE, "y is 4");
}
