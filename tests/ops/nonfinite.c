/* nonfinite.c - NaN and infinity. Every case of the suite runs again with NaN, infinity and -infinity in each operand
 * in turn (x, w and dy): a device has NaN where ref has NaN, infinity where ref has infinity, and the same numbers
 * elsewhere. One exception: where a window of conv2d reaches outside the image, oneDNN and cuDNN may multiply the 0
 * there, so a device may have NaN more often (kernels/README.md). What ref itself must answer is written out in
 * ops_nonfinite, op by op; it is what PyTorch answers. A new op: its row there, if it compares or selects values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const float SPECIAL[] = {NAN, INFINITY, -INFINITY};
static const char *const SPECIAL_NAMES[] = {"NaN", "infinity", "-infinity"};
enum { SPECIALS = 3 };

bool nonfinite_padded(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  return d->kind == LUR_OP_CONV2D &&
         (u->pad_top > 0 || u->pad_left > 0 || (y[1] - 1) * u->stride_h + u->kernel_h > x[1] ||
          (y[2] - 1) * u->stride_w + u->kernel_w > x[2]);
}

bool nonfinite_agree(double got, double want, double tolerance) {
  if (isnan(want)) return isnan(got);
  return isinf(want) ? got == want : fabs(got - want) <= tolerance;
}

double nonfinite_rms(const float *v, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++)
    if (isfinite(v[i])) sum += (double)v[i] * (double)v[i];
  return count ? sqrt(sum / (double)count) : 0;
}

void nonfinite_put(float *v, int64_t count, float special, uint64_t key) {
  const int64_t places = 1 + count / 150;
  for (int64_t k = 0; k < places; k++) v[(int64_t)(suite_uniform(600 + key, k) * (double)count)] = special;
}

/* ---- the cases of the suite ---- */

enum { OPERANDS = LUR_MAX_OPERANDS + LUR_MAX_WEIGHTS + 1 }; /* x, w, dy */
static const double MOST_WORK = 3e7; /* multiply-adds of ref per run */

/* The operand with that number and its size; NULL: it does not exist or holds integers. */
static float *operand_at(const op_case *c, const inputs *in, int number, int64_t *count, char *name, size_t room) {
  const lur_op_desc *d = &c->desc;
  const int w = number - LUR_MAX_OPERANDS;
  if (number == OPERANDS - 1) {
    snprintf(name, room, "dy");
    *count = operand_count(&d->y);
    return d->y.dtype == LUR_F32 ? in->dy : NULL;
  }
  if (w >= 0) {
    snprintf(name, room, "w[%d]", w);
    if (w >= d->nw || !in->w[w] || (w == 0 && lur_op_is_int8(d))) return NULL; /* int8 weights are integers */
    *count = operand_count(&d->w[w]);
    return in->w[w];
  }
  snprintf(name, room, "x[%d]", number);
  if (number >= d->nx || d->x[number].dtype != LUR_F32) return NULL;
  *count = operand_count(&d->x[number]);
  return in->x[number];
}

typedef struct trial {
  const op_case *c;
  const lur_device *device;
  const char *special, *operand;
  double eps, atol;
  bool more; /* NaN may also be elsewhere */
} trial;

static void compare(suite *s, const trial *t, const char *role, int index, const float *got, const float *want,
                    const lur_operand *operand) {
  if (operand->dtype != LUR_F32) {
    suite_expect(s, memcmp(got, want, operand_bytes(operand)) == 0, "%s '%s' on %s, %s in %s: %s[%d] differs from ref",
                 lur_op_kind_name(t->c->desc.kind), t->c->name, t->device->name, t->special, t->operand, role, index);
    return;
  }
  const int64_t count = operand_count(operand);
  const double scale = nonfinite_rms(want, count);
  int64_t bad = 0, first = 0;
  for (int64_t i = 0; i < count; i++) {
    const double tolerance = t->eps * (fabs((double)want[i]) + scale) + t->atol;
    if (t->more && isnan(got[i])) continue;
    if (!nonfinite_agree((double)got[i], (double)want[i], tolerance) && bad++ == 0) first = i;
  }
  suite_expect(s, bad == 0, "%s '%s' on %s, %s in %s: %s[%d] differs in %lld of %lld, first at %lld: %g, expected %g",
               lur_op_kind_name(t->c->desc.kind), t->c->name, t->device->name, t->special, t->operand, role, index,
               (long long)bad, (long long)count, (long long)first, (double)got[first], (double)want[first]);
}

