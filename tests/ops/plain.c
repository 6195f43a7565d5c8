/* plain.c - one op on one device with host arrays in and out, for golden values. */
#include <string.h>

#include "internal.h"

typedef struct stage {
  lur_op op;
  buffer x[LUR_MAX_OPERANDS], w[LUR_MAX_WEIGHTS], y, dy, dx[LUR_MAX_OPERANDS], dw[LUR_MAX_WEIGHTS], saved, forward,
      backward;
} stage;

static void stage_free(stage *g) {
  for (int i = 0; i < LUR_MAX_OPERANDS; i++) buffer_free(&g->x[i]), buffer_free(&g->dx[i]);
  for (int i = 0; i < LUR_MAX_WEIGHTS; i++) buffer_free(&g->w[i]), buffer_free(&g->dw[i]);
  buffer_free(&g->y), buffer_free(&g->dy), buffer_free(&g->saved), buffer_free(&g->forward), buffer_free(&g->backward);
  lur_op_release(&g->op);
}

static lur_status zeros(lur_device *device, size_t bytes, buffer *b) {
  LUR_TRY(buffer_new(device, bytes, NULL, b));
  return lur_device_fill(device, buffer_data(b), 0, bytes);
}

static lur_status run(stage *g, lur_device *device, const lur_op_desc *d, const plain_args *p) {
  lur_args args = {.seed = p->seed, .step = p->step};
  bool intact;
  LUR_TRY(lur_op_plan(device, d, &g->op));
  for (int i = 0; i < d->nx; i++) {
    LUR_TRY(buffer_new(device, operand_bytes(&d->x[i]), p->x[i], &g->x[i]));
    if (d->want_dx >> i & 1u) LUR_TRY(buffer_new(device, operand_bytes(&d->x[i]), NULL, &g->dx[i]));
    args.x[i] = buffer_data(&g->x[i]);
    args.dx[i] = buffer_data(&g->dx[i]);
  }
  for (int i = 0; i < d->nw; i++) {
    if (!p->w[i]) continue;
    LUR_TRY(buffer_new(device, operand_bytes(&d->w[i]), p->w[i], &g->w[i]));
    if (d->want_dw >> i & 1u) LUR_TRY(zeros(device, operand_bytes(&d->w[i]), &g->dw[i]));
    args.w[i] = buffer_data(&g->w[i]);
    args.dw[i] = buffer_data(&g->dw[i]);
  }
  LUR_TRY(buffer_new(device, operand_bytes(&d->y), NULL, &g->y));
  LUR_TRY(buffer_new(device, g->op.saved_bytes, NULL, &g->saved));
  LUR_TRY(buffer_new(device, g->op.forward_scratch, NULL, &g->forward));
  args.y = buffer_data(&g->y);
  args.saved = buffer_data(&g->saved);
  args.scratch = buffer_data(&g->forward);
  LUR_TRY(g->op.kernel->forward(&g->op, &args));
  LUR_TRY(buffer_read(&g->y, p->y, &intact));
  for (int i = 0; i < d->nw; i++)
    if (p->w[i]) LUR_TRY(buffer_read(&g->w[i], p->w[i], &intact));
  if (!p->dy) return LUR_OK;
  LUR_TRY(buffer_new(device, operand_bytes(&d->y), p->dy, &g->dy));
  LUR_TRY(buffer_new(device, g->op.backward_scratch, NULL, &g->backward));
  args.dy = buffer_data(&g->dy);
  args.scratch = buffer_data(&g->backward);
  if (!g->op.backward_y) args.y = NULL;
  LUR_TRY(g->op.kernel->backward(&g->op, &args));
  for (int i = 0; i < d->nx; i++)
    if (p->dx[i]) LUR_TRY(buffer_read(&g->dx[i], p->dx[i], &intact));
  for (int i = 0; i < d->nw; i++)
    if (p->dw[i]) LUR_TRY(buffer_read(&g->dw[i], p->dw[i], &intact));
  return LUR_OK;
}

bool suite_run(suite *s, lur_device *device, const lur_op_desc *desc, const plain_args *args) {
  stage g;
  memset(&g, 0, sizeof g);
  lur_status status = run(&g, device, desc, args);
  stage_free(&g);
  if (status == LUR_OK) return true;
  return suite_expect(s, false, "%s on %s: %s: %s", lur_op_kind_name(desc->kind), device->name, lur_status_name(status),
                      lur_last_error());
}
