/* warp.c - one affine map, one resampling: from 8-bit RGBX straight to the normalised NHWC row of a batch.
 *
 * A row of the output is done in two steps: positions in double (SciPy's arithmetic: fill modes fold the coordinate,
 * then it is split into pixel and fraction), then pixels in float, scaled and shifted. Semantics are those of
 * scipy.ndimage.affine_transform of order 0 and 1 (SciPy 1.17). Products and sums are never fused, so that the AVX-512
 * loop, the AVX2 loop and the plain one give the same bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augment.h"
#include "simd.h"

#ifdef LUR_SIMD_X86
#include <immintrin.h>
#endif

typedef struct line { /* positions of one output row */
  int32_t *at;    /* index of the upper left pixel of four; -1: outside, fill_value */
  float *fy, *fx; /* fractions, 0..1 */
} line;

/* ---- positions ---- */

/* A coordinate folded onto 0..n-1; -1 for the outside of a constant fill. SciPy, ni_interpolation.c, map_coordinate. */
static double fold(double v, int n, lur_fill fill) {
  double last = n - 1, period;
  switch (fill) {
    case LUR_FILL_CONSTANT: return v < 0 || v > last ? -1 : v;
    case LUR_FILL_REFLECT: /* d c b a | a b c d | d c b a */
      period = 2.0 * n;
      v = v + 0.5 - period * floor((v + 0.5) / period);
      if (v > n) v = period - v;
      v -= 0.5;
      break;
    case LUR_FILL_WRAP: /* period n - 1: what scipy's "wrap" has always done */
      if (n == 1) return 0;
      if (v < 0) v += last * (floor(-v / last) + 1);
      else if (v > last) v -= last * floor(v / last);
      break;
    default: break;
  }
  return v < 0 ? 0 : v > last ? last : v;
}

typedef struct axis_line { /* coordinate = base + c * step over a row of the output */
  double base_y, step_y, base_x, step_x;
} axis_line;

static axis_line line_of(const lur_map *m, int row) {
  return (axis_line){m->b[0] + row * m->a[0][0], m->a[0][1], m->b[1] + row * m->a[1][0], m->a[1][1]};
}

/* Columns from first on whose coordinate base + c * step lies in [0, last): narrows *from .. *to (exclusive), a column
   inside what is true so that rounding cannot matter. */
static void narrow(double base, double step, double last, int *from, int *to) {
  double low = 0, high = *to;
  if (step == 0) {
    if (base < 0 || base >= last) *to = *from;
    return;
  }
  double a = -base / step, b = (last - base) / step;
  low = (a < b ? a : b) + 1;
  high = (a < b ? b : a) - 1;
  if (low > *from) *from = low > *to ? *to : (int)low + 1;
  if (high < *to) *to = high < *from ? *from : (int)high;
  if (*to < *from) *to = *from;
}

/* Clamped coordinates: the usual fill outside the picture. */
LUR_SIMD_BODY void clamp_body(const axis_line *a, int from, int to, int h, int w, line out) {
  double last_y = h - 1, last_x = w - 1;
  for (int c = from; c < to; c++) {
    double y = a->base_y + c * a->step_y, x = a->base_x + c * a->step_x;
    y = y < 0 ? 0 : y;
    y = y > last_y ? last_y : y;
    x = x < 0 ? 0 : x;
    x = x > last_x ? last_x : x;
    int iy = (int)y, ix = (int)x;
    iy = iy > h - 2 ? h - 2 : iy;
    ix = ix > w - 2 ? w - 2 : ix;
    out.at[c] = iy * w + ix;
    out.fy[c] = (float)(y - iy);
    out.fx[c] = (float)(x - ix);
  }
}

LUR_SIMD_VARIANTS(clamp_columns, (const axis_line *a, int from, int to, int h, int w, line out), clamp_body(a, from, to, h, w, out))

