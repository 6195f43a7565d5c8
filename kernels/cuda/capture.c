/* capture.c - a step captured once as a CUDA graph and replayed with one call; and copies to the device that overlap
 * computation.
 *
 * Work can be captured if it neither allocates nor waits nor copies from the host. Capture concerns only the calling
 * thread: a loader's thread may pin memory meanwhile. LURCHER_SYNC=1 waits for every launch, so nothing is captured. */
#include <stdlib.h>

#include "host.h"

/* Ends a capture that has failed, whatever its state. */
static void abandon(lur_cuda_state *s) {
  cudaGraph_t graph = NULL;
  if (cudaStreamEndCapture(s->compute, &graph) == cudaSuccess && graph) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();
}

lur_status lur_cuda_capture_begin(lur_device *device) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  cudaStream_t stream = lur_cuda_enter(device);
  if (s->sync) return lur_fail(LUR_EUNSUPPORTED, "LURCHER_SYNC=1 waits for every launch");
  CUDA_TRY(device, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  return LUR_OK;
}

lur_status lur_cuda_capture_end(lur_device *device, bool keep, void **captured) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  cudaGraph_t graph = NULL;
  cudaGraphExec_t exec = NULL;
  (void)lur_cuda_enter(device);
  if (!keep) {
    abandon(s);
    return LUR_OK;
  }
  CUDA_TRY(device, cudaStreamEndCapture(s->compute, &graph));
  cudaError_t error = cudaGraphInstantiateWithFlags(&exec, graph, 0);
  (void)cudaGraphDestroy(graph); /* exec does not need it */
  CUDA_TRY(device, error);
  *captured = exec;
  return LUR_OK;
}

lur_status lur_cuda_replay(lur_device *device, void *captured) {
  cudaStream_t stream = lur_cuda_enter(device);
  CUDA_TRY(device, cudaGraphLaunch((cudaGraphExec_t)captured, stream));
  return LUR_OK;
}

/* The last replay may still be running, and the runtime does not define what then happens to a destroyed graph. */
void lur_cuda_capture_free(lur_device *device, void *captured) {
  cudaStream_t stream = lur_cuda_enter(device);
  (void)cudaStreamSynchronize(stream);
  if (captured) (void)cudaGraphExecDestroy((cudaGraphExec_t)captured);
  (void)cudaGetLastError();
}

/* Waits until the last prefetch_finish has read `staged`. */
lur_status lur_cuda_prefetch_begin(lur_device *device, void *staged, const void *src, size_t bytes) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  (void)lur_cuda_enter(device);
  CUDA_TRY(device, cudaStreamWaitEvent(s->prefetch, s->consumed, 0)); /* no wait if the event was never recorded */
  s->prefetching = true;
  CUDA_TRY(device, cudaMemcpyAsync(staged, src, bytes, cudaMemcpyHostToDevice, s->prefetch));
  CUDA_TRY(device, cudaEventRecord(s->prefetched, s->prefetch));
  return LUR_OK;
}

lur_status lur_cuda_prefetch_finish(lur_device *device, void *dst, const void *staged, size_t bytes) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  cudaStream_t stream = lur_cuda_enter(device);
  CUDA_TRY(device, cudaStreamWaitEvent(stream, s->prefetched, 0));
  CUDA_TRY(device, cudaMemcpyAsync(dst, staged, bytes, cudaMemcpyDeviceToDevice, stream));
  CUDA_TRY(device, cudaEventRecord(s->consumed, stream));
  return LUR_OK;
}
