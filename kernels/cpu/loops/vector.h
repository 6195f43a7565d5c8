/* vector.h - one vector type, as wide as the instruction set that the including file is compiled for: AVX-512, AVX2, or
 * the baseline (SSE2, NEON).
 *
 * The loops are written once with `vec` and compiled once per instruction set (loops_*.c). Loads and stores take the
 * number of lanes; with the constant LANES they are plain, and the end of a row costs one masked access.
 * A new operation needs a form for each set here. fma is explicit, because ISO C does not let the compiler contract. */
#ifndef LUR_CPU_VECTOR_H
#define LUR_CPU_VECTOR_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
#define LANES_ 16
#elif defined(__AVX2__) && defined(__FMA__)
enum { LANES = 8 };
#define LANES_ 8
#else
enum { LANES = 4 };
#define LANES_ 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES_)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES_)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES_))); /* wraps around, where ivec overflows */

/* For loops with a constant bound over an array of vectors: the array is in registers only if the loop is unrolled. */
#define UNROLL _Pragma("GCC unroll 16")

#define INLINE static inline __attribute__((always_inline))

INLINE vec vset(float value) {
#if LANES_ == 16
  return (vec)_mm512_set1_ps(value);
#elif LANES_ == 8
  return (vec)_mm256_set1_ps(value);
#else
  return (vec){value, value, value, value};
#endif
}

#if LANES_ == 8
INLINE __m256i lane_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/* The first n lanes from p, the others zero; only n floats are accessed. */
INLINE vec vload(const float *p, int n) {
  vec v;
  if (n == LANES) {
    memcpy(&v, p, sizeof v);
    return v;
  }
#if LANES_ == 16
  v = (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif LANES_ == 8
  v = (vec)_mm256_maskload_ps(p, lane_mask(n));
#else
  v = vset(0);
  for (int i = 0; i < n; i++) v[i] = p[i];
#endif
  return v;
}

INLINE void vstore(float *p, vec v, int n) {
  if (n == LANES) {
    memcpy(p, &v, sizeof v);
    return;
  }
#if LANES_ == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif LANES_ == 8
  _mm256_maskstore_ps(p, lane_mask(n), (__m256)v);
#else
  for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

/* a * b + c, rounded once if the instruction set has FMA. */
INLINE vec vfma(vec a, vec b, vec c) {
#if LANES_ == 16
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif LANES_ == 8
  return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

/* b > a ? b : a per lane, where b is a number: a NaN in a stays. (MAXPS returns its second operand if either is NaN, so
   the order of operands is what keeps it.) */
INLINE vec vmax_number(vec a, vec b) {
#if LANES_ == 16
  return (vec)_mm512_max_ps((__m512)b, (__m512)a);
#elif LANES_ == 8
  return (vec)_mm256_max_ps((__m256)b, (__m256)a);
#else
  ivec greater = b > a;
  return (vec)((greater & (ivec)b) | (~greater & (ivec)a));
#endif
}

/* max(v, 0); NaN stays NaN. */
INLINE vec vrelu(vec v) { return vmax_number(v, vset(0)); }

/* b where the lane of `where` is -1, a where it is 0. */
INLINE vec vselect(ivec where, vec a, vec b) { return (vec)((where & (ivec)b) | (~where & (ivec)a)); }

/* -1 where v replaces `best` in a search for the maximum, else 0. The first NaN wins and stays (ref_beats). */
INLINE ivec vbeats(vec v, vec best) { return ~(ivec)(v <= best) & (ivec)(best == best); }

/* The maximum of a and b; NaN if either is NaN. */
INLINE vec vmax(vec a, vec b) {
#if LANES_ == 16
  return (vec)_mm512_mask_mov_ps((__m512)vmax_number(a, b), _mm512_cmp_ps_mask((__m512)b, (__m512)b, _CMP_UNORD_Q),
                                 (__m512)b);
#elif LANES_ == 8
  return (vec)_mm256_blendv_ps((__m256)vmax_number(a, b), (__m256)b, (__m256)(b != b));
#else
  return vselect(vbeats(b, a), a, b);
#endif
}

/* Stores the first n lanes rounded to integers, half to even, and clamped to 0..255; NaN becomes 0. */
INLINE void vstore_u8(uint8_t *p, vec v, int n) {
#if LANES_ == 16
  const __m512 low = _mm512_max_ps((__m512)v, _mm512_setzero_ps());
  const __m512i whole = _mm512_cvtps_epi32(_mm512_min_ps(low, _mm512_set1_ps(255)));
  if (n == LANES) _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(whole));
  else _mm512_mask_cvtepi32_storeu_epi8(p, (__mmask16)((1u << n) - 1), whole);
#elif LANES_ == 8
  const __m256 low = _mm256_max_ps((__m256)v, _mm256_setzero_ps());
  const __m256i whole = _mm256_cvtps_epi32(_mm256_min_ps(low, _mm256_set1_ps(255)));
  const __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  const __m128i bytes = _mm_packus_epi16(half, half);
  memcpy(p, &bytes, (size_t)n);
#else
  for (int i = 0; i < n; i++) p[i] = v[i] > 0 ? (uint8_t)rintf(v[i] < 255 ? v[i] : 255) : 0;
#endif
}

/* -|v|. */
INLINE vec vnegabs(vec v) { return (vec)((ivec)v | INT32_MIN); }

/* Whether the first n lanes of `where`, which are -1 or 0, are all -1. */
INLINE bool vall(ivec where, int n) {
#if LANES_ == 16
  return ((_mm512_movepi32_mask((__m512i)where) | 0xffffu << n) & 0xffffu) == 0xffffu;
#elif LANES_ == 8
  return (((unsigned)_mm256_movemask_ps((__m256)where) | 0xffu << n) & 0xffu) == 0xffu;
#else
  bool all = true;
  for (int i = 0; i < n; i++) all = all && where[i];
  return all;
#endif
}

/* v where gate > 0 or NaN, else 0: a gradient through a ReLU (ref_relu_dy). */
INLINE vec vgate(vec gate, vec v) {
#if LANES_ == 16
  return (vec)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)gate, _mm512_setzero_ps(), _CMP_NLE_UQ), (__m512)v);
#else
  return (vec)(~(ivec)(gate <= vset(0)) & (ivec)v);
#endif
}

/* sums[i] += v[i] for the first n lanes: adds sums in float to sums in double. */
INLINE void vflush(double *sums, vec v, int n) {
#if LANES_ == 16
  if (n == LANES) {
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v));
    __m512d high = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd((__m512)v), 1)));
    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
    _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
    return;
  }
#endif
  float lane[LANES];
  memcpy(lane, &v, sizeof lane);
  for (int i = 0; i < n; i++) sums[i] += (double)lane[i];
}

/* body(c, lanes) for every vector of a row: whole vectors with the constant LANES, then the rest. */
#define FOR_LANES(c, count, body)                                  \
  do {                                                             \
    int64_t c = 0;                                                 \
    for (; c + LANES <= (count); c += LANES) body(c, LANES);       \
    if (c < (count)) body(c, (int)((count) - c));                  \
  } while (0)

#endif
