/* random.c - random generators for samplers: Philox by (seed, stream), and NumPy's RandomState. The loader's own
 * random numbers are a function of (seed, epoch, index, draw number): see source_at in loader_work.c. */
#include "kernels/random.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/lurcher.h"

/* ---- Philox ---- */

struct lur_random {
  uint64_t key, count;
  lur_random4 words;
};

lur_status lur_random_new(uint64_t seed, uint64_t stream, lur_random **random) {
  lur_random *r = calloc(1, sizeof *r);
  if (!r) return lur_fail(LUR_ENOMEM, "out of memory for a random generator");
  r->key = lur_random_mix(lur_random_mix(seed) ^ stream);
  *random = r;
  return LUR_OK;
}

void lur_random_release(lur_random *random) { free(random); }

static uint32_t next_word(lur_random *r) {
  if ((r->count & 3) == 0)
    r->words = lur_philox(r->key, 0x5A4D504Cu, r->count >> 2); /* this counter is used with no other purpose */
  return r->words.v[r->count++ & 3];
}

static double make_unit(uint32_t a, uint32_t b) {
  return ((double)(a >> 5) * 67108864.0 + (double)(b >> 6)) / 9007199254740992.0;
}

double lur_random_next(lur_random *r) {
  uint32_t a = next_word(r), b = next_word(r);
  return make_unit(a, b);
}

int64_t lur_random_below(lur_random *r, int64_t n) {
  uint64_t limit = UINT64_MAX - UINT64_MAX % (uint64_t)n,
           word; /* a multiple of n, so that all remainders are equally likely */
  do {
    word = (uint64_t)next_word(r) << 32;
    word |= next_word(r);
  } while (word >= limit);
  return (int64_t)(word % (uint64_t)n);
}

void lur_random_permutation(lur_random *r, int64_t n, int64_t *order) {
  for (int64_t i = 0; i < n; i++) order[i] = i;
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = lur_random_below(r, i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
}

/* ---- NumPy's RandomState: MT19937 (Matsumoto and Nishimura 1998) as in NumPy 1.13, mtrand/randomkit.c ---- */

enum { MT_N = 624, MT_M = 397 };

struct lur_numpy_random {
  atomic_int refs;
  uint32_t state[MT_N];
  int at;
};

void lur_numpy_random_seed(lur_numpy_random *r, uint32_t seed) {
  for (int i = 0; i < MT_N; i++) {
    r->state[i] = seed;
    seed = 1812433253u * (seed ^ (seed >> 30)) + (uint32_t)i + 1;
  }
  r->at = MT_N;
}

lur_status lur_numpy_random_new(uint32_t seed, lur_numpy_random **random) {
  lur_numpy_random *r = calloc(1, sizeof *r);
  if (!r) return lur_fail(LUR_ENOMEM, "out of memory for a random generator");
  atomic_init(&r->refs, 1);
  lur_numpy_random_seed(r, seed);
  *random = r;
  return LUR_OK;
}

void lur_numpy_random_retain(lur_numpy_random *r) { atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed); }

void lur_numpy_random_release(lur_numpy_random *r) {
  if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1) free(r);
}

static void twist(lur_numpy_random *r) {
  uint32_t *s = r->state;
  for (int i = 0; i < MT_N; i++) {
    uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % MT_N] & 0x7FFFFFFFu);
    s[i] = s[(i + MT_M) % MT_N] ^ (y >> 1) ^ ((y & 1) ? 0x9908B0DFu : 0);
  }
  r->at = 0;
}

static uint32_t mt_word(lur_numpy_random *r) {
  if (r->at == MT_N) twist(r);
  uint32_t y = r->state[r->at++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9D2C5680u;
  y ^= (y << 15) & 0xEFC60000u;
  return y ^ (y >> 18);
}

double lur_numpy_random_uniform(lur_numpy_random *r, double low, double high) {
  uint32_t a = mt_word(r), b = mt_word(r);
  return low + (high - low) * make_unit(a, b);
}

/* rk_interval of NumPy's randomkit.c: draws bits under the smallest all-ones mask that covers max until they are at
   most max. Above 32 bits each draw takes two words. */
static uint64_t mt_interval(lur_numpy_random *r, uint64_t max) {
  uint64_t mask = max, value;
  for (int s = 1; s <= 32; s *= 2) mask |= mask >> s;
  if (max == 0) return 0;
  do {
    value = mt_word(r);
    if (max > UINT32_MAX) value = value << 32 | mt_word(r);
    value &= mask;
  } while (value > max);
  return value;
}

void lur_numpy_random_permutation(lur_numpy_random *r, int64_t n, int64_t *order) {
  for (int64_t i = 0; i < n; i++) order[i] = i;
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = (int64_t)mt_interval(r, (uint64_t)i), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
}
