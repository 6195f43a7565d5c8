/* matmul.h - a matmul op as calls of a GEMM, for the backends that have one: which dimensions of the batch are merged,
 * where the matrices of each call begin, and the three products (y, the gradient of a, the gradient of b).
 *
 * A call multiplies `inner` pairs of matrices that follow each other in memory. Where an operand is repeated, its
 * gradient is summed by calls that add, in the order of the items. */
#ifndef LUR_MATMUL_H
#define LUR_MATMUL_H

#include "op_desc.h"

enum { LUR_MATMUL_A = 0, LUR_MATMUL_B, LUR_MATMUL_Y, LUR_MATMUL_OPERANDS };

typedef struct lur_matmul {
  int64_t m, n, k;
  int64_t inner, items;                  /* pairs of one call; calls */
  int64_t size[LUR_MATMUL_OPERANDS];     /* elements of one matrix */
  int nouter;                            /* dimensions of the items, the innermost first */
  int64_t extent[LUR_MAX_DIMS], stride[LUR_MATMUL_OPERANDS][LUR_MAX_DIMS]; /* stride 0: repeated */
} lur_matmul;

/* One of the three products: result[m n] = first[m k] * second[k n], each batched; a transposed factor is stored as
   [k m] or [n k]. */
typedef struct lur_matmul_product {
  int64_t m, n, k;
  int first, second, result;
  bool first_transposed, second_transposed;
} lur_matmul_product;

static inline lur_matmul lur_matmul_of(const lur_op_desc *d) {
  const lur_shape *y = &d->y.shape, *x[2] = {&d->x[0].shape, &d->x[1].shape};
  lur_matmul p = {.m = y->dim[y->ndim - 2], .n = y->dim[y->ndim - 1], .inner = 1, .items = 1};
  p.k = x[0]->dim[y->ndim - (d->u.matmul.transpose_a ? 2 : 1)];
  int64_t step[LUR_MATMUL_OPERANDS] = {p.m * p.k, p.k * p.n, p.m * p.n};
  bool only_b_repeated = true;
  for (int o = 0; o < LUR_MATMUL_OPERANDS; o++) p.size[o] = step[o];
  for (int i = y->ndim - 3; i >= 0; i--) {
    if (y->dim[i] == 1) continue;
    const bool repeated[2] = {x[0]->dim[i] == 1, x[1]->dim[i] == 1};
    const int last = p.nouter - 1;
    only_b_repeated = only_b_repeated && repeated[1] && !repeated[0];
    if (last >= 0 && (p.stride[0][last] == 0) == repeated[0] && (p.stride[1][last] == 0) == repeated[1]) {
      p.extent[last] *= y->dim[i];
    } else {
      for (int o = 0; o < LUR_MATMUL_OPERANDS; o++) p.stride[o][p.nouter] = o < 2 && repeated[o] ? 0 : step[o];
      p.extent[p.nouter++] = y->dim[i];
    }
    for (int o = 0; o < LUR_MATMUL_OPERANDS; o++)
      if (o == LUR_MATMUL_Y || !repeated[o]) step[o] *= y->dim[i];
  }
  if (p.nouter > 0 && only_b_repeated && !d->u.matmul.transpose_a) { /* all rows of a times one b */
    p.m *= p.extent[0];
    p.size[LUR_MATMUL_A] *= p.extent[0];
    p.size[LUR_MATMUL_Y] *= p.extent[0];
    p.nouter = 0;
  } else if (p.nouter > 0 && p.stride[0][0] && p.stride[1][0]) {
    p.inner = p.extent[0];
    p.nouter--;
    for (int i = 0; i < p.nouter; i++) {
      p.extent[i] = p.extent[i + 1];
      for (int o = 0; o < LUR_MATMUL_OPERANDS; o++) p.stride[o][i] = p.stride[o][i + 1];
    }
  }
  for (int i = 0; i < p.nouter; i++) p.items *= p.extent[i];
  return p;
}

/* Where operand o of a call begins. *first: whether it is the first call with this part of o. */
static inline int64_t lur_matmul_at(const lur_matmul *p, int o, int64_t item, bool *first) {
  int64_t at = 0;
  *first = true;
  for (int i = 0; i < p->nouter; i++) {
    const int64_t k = item % p->extent[i];
    item /= p->extent[i];
    at += k * p->stride[o][i];
    if (k > 0 && p->stride[o][i] == 0) *first = false;
  }
  return at;
}

/* Whether several calls add to one part of o. */
static inline bool lur_matmul_sums(const lur_matmul *p, int o) {
  for (int i = 0; i < p->nouter; i++)
    if (p->stride[o][i] == 0) return true;
  return false;
}

/* The product that gives y, or the gradient of a or of b. */
static inline lur_matmul_product lur_matmul_product_of(const lur_op_desc *d, const lur_matmul *p, int result) {
  const bool ta = d->u.matmul.transpose_a, tb = d->u.matmul.transpose_b;
  enum { A = LUR_MATMUL_A, B = LUR_MATMUL_B, Y = LUR_MATMUL_Y };
  if (result == Y) return (lur_matmul_product){p->m, p->n, p->k, A, B, Y, ta, tb};
  if (result == A)
    return ta ? (lur_matmul_product){p->k, p->m, p->n, B, Y, A, tb, true}
              : (lur_matmul_product){p->m, p->k, p->n, Y, B, A, false, !tb};
  return tb ? (lur_matmul_product){p->n, p->k, p->m, Y, A, B, true, ta}
            : (lur_matmul_product){p->k, p->n, p->m, A, Y, B, !ta, false};
}

#endif
