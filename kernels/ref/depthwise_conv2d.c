/* depthwise_conv2d.c - one kernel per channel, weights kh kw C 1; otherwise as conv2d.c.
 *
 *   y[n,oy,ox,c] = [relu](b[c] + sum_{ky,kx} f(x[n, oy*sh-top+ky, ox*sw-left+kx, c]) * w[ky,kx,c])
 *
 * where f(v) is v * scale[c] + shift[c] with affine_in (x[1]: a batch norm that is computed here), then max(., 0) with
 * relu_in: Xception has both before its separable convolutions. In the int8 form y is this, rounded and clamped; if one
 * is NaN, forward fails: an 8-bit integer has no NaN. */
#include "ref.h"

#include <math.h>

typedef struct sizes {
  int64_t n, h, w, c, oh, ow, kh, kw, sh, sw, top, left;
  bool relu_in;
  const float *affine; /* scale, then shift; NULL: x as it is */
} sizes;

static sizes sizes_of(const lur_op_desc *d, const lur_args *args) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const ref_sizes r = REF_SIZES(d, u);
  return (sizes){r.n,  r.h,  r.w,  r.ci,  r.oh,   r.ow,       r.kh,
                 r.kw, r.sh, r.sw, r.top, r.left, u->relu_in, u->affine_in ? args->x[1] : NULL};
}

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  const lur_op_desc *d = &op->desc;
  bool affine = d->u.conv2d.affine_in, mask = d->u.conv2d.relu_in && d->want_dx;
  op->backward_x = d->want_dw & 1u || mask || d->want_dx & 2u ? 1u : 0;
  if (affine && ref_wants(op)) op->backward_x |= 2u;
  op->backward_y = op->desc.u.conv2d.relu && ref_wants(op);
  if (op->backward_y) op->backward_scratch = sizeof(float) * (size_t)lur_shape_count(&op->desc.y.shape);
  return LUR_OK;
}

/* x after the affine, before the ReLU. */
static double before_relu(const sizes *s, const float *x, int64_t at) {
  int64_t c = at % s->c;
  return s->affine ? (double)x[at] * (double)s->affine[c] + (double)s->affine[s->c + c] : (double)x[at];
}

static double read(const sizes *s, const float *x, int64_t at) {
  double v = before_relu(s, x, at);
  return s->relu_in ? ref_relu(v) : v;
}

/* The sum of one output pixel. x: one image. */
static double pixel(const sizes *s, const float *x, const float *w, int64_t oy, int64_t ox, int64_t c) {
  double sum = 0;
  for (int64_t ky = 0; ky < s->kh; ky++) {
    int64_t iy = oy * s->sh - s->top + ky;
    if (iy < 0 || iy >= s->h) continue;
    for (int64_t kx = 0; kx < s->kw; kx++) {
      int64_t ix = ox * s->sw - s->left + kx;
      if (ix < 0 || ix >= s->w) continue;
      sum += read(s, x, (iy * s->w + ix) * s->c + c) * (double)w[(ky * s->kw + kx) * s->c + c];
    }
  }
  return sum;
}

/* Rounded half to even, as processors do; NaN becomes 0, and forward fails. */
static uint8_t u8_of(double v) { return v > 0 ? (uint8_t)(v < 255 ? nearbyint(v) : 255) : 0; }

static lur_status forward(lur_op *op, const lur_args *args) {
  const sizes s = sizes_of(&op->desc, args);
  const float *x = args->x[0], *w = args->w[0], *b = op->desc.nw == 2 ? args->w[1] : NULL;
  bool relu = op->desc.u.conv2d.relu;
  float *y = args->y;
  uint8_t *int8 = op->desc.y.dtype == LUR_U8 ? args->y : NULL;
  bool numbers = true;
#pragma omp parallel for reduction(&& : numbers)
  for (int64_t row = 0; row < s.n * s.oh; row++)
    for (int64_t ox = 0; ox < s.ow; ox++)
      for (int64_t c = 0; c < s.c; c++) {
        double sum = pixel(&s, x + row / s.oh * s.h * s.w * s.c, w, row % s.oh, ox, c) + (b ? (double)b[c] : 0);
        int64_t at = (row * s.ow + ox) * s.c + c;
        if (int8) int8[at] = u8_of(sum), numbers = numbers && sum == sum;
        else y[at] = (float)(relu ? ref_relu(sum) : sum);
      }
  return numbers ? LUR_OK : lur_fail_int8_nan();
}

