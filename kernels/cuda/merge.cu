/* merge.cu - ops that combine or copy tensors: affine, concat, copy. */
#include "kernel.cuh"

/* ---- affine ---- */

static lur_status affine_plan(lur_op *op) {
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

struct affine_value {
  float scale, shift;
  __device__ float operator()(const float (&v)[1]) const { return fmaf(scale, v[0], shift); }
};

static lur_status affine_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  return map<1>(op->device, d->y.dtype, lur_shape_count(&d->y.shape), {{args->x[0]}}, args->y, false,
                affine_value{(float)d->u.affine.scale, (float)d->u.affine.shift});
}

static lur_status affine_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  return map<1>(op->device, d->y.dtype, lur_shape_count(&d->y.shape), {{args->dy}}, args->dx[0], args->dx_add & 1u,
                affine_value{(float)d->u.affine.scale, 0});
}

const lur_kernel lur_cuda_affine = {affine_plan, affine_forward, affine_backward, NULL};

/* ---- concat: y has `outer` rows; each holds one run of elements per input ---- */

static lur_status concat_plan(lur_op *op) {
  (void)op;
  return LUR_OK;
}

/* The part of the joined rows that belongs to one input: `run` elements at `offset` in each of `rows` rows of `row`
   elements, all counted in units of V elements. The input has `own` rows; fewer than `rows` are repeated. */
struct part_sizes {
  int64_t rows, run, row, offset, own;
};

/* split: from the joined rows to the input (= or +=), which is not repeated; otherwise from the input to the rows. */
template <class T, int V>
__global__ void part_kernel(part_sizes s, const T *from, T *to, bool split, bool add) {
  const int64_t place = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.y * blockDim.y;
  if (place >= s.run) return;
  for (int64_t r = (int64_t)blockIdx.y * blockDim.y + threadIdx.y; r < s.rows; r += step) {
    const int64_t at = r % s.own * s.run + place, joined = r * s.row + s.offset + place;
    float v[V];
    load<V>(from + (split ? joined : at) * V, v);
    put<V>(to + (split ? at : joined) * V, v, add);
  }
}

/* The gradient of an input that is repeated: the sum over its rows, in order. */
template <class T, int V>
__global__ void part_sum_kernel(part_sizes s, const T *from, T *to, bool add) {
  const int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < s.own * s.run; i += stride) {
    double sum[V] = {};
    float v[V];
    for (int64_t r = i / s.run; r < s.rows; r += s.own) {
      load<V>(from + (r * s.row + s.offset + i % s.run) * V, v);
      for (int j = 0; j < V; j++) sum[j] += (double)v[j];
    }
    for (int j = 0; j < V; j++) v[j] = (float)sum[j];
    put<V>(to + i * V, v, add);
  }
}

/* Elements of x[k] in one outer row: the product of its extents from the axis on. */
static int64_t run_length(const lur_op_desc *d, int k) {
  int64_t length = 1;
  for (int i = d->u.concat.axis; i < d->x[k].shape.ndim; i++) length *= d->x[k].shape.dim[i];
  return length;
}

static lur_status move_part(lur_device *device, lur_dtype dtype, part_sizes s, const void *from, void *to, bool split,
                            bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  bool even = s.run % 4 == 0 && s.row % 4 == 0 && s.offset % 4 == 0;
  if (even) s.run /= 4, s.row /= 4, s.offset /= 4;
  const lur_tiling t = tile_rows(device, s.run, s.rows, 1, 65535);
  if (split && s.own < s.rows) {
    const unsigned blocks = blocks_for(device, s.own * s.run);
    if (even)
      LUR_WITH_TYPE(dtype, LUR_LAUNCH((part_sum_kernel<T, 4>), blocks, LUR_THREADS, stream, s,
                                      static_cast<const T *>(from), static_cast<T *>(to), add));
    else
      LUR_WITH_TYPE(dtype, LUR_LAUNCH((part_sum_kernel<T, 1>), blocks, LUR_THREADS, stream, s,
                                      static_cast<const T *>(from), static_cast<T *>(to), add));
    return lur_cuda_launched(device);
  }
  if (even)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((part_kernel<T, 4>), t.grid, t.block, stream, s, static_cast<const T *>(from),
                                    static_cast<T *>(to), split, add));
  else
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((part_kernel<T, 1>), t.grid, t.block, stream, s, static_cast<const T *>(from),
                                    static_cast<T *>(to), split, add));
  return lur_cuda_launched(device);
}

