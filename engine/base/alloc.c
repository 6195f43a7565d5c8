/* alloc.c - allocates the zeroed arrays of structs of the whole engine.
 *
 * It is not an allocator: tensors take their memory from a device, arrays take theirs from calloc. */
#include "alloc.h"

#include <stdlib.h>
#include <string.h>


lur_status lur_alloc_items(size_t n, size_t size, void *items) {
  void *memory = calloc(n ? n : 1, size ? size : 1); /* calloc itself checks n * size for overflow */
  if (!memory) return lur_fail(LUR_ENOMEM, "out of memory (%zu items of %zu bytes)", n, size);
  memcpy(items, &memory, sizeof memory); /* items is the address of a pointer of any type */
  return LUR_OK;
}
