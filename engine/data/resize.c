/* resize.c - Pillow's Image.resize, bit for bit: NEAREST, and BILINEAR as its antialiased triangle filter.
 *
 * Source: Pillow 12.3, src/libImaging/Resample.c and Geometry.c; 4.0 to 12.3 give the same bits. Two passes, columns
 * first, each rounded to 8 bits, with coefficients in fixed point with 22 fractional bits; a pass that would change no
 * extent is skipped. Pillow 13.0 takes rows first where the height shrinks by more than twice as many pixels as the
 * width, to be faster; since each pass rounds, some values change by one. That corrects nothing, and networks have been
 * trained on the older bits, so it is a filter of its own here (LUR_RESIZE_BILINEAR_13). The loops are written for the
 * compiler's vectoriser and compiled for AVX-512, AVX2 and the baseline; the column pass has a hand-written AVX2 loop
 * for usual sizes. All are integer loops and give the same bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "resize.h"
#include "engine/base/simd.h"

#ifdef LUR_SIMD_X86
#include <immintrin.h>
#endif

enum { PRECISION = 32 - 8 - 2 };

/* The filter of one axis: output i is the sum of count[i] inputs, from first[i] on, times weights[i * taps ...]. */
typedef struct filter {
  int taps;
  int *first, *count;
  int32_t *weights;
  void *memory;
  int16_t *halves; /* weights for columns_pairs, or NULL; see pack_halves */
} filter;

static double triangle(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

static void filter_row(filter *f, int i, int in, double scale, double support, double *w) {
  double center = (i + 0.5) * scale, sum = 0, shrink = 1.0 / (scale < 1.0 ? 1.0 : scale);
  int first = (int)(center - support + 0.5);
  if (first < 0) first = 0;
  int end = (int)(center + support + 0.5);
  if (end > in) end = in;
  int count = end - first;
  for (int k = 0; k < count; k++) sum += w[k] = triangle((k + first - center + 0.5) * shrink);
  for (int k = 0; k < count; k++) {
    if (sum != 0.0) w[k] /= sum;
    f->weights[(size_t)i * (size_t)f->taps + (size_t)k] = (int32_t)(0.5 + w[k] * (1 << PRECISION));
  }
  f->first[i] = first;
  f->count[i] = count;
}

static lur_status filter_make(filter *f, int in, int out) {
  double scale = (double)in / out;
  double support = scale < 1.0 ? 1.0 : scale;
  f->taps = (int)ceil(support) * 2 + 1;
  size_t weights = (size_t)out * (size_t)f->taps * sizeof *f->weights, ints = (size_t)out * sizeof(int);
  double *w = malloc((size_t)f->taps * sizeof *w);
  f->memory = calloc(1, weights + 2 * ints);
  if (!w || !f->memory) {
    free(w);
    free(f->memory);
    f->memory = NULL;
    return lur_fail(LUR_ENOMEM, "out of memory for a resize from %d to %d", in, out);
  }
  f->weights = f->memory;
  f->first = (int *)(void *)((char *)f->memory + weights);
  f->count = f->first + out;
  for (int i = 0; i < out; i++) filter_row(f, i, in, scale, support, w);
  free(w);
  return LUR_OK;
}

/* Weights are positive and sum to 1, so results stay in 0..255 after rounding and need no clipping. */
typedef uint8_t u8x4 __attribute__((vector_size(4), aligned(1), may_alias));
typedef int32_t i32x4 __attribute__((vector_size(16)));

LUR_SIMD_BODY void columns_body(const uint8_t *restrict src, uint8_t *restrict dst, int width, const filter *f) {
  for (int x = 0; x < width; x++) {
    const uint8_t *s = src + 4 * (size_t)f->first[x];
    const int32_t *w = f->weights + (size_t)x * (size_t)f->taps;
    i32x4 sum = {1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)};
    for (int k = 0; k < f->count[x]; k++) sum += __builtin_convertvector(*(const u8x4 *)(s + 4 * k), i32x4) * w[k];
    *(u8x4 *)(dst + 4 * x) = __builtin_convertvector(sum >> PRECISION, u8x4);
  }
}