/* dy: of this image. */
static double input_element(const sizes *s, const float *dy, const float *w, int64_t iy, int64_t ix, int64_t c) {
  double sum = 0;
  for (int64_t ky = 0; ky < s->kh; ky++) {
    int64_t ty = iy + s->top - ky, oy = ty / s->sh;
    if (ty < 0 || ty % s->sh || oy >= s->oh) continue;
    for (int64_t kx = 0; kx < s->kw; kx++) {
      int64_t tx = ix + s->left - kx, ox = tx / s->sw;
      if (tx < 0 || tx % s->sw || ox >= s->ow) continue;
      sum += (double)dy[(oy * s->ow + ox) * s->c + c] * (double)w[(ky * s->kw + kx) * s->c + c];
    }
  }
  return sum;
}

/* The gradient of the result of the affine, of pixel ix in row `row` (counted over all images). */
static double inner_element(const sizes *s, const float *x, const float *dy, const float *w, int64_t row, int64_t ix,
                            int64_t c) {
  int64_t at = (row * s->w + ix) * s->c + c;
  if (s->relu_in && before_relu(s, x, at) <= 0) return 0; /* ref_relu_dy */
  return input_element(s, dy + row / s->h * s->oh * s->ow * s->c, w, row % s->h, ix, c);
}

static void backward_input(const sizes *s, const float *x, const float *dy, const float *w, float *dx, bool add) {
#pragma omp parallel for
  for (int64_t row = 0; row < s->n * s->h; row++)
    for (int64_t ix = 0; ix < s->w; ix++)
      for (int64_t c = 0; c < s->c; c++) {
        double scale = s->affine ? (double)s->affine[c] : 1;
        ref_put(dx, (row * s->w + ix) * s->c + c, scale * inner_element(s, x, dy, w, row, ix, c), add);
      }
}

/* dscale = the sum of the inner gradient times x, dshift = the sum of the inner gradient. */
static void backward_affine(const sizes *s, const float *x, const float *dy, const float *w, float *dx, bool add) {
#pragma omp parallel for
  for (int64_t c = 0; c < s->c; c++) {
    double scaled = 0, plain = 0;
    for (int64_t row = 0; row < s->n * s->h; row++)
      for (int64_t ix = 0; ix < s->w; ix++) {
        double g = inner_element(s, x, dy, w, row, ix, c);
        scaled += g * (double)x[(row * s->w + ix) * s->c + c];
        plain += g;
      }
    ref_put(dx, c, scaled, add);
    ref_put(dx, s->c + c, plain, add);
  }
}

static void backward_weights(const sizes *s, const float *x, const float *dy, float *dw) {
#pragma omp parallel for
  for (int64_t at = 0; at < s->kh * s->kw * s->c; at++) {
    int64_t c = at % s->c, ky = at / s->c / s->kw, kx = at / s->c % s->kw;
    double sum = 0;
    for (int64_t row = 0; row < s->n * s->oh; row++) {
      int64_t iy = row % s->oh * s->sh - s->top + ky;
      if (iy < 0 || iy >= s->h) continue;
      for (int64_t ox = 0; ox < s->ow; ox++) {
        int64_t ix = ox * s->sw - s->left + kx;
        if (ix < 0 || ix >= s->w) continue;
        sum +=
            read(s, x, ((row / s->oh * s->h + iy) * s->w + ix) * s->c + c) * (double)dy[(row * s->ow + ox) * s->c + c];
      }
    }
    ref_put(dw, at, sum, true);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const sizes s = sizes_of(&op->desc, args);
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *dy = lur_ref_relu_dy(op->desc.u.conv2d.relu, args, args->scratch, count);
  if (op->desc.want_dw & 1u) backward_weights(&s, args->x[0], dy, args->dw[0]);
  if (op->desc.want_dw & 2u) lur_ref_add_columns(dy, count / s.c, s.c, args->dw[1]);
  if (op->desc.want_dx & 1u) backward_input(&s, args->x[0], dy, args->w[0], args->dx[0], args->dx_add & 1u);
  if (op->desc.want_dx & 2u) backward_affine(&s, args->x[0], dy, args->w[0], args->dx[1], args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_ref_depthwise_conv2d = {plan, forward, backward, NULL};
