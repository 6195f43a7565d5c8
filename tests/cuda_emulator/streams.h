/* streams.h - what the emulated libraries need of streams.c: work to be done later, and what a fault does to it. */
#ifndef EMULATED_STREAMS_H
#define EMULATED_STREAMS_H

#include <stdbool.h>

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Asks stream for call(closure) with a copy of closure, bytes long, aligned to 64. A null stream is refused. */
cudaError_t emulated_enqueue(cudaStream_t stream, void (*call)(const void *closure), const void *closure, size_t bytes);
/* The same with more bytes behind the closure: data, copied now. */
cudaError_t emulated_enqueue_with(cudaStream_t stream, void (*call)(const void *closure), const void *closure, size_t bytes,
                                  const void *data, size_t data_bytes);
/* Does everything that was asked of stream, or (NULL) of all. */
void emulated_drain(cudaStream_t stream);
/* Whether the calling thread records: what cannot be recorded then fails, and so does the recording. */
bool emulated_forbidden(void);
/* Whether EMULATED_CUDA_FAULT names it. */
bool emulated_fault(const char *name);
/* After some launches under EMULATED_CUDA_FAULT=lost: no call succeeds any more. */
bool emulated_lost(void);
void emulated_count_launch(void);
void emulated_lock(void);
void emulated_unlock(void);

#ifdef __cplusplus
}
#endif
#endif
