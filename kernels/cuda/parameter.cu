/* parameter.cu - a learned tensor, or a constant, as the value of a node. Definition: kernels/ref/parameter.c. */
#include "kernel.cuh"

static lur_status plan(lur_op *op) {
  (void)op;
  return LUR_OK;
}

__global__ void constant_kernel(float *y, int64_t count, float value) {
  const int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) y[i] = value;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const int64_t count = lur_shape_count(&d->y.shape);
  cudaStream_t stream = lur_cuda_enter(op->device);
  if (d->nw == 1)
    return lur_cuda_check(op->device,
                          cudaMemcpyAsync(args->y, args->w[0], lur_cuda_bytes(&d->y), cudaMemcpyDeviceToDevice, stream),
                          "cudaMemcpyAsync");
  LUR_LAUNCH(constant_kernel, blocks_for(op->device, count), LUR_THREADS, stream, static_cast<float *>(args->y), count,
             (float)d->u.parameter.value);
  return lur_cuda_launched(op->device);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  if (!op->desc.want_dw) return LUR_OK;
  return lur_cuda_put(op->device, LUR_F32, args->dw[0], args->dy, NULL, lur_shape_count(&op->desc.y.shape), true);
}

const lur_kernel lur_cuda_parameter = {plan, forward, backward, NULL};
