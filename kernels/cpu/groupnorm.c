/* groupnorm.c - group norm by the passes of batch norm, over the pixels of one sample. Definition:
 * kernels/ref/layernorm.c.
 *
 * A sample's pixels are divided into parts; a task is one part. Forward: one pass gives the sums of each channel, from
 * which those of its group follow; one normalizes. Backward is the same. saved: the mean and the reciprocal standard
 * deviation of each group (floats). */
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MEAN, K, LINES = K + 3 }; /* rows of c floats for each sample: mean, then factors */

typedef struct norm_plan {
  int64_t n, pixels, c, groups, width; /* width: channels of a group */
  int parts;                           /* of one sample */
} norm_plan;

static void release(lur_op *op) {
  free(op->state);
  op->state = NULL;
}

static size_t sums_bytes(const norm_plan *p) { return sizeof(double) * (size_t)(p->n * p->parts * 2 * p->c); }
static size_t work_bytes(const norm_plan *p) { return sizeof(float) * (size_t)(p->n * p->parts * 2 * p->c); }
static size_t lines_bytes(const norm_plan *p) { return sizeof(float) * (size_t)(p->n * LINES * p->c); }

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  norm_plan *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  p->n = d->x[0].shape.dim[0];
  p->c = cpu_last(&d->x[0].shape);
  p->pixels = lur_shape_count(&d->x[0].shape) / p->n / p->c;
  p->groups = d->u.layernorm.groups;
  p->width = p->c / p->groups;
  const int threads = cpu_parts(CPU_MAX_PARTS);
  p->parts = p->n >= threads ? 1 : (int)cpu_min(p->pixels, (threads + p->n - 1) / p->n);
  op->in_place = true;
  op->forward_scratch = sums_bytes(p) + work_bytes(p) + lines_bytes(p);
  if (!cpu_wants(op)) return LUR_OK;
  op->dx_in_place = true;
  op->backward_x = d->want_dx || d->want_dw & 1u ? 1u : 0;
  if (op->backward_x) op->saved_bytes = 2 * sizeof(float) * (size_t)(p->n * p->groups);
  op->backward_scratch = op->forward_scratch;
  return LUR_OK;
}

/* The parts of scratch. */
typedef struct pieces {
  double *sums;
  float *work, *lines;
} pieces;

static pieces pieces_of(const norm_plan *p, void *scratch) {
  double *sums = scratch;
  float *work = (float *)((char *)scratch + sums_bytes(p));
  return (pieces){sums, work, (float *)((char *)work + work_bytes(p))};
}

/* The pixels of a task: their position, and their number. */
static int64_t task_start(const norm_plan *p, int64_t task, int64_t *many) {
  const int part = (int)(task % p->parts);
  const int64_t begin = cpu_part_start(p->pixels, p->parts, part);
  *many = cpu_part_start(p->pixels, p->parts, part + 1) - begin;
  return (task / p->parts * p->pixels + begin) * p->c;
}

/* Column i of the sums of sample n, over its parts. */
static double total(const norm_plan *p, const double *sums, int64_t n, int64_t i) {
  double sum = 0;
  for (int part = 0; part < p->parts; part++) sum += sums[(n * p->parts + part) * 2 * p->c + i];
  return sum;
}

/* Mean and variance of channels first..first + width of a sample, from the sums of x - pivot and its square, where the
   pivot of each channel is the sample's first pixel. */
static void statistics(const norm_plan *p, const double *sums, const float *pivot, int64_t n, int64_t first,
                       double *mean, double *variance) {
  const double pixels = (double)p->pixels, count = pixels * (double)p->width;
  double sum = 0, squares = 0;
  for (int64_t i = first; i < first + p->width; i++) sum += (double)pivot[i] * pixels + total(p, sums, n, i);
  *mean = sum / count;
  for (int64_t i = first; i < first + p->width; i++) {
    const double d = (double)pivot[i] - *mean;
    squares += total(p, sums, n, p->c + i) + 2 * d * total(p, sums, n, i) + d * d * pixels;
  }
  *variance = squares < 0 ? 0 : squares / count;
}

