/* tensor_copy.c - copies elements between dtypes and devices, and reads and writes single ones.
 *
 * To add a dtype: a case in load_block and store_block. */
#include <math.h>
#include <string.h>

#include "kernels/backend.h"
#include "tensor_host.h"

/* ---- elements ---- */

int32_t lur_saturate_i32(double value) {
  if (isnan(value)) return 0;
  if (value >= 2147483647.0) return INT32_MAX;
  if (value <= -2147483648.0) return INT32_MIN;
  return (int32_t)value;
}

static uint8_t saturate_u8(double value) {
  if (!(value > 0)) return 0; /* NaN too */
  return value >= 255 ? 255 : (uint8_t)value;
}

enum { BLOCK = 256 };

static void load_block(double *to, const void *from, lur_dtype dtype, int64_t first, int n) {
  switch (dtype) {
  case LUR_F32:
    for (int i = 0; i < n; i++) to[i] = (double)((const float *)from)[first + i];
    break;
  case LUR_F16:
    for (int i = 0; i < n; i++) to[i] = (double)lur_f16_to_f32(((const uint16_t *)from)[first + i]);
    break;
  case LUR_BF16:
    for (int i = 0; i < n; i++) to[i] = (double)lur_bf16_to_f32(((const uint16_t *)from)[first + i]);
    break;
  case LUR_I32:
    for (int i = 0; i < n; i++) to[i] = (double)((const int32_t *)from)[first + i];
    break;
  case LUR_U8:
    for (int i = 0; i < n; i++) to[i] = (double)((const uint8_t *)from)[first + i];
    break;
  case LUR_DTYPE_COUNT: break;
  }
}

static void store_block(void *to, const double *from, lur_dtype dtype, int64_t first, int n) {
  switch (dtype) {
  case LUR_F32:
    for (int i = 0; i < n; i++) ((float *)to)[first + i] = (float)from[i];
    break;
  case LUR_F16:
    for (int i = 0; i < n; i++) ((uint16_t *)to)[first + i] = lur_f32_to_f16((float)from[i]);
    break;
  case LUR_BF16:
    for (int i = 0; i < n; i++) ((uint16_t *)to)[first + i] = lur_f32_to_bf16((float)from[i]);
    break;
  case LUR_I32:
    for (int i = 0; i < n; i++) ((int32_t *)to)[first + i] = lur_saturate_i32(from[i]);
    break;
  case LUR_U8:
    for (int i = 0; i < n; i++) ((uint8_t *)to)[first + i] = saturate_u8(from[i]);
    break;
  case LUR_DTYPE_COUNT: break;
  }
}

void lur_elements_convert(void *dst, lur_dtype to, const void *src, lur_dtype from, int64_t count) {
  double block[BLOCK]; /* a double holds every value of every dtype */
  for (int64_t first = 0; first < count; first += BLOCK) {
    int n = count - first < BLOCK ? (int)(count - first) : BLOCK;
    load_block(block, src, from, first, n);
    store_block(dst, block, to, first, n);
  }
}

/* ---- between devices ---- */

/* Between two devices, bytes go through host memory. */
static lur_status copy_staged(lur_device *dst_device, void *dst, lur_device *src_device, const void *src,
                              size_t bytes) {
  unsigned char stage[4096];
  for (size_t done = 0; done < bytes;) {
    size_t n = bytes - done < sizeof stage ? bytes - done : sizeof stage;
    LUR_TRY(lur_device_copy(src_device, stage, (const char *)src + done, n, LUR_COPY_TO_HOST));
    LUR_TRY(lur_device_sync(src_device));
    LUR_TRY(lur_device_copy(dst_device, (char *)dst + done, stage, n, LUR_COPY_TO_DEVICE));
    LUR_TRY(lur_device_sync(dst_device));
    done += n;
  }
  return LUR_OK;
}

lur_status lur_memory_copy(lur_device *dst_device, void *dst, lur_device *src_device, const void *src, size_t bytes) {
  bool dst_host = dst_device->backend->host_memory, src_host = src_device->backend->host_memory;
  if (dst_host && src_host) {
    memmove(dst, src, bytes); /* the two may be views of one storage */
    return LUR_OK;
  }
  if (dst_device == src_device) {
    LUR_TRY(lur_device_copy(dst_device, dst, src, bytes, LUR_COPY_WITHIN));
    return lur_device_sync(dst_device);
  }
  if (!dst_host && !src_host) return copy_staged(dst_device, dst, src_device, src, bytes);
  lur_device *device = dst_host ? src_device : dst_device;
  LUR_TRY(lur_device_copy(device, dst, src, bytes, dst_host ? LUR_COPY_TO_HOST : LUR_COPY_TO_DEVICE));
  return lur_device_sync(device); /* the caller may free either side as soon as this returns */
}

lur_status lur_tensor_copy(lur_tensor *dst, lur_tensor *src) {
  if (!lur_shape_equal(&dst->shape, &src->shape)) {
    char to[LUR_SHAPE_TEXT], from[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "copy: %s into %s (equal shapes expected)", lur_shape_format(&src->shape, from),
                    lur_shape_format(&dst->shape, to));
  }
  if (dst->dtype != src->dtype) {
    return lur_fail(LUR_ETYPE, "copy: %s into %s (equal dtypes expected; cast first)", lur_dtype_name(src->dtype),
                    lur_dtype_name(dst->dtype));
  }
  dst->storage->writes++;
  return lur_memory_copy(dst->storage->device, lur_tensor_address(dst), src->storage->device, lur_tensor_address(src),
                         lur_tensor_bytes(src));
}

