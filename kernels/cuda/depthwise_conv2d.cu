/* depthwise_conv2d.cu - one kernel per channel, NHWC, weights kh kw C 1. Formula: kernels/ref/depthwise_conv2d.c.
 *
 * 3x3 with stride 1 and 2, the sizes of Xception, has its own kernels: a thread keeps the nine weights of its V
 * channels in registers and computes TILE outputs of a row. The data gradient with stride 1 is the same kernel with the
 * weights in reverse order. The weight gradient is summed per block over a part of the rows, then over parts in double.
 * All other sizes use the plain kernels at the end of each section. With affine_in x is read as x * scale + shift, and
 * the kernel of the data gradient also sums the gradients of scale and shift. */
#include "kernel.cuh"

enum { TILE = 4, PARTS = 512, SUM_PARTS = 512 };

typedef window_sizes sizes; /* h w: of what is read, oh ow: of what is written */

static sizes sizes_of(const lur_op_desc *d) { return window_sizes_of(d, &d->u.conv2d); }

static bool three(const sizes *s) { return s->kh == 3 && s->kw == 3 && s->sh == s->sw && s->sh <= 2; }

static int vector_of(const sizes *s) { return s->c % 4 == 0 ? 4 : 1; }

static lur_tiling weights_tiling(lur_device *device, const sizes *s) {
  return tile_rows(device, s->c / vector_of(s), (int64_t)s->n * s->oh, 1, PARTS);
}

/* Of the data gradient: x counts channels, y strips of TILE pixels or single pixels. Sums need memory for each part. */
static lur_tiling data_tiling(lur_device *device, const sizes *s, bool sums) {
  int64_t lines = (int64_t)s->n * s->h, rows = lines * (three(s) && s->sh == 1 ? divide_up(s->w, TILE) : s->w);
  return tile_rows(device, s->c / vector_of(s), rows, 2, sums ? SUM_PARTS : 65535);
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  LUR_TRY(lur_cuda_want_f32_weights(op));
  LUR_TRY(check_pixels(x[0] * x[1] * x[2]));
  LUR_TRY(check_pixels(y[0] * y[1] * y[2]));
  sizes s = sizes_of(d);
  if (d->want_dw & 1u && (int64_t)s.kh * s.kw > 65535) /* blockIdx.z numbers taps */
    return lur_fail(LUR_EUNSUPPORTED, "a kernel of %d x %d: at most 65535 taps have a gradient on cuda", s.kh, s.kw);
  bool mask = d->u.conv2d.relu_in && d->want_dx, sums = d->want_dx & 2u;
  op->backward_x = d->want_dw & 1u || mask || sums ? 1u : 0;
  if (d->u.conv2d.affine_in && lur_cuda_wants(op)) op->backward_x |= 2u;
  op->backward_y = d->u.conv2d.relu && lur_cuda_wants(op);
  if (d->want_dw & 1u)
    op->backward_scratch = sizeof(float) * weights_tiling(op->device, &s).grid.y * (size_t)(s.kh * s.kw) * (size_t)s.c;
  if (d->want_dw & 2u) {
    size_t columns = lur_cuda_columns_scratch(op->device, (int64_t)s.n * s.oh * s.ow, s.c);
    op->backward_scratch = op->backward_scratch > columns ? op->backward_scratch : columns;
  }
  if (sums) {
    size_t partials = sizeof(float) * 2 * data_tiling(op->device, &s, true).grid.y * (size_t)s.c;
    op->backward_scratch = op->backward_scratch > partials ? op->backward_scratch : partials;
  }
  return LUR_OK;
}

/* ---- forward, and the data gradient of 3x3 at stride 1 ---- */

/* How values are read and written. Forward: x is read through affine and relu_in, y is written through relu. Backward:
   dy is read through relu_dy_of(mask, dy) (mask: y, with relu); dx is multiplied with the affine's scale and stored, or added; with
   relu_in it is 0 where the value that forward read is <= 0. */
template <class T>
struct ways {
  const float *w, *bias, *affine;
  bool relu_in, relu;
  const T *mask, *x;
  float *partials; /* for the affine's gradients; NULL: not wanted */
  bool add;
};

template <class T, int V>
static __device__ inline void read(const ways<T> *o, const channel_affine<V> *a, const T *x, int64_t at,
                                   float (&v)[V]) {
  load<V>(x + at, v);
  apply<V>(a, v);
  if (!o->relu_in) return;
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = relu_of(v[j]);
}

