/* gather.c - cases of gather. */
#include "suite.h"

static void check(suite *s, lur_operand x, int m, int limit) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_GATHER, "%d of the first %d rows of %s", m, limit, lur_shape_format(&x.shape, text));
  c.desc.nx = 2;
  c.desc.x[0] = c.desc.y = x;
  c.desc.x[1] = I32(m);
  c.desc.y.shape.dim[0] = m;
  c.limit = limit;
  suite_check(s, &c);
}

/* Row 2 is taken twice: its gradients add; rows 0 and 3 are not taken: zero. */
static void golden(suite *s) {
  static const float x[] = {1, 2, 3, 4, 5, 6, 7, 8}, dy[] = {1, 10, 100, 1000, 10000, 100000};
  static const int32_t rows[] = {2, 1, 2};
  static const double y[] = {5, 6, 3, 4, 5, 6}, dx[] = {0, 0, 100, 1000, 10001, 100010, 0, 0};
  lur_op_desc d = {.kind = LUR_OP_GATHER, .nx = 2, .x = {F32(4, 2), I32(3)}, .y = F32(3, 2), .want_dx = 1};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[6], gx[8];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {x, rows}, .y = gy, .dy = dy, .dx = {gx}})) continue;
    suite_near(s, "gather by hand: y", device, gy, y, 6, 0, 0);
    suite_near(s, "gather by hand: dx", device, gx, dx, 8, 0, 0);
  }
}

/* Callers check row numbers; ref checks them too. */
static void outside(suite *s) {
  static const float x[] = {1, 2, 3, 4};
  lur_op_desc d = {.kind = LUR_OP_GATHER, .nx = 2, .x = {F32(4), I32(2)}, .y = F32(2)};
  for (int k = 0; k < 2; k++) {
    const int32_t rows[] = {0, k ? 4 : -1};
    lur_op op;
    float y[2];
    lur_args args = {.x = {x, rows}, .y = y};
    if (!suite_expect(s, lur_op_plan(suite_device(s, 0), &d, &op) == LUR_OK, "%s", lur_last_error())) return;
    suite_expect(s, op.kernel->forward(&op, &args) == LUR_EARG, "gather on ref takes row %d of 4", rows[1]);
    lur_op_release(&op);
  }
}

void ops_gather(suite *s) {
  check(s, F32(1), 1, 1);
  check(s, F32(5), 9, 5);
  check(s, F32(4, 7), 3, 4);
  check(s, F32(3, 33), 8, 3);
  check(s, F32(6, 2, 3, 5), 4, 6);
  check(s, F32(2, 5), 7, 1); /* one row takes all gradients, the other none */
  check(s, F32(64, 128), 64, 64);
  check(s, F32(5, 3, 700), 13, 5);
  check(s, F32(400, 33), 700, 400);
  check(s, (lur_operand){LUR_I32, SHAPE(5, 3)}, 4, 3);
  golden(s);
  outside(s);
  lur_op_desc d = {.kind = LUR_OP_GATHER, .nx = 2, .x = {F32(4, 2), F32(3)}, .y = F32(3, 2)};
  suite_reject(s, "rows as numbers", &d, LUR_ETYPE, "i32 expected");
  d.x[1] = I32(3, 1);
  suite_reject(s, "rows of two dimensions", &d, LUR_ESHAPE, "3x1");
  d.x[1] = I32(4);
  suite_reject(s, "y too short", &d, LUR_ESHAPE, "y is 3x2");
  d.x[1] = I32(3);
  d.want_dx = 2;
  suite_reject(s, "gradient of row numbers", &d, LUR_EARG, "no gradient");
}
