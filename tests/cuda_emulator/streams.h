/* streams.h - what the emulated libraries need of streams.c: work to be done later, and what a fault does to it. */
#ifndef EMULATED_STREAMS_H
#define EMULATED_STREAMS_H

#include <stdbool.h>

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A place that launches: which kernel, from where, on what types. Static; linked into a list when it first runs. */
typedef struct emulated_site {
  const char *file, *kernel, *where, *types;
  unsigned long long count;
  struct emulated_site *next;
} emulated_site;

/* Asks stream for call(closure) with a copy of closure, bytes long, aligned to 64. A null stream is refused.
   site: NULL for what is no kernel. */
cudaError_t emulated_enqueue(cudaStream_t stream, emulated_site *site, void (*call)(const void *closure),
                             const void *closure, size_t bytes);
/* The same with more bytes behind the closure: data, copied now. */
cudaError_t emulated_enqueue_with(cudaStream_t stream, emulated_site *site, void (*call)(const void *closure),
                                  const void *closure, size_t bytes, const void *data, size_t data_bytes);
/* Does everything that was asked of stream, or (NULL) of all. */
void emulated_drain(cudaStream_t stream);
/* Whether the calling thread records: what cannot be recorded then fails, and so does the recording. */
bool emulated_forbidden(void);
/* Whether EMULATED_CUDA_FAULT names it. */
bool emulated_fault(const char *name);
/* A kernel has lost the device (emulator.h; EMULATED_CUDA_FAULT=lost: the 21st): no call succeeds any more. */
bool emulated_lost(void);
/* One more thing that needs memory; whether it is the one that is to fail. */
bool emulated_runs_out(void);
void emulated_count_wait(void);
void emulated_count_upload(size_t bytes);
/* A launch's error, for cudaGetLastError. */
void emulated_note(cudaError_t error);
/* threads.cpp: the kernel that runs now; NULL: none. */
extern const char *emulated_kernel;
/* runtime.c: device memory can be touched between the two; calls nest. */
void emulated_open_memory(void);
void emulated_close_memory(void);
size_t emulated_lent(bool device);
void emulated_lock(void);
void emulated_unlock(void);

#ifdef __cplusplus
}
#endif
#endif
