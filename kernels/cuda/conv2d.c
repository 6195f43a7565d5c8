/* conv2d.c - conv2d: 1x1 with stride 1 as a matrix product (dense.c), all other sizes by cuDNN in NHWC.
 *
 * cuDNN's weights are co kh kw ci, Lurcher's kh kw ci co: they are transposed in scratch at each call, to the
 * activations' type, and weight gradients are transposed back and added. cuDNN pads both sides equally: where the op
 * does not, the image is copied to a padded one first. Only deterministic algorithms are used, in the order of cuDNN's
 * heuristics, which are queried once per shape and device. Bias, residual and ReLU follow in one kernel. */
#include <stdlib.h>
#include <string.h>

#include "host.h"

/* The number of cuDNN's answers that are considered: each algorithm may be listed with every kind of arithmetic. */
enum { ANSWERS = 24 };
static const size_t MOST_WORKSPACE = (size_t)512 << 20;

typedef struct conv {
  cudnnTensorDescriptor_t x, y; /* x: of the padded image, if there is one */
  cudnnFilterDescriptor_t w;
  cudnnConvolutionDescriptor_t conv;
  bool padded;
  int64_t image[4], ph, pw; /* n h w ci, and the height and width of the padded image */
  int64_t rows, taps, co;   /* rows: n oh ow; taps: kh kw ci */
  int algorithm[3];         /* by `direction` */
  cudnnMathType_t math[3];
  size_t workspace[3];
} conv;

typedef enum direction { FORWARD, DATA, WEIGHTS } direction;

/* ---- shapes for cuDNN ---- */

static bool same_extent(int64_t in, int64_t out, int kernel, int stride, int pad) {
  return (in + 2 * pad - kernel) >= 0 && (in + 2 * pad - kernel) / stride + 1 == out;
}

static void take_shape(const lur_op_desc *d, conv *c) {
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  const lur_conv2d_desc *u = &d->u.conv2d;
  memcpy(c->image, x, sizeof c->image);
  c->padded = !same_extent(x[1], y[1], u->kernel_h, u->stride_h, u->pad_top) ||
              !same_extent(x[2], y[2], u->kernel_w, u->stride_w, u->pad_left);
  c->ph = c->padded ? (y[1] - 1) * u->stride_h + u->kernel_h : x[1];
  c->pw = c->padded ? (y[2] - 1) * u->stride_w + u->kernel_w : x[2];
  c->rows = y[0] * y[1] * y[2];
  c->taps = u->kernel_h * u->kernel_w * x[3];
  c->co = y[3];
}

