/* common.cu - the small kernels that convolutions, dense and batch norm share: casts, masks, bias, column sums,
 * transposed matrices and padded images. No op is here: each has its own file. */
#include "kernel.cuh"

/* ---- casts ---- */

template <class T>
__global__ void cast_kernel(int64_t count, const float *src, T *dst, bool add) {
  constexpr int V = 4;
  int64_t stride = (int64_t)gridDim.x * blockDim.x;
  for (int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V; at < count; at += stride * V) {
    if (count - at >= V) {
      float v[V];
      load<V>(src + at, v);
      put<V>(dst + at, v, add);
    } else {
      for (int64_t i = at; i < count; i++) from_float(add ? to_float(dst[i]) + src[i] : src[i], &dst[i]);
    }
  }
}

lur_status lur_cuda_round_sum(lur_device *device, lur_dtype dtype, const float *src, void *dst, int64_t count,
                              bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(dtype, LUR_LAUNCH(cast_kernel<T>, blocks_for(device, divide_up(count, 4)), LUR_THREADS, stream, count,
                                  src, static_cast<T *>(dst), add));
  return lur_cuda_launched(device);
}

lur_status lur_cuda_cast(lur_device *device, lur_dtype dtype, const float *src, void *dst, int64_t count) {
  return lur_cuda_round_sum(device, dtype, src, dst, count, false);
}

/* ---- gradients that are copied, masked or added ---- */

struct pass {
  bool masked;
  __device__ float operator()(const float (&v)[2]) const { return masked ? relu_dy_of(v[1], v[0]) : v[0]; }
};

lur_status lur_cuda_put(lur_device *device, lur_dtype dtype, void *dx, const void *dy, const void *y, int64_t count,
                        bool add) {
  return map<2>(device, dtype, count, {{dy, y}}, dx, add, pass{y != NULL});
}

/* ---- bias, residual and ReLU after a product that does not include them ---- */

template <class T, int V>
__global__ void epilogue_kernel(T *y, const float *bias, const T *residual, bool relu, int64_t rows, int64_t c,
                                int64_t part) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= c) return;
  float shift[V] = {}, v[V], more[V] = {};
  if (bias) load<V>(bias + channel, shift);
  int64_t first = blockIdx.y * part, end = first + part < rows ? first + part : rows;
  for (int64_t r = first + threadIdx.y; r < end; r += blockDim.y) {
    load<V>(y + r * c + channel, v);
    if (residual) load<V>(residual + r * c + channel, more);
#pragma unroll
    for (int j = 0; j < V; j++) {
      v[j] = v[j] + shift[j] + more[j];
      if (relu) v[j] = relu_of(v[j]);
    }
    store<V>(y + r * c + channel, v);
  }
}

template <class T, int V>
static lur_status epilogue(lur_device *device, T *y, const float *bias, const T *residual, bool relu, int64_t rows,
                           int64_t c) {
  cudaStream_t stream = lur_cuda_enter(device);
  lur_tiling t = tile_rows(device, c / V, rows, 1, 65535);
  LUR_LAUNCH((epilogue_kernel<T, V>), t.grid, t.block, stream, y, bias, residual, relu, rows, c, t.part);
  return lur_cuda_launched(device);
}

lur_status lur_cuda_epilogue(lur_device *device, lur_dtype dtype, void *y, const float *bias, const void *residual,
                             bool relu, int64_t rows, int64_t c) {
  LUR_WITH_TYPE(dtype, T *to = static_cast<T *>(y); const T *more = static_cast<const T *>(residual);
                return c % 4 == 0 ? epilogue<T, 4>(device, to, bias, more, relu, rows, c)
                                  : epilogue<T, 1>(device, to, bias, more, relu, rows, c));
  return LUR_OK;
}

/* ---- column sums: each block sums a part of the rows, then the parts are summed in double ---- */

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
    for (int j = 0; j < V; j++) sum[j] += y ? relu_dy_of(mask[j], v[j]) : v[j];
  }
  sum_down<V>(sum, shared);
  if (threadIdx.y == 0 && channel < c) store<V>(partials + blockIdx.y * c + channel, sum);
}

