/* int8.c - the int8 convolutions, on the devices that have them. Sums are integers, so the values that a depthwise
 * convolution rounds, and the sums of conv2d before its scale, agree to the bit. */
#include "suite.h"

#include <string.h>

enum { RESIDUAL = 1, RELU = 2 };

typedef struct row {
  int n, h, w, ci, co, k, stride, oh, ow, before; /* square kernels; the padding written out as in depthwise_conv2d.c */
  int flags;
} row;

static const row rows[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},
    {2, 5, 6, 3, 7, 1, 1, 5, 6, 0, 0},
    {2, 5, 6, 17, 33, 1, 1, 5, 6, 0, RELU},
    {2, 5, 5, 64, 48, 1, 1, 5, 5, 0, RESIDUAL},
    {1, 9, 9, 72, 130, 1, 1, 9, 9, 0, RESIDUAL | RELU},
    {2, 7, 7, 32, 64, 1, 2, 4, 4, 0, 0},
    {1, 19, 19, 728, 728, 1, 1, 19, 19, 0, RELU},
    {1, 3, 3, 2048, 16, 1, 1, 3, 3, 0, 0},
    {2, 9, 8, 32, 64, 3, 1, 7, 6, 0, RELU},
    {2, 9, 8, 32, 64, 3, 1, 9, 8, 1, 0},
    {1, 9, 9, 5, 6, 3, 2, 5, 5, 1, RESIDUAL},
    {1, 33, 31, 17, 19, 1, 1, 33, 31, 0, RESIDUAL | RELU}, /* y is larger than a block of the cpu's loops */
};

static op_case case_of(const row *r) {
  op_case c = suite_case(LUR_OP_CONV2D, "int8 %dx%dx%dx%d to %d, %dx%d stride %d%s%s", r->n, r->h, r->w, r->ci, r->co,
                         r->k, r->k, r->stride, r->flags & RESIDUAL ? " residual" : "", r->flags & RELU ? " relu" : "");
  c.desc.nx = r->flags & RESIDUAL ? 2 : 1;
  c.desc.x[0] = (lur_operand){LUR_U8, SHAPE(r->n, r->h, r->w, r->ci)};
  c.desc.y = F32(r->n, r->oh, r->ow, r->co);
  c.desc.x[1] = c.desc.y;
  c.desc.nw = 3;
  c.desc.w[0] = F32(r->k, r->k, r->ci, r->co);
  c.desc.w[1] = c.desc.w[2] = F32(r->co);
  c.w[0] = FILL_WHOLE;
  c.w[2] = FILL_SMALL;
  c.desc.u.conv2d = (lur_conv2d_desc){
      .kernel_h = r->k, .kernel_w = r->k, .stride_h = r->stride, .stride_w = r->stride,
      .pad_top = r->before, .pad_left = r->before, .relu = r->flags & RELU};
  c.eps = 1e-6; /* two roundings of a float: the sums are exact */
  c.optional = true;
  return c;
}

typedef struct depthwise_row {
  int n, h, w, c, k, stride, oh, ow, before;
  bool relu_in, bias;
} depthwise_row;

static const depthwise_row depthwise_rows[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0, false, true},
    {2, 6, 5, 3, 1, 1, 6, 5, 0, false, true}, /* an image is quantized */
    {2, 7, 6, 37, 1, 2, 4, 3, 0, true, true}, /* and subsampled */
    {2, 6, 5, 33, 3, 1, 6, 5, 1, true, true},
    {1, 9, 9, 728, 3, 1, 9, 9, 1, false, true},
    {2, 12, 13, 32, 3, 1, 10, 11, 0, true, false},
    {1, 7, 8, 17, 3, 2, 4, 4, 1, false, true},
    {1, 3, 300, 5, 3, 1, 3, 300, 1, false, true},
};

