/* cuda.c - the CUDA backend's table, its devices and their memory.
 *
 * Work runs on one stream, in the order of the calls. Nothing here depends on an op; graph capture and the second
 * stream are in capture.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#ifndef LUR_CUDA_ARCHITECTURES
#define LUR_CUDA_ARCHITECTURES "the default architectures"
#endif

cudaStream_t lur_cuda_enter(lur_device *device) {
  (void)cudaSetDevice(device->index); /* current devices are per thread */
  return lur_cuda_state_of(device)->compute;
}

int lur_cuda_sms(const lur_device *device) { return lur_cuda_state_of(device)->sms; }

/* 7.5 has no arithmetic in bf16, and no library that emulates it: reported here, before the libraries reject one shape
   after another. */
lur_status lur_cuda_want_gemm(const lur_op *op) {
  const lur_cuda_state *s = lur_cuda_state_of(op->device);
  if (op->desc.y.dtype != LUR_BF16 || s->major >= 8) return LUR_OK;
  return lur_fail(LUR_ETYPE, "%s has compute capability %d.%d, bf16 needs 8.0 or newer: use f16 or f32",
                  op->device->name, s->major, s->minor);
}

lur_status lur_cuda_launched(lur_device *device) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  LUR_TRY(lur_cuda_check(device, cudaGetLastError(), "launch"));
  return s->sync ? lur_cuda_check(device, cudaStreamSynchronize(s->compute), "kernel") : LUR_OK;
}

double *lur_cuda_partials(lur_device *device) { return lur_cuda_state_of(device)->partials; }

lur_status lur_cuda_want_f32_weights(const lur_op *op) {
  const lur_op_desc *d = &op->desc;
  for (int i = 0; i < d->nw; i++) /* an absent gamma or beta has no dimensions */
    if (d->w[i].shape.ndim > 0 && d->w[i].dtype != LUR_F32)
      return lur_fail(LUR_ETYPE, "w[%d] is %s, %s keeps weights in f32", i, lur_dtype_name(d->w[i].dtype),
                      op->device->name);
  return LUR_OK;
}

/* ---- devices ---- */

static lur_status cuda_count(int *devices) {
  int present = 0, driver = 0;
  cudaError_t error = cudaGetDeviceCount(&present);
  (void)cudaGetLastError();
  if (error == cudaErrorNoDevice) present = 0, error = cudaSuccess;
  if (error == cudaSuccess) {
    *devices = present;
    return LUR_OK;
  }
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: there is no NVIDIA driver on this machine");
  if (error == cudaErrorInsufficientDriver)
    return lur_fail(LUR_EUNSUPPORTED,
                    "no CUDA device: the driver supports CUDA %d.%d, the plugin was built with %d.%d: update the "
                    "driver",
                    driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: %s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
}

/* The plugin contains code for some architectures only. */
static lur_status check_architecture(lur_device *device) {
  int major = 0, minor = 0;
  cudaError_t error = lur_cuda_probe();
  if (error == cudaSuccess) return LUR_OK;
  (void)cudaGetLastError();
  (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device->index);
  (void)cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device->index);
  if (error != cudaErrorNoKernelImageForDevice && error != cudaErrorInvalidDeviceFunction)
    return lur_cuda_check(device, error, "cudaFuncGetAttributes");
  return lur_fail(LUR_EUNSUPPORTED,
                  "no CUDA device: %s has compute capability %d.%d, the plugin was built for %s: configure with "
                  "-DLURCHER_CUDA_ARCHITECTURES=%d%d and a toolkit that supports it", device->name, major, minor,
                  LUR_CUDA_ARCHITECTURES, major, minor);
}