template <class T, int V>
static __device__ inline void read_back(const ways<T> *o, const T *dy, int64_t at, float (&v)[V]) {
  load<V>(dy + at, v);
  if (!o->mask) return;
  float m[V];
  load<V>(o->mask + at, m);
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = relu_dy_of(m[j], v[j]);
}

template <class T, int V>
static __device__ inline void write(const ways<T> *o, T *y, int64_t at, float (&v)[V]) {
  if (o->relu) {
#pragma unroll
    for (int j = 0; j < V; j++) v[j] = relu_of(v[j]);
  }
  store<V>(y + at, v);
}

/* dx: NULL if only the sums are wanted. */
template <class T, int V>
static __device__ inline void write_back(const ways<T> *o, const channel_affine<V> *a, T *dx, int64_t at, float (&v)[V],
                                         float (&scaled)[V], float (&plain)[V]) {
  float x[V] = {}, seen[V];
  if (o->relu_in || o->partials) load<V>(o->x + at, x);
#pragma unroll
  for (int j = 0; j < V; j++) seen[j] = x[j];
  apply<V>(a, seen);
#pragma unroll
  for (int j = 0; j < V; j++) {
    v[j] = o->relu_in ? relu_dy_of(seen[j], v[j]) : v[j];
    scaled[j] += v[j] * x[j];
    plain[j] += v[j];
    v[j] *= a->on ? a->scale[j] : 1;
  }
  if (dx) put<V>(dx + at, v, o->add);
}

/* BACK: x is dy, y is dx, and the weights are in reverse order. */
template <class T, int V, int S, bool BACK>
__global__ void three_kernel(sizes s, ways<T> o, const T *x, T *y) {
  constexpr int COLUMNS = (TILE - 1) * S + 3;
  __shared__ float shared[BACK ? LUR_THREADS * V : 1];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  float w[9][V] = {}, bias[V] = {}, scaled[V] = {}, plain[V] = {};
  channel_affine<V> a = {};
  if (channel < s.c) {
#pragma unroll
    for (int k = 0; k < 9; k++) load<V>(o.w + (int64_t)(BACK ? 8 - k : k) * s.c + channel, w[k]);
    if (o.bias) load<V>(o.bias + channel, bias);
    a = affine_at<V>(o.affine, s.c, channel);
  }
  const int tiles = (s.ow + TILE - 1) / TILE;
  const unsigned count = channel < s.c ? (unsigned)(s.n * s.oh * tiles) : 0, step = gridDim.y * blockDim.y;
  for (unsigned t = blockIdx.y * blockDim.y + threadIdx.y; t < count; t += step) {
    const pixel strip = pixel_of(t, s.oh, tiles);
    const int ox = strip.x * TILE;
    float sum[TILE][V], v[V];
#pragma unroll
    for (int k = 0; k < TILE; k++)
#pragma unroll
      for (int j = 0; j < V; j++) sum[k][j] = bias[j];
#pragma unroll
    for (int ky = 0; ky < 3; ky++) {
      const int iy = strip.y * S - s.top + ky;
      if (iy < 0 || iy >= s.h) continue;
      const int64_t line = (int64_t)((strip.n * s.h + iy) * s.w) * s.c + channel;
#pragma unroll
      for (int column = 0; column < COLUMNS; column++) {
        const int ix = ox * S - s.left + column;
        if (ix < 0 || ix >= s.w) continue;
        const int64_t from = line + (int64_t)ix * s.c;
        if (BACK)
          read_back<T, V>(&o, x, from, v);
        else
          read<T, V>(&o, &a, x, from, v);
#pragma unroll
        for (int k = 0; k < TILE; k++) {
          int kx = column - k * S;
          if (kx < 0 || kx > 2) continue;
#pragma unroll
          for (int j = 0; j < V; j++) sum[k][j] = fmaf(v[j], w[ky * 3 + kx][j], sum[k][j]);
        }
      }
    }
#pragma unroll
    for (int k = 0; k < TILE; k++) {
      if (ox + k >= s.ow) continue;
      const int64_t at = (int64_t)((strip.n * s.oh + strip.y) * s.ow + ox + k) * s.c + channel;
      if (BACK)
        write_back<T, V>(&o, &a, y, at, sum[k], scaled, plain);
      else
        write<T, V>(&o, y, at, sum[k]);
    }
  }
  if (BACK && o.partials) store_sums<V>(scaled, plain, s.c, channel, shared, o.partials);
}

