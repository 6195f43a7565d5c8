/* batchnorm.c - batch norm in two passes forward and two passes backward. Definition: kernels/ref/batchnorm.c.
 *
 * Forward in training: one pass computes the statistics, one normalizes, adds the residual and applies the ReLU.
 * Backward: one pass computes the two sums of each channel, one computes dx. The ReLU's mask is not kept: without a
 * residual it is computed again from x, which backward reads anyway. With affine_out forward has only the first pass,
 * and the sums of backward are dy itself, so only dx remains. saved: per channel the mean, scale, shift, and reciprocal
 * standard deviation (floats). */
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MEAN, SCALE, SHIFT, RECIPROCAL, KEPT }; /* rows of c floats in saved */

typedef struct norm_plan {
  int64_t rows, c;
  int parts;
  bool gate_norm; /* backward computes the ReLU's mask from x */
} norm_plan;

static void release(lur_op *op) {
  free(op->state);
  op->state = NULL;
}

/* The sums of all parts, then their float work space. */
static size_t sums_bytes(const norm_plan *p) {
  return (size_t)p->parts * 2 * (size_t)p->c * (sizeof(double) + sizeof(float));
}

static size_t kept_bytes(const norm_plan *p) { return cpu_round(sizeof(float) * KEPT * (size_t)p->c); }

static size_t k_bytes(const norm_plan *p) { return sizeof(float) * 3 * (size_t)p->c; }

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  const lur_batchnorm_desc *u = &d->u.batchnorm;
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  norm_plan *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  p->c = cpu_last(&d->x[0].shape);
  p->rows = lur_shape_count(&d->x[0].shape) / p->c;
  p->parts = cpu_parts(p->rows);
  op->in_place = !u->affine_out;
  op->forward_scratch = u->batch ? sums_bytes(p) : 0;
  if (!cpu_wants(op)) {
    op->forward_scratch += kept_bytes(p);
    return LUR_OK;
  }
  op->saved_bytes = kept_bytes(p);
  if (u->affine_out) {
    op->backward_x = u->batch && d->want_dx & 1u ? 1u : 0;
    op->backward_scratch = k_bytes(p);
    return LUR_OK;
  }
  op->dx_in_place = true;
  op->backward_x = d->want_dw & 1u || (u->batch && d->want_dx & 1u) ? 1u : 0;
  p->gate_norm = u->relu && op->backward_x && d->nx == 1;
  op->backward_y = u->relu && !p->gate_norm;
  op->backward_scratch = sums_bytes(p) + k_bytes(p);
  return LUR_OK;
}

/* The sum over the parts of column i of `sums`, whose rows have 2c elements. */
static double total(const norm_plan *p, const double *sums, int64_t i) {
  double sum = 0;
  for (int part = 0; part < p->parts; part++) sum += sums[part * 2 * p->c + i];
  return sum;
}

static void move(float *statistic, double batch, double momentum) {
  *statistic = (float)((double)*statistic - ((double)*statistic - batch) * (1 - momentum));
}

/* The sums of x - x[0] and of its square, per part and channel. */
static void batch_sums(lur_op *op, const float *x, double *sums) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const int64_t width = 2 * p->c;
  float *work = (float *)(sums + p->parts * width);
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t begin = cpu_part_start(p->rows, p->parts, part), end = cpu_part_start(p->rows, p->parts, part + 1);
    memset(sums + part * width, 0, sizeof *sums * (size_t)width);
    loops->norm_stats(x + begin * p->c, x, end - begin, p->c, work + part * width, sums + part * width);
  }
}

/* The mean of a channel whose first element, the pivot of the sums, is not a number or infinite. */
static double plain_mean(const norm_plan *p, const float *x) {
  double sum = 0;
  for (int64_t r = 0; r < p->rows; r++) sum += (double)x[r * p->c];
  return sum / (double)p->rows;
}

/* Computes mean, scale, shift and reciprocal standard deviation of every channel; updates the moving statistics. */
static void prepare(lur_op *op, const lur_args *args, const double *sums, float *kept) {
  const norm_plan *p = op->state;
  const lur_batchnorm_desc *u = &op->desc.u.batchnorm;
  const float *x = args->x[0], *gamma = u->has_gamma ? args->w[0] : NULL, *beta = u->has_beta ? args->w[1] : NULL;
  float *moving_mean = args->w[2], *moving_variance = args->w[3];
  const int64_t c = p->c;
  for (int64_t i = 0; i < c; i++) {
    double mean = (double)moving_mean[i], variance = (double)moving_variance[i];
    if (u->batch) {
      const double offset = total(p, sums, i) / (double)p->rows;
      mean = isfinite(x[i]) ? (double)x[i] + offset : plain_mean(p, x + i);
      variance = total(p, sums, c + i) / (double)p->rows - offset * offset;
      if (variance < 0) variance = 0;
      move(&moving_mean[i], mean, u->momentum);
      move(&moving_variance[i], variance, u->momentum);
    }
    const double reciprocal = 1 / sqrt(variance + u->epsilon),
                 scale = gamma ? (double)gamma[i] * reciprocal : reciprocal;
    const float rounded = (float)mean;
    kept[MEAN * c + i] = rounded;
    kept[SCALE * c + i] = (float)scale;
    /* The shift includes the error of rounding the mean to float, if that is a number. */
    const double error = isfinite(rounded) && isfinite(scale) ? ((double)rounded - mean) * scale : 0;
    kept[SHIFT * c + i] = (float)((beta ? (double)beta[i] : 0) + error);
    kept[RECIPROCAL * c + i] = (float)reciprocal;
  }
}

