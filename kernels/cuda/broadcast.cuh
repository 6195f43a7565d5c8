/* broadcast.cuh - kernels over arrays of different shapes that broadcast (kernels/broadcast.h): a map, and sums over
 * the repetitions of an operand, which are its gradient. Sums are divided into parts by the shapes and the device
 * alone, and the parts are added in order. Elements are counted in 32 bits, because a 64-bit division takes longer than
 * the access to memory. */
#ifndef LUR_BROADCAST_CUH
#define LUR_BROADCAST_CUH

#include "kernel.cuh"
#include "kernels/broadcast.h"

/* LUR_EUNSUPPORTED if y has more elements than 32 bits can count. */
static inline lur_status check_broadcast(const lur_op *op) {
  const int64_t count = lur_shape_count(&op->desc.y.shape);
  if (count <= INT32_MAX) return LUR_OK;
  return lur_fail(LUR_EUNSUPPORTED, "%lld elements with broadcasting are too many (2^31 at most): lower the batch size",
                  (long long)count);
}

/* A loop over some dimensions, and the steps of N arrays. */
template <int N>
struct lur_strides {
  int ndim;
  unsigned dim[LUR_MAX_DIMS], step[N][LUR_MAX_DIMS];
};

/* Adds to at[k] the place of the loop's element i in array k. */
template <int N>
static __device__ inline void add_places(const lur_strides<N> &s, unsigned i, unsigned (&at)[N]) {
  for (int d = s.ndim - 1; d >= 0; d--) {
    const unsigned next = d > 0 ? i / s.dim[d] : 0, index = i - next * s.dim[d];
#pragma unroll
    for (int k = 0; k < N; k++) at[k] += index * s.step[k][d];
    i = next;
  }
}

/* Arrays of one type; NULL reads as 0. */
template <class T, int N>
struct typed_arrays {
  const T *p[N];
};

template <class T, int N>
static inline typed_arrays<T, N> typed(const lur_arrays<N> &in) {
  typed_arrays<T, N> made;
  for (int k = 0; k < N; k++) made.p[k] = static_cast<const T *>(in.p[k]);
  return made;
}

/* The steps of array k of a kernel: of operand slots[k], or, for -1, of y. only: the operand for which dimensions are
   chosen, -1: all dimensions; kept: those along which it is not repeated, else the others. */
template <int N>
static inline lur_strides<N> strides_of(const lur_broadcast *b, const int (&slots)[N], int only, bool kept) {
  lur_strides<N> s = {};
  int64_t own = 1, steps[LUR_MAX_DIMS];
  for (int d = b->ndim - 1; d >= 0; d--) steps[d] = own, own *= b->dim[d];
  for (int d = 0; d < b->ndim; d++) {
    if (only >= 0 && (b->step[only][d] != 0) != kept) continue;
    for (int k = 0; k < N; k++) s.step[k][s.ndim] = (unsigned)(slots[k] < 0 ? steps[d] : b->step[slots[k]][d]);
    s.dim[s.ndim++] = (unsigned)b->dim[d];
  }
  return s;
}

/* ---- out = or += f(in), for every element of y ---- */

template <class T, int V, int N, class F>
__global__ void broadcast_kernel(unsigned groups, LUR_IN_PLACE const lur_strides<N> s, typed_arrays<T, N> in, T *out,
                                 bool add, F f) {
  const unsigned stride = gridDim.x * blockDim.x;
  for (unsigned g = blockIdx.x * blockDim.x + threadIdx.x; g < groups; g += stride) {
    float v[N][V] = {}, r[V];
    unsigned at[N] = {};
    add_places(s, g * V, at);
    for (int k = 0; k < N; k++) {
      const T *p = in.p[k];
      if (!p) continue;
      if (s.step[k][s.ndim - 1] != 0) {
        load<V>(p + at[k], v[k]);
      } else {
        for (int j = 0; j < V; j++) v[k][j] = to_float(p[at[k]]);
      }
    }
#pragma unroll
    for (int j = 0; j < V; j++) {
      float one[N];
#pragma unroll
      for (int k = 0; k < N; k++) one[k] = v[k][j];
      r[j] = f(one);
    }
    put<V>(out + (size_t)g * V, r, add);
  }
}