/* The same where nothing needs clamping. */
LUR_SIMD_BODY void inside_body(const axis_line *a, int from, int to, int w, line out) {
  for (int c = from; c < to; c++) {
    double y = a->base_y + c * a->step_y, x = a->base_x + c * a->step_x;
    int iy = (int)y, ix = (int)x;
    out.at[c] = iy * w + ix;
    out.fy[c] = (float)(y - iy);
    out.fx[c] = (float)(x - ix);
  }
}
LUR_SIMD_VARIANTS(inside_columns, (const axis_line *a, int from, int to, int w, line out), inside_body(a, from, to, w, out))

static void clamp_line(const axis_line *a, int width, int h, int w, line out) {
  int from = 0, to = width;
  narrow(a->base_y, a->step_y, h - 1, &from, &to);
  narrow(a->base_x, a->step_x, w - 1, &from, &to);
  LUR_SIMD_CALL(clamp_columns, (a, 0, from, h, w, out));
  LUR_SIMD_CALL(inside_columns, (a, from, to, w, out));
  LUR_SIMD_CALL(clamp_columns, (a, to, width, h, w, out));
}

static void fold_line(const lur_warp *warp, const axis_line *a, int h, int w, line out) {
  for (int c = 0; c < warp->width; c++) {
    double y = fold(a->base_y + c * a->step_y, h, warp->fill), x = fold(a->base_x + c * a->step_x, w, warp->fill);
    if (warp->fill == LUR_FILL_CONSTANT && (y < 0 || x < 0)) {
      out.at[c] = -1;
      out.fy[c] = out.fx[c] = 0;
      continue;
    }
    int iy = (int)y, ix = (int)x;
    iy = iy > h - 2 ? h - 2 : iy;
    ix = ix > w - 2 ? w - 2 : ix;
    out.at[c] = iy * w + ix;
    out.fy[c] = (float)(y - iy);
    out.fx[c] = (float)(x - ix);
  }
}

/* Nearest: the resized grid's index floor(coordinate + 0.5), then the picture's through the tables. */
static void nearest_line(const lur_warp *warp, const axis_line *a, int w, int32_t *at) {
  int gh = warp->grid_height, gw = warp->grid_width;
  for (int c = 0; c < warp->width; c++) {
    double y = fold(a->base_y + c * a->step_y, gh, warp->fill), x = fold(a->base_x + c * a->step_x, gw, warp->fill);
    if (warp->fill == LUR_FILL_CONSTANT && (y < 0 || x < 0)) {
      at[c] = -1;
      continue;
    }
    int iy = (int)(y + 0.5), ix = (int)(x + 0.5);
    if (iy > gh - 1) iy = gh - 1;
    if (ix > gw - 1) ix = gw - 1;
    if (warp->row_table) iy = warp->row_table[iy], ix = warp->column_table[ix];
    at[c] = iy * w + ix;
  }
}

/* ---- pixels ---- */

static float lerp(float a, float b, float f) { return a + (b - a) * f; }

static void sample_plain(const lur_warp *warp, const uint8_t *pixels, int w, line in, float *out) {
  for (int c = 0; c < warp->width; c++) {
    for (int k = 0; k < 3; k++) {
      float v = (float)warp->fill_value;
      if (in.at[c] >= 0) {
        const uint8_t *p = pixels + 4 * (size_t)in.at[c] + warp->channel[k], *q = p + 4 * (size_t)w;
        v = lerp(lerp(p[0], p[4], in.fx[c]), lerp(q[0], q[4], in.fx[c]), in.fy[c]);
      }
      out[3 * c + k] = v * warp->scale[k] + warp->shift[k];
    }
  }
}

#ifdef LUR_SIMD_X86
#define ZMM LUR_TARGET_AVX512 static inline __attribute__((always_inline))

/* 16 neighbours each: *left pixel at[i], *right pixel at[i] + 1, through eight-byte loads. */
ZMM void pairs_512(const uint8_t *pixels, __m512i at, __m512i *left, __m512i *right) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  __m512i a = _mm512_i32gather_epi64(_mm512_castsi512_si256(at), pixels, 4);
  __m512i b = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(at, 1), pixels, 4);
  *left = _mm512_permutex2var_epi32(a, even, b);
  *right = _mm512_permutex2var_epi32(a, odd, b);
}

