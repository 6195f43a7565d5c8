/* pool.cu - pool (maximum, average) and global_pool (mean over height and width).
 *
 * The gradient of a maximum goes to the first pixel that has it, in row-major order: forward writes that pixel's number
 * in the window to saved, one byte if the window has at most 256 pixels, else two. In backward every input pixel adds
 * up the windows that cover it, so that no two threads write one element. With affine_in pixels are read as
 * x * scale + shift; the gradients of both are summed per block over a part of the pixels, then in double. */
#include "kernel.cuh"

enum { SUM_PARTS = 512 };

typedef window_sizes pool_sizes;

static pool_sizes sizes_of(const lur_op_desc *d) { return window_sizes_of(d, &d->u.pool); }

static int64_t window_pixels(const lur_op_desc *d) { return (int64_t)d->u.pool.kernel_h * d->u.pool.kernel_w; }

static int vector_of(const lur_op_desc *d) { return d->x[0].shape.dim[3] % 4 == 0 ? 4 : 1; }

/* x counts channels, y outputs. */
static lur_tiling outputs_tiling(const lur_op *op) {
  const int64_t *x = op->desc.x[0].shape.dim, *y = op->desc.y.shape.dim;
  return tile_rows(op->device, x[3] / vector_of(&op->desc), y[0] * y[1] * y[2], 1, 65535);
}

/* x counts channels, y input pixels. Sums need memory for each part. */
static lur_tiling inputs_tiling(const lur_op *op) {
  const int64_t *x = op->desc.x[0].shape.dim;
  return tile_rows(op->device, x[3] / vector_of(&op->desc), x[0] * x[1] * x[2], 2,
                   op->desc.want_dx & 2u ? SUM_PARTS : 65535);
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  LUR_TRY(check_pixels(x[0] * x[1] * x[2]));
  LUR_TRY(check_pixels(y[0] * y[1] * y[2]));
  if (!lur_cuda_wants(op)) return LUR_OK;
  if (d->u.pool.affine_in) op->backward_x = (d->want_dx & 2u ? 1u : 0) | (d->want_dx & 1u ? 2u : 0);
  if (d->want_dx & 2u)
    op->backward_scratch = sizeof(float) * 2 * (size_t)(inputs_tiling(op).grid.y * d->x[0].shape.dim[3]);
  if (d->u.pool.mode != LUR_POOL_MAX) return LUR_OK;
  int64_t pixels = window_pixels(d);
  if (pixels > 65536)
    return lur_fail(LUR_EUNSUPPORTED, "a window of %lld pixels: at most 65536 have a gradient on cuda",
                    (long long)pixels);
  op->saved_bytes = (pixels > 256 ? 2u : 1u) * (size_t)lur_shape_count(&d->y.shape);
  return LUR_OK;
}

/* The rows or columns of a window that are inside the image. */
static __device__ inline span span_of(int out, int stride, int pad, int kernel, int extent) {
  int first = out * stride - pad;
  return {first < 0 ? 0 : first, first + kernel < extent ? first + kernel : extent};
}

/* The window of output number i, as far as it is inside the image. */
struct window {
  pixel at;
  span rows, columns;
};

static __device__ inline window window_of(const pool_sizes *s, unsigned i) {
  const pixel at = pixel_of(i, s->oh, s->ow);
  return {at, span_of(at.y, s->sh, s->top, s->kh, s->h), span_of(at.x, s->sw, s->left, s->kw, s->w)};
}

/* I: the type of the elements of saved. */
template <class T, class I, int V>
__global__ void max_kernel(pool_sizes s, const T *x, const float *affine, T *y, I *saved) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= s.c) return;
  const unsigned count = (unsigned)(s.n * s.oh * s.ow), step = gridDim.y * blockDim.y;
  const channel_affine<V> a = affine_at<V>(affine, s.c, channel);
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const window k = window_of(&s, i);
    float best[V] = {}, v[V];
    int winner[V] = {};
    for (int iy = k.rows.from; iy < k.rows.to; iy++)
      for (int ix = k.columns.from; ix < k.columns.to; ix++) {
        bool first = iy == k.rows.from && ix == k.columns.from;
        int place = (iy - k.at.y * s.sh + s.top) * s.kw + (ix - k.at.x * s.sw + s.left);
        load<V>(x + (int64_t)((k.at.n * s.h + iy) * s.w + ix) * s.c + channel, v);
        apply<V>(&a, v);
#pragma unroll
        for (int j = 0; j < V; j++)
          if (first || beats(v[j], best[j])) best[j] = v[j], winner[j] = place;
      }
    const int64_t to = (int64_t)i * s.c + channel;
    store<V>(y + to, best);
    if (!saved) continue;
    pack<I, V> places;
#pragma unroll
    for (int j = 0; j < V; j++) places.v[j] = (I)winner[j];
    *reinterpret_cast<pack<I, V> *>(saved + to) = places;
  }
}