/* All other sizes. x counts channels, y outputs. */
template <class T, int V>
__global__ void plain_kernel(sizes s, ways<T> o, const T *x, T *y) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= s.c) return;
  const unsigned count = (unsigned)(s.n * s.oh * s.ow), step = gridDim.y * blockDim.y;
  const channel_affine<V> a = affine_at<V>(o.affine, s.c, channel);
  float bias[V] = {};
  if (o.bias) load<V>(o.bias + channel, bias);
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const pixel at = pixel_of(i, s.oh, s.ow);
    float sum[V], v[V], w[V];
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] = bias[j];
    for (int ky = 0; ky < s.kh; ky++) {
      const int iy = at.y * s.sh - s.top + ky;
      if (iy < 0 || iy >= s.h) continue;
      for (int kx = 0; kx < s.kw; kx++) {
        const int ix = at.x * s.sw - s.left + kx;
        if (ix < 0 || ix >= s.w) continue;
        read<T, V>(&o, &a, x, (int64_t)((at.n * s.h + iy) * s.w + ix) * s.c + channel, v);
        load<V>(o.w + (int64_t)(ky * s.kw + kx) * s.c + channel, w);
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] = fmaf(v[j], w[j], sum[j]);
      }
    }
    write<T, V>(&o, y, (int64_t)i * s.c + channel, sum);
  }
}

/* x counts channels, y strips of TILE outputs or single outputs. */
static lur_tiling outputs_tiling(lur_device *device, const sizes *s, int v) {
  return tile_rows(device, s->c / v, (int64_t)s->n * s->oh * (three(s) ? divide_up(s->ow, TILE) : s->ow), 1, 65535);
}

template <class T, int V>
static lur_status convolve(lur_device *device, sizes s, ways<T> o, const T *x, T *y) {
  cudaStream_t stream = lur_cuda_enter(device);
  lur_tiling t = outputs_tiling(device, &s, V);
  if (three(&s) && s.sh == 1)
    LUR_LAUNCH((three_kernel<T, V, 1, false>), t.grid, t.block, stream, s, o, x, y);
  else if (three(&s))
    LUR_LAUNCH((three_kernel<T, V, 2, false>), t.grid, t.block, stream, s, o, x, y);
  else
    LUR_LAUNCH((plain_kernel<T, V>), t.grid, t.block, stream, s, o, x, y);
  return lur_cuda_launched(device);
}

template <class T>
static lur_status run_forward(lur_op *op, const lur_args *args) {
  const lur_conv2d_desc *u = &op->desc.u.conv2d;
  sizes s = sizes_of(&op->desc);
  ways<T> o = {static_cast<const float *>(args->w[0]),
               op->desc.nw == 2 ? static_cast<const float *>(args->w[1]) : NULL,
               u->affine_in ? static_cast<const float *>(args->x[1]) : NULL, u->relu_in, u->relu, NULL, NULL, NULL,
               false};
  const T *x = static_cast<const T *>(args->x[0]);
  T *y = static_cast<T *>(args->y);
  return vector_of(&s) == 4 ? convolve<T, 4>(op->device, s, o, x, y) : convolve<T, 1>(op->device, s, o, x, y);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  LUR_WITH_TYPE(op->desc.y.dtype, return run_forward<T>(op, args));
  return LUR_OK;
}

/* ---- data gradient with other strides: every input pixel adds up the outputs that cover it ---- */

template <class T, int V>
__global__ void data_kernel(sizes s, ways<T> o, const T *dy, T *dx) {
  __shared__ float shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  const unsigned count = channel < s.c ? (unsigned)(s.n * s.h * s.w) : 0, step = gridDim.y * blockDim.y;
  channel_affine<V> a = {};
  if (channel < s.c) a = affine_at<V>(o.affine, s.c, channel);
  float scaled[V] = {}, plain[V] = {};
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const pixel in = pixel_of(i, s.h, s.w);
    const span outer = covering(in.y, s.sh, s.top, s.kh, s.oh), inner = covering(in.x, s.sw, s.left, s.kw, s.ow);
    float sum[V] = {}, v[V], w[V];
    for (int oy = outer.from; oy < outer.to; oy++)
      for (int ox = inner.from; ox < inner.to; ox++) {
        const int tap = (in.y + s.top - oy * s.sh) * s.kw + in.x + s.left - ox * s.sw;
        read_back<T, V>(&o, dy, (int64_t)((in.n * s.oh + oy) * s.ow + ox) * s.c + channel, v);
        load<V>(o.w + (int64_t)tap * s.c + channel, w);
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] = fmaf(v[j], w[j], sum[j]);
      }
    write_back<T, V>(&o, &a, dx, (int64_t)i * s.c + channel, sum, scaled, plain);
  }
  if (o.partials) store_sums<V>(scaled, plain, s.c, channel, shared, o.partials);
}

