/* warp.h - between warp.c and its vector loops in warp_avx.c; nobody else's. */
#ifndef LUR_WARP_H
#define LUR_WARP_H

#include "augment.h"
#include "engine/base/simd.h"

typedef struct lur_warp_line { /* positions of one output row */
  int32_t *at;    /* index of the upper left pixel of four; what lies beyond the last row or column has no weight */
  float *fy, *fx; /* fractions, 0..1; fy is -1 outside the image, for fill_value */
} lur_warp_line;

/* The map with 32 bits of fraction: its sums are exact, so any number of columns at a time gives the same bits.
   Coordinate = start + row * down + column * right, y and x. */
typedef struct lur_warp_fixed {
  int64_t start[2], down[2], right[2], last[2]; /* last: the image's last row and column */
} lur_warp_fixed;

#ifdef LUR_SIMD_X86
/* Pixels at given positions, from images w wide: at least 16, or 8, columns. */
void lur_warp_sample_512(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in, float *out);
void lur_warp_sample_256(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in, float *out);
/* A whole image with clamped coordinates, at least 16 columns: positions never leave the registers. */
void lur_warp_clamped_512(const lur_warp *warp, const uint8_t *pixels, int w, const lur_warp_fixed *fixed, float *out);
#endif

#endif
