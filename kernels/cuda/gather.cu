/* gather.cu - y[k] = x[rows[k]]. The gradient of a row is the sum over all k that take it, in order.
 *
 * The caller checks the row numbers; a wrong one reads as zeros, so that no other memory is accessed. */
#include "kernel.cuh"

static lur_status plan(lur_op *op) {
  op->backward_x = op->desc.want_dx ? 2u : 0;
  return LUR_OK;
}

template <class U>
__global__ void gather_kernel(const U *x, const int32_t *rows, U *y, int64_t n, int64_t m, int64_t width) {
  const int64_t place = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.y * blockDim.y;
  if (place >= width) return;
  for (int64_t k = (int64_t)blockIdx.y * blockDim.y + threadIdx.y; k < m; k += step) {
    const int64_t r = rows[k];
    y[k * width + place] = r >= 0 && r < n ? x[r * width + place] : U{};
  }
}

template <class T, int V>
__global__ void gather_backward_kernel(const T *dy, const int32_t *rows, T *dx, int64_t n, int64_t m, int64_t groups,
                                       bool add) {
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < n * groups; at += stride) {
    int64_t r = at / groups, i = at % groups;
    float sum[V] = {}, v[V];
    for (int64_t k = 0; k < m; k++) {
      if (rows[k] != r) continue;
      load<V>(dy + (k * groups + i) * V, v);
#pragma unroll
      for (int j = 0; j < V; j++) sum[j] += v[j];
    }
    put<V>(dx + at * V, sum, add);
  }
}

template <class U>
static lur_status copy_rows(lur_op *op, const lur_args *args, int64_t bytes) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  int64_t n = op->desc.x[0].shape.dim[0], m = op->desc.y.shape.dim[0], width = bytes / (int64_t)sizeof(U);
  const lur_tiling t = tile_rows(op->device, width, m, 1, 65535);
  LUR_LAUNCH(gather_kernel<U>, t.grid, t.block, stream, static_cast<const U *>(args->x[0]),
             static_cast<const int32_t *>(args->x[1]), static_cast<U *>(args->y), n, m, width);
  return lur_cuda_launched(op->device);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  int64_t bytes = (int64_t)lur_cuda_bytes(&op->desc.y) / op->desc.y.shape.dim[0];
  if (bytes % 16 == 0) return copy_rows<pack<uint32_t, 4>>(op, args, bytes);
  if (bytes % 4 == 0) return copy_rows<uint32_t>(op, args, bytes);
  return copy_rows<uint8_t>(op, args, bytes);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  const lur_op_desc *d = &op->desc;
  int64_t n = d->x[0].shape.dim[0], m = d->y.shape.dim[0], width = lur_shape_count(&d->y.shape) / m;
  const int32_t *rows = static_cast<const int32_t *>(args->x[1]);
  bool add = args->dx_add & 1u;
  if (width % 4 == 0)
    LUR_WITH_TYPE(d->y.dtype, LUR_LAUNCH((gather_backward_kernel<T, 4>), blocks_for(op->device, n * width / 4),
                                         LUR_THREADS, stream, static_cast<const T *>(args->dy), rows,
                                         static_cast<T *>(args->dx[0]), n, m, width / 4, add));
  else
    LUR_WITH_TYPE(d->y.dtype,
                  LUR_LAUNCH((gather_backward_kernel<T, 1>), blocks_for(op->device, n * width), LUR_THREADS, stream,
                             static_cast<const T *>(args->dy), rows, static_cast<T *>(args->dx[0]), n, m, width, add));
  return lur_cuda_launched(op->device);
}

const lur_kernel lur_cuda_gather = {plan, forward, backward, NULL};
