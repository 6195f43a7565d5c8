/* binary.c - cases of binary: equal shapes, and shapes that broadcast. */
#include "suite.h"

#include <math.h>

typedef struct row {
  const char *name;
  lur_binary function;
  bool relu;
  fill a, b;
} row;

static const row rows[] = {
    {"add", LUR_ADD, false, FILL_UNIFORM, FILL_UNIFORM},    {"sub", LUR_SUB, false, FILL_UNIFORM, FILL_UNIFORM},
    {"mul", LUR_MUL, false, FILL_UNIFORM, FILL_UNIFORM},    {"maximum", LUR_MAXIMUM, false, FILL_AWAY, FILL_AWAY},
    {"maximum ties", LUR_MAXIMUM, false, FILL_TIES, FILL_TIES},
    {"add relu", LUR_ADD, true, FILL_UNIFORM, FILL_UNIFORM}, {"sub relu", LUR_SUB, true, FILL_UNIFORM, FILL_UNIFORM},
    {"mul relu", LUR_MUL, true, FILL_AWAY, FILL_AWAY},       {"maximum relu", LUR_MAXIMUM, true, FILL_AWAY, FILL_AWAY},
    {"minimum", LUR_MINIMUM, false, FILL_AWAY, FILL_AWAY},   {"minimum ties", LUR_MINIMUM, false, FILL_TIES, FILL_TIES},
    {"div", LUR_DIV, false, FILL_UNIFORM, FILL_POSITIVE},    {"pow", LUR_POW, false, FILL_POSITIVE, FILL_WIDE},
    {"gt", LUR_GT, false, FILL_TIES, FILL_TIES},             {"ge", LUR_GE, false, FILL_TIES, FILL_TIES},
    {"lt", LUR_LT, false, FILL_TIES, FILL_TIES},             {"le", LUR_LE, false, FILL_TIES, FILL_TIES},
    {"eq", LUR_EQ, false, FILL_TIES, FILL_TIES},             {"ne", LUR_NE, false, FILL_TIES, FILL_TIES},
};

static void check(suite *s, const row *r, lur_operand a, lur_operand b, lur_operand y) {
  char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_BINARY, "%s %s, %s", r->name, lur_shape_format(&a.shape, ta),
                         lur_shape_format(&b.shape, tb));
  c.desc.nx = 2;
  c.desc.x[0] = a;
  c.desc.x[1] = b;
  c.desc.y = y;
  c.desc.u.binary = (lur_binary_desc){r->function, r->relu};
  c.x[0] = r->a;
  c.x[1] = r->b;
  suite_check(s, &c);
}

static void check_equal(suite *s, const row *r, lur_operand x) { check(s, r, x, x, x); }

/* Both orders of the operands. */
static void check_both(suite *s, const row *r, lur_operand a, lur_operand b, lur_operand y) {
  check(s, r, a, b, y);
  check(s, r, b, a, y);
}

/* Every way in which an operand is repeated, on few elements; and the ends of tiles and rows. */
static void broadcasting(suite *s, const row *r) {
  check_both(s, r, F32(2, 5, 3, 33), F32(1, 33), F32(2, 5, 3, 33));                /* channels */
  check_both(s, r, F32(3, 4, 2, 20), F32(3, 1, 1, 20), F32(3, 4, 2, 20));          /* channels of each sample */
  check_both(s, r, F32(3, 4, 2, 20), F32(3, 20), F32(3, 4, 2, 20));                /* fewer dimensions */
  check_both(s, r, F32(2, 6, 5, 24), F32(2, 6, 5, 1), F32(2, 6, 5, 24));           /* pixels */
  check_both(s, r, F32(2, 3, 5, 7), F32(1), F32(2, 3, 5, 7));                      /* one number */
  check_both(s, r, F32(3, 5, 7), ((lur_operand){LUR_F32, {0, {0}}}), F32(3, 5, 7)); /* a scalar */
  check_both(s, r, F32(6, 1), F32(1, 37), F32(6, 37));                             /* both are repeated */
  check_both(s, r, F32(5, 6, 12), F32(1, 6, 12), F32(5, 6, 12));                   /* over the batch */
  check_both(s, r, F32(2, 1, 3, 1, 5), F32(2, 4, 1, 6, 1), F32(2, 4, 3, 6, 5));    /* alternating */
}

static void long_ones(suite *s, const row *r) {
  check_both(s, r, F32(3, 5001), F32(1, 5001), F32(3, 5001));
  check_both(s, r, F32(3, 5001), F32(3, 1), F32(3, 5001));
  check_both(s, r, F32(1300, 17), F32(1, 17), F32(1300, 17));
  check_both(s, r, F32(40, 61, 24), F32(40, 1, 24), F32(40, 61, 24));
  check_both(s, r, F32(2, 61, 200), F32(1, 61, 200), F32(2, 61, 200));
}

