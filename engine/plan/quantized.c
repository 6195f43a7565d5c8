/* quantized.c - int8 weights (quantized.h).
 *
 * An 8-bit value q of channel c represents (q - z[c]) * s[c] with z[c] = -low / s[c] (Jacob et al. 2018, arXiv
 * 1712.05877, section 2.1, with a step for each channel). A convolution is then
 *
 *   sum_i x[i] w[i,o]  =  sum_i q[i] (s[i] w[i,o])  -  sum_i z[i] s[i] w[i,o]
 *
 * and s[i] w[i,o] is quantized to whole numbers from -127 to 127, with a scale for each output o. The second sum goes
 * into the bias, together with what makes the result exact for the mean input in spite of the weights' rounding (bias
 * correction, Nagel et al. 2019, arXiv 1906.04721, section 4.2). So z need not be a whole number. Kernels that reach
 * beyond the image are the exception, because pixels there are the 8-bit value 0: they are quantized only where their
 * input is never negative, with z = 0. */
#include "quantized.h"

#include <math.h>
#include <stdlib.h>

#include "engine/tensor/tensor.h"

/* s = width^BALANCE * widest^(1 - BALANCE) / 255. At 1 every channel uses all 256 values, but the weights of the widest
   channels crowd out the others'; at 0 all channels have one step (Xiao et al. 2022, arXiv 2211.10438, also shift a
   part of the range to the weights). The relative error of a deep backbone's pooled features was 0.17 at 1 and 0.13 at
   0.75. NARROWEST: the least width that counts, as a share of the widest: images to come may widen a channel. */
static const float BALANCE = 0.75f, NARROWEST = 0x1p-8f;

/* ---- 8-bit values ---- */

static float width_of(const lur_quantized *q, int64_t c) {
  return q->range->high[c] - (q->zero_is_zero ? 0 : q->range->low[c]);
}

static float widest_of(const lur_quantized *q) {
  float widest = 0;
  for (int64_t c = 0; c < q->range->channels; c++) widest = fmaxf(widest, width_of(q, c));
  return widest;
}

static float step_of(const lur_quantized *q, int64_t c) {
  if (!(q->widest > 0)) return 1;
  return powf(fmaxf(width_of(q, c) / q->widest, NARROWEST), BALANCE) * q->widest / LUR_INT8_LEVELS;
}

/* The value, not a whole number, that represents zero. */
static float zero_of(const lur_quantized *q, int64_t c) {
  return q->zero_is_zero ? 0 : -q->range->low[c] / step_of(q, c);
}

/* ---- weights ---- */

void lur_quantized_free(lur_quantized *q) {
  if (!q) return;
  lur_tensor_release(q->kernel);
  lur_tensor_release(q->shift);
  lur_tensor_release(q->scale);
  free(q);
}

lur_status lur_quantized_new(lur_context *context, lur_device *device, const lur_quantized *form,
                             const lur_shape *kernel, int64_t outputs, lur_quantized **quantized) {
  const lur_shape vector = {1, {outputs}};
  lur_quantized *q = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *q, &q));
  *q = *form;
  q->widest = widest_of(q);
  lur_status status = lur_tensor_new(context, device, LUR_F32, kernel, &q->kernel);
  if (status == LUR_OK) status = lur_tensor_new(context, device, LUR_F32, &vector, &q->shift);
  if (status == LUR_OK && !q->writes) status = lur_tensor_new(context, device, LUR_F32, &vector, &q->scale);
  if (status == LUR_OK) *quantized = q;
  else lur_quantized_free(q);
  return status;
}

typedef struct source { /* NULL: a kernel of ones, a bias of zeros */
  const float *kernel, *bias;
  uint64_t versions;
} source;

static source source_of(const lur_quantized *q) {
  source s = {.versions = 1};
  const lur_folded *folded = q->folded;
  if (folded) return (source){lur_tensor_address(folded->kernel), lur_tensor_address(folded->shift), folded->versions};
  const float **places[2] = {&s.kernel, &s.bias};
  for (int i = 0; i < 2; i++) {
    if (q->weights[i] < 0) continue;
    const lur_weight *weight = &q->layer->weights[q->weights[i]];
    *places[i] = lur_tensor_address(weight->value);
    s.versions += lur_weight_version(weight);
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
  const double unit = most > 0 ? most / LUR_INT8_WEIGHT : 1;
  for (int64_t i = 0; i < cells; i++) {
    const int64_t c = i % channels;
    const double step = (double)step_of(q, c), w = (double)s->kernel[i * outputs + o], mean = (double)q->range->mean[c];
    const double whole = nearbyint(w * step / unit);
    kernel[i * outputs + o] = isfinite(whole) ? (float)whole : 0; /* then `lost`, and so the bias, is NaN */
    lost += mean * w - unit * whole * (mean / step + (double)zero_of(q, c));
  }
  scale[o] = (float)unit;
  shift[o] = (float)((s->bias ? (double)s->bias[o] : 0) + lost);
}

lur_status lur_quantized_refresh(lur_quantized *q) {
  const source s = source_of(q);
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
