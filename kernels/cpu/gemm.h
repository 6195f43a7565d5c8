/* gemm.h - the hand-written matrix products (loops/gemm.h) on all threads, for 1x1 convolutions and their gradients.
 * Only for processors that have a table of them; the others use lur_dnn_sgemm and lur_dnn_gemm. */
#ifndef LUR_CPU_GEMM_H
#define LUR_CPU_GEMM_H

#include "kernels/cpu/loops/gemm.h"

/* Weights [k n], or with `transposed` [n k], packed before they are multiplied: into their own memory and only when the
   version differs, or each time into scratch. */
typedef struct lur_cpu_weights {
  int64_t k, n;
  bool transposed;
  void *kept; /* NULL: packed into scratch */
  uint64_t version;
} lur_cpu_weights;

size_t lur_cpu_weights_bytes(const lur_gemm_loops *gemm, const lur_cpu_weights *weights); /* of scratch, or kept */
lur_status lur_cpu_weights_keep(const lur_gemm_loops *gemm, lur_cpu_weights *weights);
void lur_cpu_weights_release(lur_cpu_weights *weights);
/* The packed weights. version 0: unknown, so they are packed again. */
const void *lur_cpu_weights_pack(const lur_gemm_loops *gemm, lur_cpu_weights *weights, const float *values,
                                 uint64_t version, void *scratch);

/* y[rows n] = a[rows k] * b + bias [+ residual] [, ReLU]; residual may be y. Every element is summed by one thread in a
   fixed order. parts: the most threads that share the work, each with its own part of scratch. */
size_t lur_cpu_gemm_scratch(const lur_gemm_loops *gemm, int64_t k, int parts);
void lur_cpu_gemm(const lur_gemm_loops *gemm, const lur_gemm *args, const float *a, int64_t rows,
                     const float *residual, float *y, int parts, void *scratch);

/* dw[ci co] += x[pixels ci] transposed times dy[pixels co]. The order of the sums depends only on the pixels. */
size_t lur_cpu_gemm_gradient_scratch(const lur_gemm_loops *gemm, int64_t pixels, int64_t ci, int64_t co);
void lur_cpu_gemm_gradient(const lur_gemm_loops *gemm, const float *x, const float *dy, int64_t pixels, int64_t ci,
                      int64_t co, void *scratch, float *dw);

#endif
