/* random.h - Philox4x32-10, the counter-based generator of every random number of the engine.
 *
 * Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A number is a pure function of
 * (key, counter), so it does not depend on the thread, device or worker that computes it. Header only: nvcc compiles it
 * for the device too. */
#ifndef LUR_RANDOM_H
#define LUR_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define LUR_RANDOM_FN static __host__ __device__ inline
#else
#define LUR_RANDOM_FN static inline
#endif

typedef struct lur_random4 {
  uint32_t v[4];
} lur_random4;

/* Four 32-bit words for a 64-bit key and a 128-bit counter (high, low). */
LUR_RANDOM_FN lur_random4 lur_philox(uint64_t key, uint64_t high, uint64_t low) {
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  uint32_t c0 = (uint32_t)low, c1 = (uint32_t)(low >> 32), c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  lur_random4 r = {{c0, c1, c2, c3}};
  return r;
}

/* A number in [0, 1) of 24 bits, which a float holds exactly. */
LUR_RANDOM_FN float lur_random_unit(uint32_t word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

/* Whether dropout keeps element `index` of the op with the number `stream` at training step `step`. */
LUR_RANDOM_FN int lur_random_keep(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index, double rate) {
  lur_random4 r = lur_philox(seed ^ ((uint64_t)stream << 32), step, index >> 2);
  return lur_random_unit(r.v[index & 3]) >= (float)rate;
}

/* 64 bits that depend on every bit of the input, for keys made of names and numbers (SplitMix64's finalizer). */
LUR_RANDOM_FN uint64_t lur_random_mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

#endif
