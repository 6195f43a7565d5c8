/* suite.c - runs a case in every variant on every device; see suite.h. */
#include "suite.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const double EPS = 3e-5, ATOL = 1e-6;

int suite_devices(const suite *s) { return s->ndevices; }
lur_device *suite_device(const suite *s, int index) { return s->devices[index]; }

bool suite_expect(suite *s, bool ok, const char *format, ...) {
  s->checks++;
  if (ok) return true;
  s->failed++;
  va_list list;
  va_start(list, format);
  printf("FAIL ");
  vprintf(format, list);
  printf("\n");
  va_end(list);
  return false;
}

void suite_near(suite *s, const char *what, const lur_device *device, const float *got, const double *expected,
                int64_t count, double atol, double eps) {
  for (int64_t i = 0; i < count; i++)
    if (!(fabs((double)got[i] - expected[i]) <= atol + eps * fabs(expected[i]))) {
      suite_expect(s, false, "%s on %s: element %lld is %.9g, expected %.9g", what, device->name, (long long)i,
                   (double)got[i], expected[i]);
      return;
    }
  suite_expect(s, true, "%s", what);
}

op_case suite_case(lur_op_kind kind, const char *format, ...) {
  op_case c = {.desc.kind = kind};
  va_list list;
  va_start(list, format);
  vsnprintf(c.name, sizeof c.name, format, list);
  va_end(list);
  return c;
}

/* ---- comparing ---- */

typedef struct who { /* for messages */
  const op_case *c;
  const lur_device *device;
  const char *variant;
} who;

/* got against expected (+ before, where an array is added to). */
static void compare(suite *s, who w, const char *role, int index, const float *got, const float *expected,
                    const float *before, const lur_operand *operand) {
  if (operand->dtype != LUR_F32) {
    suite_expect(s, memcmp(got, expected, operand_bytes(operand)) == 0, "%s '%s' on %s, %s: %s[%d] differs from ref",
                 lur_op_kind_name(w.c->desc.kind), w.c->name, w.device->name, w.variant, role, index);
    return;
  }
  int64_t count = operand_count(operand), bad = 0, first = 0;
  double eps = w.c->eps > 0 ? w.c->eps : EPS, scale = rms(expected, count), atol = w.c->atol > 0 ? w.c->atol : ATOL;
  for (int64_t i = 0; i < count; i++) {
    double want = (double)expected[i] + (before ? (double)before[i] : 0);
    if (fabs((double)got[i] - want) <= eps * (fabs(want) + scale) + atol || (isinf(want) && (double)got[i] == want))
      continue;
    if (bad++ == 0) first = i;
  }
  suite_expect(s, bad == 0, "%s '%s' on %s, %s: %s[%d] differs in %lld of %lld, first at %lld: %.9g, expected %.9g",
               lur_op_kind_name(w.c->desc.kind), w.c->name, w.device->name, w.variant, role, index, (long long)bad,
               (long long)count, (long long)first, (double)got[first],
               (double)expected[first] + (before ? (double)before[first] : 0));
}

/* expected: dx and dw before anything is added to them. */
static void compare_all(suite *s, who w, const inputs *in, const variant *v, const outputs *got,
                        const outputs *expected) {
  const lur_op_desc *d = &w.c->desc;
  compare(s, w, "y", 0, got->y, expected->y, NULL, &d->y);
  for (int i = 0; i < d->nx; i++)
    if (got->dx[i])
      compare(s, w, "dx", i, got->dx[i], expected->dx[i], v->dx_add >> i & 1u ? in->dx0[i] : NULL, &d->x[i]);
  for (int i = 0; i < d->nw; i++) {
    if (got->w[i]) compare(s, w, "moved w", i, got->w[i], expected->w[i], NULL, &d->w[i]);
    if (got->dw[i]) compare(s, w, "dw", i, got->dw[i], expected->dw[i], in->dw0[i], &d->w[i]);
  }
}

