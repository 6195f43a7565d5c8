/* loops_avx512.c - the loops compiled for AVX-512; the flags are in CMakeLists.txt. */
#define LUR_LOOPS lur_loops_avx512
#define LUR_LOOPS_NAME "avx512"
#include "kernels/cpu/loops/table.h"
