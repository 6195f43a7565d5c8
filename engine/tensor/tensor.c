/* tensor.c - tensors: reference counted storage on a device, and views of it.
 *
 * A tensor is a window (dtype, shape, offset) on a storage, always contiguous and row-major; there are no strides.
 * tensor_copy.c copies and converts elements, tensor_random.c draws them, tensor_slice.c takes and reorders them,
 * tensor_pick.c chooses by ids and masks, tensor_order.c sorts, tensor_math.c, tensor_reduce.c and tensor_matmul.c
 * compute. tensor_walk.c goes through tensors that broadcast, and through memories with strides. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/alloc.h"
#include "kernels/backend.h"
#include "tensor_host.h"

/* ---- storage ---- */

static void storage_release(lur_storage *storage) {
  if (!storage || atomic_fetch_sub(&storage->refs, 1) != 1) return;
  if (storage->free_memory) {
    storage->free_memory(storage->memory, storage->bytes);
  } else if (storage->memory) {
    lur_device_free(storage->device, storage->memory);
  }
  lur_context_release(storage->context); /* last: the context keeps the device open */
  free(storage);
}

static void keep_memory(void *memory, size_t bytes) {
  (void)memory;
  (void)bytes;
}

/* memory NULL: allocated on device, uninitialised. */
static lur_status storage_new(lur_context *context, lur_device *device, size_t bytes, void *memory,
                              void (*free_memory)(void *, size_t), lur_storage **storage) {
  lur_storage *made;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  made->context = context;
  made->device = device;
  made->bytes = bytes;
  made->memory = memory;
  made->free_memory = free_memory;
  if (!memory) {
    lur_status status = lur_device_alloc(device, bytes ? bytes : 1, &made->memory);
    if (status != LUR_OK) {
      free(made);
      return status;
    }
  }
  lur_context_retain(context);
  *storage = made;
  return LUR_OK;
}

/* Takes the caller's reference to storage, also on failure. */
static lur_status window_new(lur_storage *storage, lur_dtype dtype, const lur_shape *shape, size_t offset,
                             lur_tensor **tensor) {
  lur_tensor *made;
  lur_status status = lur_alloc_items(1, sizeof *made, &made);
  if (status != LUR_OK) {
    storage_release(storage);
    return status;
  }
  atomic_init(&made->refs, 1);
  made->storage = storage;
  made->dtype = dtype;
  made->shape = *shape;
  made->offset = offset;
  *tensor = made;
  return LUR_OK;
}

/* ---- creating ---- */

static lur_status check_form(lur_dtype dtype, const lur_shape *shape) {
  if ((unsigned)dtype >= LUR_DTYPE_COUNT)
    return lur_fail(LUR_EARG, "tensor: dtype %d (0 to %d expected)", (int)dtype, LUR_DTYPE_COUNT - 1);
  lur_status status = lur_shape_check(shape);
  return status == LUR_OK ? LUR_OK : lur_blame(status, "tensor");
}

static size_t form_bytes(lur_dtype dtype, const lur_shape *shape) {
  return (size_t)lur_shape_count(shape) * lur_dtype_size(dtype); /* at most 2^40 * 4 */
}

static lur_status make(lur_context *context, lur_device *device, lur_dtype dtype, const lur_shape *shape,
                       lur_tensor **tensor) {
  LUR_TRY(check_form(dtype, shape));
  if (!device) LUR_TRY(lur_context_device(context, "cpu", &device));
  lur_storage *storage;
  LUR_TRY(storage_new(context, device, form_bytes(dtype, shape), NULL, NULL, &storage));
  return window_new(storage, dtype, shape, 0, tensor);
}

lur_status lur_tensor_blank(lur_context *context, lur_dtype dtype, const lur_shape *shape, lur_tensor **tensor) {
  return make(context, NULL, dtype, shape, tensor);
}

lur_status lur_tensor_new(lur_context *context, lur_device *device, lur_dtype dtype, const lur_shape *shape,
                          lur_tensor **tensor) {
  lur_tensor *made;
  LUR_TRY(make(context, device, dtype, shape, &made));
  lur_status status = lur_device_fill(made->storage->device, made->storage->memory, 0, made->storage->bytes);
  if (status != LUR_OK) {
    lur_tensor_release(made);
    return status;
  }
  *tensor = made;
  return LUR_OK;
}

