/* conv2d.c - cases of conv2d. */
#include <string.h>

#include "suite.h"

typedef enum padding { VALID, SAME } padding;
enum { BIAS = 1, RESIDUAL = 2, RELU = 4 };

typedef struct row {
  int n, h, w, ci, co, kh, kw, sh, sw;
  padding padding;
  int flags;
} row;

static const row rows[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, VALID, 0},
    {2, 5, 6, 3, 4, 1, 1, 1, 1, VALID, BIAS},
    {2, 5, 6, 3, 7, 1, 1, 2, 2, SAME, 0},
    {2, 7, 7, 5, 3, 1, 1, 3, 3, SAME, BIAS},
    {1, 7, 5, 3, 4, 3, 3, 1, 1, SAME, 0},
    {2, 7, 5, 3, 4, 3, 3, 1, 1, VALID, BIAS},
    {2, 7, 8, 3, 4, 3, 3, 2, 2, SAME, 0},
    {2, 8, 8, 2, 5, 3, 3, 2, 2, SAME, BIAS},
    {2, 9, 8, 3, 4, 3, 3, 2, 2, VALID, 0},
    {1, 10, 11, 3, 4, 3, 3, 3, 3, SAME, BIAS},
    {1, 10, 9, 2, 3, 3, 3, 2, 1, SAME, 0},
    {1, 10, 9, 2, 3, 3, 3, 1, 3, VALID, 0},
    {2, 8, 9, 3, 4, 5, 5, 1, 1, SAME, BIAS},
    {1, 9, 8, 3, 4, 5, 5, 2, 2, SAME, 0},
    {2, 9, 7, 3, 4, 7, 1, 1, 1, SAME, BIAS},
    {2, 7, 9, 3, 4, 1, 7, 1, 1, SAME, 0},
    {1, 9, 9, 2, 3, 2, 2, 1, 1, SAME, BIAS},
    {1, 9, 9, 2, 3, 4, 2, 2, 2, SAME, 0},
    {1, 3, 3, 2, 3, 7, 7, 1, 1, SAME, BIAS},
    {1, 14, 15, 3, 6, 7, 7, 2, 2, SAME, 0},
    {2, 5, 5, 3, 4, 1, 1, 1, 1, VALID, BIAS | RESIDUAL},
    {2, 5, 5, 3, 4, 3, 3, 1, 1, SAME, RESIDUAL},
    {2, 5, 5, 3, 4, 1, 1, 1, 1, VALID, BIAS | RELU},
    {2, 7, 6, 3, 4, 3, 3, 2, 2, SAME, RELU},
    {2, 5, 5, 3, 4, 1, 1, 1, 1, SAME, BIAS | RESIDUAL | RELU},
    {1, 6, 5, 3, 4, 3, 3, 1, 1, SAME, BIAS | RESIDUAL | RELU},
    {2, 12, 12, 16, 32, 3, 3, 1, 1, SAME, 0},
    {1, 9, 9, 32, 64, 3, 3, 1, 1, VALID, BIAS},
    {2, 12, 11, 64, 128, 1, 1, 2, 2, SAME, 0},
    {1, 5, 5, 728, 72, 1, 1, 1, 1, SAME, 0},
    {2, 5, 5, 72, 728, 1, 1, 1, 1, SAME, BIAS},
    {1, 19, 19, 100, 100, 1, 1, 1, 1, SAME, RESIDUAL},
    {1, 37, 37, 3, 8, 3, 3, 2, 2, VALID, 0},
    {1, 74, 9, 4, 3, 3, 3, 2, 2, SAME, 0},
    {1, 33, 31, 5, 17, 3, 3, 1, 1, SAME, BIAS | RESIDUAL}, /* y is larger than a block of the cpu's loops */
    {1, 33, 31, 5, 17, 1, 1, 1, 1, SAME, BIAS | RELU},
    {2, 38, 37, 17, 33, 1, 1, 2, 2, SAME, BIAS},
    /* enough pixels and channels for the cpu's hand-written GEMM; its gradients need more, see tests/c/test_gemm.c */
    {3, 19, 19, 130, 100, 1, 1, 1, 1, SAME, BIAS | RESIDUAL},
    {1, 23, 23, 128, 144, 1, 1, 1, 1, SAME, RESIDUAL | RELU},
    {2, 17, 16, 209, 8, 1, 1, 1, 1, SAME, BIAS | RELU},
    {1, 16, 19, 8, 200, 1, 1, 1, 1, SAME, BIAS},
    {1, 16, 18, 810, 130, 1, 1, 1, 1, SAME, 0},
    {2, 7, 6, 3, 5, 1, 1, 2, 1, SAME, 0},
    {2, 7, 8, 3, 5, 1, 1, 1, 3, SAME, BIAS},
};

/* TensorFlow's rule (1.x, core/framework/common_shape_fns.cc): "same" pads floor(total / 2) before, the rest after. */
static int out_extent(int in, int kernel, int stride, padding p, int *before) {
  if (p == VALID) {
    *before = 0;
    return (in - kernel) / stride + 1;
  }
  int out = (in + stride - 1) / stride, total = (out - 1) * stride + kernel - in;
  *before = total > 0 ? total / 2 : 0;
  return out;
}

