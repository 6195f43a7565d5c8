/* update.cu - one launch updates or averages up to PARAMETERS parameters; the sum of squares for clipping by the norm.
 *
 * Formulas: kernels/ref/update.c, in float. The parameters' addresses are kernel arguments: nothing is copied or kept.
 * Values that change from step to step are read from device memory if the caller keeps them there, so that a captured
 * launch can be replayed; the sum of squares is never copied to the host. A new rule: a case in step_element. */
#include "kernel.cuh"

#include <string.h>

enum { PARAMETERS = 48, CHUNK = 8192 }; /* CHUNK: elements per block. Kernel arguments must be below 4096 bytes */

struct parameter_list {
  lur_parameter parameter[PARAMETERS];
  int first[PARAMETERS + 1]; /* the first block of parameter k */
  int n;
};

/* Lists parameters from `from` on, as many as fit, and returns the next one. */
static int list_parameters(const lur_parameter *parameters, int from, int n, int64_t most_blocks,
                           parameter_list *list) {
  int64_t blocks = 0;
  list->n = 0;
  while (from < n && list->n < PARAMETERS) {
    int64_t more = divide_up(parameters[from].count, CHUNK);
    if (list->n > 0 && blocks + more > most_blocks) break;
    list->parameter[list->n] = parameters[from++];
    list->first[list->n++] = (int)blocks;
    blocks += more;
  }
  list->first[list->n] = (int)blocks;
  return from;
}

static __device__ inline int parameter_of(const parameter_list *list, int block) {
  int k = 0;
  while (k + 1 < list->n && list->first[k + 1] <= block) k++;
  return k;
}

/* The constants of the update as floats; differences are computed in double first. */
struct rates {
  lur_update_rule rule;
  bool nesterov;
  float momentum, beta1, rest1, beta2, rest2, epsilon, clip;
};

static rates rates_of(const lur_update *u) {
  return {u->rule, u->nesterov, (float)u->momentum, (float)u->beta1, (float)(1 - u->beta1), (float)u->beta2,
          (float)(1 - u->beta2), (float)u->epsilon, u->clip_value};
}

/* The values that change from step to step: `host`, or those at `device` if it is not NULL; and how the sum of squares
   is used. */
struct source {
  lur_step_parameters host;
  const lur_step_parameters *device;
  const double *squares;
  double clip_norm;
  bool skip_overflow;
};

static source source_of(const lur_update *u) {
  return {{0, 0, u->lr, u->decay_lr, u->m_scale, u->g_scale, u->v_scale, (double)u->gradient_scale},
          u->step_parameters, u->squares, u->clip_norm, u->skip_overflow};
}

struct step_values {
  float lr, decay_lr, m_scale, g_scale, v_scale, gradient_scale;
  bool skip;
};

static __device__ step_values step_values_of(const source *from) {
  const lur_step_parameters m = from->device ? *from->device : from->host;
  double squares = from->squares ? *from->squares : 0;
  return {(float)m.lr, (float)m.decay_lr, (float)m.m_scale, (float)m.g_scale, (float)m.v_scale,
          lur_update_scale(m.gradient_scale, from->squares ? from->clip_norm : 0, squares),
          from->skip_overflow && !isfinite(squares)};
}

static __device__ inline void step_element(const rates *u, const step_values *now, const lur_parameter *s, int64_t i) {
  float a = now->lr * s->lr_scale, p = s->p[i], g = s->g[i] * now->gradient_scale;
  if (u->clip > 0) g = g > u->clip ? u->clip : g < -u->clip ? -u->clip : g;
  if (u->rule != LUR_ADAMW) g = fmaf(s->weight_decay, p, g);
  if (u->rule == LUR_SGD) {
    float v = (s->m ? u->momentum * s->m[i] : 0) - a * g;
    if (s->m) s->m[i] = v;
    s->p[i] = p + (s->m && u->nesterov ? u->momentum * v - a * g : v);
    return;
  }
  float m = u->beta1 * s->m[i] + u->rest1 * g, v = u->beta2 * s->v[i] + u->rest2 * g * g, step = m, root = v;
  if (u->rule == LUR_ADAMW) p -= now->decay_lr * s->lr_scale * s->weight_decay * p;
  if (u->rule == LUR_NADAM) {
    step = now->g_scale * g + now->m_scale * m;
    root = v * now->v_scale;
  }
  s->m[i] = m;
  s->v[i] = v;
  s->p[i] = p - a * step / (sqrtf(root) + u->epsilon);
}

