/* permute.cu - ops that move elements: permute, slice, pad. Dimensions that stay neighbours are merged. */
#include "kernel.cuh"

/* A row-major grid and where its elements are in another tensor; the innermost dimension comes first. Everything is
   counted in units of V elements. */
struct lattice {
  int ndim;
  int64_t extent[LUR_MAX_DIMS], stride[LUR_MAX_DIMS], begin, count;
};

static __device__ inline int64_t position(const lattice *g, int64_t at) {
  int64_t p = g->begin;
  for (int i = 0; i < g->ndim; i++) {
    p += at % g->extent[i] * g->stride[i];
    at /= g->extent[i];
  }
  return p;
}

/* scatter: to[position(i)] = or += from[i]; otherwise to[i] = or += from[position(i)]. */
template <class T, int V>
__global__ void move_kernel(lattice g, const T *from, T *to, bool scatter, bool add) {
  const int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < g.count; i += stride) {
    const int64_t p = position(&g, i);
    float v[V];
    load<V>(from + (scatter ? i : p) * V, v);
    put<V>(to + (scatter ? p : i) * V, v, add);
  }
}

/* Adds a dimension outside the present ones. */
static void extend(lattice *g, int64_t extent, int64_t stride) {
  const int last = g->ndim - 1;
  if (extent == 1) return;
  if (last >= 0 && g->extent[last] * g->stride[last] == stride) {
    g->extent[last] *= extent;
  } else {
    g->extent[g->ndim] = extent;
    g->stride[g->ndim++] = stride;
  }
  g->count *= extent;
}

/* Counts in units of 4 elements, if everything is a multiple of them. */
static bool in_fours(lattice *g) {
  if (g->ndim < 1 || g->stride[0] != 1 || g->extent[0] % 4 || g->begin % 4) return false;
  for (int i = 1; i < g->ndim; i++)
    if (g->stride[i] % 4) return false;
  g->extent[0] /= 4;
  g->begin /= 4;
  g->count /= 4;
  for (int i = 1; i < g->ndim; i++) g->stride[i] /= 4;
  return true;
}

static lur_status move(lur_device *device, lur_dtype dtype, lattice g, const void *from, void *to, bool scatter,
                       bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  const bool fours = in_fours(&g);
  const unsigned blocks = blocks_for(device, g.count);
  if (fours)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((move_kernel<T, 4>), blocks, LUR_THREADS, stream, g, static_cast<const T *>(from),
                                    static_cast<T *>(to), scatter, add));
  else
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((move_kernel<T, 1>), blocks, LUR_THREADS, stream, g, static_cast<const T *>(from),
                                    static_cast<T *>(to), scatter, add));
  return lur_cuda_launched(device);
}

static lur_status plan(lur_op *op) {
  (void)op;
  return LUR_OK;
}

/* ---- permute ---- */

/* y's elements, and where they are in x. */
static lattice permuted(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape;
  int64_t strides[LUR_MAX_DIMS], next = 1;
  lattice g = {};
  g.count = 1;
  for (int i = x->ndim - 1; i >= 0; i--) {
    strides[i] = next;
    next *= x->dim[i];
  }
  for (int i = x->ndim - 1; i >= 0; i--) extend(&g, d->y.shape.dim[i], strides[d->u.permute.order[i]]);
  return g;
}

static lur_status permute_forward(lur_op *op, const lur_args *args) {
  return move(op->device, op->desc.y.dtype, permuted(&op->desc), args->x[0], args->y, false, false);
}

static lur_status permute_backward(lur_op *op, const lur_args *args) {
  return move(op->device, op->desc.y.dtype, permuted(&op->desc), args->dy, args->dx[0], true, args->dx_add & 1u);
}

const lur_kernel lur_cuda_permute = {plan, permute_forward, permute_backward, NULL};

/* ---- slice, pad: a block inside a larger tensor ---- */

/* The elements of the block `inner`, and where they are in `outer`. */
static lattice block_of(const lur_shape *inner, const lur_shape *outer, const int64_t *begin) {
  lattice g = {};
  g.count = 1;
  int64_t stride = 1;
  for (int i = inner->ndim - 1; i >= 0; i--) {
    extend(&g, inner->dim[i], stride);
    g.begin += begin[i] * stride;
    stride *= outer->dim[i];
  }
  return g;
}

template <class T, int V>
__global__ void fill_kernel(int64_t count, float value, T *to) {
  const int64_t stride = (int64_t)gridDim.x * blockDim.x;
  float v[V];
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = value;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) store<V>(to + i * V, v);
}

/* All of `outer` becomes `value`, then the block is written. */
static lur_status place(lur_device *device, lur_dtype dtype, const lattice *g, int64_t count, const void *from,
                        float value, void *to) {
  cudaStream_t stream = lur_cuda_enter(device);
  if (g->count < count && count % 4 == 0)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((fill_kernel<T, 4>), blocks_for(device, count / 4), LUR_THREADS, stream, count / 4,
                                    value, static_cast<T *>(to)));
  else if (g->count < count)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((fill_kernel<T, 1>), blocks_for(device, count), LUR_THREADS, stream, count, value,
                                    static_cast<T *>(to)));
  LUR_TRY(lur_cuda_launched(device));
  return move(device, dtype, *g, from, to, true, false);
}

static lur_status slice_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  return move(op->device, d->y.dtype, block_of(&d->y.shape, &d->x[0].shape, d->u.slice.begin), args->x[0], args->y,
              false, false);
}

static lur_status slice_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const lattice g = block_of(&d->y.shape, &d->x[0].shape, d->u.slice.begin);
  if (args->dx_add & 1u) return move(op->device, d->y.dtype, g, args->dy, args->dx[0], true, true);
  return place(op->device, d->y.dtype, &g, lur_shape_count(&d->x[0].shape), args->dy, 0, args->dx[0]);
}

const lur_kernel lur_cuda_slice = {plan, slice_forward, slice_backward, NULL};

static lur_status pad_forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const lattice g = block_of(&d->x[0].shape, &d->y.shape, d->u.pad.before);
  return place(op->device, d->y.dtype, &g, lur_shape_count(&d->y.shape), args->x[0], (float)d->u.pad.value, args->y);
}

static lur_status pad_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  return move(op->device, d->y.dtype, block_of(&d->x[0].shape, &d->y.shape, d->u.pad.before), args->dy, args->dx[0],
              false, args->dx_add & 1u);
}

const lur_kernel lur_cuda_pad = {plan, pad_forward, pad_backward, NULL};