LUR_SIMD_BODY void rows_body(const uint8_t *restrict src, uint8_t *restrict dst, size_t stride,
                             const int32_t *restrict w, int count) {
  for (size_t x = 0; x < stride; x++) {
    int32_t sum = 1 << (PRECISION - 1);
    for (int k = 0; k < count; k++) sum += src[x + (size_t)k * stride] * w[k];
    dst[x] = (uint8_t)(sum >> PRECISION);
  }
}

/* The tap counts of enlargements and mild reductions get loops that the compiler can unroll. */
LUR_SIMD_BODY void rows_few(const uint8_t *restrict src, uint8_t *restrict dst, size_t stride,
                            const int32_t *restrict w, int count) {
  if (count == 2) rows_body(src, dst, stride, w, 2);
  else if (count == 3) rows_body(src, dst, stride, w, 3);
  else if (count == 4) rows_body(src, dst, stride, w, 4);
  else rows_body(src, dst, stride, w, count);
}

#ifdef LUR_SIMD_X86
enum { GROUP = 4, HALF = 11, MAX_PAIR_TAPS = 64 }; /* more taps could overflow the sum of low halves */

/* Splits weights into halves of 11 bits, so that 16-bit multiply-adds of pixel pairs are exact. For each output and
   each group of four taps: 16 low halves, then 16 high ones, in the order (tap 0, tap 1) x 4 channels, (tap 2, tap 3)
   x 4. */
static lur_status pack_halves(filter *f, int out) {
  int groups = (f->taps + GROUP - 1) / GROUP;
  void *memory = NULL;
  if (f->taps > MAX_PAIR_TAPS) return LUR_OK;
  if (posix_memalign(&memory, 64, (size_t)out * (size_t)groups * 64) != 0) {
    return lur_fail(LUR_ENOMEM, "out of memory for a resize to %d", out);
  }
  f->halves = memory;
  for (int i = 0; i < out; i++)
    for (int k = 0; k < groups * GROUP; k++) {
      int32_t w = k < f->count[i] ? f->weights[(size_t)i * (size_t)f->taps + (size_t)k] : 0;
      int16_t *at = f->halves + ((size_t)i * (size_t)groups + (size_t)(k / GROUP)) * 32 + k % GROUP / 2 * 8 + k % 2;
      for (int c = 0; c < 4; c++) {
        at[2 * c] = (int16_t)(w & ((1 << HALF) - 1));
        at[2 * c + 16] = (int16_t)(w >> HALF);
      }
    }
  return LUR_OK;
}

/* Resizes one row. The last group may read up to four pixels past the end: LUR_RGBX_PAD bytes are readable there. */
LUR_TARGET_AVX2 static void columns_pairs(const uint8_t *src, uint8_t *dst, int width, const filter *f) {
  const __m256i spread = _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1, 8, -1, 12, -1, 9, -1,
                                          13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
  const __m128i pack = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1),
                round = _mm_set1_epi32(1 << (PRECISION - 1));
  int groups = (f->taps + GROUP - 1) / GROUP;
  const int16_t *w = f->halves;
  for (int x = 0; x < width; x++, w += 32 * groups) {
    const uint8_t *s = src + 4 * (size_t)f->first[x];
    __m256i low = _mm256_setzero_si256(), high = low;
    int used = (f->count[x] + GROUP - 1) / GROUP; /* later groups have zero weights, and may be outside the image */
    for (int g = 0; g < used; g++) {
      __m256i four = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(s + 16 * g)));
      __m256i pairs = _mm256_shuffle_epi8(four, spread);
      low = _mm256_add_epi32(low,
                             _mm256_madd_epi16(pairs, _mm256_load_si256((const __m256i *)(const void *)(w + 32 * g))));
      high = _mm256_add_epi32(
          high, _mm256_madd_epi16(pairs, _mm256_load_si256((const __m256i *)(const void *)(w + 32 * g + 16))));
    }
    __m256i sum = _mm256_add_epi32(low, _mm256_slli_epi32(high, HALF));
    __m128i v = _mm_add_epi32(_mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1)), round);
    int rgbx = _mm_cvtsi128_si32(_mm_shuffle_epi8(_mm_srli_epi32(v, PRECISION), pack));
    memcpy(dst + 4 * (size_t)x, &rgbx, 4);
  }
}
#endif

