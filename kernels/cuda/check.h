/* check.h - a failed call of the CUDA runtime, cuDNN or cuBLASLt becomes one message that names the call. Hosts only. */
#ifndef LUR_CUDA_CHECK_H
#define LUR_CUDA_CHECK_H

#include <cublasLt.h>
#include <cudnn.h>

#include "cuda.h"

/* device: for the message. */
#define CUDA_TRY(device, call) LUR_TRY(lur_cuda_check(device, call, #call))
#define CUDNN_TRY(device, call) LUR_TRY(lur_cudnn_check(device, call, #call))
#define CUBLAS_TRY(device, call) LUR_TRY(lur_cublas_check(device, call, #call))

/* The called function's name is all of `what` up to the parenthesis. */
static inline int lur_cuda_name_length(const char *what) {
  int n = 0;
  while (what[n] && what[n] != '(') n++;
  return n;
}

static inline lur_status lur_cudnn_check(const lur_device *device, cudnnStatus_t status, const char *what) {
  if (status == CUDNN_STATUS_SUCCESS) return LUR_OK;
  return lur_fail(status == CUDNN_STATUS_NOT_SUPPORTED ? LUR_EUNSUPPORTED : LUR_EDEVICE, "%s: %.*s: %s", device->name,
                  lur_cuda_name_length(what), what, cudnnGetErrorString(status));
}

static inline lur_status lur_cublas_check(const lur_device *device, cublasStatus_t status, const char *what) {
  if (status == CUBLAS_STATUS_SUCCESS) return LUR_OK;
  return lur_fail(status == CUBLAS_STATUS_NOT_SUPPORTED ? LUR_EUNSUPPORTED : LUR_EDEVICE, "%s: %.*s: %s", device->name,
                  lur_cuda_name_length(what), what, cublasLtGetStatusString(status));
}

#endif
