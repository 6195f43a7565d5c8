/* loops_portable.c - the loops compiled for whatever every processor of the target runs. */
#define LUR_LOOPS lur_loops_portable
#define LUR_LOOPS_NAME "portable"
#include "kernels/cpu/loops/table.h"