static lur_status set_up(lur_device *device, lur_cuda_state *s) {
  const char *sync = getenv("LURCHER_SYNC");
  s->sync = sync && strcmp(sync, "0") != 0 && *sync;
  CUDA_TRY(device, cudaSetDevice(device->index));
  LUR_TRY(check_architecture(device));
  CUDA_TRY(device, cudaDeviceGetAttribute(&s->sms, cudaDevAttrMultiProcessorCount, device->index));
  CUDA_TRY(device, cudaDeviceGetAttribute(&s->major, cudaDevAttrComputeCapabilityMajor, device->index));
  CUDA_TRY(device, cudaDeviceGetAttribute(&s->minor, cudaDevAttrComputeCapabilityMinor, device->index));
  CUDA_TRY(device, cudaStreamCreateWithFlags(&s->compute, cudaStreamNonBlocking));
  CUDA_TRY(device, cudaStreamCreateWithFlags(&s->prefetch, cudaStreamNonBlocking));
  CUDA_TRY(device, cudaEventCreateWithFlags(&s->prefetched, cudaEventDisableTiming));
  CUDA_TRY(device, cudaEventCreateWithFlags(&s->consumed, cudaEventDisableTiming));
  CUDA_TRY(device, cudaMalloc((void **)&s->partials, LUR_CUDA_PARTIALS * sizeof(double)));
  CUBLAS_TRY(device, cublasLtCreate(&s->blas));
  CUDNN_TRY(device, cudnnCreate(&s->dnn));
  CUDNN_TRY(device, cudnnSetStream(s->dnn, s->compute));
  return LUR_OK;
}

/* Releases what set_up made, also if it failed halfway. */
static void tear_down(lur_cuda_state *s) {
  if (s->compute) cudaStreamSynchronize(s->compute);
  if (s->prefetch) cudaStreamSynchronize(s->prefetch);
  if (s->dnn) cudnnDestroy(s->dnn);
  if (s->blas) cublasLtDestroy(s->blas);
  if (s->partials) cudaFree(s->partials);
  if (s->prefetched) cudaEventDestroy(s->prefetched);
  if (s->consumed) cudaEventDestroy(s->consumed);
  if (s->prefetch) cudaStreamDestroy(s->prefetch);
  if (s->compute) cudaStreamDestroy(s->compute);
  (void)cudaGetLastError();
  for (lur_cuda_choice *c = s->choices; c;) {
    lur_cuda_choice *next = c->next;
    free(c);
    c = next;
  }
  for (lur_cuda_block *b = s->blocks; b;) { /* memory that was not freed is released with the process */
    lur_cuda_block *next = b->next;
    free(b);
    b = next;
  }
  pthread_mutex_destroy(&s->lock);
  free(s);
}

static lur_status cuda_open(lur_device *device) {
  lur_cuda_state *s = calloc(1, sizeof *s);
  if (!s) return lur_fail(LUR_ENOMEM, "no memory for a device");
  pthread_mutex_init(&s->lock, NULL);
  device->state = s;
  lur_status status = set_up(device, s);
  if (status == LUR_OK) return LUR_OK;
  device->state = NULL;
  tear_down(s);
  return status;
}

static void cuda_close(lur_device *device) {
  if (!device->state) return;
  (void)cudaSetDevice(device->index);
  tear_down(device->state);
  device->state = NULL;
}

/* ---- memory ---- */

static lur_status cuda_alloc(lur_device *device, size_t bytes, void **memory) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  lur_cuda_block *block = malloc(sizeof *block);
  if (!block) return lur_fail(LUR_ENOMEM, "%s: no memory on the host", device->name);
  void *made = NULL;
  (void)lur_cuda_enter(device);
  cudaError_t error = cudaMalloc(&made, bytes ? bytes : 64);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    free(block);
    /* The only value of this call that can be invalid is a size larger than all memory. */
    const bool size = error == cudaErrorMemoryAllocation || error == cudaErrorInvalidValue;
    return size ? lur_cuda_out_of_memory(device, "", bytes) : lur_cuda_check(device, error, "cudaMalloc");
  }
  pthread_mutex_lock(&s->lock);
  *block = (lur_cuda_block){s->blocks, made, bytes};
  s->blocks = block;
  s->held += bytes;
  pthread_mutex_unlock(&s->lock);
  *memory = made;
  return LUR_OK;
}

