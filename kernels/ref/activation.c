/* activation.c - the activations (LUR_ACTIVATIONS in op_desc.h), and softmax over the last dimension.
 *
 * A new activation: a case in `value` and one in `slope`. */
#include "ref.h"

#include <math.h>

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  bool x = lur_activation_reads_x(op->desc.u.activation.function);
  op->in_place = true;
  if (!ref_wants(op)) return LUR_OK;
  op->backward_x = x ? 1u : 0;
  op->backward_y = !x;
  op->dx_in_place = true;
  return LUR_OK;
}

/* The cumulative distribution function of the standard normal distribution; erfc keeps the tail for negative x. */
static double normal(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* min(max(x, 0), 6); NaN stays NaN. */
static double clamp6(double x) { return x < 0 ? 0 : x > 6 ? 6 : x; }

static double value(const lur_activation_desc *u, double x) {
  switch (u->function) {
  case LUR_RELU: return ref_relu(x);
  case LUR_SIGMOID: return 1 / (1 + exp(-x));
  case LUR_TANH: return tanh(x);
  case LUR_SQUARE: return x * x;
  case LUR_ABS: return fabs(x);
  case LUR_EXP: return exp(x);
  case LUR_LOG: return log(x);
  case LUR_SQRT: return sqrt(x);
  case LUR_GELU: return x * normal(x);
  case LUR_SILU: return x * sigmoid(x);
  case LUR_LEAKY_RELU: return x > 0 ? x : x * u->slope;
  case LUR_ELU: return x > 0 ? x : expm1(x);
  case LUR_RELU6: return clamp6(x);
  case LUR_HARD_SIGMOID: return clamp6(x + 3) / 6;
  case LUR_HARD_SWISH: return x * clamp6(x + 3) / 6;
  case LUR_SOFTPLUS: return ref_relu(x) + log1p(exp(-fabs(x)));
  }
  return x;
}

/* dy/dx, but for the functions that `gradient` treats itself. v: x where lur_activation_reads_x says so, else y. */
static double slope(const lur_activation_desc *u, double v) {
  switch (u->function) {
  case LUR_RELU: break;
  case LUR_SIGMOID: return v * (1 - v);
  case LUR_TANH: return 1 - v * v;
  case LUR_SQUARE: return 2 * v;
  case LUR_ABS: return v > 0 ? 1 : v < 0 ? -1 : v == 0 ? 0 : v; /* NaN stays NaN */
  case LUR_EXP: return v;
  case LUR_LOG: return 1 / v;
  case LUR_SQRT: return 0.5 / v;
  case LUR_GELU: return normal(v) + v * exp(-0.5 * v * v) * 0.39894228040143267794; /* 1 / sqrt(2 pi) */
  case LUR_SILU: return sigmoid(v) * (1 + v * (1 - sigmoid(v)));
  case LUR_LEAKY_RELU: return v > 0 ? 1 : u->slope;
  case LUR_ELU: return v > 0 ? 1 : v + 1;
  case LUR_RELU6:
  case LUR_HARD_SIGMOID:
  case LUR_HARD_SWISH: break;
  case LUR_SOFTPLUS: return sigmoid(v);
  }
  return 1;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *x = args->x[0];
  float *y = args->y;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) y[i] = (float)value(&op->desc.u.activation, (double)x[i]);
  return LUR_OK;
}

/* The gradient; it is 0 where a function is constant, even if dy is NaN. */
static double gradient(const lur_activation_desc *u, double v, double dy) {
  switch (u->function) {
  case LUR_RELU: return ref_relu_dy(v, dy);
  case LUR_RELU6: return v <= 0 || v >= 6 ? 0 : dy;
  case LUR_HARD_SIGMOID: return v > -3 && v < 3 ? dy / 6 : 0;
  case LUR_HARD_SWISH: return v <= -3 ? 0 : v >= 3 ? dy : dy * (v / 3 + 0.5);
  default: return dy * slope(u, v);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_activation_desc *u = &op->desc.u.activation;
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *v = lur_activation_reads_x(u->function) ? args->x[0] : args->y, *dy = args->dy;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++)
    ref_put(args->dx[0], i, gradient(u, (double)v[i], (double)dy[i]), args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_activation = {plan, forward, backward, NULL};

/* ---- softmax: y = exp(x - max) / sum exp(x - max) ---- */

static lur_status softmax_plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->in_place = true;
  op->backward_y = op->dx_in_place = ref_wants(op);
  return LUR_OK;
}

static lur_status softmax_forward(lur_op *op, const lur_args *args) {
  int64_t c = ref_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
#pragma omp parallel for
  for (int64_t r = 0; r < rows; r++) {
    const float *x = (const float *)args->x[0] + r * c;
    float *y = (float *)args->y + r * c;
    double top = (double)x[0], sum = 0;
    for (int64_t i = 1; i < c; i++) top = (double)x[i] > top ? (double)x[i] : top;
    for (int64_t i = 0; i < c; i++) sum += exp((double)x[i] - top);
    for (int64_t i = 0; i < c; i++) y[i] = (float)(exp((double)x[i] - top) / sum);
  }
  return LUR_OK;
}

/* dx = y * (dy - sum(dy * y)) */
static lur_status softmax_backward(lur_op *op, const lur_args *args) {
  int64_t c = ref_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
#pragma omp parallel for
  for (int64_t r = 0; r < rows; r++) {
    const float *y = (const float *)args->y + r * c, *dy = (const float *)args->dy + r * c;
    double sum = 0;
    for (int64_t i = 0; i < c; i++) sum += (double)dy[i] * (double)y[i];
    for (int64_t i = 0; i < c; i++)
      ref_put((float *)args->dx[0] + r * c, i, (double)y[i] * ((double)dy[i] - sum), args->dx_add & 1u);
  }
  return LUR_OK;
}

const lur_kernel lur_ref_softmax = {softmax_plan, softmax_forward, softmax_backward, NULL};
