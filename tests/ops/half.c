/* half.c - ops in f16 and bf16, on the devices that support them, against ref in f32 on the same rounded inputs; and
 * conv2d, dense and matmul in tf32, which is f32 with less precise multiplication.
 *
 * Activations and their gradients are half, weights and their gradients f32. A device that computes in f32 only returns
 * LUR_ETYPE when it plans, and is skipped. A new op: a HALF line here, or in the op's own file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Errors by rounding of the result and of intermediate values: |error| <= eps * (|expected| + rms). */
static const double EPS[LUR_DTYPE_COUNT] = {
    [LUR_F16] = 0x1p-9, [LUR_BF16] = 0x1p-6, [LUR_F32] = 0x1p-9}; /* f32: tf32 */

/* One set of host arrays; each has room for floats, also if it holds halves. */
typedef struct arrays {
  void *x[LUR_MAX_OPERANDS], *y, *dy, *dx[LUR_MAX_OPERANDS], *w[LUR_MAX_WEIGHTS], *dw[LUR_MAX_WEIGHTS];
} arrays;

static void arrays_new(const lur_op_desc *d, arrays *a) {
  memset(a, 0, sizeof *a);
  for (int i = 0; i < d->nx; i++) {
    a->x[i] = check_alloc(4 * (size_t)operand_count(&d->x[i]));
    a->dx[i] = check_alloc(4 * (size_t)operand_count(&d->x[i]));
  }
  for (int i = 0; i < d->nw; i++) {
    a->w[i] = check_alloc(4 * (size_t)operand_count(&d->w[i]));
    a->dw[i] = check_alloc(4 * (size_t)operand_count(&d->w[i]));
  }
  a->y = check_alloc(4 * (size_t)operand_count(&d->y));
  a->dy = check_alloc(4 * (size_t)operand_count(&d->y));
}

static void arrays_free(arrays *a) {
  for (int i = 0; i < LUR_MAX_OPERANDS; i++) free(a->x[i]), free(a->dx[i]);
  for (int i = 0; i < LUR_MAX_WEIGHTS; i++) free(a->w[i]), free(a->dw[i]);
  free(a->y), free(a->dy);
}

static uint16_t half_of(lur_dtype dtype, float v) { return dtype == LUR_F16 ? lur_f32_to_f16(v) : lur_f32_to_bf16(v); }
static float float_of(lur_dtype dtype, uint16_t v) { return dtype == LUR_F16 ? lur_f16_to_f32(v) : lur_bf16_to_f32(v); }

/* Rounds v to dtype, and writes the halves to h (may be NULL). */
static void round_all(lur_dtype dtype, float *v, uint16_t *h, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint16_t bits = half_of(dtype, v[i]);
    if (h) h[i] = bits;
    v[i] = float_of(dtype, bits);
  }
}

/* The half form of a description: activations change their type; targets, weights, losses, scales and shifts do not. */
static lur_op_desc half_desc(lur_op_desc d, lur_dtype dtype) {
  bool loss = d.kind == LUR_OP_LOSS, affine_out = d.kind == LUR_OP_BATCHNORM && d.u.batchnorm.affine_out;
  bool affine_in =
      (d.kind == LUR_OP_DEPTHWISE_CONV2D && d.u.conv2d.affine_in) || (d.kind == LUR_OP_POOL && d.u.pool.affine_in);
  for (int i = 0; i < (loss || affine_in ? 1 : d.nx); i++)
    if (d.x[i].dtype == LUR_F32) d.x[i].dtype = dtype;
  if (!loss && !affine_out) d.y.dtype = dtype;
  return d;
}

/* special: 0, or NaN or infinity, which is written to some elements of x[0] and, unless a device may then have more of
   it than ref, of dy. */
