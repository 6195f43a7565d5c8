/* kernel.cuh - what the .cu files share: launching, 16-byte accesses to three data types, sums over warps and blocks,
 * and one kernel that maps any function of a few arrays.
 *
 * Kernels compute in float whatever they store. Launches are written LUR_LAUNCH((kernel<T, 4>), grid, block, stream,
 * arguments...), which nvcc and the emulator under tests/cuda_emulator both take; shared memory is always static. */
#ifndef LUR_KERNEL_CUH
#define LUR_KERNEL_CUH

#include <cuda_runtime.h>
#ifndef LUR_CUDA_EMULATED
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define LUR_LAUNCH(kernel, grid, block, stream, ...) kernel<<<grid, block, 0, stream>>>(__VA_ARGS__)
#define LUR_CHECK_ALIGNED(pointer, bytes) ((void)0)
#endif

#include "cuda.h"

/* An argument that is read where it lies; before 7.0 there is no such thing, and it is copied. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 700
#define LUR_IN_PLACE
#else
#define LUR_IN_PLACE __grid_constant__
#endif

/* ---- data types ---- */

struct lur_f16 {
  uint16_t bits;
};
struct lur_bf16 {
  uint16_t bits;
};

static __device__ inline float to_float(float v) { return v; }
static __device__ inline float to_float(lur_bf16 v) { return __uint_as_float((uint32_t)v.bits << 16); }
static __device__ inline float to_float(lur_f16 v) {
#ifdef LUR_CUDA_EMULATED
  return lur_f16_to_f32(v.bits);
#else
  return __half2float(__ushort_as_half(v.bits));
#endif
}

static __device__ inline void from_float(float v, float *to) { *to = v; }
static __device__ inline void from_float(float v, lur_f16 *to) {
#ifdef LUR_CUDA_EMULATED
  to->bits = lur_f32_to_f16(v);
#else
  to->bits = __half_as_ushort(__float2half_rn(v));
#endif
}
static __device__ inline void from_float(float v, lur_bf16 *to) {
#ifdef LUR_CUDA_EMULATED
  to->bits = lur_f32_to_bf16(v);
#else
  to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(v));
#endif
}

/* Runs the statements with T bound to the type of dtype, which is one of the three. */
#define LUR_WITH_TYPE(dtype, ...) \
  do {                            \
    if ((dtype) == LUR_F16) {     \
      using T = lur_f16;          \
      __VA_ARGS__;                \
    } else if ((dtype) == LUR_BF16) { \
      using T = lur_bf16;         \
      __VA_ARGS__;                \
    } else {                      \
      using T = float;            \
      __VA_ARGS__;                \
    }                             \
  } while (0)

/* Elements of one 16-byte access. */
template <class T>
struct lanes {
  static constexpr int N = 16 / (int)sizeof(T);
};

template <class T, int V>
struct alignas(sizeof(T) * V) pack {
  T v[V];
};

/* V neighbours at p, which is aligned to all of them. */
template <int V, class T>
static __device__ inline void load(const T *p, float (&v)[V]) {
  LUR_CHECK_ALIGNED(p, sizeof(T) * V);
  const pack<T, V> got = *reinterpret_cast<const pack<T, V> *>(p);
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = to_float(got.v[j]);
}

template <int V, class T>
static __device__ inline void store(T *p, const float (&v)[V]) {
  LUR_CHECK_ALIGNED(p, sizeof(T) * V);
  pack<T, V> put;
#pragma unroll
  for (int j = 0; j < V; j++) from_float(v[j], &put.v[j]);
  *reinterpret_cast<pack<T, V> *>(p) = put;
}

/* *p = v, or += v. */
template <int V, class T>
static __device__ inline void put(T *p, const float (&v)[V], bool add) {
  if (!add) {
    store<V>(p, v);
    return;
  }
  float old[V];
  load<V>(p, old);
#pragma unroll
  for (int j = 0; j < V; j++) old[j] += v[j];
  store<V>(p, old);
}

/* y = max(., 0) that lets NaN through. */
static __device__ inline float relu_of(float v) { return v < 0 ? 0 : v; }