/* Mean, factor and shift of every channel of sample n. */
static void prepare(const lur_op *op, const lur_args *args, const double *sums, int64_t n, float *lines) {
  const norm_plan *p = op->state;
  const lur_layernorm_desc *u = &op->desc.u.layernorm;
  const float *gamma = u->has_gamma ? args->w[0] : NULL, *beta = u->has_beta ? args->w[1] : NULL;
  const float *pivot = (const float *)args->x[0] + n * p->pixels * p->c;
  for (int64_t g = 0; g < p->groups; g++) {
    double mean, variance;
    statistics(p, sums, pivot, n, g * p->width, &mean, &variance);
    const double reciprocal = 1 / sqrt(variance + u->epsilon);
    if (op->saved_bytes) {
      float *saved = (float *)args->saved + 2 * (n * p->groups + g);
      saved[0] = (float)mean, saved[1] = (float)reciprocal;
    }
    for (int64_t i = g * p->width; i < (g + 1) * p->width; i++) {
      lines[MEAN * p->c + i] = (float)mean;
      lines[K * p->c + i] = (float)(gamma ? (double)gamma[i] * reciprocal : reciprocal);
      lines[(K + 1) * p->c + i] = beta ? beta[i] : 0;
    }
  }
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const pieces s = pieces_of(p, args->scratch);
  const int64_t tasks = p->n * p->parts, width = 2 * p->c;
  const float *x = args->x[0];
  float *y = args->y;
#pragma omp parallel if (tasks > 1)
  {
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tasks; t++) {
      int64_t many;
      const float *from = x + task_start(p, t, &many);
      memset(s.sums + t * width, 0, sizeof *s.sums * (size_t)width);
      loops->norm_stats(from, x + t / p->parts * p->pixels * p->c, many, p->c, s.work + t * width,
                        s.sums + t * width);
    }
#pragma omp for schedule(static)
    for (int64_t n = 0; n < p->n; n++) prepare(op, args, s.sums, n, s.lines + n * LINES * p->c);
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tasks; t++) {
      int64_t many;
      const int64_t at = task_start(p, t, &many);
      const float *lines = s.lines + t / p->parts * LINES * p->c;
      const lur_norm norm = {lines + MEAN * p->c, lines + K * p->c, lines + (K + 1) * p->c};
      loops->norm_forward(&norm, x + at, NULL, false, y + at, many, p->c);
    }
  }
  return LUR_OK;
}

/* The sums of g = dy gamma and of g (x - mean) over channel i of sample n. An infinite gamma is not a factor of them:
   infinities of both signs give NaN. */
static void weighted(const norm_plan *p, const lur_args *args, const float *gamma, const double *sums, int64_t n,
                     int64_t i, double mean, double *plain, double *scaled) {
  const double factor = gamma ? (double)gamma[i] : 1;
  const float *x = (const float *)args->x[0] + n * p->pixels * p->c + i,
              *dy = (const float *)args->dy + n * p->pixels * p->c + i;
  if (isfinite(factor)) {
    *plain += factor * total(p, sums, n, i);
    *scaled += factor * total(p, sums, n, p->c + i);
    return;
  }
  for (int64_t k = 0; k < p->pixels; k++) {
    *plain += factor * (double)dy[k * p->c];
    *scaled += factor * (double)dy[k * p->c] * ((double)x[k * p->c] - mean);
  }
}

/* dx = dy gamma r - (x - mean) r^2 q - r p, where p and q are the means of g = dy gamma and of g (x - mean) r over the
   group. The sums are those of dy and of dy (x - mean). */