static void compare_all(suite *s, const trial *t, const outputs *got, const outputs *want) {
  const lur_op_desc *d = &t->c->desc;
  compare(s, t, "y", 0, got->y, want->y, &d->y);
  for (int i = 0; i < d->nx; i++)
    if (got->dx[i]) compare(s, t, "dx", i, got->dx[i], want->dx[i], &d->x[i]);
  for (int i = 0; i < d->nw; i++) {
    if (got->w[i]) compare(s, t, "moved w", i, got->w[i], want->w[i], &d->w[i]);
    if (got->dw[i]) compare(s, t, "dw", i, got->dw[i], want->dw[i], &d->w[i]);
  }
}

static void run_trial(suite *s, trial t, const inputs *in, const variant *v) {
  outputs want, got;
  if (!variant_run(s, s->devices[0], t.c, in, v, &want)) return;
  for (int k = 1; k < s->ndevices; k++) {
    t.device = s->devices[k];
    if (lur_device_kernel(t.device, t.c->desc.kind) == lur_device_kernel(s->devices[0], t.c->desc.kind)) continue;
    if (!variant_run(s, s->devices[k], t.c, in, v, &got)) continue;
    compare_all(s, &t, &got, &want);
    outputs_free(&got);
  }
  outputs_free(&want);
}

void nonfinite_check(suite *s, const op_case *c, const inputs *in, const variant *all, double eps, double atol) {
  const variant inference = {.name = "no gradient"};
  char name[16];
  int64_t count = 0;
  if (c->desc.y.dtype == LUR_U8) return; /* u8_results */
  if (lur_op_flops(&c->desc) / 2 * (all->want_dw ? 3 : 1) > MOST_WORK) return;
  for (int number = 0; number < OPERANDS; number++) {
    float *v = operand_at(c, in, number, &count, name, sizeof name);
    const bool is_dy = number == OPERANDS - 1, is_w = number == LUR_MAX_OPERANDS;
    if (!v || (is_dy && !all->want_dx && !all->want_dw)) continue;
    float *kept = check_alloc(sizeof *v * (size_t)count);
    memcpy(kept, v, sizeof *v * (size_t)count);
    for (int k = 0; k < SPECIALS; k++) {
      nonfinite_put(v, count, SPECIAL[k], (uint64_t)(number * SPECIALS + k));
      const trial t = {c, NULL, SPECIAL_NAMES[k], name, eps, atol, nonfinite_padded(&c->desc) && (is_w || is_dy)};
      const bool gates_differ = t.more && is_w && c->desc.u.conv2d.relu; /* more gradients then pass the ReLU */
      if ((all->want_dx || all->want_dw) && !gates_differ) run_trial(s, t, in, all);
      if (!is_dy) run_trial(s, t, in, &inference);
      memcpy(v, kept, sizeof *v * (size_t)count);
    }
    free(kept);
  }
}

/* ---- what ref answers ---- */

enum { MOST = 8 };
#define N NAN
#define INF INFINITY

typedef struct golden {
  const char *name;
  lur_op_desc desc;
  float x[2][MOST];
  double y[MOST], dx[2][MOST]; /* for dy = 1, 2, 3 ... */
} golden;

