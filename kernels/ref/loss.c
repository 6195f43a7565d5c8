/* loss.c - categorical and binary cross entropy, mean squared error: y = sum_i weight_i * l_i / n.
 *
 * Probabilities are treated as in Keras 2.0.6 (tensorflow_backend.py): divided by their sum (categorical), clipped to
 * [1e-7, 1-1e-7], no gradient where clipped. From logits: log-softmax, and max(x,0) - x*t + log(1+exp(-|x|)).
 * Label smoothing s: t = (1-s)*t + s/c (categorical), (1-s)*t + s/2 (binary).
 * A new loss: a function of a row and its gradient, and a case in both `row_loss` and `row_gradient`. */
#include "ref.h"

#include <math.h>

static const double CLIP = 1e-7;

/* One row: c predictions, and the target as c numbers or as an id. */
typedef struct row {
  const lur_loss_desc *u;
  int64_t c;
  const float *x, *numbers; /* numbers NULL: id is the target */
  int32_t id;
} row;

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 6));
  op->backward_x = op->desc.want_dx ? (op->desc.nx == 3 ? 7u : 3u) : 0;
  return LUR_OK;
}

static row row_of(const lur_op *op, const lur_args *args, int64_t r) {
  int64_t c = ref_last(&op->desc.x[0].shape);
  row w = {&op->desc.u.loss, c, (const float *)args->x[0] + r * c, NULL, 0};
  if (op->desc.x[1].dtype == LUR_I32) w.id = ((const int32_t *)args->x[1])[r];
  else w.numbers = (const float *)args->x[1] + r * c;
  return w;
}

static double target(const row *w, int64_t i) {
  double s = w->u->label_smoothing;
  if (w->u->kind == LUR_CATEGORICAL_CROSSENTROPY)
    return (1 - s) * (w->numbers ? (double)w->numbers[i] : i == w->id ? 1 : 0) + s / (double)w->c;
  return (1 - s) * (w->numbers ? (double)w->numbers[i] : (double)w->id) + s / 2;
}

static double clip(double p) { return p < CLIP ? CLIP : p > 1 - CLIP ? 1 - CLIP : p; }
static bool clipped(double p) { return p < CLIP || p > 1 - CLIP; }

/* log sum exp of the row. */
static double log_sum(const row *w) {
  double top = (double)w->x[0], sum = 0;
  for (int64_t i = 1; i < w->c; i++) top = fmax(top, (double)w->x[i]);
  for (int64_t i = 0; i < w->c; i++) sum += exp((double)w->x[i] - top);
  return top + log(sum);
}

static double plain_sum(const row *w) {
  double sum = 0;
  for (int64_t i = 0; i < w->c; i++) sum += (double)w->x[i];
  return sum;
}

static double categorical(const row *w) {
  bool logits = w->u->from_logits;
  double sum = logits ? log_sum(w) : plain_sum(w), loss = 0;
  for (int64_t i = 0; i < w->c; i++) {
    double t = target(w, i), x = (double)w->x[i];
    if (t != 0) loss -= t * (logits ? x - sum : log(clip(x / sum)));
  }
  return loss;
}

static double binary(const row *w) {
  double loss = 0;
  for (int64_t i = 0; i < w->c; i++) {
    double t = target(w, i), x = (double)w->x[i], p = clip(x);
    loss += w->u->from_logits ? fmax(x, 0) - x * t + log1p(exp(-fabs(x))) : -t * log(p) - (1 - t) * log(1 - p);
  }
  return loss / (double)w->c;
}

static double squared(const row *w) {
  double loss = 0;
  for (int64_t i = 0; i < w->c; i++) loss += ((double)w->x[i] - target(w, i)) * ((double)w->x[i] - target(w, i));
  return loss / (double)w->c;
}

static double row_loss(const row *w) {
  switch (w->u->kind) {
  case LUR_CATEGORICAL_CROSSENTROPY: return categorical(w);
  case LUR_BINARY_CROSSENTROPY: return binary(w);
  case LUR_MEAN_SQUARED_ERROR: return squared(w);
  }
  return 0;
}