ZMM __m512 channel_512(__m512i pixel, __m128i shift) {
  return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srl_epi32(pixel, shift), _mm512_set1_epi32(255)));
}

ZMM __m512 lerp_512(__m512 a, __m512 b, __m512 f) { return _mm512_add_ps(a, _mm512_mul_ps(_mm512_sub_ps(b, a), f)); }

/* Stores r0 g0 b0 r1 g1 b1 ... */
ZMM void store_512(float *out, __m512 r, __m512 g, __m512 b) {
  const __m512i rg0 = _mm512_setr_epi32(0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
  const __m512i rg1 = _mm512_setr_epi32(21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
  const __m512i rg2 = _mm512_setr_epi32(0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
  const __m512i b0 = _mm512_setr_epi32(0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
  const __m512i b1 = _mm512_setr_epi32(0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15);
  const __m512i b2 = _mm512_setr_epi32(26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31);
  _mm512_storeu_ps(out, _mm512_permutex2var_ps(_mm512_permutex2var_ps(r, rg0, g), b0, b));
  _mm512_storeu_ps(out + 16, _mm512_permutex2var_ps(_mm512_permutex2var_ps(r, rg1, g), b1, b));
  _mm512_storeu_ps(out + 32, _mm512_permutex2var_ps(_mm512_permutex2var_ps(r, rg2, g), b2, b));
}

/* All columns, at least 16; none outside. The last block reaches back over columns already done. */
LUR_TARGET_AVX512 static void sample_512(const lur_warp *warp, const uint8_t *pixels, int w, line in, float *out) {
  __m128i shift[3];
  __m512 scale[3], add[3];
  for (int k = 0; k < 3; k++) {
    shift[k] = _mm_cvtsi32_si128(8 * warp->channel[k]);
    scale[k] = _mm512_set1_ps(warp->scale[k]);
    add[k] = _mm512_set1_ps(warp->shift[k]);
  }
  const uint8_t *below = pixels + 4 * (size_t)w;
  for (int block = 0; block < warp->width; block += 16) {
    int c = block + 16 <= warp->width ? block : warp->width - 16;
    __m512i at = _mm512_loadu_si512(in.at + c), p, q, r, s;
    __m512 fx = _mm512_loadu_ps(in.fx + c), fy = _mm512_loadu_ps(in.fy + c), v[3];
    pairs_512(pixels, at, &p, &q);
    pairs_512(below, at, &r, &s);
    for (int k = 0; k < 3; k++) {
      __m512 top = lerp_512(channel_512(p, shift[k]), channel_512(q, shift[k]), fx);
      __m512 bottom = lerp_512(channel_512(r, shift[k]), channel_512(s, shift[k]), fx);
      v[k] = _mm512_add_ps(_mm512_mul_ps(lerp_512(top, bottom, fy), scale[k]), add[k]);
    }
    store_512(out + 3 * c, v[0], v[1], v[2]);
  }
}

#define YMM LUR_TARGET_AVX2 static inline __attribute__((always_inline))

YMM __m256 channel_256(__m256i pixel, __m128i shift) {
  return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(pixel, shift), _mm256_set1_epi32(255)));
}

YMM __m256 lerp_256(__m256 a, __m256 b, __m256 f) { return _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), f)); }

LUR_TARGET_AVX2 static void sample_256(const lur_warp *warp, const uint8_t *pixels, int w, line in, float *out) {
  const int *base = (const int *)(const void *)pixels;
  float v[3][8];
  for (int block = 0; block < warp->width; block += 8) {
    int c = block + 8 <= warp->width ? block : warp->width - 8;
    __m256i at = _mm256_loadu_si256((const __m256i *)(const void *)(in.at + c));
    __m256 fx = _mm256_loadu_ps(in.fx + c), fy = _mm256_loadu_ps(in.fy + c);
    __m256i p = _mm256_i32gather_epi32(base, at, 4), q = _mm256_i32gather_epi32(base + 1, at, 4);
    __m256i r = _mm256_i32gather_epi32(base + w, at, 4), s = _mm256_i32gather_epi32(base + w + 1, at, 4);
    for (int k = 0; k < 3; k++) {
      __m128i shift = _mm_cvtsi32_si128(8 * warp->channel[k]);
      __m256 top = lerp_256(channel_256(p, shift), channel_256(q, shift), fx);
      __m256 bottom = lerp_256(channel_256(r, shift), channel_256(s, shift), fx);
      _mm256_storeu_ps(v[k], _mm256_add_ps(_mm256_mul_ps(lerp_256(top, bottom, fy), _mm256_set1_ps(warp->scale[k])),
                                           _mm256_set1_ps(warp->shift[k])));
    }
    for (int i = 0; i < 8; i++)
      for (int k = 0; k < 3; k++) out[3 * (c + i) + k] = v[k][i];
  }
}
#endif

