/* conv2d.c - conv2d. Definition: kernels/ref/conv2d.c. The int8 form: conv2d_int8.c.
 *
 * Activations stay in plain NHWC. A 1x1 convolution and its gradients are matrix products: dx is dy times the weights
 * read as [co ci], dw is x transposed times dy. They run on the hand-written GEMM (cpu/gemm.h) if the processor has one
 * and there is enough work, else on oneDNN. With a stride the gradients work on the sampled pixels only: dx is computed
 * densely in scratch and scattered, x is gathered. All other kernel sizes, and their gradients, run on oneDNN. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"

#include <stdlib.h>
#include <string.h>

typedef struct conv {
  lur_dnn_conv2d s;
  bool pointwise, strided; /* 1x1; 1x1 with a stride */
  bool gemm_forward, gemm_dx, gemm_dw;      /* computed by cpu/gemm.h */
  lur_cpu_weights weights, transposed;      /* for gemm_forward and gemm_dx */
  lur_dnn_call *forward, *dx, *dx_add, *dw; /* oneDNN's, for the others */
  int parts;
  int64_t x_count, y_count, small_count; /* small: n oh ow ci, the sampled pixels of the strided form */
  size_t packed_bytes;                   /* packed weights at the front of gemm_forward's scratch; 0: kept */
  size_t masked_bytes, small_bytes; /* at the front of backward's scratch: dy masked by the ReLU; sampled x or dx */
} conv;

static size_t bytes_of(int64_t count) { return cpu_round(sizeof(float) * (size_t)count); }

static void release(lur_op *op) {
  conv *c = op->state;
  if (!c) return;
  lur_dnn_release(c->forward);
  lur_dnn_release(c->dx);
  lur_dnn_release(c->dx_add);
  lur_dnn_release(c->dw);
  lur_cpu_weights_release(&c->weights);
  free(c);
  op->state = NULL;
}

/* Which form of a 1x1 convolution is faster, measured on two cores with AVX-512.
   For few pixels, packing weights that have changed costs more than it gains: sgemm of plain operands (dx of 19x19x728,
   batch 8: 9.1 against 9.5 ms). For very many pixels of few channels, oneDNN's gradient computes dw: it keeps the small
   dw in the caches and goes through the pixels once, while sgemm packs both operands first. Otherwise sgemm does (9.8
   against 12.2 ms). */
enum { FEW_PIXELS = 8192, MANY_PIXELS = 100000, FEW_WEIGHTS = 128 * 128 };

enum { THREAD_PIXELS = 128 }; /* with fewer pixels per thread, dividing rows among threads does not pay */

static int64_t pixels_of(const conv *c) { return c->s.n * c->s.oh * c->s.ow; }

/* changes: the weights change at every step, and are packed each time. */
static bool is_gemm_forward(const lur_op *op, const conv *c, bool changes) {
  const lur_gemm_loops *gemm = cpu_gemm(op);
  return gemm && c->pointwise && !c->strided && c->s.ci >= gemm->min_depth &&
         pixels_of(c) >= (int64_t)THREAD_PIXELS * omp_get_max_threads() &&
         (!changes || pixels_of(c) >= gemm->min_pixels);
}

static bool is_gemm_gradient(const lur_op *op, const conv *c) {
  const lur_gemm_loops *gemm = cpu_gemm(op);
  return gemm && c->pointwise && cpu_min(c->s.ci, c->s.co) >= gemm->min_channels && pixels_of(c) >= gemm->min_pixels;
}

static lur_status plan_dx(lur_op *op, conv *c) {
  lur_dnn *dnn = cpu_dnn(op);
  const int64_t pixels = pixels_of(c);
  if (is_gemm_gradient(op, c)) {
    c->gemm_dx = true;
    c->transposed = (lur_cpu_weights){.k = c->s.co, .n = c->s.ci, .transposed = true};
  } else if (c->pointwise && pixels < FEW_PIXELS) {
    LUR_TRY(lur_dnn_sgemm(pixels, c->s.ci, c->s.co, LUR_DNN_PLAIN, LUR_DNN_TRANSPOSED, false, &c->dx));
    if (!c->strided)
      LUR_TRY(lur_dnn_sgemm(pixels, c->s.ci, c->s.co, LUR_DNN_PLAIN, LUR_DNN_TRANSPOSED, true, &c->dx_add));
  } else if (c->pointwise) {
    lur_dnn_conv2d back = {c->s.n, c->s.oh, c->s.ow, c->s.co, c->s.oh, c->s.ow, c->s.ci, 1, 1, 1, 1, 0, 0};
    LUR_TRY(lur_dnn_conv2d_forward(dnn, &back, true, 0, &c->dx));
    if (!c->strided) LUR_TRY(lur_dnn_conv2d_forward(dnn, &back, true, LUR_DNN_ACCUMULATE, &c->dx_add));
  } else {
    LUR_TRY(lur_dnn_conv2d_backward_data(dnn, &c->s, &c->dx));
  }
  return LUR_OK;
}

