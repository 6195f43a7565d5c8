/* pass_fold.c - batch norm on moving statistics disappears into the convolution or dense layer before it; then ReLU
 * and residual add become part of the op that makes their input, or, before a depthwise convolution, of the one
 * that reads their output.
 *
 *   (conv(x, w) + b - mean) * s + beta  =  conv(x, w * s) + (b - mean) * s + beta,   s = gamma / sqrt(variance + epsilon)
 *
 * Folding needs an op that never goes backward; ReLU and residual may also join a batch norm in training. What batch
 * norm is left between a convolution and depthwise convolutions or pools becomes scale and shift that they apply.
 * Last, where nothing goes backward, the two halves of a separable convolution become one op. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run/run.h"

/* ---- folded weights ---- */

void lur_folded_free(lur_folded *folded) {
  if (!folded) return;
  lur_tensor_release(folded->kernel);
  lur_tensor_release(folded->shift);
  free(folded);
}

static uint64_t source_versions(const lur_folded *folded) {
  uint64_t sum = 1;
  for (int i = 0; i < folded->conv->nweights; i++) sum += lur_weight_version(&folded->conv->weights[i]);
  for (int i = 0; i < folded->norm->nweights; i++) sum += lur_weight_version(&folded->norm->weights[i]);
  return sum;
}

/* A weight's values on the host, or constant ones where the layer has no such weight. Caller frees. */
static lur_status host_weight(const lur_layer *layer, const char *name, double absent, int64_t count, float **values) {
  LUR_TRY(lur_alloc_items((size_t)count, sizeof **values, values));
  for (int i = 0; i < layer->nweights; i++) {
    if (strcmp(layer->weights[i].name, name) != 0) continue;
    lur_tensor *value = layer->weights[i].value;
    lur_status status = lur_device_copy(lur_tensor_device(value), *values, lur_tensor_address(value),
                                        (size_t)count * sizeof **values, LUR_COPY_TO_HOST);
    if (status == LUR_OK) status = lur_device_sync(lur_tensor_device(value));
    if (status == LUR_OK) return LUR_OK;
    free(*values);
    *values = NULL;
    return status;
  }
  for (int64_t i = 0; i < count; i++) (*values)[i] = (float)absent;
  return LUR_OK;
}

/* scale and shift of the batch norm, channel by channel; the convolution's bias is taken in. */
static lur_status scale_and_shift(const lur_folded *folded, int64_t channels, float *scale, float *shift) {
  float *gamma = NULL, *beta = NULL, *mean = NULL, *variance = NULL, *bias = NULL;
  lur_status status = host_weight(folded->norm, "gamma", 1, channels, &gamma);
  if (status == LUR_OK) status = host_weight(folded->norm, "beta", 0, channels, &beta);
  if (status == LUR_OK) status = host_weight(folded->norm, "moving_mean", 0, channels, &mean);
  if (status == LUR_OK) status = host_weight(folded->norm, "moving_variance", 1, channels, &variance);
  if (status == LUR_OK) {
    status = host_weight(folded->conv, folded->bias < 0 ? "" : folded->conv->weights[folded->bias].name, 0, channels, &bias);
  }
  for (int64_t c = 0; c < channels && status == LUR_OK; c++) {
    double s = gamma[c] / sqrt((double)variance[c] + folded->epsilon);
    scale[c] = (float)s;
    shift[c] = (float)(((double)bias[c] - mean[c]) * s + beta[c]);
  }
  free(gamma);
  free(beta);
  free(mean);
  free(variance);
  free(bias);
  return status;
}

lur_status lur_folded_refresh(lur_folded *folded, lur_device *device) {
  uint64_t versions = source_versions(folded);
  if (folded->versions == versions) return LUR_OK;
  const lur_shape *shape = lur_tensor_shape(folded->kernel);
  int64_t count = lur_shape_count(shape), channels = lur_shape_count(lur_tensor_shape(folded->shift));
  float *scale = NULL, *shift = NULL, *kernel = NULL;
  lur_status status = lur_alloc_items((size_t)channels, sizeof *scale, &scale);
  if (status == LUR_OK) status = lur_alloc_items((size_t)channels, sizeof *shift, &shift);
  if (status == LUR_OK) status = scale_and_shift(folded, channels, scale, shift);
  if (status == LUR_OK) status = host_weight(folded->conv, folded->conv->weights[folded->kernel_weight].name, 0, count, &kernel);
  if (status != LUR_OK) goto done;
  /* Channels are the last extent of every kernel (a depthwise one ends in c 1). */
  for (int64_t i = 0; i < count; i += channels) {
    for (int64_t c = 0; c < channels; c++) kernel[i + c] *= scale[c];
  }
  size_t kernel_bytes = (size_t)count * sizeof *kernel, shift_bytes = (size_t)channels * sizeof *shift;
  status = lur_device_copy(device, lur_tensor_address(folded->kernel), kernel, kernel_bytes, LUR_COPY_TO_DEVICE);
  if (status == LUR_OK) {
    status = lur_device_copy(device, lur_tensor_address(folded->shift), shift, shift_bytes, LUR_COPY_TO_DEVICE);
  }
  if (status == LUR_OK) status = lur_device_sync(device); /* the host copies go away */
  if (status == LUR_OK) folded->versions = versions;
done:
  free(scale);
  free(shift);
  free(kernel);
  return status;
}

