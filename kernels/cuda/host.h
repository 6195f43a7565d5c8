/* host.h - the state of an open CUDA device, for the hosts in C: cuda.c, gemm.c, dense.c, conv.c. No kernel sees it. */
#ifndef LUR_CUDA_HOST_H
#define LUR_CUDA_HOST_H

#include <pthread.h>

#include "check.h"

/* An algorithm that cuDNN was asked for once, by everything its answer depends on (conv.c). */
typedef struct lur_cuda_choice {
  struct lur_cuda_choice *next;
  int64_t key[20];
  int algorithm;
  cudnnMathType_t math;
  size_t workspace;
} lur_cuda_choice;

typedef struct lur_cuda_block { /* memory in use, for the message when it runs out */
  struct lur_cuda_block *next;
  void *memory;
  size_t bytes;
} lur_cuda_block;

typedef struct lur_cuda_state {
  cudaStream_t compute, upload; /* upload: copies that overlap compute (record.c) */
  cudaEvent_t uploaded, landed; /* the last upload is there; what it brought has been taken */
  cublasLtHandle_t blas;
  cudnnHandle_t dnn;
  int sms, major, minor; /* multiprocessors; compute capability */
  bool sync;      /* LURCHER_SYNC=1 */
  bool uploading; /* since the last wait */
  double *partials;
  lur_cuda_choice *choices;
  pthread_mutex_t lock; /* of the two below: loader threads allocate too */
  lur_cuda_block *blocks;
  size_t held;
} lur_cuda_state;

static inline lur_cuda_state *lur_cuda_state_of(const lur_device *device) { return device->state; }

/* LUR_ETYPE where the device has no arithmetic for op's activations. */
lur_status lur_cuda_want_products(const lur_op *op);

/* ---- recorded steps, uploads (record.c) ---- */

lur_status lur_cuda_record_begin(lur_device *device);
lur_status lur_cuda_record_end(lur_device *device, bool keep, void **record);
lur_status lur_cuda_replay(lur_device *device, void *record);
void lur_cuda_record_free(lur_device *device, void *record);
lur_status lur_cuda_upload(lur_device *device, void *staged, const void *src, size_t bytes);
lur_status lur_cuda_land(lur_device *device, void *dst, const void *staged, size_t bytes);

/* ---- products of matrices (gemm.c) ---- */

/* Row-major d[m,n] = [relu](a[m,k] b[k,n] [+ bias[n]] [+ c[m,n]]). a_turned: a is stored [k,m]; b_turned: b is stored
   [n,k]. a, b and bias are of type ab but for an f32 d of half operands; c and d of type d. */
typedef struct lur_gemm_desc {
  int64_t m, n, k;
  lur_dtype ab, d;
  bool a_turned, b_turned, bias, relu, tf32;
} lur_gemm_desc;

typedef struct lur_gemm lur_gemm;

/* LUR_EUNSUPPORTED when cuBLASLt has no algorithm for it. */
lur_status lur_gemm_plan(lur_device *device, const lur_gemm_desc *desc, lur_gemm **gemm);
size_t lur_gemm_workspace(const lur_gemm *gemm); /* bytes of scratch */
/* c NULL: nothing is added; c may be d. bias NULL unless planned. */
lur_status lur_gemm_run(lur_device *device, const lur_gemm *gemm, const void *a, const void *b, const void *c,
                        const void *bias, void *d, void *workspace);
void lur_gemm_release(lur_gemm *gemm); /* NULL is fine */

/* ---- rows times a matrix: dense, and conv2d where its kernel is 1x1 and its stride 1 (dense.c) ---- */

lur_status lur_linear_plan(lur_op *op, bool relu);
lur_status lur_linear_forward(lur_op *op, const lur_args *args);
lur_status lur_linear_backward(lur_op *op, const lur_args *args);
void lur_linear_release(lur_op *op);

#endif
