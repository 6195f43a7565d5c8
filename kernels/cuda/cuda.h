/* cuda.h - what the files of the CUDA backend share: the kernels, launching, and device code that several ops use.
 *
 * Every op has one file: its plan, its launches and its kernels. Host code that calls cuDNN and cuBLASLt is C
 * (conv2d.c, gemm.c, dense.c, matmul.c) and includes host.h too. Activations are f32, f16 or bf16, always NHWC;
 * weights and their gradients are f32; sums are in float or double, in an order that depends only on the shapes and on
 * the number of multiprocessors: no atomics, so the same device gives the same bits. forward, backward and update
 * launch on one stream and neither allocate nor wait nor copy from the host, so that a step can be captured
 * (capture.c); values that change from step to step are read from device memory (lur_step_parameters). A new op: a row
 * in LUR_CUDA_KERNELS and a file. */
#ifndef LUR_CUDA_H
#define LUR_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

__attribute__((visibility("default"))) extern const lur_backend lur_cuda_backend;
/* LUR_BACKEND_LAYOUT when the plugin was compiled. It exports only these two. */
__attribute__((visibility("default"))) extern const uint64_t lur_cuda_layout;

/* There is no separable_conv2d: the engine does not fuse it for this backend. */
#define LUR_CUDA_KERNELS(row)             \
  row(CONV2D, conv2d)                     \
  row(DEPTHWISE_CONV2D, depthwise_conv2d) \
  row(DENSE, dense)                       \
  row(BATCHNORM, batchnorm)               \
  row(ACTIVATION, activation)             \
  row(SOFTMAX, softmax)                   \
  row(POOL, pool)                         \
  row(GLOBAL_POOL, global_pool)           \
  row(BINARY, binary)                     \
  row(WHERE, where)                       \
  row(PARAMETER, parameter)               \
  row(AFFINE, affine)                     \
  row(CONCAT, concat)                     \
  row(GATHER, gather)                     \
  row(ONE_HOT, one_hot)                   \
  row(DROPOUT, dropout)                   \
  row(COPY, copy)                         \
  row(NORMALIZE, normalize)               \
  row(REDUCE, reduce)                     \
  row(MATMUL, matmul)                     \
  row(PERMUTE, permute)                   \
  row(SLICE, slice)                       \
  row(PAD, pad)                           \
  row(LAYERNORM, layernorm)               \
  row(GROUPNORM, groupnorm)               \
  row(UPSAMPLE, upsample)                 \
  row(LOSS, loss)

#define LUR_CUDA_KERNEL(KIND, name) extern const lur_kernel lur_cuda_##name;
LUR_CUDA_KERNELS(LUR_CUDA_KERNEL)
#undef LUR_CUDA_KERNEL

lur_status lur_cuda_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n);
lur_status lur_cuda_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum);
lur_status lur_cuda_lerp(lur_device *device, const lur_parameter *parameters, int n, double share);

/* ---- the device (cuda.c) ---- */

/* Makes device the calling thread's current device and returns the stream that computes. Every entry calls it first. */
cudaStream_t lur_cuda_enter(lur_device *device);
int lur_cuda_sms(const lur_device *device); /* multiprocessors */
/* After every launch: LUR_EDEVICE if it failed. With LURCHER_SYNC=1 it waits, so that a fault is reported by its op. */
lur_status lur_cuda_launched(lur_device *device);
/* LUR_OK, or the message of a failed call of the runtime: the call, and CUDA's name and description of the error. */
lur_status lur_cuda_check(lur_device *device, cudaError_t error, const char *what);
/* Device memory for LUR_CUDA_PARTIALS doubles. */
enum { LUR_CUDA_PARTIALS = 1024 };
double *lur_cuda_partials(lur_device *device);

/* LUR_ETYPE unless weights are f32. Activations may be f32, f16 or bf16 (op_desc.c has checked). */
lur_status lur_cuda_want_f32_weights(const lur_op *op);