LUR_SIMD_VARIANTS(columns, (const uint8_t *src, uint8_t *dst, int width, const filter *f),
                  columns_body(src, dst, width, f))
LUR_SIMD_VARIANTS(rows, (const uint8_t *src, uint8_t *dst, size_t stride, const int32_t *w, int count),
                  rows_few(src, dst, stride, w, count))

static lur_status bilinear_columns(const lur_rgbx *src, int width, lur_rgbx *dst) {
  filter f = {0};
  LUR_TRY(filter_make(&f, src->width, width));
  lur_status status = lur_rgbx_resize_buffer(dst, width, src->height);
#ifdef LUR_SIMD_X86
  if (status == LUR_OK && lur_simd_level() >= LUR_SIMD_AVX2) status = pack_halves(&f, width);
#endif
  for (int y = 0; status == LUR_OK && y < src->height; y++) {
    const uint8_t *from = src->pixels + 4 * (size_t)src->width * (size_t)y;
    uint8_t *to = dst->pixels + 4 * (size_t)width * (size_t)y;
#ifdef LUR_SIMD_X86
    if (f.halves) {
      columns_pairs(from, to, width, &f);
      continue;
    }
#endif
    LUR_SIMD_CALL(columns, (from, to, width, &f));
  }
  free(f.halves);
  free(f.memory);
  return status;
}

static lur_status bilinear_rows(const lur_rgbx *src, int height, lur_rgbx *dst) {
  filter f = {0};
  LUR_TRY(filter_make(&f, src->height, height));
  lur_status status = lur_rgbx_resize_buffer(dst, src->width, height);
  size_t stride = 4 * (size_t)src->width;
  for (int y = 0; status == LUR_OK && y < height; y++)
    LUR_SIMD_CALL(rows, (src->pixels + stride * (size_t)f.first[y], dst->pixels + stride * (size_t)y, stride,
                         f.weights + (size_t)y * (size_t)f.taps, f.count[y]));
  free(f.memory);
  return status;
}

static lur_status copy(const lur_rgbx *src, lur_rgbx *dst) {
  LUR_TRY(lur_rgbx_resize_buffer(dst, src->width, src->height));
  memcpy(dst->pixels, src->pixels, 4 * (size_t)src->width * (size_t)src->height);
  return LUR_OK;
}

/* Source index floor((i + 0.5) * in / out). Like Pillow's affine transform, it accumulates the scale from half of it,
   so that rounding is the same. */
static lur_status nearest(const lur_rgbx *src, int width, int height, lur_rgbx *dst) {
  LUR_TRY(lur_rgbx_resize_buffer(dst, width, height));
  double sx = (double)src->width / width, sy = (double)src->height / height, y0 = sy * 0.5;
  uint32_t *out = (uint32_t *)(void *)dst->pixels;
  for (int y = 0; y < height; y++, y0 += sy) {
    int iy = (int)y0 < src->height ? (int)y0 : src->height - 1;
    const uint32_t *row = (const uint32_t *)(const void *)src->pixels + (size_t)src->width * (size_t)iy;
    double x0 = sx * 0.5;
    for (int x = 0; x < width; x++, x0 += sx) *out++ = row[(int)x0 < src->width ? (int)x0 : src->width - 1];
  }
  return LUR_OK;
}

lur_status lur_rgbx_resample(const lur_rgbx *src, int width, int height, lur_resize_filter filter_kind, lur_rgbx *dst,
                             lur_rgbx *scratch) {
  if (width < 1 || height < 1)
    return lur_fail(LUR_EARG, "resize: invalid size %dx%d; each side must be at least 1", width, height);
  bool wide = width != src->width, high = height != src->height;
  if (!wide && !high) return copy(src, dst);
  if (filter_kind == LUR_RESIZE_NEAREST) return nearest(src, width, height, dst);
  if (!high) return bilinear_columns(src, width, dst);
  if (!wide) return bilinear_rows(src, height, dst);
  if (filter_kind == LUR_RESIZE_BILINEAR_13 && src->height > height &&
      src->height - height > 2 * (src->width - width)) {
    LUR_TRY(bilinear_rows(src, height, scratch));
    return bilinear_columns(scratch, width, dst);
  }
  LUR_TRY(bilinear_columns(src, width, scratch));
  return bilinear_rows(scratch, height, dst);
}