lur_status lur_tensor_wrap(lur_context *context, void *memory, lur_dtype dtype, const lur_shape *shape,
                           void (*free_memory)(void *memory, size_t bytes), lur_tensor **tensor) {
  LUR_TRY(check_form(dtype, shape));
  if (!memory) return lur_fail(LUR_EARG, "tensor: memory to wrap expected, got NULL");
  lur_device *device;
  LUR_TRY(lur_context_device(context, "cpu", &device));
  lur_storage *storage;
  LUR_TRY(storage_new(context, device, form_bytes(dtype, shape), memory, keep_memory, &storage));
  lur_tensor *made;
  LUR_TRY(window_new(storage, dtype, shape, 0, &made)); /* on failure the caller still owns the memory */
  if (free_memory) storage->free_memory = free_memory;
  *tensor = made;
  return LUR_OK;
}

void lur_tensor_retain(lur_tensor *tensor) { atomic_fetch_add(&tensor->refs, 1); }

void lur_tensor_release(lur_tensor *tensor) {
  if (!tensor || atomic_fetch_sub(&tensor->refs, 1) != 1) return;
  storage_release(tensor->storage);
  free(tensor);
}

/* ---- properties ---- */

lur_context *lur_tensor_context(const lur_tensor *tensor) { return tensor->storage->context; }
lur_device *lur_tensor_device(const lur_tensor *tensor) { return tensor->storage->device; }
lur_dtype lur_tensor_dtype(const lur_tensor *tensor) { return tensor->dtype; }
const lur_shape *lur_tensor_shape(const lur_tensor *tensor) { return &tensor->shape; }
size_t lur_tensor_bytes(const lur_tensor *tensor) { return form_bytes(tensor->dtype, &tensor->shape); }
void *lur_tensor_address(const lur_tensor *tensor) { return (char *)tensor->storage->memory + tensor->offset; }

void *lur_tensor_data(const lur_tensor *tensor) {
  return tensor->storage->device->backend->host_memory ? lur_tensor_address(tensor) : NULL;
}

lur_status lur_tensor_need_host(const char *what, const lur_tensor *tensor) {
  if (lur_tensor_data(tensor)) return LUR_OK;
  return lur_fail(LUR_EDEVICE,
                  "%s: a tensor in host memory expected, got one on '%s' (t:to \"cpu\", in C lur_tensor_to, copies it)",
                  what, tensor->storage->device->name);
}

/* ---- views ---- */

static lur_status view_of(lur_tensor *tensor, const lur_shape *shape, size_t skip, lur_tensor **view) {
  atomic_fetch_add(&tensor->storage->refs, 1);
  return window_new(tensor->storage, tensor->dtype, shape, tensor->offset + skip, view);
}

lur_status lur_tensor_view(lur_tensor *tensor, int64_t first, int64_t count, lur_tensor **view) {
  lur_shape shape = tensor->shape;
  if (shape.ndim == 0) return lur_fail(LUR_ESHAPE, "view: a tensor of at least one dimension expected, got a scalar");
  if (first < 0 || count < 0 || first > shape.dim[0] || count > shape.dim[0] - first) {
    char text[LUR_SHAPE_TEXT];
    return lur_fail(LUR_EARG, "view: %lld rows from row %lld exceed a tensor of %s", (long long)count,
                    (long long)first, lur_shape_format(&tensor->shape, text));
  }
  size_t skip = 0;
  if (first > 0) { /* there are rows, so that the extent of one is within bounds */
    shape.dim[0] = first;
    skip = form_bytes(tensor->dtype, &shape);
  }
  shape.dim[0] = count;
  return view_of(tensor, &shape, skip, view);
}

/* Fills in the one extent that is -1, if there is one. */
static lur_status settle(const lur_tensor *tensor, const lur_shape *wanted, lur_shape *shape) {
  int64_t count = lur_shape_count(&tensor->shape);
  int open = -1;
  *shape = *wanted;
  for (int i = 0; i < wanted->ndim && i < LUR_MAX_DIMS; i++) {
    if (wanted->dim[i] != -1) continue;
    if (open >= 0)
      return lur_fail(LUR_ESHAPE, "reshape: one extent may be -1, dimensions %d and %d both are", open + 1, i + 1);
    open = i;
    shape->dim[i] = 1;
  }
  LUR_TRY(lur_shape_check(shape));
  int64_t known = lur_shape_count(shape);
  if (open >= 0 && known > 0 && count % known == 0) {
    shape->dim[open] = count / known;
    known = count;
  }
  if (known == count && (open < 0 || count > 0 || shape->dim[open] == 0)) return LUR_OK;
  char from[LUR_SHAPE_TEXT], to[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "reshape: %s has %lld elements, they do not fill %s",
                  lur_shape_format(&tensor->shape, from), (long long)count, lur_shape_format(wanted, to));
}

lur_status lur_tensor_reshape(lur_tensor *tensor, const lur_shape *shape, lur_tensor **view) {
  lur_shape settled;
  LUR_TRY(settle(tensor, shape, &settled));
  return view_of(tensor, &settled, 0, view);
}
