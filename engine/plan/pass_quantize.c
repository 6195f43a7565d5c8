/* pass_quantize.c - precision int8: convolutions read bytes, and whatever feeds them writes bytes.
 *
 * A byte q of channel c is the number (q - z[c]) * s[c] with z[c] = -low / s[c] (Jacob et al. 2018, arXiv 1712.05877,
 * section 2.1, with a step for each channel). A convolution is then
 *
 *   sum_i x[i] w[i,o]  =  sum_i q[i] (s[i] w[i,o])  -  sum_i z[i] s[i] w[i,o]
 *
 * and s[i] w[i,o] is quantised to whole numbers from -127 to 127, a scale for each output o. The second sum goes into
 * the bias, with what makes the result right for the mean input in spite of the weights' rounding (bias correction,
 * Nagel et al. 2019, arXiv 1906.04721, section 4.2). So z need not be whole, but for kernels that look beyond the
 * image, where cells are the byte 0: those are quantised only where what they read is never negative, with z = 0.
 *
 * A depthwise convolution that feeds one convolution alone writes the bytes itself: 1 / s goes into its weights and z
 * into its bias (a separable block rounds once, in between). In front of others stands a depthwise convolution of one
 * cell that quantises, and samples where a 1x1 convolution has a stride. A convolution that reads an input of the
 * model stays f32: it has few channels, and its errors would go through everything. */
#include <math.h>
#include <stdlib.h>

#include "engine/run/run.h"

enum { LEVELS = 255, WHOLE = 127 };

/* s = width^BALANCE * widest^(1 - BALANCE) / 255: at 1 every channel uses all bytes, but the widest drown the others'
   weights; at 0 all have one step (Xiao et al. 2022, arXiv 2211.10438, shift a part of the range to the weights, too).
   Of Xception's features at add_12, pooled, the relative error was 0.17 at 1 and 0.13 at 0.75.
   NARROWEST: the least width that counts, of the widest; a channel may move more than in calibration. */
static const float BALANCE = 0.75f, NARROWEST = 0x1p-8f;

/* Multiply-adds on each number read below which quantising by a pass of its own costs more than it saves. */
enum { WORTH_A_PASS = 128 };

/* Products of 255 and 127 whose sum 32 bits hold. */
enum { MOST_PRODUCTS = INT32_MAX / (LEVELS * WHOLE) };

/* ---- numbers as bytes ---- */

static float width_of(const lur_quantized *q, int64_t c) {
  return q->range->high[c] - (q->plain_zero ? 0 : q->range->low[c]);
}

static float widest_of(const lur_quantized *q) {
  float widest = 0;
  for (int64_t c = 0; c < q->range->channels; c++) widest = fmaxf(widest, width_of(q, c));
  return widest;
}

static float step_of(const lur_quantized *q, int64_t c) {
  if (!(q->widest > 0)) return 1;
  return powf(fmaxf(width_of(q, c) / q->widest, NARROWEST), BALANCE) * q->widest / LEVELS;
}

/* The byte, not whole, that stands for zero. */
static float zero_of(const lur_quantized *q, int64_t c) {
  return q->plain_zero ? 0 : -q->range->low[c] / step_of(q, c);
}

/* ---- weights ---- */

void lur_quantized_free(lur_quantized *q) {
  if (!q) return;
  lur_tensor_release(q->kernel);
  lur_tensor_release(q->shift);
  lur_tensor_release(q->scale);
  free(q);
}

typedef struct source { /* NULL: a kernel of ones, a bias of zeros */
  const float *kernel, *bias;
  uint64_t versions;
} source;

static source source_of(const lur_plan_op *op) {
  source s = {.versions = 1};
  const lur_folded *folded = op->folded;
  if (folded) return (source){lur_tensor_address(folded->kernel), lur_tensor_address(folded->shift), folded->versions};
  const float **places[2] = {&s.kernel, &s.bias};
  for (int i = 0; i < 2; i++) {
    if (op->weights[i] < 0) continue;
    *places[i] = lur_tensor_address(op->layer->weights[op->weights[i]].value);
    s.versions += lur_weight_version(&op->layer->weights[op->weights[i]]);
  }
  return s;
}

