/* pool.c - cases of pool. */
#include "suite.h"

#include <string.h>

typedef struct row {
  int n, h, w, c, kh, kw, sh, sw, oh, ow, top, left; /* padding written out: see the rule in conv2d.c */
} row;

static const row rows[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},     {1, 2, 2, 3, 3, 3, 2, 2, 1, 1, 0, 0},
    {1, 3, 3, 2, 2, 2, 1, 1, 2, 2, 0, 0},     {2, 6, 5, 3, 3, 3, 2, 2, 3, 3, 0, 1},
    {2, 7, 8, 7, 3, 3, 2, 2, 4, 4, 1, 0},     {2, 7, 8, 3, 3, 3, 2, 2, 3, 3, 0, 0},
    {1, 6, 5, 16, 3, 3, 1, 1, 6, 5, 1, 1},    {2, 6, 6, 3, 2, 2, 2, 2, 3, 3, 0, 0},
    {1, 7, 7, 3, 2, 2, 2, 2, 4, 4, 0, 0},     {1, 9, 10, 3, 3, 3, 3, 3, 3, 4, 0, 1},
    {1, 9, 8, 2, 5, 3, 2, 1, 5, 8, 2, 1},     {1, 4, 4, 5, 1, 1, 2, 2, 2, 2, 0, 0},
    {1, 20, 19, 2, 17, 17, 1, 1, 4, 3, 0, 0}, /* more pixels in a window than a byte can count */
    {1, 9, 9, 3, 3, 3, 2, 2, 3, 2, 0, 0},     /* fewer outputs than fit */
    {2, 9, 9, 728, 3, 3, 2, 2, 5, 5, 1, 1},   {1, 37, 38, 8, 3, 3, 2, 2, 19, 19, 1, 0},
    {1, 8, 8, 33, 7, 7, 1, 1, 2, 2, 0, 0},
};

static op_case case_of(const row *r, lur_pool_mode mode, fill f) {
  op_case c =
      suite_case(LUR_OP_POOL, "%s%s %dx%dx%dx%d, %dx%d stride %dx%d to %dx%d", mode == LUR_POOL_MAX ? "max" : "avg",
                 f == FILL_TIES ? " ties" : "", r->n, r->h, r->w, r->c, r->kh, r->kw, r->sh, r->sw, r->oh, r->ow);
  c.desc.nx = 1;
  c.desc.x[0] = F32(r->n, r->h, r->w, r->c);
  c.desc.y = F32(r->n, r->oh, r->ow, r->c);
  c.desc.u.pool = (lur_pool_desc){mode, r->kh, r->kw, r->sh, r->sw, r->top, r->left, false};
  c.x[0] = f;
  return c;
}

/* The same, read through an affine whose scale may be negative. */
static op_case affine_case_of(const row *r, lur_pool_mode mode) {
  op_case c = case_of(r, mode, mode == LUR_POOL_MAX ? FILL_DISTINCT : FILL_UNIFORM);
  snprintf(c.name + strlen(c.name), sizeof c.name - strlen(c.name), " affine_in");
  c.desc.nx = 2;
  c.desc.x[1] = F32(2, r->c);
  c.desc.u.pool.affine_in = true;
  c.x[1] = FILL_AWAY;
  c.optional = true;
  c.slope_atol = 5e-3; /* distinct numbers are large, so that a difference has few significant digits */
  return c;
}

/* One 3x3 image of negative numbers, 3x3 windows, stride 2, padded by 1: padding never wins and is not counted;
   the tie of -1 and -1 in the first window goes to the first pixel. */
static void golden(suite *s) {
  static const float x[] = {-1, -5, -3, -1, -4, -2, -9, -8, -7}, dy[] = {1, 10, 100, 1000};
  static const double max_y[] = {-1, -2, -1, -2}, max_dx[] = {1, 0, 0, 100, 0, 1010, 0, 0, 0},
                      avg_y[] = {-2.75, -3.5, -5.5, -5.25},
                      avg_dx[] = {0.25, 2.75, 2.5, 25.25, 277.75, 252.5, 25, 275, 250};
  for (int k = 0; k < 2 * suite_devices(s); k++) {
    lur_device *device = suite_device(s, k / 2);
    bool avg = k % 2;
    float y[4], dx[9];
    lur_op_desc d = {.kind = LUR_OP_POOL,
                     .nx = 1,
                     .x = {F32(1, 3, 3, 1)},
                     .y = F32(1, 2, 2, 1),
                     .want_dx = 1,
                     .u.pool = {avg ? LUR_POOL_AVG : LUR_POOL_MAX, 3, 3, 2, 2, 1, 1, false}};
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .y = y, .dy = dy, .dx = {dx}})) continue;
    suite_near(s, avg ? "avg by hand: y" : "max by hand: y", device, y, avg ? avg_y : max_y, 4, 0, 1e-6);
    suite_near(s, avg ? "avg by hand: dx" : "max by hand: dx", device, dx, avg ? avg_dx : max_dx, 9, 0, 1e-6);
  }
}

static void errors(suite *s) {
  const lur_op_desc good = case_of(&rows[3], LUR_POOL_MAX, FILL_UNIFORM).desc;
  lur_op_desc d = good;
  d.y.shape.dim[3] = 2;
  suite_reject(s, "other channels", &d, LUR_ESHAPE, "2 channels");
  d = good, d.u.pool.affine_in = true;
  suite_reject(s, "no affine", &d, LUR_EARG, "inputs");
  d = good, d.u.pool.pad_left = 3;
  suite_reject(s, "a window of padding alone", &d, LUR_EARG, "padding 3");
  d = good, d.y.shape.dim[1] = 4;
  suite_reject(s, "a window behind the image", &d, LUR_ESHAPE, "4 outputs");
  d = good, d.u.pool.mode = (lur_pool_mode)7;
  suite_reject(s, "unknown mode", &d, LUR_EARG, "mode 7");
  d = good, d.u.pool.kernel_h = 0;
  suite_reject(s, "kernel 0", &d, LUR_EARG, "kernel 0");
}

void ops_pool(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    op_case cases[] = {case_of(&rows[i], LUR_POOL_MAX, FILL_DISTINCT), case_of(&rows[i], LUR_POOL_MAX, FILL_TIES),
                       case_of(&rows[i], LUR_POOL_AVG, FILL_UNIFORM), affine_case_of(&rows[i], LUR_POOL_MAX),
                       affine_case_of(&rows[i], LUR_POOL_AVG)};
    for (int k = 0; k < 5; k++) suite_check(s, &cases[k]);
  }
  golden(s);
  errors(s);
}
