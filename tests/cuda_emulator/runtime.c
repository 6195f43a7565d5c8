/* runtime.c - the emulated CUDA runtime: device memory is host memory in separate blocks; streams are in streams.c.
 *
 * A block ends at a page that cannot be accessed, and is accessible only while the device runs: a host that accesses
 * device memory, or a kernel that accesses memory outside it, ends the program with a message. Sanitized builds leave
 * that to AddressSanitizer.
 *
 * Environment variables inject faults: EMULATED_CUDA_FAULT = no_driver, old_driver, no_device, architecture, turing
 * (compute capability 7.5), capture (every capture fails) or lost (after some launches every call fails, but
 * cudaGetLastError returns the error only after a call of the runtime or a launch did);
 * EMULATED_CUDA_MEMORY = bytes of the device. Copies check that device pointers are device memory. */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cuda_runtime_api.h"
#include "streams.h"

typedef struct block {
  struct block *next;
  char *memory;
  size_t bytes;
  enum cudaMemoryType type;
  char *pages; /* of device memory, the last one never accessible; NULL: from malloc */
  size_t length;
} block;

static block *blocks;
static size_t used, pinned;
static int opened; /* > 0: device memory is accessible */
static cudaError_t last;

static cudaError_t give(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

static bool fault(const char *name) { return emulated_fault(name); }

static size_t total_memory(void) {
  const char *bytes = getenv("EMULATED_CUDA_MEMORY");
  return bytes ? (size_t)strtoull(bytes, NULL, 10) : (size_t)4 << 30;
}

static block *holder(const void *memory) {
  for (block *b = blocks; b; b = b->next)
    if ((const char *)memory >= b->memory && (const char *)memory < b->memory + b->bytes) return b;
  return NULL;
}

static bool inside(const void *memory, size_t bytes, enum cudaMemoryType type) {
  emulated_lock(); /* a loader's threads may allocate at the same time */
  const block *b = holder(memory);
  bool is = b && b->type == type && (size_t)((const char *)memory - b->memory) + bytes <= b->bytes;
  emulated_unlock();
  return is;
}

/* ---- errors ---- */

static const struct {
  cudaError_t error;
  const char *name, *words;
} errors[] = {{cudaSuccess, "cudaSuccess", "no error"},
              {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
              {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
              {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
               "CUDA driver version is insufficient for CUDA runtime version"},
              {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
              {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
              {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
              {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
               "operation not permitted when stream is capturing"},
              {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
               "operation failed due to a previous error during capture"},
              {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
               "no kernel image is available for execution on the device"}};

static size_t error_row(cudaError_t error) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].error == error) return i;
  return 1;
}

const char *cudaGetErrorName(cudaError_t error) { return errors[error_row(error)].name; }
const char *cudaGetErrorString(cudaError_t error) { return errors[error_row(error)].words; }

void emulated_note(cudaError_t error) { (void)give(error); }

cudaError_t cudaGetLastError(void) {
  cudaError_t error = last;
  last = cudaSuccess;
  return error;
}

/* ---- devices ---- */

cudaError_t cudaGetDeviceCount(int *count) {
  *count = 0;
  if (fault("no_driver") || fault("old_driver")) return give(cudaErrorInsufficientDriver);
  if (fault("no_device")) return give(cudaErrorNoDevice);
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = fault("no_driver") ? 0 : fault("old_driver") ? 12040 : 13000;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : give(cudaErrorInvalidDevice); }

/* Three multiprocessors: grids are small but have several parts. */
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  const int capability = fault("architecture") ? 61 : fault("turing") ? 75 : 90;
  if (device != 0) return give(cudaErrorInvalidDevice);
  *value = attribute == cudaDevAttrMultiProcessorCount      ? 3
           : attribute == cudaDevAttrComputeCapabilityMajor ? capability / 10
                                                            : capability % 10;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function) {
  if (!function) return give(cudaErrorInvalidValue);
  if (fault("architecture")) return give(cudaErrorNoKernelImageForDevice);
  attributes->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}

/* ---- memory ---- */

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  if (emulated_lost()) return give(cudaErrorIllegalAddress);
  *total = total_memory();
  *free_bytes = *total > used ? *total - used : 0;
  return cudaSuccess;
}

#ifdef __SANITIZE_ADDRESS__
enum { PAGES = 0 };
#else
enum { PAGES = 1 };
#endif
enum { PAGE = 4096, FRESH = 0xCD };

static size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static void protect(const block *b, int how) {
  if (b->pages && mprotect(b->pages, b->length - PAGE, how) != 0) abort();
}

static void protect_all(int how) {
  for (const block *b = blocks; b; b = b->next) protect(b, how);
}

void emulated_open_memory(void) {
  if (opened++ == 0) protect_all(PROT_READ | PROT_WRITE);
}

void emulated_close_memory(void) {
  if (--opened == 0) protect_all(PROT_NONE);
}

size_t emulated_allocated(bool device) { return device ? used : pinned; }

/* Handles an access to a page that is not accessible. */
static void explain(int signal, siginfo_t *info, void *context) {
  (void)context;
  const char *at = info->si_addr;
  for (const block *b = blocks; b; b = b->next)
    if (b->pages && at >= b->pages && at < b->pages + b->length)
      fprintf(stderr,
              opened ? "cuda emulator: %s%s: an access past device memory\n"
                     : "cuda emulator: %s%s accessed device memory\n",
              opened ? "kernel " : "",
              opened && emulated_kernel ? emulated_kernel
              : opened                  ? "of a library"
                                        : "the host");
  struct sigaction plain = {.sa_handler = SIG_DFL};
  sigaction(signal, &plain, NULL);
}

static void watch_pages(void) {
  static bool watching;
  if (watching) return;
  struct sigaction action = {.sa_sigaction = explain, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  watching = true;
}

/* Aligned to 256, as cudaMalloc's. */
static bool take(block *b) {
  if (!PAGES || b->type != cudaMemoryTypeDevice)
    return posix_memalign((void **)&b->memory, 256, b->bytes ? b->bytes : 1) == 0;
  b->length = rounded(b->bytes, PAGE) + PAGE;
  void *pages = mmap(NULL, b->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return false;
  b->pages = pages;
  b->memory = b->pages + b->length - PAGE - rounded(b->bytes, 256);
  if (mprotect(b->pages + b->length - PAGE, PAGE, PROT_NONE) != 0) abort();
  memset(b->memory + b->bytes, FRESH, rounded(b->bytes, 256) - b->bytes);
  watch_pages();
  return true;
}

/* The bytes between the end of the block and of its page must be unchanged. */
static void give_back(block *b) {
  if (!b->pages) {
    free(b->memory);
    return;
  }
  protect(b, PROT_READ);
  for (size_t i = b->bytes; i < rounded(b->bytes, 256); i++) {
    if ((unsigned char)b->memory[i] == FRESH) continue;
    fprintf(stderr, "cuda emulator: %zu bytes of device memory were written past their end\n", b->bytes);
    abort();
  }
  munmap(b->pages, b->length);
}

static cudaError_t allocate(void **memory, size_t bytes, enum cudaMemoryType type) {
  if (emulated_forbidden()) return give(cudaErrorStreamCaptureUnsupported);
  if (emulated_lost()) return give(cudaErrorIllegalAddress);
  if (emulated_runs_out()) return give(cudaErrorMemoryAllocation);
  if (bytes > SIZE_MAX / 2) return give(cudaErrorInvalidValue); /* the real one rounds sizes up first */
  if (bytes > total_memory() || (type == cudaMemoryTypeDevice && used + bytes > total_memory()))
    return give(cudaErrorMemoryAllocation);
  block *b = calloc(1, sizeof *b);
  if (b) b->bytes = bytes, b->type = type;
  if (!b || !take(b)) {
    free(b);
    return give(cudaErrorMemoryAllocation);
  }
  memset(b->memory, FRESH, bytes); /* new memory has arbitrary contents */
  emulated_lock();
  if (opened == 0) protect(b, PROT_NONE);
  b->next = blocks;
  blocks = b;
  *(type == cudaMemoryTypeDevice ? &used : &pinned) += bytes;
  emulated_unlock();
  *memory = b->memory;
  return cudaSuccess;
}

static cudaError_t release(void *memory, enum cudaMemoryType type) {
  if (!memory) return cudaSuccess;
  if (emulated_forbidden()) return give(cudaErrorStreamCaptureUnsupported);
  emulated_drain(NULL); /* freeing waits for all work, which may use the memory */
  emulated_lock();
  block **at = &blocks;
  while (*at && ((*at)->memory != memory || (*at)->type != type)) at = &(*at)->next;
  block *b = *at;
  if (b) *at = b->next;
  if (b) *(type == cudaMemoryTypeDevice ? &used : &pinned) -= b->bytes;
  emulated_unlock();
  if (!b) return give(cudaErrorInvalidValue);
  give_back(b);
  free(b);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes) { return allocate(memory, bytes, cudaMemoryTypeDevice); }
cudaError_t cudaFree(void *memory) { return release(memory, cudaMemoryTypeDevice); }
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags) {
  (void)flags;
  return allocate(memory, bytes, cudaMemoryTypeHost);
}
cudaError_t cudaFreeHost(void *memory) { return release(memory, cudaMemoryTypeHost); }

/* ---- copies ---- */

typedef struct copy {
  void *dst;
  const void *src; /* NULL: the bytes follow this struct */
  size_t bytes;
  int byte; /* of a fill */
} copy;

static void do_copy(const void *closure) {
  const copy *c = closure;
  memmove(c->dst, c->src ? c->src : c + 1, c->bytes);
}

static void do_fill(const void *closure) {
  const copy *c = closure;
  memset(c->dst, c->byte, c->bytes);
}

/* Ordinary host memory is read at once, and written before the call returns; pinned memory when the stream reaches the
   copy. */
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
  bool to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!stream || inside(dst, bytes, cudaMemoryTypeDevice) != to || inside(src, bytes, cudaMemoryTypeDevice) != from)
    return give(cudaErrorInvalidValue);
  bool ordinary =
      (!to && !inside(dst, bytes, cudaMemoryTypeHost)) || (!from && !inside(src, bytes, cudaMemoryTypeHost));
  if (ordinary && emulated_forbidden()) return give(cudaErrorStreamCaptureUnsupported);
  if (kind == cudaMemcpyHostToDevice) emulated_count_upload(bytes);
  copy c = {dst, !from && ordinary ? NULL : src, bytes, 0};
  cudaError_t error = emulated_enqueue_with(stream, NULL, do_copy, &c, sizeof c, src, c.src ? 0 : bytes);
  if (!to && ordinary) {
    emulated_count_wait();
    emulated_drain(stream);
    if (emulated_lost()) error = cudaErrorIllegalAddress;
  }
  return give(error);
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream) {
  if (!stream || !inside(memory, bytes, cudaMemoryTypeDevice)) return give(cudaErrorInvalidValue);
  copy c = {memory, NULL, bytes, byte};
  return give(emulated_enqueue(stream, NULL, do_fill, &c, sizeof c));
}