static void sample_line(const lur_warp *warp, const uint8_t *pixels, int w, line in, float *out) {
#ifdef LUR_SIMD_X86
  lur_simd level = warp->fill == LUR_FILL_CONSTANT ? LUR_SIMD_BASE : lur_simd_level();
  if (level == LUR_SIMD_AVX512 && warp->width >= 16) sample_512(warp, pixels, w, in, out);
  else if (level >= LUR_SIMD_AVX2 && warp->width >= 8) sample_256(warp, pixels, w, in, out);
  else
#endif
    sample_plain(warp, pixels, w, in, out);
}

static void pick_line(const lur_warp *warp, const uint8_t *pixels, const int32_t *at, float *out) {
  for (int c = 0; c < warp->width; c++)
    for (int k = 0; k < 3; k++) {
      float v = at[c] < 0 ? (float)warp->fill_value : (float)pixels[4 * (size_t)at[c] + (size_t)warp->channel[k]];
      out[3 * c + k] = v * warp->scale[k] + warp->shift[k];
    }
}

/* One row of the output into row. */
static void warp_line(const lur_warp *warp, const lur_picture *picture, int r, line positions, float *row) {
  int h = picture->height, w = picture->width;
  axis_line a = line_of(&warp->map, r);
  if (warp->nearest) {
    nearest_line(warp, &a, w, positions.at);
    pick_line(warp, picture->pixels, positions.at, row);
    return;
  }
  if (warp->fill == LUR_FILL_NEAREST) clamp_line(&a, warp->width, h, w, positions);
  else fold_line(warp, &a, h, w, positions);
  sample_line(warp, picture->pixels, w, positions, row);
}

lur_status lur_warp_picture(const lur_warp *warp, const lur_picture *picture, lur_bytes *scratch, float *out) {
  size_t n = ((size_t)warp->width + 15) / 16 * 16;
  LUR_TRY(lur_bytes_reserve(scratch, 3 * n * sizeof(float) + 64));
  line positions;
  positions.at = (int32_t *)(void *)(scratch->data + (64 - (uintptr_t)scratch->data % 64) % 64);
  positions.fy = (float *)(void *)(positions.at + n);
  positions.fx = positions.fy + n;
  for (int r = 0; r < warp->height; r++) warp_line(warp, picture, r, positions, out + 3 * (size_t)warp->width * (size_t)r);
  return LUR_OK;
}

/* One pixel wide or high: the line twice, so that four neighbours exist. Clamping never reaches the copy's far side. */
lur_status lur_picture_widen(lur_picture *picture, lur_picture *scratch) {
  if (picture->width >= 2 && picture->height >= 2) return LUR_OK;
  int w = picture->width, h = picture->height;
  LUR_TRY(lur_picture_resize_buffer(scratch, w < 2 ? 2 : w, h < 2 ? 2 : h));
  uint32_t *dst = (uint32_t *)(void *)scratch->pixels;
  const uint32_t *src = (const uint32_t *)(const void *)picture->pixels;
  for (int y = 0; y < scratch->height; y++)
    for (int x = 0; x < scratch->width; x++) *dst++ = src[(size_t)(y < h ? y : 0) * (size_t)w + (size_t)(x < w ? x : 0)];
  lur_picture t = *picture;
  *picture = *scratch;
  *scratch = t;
  return LUR_OK;
}