template <class T, int V>
__global__ void average_kernel(pool_sizes s, const T *x, const float *affine, T *y) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= s.c) return;
  const unsigned count = (unsigned)(s.n * s.oh * s.ow), step = gridDim.y * blockDim.y;
  const channel_affine<V> a = affine_at<V>(affine, s.c, channel);
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    const window k = window_of(&s, i);
    float sum[V] = {}, v[V];
    for (int iy = k.rows.from; iy < k.rows.to; iy++)
      for (int ix = k.columns.from; ix < k.columns.to; ix++) {
        load<V>(x + (int64_t)((k.at.n * s.h + iy) * s.w + ix) * s.c + channel, v);
        apply<V>(&a, v);
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += v[j];
      }
    float many = (float)((k.rows.to - k.rows.from) * (k.columns.to - k.columns.from));
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] /= many;
    store<V>(y + (int64_t)i * s.c + channel, sum);
  }
}

template <class T, class I>
struct pool_gradients {
  const T *dy, *x;     /* x: for the sums */
  const I *saved;      /* NULL: average */
  const float *affine; /* NULL: none */
  T *dx;               /* NULL: not wanted */
  float *partials;     /* for the affine's gradients; NULL: not wanted */
  bool add;
};

/* The gradient of an input pixel, from the windows that cover it. */
template <class T, class I, int V>
static __device__ inline void gather(const pool_sizes *s, const pool_gradients<T, I> *g, pixel in, int64_t channel,
                                     float (&sum)[V]) {
  const span outer = covering(in.y, s->sh, s->top, s->kh, s->oh), inner = covering(in.x, s->sw, s->left, s->kw, s->ow);
  float v[V];
  for (int oy = outer.from; oy < outer.to; oy++)
    for (int ox = inner.from; ox < inner.to; ox++) {
      const int64_t from = (int64_t)((in.n * s->oh + oy) * s->ow + ox) * s->c + channel;
      load<V>(g->dy + from, v);
      if (g->saved) {
        const int place = (in.y + s->top - oy * s->sh) * s->kw + in.x + s->left - ox * s->sw;
        const pack<I, V> places = *reinterpret_cast<const pack<I, V> *>(g->saved + from);
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += places.v[j] == place ? v[j] : 0;
      } else {
        span rows = span_of(oy, s->sh, s->top, s->kh, s->h), columns = span_of(ox, s->sw, s->left, s->kw, s->w);
        float many = (float)((rows.to - rows.from) * (columns.to - columns.from));
#pragma unroll
        for (int j = 0; j < V; j++) sum[j] += v[j] / many;
      }
    }
}

template <class T, class I, int V>
__global__ void backward_kernel(pool_sizes s, pool_gradients<T, I> g) {
  __shared__ float shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  const unsigned count = channel < s.c ? (unsigned)(s.n * s.h * s.w) : 0, step = gridDim.y * blockDim.y;
  channel_affine<V> a = {};
  if (channel < s.c) a = affine_at<V>(g.affine, s.c, channel);
  float scaled[V] = {}, plain[V] = {}, x[V];
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < count; i += step) {
    int64_t at = (int64_t)i * s.c + channel;
    float sum[V] = {};
    gather<T, I, V>(&s, &g, pixel_of(i, s.h, s.w), channel, sum);
    if (g.partials) {
      load<V>(g.x + at, x);
#pragma unroll
      for (int j = 0; j < V; j++) scaled[j] += sum[j] * x[j], plain[j] += sum[j];
    }
    if (!g.dx) continue;
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] *= a.on ? a.scale[j] : 1;
    put<V>(g.dx + at, sum, g.add);
  }
  if (g.partials) store_sums<V>(scaled, plain, s.c, channel, shared, g.partials);
}

template <class T, class I, int V>
static lur_status run_forward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  pool_sizes s = sizes_of(&op->desc);
  lur_tiling t = outputs_tiling(op);
  const T *x = static_cast<const T *>(args->x[0]);
  const float *affine = op->desc.u.pool.affine_in ? static_cast<const float *>(args->x[1]) : NULL;
  T *y = static_cast<T *>(args->y);
  I *saved = op->saved_bytes ? static_cast<I *>(args->saved) : NULL;
  if (op->desc.u.pool.mode == LUR_POOL_MAX)
    LUR_LAUNCH((max_kernel<T, I, V>), t.grid, t.block, stream, s, x, affine, y, saved);
  else
    LUR_LAUNCH((average_kernel<T, V>), t.grid, t.block, stream, s, x, affine, y);
  return lur_cuda_launched(op->device);
}

template <class T, class I, int V>
static lur_status run_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  cudaStream_t stream = lur_cuda_enter(op->device);
  lur_tiling t = inputs_tiling(op);
  bool sums = d->want_dx & 2u;
  pool_gradients<T, I> g = {static_cast<const T *>(args->dy), static_cast<const T *>(args->x[0]),
                            op->saved_bytes ? static_cast<const I *>(args->saved) : NULL,
                            d->u.pool.affine_in ? static_cast<const float *>(args->x[1]) : NULL,
                            d->want_dx & 1u ? static_cast<T *>(args->dx[0]) : NULL,
                            sums ? static_cast<float *>(args->scratch) : NULL, (args->dx_add & 1u) != 0};
  LUR_LAUNCH((backward_kernel<T, I, V>), t.grid, t.block, stream, sizes_of(d), g);
  LUR_TRY(lur_cuda_launched(op->device));
  if (!sums) return LUR_OK;
  return lur_cuda_add_parts(op->device, g.partials, t.grid.y, 2 * d->x[0].shape.dim[3],
                            static_cast<float *>(args->dx[1]), args->dx_add & 2u);
}

