/* build.c - from a target and batch sizes to a plan: ops, losses, passes, planned kernels, buffers. */
#include "plan.h"

#include <stdlib.h>

/* What the caller reads after forward. */
static void mark_wanted(lur_plan *plan, int noutputs) {
  bool outputs = plan->key.mode != LUR_MODE_EVALUATE && plan->key.mode != LUR_MODE_TRAIN;
  for (int i = 0; i < noutputs && outputs; i++) plan->values[plan->outputs[i]].wanted = true;
  for (int i = 0; i < plan->nlosses; i++) {
    plan->values[plan->losses[i].y].wanted = true;
    if (plan->losses[i].predictions >= 0) plan->values[plan->losses[i].predictions].wanted = true;
  }
}

/* Which input gradients add to what a later op has written already. */
static void mark_adds(lur_plan *plan) {
  bool seeded = plan->key.mode == LUR_MODE_FREE; /* outputs' gradients come from the caller */
  for (int v = 0; v < plan->nvalues; v++) plan->values[v].grad_buffer = -1;
  /* grad_buffer serves as the "written" mark here: -2 written; arena.c replaces it. */
  for (int i = 0; i < LUR_MAX_OUTPUTS && seeded; i++) {
    if (plan->outputs[i] >= 0) plan->values[plan->outputs[i]].grad_buffer = -2;
  }
  for (int i = plan->nops - 1; i >= 0; i--) {
    lur_plan_op *op = &plan->ops[i];
    op->dx_add = 0;
    if (!op->backward) continue;
    for (int k = 0; k < op->desc.nx; k++) {
      if (!(op->desc.want_dx >> k & 1u)) continue;
      lur_value *x = &plan->values[op->x[k]];
      if (x->grad_buffer == -2) op->dx_add |= 1u << k;
      x->grad_buffer = -2;
    }
  }
}

/* ---- all together ---- */

static lur_status plan_ops(const lur_plan_target *target, lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    LUR_TRY(lur_op_plan(target->device, &op->desc, &op->op));
  }
  return LUR_OK;
}

static lur_status build(lur_plan_target *target, lur_plan *plan) {
  bool training = plan->key.mode == LUR_MODE_TRAIN || plan->key.mode == LUR_MODE_FREE;
  bool losses = plan->key.mode == LUR_MODE_TRAIN || plan->key.mode == LUR_MODE_EVALUATE;
  LUR_TRY(lur_plan_emit_model(target, plan, training));
  plan->nlosses = losses ? target->nlosses : 0;
  for (int i = 0; i < plan->nlosses; i++) LUR_TRY(lur_plan_emit_loss(target, plan, i));
  LUR_TRY(lur_pass_precision(target, plan));
  mark_wanted(plan, target->model->noutputs);
  if (training) lur_pass_gradients(target, plan);
  if (!target->no_prune) lur_pass_prune(plan);
  if (!target->no_fold) {
    lur_pass_pad(plan);
    LUR_TRY(lur_pass_fold(target, plan));
    lur_pass_fuse(target, plan);
    lur_pass_separable(target, plan);
  }
  LUR_TRY(lur_pass_quantize(target, plan));
  mark_adds(plan);
  LUR_TRY(plan_ops(target, plan));
  return lur_plan_arena(plan, !target->no_arena, !target->no_lifetimes, target->check ? LUR_GUARD : 0);
}

lur_status lur_plan_build(lur_plan_target *target, const lur_plan_key *key, lur_plan **plan) {
  lur_plan *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  made->key = *key;
  for (int i = 0; i < LUR_MAX_OUTPUTS; i++) made->outputs[i] = -1;
  lur_status status = build(target, made);
  if (status != LUR_OK) {
    lur_plan_free(made);
    return status;
  }
  *plan = made;
  return LUR_OK;
}

lur_status lur_plan_check_kernels(lur_plan_target *target) {
  lur_plan *plan = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *plan, &plan));
  for (int i = 0; i < LUR_MAX_INPUTS; i++) plan->key.rows[i] = 1;
  lur_status status = lur_plan_emit_model(target, plan, true);
  for (int i = 0; i < target->nlosses && status == LUR_OK; i++) {
    plan->losses[i].rows = plan->values[plan->outputs[target->losses[i].output_index]].operand.shape.dim[0];
    if (target->losses[i].form != LUR_LOSS_OP) status = lur_plan_emit_loss_graph(target, plan, i);
  }
  for (int i = 0; i < plan->nops && status == LUR_OK; i++) {
    const lur_op_desc *desc = &plan->ops[i].desc;
    if (lur_device_kernel(target->device, desc->kind)) continue;
    status = lur_fail(LUR_EUNSUPPORTED, "compile: op '%s' of layer '%s' has no %s kernel", lur_op_kind_name(desc->kind),
                      desc->name, lur_device_name(target->device));
  }
  lur_plan_free(plan);
  return status;
}