static lur_status plan_dw(lur_op *op, conv *c) {
  const int64_t pixels = pixels_of(c);
  c->gemm_dw = is_gemm_gradient(op, c);
  if (c->gemm_dw) return LUR_OK;
  if (c->pointwise && (pixels < MANY_PIXELS || c->s.ci * c->s.co > FEW_WEIGHTS))
    return lur_dnn_sgemm(c->s.ci, c->s.co, pixels, LUR_DNN_TRANSPOSED, LUR_DNN_PLAIN, true, &c->dw);
  lur_dnn_conv2d s = c->s;
  if (c->pointwise) s = (lur_dnn_conv2d){s.n, s.oh, s.ow, s.ci, s.oh, s.ow, s.co, 1, 1, 1, 1, 0, 0};
  return lur_dnn_conv2d_backward_weights(cpu_dnn(op), &s, &c->dw);
}

static size_t transposed_bytes(const lur_op *op, const conv *c) {
  return lur_cpu_weights_bytes(cpu_gemm(op), &c->transposed);
}

static lur_status plan_backward(lur_op *op, conv *c) {
  const lur_op_desc *d = &op->desc;
  if (d->want_dx & 1u) LUR_TRY(plan_dx(op, c));
  if (d->want_dw & 1u) LUR_TRY(plan_dw(op, c));
  op->backward_x = d->want_dw & 1u;
  op->backward_y = d->u.conv2d.relu;
  if (d->u.conv2d.relu) c->masked_bytes = bytes_of(c->y_count);
  /* One piece of scratch serves three purposes, one after another: the sampled x for dw, the dense dx of a strided
     form, and a dx that is added afterwards. */
  if (c->strided) c->small_bytes = bytes_of(c->small_count);
  else if (!c->pointwise && d->want_dx & 1u) c->small_bytes = bytes_of(c->x_count);
  size_t rest = cpu_larger(lur_dnn_scratch(c->dx), lur_dnn_scratch(c->dx_add));
  rest = cpu_larger(rest, lur_dnn_scratch(c->dw));
  if (c->gemm_dx)
    rest = cpu_larger(rest, transposed_bytes(op, c) + lur_cpu_gemm_scratch(cpu_gemm(op), c->s.co, c->parts));
  if (c->gemm_dw)
    rest = cpu_larger(rest, lur_cpu_gemm_gradient_scratch(cpu_gemm(op), pixels_of(c), c->s.ci, c->s.co));
  if (d->want_dw & 2u) rest = cpu_larger(rest, lur_cpu_columns_scratch(c->parts, c->s.co));
  op->backward_scratch = c->masked_bytes + c->small_bytes + rest;
  return LUR_OK;
}

/* Shapes that oneDNN does not support, such as fewer outputs than fit, run on ref. */
static lur_status plan_again_by_parent(lur_op *op) {
  op->forward_scratch = op->backward_scratch = 0;
  op->backward_x = 0;
  op->backward_y = false;
  return lur_cpu_plan_parent(op);
}

