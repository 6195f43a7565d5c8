/* layernorm.c - layernorm and groupnorm: y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, where mean and
 * biased variance are those of a group: a row of layernorm; of groupnorm, some neighbouring channels of one sample.
 * With h = (x - mean) r, r = 1 / sqrt(variance + epsilon) and g = dy * gamma:
 *   dx = r (g - mean(g) - h mean(g h)), dgamma = sum dy h, dbeta = sum dy. */
#include "ref.h"

#include <math.h>

/* Group `i` has `runs` runs of `width` elements, `step` apart; the first begins at start(i). */
typedef struct groups {
  int64_t count, runs, width, step, c, per_sample, sample; /* groups and elements of a sample */
} groups;

static groups groups_of(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape;
  const int64_t c = ref_last(x), all = lur_shape_count(x);
  if (d->kind == LUR_OP_LAYERNORM) return (groups){all / c, 1, c, c, c, 1, c};
  const int64_t n = x->dim[0], g = d->u.layernorm.groups;
  return (groups){n * g, all / n / c, c / g, c, c, g, all / n};
}

static int64_t start(const groups *s, int64_t i) {
  return i / s->per_sample * s->sample + i % s->per_sample * s->width;
}

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->in_place = true;
  if (!ref_wants(op)) return LUR_OK;
  op->backward_x = op->desc.want_dx || op->desc.want_dw & 1u ? 1u : 0;
  op->dx_in_place = true;
  if (op->backward_x) op->saved_bytes = 2 * sizeof(double) * (size_t)groups_of(&op->desc).count;
  return LUR_OK;
}

/* The mean and 1 / sqrt(variance + epsilon) of group i. */
static void statistics(const groups *s, const float *x, int64_t i, double epsilon, double *mean, double *reciprocal) {
  const double count = (double)(s->runs * s->width);
  double sum = 0, squares = 0;
  x += start(s, i);
  for (int64_t r = 0; r < s->runs; r++)
    for (int64_t k = 0; k < s->width; k++) sum += (double)x[r * s->step + k];
  *mean = sum / count;
  for (int64_t r = 0; r < s->runs; r++)
    for (int64_t k = 0; k < s->width; k++) {
      const double v = (double)x[r * s->step + k] - *mean;
      squares += v * v;
    }
  *reciprocal = 1 / sqrt(squares / count + epsilon);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const groups s = groups_of(d);
  const float *x = args->x[0], *gamma = d->u.layernorm.has_gamma ? args->w[0] : NULL,
              *beta = d->u.layernorm.has_beta ? args->w[1] : NULL;
  double *saved = op->saved_bytes ? args->saved : NULL;
  float *y = args->y;
#pragma omp parallel for
  for (int64_t i = 0; i < s.count; i++) {
    double mean, reciprocal;
    statistics(&s, x, i, d->u.layernorm.epsilon, &mean, &reciprocal);
    if (saved) saved[2 * i] = mean, saved[2 * i + 1] = reciprocal;
    for (int64_t r = 0; r < s.runs; r++)
      for (int64_t k = 0; k < s.width; k++) {
        const int64_t at = start(&s, i) + r * s.step + k, channel = at % s.c;
        y[at] = (float)(((double)x[at] - mean) * reciprocal * (gamma ? (double)gamma[channel] : 1) +
                        (beta ? (double)beta[channel] : 0));
      }
  }
  return LUR_OK;
}

static void backward_weights(const lur_op_desc *d, const groups *s, const lur_args *args) {
  const float *x = args->x[0], *dy = args->dy;
  const double *saved = args->saved;
  const int64_t pixels = lur_shape_count(&d->x[0].shape) / s->c;
#pragma omp parallel for
  for (int64_t channel = 0; channel < s->c; channel++) {
    double scaled = 0, plain = 0;
    for (int64_t p = 0; p < pixels; p++) {
      const int64_t at = p * s->c + channel, i = at / s->sample * s->per_sample + channel / s->width;
      if (d->want_dw & 1u) scaled += (double)dy[at] * ((double)x[at] - saved[2 * i]) * saved[2 * i + 1];
      plain += (double)dy[at];
    }
    if (d->want_dw & 1u) ref_put(args->dw[0], channel, scaled, true);
    if (d->want_dw & 2u) ref_put(args->dw[1], channel, plain, true);
  }
}

static void backward_input(const groups *s, const lur_args *args, const float *gamma, bool add) {
  const float *x = args->x[0], *dy = args->dy;
  const double *saved = args->saved, count = (double)(s->runs * s->width);
#pragma omp parallel for
  for (int64_t i = 0; i < s->count; i++) {
    const double mean = saved[2 * i], reciprocal = saved[2 * i + 1];
    double plain = 0, scaled = 0;
    for (int pass = 0; pass < 2; pass++)
      for (int64_t r = 0; r < s->runs; r++)
        for (int64_t k = 0; k < s->width; k++) {
          const int64_t at = start(s, i) + r * s->step + k;
          const double g = (double)dy[at] * (gamma ? (double)gamma[at % s->c] : 1),
                       h = ((double)x[at] - mean) * reciprocal;
          if (pass == 0) plain += g, scaled += g * h;
          else ref_put(args->dx[0], at, reciprocal * (g - plain / count - h * (scaled / count)), add);
        }
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const groups s = groups_of(d);
  if (d->want_dw) backward_weights(d, &s, args); /* first: dx may be the same memory as dy */
  if (d->want_dx & 1u)
    backward_input(&s, args, d->u.layernorm.has_gamma ? args->w[0] : NULL, args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_layernorm = {plan, forward, backward, NULL};
const lur_kernel lur_ref_groupnorm = {plan, forward, backward, NULL};