/* An id outside the classes would read outside the row. */
static lur_status check_ids(const lur_op *op, const lur_args *args, int64_t n) {
  if (op->desc.x[1].dtype != LUR_I32) return LUR_OK;
  int64_t c = ref_last(&op->desc.x[0].shape), classes = op->desc.u.loss.kind == LUR_CATEGORICAL_CROSSENTROPY ? c : 2;
  const int32_t *ids = args->x[1];
  for (int64_t r = 0; r < n; r++)
    if (ids[r] < 0 || ids[r] >= classes)
      return lur_fail(LUR_EARG, "loss '%s': target %d in row %lld, there are %lld classes",
                      op->desc.name ? op->desc.name : "", ids[r], (long long)r, (long long)classes);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  int64_t n = lur_shape_count(&op->desc.x[0].shape) / ref_last(&op->desc.x[0].shape);
  const float *weights = op->desc.nx == 3 ? args->x[2] : NULL;
  LUR_TRY(check_ids(op, args, n));
  double sum = 0;
  for (int64_t r = 0; r < n; r++) {
    row w = row_of(op, args, r);
    sum += (weights ? (double)weights[r] : 1) * row_loss(&w);
  }
  *(float *)args->y = (float)(sum / (double)n);
  return LUR_OK;
}

/* With q = p / sum(p): dl/dq_i = -t_i / q_i, 0 where clipped; dl/dp_j = (dl/dq_j - sum_i q_i dl/dq_i) / sum(p). */
static void categorical_gradient(const row *w, double scale, float *dx, bool add) {
  bool logits = w->u->from_logits;
  double sum = logits ? log_sum(w) : plain_sum(w), total = 0;
  for (int64_t i = 0; i < w->c; i++)
    if (logits || !clipped((double)w->x[i] / sum)) total += target(w, i);
  for (int64_t i = 0; i < w->c; i++) {
    double t = target(w, i), x = (double)w->x[i];
    if (logits) ref_put(dx, i, scale * (exp(x - sum) * total - t), add);
    else ref_put(dx, i, scale * (total - (clipped(x / sum) ? 0 : t / (x / sum))) / sum, add);
  }
}

static void binary_gradient(const row *w, double scale, float *dx, bool add) {
  for (int64_t i = 0; i < w->c; i++) {
    double t = target(w, i), x = (double)w->x[i], slope = 0;
    if (w->u->from_logits) slope = 1 / (1 + exp(-x)) - t;
    else if (!clipped(x)) slope = (x - t) / (x * (1 - x));
    ref_put(dx, i, scale * slope / (double)w->c, add);
  }
}

static void row_gradient(const row *w, double scale, float *dx, bool add) {
  switch (w->u->kind) {
  case LUR_CATEGORICAL_CROSSENTROPY: categorical_gradient(w, scale, dx, add); break;
  case LUR_BINARY_CROSSENTROPY: binary_gradient(w, scale, dx, add); break;
  case LUR_MEAN_SQUARED_ERROR:
    for (int64_t i = 0; i < w->c; i++) ref_put(dx, i, scale * 2 * ((double)w->x[i] - target(w, i)) / (double)w->c, add);
    break;
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  int64_t c = ref_last(&op->desc.x[0].shape), n = lur_shape_count(&op->desc.x[0].shape) / c;
  const float *weights = op->desc.nx == 3 ? args->x[2] : NULL;
  double dy = (double)*(const float *)args->dy;
#pragma omp parallel for
  for (int64_t r = 0; r < n; r++) {
    row w = row_of(op, args, r);
    double scale = dy * (weights ? (double)weights[r] : 1) / (double)n;
    row_gradient(&w, scale, (float *)args->dx[0] + r * c, args->dx_add & 1u);
  }
  return LUR_OK;
}

const lur_kernel lur_ref_loss = {plan, forward, backward, NULL};
