/* loss.cu - categorical and binary cross entropy, mean squared error: y = sum_i weight_i * l_i / n.
 *
 * The same formulas as kernels/ref/loss.c, in double: one warp per row, then one block sums the rows. An id outside the
 * classes makes the loss and its gradient NaN; the engine rejects such a batch earlier.
 * A new loss: a case in row_loss and one in gradient_kernel. */
#include "kernel.cuh"

enum { ROWS = 4 }; /* rows (warps) per block */

struct loss_sizes {
  lur_loss_desc u;
  int64_t n, c;
};

/* One row: its predictions, and its target as numbers or (if numbers is NULL) as an id. */
template <class T>
struct loss_row {
  const T *x;
  const float *numbers;
  int64_t id;
};

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  op->backward_x = d->want_dx ? (d->nx == 3 ? 7u : 3u) : 0;
  op->forward_scratch = sizeof(double) * (size_t)(lur_shape_count(&d->x[0].shape) / lur_cuda_last(&d->x[0].shape));
  return LUR_OK;
}

static __device__ inline double clip(double p) { return p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p; }
static __device__ inline bool clipped(double p) { return p < 1e-7 || p > 1 - 1e-7; }

template <class T>
static __device__ inline double target(const loss_sizes *s, const loss_row<T> *w, int64_t i) {
  double smooth = s->u.label_smoothing;
  if (s->u.kind == LUR_CATEGORICAL_CROSSENTROPY) {
    double t = w->numbers ? (double)w->numbers[i] : i == w->id ? 1 : 0;
    return (1 - smooth) * t + smooth / (double)s->c;
  }
  return (1 - smooth) * (w->numbers ? (double)w->numbers[i] : (double)w->id) + smooth / 2;
}

template <class T>
static __device__ inline loss_row<T> row_at(const loss_sizes *s, int64_t r, const T *x, const int32_t *ids,
                                            const float *numbers) {
  return {x + r * s->c, numbers ? numbers + r * s->c : NULL, ids ? ids[r] : 0};
}

template <class T>
static __device__ inline bool wrong_id(const loss_sizes *s, const loss_row<T> *w) {
  return !w->numbers && (w->id < 0 || w->id >= (s->u.kind == LUR_CATEGORICAL_CROSSENTROPY ? s->c : 2));
}

/* log sum exp of the row, or its sum. The whole warp calls it. */
template <class T>
static __device__ inline double row_sum(const loss_sizes *s, const T *x) {
  double sum = 0, top = (double)to_float(x[0]);
  if (s->u.from_logits) {
    for (int64_t i = threadIdx.x; i < s->c; i += 32) top = fmax(top, (double)to_float(x[i]));
    top = warp_max(top);
  }
  for (int64_t i = threadIdx.x; i < s->c; i += 32)
    sum += s->u.from_logits ? exp((double)to_float(x[i]) - top) : (double)to_float(x[i]);
  sum = warp_sum(sum);
  return s->u.from_logits ? top + log(sum) : sum;
}

static __device__ inline double binary_loss(bool logits, double x, double t) {
  if (logits) return fmax(x, 0.0) - x * t + log1p(exp(-fabs(x)));
  double p = clip(x);
  return -t * log(p) - (1 - t) * log(1 - p);
}

/* The whole warp calls it, and every lane gets the result. */
template <class T>
static __device__ double row_loss(const loss_sizes *s, const loss_row<T> *w) {
  bool categorical = s->u.kind == LUR_CATEGORICAL_CROSSENTROPY, logits = s->u.from_logits;
  double sum = categorical ? row_sum(s, w->x) : 0, loss = 0;
  for (int64_t i = threadIdx.x; i < s->c; i += 32) {
    double t = target(s, w, i), x = (double)to_float(w->x[i]);
    switch (s->u.kind) {
      case LUR_CATEGORICAL_CROSSENTROPY:
        if (t != 0) loss -= t * (logits ? x - sum : log(clip(x / sum)));
        break;
      case LUR_BINARY_CROSSENTROPY: loss += binary_loss(logits, x, t); break;
      case LUR_MEAN_SQUARED_ERROR: loss += (x - t) * (x - t); break;
    }
  }
  loss = warp_sum(loss);
  return wrong_id(s, w) ? (double)NAN : categorical ? loss : loss / (double)s->c;
}

template <class T>
__global__ void rows_kernel(loss_sizes s, const T *x, const int32_t *ids, const float *numbers, const float *weights,
                            double *losses) {
  int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
  if (r >= s.n) return; /* a whole warp */
  loss_row<T> w = row_at(&s, r, x, ids, numbers);
  double loss = row_loss(&s, &w);
  if (threadIdx.x == 0) losses[r] = weights ? (double)weights[r] * loss : loss;
}