template <class T, class I>
static lur_status run(lur_op *op, const lur_args *args, bool back) {
  if (vector_of(&op->desc) == 4) return back ? run_backward<T, I, 4>(op, args) : run_forward<T, I, 4>(op, args);
  return back ? run_backward<T, I, 1>(op, args) : run_forward<T, I, 1>(op, args);
}

static lur_status choose(lur_op *op, const lur_args *args, bool back) {
  bool wide = window_pixels(&op->desc) > 256;
  LUR_WITH_TYPE(op->desc.y.dtype, return wide ? run<T, uint16_t>(op, args, back) : run<T, uint8_t>(op, args, back));
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) { return choose(op, args, false); }
static lur_status backward(lur_op *op, const lur_args *args) { return choose(op, args, true); }

const lur_kernel lur_cuda_pool = {plan, forward, backward, NULL};

/* ---- global_pool: one block per image and tile of channels ---- */

static lur_status global_plan(lur_op *op) {
  const int64_t *x = op->desc.x[0].shape.dim;
  return check_pixels(x[0] * x[1] * x[2]);
}

template <class T, int V>
__global__ void global_kernel(const T *x, T *y, int64_t area, int64_t c) {
  __shared__ float shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  x += blockIdx.y * area * c;
  float sum[V] = {}, v[V];
  for (int64_t k = threadIdx.y; k < area && channel < c; k += blockDim.y) {
    load<V>(x + k * c + channel, v);
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] += v[j];
  }
  sum_down<V>(sum, shared);
  if (threadIdx.y != 0 || channel >= c) return;
#pragma unroll
  for (int j = 0; j < V; j++) sum[j] /= (float)area;
  store<V>(y + blockIdx.y * c + channel, sum);
}

/* x counts channels, y pixels. */
template <class T, int V>
__global__ void global_backward_kernel(const T *dy, T *dx, unsigned pixels, unsigned area, int64_t c, bool add) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= c) return;
  const unsigned step = gridDim.y * blockDim.y;
  for (unsigned i = blockIdx.y * blockDim.y + threadIdx.y; i < pixels; i += step) {
    float v[V];
    load<V>(dy + (int64_t)(i / area) * c + channel, v);
#pragma unroll
    for (int j = 0; j < V; j++) v[j] /= (float)area;
    put<V>(dx + (int64_t)i * c + channel, v, add);
  }
}

/* gridDim.y counts images, and is at most 65535. */
enum { MOST_IMAGES = 65535 };

template <class T, int V>
static lur_status run_global(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  const int64_t *d = op->desc.x[0].shape.dim, area = d[1] * d[2], c = d[3];
  lur_tiling t = tile_rows(op->device, c / V, area, area, 1);
  for (int64_t n = 0; n < d[0]; n += MOST_IMAGES) {
    t.grid.y = (unsigned)lur_cuda_min(MOST_IMAGES, d[0] - n);
    LUR_LAUNCH((global_kernel<T, V>), t.grid, t.block, stream, static_cast<const T *>(args->x[0]) + n * area * c,
               static_cast<T *>(args->y) + n * c, area, c);
    LUR_TRY(lur_cuda_launched(op->device));
  }
  return LUR_OK;
}

static lur_status global_forward(lur_op *op, const lur_args *args) {
  bool even = op->desc.x[0].shape.dim[3] % 4 == 0;
  LUR_WITH_TYPE(op->desc.y.dtype, return even ? run_global<T, 4>(op, args) : run_global<T, 1>(op, args));
  return LUR_OK;
}

template <class T, int V>
static lur_status run_global_backward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  const int64_t *d = op->desc.x[0].shape.dim, area = d[1] * d[2], pixels = d[0] * area;
  lur_tiling t = tile_rows(op->device, d[3] / V, pixels, 1, 65535);
  LUR_LAUNCH((global_backward_kernel<T, V>), t.grid, t.block, stream, static_cast<const T *>(args->dy),
             static_cast<T *>(args->dx[0]), (unsigned)pixels, (unsigned)area, d[3], (args->dx_add & 1u) != 0);
  return lur_cuda_launched(op->device);
}

static lur_status global_backward(lur_op *op, const lur_args *args) {
  bool even = op->desc.x[0].shape.dim[3] % 4 == 0;
  LUR_WITH_TYPE(op->desc.y.dtype,
                return even ? run_global_backward<T, 4>(op, args) : run_global_backward<T, 1>(op, args));
  return LUR_OK;
}

const lur_kernel lur_cuda_global_pool = {global_plan, global_forward, global_backward, NULL};