static op_case depthwise_case(const depthwise_row *r) {
  op_case c = suite_case(LUR_OP_DEPTHWISE_CONV2D, "%dx%dx%dx%d to u8, %dx%d stride %d%s%s", r->n, r->h, r->w, r->c,
                         r->k, r->k, r->stride, r->relu_in ? " relu_in" : "", r->bias ? " bias" : "");
  c.desc.nx = 1;
  c.desc.nw = r->bias ? 2 : 1;
  c.desc.x[0] = F32(r->n, r->h, r->w, r->c);
  c.desc.w[0] = F32(r->k, r->k, r->c, 1);
  c.desc.w[1] = F32(r->c);
  c.desc.y = (lur_operand){LUR_U8, SHAPE(r->n, r->oh, r->ow, r->c)};
  c.x[0] = c.w[1] = FILL_HALVES; /* many sums end in 1/2 */
  c.w[0] = FILL_TIES;
  c.desc.u.conv2d = (lur_conv2d_desc){.kernel_h = r->k, .kernel_w = r->k, .stride_h = r->stride, .stride_w = r->stride,
                                  .pad_top = r->before, .pad_left = r->before, .relu_in = r->relu_in};
  c.optional = true;
  return c;
}

/* Rounding and clamping, by hand. */
static void golden(suite *s) {
  static const float x[] = {-0.6f, 0.5f, 1.5f, 2.5f, 254.4f, 254.5f, 255.5f, 1e9f, -1e9f, 3.4999f};
  static const uint8_t expected[] = {0, 0, 2, 2, 254, 254, 255, 255, 0, 3};
  enum { N = sizeof expected };
  float one[N], zero[N] = {0}, y[N] = {0};
  for (int i = 0; i < N; i++) one[i] = 1;
  lur_op_desc d = {.kind = LUR_OP_DEPTHWISE_CONV2D, .name = "golden", .nx = 1, .nw = 2};
  d.x[0] = F32(1, 1, 1, N), d.w[0] = F32(1, 1, N, 1), d.w[1] = F32(N);
  d.y = (lur_operand){LUR_U8, SHAPE(1, 1, 1, N)};
  d.u.conv2d = (lur_conv2d_desc){.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
  for (int i = 0; i < suite_devices(s); i++) {
    lur_device *device = suite_device(s, i);
    if (!device->backend->int8) continue;
    if (!suite_run(s, device, &d, &(plain_args){.x = {x}, .w = {one, zero}, .y = y})) continue;
    suite_expect(s, memcmp(y, expected, N) == 0, "u8 on %s: -0.6 0.5 1.5 ... are not rounded half to even",
                 device->name);
  }
}

static void errors(suite *s) {
  lur_op_desc d = case_of(&rows[1]).desc;
  d.nw = 2;
  suite_reject(s, "no scale", &d, LUR_EARG, "3 to 3 weights");
  d = case_of(&rows[1]).desc, d.w[2] = F32(5);
  suite_reject(s, "scale of another length", &d, LUR_ESHAPE, "scale is 5");
  d = case_of(&rows[1]).desc, d.want_dw = 1;
  suite_reject(s, "a gradient", &d, LUR_EUNSUPPORTED, "int8 form has no gradient");
  d = case_of(&rows[1]).desc, d.y.dtype = LUR_U8;
  suite_reject(s, "u8 to u8", &d, LUR_ETYPE, "u8 to f32 expected");
  d = depthwise_case(&depthwise_rows[1]).desc, d.u.conv2d.relu = true;
  suite_reject(s, "relu and u8", &d, LUR_EARG, "need an f32 result");
  d = depthwise_case(&depthwise_rows[1]).desc, d.x[0].dtype = LUR_U8;
  suite_reject(s, "depthwise of u8", &d, LUR_ETYPE, "f32 to u8 expected");
}

void ops_int8(suite *s) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    op_case c = case_of(&rows[i]);
    suite_check(s, &c);
  }
  for (size_t i = 0; i < sizeof depthwise_rows / sizeof *depthwise_rows; i++) {
    op_case c = depthwise_case(&depthwise_rows[i]);
    suite_check(s, &c);
  }
  golden(s);
  errors(s);
}
