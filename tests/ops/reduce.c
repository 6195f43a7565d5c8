/* reduce.c - cases of reduce. */
#include "suite.h"

typedef struct row {
  lur_operand x, y;
  unsigned axes;
} row;

static const char *const names[] = {"sum", "mean", "max", "min"};

static void check(suite *s, const row *r, lur_reduction f, fill x) {
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_REDUCE, "%s%s of %s over 0x%x to %s", names[f], x == FILL_TIES ? " with ties" : "",
                         lur_shape_format(&r->x.shape, a), r->axes, lur_shape_format(&r->y.shape, b));
  c.desc.nx = 1;
  c.desc.x[0] = r->x;
  c.desc.y = r->y;
  c.desc.u.reduce = (lur_reduce_desc){f, r->axes};
  c.x[0] = x;
  suite_check(s, &c);
}

/* Two 7s: the first in row-major order takes the gradient. */
static void golden(suite *s) {
  static const float x[] = {1, 7, 3, 7, 2, 0}, dy[] = {5};
  static const double y[] = {7}, dx[] = {0, 5, 0, 0, 0, 0};
  lur_op_desc d = {
      .kind = LUR_OP_REDUCE, .nx = 1, .x = {F32(2, 3)}, .y = F32(1), .want_dx = 1, .u.reduce = {LUR_MAX, 3}};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[1], gx[6];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .y = gy, .dy = dy, .dx = {gx}})) continue;
    suite_near(s, "max by hand: y", device, gy, y, 1, 0, 0);
    suite_near(s, "max by hand: dx", device, gx, dx, 6, 0, 0);
  }
}

void ops_reduce(suite *s) {
  const row rows[] = {{F32(1), F32(1), 1},
                      {F32(3, 7), F32(7), 1},
                      {F32(3, 7), F32(3), 2},
                      {F32(3, 7), F32(3, 1), 2},
                      {F32(3, 7), {LUR_F32, {0, {0}}}, 3},
                      {F32(3, 7), F32(3, 7), 0},
                      {F32(2, 5, 3, 4), F32(2, 4), 6},
                      {F32(2, 5, 3, 4), F32(2, 1, 1, 4), 6},
                      {F32(2, 5, 3, 4), F32(5, 4), 5},
                      {F32(2, 5, 3, 4), F32(2, 5, 3), 8},
                      {F32(1, 5, 1, 4), F32(5, 4), 5},
                      {F32(2, 1, 3, 2, 5, 3), F32(2, 2, 3), 0x16},
                      {F32(4, 728), F32(4), 2}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    check(s, &rows[i], LUR_SUM, FILL_UNIFORM);
    check(s, &rows[i], LUR_MEAN, FILL_UNIFORM);
    check(s, &rows[i], LUR_MAX, FILL_DISTINCT);
    check(s, &rows[i], LUR_MAX, FILL_TIES);
    check(s, &rows[i], LUR_MIN, FILL_DISTINCT);
    check(s, &rows[i], LUR_MIN, FILL_TIES);
  }
  golden(s);
  lur_op_desc d = {.kind = LUR_OP_REDUCE, .nx = 1, .x = {F32(2, 3)}, .y = F32(3), .u.reduce = {LUR_SUM, 2}};
  suite_reject(s, "the other axis", &d, LUR_ESHAPE, "y is 3");
  d.u.reduce.axes = 3;
  suite_reject(s, "all reduced, y is not", &d, LUR_ESHAPE, "y is 3");
  d.u.reduce.axes = 4;
  suite_reject(s, "no such axis", &d, LUR_EARG, "0x4");
  d.u.reduce = (lur_reduce_desc){(lur_reduction)8, 1};
  suite_reject(s, "unknown reduction", &d, LUR_EARG, "8");
}