template <int N, class F>
static lur_status broadcast_map(lur_device *device, lur_dtype dtype, const lur_broadcast *b, const int (&slots)[N],
                                lur_arrays<N> in, void *out, bool add, F f) {
  cudaStream_t stream = lur_cuda_enter(device);
  const lur_strides<N> s = strides_of(b, slots, -1, true);
  int64_t count = 1;
  for (int d = 0; d < b->ndim; d++) count *= b->dim[d];
  if (b->dim[b->ndim - 1] % 4 == 0)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((broadcast_kernel<T, 4, N, F>), blocks_for(device, count / 4), LUR_THREADS, stream,
                                    (unsigned)(count / 4), s, typed<T>(in), static_cast<T *>(out), add, f));
  else
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((broadcast_kernel<T, 1, N, F>), blocks_for(device, count), LUR_THREADS, stream,
                                    (unsigned)count, s, typed<T>(in), static_cast<T *>(out), add, f));
  return lur_cuda_launched(device);
}

/* ---- out = or += the sum of f(in) over the repetitions of an operand ---- */

/* A sum in float that moves to double before it becomes long. */
struct long_sum {
  double total;
  float sum;
  int n;
  __device__ void add(float v) {
    sum += v;
    if (++n % 64 == 0) total += sum, sum = 0;
  }
  __device__ double value() const { return total + (double)sum; }
};

template <class T, int N, class F>
static __device__ inline float value_at(const lur_strides<N> &repeats, unsigned r, const unsigned (&base)[N],
                                        const typed_arrays<T, N> &in, const F &f) {
  unsigned at[N];
  float one[N];
#pragma unroll
  for (int k = 0; k < N; k++) at[k] = base[k];
  add_places(repeats, r, at);
#pragma unroll
  for (int k = 0; k < N; k++) one[k] = in.p[k] ? to_float(in.p[k][at[k]]) : 0;
  return f(one);
}

/* A thread per element of the operand, and threadIdx.y over the repetitions: for operands that have y's innermost
   dimension. partials[part * elements + element]. */
template <class T, int N, class F>
__global__ void sum_columns_kernel(unsigned elements, unsigned repetitions, unsigned part,
                                   LUR_IN_PLACE const lur_strides<N> kept, LUR_IN_PLACE const lur_strides<N> repeats,
                                   typed_arrays<T, N> in, float *partials, F f) {
  __shared__ float shared[LUR_THREADS];
  const unsigned element = blockIdx.x * blockDim.x + threadIdx.x, begin = blockIdx.y * part;
  const unsigned end = repetitions - begin < part ? repetitions : begin + part;
  long_sum sum = {};
  if (element < elements) {
    unsigned base[N] = {};
    add_places(kept, element, base);
    for (unsigned r = begin + threadIdx.y; r < end; r += blockDim.y) sum.add(value_at(repeats, r, base, in, f));
  }
  float v[1] = {(float)sum.value()};
  sum_down<1>(v, shared);
  if (threadIdx.y == 0 && element < elements) partials[(size_t)blockIdx.y * elements + element] = v[0];
}

/* A warp per element of the operand: for operands that are repeated along y's innermost dimension. */
template <class T, int N, class F>
__global__ void sum_rows_kernel(unsigned elements, unsigned repetitions, unsigned part,
                                LUR_IN_PLACE const lur_strides<N> kept, LUR_IN_PLACE const lur_strides<N> repeats,
                                typed_arrays<T, N> in, float *partials, F f) {
  const unsigned element = blockIdx.x * blockDim.y + threadIdx.y, begin = blockIdx.y * part;
  const unsigned end = repetitions - begin < part ? repetitions : begin + part;
  if (element >= elements) return; /* a whole warp */
  long_sum sum = {};
  unsigned base[N] = {};
  add_places(kept, element, base);
  for (unsigned r = begin + threadIdx.x; r < end; r += 32) sum.add(value_at(repeats, r, base, in, f));
  const float v = warp_sum((float)sum.value());
  if (threadIdx.x == 0) partials[(size_t)blockIdx.y * elements + element] = v;
}