static inline bool lur_cuda_wants(const lur_op *op) { return op->desc.want_dx || op->desc.want_dw; }
static inline int64_t lur_cuda_last(const lur_shape *s) { return s->ndim > 0 ? s->dim[s->ndim - 1] : 1; }
static inline int64_t lur_cuda_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline size_t lur_cuda_bytes(const lur_operand *o) {
  return lur_dtype_size(o->dtype) * (size_t)lur_shape_count(&o->shape);
}

/* Scratch is divided at multiples of 256 bytes. */
static inline size_t lur_cuda_round(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* Libraries need a workspace that is aligned to 256 bytes too, which scratch itself is not: the bytes to reserve for
   it, and its address there. */
static inline size_t lur_cuda_workspace_room(size_t bytes) { return bytes ? lur_cuda_round(bytes) + 256 : 0; }
static inline void *lur_cuda_workspace(void *room) { return (void *)lur_cuda_round((size_t)room); }

/* ---- kernels that several ops use (common.cu). T is the type of activations, `dtype`. ---- */

/* cudaSuccess if the plugin contains code for the current device. */
cudaError_t lur_cuda_probe(void);
/* dst = (T)src */
lur_status lur_cuda_cast(lur_device *device, lur_dtype dtype, const float *src, void *dst, int64_t count);
/* dst = (T)src, or dst += src: a sum in f32 that is rounded once. */
lur_status lur_cuda_round_sum(lur_device *device, lur_dtype dtype, const float *src, void *dst, int64_t count,
                              bool add);
/* dx = dy, or dx += dy; with y, dy counts only where y > 0. y may be NULL, dx may be dy. */
lur_status lur_cuda_put(lur_device *device, lur_dtype dtype, void *dx, const void *dy, const void *y, int64_t count,
                        bool add);
/* y = [relu](y + bias[channel] + residual); bias and residual may be NULL. */
lur_status lur_cuda_epilogue(lur_device *device, lur_dtype dtype, void *y, const float *bias, const void *residual,
                             bool relu, int64_t rows, int64_t c);
/* db[i] += the sum over rows of dy[r,i]; with y, only of those with y > 0. y may be NULL. scratch: of
   lur_cuda_columns_scratch bytes. */
lur_status lur_cuda_columns(lur_device *device, lur_dtype dtype, const void *dy, const void *y, int64_t rows, int64_t c,
                            float *db, void *scratch);
size_t lur_cuda_columns_scratch(lur_device *device, int64_t rows, int64_t c);
/* to[i] = or += the sum over p < parts of partials[p,i], for i < count, in double. */
lur_status lur_cuda_add_parts(lur_device *device, const float *partials, int64_t parts, int64_t count, float *to,
                              bool add);
/* to[c,r] = (T)from[r,c]: transposes an f32 matrix. */
lur_status lur_cuda_transpose(lur_device *device, lur_dtype dtype, const float *from, void *to, int64_t rows,
                         int64_t columns);
/* to[c,r] += from[r,c]: transposes a matrix of T and adds it to an f32 one. */
lur_status lur_cuda_transpose_add(lur_device *device, lur_dtype dtype, const void *from, float *to, int64_t rows,
                             int64_t columns);
/* Pads an image n h w c with zeros: to is n ph pw c, and its pixel (top, left) is the image's (0, 0). What does not fit
   is cut off. */
lur_status lur_cuda_pad_images(lur_device *device, lur_dtype dtype, const void *from, void *to, const int64_t image[4],
                          int64_t ph, int64_t pw, int64_t top, int64_t left);
/* The reverse: to n h w c = or += the pixels of the padded image; 0 where it has none. */
lur_status lur_cuda_unpad_images(lur_device *device, lur_dtype dtype, const void *from, void *to,
                                 const int64_t image[4], int64_t ph, int64_t pw, int64_t top, int64_t left, bool add);

#ifdef __cplusplus
}
#endif
#endif
