/* failing_alloc.h - makes the n-th allocation of the engine fail, and counts what is not given back.
 *
 * The test is linked from the library's own objects with --wrap for malloc and its kin (see CMakeLists.txt), so that
 * only our allocations are touched, not those of oneDNN, HDF5 or libc. */
#ifndef LUR_FAILING_ALLOC_H
#define LUR_FAILING_ALLOC_H

#include <stdbool.h>

/* The n-th allocation from now fails (1: the next one), with `from_then_on` every later one too. 0: none fails. */
void alloc_fail_at(long n, bool from_then_on);
bool alloc_failed(void); /* since alloc_fail_at */
long alloc_live(void);   /* blocks that were obtained and not freed */

#endif
