/* codecs.h - the image formats: jpeg.c and png.c. decode.c chooses between them by content.
 *
 * To add a format: a file like png.c, its two functions here, a value of lur_image_format (engine/data.h), its
 * signature in lur_image_sniff and a case in lur_rgbx_decode. */
#ifndef LUR_CODECS_H
#define LUR_CODECS_H

#include "bytes.h"
#include "decode_request.h"
#include "rgbx.h"

/* Decodes into *image, at the divisor that the request chooses. *full_width and *full_height: the stored size, before
   scaling and orientation. *orientation: EXIF's 1..8, not applied; 1 where there is none or request->exif is false. */
lur_status lur_jpeg_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                           int *full_width, int *full_height, int *orientation);
/* Decodes at full size: PNG has no scaled decoding. */
lur_status lur_png_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                          int *orientation);

/* pixels: height x width x channels (1 or 3) bytes. quality: 1..100. The result replaces the contents of *bytes. */
lur_status lur_jpeg_encode(const uint8_t *pixels, int width, int height, int channels, int quality, lur_bytes *bytes);
lur_status lur_png_encode(const uint8_t *pixels, int width, int height, int channels, lur_bytes *bytes);

#endif
