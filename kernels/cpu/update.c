/* update.c - optimizer updates of all parameters in one parallel pass, the gradients' norm, and moving averages.
 * Formulas: kernels/ref/update.c; loops: kernels/cpu/loops/update.h.
 *
 * The elements of all parameters count as one long row, which is divided into parts, so a thousand small biases cost no
 * more than one large kernel. The norm has a fixed number of parts, added in order: its bits do not depend on the
 * number of threads. */
#include "kernels/cpu/cpu.h"

enum { NORM_PARTS = 64, UPDATE_GRAIN = 16384 };

static int64_t total_count(const lur_parameter *parameters, int n) {
  int64_t total = 0;
  for (int k = 0; k < n; k++) total += parameters[k].count;
  return total;
}

typedef void visit(void *context, const lur_parameter *parameter, int64_t begin, int64_t end);

/* Calls f for the pieces of parameters in begin..end of the long row. */
static void visit_range(const lur_parameter *parameters, int n, int64_t begin, int64_t end, visit *f, void *context) {
  int64_t at = 0;
  for (int k = 0; k < n && at < end; k++) {
    const int64_t from = begin > at ? begin - at : 0, to = cpu_min(parameters[k].count, end - at);
    if (from < to) f(context, &parameters[k], from, to);
    at += parameters[k].count;
  }
}

typedef struct updating {
  const lur_loops *loops;
  const lur_update *update;
} updating;

static void update_piece(void *context, const lur_parameter *parameter, int64_t begin, int64_t end) {
  const updating *u = context;
  u->loops->update(u->update, parameter, begin, end);
}

lur_status lur_cpu_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n) {
  if ((unsigned)update->rule >= LUR_UPDATE_RULE_COUNT)
    return lur_fail(LUR_EARG, "%s: unknown update rule %d", device->name, (int)update->rule);
  updating u = {((const lur_cpu *)device->state)->loops, update};
  const int64_t total = total_count(parameters, n);
  const int parts = cpu_parts(total / UPDATE_GRAIN);
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int p = 0; p < parts; p++)
    visit_range(parameters, n, cpu_part_start(total, parts, p), cpu_part_start(total, parts, p + 1), update_piece, &u);
  return LUR_OK;
}

typedef struct squaring {
  const lur_loops *loops;
  double sum;
} squaring;

static void square_piece(void *context, const lur_parameter *parameter, int64_t begin, int64_t end) {
  squaring *s = context;
  s->sum += s->loops->squares(parameter->g + begin, end - begin);
}

lur_status lur_cpu_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum) {
  const lur_loops *loops = ((const lur_cpu *)device->state)->loops;
  const int64_t total = total_count(parameters, n);
  double sums[NORM_PARTS];
#pragma omp parallel for schedule(static) if (total > UPDATE_GRAIN)
  for (int p = 0; p < NORM_PARTS; p++) {
    squaring s = {loops, 0};
    visit_range(parameters, n, cpu_part_start(total, NORM_PARTS, p), cpu_part_start(total, NORM_PARTS, p + 1),
                square_piece, &s);
    sums[p] = s.sum;
  }
  double all = 0;
  for (int p = 0; p < NORM_PARTS; p++) all += sums[p];
  *sum = all;
  return LUR_OK;
}

typedef struct averaging {
  const lur_loops *loops;
  float share;
} averaging;

static void lerp_piece(void *context, const lur_parameter *parameter, int64_t begin, int64_t end) {
  const averaging *a = context;
  a->loops->lerp(parameter->p + begin, parameter->g + begin, a->share, end - begin);
}

lur_status lur_cpu_lerp(lur_device *device, const lur_parameter *parameters, int n, double share) {
  averaging a = {((const lur_cpu *)device->state)->loops, (float)share};
  const int64_t total = total_count(parameters, n);
  const int parts = cpu_parts(total / UPDATE_GRAIN);
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int p = 0; p < parts; p++)
    visit_range(parameters, n, cpu_part_start(total, parts, p), cpu_part_start(total, parts, p + 1), lerp_piece, &a);
  return LUR_OK;
}