/* The op's result divided by the step, plus the zero. */
static void scale_writer(const lur_quantized *q, const source *s, int64_t taps) {
  const int64_t channels = q->range->channels;
  float *kernel = lur_tensor_address(q->kernel), *shift = lur_tensor_address(q->shift);
  for (int64_t c = 0; c < channels; c++) {
    const double step = (double)step_of(q, c);
    for (int64_t t = 0; t < taps; t++)
      kernel[t * channels + c] = (float)((s->kernel ? (double)s->kernel[t * channels + c] : 1) / step);
    shift[c] = (float)((s->bias ? (double)s->bias[c] : 0) / step + (double)zero_of(q, c));
  }
}

/* Output o: s w to whole numbers, their scale, and a bias with which mean inputs give what they give in f32. */
static void quantize_output(const lur_quantized *q, const source *s, int64_t cells, int64_t outputs, int64_t o) {
  const int64_t channels = q->range->channels;
  float *kernel = lur_tensor_address(q->kernel);
  float *shift = lur_tensor_address(q->shift), *scale = lur_tensor_address(q->scale);
  double most = 0, lost = 0; /* lost: of the mean inputs' sum, zeros counted */
  for (int64_t i = 0; i < cells; i++)
    most = fmax(most, fabs((double)s->kernel[i * outputs + o] * (double)step_of(q, i % channels)));
  const double unit = most > 0 ? most / WHOLE : 1;
  for (int64_t i = 0; i < cells; i++) {
    const int64_t c = i % channels;
    const double step = (double)step_of(q, c), w = (double)s->kernel[i * outputs + o], mean = (double)q->range->mean[c];
    const double whole = nearbyint(w * step / unit);
    kernel[i * outputs + o] = (float)whole;
    lost += mean * w - unit * whole * (mean / step + (double)zero_of(q, c));
  }
  scale[o] = (float)unit;
  shift[o] = (float)((s->bias ? (double)s->bias[o] : 0) + lost);
}

lur_status lur_quantized_refresh(const lur_plan_op *op) {
  lur_quantized *q = op->quantized;
  const source s = source_of(op);
  if (q->versions == s.versions) return LUR_OK;
  const lur_shape *kernel = lur_tensor_shape(q->kernel);
  const int64_t taps = kernel->dim[0] * kernel->dim[1], outputs = kernel->dim[3];
  if (q->writes) {
    scale_writer(q, &s, taps);
  } else {
#pragma omp parallel for
    for (int64_t o = 0; o < outputs; o++) quantize_output(q, &s, taps * kernel->dim[2], outputs, o);
  }
  q->versions = s.versions;
  return LUR_OK;
}

static lur_status attach(const lur_run *run, lur_plan_op *op, const lur_range *range, bool writes, bool plain_zero) {
  lur_context *context = run->model->context;
  lur_device *device = run->options.device;
  lur_quantized *q = NULL;
  const lur_shape outputs = {1, {op->desc.y.shape.dim[3]}};
  LUR_TRY(lur_alloc_items(1, sizeof *q, &q));
  *q = (lur_quantized){.range = range, .writes = writes, .plain_zero = plain_zero};
  q->widest = widest_of(q);
  lur_status status = lur_tensor_new(context, device, LUR_F32, &op->desc.w[0].shape, &q->kernel);
  if (status == LUR_OK) status = lur_tensor_new(context, device, LUR_F32, &outputs, &q->shift);
  if (status == LUR_OK && !writes) status = lur_tensor_new(context, device, LUR_F32, &outputs, &q->scale);
  if (status != LUR_OK) {
    lur_quantized_free(q);
    return status;
  }
  op->quantized = q;
  op->desc.nw = writes ? 2 : 3;
  op->desc.w[1] = op->desc.w[2] = (lur_operand){LUR_F32, outputs};
  return LUR_OK;
}

