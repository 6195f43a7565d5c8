/* kernel.cuh - what the .cu files share: launching, 16-byte accesses to three data types, windows of images, sums over
 * warps and blocks, and one kernel that maps any function of a few arrays.
 *
 * Kernels compute in float, whatever they store. Launches are written LUR_LAUNCH((kernel<T, 4>), grid, block, stream,
 * arguments...), for nvcc and for the emulator in tests/cuda_emulator; shared memory is always static. */
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

/* A kernel argument that is not copied; before compute capability 7.0 it always is. */
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

/* Runs the statements with T as the type of dtype, which is one of the three. */
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

/* V elements at p, which is aligned to their total size. */
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

/* max(v, 0); NaN stays NaN. */
static __device__ inline float relu_of(float v) { return v < 0 ? 0 : v; }
/* The gradient dy through max(v, 0): 0 where v <= 0; dy where v is NaN. */
static __device__ inline float relu_dy_of(float v, float dy) { return v <= 0 ? 0 : dy; }
/* Whether v replaces `best` in a search for the maximum. The first NaN wins and stays. */
static __device__ inline bool beats(float v, float best) { return !(v <= best) && best == best; }

/* ---- launches ---- */

enum { LUR_THREADS = 256 };

static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The number of blocks for `items` threads with a grid-stride loop: enough to fill the device several times. */
static inline unsigned blocks_for(lur_device *device, int64_t items) {
  int64_t blocks = divide_up(items, LUR_THREADS), limit = (int64_t)lur_cuda_sms(device) * 8 * 4;
  return (unsigned)(blocks < 1 ? 1 : blocks < limit ? blocks : limit);
}

/* Threads over rows x channels: x counts groups of V channels, y rows. Each thread keeps its channels and goes through
   one part of the rows; there are gridDim.y parts. */
struct lur_tiling {
  dim3 grid, block;
  int64_t part; /* rows of one part */
};

/* At most `most` parts, with at least `least` rows per thread. */
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

/* ---- pixels of images: in 32 bits, because a 64-bit division takes longer than the access to memory ---- */

/* LUR_EUNSUPPORTED if a batch has more pixels than 32 bits can count. Plans check those read and those written. */
static inline lur_status check_pixels(int64_t pixels) {
  if (pixels <= INT32_MAX) return LUR_OK;
  return lur_fail(LUR_EUNSUPPORTED, "%lld pixels in a batch are too many (2^31 at most): lower the batch size",
                  (long long)pixels);
}

struct pixel {
  int n, y, x;
};

/* The pixel with that number, in row-major order over images of h by w. */
static __device__ inline pixel pixel_of(unsigned number, int h, int w) {
  const unsigned row = number / (unsigned)w;
  return {(int)(row / (unsigned)h), (int)(row % (unsigned)h), (int)(number % (unsigned)w)};
}

struct span { /* of rows or columns: from <= i < to */
  int from, to;
};

/* The outputs whose windows cover the input row or column `in`. */
static __device__ inline span covering(int in, int stride, int pad, int kernel, int outputs) {
  const int first = in + pad - kernel + 1, last = (in + pad) / stride;
  return {first > 0 ? (first + stride - 1) / stride : 0, last + 1 < outputs ? last + 1 : outputs};
}

/* The sizes of a convolution or a pool: x n h w c, y n oh ow, window kh kw, stride sh sw, padding top left. */
struct window_sizes {
  int n, h, w, c, oh, ow;
  int kh, kw, sh, sw, top, left;
};

/* u: the op's lur_conv2d_desc or lur_pool_desc. */
template <class U>
static inline window_sizes window_sizes_of(const lur_op_desc *d, const U *u) {
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  return {(int)x[0],   (int)x[1],   (int)x[2],   (int)x[3],   (int)y[1],  (int)y[2],
          u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left};
}

/* ---- sums ---- */

/* Sums each v[j] over threadIdx.y, in the threads with threadIdx.y 0. shared: LUR_THREADS * V floats. */
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

/* ---- a batch norm that is computed where its output is read (affine_in): v * scale + shift ---- */

template <int V>
struct channel_affine {
  float scale[V], shift[V];
  bool on;
};

/* That of V channels. affine: c scales, then c shifts; NULL: off. */
template <int V>
static __device__ inline channel_affine<V> affine_at(const float *affine, int64_t c, int64_t channel) {
  channel_affine<V> a = {};
  a.on = affine != NULL;
  if (a.on) load<V>(affine + channel, a.scale);
  if (a.on) load<V>(affine + c + channel, a.shift);
  return a;
}

template <int V>
static __device__ inline void apply(const channel_affine<V> *a, float (&v)[V]) {
  if (!a->on) return;
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = fmaf(v[j], a->scale[j], a->shift[j]);
}

/* Stores a block's sums for the gradients of scale and shift in its own part of partials (2 c each). All threads must
   call it. shared: LUR_THREADS * V floats. */
template <int V>
static __device__ inline void store_sums(float (&scaled)[V], float (&plain)[V], int64_t c, int64_t channel,
                                         float *shared, float *partials) {
  sum_down<V>(scaled, shared);
  sum_down<V>(plain, shared);
  if (threadIdx.y != 0 || channel >= c) return;
  store<V>(partials + 2 * blockIdx.y * c + channel, scaled);
  store<V>(partials + (2 * blockIdx.y + 1) * c + channel, plain);
}

/* Sums over parts: a block has 16 columns, and 16 threads per column, each of which adds every 16th part. */
enum { LUR_PART_COLUMNS = 16 };

static inline dim3 parts_grid(int64_t columns) { return dim3((unsigned)divide_up(columns, LUR_PART_COLUMNS)); }
static inline dim3 parts_block() { return dim3(LUR_PART_COLUMNS, LUR_THREADS / LUR_PART_COLUMNS); }

/* Sums v over threadIdx.y, in the threads with threadIdx.y 0. All threads must call it. shared: LUR_THREADS doubles. */
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

/* ---- one kernel for any function of N arrays, element by element: out = or += f(in) ---- */

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
      if (many == V) load<V>(p + at, v[k]);
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
