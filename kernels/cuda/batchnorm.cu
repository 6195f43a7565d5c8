/* batchnorm.cu - y = [relu](gamma * (x - mean) / sqrt(variance + epsilon) + beta [+ residual]), per channel.
 *
 * As kernels/ref/batchnorm.c. Batch statistics: each thread sums x - k and (x - k)^2, where k is its first number (no
 * cancellation, however large the mean); threads and then parts are joined by Chan's formula (Chan, Golub, LeVeque,
 * "Updating formulae and a pairwise algorithm for computing sample variances", 1979), the parts in double.
 * saved holds, per channel, the mean and the reciprocal standard deviation that forward used. With affine_out forward
 * computes only the statistics, and dy holds the gradients of scale and shift, summed by the ops that read x. */
#include "kernel.cuh"

enum { PARTS = 512 }; /* the most parts of a sum, which its last kernel adds */

struct norm_sizes {
  int64_t rows, c, part;
};

struct norm_plan { /* of one op; computed at each call, by a few divisions */
  norm_sizes s;
  lur_tiling sums, apply;
  bool even;
};

static norm_plan plan_of(const lur_op *op) {
  norm_plan p;
  int64_t c = lur_cuda_last(&op->desc.x[0].shape), rows = lur_shape_count(&op->desc.x[0].shape) / c;
  p.even = c % 4 == 0;
  int64_t groups = p.even ? c / 4 : c;
  p.sums = tile_rows(op->device, groups, rows, 8, PARTS);
  p.apply = tile_rows(op->device, groups, rows, 4, 65535);
  p.s = {rows, c, p.sums.part};
  return p;
}

static size_t statistics_bytes(int64_t c) { return lur_cuda_round(2 * sizeof(float) * (size_t)c); }
static size_t line_bytes(int64_t c) { return lur_cuda_round(3 * sizeof(float) * (size_t)c); }
static size_t partial_bytes(const norm_plan *p) { return sizeof(float) * 2 * (size_t)(p->sums.grid.y * p->s.c); }

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  LUR_TRY(lur_cuda_want_f32_weights(op));
  norm_plan p = plan_of(op);
  bool affine = d->u.batchnorm.affine_out;
  op->in_place = !affine;
  op->forward_scratch = d->u.batchnorm.batch ? partial_bytes(&p) : 0;
  if (!lur_cuda_wants(op)) {
    op->forward_scratch += statistics_bytes(p.s.c);
    return LUR_OK;
  }
  op->saved_bytes = statistics_bytes(p.s.c);
  op->dx_in_place = !affine;
  op->backward_x = (d->want_dw & 1u && !affine) || (d->u.batchnorm.batch && d->want_dx & 1u) ? 1u : 0;
  op->backward_y = d->u.batchnorm.relu;
  op->backward_scratch = affine ? line_bytes(p.s.c) : statistics_bytes(p.s.c) + partial_bytes(&p);
  return LUR_OK;
}

/* ---- statistics ---- */

template <class N>
struct moments {
  N count, mean, squares; /* squares: sum of (x - mean)^2 */
};

template <class N>
static __device__ inline moments<N> join(moments<N> a, moments<N> b) {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  N count = a.count + b.count, delta = b.mean - a.mean;
  if (!isfinite(delta)) return {count, a.mean + b.mean, (N)NAN}; /* of numbers that are infinite or NaN */
  return {count, a.mean + delta * (b.count / count),
          a.squares + b.squares + delta * delta * (a.count * b.count / count)};
}

/* Joins each m[j] over threadIdx.y, in the threads with threadIdx.y 0. */
template <int V>
static __device__ inline void join_down(moments<float> (&m)[V], moments<float> *shared) {
  int t = (int)(threadIdx.y * blockDim.x + threadIdx.x);
#pragma unroll
  for (int j = 0; j < V; j++) shared[j * LUR_THREADS + t] = m[j];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y >= half) continue;
#pragma unroll
    for (int j = 0; j < V; j++) {
      moments<float> *mine = &shared[j * LUR_THREADS + t];
      *mine = join(*mine, mine[half * blockDim.x]);
    }
  }
#pragma unroll
  for (int j = 0; j < V; j++) m[j] = shared[j * LUR_THREADS + t]; /* what this thread wrote last */
}

