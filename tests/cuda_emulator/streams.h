/* streams.h - what the emulated libraries use of streams.c: work that runs later, and injected faults. */
#ifndef EMULATED_STREAMS_H
#define EMULATED_STREAMS_H

#include <stdbool.h>

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A place in the source that launches a kernel: the kernel, the function, the types. Static; listed when it first runs.
 */
typedef struct emulated_site {
  const char *file, *kernel, *where, *types;
  unsigned long long count;
  struct emulated_site *next;
} emulated_site;

/* Appends call(closure) to stream, with a copy of closure (bytes long, aligned to 64). A null stream is refused.
   site: NULL if it is not a kernel. */
cudaError_t emulated_enqueue(cudaStream_t stream, emulated_site *site, void (*call)(const void *closure),
                             const void *closure, size_t bytes);
/* The same with a copy of data behind the closure. */
cudaError_t emulated_enqueue_with(cudaStream_t stream, emulated_site *site, void (*call)(const void *closure),
                                  const void *closure, size_t bytes, const void *data, size_t data_bytes);
/* Runs all work of stream, or (NULL) of all streams. */
void emulated_drain(cudaStream_t stream);
/* Whether the calling thread is capturing: a call that cannot be captured then fails, and so does the capture. */
bool emulated_forbidden(void);
/* Whether EMULATED_CUDA_FAULT names it. */
bool emulated_fault(const char *name);
/* Whether the device has failed (emulator.h; EMULATED_CUDA_FAULT=lost: at the 21st launch): no call succeeds any more.
 */
bool emulated_lost(void);
/* Counts an allocation; whether it is the one that must fail. */
bool emulated_runs_out(void);
void emulated_count_wait(void);
void emulated_count_upload(size_t bytes);
/* A launch's error, for cudaGetLastError. */
void emulated_note(cudaError_t error);
/* threads.cpp: the running kernel; NULL: none. */
extern const char *emulated_kernel;
/* runtime.c: device memory is accessible between the two; calls nest. */
void emulated_open_memory(void);
void emulated_close_memory(void);
size_t emulated_allocated(bool device); /* bytes of device or pinned memory */
void emulated_lock(void);
void emulated_unlock(void);

#ifdef __cplusplus
}
#endif
#endif
