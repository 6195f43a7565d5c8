/* image.h - what the files of the public image functions share: images as tensors and as RGBX. */
#ifndef LUR_DATA_IMAGE_H
#define LUR_DATA_IMAGE_H

#include "rgbx.h"

/* Whether a tensor is a u8 image, h x w x 3, in host memory; what: the function's name for the message. */
lur_status lur_image_check(lur_tensor *image, const char *what);
/* Memory for the pixels of a result, height x width x 3; lur_image_wrap takes it. */
lur_status lur_image_alloc(int64_t height, int64_t width, uint8_t **pixels);
/* A u8 h x w x 3 tensor over pixels from malloc. Takes ownership of them, on failure too. */
lur_status lur_image_wrap(lur_context *context, uint8_t *pixels, int64_t height, int64_t width, lur_tensor **image);
/* Copies a checked image; the caller frees *rgbx, on failure too. */
lur_status lur_image_to_rgbx(lur_tensor *image, lur_rgbx *rgbx);
/* The byte nearest to a value; NaN: 0. */
static inline uint8_t lur_image_byte(float v) { return v >= 255.0f ? 255 : v > 0.0f ? (uint8_t)(v + 0.5f) : 0; }

#endif
