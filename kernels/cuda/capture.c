/* record.c - a step recorded once and replayed with one call (a CUDA graph), and uploads beside the computing.
 *
 * Recording needs work that neither allocates nor waits nor copies from the host. It looks at the calling thread only:
 * a loader's thread may pin memory meanwhile. LURCHER_SYNC=1 waits for every launch, and so refuses to record. */
#include <stdlib.h>

#include "host.h"

/* Puts an end to a recording that has failed already, whatever state it is in. */
static void abandon(lur_cuda_state *s) {
  cudaGraph_t graph = NULL;
  if (cudaStreamEndCapture(s->compute, &graph) == cudaSuccess && graph) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();
}

lur_status lur_cuda_record_begin(lur_device *device) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  cudaStream_t stream = lur_cuda_enter(device);
  if (s->sync) return lur_fail(LUR_EUNSUPPORTED, "LURCHER_SYNC=1 waits for every launch");
  CUDA_TRY(device, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  return LUR_OK;
}

lur_status lur_cuda_record_end(lur_device *device, bool keep, void **record) {
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
  (void)cudaGraphDestroy(graph); /* exec holds all it needs */
  CUDA_TRY(device, error);
  *record = exec;
  return LUR_OK;
}

lur_status lur_cuda_replay(lur_device *device, void *record) {
  cudaStream_t stream = lur_cuda_enter(device);
  CUDA_TRY(device, cudaGraphLaunch((cudaGraphExec_t)record, stream));
  return LUR_OK;
}

/* A step that nobody waited for may still be replaying: the runtime does not say what becomes of it. */
void lur_cuda_record_free(lur_device *device, void *record) {
  cudaStream_t stream = lur_cuda_enter(device);
  (void)cudaStreamSynchronize(stream);
  if (record) (void)cudaGraphExecDestroy((cudaGraphExec_t)record);
  (void)cudaGetLastError();
}

/* `staged` may still be on its way to where the last land took it. */
lur_status lur_cuda_upload(lur_device *device, void *staged, const void *src, size_t bytes) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  (void)lur_cuda_enter(device);
  CUDA_TRY(device, cudaStreamWaitEvent(s->upload, s->landed, 0)); /* passes where nothing was recorded yet */
  s->uploading = true;
  CUDA_TRY(device, cudaMemcpyAsync(staged, src, bytes, cudaMemcpyHostToDevice, s->upload));
  CUDA_TRY(device, cudaEventRecord(s->uploaded, s->upload));
  return LUR_OK;
}

lur_status lur_cuda_land(lur_device *device, void *dst, const void *staged, size_t bytes) {
  lur_cuda_state *s = lur_cuda_state_of(device);
  cudaStream_t stream = lur_cuda_enter(device);
  CUDA_TRY(device, cudaStreamWaitEvent(stream, s->uploaded, 0));
  CUDA_TRY(device, cudaMemcpyAsync(dst, staged, bytes, cudaMemcpyDeviceToDevice, stream));
  CUDA_TRY(device, cudaEventRecord(s->landed, stream));
  return LUR_OK;
}
