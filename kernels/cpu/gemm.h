/* product.h - our own matrix products (loops/gemm.h) over all threads: 1x1 convolutions and their gradients.
 * Only where the processor has a table of them; see lur_dnn_product and lur_dnn_matmul for the rest. */
#ifndef LUR_CPU_PRODUCT_H
#define LUR_CPU_PRODUCT_H

#include "kernels/cpu/loops/gemm.h"

/* Weights [k n], or with `across` [n k], that are packed before a product: to memory of their own, anew only when their
   version differs, or each time to scratch. */
typedef struct lur_cpu_weights {
  int64_t k, n;
  bool across;
  void *kept; /* NULL: to scratch */
  uint64_t version;
} lur_cpu_weights;

size_t lur_cpu_weights_bytes(const lur_products *products, const lur_cpu_weights *weights); /* of scratch, or kept */
lur_status lur_cpu_weights_keep(const lur_products *products, lur_cpu_weights *weights);
void lur_cpu_weights_release(lur_cpu_weights *weights);
/* The packed weights; version 0: not known, so they may have changed. */
const void *lur_cpu_weights_pack(const lur_products *products, lur_cpu_weights *weights, const float *values,
                                 uint64_t version, void *scratch);

/* y[rows n] = a[rows k] * b + bias [+ residual] [, ReLU]; residual may be y. Every element is summed by one thread in
   one order. parts: at most so many threads share it, each with its own part of scratch. */
size_t lur_cpu_product_scratch(const lur_products *products, int64_t k, int parts);
void lur_cpu_product(const lur_products *products, const lur_product *product, const float *a, int64_t rows,
                     const float *residual, float *y, int parts, void *scratch);

/* dw[ci co] += x[pixels ci] transposed times dy[pixels co]; the order of its sums hangs on the pixels alone. */
size_t lur_cpu_gradient_scratch(const lur_products *products, int64_t pixels, int64_t ci, int64_t co);
void lur_cpu_gradient(const lur_products *products, const float *x, const float *dy, int64_t pixels, int64_t ci,
                      int64_t co, void *scratch, float *dw);

#endif
