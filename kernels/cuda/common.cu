/* common.cu - the small kernels that convolutions, dense and batch norm share: casts, masks, bias, column sums, turned
 * matrices and framed pictures. It refuses to hold an op: those stand in files of their own. */
#include "kernel.cuh"

/* ---- casts ---- */

template <class T>
__global__ void cast_kernel(int64_t count, const float *src, T *dst) {
  constexpr int V = 4;
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V; at < count; at += stride * V) {
    if (count - at >= V) {
      float v[V];
      load<V>(src + at, v);
      store<V>(dst + at, v);
    } else {
      for (int64_t i = at; i < count; i++) from_float(src[i], &dst[i]);
    }
  }
}

lur_status lur_cuda_cast(lur_device *device, lur_dtype dtype, const float *src, void *dst, int64_t count) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(dtype, LUR_LAUNCH(cast_kernel<T>, blocks_for(device, divide_up(count, 4)), LUR_THREADS, stream, count, src,
                                  static_cast<T *>(dst)));
  return lur_cuda_launched(device);
}

/* ---- gradients that pass through ---- */

struct pass {
  bool masked;
  __device__ float operator()(const float (&v)[2]) const { return masked && !(v[1] > 0) ? 0 : v[0]; }
};

lur_status lur_cuda_put(lur_device *device, lur_dtype dtype, void *dx, const void *dy, const void *y, int64_t count, bool add) {
  return map<2>(device, dtype, count, {{dy, y}}, dx, add, pass{y != NULL});
}

/* ---- bias, residual and ReLU after a product that could not take them along ---- */

template <class T, int V>
__global__ void epilogue_kernel(T *y, const float *bias, const T *residual, bool relu, int64_t rows, int64_t c) {
  int64_t stride = (int64_t)gridDim.x * blockDim.x, groups = c / V;
  for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < rows * groups; at += stride) {
    float v[V], more[V];
    load<V>(y + at * V, v);
    if (bias) {
      load<V>(bias + at % groups * V, more);
#pragma unroll
      for (int j = 0; j < V; j++) v[j] += more[j];
    }
    if (residual) {
      load<V>(residual + at * V, more);
#pragma unroll
      for (int j = 0; j < V; j++) v[j] += more[j];
    }
#pragma unroll
    for (int j = 0; j < V; j++) v[j] = relu ? relu_of(v[j]) : v[j];
    store<V>(y + at * V, v);
  }
}

lur_status lur_cuda_epilogue(lur_device *device, lur_dtype dtype, void *y, const float *bias, const void *residual, bool relu,
                             int64_t rows, int64_t c) {
  cudaStream_t stream = lur_cuda_enter(device);
  if (c % 4 == 0)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((epilogue_kernel<T, 4>), blocks_for(device, rows * c / 4), LUR_THREADS, stream,
                                    static_cast<T *>(y), bias, static_cast<const T *>(residual), relu, rows, c));
  else
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((epilogue_kernel<T, 1>), blocks_for(device, rows * c), LUR_THREADS, stream,
                                    static_cast<T *>(y), bias, static_cast<const T *>(residual), relu, rows, c));
  return lur_cuda_launched(device);
}

/* ---- column sums: a block sums a part of the rows, then one thread a column sums the parts in double ---- */

template <class T, int V>
__global__ void columns_kernel(const T *dy, const T *y, int64_t rows, int64_t c, int64_t part, float *partials) {
  __shared__ float shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  int64_t first = blockIdx.y * part, end = first + part < rows ? first + part : rows;
  float sum[V] = {};
  for (int64_t r = first + threadIdx.y; r < end && channel < c; r += blockDim.y) {
    float v[V], mask[V];
    load<V>(dy + r * c + channel, v);
    if (y) load<V>(y + r * c + channel, mask);
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] += y && !(mask[j] > 0) ? 0 : v[j];
  }
  sum_down<V>(sum, shared);
  if (threadIdx.y == 0 && channel < c) store<V>(partials + blockIdx.y * c + channel, sum);
}

static __global__ void add_parts_kernel(const float *partials, int64_t parts, int64_t c, float *db) {
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= c) return;
  double sum = 0;
  for (int64_t p = 0; p < parts; p++) sum += (double)partials[p * c + i];
  db[i] = (float)((double)db[i] + sum);
}

cudaError_t lur_cuda_probe(void) {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, (const void *)add_parts_kernel);
}

static lur_tiling columns_tiling(lur_device *device, int64_t rows, int64_t c, int v) {
  return tile_rows(device, c / v, rows, 8, 128);
}

size_t lur_cuda_columns_scratch(lur_device *device, int64_t rows, int64_t c) {
  lur_tiling t = columns_tiling(device, rows, c, c % 4 == 0 ? 4 : 1);
  return lur_cuda_round(sizeof(float) * (size_t)(t.grid.y * c));
}

lur_status lur_cuda_columns(lur_device *device, lur_dtype dtype, const void *dy, const void *y, int64_t rows, int64_t c, float *db,
                            void *scratch) {
  cudaStream_t stream = lur_cuda_enter(device);
  float *partials = static_cast<float *>(scratch);
  lur_tiling t = columns_tiling(device, rows, c, c % 4 == 0 ? 4 : 1);
  if (c % 4 == 0)
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((columns_kernel<T, 4>), t.grid, t.block, stream, static_cast<const T *>(dy),
                                    static_cast<const T *>(y), rows, c, t.part, partials));
  else
    LUR_WITH_TYPE(dtype, LUR_LAUNCH((columns_kernel<T, 1>), t.grid, t.block, stream, static_cast<const T *>(dy),
                                    static_cast<const T *>(y), rows, c, t.part, partials));
  LUR_TRY(lur_cuda_launched(device));
  LUR_LAUNCH(add_parts_kernel, (unsigned)divide_up(c, LUR_THREADS), LUR_THREADS, stream, partials, (int64_t)t.grid.y, c, db);
  return lur_cuda_launched(device);
}