static lur_status plan_forward(lur_op *op, conv *c) {
  const lur_op_desc *d = &op->desc;
  const bool changes = d->want_dw & 1u, plain = d->nw == 1 && !d->u.conv2d.relu;
  if (is_gemm_forward(op, c, changes)) {
    c->gemm_forward = true;
    c->weights = (lur_cpu_weights){.k = c->s.ci, .n = c->s.co};
    op->forward_scratch = lur_cpu_gemm_scratch(cpu_gemm(op), c->s.ci, c->parts);
    if (!changes) return lur_cpu_weights_keep(cpu_gemm(op), &c->weights);
    c->packed_bytes = lur_cpu_weights_bytes(cpu_gemm(op), &c->weights);
    op->forward_scratch += c->packed_bytes;
    return LUR_OK;
  }
  const unsigned post = d->nw == 2 ? LUR_DNN_BIAS : 0u;
  if (changes && plain && c->pointwise && !c->strided && pixels_of(c) < FEW_PIXELS)
    LUR_TRY(lur_dnn_sgemm(pixels_of(c), c->s.co, c->s.ci, LUR_DNN_PLAIN, LUR_DNN_PLAIN, false, &c->forward));
  else LUR_TRY(lur_dnn_conv2d_forward(cpu_dnn(op), &c->s, false, post, &c->forward));
  if (!changes) LUR_TRY(lur_dnn_keep_weights(c->forward));
  op->forward_scratch = lur_dnn_scratch(c->forward);
  return LUR_OK;
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (lur_op_is_int8(d)) {
    op->kernel = &lur_cpu_conv2d_int8;
    return op->kernel->plan(op);
  }
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  conv *c = calloc(1, sizeof *c);
  if (!c) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = c;
  c->s = cpu_conv2d_sizes(d);
  c->pointwise = c->s.kh == 1 && c->s.kw == 1;
  c->strided = c->pointwise && (c->s.sh > 1 || c->s.sw > 1 || c->s.oh != c->s.ih || c->s.ow != c->s.iw);
  c->x_count = lur_shape_count(&d->x[0].shape);
  c->y_count = lur_shape_count(&d->y.shape);
  c->small_count = c->s.n * c->s.oh * c->s.ow * c->s.ci;
  c->parts = cpu_parts(c->y_count / c->s.co);
  lur_status status = plan_forward(op, c);
  if (status == LUR_OK && cpu_wants(op)) status = plan_backward(op, c);
  if (status == LUR_OK) return LUR_OK;
  release(op);
  return status == LUR_EUNSUPPORTED ? plan_again_by_parent(op) : status;
}

static lur_status gemm_forward(lur_op *op, const lur_args *args) {
  conv *c = op->state;
  const lur_gemm_loops *gemm = cpu_gemm(op);
  const void *packed = lur_cpu_weights_pack(gemm, &c->weights, args->w[0], args->version, args->scratch);
  const lur_gemm p = {.k = c->s.ci,
                         .n = c->s.co,
                         .packed = packed,
                         .bias = op->desc.nw == 2 ? args->w[1] : NULL,
                         .relu = op->desc.u.conv2d.relu};
  lur_cpu_gemm(gemm, &p, args->x[0], pixels_of(c), op->desc.nx == 2 ? args->x[1] : NULL, args->y, c->parts,
                  (char *)args->scratch + c->packed_bytes);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const conv *c = op->state;
  if (c->gemm_forward) return gemm_forward(op, args);
  const lur_dnn_args run = {.src = args->x[0],
                            .weights = args->w[0],
                            .bias = op->desc.nw == 2 ? args->w[1] : NULL,
                            .dst = args->y,
                            .scratch = args->scratch,
                            .version = args->version};
  LUR_TRY(lur_dnn_run(c->forward, &run));
  if (op->desc.nx == 2)
    lur_cpu_add_residual(cpu_loops(op), args->x[1], op->desc.u.conv2d.relu, args->y, c->y_count);
  else if (op->desc.u.conv2d.relu) lur_cpu_relu(cpu_loops(op), args->y, c->y_count);
  return LUR_OK;
}

/* The image row that row r of the n * oh rows of sampled pixels is taken from. */
static const float *sampled_row(const conv *c, const float *whole, int64_t r) {
  return whole + (r / c->s.oh * c->s.ih + r % c->s.oh * c->s.sh) * c->s.iw * c->s.ci;
}

static void sample(const conv *c, const float *x, float *small) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < c->s.n * c->s.oh; r++) {
    const float *from = sampled_row(c, x, r);
    float *to = small + r * c->s.ow * c->s.ci;
    for (int64_t i = 0; i < c->s.ow; i++)
      memcpy(to + i * c->s.ci, from + i * c->s.sw * c->s.ci, sizeof(float) * (size_t)c->s.ci);
  }
}