static op_case case_of(const row *r) {
  op_case c =
      suite_case(LUR_OP_CONV2D, "%dx%dx%dx%d to %d, %dx%d stride %dx%d %s%s%s%s", r->n, r->h, r->w, r->ci, r->co, r->kh,
                 r->kw, r->sh, r->sw, r->padding == SAME ? "same" : "valid", r->flags & BIAS ? " bias" : "",
                 r->flags & RESIDUAL ? " residual" : "", r->flags & RELU ? " relu" : "");
  int top, left, oh = out_extent(r->h, r->kh, r->sh, r->padding, &top),
                 ow = out_extent(r->w, r->kw, r->sw, r->padding, &left);
  c.desc.nx = r->flags & RESIDUAL ? 2 : 1;
  c.desc.nw = r->flags & BIAS ? 2 : 1;
  c.desc.x[0] = F32(r->n, r->h, r->w, r->ci);
  c.desc.w[0] = F32(r->kh, r->kw, r->ci, r->co);
  c.desc.w[1] = F32(r->co);
  c.desc.y = c.desc.x[1] = F32(r->n, oh, ow, r->co);
  c.desc.u.conv2d = (lur_conv2d_desc){r->kh, r->kw, r->sh, r->sw, top, left, false, false, r->flags & RELU};
  c.optional = r->flags & RELU; /* relu is promised for inference only */
  return c;
}

/* 1 2 3 / 4 5 6 / 7 8 9 under a 2x2 kernel 1 10 / 100 1000, padded by one on top and on the left. */
static void golden(suite *s) {
  static const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, w[] = {1, 10, 100, 1000}, dy[] = {1, 0, 0, 0, 0, 0, 0, 0, 1};
  static const double y[] = {1000, 2100, 3200, 4010, 5421, 6532, 7040, 8754, 9865},
                      dx[] = {1000, 0, 0, 0, 1, 10, 0, 100, 1000}, dw[] = {5, 6, 8, 10};
  float gw[4], gy[9], gdx[9], gdw[4];
  lur_op_desc d = {.kind = LUR_OP_CONV2D,
                   .nx = 1,
                   .nw = 1,
                   .x = {F32(1, 3, 3, 1)},
                   .w = {F32(2, 2, 1, 1)},
                   .y = F32(1, 3, 3, 1),
                   .want_dx = 1,
                   .want_dw = 1,
                   .u.conv2d = {2, 2, 1, 1, 1, 1, false, false, false}};
  for (int k = 0; k < suite_devices(s); k++) {
    lur_device *device = suite_device(s, k);
    memcpy(gw, w, sizeof w);
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .w = {gw}, .y = gy, .dy = dy, .dx = {gdx}, .dw = {gdw}}))
      continue;
    suite_near(s, "conv2d by hand: y", device, gy, y, 9, 0, 1e-6);
    suite_near(s, "conv2d by hand: dx", device, gdx, dx, 9, 0, 1e-6);
    suite_near(s, "conv2d by hand: dw", device, gdw, dw, 4, 0, 1e-6);
  }
}

/* Fewer outputs than fit: pixels behind the last window are not used. */
static void fewer_outputs(suite *s) {
  for (int k = 0; k < 2; k++) {
    op_case c = case_of(&rows[k ? 3 : 5]);
    snprintf(c.name, sizeof c.name, "fewer outputs, %dx%d", k ? 1 : 3, k ? 1 : 3);
    c.desc.y.shape.dim[1] -= 1;
    c.desc.y.shape.dim[2] -= 1;
    suite_check(s, &c);
  }
}

static void errors(suite *s) {
  const lur_op_desc good = case_of(&rows[4]).desc;
  lur_op_desc d = good;
  d.name = "block4_sep1";
  d.w[0] = F32(3, 3, 728, 4);
  suite_reject(s, "wrong channels", &d, LUR_ESHAPE, "'block4_sep1': input has 3 channels, weights expect 728");
  d = good, d.u.conv2d.kernel_h = 5;
  suite_reject(s, "kernel unlike weights", &d, LUR_ESHAPE, "5x3");
  d = good, d.u.conv2d.stride_w = 0;
  suite_reject(s, "stride 0", &d, LUR_EARG, "stride");
  d = good, d.u.conv2d.pad_top = 3;
  suite_reject(s, "padding as large as the kernel", &d, LUR_EARG, "padding 3");
  d = good, d.y.shape.dim[1] = 9;
  suite_reject(s, "too many outputs", &d, LUR_ESHAPE, "9 outputs");
  d = good, d.y.shape.dim[3] = 5;
  suite_reject(s, "y's channels", &d, LUR_ESHAPE, "5 channels");
  d = good, d.y.shape.dim[0] = 2;
  suite_reject(s, "y's rows", &d, LUR_ESHAPE, "2 rows");
  d = good, d.x[0] = F32(7, 5, 3);
  suite_reject(s, "x without a batch", &d, LUR_ESHAPE, "7x5x3");
  d = good, d.x[0].shape.dim[0] = d.y.shape.dim[0] = 0;
  suite_reject(s, "no rows", &d, LUR_ESHAPE, "at least 1");
  d = good, d.nw = 2, d.w[1] = F32(3);
  suite_reject(s, "bias of another length", &d, LUR_ESHAPE, "bias is 3");
  d = good, d.nx = 2, d.x[1] = F32(1, 7, 5, 3);
  suite_reject(s, "residual unlike y", &d, LUR_ESHAPE, "residual");
  d = good, d.x[0].dtype = LUR_I32;
  suite_reject(s, "integers", &d, LUR_ETYPE, "i32");
  d = good, d.nw = 0;
  suite_reject(s, "no weights", &d, LUR_EARG, "weights");
  d = good, d.want_dw = 2;
  suite_reject(s, "gradient of nothing", &d, LUR_EARG, "wanted");
  d = good, d.u.conv2d.relu_in = true;
  suite_reject(s, "relu_in", &d, LUR_EARG, "relu_in");
  d = good, d.y.dtype = LUR_F16;
  suite_reject(s, "y of another type", &d, LUR_ETYPE, "f16");
}

void ops_conv2d(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    op_case c = case_of(&rows[i]);
    suite_check(s, &c);
  }
  fewer_outputs(s);
  golden(s);
  errors(s);
}
