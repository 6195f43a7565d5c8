/* update.c - optimizer updates, the sum of squares for clipping by the gradients' global norm, and moving averages.
 *
 * Keras 2.0.6, optimizers.py, where a = lr * lr_scale of the parameter, and g is taken after scaling, clipping and
 * weight decay:
 *   sgd    v = momentum * v - a * g;  p += v, or with nesterov p += momentum * v - a * g
 *   adam   m = b1*m + (1-b1)*g;  v = b2*v + (1-b2)*g^2;  p -= a * m / (sqrt(v) + epsilon); lr includes the factor
 *          sqrt(1 - b2^t) / (1 - b1^t)
 *   adamw  as adam, preceded by p -= decay_lr * lr_scale * weight_decay * p: decoupled weight decay (Loshchilov and
 *          Hutter 2019), without Adam's bias correction; g includes no weight decay
 *   nadam  m, v as adam;  p -= a * (g_scale * g + m_scale * m) / (sqrt(v * v_scale) + epsilon)
 * State is float; each update computes in double. A new rule: a function of one element, called in lur_ref_update. */
#include "ref.h"

#include <math.h>

static double gradient(const lur_update *u, const lur_parameter *s, int64_t i) {
  double g = (double)s->g[i] * (double)u->gradient_scale, limit = (double)u->clip_value;
  if (limit > 0) g = g > limit ? limit : g < -limit ? -limit : g;
  return u->rule == LUR_ADAMW ? g : g + (double)s->weight_decay * (double)s->p[i];
}

static void sgd(const lur_update *u, const lur_parameter *s, int64_t i, double a, double g) {
  double v = (s->m ? u->momentum * (double)s->m[i] : 0) - a * g;
  if (s->m) s->m[i] = (float)v;
  s->p[i] = (float)((double)s->p[i] + (s->m && u->nesterov ? u->momentum * v - a * g : v));
}

static void adam(const lur_update *u, const lur_parameter *s, int64_t i, double a, double g) {
  double m = u->beta1 * (double)s->m[i] + (1 - u->beta1) * g, v = u->beta2 * (double)s->v[i] + (1 - u->beta2) * g * g;
  double p = (double)s->p[i], step = m, root = sqrt(v);
  if (u->rule == LUR_ADAMW) p -= u->decay_lr * (double)s->lr_scale * (double)s->weight_decay * p;
  if (u->rule == LUR_NADAM) {
    step = u->g_scale * g + u->m_scale * m;
    root = sqrt(v * u->v_scale);
  }
  s->m[i] = (float)m;
  s->v[i] = (float)v;
  s->p[i] = (float)(p - a * step / (root + u->epsilon));
}

lur_status lur_ref_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n) {
  if ((unsigned)update->rule >= LUR_UPDATE_RULE_COUNT)
    return lur_fail(LUR_EARG, "%s: unknown update rule %d", device->name, (int)update->rule);
  for (int k = 0; k < n; k++) {
    const lur_parameter *s = &parameters[k];
    double a = update->lr * (double)s->lr_scale;
#pragma omp parallel for
    for (int64_t i = 0; i < s->count; i++) {
      double g = gradient(update, s, i);
      if (update->rule == LUR_SGD) sgd(update, s, i, a, g);
      else adam(update, s, i, a, g);
    }
  }
  return LUR_OK;
}

lur_status lur_ref_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum) {
  (void)device;
  double total = 0;
  for (int k = 0; k < n; k++)
    for (int64_t i = 0; i < parameters[k].count; i++) total += (double)parameters[k].g[i] * (double)parameters[k].g[i];
  *sum = total;
  return LUR_OK;
}

lur_status lur_ref_lerp(lur_device *device, const lur_parameter *parameters, int n, double share) {
  (void)device;
  for (int k = 0; k < n; k++) {
    const lur_parameter *s = &parameters[k];
#pragma omp parallel for
    for (int64_t i = 0; i < s->count; i++) {
      double p = (double)s->p[i], g = (double)s->g[i];
      s->p[i] = (float)(share == 1 ? g : p + share * (g - p));
    }
  }
  return LUR_OK;
}
