/* alloc.h - zeroed arrays of structs, and how long a name is. */
#ifndef LUR_ALLOC_H
#define LUR_ALLOC_H

#include "kernels/base.h"

enum { LUR_NAME = 96 }; /* size of a buffer for the name of a layer or output, including its final zero */

/* Sets *items (the address of a pointer of any type) to n zeroed items. LUR_ENOMEM where they do not fit in memory. */
lur_status lur_alloc_items(size_t n, size_t size, void *items);

#endif
