/* warp.h - what warp.c shares with its vector loops in warp_avx.c. */
#ifndef LUR_WARP_H
#define LUR_WARP_H

#include "augment.h"
#include "engine/base/simd.h"

typedef struct lur_warp_line { /* positions of one output row */
  int32_t *at;    /* index of the upper left of the four pixels; those past the last row or column have weight 0 */
  float *fy, *fx; /* fractions in 0..1; fy is -1 outside the image, where fill_value applies */
} lur_warp_line;

/* The affine map in fixed point with 32 fractional bits: sums are exact, so the result does not depend on how many
   columns are computed at a time. Coordinates (y, x) = start + row * down + column * right. */
typedef struct lur_warp_fixed {
  int64_t start[2], down[2], right[2], last[2]; /* last: the image's last row and column */
} lur_warp_fixed;

#ifdef LUR_SIMD_X86
/* Samples the pixels at given positions of an image w pixels wide. The output must have at least 16, or 8, columns. */
void lur_warp_sample_512(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in, float *out);
void lur_warp_sample_256(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in, float *out);
/* Resamples a whole image with clamped coordinates; positions stay in registers. At least 16 columns. */
void lur_warp_clamped_512(const lur_warp *warp, const uint8_t *pixels, int w, const lur_warp_fixed *fixed, float *out);
#endif

#endif
