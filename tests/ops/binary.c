/* binary.c - cases of binary. */
#include "suite.h"

typedef struct row {
  const char *name;
  lur_binary function;
  bool relu;
  fill x;
} row;

static const row rows[] = {
    {"add", LUR_ADD, false, FILL_UNIFORM},           {"sub", LUR_SUB, false, FILL_UNIFORM},
    {"mul", LUR_MUL, false, FILL_UNIFORM},           {"maximum", LUR_MAXIMUM, false, FILL_AWAY},
    {"maximum ties", LUR_MAXIMUM, false, FILL_TIES}, {"add relu", LUR_ADD, true, FILL_UNIFORM},
    {"sub relu", LUR_SUB, true, FILL_UNIFORM},       {"mul relu", LUR_MUL, true, FILL_AWAY},
    {"maximum relu", LUR_MAXIMUM, true, FILL_AWAY},
};

static void check(suite *s, const row *r, lur_operand x) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_BINARY, "%s %s", r->name, lur_shape_format(&x.shape, text));
  c.desc.nx = 2;
  c.desc.x[0] = c.desc.x[1] = c.desc.y = x;
  c.desc.u.binary = (lur_binary_desc){r->function, r->relu};
  c.x[0] = c.x[1] = r->x;
  suite_check(s, &c);
}

/* maximum(3, 3): the gradient goes to x[0]. */
static void golden(suite *s) {
  static const float a[] = {1, 3, 5}, b[] = {2, 3, 4}, dy[] = {10, 20, 30};
  static const double y[] = {2, 3, 5}, da[] = {0, 20, 30}, db[] = {10, 0, 0};
  lur_op_desc d = {.kind = LUR_OP_BINARY,
                   .nx = 2,
                   .x = {F32(3), F32(3)},
                   .y = F32(3),
                   .want_dx = 3,
                   .u.binary = {LUR_MAXIMUM, false}};
  for (int k = 0; k < suite_devices(s); k++) {
    float gy[3], ga[3], gb[3];
    lur_device *device = suite_device(s, k);
    if (!suite_run(s, device, &d, &(plain_args){.x = {a, b}, .y = gy, .dy = dy, .dx = {ga, gb}})) continue;
    suite_near(s, "maximum by hand: y", device, gy, y, 3, 0, 0);
    suite_near(s, "maximum by hand: dx[0]", device, ga, da, 3, 0, 0);
    suite_near(s, "maximum by hand: dx[1]", device, gb, db, 3, 0, 0);
  }
}

void ops_binary(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    check(s, &rows[i], F32(1));
    check(s, &rows[i], F32(3, 7));
    check(s, &rows[i], F32(2, 5, 3, 33));
    check(s, &rows[i], F32(24581)); /* a little more than three blocks of the cpu's loops */
  }
  golden(s);
  lur_op_desc d = {
      .kind = LUR_OP_BINARY, .nx = 2, .x = {F32(3, 4), F32(4)}, .y = F32(3, 4), .u.binary = {LUR_ADD, false}};
  suite_reject(s, "broadcasting", &d, LUR_ESHAPE, "x[1] is 4");
  d.x[1] = (lur_operand){LUR_BF16, SHAPE(3, 4)};
  suite_reject(s, "two types", &d, LUR_ETYPE, "bf16");
  d.x[1] = d.x[0];
  d.u.binary.function = (lur_binary)9;
  suite_reject(s, "unknown function", &d, LUR_EARG, "9");
  d.u.binary.function = LUR_ADD;
  d.nx = 1;
  suite_reject(s, "one input", &d, LUR_EARG, "inputs");
}