static void prepare_backward(const lur_op *op, const lur_args *args, const double *sums, int64_t n, float *lines) {
  const norm_plan *p = op->state;
  const float *gamma = op->desc.u.layernorm.has_gamma ? args->w[0] : NULL, *saved = args->saved;
  const double count = (double)p->pixels * (double)p->width;
  for (int64_t g = 0; g < p->groups; g++) {
    const double reciprocal = (double)saved[2 * (n * p->groups + g) + 1];
    double plain = 0, scaled = 0;
    for (int64_t i = g * p->width; i < (g + 1) * p->width; i++)
      weighted(p, args, gamma, sums, n, i, (double)saved[2 * (n * p->groups + g)], &plain, &scaled);
    for (int64_t i = g * p->width; i < (g + 1) * p->width; i++) {
      lines[K * p->c + i] = (float)((gamma ? (double)gamma[i] : 1) * reciprocal);
      lines[(K + 1) * p->c + i] = (float)(-reciprocal * reciprocal * reciprocal * scaled / count);
      lines[(K + 2) * p->c + i] = (float)(-reciprocal * plain / count);
    }
  }
}

static void put_weights(const lur_op *op, const lur_args *args, const double *sums) {
  const norm_plan *p = op->state;
  const unsigned want = op->desc.want_dw;
  const float *saved = args->saved;
  for (int64_t i = 0; i < p->c; i++) {
    double scaled = 0, plain = 0;
    for (int64_t n = 0; n < p->n; n++) {
      plain += total(p, sums, n, i);
      if (want & 1u) scaled += total(p, sums, n, p->c + i) * (double)saved[2 * (n * p->groups + i / p->width) + 1];
    }
    if (want & 1u) ((float *)args->dw[0])[i] = (float)((double)((float *)args->dw[0])[i] + scaled);
    if (want & 2u) ((float *)args->dw[1])[i] = (float)((double)((float *)args->dw[1])[i] + plain);
  }
}

/* The sums of dy and of dy (x - mean) of every channel, per task. */
static void backward_sums(const lur_op *op, const lur_args *args, const pieces *s) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const int64_t tasks = p->n * p->parts, width = 2 * p->c;
  const float *x = op->backward_x ? args->x[0] : NULL, *dy = args->dy, *saved = args->saved;
  for (int64_t n = 0; n < p->n; n++)
    for (int64_t i = 0; i < p->c; i++)
      s->lines[(n * LINES + MEAN) * p->c + i] = x ? saved[2 * (n * p->groups + i / p->width)] : 0;
#pragma omp parallel for schedule(static) if (tasks > 1)
  for (int64_t t = 0; t < tasks; t++) {
    int64_t many;
    const int64_t at = task_start(p, t, &many);
    const lur_norm norm = {.mean = s->lines + (t / p->parts * LINES + MEAN) * p->c};
    memset(s->sums + t * width, 0, sizeof *s->sums * (size_t)width);
    loops->norm_sums(&norm, x ? x + at : NULL, NULL, false, dy + at, many, p->c, s->work + t * width,
                     s->sums + t * width);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const norm_plan *p = op->state;
  const lur_loops *loops = cpu_loops(op);
  const pieces s = pieces_of(p, args->scratch);
  const int64_t tasks = p->n * p->parts;
  const float *x = args->x[0], *dy = args->dy;
  float *dx = args->dx[0];
  backward_sums(op, args, &s);
  if (op->desc.want_dw) put_weights(op, args, s.sums);
  if (!(op->desc.want_dx & 1u)) return LUR_OK;
#pragma omp parallel if (tasks > 1)
  {
#pragma omp for schedule(static)
    for (int64_t n = 0; n < p->n; n++) prepare_backward(op, args, s.sums, n, s.lines + n * LINES * p->c);
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tasks; t++) {
      int64_t many;
      const int64_t at = task_start(p, t, &many);
      const float *lines = s.lines + t / p->parts * LINES * p->c;
      const lur_norm norm = {.mean = lines + MEAN * p->c};
      loops->norm_back(&norm, lines + K * p->c, true, x + at, NULL, false, dy + at, dx + at, args->dx_add & 1u, NULL,
                       false, many, p->c);
    }
  }
  return LUR_OK;
}

const lur_kernel lur_cpu_groupnorm = {plan, forward, backward, release};
