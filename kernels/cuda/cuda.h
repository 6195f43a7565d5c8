/* cuda.h - what the files of the CUDA backend share: rows, the way onto the device, small kernels used by many ops.
 *
 * Every op is one file named after it: its plan, its launches and its kernels. Hosts that call cuDNN and cuBLASLt are C
 * (conv.c, gemm.c, dense.c) and include host.h too. Activations are f32, f16 or bf16 and always NHWC; weights and
 * everything a weight's gradient touches are f32; sums run in float or double, in an order that depends on shapes and
 * on the device's multiprocessors only: no atomics, so the same device gives the same bits.
 * forward, backward and update launch on one stream and neither allocate nor wait nor copy, so that a step can be
 * recorded (record.c); what moves from step to step they read from device memory (lur_step_parameters). A new op: a row below
 * and a file. */
#ifndef LUR_CUDA_H
#define LUR_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

__attribute__((visibility("default"))) extern const lur_backend lur_cuda_backend;
/* LUR_BACKEND_LAYOUT as the plugin knows it; these two are all that it shows. */
__attribute__((visibility("default"))) extern const uint64_t lur_cuda_layout;

extern const lur_kernel lur_cuda_conv2d, lur_cuda_depthwise, lur_cuda_dense, lur_cuda_batchnorm, lur_cuda_activation,
    lur_cuda_softmax, lur_cuda_pool, lur_cuda_global_pool, lur_cuda_binary, lur_cuda_affine, lur_cuda_concat,
    lur_cuda_gather, lur_cuda_dropout, lur_cuda_copy, lur_cuda_normalize, lur_cuda_reduce, lur_cuda_loss;

lur_status lur_cuda_update(lur_device *device, const lur_update *update, const lur_parameter *slots, int n);
lur_status lur_cuda_gradient_norm(lur_device *device, const lur_parameter *slots, int n, double *sum);
lur_status lur_cuda_lerp(lur_device *device, const lur_parameter *slots, int n, double share);

/* ---- the device (cuda.c) ---- */

/* Makes device the calling thread's current one and gives the stream that computes. First line of every entry. */
cudaStream_t lur_cuda_enter(lur_device *device);
int lur_cuda_sms(const lur_device *device); /* multiprocessors */
/* After every launch: LUR_EDEVICE when it was refused; under LURCHER_SYNC=1 waits, so that a fault names its op. */
lur_status lur_cuda_launched(lur_device *device);
/* LUR_OK, or the message of a failed runtime call: what was tried, CUDA's name and words for it. */
lur_status lur_cuda_check(lur_device *device, cudaError_t error, const char *what);
/* Room for LUR_CUDA_PARTIALS doubles on the device. */
enum { LUR_CUDA_PARTIALS = 1024 };
double *lur_cuda_partials(lur_device *device);

/* LUR_ETYPE unless weights are f32: activations may be any of f32, f16, bf16 (op_desc.c has checked). */
lur_status lur_cuda_want_f32_weights(const lur_op *op);

static inline bool lur_cuda_wants(const lur_op *op) { return op->desc.want_dx || op->desc.want_dw; }
static inline int64_t lur_cuda_last(const lur_shape *s) { return s->ndim > 0 ? s->dim[s->ndim - 1] : 1; }
static inline int64_t lur_cuda_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline size_t lur_cuda_bytes(const lur_operand *o) {
  return lur_dtype_size(o->dtype) * (size_t)lur_shape_count(&o->shape);
}

/* Scratch is handed out in pieces of 256 bytes. */
static inline size_t lur_cuda_round(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* Libraries want their workspace aligned to that too, which scratch itself is not: room for it, and its place there. */
static inline size_t lur_cuda_workspace_room(size_t bytes) { return bytes ? lur_cuda_round(bytes) + 256 : 0; }
static inline void *lur_cuda_workspace(void *room) { return (void *)lur_cuda_round((size_t)room); }

/* ---- kernels that several ops use (common.cu). T is an activation's dtype. ---- */

/* cudaSuccess when the plugin holds code for the current device. */
cudaError_t lur_cuda_probe(void);
/* dst = (T)src */
lur_status lur_cuda_cast(lur_device *device, lur_dtype dtype, const float *src, void *dst, int64_t count);
/* dx = dy, or dx += dy; where y is not NULL dy counts only where y > 0. dx may be dy. */
lur_status lur_cuda_put(lur_device *device, lur_dtype dtype, void *dx, const void *dy, const void *y, int64_t count,
                        bool add);
/* y = [relu](y + bias[channel] + residual); bias and residual may be NULL. */
lur_status lur_cuda_epilogue(lur_device *device, lur_dtype dtype, void *y, const float *bias, const void *residual,
                             bool relu, int64_t rows, int64_t c);
/* db[i] += sum over rows of dy[r,i], where y is not NULL only of those with y > 0. scratch:
   lur_cuda_columns_scratch. */
lur_status lur_cuda_columns(lur_device *device, lur_dtype dtype, const void *dy, const void *y, int64_t rows, int64_t c,
                            float *db, void *scratch);
size_t lur_cuda_columns_scratch(lur_device *device, int64_t rows, int64_t c);
/* to[i] = or += sum over p of partials[p,i], p < parts, i < count; in double. */
lur_status lur_cuda_add_parts(lur_device *device, const float *partials, int64_t parts, int64_t count, float *to,
                              bool add);
/* to[c,r] = (T)from[r,c]: an f32 matrix turned over. */
lur_status lur_cuda_turn(lur_device *device, lur_dtype dtype, const float *from, void *to, int64_t rows,
                         int64_t columns);
/* to[c,r] += from[r,c]: a T matrix turned over and added to an f32 one. */
lur_status lur_cuda_turn_add(lur_device *device, lur_dtype dtype, const void *from, float *to, int64_t rows,
                             int64_t columns);
/* An image n h w c in a frame of zeros: to is n fh fw c, its cell (top, left) from's (0, 0); the rest is cut. */
lur_status lur_cuda_frame(lur_device *device, lur_dtype dtype, const void *from, void *to, const int64_t image[4],
                          int64_t fh, int64_t fw, int64_t top, int64_t left);
/* And back, from the frame: to n h w c = or += its cells; 0 where it has none. */
lur_status lur_cuda_unframe(lur_device *device, lur_dtype dtype, const void *from, void *to, const int64_t image[4],
                            int64_t fh, int64_t fw, int64_t top, int64_t left, bool add);

#ifdef __cplusplus
}
#endif
#endif
