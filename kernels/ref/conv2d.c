/* conv2d.c - cross-correlation, NHWC, weights kh kw Cin Cout; pixels outside the image read as zero.
 *
 *   y[n,oy,ox,o] = [relu](b[o] + sum_{ky,kx,i} x[n, oy*sh-top+ky, ox*sw-left+kx, i] * w[ky,kx,i,o] [+ residual])
 *
 * The int8 form is in conv2d_int8.c, the depthwise one in depthwise_conv2d.c. */
#include "ref.h"

static lur_status plan(lur_op *op) {
  if (lur_op_is_int8(&op->desc)) {
    op->kernel = &lur_ref_conv2d_int8;
    return LUR_OK;
  }
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->backward_x = op->desc.want_dw & 1u;
  op->backward_y = op->desc.u.conv2d.relu && ref_wants(op);
  if (op->backward_y) op->backward_scratch = sizeof(float) * (size_t)lur_shape_count(&op->desc.y.shape);
  return LUR_OK;
}

/* Adds to sum what one output pixel sums, in channels from..from+many. */
static void pixel(const ref_sizes *s, const float *x, const float *w, int64_t oy, int64_t ox, int64_t from,
                  int64_t many, double *sum) {
  for (int64_t ky = 0; ky < s->kh; ky++) {
    int64_t iy = oy * s->sh - s->top + ky;
    if (iy < 0 || iy >= s->h) continue;
    for (int64_t kx = 0; kx < s->kw; kx++) {
      int64_t ix = ox * s->sw - s->left + kx;
      if (ix < 0 || ix >= s->w) continue;
      const float *xp = x + (iy * s->w + ix) * s->ci, *wp = w + (ky * s->kw + kx) * s->ci * s->co + from;
      for (int64_t i = 0; i < s->ci; i++)
        for (int64_t o = 0; o < many; o++) sum[o] += (double)xp[i] * (double)wp[i * s->co + o];
    }
  }
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const ref_sizes s = REF_SIZES(&op->desc, &op->desc.u.conv2d);
  const float *x = args->x[0], *residual = op->desc.nx == 2 ? args->x[1] : NULL;
  const float *w = args->w[0], *b = op->desc.nw == 2 ? args->w[1] : NULL;
  bool relu = op->desc.u.conv2d.relu;
  float *y = args->y;
#pragma omp parallel for
  for (int64_t row = 0; row < s.n * s.oh; row++) {
    const float *image = x + row / s.oh * s.h * s.w * s.ci;
    for (int64_t ox = 0; ox < s.ow; ox++)
      for (int64_t from = 0; from < s.co; from += REF_BLOCK) {
        double sum[REF_BLOCK];
        int64_t many = ref_min(REF_BLOCK, s.co - from), at = (row * s.ow + ox) * s.co + from;
        for (int64_t o = 0; o < many; o++)
          sum[o] = (b ? (double)b[from + o] : 0) + (residual ? (double)residual[at + o] : 0);
        pixel(&s, image, w, row % s.oh, ox, from, many, sum);
        for (int64_t o = 0; o < many; o++) y[at + o] = (float)(relu ? ref_relu(sum[o]) : sum[o]);
      }
  }
  return LUR_OK;
}

/* The gradient of one input element: from every output pixel whose window covers it. dy: of this image. */
static double input_element(const ref_sizes *s, const float *dy, const float *w, int64_t iy, int64_t ix, int64_t i) {
  double sum = 0;
  for (int64_t ky = 0; ky < s->kh; ky++) {
    int64_t ty = iy + s->top - ky, oy = ty / s->sh;
    if (ty < 0 || ty % s->sh || oy >= s->oh) continue;
    for (int64_t kx = 0; kx < s->kw; kx++) {
      int64_t tx = ix + s->left - kx, ox = tx / s->sw;
      if (tx < 0 || tx % s->sw || ox >= s->ow) continue;
      const float *dyp = dy + (oy * s->ow + ox) * s->co, *wp = w + ((ky * s->kw + kx) * s->ci + i) * s->co;
      for (int64_t o = 0; o < s->co; o++) sum += (double)dyp[o] * (double)wp[o];
    }
  }
  return sum;
}

static void backward_input(const ref_sizes *s, const float *dy, const float *w, float *dx, bool add) {
#pragma omp parallel for
  for (int64_t row = 0; row < s->n * s->h; row++)
    for (int64_t ix = 0; ix < s->w; ix++)
      for (int64_t i = 0; i < s->ci; i++)
        ref_put(dx, (row * s->w + ix) * s->ci + i,
                input_element(s, dy + row / s->h * s->oh * s->ow * s->co, w, row % s->h, ix, i), add);
}

/* Adds to sum the gradient of w[ky,kx,i, from..from+many]. */
static void weight_elements(const ref_sizes *s, const float *x, const float *dy, int64_t ky, int64_t kx, int64_t i,
                            int64_t from, int64_t many, double *sum) {
  for (int64_t row = 0; row < s->n * s->oh; row++) {
    int64_t iy = row % s->oh * s->sh - s->top + ky;
    if (iy < 0 || iy >= s->h) continue;
    for (int64_t ox = 0; ox < s->ow; ox++) {
      int64_t ix = ox * s->sw - s->left + kx;
      if (ix < 0 || ix >= s->w) continue;
      double v = (double)x[((row / s->oh * s->h + iy) * s->w + ix) * s->ci + i];
      const float *dyp = dy + (row * s->ow + ox) * s->co + from;
      for (int64_t o = 0; o < many; o++) sum[o] += v * (double)dyp[o];
    }
  }
}

static void backward_weights(const ref_sizes *s, const float *x, const float *dy, float *dw) {
#pragma omp parallel for
  for (int64_t at = 0; at < s->kh * s->kw * s->ci; at++)
    for (int64_t from = 0; from < s->co; from += REF_BLOCK) {
      double sum[REF_BLOCK] = {0};
      int64_t many = ref_min(REF_BLOCK, s->co - from), tap = at / s->ci;
      weight_elements(s, x, dy, tap / s->kw, tap % s->kw, at % s->ci, from, many, sum);
      for (int64_t o = 0; o < many; o++) ref_put(dw, at * s->co + from + o, sum[o], true);
    }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const ref_sizes s = REF_SIZES(&op->desc, &op->desc.u.conv2d);
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *dy = lur_ref_relu_dy(op->desc.u.conv2d.relu, args, args->scratch, count);
  if (op->desc.want_dw & 1u) backward_weights(&s, args->x[0], dy, args->dw[0]);
  if (op->desc.want_dw & 2u) lur_ref_add_columns(dy, count / s.co, s.co, args->dw[1]);
  if (op->desc.want_dx & 1u) backward_input(&s, dy, args->w[0], args->dx[0], args->dx_add & 1u);
  if (op->desc.want_dx & 2u) lur_ref_put_all(args->dx[1], dy, count, args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_ref_conv2d = {plan, forward, backward, NULL};