static lur_tiling columns_tiling(lur_device *device, int64_t rows, int64_t c, int v) {
  return tile_rows(device, c / v, rows, 8, 512);
}

size_t lur_cuda_columns_scratch(lur_device *device, int64_t rows, int64_t c) {
  lur_tiling t = columns_tiling(device, rows, c, c % 4 == 0 ? 4 : 1);
  return lur_cuda_round(sizeof(float) * (size_t)(t.grid.y * c));
}

lur_status lur_cuda_columns(lur_device *device, lur_dtype dtype, const void *dy, const void *y, int64_t rows, int64_t c,
                            float *db, void *scratch) {
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
  return lur_cuda_add_parts(device, partials, t.grid.y, c, db, true);
}

/* ---- transposition, through a tile of shared memory so that both matrices are accessed in rows ---- */

enum { TILE = 32 };

template <class A, class B>
__global__ void transpose_kernel(const A *from, B *to, int64_t rows, int64_t columns, bool add) {
  __shared__ float tile[TILE][TILE + 1];
  int64_t tiles = (columns + TILE - 1) / TILE;
  int64_t r0 = blockIdx.x / tiles * TILE, c0 = blockIdx.x % tiles * TILE;
  for (int64_t r = threadIdx.y; r < TILE; r += blockDim.y)
    if (r0 + r < rows && c0 + threadIdx.x < columns)
      tile[r][threadIdx.x] = to_float(from[(r0 + r) * columns + c0 + threadIdx.x]);
  __syncthreads();
  for (int64_t c = threadIdx.y; c < TILE; c += blockDim.y) {
    if (c0 + c >= columns || r0 + threadIdx.x >= rows) continue;
    B *at = to + (c0 + c) * rows + r0 + threadIdx.x;
    float v = tile[threadIdx.x][c];
    from_float(add ? to_float(*at) + v : v, at);
  }
}

static dim3 transpose_grid(int64_t rows, int64_t columns) {
  return dim3((unsigned)(divide_up(rows, TILE) * divide_up(columns, TILE)));
}

lur_status lur_cuda_transpose(lur_device *device, lur_dtype dtype, const float *from, void *to, int64_t rows,
                         int64_t columns) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(dtype, LUR_LAUNCH((transpose_kernel<float, T>), transpose_grid(rows, columns), dim3(TILE, 8), stream,
                                  from, static_cast<T *>(to), rows, columns, false));
  return lur_cuda_launched(device);
}

lur_status lur_cuda_transpose_add(lur_device *device, lur_dtype dtype, const void *from, float *to, int64_t rows,
                             int64_t columns) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_WITH_TYPE(dtype, LUR_LAUNCH((transpose_kernel<T, float>), transpose_grid(rows, columns), dim3(TILE, 8), stream,
                                  static_cast<const T *>(from), to, rows, columns, true));
  return lur_cuda_launched(device);
}

/* ---- padding: cuDNN pads both sides equally, TensorFlow's "same" does not ---- */

struct padded_sizes {
  int n, h, w, c, ph, pw, top, left;
};

/* threadIdx.x counts channels, y pixels: of the padded image, or (unpad) of the image. */
template <class T, int V>
__global__ void pad_kernel(padded_sizes s, const T *from, T *to) {
  const int channel = (int)(blockIdx.x * blockDim.x + threadIdx.x) * V;
  const unsigned count = channel < s.c ? (unsigned)(s.n * s.ph * s.pw) : 0, step = gridDim.y * blockDim.y;
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const pixel at = pixel_of(i, s.ph, s.pw);
    const int y = at.y - s.top, x = at.x - s.left;
    float v[V] = {};
    if (y >= 0 && y < s.h && x >= 0 && x < s.w)
      load<V>(from + (int64_t)((at.n * s.h + y) * s.w + x) * s.c + channel, v);
    store<V>(to + (int64_t)i * s.c + channel, v);
  }
}

