/* batchnorm.c - y = [relu](gamma * (x - mean) / sqrt(variance + epsilon) + beta [+ residual]), per channel.
 *
 * Ioffe and Szegedy, "Batch normalization" (2015), as in Keras 2.0.6 (normalization.py, tensorflow_backend.py): the
 * batch's variance is biased, also in the moving statistics; s -= (s - batch) * (1 - momentum).
 * saved holds, per channel, the mean and the reciprocal standard deviation that forward used (doubles).
 * With affine_out the result is only the scale and the shift of each channel. */
#include "ref.h"

#include <math.h>

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  LUR_TRY(lur_ref_want_f32(op, 0));
  size_t statistics = 2 * sizeof(double) * (size_t)ref_last(&d->x[0].shape);
  bool affine_out = d->u.batchnorm.affine_out;
  op->in_place = !affine_out;
  if (!ref_wants(op)) {
    op->forward_scratch = statistics;
    return LUR_OK;
  }
  op->saved_bytes = statistics;
  op->dx_in_place = !affine_out;
  op->backward_x = (d->want_dw & 1u && !affine_out) || (d->u.batchnorm.batch && d->want_dx & 1u) ? 1u : 0;
  op->backward_y = d->u.batchnorm.relu;
  op->backward_scratch = statistics;
  if (op->backward_y) op->backward_scratch += sizeof(float) * (size_t)lur_shape_count(&d->y.shape);
  return LUR_OK;
}

static void batch_statistics(const float *x, int64_t rows, int64_t c, int64_t i, double *mean, double *variance) {
  double sum = 0, squares = 0;
  for (int64_t r = 0; r < rows; r++) sum += (double)x[r * c + i];
  sum /= (double)rows;
  for (int64_t r = 0; r < rows; r++) squares += ((double)x[r * c + i] - sum) * ((double)x[r * c + i] - sum);
  *mean = sum;
  *variance = squares / (double)rows;
}

static void move(float *statistic, int64_t i, double batch, double momentum) {
  statistic[i] = (float)((double)statistic[i] - ((double)statistic[i] - batch) * (1 - momentum));
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_batchnorm_desc *u = &op->desc.u.batchnorm;
  int64_t c = ref_last(&op->desc.x[0].shape), rows = lur_shape_count(&op->desc.x[0].shape) / c;
  const float *x = args->x[0], *residual = op->desc.nx == 2 ? args->x[1] : NULL;
  const float *gamma = u->has_gamma ? args->w[0] : NULL, *beta = u->has_beta ? args->w[1] : NULL;
  float *mean = args->w[2], *variance = args->w[3], *y = args->y;
  double *statistics = op->saved_bytes ? args->saved : args->scratch;
#pragma omp parallel for
  for (int64_t i = 0; i < c; i++) {
    double m = (double)mean[i], v = (double)variance[i];
    if (u->batch) {
      batch_statistics(x, rows, c, i, &m, &v);
      move(mean, i, m, u->momentum);
      move(variance, i, v, u->momentum);
    }
    double r = 1 / sqrt(v + u->epsilon);
    statistics[2 * i] = m;
    statistics[2 * i + 1] = r;
    if (u->affine_out) {
      double scale = r * (gamma ? (double)gamma[i] : 1);
      y[i] = (float)scale;
      y[c + i] = (float)((beta ? (double)beta[i] : 0) - m * scale);
      continue;
    }
    for (int64_t k = i; k < rows * c; k += c) {
      double value = ((double)x[k] - m) * r * (gamma ? (double)gamma[i] : 1) + (beta ? (double)beta[i] : 0);
      if (residual) value += (double)residual[k];
      y[k] = (float)(u->relu ? ref_relu(value) : value);
    }
  }
  return LUR_OK;
}