static __global__ void total_kernel(const double *losses, int64_t n, float *y) {
  __shared__ double shared[LUR_THREADS];
  double sum = 0;
  for (int64_t r = threadIdx.x; r < n; r += LUR_THREADS) sum += losses[r];
  shared[threadIdx.x] = sum;
  for (unsigned half = LUR_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *y = (float)(shared[0] / (double)n);
}

static loss_sizes sizes_of(const lur_op *op) {
  int64_t c = lur_cuda_last(&op->desc.x[0].shape);
  return {op->desc.u.loss, lur_shape_count(&op->desc.x[0].shape) / c, c};
}

static const int32_t *ids_of(const lur_op *op, const lur_args *args) {
  return op->desc.x[1].dtype == LUR_I32 ? static_cast<const int32_t *>(args->x[1]) : NULL;
}
static const float *numbers_of(const lur_op *op, const lur_args *args) {
  return op->desc.x[1].dtype == LUR_I32 ? NULL : static_cast<const float *>(args->x[1]);
}
static const float *weights_of(const lur_op *op, const lur_args *args) {
  return op->desc.nx == 3 ? static_cast<const float *>(args->x[2]) : NULL;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  loss_sizes s = sizes_of(op);
  double *losses = static_cast<double *>(args->scratch);
  LUR_WITH_TYPE(op->desc.x[0].dtype, LUR_LAUNCH(rows_kernel<T>, (unsigned)divide_up(s.n, ROWS), dim3(32, ROWS), stream,
                                                s, static_cast<const T *>(args->x[0]), ids_of(op, args),
                                                numbers_of(op, args), weights_of(op, args), losses));
  LUR_TRY(lur_cuda_launched(op->device));
  LUR_LAUNCH(total_kernel, 1, LUR_THREADS, stream, losses, s.n, static_cast<float *>(args->y));
  return lur_cuda_launched(op->device);
}

/* With q = p / sum(p): dl/dq_i = -t_i / q_i, 0 where clipped; dl/dp_j = (dl/dq_j - sum_i q_i dl/dq_i) / sum(p). */
template <class T>
static __device__ double categorical_total(const loss_sizes *s, const loss_row<T> *w, double sum) {
  double total = 0;
  for (int64_t i = threadIdx.x; i < s->c; i += 32)
    if (s->u.from_logits || !clipped((double)to_float(w->x[i]) / sum)) total += target(s, w, i);
  return warp_sum(total);
}

template <class T>
__global__ void gradient_kernel(loss_sizes s, const T *x, const int32_t *ids, const float *numbers,
                                const float *weights, const float *dy, T *dx, bool add) {
  int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
  if (r >= s.n) return; /* a whole warp */
  loss_row<T> w = row_at(&s, r, x, ids, numbers);
  bool categorical = s.u.kind == LUR_CATEGORICAL_CROSSENTROPY, logits = s.u.from_logits;
  double scale = (double)*dy * (weights ? (double)weights[r] : 1) / (double)s.n;
  if (wrong_id(&s, &w)) scale = (double)NAN;
  if (!categorical) scale /= (double)s.c;
  double sum = categorical ? row_sum(&s, w.x) : 0, total = categorical ? categorical_total(&s, &w, sum) : 0;
  for (int64_t i = threadIdx.x; i < s.c; i += 32) {
    double t = target(&s, &w, i), p = (double)to_float(w.x[i]), slope = 0;
    switch (s.u.kind) {
      case LUR_CATEGORICAL_CROSSENTROPY:
        slope = logits ? exp(p - sum) * total - t : (total - (clipped(p / sum) ? 0 : t / (p / sum))) / sum;
        break;
      case LUR_BINARY_CROSSENTROPY:
        slope = logits ? 1 / (1 + exp(-p)) - t : clipped(p) ? 0 : (p - t) / (p * (1 - p));
        break;
      case LUR_MEAN_SQUARED_ERROR: slope = 2 * (p - t); break;
    }
    float v = (float)(scale * slope);
    from_float(add ? to_float(dx[r * s.c + i]) + v : v, &dx[r * s.c + i]);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  cudaStream_t stream = lur_cuda_enter(op->device);
  loss_sizes s = sizes_of(op);
  LUR_WITH_TYPE(op->desc.x[0].dtype,
                LUR_LAUNCH(gradient_kernel<T>, (unsigned)divide_up(s.n, ROWS), dim3(32, ROWS), stream, s,
                           static_cast<const T *>(args->x[0]), ids_of(op, args), numbers_of(op, args),
                           weights_of(op, args), static_cast<const float *>(args->dy), static_cast<T *>(args->dx[0]),
                           (args->dx_add & 1u) != 0));
  return lur_cuda_launched(op->device);
}

const lur_kernel lur_cuda_loss = {plan, forward, backward, NULL};
