/* peak.c - the processor's peak of multiply-adds: a loop of independent f32 FMAs in registers, on every compute thread.
 * It touches no memory, so real kernels cannot reach it with FMAs. tests/bench/table.lua measures the share of it that
 * Lurcher reaches.
 *
 *     bench_peak THREADS      answers lines like table_worker.lua: "step N" does STEP_FLOPS N times, prints the seconds
 *
 * To add a vector width, add a burst_ function and a case in `choose`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, BURST = 1 << 20 }; /* CHAINS: more than latency times ports; BURST: FMAs per chain */
static const double STEP_FLOPS = 5e10;

/* Runs BURST rounds of CHAINS vector FMAs; returns their sum, so that the compiler cannot remove them. */
typedef float (*burst)(void);

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float burst_avx512(void) {
  __m512 x[CHAINS];
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++) x[i] = _mm512_set1_ps((float)i);
  for (int r = 0; r < BURST; r++) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) x[i] = _mm512_fmadd_ps(x[i], a, b);
  }
  for (int i = 1; i < CHAINS; i++) x[0] = _mm512_add_ps(x[0], x[i]);
  return _mm512_reduce_add_ps(x[0]);
}

__attribute__((target("avx2,fma"))) static float burst_avx2(void) {
  __m256 x[CHAINS];
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++) x[i] = _mm256_set1_ps((float)i);
  for (int r = 0; r < BURST; r++) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) x[i] = _mm256_fmadd_ps(x[i], a, b);
  }
  for (int i = 1; i < CHAINS; i++) x[0] = _mm256_add_ps(x[0], x[i]);
  float lanes[8];
  _mm256_storeu_ps(lanes, x[0]);
  return lanes[0] + lanes[7];
}
#endif

static float burst_portable(void) {
  float x[CHAINS][4];
  memset(x, 0, sizeof x);
  for (int r = 0; r < BURST; r++)
    for (int i = 0; i < CHAINS; i++)
      for (int k = 0; k < 4; k++) x[i][k] = x[i][k] * 0.999f + 0.001f;
  return x[0][0] + x[CHAINS - 1][3];
}

static burst choose(int *lanes, const char **name) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return *lanes = 16, *name = "avx512", burst_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return *lanes = 8, *name = "avx2", burst_avx2;
#endif
  return *lanes = 4, *name = "portable", burst_portable;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double step(burst run, int threads, long bursts, float *sink) {
  const double start = now();
  float sum = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : sum)
  for (long i = 0; i < bursts; i++) sum += run();
  *sink += sum;
  return now() - start;
}

int main(int argc, char **argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1;
  int lanes;
  const char *name;
  const burst run = choose(&lanes, &name);
  const double flops = 2.0 * BURST * CHAINS * lanes;
  const long bursts = (lround(STEP_FLOPS / flops) + threads - 1) / threads * threads;
  char line[64];
  float sink = 0;
  if (threads < 1) return fprintf(stderr, "usage: bench_peak THREADS\n"), 2;
  printf("ready %s fma, %.0f flops per step\n", name, flops * (double)bursts);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) && strncmp(line, "finish", 6) != 0) {
    const int count = atoi(line + strcspn(line, " "));
    printf("seconds");
    for (int i = 0; i < count; i++) printf(" %.6f", step(run, threads, bursts, &sink));
    printf("\n");
    fflush(stdout);
  }
  fprintf(stderr, "sum %g\n", (double)sink);
  printf("peak 0\n");
  return 0;
}
