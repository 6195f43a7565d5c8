/* warp_avx.c - the bilinear loops of warp.c for AVX-512 and AVX2.
 *
 * For each block of columns: load the four neighbours of each column, convert bytes to float, apply the four weights
 * that all channels share, scale and shift, and interleave the channels to r0 g0 b0 r1 ... The last block overlaps the
 * one before it. */
#include "warp.h"

#ifdef LUR_SIMD_X86
#include <immintrin.h>

#define ZMM LUR_TARGET_AVX512 static inline __attribute__((always_inline))

typedef struct constants_512 { /* constants of a row */
  __m512i channel[3];          /* shuffles that take byte `channel` of each pixel to a 32-bit number */
  __m512 scale[3], shift[3], fill;
} constants_512;

ZMM constants_512 constants_of_512(const lur_warp *warp) {
  constants_512 constants;
  const __m128i lanes = _mm_setr_epi32(0, 4, 8, 12), clear = _mm_set1_epi32((int)0x80808000u);
  for (int k = 0; k < 3; k++) {
    constants.channel[k] =
        _mm512_broadcast_i32x4(_mm_or_si128(_mm_add_epi32(lanes, _mm_set1_epi32(warp->channel[k])), clear));
    constants.scale[k] = _mm512_set1_ps(warp->scale[k]);
    constants.shift[k] = _mm512_set1_ps(warp->shift[k]);
  }
  constants.fill = _mm512_set1_ps((float)warp->fill_value);
  return constants;
}

/* For 16 columns, *left: pixel at[i]; *right: pixel at[i] + 1. One eight-byte load fetches both. */
ZMM void pairs_512(const uint8_t *pixels, __m512i at, __m512i *left, __m512i *right) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  __m512i a = _mm512_i32gather_epi64(_mm512_castsi512_si256(at), pixels, 4);
  __m512i b = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(at, 1), pixels, 4);
  *left = _mm512_permutex2var_epi32(a, even, b);
  *right = _mm512_permutex2var_epi32(a, odd, b);
}

ZMM __m512 channel_512(__m512i pixel, __m512i which) { return _mm512_cvtepi32_ps(_mm512_shuffle_epi8(pixel, which)); }

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

typedef struct weights_512 { /* of the upper left, upper right, lower left and lower right neighbours */
  __m512 p, q, r, s;
} weights_512;

ZMM weights_512 weights_of_512(__m512 fy, __m512 fx) {
  weights_512 w;
  w.s = _mm512_mul_ps(fx, fy);
  w.r = _mm512_sub_ps(fy, w.s);
  w.q = _mm512_sub_ps(fx, w.s);
  w.p = _mm512_sub_ps(_mm512_sub_ps(_mm512_set1_ps(1), fx), w.r);
  return w;
}

/* Samples 16 columns; those in `outside` get the fill value. */
ZMM void block_512(const constants_512 *constants, const uint8_t *pixels, int w, __m512i at, weights_512 weight,
                   __mmask16 outside, float *out) {
  __m512i p, q, r, s;
  __m512 v[3];
  pairs_512(pixels, at, &p, &q);
  pairs_512(pixels + 4 * (size_t)w, at, &r, &s);
  for (int k = 0; k < 3; k++) {
    v[k] = _mm512_mul_ps(weight.p, channel_512(p, constants->channel[k]));
    v[k] = _mm512_fmadd_ps(weight.q, channel_512(q, constants->channel[k]), v[k]);
    v[k] = _mm512_fmadd_ps(weight.r, channel_512(r, constants->channel[k]), v[k]);
    v[k] = _mm512_fmadd_ps(weight.s, channel_512(s, constants->channel[k]), v[k]);
    v[k] =
        _mm512_fmadd_ps(_mm512_mask_mov_ps(v[k], outside, constants->fill), constants->scale[k], constants->shift[k]);
  }
  store_512(out, v[0], v[1], v[2]);
}

LUR_TARGET_AVX512 void lur_warp_sample_512(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in,
                                           float *out) {
  constants_512 constants = constants_of_512(warp);
  for (int block = 0; block < warp->width; block += 16) {
    int c = block + 16 <= warp->width ? block : warp->width - 16;
    __m512 fy = _mm512_loadu_ps(in.fy + c);
    block_512(&constants, pixels, w, _mm512_loadu_si512(in.at + c), weights_of_512(fy, _mm512_loadu_ps(in.fx + c)),
              _mm512_movepi32_mask(_mm512_castps_si512(fy)), out + 3 * c);
  }
}

typedef struct axis_512 {      /* one axis of 16 columns */
  __m512i first, second, last; /* offsets of columns 0..7 and 8..15 */
} axis_512;

ZMM axis_512 axis_of_512(const lur_warp_fixed *f, int i) {
  const __m512i count = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), right = _mm512_set1_epi64(f->right[i]);
  __m512i first = _mm512_mullo_epi64(count, right);
  return (axis_512){first, _mm512_add_epi64(first, _mm512_slli_epi64(right, 3)), _mm512_set1_epi64(f->last[i])};
}

