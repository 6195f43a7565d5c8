/* loops_avx2.c - the loops compiled for AVX2+FMA; the flags are in CMakeLists.txt. */
#define LUR_LOOPS lur_loops_avx2
#define LUR_LOOPS_NAME "avx2"
#include "kernels/cpu/loops/table.h"
