/* normalize.cu - y = x / max(|x|2, epsilon) over the last dimension: one warp per row. */
#include "kernel.cuh"

enum { ROWS = 4 };

static lur_status plan(lur_op *op) {
  op->in_place = true;
  op->backward_x = lur_cuda_wants(op) ? 1u : 0;
  op->dx_in_place = true;
  return LUR_OK;
}

template <class T>
__global__ void normalize_kernel(const T *x, T *y, int64_t rows, int64_t c, float epsilon) {
  int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
  if (r >= rows) return; /* a whole warp */
  float sum = 0;
  for (int64_t i = r * c + threadIdx.x; i < (r + 1) * c; i += 32) sum += to_float(x[i]) * to_float(x[i]);
  float length = sqrtf(warp_sum(sum));
  length = length < epsilon ? epsilon : length; /* NaN stays NaN */
  for (int64_t i = r * c + threadIdx.x; i < (r + 1) * c; i += 32) from_float(to_float(x[i]) / length, &y[i]);
}

/* dx = (dy - x (x.dy) / |x|^2) / |x|; where |x| < epsilon the divisor is constant: dx = dy / epsilon. */
template <class T>
__global__ void normalize_backward_kernel(const T *x, const T *dy, T *dx, int64_t rows, int64_t c, float epsilon,
                                          bool add) {
  int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
  if (r >= rows) return;
  float squares = 0, product = 0;
  for (int64_t i = r * c + threadIdx.x; i < (r + 1) * c; i += 32) {
    squares += to_float(x[i]) * to_float(x[i]);
    product += to_float(x[i]) * to_float(dy[i]);
  }
  squares = warp_sum(squares);
  product = warp_sum(product);
  float length = sqrtf(squares);
  bool small = length < epsilon;
  float along = small ? 0 : product / squares, over = small ? epsilon : length;
  for (int64_t i = r * c + threadIdx.x; i < (r + 1) * c; i += 32) {
    float v = (to_float(dy[i]) - to_float(x[i]) * along) / over;
    from_float(add ? to_float(dx[i]) + v : v, &dx[i]);
  }
}

static lur_status forward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  int64_t c = lur_cuda_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
  LUR_WITH_TYPE(op->desc.y.dtype, LUR_LAUNCH(normalize_kernel<T>, (unsigned)divide_up(rows, ROWS), dim3(32, ROWS),
                                             stream, static_cast<const T *>(args->x[0]), static_cast<T *>(args->y),
                                             rows, c, (float)op->desc.u.normalize.epsilon));
  return lur_cuda_launched(op->device);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  int64_t c = lur_cuda_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
  LUR_WITH_TYPE(op->desc.y.dtype, LUR_LAUNCH(normalize_backward_kernel<T>, (unsigned)divide_up(rows, ROWS),
                                             dim3(32, ROWS), stream, static_cast<const T *>(args->x[0]),
                                             static_cast<const T *>(args->dy), static_cast<T *>(args->dx[0]), rows, c,
                                             (float)op->desc.u.normalize.epsilon, (args->dx_add & 1u) != 0));
  return lur_cuda_launched(op->device);
}

const lur_kernel lur_cuda_normalize = {plan, forward, backward, NULL};