static void scatter_row(const conv *c, const lur_loops *loops, const float *small, float *to, bool add) {
  for (int64_t i = 0; i < c->s.ow; i++) {
    float *pixel = to + i * c->s.sw * c->s.ci;
    if (add) loops->affine(1, 0, small + i * c->s.ci, pixel, true, c->s.ci);
    else memcpy(pixel, small + i * c->s.ci, sizeof(float) * (size_t)c->s.ci);
  }
}

/* dx from the gradients of the sampled pixels; the other pixels of dx become 0 unless `add`. */
static void scatter(const conv *c, const lur_loops *loops, const float *small, float *dx, bool add) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < c->s.n * c->s.ih; r++) {
    const int64_t image = r / c->s.ih, iy = r % c->s.ih, oy = iy / c->s.sh;
    float *to = dx + r * c->s.iw * c->s.ci;
    if (!add) memset(to, 0, sizeof(float) * (size_t)(c->s.iw * c->s.ci));
    if (iy % c->s.sh == 0 && oy < c->s.oh)
      scatter_row(c, loops, small + (image * c->s.oh + oy) * c->s.ow * c->s.ci, to, add);
  }
}

static void gemm_backward_input(lur_op *op, const lur_args *args, const float *dy, float *small, void *scratch) {
  conv *c = op->state;
  const lur_gemm_loops *gemm = cpu_gemm(op);
  const bool add = args->dx_add & 1u;
  float *dx = c->strided ? small : args->dx[0];
  const void *packed = lur_cpu_weights_pack(gemm, &c->transposed, args->w[0], 0, scratch);
  const lur_gemm p = {.k = c->s.co, .n = c->s.ci, .packed = packed};
  lur_cpu_gemm(gemm, &p, dy, pixels_of(c), add && !c->strided ? dx : NULL, dx, c->parts,
                  (char *)scratch + transposed_bytes(op, c));
  if (c->strided) scatter(c, cpu_loops(op), small, args->dx[0], add);
}

static lur_status backward_input(lur_op *op, const lur_args *args, const float *dy, float *small, void *scratch) {
  const conv *c = op->state;
  const bool add = args->dx_add & 1u;
  if (c->gemm_dx) return gemm_backward_input(op, args, dy, small, scratch), LUR_OK;
  lur_dnn_args run = {.src = dy, .weights = args->w[0], .dst = args->dx[0], .scratch = scratch};
  if (c->pointwise && !c->strided) return lur_dnn_run(add ? c->dx_add : c->dx, &run);
  if (c->strided || add) run.dst = small;
  LUR_TRY(lur_dnn_run(c->dx, &run));
  if (c->strided) scatter(c, cpu_loops(op), small, args->dx[0], add);
  else if (add) lur_cpu_put(cpu_loops(op), args->dx[0], small, c->x_count, true);
  return LUR_OK;
}

static lur_status backward_weights(lur_op *op, const lur_args *args, const float *dy, float *small, void *scratch) {
  const conv *c = op->state;
  const float *x = args->x[0];
  if (c->strided) {
    sample(c, x, small);
    x = small;
  }
  if (c->gemm_dw) {
    lur_cpu_gemm_gradient(cpu_gemm(op), x, dy, pixels_of(c), c->s.ci, c->s.co, scratch, args->dw[0]);
    return LUR_OK;
  }
  const lur_dnn_args run = {.src = x, .weights = dy, .dst = args->dw[0], .scratch = scratch};
  return lur_dnn_run(c->dw, &run);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const conv *c = op->state;
  char *scratch = args->scratch;
  float *masked = (float *)scratch, *small = (float *)(scratch + c->masked_bytes);
  void *rest = scratch + c->masked_bytes + c->small_bytes;
  const float *dy = args->dy;
  if (d->u.conv2d.relu) {
    lur_cpu_mask(cpu_loops(op), args->y, dy, masked, c->y_count);
    dy = masked;
  }
  if (d->want_dw & 1u) LUR_TRY(backward_weights(op, args, dy, small, rest));
  if (d->want_dw & 2u) lur_cpu_columns(cpu_loops(op), c->parts, dy, c->y_count / c->s.co, c->s.co, rest, args->dw[1]);
  if (d->want_dx & 1u) LUR_TRY(backward_input(op, args, dy, small, rest));
  if (d->want_dx & 2u) lur_cpu_put(cpu_loops(op), args->dx[1], dy, c->y_count, args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_cpu_conv2d = {plan, forward, backward, release};
