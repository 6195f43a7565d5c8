/* matmul.c - cases of matmul. */
#include "suite.h"

static op_case make(lur_operand a, lur_operand b, lur_operand y, bool transpose_a, bool transpose_b) {
  char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_MATMUL, "%s%s times %s%s", lur_shape_format(&a.shape, ta), transpose_a ? "'" : "",
                         lur_shape_format(&b.shape, tb), transpose_b ? "'" : "");
  c.desc.nx = 2;
  c.desc.x[0] = a;
  c.desc.x[1] = b;
  c.desc.y = y;
  c.desc.u.matmul = (lur_matmul_desc){transpose_a, transpose_b};
  return c;
}

static lur_operand transposed(lur_operand o) {
  const int n = o.shape.ndim;
  const int64_t last = o.shape.dim[n - 1];
  o.shape.dim[n - 1] = o.shape.dim[n - 2];
  o.shape.dim[n - 2] = last;
  return o;
}

/* In the four orders. */
static void check(suite *s, lur_operand a, lur_operand b, lur_operand y) {
  for (int order = 0; order < 4; order++) {
    op_case c = make(order & 1 ? transposed(a) : a, order & 2 ? transposed(b) : b, y, order & 1, order & 2);
    suite_check(s, &c);
  }
}

/* Two batch items, the second operand repeated; the gradient of the latter sums both. */
static void golden(suite *s) {
  static const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, -1, 2, 1, 0}, dy[] = {1, 2, 3, 4};
  /* a: 2 of 1 x 3; b: 1 of 3 x 2 */
  static const double y[] = {2, 4, 5, 10}, da[] = {1, 3, 1, 3, 5, 3}, db[] = {13, 18, 17, 24, 21, 30};
  lur_op_desc d = {
      .kind = LUR_OP_MATMUL, .nx = 2, .x = {F32(2, 1, 3), F32(1, 3, 2)}, .y = F32(2, 1, 2), .want_dx = 3};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[4], ga[6], gb[6];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {a, b}, .y = gy, .dy = dy, .dx = {ga, gb}})) continue;
    suite_near(s, "matmul by hand: y", device, gy, y, 4, 0, 0);
    suite_near(s, "matmul by hand: da", device, ga, da, 6, 0, 0);
    suite_near(s, "matmul by hand: db", device, gb, db, 6, 0, 0);
  }
}

static void halves(suite *s) {
  HALF(s, MATMUL, "batch", 0, .nx = 2, .x = {F32(3, 8, 24), F32(3, 24, 16)}, .y = F32(3, 8, 16));
  HALF(s, MATMUL, "b transposed, odd sizes", 0, .nx = 2, .x = {F32(2, 3, 5, 7), F32(2, 3, 9, 7)},
       .y = F32(2, 3, 5, 9), .u.matmul = {false, true});
  HALF(s, MATMUL, "a transposed, b repeated", 0, .nx = 2, .x = {F32(4, 6, 8), F32(1, 6, 8)}, .y = F32(4, 8, 8),
       .u.matmul = {true, false});
  HALF(s, MATMUL, "repeated inside", 0, .nx = 2, .x = {F32(3, 1, 4, 5), F32(3, 7, 5, 6)}, .y = F32(3, 7, 4, 6));
}

void ops_matmul(suite *s) {
  check(s, F32(1, 1), F32(1, 1), F32(1, 1));
  check(s, F32(5, 7), F32(7, 3), F32(5, 3));
  check(s, F32(3, 4, 6), F32(3, 6, 5), F32(3, 4, 5));
  check(s, F32(1, 9, 8), F32(1, 8, 33), F32(1, 9, 33));
  check(s, F32(2, 3, 17, 8), F32(2, 3, 8, 17), F32(2, 3, 17, 17)); /* as in attention */
  check(s, F32(4, 5, 6), F32(1, 6, 3), F32(4, 5, 3));
  check(s, F32(1, 5, 6), F32(4, 6, 3), F32(4, 5, 3));
  check(s, F32(3, 1, 4, 5), F32(3, 2, 5, 6), F32(3, 2, 4, 6));
  check(s, F32(3, 2, 4, 5), F32(1, 2, 5, 6), F32(3, 2, 4, 6));
  check(s, F32(2, 1, 4, 5), F32(1, 3, 5, 2), F32(2, 3, 4, 2));
  check(s, F32(2, 1, 2, 3, 4), F32(2, 3, 1, 4, 5), F32(2, 3, 2, 3, 5));
  check(s, F32(1, 70, 65), F32(1, 65, 130), F32(1, 70, 130));
  golden(s);
  halves(s);
  lur_op_desc d = {.kind = LUR_OP_MATMUL, .nx = 2, .x = {F32(2, 3, 4), F32(2, 5, 6)}, .y = F32(2, 3, 6)};
  suite_reject(s, "inner extents", &d, LUR_ESHAPE, "the inner extents differ");
  d.x[1] = F32(3, 4, 6);
  suite_reject(s, "other batch", &d, LUR_ESHAPE, "dimension 0 differs");
  d.x[1] = F32(4, 6);
  suite_reject(s, "other dimensions", &d, LUR_ESHAPE, "x[1] is 4x6");
  d.x[1] = F32(2, 4, 6);
  d.y = F32(2, 6, 3);
  suite_reject(s, "y transposed", &d, LUR_ESHAPE, "y is 2x6x3");
  d.nx = 1;
  suite_reject(s, "one input", &d, LUR_EARG, "2 to 2 inputs");
  d = (lur_op_desc){.kind = LUR_OP_MATMUL, .nx = 2, .x = {F32(4), F32(4)}, .y = F32(1)};
  suite_reject(s, "vectors", &d, LUR_ESHAPE, "at least 2");
}
