/* simd.h - one loop compiled for AVX-512, AVX2 and the baseline, chosen at run time.
 *
 * Only for loops whose result does not depend on the vector width: integer loops, and floating-point loops without a
 * reduction (the project is compiled with -ffp-contract=off, so a * b + c is never fused).
 * To use it: write the loop as a LUR_SIMD_BODY function, instantiate it once with LUR_SIMD_VARIANTS, call it with
 * LUR_SIMD_CALL. */
#ifndef LUR_SIMD_H
#define LUR_SIMD_H

#define LUR_SIMD_BODY static inline __attribute__((always_inline))

typedef enum lur_simd { LUR_SIMD_BASE = 0, LUR_SIMD_AVX2, LUR_SIMD_AVX512 } lur_simd;

#if defined(__x86_64__) && defined(__GNUC__)
#define LUR_SIMD_X86 1
static inline lur_simd lur_simd_level(void) {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return LUR_SIMD_AVX512;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? LUR_SIMD_AVX2 : LUR_SIMD_BASE;
}
#ifdef __clang__ /* clang 14 ignores a target attribute with prefer-vector-width; its width is 512 for these targets */
#define LUR_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))
#else
#define LUR_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")))
#endif
#define LUR_TARGET_AVX2 __attribute__((target("avx2,fma")))
#define LUR_SIMD_VARIANTS(name, parameters, body)                                                                      \
  LUR_TARGET_AVX512 static void name##_avx512 parameters { body; }                                                     \
  LUR_TARGET_AVX2 static void name##_avx2 parameters { body; }                                                         \
  static void name##_base parameters { body; }
#define LUR_SIMD_CALL(name, arguments)                                                                                 \
  do {                                                                                                                 \
    lur_simd lur_simd_level_ = lur_simd_level();                                                                       \
    if (lur_simd_level_ == LUR_SIMD_AVX512) name##_avx512 arguments;                                                   \
    else if (lur_simd_level_ == LUR_SIMD_AVX2) name##_avx2 arguments;                                                  \
    else name##_base arguments;                                                                                        \
  } while (0)
#else
static inline lur_simd lur_simd_level(void) { return LUR_SIMD_BASE; }
#define LUR_SIMD_VARIANTS(name, parameters, body)                                                                      \
  static void name##_base parameters { body; }
#define LUR_SIMD_CALL(name, arguments) name##_base arguments
#endif

#endif