static cudnnDataType_t type_of(lur_dtype dtype) {
  return dtype == LUR_F16 ? CUDNN_DATA_HALF : dtype == LUR_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* cuDNN's sizes are int. */
static lur_status check_size(const conv *c) {
  int64_t in = c->image[0] * c->ph * c->pw * c->image[3], out = c->rows * c->co;
  int64_t image = c->image[0] * c->image[1] * c->image[2] * c->image[3];
  if (in <= INT32_MAX && image <= INT32_MAX && out <= INT32_MAX && c->taps * c->co <= INT32_MAX) return LUR_OK;
  return lur_fail(LUR_EUNSUPPORTED, "more than 2^31 elements at once are too many for cuDNN: lower the batch size");
}

static lur_status describe(lur_device *device, const lur_op_desc *d, conv *c) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const int64_t *x = c->image, *y = d->y.shape.dim;
  cudnnDataType_t type = type_of(d->y.dtype);
  LUR_TRY(check_size(c));
  CUDNN_TRY(device, cudnnCreateTensorDescriptor(&c->x));
  CUDNN_TRY(device, cudnnCreateTensorDescriptor(&c->y));
  CUDNN_TRY(device, cudnnCreateFilterDescriptor(&c->w));
  CUDNN_TRY(device, cudnnCreateConvolutionDescriptor(&c->conv));
  CUDNN_TRY(device,
            cudnnSetTensor4dDescriptor(c->x, CUDNN_TENSOR_NHWC, type, (int)x[0], (int)x[3], (int)c->ph, (int)c->pw));
  CUDNN_TRY(device,
            cudnnSetTensor4dDescriptor(c->y, CUDNN_TENSOR_NHWC, type, (int)y[0], (int)y[3], (int)y[1], (int)y[2]));
  CUDNN_TRY(device,
            cudnnSetFilter4dDescriptor(c->w, type, CUDNN_TENSOR_NHWC, (int)c->co, (int)x[3], u->kernel_h, u->kernel_w));
  CUDNN_TRY(device,
            cudnnSetConvolution2dDescriptor(c->conv, c->padded ? 0 : u->pad_top, c->padded ? 0 : u->pad_left,
                                            u->stride_h, u->stride_w, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  cudnnMathType_t math = d->y.dtype != LUR_F32 ? CUDNN_TENSOR_OP_MATH : d->tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
  CUDNN_TRY(device, cudnnSetConvolutionMathType(c->conv, math));
  return LUR_OK;
}

/* ---- the choice of an algorithm ---- */

/* The first of n answers that is acceptable; -1: none. An algorithm and its workspace are valid only with the math type
   they are listed with, which must be set when it runs. Strict f32 uses FMA, because DEFAULT would allow TF32. */
#define PICK_WITHIN(most, answers, n, strict, choice)                                                               \
  for (int i_ = 0; i_ < (n) && (choice)->algorithm < 0; i_++) {                                                     \
    const cudnnMathType_t math_ = (answers)[i_].mathType;                                                           \
    if ((answers)[i_].status != CUDNN_STATUS_SUCCESS || (answers)[i_].determinism != CUDNN_DETERMINISTIC) continue; \
    if ((answers)[i_].memory > (most)) continue;                                                                    \
    if ((strict) && math_ != CUDNN_FMA_MATH && math_ != CUDNN_DEFAULT_MATH) continue;                               \
    (choice)->algorithm = (int)(answers)[i_].algo;                                                                  \
    (choice)->math = (strict) ? CUDNN_FMA_MATH : math_;                                                             \
    (choice)->workspace = (answers)[i_].memory;                                                                     \
  }
/* Without an algorithm that needs at most MOST_WORKSPACE, one that needs more. */
#define PICK(answers, n, strict, choice)                           \
  do {                                                             \
    PICK_WITHIN(MOST_WORKSPACE, answers, n, strict, choice)        \
    PICK_WITHIN(SIZE_MAX, answers, n, strict, choice)              \
  } while (0)

static lur_status ask(lur_device *device, const conv *c, direction way, bool strict, lur_cuda_choice *choice) {
  cudnnHandle_t dnn = lur_cuda_state_of(device)->dnn;
  int n = 0;
  choice->algorithm = -1;
  if (way == FORWARD) {
    cudnnConvolutionFwdAlgoPerf_t answers[ANSWERS];
    CUDNN_TRY(device, cudnnGetConvolutionForwardAlgorithm_v7(dnn, c->x, c->w, c->conv, c->y, ANSWERS, &n, answers));
    PICK(answers, n, strict, choice);
  } else if (way == DATA) {
    cudnnConvolutionBwdDataAlgoPerf_t answers[ANSWERS];
    CUDNN_TRY(device,
              cudnnGetConvolutionBackwardDataAlgorithm_v7(dnn, c->w, c->y, c->conv, c->x, ANSWERS, &n, answers));
    PICK(answers, n, strict, choice);
  } else {
    cudnnConvolutionBwdFilterAlgoPerf_t answers[ANSWERS];
    CUDNN_TRY(device,
              cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn, c->x, c->y, c->conv, c->w, ANSWERS, &n, answers));
    PICK(answers, n, strict, choice);
  }
  if (choice->algorithm >= 0) return LUR_OK;
  return lur_fail(LUR_EUNSUPPORTED, "%s: cuDNN has no deterministic algorithm for this convolution", device->name);
}

static void fill_key(const lur_op_desc *d, const conv *c, direction way, int64_t key[20]) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const int64_t all[20] = {way, (int64_t)d->y.dtype, d->tf32, c->padded, c->image[0], c->image[3], c->ph, c->pw,
                           c->co, d->y.shape.dim[1], d->y.shape.dim[2], u->kernel_h, u->kernel_w, u->stride_h,
                           u->stride_w, u->pad_top, u->pad_left};
  memcpy(key, all, sizeof all);
}

static lur_status choose(lur_device *device, const lur_op_desc *d, conv *c, direction way) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  int64_t key[20];
  fill_key(d, c, way, key);
  lur_cuda_choice *found = s->choices;
  while (found && memcmp(found->key, key, sizeof key) != 0) found = found->next;
  if (!found) {
    found = calloc(1, sizeof *found);
    if (!found) return lur_fail(LUR_ENOMEM, "no memory for a choice of algorithm");
    memcpy(found->key, key, sizeof key);
    lur_status status = ask(device, c, way, d->y.dtype == LUR_F32 && !d->tf32, found);
    if (status != LUR_OK) {
      free(found);
      return status;
    }
    found->next = s->choices;
    s->choices = found;
  }
  c->algorithm[way] = found->algorithm;
  c->math[way] = found->math;
  c->workspace[way] = found->workspace;
  return LUR_OK;
}

