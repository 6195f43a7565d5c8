/* upsample.cu - images of another size, by the nearest or by interpolation (lur_upsample_desc). The gradient of a pixel
 * is gathered from the outputs that it is part of, in their order. */
#include "kernel.cuh"

struct upsample_sizes {
  int n, h, w, c, oh, ow;
  bool bilinear;
};

/* An output row or column: its two source pixels and the share of the second. Exact: fractions of 2 out. */
struct source {
  int at[2];
  float share;
};

static __device__ inline source source_of(bool bilinear, int i, int in, int out) {
  if (!bilinear) return {{(int)((int64_t)i * in / out), -1}, 0};
  const int64_t above = (2 * (int64_t)i + 1) * in - out, number = above > 0 ? above : 0;
  int first = (int)(number / (2 * (int64_t)out));
  if (first > in - 1) first = in - 1;
  return {{first, first < in - 1 ? first + 1 : first}, (float)(number % (2 * (int64_t)out)) / (2.0f * (float)out)};
}

/* The outputs, and perhaps some more, that the source pixel `at` is part of. */
static __device__ inline span outputs_of(bool bilinear, int at, int in, int out) {
  const int64_t y = at;
  int64_t from = bilinear ? ((2 * y - 1) * out / in - 1) / 2 - 1 : y * out / in,
          to = bilinear ? (2 * y + 3) * out / in / 2 + 2 : (y + 1) * out / in + 1;
  if (from < 0 || at == 0) from = 0;
  if (to > out || at == in - 1) to = out;
  return {(int)from, (int)to};
}

template <class T, int V>
__global__ void upsample_kernel(upsample_sizes s, const T *x, T *y) {
  const int channel = (int)(blockIdx.x * blockDim.x + threadIdx.x) * V;
  const unsigned count = channel < s.c ? (unsigned)(s.n * s.oh * s.ow) : 0, step = gridDim.y * blockDim.y;
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const pixel at = pixel_of(i, s.oh, s.ow);
    const source v = source_of(s.bilinear, at.y, s.h, s.oh), h = source_of(s.bilinear, at.x, s.w, s.ow);
    const T *image = x + (int64_t)at.n * s.h * s.w * s.c + channel;
    float r[V], a[V], b[V], e[V], f[V];
    load<V>(image + ((int64_t)v.at[0] * s.w + h.at[0]) * s.c, r);
    if (s.bilinear) {
      load<V>(image + ((int64_t)v.at[0] * s.w + h.at[0]) * s.c, a);
      load<V>(image + ((int64_t)v.at[0] * s.w + h.at[1]) * s.c, b);
      load<V>(image + ((int64_t)v.at[1] * s.w + h.at[0]) * s.c, e);
      load<V>(image + ((int64_t)v.at[1] * s.w + h.at[1]) * s.c, f);
      for (int j = 0; j < V; j++)
        r[j] = (1 - v.share) * ((1 - h.share) * a[j] + h.share * b[j]) +
               v.share * ((1 - h.share) * e[j] + h.share * f[j]);
    }
    store<V>(y + (int64_t)i * s.c + channel, r);
  }
}

template <class T, int V>
__global__ void upsample_backward_kernel(upsample_sizes s, const T *dy, T *dx, bool add) {
  const int channel = (int)(blockIdx.x * blockDim.x + threadIdx.x) * V, sides = s.bilinear ? 2 : 1;
  const unsigned count = channel < s.c ? (unsigned)(s.n * s.h * s.w) : 0, step = gridDim.y * blockDim.y;
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const pixel at = pixel_of(i, s.h, s.w);
    const span rows = outputs_of(s.bilinear, at.y, s.h, s.oh), columns = outputs_of(s.bilinear, at.x, s.w, s.ow);
    float sum[V] = {}, g[V];
    for (int row = rows.from; row < rows.to; row++) {
      const source v = source_of(s.bilinear, row, s.h, s.oh);
      if (v.at[0] != at.y && v.at[1] != at.y) continue;
      for (int column = columns.from; column < columns.to; column++) {
        const source h = source_of(s.bilinear, column, s.w, s.ow);
        if (h.at[0] != at.x && h.at[1] != at.x) continue;
        load<V>(dy + (((int64_t)at.n * s.oh + row) * s.ow + column) * s.c + channel, g);
        for (int side = 0; side < sides * sides; side++) {
          const int a = side / 2, b = side % 2;
          if (v.at[a] != at.y || h.at[b] != at.x) continue;
          const float weight = (a ? v.share : 1 - v.share) * (b ? h.share : 1 - h.share);
          for (int j = 0; j < V; j++) sum[j] += weight * g[j];
        }
      }
    }
    put<V>(dx + (int64_t)i * s.c + channel, sum, add);
  }
}

static upsample_sizes sizes_of(const lur_op_desc *d) {
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  return {(int)x[0], (int)x[1], (int)x[2], (int)x[3], (int)y[1], (int)y[2],
          d->u.upsample.mode == LUR_UPSAMPLE_BILINEAR};
}

static lur_status plan(lur_op *op) {
  const int64_t *x = op->desc.x[0].shape.dim, *y = op->desc.y.shape.dim;
  LUR_TRY(check_pixels(x[0] * x[1] * x[2]));
  return check_pixels(y[0] * y[1] * y[2]);
}

template <class T, int V>
static lur_status run_forward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  const upsample_sizes s = sizes_of(&op->desc);
  const lur_tiling t = tile_rows(op->device, s.c / V, (int64_t)s.n * s.oh * s.ow, 1, 65535);
  LUR_LAUNCH((upsample_kernel<T, V>), t.grid, t.block, stream, s, static_cast<const T *>(args->x[0]),
             static_cast<T *>(args->y));
  return lur_cuda_launched(op->device);
}

template <class T, int V>
static lur_status run_backward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  const upsample_sizes s = sizes_of(&op->desc);
  const lur_tiling t = tile_rows(op->device, s.c / V, (int64_t)s.n * s.h * s.w, 1, 65535);
  LUR_LAUNCH((upsample_backward_kernel<T, V>), t.grid, t.block, stream, s, static_cast<const T *>(args->dy),
             static_cast<T *>(args->dx[0]), (args->dx_add & 1u) != 0);
  return lur_cuda_launched(op->device);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const bool even = op->desc.x[0].shape.dim[3] % 4 == 0;
  LUR_WITH_TYPE(op->desc.y.dtype, return even ? run_forward<T, 4>(op, args) : run_forward<T, 1>(op, args));
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const bool even = op->desc.x[0].shape.dim[3] % 4 == 0;
  LUR_WITH_TYPE(op->desc.y.dtype, return even ? run_backward<T, 4>(op, args) : run_backward<T, 1>(op, args));
  return LUR_OK;
}

const lur_kernel lur_cuda_upsample = {plan, forward, backward, NULL};
