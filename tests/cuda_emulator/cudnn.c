/* cudnn.c - the emulated cuDNN: convolutions in NHWC with kernels k h w c, in double, rounded once.
 *
 * It offers three algorithms: the first is not deterministic, the second needs more memory than any caller provides.
 * The third needs a workspace aligned to 256 bytes, overwrites it, and has another math type than was asked for (in
 * half: without tensor cores, as for shapes that do not fit them); it runs only with that math type. */
#include <cudnn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"
#include "streams.h"

enum { TAKEN = 1, WORKSPACE = 3000, LARGEST = 400 /* taps of the largest kernel that is supported */ };

struct cudnnTensorStruct {
  int type;
  int64_t n, c, h, w;
};
struct cudnnFilterStruct {
  int type;
  int64_t k, c, h, w;
};
struct cudnnConvolutionStruct {
  int64_t pad_h, pad_w, u, v;
  cudnnMathType_t math;
};

const char *cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS               ? "CUDNN_STATUS_SUCCESS"
         : status == CUDNN_STATUS_NOT_SUPPORTED_SHAPE ? "CUDNN_STATUS_NOT_SUPPORTED_SHAPE"
                                                      : "CUDNN_STATUS_BAD_PARAM";
}

#define CREATE(at) \
  ((*(at) = calloc(1, sizeof **(at))) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
#define DESTROY(what) (free(what), CUDNN_STATUS_SUCCESS)

struct cudnnContext {
  cudaStream_t stream;
};

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  return emulated_runs_out() ? CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED : CREATE(handle);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { return DESTROY(handle); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  if (!handle || !stream) return CUDNN_STATUS_BAD_PARAM;
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *desc) { return CREATE(desc); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t desc) { return DESTROY(desc); }
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *desc) { return CREATE(desc); }
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t desc) { return DESTROY(desc); }
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *desc) { return CREATE(desc); }
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t desc) { return DESTROY(desc); }

