/* layernorm.c - layer norm row by row. Definition: kernels/ref/layernorm.c. saved: the mean and the reciprocal standard
 * deviation of each row (floats). */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

typedef struct norm_plan {
  int64_t rows, c, block; /* block: rows of one task */
  int parts;              /* of the sums for gamma and beta */
} norm_plan;

static void release(lur_op *op) {
  free(op->state);
  op->state = NULL;
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  norm_plan *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  p->c = cpu_last(&d->x[0].shape);
  p->rows = lur_shape_count(&d->x[0].shape) / p->c;
  p->block = p->c < CPU_BLOCK ? CPU_BLOCK / p->c : 1;
  p->parts = cpu_parts(p->rows);
  op->in_place = true;
  if (!cpu_wants(op)) return LUR_OK;
  op->dx_in_place = true;
  op->backward_x = d->want_dx || d->want_dw & 1u ? 1u : 0;
  if (op->backward_x) op->saved_bytes = 2 * sizeof(float) * (size_t)p->rows;
  if (d->want_dw) op->backward_scratch = (size_t)p->parts * 2 * (size_t)p->c * (sizeof(double) + sizeof(float));
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const norm_plan *p = op->state;
  const lur_layernorm_desc *u = &op->desc.u.layernorm;
  const lur_loops *loops = cpu_loops(op);
  const float *x = args->x[0], *gamma = u->has_gamma ? args->w[0] : NULL, *beta = u->has_beta ? args->w[1] : NULL;
  float *y = args->y, *saved = op->saved_bytes ? args->saved : NULL;
  const int64_t tasks = (p->rows + p->block - 1) / p->block;
#pragma omp parallel for schedule(static) if (tasks > 1)
  for (int64_t t = 0; t < tasks; t++) {
    const int64_t r = t * p->block, many = cpu_min(p->block, p->rows - r);
    loops->layernorm(x + r * p->c, gamma, beta, u->epsilon, y + r * p->c, saved ? saved + 2 * r : NULL, many, p->c);
  }
  return LUR_OK;
}

/* scratch: the sums of each part, then float work. */
static void backward_weights(lur_op *op, const lur_args *args) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const unsigned want = op->desc.want_dw;
  const float *x = want & 1u ? args->x[0] : NULL, *saved = args->saved, *dy = args->dy;
  const int64_t width = 2 * p->c;
  double *sums = args->scratch;
  float *work = (float *)(sums + p->parts * width);
#pragma omp parallel for schedule(static, 1) if (p->parts > 1)
  for (int part = 0; part < p->parts; part++) {
    const int64_t begin = cpu_part_start(p->rows, p->parts, part), end = cpu_part_start(p->rows, p->parts, part + 1);
    memset(sums + part * width, 0, sizeof *sums * (size_t)width);
    loops->layernorm_sums(x ? x + begin * p->c : NULL, x ? saved + 2 * begin : NULL, dy + begin * p->c, end - begin,
                          p->c, work + part * width, sums + part * width);
  }
  if (want & 1u) lur_cpu_put_sums(sums + p->c, p->parts, width, args->dw[0], p->c, true);
  if (want & 2u) lur_cpu_put_sums(sums, p->parts, width, args->dw[1], p->c, true);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  if (op->desc.want_dw) backward_weights(op, args); /* first: dx may be the same memory as dy */
  if (!(op->desc.want_dx & 1u)) return LUR_OK;
  const float *x = args->x[0], *gamma = op->desc.u.layernorm.has_gamma ? args->w[0] : NULL, *saved = args->saved;
  const float *dy = args->dy;
  float *dx = args->dx[0];
  const int64_t tasks = (p->rows + p->block - 1) / p->block;
#pragma omp parallel for schedule(static) if (tasks > 1)
  for (int64_t t = 0; t < tasks; t++) {
    const int64_t r = t * p->block, at = r * p->c;
    loops->layernorm_back(x + at, gamma, saved + 2 * r, dy + at, dx + at, args->dx_add & 1u,
                          cpu_min(p->block, p->rows - r), p->c);
  }
  return LUR_OK;
}

const lur_kernel lur_cpu_layernorm = {plan, forward, backward, release};