/* ---- launches ---- */

enum { LUR_THREADS = 256 };

static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Blocks for `items` threads that stride over the rest: enough to fill the device eight times. */
static inline unsigned blocks_for(lur_device *device, int64_t items) {
  int64_t blocks = divide_up(items, LUR_THREADS), limit = (int64_t)lur_cuda_sms(device) * 8 * 4;
  return (unsigned)(blocks < 1 ? 1 : blocks < limit ? blocks : limit);
}

/* Threads over rows x channels: x counts groups of V channels, y rows. Every thread keeps its channels and walks down
   its part of the rows; gridDim.y parts. */
struct lur_tiling {
  dim3 grid, block;
  int64_t part; /* rows of one part */
};

/* parts at most `most`; each at least `least` rows a thread. */
static inline lur_tiling tile_rows(lur_device *device, int64_t groups, int64_t rows, int64_t least, int64_t most) {
  unsigned tx = 1;
  while (tx < groups && tx < 32) tx *= 2;
  unsigned ty = LUR_THREADS / tx;
  int64_t columns = divide_up(groups, tx), wanted = divide_up((int64_t)lur_cuda_sms(device) * 8, columns);
  int64_t parts = lur_cuda_min(lur_cuda_min(wanted, divide_up(rows, ty * least)), most);
  if (parts < 1) parts = 1;
  lur_tiling t;
  t.part = divide_up(rows, parts);
  t.grid = dim3((unsigned)columns, (unsigned)divide_up(rows, t.part));
  t.block = dim3(tx, ty);
  return t;
}

/* ---- places in images: in 32 bits, a division of 64 takes longer than the memory it finds ---- */

/* What plans ask of the cells of a batch, read and written. */
static inline lur_status check_cells(int64_t cells) {
  if (cells <= INT32_MAX) return LUR_OK;
  return lur_fail(LUR_EUNSUPPORTED, "%lld places in a batch are too many (2^31 at most): lower the batch size",
                  (long long)cells);
}

struct cell {
  int n, y, x;
};

/* By its number in row-major order among images of h by w. */
static __device__ inline cell cell_of(unsigned number, int h, int w) {
  const unsigned row = number / (unsigned)w;
  return {(int)(row / (unsigned)h), (int)(row % (unsigned)h), (int)(number % (unsigned)w)};
}

struct span { /* of rows or columns: from <= i < to */
  int from, to;
};

/* The outputs whose windows cover row or column `in`. */
static __device__ inline span covering(int in, int stride, int pad, int kernel, int outputs) {
  const int first = in + pad - kernel + 1, last = (in + pad) / stride;
  return {first > 0 ? (first + stride - 1) / stride : 0, last + 1 < outputs ? last + 1 : outputs};
}

/* ---- sums ---- */

/* Adds up each v[j] over threadIdx.y; the sums land in threads of threadIdx.y 0. shared: LUR_THREADS * V floats. */
template <int V>
static __device__ inline void sum_down(float (&v)[V], float *shared) {
  int t = (int)(threadIdx.y * blockDim.x + threadIdx.x);
#pragma unroll
  for (int j = 0; j < V; j++) shared[j * LUR_THREADS + t] = v[j];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half) {
#pragma unroll
      for (int j = 0; j < V; j++) shared[j * LUR_THREADS + t] += shared[j * LUR_THREADS + t + (int)(half * blockDim.x)];
    }
  }
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = shared[j * LUR_THREADS + t]; /* what this thread wrote last */
  __syncthreads();
}

/* ---- a batch norm that is worked out where its output would be read (affine_in): v * scale + shift ---- */

template <int V>
struct linear {
  float scale[V], shift[V];
  bool on;
};

/* Of V channels; affine holds c scales, then c shifts. NULL: off. */
template <int V>
static __device__ inline linear<V> linear_at(const float *affine, int64_t c, int64_t channel) {
  linear<V> a = {};
  a.on = affine != NULL;
  if (a.on) load<V>(affine + channel, a.scale);
  if (a.on) load<V>(affine + c + channel, a.shift);
  return a;
}

