/* pass_fuse.c - ReLU and residual add become part of the op that produces their input, or, before a depthwise
 * convolution, of the one that reads their output. Both may also join a batch norm in training. A batch norm that
 * remains between a convolution and depthwise convolutions or pools becomes a scale and shift that those apply. A chain
 * of sums and products with constants becomes one. */
#include "plan.h"

static bool is_linear(const lur_plan_op *op) {
  return op->desc.kind == LUR_OP_CONV2D || op->desc.kind == LUR_OP_DEPTHWISE_CONV2D || op->desc.kind == LUR_OP_DENSE;
}

static bool *relu_flag(lur_op_desc *desc) {
  switch (desc->kind) {
    case LUR_OP_CONV2D:
    case LUR_OP_DEPTHWISE_CONV2D: return &desc->u.conv2d.relu;
    case LUR_OP_DENSE: return &desc->u.dense.relu;
    case LUR_OP_BATCHNORM: return &desc->u.batchnorm.relu;
    case LUR_OP_BINARY: return &desc->u.binary.relu;
    default: return NULL;
  }
}

static bool is_relu(const lur_plan_op *op) {
  return op->desc.kind == LUR_OP_ACTIVATION && op->desc.u.activation.function == LUR_RELU;
}

/* ---- ReLU and add ---- */

/* ReLU becomes part of the op that produces its input: batch norm and add, and other ops that do not go backward. */
static bool fuse_relu_into_producer(lur_plan *plan, int at) {
  lur_plan_op *relu = &plan->ops[at];
  if (!is_relu(relu)) return false;
  lur_plan_op *op = lur_plan_sole_producer(plan, relu->x[0]);
  if (!op || (is_linear(op) && op->backward)) return false;
  if (op->desc.kind == LUR_OP_BINARY && op->desc.u.binary.function != LUR_ADD) return false;
  bool *flag = relu_flag(&op->desc);
  if (!flag || *flag) return false;
  *flag = true;
  lur_plan_take_output(plan, op, at);
  return true;
}

/* A ReLU that only depthwise convolutions read: they read max(x, 0), and the ReLU's output is never stored. */
static bool fuse_relu_into_readers(lur_plan *plan, int at) {
  lur_plan_op *relu = &plan->ops[at];
  int y = relu->y, x = relu->x[0];
  if (!is_relu(relu) || plan->values[y].wanted || lur_plan_uses(plan, y) == 0) return false;
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    for (int k = 0; k < op->desc.nx; k++) {
      if (op->x[k] == y && (op->desc.kind != LUR_OP_DEPTHWISE_CONV2D || op->desc.u.conv2d.relu_in)) return false;
    }
  }
  for (int i = 0; i < plan->nops; i++) {
    if (plan->ops[i].desc.kind != LUR_OP_DEPTHWISE_CONV2D || plan->ops[i].x[0] != y) continue;
    plan->ops[i].x[0] = x;
    plan->ops[i].desc.u.conv2d.relu_in = true;
  }
  lur_plan_remove_op(plan, at);
  return true;
}

static bool takes_residual(const lur_plan_op *op) {
  if (op->desc.nx != 1) return false;
  if (op->desc.kind == LUR_OP_BATCHNORM) return !op->desc.u.batchnorm.relu;
  if (op->desc.kind == LUR_OP_CONV2D) return !op->backward && !op->desc.u.conv2d.relu;
  return op->desc.kind == LUR_OP_DENSE && !op->backward && !op->desc.u.dense.relu;
}

/* add(a, b) of equal shapes: the later of a and b adds the other one while it writes. */
static bool fuse_add_into_producer(lur_plan *plan, int at) {
  lur_plan_op *add = &plan->ops[at];
  if (add->desc.kind != LUR_OP_BINARY || add->desc.u.binary.function != LUR_ADD) return false;
  if (!lur_shape_equal(&add->desc.x[0].shape, &add->desc.x[1].shape)) return false;
  int best = -1;
  for (int k = 0; k < 2; k++) {
    const lur_plan_op *op = lur_plan_sole_producer(plan, add->x[k]);
    if (!op || !takes_residual(op) || (is_linear(op) && add->backward)) continue;
    if (best < 0 || plan->values[add->x[k]].producer > plan->values[add->x[best]].producer) best = k;
  }
  if (best < 0) return false;
  int producer = plan->values[add->x[best]].producer, other = add->x[1 - best];
  bool relu = add->desc.u.binary.relu;
  lur_plan_op *op = &plan->ops[producer];
  op->x[1] = other;
  op->desc.x[1] = plan->values[other].operand;
  op->desc.nx = 2;
  if (add->desc.want_dx >> (1 - best) & 1u) op->desc.want_dx |= 2u;
  if (relu) *relu_flag(&op->desc) = true;
  /* The op moves to the position of the add, where the other operand is available. */
  if (producer < at - 1) lur_plan_move_op(plan, producer, at - 1);
  lur_plan_take_output(plan, &plan->ops[at - 1], at);
  return true;
}

