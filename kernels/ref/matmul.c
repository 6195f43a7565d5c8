/* matmul.c - y[.., i, j] = sum over l of a[.., i, l] * b[.., l, j]; a dimension of extent 1 before the last two is
 * repeated, and its gradient is the sum over the repetitions. */
#include "ref.h"

/* One matrix of an operand: element (i, l) is at base + i * row + l * column. */
typedef struct matrices {
  int64_t row, column, strides[LUR_MAX_DIMS]; /* strides: 0 where the dimension is repeated */
} matrices;

typedef struct sizes {
  int nbatch;
  int64_t extent[LUR_MAX_DIMS], batches, m, n, k;
  matrices a, b;
} sizes;

static matrices matrices_of(const lur_shape *s, bool transposed) {
  matrices v = {.row = s->dim[s->ndim - 1], .column = 1};
  int64_t stride = s->dim[s->ndim - 1] * s->dim[s->ndim - 2];
  if (transposed) v.row = 1, v.column = s->dim[s->ndim - 1];
  for (int i = s->ndim - 3; i >= 0; i--) {
    v.strides[i] = s->dim[i] == 1 ? 0 : stride;
    stride *= s->dim[i];
  }
  return v;
}

static sizes sizes_of(const lur_op_desc *d) {
  const lur_shape *y = &d->y.shape, *a = &d->x[0].shape;
  sizes s = {.nbatch = y->ndim - 2, .batches = 1, .m = y->dim[y->ndim - 2], .n = y->dim[y->ndim - 1]};
  s.k = a->dim[a->ndim - (d->u.matmul.transpose_a ? 2 : 1)];
  for (int i = 0; i < s.nbatch; i++) {
    s.extent[i] = y->dim[i];
    s.batches *= y->dim[i];
  }
  s.a = matrices_of(a, d->u.matmul.transpose_a);
  s.b = matrices_of(&d->x[1].shape, d->u.matmul.transpose_b);
  return s;
}

/* Where the operand's matrix of batch item `item` begins. */
static int64_t base_of(const sizes *s, const matrices *v, int64_t item) {
  int64_t base = 0;
  for (int i = s->nbatch - 1; i >= 0; i--) {
    base += item % s->extent[i] * v->strides[i];
    item /= s->extent[i];
  }
  return base;
}

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  op->backward_x = (op->desc.want_dx & 1u ? 2u : 0) | (op->desc.want_dx & 2u ? 1u : 0);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const sizes s = sizes_of(&op->desc);
  const float *a = args->x[0], *b = args->x[1];
  float *y = args->y;
#pragma omp parallel for
  for (int64_t row = 0; row < s.batches * s.m; row++) {
    const float *pa = a + base_of(&s, &s.a, row / s.m) + row % s.m * s.a.row, *pb = b + base_of(&s, &s.b, row / s.m);
    for (int64_t j = 0; j < s.n; j++) {
      double sum = 0;
      for (int64_t l = 0; l < s.k; l++)
        sum += (double)pa[l * s.a.column] * (double)pb[l * s.b.row + j * s.b.column];
      y[row * s.n + j] = (float)sum;
    }
  }
  return LUR_OK;
}

/* da[.., i, l] = sum over j, and over the repetitions of a, of dy[.., i, j] * b[.., l, j]. */
static void backward_a(const sizes *s, const lur_shape *shape, const float *b, const float *dy, float *da, bool add) {
  const int64_t each = s->m * s->k, count = lur_shape_count(shape) / each;
#pragma omp parallel for
  for (int64_t at = 0; at < count * each; at++) {
    const int64_t base = at / each * each, i = at % each / s->k, l = at % s->k;
    double sum = 0;
    for (int64_t item = 0; item < s->batches; item++) {
      if (base_of(s, &s->a, item) != base) continue;
      const float *pb = b + base_of(s, &s->b, item) + l * s->b.row, *pdy = dy + (item * s->m + i) * s->n;
      for (int64_t j = 0; j < s->n; j++) sum += (double)pdy[j] * (double)pb[j * s->b.column];
    }
    ref_put(da, base + i * s->a.row + l * s->a.column, sum, add);
  }
}

/* db[.., l, j] = sum over i, and over the repetitions of b, of a[.., i, l] * dy[.., i, j]. */
static void backward_b(const sizes *s, const lur_shape *shape, const float *a, const float *dy, float *db, bool add) {
  const int64_t each = s->k * s->n, count = lur_shape_count(shape) / each;
#pragma omp parallel for
  for (int64_t at = 0; at < count * each; at++) {
    const int64_t base = at / each * each, l = at % each / s->n, j = at % s->n;
    double sum = 0;
    for (int64_t item = 0; item < s->batches; item++) {
      if (base_of(s, &s->b, item) != base) continue;
      const float *pa = a + base_of(s, &s->a, item) + l * s->a.column, *pdy = dy + item * s->m * s->n + j;
      for (int64_t i = 0; i < s->m; i++) sum += (double)pa[i * s->a.row] * (double)pdy[i * s->n];
    }
    ref_put(db, base + l * s->b.row + j * s->b.column, sum, add);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const sizes s = sizes_of(d);
  if (d->want_dx & 1u) backward_a(&s, &d->x[0].shape, args->x[1], args->dy, args->dx[0], args->dx_add & 1u);
  if (d->want_dx & 2u) backward_b(&s, &d->x[1].shape, args->x[0], args->dy, args->dx[1], args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_ref_matmul = {plan, forward, backward, NULL};