/* affine_gradient: of scale and shift, if o.partials is set. */
template <class T, int V>
static lur_status data_gradient(lur_device *device, sizes s, ways<T> o, const T *dy, T *dx, float *affine_gradient,
                                bool add) {
  cudaStream_t stream = lur_cuda_enter(device);
  lur_tiling t = data_tiling(device, &s, o.partials != NULL);
  sizes back = s;
  back.h = s.oh, back.w = s.ow, back.oh = s.h, back.ow = s.w;
  back.top = 2 - s.top, back.left = 2 - s.left;
  if (three(&s) && s.sh == 1)
    LUR_LAUNCH((three_kernel<T, V, 1, true>), t.grid, t.block, stream, back, o, dy, dx);
  else
    LUR_LAUNCH((data_kernel<T, V>), t.grid, t.block, stream, s, o, dy, dx);
  LUR_TRY(lur_cuda_launched(device));
  return o.partials ? lur_cuda_add_parts(device, o.partials, t.grid.y, 2 * (int64_t)s.c, affine_gradient, add) : LUR_OK;
}

/* ---- weight gradient ---- */

/* partials: 9 c per part. A thread goes along whole rows of outputs with a 3x3 window of inputs in registers. */
template <class T, int V, int S>
__global__ void three_weights_kernel(sizes s, ways<T> o, int64_t part, const T *x, const T *dy, float *partials) {
  __shared__ float shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V, rows = (int64_t)s.n * s.oh;
  int64_t first = blockIdx.y * part, end = first + part < rows ? first + part : rows;
  float sum[9][V] = {}, window[3][3][V], g[V];
  channel_affine<V> a = {};
  if (channel < s.c) a = affine_at<V>(o.affine, s.c, channel);
  for (int64_t row = first + threadIdx.y; row < end && channel < s.c; row += blockDim.y) {
    const int n = (int)row / s.oh, y0 = (int)row % s.oh * S - s.top;
    for (int ox = 0; ox < s.ow; ox++) {
      read_back<T, V>(&o, dy, (row * s.ow + ox) * s.c + channel, g);
#pragma unroll
      for (int ky = 0; ky < 3; ky++)
#pragma unroll
        for (int kx = 0; kx < 3; kx++) {
          const int iy = y0 + ky, ix = ox * S - s.left + kx;
          if (ox > 0 && kx + S < 3) {
#pragma unroll
            for (int j = 0; j < V; j++) window[ky][kx][j] = window[ky][kx + S < 3 ? kx + S : 2][j];
          } else if (iy >= 0 && iy < s.h && ix >= 0 && ix < s.w) {
            read<T, V>(&o, &a, x, (int64_t)((n * s.h + iy) * s.w + ix) * s.c + channel, window[ky][kx]);
          } else {
#pragma unroll
            for (int j = 0; j < V; j++) window[ky][kx][j] = 0;
          }
          if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue; /* 0 times an infinite gradient would be NaN */
#pragma unroll
          for (int j = 0; j < V; j++) sum[ky * 3 + kx][j] = fmaf(window[ky][kx][j], g[j], sum[ky * 3 + kx][j]);
        }
    }
  }
#pragma unroll
  for (int k = 0; k < 9; k++) {
    sum_down<V>(sum[k], shared);
    if (threadIdx.y == 0 && channel < s.c) store<V>(partials + ((int64_t)blockIdx.y * 9 + k) * s.c + channel, sum[k]);
  }
}