/* ---- matrices turned over, through a tile of shared memory so that both sides are read in rows ---- */

enum { TILE = 32 };

template <class A, class B>
__global__ void turn_kernel(const A *from, B *to, int64_t rows, int64_t columns, bool add) {
  __shared__ float tile[TILE][TILE + 1];
  int64_t tiles = (columns + TILE - 1) / TILE;
  int64_t r0 = blockIdx.x / tiles * TILE, c0 = blockIdx.x % tiles * TILE;
  for (int64_t r = threadIdx.y; r < TILE; r += blockDim.y)
    if (r0 + r < rows && c0 + threadIdx.x < columns) tile[r][threadIdx.x] = to_float(from[(r0 + r) * columns + c0 + threadIdx.x]);
  __syncthreads();
  for (int64_t c = threadIdx.y; c < TILE; c += blockDim.y) {
    if (c0 + c >= columns || r0 + threadIdx.x >= rows) continue;
    B *at = to + (c0 + c) * rows + r0 + threadIdx.x;
    float v = tile[threadIdx.x][c];
    from_float(add ? to_float(*at) + v : v, at);
  }
}

static dim3 turn_grid(int64_t rows, int64_t columns) { return dim3((unsigned)(divide_up(rows, TILE) * divide_up(columns, TILE))); }

lur_status lur_cuda_turn(lur_device *device, lur_dtype dtype, const float *from, void *to, int64_t rows, int64_t columns) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(dtype, LUR_LAUNCH((turn_kernel<float, T>), turn_grid(rows, columns), dim3(TILE, 8), stream, from,
                                  static_cast<T *>(to), rows, columns, false));
  return lur_cuda_launched(device);
}

lur_status lur_cuda_turn_add(lur_device *device, lur_dtype dtype, const void *from, float *to, int64_t rows, int64_t columns) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(dtype, LUR_LAUNCH((turn_kernel<T, float>), turn_grid(rows, columns), dim3(TILE, 8), stream,
                                  static_cast<const T *>(from), to, rows, columns, true));
  return lur_cuda_launched(device);
}

/* ---- frames: cuDNN pads both sides alike, TensorFlow's "same" does not ---- */

struct frame_sizes {
  int64_t n, h, w, c, fh, fw, top, left;
};

template <class T>
__global__ void frame_kernel(frame_sizes s, const T *from, T *to) {
  int64_t count = s.n * s.fh * s.fw * s.c, stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += stride) {
    int64_t cell = at / s.c, x = cell % s.fw - s.left, y = cell / s.fw % s.fh - s.top, n = cell / s.fw / s.fh;
    bool inside = x >= 0 && x < s.w && y >= 0 && y < s.h;
    from_float(inside ? to_float(from[((n * s.h + y) * s.w + x) * s.c + at % s.c]) : 0, &to[at]);
  }
}

template <class T>
__global__ void unframe_kernel(frame_sizes s, const T *frame, T *to, bool add) {
  int64_t count = s.n * s.h * s.w * s.c, stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += stride) {
    int64_t cell = at / s.c, x = cell % s.w + s.left, y = cell / s.w % s.h + s.top, n = cell / s.w / s.h;
    bool inside = x >= 0 && x < s.fw && y >= 0 && y < s.fh;
    float v = inside ? to_float(frame[((n * s.fh + y) * s.fw + x) * s.c + at % s.c]) : 0;
    from_float(add ? to_float(to[at]) + v : v, &to[at]);
  }
}

lur_status lur_cuda_frame(lur_device *device, lur_dtype dtype, const void *from, void *to, const int64_t picture[4], int64_t fh,
                          int64_t fw, int64_t top, int64_t left) {
  cudaStream_t stream = lur_cuda_enter(device);
  frame_sizes s = {picture[0], picture[1], picture[2], picture[3], fh, fw, top, left};
  LUR_WITH_TYPE(dtype, LUR_LAUNCH(frame_kernel<T>, blocks_for(device, s.n * fh * fw * s.c), LUR_THREADS, stream, s,
                                  static_cast<const T *>(from), static_cast<T *>(to)));
  return lur_cuda_launched(device);
}

lur_status lur_cuda_unframe(lur_device *device, lur_dtype dtype, const void *frame, void *to, const int64_t picture[4], int64_t fh,
                            int64_t fw, int64_t top, int64_t left, bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  frame_sizes s = {picture[0], picture[1], picture[2], picture[3], fh, fw, top, left};
  LUR_WITH_TYPE(dtype, LUR_LAUNCH(unframe_kernel<T>, blocks_for(device, s.n * s.h * s.w * s.c), LUR_THREADS, stream, s,
                                  static_cast<const T *>(frame), static_cast<T *>(to), add));
  return lur_cuda_launched(device);
}

/* ---- parts of a sum ---- */

static __global__ void parts_kernel(const float *partials, int64_t parts, int64_t count, float *to, bool add) {
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  double sum = add ? (double)to[i] : 0;
  for (int64_t p = 0; p < parts; p++) sum += (double)partials[p * count + i];
  to[i] = (float)sum;
}

lur_status lur_cuda_add_parts(lur_device *device, const float *partials, int64_t parts, int64_t count, float *to, bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_LAUNCH(parts_kernel, (unsigned)divide_up(count, LUR_THREADS), LUR_THREADS, stream, partials, parts, count, to, add);
  return lur_cuda_launched(device);
}