static void fill_all(const lur_op_desc *d, const lur_op_desc *hd, lur_dtype dtype, int32_t limit, float special,
                     arrays *f, arrays *h) {
  bool positive = d->kind == LUR_OP_LOSS && !d->u.loss.from_logits;
  for (int i = 0; i < d->nx; i++)
    for (int64_t k = 0, n = operand_count(&d->x[i]); k < n; k++) {
      double u = suite_uniform(100 + (uint64_t)i, k);
      if (d->x[i].dtype == LUR_I32)
        ((int32_t *)f->x[i])[k] = (int32_t)(u * limit);
      else
        ((float *)f->x[i])[k] = (float)(positive ? 0.1 + 0.8 * u : 2 * u - 1);
    }
  for (int i = 0; i < d->nw; i++)
    for (int64_t k = 0, n = operand_count(&d->w[i]); k < n; k++) {
      double u = suite_uniform(300 + (uint64_t)i, k);
      ((float *)f->w[i])[k] = (float)(d->kind == LUR_OP_BATCHNORM ? 0.5 + u : 2 * u - 1);
    }
  for (int64_t k = 0, n = operand_count(&d->y); k < n; k++)
    ((float *)f->dy)[k] = (float)(d->kind == LUR_OP_LOSS ? 1 : 2 * suite_uniform(500, k) - 1);
  if (special != 0) nonfinite_put(f->x[0], operand_count(&d->x[0]), special, 7);
  if (special != 0 && d->kind != LUR_OP_LOSS && !nonfinite_padded(d))
    nonfinite_put(f->dy, operand_count(&d->y), special, 8);
  for (int i = 0; i < d->nx; i++) {
    if (hd->x[i].dtype == dtype && dtype != LUR_F32)
      round_all(dtype, f->x[i], h->x[i], operand_count(&d->x[i]));
    else
      memcpy(h->x[i], f->x[i], 4 * (size_t)operand_count(&d->x[i]));
  }
  for (int i = 0; i < d->nw; i++) memcpy(h->w[i], f->w[i], 4 * (size_t)operand_count(&d->w[i]));
  if (hd->y.dtype == dtype && dtype != LUR_F32)
    round_all(dtype, f->dy, h->dy, operand_count(&d->y));
  else
    memcpy(h->dy, f->dy, 4 * (size_t)operand_count(&d->y));
}

static bool run(suite *s, lur_device *device, const lur_op_desc *d, arrays *a) {
  plain_args p = {.y = a->y, .dy = d->want_dx || d->want_dw ? a->dy : NULL, .seed = 42, .step = 7};
  for (int i = 0; i < d->nx; i++) p.x[i] = a->x[i], p.dx[i] = d->want_dx >> i & 1u ? a->dx[i] : NULL;
  for (int i = 0; i < d->nw; i++) p.w[i] = a->w[i], p.dw[i] = d->want_dw >> i & 1u ? a->dw[i] : NULL;
  return suite_run(s, device, d, &p);
}

static void compare(suite *s, const char *what, const char *role, int index, lur_dtype by, lur_dtype dtype,
                    const float *expected, void *got, int64_t count) {
  double scale = nonfinite_rms(expected, count), eps = EPS[by];
  for (int64_t i = 0; i < count; i++) {
    double v = dtype == LUR_F32 ? (double)((float *)got)[i] : (double)float_of(dtype, ((uint16_t *)got)[i]),
           want = (double)expected[i];
    if (nonfinite_agree(v, want, eps * (fabs(want) + scale) + 1e-6)) continue;
    suite_expect(s, false, "%s: %s[%d] element %lld is %.6g, expected %.6g", what, role, index, (long long)i, v, want);
    return;
  }
  suite_expect(s, true, "%s", what);
}

static void check_type(suite *s, lur_device *device, const char *name, const lur_op_desc *d, int32_t limit,
                       lur_dtype dtype, float special) {
  char what[160];
  lur_op probe;
  lur_op_desc hd = half_desc(*d, dtype);
  hd.tf32 = dtype == LUR_F32;
  snprintf(what, sizeof what, "%s '%s' in %s on %s%s", lur_op_kind_name(d->kind), name,
           hd.tf32 ? "tf32" : lur_dtype_name(dtype), device->name,
           isnan(special) ? ", NaN in x[0] and dy" : special > 0 ? ", infinity in x[0] and dy" : "");
  lur_status status = lur_op_plan(device, &hd, &probe);
  if (status == LUR_ETYPE) return;
  if (!suite_expect(s, status == LUR_OK, "%s: %s", what, lur_last_error())) return;
  lur_op_release(&probe);
  arrays f, h;
  arrays_new(d, &f), arrays_new(d, &h);
  fill_all(d, &hd, dtype, limit, special, &f, &h);
  if (run(s, suite_device(s, 0), d, &f) && run(s, device, &hd, &h)) {
    compare(s, what, "y", 0, dtype, hd.y.dtype, f.y, h.y, operand_count(&d->y));
    for (int i = 0; i < d->nx; i++)
      if (d->want_dx >> i & 1u)
        compare(s, what, "dx", i, dtype, hd.x[i].dtype, f.dx[i], h.dx[i], operand_count(&d->x[i]));
    for (int i = 0; i < d->nw; i++)
      if (d->want_dw >> i & 1u) compare(s, what, "dw", i, dtype, LUR_F32, f.dw[i], h.dw[i], operand_count(&d->w[i]));
  }
  arrays_free(&f), arrays_free(&h);
}

