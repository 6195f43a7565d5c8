/* failing_alloc.h - makes the n-th allocation of the engine fail, and counts blocks that are not freed.
 *
 * The test is linked from the library's objects with --wrap for malloc, calloc and the like (see CMakeLists.txt), so
 * that only Lurcher's allocations are affected, and those of libraries that take an allocator (cJSON, libpng), not those
 * of oneDNN, HDF5 or libc. */
#ifndef LUR_FAILING_ALLOC_H
#define LUR_FAILING_ALLOC_H

#include <stdbool.h>

/* Makes the n-th allocation from now fail (1: the next one); with `from_then_on`, all later ones too. 0: none fails. */
void alloc_fail_at(long n, bool from_then_on);
/* While on, allocations neither count nor fail: for checks inside a case. Returns the setting before. */
bool alloc_spare(bool on);
bool alloc_failed(void); /* since alloc_fail_at */
long alloc_live(void);   /* number of blocks not freed */

#endif
