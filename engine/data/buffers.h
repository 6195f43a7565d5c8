/* buffers.h - a pool of batch memory: releasing a batch's tensor returns its buffer to the loader that made it.
 *
 * A batch of 64 images of 299 x 299 takes 68 MB; allocating that from the system costs more than decoding one image.
 * The pool outlives its loader until the last tensor that uses one of its buffers is released. */
#ifndef LUR_BUFFERS_H
#define LUR_BUFFERS_H

#include "engine/lurcher.h"

typedef struct lur_buffer_pool lur_buffer_pool;
/* device: allocates the host memory (NULL: ordinary memory). keep: how many free buffers to keep. */
lur_status lur_buffer_pool_new(lur_context *context, lur_device *device, int keep, lur_buffer_pool **pool);
/* Drops the owner's reference. Free buffers are freed now, those in use when they are returned. */
void lur_buffer_pool_close(lur_buffer_pool *pool);
/* A buffer, aligned to 64 bytes; its contents are undefined. */
lur_status lur_buffer_pool_take(lur_buffer_pool *pool, size_t bytes, void **memory);
/* Returns a buffer to its pool, from any thread. The signature is what lur_tensor_wrap takes as its release. */
void lur_buffer_pool_give(void *memory, size_t bytes);

#endif