void suite_half(suite *s, const char *name, lur_op_desc d, int32_t limit) {
  s->cases++;
  int nw = d.kind == LUR_OP_BATCHNORM ? 2 : d.nw;
  for (int i = 0; i < d.nx; i++)
    if (d.x[i].dtype == LUR_F32) d.want_dx |= 1u << i;
  d.want_dx &= lur_op_gradients(&d);
  for (int i = 0; i < nw; i++) d.want_dw |= 1u << i;
  for (int k = 1; k < suite_devices(s); k++) {
    static const float specials[] = {0, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
      check_type(s, suite_device(s, k), name, &d, limit, LUR_F16, specials[i]);
      check_type(s, suite_device(s, k), name, &d, limit, LUR_BF16, specials[i]);
      if (d.kind == LUR_OP_DENSE || d.kind == LUR_OP_CONV2D || d.kind == LUR_OP_MATMUL)
        check_type(s, suite_device(s, k), name, &d, limit, LUR_F32, specials[i]);
    }
  }
}

#define OP(kind_, name, limit, ...) HALF(s, kind_, name, limit, __VA_ARGS__)

static void convolutions(suite *s) {
  OP(DENSE, "bias", 0, .nx = 1, .nw = 2, .x = {F32(9, 40)}, .w = {F32(40, 24), F32(24)}, .y = F32(9, 24));
  OP(DENSE, "odd sizes, relu, residual", 0, .nx = 2, .nw = 2, .x = {F32(5, 13), F32(5, 7)}, .w = {F32(13, 7), F32(7)},
     .y = F32(5, 7), .u.dense = {true});
  OP(CONV2D, "1x1 relu", 0, .nx = 1, .nw = 2, .x = {F32(2, 6, 5, 16)}, .w = {F32(1, 1, 16, 8), F32(8)},
     .y = F32(2, 6, 5, 8), .u.conv2d = {1, 1, 1, 1, 0, 0, .relu = true});
  OP(CONV2D, "3x3 stride 2, padded, residual", 0, .nx = 2, .nw = 2, .x = {F32(2, 8, 7, 5), F32(2, 4, 4, 6)},
     .w = {F32(3, 3, 5, 6), F32(6)}, .y = F32(2, 4, 4, 6), .u.conv2d = {3, 3, 2, 2, 0, 1, false, false, false});
  OP(CONV2D, "3x3 stride 2, padded, even channels", 0, .nx = 1, .nw = 1, .x = {F32(2, 8, 7, 8)}, .w = {F32(3, 3, 8, 6)},
     .y = F32(2, 4, 4, 6), .u.conv2d = {3, 3, 2, 2, 0, 1, false, false, false});
  OP(CONV2D, "3x3 same", 0, .nx = 1, .nw = 1, .x = {F32(1, 6, 6, 8)}, .w = {F32(3, 3, 8, 8)}, .y = F32(1, 6, 6, 8),
     .u.conv2d = {3, 3, 1, 1, 1, 1, false, false, false});
  OP(CONV2D, "3x3 bias, relu", 0, .nx = 1, .nw = 2, .x = {F32(1, 6, 6, 3)}, .w = {F32(3, 3, 3, 8), F32(8)},
     .y = F32(1, 4, 4, 8), .u.conv2d = {3, 3, 1, 1, 0, 0, .relu = true});
  OP(DEPTHWISE_CONV2D, "3x3 relu_in", 0, .nx = 1, .nw = 1, .x = {F32(2, 7, 9, 40)}, .w = {F32(3, 3, 40, 1)},
     .y = F32(2, 7, 9, 40), .u.conv2d = {3, 3, 1, 1, 1, 1, .relu_in = true});
  OP(DEPTHWISE_CONV2D, "3x3 stride 2 bias", 0, .nx = 1, .nw = 2, .x = {F32(1, 7, 8, 7)}, .w = {F32(3, 3, 7, 1), F32(7)},
     .y = F32(1, 4, 4, 7), .u.conv2d = {3, 3, 2, 2, 1, 0, false, false, false});
  OP(DEPTHWISE_CONV2D, "5x5 relu", 0, .nx = 1, .nw = 2, .x = {F32(1, 7, 8, 8)}, .w = {F32(5, 5, 8, 1), F32(8)},
     .y = F32(1, 7, 8, 8), .u.conv2d = {5, 5, 1, 1, 2, 2, .relu = true});
  OP(DEPTHWISE_CONV2D, "5x5, odd channels", 0, .nx = 1, .nw = 2, .x = {F32(1, 7, 8, 5)}, .w = {F32(5, 5, 5, 1), F32(5)},
     .y = F32(1, 7, 8, 5), .u.conv2d = {5, 5, 1, 1, 2, 2, false, false, false});
}

