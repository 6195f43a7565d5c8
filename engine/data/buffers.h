/* buffers.h - batch memory that goes round: a tensor's release gives it back to the loader that made it.
 *
 * A batch of 64 images is 68 MB; taking it from the system anew each time costs more than decoding one of them.
 * The pool outlives its loader for as long as a tensor still uses one of its buffers. */
#ifndef LUR_BUFFERS_H
#define LUR_BUFFERS_H

#include "engine/lurcher.h"

typedef struct lur_pool lur_pool;
/* device: whose host memory to use (NULL: plain memory). keep: free buffers kept at most. */
lur_status lur_pool_new(lur_context *context, lur_device *device, int keep, lur_pool **pool);
/* The owner's reference; idle buffers are freed now, others when they come back. */
void lur_pool_close(lur_pool *pool);
/* 64-byte aligned, contents undefined. */
lur_status lur_pool_take(lur_pool *pool, size_t bytes, void **memory);
/* Gives back what lur_pool_take gave; fit for lur_tensor_wrap. Any thread. */
void lur_pool_give(void *memory, size_t bytes);

#endif
