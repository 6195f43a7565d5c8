/* dense.c - cases of dense. */
#include "suite.h"

enum { BIAS = 1, RESIDUAL = 2, RELU = 4 };

typedef struct row {
  int rows, in, out, flags;
} row;

static const row rows[] = {
    {1, 1, 1, 0},
    {1, 1, 1, BIAS},
    {1, 7, 3, BIAS},
    {3, 7, 5, 0},
    {2, 3, 70, BIAS},
    {5, 130, 1, 0},
    {4, 16, 32, BIAS | RELU},
    {3, 7, 5, RELU},
    {3, 7, 5, RESIDUAL},
    {3, 7, 5, BIAS | RESIDUAL | RELU},
    {9, 728, 100, BIAS},
    {64, 33, 2, BIAS},
    {2, 2048, 100, BIAS},
    {1, 100, 728, 0},
    {300, 17, 33, BIAS},
    {300, 7, 33, RESIDUAL | RELU},
};

static op_case case_of(const row *r) {
  op_case c =
      suite_case(LUR_OP_DENSE, "%d rows, %d to %d%s%s%s", r->rows, r->in, r->out, r->flags & BIAS ? " bias" : "",
                 r->flags & RESIDUAL ? " residual" : "", r->flags & RELU ? " relu" : "");
  c.desc.nx = r->flags & RESIDUAL ? 2 : 1;
  c.desc.nw = r->flags & BIAS ? 2 : 1;
  c.desc.x[0] = F32(r->rows, r->in);
  c.desc.w[0] = F32(r->in, r->out);
  c.desc.w[1] = F32(r->out);
  c.desc.y = c.desc.x[1] = F32(r->rows, r->out);
  c.desc.u.dense.relu = r->flags & RELU;
  c.optional = r->flags & RELU; /* relu is promised for inference only */
  return c;
}

static void errors(suite *s) {
  const lur_op_desc good = case_of(&rows[3]).desc;
  lur_op_desc d = good;
  d.w[0] = F32(6, 5);
  suite_reject(s, "wrong features", &d, LUR_ESHAPE, "input has 7 features, weights expect 6");
  d = good, d.y = F32(3, 6);
  suite_reject(s, "y unlike weights", &d, LUR_ESHAPE, "y is 3x6");
  d = good, d.w[0] = F32(7, 5, 1);
  suite_reject(s, "weights of three dimensions", &d, LUR_ESHAPE, "7x5x1");
  d = good, d.nw = 2, d.w[1] = F32(1, 5);
  suite_reject(s, "bias of two dimensions", &d, LUR_ESHAPE, "bias is 1x5");
  d = good, d.x[0] = (lur_operand){LUR_F32, {0, {0}}};
  suite_reject(s, "a scalar", &d, LUR_ESHAPE, "features");
}

void ops_dense(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    op_case c = case_of(&rows[i]);
    suite_check(s, &c);
  }
  op_case c = case_of(&rows[2]);
  snprintf(c.name, sizeof c.name, "an image: 2x3x4x7 to 3");
  c.desc.x[0] = F32(2, 3, 4, 7);
  c.desc.y = F32(2, 3, 4, 3);
  suite_check(s, &c);
  snprintf(c.name, sizeof c.name, "one vector: 7 to 3");
  c.desc.x[0] = F32(7);
  c.desc.y = F32(3);
  suite_check(s, &c);
  errors(s);
}
