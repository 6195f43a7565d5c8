/* binary.c - functions of two tensors, element by element, with broadcasting (kernels/broadcast.h), each of the first
 * four followed by an optional ReLU. A new function: a case in `value` and in `gradients`. */
#include "kernels/broadcast.h"
#include "ref.h"

#include <math.h>
#include <string.h>

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  lur_broadcast b;
  LUR_TRY(lur_ref_want_f32(op, 0));
  lur_broadcast_plan(d, &b);
  op->in_place = b.full[0];
  if (!ref_wants(op)) return LUR_OK;
  op->dx_in_place = b.full[0];
  op->backward_y = d->u.binary.relu;
  op->backward_x = lur_binary_reads(d);
  for (int i = 0; i < 2; i++)
    if (!b.full[i] && d->want_dx >> i & 1u) op->backward_scratch += ref_sums_bytes(&d->x[i].shape);
  return LUR_OK;
}

static double value(lur_binary f, double a, double b) {
  switch (f) {
  case LUR_ADD: return a + b;
  case LUR_SUB: return a - b;
  case LUR_MUL: return a * b;
  case LUR_MAXIMUM: return ref_beats(b, a) ? b : a;
  case LUR_MINIMUM: return ref_beats(-b, -a) ? b : a;
  case LUR_DIV: return a / b;
  case LUR_POW: return pow(a, b);
  case LUR_GT: return a > b;
  case LUR_GE: return a >= b;
  case LUR_LT: return a < b;
  case LUR_LE: return a <= b;
  case LUR_EQ: return a == b;
  case LUR_NE: return a != b;
  case LUR_BINARY_COUNT: break;
  }
  return a;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_binary_desc *u = &op->desc.u.binary;
  const int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *a = args->x[0], *b = args->x[1];
  float *y = args->y;
  lur_broadcast loop;
  lur_broadcast_plan(&op->desc, &loop);
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) {
    double v = value(u->function, (double)a[lur_broadcast_at(&loop, 0, i)], (double)b[lur_broadcast_at(&loop, 1, i)]);
    y[i] = (float)(u->relu ? ref_relu(v) : v);
  }
  return LUR_OK;
}

/* The gradients of a and b, which are 0 where backward does not read them, from g, the gradient before the ReLU. */
static void gradients(lur_binary f, double a, double b, double g, double *da, double *db) {
  *da = *db = g;
  switch (f) {
  case LUR_SUB: *db = -g; break;
  case LUR_MUL:
    *da = g * b;
    *db = g * a;
    break;
  case LUR_MAXIMUM:
  case LUR_MINIMUM: {
    const bool second = f == LUR_MAXIMUM ? ref_beats(b, a) : ref_beats(-b, -a);
    *da = second ? 0 : g;
    *db = second ? g : 0;
    break;
  }
  case LUR_DIV:
    *da = g / b;
    *db = -g * (a / b / b);
    break;
  case LUR_POW:
    *da = b == 0 ? 0 : g * (b * pow(a, b - 1));
    *db = a == 0 && b >= 0 ? 0 : g * (pow(a, b) * log(a));
    break;
  default: break;
  }
}

/* The gradient of operand k: of one that is not repeated, element by element. */
static void put_full(const lur_op *op, const lur_args *args, const lur_broadcast *loop, int k) {
  const lur_binary_desc *u = &op->desc.u.binary;
  const int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *a = op->backward_x & 1u ? args->x[0] : NULL, *b = op->backward_x & 2u ? args->x[1] : NULL;
  const float *y = args->y, *dy = args->dy;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) {
    double g[2], dv = u->relu ? ref_relu_dy((double)y[i], (double)dy[i]) : (double)dy[i];
    gradients(u->function, a ? (double)a[lur_broadcast_at(loop, 0, i)] : 0,
              b ? (double)b[lur_broadcast_at(loop, 1, i)] : 0, dv, &g[0], &g[1]);
    ref_put(args->dx[k], i, g[k], args->dx_add >> k & 1u);
  }
}

/* Of one that is repeated: sums in the order of y. */
static void put_sums(const lur_op *op, const lur_args *args, const lur_broadcast *loop, int k, double *sums) {
  const lur_binary_desc *u = &op->desc.u.binary;
  const int64_t count = lur_shape_count(&op->desc.y.shape), own = lur_shape_count(&op->desc.x[k].shape);
  const float *a = op->backward_x & 1u ? args->x[0] : NULL, *b = op->backward_x & 2u ? args->x[1] : NULL;
  const float *y = args->y, *dy = args->dy;
  memset(sums, 0, sizeof *sums * (size_t)own);
  for (int64_t i = 0; i < count; i++) {
    double g[2], dv = u->relu ? ref_relu_dy((double)y[i], (double)dy[i]) : (double)dy[i];
    gradients(u->function, a ? (double)a[lur_broadcast_at(loop, 0, i)] : 0,
              b ? (double)b[lur_broadcast_at(loop, 1, i)] : 0, dv, &g[0], &g[1]);
    sums[lur_broadcast_at(loop, k, i)] += g[k];
  }
  for (int64_t i = 0; i < own; i++) ref_put(args->dx[k], i, sums[i], args->dx_add >> k & 1u);
}

/* dx[0] comes last, because it may be dy. */
static lur_status backward(lur_op *op, const lur_args *args) {
  lur_broadcast loop;
  double *sums = args->scratch;
  lur_broadcast_plan(&op->desc, &loop);
  for (int k = 1; k >= 0; k--) {
    if (!(op->desc.want_dx >> k & 1u)) continue;
    if (loop.full[k]) {
      put_full(op, args, &loop, k);
    } else {
      put_sums(op, args, &loop, k, sums);
      sums += ref_sums_bytes(&op->desc.x[k].shape) / sizeof *sums;
    }
  }
  return LUR_OK;
}

const lur_kernel lur_ref_binary = {plan, forward, backward, NULL};
