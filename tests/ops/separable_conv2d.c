/* separable_conv2d.c - cases of separable_conv2d: windows, numbers of channels near the width of a tile's vectors and
 * of pixels near its rows, images that end within a tile. It has no gradients. */
#include "suite.h"

enum { RELU_IN = 1, RELU = 2, RESIDUAL = 4 };

typedef struct row {
  int n, h, w, ci, co, k, stride, oh, ow, pad;
  int flags;
} row;

static const row rows[] = {
    {1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 0},
    {1, 3, 3, 2, 3, 3, 1, 3, 3, 1, 0},
    {2, 6, 5, 3, 16, 3, 1, 6, 5, 1, RELU_IN},
    {1, 2, 5, 7, 17, 3, 1, 2, 5, 1, RELU},
    {1, 1, 8, 16, 31, 3, 1, 1, 8, 1, RESIDUAL},
    {3, 1, 9, 5, 32, 3, 1, 1, 9, 1, RELU_IN | RELU},
    {2, 5, 7, 33, 33, 3, 1, 5, 7, 1, RELU_IN | RESIDUAL},
    {1, 7, 4, 19, 48, 3, 1, 7, 4, 1, 0},
    {2, 4, 7, 24, 49, 3, 1, 4, 7, 1, RESIDUAL | RELU},
    {1, 6, 6, 40, 64, 3, 1, 6, 6, 1, RELU_IN | RELU | RESIDUAL},
    {1, 5, 5, 17, 95, 3, 1, 3, 3, 0, 0},
    {2, 4, 4, 8, 100, 3, 1, 4, 4, 1, RELU_IN},
    {1, 9, 9, 6, 20, 5, 1, 9, 9, 2, RELU_IN},
    {2, 9, 8, 6, 20, 3, 2, 5, 4, 1, RELU_IN | RESIDUAL},
    {1, 70, 6, 5, 9, 3, 1, 70, 6, 1, 0},
    {1, 3, 301, 5, 9, 3, 1, 3, 301, 1, RELU_IN},
    {1, 19, 19, 184, 56, 3, 1, 19, 19, 1, RELU_IN | RESIDUAL}, /* more rows than a buffer holds */
    {5, 7, 19, 300, 12, 3, 1, 7, 19, 1, 0},
};

static op_case case_of(const row *r) {
  op_case c = suite_case(LUR_OP_SEPARABLE_CONV2D, "%dx%dx%dx%d to %dx%dx%d, %dx%d stride %d%s%s%s", r->n, r->h, r->w,
                         r->ci, r->oh, r->ow, r->co, r->k, r->k, r->stride, r->flags & RELU_IN ? " relu_in" : "",
                         r->flags & RELU ? " relu" : "", r->flags & RESIDUAL ? " residual" : "");
  c.desc.nx = r->flags & RESIDUAL ? 2 : 1;
  c.desc.nw = 3;
  c.desc.x[0] = F32(r->n, r->h, r->w, r->ci);
  c.desc.w[0] = F32(1, 1, r->ci, r->co);
  c.desc.w[1] = F32(r->co);
  c.desc.w[2] = F32(r->k, r->k, r->ci, 1);
  c.desc.x[1] = c.desc.y = F32(r->n, r->oh, r->ow, r->co);
  c.desc.u.conv2d = (lur_conv2d_desc){
      r->k, r->k, r->stride, r->stride, r->pad, r->pad, false, r->flags & RELU_IN, r->flags & RELU};
  c.optional = true; /* the engine asks lur_backend.separable before it uses it */
  return c;
}

static void errors(suite *s) {
  const lur_op_desc good = case_of(&rows[1]).desc;
  lur_op_desc d = good;
  d.nw = 1;
  suite_reject(s, "no depthwise weights", &d, LUR_EARG, "3 to 3 weights expected, got 1");
  d = good, d.w[0] = F32(1, 1, 4, 3);
  suite_reject(s, "wrong channels in", &d, LUR_ESHAPE, "w[0] is 1x1x4x3");
  d = good, d.w[2] = F32(3, 3, 2, 2);
  suite_reject(s, "multiplier 2", &d, LUR_ESHAPE, "w[2] is 3x3x2x2");
  d = good, d.nx = 2, d.x[1] = F32(1, 3, 3, 2);
  suite_reject(s, "residual of another shape", &d, LUR_ESHAPE, "residual is 1x3x3x2");
}

/* By hand: 1 1 1 -5 under a kernel of ones gives 2 3 2 1 (relu_in drops the -5), times 10 plus 1. */
static void golden(suite *s) {
  const float x[] = {1, 1, 1, -5}, w[] = {10}, bias[] = {1}, ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  const double expected[] = {21, 31, 21, 11};
  lur_op_desc d = case_of(&rows[0]).desc;
  d.x[0] = d.y = F32(1, 1, 4, 1);
  d.u.conv2d.relu_in = true;
  for (int k = 0; k < suite_devices(s); k++) {
    float y[4];
    const plain_args args = {.x = {x}, .w = {(float *)w, (float *)bias, (float *)ones}, .y = y};
    if (!lur_device_kernel(suite_device(s, k), LUR_OP_SEPARABLE_CONV2D)) continue;
    if (suite_run(s, suite_device(s, k), &d, &args))
      suite_near(s, "separable", suite_device(s, k), y, expected, 4, 0, 1e-6);
  }
}

void ops_separable_conv2d(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    op_case c = case_of(&rows[i]);
    suite_check(s, &c);
  }
  golden(s);
  errors(s);
}