/* partials: per part, the mean and then the squares of each channel. */
template <class T, int V>
__global__ void moments_kernel(norm_sizes s, const T *x, float *partials) {
  __shared__ moments<float> shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  int64_t first = blockIdx.y * s.part, end = first + s.part < s.rows ? first + s.part : s.rows;
  float k[V] = {}, v[V], sum[V] = {}, squares[V] = {}, many = 0;
  for (int64_t r = first + threadIdx.y; r < end && channel < s.c; r += blockDim.y) {
    load<V>(x + r * s.c + channel, v);
#pragma unroll
    for (int j = 0; j < V; j++) {
      if (many == 0) k[j] = isfinite(v[j]) ? v[j] : 0;
      sum[j] += v[j] - k[j];
      squares[j] += (v[j] - k[j]) * (v[j] - k[j]);
    }
    many += 1;
  }
  moments<float> m[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    m[j] = {many, 0, 0};
    if (many > 0) m[j].mean = k[j] + sum[j] / many, m[j].squares = relu_of(squares[j] - sum[j] * (sum[j] / many));
  }
  join_down<V>(m, shared);
  for (int j = 0; j < V && threadIdx.y == 0 && channel < s.c; j++) {
    partials[(2 * blockIdx.y) * s.c + channel + j] = m[j].mean;
    partials[(2 * blockIdx.y + 1) * s.c + channel + j] = m[j].squares;
  }
}

struct norm_weights {
  const float *gamma, *beta; /* NULL counts as 1 and 0 */
};

/* statistics: mean and reciprocal standard deviation, of the batch (then the moving statistics are updated) or, without
   parts, from the moving statistics. affine: scale and shift of the whole norm, or NULL. */
static __global__ void statistics_kernel(norm_sizes s, lur_batchnorm_desc u, norm_weights w, const float *partials,
                                         int64_t parts, float *mean, float *variance, float *statistics,
                                         float *affine) {
  __shared__ moments<double> shared[LUR_THREADS];
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  moments<double> all = {0, 0, 0};
  for (int64_t p = threadIdx.y; p < parts && i < s.c; p += blockDim.y) {
    double n = (double)(p * s.part + s.part < s.rows ? s.part : s.rows - p * s.part);
    all = join(all, moments<double>{n, (double)partials[2 * p * s.c + i], (double)partials[(2 * p + 1) * s.c + i]});
  }
  shared[threadIdx.y * LUR_PART_COLUMNS + threadIdx.x] = all;
  __syncthreads();
  if (threadIdx.y != 0 || i >= s.c) return;
  for (unsigned y = 1; y < blockDim.y; y++) all = join(all, shared[y * LUR_PART_COLUMNS + threadIdx.x]);
  double m = u.batch ? all.mean : (double)mean[i], v = u.batch ? all.squares / (double)s.rows : (double)variance[i];
  if (u.batch) {
    mean[i] = (float)((double)mean[i] - ((double)mean[i] - m) * (1 - u.momentum));
    variance[i] = (float)((double)variance[i] - ((double)variance[i] - v) * (1 - u.momentum));
  }
  double over = 1 / sqrt(v + u.epsilon), scale = over * (w.gamma ? (double)w.gamma[i] : 1);
  statistics[i] = (float)m;
  statistics[s.c + i] = (float)over;
  if (!affine) return;
  affine[i] = (float)scale;
  affine[s.c + i] = (float)((w.beta ? (double)w.beta[i] : 0) - m * scale);
}

/* ---- forward ---- */

template <class T, int V>
__global__ void apply_kernel(norm_sizes s, const T *x, const T *residual, T *y, const float *statistics, norm_weights w,
                             bool relu) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= s.c) return;
  float mean[V], scale[V], shift[V] = {}, v[V], more[V] = {};
  load<V>(statistics + channel, mean);
  load<V>(statistics + s.c + channel, scale);
  if (w.gamma) {
    load<V>(w.gamma + channel, v);
#pragma unroll
    for (int j = 0; j < V; j++) scale[j] *= v[j];
  }
  if (w.beta) load<V>(w.beta + channel, shift);
  int64_t first = blockIdx.y * s.part, end = first + s.part < s.rows ? first + s.part : s.rows;
  for (int64_t r = first + threadIdx.y; r < end; r += blockDim.y) {
    load<V>(x + r * s.c + channel, v);
    if (residual) load<V>(residual + r * s.c + channel, more);
#pragma unroll
    for (int j = 0; j < V; j++) {
      v[j] = (v[j] - mean[j]) * scale[j] + shift[j] + more[j];
      if (relu) v[j] = relu_of(v[j]);
    }
    store<V>(y + r * s.c + channel, v);
  }
}

