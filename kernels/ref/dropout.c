/* dropout.c - keeps an element with probability 1-rate and divides it by 1-rate; identity outside training.
 *
 * The mask is a pure function of (seed, stream, step, element): backward computes it again, nothing is saved. */
#include "ref.h"

#include "kernels/random.h"

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

/* The factor of element i. */
static double factor(const lur_dropout_desc *u, const lur_args *args, int64_t i) {
  if (!u->training || u->rate == 0) return 1;
  return lur_random_keep(args->seed, u->stream, args->step, (uint64_t)i, u->rate) ? 1 / (1 - u->rate) : 0;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *x = args->x[0];
  float *y = args->y;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) y[i] = (float)((double)x[i] * factor(&op->desc.u.dropout, args, i));
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const float *dy = args->dy;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++)
    ref_put(args->dx[0], i, (double)dy[i] * factor(&op->desc.u.dropout, args, i), args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_dropout = {plan, forward, backward, NULL};