/* ---- which convolutions ---- */

/* Windows that reach beyond the image read zeros there. */
static bool looks_outside(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  if (u->pad_top || u->pad_left) return true;
  return (y[1] - 1) * u->stride_h + u->kernel_h > x[1] || (y[2] - 1) * u->stride_w + u->kernel_w > x[2];
}

static bool is_pointwise(const lur_conv2d_desc *u) { return u->kernel_h == 1 && u->kernel_w == 1; }

/* The depthwise convolution that can write the bytes of conv's input, or NULL. */
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

/* Whether op is to read bytes, once its range is known. */
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

/* ---- the rewrite ---- */

/* Puts in front of the convolution at `at` what quantises its input. *at follows the convolution. */
static lur_status insert_writer(const lur_run *run, lur_plan *plan, int *at, const lur_range *range, bool plain_zero) {
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
  return attach(run, &plan->ops[*at - 1], range, true, plain_zero);
}

static lur_status quantize_one(const lur_run *run, lur_plan *plan, int *at, const lur_range *range) {
  lur_plan_op *conv = &plan->ops[*at], *writer = writer_of(plan, conv);
  char shape[LUR_SHAPE_TEXT];
  if (range->channels != conv->desc.x[0].shape.dim[3])
    return lur_fail(LUR_ESHAPE, "range of layer '%s' has %lld channels, the layer reads %s", conv->desc.name,
                    (long long)range->channels, lur_shape_format(&conv->desc.x[0].shape, shape));
  const bool plain_zero = looks_outside(&conv->desc) || (writer && writer->desc.u.conv2d.relu);
  if (plain_zero && !never_negative(range)) return LUR_OK;
  if (writer) {
    LUR_TRY(attach(run, writer, range, true, plain_zero));
    writer->desc.u.conv2d.relu = false; /* bytes end at zero, which is 0 */
    writer->desc.y.dtype = plan->values[writer->y].operand.dtype = LUR_U8;
  } else {
    LUR_TRY(insert_writer(run, plan, at, range, plain_zero));
  }
  conv = &plan->ops[*at];
  conv->desc.x[0] = plan->values[conv->x[0]].operand;
  return attach(run, conv, range, false, plain_zero);
}

static lur_status watch(lur_run *run, lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    if (is_candidate(plan, op)) LUR_TRY(lur_run_range_of(run, op->layer, op->desc.x[0].shape.dim[3], &op->observes));
  }
  return LUR_OK;
}

static bool is_calibrated(const lur_run *run) {
  for (int i = 0; i < run->nranges; i++) {
    if (lur_run_known_range(run, run->ranges[i]->layer)) return true;
  }
  return false;
}

lur_status lur_pass_quantize(lur_run *run, lur_plan *plan) {
  const lur_plan_mode mode = plan->key.mode;
  if (run->options.precision != LUR_PRECISION_INT8) return LUR_OK;
  if (mode == LUR_MODE_CALIBRATE) return watch(run, plan);
  if (mode != LUR_MODE_PREDICT && mode != LUR_MODE_EVALUATE) return LUR_OK;
  const bool calibrated = is_calibrated(run);
  for (int i = 0; i < plan->nops; i++) {
    if (!is_candidate(plan, &plan->ops[i])) continue;
    if (!calibrated)
      return lur_fail(LUR_ESTATE, "int8: nobody has said what numbers layer '%s' reads: run:calibrate(batch) with a few "
                                  "dozen samples first", plan->ops[i].desc.name);
    const lur_range *range = lur_run_known_range(run, plan->ops[i].layer);
    if (range) LUR_TRY(quantize_one(run, plan, &i, range)); /* ranges that were given may leave layers in f32 */
  }
  return LUR_OK;
}
