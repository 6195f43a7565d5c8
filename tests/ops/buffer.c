/* buffer.c - device buffers between guard zones. A guard is filled with one rare NaN: writes to it are detected, and
 * reads make the result NaN. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { GUARD = 256 };
static const uint32_t RARE_NAN = 0x7FC1A5C3u;

static void nan_fill(char *at, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) at[i] = (char)(RARE_NAN >> 8 * (i % 4));
}

static lur_status write_buffer(const buffer *b, const void *data) {
  size_t whole = b->bytes + 2 * GUARD;
  char *image = check_alloc(whole);
  nan_fill(image, GUARD);
  if (data) memcpy(image + GUARD, data, b->bytes);
  else nan_fill(image + GUARD, b->bytes);
  nan_fill(image + GUARD + b->bytes, GUARD);
  lur_status status = lur_device_copy(b->device, b->base, image, whole, LUR_COPY_TO_DEVICE);
  if (status == LUR_OK) status = lur_device_sync(b->device);
  free(image);
  return status;
}

lur_status buffer_new(lur_device *device, size_t bytes, const void *data, buffer *b) {
  void *memory = NULL;
  *b = (buffer){device, NULL, bytes};
  if (bytes == 0) return LUR_OK;
  LUR_TRY(lur_device_alloc(device, bytes + 2 * GUARD, &memory));
  b->base = memory;
  return write_buffer(b, data);
}

void *buffer_data(const buffer *b) { return b->base ? b->base + GUARD : NULL; }

lur_status buffer_poison(const buffer *b) { return b->base ? write_buffer(b, NULL) : LUR_OK; }

lur_status buffer_read(const buffer *b, void *host, bool *intact) {
  if (!b->base) {
    *intact = true;
    return LUR_OK;
  }
  size_t whole = b->bytes + 2 * GUARD;
  char *image = check_alloc(whole), guard[GUARD];
  nan_fill(guard, GUARD);
  lur_status status = lur_device_copy(b->device, image, b->base, whole, LUR_COPY_TO_HOST);
  if (status == LUR_OK) status = lur_device_sync(b->device);
  if (status == LUR_OK) {
    *intact = memcmp(image, guard, GUARD) == 0 && memcmp(image + GUARD + b->bytes, guard, GUARD) == 0;
    if (host) memcpy(host, image + GUARD, b->bytes);
  }
  free(image);
  return status;
}

void buffer_free(buffer *b) {
  if (b->base) lur_device_free(b->device, b->base);
  b->base = NULL;
}