/* ---- plan ---- */

static size_t most(size_t a, size_t b) { return a > b ? a : b; }
static size_t kernel_bytes(const lur_op *op, const conv *c) {
  return lur_cuda_round(lur_dtype_size(op->desc.y.dtype) * (size_t)(c->taps * c->co));
}
static size_t padded_bytes(const lur_op *op, const conv *c) {
  if (!c->padded) return 0;
  return lur_cuda_round(lur_dtype_size(op->desc.y.dtype) * (size_t)(c->image[0] * c->ph * c->pw * c->image[3]));
}
static size_t mask_bytes(const lur_op *op) {
  return op->desc.u.conv2d.relu ? lur_cuda_round(lur_cuda_bytes(&op->desc.y)) : 0;
}

/* Backward's scratch: masked dy, weights, padded image, workspace. */
static void size_backward(lur_op *op, const conv *c) {
  const lur_op_desc *d = &op->desc;
  size_t operands = kernel_bytes(op, c) + padded_bytes(op, c), scratch = 0;
  if (d->want_dx & 1u) scratch = operands + lur_cuda_workspace_room(c->workspace[DATA]);
  if (d->want_dw & 1u) scratch = most(scratch, operands + lur_cuda_workspace_room(c->workspace[WEIGHTS]));
  if (d->want_dw & 2u) scratch = most(scratch, lur_cuda_columns_scratch(op->device, c->rows, c->co));
  if (lur_cuda_wants(op)) op->backward_scratch = mask_bytes(op) + scratch;
}

static void release(lur_op *op) {
  conv *c = op->state;
  if (!c) return;
  if (c->x) cudnnDestroyTensorDescriptor(c->x);
  if (c->y) cudnnDestroyTensorDescriptor(c->y);
  if (c->w) cudnnDestroyFilterDescriptor(c->w);
  if (c->conv) cudnnDestroyConvolutionDescriptor(c->conv);
  free(c);
  op->state = NULL;
}

static lur_status plan_conv(lur_op *op, conv *c) {
  const lur_op_desc *d = &op->desc;
  take_shape(d, c);
  LUR_TRY(describe(op->device, d, c));
  LUR_TRY(choose(op->device, d, c, FORWARD));
  if (d->want_dx & 1u) LUR_TRY(choose(op->device, d, c, DATA));
  if (d->want_dw & 1u) LUR_TRY(choose(op->device, d, c, WEIGHTS));
  op->backward_x = d->want_dw & 1u;
  op->backward_y = d->u.conv2d.relu && lur_cuda_wants(op);
  op->forward_scratch = kernel_bytes(op, c) + padded_bytes(op, c) + lur_cuda_workspace_room(c->workspace[FORWARD]);
  size_backward(op, c);
  return LUR_OK;
}

static const lur_kernel pointwise = {NULL, lur_cuda_dense_forward, lur_cuda_dense_backward, lur_cuda_dense_release};

static bool is_pointwise(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  return u->kernel_h == 1 && u->kernel_w == 1 && u->stride_h == 1 && u->stride_w == 1 &&
         d->x[0].shape.dim[1] == d->y.shape.dim[1] && d->x[0].shape.dim[2] == d->y.shape.dim[2];
}

static lur_status plan(lur_op *op) {
  if (is_pointwise(&op->desc)) {
    op->kernel = &pointwise; /* from now on it is a dense */
    return lur_cuda_dense_plan(op, op->desc.u.conv2d.relu);
  }
  LUR_TRY(lur_cuda_want_f32_weights(op));
  LUR_TRY(lur_cuda_want_gemm(op));
  conv *c = calloc(1, sizeof *c);
  if (!c) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = c;
  lur_status status = plan_conv(op, c);
  if (status != LUR_OK) release(op);
  return status;
}

/* ---- forward ---- */

static const float one = 1, zero = 0;

