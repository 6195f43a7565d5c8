/* where.c - y = a where the condition is not 0 (so also where it is NaN), else b; the three broadcast. The condition
 * has no gradient. */
#include "kernels/broadcast.h"
#include "ref.h"

#include <string.h>

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  lur_broadcast b;
  LUR_TRY(lur_ref_want_f32(op, 0));
  lur_broadcast_plan(d, &b);
  op->in_place = b.full[0];
  if (!ref_wants(op)) return LUR_OK;
  op->backward_x = 1u;
  for (int i = 1; i < 3; i++)
    if (!b.full[i] && d->want_dx >> i & 1u) op->backward_scratch += ref_sums_bytes(&d->x[i].shape);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *condition = args->x[0], *a = args->x[1], *b = args->x[2];
  float *y = args->y;
  lur_broadcast loop;
  lur_broadcast_plan(&op->desc, &loop);
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) {
    const bool first = condition[lur_broadcast_at(&loop, 0, i)] != 0;
    y[i] = first ? a[lur_broadcast_at(&loop, 1, i)] : b[lur_broadcast_at(&loop, 2, i)];
  }
  return LUR_OK;
}

/* Sums in the order of y, of an operand that is repeated; else a copy of dy with zeros. */
static void put(const lur_op *op, const lur_args *args, const lur_broadcast *loop, int k, double *sums) {
  const int64_t count = lur_shape_count(&op->desc.y.shape), own = lur_shape_count(&op->desc.x[k].shape);
  const float *condition = args->x[0], *dy = args->dy;
  if (sums) memset(sums, 0, sizeof *sums * (size_t)own);
  for (int64_t i = 0; i < count; i++) {
    const bool first = condition[lur_broadcast_at(loop, 0, i)] != 0;
    const double g = first == (k == 1) ? (double)dy[i] : 0;
    if (sums) sums[lur_broadcast_at(loop, k, i)] += g;
    else ref_put(args->dx[k], i, g, args->dx_add >> k & 1u);
  }
  for (int64_t i = 0; i < own && sums; i++) ref_put(args->dx[k], i, sums[i], args->dx_add >> k & 1u);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  lur_broadcast loop;
  double *sums = args->scratch;
  lur_broadcast_plan(&op->desc, &loop);
  for (int k = 1; k < 3; k++) {
    if (!(op->desc.want_dx >> k & 1u)) continue;
    put(op, args, &loop, k, loop.full[k] ? NULL : sums);
    if (!loop.full[k]) sums += ref_sums_bytes(&op->desc.x[k].shape) / sizeof *sums;
  }
  return LUR_OK;
}

const lur_kernel lur_ref_where = {plan, forward, backward, NULL};
