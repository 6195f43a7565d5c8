/* activation.cu - the activations (LUR_ACTIVATIONS in op_desc.h), and softmax over the last dimension (a warp per row).
 *
 * A new activation: a case in `value` and one in `slope`. */
#include "kernel.cuh"

static lur_status plan(lur_op *op) {
  bool x = lur_activation_reads_x(op->desc.u.activation.function);
  op->in_place = true;
  if (!lur_cuda_wants(op)) return LUR_OK;
  op->backward_x = x ? 1u : 0;
  op->backward_y = !x;
  op->dx_in_place = true;
  return LUR_OK;
}

/* The cumulative distribution function of the standard normal distribution. */
static __device__ inline float normal(float x) { return 0.5f * erfcf(-x * 0.70710678118654752f); }

static __device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/* min(max(x, 0), 6); NaN stays NaN. */
static __device__ inline float clamp6(float x) { return x < 0 ? 0 : x > 6 ? 6 : x; }

struct value {
  lur_activation f;
  float slope;
  __device__ float operator()(const float (&v)[1]) const {
    float x = v[0];
    switch (f) {
      case LUR_RELU: return relu_of(x);
      case LUR_SIGMOID: return 1 / (1 + expf(-x));
      case LUR_TANH: return tanhf(x);
      case LUR_SQUARE: return x * x;
      case LUR_ABS: return fabsf(x);
      case LUR_EXP: return expf(x);
      case LUR_LOG: return logf(x);
      case LUR_SQRT: return sqrtf(x);
      case LUR_GELU: return x * normal(x);
      case LUR_SILU: return x * sigmoid(x);
      case LUR_LEAKY_RELU: return x > 0 ? x : x * slope;
      case LUR_ELU: return x > 0 ? x : expm1f(x);
      case LUR_RELU6: return clamp6(x);
      case LUR_HARD_SIGMOID: return clamp6(x + 3) * (1.0f / 6);
      case LUR_HARD_SWISH: return x * clamp6(x + 3) * (1.0f / 6);
      case LUR_SOFTPLUS: return relu_of(x) + log1pf(expf(-fabsf(x)));
    }
    return x;
  }
};

/* dy times the derivative; 0 where the function is constant. in[1]: x where lur_activation_reads_x says so, else y. */
struct slope {
  lur_activation f;
  float leaky;
  __device__ float operator()(const float (&in)[2]) const {
    float dy = in[0], v = in[1];
    switch (f) {
      case LUR_RELU: return relu_dy_of(v, dy);
      case LUR_SIGMOID: return dy * (v * (1 - v));
      case LUR_TANH: return dy * (1 - v * v);
      case LUR_SQUARE: return dy * (2 * v);
      case LUR_ABS: return dy * (v > 0 ? 1 : v < 0 ? -1 : v == 0 ? 0 : v);
      case LUR_EXP: return dy * v;
      case LUR_LOG: return dy / v;
      case LUR_SQRT: return dy * (0.5f / v);
      case LUR_SILU: return dy * (sigmoid(v) * fmaf(v, 1 - sigmoid(v), 1));
      case LUR_LEAKY_RELU: return v > 0 ? dy : dy * leaky;
      case LUR_ELU: return v > 0 ? dy : dy * (v + 1);
      case LUR_RELU6: return v <= 0 || v >= 6 ? 0 : dy;
      case LUR_HARD_SIGMOID: return v > -3 && v < 3 ? dy * (1.0f / 6) : 0;
      case LUR_HARD_SWISH: return v <= -3 ? 0 : v >= 3 ? dy : dy * fmaf(v, 1.0f / 3, 0.5f);
      case LUR_SOFTPLUS: return dy * sigmoid(v);
      case LUR_GELU: return dy * fmaf(v * expf(-0.5f * v * v), 0.39894228f, normal(v)); /* 1 / sqrt(2 pi) */
    }
    return dy;
  }
};

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  return map<1>(op->device, d->y.dtype, lur_shape_count(&d->y.shape), {{args->x[0]}}, args->y, false,
                value{d->u.activation.function, (float)d->u.activation.slope});
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  lur_activation f = d->u.activation.function;
  const void *v = lur_activation_reads_x(f) ? args->x[0] : args->y;
  return map<2>(op->device, d->y.dtype, lur_shape_count(&d->y.shape), {{args->dy, v}}, args->dx[0], args->dx_add & 1u,
                slope{f, (float)d->u.activation.slope});
}

const lur_kernel lur_cuda_activation = {plan, forward, backward, NULL};

/* ---- softmax ---- */

enum { ROWS = 4 }; /* rows (warps) per block */

static lur_status softmax_plan(lur_op *op) {
  op->in_place = true;
  op->backward_y = op->dx_in_place = lur_cuda_wants(op);
  return LUR_OK;
}

template <class T>
__global__ void softmax_kernel(const T *x, T *y, int64_t rows, int64_t c) {
  int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
  if (r >= rows) return; /* a whole warp */
  x += r * c;
  y += r * c;
  float top = to_float(x[threadIdx.x < c ? threadIdx.x : 0]), sum = 0;
  for (int64_t i = threadIdx.x; i < c; i += 32) top = fmaxf(top, to_float(x[i]));
  top = warp_max(top);
  for (int64_t i = threadIdx.x; i < c; i += 32) sum += expf(to_float(x[i]) - top);
  sum = warp_sum(sum);
  for (int64_t i = threadIdx.x; i < c; i += 32) from_float(expf(to_float(x[i]) - top) / sum, &y[i]);
}

/* dx = y * (dy - sum(dy * y)) */
template <class T>
__global__ void softmax_backward_kernel(const T *y, const T *dy, T *dx, int64_t rows, int64_t c, bool add) {
  int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
  if (r >= rows) return;
  float sum = 0;
  for (int64_t i = r * c + threadIdx.x; i < (r + 1) * c; i += 32) sum += to_float(dy[i]) * to_float(y[i]);
  sum = warp_sum(sum);
  for (int64_t i = r * c + threadIdx.x; i < (r + 1) * c; i += 32) {
    float v = to_float(y[i]) * (to_float(dy[i]) - sum);
    from_float(add ? to_float(dx[i]) + v : v, &dx[i]);
  }
}

static lur_status softmax_forward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  int64_t c = lur_cuda_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
  LUR_WITH_TYPE(op->desc.y.dtype, LUR_LAUNCH(softmax_kernel<T>, (unsigned)divide_up(rows, ROWS), dim3(32, ROWS), stream,
                                             static_cast<const T *>(args->x[0]), static_cast<T *>(args->y), rows, c));
  return lur_cuda_launched(op->device);
}

static lur_status softmax_backward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  int64_t c = lur_cuda_last(&op->desc.y.shape), rows = lur_shape_count(&op->desc.y.shape) / c;
  LUR_WITH_TYPE(op->desc.y.dtype,
                LUR_LAUNCH(softmax_backward_kernel<T>, (unsigned)divide_up(rows, ROWS), dim3(32, ROWS), stream,
                           static_cast<const T *>(args->y), static_cast<const T *>(args->dy),
                           static_cast<T *>(args->dx[0]), rows, c, (args->dx_add & 1u) != 0));
  return lur_cuda_launched(op->device);
}

const lur_kernel lur_cuda_softmax = {softmax_plan, softmax_forward, softmax_backward, NULL};
