/* describe.c - what the cpu backend found and uses on this processor, for people: `lurcher --version --verbose`. */
#include <stdio.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

/* Appends to a text that has room; what does not fit is left out. */
static void append(char *text, size_t capacity, const char *word) {
  size_t used = strlen(text);
  if (used + 1 < capacity) snprintf(text + used, capacity - used, "%s%s", used > 0 ? " " : "", word);
}

void lur_cpu_found(char *text, size_t capacity) {
  text[0] = '\0';
#if defined(__x86_64__)
  __builtin_cpu_init();
#define LUR_FOUND(name) \
  if (__builtin_cpu_supports(name)) append(text, capacity, name);
  LUR_FOUND("sse4.2")
  LUR_FOUND("avx2")
  LUR_FOUND("fma")
  LUR_FOUND("avx512f")
  LUR_FOUND("avx512bw")
  LUR_FOUND("avx512dq")
  LUR_FOUND("avx512vl")
  LUR_FOUND("avx512vnni")
  LUR_FOUND("avx512bf16")
#undef LUR_FOUND
  if (lur_amx_permitted()) append(text, capacity, "amx-bf16");
#endif
  if (text[0] == '\0') append(text, capacity, "none that kernels are written for");
}

void lur_cpu_used(char *text, size_t capacity) {
  const lur_loops *loops = lur_loops_pick();
  const lur_gemm_loops *gemm = lur_gemm_loops_pick();
  const char *loops_name = "portable", *gemm_name = "oneDNN";
#if defined(__x86_64__)
  if (loops == &lur_loops_avx512) loops_name = "avx512";
  if (loops == &lur_loops_avx2) loops_name = "avx2";
  if (gemm == &lur_gemm_loops_avx512) gemm_name = "avx512 and oneDNN";
  if (gemm == &lur_gemm_loops_amx) gemm_name = "amx and oneDNN";
#else
  (void)loops, (void)gemm;
#endif
  snprintf(text, capacity, "loops: %s; matrix products: %s", loops_name, gemm_name);
}
