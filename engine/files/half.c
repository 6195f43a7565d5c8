/* half.c - converts arrays between f16 and f32, with the processor's instructions where it has them. All variants give
 * the bits of lur_f16_to_f32 and lur_f32_to_f16, except for the payload of NaNs. */
#include <math.h>

#include "cache_file.h"
#include "engine/base/simd.h"

static void widen_plain(const uint16_t *x, float *y, int64_t count) {
  for (int64_t i = 0; i < count; i++) y[i] = lur_f16_to_f32(x[i]);
}

static bool narrow_plain(const float *x, uint16_t *y, int64_t count) {
  bool fits = true;
  for (int64_t i = 0; i < count; i++) {
    y[i] = lur_f32_to_f16(x[i]);
    if ((y[i] & 0x7fffu) == 0x7c00u && !isinf(x[i])) fits = false;
  }
  return fits;
}

#ifdef LUR_SIMD_X86
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

LUR_TARGET_AVX512 static int64_t widen_avx512(const uint16_t *x, float *y, int64_t count) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    _mm512_storeu_ps(y + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(x + i))));
  return i;
}

__attribute__((target("avx2,f16c"))) static int64_t widen_f16c(const uint16_t *x, float *y, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
  return i;
}

/* Values of 65520 and above become infinity in f16; *fits is false if one of them was finite. */
__attribute__((target("avx2,f16c"))) static int64_t narrow_f16c(const float *x, uint16_t *y, int64_t count,
                                                                bool *fits) {
  const __m256 sign = _mm256_set1_ps(-0.0f), limit = _mm256_set1_ps(65520.0f), infinite = _mm256_set1_ps(INFINITY);
  __m256 lost = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m256 v = _mm256_loadu_ps(x + i), size = _mm256_andnot_ps(sign, v);
    lost = _mm256_or_ps(
        lost, _mm256_and_ps(_mm256_cmp_ps(size, limit, _CMP_GE_OQ), _mm256_cmp_ps(size, infinite, _CMP_LT_OQ)));
    _mm_storeu_si128((__m128i *)(void *)(y + i), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  *fits = _mm256_movemask_ps(lost) == 0;
  return i;
}

/* By cpuid, because clang 14 does not know __builtin_cpu_supports("f16c"); once, because a virtual machine traps cpuid.
   That AVX2 is supported implies that the operating system saves the registers. */
static bool has_f16c(void) {
  static atomic_int answer; /* 0: not known yet; 1: no; 2: yes */
  int known = atomic_load_explicit(&answer, memory_order_relaxed);
  if (known == 0) {
    unsigned a, b, c = 0, d;
    bool has = lur_simd_level() >= LUR_SIMD_AVX2 && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
    known = has ? 2 : 1;
    atomic_store_explicit(&answer, known, memory_order_relaxed);
  }
  return known == 2;
}

void lur_half_widen(const uint16_t *x, float *y, int64_t count) {
  int64_t done = 0;
  if (lur_simd_level() == LUR_SIMD_AVX512) done = widen_avx512(x, y, count);
  else if (has_f16c()) done = widen_f16c(x, y, count);
  widen_plain(x + done, y + done, count - done);
}

bool lur_half_narrow(const float *x, uint16_t *y, int64_t count) {
  bool fits = true;
  int64_t done = has_f16c() ? narrow_f16c(x, y, count, &fits) : 0;
  return narrow_plain(x + done, y + done, count - done) && fits;
}
#else
void lur_half_widen(const uint16_t *x, float *y, int64_t count) { widen_plain(x, y, count); }
bool lur_half_narrow(const float *x, uint16_t *y, int64_t count) { return narrow_plain(x, y, count); }
#endif
