/* exif.h - the one tag of EXIF that matters here: how the camera was held. */
#ifndef LUR_EXIF_H
#define LUR_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* The orientation, 1 to 8, in a TIFF structure: the contents of a PNG's eXIf chunk, and of a JPEG's APP1 segment behind
   "Exif\0\0". 1 where the structure is malformed, or has none. */
int lur_exif_orientation(const uint8_t *tiff, size_t size);

#endif
