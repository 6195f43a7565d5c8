/* loss.c - cases of loss. */
#include "suite.h"

#include <math.h>

enum { IDS = 1, WEIGHTED = 2, SMOOTH = 4, LOGITS = 8, SOFT = 16 };

static const char *const names[] = {"categorical", "binary", "squared"};

static op_case case_of(lur_loss_kind kind, int n, int c, int flags) {
  op_case k = suite_case(LUR_OP_LOSS, "%s %dx%d%s%s%s%s%s", names[kind], n, c, flags & LOGITS ? " logits" : "",
                         flags & IDS ? " ids" : "", flags & SOFT ? " soft targets" : "",
                         flags & WEIGHTED ? " weighted" : "", flags & SMOOTH ? " smooth" : "");
  bool logits = flags & LOGITS, categorical = kind == LUR_CATEGORICAL_CROSSENTROPY;
  k.desc.nx = flags & WEIGHTED ? 3 : 2;
  k.desc.x[0] = F32(n, c);
  k.desc.x[1] = flags & IDS ? I32(n) : F32(n, c);
  k.desc.x[2] = F32(n);
  k.desc.y = F32(1);
  k.desc.u.loss = (lur_loss_desc){kind, logits, flags & SMOOTH ? 0.1 : 0};
  k.x[0] = kind == LUR_MEAN_SQUARED_ERROR ? FILL_UNIFORM : logits ? FILL_WIDE : FILL_UNIT;
  k.x[1] = kind == LUR_MEAN_SQUARED_ERROR ? FILL_UNIFORM
           : categorical                  ? (flags & SOFT ? FILL_ROWS_OF_ONE : FILL_ONE_HOT)
           : flags & SOFT                 ? FILL_UNIT
                                          : FILL_BITS;
  k.x[2] = FILL_SAMPLE;
  k.limit = categorical ? c : 2;
  k.step = logits ? 1.0 / 64 : 0; /* numbers of magnitude 5 have few bits for small slopes */
  k.slope_atol = 3e-5;
  return k;
}

static void cases(suite *s) {
  static const int sizes[][2] = {{1, 2}, {5, 3}, {7, 100}, {3, 33}};
  for (int i = 0; i < 4; i++)
    for (int flags = 0; flags < 32; flags++) {
      if ((flags & IDS) && (flags & SOFT)) continue;
      op_case c = case_of(LUR_CATEGORICAL_CROSSENTROPY, sizes[i][0], sizes[i][1], flags);
      suite_check(s, &c);
      if (flags & IDS) continue;
      c = case_of(LUR_BINARY_CROSSENTROPY, sizes[i][0], sizes[i][1], flags);
      suite_check(s, &c);
      if (flags & ~WEIGHTED) continue;
      c = case_of(LUR_MEAN_SQUARED_ERROR, sizes[i][0], sizes[i][1], flags);
      suite_check(s, &c);
    }
  for (int flags = 0; flags < 16; flags++) { /* one unit: ids may be 0 and 1 */
    op_case c = case_of(LUR_BINARY_CROSSENTROPY, 6, 1, flags);
    suite_check(s, &c);
  }
}

typedef struct golden {
  const char *name;
  lur_loss_desc u;
  float x[4], t[4];
  double y, dx[4];
} golden;

/* n = 2, c = 2. Keras 2.0.6: probabilities are divided by their sum, clipped at 1e-7, no gradient where clipped. */
static const golden goldens[] = {
    {"categorical, sums 1 and 2",
     {LUR_CATEGORICAL_CROSSENTROPY, false, 0},
     {0.25f, 0.75f, 1.5f, 0.5f},
     {0, 1, 1, 0},
     0.28768207245178096,
     {0.5, -0.16666666666666666, -0.08333333333333333, 0.25}},
    {"categorical, clipped",
     {LUR_CATEGORICAL_CROSSENTROPY, false, 0},
     {0, 1, 1, 0},
     {1, 0, 1, 0},
     8.05904782547916,
     {0, 0, 0, 0}},
    {"categorical, logits ln 3 and 0",
     {LUR_CATEGORICAL_CROSSENTROPY, true, 0},
     {1.0986122886681098f, 0, 0, 0},
     {1, 0, 0, 1},
     0.49041462650586315,
     {-0.125, 0.125, 0.25, -0.25}},
    {"categorical, smoothed by 0.2",
     {LUR_CATEGORICAL_CROSSENTROPY, true, 0.2},
     {1.0986122886681098f, 0, 0, 0},
     {1, 0, 0, 1},
     0.5453452409392686,
     {-0.075, 0.075, 0.2, -0.2}},
    {"binary",
     {LUR_BINARY_CROSSENTROPY, false, 0},
     {0.25f, 0.5f, 0.75f, 0.5f},
     {0, 1, 1, 0},
     0.4904146265058631,
     {0.3333333333333333, -0.5, -0.3333333333333333, 0.5}},
    {"binary, clipped",
     {LUR_BINARY_CROSSENTROPY, false, 0},
     {0, 1, 1, 0},
     {1, 0, 1, 0},
     8.05904782547916,
     {0, 0, 0, 0}},
    {"binary, logits",
     {LUR_BINARY_CROSSENTROPY, true, 0},
     {0, 0, 1.0986122886681098f, -1.0986122886681098f},
     {0, 1, 1, 0},
     0.49041462650586315,
     {0.125, -0.125, -0.0625, 0.0625}},
    {"squared", {LUR_MEAN_SQUARED_ERROR, false, 0}, {1, 2, 3, 4}, {0, 2, 5, 4}, 1.25, {0.5, 0, -1, 0}},
};

