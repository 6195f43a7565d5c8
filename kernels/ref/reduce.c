/* reduce.c - sum, mean, maximum, minimum over chosen dimensions. A NaN is the extremum. The gradient of an extremum
 * goes to the first element that has it, in row-major order: forward writes its position to saved. */
#include "ref.h"

/* The order in which elements are visited. A kept dimension has extent 1 in `inner`, a reduced one in `outer`. */
typedef struct walk {
  int ndim;
  int64_t outer[LUR_MAX_DIMS], inner[LUR_MAX_DIMS], stride[LUR_MAX_DIMS];
  int64_t many; /* elements per output */
} walk;

static walk walk_of(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape;
  walk w = {.ndim = x->ndim, .many = 1};
  int64_t stride = 1;
  for (int i = x->ndim - 1; i >= 0; i--) {
    bool reduced = d->u.reduce.axes >> i & 1u;
    w.outer[i] = reduced ? 1 : x->dim[i];
    w.inner[i] = reduced ? x->dim[i] : 1;
    w.stride[i] = stride;
    stride *= x->dim[i];
    w.many *= w.inner[i];
  }
  return w;
}

/* The position in x of element `at` of the row-major grid `extent`. */
static int64_t position(const walk *w, const int64_t *extent, int64_t at) {
  int64_t p = 0;
  for (int i = w->ndim - 1; i >= 0; i--) {
    p += at % extent[i] * w->stride[i];
    at /= extent[i];
  }
  return p;
}

static bool extremum(lur_reduction f) { return f == LUR_MAX || f == LUR_MIN; }

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  if (extremum(op->desc.u.reduce.function) && ref_wants(op))
    op->saved_bytes = sizeof(int64_t) * (size_t)lur_shape_count(&op->desc.y.shape);
  return LUR_OK;
}

static float fold(const walk *w, const float *x, int64_t base, lur_reduction f) {
  double sum = 0;
  for (int64_t k = 0; k < w->many; k++) sum += (double)x[base + position(w, w->inner, k)];
  return (float)(f == LUR_MEAN ? sum / (double)w->many : sum);
}

static float best(const walk *w, const float *x, int64_t base, lur_reduction f, int64_t *winner) {
  *winner = base;
  for (int64_t k = 1; k < w->many; k++) {
    int64_t at = base + position(w, w->inner, k);
    double v = (double)x[at], most = (double)x[*winner];
    if (f == LUR_MAX ? ref_beats(v, most) : ref_beats(-v, -most)) *winner = at;
  }
  return x[*winner];
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const walk w = walk_of(&op->desc);
  lur_reduction f = op->desc.u.reduce.function;
  int64_t count = lur_shape_count(&op->desc.y.shape);
  int64_t *saved = op->saved_bytes ? args->saved : NULL;
  float *y = args->y;
#pragma omp parallel for
  for (int64_t o = 0; o < count; o++) {
    int64_t base = position(&w, w.outer, o), winner = base;
    y[o] = extremum(f) ? best(&w, args->x[0], base, f, &winner) : fold(&w, args->x[0], base, f);
    if (saved) saved[o] = winner;
  }
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const walk w = walk_of(&op->desc);
  lur_reduction f = op->desc.u.reduce.function;
  int64_t count = lur_shape_count(&op->desc.y.shape);
  const int64_t *saved = op->saved_bytes ? args->saved : NULL;
  const float *dy = args->dy;
#pragma omp parallel for
  for (int64_t o = 0; o < count; o++) {
    int64_t base = position(&w, w.outer, o);
    double share = f == LUR_MEAN ? (double)dy[o] / (double)w.many : (double)dy[o];
    for (int64_t k = 0; k < w.many; k++) {
      int64_t at = base + position(&w, w.inner, k);
      ref_put(args->dx[0], at, saved && saved[o] != at ? 0 : share, args->dx_add & 1u);
    }
  }
  return LUR_OK;
}

const lur_kernel lur_ref_reduce = {plan, forward, backward, NULL};