static bool same_bits(const void *a, const void *b, const lur_operand *operand) {
  return (!a && !b) || (a && b && memcmp(a, b, operand_bytes(operand)) == 0);
}

static bool same_outputs(const lur_op_desc *d, const outputs *a, const outputs *b) {
  bool same = same_bits(a->y, b->y, &d->y);
  for (int i = 0; i < d->nx; i++) same = same && same_bits(a->dx[i], b->dx[i], &d->x[i]);
  for (int i = 0; i < d->nw; i++)
    same = same && same_bits(a->dw[i], b->dw[i], &d->w[i]) && same_bits(a->w[i], b->w[i], &d->w[i]);
  return same;
}

/* ---- the variants of a case ---- */

/* Every gradient that exists; separable_conv2d has none. */
static unsigned all_dx(const lur_op_desc *d) {
  unsigned bits = 0;
  if (d->kind == LUR_OP_SEPARABLE_CONV2D || lur_op_is_int8(d)) return 0;
  for (int i = 0; i < d->nx; i++)
    if (d->x[i].dtype == LUR_F32) bits |= 1u << i;
  return bits & lur_op_gradients(d);
}

static unsigned all_dw(const lur_op_desc *d) {
  unsigned bits = 0;
  int n = d->kind == LUR_OP_BATCHNORM ? 2 : d->nw;
  if (d->kind == LUR_OP_SEPARABLE_CONV2D || lur_op_is_int8(d)) return 0;
  for (int i = 0; i < n; i++)
    if (weight_present(d, i)) bits |= 1u << i;
  return bits;
}

static void try(suite *s, lur_device *device, const op_case *c, const inputs *in, const outputs *expected, variant v) {
  outputs got;
  if (!variant_run(s, device, c, in, &v, &got)) return;
  compare_all(s, (who){c, device, v.name}, in, &v, &got, expected);
  outputs_free(&got);
}

/* What the plan without gradients, or (wants) with all of them, allows in place. */
static void in_place_allowed(lur_device *device, const op_case *c, bool wants, bool *forward, bool *backward) {
  lur_op op;
  lur_op_desc desc = c->desc;
  desc.want_dx = wants ? all_dx(&desc) : 0;
  desc.want_dw = wants ? all_dw(&desc) : 0;
  *forward = *backward = false;
  if (lur_op_plan(device, &desc, &op) != LUR_OK) return;
  *forward = op.in_place && !(op.backward_x & 1u);
  *backward = op.dx_in_place;
  lur_op_release(&op);
}

static void check_in_place(suite *s, lur_device *device, const op_case *c, const inputs *in, const outputs *expected) {
  unsigned dx = all_dx(&c->desc), dw = all_dw(&c->desc);
  bool forward, backward;
  in_place_allowed(device, c, false, &forward, &backward);
  if (forward) try(s, device, c, in, expected, (variant){.name = "forward in place", .in_place = true});
  if (!dx && !dw) return;
  in_place_allowed(device, c, true, &forward, &backward);
  if (forward) try(s, device, c, in, expected, (variant){"in place, then backward", dx, dw, 0, true, false});
  if (backward && dx & 1u) try(s, device, c, in, expected, (variant){"dx in place", dx, dw, 0, false, true});
}

static void check_twice(suite *s, lur_device *device, const op_case *c, const inputs *in, const variant *v,
                        const outputs *first) {
  outputs again;
  if (!device->backend->host_memory || !variant_run(s, device, c, in, v, &again)) return;
  suite_expect(s, same_outputs(&c->desc, first, &again), "%s '%s' on %s: different bits the second time",
               lur_op_kind_name(c->desc.kind), c->name, device->name);
  outputs_free(&again);
}

