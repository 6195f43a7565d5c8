/* host.h - the state of an open CUDA device, for host code in C: cuda.c, capture.c, gemm.c, dense.c, conv2d.c. */
#ifndef LUR_CUDA_HOST_H
#define LUR_CUDA_HOST_H

#include <pthread.h>

#include "check.h"

/* cuDNN's choice of algorithm, by everything it depends on, so that each query is made once (conv2d.c). */
typedef struct lur_cuda_choice {
  struct lur_cuda_choice *next;
  int64_t key[20];
  int algorithm;
  cudnnMathType_t math;
  size_t workspace;
} lur_cuda_choice;

typedef struct lur_cuda_block { /* memory in use, for the message if no more is available */
  struct lur_cuda_block *next;
  void *memory;
  size_t bytes;
} lur_cuda_block;

typedef struct lur_cuda_state {
  cudaStream_t compute, prefetch;   /* prefetch: copies that overlap computation (capture.c) */
  cudaEvent_t prefetched, consumed; /* the last prefetch has arrived; it has been copied to where it is read */
  cublasLtHandle_t blas;
  cudnnHandle_t dnn;
  int sms, major, minor; /* multiprocessors; compute capability */
  bool sync;      /* LURCHER_SYNC=1 */
  bool prefetching; /* a prefetch began since the last wait */
  double *partials;
  lur_cuda_choice *choices;
  pthread_mutex_t lock; /* of the next two: loader threads allocate too */
  lur_cuda_block *blocks;
  size_t held;
} lur_cuda_state;

static inline lur_cuda_state *lur_cuda_state_of(const lur_device *device) { return device->state; }

/* LUR_ETYPE if the device cannot multiply matrices of the type of the op's activations. */
lur_status lur_cuda_want_gemm(const lur_op *op);

/* ---- graph capture, prefetch (capture.c) ---- */

lur_status lur_cuda_capture_begin(lur_device *device);
lur_status lur_cuda_capture_end(lur_device *device, bool keep, void **captured);
lur_status lur_cuda_replay(lur_device *device, void *captured);
void lur_cuda_capture_free(lur_device *device, void *captured);
lur_status lur_cuda_prefetch_begin(lur_device *device, void *staged, const void *src, size_t bytes);
lur_status lur_cuda_prefetch_finish(lur_device *device, void *dst, const void *staged, size_t bytes);

/* ---- matrix products (gemm.c) ---- */

/* Row-major d[m,n] = a[m,k] b[k,n] [+ bias[n]] [+ c[m,n]]; `batch` of them (0: one), whose matrices follow each other
   in memory. a_transposed: a is stored as [k,m]; b_transposed: b is stored as [n,k]. a and b have the type ab;
   c, d and bias the type d. */
typedef struct lur_cuda_gemm_desc {
  int64_t m, n, k;
  lur_dtype ab, d;
  bool a_transposed, b_transposed, bias, tf32;
  int64_t batch;
  unsigned alignment; /* of a, b, c and d in bytes, a power of two; 0: 16 */
} lur_cuda_gemm_desc;

typedef struct lur_cuda_gemm lur_cuda_gemm;

/* LUR_EUNSUPPORTED if cuBLASLt has no algorithm for it. */
lur_status lur_cuda_gemm_plan(lur_device *device, const lur_cuda_gemm_desc *desc, lur_cuda_gemm **gemm);
size_t lur_cuda_gemm_workspace(const lur_cuda_gemm *gemm); /* bytes of scratch */
/* c: NULL for none; may be d. bias: NULL unless planned. */
lur_status lur_cuda_gemm_run(lur_device *device, const lur_cuda_gemm *gemm, const void *a, const void *b, const void *c,
                        const void *bias, void *d, void *workspace);
void lur_cuda_gemm_release(lur_cuda_gemm *gemm); /* NULL is fine */

/* ---- dense, and conv2d with a 1x1 kernel and stride 1 (dense.c) ---- */

lur_status lur_cuda_dense_plan(lur_op *op, bool relu);
lur_status lur_cuda_dense_forward(lur_op *op, const lur_args *args);
lur_status lur_cuda_dense_backward(lur_op *op, const lur_args *args);
void lur_cuda_dense_release(lur_op *op);

#endif