/* sums[2i] = sum of dy, sums[2i+1] = sum of dy * (x - mean) / std: the gradients of beta and gamma. */
static void channel_sums(const float *x, const float *dy, const double *statistics, int64_t rows, int64_t c,
                         double *sums) {
#pragma omp parallel for
  for (int64_t i = 0; i < c; i++) {
    double plain = 0, scaled = 0;
    for (int64_t k = i; k < rows * c; k += c) {
      plain += (double)dy[k];
      if (x) scaled += (double)dy[k] * ((double)x[k] - statistics[2 * i]) * statistics[2 * i + 1];
    }
    sums[2 * i] = plain;
    sums[2 * i + 1] = scaled;
  }
}

/* Batch statistics depend on x: dx = gamma / std * (dy - mean(dy) - xhat * mean(dy * xhat)). */
static void backward_input(const lur_op *op, const lur_args *args, const float *dy, const double *sums, int64_t rows,
                           int64_t c) {
  const lur_batchnorm_desc *u = &op->desc.u.batchnorm;
  const float *x = args->x[0], *gamma = u->has_gamma ? args->w[0] : NULL;
  const double *statistics = args->saved;
#pragma omp parallel for
  for (int64_t k = 0; k < rows * c; k++) {
    int64_t i = k % c;
    double value = (double)dy[k], r = statistics[2 * i + 1];
    if (u->batch) value -= (sums[2 * i] + ((double)x[k] - statistics[2 * i]) * r * sums[2 * i + 1]) / (double)rows;
    ref_put(args->dx[0], k, value * r * (gamma ? (double)gamma[i] : 1), args->dx_add & 1u);
  }
}

/* From the gradients ds and dt of scale = gamma * r and shift = beta - mean * scale, where r = 1 / sqrt(variance +
   epsilon): dgamma = r * (ds - mean * dt), dbeta = dt, and, with batch statistics, dx = -gamma * r / rows
   * (dt + (x - mean) * r^2 * (ds - mean * dt)). */
static void backward_affine(const lur_op *op, const lur_args *args, int64_t rows, int64_t c) {
  const lur_op_desc *d = &op->desc;
  const float *x = args->x[0], *ds = args->dy, *dt = ds + c, *gamma = d->u.batchnorm.has_gamma ? args->w[0] : NULL;
  const double *statistics = args->saved;
#pragma omp parallel for
  for (int64_t i = 0; i < c; i++) {
    double m = statistics[2 * i], r = statistics[2 * i + 1], centred = (double)ds[i] - m * (double)dt[i];
    double g = gamma ? (double)gamma[i] : 1;
    if (d->want_dw & 1u) ref_put(args->dw[0], i, r * centred, true);
    if (d->want_dw & 2u) ref_put(args->dw[1], i, (double)dt[i], true);
    for (int64_t k = i; k < rows * c && d->want_dx & 1u; k += c) {
      double value =
          d->u.batchnorm.batch ? -g * r / (double)rows * ((double)dt[i] + ((double)x[k] - m) * r * r * centred) : 0;
      ref_put(args->dx[0], k, value, args->dx_add & 1u);
    }
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  int64_t c = ref_last(&d->x[0].shape), count = lur_shape_count(&d->x[0].shape), rows = count / c;
  if (d->u.batchnorm.affine_out) {
    backward_affine(op, args, rows, c);
    return LUR_OK;
  }
  double *sums = args->scratch;
  const float *dy = lur_ref_relu_dy(d->u.batchnorm.relu, args, (float *)(sums + 2 * c), count);
  channel_sums(op->backward_x ? args->x[0] : NULL, dy, args->saved, rows, c, sums);
  for (int64_t i = 0; i < c; i++) {
    if (d->want_dw & 1u) ref_put(args->dw[0], i, sums[2 * i + 1], true);
    if (d->want_dw & 2u) ref_put(args->dw[1], i, sums[2 * i], true);
  }
  /* dx[1] comes first because dx[0] may be the same memory as dy. */
  if (d->want_dx & 2u) lur_ref_put_all(args->dx[1], dy, count, args->dx_add & 2u);
  if (d->want_dx & 1u) backward_input(op, args, dy, sums, rows, c);
  return LUR_OK;
}

const lur_kernel lur_ref_batchnorm = {plan, forward, backward, NULL};
