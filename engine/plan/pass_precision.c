/* pass_precision.c - half precision: values that have a height and a width become f16 or bf16, and copies that convert
 * are inserted where they meet f32. Everything else, heads and losses included, stays f32, and so do all weights.
 *
 * This pass is mandatory: it implements option `precision`. A new op that must see f32 whatever its shape needs a case
 * in `wants_half`. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

typedef struct rewrite {
  lur_plan *plan;
  lur_dtype half;
  lur_plan_op *ops; /* the new list */
  int n, room;
  int *twin;        /* by old value: the same in the other type, -1 none yet */
  int nold;         /* length of twin */
} rewrite;

static bool floating(lur_dtype dtype) { return dtype == LUR_F32 || dtype == LUR_F16 || dtype == LUR_BF16; }

/* Ops over images. The mean over an image also reads it in half precision. */
static bool wants_half(const lur_op_desc *desc) {
  if (desc->kind == LUR_OP_LOSS || desc->kind == LUR_OP_SOFTMAX || desc->kind == LUR_OP_NORMALIZE) return false;
  const bool broadcasts = desc->kind == LUR_OP_BINARY || desc->kind == LUR_OP_WHERE; /* x[0] may be the smaller one */
  return (broadcasts ? desc->y.shape.ndim : desc->x[0].shape.ndim) == 4 && floating(desc->x[0].dtype);
}

static lur_status append(rewrite *r, const lur_plan_op *op) {
  if (r->n == r->room) {
    int room = r->room ? 2 * r->room : 64;
    lur_plan_op *bigger = realloc(r->ops, (size_t)room * sizeof *bigger);
    if (!bigger) return lur_fail(LUR_ENOMEM, "no memory for a plan's ops");
    r->ops = bigger;
    r->room = room;
  }
  r->plan->values[op->y].producer = r->n;
  r->ops[r->n++] = *op;
  return LUR_OK;
}

/* *value becomes its twin of dtype, which a copy computes where there is none. layer: gives the copy its name. */
static lur_status convert(rewrite *r, lur_layer *layer, lur_dtype dtype, int *value) {
  lur_operand to = r->plan->values[*value].operand;
  if (to.dtype == dtype) return LUR_OK;
  if (r->twin[*value] < 0) {
    lur_plan_op copy = {.desc = {.kind = LUR_OP_COPY, .nx = 1}, .layer = layer, .saved = -1};
    copy.desc.name = layer ? layer->name : "precision";
    copy.desc.x[0] = to;
    copy.x[0] = *value;
    for (int i = 0; i < LUR_MAX_WEIGHTS; i++) copy.weights[i] = -1;
    to.dtype = dtype;
    copy.desc.y = to;
    LUR_TRY(lur_plan_add_value(r->plan, &to, &copy.y));
    r->plan->values[copy.y].frozen = r->plan->values[*value].frozen;
    LUR_TRY(append(r, &copy));
    r->twin[*value] = copy.y;
  }
  *value = r->twin[*value];
  return LUR_OK;
}

static lur_status rewrite_op(rewrite *r, lur_plan_op op) {
  bool loss = op.desc.kind == LUR_OP_LOSS;
  lur_dtype dtype = wants_half(&op.desc) ? r->half : LUR_F32;
  for (int i = 0; i < op.desc.nx; i++) {
    if (!floating(op.desc.x[i].dtype) || (loss && i > 0)) continue; /* targets and sample weights come from outside */
    LUR_TRY(convert(r, op.layer, dtype, &op.x[i]));
    op.desc.x[i].dtype = dtype;
  }
  if (!loss && floating(op.desc.y.dtype)) op.desc.y.dtype = r->plan->values[op.y].operand.dtype = dtype;
  return append(r, &op);
}

/* Outputs that the caller reads are f32. */
static lur_status rewrite_outputs(rewrite *r, int noutputs) {
  for (int i = 0; i < noutputs; i++) {
    int *output = &r->plan->outputs[i], producer = r->plan->values[*output].producer;
    if (floating(r->plan->values[*output].operand.dtype))
      LUR_TRY(convert(r, producer < 0 ? NULL : r->ops[producer].layer, LUR_F32, output));
  }
  for (int i = 0; i < r->plan->nlosses; i++) { /* the loss has converted it */
    int *predictions = &r->plan->losses[i].predictions;
    if (r->plan->values[*predictions].operand.dtype == r->half && *predictions < r->nold)
      *predictions = r->twin[*predictions];
  }
  return LUR_OK;
}

static lur_status rewrite_all(rewrite *r, int noutputs) {
  for (int i = 0; i < r->plan->nops; i++) LUR_TRY(rewrite_op(r, r->plan->ops[i]));
  return rewrite_outputs(r, noutputs);
}

static void take_tf32(lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) plan->ops[i].desc.tf32 = true;
}

lur_status lur_pass_precision(const lur_plan_target *target, lur_plan *plan) {
  lur_precision precision = target->precision;
  if (precision == LUR_PRECISION_F32 || precision == LUR_PRECISION_INT8) return LUR_OK; /* int8: pass_quantize.c */
  if (precision == LUR_PRECISION_TF32) {
    take_tf32(plan);
    return LUR_OK;
  }
  rewrite r = {.plan = plan, .half = precision == LUR_PRECISION_F16 ? LUR_F16 : LUR_BF16, .nold = plan->nvalues};
  LUR_TRY(lur_alloc_items((size_t)plan->nvalues, sizeof *r.twin, &r.twin));
  for (int i = 0; i < plan->nvalues; i++) r.twin[i] = -1;
  lur_status status = rewrite_all(&r, target->model->noutputs);
  free(r.twin);
  if (status != LUR_OK) {
    for (int i = 0; i < plan->nops; i++) plan->values[plan->ops[i].y].producer = i; /* the old list is still complete */
    free(r.ops);
    return status;
  }
  free(plan->ops);
  plan->ops = r.ops;
  plan->nops = r.n;
  plan->ops_room = r.room;
  return LUR_OK;
}