static norm_weights weights_of(const lur_op *op, const lur_args *args) {
  const lur_batchnorm_desc *u = &op->desc.u.batchnorm;
  return {u->has_gamma ? static_cast<const float *>(args->w[0]) : NULL,
          u->has_beta ? static_cast<const float *>(args->w[1]) : NULL};
}

template <class T, int V>
static lur_status run_forward(lur_op *op, const lur_args *args, norm_plan p) {
  const lur_batchnorm_desc *u = &op->desc.u.batchnorm;
  cudaStream_t stream = lur_cuda_enter(op->device);
  const T *x = static_cast<const T *>(args->x[0]),
          *residual = op->desc.nx == 2 ? static_cast<const T *>(args->x[1]) : NULL;
  float *partials = static_cast<float *>(args->scratch), *statistics = static_cast<float *>(args->saved);
  if (!op->saved_bytes) statistics = partials, partials += statistics_bytes(p.s.c) / sizeof(float);
  if (u->batch) {
    LUR_LAUNCH((moments_kernel<T, V>), p.sums.grid, p.sums.block, stream, p.s, x, partials);
    LUR_TRY(lur_cuda_launched(op->device));
  }
  LUR_LAUNCH(statistics_kernel, parts_grid(p.s.c), parts_block(), stream, p.s, *u, weights_of(op, args), partials,
             u->batch ? (int64_t)p.sums.grid.y : 0, static_cast<float *>(args->w[2]), static_cast<float *>(args->w[3]),
             statistics, u->affine_out ? static_cast<float *>(args->y) : static_cast<float *>(nullptr));
  LUR_TRY(lur_cuda_launched(op->device));
  if (u->affine_out) return LUR_OK;
  p.s.part = p.apply.part;
  LUR_LAUNCH((apply_kernel<T, V>), p.apply.grid, p.apply.block, stream, p.s, x, residual, static_cast<T *>(args->y),
             statistics, weights_of(op, args), u->relu);
  return lur_cuda_launched(op->device);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  norm_plan p = plan_of(op);
  LUR_WITH_TYPE(op->desc.x[0].dtype, return p.even ? run_forward<T, 4>(op, args, p) : run_forward<T, 1>(op, args, p));
  return LUR_OK;
}

/* ---- backward ---- */

/* partials: per part, the sum of dy, then the sum of dy * xhat (not if x is NULL). y: the mask of the ReLU, or NULL. */
template <class T, int V>
__global__ void sums_kernel(norm_sizes s, const T *x, const T *y, const T *dy, const float *statistics,
                            float *partials) {
  __shared__ float shared[LUR_THREADS * V];
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  float mean[V] = {}, over[V] = {}, g[V], v[V], plain[V] = {}, scaled[V] = {};
  int64_t first = blockIdx.y * s.part, end = first + s.part < s.rows ? first + s.part : s.rows;
  if (channel < s.c) {
    load<V>(statistics + channel, mean);
    load<V>(statistics + s.c + channel, over);
  }
  for (int64_t r = first + threadIdx.y; r < end && channel < s.c; r += blockDim.y) {
    load<V>(dy + r * s.c + channel, g);
    if (y) {
      load<V>(y + r * s.c + channel, v);
#pragma unroll
      for (int j = 0; j < V; j++) g[j] = relu_dy_of(v[j], g[j]);
    }
    if (x) load<V>(x + r * s.c + channel, v);
#pragma unroll
    for (int j = 0; j < V; j++) {
      plain[j] += g[j];
      if (x) scaled[j] += g[j] * ((v[j] - mean[j]) * over[j]);
    }
  }
  sum_down<V>(plain, shared);
  sum_down<V>(scaled, shared);
  if (threadIdx.y != 0 || channel >= s.c) return;
  store<V>(partials + 2 * blockIdx.y * s.c + channel, plain);
  store<V>(partials + (2 * blockIdx.y + 1) * s.c + channel, scaled);
}

/* sums: both, over all parts, which are also added to dgamma and dbeta (NULL: not wanted). */
static __global__ void gradients_kernel(int64_t c, const float *partials, int64_t parts, float *sums, float *dgamma,
                                        float *dbeta) {
  __shared__ double shared[LUR_THREADS];
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  double plain = 0, scaled = 0;
  for (int64_t p = threadIdx.y; p < parts && i < c; p += blockDim.y) {
    plain += (double)partials[2 * p * c + i];
    scaled += (double)partials[(2 * p + 1) * c + i];
  }
  plain = sum_parts(plain, shared);
  scaled = sum_parts(scaled, shared);
  if (threadIdx.y != 0 || i >= c) return;
  sums[i] = (float)plain;
  sums[c + i] = (float)scaled;
  if (dgamma) dgamma[i] = (float)((double)dgamma[i] + scaled);
  if (dbeta) dbeta[i] = (float)((double)dbeta[i] + plain);
}

