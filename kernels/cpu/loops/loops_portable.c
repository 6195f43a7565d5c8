/* loops_portable.c - the loops compiled for the baseline instruction set of the target. */
#define LUR_LOOPS lur_loops_portable
#define LUR_LOOPS_NAME "portable"
#include "kernels/cpu/loops/table.h"