/* affine_out, and the ops with affine_in that read it. */
static void affines(suite *s) {
  OP(BATCHNORM, "affine_out, odd channels", 0, .nx = 1, .nw = 4, .x = {F32(3, 5, 4, 7)},
     .w = {F32(7), F32(7), F32(7), F32(7)}, .y = F32(2, 7),
     .u.batchnorm = {1e-3, 0.99, true, true, true, .affine_out = true});
  for (int batch = 0; batch < 2; batch++)
    OP(BATCHNORM, batch ? "affine_out, batch" : "affine_out, moving", 0, .nx = 1, .nw = 4, .x = {F32(3, 5, 4, 24)},
       .w = {F32(24), F32(24), F32(24), F32(24)}, .y = F32(2, 24),
       .u.batchnorm = {1e-3, 0.99, batch, true, true, .affine_out = true});
  OP(DEPTHWISE_CONV2D, "affine_in, relu_in", 0, .nx = 2, .nw = 1, .x = {F32(2, 7, 9, 40), F32(2, 40)},
     .w = {F32(3, 3, 40, 1)}, .y = F32(2, 7, 9, 40),
     .u.conv2d = {3, 3, 1, 1, 1, 1, .affine_in = true, .relu_in = true});
  OP(DEPTHWISE_CONV2D, "affine_in, stride 2", 0, .nx = 2, .nw = 1, .x = {F32(2, 7, 8, 7), F32(2, 7)},
     .w = {F32(3, 3, 7, 1)}, .y = F32(2, 4, 4, 7), .u.conv2d = {3, 3, 2, 2, 1, 0, .affine_in = true});
  OP(POOL, "affine_in, max", 0, .nx = 2, .x = {F32(2, 7, 8, 16), F32(2, 16)}, .y = F32(2, 4, 4, 16),
     .u.pool = {LUR_POOL_MAX, 3, 3, 2, 2, 1, 0, .affine_in = true});
  OP(POOL, "affine_in, average", 0, .nx = 2, .x = {F32(2, 6, 6, 7), F32(2, 7)}, .y = F32(2, 3, 3, 7),
     .u.pool = {LUR_POOL_AVG, 2, 2, 2, 2, 0, 0, .affine_in = true});
}

static void elements(suite *s) {
  for (int f = 0; f < LUR_ACTIVATION_COUNT; f++)
    if (f != LUR_LOG && f != LUR_SQRT) /* the inputs are negative too */
      OP(ACTIVATION, lur_activation_name((lur_activation)f), 0, .nx = 1, .x = {F32(3, 41)}, .y = F32(3, 41),
         .u.activation = {(lur_activation)f, 0.2});
  for (int f = LUR_ADD; f < LUR_BINARY_COUNT; f++) {
    if (f == LUR_DIV || f == LUR_POW) continue; /* the inputs are near 0 and negative too */
    OP(BINARY, lur_binary_name((lur_binary)f), 0, .nx = 2, .x = {F32(67), F32(67)}, .y = F32(67),
       .u.binary = {(lur_binary)f, false});
    if (f <= LUR_MAXIMUM)
      OP(BINARY, "relu", 0, .nx = 2, .x = {F32(67), F32(67)}, .y = F32(67), .u.binary = {(lur_binary)f, true});
    OP(BINARY, "channels", 0, .nx = 2, .x = {F32(5, 3, 24), F32(1, 24)}, .y = F32(5, 3, 24),
       .u.binary = {(lur_binary)f, false});
    OP(BINARY, "odd rows", 0, .nx = 2, .x = {F32(5, 1), F32(5, 7)}, .y = F32(5, 7), .u.binary = {(lur_binary)f, false});
  }
  OP(WHERE, "channels", 0, .nx = 3, .x = {F32(5, 1), F32(5, 7), F32(1, 7)}, .y = F32(5, 7));
  OP(WHERE, "even rows", 0, .nx = 3, .x = {F32(5, 8), F32(5, 1), F32(5, 8)}, .y = F32(5, 8));
  OP(SOFTMAX, "5x37", 0, .nx = 1, .x = {F32(5, 37)}, .y = F32(5, 37));
  OP(NORMALIZE, "5x37", 0, .nx = 1, .x = {F32(5, 37)}, .y = F32(5, 37), .u.normalize = {1e-6});
  OP(AFFINE, "65", 0, .nx = 1, .x = {F32(65)}, .y = F32(65), .u.affine = {0.5, -0.25});
  OP(DROPOUT, "rate 0.3", 0, .nx = 1, .x = {F32(9, 31)}, .y = F32(9, 31), .u.dropout = {0.3, 2, true});
  OP(COPY, "reshape", 0, .nx = 1, .x = {F32(6, 5)}, .y = F32(30));
  OP(GATHER, "rows twice", 4, .nx = 2, .x = {F32(4, 24), I32(9)}, .y = F32(9, 24));
  OP(GATHER, "odd rows", 4, .nx = 2, .x = {F32(4, 7), I32(9)}, .y = F32(9, 7));
  OP(CONCAT, "channels", 0, .nx = 3, .x = {F32(2, 3, 8), F32(2, 3, 4), F32(2, 3, 5)}, .y = F32(2, 3, 17),
     .u.concat = {2});
  OP(CONCAT, "one repeated", 0, .nx = 2, .x = {F32(3, 2, 8), F32(1, 2, 4)}, .y = F32(3, 2, 12), .u.concat = {2});
  OP(CONCAT, "odd, one repeated", 0, .nx = 2, .x = {F32(1, 2, 5), F32(3, 2, 5)}, .y = F32(3, 2, 10), .u.concat = {2});
  OP(CONCAT, "even channels", 0, .nx = 2, .x = {F32(2, 3, 8), F32(2, 3, 4)}, .y = F32(2, 3, 12), .u.concat = {2});
}

