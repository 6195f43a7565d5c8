/* gemm.h - matrix products on one thread, for 1x1 convolutions and their gradients: one table per implementation.
 *
 * gemm_avx512.c multiplies f32 in registers; gemm_amx.c multiplies bfloat16 tiles, six of them for one f32 product.
 * Each table has its own packed format; the caller provides the memory. There is none for narrower instruction sets, on
 * which oneDNN's generated code already uses all registers. A new implementation: a file with a table, and a case in
 * lur_gemm_loops_pick. */
#ifndef LUR_CPU_LOOPS_GEMM_H
#define LUR_CPU_LOOPS_GEMM_H

#include "kernels/base.h"

/* y = a * b + bias [+ residual] [, ReLU]: a has rows of k, b is k x n. */
typedef struct lur_gemm {
  int64_t k, n;
  const void *packed; /* b, packed by `pack` */
  const float *bias;  /* NULL: none */
  bool relu;
  const float *next; /* next_floats that the caller reads afterwards, prefetched meanwhile */
  int64_t next_floats;
} lur_gemm;

/* Rows begin..end of dw[rows n] += x[k rows] transposed times dy[k n]; begin is a multiple of tile_rows. */
typedef struct lur_gemm_gradient {
  int64_t k, n, begin, end;
  const void *tiles, *packed; /* x packed by `pack_tiles`, dy by `pack` */
} lur_gemm_gradient;

typedef struct lur_gemm_loops {
  const char *name;
  int tile_rows, panel; /* threads divide rows at multiples of tile_rows, columns at multiples of panel */
  /* The least sizes at which it is faster than oneDNN: k; pixels, if weights are packed each time; and channels in and
     out of a gradient. */
  int64_t min_depth, min_pixels, min_channels;
  int64_t max_fused; /* the most weights of a 1x1 convolution for which separable_conv2d is faster than two ops */

  /* residual may be y. work: work_bytes(k), for rows of a in packed form. */
  void (*gemm)(const lur_gemm *p, const float *a, int64_t rows, const float *residual, float *y, void *work);
  void (*gradient)(const lur_gemm_gradient *g, float *dw);
  /* Packs columns begin..end of w[k n], or of w[n k] transposed; begin is a multiple of panel. packed: for all columns.
   */
  void (*pack)(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed);
  void (*pack_transposed)(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed);
  /* Packs columns begin..end of x[k width]; begin is a multiple of tile_rows. tiles: for all columns. */
  void (*pack_tiles)(const float *x, int64_t k, int64_t width, int64_t begin, int64_t end, void *tiles);
  size_t (*packed_bytes)(int64_t k, int64_t n);
  size_t (*tiles_bytes)(int64_t k, int64_t width);
  size_t (*work_bytes)(int64_t k);
} lur_gemm_loops;

extern const lur_gemm_loops lur_gemm_loops_avx512, lur_gemm_loops_amx;

/* The fastest table for this processor, NULL if there is none; LURCHER_CPU_ISA=portable|avx2|avx512 excludes the faster
   ones. */
const lur_gemm_loops *lur_gemm_loops_pick(void);
/* Requests the AMX registers from Linux, as a process must before it uses them; false if they are not available. */
bool lur_amx_permitted(void);

#endif
