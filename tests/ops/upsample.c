/* upsample.c - cases of upsample. */
#include "suite.h"

static const char *const names[] = {"nearest", "bilinear"};

static op_case make(lur_operand x, int64_t h, int64_t w, lur_upsample_mode mode) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_UPSAMPLE, "%s %s to %lldx%lld", names[mode], lur_shape_format(&x.shape, text),
                         (long long)h, (long long)w);
  c.desc.nx = 1;
  c.desc.x[0] = c.desc.y = x;
  c.desc.y.shape.dim[1] = h;
  c.desc.y.shape.dim[2] = w;
  c.desc.u.upsample.mode = mode;
  return c;
}

static void check(suite *s, lur_operand x, int64_t h, int64_t w) {
  for (int mode = 0; mode < 2; mode++) {
    op_case c = make(x, h, w, (lur_upsample_mode)mode);
    suite_check(s, &c);
  }
}

/* torch.nn.functional.interpolate of [[1, 3]], mode "bilinear" with align_corners=False, and "nearest". */
static void golden(suite *s) {
  static const float x[] = {1, 3}, dy[] = {1, 2, 3, 4};
  static const struct {
    int64_t w;
    lur_upsample_mode mode;
    double y[4], dx[2];
  } rows[] = {{4, LUR_UPSAMPLE_BILINEAR, {1, 1.5, 2.5, 3}, {3.25, 6.75}},
              {4, LUR_UPSAMPLE_NEAREST, {1, 1, 3, 3}, {3, 7}},
              {3, LUR_UPSAMPLE_BILINEAR, {1, 2, 3}, {2, 4}},
              {3, LUR_UPSAMPLE_NEAREST, {1, 1, 3}, {3, 3}},
              {1, LUR_UPSAMPLE_BILINEAR, {2}, {0.5, 0.5}},
              {1, LUR_UPSAMPLE_NEAREST, {1}, {1, 0}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    op_case c = make(F32(1, 1, 2, 1), 1, rows[i].w, rows[i].mode);
    c.desc.want_dx = 1;
    for (int k = 0; k < suite_devices(s); k++) {
      float gy[4], gx[2];
      lur_device *device = suite_device(s, k);
      if (!suite_run(s, device, &c.desc, &(plain_args){.x = {x}, .y = gy, .dy = dy, .dx = {gx}})) continue;
      suite_near(s, "upsample by hand: y", device, gy, rows[i].y, rows[i].w, 1e-6, 0);
      suite_near(s, "upsample by hand: dx", device, gx, rows[i].dx, 2, 1e-6, 0);
    }
  }
}

void ops_upsample(suite *s) {
  check(s, F32(1, 1, 1, 1), 1, 1);
  check(s, F32(2, 3, 4, 5), 6, 8);
  check(s, F32(2, 3, 4, 5), 3, 4);
  check(s, F32(2, 5, 3, 8), 7, 11);
  check(s, F32(1, 7, 9, 3), 4, 5);
  check(s, F32(1, 2, 1, 33), 9, 3);
  check(s, F32(3, 12, 10, 16), 24, 20);
  golden(s);
  for (int mode = 0; mode < 2; mode++) {
    op_case even = make(F32(2, 3, 4, 8), 6, 8, (lur_upsample_mode)mode),
            odd = make(F32(2, 3, 4, 5), 7, 5, (lur_upsample_mode)mode);
    suite_half(s, even.name, even.desc, 0);
    suite_half(s, odd.name, odd.desc, 0);
  }
  lur_op_desc d = make(F32(2, 3, 4, 5), 6, 8, LUR_UPSAMPLE_NEAREST).desc;
  d.y.shape.dim[3] = 4;
  suite_reject(s, "other channels", &d, LUR_ESHAPE, "y is 2x6x8x4");
  d.u.upsample.mode = (lur_upsample_mode)7;
  suite_reject(s, "unknown mode", &d, LUR_EARG, "7");
  d.x[0] = F32(3, 4, 5);
  suite_reject(s, "no image", &d, LUR_ESHAPE, "4 expected");
}