static lur_norm norm_of(const norm_plan *p, const float *kept) {
  return (lur_norm){kept + MEAN * p->c, kept + SCALE * p->c, kept + SHIFT * p->c};
}

/* y: scale, then shift. The shift uses the rounded scale, so that x * scale + shift is beta at the mean. */
static void put_affine(const lur_op *op, const lur_args *args, const float *kept) {
  const norm_plan *p = op->state;
  float *y = args->y;
  for (int64_t i = 0; i < p->c; i++) {
    const double scale = (double)kept[SCALE * p->c + i];
    y[i] = (float)scale;
    y[p->c + i] = (float)((double)kept[SHIFT * p->c + i] - (double)kept[MEAN * p->c + i] * scale);
  }
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const norm_plan *p = op->state;
  const lur_batchnorm_desc *u = &op->desc.u.batchnorm;
  const lur_loops *loops = cpu_loops(op);
  const float *x = args->x[0], *residual = op->desc.nx == 2 ? args->x[1] : NULL;
  float *kept = op->saved_bytes ? args->saved : args->scratch;
  double *sums = (double *)((char *)args->scratch + (op->saved_bytes ? 0 : kept_bytes(p)));
  if (u->batch) batch_sums(op, x, sums);
  prepare(op, args, sums, kept);
  if (u->affine_out) {
    put_affine(op, args, kept);
    return LUR_OK;
  }
  const lur_norm norm = norm_of(p, kept);
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t begin = cpu_part_start(p->rows, p->parts, part), end = cpu_part_start(p->rows, p->parts, part + 1);
    const int64_t at = begin * p->c;
    loops->norm_forward(&norm, x + at, residual ? residual + at : NULL, u->relu, (float *)args->y + at, end - begin,
                        p->c);
  }
  return LUR_OK;
}

static void gradient_sums(lur_op *op, const lur_args *args, const lur_norm *norm, double *sums) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const float *x = op->backward_x ? args->x[0] : NULL, *gate = op->backward_y ? args->y : NULL, *dy = args->dy;
  const int64_t width = 2 * p->c;
  float *work = (float *)(sums + p->parts * width);
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t begin = cpu_part_start(p->rows, p->parts, part), end = cpu_part_start(p->rows, p->parts, part + 1);
    const int64_t at = begin * p->c;
    memset(sums + part * width, 0, sizeof *sums * (size_t)width);
    loops->norm_sums(norm, x ? x + at : NULL, gate ? gate + at : NULL, p->gate_norm, dy + at, end - begin, p->c,
                     work + part * width, sums + part * width);
  }
}

/* The two sums of channel i: of g, and of g * (x - mean). */
typedef struct channel_sums {
  double plain, scaled;
} channel_sums;

/* sums: of all parts; NULL: not computed. */
static channel_sums sums_of(const lur_op *op, const lur_args *args, const double *sums, const float *kept, int64_t i) {
  const norm_plan *p = op->state;
  if (op->desc.u.batchnorm.affine_out) {
    const float *dscale = args->dy, *dshift = dscale + p->c; /* sums of g * x and of g */
    const double plain = (double)dshift[i];
    return (channel_sums){plain, (double)dscale[i] - (double)kept[MEAN * p->c + i] * plain};
  }
  return sums ? (channel_sums){total(p, sums, i), total(p, sums, p->c + i)} : (channel_sums){0, 0};
}

/* Adds dgamma and dbeta, and fills k: dx = g * k0 + (x - mean) * k1 + k2. */
static void channel_gradients(lur_op *op, const lur_args *args, const double *sums, const float *kept, float *k) {
  const norm_plan *p = op->state;
  const lur_op_desc *d = &op->desc;
  float *dgamma = d->want_dw & 1u ? args->dw[0] : NULL, *dbeta = d->want_dw & 2u ? args->dw[1] : NULL;
  const int64_t c = p->c;
  for (int64_t i = 0; i < c; i++) {
    const channel_sums g = sums_of(op, args, sums, kept, i);
    const double r = (double)kept[RECIPROCAL * c + i], scale = (double)kept[SCALE * c + i];
    if (dgamma) dgamma[i] = (float)((double)dgamma[i] + g.scaled * r);
    if (dbeta) dbeta[i] = (float)((double)dbeta[i] + g.plain);
    const bool batch = d->u.batchnorm.batch;
    k[i] = (float)scale;
    k[c + i] = batch ? (float)(-scale * r * r * g.scaled / (double)p->rows) : 0.0f;
    k[2 * c + i] = batch ? (float)(-scale * g.plain / (double)p->rows) : 0.0f;
  }
}