template <class T, int V>
__global__ void unpad_kernel(padded_sizes s, const T *from, T *to, bool add) {
  const int channel = (int)(blockIdx.x * blockDim.x + threadIdx.x) * V;
  const unsigned count = channel < s.c ? (unsigned)(s.n * s.h * s.w) : 0, step = gridDim.y * blockDim.y;
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const pixel at = pixel_of(i, s.h, s.w);
    const int y = at.y + s.top, x = at.x + s.left;
    float v[V] = {};
    if (y < s.ph && x < s.pw) load<V>(from + (int64_t)((at.n * s.ph + y) * s.pw + x) * s.c + channel, v);
    put<V>(to + (int64_t)i * s.c + channel, v, add);
  }
}

static padded_sizes padded_sizes_of(const int64_t image[4], int64_t ph, int64_t pw, int64_t top, int64_t left) {
  return {(int)image[0], (int)image[1], (int)image[2], (int)image[3], (int)ph, (int)pw, (int)top, (int)left};
}

template <class T, int V>
static lur_status pad(lur_device *device, padded_sizes s, const T *from, T *to) {
  cudaStream_t stream = lur_cuda_enter(device);
  lur_tiling t = tile_rows(device, s.c / V, (int64_t)s.n * s.ph * s.pw, 1, 65535);
  LUR_LAUNCH((pad_kernel<T, V>), t.grid, t.block, stream, s, from, to);
  return lur_cuda_launched(device);
}

template <class T, int V>
static lur_status unpad(lur_device *device, padded_sizes s, const T *from, T *to, bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  lur_tiling t = tile_rows(device, s.c / V, (int64_t)s.n * s.h * s.w, 1, 65535);
  LUR_LAUNCH((unpad_kernel<T, V>), t.grid, t.block, stream, s, from, to, add);
  return lur_cuda_launched(device);
}

lur_status lur_cuda_pad_images(lur_device *device, lur_dtype dtype, const void *from, void *to, const int64_t image[4],
                          int64_t ph, int64_t pw, int64_t top, int64_t left) {
  padded_sizes s = padded_sizes_of(image, ph, pw, top, left);
  LUR_WITH_TYPE(dtype, const T *src = static_cast<const T *>(from); T *dst = static_cast<T *>(to);
                return s.c % 4 == 0 ? pad<T, 4>(device, s, src, dst) : pad<T, 1>(device, s, src, dst));
  return LUR_OK;
}

lur_status lur_cuda_unpad_images(lur_device *device, lur_dtype dtype, const void *from, void *to,
                                 const int64_t image[4], int64_t ph, int64_t pw, int64_t top, int64_t left, bool add) {
  padded_sizes s = padded_sizes_of(image, ph, pw, top, left);
  LUR_WITH_TYPE(dtype, const T *src = static_cast<const T *>(from); T *dst = static_cast<T *>(to);
                return s.c % 4 == 0 ? unpad<T, 4>(device, s, src, dst, add) : unpad<T, 1>(device, s, src, dst, add));
  return LUR_OK;
}

/* ---- parts of a sum ---- */

static __global__ void parts_kernel(const float *partials, int64_t parts, int64_t count, float *to, bool add) {
  __shared__ double shared[LUR_THREADS];
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  double sum = 0;
  for (int64_t p = threadIdx.y; p < parts && i < count; p += blockDim.y) sum += (double)partials[p * count + i];
  sum = sum_parts(sum, shared);
  if (threadIdx.y == 0 && i < count) to[i] = (float)((add ? (double)to[i] : 0) + sum);
}

cudaError_t lur_cuda_probe(void) {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, (const void *)parts_kernel);
}

lur_status lur_cuda_add_parts(lur_device *device, const float *partials, int64_t parts, int64_t count, float *to,
                              bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  LUR_LAUNCH(parts_kernel, parts_grid(count), parts_block(), stream, partials, parts, count, to, add);
  return lur_cuda_launched(device);
}