static int type_of(cudnnDataType_t type) { return type == CUDNN_DATA_HALF ? 1 : type == CUDNN_DATA_BFLOAT16 ? 2 : 0; }

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t desc, cudnnTensorFormat_t format, cudnnDataType_t type,
                                         int n, int c, int h, int w) {
  if (format != CUDNN_TENSOR_NHWC || n < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  *desc = (struct cudnnTensorStruct){type_of(type), n, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t desc, cudnnDataType_t type, cudnnTensorFormat_t format,
                                         int k, int c, int h, int w) {
  if (format != CUDNN_TENSOR_NHWC || k < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  *desc = (struct cudnnFilterStruct){type_of(type), k, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t desc, int pad_h, int pad_w, int u, int v,
                                              int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute) {
  if (pad_h < 0 || pad_w < 0 || u < 1 || v < 1 || dilation_h != 1 || dilation_w != 1) return CUDNN_STATUS_BAD_PARAM;
  if (mode != CUDNN_CROSS_CORRELATION || compute != CUDNN_DATA_FLOAT) return CUDNN_STATUS_BAD_PARAM;
  *desc = (struct cudnnConvolutionStruct){pad_h, pad_w, u, v, CUDNN_DEFAULT_MATH};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t desc, cudnnMathType_t math) {
  desc->math = math;
  return CUDNN_STATUS_SUCCESS;
}

/* ---- shapes, algorithms ---- */

typedef struct shape { /* of one convolution, for forward and both gradients */
  const struct cudnnTensorStruct *x, *y;
  const struct cudnnFilterStruct *w;
  const struct cudnnConvolutionStruct *conv;
} shape;

/* y's extents must follow from x's, as in cuDNN. */
static int fits(shape s) {
  return s.x->n == s.y->n && s.x->c == s.w->c && s.y->c == s.w->k && s.x->type == s.y->type && s.x->type == s.w->type &&
         s.y->h == (s.x->h + 2 * s.conv->pad_h - s.w->h) / s.conv->u + 1 &&
         s.y->w == (s.x->w + 2 * s.conv->pad_w - s.w->w) / s.conv->v + 1;
}

static cudnnMathType_t served_math(int type, cudnnMathType_t asked) { return type ? CUDNN_DEFAULT_MATH : asked; }

#define OFFER(results, a, b)                                                                                  \
  do {                                                                                                        \
    if (wanted < 3) return CUDNN_STATUS_BAD_PARAM;                                                            \
    memset(results, 0, 3 * sizeof *results);                                                                  \
    for (int i = 0; i < 3; i++) {                                                                             \
      results[i].algo = i == 2 ? b : a;                                                                       \
      results[i].memory = i == 1 ? (size_t)1 << 40 : WORKSPACE;                                               \
      results[i].determinism = i == 0 ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;                        \
      results[i].mathType = served_math(x->type, conv->math);                                                 \
    }                                                                                                         \
    *found = 3;                                                                                               \
    if (w->h * w->w > LARGEST) return CUDNN_STATUS_NOT_SUPPORTED_SHAPE;                                       \
    return handle && fits((shape){x, y, w, conv}) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;            \
  } while (0)

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
                                                     const cudnnFilterDescriptor_t w,
                                                     const cudnnConvolutionDescriptor_t conv,
                                                     const cudnnTensorDescriptor_t y, const int wanted, int *found,
                                                     cudnnConvolutionFwdAlgoPerf_t *results) {
  OFFER(results, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t handle, const cudnnFilterDescriptor_t w,
                                                          const cudnnTensorDescriptor_t y,
                                                          const cudnnConvolutionDescriptor_t conv,
                                                          const cudnnTensorDescriptor_t x, const int wanted, int *found,
                                                          cudnnConvolutionBwdDataAlgoPerf_t *results) {
  OFFER(results, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
                                                            const cudnnTensorDescriptor_t y,
                                                            const cudnnConvolutionDescriptor_t conv,
                                                            const cudnnFilterDescriptor_t w, const int wanted,
                                                            int *found, cudnnConvolutionBwdFilterAlgoPerf_t *results) {
  OFFER(results, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1);
}

/* ---- the convolutions ---- */

static int64_t x_at(shape s, int64_t n, int64_t h, int64_t w) { return ((n * s.x->h + h) * s.x->w + w) * s.x->c; }
static int64_t y_at(shape s, int64_t n, int64_t h, int64_t w) { return ((n * s.y->h + h) * s.y->w + w) * s.y->c; }
static int64_t w_at(shape s, int64_t k, int64_t h, int64_t w) { return ((k * s.w->h + h) * s.w->w + w) * s.w->c; }

typedef struct arrays {
  const void *x, *w, *y; /* two of them are read */
  double *sum;           /* sums of the third */
} arrays;

typedef enum way { FORWARD, DATA, WEIGHTS } way;

/* Adds the products of one output pixel and one tap. */
static void tap(shape s, way to, arrays a, int64_t yi, int64_t xi, int64_t ky, int64_t kx) {
  const int type = s.x->type == 0 && s.conv->math != CUDNN_FMA_MATH ? NUMBER_TF32 : s.x->type;
  for (int64_t k = 0; k < s.w->k; k++) {
    int64_t wi = w_at(s, k, ky, kx);
    double y = to == FORWARD ? 0 : number_at(type, a.y, yi + k), sum = 0;
    for (int64_t c = 0; c < s.w->c; c++) {
      if (to == FORWARD)
        sum += number_at(type, a.x, xi + c) * number_at(type, a.w, wi + c);
      else if (to == DATA)
        a.sum[xi + c] += y * number_at(type, a.w, wi + c);
      else
        a.sum[wi + c] += y * number_at(type, a.x, xi + c);
    }
    if (to == FORWARD) a.sum[yi + k] += sum;
  }
}

static void convolve(shape s, way to, arrays a) {
  for (int64_t n = 0; n < s.y->n; n++)
    for (int64_t oy = 0; oy < s.y->h; oy++)
      for (int64_t ox = 0; ox < s.y->w; ox++)
        for (int64_t t = 0; t < s.w->h * s.w->w; t++) {
          int64_t ky = t / s.w->w, kx = t % s.w->w, iy = oy * s.conv->u - s.conv->pad_h + ky,
                  ix = ox * s.conv->v - s.conv->pad_w + kx;
          if (iy >= 0 && iy < s.x->h && ix >= 0 && ix < s.x->w)
            tap(s, to, a, y_at(s, n, oy, ox), x_at(s, n, iy, ix), ky, kx);
        }
}

/* A convolution that runs later, with copies of the descriptors, which the caller may destroy. */
typedef struct asked {
  struct cudnnTensorStruct x, y;
  struct cudnnFilterStruct w;
  struct cudnnConvolutionStruct conv;
  way to;
  arrays a;
  void *workspace, *out;
  size_t bytes;
  double alpha, beta;
  int type;
  int64_t count;
} asked;

static void do_convolve(const void *closure) {
  asked k = *(const asked *)closure;
  memset(k.workspace, 0xFF, k.bytes);
  k.a.sum = calloc((size_t)k.count, sizeof *k.a.sum);
  if (!k.a.sum) abort();
  convolve((shape){&k.x, &k.y, &k.w, &k.conv}, k.to, k.a);
  for (int64_t i = 0; i < k.count; i++)
    number_put(k.type, k.out, i, k.alpha * k.a.sum[i] + (k.beta != 0 ? k.beta * number_at(k.type, k.out, i) : 0));
  free(k.a.sum);
}

static emulated_site *site_of(way to, shape s) {
#define SITES(kernel)                                                                                                  \
  {                                                                                                                    \
    {"cudnn", kernel, "", "f32", 0, NULL}, {"cudnn", kernel, "", "f16", 0, NULL},                                      \
        {"cudnn", kernel, "", "bf16", 0, NULL}, {                                                                      \
      "cudnn", kernel, "", "tf32", 0, NULL                                                                             \
    }                                                                                                                  \
  }
  static emulated_site sites[3][4] = {SITES("forward"), SITES("backward_data"), SITES("backward_filter")};
  return &sites[to][s.x->type == 0 && s.conv->math != CUDNN_FMA_MATH ? 3 : s.x->type];
}

static cudnnStatus_t run(cudnnHandle_t handle, shape s, way to, arrays a, int algo, void *workspace, size_t bytes,
                         double alpha, double beta, int type, int64_t count, void *out) {
  if (!handle || !fits(s) || algo != TAKEN || bytes < WORKSPACE || !workspace || (uintptr_t)workspace % 256)
    return CUDNN_STATUS_BAD_PARAM;
  if (s.conv->math != served_math(s.x->type, s.conv->math)) return CUDNN_STATUS_NOT_SUPPORTED;
  asked k = {*s.x, *s.y, *s.w, *s.conv, to, a, workspace, out, bytes, alpha, beta, type, count};
  cudaError_t error = emulated_enqueue(handle->stream, site_of(to, s), do_convolve, &k, sizeof k);
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED_CUDART;
}

static double scalar(const void *p) { return (double)*(const float *)p; }

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t xd,
                                      const void *x, const cudnnFilterDescriptor_t wd, const void *w,
                                      const cudnnConvolutionDescriptor_t conv, cudnnConvolutionFwdAlgo_t algo,
                                      void *workspace, size_t bytes, const void *beta, const cudnnTensorDescriptor_t yd,
                                      void *y) {
  return run(handle, (shape){xd, yd, wd, conv}, FORWARD, (arrays){.x = x, .w = w}, (int)algo, workspace, bytes,
             scalar(alpha), scalar(beta), yd->type, yd->n * yd->h * yd->w * yd->c, y);
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, const cudnnFilterDescriptor_t wd,
                                           const void *w, const cudnnTensorDescriptor_t dyd, const void *dy,
                                           const cudnnConvolutionDescriptor_t conv, cudnnConvolutionBwdDataAlgo_t algo,
                                           void *workspace, size_t bytes, const void *beta,
                                           const cudnnTensorDescriptor_t dxd, void *dx) {
  return run(handle, (shape){dxd, dyd, wd, conv}, DATA, (arrays){.w = w, .y = dy}, (int)algo, workspace, bytes,
             scalar(alpha), scalar(beta), dxd->type, dxd->n * dxd->h * dxd->w * dxd->c, dx);
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t xd,
                                             const void *x, const cudnnTensorDescriptor_t dyd, const void *dy,
                                             const cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workspace, size_t bytes,
                                             const void *beta, const cudnnFilterDescriptor_t dwd, void *dw) {
  return run(handle, (shape){xd, dyd, dwd, conv}, WEIGHTS, (arrays){.x = x, .y = dy}, (int)algo, workspace, bytes,
             scalar(alpha), scalar(beta), dwd->type, dwd->k * dwd->h * dwd->w * dwd->c, dw);
}
