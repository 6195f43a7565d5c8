/* difference.c - ref's gradients against finite differences of L = sum(y * dy), one element of an input at a time.
 *
 * y is float; the differences of the elements that change are summed in double. At a kink (ReLU, maximum) the two
 * one-sided slopes of an element of y differ, and any slope between them is accepted. If all elements would take too
 * long, evenly spaced ones are tested; every kind has small cases in which all are. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const double STEP = 1.0 / 256, SLOPE_EPS = 1e-3, SLOPE_ATOL = 1e-4, BUDGET = 2e7;

/* A forward pass of ref on host memory. */
typedef struct probe {
  lur_op op;
  lur_args args;
  int64_t ny;
  float *y[3];          /* at -h, 0, +h */
  float *statistics[2]; /* batch norm updates them: each pass gets a new copy */
} probe;

static bool probe_new(suite *s, const op_case *c, const inputs *in, probe *p) {
  lur_op_desc desc = c->desc;
  desc.want_dx = desc.want_dw = 0;
  memset(p, 0, sizeof *p);
  if (!suite_expect(s, lur_op_plan(s->devices[0], &desc, &p->op) == LUR_OK, "%s: %s", c->name, lur_last_error()))
    return false;
  p->args.seed = 42;
  p->args.step = 7;
  for (int i = 0; i < desc.nx; i++) p->args.x[i] = in->x[i];
  for (int i = 0; i < desc.nw; i++) p->args.w[i] = in->w[i];
  for (int i = 0; i < 2 && desc.kind == LUR_OP_BATCHNORM; i++)
    p->statistics[i] = p->args.w[2 + i] = check_alloc(operand_bytes(&desc.w[2 + i]));
  p->args.scratch = check_alloc(p->op.forward_scratch);
  p->ny = operand_count(&desc.y);
  for (int i = 0; i < 3; i++) p->y[i] = check_alloc(operand_bytes(&desc.y));
  return true;
}

static void probe_free(probe *p) {
  for (int i = 0; i < 3; i++) free(p->y[i]);
  free(p->statistics[0]), free(p->statistics[1]);
  free(p->args.scratch);
  lur_op_release(&p->op);
}

static void evaluate(probe *p, const inputs *in, int at) {
  for (int i = 0; i < 2; i++)
    if (p->statistics[i]) memcpy(p->statistics[i], in->w[2 + i], operand_bytes(&p->op.desc.w[2 + i]));
  p->args.y = p->y[at];
  (void)p->op.kernel->forward(&p->op, &p->args);
}

/* The values of dL/dv that the differences allow: one number, or an interval at kinks. */
typedef struct slopes {
  double low, high;
} slopes;

/* From y at -below, 0 and +above. If the one-sided slopes of an element of y differ by more than its curvature
   explains, it has a kink, and its slope at 0 may be anything between the two. */
static slopes slopes_of(const probe *p, const float *dy, double below, double above) {
  slopes sum = {0, 0};
  for (int64_t i = 0; i < p->ny; i++) {
    double y0 = (double)p->y[0][i], y1 = (double)p->y[1][i], y2 = (double)p->y[2][i];
    if (y0 == y1 && y1 == y2) continue;
    double a = (y1 - y0) / below, b = (y2 - y1) / above, middle = (y2 - y0) / (below + above);
    bool kink = fabs(a - b) > 2e-3 * fmax(fabs(a), fabs(b)) + 2e-4 * (1 + fabs(y1));
    a = (double)dy[i] * (kink ? a : middle);
    b = (double)dy[i] * (kink ? b : middle);
    sum.low += fmin(a, b);
    sum.high += fmax(a, b);
  }
  return sum;
}

/* The slopes of element e of v. */
static slopes probe_element(probe *p, const inputs *in, float *v, int64_t e, double step) {
  float old = v[e], low = old - (float)step, high = old + (float)step;
  v[e] = low;
  evaluate(p, in, 0);
  v[e] = high;
  evaluate(p, in, 2);
  v[e] = old;
  return slopes_of(p, in->dy, (double)old - (double)low, (double)high - (double)old);
}

static void sweep(suite *s, const op_case *c, const inputs *in, probe *p, const char *role, int index, float *v,
                  const float *g, int64_t count) {
  double cost = lur_op_flops(&c->desc) + (double)p->ny * 20 + (double)operand_count(&c->desc.x[0]);
  double afford = BUDGET / (2 * cost), scale = rms(g, count);
  int64_t stride = afford >= (double)count ? 1 : afford < 8 ? count / 8 + 1 : (int64_t)((double)count / afford) + 1;
  int bad = 0;
  for (int64_t e = 0; e < count; e += stride) {
    double got = (double)g[e];
    double tolerance = SLOPE_EPS * (fabs(got) + scale) + (c->slope_atol > 0 ? c->slope_atol : SLOPE_ATOL);
    slopes slope = probe_element(p, in, v, e, c->step > 0 ? c->step : STEP);
    if (got >= slope.low - tolerance && got <= slope.high + tolerance) continue;
    if (bad++ == 0)
      suite_expect(s, false, "%s '%s' on ref: %s[%d] element %lld is %.7g, finite differences give %.7g to %.7g",
                   lur_op_kind_name(c->desc.kind), c->name, role, index, (long long)e, got, slope.low, slope.high);
  }
  if (!bad) suite_expect(s, true, "%s", c->name);
}

void difference_check(suite *s, const op_case *c, const inputs *in, const outputs *out) {
  probe p;
  if (!probe_new(s, c, in, &p)) return;
  int threads = omp_get_max_threads();
  omp_set_num_threads(1); /* thousands of tiny passes */
  evaluate(&p, in, 1);
  for (int i = 0; i < c->desc.nx; i++)
    if (out->dx[i]) sweep(s, c, in, &p, "dx", i, in->x[i], out->dx[i], operand_count(&c->desc.x[i]));
  for (int i = 0; i < c->desc.nw; i++)
    if (out->dw[i]) sweep(s, c, in, &p, "dw", i, in->w[i], out->dw[i], operand_count(&c->desc.w[i]));
  omp_set_num_threads(threads);
  probe_free(&p);
}
