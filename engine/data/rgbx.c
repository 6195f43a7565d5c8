/* rgbx.c - memory of RGBX images; see rgbx.h. */
#include "rgbx.h"

#include <stdlib.h>
#include <string.h>

/* Pixels begin unaligned on purpose: libjpeg-turbo writes aligned rows with non-temporal stores, and reading them back
   from memory for a resize or a warp then costs more than half as much as decoding a small image. */
enum { OFFSET = 4 };

lur_status lur_rgbx_resize_buffer(lur_rgbx *image, int width, int height) {
  size_t row = 4 * (size_t)width, need = row * (size_t)height + row + LUR_RGBX_PAD + OFFSET;
  if (need > image->capacity) {
    lur_rgbx_free(image);
    void *memory = NULL;
    if (posix_memalign(&memory, 64, need) != 0)
      return lur_fail(LUR_ENOMEM, "out of memory for an image of %dx%d", width, height);
    image->memory = memory;
    image->pixels = (uint8_t *)memory + OFFSET;
    image->capacity = need;
  }
  image->width = width;
  image->height = height;
  memset(image->pixels + row * (size_t)height, 0, row + LUR_RGBX_PAD);
  return LUR_OK;
}

void lur_rgbx_free(lur_rgbx *image) {
  free(image->memory);
  *image = (lur_rgbx){0};
}
