/* ref.c - the table of the reference backend, and its memory: ordinary host memory, 64-byte aligned. */
#include "ref.h"

#include <stdlib.h>
#include <string.h>

static lur_status ref_count(int *devices) {
  *devices = 1;
  return LUR_OK;
}

static lur_status ref_open(lur_device *device) {
  device->state = NULL;
  return LUR_OK;
}

static void ref_close(lur_device *device) { (void)device; }

static lur_status ref_alloc(lur_device *device, size_t bytes, void **memory) {
  (void)device;
  /* No object is larger than PTRDIFF_MAX; the allocators of sanitizers abort on a larger request. */
  size_t rounded = bytes ? (bytes + 63) & ~(size_t)63 : 64;
  void *made = bytes < PTRDIFF_MAX - 64 ? aligned_alloc(64, rounded) : NULL;
  if (!made) return lur_fail(LUR_ENOMEM, "%s: no memory for %zu bytes", device->name, bytes);
  *memory = made;
  return LUR_OK;
}

static void ref_free(lur_device *device, void *memory) {
  (void)device;
  free(memory);
}

static lur_status ref_copy(lur_device *device, void *dst, const void *src, size_t bytes, lur_copy_kind kind) {
  (void)device, (void)kind;
  if (bytes) memmove(dst, src, bytes);
  return LUR_OK;
}

static lur_status ref_fill(lur_device *device, void *memory, int byte, size_t bytes) {
  (void)device;
  if (bytes) memset(memory, byte, bytes);
  return LUR_OK;
}

static lur_status ref_sync(lur_device *device) {
  (void)device;
  return LUR_OK;
}

lur_status lur_ref_want_f32(const lur_op *op, unsigned skip_x) {
  const lur_op_desc *d = &op->desc;
  for (int i = 0; i < d->nx; i++)
    if (!(skip_x >> i & 1u) && d->x[i].dtype != LUR_F32)
      return lur_fail(LUR_ETYPE, "x[%d] is %s, %s computes in f32 only", i, lur_dtype_name(d->x[i].dtype),
                      op->device->name);
  for (int i = 0; i < d->nw; i++) /* an absent gamma or beta has no dimensions */
    if (d->w[i].shape.ndim > 0 && d->w[i].dtype != LUR_F32)
      return lur_fail(LUR_ETYPE, "w[%d] is %s, %s computes in f32 only", i, lur_dtype_name(d->w[i].dtype),
                      op->device->name);
  return LUR_OK;
}

const float *lur_ref_relu_dy(bool relu, const lur_args *args, float *scratch, int64_t count) {
  const float *dy = args->dy, *y = args->y;
  if (!relu) return dy;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) scratch[i] = (float)ref_relu_dy((double)y[i], (double)dy[i]);
  return scratch;
}

void lur_ref_put_all(float *dx, const float *dy, int64_t count, bool add) {
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) ref_put(dx, i, (double)dy[i], add);
}

void lur_ref_add_columns(const float *dy, int64_t rows, int64_t c, float *db) {
#pragma omp parallel for
  for (int64_t i = 0; i < c; i++) {
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) sum += (double)dy[r * c + i];
    ref_put(db, i, sum, true);
  }
}

#define ROW(KIND, name) [LUR_OP_##KIND] = &lur_ref_##name,
const lur_backend lur_ref_backend = {.name = "ref",
                                     .host_memory = true,
                                     .affine = true,
                                     .int8 = true,
                                     .count = ref_count,
                                     .open = ref_open,
                                     .close = ref_close,
                                     .alloc = ref_alloc,
                                     .free = ref_free,
                                     .copy = ref_copy,
                                     .fill = ref_fill,
                                     .sync = ref_sync,
                                     .update = lur_ref_update,
                                     .gradient_norm = lur_ref_gradient_norm,
                                     .lerp = lur_ref_lerp,
                                     .kernels = {LUR_OP_KINDS(ROW)}};
