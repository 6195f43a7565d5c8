/* decode.h - from the bytes of an image file, of any known format, to RGBX pixels. */
#ifndef LUR_DECODE_H
#define LUR_DECODE_H

#include "decode_request.h"
#include "rgbx.h"

/* The format by its signature, or LUR_IMAGE_UNKNOWN. */
lur_image_format lur_image_sniff(const uint8_t *bytes, size_t count);
/* The format of a file name's extension (.jpg .jpeg .png, any case), or LUR_IMAGE_UNKNOWN. */
lur_image_format lur_image_format_of_name(const char *path);
/* Decodes into *image, scaled and oriented as requested. full_width and full_height (each may be NULL): the size before
   scaling, in the final orientation. LUR_EFORMAT: an unknown format, a damaged image, or one that is too large. */
lur_status lur_rgbx_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                           int *full_width, int *full_height);

#endif