static void sums(suite *s) {
  static const lur_pool_mode modes[] = {LUR_POOL_MAX, LUR_POOL_AVG};
  for (int i = 0; i < 2; i++) {
    OP(POOL, "3x3 stride 2", 0, .nx = 1, .x = {F32(2, 7, 8, 16)}, .y = F32(2, 4, 4, 16),
       .u.pool = {modes[i], 3, 3, 2, 2, 1, 0, false});
    OP(POOL, "odd channels", 0, .nx = 1, .x = {F32(2, 6, 6, 7)}, .y = F32(2, 3, 3, 7),
       .u.pool = {modes[i], 2, 2, 2, 2, 0, 0, false});
  }
  OP(GLOBAL_POOL, "10x10", 0, .nx = 1, .x = {F32(3, 10, 10, 24)}, .y = F32(3, 24));
  OP(GLOBAL_POOL, "odd channels", 0, .nx = 1, .x = {F32(3, 5, 5, 7)}, .y = F32(3, 7));
  OP(BATCHNORM, "odd channels", 0, .nx = 1, .nw = 4, .x = {F32(3, 5, 4, 7)}, .w = {F32(7), F32(7), F32(7), F32(7)},
     .y = F32(3, 5, 4, 7), .u.batchnorm = {1e-3, 0.99, true, true, true, false, false});
  for (int f = LUR_SUM; f <= LUR_MIN; f++) {
    OP(REDUCE, "rows", 0, .nx = 1, .x = {F32(6, 300)}, .y = F32(6), .u.reduce = {(lur_reduction)f, 2});
    OP(REDUCE, "columns", 0, .nx = 1, .x = {F32(6, 30)}, .y = F32(30), .u.reduce = {(lur_reduction)f, 1});
  }
  for (int flags = 0; flags < 4; flags++)
    OP(BATCHNORM, flags & 1 ? "batch" : "moving", 0, .nx = flags & 2 ? 2 : 1, .nw = 4,
       .x = {F32(3, 5, 4, 24), F32(3, 5, 4, 24)}, .w = {F32(24), F32(24), F32(24), F32(24)}, .y = F32(3, 5, 4, 24),
       .u.batchnorm = {1e-3, 0.99, flags & 1, true, true, flags & 2, false});
  OP(LOSS, "logits, ids", 10, .nx = 2, .x = {F32(6, 10), I32(6)}, .y = F32(1),
     .u.loss = {LUR_CATEGORICAL_CROSSENTROPY, true, 0.1});
  OP(LOSS, "squares, weighted", 0, .nx = 3, .x = {F32(6, 3), F32(6, 3), F32(6)}, .y = F32(1),
     .u.loss = {LUR_MEAN_SQUARED_ERROR, false, 0});
  OP(LOSS, "binary", 2, .nx = 2, .x = {F32(6, 1), I32(6)}, .y = F32(1), .u.loss = {LUR_BINARY_CROSSENTROPY, false, 0});
}

void ops_half(suite *s) {
  convolutions(s);
  affines(s);
  elements(s);
  sums(s);
}
