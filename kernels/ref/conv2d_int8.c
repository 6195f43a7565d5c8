/* conv2d_int8.c - the int8 form of conv2d, which `precision = "int8"` runs; otherwise as conv2d.c. Inference only.
 *
 *   y[n,oy,ox,o] = [relu](scale[o] * S + b[o] [+ residual]),   S = sum_{ky,kx,i} x[...] * w[ky,kx,i,o]
 *
 * x is u8, and w holds integers from -127 to 127 in f32, so S is exact. Pixels outside the image read as 0, whatever
 * value 0 represents. */
#include "ref.h"

/* Adds to sum what one output pixel sums, in channels from..from+many. */
static void pixel(const ref_sizes *s, const uint8_t *x, const float *w, int64_t oy, int64_t ox, int64_t from,
                  int64_t many, int32_t *sum) {
  for (int64_t ky = 0; ky < s->kh; ky++) {
    int64_t iy = oy * s->sh - s->top + ky;
    if (iy < 0 || iy >= s->h) continue;
    for (int64_t kx = 0; kx < s->kw; kx++) {
      int64_t ix = ox * s->sw - s->left + kx;
      if (ix < 0 || ix >= s->w) continue;
      const uint8_t *xp = x + (iy * s->w + ix) * s->ci;
      const float *wp = w + (ky * s->kw + kx) * s->ci * s->co + from;
      for (int64_t i = 0; i < s->ci; i++)
        for (int64_t o = 0; o < many; o++) sum[o] += xp[i] * (int32_t)wp[i * s->co + o];
    }
  }
}

static lur_status plan(lur_op *op) {
  (void)op;
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const lur_conv2d_desc *u = &d->u.conv2d;
  const ref_sizes s = REF_SIZES(d, u);
  const uint8_t *x = args->x[0];
  const float *residual = d->nx == 2 ? args->x[1] : NULL, *w = args->w[0], *b = args->w[1], *scale = args->w[2];
  float *y = args->y;
#pragma omp parallel for
  for (int64_t row = 0; row < s.n * s.oh; row++)
    for (int64_t ox = 0; ox < s.ow; ox++)
      for (int64_t from = 0; from < s.co; from += REF_BLOCK) {
        int32_t sum[REF_BLOCK] = {0};
        int64_t many = ref_min(REF_BLOCK, s.co - from), at = (row * s.ow + ox) * s.co + from;
        pixel(&s, x + row / s.oh * s.h * s.w * s.ci, w, row % s.oh, ox, from, many, sum);
        for (int64_t o = 0; o < many; o++) {
          double v = (double)scale[from + o] * sum[o] + (double)b[from + o] + (residual ? (double)residual[at + o] : 0);
          y[at + o] = (float)(u->relu ? ref_relu(v) : v);
        }
      }
  return LUR_OK;
}

const lur_kernel lur_ref_conv2d_int8 = {plan, forward, NULL, NULL};
