/* dropout.cu - keeps an element with probability 1-rate and divides it by 1-rate; identity outside training.
 *
 * The mask is the same on every backend, a pure function of (seed, stream, step, element): kernels/random.h. One random
 * block serves four consecutive elements. Backward computes it again, nothing is saved. Seed and step are read from
 * device memory if the caller keeps them there: a captured launch uses another mask at each step. */
#include "kernel.cuh"

#include "kernels/random.h"

static lur_status plan(lur_op *op) {
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

struct mask {
  uint64_t seed, step, stream;
  const lur_step_parameters *device; /* seed and step in device memory; NULL: those above */
  float rate, scale;
  bool on;
};

template <class T>
__global__ void dropout_kernel(int64_t count, mask m, const T *from, T *to, bool add) {
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  const uint64_t key = (m.device ? m.device->seed : m.seed) ^ m.stream, step = m.device ? m.device->step : m.step;
  for (int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 4; at < count; at += stride * 4) {
    int many = count - at < 4 ? (int)(count - at) : 4;
    float v[4] = {};
    if (many == 4)
      load<4>(from + at, v);
    else
      for (int j = 0; j < many; j++) v[j] = to_float(from[at + j]);
    if (m.on) {
      lur_random4 draw = lur_philox(key, step, (uint64_t)at >> 2);
#pragma unroll
      for (int j = 0; j < 4; j++) v[j] = lur_random_unit(draw.v[j]) >= m.rate ? v[j] * m.scale : v[j] - v[j];
    }
    if (many == 4)
      put<4>(to + at, v, add);
    else
      for (int j = 0; j < many; j++) from_float(add ? to_float(to[at + j]) + v[j] : v[j], &to[at + j]);
  }
}

static lur_status run(lur_op *op, const lur_args *args, const void *from, void *to, bool add) {
  const lur_dropout_desc *u = &op->desc.u.dropout;
  cudaStream_t stream = lur_cuda_enter(op->device);
  int64_t count = lur_shape_count(&op->desc.y.shape);
  mask m = {args->seed, args->step, (uint64_t)u->stream << 32, args->step_parameters, (float)u->rate,
            (float)(1 / (1 - u->rate)), u->training && u->rate > 0};
  LUR_WITH_TYPE(op->desc.y.dtype,
                LUR_LAUNCH(dropout_kernel<T>, blocks_for(op->device, divide_up(count, 4)), LUR_THREADS, stream, count,
                           m, static_cast<const T *>(from), static_cast<T *>(to), add));
  return lur_cuda_launched(op->device);
}

static lur_status forward(lur_op *op, const lur_args *args) { return run(op, args, args->x[0], args->y, false); }
static lur_status backward(lur_op *op, const lur_args *args) {
  return run(op, args, args->dy, args->dx[0], args->dx_add & 1u);
}

const lur_kernel lur_cuda_dropout = {plan, forward, backward, NULL};