/* ---- which ops may join ---- */

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

/* The op that makes value, when nobody else reads value. */
static lur_plan_op *sole_producer(lur_plan *plan, int value) {
  int producer = plan->values[value].producer;
  if (producer < 0 || plan->values[value].wanted || lur_plan_uses(plan, value) != 1) return NULL;
  return &plan->ops[producer];
}

/* op takes over the output of the op at `gone`, which disappears. */
static void take_output(lur_plan *plan, lur_plan_op *op, int gone) {
  int y = plan->ops[gone].y;
  plan->values[op->y].producer = -1;
  op->y = y;
  op->backward |= plan->ops[gone].backward;
  op->desc.y = plan->values[y].operand;
  lur_plan_remove_op(plan, gone); /* looks producers up again */
}

/* ---- fold ---- */

static lur_status fold_one(const lur_run *run, lur_plan *plan, int at, bool *folded) {
  lur_plan_op *norm = &plan->ops[at];
  if (norm->desc.kind != LUR_OP_BATCHNORM || norm->desc.u.batchnorm.batch || norm->backward || norm->desc.nx != 1) return LUR_OK;
  lur_plan_op *conv = sole_producer(plan, norm->x[0]);
  if (!conv || !is_linear(conv) || conv->backward || conv->folded || conv->desc.nx != 1 || *relu_flag(&conv->desc)) return LUR_OK;
  lur_folded *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  *made = (lur_folded){.conv = conv->layer, .norm = norm->layer, .epsilon = norm->desc.u.batchnorm.epsilon,
                       .kernel_weight = conv->weights[0], .bias = conv->desc.nw > 1 ? conv->weights[1] : -1};
  const lur_shape *kernel = &conv->desc.w[0].shape, *mean = &norm->desc.w[2].shape;
  lur_status status = lur_tensor_new(run->model->context, run->options.device, LUR_F32, kernel, &made->kernel);
  if (status == LUR_OK) status = lur_tensor_new(run->model->context, run->options.device, LUR_F32, mean, &made->shift);
  if (status != LUR_OK) {
    lur_folded_free(made);
    return status;
  }
  conv->folded = made;
  conv->desc.nw = 2;
  conv->desc.w[1] = (lur_operand){LUR_F32, *mean};
  take_output(plan, conv, at);
  *folded = true;
  return LUR_OK;
}

lur_status lur_pass_fold(const lur_run *run, lur_plan *plan) {
  for (int i = 0; i < plan->nops;) {
    bool folded = false;
    LUR_TRY(fold_one(run, plan, i, &folded));
    if (!folded) i++;
  }
  return LUR_OK;
}

/* ---- fuse ---- */

/* ReLU joins the op that makes its input. Ops other than batch norm and add only where nothing goes backward. */
static bool relu_joins_producer(lur_plan *plan, int at) {
  lur_plan_op *relu = &plan->ops[at];
  if (!is_relu(relu)) return false;
  lur_plan_op *op = sole_producer(plan, relu->x[0]);
  if (!op || (is_linear(op) && op->backward)) return false;
  if (op->desc.kind == LUR_OP_BINARY && op->desc.u.binary.function != LUR_ADD) return false;
  bool *flag = relu_flag(&op->desc);
  if (!flag || *flag) return false;
  *flag = true;
  take_output(plan, op, at);
  return true;
}

