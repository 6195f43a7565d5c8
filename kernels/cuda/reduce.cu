/* reduce.cu - sum, mean, maximum, minimum over chosen dimensions: one thread per output, or one block if an output has
 * many elements. The gradient of an extremum goes to the first element that has it, in row-major order, whose position
 * forward saves. */
#include "kernel.cuh"

/* The order in which elements are visited. Adjacent dimensions that are all reduced or all kept are merged. The
   elements of an output form the grid `inner`, with strides inner_stride, from the output's position in the grid
   `outer`. */
struct walk {
  int nouter, ninner;
  int64_t outer[LUR_MAX_DIMS], outer_stride[LUR_MAX_DIMS], inner[LUR_MAX_DIMS], inner_stride[LUR_MAX_DIMS];
  int64_t many; /* elements per output */
};

static walk walk_of(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape;
  walk w = {};
  w.many = 1;
  int64_t stride = 1;
  int last = -1; /* whether the previous dimension is reduced; -1: there is none */
  for (int i = x->ndim - 1; i >= 0; i--) {
    int reduced = (int)(d->u.reduce.axes >> i & 1u);
    int *n = reduced ? &w.ninner : &w.nouter;
    int64_t *extent = reduced ? w.inner : w.outer, *strides = reduced ? w.inner_stride : w.outer_stride;
    if (reduced != last) {
      strides[*n] = stride;
      extent[(*n)++] = x->dim[i];
    } else {
      extent[*n - 1] *= x->dim[i];
    }
    last = reduced;
    stride *= x->dim[i];
    if (reduced) w.many *= x->dim[i];
  }
  return w;
}

/* The position in x of element `at` of a row-major grid whose innermost extent comes first. */
static __device__ inline int64_t position(int n, const int64_t *extent, const int64_t *stride, int64_t at) {
  int64_t p = 0;
  for (int i = 0; i < n; i++) {
    p += at % extent[i] * stride[i];
    at /= extent[i];
  }
  return p;
}

static bool extremum(lur_reduction f) { return f == LUR_MAX || f == LUR_MIN; }

static lur_status plan(lur_op *op) {
  if (extremum(op->desc.u.reduce.function) && lur_cuda_wants(op))
    op->saved_bytes = sizeof(int64_t) * (size_t)lur_shape_count(&op->desc.y.shape);
  return LUR_OK;
}

/* A sum, or an extremum and its number among the output's elements. The first NaN is the extremum. */
struct tally {
  double sum;
  float best;
  int64_t k; /* -1: none yet */
};

static __device__ inline bool replaces(lur_reduction f, float v, int64_t k, const tally *t) {
  if (t->k < 0) return true;
  if (v == t->best || (v != v && t->best != t->best)) return k < t->k;
  return f == LUR_MAX ? beats(v, t->best) : beats(-v, -t->best);
}

static __device__ inline void take(lur_reduction f, float v, int64_t k, tally *t) {
  if (f == LUR_SUM || f == LUR_MEAN) {
    t->sum += (double)v;
  } else if (k >= 0 && replaces(f, v, k, t)) {
    t->best = v;
    t->k = k;
  }
}

template <class T>
static __device__ void finish(const walk *w, lur_reduction f, const tally *t, int64_t base, int64_t o, T *y,
                              int64_t *saved) {
  bool sum = f == LUR_SUM || f == LUR_MEAN;
  from_float(sum ? (float)(f == LUR_MEAN ? t->sum / (double)w->many : t->sum) : t->best, &y[o]);
  if (saved) saved[o] = base + position(w->ninner, w->inner, w->inner_stride, t->k);
}

template <class T>
__global__ void reduce_kernel(walk w, lur_reduction f, const T *x, T *y, int64_t *saved, int64_t count) {
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t o = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; o < count; o += stride) {
    int64_t base = position(w.nouter, w.outer, w.outer_stride, o);
    tally t = {0, 0, -1};
    for (int64_t k = 0; k < w.many; k++)
      take(f, to_float(x[base + position(w.ninner, w.inner, w.inner_stride, k)]), k, &t);
    finish(&w, f, &t, base, o, y, saved);
  }
}

template <class T>
__global__ void reduce_long_kernel(walk w, lur_reduction f, const T *x, T *y, int64_t *saved, int64_t count) {
  __shared__ tally shared[LUR_THREADS];
  for (int64_t o = blockIdx.x; o < count; o += gridDim.x) {
    int64_t base = position(w.nouter, w.outer, w.outer_stride, o);
    tally t = {0, 0, -1};
    for (int64_t k = threadIdx.x; k < w.many; k += LUR_THREADS)
      take(f, to_float(x[base + position(w.ninner, w.inner, w.inner_stride, k)]), k, &t);
    shared[threadIdx.x] = t;
    for (unsigned half = LUR_THREADS / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x >= half) continue;
      tally *mine = &shared[threadIdx.x], other = shared[threadIdx.x + half];
      mine->sum += other.sum;
      if (other.k >= 0 && replaces(f, other.best, other.k, mine)) mine->best = other.best, mine->k = other.k;
    }
    if (threadIdx.x == 0) finish(&w, f, &shared[0], base, o, y, saved);
    __syncthreads();
  }
}

template <class T>
__global__ void reduce_backward_kernel(walk w, lur_reduction f, const T *dy, const int64_t *saved, T *dx, int64_t count,
                                       bool add) {
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count * w.many; i += stride) {
    int64_t o = i / w.many;
    int64_t at =
        position(w.nouter, w.outer, w.outer_stride, o) + position(w.ninner, w.inner, w.inner_stride, i % w.many);
    float share = f == LUR_MEAN ? to_float(dy[o]) / (float)w.many : to_float(dy[o]);
    if (saved && saved[o] != at) share = 0;
    from_float(add ? to_float(dx[at]) + share : share, &dx[at]);
  }
}

enum { LONG = 256 }; /* from this number of elements per output a block computes it */

template <class T>
static lur_status run_forward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  walk w = walk_of(&op->desc);
  int64_t count = lur_shape_count(&op->desc.y.shape),
          *saved = op->saved_bytes ? static_cast<int64_t *>(args->saved) : NULL;
  const T *x = static_cast<const T *>(args->x[0]);
  T *y = static_cast<T *>(args->y);
  if (w.many >= LONG)
    LUR_LAUNCH(reduce_long_kernel<T>, blocks_for(op->device, count * LUR_THREADS), LUR_THREADS, stream, w,
               op->desc.u.reduce.function, x, y, saved, count);
  else
    LUR_LAUNCH(reduce_kernel<T>, blocks_for(op->device, count), LUR_THREADS, stream, w, op->desc.u.reduce.function, x,
               y, saved, count);
  return lur_cuda_launched(op->device);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  LUR_WITH_TYPE(op->desc.y.dtype, return run_forward<T>(op, args));
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  walk w = walk_of(&op->desc);
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const int64_t *saved = op->saved_bytes ? static_cast<const int64_t *>(args->saved) : NULL;
  LUR_WITH_TYPE(op->desc.y.dtype,
                LUR_LAUNCH(reduce_backward_kernel<T>, blocks_for(op->device, count * w.many), LUR_THREADS, stream, w,
                           op->desc.u.reduce.function, static_cast<const T *>(args->dy), saved,
                           static_cast<T *>(args->dx[0]), count, (args->dx_add & 1u) != 0));
  return lur_cuda_launched(op->device);
}

const lur_kernel lur_cuda_reduce = {plan, forward, backward, NULL};