static void cuda_free(lur_device *device, void *memory) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  (void)lur_cuda_enter(device);
  pthread_mutex_lock(&s->lock);
  for (lur_cuda_block **at = &s->blocks; *at; at = &(*at)->next) {
    if ((*at)->memory != memory) continue;
    lur_cuda_block *gone = *at;
    *at = gone->next;
    s->held -= gone->bytes;
    free(gone);
    break;
  }
  pthread_mutex_unlock(&s->lock);
  (void)cudaFree(memory); /* waits for work that uses it */
  (void)cudaGetLastError();
}

static lur_status cuda_alloc_host(lur_device *device, size_t bytes, void **memory) {
  void *made = NULL;
  (void)lur_cuda_enter(device);
  cudaError_t error = cudaHostAlloc(&made, bytes ? bytes : 64, cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return lur_fail(
        LUR_ENOMEM,
        "%s: no memory for %.1f MiB of pinned memory on the host: lower the batch size or the loader's prefetch",
        device->name, (double)bytes / 1048576);
  }
  CUDA_TRY(device, error);
  *memory = made;
  return LUR_OK;
}

static void cuda_free_host(lur_device *device, void *memory) {
  (void)lur_cuda_enter(device);
  (void)cudaFreeHost(memory);
  (void)cudaGetLastError();
}

static lur_status cuda_copy(lur_device *device, void *dst, const void *src, size_t bytes, lur_copy_kind kind) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  cudaStream_t stream = lur_cuda_enter(device);
  if (bytes == 0) return LUR_OK;
  enum cudaMemcpyKind way = kind == LUR_COPY_TO_DEVICE ? cudaMemcpyHostToDevice
                            : kind == LUR_COPY_TO_HOST ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
  CUDA_TRY(device, cudaMemcpyAsync(dst, src, bytes, way, stream));
  return s->sync ? lur_cuda_check(device, cudaStreamSynchronize(stream), "copy") : LUR_OK;
}

static lur_status cuda_fill(lur_device *device, void *memory, int byte, size_t bytes) {
  cudaStream_t stream = lur_cuda_enter(device);
  if (bytes == 0) return LUR_OK;
  CUDA_TRY(device, cudaMemsetAsync(memory, byte, bytes, stream));
  return LUR_OK;
}

static lur_status cuda_sync(lur_device *device) {
  cudaStream_t stream = lur_cuda_enter(device);
  lur_cuda_state *s = lur_cuda_state_of(device);
  if (s->prefetching) CUDA_TRY(device, cudaStreamSynchronize(s->prefetch));
  s->prefetching = false;
  CUDA_TRY(device, cudaStreamSynchronize(stream));
  return LUR_OK;
}

const uint64_t lur_cuda_layout = LUR_BACKEND_LAYOUT;

#define ROW(KIND, name) [LUR_OP_##KIND] = &lur_cuda_##name,
const lur_backend lur_cuda_backend = {
    .name = "cuda",
    .affine = true,
    .half = true,
    .count = cuda_count,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .alloc_host = cuda_alloc_host,
    .free_host = cuda_free_host,
    .copy = cuda_copy,
    .fill = cuda_fill,
    .sync = cuda_sync,
    .update = lur_cuda_update,
    .gradient_norm = lur_cuda_gradient_norm,
    .lerp = lur_cuda_lerp,
    .capture_begin = lur_cuda_capture_begin,
    .capture_end = lur_cuda_capture_end,
    .replay = lur_cuda_replay,
    .capture_free = lur_cuda_capture_free,
    .prefetch_begin = lur_cuda_prefetch_begin,
    .prefetch_finish = lur_cuda_prefetch_finish,
    .kernels = {LUR_CUDA_KERNELS(ROW)}};
