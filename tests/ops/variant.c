/* variant.c - runs one variant of a case: all memory that a kernel may access is between guards, what it must not read
 * is NaN, and what it must not write is compared afterwards. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* The buffers of one run. scratch has exactly the bytes that forward, then backward, asks for. */
typedef struct stage {
  lur_op op;
  buffer x[LUR_MAX_OPERANDS], w[LUR_MAX_WEIGHTS], y, dy, dx[LUR_MAX_OPERANDS], dw[LUR_MAX_WEIGHTS], saved, scratch;
} stage;

static void stage_free(stage *g) {
  for (int i = 0; i < LUR_MAX_OPERANDS; i++) buffer_free(&g->x[i]), buffer_free(&g->dx[i]);
  for (int i = 0; i < LUR_MAX_WEIGHTS; i++) buffer_free(&g->w[i]), buffer_free(&g->dw[i]);
  buffer_free(&g->y), buffer_free(&g->dy), buffer_free(&g->saved), buffer_free(&g->scratch);
  lur_op_release(&g->op);
}

/* Reads a buffer; *host (unless NULL) becomes a new array. Fails if a guard has changed. */
static lur_status take(const buffer *b, const char *role, int index, float **host) {
  bool intact;
  void *data = host ? check_alloc(b->bytes) : NULL;
  lur_status status = buffer_read(b, data, &intact);
  if (status == LUR_OK && !intact) status = lur_fail(LUR_EDEVICE, "wrote outside %s[%d]", role, index);
  if (status != LUR_OK) free(data);
  else if (host) *host = data;
  return status;
}

/* Fails if a buffer that may only be read does not contain `expected` any more. */
static lur_status unchanged(const buffer *b, const char *role, int index, const void *expected) {
  float *now = NULL;
  LUR_TRY(take(b, role, index, &now));
  bool same = memcmp(now, expected, b->bytes) == 0;
  free(now);
  return same ? LUR_OK : lur_fail(LUR_EDEVICE, "changed %s[%d], which it may only read", role, index);
}

static bool moves(const lur_op_desc *d, int weight) {
  return d->kind == LUR_OP_BATCHNORM && d->u.batchnorm.batch && weight >= 2;
}

static lur_status forward(stage *g, const op_case *c, const inputs *in, const variant *v, outputs *out) {
  const lur_op_desc *d = &c->desc;
  lur_args args = {.seed = 42, .step = 7};
  for (int i = 0; i < d->nx; i++) LUR_TRY(buffer_new(g->op.device, operand_bytes(&d->x[i]), in->x[i], &g->x[i]));
  for (int i = 0; i < d->nw; i++)
    if (in->w[i]) LUR_TRY(buffer_new(g->op.device, operand_bytes(&d->w[i]), in->w[i], &g->w[i]));
  if (!v->in_place) LUR_TRY(buffer_new(g->op.device, operand_bytes(&d->y), NULL, &g->y));
  LUR_TRY(buffer_new(g->op.device, g->op.saved_bytes, NULL, &g->saved));
  LUR_TRY(buffer_new(g->op.device, g->op.forward_scratch, NULL, &g->scratch));
  for (int i = 0; i < d->nx; i++) args.x[i] = buffer_data(&g->x[i]);
  for (int i = 0; i < d->nw; i++) args.w[i] = buffer_data(&g->w[i]);
  args.y = buffer_data(v->in_place ? &g->x[0] : &g->y);
  args.saved = buffer_data(&g->saved);
  args.scratch = buffer_data(&g->scratch);
  LUR_TRY(g->op.kernel->forward(&g->op, &args));
  LUR_TRY(lur_device_sync(g->op.device));
  LUR_TRY(take(v->in_place ? &g->x[0] : &g->y, "y", 0, &out->y));
  for (int i = v->in_place; i < d->nx; i++) LUR_TRY(unchanged(&g->x[i], "x", i, in->x[i]));
  for (int i = 0; i < d->nw; i++) {
    if (!in->w[i]) continue;
    LUR_TRY(moves(d, i) ? take(&g->w[i], "w", i, &out->w[i]) : unchanged(&g->w[i], "w", i, in->w[i]));
  }
  LUR_TRY(take(&g->saved, "saved", 0, NULL));
  LUR_TRY(take(&g->scratch, "scratch", 0, NULL));
  return LUR_OK;
}