static int64_t row_length(const lur_op_desc *d) {
  int64_t row = 0;
  for (int k = 0; k < d->nx; k++) row += run_length(d, k);
  return row;
}

static lur_status concat_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  int64_t row = row_length(d), offset = 0;
  for (int k = 0; k < d->nx; k++) {
    int64_t run = run_length(d, k);
    part_sizes s = {lur_shape_count(&d->y.shape) / row, run, row, offset, lur_shape_count(&d->x[k].shape) / run};
    LUR_TRY(move_part(op->device, d->y.dtype, s, args->x[k], args->y, false, false));
    offset += run;
  }
  return LUR_OK;
}

static lur_status concat_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  int64_t row = row_length(d), offset = 0;
  for (int k = 0; k < d->nx; k++) {
    int64_t run = run_length(d, k);
    part_sizes s = {lur_shape_count(&d->y.shape) / row, run, row, offset, lur_shape_count(&d->x[k].shape) / run};
    if (d->want_dx >> k & 1u)
      LUR_TRY(move_part(op->device, d->y.dtype, s, args->dy, args->dx[k], true, args->dx_add >> k & 1u));
    offset += run;
  }
  return LUR_OK;
}

const lur_kernel lur_cuda_concat = {concat_plan, concat_forward, concat_backward, NULL};

/* ---- copy, with conversion between types ---- */

static lur_status copy_plan(lur_op *op) {
  op->in_place = op->dx_in_place = op->desc.x[0].dtype == op->desc.y.dtype;
  return LUR_OK;
}

template <class A, class B>
__global__ void convert_kernel(int64_t count, const A *from, B *to, bool add) {
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 4; at < count; at += stride * 4) {
    if (count - at >= 4) {
      float v[4];
      load<4>(from + at, v);
      put<4>(to + at, v, add);
    } else {
      for (int64_t i = at; i < count; i++)
        from_float(add ? to_float(to[i]) + to_float(from[i]) : to_float(from[i]), &to[i]);
    }
  }
}

template <class A>
static lur_status convert(lur_device *device, lur_dtype to_type, int64_t count, const A *from, void *to, bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(to_type, LUR_LAUNCH((convert_kernel<A, T>), blocks_for(device, divide_up(count, 4)), LUR_THREADS,
                                    stream, count, from, static_cast<T *>(to), add));
  return lur_cuda_launched(device);
}

static lur_status copy_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  cudaStream_t stream = lur_cuda_enter(op->device);
  if (d->x[0].dtype != d->y.dtype)
    LUR_WITH_TYPE(d->x[0].dtype, return convert(op->device, d->y.dtype, lur_shape_count(&d->y.shape),
                                                static_cast<const T *>(args->x[0]), args->y, false));
  if (args->y == args->x[0]) return LUR_OK;
  return lur_cuda_check(op->device,
                        cudaMemcpyAsync(args->y, args->x[0], lur_cuda_bytes(&d->y), cudaMemcpyDeviceToDevice, stream),
                        "cudaMemcpyAsync");
}

static lur_status copy_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  if (args->dx[0] == args->dy) return LUR_OK;
  LUR_WITH_TYPE(d->y.dtype, return convert(op->device, d->x[0].dtype, lur_shape_count(&d->y.shape),
                                           static_cast<const T *>(args->dy), args->dx[0], (args->dx_add & 1u) != 0));
  return LUR_OK;
}

const lur_kernel lur_cuda_copy = {copy_plan, copy_forward, copy_backward, NULL};