/* x for cuDNN: padded in scratch, which is advanced, or as it is. */
static lur_status pad_if_needed(lur_op *op, const conv *c, const void *x, char **scratch, const void **to) {
  *to = x;
  if (!c->padded) return LUR_OK;
  *to = *scratch;
  LUR_TRY(lur_cuda_pad_images(op->device, op->desc.y.dtype, x, *scratch, c->image, c->ph, c->pw,
                              op->desc.u.conv2d.pad_top, op->desc.u.conv2d.pad_left));
  *scratch += padded_bytes(op, c);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const conv *c = op->state;
  const lur_op_desc *d = &op->desc;
  lur_device *device = op->device;
  char *kernel = args->scratch, *scratch = kernel + kernel_bytes(op, c);
  const void *x;
  (void)lur_cuda_enter(device);
  LUR_TRY(lur_cuda_transpose(device, d->y.dtype, args->w[0], kernel, c->taps, c->co));
  LUR_TRY(pad_if_needed(op, c, args->x[0], &scratch, &x));
  CUDNN_TRY(device, cudnnSetConvolutionMathType(c->conv, c->math[FORWARD]));
  CUDNN_TRY(device, cudnnConvolutionForward(lur_cuda_state_of(device)->dnn, &one, c->x, x, c->w, kernel, c->conv,
                                            (cudnnConvolutionFwdAlgo_t)c->algorithm[FORWARD],
                                            lur_cuda_workspace(scratch), c->workspace[FORWARD], &zero, c->y, args->y));
  LUR_TRY(lur_cuda_launched(device));
  if (d->nw < 2 && d->nx < 2 && !d->u.conv2d.relu) return LUR_OK;
  return lur_cuda_epilogue(device, d->y.dtype, args->y, d->nw == 2 ? args->w[1] : NULL, d->nx == 2 ? args->x[1] : NULL,
                           d->u.conv2d.relu, c->rows, c->co);
}

/* ---- backward ---- */

static lur_status weight_gradient(lur_op *op, const lur_args *args, const void *dy, char *scratch) {
  const conv *c = op->state;
  lur_device *device = op->device;
  char *kernel = scratch;
  const void *x;
  scratch += kernel_bytes(op, c);
  LUR_TRY(pad_if_needed(op, c, args->x[0], &scratch, &x));
  CUDNN_TRY(device, cudnnSetConvolutionMathType(c->conv, c->math[WEIGHTS]));
  CUDNN_TRY(device,
            cudnnConvolutionBackwardFilter(lur_cuda_state_of(device)->dnn, &one, c->x, x, c->y, dy, c->conv,
                                           (cudnnConvolutionBwdFilterAlgo_t)c->algorithm[WEIGHTS],
                                           lur_cuda_workspace(scratch), c->workspace[WEIGHTS], &zero, c->w, kernel));
  LUR_TRY(lur_cuda_launched(device));
  return lur_cuda_transpose_add(device, op->desc.y.dtype, kernel, args->dw[0], c->co, c->taps);
}

static lur_status data_gradient(lur_op *op, const lur_args *args, const void *dy, char *scratch) {
  const conv *c = op->state;
  const lur_conv2d_desc *u = &op->desc.u.conv2d;
  lur_device *device = op->device;
  bool add = args->dx_add & 1u;
  char *kernel = scratch, *padded = kernel + kernel_bytes(op, c);
  void *dx = c->padded ? padded : args->dx[0];
  scratch = padded + padded_bytes(op, c);
  LUR_TRY(lur_cuda_transpose(device, op->desc.y.dtype, args->w[0], kernel, c->taps, c->co));
  CUDNN_TRY(device, cudnnSetConvolutionMathType(c->conv, c->math[DATA]));
  CUDNN_TRY(device,
            cudnnConvolutionBackwardData(lur_cuda_state_of(device)->dnn, &one, c->w, kernel, c->y, dy, c->conv,
                                         (cudnnConvolutionBwdDataAlgo_t)c->algorithm[DATA], lur_cuda_workspace(scratch),
                                         c->workspace[DATA], add && !c->padded ? &one : &zero, c->x, dx));
  LUR_TRY(lur_cuda_launched(device));
  if (!c->padded) return LUR_OK;
  return lur_cuda_unpad_images(device, op->desc.y.dtype, padded, args->dx[0], c->image, c->ph, c->pw, u->pad_top,
                          u->pad_left, add);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const conv *c = op->state;
  const lur_op_desc *d = &op->desc;
  char *scratch = (char *)args->scratch + mask_bytes(op);
  const void *dy = args->dy;
  (void)lur_cuda_enter(op->device);
  if (d->u.conv2d.relu) {
    LUR_TRY(lur_cuda_put(op->device, d->y.dtype, args->scratch, dy, args->y, c->rows * c->co, false));
    dy = args->scratch;
  }
  if (d->want_dw & 1u) LUR_TRY(weight_gradient(op, args, dy, scratch));
  if (d->want_dw & 2u)
    LUR_TRY(lur_cuda_columns(op->device, d->y.dtype, dy, NULL, c->rows, c->co, args->dw[1], scratch));
  if (d->want_dx & 2u)
    LUR_TRY(lur_cuda_put(op->device, d->y.dtype, args->dx[1], dy, NULL, c->rows * c->co, args->dx_add & 2u));
  return d->want_dx & 1u ? data_gradient(op, args, dy, scratch) : LUR_OK;
}

const lur_kernel lur_cuda_conv2d = {plan, forward, backward, release};
