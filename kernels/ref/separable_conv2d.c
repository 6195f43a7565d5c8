/* separable_conv2d.c - a depthwise convolution and the 1x1 convolution that mixes its channels, forward only.
 *
 *   y[n,oy,ox,o] = [relu](b[o] + sum_i d[n,oy,ox,i] * w[i,o] [+ residual])
 *   d[n,oy,ox,i] = sum_{ky,kx} [relu_in](x[n, oy*sh-top+ky, ox*sw-left+kx, i]) * k[ky,kx,i]
 *
 * d is never stored. Training uses the two ops (depthwise_conv2d.c, conv2d.c), because their gradients read d. */
#include "ref.h"

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  const lur_shape *y = &op->desc.y.shape; /* scratch: d of one output pixel, for each row */
  op->forward_scratch = sizeof(double) * (size_t)(y->dim[0] * y->dim[1] * op->desc.x[0].shape.dim[3]);
  return LUR_OK;
}

/* d of output pixel oy, ox. x: one image. */
static void depthwise_pixel(const lur_op_desc *desc, const float *x, const float *k, int64_t oy, int64_t ox,
                            double *d) {
  const lur_conv2d_desc *u = &desc->u.conv2d;
  const int64_t h = desc->x[0].shape.dim[1], w = desc->x[0].shape.dim[2], c = desc->x[0].shape.dim[3];
  for (int64_t i = 0; i < c; i++) d[i] = 0;
  for (int ky = 0; ky < u->kernel_h; ky++) {
    const int64_t iy = oy * u->stride_h - u->pad_top + ky;
    for (int kx = 0; kx < u->kernel_w; kx++) {
      const int64_t ix = ox * u->stride_w - u->pad_left + kx;
      if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
      for (int64_t i = 0; i < c; i++) {
        const double v = (double)x[(iy * w + ix) * c + i];
        d[i] += (u->relu_in ? ref_relu(v) : v) * (double)k[(ky * u->kernel_w + kx) * c + i];
      }
    }
  }
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *desc = &op->desc;
  const lur_shape *in = &desc->x[0].shape, *out = &desc->y.shape;
  const int64_t image = in->dim[1] * in->dim[2] * in->dim[3], oh = out->dim[1], ow = out->dim[2], ci = in->dim[3],
                co = out->dim[3];
  const float *x = args->x[0], *residual = desc->nx == 2 ? args->x[1] : NULL;
  const float *w = args->w[0], *b = args->w[1];
  float *y = args->y;
#pragma omp parallel for
  for (int64_t row = 0; row < out->dim[0] * oh; row++) {
    double *d = (double *)args->scratch + row * ci;
    for (int64_t ox = 0; ox < ow; ox++) {
      depthwise_pixel(desc, x + row / oh * image, args->w[2], row % oh, ox, d);
      for (int64_t o = 0; o < co; o++) {
        const int64_t at = (row * ow + ox) * co + o;
        double sum = (double)b[o] + (residual ? (double)residual[at] : 0);
        for (int64_t i = 0; i < ci; i++) sum += d[i] * (double)w[i * co + o];
        y[at] = (float)(desc->u.conv2d.relu ? ref_relu(sum) : sum);
      }
    }
  }
  return LUR_OK;
}

const lur_kernel lur_ref_separable_conv2d = {plan, forward, NULL, NULL};