/* Whether the factor that k0, k1 and k2 of each channel have in common can be multiplied in beforehand. */
static bool finite_scales(const norm_plan *p, const float *kept) {
  bool finite = true;
  for (int64_t i = 0; i < p->c; i++) finite = finite && isfinite(kept[SCALE * p->c + i]);
  return finite;
}

static void put(float *to, float value, bool add) { *to = add ? *to + value : value; }

/* dx and the residual's gradient, for scales that are infinite or NaN: dx = (g + (x - mean) * k1 + k2) * scale, with k1
   and k2 without the scale. */
static void plain_gradients(const lur_op *op, const lur_args *args, const double *sums, const float *kept) {
  const norm_plan *p = op->state;
  const lur_op_desc *d = &op->desc;
  const lur_batchnorm_desc *u = &d->u.batchnorm;
  const int64_t c = p->c;
  const float *x = args->x[0], *y = args->y, *dy = args->dy, *means = kept + MEAN * c, *scales = kept + SCALE * c;
  for (int64_t i = 0; i < c; i++) {
    const channel_sums all = sums_of(op, args, sums, kept, i);
    const double r = (double)kept[RECIPROCAL * c + i], n = (double)p->rows;
    const float k1 = (float)(-r * r * all.scaled / n), k2 = (float)(-all.plain / n), shift = kept[SHIFT * c + i];
    for (int64_t at = i; at < p->rows * c; at += c) {
      float g = u->affine_out ? 0 : dy[at];
      if (op->backward_y && y[at] <= 0) g = 0;
      if (p->gate_norm && (x[at] - means[i]) * scales[i] + shift <= 0) g = 0;
      const float through = u->batch && d->want_dx & 1u ? (x[at] - means[i]) * k1 + k2 : 0;
      if (d->want_dx & 2u) put((float *)args->dx[1] + at, g, args->dx_add & 2u);
      const float value = u->affine_out && !u->batch ? 0 : (g + through) * scales[i];
      if (d->want_dx & 1u) put((float *)args->dx[0] + at, value, args->dx_add & 1u);
    }
  }
}

static void input_gradients(lur_op *op, const lur_args *args, const lur_norm *norm, const float *k) {
  const norm_plan *p = op->state;
  const lur_op_desc *d = &op->desc;
  const lur_loops *loops = cpu_loops(op);
  const bool need_x = p->gate_norm || (d->u.batchnorm.batch && d->want_dx & 1u);
  const float *x = need_x ? args->x[0] : NULL, *gate = op->backward_y ? args->y : NULL, *dy = args->dy;
  float *dx = d->want_dx & 1u ? args->dx[0] : NULL, *dx1 = d->want_dx & 2u ? args->dx[1] : NULL;
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t begin = cpu_part_start(p->rows, p->parts, part), end = cpu_part_start(p->rows, p->parts, part + 1);
    const int64_t at = begin * p->c;
    loops->norm_back(norm, k, d->u.batchnorm.batch, x ? x + at : NULL, gate ? gate + at : NULL, p->gate_norm, dy + at,
                     dx ? dx + at : NULL, args->dx_add & 1u, dx1 ? dx1 + at : NULL, args->dx_add & 2u, end - begin,
                     p->c);
  }
}

/* With affine_out: the part of dx that comes through mean and variance. The ops that read x add the rest. */
static void statistics_gradients(lur_op *op, const lur_args *args, const float *kept, const float *k) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const bool batch = op->desc.u.batchnorm.batch, add = args->dx_add & 1u;
  float *dx = args->dx[0];
  if (!batch && !add) memset(dx, 0, sizeof *dx * (size_t)(p->rows * p->c));
  if (!batch) return;
  const float *x = args->x[0];
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t begin = cpu_part_start(p->rows, p->parts, part), end = cpu_part_start(p->rows, p->parts, part + 1);
    const int64_t at = begin * p->c;
    loops->norm_back_statistics(kept + MEAN * p->c, k, x + at, dx + at, add, end - begin, p->c);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const norm_plan *p = op->state;
  const lur_op_desc *d = &op->desc;
  const float *kept = args->saved;
  if (d->u.batchnorm.affine_out) {
    channel_gradients(op, args, NULL, kept, args->scratch);
    if (!finite_scales(p, kept)) plain_gradients(op, args, NULL, kept);
    else if (d->want_dx & 1u) statistics_gradients(op, args, kept, args->scratch);
    return LUR_OK;
  }
  const lur_norm norm = norm_of(p, kept);
  double *sums = args->scratch;
  float *k = (float *)((char *)args->scratch + sums_bytes(p));
  const bool need_sums = d->want_dw & 3u || (d->u.batchnorm.batch && d->want_dx & 1u);
  if (need_sums) gradient_sums(op, args, &norm, sums);
  channel_gradients(op, args, need_sums ? sums : NULL, kept, k);
  if (!finite_scales(p, kept)) plain_gradients(op, args, need_sums ? sums : NULL, kept);
  else if (d->want_dx & 3u) input_gradients(op, args, &norm, k);
  return LUR_OK;
}

const lur_kernel lur_cpu_batchnorm = {plan, forward, backward, release};