ZMM __m512 positions_512(const axis_512 *axis, int64_t at, bool clamp, __m512i *whole) {
  const __m512i low = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(1)), zero = _mm512_setzero_si512();
  __m512i a = _mm512_add_epi64(axis->first, _mm512_set1_epi64(at)),
          b = _mm512_add_epi64(axis->second, _mm512_set1_epi64(at));
  if (clamp) {
    a = _mm512_min_epi64(_mm512_max_epi64(a, zero), axis->last);
    b = _mm512_min_epi64(_mm512_max_epi64(b, zero), axis->last);
  }
  *whole = _mm512_permutex2var_epi32(a, high, b);
  __m512i rest = _mm512_srli_epi32(_mm512_permutex2var_epi32(a, low, b), 8);
  return _mm512_mul_ps(_mm512_cvtepi32_ps(rest), _mm512_set1_ps(0x1p-24f));
}

/* Whether the coordinates of 16 columns, from v on, are within 0..last. */
static inline bool inside_512(int64_t v, int64_t step, int64_t last) {
  int64_t end = v + 15 * step;
  return v >= 0 && v <= last && end >= 0 && end <= last;
}

ZMM void clamped_block_512(const constants_512 *constants, const axis_512 axis[2], const uint8_t *pixels, int w,
                           const int64_t at[2], bool clamp, float *out) {
  __m512i y, x;
  __m512 fy = positions_512(&axis[0], at[0], clamp, &y), fx = positions_512(&axis[1], at[1], clamp, &x);
  __m512i index = _mm512_add_epi32(_mm512_mullo_epi32(y, _mm512_set1_epi32(w)), x);
  block_512(constants, pixels, w, index, weights_of_512(fy, fx), 0, out);
}

LUR_TARGET_AVX512 void lur_warp_clamped_512(const lur_warp *warp, const uint8_t *pixels, int w, const lur_warp_fixed *f,
                                            float *out) {
  constants_512 constants = constants_of_512(warp);
  axis_512 axis[2] = {axis_of_512(f, 0), axis_of_512(f, 1)};
  for (int r = 0; r < warp->height; r++, out += 3 * (size_t)warp->width) {
    for (int block = 0; block < warp->width; block += 16) {
      int c = block + 16 <= warp->width ? block : warp->width - 16;
      int64_t at[2] = {f->start[0] + r * f->down[0] + c * f->right[0], f->start[1] + r * f->down[1] + c * f->right[1]};
      bool inside = inside_512(at[0], f->right[0], f->last[0]) && inside_512(at[1], f->right[1], f->last[1]);
      if (inside) clamped_block_512(&constants, axis, pixels, w, at, false, out + 3 * c);
      else clamped_block_512(&constants, axis, pixels, w, at, true, out + 3 * c);
    }
  }
}

#define YMM LUR_TARGET_AVX2 static inline __attribute__((always_inline))

YMM __m256 channel_256(__m256i pixel, int channel) {
  __m256i shifted = _mm256_srl_epi32(pixel, _mm_cvtsi32_si128(8 * channel));
  return _mm256_cvtepi32_ps(_mm256_and_si256(shifted, _mm256_set1_epi32(255)));
}

LUR_TARGET_AVX2 void lur_warp_sample_256(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in,
                                         float *out) {
  const int *base = (const int *)(const void *)pixels;
  float v[3][8];
  for (int block = 0; block < warp->width; block += 8) {
    int c = block + 8 <= warp->width ? block : warp->width - 8;
    __m256i at = _mm256_loadu_si256((const __m256i *)(const void *)(in.at + c));
    __m256 fx = _mm256_loadu_ps(in.fx + c), fy = _mm256_loadu_ps(in.fy + c);
    __m256i p = _mm256_i32gather_epi32(base, at, 4), q = _mm256_i32gather_epi32(base + 1, at, 4);
    __m256i r = _mm256_i32gather_epi32(base + w, at, 4), s = _mm256_i32gather_epi32(base + w + 1, at, 4);
    __m256 ws = _mm256_mul_ps(fx, fy), wr = _mm256_sub_ps(fy, ws), wq = _mm256_sub_ps(fx, ws);
    __m256 wp = _mm256_sub_ps(_mm256_sub_ps(_mm256_set1_ps(1), fx), wr);
    for (int k = 0; k < 3; k++) {
      int i = warp->channel[k];
      __m256 sum = _mm256_mul_ps(wp, channel_256(p, i));
      sum = _mm256_fmadd_ps(wq, channel_256(q, i), sum);
      sum = _mm256_fmadd_ps(wr, channel_256(r, i), sum);
      sum = _mm256_fmadd_ps(ws, channel_256(s, i), sum);
      sum = _mm256_blendv_ps(sum, _mm256_set1_ps((float)warp->fill_value), fy);
      _mm256_storeu_ps(v[k], _mm256_fmadd_ps(sum, _mm256_set1_ps(warp->scale[k]), _mm256_set1_ps(warp->shift[k])));
    }
    for (int i = 0; i < 8; i++)
      for (int k = 0; k < 3; k++) out[3 * (c + i) + k] = v[k][i];
  }
}
#endif
