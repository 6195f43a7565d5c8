/* products.h - matrix products on one thread, one table a way of computing them: 1x1 convolutions and their gradients.
 *
 * gemm_avx512.c multiplies f32 in registers; gemm_amx.c multiplies bfloat16 tiles, six times for one product of
 * f32. A table packs operands as it likes; who calls it provides the memory. Narrower instruction sets have none:
 * oneDNN, whose generated code has their registers full, serves there. A new way: a file with a table, and a case in
 * the pick. */
#ifndef LUR_CPU_PRODUCTS_H
#define LUR_CPU_PRODUCTS_H

#include "kernels/base.h"

/* y = a * b + bias [+ residual] [, ReLU]: rows of k by k x n. */
typedef struct lur_product {
  int64_t k, n;
  const void *packed; /* b, as `pack` makes it */
  const float *bias;  /* NULL: none */
  bool relu;
  const float *next; /* next_floats that are read after the product, and fetched meanwhile */
  int64_t next_floats;
} lur_product;

/* Rows begin..end of dw[rows n] += x[k rows] transposed times dy[k n]; begin is a multiple of tile_rows. */
typedef struct lur_gradient {
  int64_t k, n, begin, end;
  const void *tiles, *packed; /* x and dy, as `pack_tiles` and `pack` make them */
} lur_gradient;

typedef struct lur_products {
  const char *name;
  int tile_rows, panel; /* threads share rows out by tiles, columns by panels */
  /* From these sizes it is faster than oneDNN's: channels summed over; pixels, where weights are packed each time; and
     channels in and out of a gradient. */
  int64_t summed, repaid, channels;
  int64_t joined; /* up to so many weights separable_conv2d is worth making of a depthwise and a 1x1 convolution */

  /* residual may be y. work: work_bytes of k, which hold a's rows in its own form. */
  void (*product)(const lur_product *p, const float *a, int64_t rows, const float *residual, float *y, void *work);
  void (*gradient)(const lur_gradient *g, float *dw);
  /* Columns begin..end of w[k n], or of w[n k] across; begin is a multiple of panel. packed is of them all. */
  void (*pack)(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed);
  void (*pack_across)(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed);
  /* Columns begin..end of x[k width]; begin is a multiple of tile_rows. tiles is of them all. */
  void (*pack_tiles)(const float *x, int64_t k, int64_t width, int64_t begin, int64_t end, void *tiles);
  size_t (*packed_bytes)(int64_t k, int64_t n);
  size_t (*tiles_bytes)(int64_t k, int64_t width);
  size_t (*work_bytes)(int64_t k);
} lur_products;

extern const lur_products lur_products_avx512, lur_products_amx;

/* What this processor runs fastest, NULL for none; LURCHER_CPU_ISA=portable|avx2|avx512 asks for less. */
const lur_products *lur_products_pick(void);
/* Asks the system for AMX's registers, which a process has to; false where they are not to be had. */
bool lur_amx_permitted(void);

#endif
