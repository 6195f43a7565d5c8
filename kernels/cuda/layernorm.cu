/* layernorm.cu - layernorm and groupnorm: kernels/ref/layernorm.c has the formulas. A warp computes a group of at most
 * SMALL elements, a block a larger one. saved: the mean and the reciprocal standard deviation of each group. */
#include "kernel.cuh"

enum { WARPS = 8, SMALL = 2048, PARTS = 512 };

/* Group i has `runs` runs of `width` elements, `step` apart. Rows are the runs of all channels. */
struct groups {
  int64_t count, runs, width, step, per_sample, sample, rows;
};

static groups groups_of(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape;
  const int64_t c = lur_cuda_last(x), all = lur_shape_count(x);
  if (d->kind == LUR_OP_LAYERNORM) return {all / c, 1, c, c, 1, c, all / c};
  const int64_t n = x->dim[0], g = d->u.layernorm.groups;
  return {n * g, all / n / c, c / g, c, g, all / n, all / c};
}

static lur_tiling tiling_of(const lur_op *op, const groups *s) {
  return tile_rows(op->device, s->width % 4 ? s->step : s->step / 4, s->rows, 8, PARTS);
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  LUR_TRY(lur_cuda_want_f32_weights(op));
  const groups s = groups_of(d);
  op->in_place = true;
  if (!lur_cuda_wants(op)) return LUR_OK;
  op->backward_x = d->want_dx || d->want_dw & 1u ? 1u : 0;
  op->dx_in_place = true;
  if (op->backward_x) op->saved_bytes = 2 * sizeof(float) * (size_t)s.count;
  if (d->want_dw) op->backward_scratch = 2 * sizeof(float) * (size_t)(tiling_of(op, &s).grid.y * s.step);
  return LUR_OK;
}

/* Sums v over the threads of a group: the warp, or the block. shared: WARPS floats per value. */
static __device__ inline float group_sum(float v, bool wide, float *shared) {
  v = warp_sum(v);
  if (!wide) return v;
  __syncthreads();
  if (threadIdx.x == 0) shared[threadIdx.y] = v;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < WARPS; i++) sum += (double)shared[i];
  return (float)sum;
}

/* The part of a group that one thread computes: units of V elements, from `first` in steps of `stride`. */
struct share {
  int64_t group, start, first, stride, units;
  bool wide;
};

template <int V>
static __device__ inline share share_of(const groups *s) {
  share p;
  p.units = s->runs * s->width / V;
  p.wide = s->runs * s->width > SMALL;
  p.group = p.wide ? blockIdx.x : (int64_t)blockIdx.x * WARPS + threadIdx.y;
  p.start = p.group / s->per_sample * s->sample + p.group % s->per_sample * s->width;
  p.first = p.wide ? threadIdx.y * 32 + threadIdx.x : threadIdx.x;
  p.stride = p.wide ? 32 * WARPS : 32;
  return p;
}

/* The position of a unit in the tensor. */
template <int V>
static __device__ inline int64_t position(const groups *s, const share *p, int64_t unit) {
  const int64_t per_run = s->width / V;
  return p->start + unit / per_run * s->step + unit % per_run * V;
}

template <class T, int V>
__global__ void norm_kernel(groups s, float epsilon, const T *x, const float *gamma, const float *beta, T *y,
                            float *saved) {
  __shared__ float shared[WARPS];
  const share p = share_of<V>(&s);
  if (p.group >= s.count) return; /* a whole warp */
  const float count = (float)(s.runs * s.width);
  float sum = 0, squares = 0, v[V];
  for (int64_t u = p.first; u < p.units; u += p.stride) {
    load<V>(x + position<V>(&s, &p, u), v);
    for (int j = 0; j < V; j++) sum += v[j];
  }
  const float mean = group_sum(sum, p.wide, shared) / count;
  for (int64_t u = p.first; u < p.units; u += p.stride) {
    load<V>(x + position<V>(&s, &p, u), v);
    for (int j = 0; j < V; j++) squares += (v[j] - mean) * (v[j] - mean);
  }
  const float reciprocal = 1 / sqrtf(group_sum(squares, p.wide, shared) / count + epsilon);
  if (saved && p.first == 0) saved[2 * p.group] = mean, saved[2 * p.group + 1] = reciprocal;
  for (int64_t u = p.first; u < p.units; u += p.stride) {
    const int64_t at = position<V>(&s, &p, u), channel = at % s.step;
    load<V>(x + at, v);
    for (int j = 0; j < V; j++)
      v[j] = (v[j] - mean) * reciprocal * (gamma ? gamma[channel + j] : 1) + (beta ? beta[channel + j] : 0);
    store<V>(y + at, v);
  }
}

/* dx = r (g - mean(g) - h mean(g h)), where h = (x - mean) r and g = dy * gamma. */
template <class T, int V>
__global__ void norm_backward_kernel(groups s, const T *x, const float *gamma, const float *saved, const T *dy, T *dx,
                                     bool add) {
  __shared__ float shared[WARPS];
  const share p = share_of<V>(&s);
  if (p.group >= s.count) return;
  const float count = (float)(s.runs * s.width), mean = saved[2 * p.group], reciprocal = saved[2 * p.group + 1];
  float plain = 0, scaled = 0, v[V], g[V];
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t u = p.first; u < p.units; u += p.stride) {
      const int64_t at = position<V>(&s, &p, u), channel = at % s.step;
      load<V>(x + at, v);
      load<V>(dy + at, g);
      for (int j = 0; j < V; j++) {
        if (gamma) g[j] *= gamma[channel + j];
        const float h = (v[j] - mean) * reciprocal;
        if (pass == 0) plain += g[j], scaled += g[j] * h;
        else g[j] = reciprocal * (g[j] - plain - h * scaled);
      }
      if (pass == 1) put<V>(dx + at, g, add);
    }
    if (pass == 1) return;
    plain = group_sum(plain, p.wide, shared) / count;
    scaled = group_sum(scaled, p.wide, shared) / count;
  }
}