static __global__ void update_kernel(const LUR_IN_PLACE rates u, const LUR_IN_PLACE source from,
                                     const LUR_IN_PLACE parameter_list list) {
  __shared__ step_values now; /* arithmetic in double is slow: one thread does it */
  if (threadIdx.x == 0) now = step_values_of(&from);
  __syncthreads();
  if (now.skip) return;
  int k = parameter_of(&list, (int)blockIdx.x);
  const lur_parameter *s = &list.parameter[k];
  int64_t first = (int64_t)((int)blockIdx.x - list.first[k]) * CHUNK,
          end = first + CHUNK < s->count ? first + CHUNK : s->count;
  for (int64_t i = first + threadIdx.x; i < end; i += blockDim.x) step_element(&u, &now, s, i);
}

lur_status lur_cuda_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n) {
  unsigned rule; /* checked as a number: C++ may assume that an enum has one of its values */
  memcpy(&rule, &update->rule, sizeof rule);
  if (rule >= LUR_UPDATE_RULE_COUNT) return lur_fail(LUR_EARG, "%s: unknown update rule %d", device->name, (int)rule);
  cudaStream_t stream = lur_cuda_enter(device);
  parameter_list list;
  for (int from = 0; from < n;) {
    from = list_parameters(parameters, from, n, INT32_MAX / 2, &list);
    if (list.first[list.n] == 0) continue;
    LUR_LAUNCH(update_kernel, (unsigned)list.first[list.n], LUR_THREADS, stream, rates_of(update), source_of(update),
               list);
    LUR_TRY(lur_cuda_launched(device));
  }
  return LUR_OK;
}

/* ---- moving averages ---- */

static __global__ void lerp_kernel(const LUR_IN_PLACE parameter_list list, float share) {
  int k = parameter_of(&list, (int)blockIdx.x);
  const lur_parameter *s = &list.parameter[k];
  int64_t first = (int64_t)((int)blockIdx.x - list.first[k]) * CHUNK,
          end = first + CHUNK < s->count ? first + CHUNK : s->count;
  for (int64_t i = first + threadIdx.x; i < end; i += blockDim.x)
    s->p[i] = share == 1 ? s->g[i] : fmaf(share, s->g[i] - s->p[i], s->p[i]);
}

lur_status lur_cuda_lerp(lur_device *device, const lur_parameter *parameters, int n, double share) {
  cudaStream_t stream = lur_cuda_enter(device);
  parameter_list list;
  for (int from = 0; from < n;) {
    from = list_parameters(parameters, from, n, INT32_MAX / 2, &list);
    if (list.first[list.n] == 0) continue;
    LUR_LAUNCH(lerp_kernel, (unsigned)list.first[list.n], LUR_THREADS, stream, list, (float)share);
    LUR_TRY(lur_cuda_launched(device));
  }
  return LUR_OK;
}

/* ---- sum of squares ---- */

static __device__ inline double block_sum(double v, double *shared) {
  shared[threadIdx.x] = v;
  for (unsigned half = LUR_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  return shared[threadIdx.x]; /* the total in thread 0, which wrote it */
}

/* Each block sums every gridDim.x-th chunk of the list. */
static __global__ void squares_kernel(const LUR_IN_PLACE parameter_list list, double *partials) {
  __shared__ double shared[LUR_THREADS];
  double sum = 0;
  for (int block = (int)blockIdx.x; block < list.first[list.n]; block += (int)gridDim.x) {
    int k = parameter_of(&list, block);
    const lur_parameter *s = &list.parameter[k];
    int64_t first = (int64_t)(block - list.first[k]) * CHUNK, end = first + CHUNK < s->count ? first + CHUNK : s->count;
    for (int64_t i = first + threadIdx.x; i < end; i += LUR_THREADS) sum += (double)s->g[i] * (double)s->g[i];
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

/* *total += the sum of partials. */
static __global__ void total_kernel(const double *partials, int n, double *total) {
  __shared__ double shared[LUR_THREADS];
  double sum = 0;
  for (int i = (int)threadIdx.x; i < n; i += LUR_THREADS) sum += partials[i];
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) *total += sum;
}

lur_status lur_cuda_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum) {
  cudaStream_t stream = lur_cuda_enter(device);
  double *partials = lur_cuda_partials(device);
  LUR_TRY(lur_cuda_check(device, cudaMemsetAsync(sum, 0, sizeof *sum, stream), "cudaMemsetAsync"));
  parameter_list list;
  for (int from = 0; from < n;) {
    from = list_parameters(parameters, from, n, INT32_MAX / 2, &list);
    int blocks = (int)lur_cuda_min(list.first[list.n], LUR_CUDA_PARTIALS);
    if (blocks == 0) continue;
    LUR_LAUNCH(squares_kernel, (unsigned)blocks, LUR_THREADS, stream, list, partials);
    LUR_TRY(lur_cuda_launched(device));
    LUR_LAUNCH(total_kernel, 1, LUR_THREADS, stream, partials, blocks, sum);
    LUR_TRY(lur_cuda_launched(device));
  }
  return LUR_OK;
}