template <class T>
struct norm_gradients {
  const T *x, *y, *dy; /* x NULL: statistics do not depend on x */
  T *dx, *dresidual;   /* NULL: not wanted */
  bool add, add_residual;
};

/* dx = gamma / std * (dy - mean(dy) - xhat * mean(dy * xhat)); the means only with batch statistics. */
template <class T, int V>
__global__ void dx_kernel(norm_sizes s, norm_gradients<T> g, const float *statistics, const float *sums,
                          norm_weights w) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= s.c) return;
  float mean[V], over[V], gamma[V], plain[V], scaled[V], v[V], d[V];
  load<V>(statistics + channel, mean);
  load<V>(statistics + s.c + channel, over);
  load<V>(sums + channel, plain);
  load<V>(sums + s.c + channel, scaled);
  if (w.gamma) load<V>(w.gamma + channel, gamma);
  int64_t first = blockIdx.y * s.part, end = first + s.part < s.rows ? first + s.part : s.rows;
  for (int64_t r = first + threadIdx.y; r < end; r += blockDim.y) {
    int64_t at = r * s.c + channel;
    load<V>(g.dy + at, d);
    if (g.y) {
      load<V>(g.y + at, v);
#pragma unroll
      for (int j = 0; j < V; j++) d[j] = relu_dy_of(v[j], d[j]);
    }
    if (g.dresidual) put<V>(g.dresidual + at, d, g.add_residual);
    if (!g.dx) continue;
    if (g.x) load<V>(g.x + at, v);
#pragma unroll
    for (int j = 0; j < V; j++) {
      if (g.x) d[j] -= (plain[j] + (v[j] - mean[j]) * over[j] * scaled[j]) / (float)s.rows;
      d[j] *= w.gamma ? over[j] * gamma[j] : over[j];
    }
    put<V>(g.dx + at, d, g.add);
  }
}

template <class T, int V>
static lur_status run_backward(lur_op *op, const lur_args *args, norm_plan p) {
  const lur_op_desc *d = &op->desc;
  cudaStream_t stream = lur_cuda_enter(op->device);
  const T *x = op->backward_x ? static_cast<const T *>(args->x[0]) : NULL;
  const T *y = op->backward_y ? static_cast<const T *>(args->y) : NULL, *dy = static_cast<const T *>(args->dy);
  const float *statistics = static_cast<const float *>(args->saved);
  float *sums = static_cast<float *>(args->scratch), *partials = sums + statistics_bytes(p.s.c) / sizeof(float);
  LUR_LAUNCH((sums_kernel<T, V>), p.sums.grid, p.sums.block, stream, p.s, x, y, dy, statistics, partials);
  LUR_TRY(lur_cuda_launched(op->device));
  LUR_LAUNCH(gradients_kernel, parts_grid(p.s.c), parts_block(), stream, p.s.c, partials, (int64_t)p.sums.grid.y, sums,
             d->want_dw & 1u ? static_cast<float *>(args->dw[0]) : NULL,
             d->want_dw & 2u ? static_cast<float *>(args->dw[1]) : NULL);
  LUR_TRY(lur_cuda_launched(op->device));
  if (!d->want_dx) return LUR_OK;
  norm_gradients<T> g = {d->u.batchnorm.batch ? x : NULL, y, dy,
                         d->want_dx & 1u ? static_cast<T *>(args->dx[0]) : NULL,
                         d->want_dx & 2u ? static_cast<T *>(args->dx[1]) : NULL, (args->dx_add & 1u) != 0,
                         (args->dx_add & 2u) != 0};
  p.s.part = p.apply.part;
  LUR_LAUNCH((dx_kernel<T, V>), p.apply.grid, p.apply.block, stream, p.s, g, statistics, sums, weights_of(op, args));
  return lur_cuda_launched(op->device);
}

/* ---- backward with affine_out ----
   From the gradients ds and dt of scale = gamma / std and shift = beta - mean * scale, with k = ds - mean * dt:
   dgamma = k / std, dbeta = dt, and through the batch statistics
   dx = -gamma / std / rows * (dt + (x - mean) / std^2 * k). */