/* ---- batch norm that its readers apply ---- */

static bool *affine_flag(lur_op_desc *desc) {
  if (desc->kind == LUR_OP_DEPTHWISE_CONV2D) return &desc->u.conv2d.affine_in;
  return desc->kind == LUR_OP_POOL ? &desc->u.pool.affine_in : NULL;
}

/* A batch norm that only depthwise convolutions and pools read: its output becomes a scale and shift, which they apply
   as they read. The normalized image is never stored; the sums that its backward needs are by-products of theirs. */
static bool fuse_norm_into_readers(lur_plan *plan, int at) {
  lur_plan_op *norm = &plan->ops[at];
  const int y = norm->y, x = norm->x[0];
  lur_value *affine = &plan->values[y];
  if (norm->desc.kind != LUR_OP_BATCHNORM || norm->desc.nx != 1 || norm->desc.u.batchnorm.relu || affine->wanted)
    return false;
  if (norm->desc.u.batchnorm.affine_out || lur_plan_uses(plan, y) == 0) return false;
  for (int i = 0; i < plan->nops; i++) {
    for (int k = 0; k < plan->ops[i].desc.nx; k++) {
      bool *flag = affine_flag(&plan->ops[i].desc);
      if (plan->ops[i].x[k] == y && (!flag || *flag)) return false;
    }
  }
  /* The image's gradient comes from the readers; the batch norm adds the part through the statistics. */
  bool through_x = norm->desc.u.batchnorm.batch && norm->desc.want_dx;
  affine->needs_grad = norm->desc.want_dw || through_x;
  affine->operand = (lur_operand){LUR_F32, {2, {2, norm->desc.w[2].shape.dim[0]}}};
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *reader = &plan->ops[i];
    if (reader->x[0] != y) continue;
    *affine_flag(&reader->desc) = true;
    reader->x[0] = x;
    reader->x[1] = y;
    reader->desc.nx = 2;
    reader->desc.x[1] = affine->operand;
    if (!reader->backward) continue;
    reader->desc.want_dx = (plan->values[x].needs_grad ? 1u : 0) | (affine->needs_grad ? 2u : 0);
  }
  norm->desc.u.batchnorm.affine_out = true;
  norm->desc.y = affine->operand;
  norm->desc.want_dx = through_x ? 1u : 0;
  norm->backward = norm->backward && affine->needs_grad;
  return true;
}

/* ---- constants ---- */

/* scale * (s * x + t) + shift is one affine function of x. */
static bool fuse_affine_into_producer(lur_plan *plan, int at) {
  const lur_plan_op *outer = &plan->ops[at];
  if (outer->desc.kind != LUR_OP_AFFINE) return false;
  lur_plan_op *inner = lur_plan_sole_producer(plan, outer->x[0]);
  if (!inner || inner->desc.kind != LUR_OP_AFFINE || inner->desc.y.dtype != outer->desc.y.dtype) return false;
  lur_affine_desc *u = &inner->desc.u.affine;
  const lur_affine_desc after = outer->desc.u.affine;
  *u = (lur_affine_desc){after.scale * u->scale, after.scale * u->shift + after.shift};
  lur_plan_take_output(plan, inner, at);
  return true;
}

/* ---- the pass ---- */

/* Applies the rule at every position, and again where it changed the list. */
static void apply_everywhere(lur_plan *plan, bool (*rule)(lur_plan *, int)) {
  for (int i = 0; i < plan->nops;) i += !rule(plan, i);
}

/* A ReLU in a convolution is free, and lets the next op do without one. Where the producer goes backward, the depthwise
   convolution that reads it is the better place, because its backward masks anyway. */
static bool fuse_relu_into_linear(lur_plan *plan, int at) {
  const lur_plan_op *relu = &plan->ops[at];
  if (!is_relu(relu)) return false;
  const lur_plan_op *op = lur_plan_sole_producer(plan, relu->x[0]);
  return op && is_linear(op) && fuse_relu_into_producer(plan, at);
}

void lur_pass_fuse(const lur_plan_target *target, lur_plan *plan) {
  apply_everywhere(plan, fuse_affine_into_producer);
  apply_everywhere(plan, fuse_relu_into_linear);
  apply_everywhere(plan, fuse_add_into_producer);
  apply_everywhere(plan, fuse_relu_into_linear); /* a ReLU after an add that has just been fused */
  apply_everywhere(plan, fuse_relu_into_readers);
  if (target->device->backend->affine) apply_everywhere(plan, fuse_norm_into_readers);
  apply_everywhere(plan, fuse_relu_into_producer);
}