static lur_status copy_to(lur_tensor *tensor, lur_device *device, lur_tensor **copy) {
  lur_tensor *made;
  LUR_TRY(lur_tensor_new(tensor->storage->context, device, tensor->dtype, &tensor->shape, &made));
  lur_status status = lur_tensor_copy(made, tensor);
  if (status != LUR_OK) {
    lur_tensor_release(made);
    return status;
  }
  *copy = made;
  return LUR_OK;
}

lur_status lur_tensor_clone(lur_tensor *tensor, lur_tensor **copy) {
  return copy_to(tensor, tensor->storage->device, copy);
}

lur_status lur_tensor_to(lur_tensor *tensor, lur_device *device, lur_tensor **copy) {
  if (tensor->storage->device != device) return copy_to(tensor, device, copy);
  lur_tensor_retain(tensor);
  *copy = tensor;
  return LUR_OK;
}

/* ---- between dtypes ---- */

static lur_status cast_host(lur_tensor *tensor, lur_dtype dtype, lur_tensor **copy) {
  lur_tensor *made;
  LUR_TRY(lur_tensor_blank(tensor->storage->context, dtype, &tensor->shape, &made));
  lur_elements_convert(lur_tensor_data(made), dtype, lur_tensor_data(tensor), tensor->dtype,
                       lur_shape_count(&tensor->shape));
  *copy = made;
  return LUR_OK;
}

lur_status lur_tensor_cast(lur_tensor *tensor, lur_dtype dtype, lur_tensor **copy) {
  if ((unsigned)dtype >= LUR_DTYPE_COUNT)
    return lur_fail(LUR_EARG, "cast: dtype %d (0 to %d expected)", (int)dtype, LUR_DTYPE_COUNT - 1);
  if (dtype == tensor->dtype) return lur_tensor_clone(tensor, copy);
  lur_device *home = tensor->storage->device, *host;
  LUR_TRY(lur_context_device(tensor->storage->context, "cpu", &host));
  if (home == host) return cast_host(tensor, dtype, copy);
  lur_tensor *here = NULL, *cast = NULL;
  lur_status status = lur_tensor_to(tensor, host, &here);
  if (status == LUR_OK) status = cast_host(here, dtype, &cast);
  if (status == LUR_OK) status = lur_tensor_to(cast, home, copy);
  lur_tensor_release(cast);
  lur_tensor_release(here);
  return status;
}

lur_status lur_tensor_as(const char *what, lur_tensor *tensor, lur_dtype dtype, lur_tensor **y) {
  LUR_TRY(lur_tensor_need_host(what, tensor));
  if (tensor->dtype != dtype) return cast_host(tensor, dtype, y);
  lur_tensor_retain(tensor);
  *y = tensor;
  return LUR_OK;
}

/* ---- one element, all elements ---- */

static lur_status element(const lur_tensor *tensor, int64_t index, void **address, lur_device **host) {
  int64_t count = lur_shape_count(&tensor->shape);
  if (index < 0 || index >= count) {
    char text[LUR_SHAPE_TEXT];
    return lur_fail(LUR_EARG, "element %lld of a tensor of %s (0 to %lld expected)", (long long)index,
                    lur_shape_format(&tensor->shape, text), (long long)count - 1);
  }
  LUR_TRY(lur_context_device(tensor->storage->context, "cpu", host));
  *address = (char *)lur_tensor_address(tensor) + (size_t)index * lur_dtype_size(tensor->dtype);
  return LUR_OK;
}

lur_status lur_tensor_get(const lur_tensor *tensor, int64_t index, double *value) {
  void *address = NULL;
  lur_device *host;
  double bits = 0; /* room for one element of any dtype */
  LUR_TRY(element(tensor, index, &address, &host));
  LUR_TRY(lur_memory_copy(host, &bits, tensor->storage->device, address, lur_dtype_size(tensor->dtype)));
  load_block(value, &bits, tensor->dtype, 0, 1);
  return LUR_OK;
}

lur_status lur_tensor_set(lur_tensor *tensor, int64_t index, double value) {
  void *address = NULL;
  lur_device *host;
  double bits = 0;
  LUR_TRY(element(tensor, index, &address, &host));
  store_block(&bits, &value, tensor->dtype, 0, 1);
  tensor->storage->writes++;
  return lur_memory_copy(tensor->storage->device, address, host, &bits, lur_dtype_size(tensor->dtype));
}

lur_status lur_tensor_fill(lur_tensor *tensor, double value) {
  double block[BLOCK], stored[BLOCK];
  int64_t count = lur_shape_count(&tensor->shape);
  size_t size = lur_dtype_size(tensor->dtype);
  for (int i = 0; i < BLOCK; i++) block[i] = value;
  store_block(stored, block, tensor->dtype, 0, BLOCK);
  lur_device *host;
  LUR_TRY(lur_context_device(tensor->storage->context, "cpu", &host));
  tensor->storage->writes++;
  for (int64_t first = 0; first < count; first += BLOCK) {
    size_t n = count - first < BLOCK ? (size_t)(count - first) : BLOCK;
    LUR_TRY(lur_memory_copy(tensor->storage->device, (char *)lur_tensor_address(tensor) + (size_t)first * size, host,
                            stored, n * size));
  }
  return LUR_OK;
}