/* to[i] = or += the sum over p < parts of partials[p,i]. */
template <class T>
__global__ void sum_parts_kernel(const float *partials, int64_t parts, int64_t count, T *to, bool add) {
  const int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
    double sum = 0;
    for (int64_t p = 0; p < parts; p++) sum += (double)partials[p * count + i];
    from_float(add ? to_float(to[i]) + (float)sum : (float)sum, &to[i]);
  }
}

struct sum_sizes {
  int64_t elements, repetitions;
  bool columns; /* sum_columns_kernel */
  lur_tiling tiling;
};

static inline sum_sizes sum_sizes_of(lur_device *device, const lur_broadcast *b, int operand) {
  enum { WARPS = LUR_THREADS / 32, MOST_PARTS = 1024 };
  sum_sizes s = {1, 1, b->step[operand][b->ndim - 1] != 0, {}};
  for (int d = 0; d < b->ndim; d++) (b->step[operand][d] != 0 ? s.elements : s.repetitions) *= b->dim[d];
  if (s.columns) {
    s.tiling = tile_rows(device, s.elements, s.repetitions, 8, MOST_PARTS);
    return s;
  }
  const int64_t blocks = divide_up(s.elements, WARPS), wanted = divide_up((int64_t)lur_cuda_sms(device) * 8, blocks);
  int64_t parts = lur_cuda_min(lur_cuda_min(wanted, divide_up(s.repetitions, 32 * 8)), MOST_PARTS);
  s.tiling.part = divide_up(s.repetitions, parts < 1 ? 1 : parts);
  s.tiling.grid = dim3((unsigned)blocks, (unsigned)divide_up(s.repetitions, s.tiling.part));
  s.tiling.block = dim3(32, WARPS);
  return s;
}

/* Bytes of scratch for broadcast_sum. */
static inline size_t broadcast_sum_scratch(lur_device *device, const lur_broadcast *b, int operand) {
  const sum_sizes s = sum_sizes_of(device, b, operand);
  return sizeof(float) * (size_t)s.tiling.grid.y * (size_t)s.elements;
}

template <int N, class F>
static lur_status broadcast_sum(lur_device *device, lur_dtype dtype, const lur_broadcast *b, int operand,
                                const int (&slots)[N], lur_arrays<N> in, void *out, bool add, void *scratch, F f) {
  cudaStream_t stream = lur_cuda_enter(device);
  const sum_sizes s = sum_sizes_of(device, b, operand);
  const lur_strides<N> kept = strides_of(b, slots, operand, true), repeats = strides_of(b, slots, operand, false);
  const unsigned elements = (unsigned)s.elements, repetitions = (unsigned)s.repetitions, part = (unsigned)s.tiling.part;
  float *partials = static_cast<float *>(scratch);
  if (s.columns)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((sum_columns_kernel<T, N, F>), s.tiling.grid, s.tiling.block, stream, elements,
                                    repetitions, part, kept, repeats, typed<T>(in), partials, f));
  else
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((sum_rows_kernel<T, N, F>), s.tiling.grid, s.tiling.block, stream, elements,
                                    repetitions, part, kept, repeats, typed<T>(in), partials, f));
  LUR_TRY(lur_cuda_launched(device));
  LUR_WITH_TYPE(dtype, LUR_LAUNCH(sum_parts_kernel<T>, blocks_for(device, s.elements), LUR_THREADS, stream, partials,
                                  (int64_t)s.tiling.grid.y, s.elements, static_cast<T *>(out), add));
  return lur_cuda_launched(device);
}

#endif