/* By hand: maximum(3, 3) and minimum(3, 3) give the gradient to x[0]; powers of negative numbers and of 0. */
static void golden(suite *s) {
  static const struct {
    const char *name;
    lur_binary function;
    float a[3], b[3];
    double y[3], da[3], db[3]; /* dy is 10, 20, 30 */
  } all[] = {{"maximum", LUR_MAXIMUM, {1, 3, 5}, {2, 3, 4}, {2, 3, 5}, {0, 20, 30}, {10, 0, 0}},
             {"minimum", LUR_MINIMUM, {1, 3, 5}, {2, 3, 4}, {1, 3, 4}, {10, 20, 0}, {0, 0, 30}},
             {"div", LUR_DIV, {1, -3, 5}, {2, 4, -8}, {0.5, -0.75, -0.625}, {5, 5, -3.75}, {-2.5, 3.75, -2.34375}},
             {"pow", LUR_POW, {2, 4, 0}, {3, 0.5, 2}, {8, 2, 0}, {120, 5, 0},
              {80 * 0.6931471805599453, 40 * 1.3862943611198906, 0}},
             {"pow by 0", LUR_POW, {0, 7, -2}, {0, 0, 0}, {1, 1, 1}, {0, 0, 0}, {0, 20 * 1.9459101490553132, NAN}}};
  static const float dy[] = {10, 20, 30};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const lur_op_desc d = {.kind = LUR_OP_BINARY, .nx = 2, .x = {F32(3), F32(3)}, .y = F32(3), .want_dx = 3,
                           .u.binary = {all[i].function, false}};
    const int64_t count = isnan(all[i].db[2]) ? 2 : 3;
    for (int k = 0; k < suite_devices(s); k++) {
      float gy[3], ga[3], gb[3];
      lur_device *device = suite_device(s, k);
      if (!suite_run(s, device, &d, &(plain_args){.x = {all[i].a, all[i].b}, .y = gy, .dy = dy, .dx = {ga, gb}}))
        continue;
      suite_near(s, all[i].name, device, gy, all[i].y, 3, 0, 1e-6);
      suite_near(s, all[i].name, device, ga, all[i].da, 3, 0, 1e-6);
      suite_near(s, all[i].name, device, gb, all[i].db, count, 0, 1e-6);
      suite_expect(s, count == 3 || isnan(gb[2]), "%s on %s: db[2] is %g", all[i].name, device->name, (double)gb[2]);
    }
  }
}

/* Powers over the whole range of results, against pow in double. */
static void powers(suite *s) {
  enum { COUNT = 4099 };
  static float a[COUNT], b[COUNT], y[COUNT];
  const lur_op_desc d = {.kind = LUR_OP_BINARY, .nx = 2, .x = {F32(COUNT), F32(COUNT)}, .y = F32(COUNT),
                         .u.binary = {LUR_POW, false}};
  for (int i = 0; i < COUNT; i++) {
    a[i] = (float)exp(60 * suite_uniform(1, i) - 30);
    b[i] = (float)(8 * suite_uniform(2, i) - 4);
    if (i % 7 == 0) a[i] = -a[i], b[i] = roundf(b[i]);
  }
  for (int k = 0; k < suite_devices(s); k++) {
    if (!suite_run(s, suite_device(s, k), &d, &(plain_args){.x = {a, b}, .y = y})) continue;
    for (int i = 0; i < COUNT; i++) {
      const double want = pow((double)a[i], (double)b[i]);
      if (fabs(want) > 3e38 ? isinf(y[i]) : fabs((double)y[i] - want) <= 2e-6 * fabs(want) + 1.2e-38) continue;
      suite_expect(s, false, "pow on %s: %g to the power %g is %.9g, expected %.9g", suite_device(s, k)->name,
                   (double)a[i], (double)b[i], (double)y[i], want);
      break;
    }
  }
}

static void invalid(suite *s) {
  lur_op_desc d = {
      .kind = LUR_OP_BINARY, .nx = 2, .x = {F32(3, 4), F32(3, 5)}, .y = F32(3, 4), .u.binary = {LUR_ADD, false}};
  suite_reject(s, "shapes that do not broadcast", &d, LUR_ESHAPE, "x[0] is 3x4, x[1] is 3x5");
  d.x[1] = F32(4, 1);
  suite_reject(s, "other batch sizes", &d, LUR_ESHAPE, "do not broadcast");
  d.x[1] = F32(4);
  suite_reject(s, "a vector meets the batch", &d, LUR_ESHAPE, "do not broadcast");
  d.x[1] = F32(1, 4);
  d.y = F32(3, 5);
  suite_reject(s, "another y", &d, LUR_ESHAPE, "y is 3x5");
  d.y = d.x[0];
  d.x[1] = (lur_operand){LUR_BF16, SHAPE(3, 4)};
  suite_reject(s, "two types", &d, LUR_ETYPE, "bf16");
  d.x[1] = d.x[0];
  d.u.binary.function = LUR_BINARY_COUNT;
  suite_reject(s, "unknown function", &d, LUR_EARG, "13");
  d.u.binary = (lur_binary_desc){LUR_DIV, true};
  suite_reject(s, "relu of a quotient", &d, LUR_EARG, "relu is for add");
  d.u.binary = (lur_binary_desc){LUR_GT, false};
  d.want_dx = 1;
  suite_reject(s, "gradient of a comparison", &d, LUR_EARG, "gradient");
  d.want_dx = 0;
  d.nx = 1;
  suite_reject(s, "one input", &d, LUR_EARG, "inputs");
}

void ops_binary(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    check_equal(s, &rows[i], F32(1));
    check_equal(s, &rows[i], F32(3, 7));
    check_equal(s, &rows[i], F32(2, 5, 3, 33));
    check_equal(s, &rows[i], F32(24581)); /* a little more than three blocks of the cpu's loops */
    broadcasting(s, &rows[i]);
    if (rows[i].function == LUR_ADD || rows[i].function == LUR_MUL) long_ones(s, &rows[i]);
  }
  golden(s);
  powers(s);
  invalid(s);
}
