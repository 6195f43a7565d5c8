/* image.h - decoded pixels and what the data files share about them. Not public, knows no tensor.
 *
 * An image is 8-bit RGBX: four bytes a pixel, so that one 32-bit load fetches a pixel and libjpeg-turbo writes it
 * at no extra cost. X is never read. An image keeps its memory from one use to the next. */
#ifndef LUR_RGBX_H
#define LUR_RGBX_H

#include <stdatomic.h>

#include "engine/lurcher.h"

enum {
  LUR_RGBX_PAD = 64
}; /* readable bytes after one row more than there are: neighbours and wide loads need not stop short */

typedef struct lur_rgbx {
  int width, height;
  uint8_t *pixels; /* row y begins at pixels + 4 * width * y; one pixel behind `memory`, see lur_rgbx_resize_buffer */
  void *memory;
  size_t capacity; /* of memory */
} lur_rgbx;

/* Makes room for width x height pixels and sets both; what was there is lost. */
lur_status lur_rgbx_resize_buffer(lur_rgbx *image, int width, int height);
void lur_rgbx_free(lur_rgbx *image);

/* Growing memory for a file's bytes and other scratch. */
typedef struct lur_bytes {
  uint8_t *data;
  size_t count, capacity;
} lur_bytes;
lur_status lur_bytes_reserve(lur_bytes *bytes, size_t capacity);
void lur_bytes_free(lur_bytes *bytes);
/* The whole file; LUR_EIO, and LUR_EFORMAT for an empty one or one over 1 GiB. */
lur_status lur_bytes_read(const char *path, lur_bytes *bytes);

typedef enum lur_image_codec { LUR_CODEC_UNKNOWN = 0, LUR_CODEC_JPEG, LUR_CODEC_PNG } lur_image_codec;
lur_image_codec lur_image_sniff(const uint8_t *bytes, size_t count);

/* How a decoder is asked. choose_scale gets the image's size as shown and answers 1, 2 or 4: what to divide it by
   while decoding. NULL: 1. stop, where given, ends a long decode early with LUR_EINTERRUPTED. */
typedef struct lur_decode_request {
  bool exif;
  int64_t max_pixels;
  int (*choose_scale)(int width, int height, void *user);
  void *user;
  const atomic_bool *stop;
} lur_decode_request;
void lur_decode_request_init(lur_decode_request *request, const lur_decode_options *options);
/* LUR_EFORMAT when an image of this size is empty or has more pixels than the request allows. */
lur_status lur_decode_check_size(const lur_decode_request *request, int64_t width, int64_t height);

/* Any format. full_width and full_height (may be NULL): the size before scaling, turned as the image is. */
lur_status lur_rgbx_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                           int *full_width, int *full_height);
/* *orientation: EXIF's 1..8, 1 where there is none or the request does not ask. */
lur_status lur_jpeg_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                           int *full_width, int *full_height, int *orientation);
lur_status lur_png_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image);
/* rgb: height x width x channels (3 or 1) bytes. The result replaces what bytes held. */
lur_status lur_jpeg_encode(const uint8_t *pixels, int width, int height, int channels, int quality, lur_bytes *bytes);
lur_status lur_png_encode(const uint8_t *pixels, int width, int height, int channels, lur_bytes *bytes);

/* Pillow's Image.resize, bit for bit, of RGBX images. scratch holds the image between the two passes. */
lur_status lur_rgbx_resample(const lur_rgbx *src, int width, int height, lur_resize_filter filter, lur_rgbx *dst,
                             lur_rgbx *scratch);

#endif
