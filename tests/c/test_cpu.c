/* test_cpu.c - what the op suite does not test of the cpu backend: packed weights that are kept follow their version,
 * and equal calls give equal bits, whatever scratch and saved contained before. Comparisons with ref: tests/ops. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/backend.h"

enum { IMAGES = 4, EXTENT = 9, IN = 40, OUT = 24 };

static lur_device *device;

static float *block(size_t bytes, unsigned seed) {
  void *memory = NULL;
  if (!CHECK_OK(lur_device_alloc(device, bytes + 64, &memory))) exit(1);
  float *p = memory;
  for (size_t i = 0; i < (bytes + 64) / sizeof *p; i++) {
    seed = seed * 1664525u + 1013904223u;
    p[i] = (float)(seed >> 8) * (1.0f / 8388608.0f) - 1.0f;
  }
  return p;
}

static lur_operand operand(int a, int b, int c, int d) { return (lur_operand){LUR_F32, {4, {a, b, c, d}}}; }

static size_t bytes_of(const lur_operand *o) { return sizeof(float) * (size_t)lur_shape_count(&o->shape); }

static lur_op_desc conv_desc(int kernel, bool gradients) {
  int pad = kernel / 2;
  lur_op_desc d = {.kind = LUR_OP_CONV2D, .name = "conv", .nx = 1, .nw = 1};
  d.x[0] = operand(IMAGES, EXTENT, EXTENT, IN);
  d.w[0] = operand(kernel, kernel, IN, OUT);
  d.y = operand(IMAGES, EXTENT, EXTENT, OUT);
  d.u.conv2d = (lur_conv2d_desc){
      .kernel_h = kernel, .kernel_w = kernel, .stride_h = 1, .stride_w = 1, .pad_top = pad, .pad_left = pad};
  d.want_dx = d.want_dw = gradients ? 1u : 0;
  return d;
}

/* ---- kept weights ---- */

static void follow_version(int kernel) {
  lur_op_desc d = conv_desc(kernel, false);
  lur_op op;
  if (!CHECK_OK(lur_op_plan(device, &d, &op))) return;
  size_t wide = bytes_of(&d.y);
  float *x = block(bytes_of(&d.x[0]), 1), *w = block(bytes_of(&d.w[0]), 2), *scratch = block(op.forward_scratch, 3);
  float *first = block(wide, 4), *again = block(wide, 5), *halved = block(wide, 6);
  lur_args args = {.x = {x}, .w = {w}, .y = first, .scratch = scratch, .version = 7};
  CHECK_OK(op.kernel->forward(&op, &args));
  args.y = again;
  CHECK_OK(op.kernel->forward(&op, &args));
  CHECK(memcmp(first, again, wide) == 0);
  for (size_t i = 0; i < bytes_of(&d.w[0]) / sizeof *w; i++) w[i] *= 0.5f;
  args.y = halved;
  args.version = 8;
  CHECK_OK(op.kernel->forward(&op, &args));
  for (size_t i = 0; i < wide / sizeof *first; i++)
    if (!CHECK(halved[i] == 0.5f * first[i])) break;
  for (size_t i = 0; i < bytes_of(&d.w[0]) / sizeof *w; i++) w[i] *= 2.0f;
  args.version = 0; /* unknown: the weights are packed again */
  CHECK_OK(op.kernel->forward(&op, &args));
  CHECK(memcmp(first, halved, wide) == 0);
  float *all[] = {x, w, scratch, first, again, halved};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) lur_device_free(device, all[i]);
  lur_op_release(&op);
}

/* ---- equal bits ---- */

/* One forward and backward, with everything that is written filled from `seed` before; y, dx, dw go to out[0..2]. */
static void run_once(const lur_op_desc *d, unsigned seed, float *out[3]) {
  lur_op op;
  if (!CHECK_OK(lur_op_plan(device, d, &op))) return;
  float *x = block(bytes_of(&d->x[0]), 11), *dy = block(bytes_of(&d->y), 12), *w[4] = {0};
  size_t scratch_bytes = op.forward_scratch > op.backward_scratch ? op.forward_scratch : op.backward_scratch;
  float *scratch = block(scratch_bytes, seed), *saved = block(op.saved_bytes, seed + 1);
  lur_args args = {.x = {x}, .scratch = scratch, .saved = saved, .dy = dy};
  for (int i = 0; i < d->nw; i++) args.w[i] = w[i] = block(bytes_of(&d->w[i]), 13);
  args.y = out[0] = block(bytes_of(&d->y), seed + 2);
  args.dx[0] = out[1] = block(bytes_of(&d->x[0]), seed + 3);
  args.dw[0] = out[2] = block(bytes_of(&d->w[0]), 14);
  float *dbeta = block(bytes_of(&d->w[0]), 15);
  if (d->want_dw & 2u) args.dw[1] = dbeta;
  CHECK_OK(op.kernel->forward(&op, &args));
  CHECK_OK(op.kernel->backward(&op, &args));
  lur_device_free(device, dbeta);
  for (int i = 0; i < d->nw; i++) lur_device_free(device, w[i]);
  float *all[] = {x, dy, scratch, saved};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) lur_device_free(device, all[i]);
  lur_op_release(&op);
}

static void equal_bits(const lur_op_desc *d) {
  float *a[3] = {0}, *b[3] = {0};
  run_once(d, 100, a);
  run_once(d, 200, b);
  size_t bytes[] = {bytes_of(&d->y), bytes_of(&d->x[0]), bytes_of(&d->w[0])};
  for (int i = 0; i < 3; i++) {
    CHECK(memcmp(a[i], b[i], bytes[i]) == 0);
    lur_device_free(device, a[i]);
    lur_device_free(device, b[i]);
  }
}

static lur_op_desc depthwise_desc(void) {
  lur_op_desc d = conv_desc(3, true);
  d.kind = LUR_OP_DEPTHWISE_CONV2D;
  d.w[0] = operand(3, 3, IN, 1);
  d.y = d.x[0];
  d.u.conv2d.relu_in = true;
  return d;
}

static lur_op_desc batchnorm_desc(void) {
  lur_op_desc d = {.kind = LUR_OP_BATCHNORM, .name = "norm", .nx = 1, .nw = 4, .want_dx = 1, .want_dw = 3};
  d.x[0] = d.y = operand(IMAGES, EXTENT, EXTENT, IN);
  for (int i = 0; i < 4; i++) d.w[i] = (lur_operand){LUR_F32, {1, {IN}}};
  d.u.batchnorm = (lur_batchnorm_desc){
      .epsilon = 1e-3, .momentum = 0.99, .batch = true, .has_gamma = true, .has_beta = true, .relu = true};
  return d;
}

int main(void) {
  if (!CHECK_OK(lur_device_open("cpu", &device))) return 1;
  follow_version(1);
  follow_version(3);
  lur_op_desc pointwise = conv_desc(1, true), conv = conv_desc(3, true), depthwise = depthwise_desc(),
              norm = batchnorm_desc();
  equal_bits(&pointwise);
  equal_bits(&conv);
  equal_bits(&depthwise);
  equal_bits(&norm);
  lur_device_close(device);
  return check_report("cpu");
}