static void check_golden(suite *s) {
  static const float one[] = {1};
  for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++)
    for (int k = 0; k < suite_devices(s); k++) {
      const golden *g = &goldens[i];
      float y, dx[4];
      char what[96];
      lur_op_desc d = {
          .kind = LUR_OP_LOSS, .nx = 2, .x = {F32(2, 2), F32(2, 2)}, .y = F32(1), .want_dx = 1, .u.loss = g->u};
      if (!suite_run(s, suite_device(s, k), &d, &(plain_args){.x = {g->x, g->t}, .y = &y, .dy = one, .dx = {dx}}))
        continue;
      snprintf(what, sizeof what, "loss by hand, %s: y", g->name);
      suite_near(s, what, suite_device(s, k), &y, &g->y, 1, 0, 2e-6);
      snprintf(what, sizeof what, "loss by hand, %s: dx", g->name);
      suite_near(s, what, suite_device(s, k), dx, g->dx, 4, 1e-7, 2e-6);
    }
}

/* Logits of +-1000 give finite losses and gradients. */
static void extremes(suite *s) {
  static const float x[] = {1000, -1000, -1000, 1000}, one[] = {1};
  static const float t[] = {0, 1, 0, 1};
  static const double categorical_y = 1000, binary_y = 500, categorical_dx[] = {0.5, -0.5, 0, 0},
                      binary_dx[] = {0.25, -0.25, 0, 0};
  for (int k = 0; k < 2 * suite_devices(s); k++) {
    bool binary = k % 2;
    float y, dx[4];
    lur_op_desc d = {.kind = LUR_OP_LOSS,
                     .nx = 2,
                     .x = {F32(2, 2), F32(2, 2)},
                     .y = F32(1),
                     .want_dx = 1,
                     .u.loss = {binary ? LUR_BINARY_CROSSENTROPY : LUR_CATEGORICAL_CROSSENTROPY, true, 0}};
    if (!suite_run(s, suite_device(s, k / 2), &d, &(plain_args){.x = {x, t}, .y = &y, .dy = one, .dx = {dx}})) continue;
    suite_near(s, "loss of extreme logits: y", suite_device(s, k / 2), &y, binary ? &binary_y : &categorical_y, 1, 0,
               1e-6);
    suite_near(s, "loss of extreme logits: dx", suite_device(s, k / 2), dx, binary ? binary_dx : categorical_dx, 4,
               1e-7, 1e-6);
  }
}

/* An id outside the classes: ref refuses it before it reads outside the row. */
static void outside(suite *s) {
  static const float x[] = {0.5f, 0.5f, 0.5f, 0.5f};
  for (int k = 0; k < 2; k++) {
    const int32_t ids[] = {1, k ? 2 : -1};
    lur_op_desc d = {.kind = LUR_OP_LOSS, .nx = 2, .x = {F32(2, 2), I32(2)}, .y = F32(1)};
    lur_op op;
    float y;
    lur_args args = {.x = {x, ids}, .y = &y};
    if (!suite_expect(s, lur_op_plan(suite_device(s, 0), &d, &op) == LUR_OK, "%s", lur_last_error())) return;
    suite_expect(s, op.kernel->forward(&op, &args) == LUR_EARG, "loss on ref takes id %d of 2", ids[1]);
    lur_op_release(&op);
  }
}

static void errors(suite *s) {
  const lur_op_desc good = case_of(LUR_CATEGORICAL_CROSSENTROPY, 5, 3, WEIGHTED).desc;
  lur_op_desc d = good;
  d.x[1] = F32(5, 4);
  suite_reject(s, "targets unlike predictions", &d, LUR_ESHAPE, "target is 5x4");
  d = good, d.x[1] = I32(5, 3);
  suite_reject(s, "too many ids", &d, LUR_ESHAPE, "target is 5x3");
  d = good, d.x[1].dtype = LUR_U8;
  suite_reject(s, "bytes as targets", &d, LUR_ETYPE, "u8");
  d = good, d.x[2] = F32(4);
  suite_reject(s, "sample weights", &d, LUR_ESHAPE, "sample weights are 4");
  d = good, d.y = F32(5);
  suite_reject(s, "a loss a row", &d, LUR_ESHAPE, "y is 5");
  d = good, d.u.loss.label_smoothing = 1.5;
  suite_reject(s, "smoothing above 1", &d, LUR_EARG, "1.5");
  d = good, d.want_dx = 4;
  suite_reject(s, "gradient of sample weights", &d, LUR_EARG, "predictions");
  d = good, d.u.loss.kind = LUR_MEAN_SQUARED_ERROR, d.x[1] = I32(5);
  suite_reject(s, "ids for squared errors", &d, LUR_ETYPE, "i32");
}

void ops_loss(suite *s) {
  cases(s);
  check_golden(s);
  extremes(s);
  outside(s);
  errors(s);
}
