/* pass_quantize.c - precision int8: convolutions read 8-bit values, and whatever feeds them writes 8-bit values.
 * quantized.c defines what the values represent, and the weights that belong to them.
 *
 * A depthwise convolution that feeds one convolution alone writes the 8-bit values itself: 1 / s goes into its weights
 * and z into its bias (a separable block rounds once, in between). Before other convolutions, a depthwise convolution
 * of one cell is inserted that quantizes; where a 1x1 convolution has a stride, it also samples. A convolution that
 * reads an input of the model stays f32: it has few channels, and its errors would go through everything. */
#include "plan.h"

/* Multiply-adds per value read below which a separate quantizing op costs more than it saves. */
enum { WORTH_A_PASS = 128 };

/* How many products of 255 and 127 may be added up in 32 bits. */
enum { MOST_PRODUCTS = INT32_MAX / (LUR_INT8_LEVELS * LUR_INT8_WEIGHT) };

/* ---- which convolutions ---- */

/* Whether windows reach beyond the image, where they read zeros. */
static bool looks_outside(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  if (u->pad_top || u->pad_left) return true;
  return (y[1] - 1) * u->stride_h + u->kernel_h > x[1] || (y[2] - 1) * u->stride_w + u->kernel_w > x[2];
}

static bool is_pointwise(const lur_conv2d_desc *u) { return u->kernel_h == 1 && u->kernel_w == 1; }

/* The depthwise convolution that can write conv's input as 8-bit values, or NULL. */
static lur_plan_op *writer_of(lur_plan *plan, const lur_plan_op *conv) {
  const int x = conv->x[0];
  if (plan->values[x].wanted || lur_plan_uses(plan, x) != 1) return NULL;
  lur_plan_op *op = &plan->ops[plan->values[x].producer];
  return op->desc.kind == LUR_OP_DEPTHWISE_CONV2D && !op->desc.u.conv2d.affine_in ? op : NULL;
}

static bool is_worth_a_pass(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const int64_t sampled = is_pointwise(u) ? 1 : (int64_t)u->stride_h * u->stride_w;
  return (int64_t)u->kernel_h * u->kernel_w * d->y.shape.dim[3] / sampled >= WORTH_A_PASS;
}

/* Whether op reads 8-bit values once its range is known. */
static bool is_candidate(lur_plan *plan, const lur_plan_op *op) {
  if (op->desc.kind != LUR_OP_CONV2D || op->backward || plan->values[op->x[0]].producer < 0) return false;
  const int64_t *w = op->desc.w[0].shape.dim;
  if (w[0] * w[1] * w[2] > MOST_PRODUCTS) return false;
  return writer_of(plan, op) || is_worth_a_pass(&op->desc);
}

static bool never_negative(const lur_range *range) {
  for (int64_t c = 0; c < range->channels; c++) {
    if (range->low[c] < 0) return false;
  }
  return true;
}

/* ---- attaching quantized weights ---- */

static lur_status attach(const lur_plan_target *target, lur_plan_op *op, const lur_range *range, bool writes,
                         bool zero_is_zero) {
  const lur_quantized form = {.range = range, .layer = op->layer, .weights = {op->weights[0], op->weights[1]},
                              .folded = op->folded, .writes = writes, .zero_is_zero = zero_is_zero};
  const int64_t outputs = op->desc.y.shape.dim[3];
  LUR_TRY(
      lur_quantized_new(target->model->context, target->device, &form, &op->desc.w[0].shape, outputs, &op->quantized));
  op->desc.nw = writes ? 2 : 3;
  op->desc.w[1] = op->desc.w[2] = (lur_operand){LUR_F32, {1, {outputs}}};
  return LUR_OK;
}

/* ---- the rewrite ---- */

