/* depthwise_conv2d.c - cases of depthwise_conv2d. */
#include "suite.h"

enum { BIAS = 1, RELU_IN = 2, RELU = 4, AFFINE = 8 };

typedef struct row {
  int n, h, w, c, kh, kw, sh, sw, oh, ow, top, left; /* padding written out: see the rule in conv2d.c */
  int flags;
} row;

static const row rows[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0},
    {1, 1, 1, 3, 3, 3, 1, 1, 1, 1, 1, 1, 0},
    {2, 6, 5, 3, 3, 3, 1, 1, 6, 5, 1, 1, 0},
    {2, 6, 5, 3, 3, 3, 1, 1, 4, 3, 0, 0, BIAS},
    {2, 6, 5, 7, 3, 3, 2, 2, 3, 3, 0, 1, 0},
    {1, 7, 8, 16, 3, 3, 2, 2, 4, 4, 1, 0, BIAS},
    {1, 10, 11, 3, 3, 3, 3, 3, 4, 4, 1, 0, 0},
    {2, 7, 6, 3, 5, 5, 1, 1, 7, 6, 2, 2, BIAS},
    {1, 9, 9, 2, 5, 5, 2, 2, 5, 5, 2, 2, 0},
    {1, 9, 4, 5, 7, 1, 1, 1, 9, 4, 3, 0, 0},
    {1, 4, 9, 5, 1, 7, 1, 1, 4, 9, 0, 3, BIAS},
    {1, 8, 8, 4, 2, 2, 2, 2, 4, 4, 0, 0, 0},
    {2, 6, 5, 3, 3, 3, 1, 1, 6, 5, 1, 1, RELU_IN},
    {1, 7, 8, 17, 3, 3, 2, 2, 4, 4, 1, 0, RELU_IN | BIAS},
    {2, 6, 5, 3, 3, 3, 1, 1, 6, 5, 1, 1, RELU},
    {2, 6, 5, 33, 3, 3, 1, 1, 6, 5, 1, 1, RELU_IN | BIAS | RELU},
    {2, 12, 13, 32, 3, 3, 1, 1, 12, 13, 1, 1, 0},
    {1, 9, 9, 728, 3, 3, 1, 1, 9, 9, 1, 1, RELU_IN},
    {2, 10, 10, 72, 3, 3, 1, 1, 10, 10, 1, 1, RELU_IN},
    {1, 37, 5, 3, 3, 3, 2, 2, 19, 3, 1, 1, 0},
    {2, 6, 5, 3, 3, 3, 1, 1, 6, 5, 1, 1, AFFINE},
    {2, 6, 5, 7, 3, 3, 2, 2, 3, 3, 0, 1, AFFINE | BIAS},
    {2, 6, 5, 33, 3, 3, 1, 1, 6, 5, 1, 1, AFFINE | RELU_IN},
    {2, 7, 6, 3, 5, 5, 1, 1, 7, 6, 2, 2, AFFINE | RELU_IN | BIAS},
    {1, 9, 9, 728, 3, 3, 1, 1, 9, 9, 1, 1, AFFINE | RELU_IN},
    {2, 12, 13, 32, 3, 3, 1, 1, 10, 11, 0, 0, AFFINE | RELU_IN | RELU},
    {1, 3, 300, 5, 3, 3, 1, 1, 3, 300, 1, 1, RELU_IN}, /* wider and higher than the cpu's strips */
    {1, 3, 300, 5, 3, 3, 1, 1, 3, 300, 1, 1, AFFINE | RELU_IN},
    {1, 70, 6, 17, 3, 3, 1, 1, 70, 6, 1, 1, AFFINE},
    {1, 70, 6, 17, 3, 3, 1, 1, 70, 6, 1, 1, BIAS},
    {1, 5, 300, 3, 3, 3, 2, 2, 3, 150, 1, 0, BIAS},
    {1, 4, 5, 17, 3, 3, 1, 1, 6, 7, 2, 2, 0},   /* more outputs than inputs */
    {1, 7, 9, 5, 3, 3, 1, 1, 4, 6, 0, 1, BIAS}, /* fewer outputs than fit */
    {1, 7, 9, 5, 3, 3, 2, 2, 2, 3, 0, 0, RELU_IN},
    {1, 3, 2, 5, 3, 3, 1, 1, 3, 1, 1, 2, 0},
    {1, 2, 1, 3, 3, 3, 1, 1, 2, 1, 1, 1, 0},
    {3, 1, 2, 19, 3, 3, 1, 1, 1, 2, 1, 1, RELU_IN | BIAS},
    {2, 17, 16, 33, 3, 3, 1, 1, 17, 16, 1, 1, RELU_IN | BIAS | RELU},
};

static op_case case_of(const row *r) {
  op_case c = suite_case(LUR_OP_DEPTHWISE_CONV2D, "%dx%dx%dx%d, %dx%d stride %dx%d to %dx%d%s%s%s%s", r->n, r->h, r->w,
                         r->c, r->kh, r->kw, r->sh, r->sw, r->oh, r->ow, r->flags & BIAS ? " bias" : "",
                         r->flags & RELU_IN ? " relu_in" : "", r->flags & RELU ? " relu" : "",
                         r->flags & AFFINE ? " affine_in" : "");
  c.desc.nx = r->flags & AFFINE ? 2 : 1;
  c.desc.x[1] = F32(2, r->c);
  c.x[1] = FILL_AWAY;
  c.desc.nw = r->flags & BIAS ? 2 : 1;
  c.desc.x[0] = F32(r->n, r->h, r->w, r->c);
  c.desc.w[0] = F32(r->kh, r->kw, r->c, 1);
  c.desc.w[1] = F32(r->c);
  c.desc.y = F32(r->n, r->oh, r->ow, r->c);
  c.desc.u.conv2d = (lur_conv2d_desc){
      r->kh, r->kw, r->sh, r->sw, r->top, r->left, r->flags & AFFINE, r->flags & RELU_IN, r->flags & RELU};
  c.x[0] = r->flags & RELU_IN ? FILL_AWAY : FILL_UNIFORM;
  c.optional = r->flags & (RELU | AFFINE); /* relu is promised for inference only, affine_in by some backends */
  return c;
}

static void errors(suite *s) {
  const lur_op_desc good = case_of(&rows[2]).desc;
  lur_op_desc d = good;
  d.w[0].shape.dim[3] = 2;
  suite_reject(s, "multiplier 2", &d, LUR_ESHAPE, "multiplier 2");
  d = good, d.w[0].shape.dim[2] = 4;
  suite_reject(s, "wrong channels", &d, LUR_ESHAPE, "input has 3 channels, weights expect 4");
  d = good, d.nx = 2, d.x[1] = d.y;
  suite_reject(s, "a residual", &d, LUR_EARG, "inputs");
  d = good, d.u.conv2d.affine_in = true, d.nx = 2, d.x[1] = F32(3);
  suite_reject(s, "affine of one row", &d, LUR_ESHAPE, "affine is 3");
  d = good, d.u.conv2d.pad_left = -1;
  suite_reject(s, "negative padding", &d, LUR_EARG, "padding -1");
}

void ops_depthwise_conv2d(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    op_case c = case_of(&rows[i]);
    suite_check(s, &c);
  }
  errors(s);
}
