/* rgbx.h - decoded pixels as the data files share them. Not public; knows no tensor and no file format.
 *
 * An image is 8-bit RGBX: four bytes per pixel, so that one 32-bit load fetches a pixel, and libjpeg-turbo writes it at
 * no extra cost. X is never read. An image keeps its memory from one use to the next. */
#ifndef LUR_RGBX_H
#define LUR_RGBX_H

#include "engine/lurcher.h"

/* Readable bytes after one extra row: loads of neighbours and wide loads may run past the last pixel. */
enum { LUR_RGBX_PAD = 64 };

typedef struct lur_rgbx { /* zero-initialised: empty */
  int width, height;
  uint8_t *pixels; /* row y begins at pixels + 4 * width * y; inside memory */
  void *memory;
  size_t capacity; /* of memory */
} lur_rgbx;

/* Makes room for width x height pixels and sets both; the old contents are lost. */
lur_status lur_rgbx_resize_buffer(lur_rgbx *image, int width, int height);
void lur_rgbx_free(lur_rgbx *image);

#endif
