/* update.cu - one launch updates or averages up to SLOTS parameters; the sum of squares for clipping by the norm.
 *
 * Formulas: kernels/ref/update.c, in float. Slots travel as kernel arguments: nothing is copied, nothing is kept. What
 * moves from step to step is read from device memory where the caller put it there, so that a recorded launch stays
 * true, and the sum of squares never travels to the host. A new rule: a case in step_element. */
#include "kernel.cuh"

#include <string.h>

enum { SLOTS = 48, CHUNK = 8192 }; /* a block's elements; arguments stay below 4096 bytes */

struct slot_list {
  lur_parameter slot[SLOTS];
  int first[SLOTS + 1]; /* block that begins slot k */
  int n;
};

/* Takes slots from `from` on, as many as fit, and gives the next one. */
static int list_slots(const lur_parameter *slots, int from, int n, int64_t most_blocks, slot_list *list) {
  int64_t blocks = 0;
  list->n = 0;
  while (from < n && list->n < SLOTS) {
    int64_t more = divide_up(slots[from].count, CHUNK);
    if (list->n > 0 && blocks + more > most_blocks) break;
    list->slot[list->n] = slots[from++];
    list->first[list->n++] = (int)blocks;
    blocks += more;
  }
  list->first[list->n] = (int)blocks;
  return from;
}

static __device__ inline int slot_of(const slot_list *list, int block) {
  int k = 0;
  while (k + 1 < list->n && list->first[k + 1] <= block) k++;
  return k;
}

/* The update's numbers as floats, the differences taken in double before. */
struct rates {
  lur_update_rule rule;
  bool nesterov;
  float momentum, beta1, rest1, beta2, rest2, epsilon, clip;
};

static rates rates_of(const lur_update *u) {
  return {u->rule, u->nesterov, (float)u->momentum, (float)u->beta1, (float)(1 - u->beta1), (float)u->beta2,
          (float)(1 - u->beta2), (float)u->epsilon, u->clip_value};
}

/* Where those come from that move: `told`, or what lies at `found`; and what is made of the sum of squares. */
struct source {
  lur_step_parameters told;
  const lur_step_parameters *found;
  const double *squares;
  double clip_norm;
  bool skip_overflow;
};

static source source_of(const lur_update *u) {
  return {{0, 0, u->lr, u->decay_lr, u->m_scale, u->g_scale, u->v_scale, (double)u->gradient_scale},
          u->moving, u->squares, u->clip_norm, u->skip_overflow};
}

struct moving {
  float lr, decay_lr, m_scale, g_scale, v_scale, gradient_scale;
  bool skip;
};

static __device__ moving moving_of(const source *from) {
  const lur_step_parameters m = from->found ? *from->found : from->told;
  double squares = from->squares ? *from->squares : 0;
  return {(float)m.lr, (float)m.decay_lr, (float)m.m_scale, (float)m.g_scale, (float)m.v_scale,
          lur_update_scale(m.gradient_scale, from->squares ? from->clip_norm : 0, squares),
          from->skip_overflow && !isfinite(squares)};
}

static __device__ inline void step_element(const rates *u, const moving *now, const lur_parameter *s, int64_t i) {
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
                                     const LUR_IN_PLACE slot_list list) {
  __shared__ moving now; /* doubles are slow: one thread looks at them */
  if (threadIdx.x == 0) now = moving_of(&from);
  __syncthreads();
  if (now.skip) return;
  int k = slot_of(&list, (int)blockIdx.x);
  const lur_parameter *s = &list.slot[k];
  int64_t first = (int64_t)((int)blockIdx.x - list.first[k]) * CHUNK,
          end = first + CHUNK < s->count ? first + CHUNK : s->count;
  for (int64_t i = first + threadIdx.x; i < end; i += blockDim.x) step_element(&u, &now, s, i);
}