/* Inserts an op before the convolution at `at` that quantizes its input. *at follows the convolution. */
static lur_status insert_writer(const lur_plan_target *target, lur_plan *plan, int *at, const lur_range *range,
                                bool zero_is_zero) {
  lur_plan_op *conv = &plan->ops[*at];
  lur_conv2d_desc *u = &conv->desc.u.conv2d;
  const int none[2] = {-1, -1}, x = conv->x[0];
  lur_op_desc desc = {.kind = LUR_OP_DEPTHWISE_CONV2D, .y = {LUR_U8, conv->desc.x[0].shape}};
  desc.w[0] = (lur_operand){LUR_F32, {4, {1, 1, range->channels, 1}}};
  desc.u.conv2d = (lur_conv2d_desc){.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
  if (is_pointwise(u)) {
    desc.u.conv2d.stride_h = u->stride_h, desc.u.conv2d.stride_w = u->stride_w;
    desc.y.shape.dim[1] = conv->desc.y.shape.dim[1], desc.y.shape.dim[2] = conv->desc.y.shape.dim[2];
    u->stride_h = u->stride_w = 1;
  }
  int y = -1;
  LUR_TRY(lur_plan_add_op(plan, conv->layer, &desc, 1, &x, 1, none, &y)); /* ops may have moved in memory */
  plan->values[y].frozen = plan->values[x].frozen;
  lur_plan_raise_last(plan, (*at)++);
  plan->ops[*at].x[0] = y;
  return attach(target, &plan->ops[*at - 1], range, true, zero_is_zero);
}

static lur_status quantize_one(const lur_plan_target *target, lur_plan *plan, int *at, const lur_range *range) {
  lur_plan_op *conv = &plan->ops[*at], *writer = writer_of(plan, conv);
  char shape[LUR_SHAPE_TEXT];
  if (range->channels != conv->desc.x[0].shape.dim[3])
    return lur_fail(LUR_ESHAPE, "range of layer '%s' has %lld channels, the layer reads %s", conv->desc.name,
                    (long long)range->channels, lur_shape_format(&conv->desc.x[0].shape, shape));
  const bool zero_is_zero = looks_outside(&conv->desc) || (writer && writer->desc.u.conv2d.relu);
  if (zero_is_zero && !never_negative(range)) return LUR_OK;
  if (writer) {
    LUR_TRY(attach(target, writer, range, true, zero_is_zero));
    writer->desc.u.conv2d.relu = false; /* unsigned values saturate at 0 */
    writer->desc.y.dtype = plan->values[writer->y].operand.dtype = LUR_U8;
  } else {
    LUR_TRY(insert_writer(target, plan, at, range, zero_is_zero));
  }
  conv = &plan->ops[*at];
  conv->desc.x[0] = plan->values[conv->x[0]].operand;
  return attach(target, conv, range, false, zero_is_zero);
}

/* Calibration: finds or creates the range of every candidate. */
static lur_status observe_candidates(lur_plan_target *target, lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    if (is_candidate(plan, op))
      LUR_TRY(lur_ranges_get(&target->ranges, op->layer, op->desc.x[0].shape.dim[3], &op->observes));
  }
  return LUR_OK;
}

static bool is_calibrated(const lur_ranges *ranges) {
  for (int i = 0; i < ranges->n; i++) {
    if (lur_ranges_known(ranges, ranges->ranges[i]->layer)) return true;
  }
  return false;
}

lur_status lur_pass_quantize(lur_plan_target *target, lur_plan *plan) {
  const lur_plan_mode mode = plan->key.mode;
  if (target->precision != LUR_PRECISION_INT8) return LUR_OK;
  if (mode == LUR_MODE_CALIBRATE) return observe_candidates(target, plan);
  if (mode != LUR_MODE_PREDICT && mode != LUR_MODE_EVALUATE) return LUR_OK;
  const bool calibrated = is_calibrated(&target->ranges);
  for (int i = 0; i < plan->nops; i++) {
    if (!is_candidate(plan, &plan->ops[i])) continue;
    if (!calibrated)
      return lur_fail(LUR_ESTATE, "int8: layer '%s' is not calibrated: call run:calibrate(batch) with a few dozen "
                                  "samples first", plan->ops[i].desc.name);
    const lur_range *range = lur_ranges_known(&target->ranges, plan->ops[i].layer);
    if (range) LUR_TRY(quantize_one(target, plan, &i, range)); /* a layer without a range stays f32 */
  }
  return LUR_OK;
}