/* One tap per blockIdx.z. */
template <class T, int V>
__global__ void plain_weights_kernel(sizes s, ways<T> o, int64_t part, const T *x, const T *dy, float *partials) {
  __shared__ float shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V, rows = (int64_t)s.n * s.oh;
  int64_t first = blockIdx.y * part, end = first + part < rows ? first + part : rows;
  int ky = (int)blockIdx.z / s.kw, kx = (int)blockIdx.z % s.kw;
  float sum[V] = {}, v[V], g[V];
  channel_affine<V> a = {};
  if (channel < s.c) a = affine_at<V>(o.affine, s.c, channel);
  for (int64_t row = first + threadIdx.y; row < end && channel < s.c; row += blockDim.y) {
    const int n = (int)row / s.oh, iy = (int)row % s.oh * s.sh - s.top + ky;
    if (iy < 0 || iy >= s.h) continue;
    for (int ox = 0; ox < s.ow; ox++) {
      const int ix = ox * s.sw - s.left + kx;
      if (ix < 0 || ix >= s.w) continue;
      read_back<T, V>(&o, dy, (row * s.ow + ox) * s.c + channel, g);
      read<T, V>(&o, &a, x, (int64_t)((n * s.h + iy) * s.w + ix) * s.c + channel, v);
#pragma unroll
      for (int j = 0; j < V; j++) sum[j] = fmaf(v[j], g[j], sum[j]);
    }
  }
  sum_down<V>(sum, shared);
  if (threadIdx.y == 0 && channel < s.c)
    store<V>(partials + ((int64_t)blockIdx.y * gridDim.z + blockIdx.z) * s.c + channel, sum);
}

template <class T, int V>
static lur_status weight_gradient(lur_device *device, sizes s, ways<T> o, const T *x, const T *dy, float *dw,
                                  float *partials) {
  cudaStream_t stream = lur_cuda_enter(device);
  lur_tiling t = weights_tiling(device, &s);
  if (three(&s) && s.sh == 1) {
    LUR_LAUNCH((three_weights_kernel<T, V, 1>), t.grid, t.block, stream, s, o, t.part, x, dy, partials);
  } else if (three(&s)) {
    LUR_LAUNCH((three_weights_kernel<T, V, 2>), t.grid, t.block, stream, s, o, t.part, x, dy, partials);
  } else {
    dim3 grid = t.grid;
    grid.z = (unsigned)(s.kh * s.kw);
    LUR_LAUNCH((plain_weights_kernel<T, V>), grid, t.block, stream, s, o, t.part, x, dy, partials);
  }
  LUR_TRY(lur_cuda_launched(device));
  return lur_cuda_add_parts(device, partials, t.grid.y, (int64_t)s.kh * s.kw * s.c, dw, true);
}

/* ---- backward ---- */

template <class T, int V>
static lur_status run_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  sizes s = sizes_of(d);
  const T *x = static_cast<const T *>(args->x[0]), *dy = static_cast<const T *>(args->dy);
  const T *y = op->backward_y ? static_cast<const T *>(args->y) : NULL;
  float *scratch = static_cast<float *>(args->scratch);
  ways<T> o = {static_cast<const float *>(args->w[0]), NULL,
               d->u.conv2d.affine_in ? static_cast<const float *>(args->x[1]) : NULL, d->u.conv2d.relu_in, false, y, x,
               d->want_dx & 2u ? scratch : NULL, (args->dx_add & 1u) != 0};
  if (d->want_dw & 1u)
    LUR_TRY((weight_gradient<T, V>(op->device, s, o, x, dy, static_cast<float *>(args->dw[0]), scratch)));
  if (d->want_dw & 2u)
    LUR_TRY(lur_cuda_columns(op->device, d->y.dtype, dy, y, (int64_t)s.n * s.oh * s.ow, s.c,
                             static_cast<float *>(args->dw[1]), scratch));
  if (!d->want_dx) return LUR_OK;
  T *dx = d->want_dx & 1u ? static_cast<T *>(args->dx[0]) : NULL;
  return data_gradient<T, V>(op->device, s, o, dy, dx, static_cast<float *>(args->dx[1]), args->dx_add & 2u);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  sizes s = sizes_of(&op->desc);
  LUR_WITH_TYPE(op->desc.y.dtype,
                return vector_of(&s) == 4 ? run_backward<T, 4>(op, args) : run_backward<T, 1>(op, args));
  return LUR_OK;
}

const lur_kernel lur_cuda_depthwise_conv2d = {plan, forward, backward, NULL};