lur_status lur_cuda_update(lur_device *device, const lur_update *update, const lur_parameter *slots, int n) {
  unsigned rule; /* C++ may assume that an enum holds one of its values: looked at as a number first */
  memcpy(&rule, &update->rule, sizeof rule);
  if (rule >= LUR_UPDATE_RULE_COUNT) return lur_fail(LUR_EARG, "%s: unknown update rule %d", device->name, (int)rule);
  cudaStream_t stream = lur_cuda_enter(device);
  slot_list list;
  for (int from = 0; from < n;) {
    from = list_slots(slots, from, n, INT32_MAX / 2, &list);
    if (list.first[list.n] == 0) continue;
    LUR_LAUNCH(update_kernel, (unsigned)list.first[list.n], LUR_THREADS, stream, rates_of(update), source_of(update),
               list);
    LUR_TRY(lur_cuda_launched(device));
  }
  return LUR_OK;
}

/* ---- moving averages ---- */

static __global__ void lerp_kernel(const LUR_IN_PLACE slot_list list, float share) {
  int k = slot_of(&list, (int)blockIdx.x);
  const lur_parameter *s = &list.slot[k];
  int64_t first = (int64_t)((int)blockIdx.x - list.first[k]) * CHUNK,
          end = first + CHUNK < s->count ? first + CHUNK : s->count;
  for (int64_t i = first + threadIdx.x; i < end; i += blockDim.x)
    s->p[i] = share == 1 ? s->g[i] : fmaf(share, s->g[i] - s->p[i], s->p[i]);
}

lur_status lur_cuda_lerp(lur_device *device, const lur_parameter *slots, int n, double share) {
  cudaStream_t stream = lur_cuda_enter(device);
  slot_list list;
  for (int from = 0; from < n;) {
    from = list_slots(slots, from, n, INT32_MAX / 2, &list);
    if (list.first[list.n] == 0) continue;
    LUR_LAUNCH(lerp_kernel, (unsigned)list.first[list.n], LUR_THREADS, stream, list, (float)share);
    LUR_TRY(lur_cuda_launched(device));
  }
  return LUR_OK;
}

/* ---- sum of squares ---- */

static __device__ inline double block_sum(double v, double *shared) {
  shared[threadIdx.x] = v;
  for (int half = LUR_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if ((int)threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  return shared[threadIdx.x]; /* the whole in thread 0, which wrote it */
}

/* Block b sums every gridDim.x-th chunk of the list. */
static __global__ void squares_kernel(const LUR_IN_PLACE slot_list list, double *partials) {
  __shared__ double shared[LUR_THREADS];
  double sum = 0;
  for (int block = (int)blockIdx.x; block < list.first[list.n]; block += (int)gridDim.x) {
    int k = slot_of(&list, block);
    const lur_parameter *s = &list.slot[k];
    int64_t first = (int64_t)(block - list.first[k]) * CHUNK, end = first + CHUNK < s->count ? first + CHUNK : s->count;
    for (int64_t i = first + threadIdx.x; i < end; i += LUR_THREADS) sum += (double)s->g[i] * (double)s->g[i];
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

/* *total grows by all of partials. */
static __global__ void total_kernel(const double *partials, int n, double *total) {
  __shared__ double shared[LUR_THREADS];
  double sum = 0;
  for (int i = (int)threadIdx.x; i < n; i += LUR_THREADS) sum += partials[i];
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) *total += sum;
}

lur_status lur_cuda_gradient_norm(lur_device *device, const lur_parameter *slots, int n, double *sum) {
  cudaStream_t stream = lur_cuda_enter(device);
  double *partials = lur_cuda_partials(device);
  LUR_TRY(lur_cuda_check(device, cudaMemsetAsync(sum, 0, sizeof *sum, stream), "cudaMemsetAsync"));
  slot_list list;
  for (int from = 0; from < n;) {
    from = list_slots(slots, from, n, INT32_MAX / 2, &list);
    int blocks = (int)lur_cuda_min(list.first[list.n], LUR_CUDA_PARTIALS);
    if (blocks == 0) continue;
    LUR_LAUNCH(squares_kernel, (unsigned)blocks, LUR_THREADS, stream, list, partials);
    LUR_TRY(lur_cuda_launched(device));
    LUR_LAUNCH(total_kernel, 1, LUR_THREADS, stream, partials, blocks, sum);
    LUR_TRY(lur_cuda_launched(device));
  }
  return LUR_OK;
}