/* Sums of dy h and of dy over a part of the rows, for each channel. scaled: NULL if gamma's gradient is not wanted. */
template <class T, int V>
__global__ void norm_weights_kernel(groups s, int64_t part, const T *x, const float *saved, const T *dy, float *scaled,
                                    float *plain) {
  __shared__ float shared[LUR_THREADS * V];
  const int64_t channel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V, first = blockIdx.y * part,
                end = first + part < s.rows ? first + part : s.rows;
  float sum[V] = {}, product[V] = {}, v[V], g[V];
  for (int64_t r = first + threadIdx.y; r < end && channel < s.step; r += blockDim.y) {
    const int64_t group = r / s.runs * s.per_sample + channel / s.width;
    load<V>(dy + r * s.step + channel, g);
    if (scaled) load<V>(x + r * s.step + channel, v);
    for (int j = 0; j < V; j++) {
      sum[j] += g[j];
      if (scaled) product[j] += g[j] * (v[j] - saved[2 * group]) * saved[2 * group + 1];
    }
  }
  sum_down<V>(sum, shared);
  if (scaled) sum_down<V>(product, shared);
  if (threadIdx.y != 0 || channel >= s.step) return;
  store<V>(plain + blockIdx.y * s.step + channel, sum);
  if (scaled) store<V>(scaled + blockIdx.y * s.step + channel, product);
}

static unsigned blocks_of(const groups *s) {
  return (unsigned)(s->runs * s->width > SMALL ? s->count : divide_up(s->count, WARPS));
}

template <class T, int V>
static lur_status run_forward(lur_op *op, const lur_args *args) {
  const lur_layernorm_desc *u = &op->desc.u.layernorm;
  cudaStream_t stream = lur_cuda_enter(op->device);
  const groups s = groups_of(&op->desc);
  LUR_LAUNCH((norm_kernel<T, V>), blocks_of(&s), dim3(32, WARPS), stream, s, (float)u->epsilon,
             static_cast<const T *>(args->x[0]), static_cast<const float *>(u->has_gamma ? args->w[0] : NULL),
             static_cast<const float *>(u->has_beta ? args->w[1] : NULL), static_cast<T *>(args->y),
             static_cast<float *>(op->saved_bytes ? args->saved : NULL));
  return lur_cuda_launched(op->device);
}

template <class T, int V>
static lur_status run_weights(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  const groups s = groups_of(&op->desc);
  const lur_tiling t = tiling_of(op, &s);
  float *plain = static_cast<float *>(args->scratch),
        *scaled = op->desc.want_dw & 1u ? plain + (int64_t)t.grid.y * s.step : NULL;
  LUR_LAUNCH((norm_weights_kernel<T, V>), t.grid, t.block, stream, s, t.part, static_cast<const T *>(args->x[0]),
             static_cast<const float *>(args->saved), static_cast<const T *>(args->dy), scaled, plain);
  LUR_TRY(lur_cuda_launched(op->device));
  if (scaled)
    LUR_TRY(lur_cuda_add_parts(op->device, scaled, t.grid.y, s.step, static_cast<float *>(args->dw[0]), true));
  if (!(op->desc.want_dw & 2u)) return LUR_OK;
  return lur_cuda_add_parts(op->device, plain, t.grid.y, s.step, static_cast<float *>(args->dw[1]), true);
}

template <class T, int V>
static lur_status run_backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  cudaStream_t stream = lur_cuda_enter(op->device);
  const groups s = groups_of(d);
  if (d->want_dw) LUR_TRY((run_weights<T, V>(op, args))); /* first: dx may be the same memory as dy */
  if (!(d->want_dx & 1u)) return LUR_OK;
  LUR_LAUNCH((norm_backward_kernel<T, V>), blocks_of(&s), dim3(32, WARPS), stream, s,
             static_cast<const T *>(args->x[0]),
             static_cast<const float *>(d->u.layernorm.has_gamma ? args->w[0] : NULL),
             static_cast<const float *>(args->saved), static_cast<const T *>(args->dy), static_cast<T *>(args->dx[0]),
             (args->dx_add & 1u) != 0);
  return lur_cuda_launched(op->device);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const bool even = groups_of(&op->desc).width % 4 == 0;
  LUR_WITH_TYPE(op->desc.y.dtype, return even ? run_forward<T, 4>(op, args) : run_forward<T, 1>(op, args));
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const bool even = groups_of(&op->desc).width % 4 == 0;
  LUR_WITH_TYPE(op->desc.y.dtype, return even ? run_backward<T, 4>(op, args) : run_backward<T, 1>(op, args));
  return LUR_OK;
}

const lur_kernel lur_cuda_layernorm = {plan, forward, backward, NULL};
const lur_kernel lur_cuda_groupnorm = {plan, forward, backward, NULL};
