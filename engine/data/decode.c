/* decode.c - see decode.h: recognises the format, calls its codec, scales what the codec could not, applies the EXIF
 * orientation. The formats themselves are in jpeg.c and png.c; codecs.h describes how to add one. */
#include "decode.h"

#include <string.h>
#include <strings.h>

#include "codecs.h"

/* ---- formats ---- */

lur_image_format lur_image_sniff(const uint8_t *bytes, size_t count) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  if (count >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) return LUR_IMAGE_JPEG;
  if (count >= 8 && memcmp(bytes, png, 8) == 0) return LUR_IMAGE_PNG;
  return LUR_IMAGE_UNKNOWN;
}

lur_image_format lur_image_format_of_name(const char *path) {
  const char *dot = strrchr(path, '.');
  if (dot && strcasecmp(dot, ".png") == 0) return LUR_IMAGE_PNG;
  return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0) ? LUR_IMAGE_JPEG : LUR_IMAGE_UNKNOWN;
}

/* ---- scaling ---- */

/* Averages blocks of 2 x 2 pixels, in place; at an odd edge, of what there is. Writing never overtakes reading. */
static void halve(lur_rgbx *image) {
  int w = image->width, h = image->height, hw = (w + 1) / 2, hh = (h + 1) / 2;
  uint8_t *dst = image->pixels;
  for (int y = 0; y < hh; y++) {
    int y1 = 2 * y + 1 < h ? 2 * y + 1 : 2 * y;
    const uint8_t *a = image->pixels + 8 * (size_t)w * (size_t)y, *b = image->pixels + 4 * (size_t)w * (size_t)y1;
    for (int x = 0; x < hw; x++) {
      size_t left = 8 * (size_t)x, right = 2 * x + 1 < w ? left + 4 : left;
      for (size_t c = 0; c < 4; c++)
        *dst++ = (uint8_t)((a[left + c] + a[right + c] + b[left + c] + b[right + c] + 2) >> 2);
    }
  }
  image->width = hw;
  image->height = hh;
}

/* ---- orientation ---- */

/* The stored pixel (*sx, *sy), of a w x h image, that is shown at (x, y). EXIF 2.3, tag 0x0112. */
static void orientation_source(int orientation, int w, int h, int x, int y, int *sx, int *sy) {
  switch (orientation) {
  case 2: *sx = w - 1 - x, *sy = y; break;
  case 3: *sx = w - 1 - x, *sy = h - 1 - y; break;
  case 4: *sx = x, *sy = h - 1 - y; break;
  case 5: *sx = y, *sy = x; break;
  case 6: *sx = y, *sy = h - 1 - x; break;
  case 7: *sx = w - 1 - y, *sy = h - 1 - x; break;
  case 8: *sx = w - 1 - y, *sy = x; break;
  default: *sx = x, *sy = y; break;
  }
}

static lur_status apply_orientation(lur_rgbx *image, int orientation) {
  bool swap = orientation >= 5;
  int w = image->width, h = image->height;
  lur_rgbx oriented = {0};
  LUR_TRY(lur_rgbx_resize_buffer(&oriented, swap ? h : w, swap ? w : h));
  const uint32_t *src = (const uint32_t *)(const void *)image->pixels;
  uint32_t *dst = (uint32_t *)(void *)oriented.pixels;
  for (int y = 0; y < oriented.height; y++)
    for (int x = 0; x < oriented.width; x++) {
      int sx, sy;
      orientation_source(orientation, w, h, x, y, &sx, &sy);
      *dst++ = src[(size_t)sy * (size_t)w + (size_t)sx];
    }
  lur_rgbx_free(image);
  *image = oriented;
  return LUR_OK;
}

/* ---- dispatch ---- */

lur_status lur_rgbx_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                           int *full_width, int *full_height) {
  int width = 0, height = 0, orientation = 1;
  bool scaled = false; /* by the codec */
  switch (lur_image_sniff(bytes, count)) {
  case LUR_IMAGE_JPEG:
    LUR_TRY(lur_jpeg_decode(bytes, count, request, image, &width, &height, &orientation));
    scaled = true;
    break;
  case LUR_IMAGE_PNG:
    LUR_TRY(lur_png_decode(bytes, count, request, image, &orientation));
    width = image->width, height = image->height;
    break;
  default: return lur_fail(LUR_EFORMAT, "neither JPEG nor PNG");
  }
  bool swap = orientation >= 5;
  int final_width = swap ? height : width, final_height = swap ? width : height;
  int scale = !scaled && request->choose_scale ? request->choose_scale(final_width, final_height, request->user) : 1;
  for (; scale > 1; scale /= 2) halve(image);
  if (orientation > 1) LUR_TRY(apply_orientation(image, orientation));
  if (full_width) *full_width = final_width;
  if (full_height) *full_height = final_height;
  if (request->orientation) *request->orientation = orientation;
  return LUR_OK;
}
