/* global_pool.c - cases of global_pool. */
#include "suite.h"

static void check(suite *s, int n, int h, int w, int c) {
  op_case k = suite_case(LUR_OP_GLOBAL_POOL, "%dx%dx%dx%d", n, h, w, c);
  k.desc.nx = 1;
  k.desc.x[0] = F32(n, h, w, c);
  k.desc.y = F32(n, c);
  suite_check(s, &k);
}

void ops_global_pool(suite *s) {
  check(s, 1, 1, 1, 1);
  check(s, 1, 3, 1, 7);
  check(s, 2, 5, 4, 3);
  check(s, 3, 7, 7, 33);
  check(s, 2, 10, 10, 728);
  check(s, 1, 37, 30, 19);
  lur_op_desc d = {.kind = LUR_OP_GLOBAL_POOL, .nx = 1, .x = {F32(2, 3, 3, 4)}, .y = F32(2, 1, 1, 4)};
  suite_reject(s, "y with height and width", &d, LUR_ESHAPE, "2x1x1x4");
  d.y = F32(2, 5);
  suite_reject(s, "other channels", &d, LUR_ESHAPE, "2x5");
  d.x[0] = F32(2, 4);
  suite_reject(s, "no image", &d, LUR_ESHAPE, "2x4");
}