#define ELEMENTWISE(kind_, count, ...)                                                                                 \
  {.kind = LUR_OP_##kind_, .nx = 1, .x = {F32(count)}, .y = F32(count), .want_dx = 1, __VA_ARGS__}
#define TWO(count, ...)                                                                                                \
  {.kind = LUR_OP_BINARY, .nx = 2, .x = {F32(count), F32(count)}, .y = F32(count), .want_dx = 3,                  \
   .u.binary = {__VA_ARGS__}}

/* As TWO, without gradients. */
#define COMPARE(count, function_)                                                                                      \
  {.kind = LUR_OP_BINARY, .nx = 2, .x = {F32(count), F32(count)}, .y = F32(count), .u.binary = {.function = function_}}

static void expect_all(suite *s, const golden *g, const lur_device *device, const char *role, const float *got,
                       const double *want, const lur_operand *operand) {
  for (int64_t i = 0; i < operand_count(operand); i++)
    suite_expect(s, nonfinite_agree((double)got[i], want[i], 1e-6), "%s on %s: %s element %lld is %g, expected %g",
                 g->name, device->name, role, (long long)i, (double)got[i], want[i]);
}

static void check_golden(suite *s, const golden *g, lur_device *device) {
  float y[MOST], dx[2][MOST], dy[MOST];
  for (int i = 0; i < MOST; i++) dy[i] = (float)(i + 1);
  const plain_args args = {
      .x = {g->x[0], g->x[1]}, .y = y, .dy = g->desc.want_dx ? dy : NULL, .dx = {dx[0], dx[1]}};
  if (!suite_run(s, device, &g->desc, &args)) return;
  expect_all(s, g, device, "y", y, g->y, &g->desc.y);
  for (int i = 0; i < g->desc.nx; i++) {
    if (g->desc.want_dx >> i & 1u) expect_all(s, g, device, i ? "dx[1]" : "dx[0]", dx[i], g->dx[i], &g->desc.x[i]);
  }
}

/* ReLU after a sum of products: NaN stays, -infinity becomes 0. Rows of x: a number, NaN, infinity, -infinity. */
static void fused_relu(suite *s) {
  static const float x[] = {-1, NAN, INFINITY, -INFINITY};
  static const double y[] = {0, NAN, INFINITY, 0};
  const lur_op_desc descs[] = {
      {.kind = LUR_OP_DENSE, .nx = 1, .nw = 2, .x = {F32(4, 1)}, .w = {F32(1, 1), F32(1)}, .y = F32(4, 1),
       .u.dense = {true}},
      {.kind = LUR_OP_CONV2D, .nx = 1, .nw = 2, .x = {F32(1, 2, 2, 1)}, .w = {F32(1, 1, 1, 1), F32(1)},
       .y = F32(1, 2, 2, 1), .u.conv2d = {1, 1, 1, 1, 0, 0, false, false, true}},
      {.kind = LUR_OP_DEPTHWISE_CONV2D, .nx = 1, .nw = 2, .x = {F32(1, 2, 2, 1)}, .w = {F32(1, 1, 1, 1), F32(1)},
       .y = F32(1, 2, 2, 1), .u.conv2d = {1, 1, 1, 1, 0, 0, false, false, true}}};
  for (int k = 0; k < 3 * suite_devices(s); k++) {
    float one[] = {1}, zero[] = {0}, got[4];
    const golden g = {.name = lur_op_kind_name(descs[k % 3].kind)};
    lur_device *device = suite_device(s, k / 3);
    if (suite_run(s, device, &descs[k % 3], &(plain_args){.x = {x}, .w = {one, zero}, .y = got}))
      expect_all(s, &g, device, "y with relu", got, y, &descs[k % 3].y);
  }
}

/* ---- 8-bit results: they saturate, and are an error where they would be NaN, in every tile of the loops ---- */

enum { SIDE = 9, CHANNELS = 37, CELLS = SIDE * SIDE * CHANNELS };

typedef struct to_u8 { /* a depthwise convolution whose kernel has a 1 in the middle */
  lur_op_desc desc;
  float x[CELLS], w[9 * CHANNELS], b[CHANNELS];
  uint8_t y[CELLS];
} to_u8;

static void to_u8_new(to_u8 *t, int kernel, int stride) {
  const int out = (SIDE + stride - 1) / stride, middle = kernel * kernel / 2;
  t->desc = (lur_op_desc){.kind = LUR_OP_DEPTHWISE_CONV2D, .name = "q", .nx = 1, .nw = 2,
                          .x = {F32(1, SIDE, SIDE, CHANNELS)}, .w = {F32(kernel, kernel, CHANNELS, 1), F32(CHANNELS)},
                          .y = {LUR_U8, SHAPE(1, out, out, CHANNELS)}};
  t->desc.u.conv2d = (lur_conv2d_desc){kernel, kernel, stride, stride, kernel / 2, kernel / 2, false, false, false};
  for (int i = 0; i < CELLS; i++) t->x[i] = 3;
  for (int i = 0; i < kernel * kernel * CHANNELS; i++) t->w[i] = i / CHANNELS == middle;
  for (int i = 0; i < CHANNELS; i++) t->b[i] = 1;
}

static lur_status to_u8_run(lur_device *device, to_u8 *t) {
  lur_op op;
  LUR_TRY(lur_op_plan(device, &t->desc, &op));
  const lur_args args = {.x = {t->x}, .w = {t->w, t->b}, .y = t->y};
  const lur_status status = op.kernel->forward(&op, &args);
  lur_op_release(&op);
  return status;
}

static void u8_results(suite *s, lur_device *device) {
  static const int kernels[] = {1, 3, 3}, strides[] = {1, 1, 2};
  to_u8 *t = check_alloc(sizeof *t);
  to_u8_new(t, 1, 1);
  t->x[5] = INFINITY, t->x[6] = -INFINITY;
  suite_expect(s, to_u8_run(device, t) == LUR_OK && t->y[5] == 255 && t->y[6] == 0 && t->y[7] == 4,
               "u8 on %s: infinities do not saturate", device->name);
  for (int k = 0; k < 3; k++) {
    to_u8_new(t, kernels[k], strides[k]);
    for (int at = 0; at < CELLS; at += 61) {
      const int row = at / CHANNELS / SIDE, column = at / CHANNELS % SIDE;
      if (row % strides[k] || column % strides[k]) continue;
      t->x[at] = NAN;
      const bool refused = to_u8_run(device, t) == LUR_EARG && strstr(lur_last_error(), "the result is NaN");
      suite_expect(s, refused, "u8 on %s: NaN in element %d, kernel %d, stride %d, is not refused", device->name, at,
                   kernels[k], strides[k]);
      t->x[at] = 3;
    }
    suite_expect(s, to_u8_run(device, t) == LUR_OK, "u8 on %s: %s", device->name, lur_last_error());
  }
  free(t);
}

void ops_nonfinite(suite *s) {
  const golden goldens[] = {
      {"relu", ELEMENTWISE(ACTIVATION, 5, .u.activation = {.function = LUR_RELU}),
       {{N, INF, -INF, -1, 2}}, {N, INF, 0, 0, 2},
       {{1, 2, 0, 0, 5}}},
      {"abs", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_ABS}),
       {{N, INF, -INF}}, {N, INF, INF}, {{N, 2, -3}}},
      {"sigmoid", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_SIGMOID}),
       {{N, INF, -INF}}, {N, 1, 0}, {{N, 0, 0}}},
      {"tanh", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_TANH}),
       {{N, INF, -INF}}, {N, 1, -1}, {{N, 0, 0}}},
      {"maximum", TWO(6, LUR_MAXIMUM, false), {{N, 1, N, INF, -INF, 3}, {1, N, N, INF, 2, -INF}}, {N, N, N, INF, 2, 3},
       {{1, 0, 3, 4, 0, 6}, {0, 2, 0, 0, 5, 0}}},
      {"minimum", TWO(6, LUR_MINIMUM, false), {{N, 1, N, INF, -INF, 3}, {1, N, N, INF, 2, -INF}},
       {N, N, N, INF, -INF, -INF},
       {{1, 0, 3, 4, 5, 0}, {0, 2, 0, 0, 0, 6}}},
      {"div", TWO(5, LUR_DIV, false), {{1, 0, INF, 1, N}, {0, 0, INF, INF, 1}}, {INF, N, N, 0, N},
       {{INF, INF, 0, 0, 5}, {-INF, N, N, 0, N}}},
      {"pow", TWO(6, LUR_POW, false), {{N, 1, -8, INF, 0, -INF}, {0, N, 0.5, -1, -1, 3}}, {1, 1, N, 0, INF, -INF},
       {{0, N, N, 0, -INF, INF}, {N, 0, N, N, -INF, N}}},
      {"gt", COMPARE(4, LUR_GT), {{N, 1, INF, -INF}, {1, N, INF, 0}}, {0, 0, 0, 0}, {{0}}},
      {"ge", COMPARE(4, LUR_GE), {{N, 1, INF, -INF}, {1, N, INF, 0}}, {0, 0, 1, 0}, {{0}}},
      {"eq", COMPARE(4, LUR_EQ), {{N, N, INF, -INF}, {1, N, INF, INF}}, {0, 0, 1, 0}, {{0}}},
      {"ne", COMPARE(4, LUR_NE), {{N, N, INF, -INF}, {1, N, INF, INF}}, {1, 1, 0, 1}, {{0}}},
      {"silu", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_SILU}), {{N, INF, -INF}}, {N, INF, N},
       {{N, N, N}}},
      {"leaky_relu", ELEMENTWISE(ACTIVATION, 3, .u.activation = {LUR_LEAKY_RELU, 0.5}), {{N, INF, -INF}},
       {N, INF, -INF}, {{0.5, 2, 1.5}}},
      {"elu", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_ELU}), {{N, INF, -INF}}, {N, INF, -1},
       {{N, 2, 0}}},
      {"relu6", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_RELU6}), {{N, INF, -INF}}, {N, 6, 0},
       {{1, 0, 0}}},
      {"hard_sigmoid", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_HARD_SIGMOID}), {{N, INF, -INF}},
       {N, 1, 0}, {{0, 0, 0}}},
      {"hard_swish", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_HARD_SWISH}), {{N, INF, -INF}},
       {N, INF, N}, {{N, 2, 0}}},
      {"softplus", ELEMENTWISE(ACTIVATION, 3, .u.activation = {.function = LUR_SOFTPLUS}), {{N, INF, -INF}},
       {N, INF, 0}, {{N, 2, 0}}},
      {"add, relu", TWO(4, LUR_ADD, true), {{N, 1, INF, -INF}, {1, -INF, -INF, 5}}, {N, 0, N, 0},
       {{1, 0, 3, 0}, {1, 0, 3, 0}}},
      {"softmax of a NaN", ELEMENTWISE(SOFTMAX, 3, ), {{1, N, 0}}, {N, N, N}, {{N, N, N}}},
      {"softmax of infinity", ELEMENTWISE(SOFTMAX, 3, ), {{1, INF, 0}}, {N, N, N}, {{N, N, N}}},
      {"softmax of -infinity", ELEMENTWISE(SOFTMAX, 3, ), {{1, -INF, 1}}, {0.5, 0, 0.5}, {{-0.5, 0, 0.5}}},
      {"normalize a NaN", ELEMENTWISE(NORMALIZE, 3, .u.normalize = {1e-6}), {{3, N, 4}}, {N, N, N}, {{N, N, N}}},
      {"max pool",
       {.kind = LUR_OP_POOL, .nx = 1, .x = {F32(1, 1, 6, 1)}, .y = F32(1, 1, 3, 1), .want_dx = 1,
        .u.pool = {LUR_POOL_MAX, 1, 2, 1, 2, 0, 0, false}},
       {{1, N, N, 2, -INF, -5}}, {N, N, -5}, {{0, 1, 2, 0, 0, 3}}},
      {"average pool",
       {.kind = LUR_OP_POOL, .nx = 1, .x = {F32(1, 1, 6, 1)}, .y = F32(1, 1, 3, 1), .want_dx = 1,
        .u.pool = {LUR_POOL_AVG, 1, 2, 1, 2, 0, 0, false}},
       {{1, N, INF, 2, -INF, INF}}, {N, INF, N}, {{0.5, 0.5, 1, 1, 1.5, 1.5}}},
      {"maximum of rows",
       {.kind = LUR_OP_REDUCE, .nx = 1, .x = {F32(2, 3)}, .y = F32(2), .want_dx = 1, .u.reduce = {LUR_MAX, 2}},
       {{1, N, INF, -INF, -INF, -7}}, {N, -7}, {{0, 1, 0, 0, 0, 2}}},
      {"minimum of rows",
       {.kind = LUR_OP_REDUCE, .nx = 1, .x = {F32(2, 3)}, .y = F32(2), .want_dx = 1, .u.reduce = {LUR_MIN, 2}},
       {{1, -INF, N, INF, -INF, -7}}, {N, -INF}, {{0, 0, 1, 0, 2, 0}}},
      {"layernorm a NaN",
       {.kind = LUR_OP_LAYERNORM, .nx = 1, .nw = 2, .x = {F32(2, 2)}, .y = F32(2, 2), .want_dx = 1,
        .u.layernorm = {1, 0, false, false}},
       {{1, N, 2, 2}}, {N, N, 0, 0}, {{N, N, -0.5, 0.5}}},
      {"layernorm infinity",
       {.kind = LUR_OP_LAYERNORM, .nx = 1, .nw = 2, .x = {F32(2, 2)}, .y = F32(2, 2), .want_dx = 1,
        .u.layernorm = {1, 0, false, false}},
       {{1, INF, 2, 2}}, {N, N, 0, 0}, {{N, N, -0.5, 0.5}}},
      {"groupnorm a NaN",
       {.kind = LUR_OP_GROUPNORM, .nx = 1, .nw = 2, .x = {F32(1, 2, 2)}, .y = F32(1, 2, 2), .want_dx = 1,
        .u.layernorm = {1, 2, false, false}},
       {{1, N, 1, 2}}, {0, N, 0, N}, {{-1, N, 1, N}}},
      {"upsample, bilinear", /* a share of 0 times NaN is NaN, as in PyTorch */
       {.kind = LUR_OP_UPSAMPLE, .nx = 1, .x = {F32(1, 1, 2, 1)}, .y = F32(1, 1, 4, 1), .want_dx = 1,
        .u.upsample = {LUR_UPSAMPLE_BILINEAR}},
       {{1, N}}, {N, N, N, N}, {{3.25, 6.75}}},
      {"upsample, nearest",
       {.kind = LUR_OP_UPSAMPLE, .nx = 1, .x = {F32(1, 1, 2, 1)}, .y = F32(1, 1, 4, 1), .want_dx = 1,
        .u.upsample = {LUR_UPSAMPLE_NEAREST}},
       {{1, N}}, {1, 1, N, N}, {{3, 7}}},
      {"slice beside a NaN",
       {.kind = LUR_OP_SLICE, .nx = 1, .x = {F32(3)}, .y = F32(2), .want_dx = 1, .u.slice = {{1}}},
       {{N, 1, INF}}, {1, INF}, {{0, 1, 2}}},
      {"matmul, 0 times infinity",
       {.kind = LUR_OP_MATMUL, .nx = 2, .x = {F32(2, 1), F32(1, 2)}, .y = F32(2, 2), .want_dx = 3},
       {{0, 1}, {INF, N}}, {N, N, INF, N}, {{N, N}, {3, 4}}},
  };
  for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++)
    for (int k = 0; k < suite_devices(s); k++) check_golden(s, &goldens[i], suite_device(s, k));
  fused_relu(s);
  for (int k = 0; k < suite_devices(s); k++)
    if (suite_device(s, k)->backend->int8) u8_results(s, suite_device(s, k));
}
