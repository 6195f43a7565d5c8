/* tensor.h - the inside of a tensor: a window onto storage that several tensors may share. Functions that programs may
 * call are declared in lurcher.h. */
#ifndef LUR_TENSOR_H
#define LUR_TENSOR_H

#include <stdatomic.h>

#include "engine/lurcher.h"

typedef struct lur_storage {
  atomic_int refs;
  lur_context *context;
  lur_device *device;
  void *memory;
  size_t bytes;
  void (*free_memory)(void *memory, size_t bytes); /* NULL: the device frees it */
  uint64_t writes; /* number of calls that wrote through a tensor: set, fill, copy, draws */
} lur_storage;

struct lur_tensor {
  atomic_int refs;
  lur_storage *storage;
  lur_dtype dtype;
  lur_shape shape;
  size_t offset; /* bytes */
};

/* Address in the memory of the tensor's device. */
void *lur_tensor_address(const lur_tensor *tensor);
/* A tensor over host memory that the caller allocated. free_memory is called with it when the last reference goes;
   NULL: it is not freed. */
lur_status lur_tensor_wrap(lur_context *context, void *memory, lur_dtype dtype, const lur_shape *shape,
                           void (*free_memory)(void *memory, size_t bytes), lur_tensor **tensor);

#endif