template <int V>
static __device__ inline void apply(const linear<V> *a, float (&v)[V]) {
  if (!a->on) return;
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = fmaf(v[j], a->scale[j], a->shift[j]);
}

/* A block's sums for the gradients of scale and shift, into its own row of partials (2 c each). All threads call it.
   shared: LUR_THREADS * V floats. */
template <int V>
static __device__ inline void store_sums(float (&scaled)[V], float (&plain)[V], int64_t c, int64_t channel,
                                         float *shared, float *partials) {
  sum_down<V>(scaled, shared);
  sum_down<V>(plain, shared);
  if (threadIdx.y != 0 || channel >= c) return;
  store<V>(partials + 2 * blockIdx.y * c + channel, scaled);
  store<V>(partials + (2 * blockIdx.y + 1) * c + channel, plain);
}

/* Sums over parts: 16 columns a block across, 16 threads down, each of which takes every 16th part of its column. */
enum { LUR_PART_COLUMNS = 16 };

static inline dim3 parts_grid(int64_t columns) { return dim3((unsigned)divide_up(columns, LUR_PART_COLUMNS)); }
static inline dim3 parts_block() { return dim3(LUR_PART_COLUMNS, LUR_THREADS / LUR_PART_COLUMNS); }

/* Adds v up over threadIdx.y; the sum lands in threads of threadIdx.y 0. shared: LUR_THREADS doubles. All call it. */
static __device__ inline double sum_parts(double v, double *shared) {
  shared[threadIdx.y * LUR_PART_COLUMNS + threadIdx.x] = v;
  __syncthreads();
  for (unsigned y = 1; y < blockDim.y && threadIdx.y == 0; y++) v += shared[y * LUR_PART_COLUMNS + threadIdx.x];
  __syncthreads();
  return v;
}

template <class N>
static __device__ inline N warp_sum(N v) {
  for (int lane = 16; lane > 0; lane /= 2) v += __shfl_xor_sync(0xffffffffu, v, lane);
  return v;
}

static __device__ inline float warp_max(float v) {
  for (int lane = 16; lane > 0; lane /= 2) {
    float other = __shfl_xor_sync(0xffffffffu, v, lane);
    v = other > v || other != other ? other : v;
  }
  return v;
}

static __device__ inline double warp_max(double v) {
  for (int lane = 16; lane > 0; lane /= 2) {
    double other = __shfl_xor_sync(0xffffffffu, v, lane);
    v = other > v || other != other ? other : v;
  }
  return v;
}

/* ---- one kernel for every function of one element of each of N arrays: out = f(in), or += ---- */

template <int N>
struct lur_arrays {
  const void *p[N]; /* NULL reads as 0 */
};

template <class T, int N, class F>
__global__ void map_kernel(int64_t count, lur_arrays<N> in, T *out, bool add, F f) {
  constexpr int V = lanes<T>::N;
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V; at < count; at += stride * V) {
    int many = count - at < V ? (int)(count - at) : V;
    float v[N][V] = {}, r[V];
    for (int k = 0; k < N; k++) {
      const T *p = static_cast<const T *>(in.p[k]);
      if (!p) continue;
      if (many == V)
        load<V>(p + at, v[k]);
      else
        for (int j = 0; j < many; j++) v[k][j] = to_float(p[at + j]);
    }
#pragma unroll
    for (int j = 0; j < V; j++) {
      float one[N];
#pragma unroll
      for (int k = 0; k < N; k++) one[k] = v[k][j];
      r[j] = f(one);
    }
    if (many == V) {
      put<V>(out + at, r, add);
    } else {
      for (int j = 0; j < many; j++) from_float(add ? to_float(out[at + j]) + r[j] : r[j], &out[at + j]);
    }
  }
}

template <int N, class F>
static lur_status map(lur_device *device, lur_dtype dtype, int64_t count, lur_arrays<N> in, void *out, bool add, F f) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(dtype, LUR_LAUNCH((map_kernel<T, N, F>), blocks_for(device, divide_up(count, lanes<T>::N)), LUR_THREADS,
                                  stream, count, in, static_cast<T *>(out), add, f));
  return lur_cuda_launched(device);
}

#endif
