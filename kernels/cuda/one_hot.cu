/* one_hot.cu - y[i][k] = 1 where x[i] is k, else 0: one thread per element of y. */
#include "kernel.cuh"

static lur_status plan(lur_op *op) {
  (void)op;
  return LUR_OK;
}

__global__ void one_hot_kernel(const int32_t *ids, float *y, int64_t count, int64_t c) {
  const int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
    y[i] = ids[i / c] == i % c ? 1.0f : 0.0f;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  const int64_t count = lur_shape_count(&op->desc.y.shape);
  LUR_LAUNCH(one_hot_kernel, blocks_for(op->device, count), LUR_THREADS, stream,
             static_cast<const int32_t *>(args->x[0]), static_cast<float *>(args->y), count,
             lur_cuda_last(&op->desc.y.shape));
  return lur_cuda_launched(op->device);
}

const lur_kernel lur_cuda_one_hot = {plan, forward, NULL, NULL};