/* line: the coefficients of dx = (line[0] + line[1] * (x - mean)) * line[2], per channel. line[2] is 1, unless gamma or
   std is not finite. */
static __global__ void affine_gradients_kernel(norm_sizes s, const float *affine, const float *statistics,
                                               norm_weights w, float *line, float *dgamma, float *dbeta) {
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= s.c) return;
  double over = (double)statistics[s.c + i], plain = (double)affine[s.c + i],
         centred = (double)affine[i] - (double)statistics[i] * plain;
  double slope = -over * (w.gamma ? (double)w.gamma[i] : 1) / (double)s.rows;
  bool finite = isfinite(slope);
  line[i] = (float)(finite ? slope * plain : plain);
  line[s.c + i] = (float)((finite ? slope : 1) * over * over * centred);
  line[2 * s.c + i] = finite ? 1 : (float)slope;
  if (dgamma) dgamma[i] = (float)((double)dgamma[i] + over * centred);
  if (dbeta) dbeta[i] = (float)((double)dbeta[i] + plain);
}

template <class T, int V>
__global__ void affine_dx_kernel(norm_sizes s, const T *x, const float *statistics, const float *line, T *dx,
                                 bool add) {
  int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (channel >= s.c) return;
  float mean[V], constant[V], slope[V], factor[V], v[V];
  load<V>(statistics + channel, mean);
  load<V>(line + channel, constant);
  load<V>(line + s.c + channel, slope);
  load<V>(line + 2 * s.c + channel, factor);
  int64_t first = blockIdx.y * s.part, end = first + s.part < s.rows ? first + s.part : s.rows;
  for (int64_t r = first + threadIdx.y; r < end; r += blockDim.y) {
    load<V>(x + r * s.c + channel, v);
#pragma unroll
    for (int j = 0; j < V; j++) v[j] = fmaf(v[j] - mean[j], slope[j], constant[j]) * factor[j];
    put<V>(dx + r * s.c + channel, v, add);
  }
}

/* The moving statistics do not depend on x: dx = 0. */
static lur_status no_gradient(lur_op *op, const lur_args *args) {
  const lur_operand *x = &op->desc.x[0];
  if (args->dx_add & 1u) return LUR_OK;
  return lur_cuda_check(op->device, cudaMemsetAsync(args->dx[0], 0, lur_cuda_bytes(x), lur_cuda_enter(op->device)),
                        "cudaMemsetAsync");
}

template <class T, int V>
static lur_status run_affine_backward(lur_op *op, const lur_args *args, norm_plan p) {
  const lur_op_desc *d = &op->desc;
  cudaStream_t stream = lur_cuda_enter(op->device);
  const float *statistics = static_cast<const float *>(args->saved);
  float *line = static_cast<float *>(args->scratch);
  LUR_LAUNCH(affine_gradients_kernel, (unsigned)divide_up(p.s.c, LUR_THREADS), LUR_THREADS, stream, p.s,
             static_cast<const float *>(args->dy), statistics, weights_of(op, args), line,
             static_cast<float *>(d->want_dw & 1u ? args->dw[0] : nullptr),
             static_cast<float *>(d->want_dw & 2u ? args->dw[1] : nullptr));
  LUR_TRY(lur_cuda_launched(op->device));
  if (!(d->want_dx & 1u)) return LUR_OK;
  if (!d->u.batchnorm.batch) return no_gradient(op, args);
  p.s.part = p.apply.part;
  LUR_LAUNCH((affine_dx_kernel<T, V>), p.apply.grid, p.apply.block, stream, p.s, static_cast<const T *>(args->x[0]),
             statistics, line, static_cast<T *>(args->dx[0]), (args->dx_add & 1u) != 0);
  return lur_cuda_launched(op->device);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  norm_plan p = plan_of(op);
  if (op->desc.u.batchnorm.affine_out) {
    LUR_WITH_TYPE(op->desc.x[0].dtype,
                  return p.even ? run_affine_backward<T, 4>(op, args, p) : run_affine_backward<T, 1>(op, args, p));
    return LUR_OK;
  }
  LUR_WITH_TYPE(op->desc.y.dtype, return p.even ? run_backward<T, 4>(op, args, p) : run_backward<T, 1>(op, args, p));
  return LUR_OK;
}

const lur_kernel lur_cuda_batchnorm = {plan, forward, backward, NULL};
