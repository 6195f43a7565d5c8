/* resize.h - Pillow's Image.resize, bit for bit; resize.c names the versions. */
#ifndef LUR_RESIZE_H
#define LUR_RESIZE_H

#include "rgbx.h"

/* Resizes src to width x height into dst. scratch holds the image between the two passes. LUR_EARG: a side below 1. */
lur_status lur_rgbx_resample(const lur_rgbx *src, int width, int height, lur_resize_filter filter, lur_rgbx *dst,
                             lur_rgbx *scratch);

#endif
