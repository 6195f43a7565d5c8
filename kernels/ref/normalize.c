/* normalize.c - y = x / max(|x|2, epsilon) over the last dimension. */
#include "ref.h"

#include <math.h>

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->in_place = true;
  op->backward_x = ref_wants(op) ? 1u : 0;
  op->dx_in_place = true;
  return LUR_OK;
}

static double dot(const float *a, const float *b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

/* The divisor of a row: max(length, epsilon); NaN stays NaN. */
static double divisor(double length, double epsilon) { return length < epsilon ? epsilon : length; }

static lur_status forward(lur_op *op, const lur_args *args) {
  int64_t c = ref_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
#pragma omp parallel for
  for (int64_t r = 0; r < rows; r++) {
    const float *x = (const float *)args->x[0] + r * c;
    float *y = (float *)args->y + r * c;
    double length = divisor(sqrt(dot(x, x, c)), op->desc.u.normalize.epsilon);
    for (int64_t i = 0; i < c; i++) y[i] = (float)((double)x[i] / length);
  }
  return LUR_OK;
}

/* dx = (dy - x (x.dy) / |x|^2) / |x|; where |x| < epsilon the divisor is constant: dx = dy / epsilon. */
static lur_status backward(lur_op *op, const lur_args *args) {
  int64_t c = ref_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
#pragma omp parallel for
  for (int64_t r = 0; r < rows; r++) {
    const float *x = (const float *)args->x[0] + r * c, *dy = (const float *)args->dy + r * c;
    double length = sqrt(dot(x, x, c)), epsilon = op->desc.u.normalize.epsilon;
    bool small = length < epsilon;
    double along = small ? 0 : dot(x, dy, c) / (length * length);
    for (int64_t i = 0; i < c; i++)
      ref_put((float *)args->dx[0] + r * c, i, ((double)dy[i] - (double)x[i] * along) / divisor(length, epsilon),
              args->dx_add & 1u);
  }
  return LUR_OK;
}

const lur_kernel lur_ref_normalize = {plan, forward, backward, NULL};