static void check_device(suite *s, lur_device *device, const op_case *c, const inputs *in, const outputs *expected) {
  unsigned dx = all_dx(&c->desc), dw = all_dw(&c->desc);
  const variant all = {"all gradients", dx, dw, 0, false, false};
  outputs got;
  if (!variant_run(s, device, c, in, &all, &got)) return;
  compare_all(s, (who){c, device, all.name}, in, &all, &got, expected);
  check_twice(s, device, c, in, &all, &got);
  outputs_free(&got);
  if (!dx && !dw) return;
  try(s, device, c, in, expected, (variant){.name = "no gradient"});
  try(s, device, c, in, expected, (variant){"dx added", dx, dw, dx, false, false});
  if (dx && dw) try(s, device, c, in, expected, (variant){"dx alone", dx, 0, 0, false, false});
  if (dx && dw) try(s, device, c, in, expected, (variant){"dw alone", 0, dw, 0, false, false});
  if (dw & (dw - 1)) try(s, device, c, in, expected, (variant){"first dw alone", 0, dw & (~dw + 1), 0, false, false});
  if (dx & (dx - 1)) {
    try(s, device, c, in, expected, (variant){"first dx alone", dx & (~dx + 1), 0, 0, false, false});
    try(s, device, c, in, expected, (variant){"other dx alone", dx & (dx - 1), 0, 0, false, false});
    try(s, device, c, in, expected, (variant){"first dx added", dx, 0, dx & (~dx + 1), false, false});
    try(s, device, c, in, expected, (variant){"other dx added", dx, 0, dx & (dx - 1), false, false});
  }
  check_in_place(s, device, c, in, expected);
}

/* The reference run: all gradients, with dw added to zeros, so that `expected` holds the gradients alone. */
static bool reference(suite *s, const op_case *c, const inputs *in, outputs *expected) {
  const variant all = {"all gradients", all_dx(&c->desc), all_dw(&c->desc), 0, false, false};
  inputs zeroed = *in;
  for (int i = 0; i < c->desc.nw; i++) {
    zeroed.dw0[i] = check_alloc(operand_bytes(&c->desc.w[i]));
    memset(zeroed.dw0[i], 0, operand_bytes(&c->desc.w[i]));
  }
  bool ok = variant_run(s, s->devices[0], c, &zeroed, &all, expected);
  for (int i = 0; i < c->desc.nw; i++) free(zeroed.dw0[i]);
  return ok;
}

void suite_check(suite *s, const op_case *c) {
  const lur_op_desc *d = &c->desc;
  inputs in;
  outputs expected;
  s->cases++;
  inputs_new(c, &in);
  if (reference(s, c, &in, &expected)) {
    if (!s->compare_only) difference_check(s, c, &in, &expected);
    for (int k = 0; k < s->ndevices; k++)
      if (k == 0 || lur_device_kernel(s->devices[k], d->kind) != lur_device_kernel(s->devices[0], d->kind))
        check_device(s, s->devices[k], c, &in, &expected);
    outputs_free(&expected);
    const variant all = {"all gradients", all_dx(d), all_dw(d), 0, false, false};
    nonfinite_check(s, c, &in, &all, c->eps > 0 ? c->eps : EPS, c->atol > 0 ? c->atol : ATOL);
  }
  inputs_free(&in);
}

void suite_reject(suite *s, const char *name, const lur_op_desc *desc, lur_status status, const char *text) {
  for (int k = 0; k < s->ndevices; k++) {
    lur_op op;
    lur_status got = lur_op_plan(s->devices[k], desc, &op);
    bool named = strstr(lur_last_error(), lur_op_kind_name(desc->kind)) && strstr(lur_last_error(), text);
    suite_expect(s, got == status && named, "%s on %s: %s '%s', expected %s and a message with '%s'", name,
                 s->devices[k]->name, lur_status_name(got), got == LUR_OK ? "" : lur_last_error(),
                 lur_status_name(status), text);
    if (got == LUR_OK) lur_op_release(&op);
  }
}