/* ReLU whose every reader is a depthwise convolution: they read max(x, 0), and the ReLU's output is never stored. */
static bool relu_joins_readers(lur_plan *plan, int at) {
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

/* add(a, b): the later of a and b adds the other one while it writes. */
static bool add_joins_producer(lur_plan *plan, int at) {
  lur_plan_op *add = &plan->ops[at];
  if (add->desc.kind != LUR_OP_BINARY || add->desc.u.binary.function != LUR_ADD) return false;
  int best = -1;
  for (int k = 0; k < 2; k++) {
    const lur_plan_op *op = sole_producer(plan, add->x[k]);
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
  /* It moves to where the add stood: the other operand is there by then. */
  if (producer < at - 1) lur_plan_move_op(plan, producer, at - 1);
  take_output(plan, &plan->ops[at - 1], at);
  return true;
}

/* ---- batch norm that its readers work out ---- */

static bool *affine_flag(lur_op_desc *desc) {
  if (desc->kind == LUR_OP_DEPTHWISE_CONV2D) return &desc->u.conv2d.affine_in;
  return desc->kind == LUR_OP_POOL ? &desc->u.pool.affine_in : NULL;
}

/* A batch norm read by depthwise convolutions and pools only: it gives them scale and shift, and they apply those as
   they read. The normalised image is never stored, and the sums that its backward needs come out of theirs. */
static bool norm_joins_readers(lur_plan *plan, int at) {
  lur_plan_op *norm = &plan->ops[at];
  const int y = norm->y, x = norm->x[0];
  lur_value *affine = &plan->values[y];
  if (norm->desc.kind != LUR_OP_BATCHNORM || norm->desc.nx != 1 || norm->desc.u.batchnorm.relu || affine->wanted) return false;
  if (norm->desc.u.batchnorm.affine_out || lur_plan_uses(plan, y) == 0) return false;
  for (int i = 0; i < plan->nops; i++) {
    for (int k = 0; k < plan->ops[i].desc.nx; k++) {
      bool *flag = affine_flag(&plan->ops[i].desc);
      if (plan->ops[i].x[k] == y && (!flag || *flag)) return false;
    }
  }
  /* The image's gradient comes from the readers; the batch norm adds what goes through the statistics. */
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

/* ---- depthwise and pointwise in one ---- */

static bool is_pointwise(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  return d->kind == LUR_OP_CONV2D && u->kernel_h == 1 && u->kernel_w == 1 && u->stride_h == 1 && u->stride_w == 1 &&
         u->pad_top == 0 && u->pad_left == 0 && d->nw == 2 && d->y.dtype == LUR_F32;
}

/* The depthwise convolution of a separable layer joins the 1x1 convolution that alone reads it: what lies between them
   is never stored. */
static bool depthwise_joins_pointwise(lur_plan *plan, const lur_device *device, int at) {
  lur_plan_op *op = &plan->ops[at];
  if (!is_pointwise(&op->desc) || op->backward || !device->backend->separable(device, &op->desc)) return false;
  const lur_plan_op *depthwise = sole_producer(plan, op->x[0]);
  if (!depthwise || depthwise->desc.kind != LUR_OP_DEPTHWISE_CONV2D || depthwise->layer != op->layer) return false;
  const lur_op_desc *d = &depthwise->desc;
  if (depthwise->folded || d->nx != 1 || d->nw != 1 || d->u.conv2d.relu) return false;
  const bool relu = op->desc.u.conv2d.relu;
  op->desc.kind = LUR_OP_SEPARABLE_CONV2D;
  op->desc.u.conv2d = d->u.conv2d;
  op->desc.u.conv2d.relu = relu;
  op->x[0] = depthwise->x[0];
  op->desc.x[0] = d->x[0];
  op->desc.nw = 3;
  op->desc.w[2] = d->w[0];
  op->weights[2] = depthwise->weights[0];
  lur_plan_remove_op(plan, (int)(depthwise - plan->ops));
  return true;
}

static bool apply_everywhere(lur_plan *plan, bool (*rule)(lur_plan *, int)) {
  bool any = false;
  for (int i = 0; i < plan->nops;) {
    if (rule(plan, i)) any = true;
    else i++;
  }
  return any;
}

/* ReLU into a convolution costs nothing and halves what the next op must look at; where the producer goes backward,
   the depthwise reader is the better home, because its backward masks on the way. */
static bool relu_joins_linear(lur_plan *plan, int at) {
  const lur_plan_op *relu = &plan->ops[at];
  if (!is_relu(relu)) return false;
  const lur_plan_op *op = sole_producer(plan, relu->x[0]);
  return op && is_linear(op) && relu_joins_producer(plan, at);
}

void lur_pass_fuse(const lur_run *run, lur_plan *plan) {
  apply_everywhere(plan, relu_joins_linear);
  apply_everywhere(plan, add_joins_producer);
  apply_everywhere(plan, relu_joins_linear); /* a ReLU after an add that has just joined */
  apply_everywhere(plan, relu_joins_readers);
  if (run->options.device->backend->affine) apply_everywhere(plan, norm_joins_readers);
  apply_everywhere(plan, relu_joins_producer);
}

/* With int8 the halves stay apart: what lies between them is what becomes bytes. */
void lur_pass_separable(const lur_run *run, lur_plan *plan) {
  const lur_device *device = run->options.device;
  if (!device->backend->separable || run->options.precision == LUR_PRECISION_INT8) return;
  for (int i = 0; i < plan->nops;) i += !depthwise_joins_pointwise(plan, device, i);
}