static lur_status backward_buffers(stage *g, const op_case *c, const inputs *in, const variant *v) {
  const lur_op_desc *d = &c->desc;
  LUR_TRY(buffer_new(g->op.device, operand_bytes(&d->y), in->dy, &g->dy));
  for (int i = 0; i < d->nx; i++) {
    bool is_dy = i == 0 && v->dx_in_place;
    if (v->want_dx >> i & 1u && !is_dy)
      LUR_TRY(buffer_new(g->op.device, operand_bytes(&d->x[i]), v->dx_add >> i & 1u ? in->dx0[i] : NULL, &g->dx[i]));
    bool is_y = i == 0 && v->in_place && g->op.backward_y;
    if (!(g->op.backward_x >> i & 1u) && !is_y) LUR_TRY(buffer_poison(&g->x[i]));
  }
  for (int i = 0; i < d->nw; i++)
    if (v->want_dw >> i & 1u) LUR_TRY(buffer_new(g->op.device, operand_bytes(&d->w[i]), in->dw0[i], &g->dw[i]));
  buffer_free(&g->scratch);
  return buffer_new(g->op.device, g->op.backward_scratch, NULL, &g->scratch);
}

static lur_status backward(stage *g, const op_case *c, const inputs *in, const variant *v, outputs *out) {
  const lur_op_desc *d = &c->desc;
  const buffer *y = v->in_place ? &g->x[0] : &g->y;
  LUR_TRY(backward_buffers(g, c, in, v));
  lur_args args = {.seed = 42, .step = 7, .dx_add = v->dx_add};
  for (int i = 0; i < d->nx; i++) {
    args.x[i] = buffer_data(&g->x[i]);
    args.dx[i] = buffer_data(i == 0 && v->dx_in_place ? &g->dy : &g->dx[i]);
  }
  for (int i = 0; i < d->nw; i++) {
    args.w[i] = buffer_data(&g->w[i]);
    args.dw[i] = buffer_data(&g->dw[i]);
  }
  args.y = g->op.backward_y ? buffer_data(y) : NULL;
  args.dy = buffer_data(&g->dy);
  args.saved = buffer_data(&g->saved);
  args.scratch = buffer_data(&g->scratch);
  LUR_TRY(g->op.kernel->backward(&g->op, &args));
  LUR_TRY(lur_device_sync(g->op.device));
  for (int i = 0; i < d->nx; i++) {
    if (v->want_dx >> i & 1u) LUR_TRY(take(i == 0 && v->dx_in_place ? &g->dy : &g->dx[i], "dx", i, &out->dx[i]));
    if (g->op.backward_x >> i & 1u) LUR_TRY(unchanged(&g->x[i], "x", i, in->x[i]));
  }
  for (int i = 0; i < d->nw; i++) {
    if (v->want_dw >> i & 1u) LUR_TRY(take(&g->dw[i], "dw", i, &out->dw[i]));
    if (in->w[i]) LUR_TRY(unchanged(&g->w[i], "w", i, moves(d, i) ? out->w[i] : in->w[i]));
  }
  if (!v->dx_in_place) LUR_TRY(unchanged(&g->dy, "dy", 0, in->dy));
  if (g->op.backward_y) LUR_TRY(unchanged(y, "y", 0, out->y));
  LUR_TRY(take(&g->saved, "saved", 0, NULL));
  return take(&g->scratch, "scratch", 0, NULL);
}

static lur_status run(stage *g, lur_device *device, const op_case *c, const inputs *in, const variant *v,
                      outputs *out) {
  lur_op_desc desc = c->desc;
  desc.want_dx = v->want_dx;
  desc.want_dw = v->want_dw;
  LUR_TRY(lur_op_plan(device, &desc, &g->op));
  if (!v->want_dx && !v->want_dw && g->op.saved_bytes)
    return lur_fail(LUR_EDEVICE, "saves %zu bytes although no gradient is wanted", g->op.saved_bytes);
  LUR_TRY(forward(g, c, in, v, out));
  return v->want_dx || v->want_dw ? backward(g, c, in, v, out) : LUR_OK;
}

bool variant_run(suite *s, lur_device *device, const op_case *c, const inputs *in, const variant *v, outputs *out) {
  stage *g = check_alloc(sizeof *g);
  memset(g, 0, sizeof *g);
  *out = (outputs){0};
  lur_status status = run(g, device, c, in, v, out);
  stage_free(g);
  free(g);
  if (status == LUR_OK) return true;
  outputs_free(out);
  if (c->optional && status == LUR_EUNSUPPORTED) {
    s->skipped++;
    return false;
  }
  suite_expect(s, false, "%s '%s' on %s, %s: %s: %s", lur_op_kind_name(c->desc.kind), c->name, device->name, v->name,
               lur_status_name(status), lur_last_error());
  return false;
}
