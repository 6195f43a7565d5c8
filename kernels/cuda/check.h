/* check.h - turns a failed call of the CUDA runtime, cuDNN or cuBLASLt into a message that names it. For host code. */
#ifndef LUR_CUDA_CHECK_H
#define LUR_CUDA_CHECK_H

#include <cublasLt.h>
#include <cudnn.h>

#include "cuda.h"

/* The message begins with the name of the device. */
#define CUDA_TRY(device, call) LUR_TRY(lur_cuda_check(device, call, #call))
#define CUDNN_TRY(device, call) LUR_TRY(lur_cudnn_check(device, call, #call))
#define CUBLAS_TRY(device, call) LUR_TRY(lur_cublas_check(device, call, #call))

/* The length of the function's name in `what`, the text of a call: up to the parenthesis. */
static inline int lur_cuda_name_length(const char *what) {
  int n = 0;
  while (what[n] && what[n] != '(') n++;
  return n;
}

/* LUR_ENOMEM: no memory for `bytes`, or (0) for the call `what`. */
lur_status lur_cuda_out_of_memory(lur_device *device, const char *what, size_t bytes);
/* A failed call of a library: out of memory, unsupported, or because the device failed before. words: the library's. */
lur_status lur_cuda_refused(lur_device *device, bool memory, bool unsupported, const char *what, const char *words);

/* A status of cuDNN 9 is a category and a reason within it: NOT_SUPPORTED_SHAPE is of the category NOT_SUPPORTED. */
static inline lur_status lur_cudnn_check(lur_device *device, cudnnStatus_t status, const char *what) {
  if (status == CUDNN_STATUS_SUCCESS) return LUR_OK;
  bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  bool unsupported = CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED;
  return lur_cuda_refused(device, memory, unsupported, what, cudnnGetErrorString(status));
}

static inline lur_status lur_cublas_check(lur_device *device, cublasStatus_t status, const char *what) {
  if (status == CUBLAS_STATUS_SUCCESS) return LUR_OK;
  bool unsupported = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH;
  return lur_cuda_refused(device, status == CUBLAS_STATUS_ALLOC_FAILED, unsupported, what,
                          cublasLtGetStatusString(status));
}

#endif
