/* image.c - memory of images, reading a file, telling formats apart, turning by EXIF orientation.
 * The formats themselves are in jpeg.c and png.c; a new one is a file like those, a row in lur_image_sniff and
 * a case in lur_rgbx_decode. */
#include "rgbx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_MAX_PIXELS = 100000000, MAX_SIDE = 1 << 20 };
static const size_t max_file = (size_t)1 << 30;

/* ---- memory ---- */

/* Pixels begin off alignment on purpose: into aligned rows libjpeg-turbo writes past the caches, and reading them again
   for a resize or a warp right afterwards then costs more than half as much as decoding a small image. */
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

lur_status lur_bytes_reserve(lur_bytes *bytes, size_t capacity) {
  if (capacity <= bytes->capacity) return LUR_OK;
  uint8_t *data = realloc(bytes->data, capacity);
  if (!data) return lur_fail(LUR_ENOMEM, "out of memory for %zu bytes", capacity);
  bytes->data = data;
  bytes->capacity = capacity;
  return LUR_OK;
}

void lur_bytes_free(lur_bytes *bytes) {
  free(bytes->data);
  *bytes = (lur_bytes){0};
}

/* Averages 2 x 2 pixels; odd ones at the edge stand alone. Written behind what is read. */
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

/* ---- files ---- */

static lur_status read_open_file(int file, lur_bytes *bytes) {
  struct stat info;
  if (fstat(file, &info) != 0) return lur_fail(LUR_EIO, "cannot read: %s", strerror(errno));
  if (S_ISDIR(info.st_mode)) return lur_fail(LUR_EIO, "is a folder, not an image");
  if (!S_ISREG(info.st_mode)) return lur_fail(LUR_EIO, "is no regular file");
  if (info.st_size == 0) return lur_fail(LUR_EFORMAT, "empty file");
  if ((uint64_t)info.st_size > max_file)
    return lur_fail(LUR_EFORMAT, "file of %lld bytes is too large for an image", (long long)info.st_size);
  size_t size = (size_t)info.st_size;
  LUR_TRY(lur_bytes_reserve(bytes, size));
  bytes->count = 0;
  while (bytes->count < size) {
    ssize_t got = read(file, bytes->data + bytes->count, size - bytes->count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return lur_fail(LUR_EIO, "cannot read: %s", strerror(errno));
    if (got == 0) break; /* cut while we read: the decoder will say so */
    bytes->count += (size_t)got;
  }
  return bytes->count ? LUR_OK : lur_fail(LUR_EFORMAT, "empty file");
}

lur_status lur_bytes_read(const char *path, lur_bytes *bytes) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* non-blocking: a named pipe must not hang a worker */
  if (file < 0) return lur_fail(LUR_EIO, "cannot open: %s", strerror(errno));
  lur_status status = read_open_file(file, bytes);
  close(file);
  return status;
}

/* ---- formats ---- */

lur_image_codec lur_image_sniff(const uint8_t *bytes, size_t count) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  if (count >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) return LUR_CODEC_JPEG;
  if (count >= 8 && memcmp(bytes, png, 8) == 0) return LUR_CODEC_PNG;
  return LUR_CODEC_UNKNOWN;
}

void lur_decode_request_init(lur_decode_request *request, const lur_decode_options *options) {
  *request = (lur_decode_request){.max_pixels = DEFAULT_MAX_PIXELS};
  if (!options) return;
  request->exif = options->exif;
  if (options->max_pixels > 0) request->max_pixels = options->max_pixels;
}

lur_status lur_decode_check_size(const lur_decode_request *request, int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
    return lur_fail(LUR_EFORMAT, "impossible size %lldx%lld", (long long)width, (long long)height);
  if (width * height > request->max_pixels)
    return lur_fail(LUR_EFORMAT, "%lldx%lld is more than the %lld pixels allowed (max_pixels)", (long long)width,
                    (long long)height, (long long)request->max_pixels);
  return LUR_OK;
}

/* ---- orientation ---- */

/* Where output pixel (x, y) of the turned image comes from, in an unturned one of w x h. EXIF 2.3, tag 0x0112. */
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

static lur_status orient(lur_rgbx *image, int orientation) {
  bool swap = orientation >= 5;
  int w = image->width, h = image->height;
  lur_rgbx turned = {0};
  LUR_TRY(lur_rgbx_resize_buffer(&turned, swap ? h : w, swap ? w : h));
  const uint32_t *src = (const uint32_t *)(const void *)image->pixels;
  uint32_t *dst = (uint32_t *)(void *)turned.pixels;
  for (int y = 0; y < turned.height; y++)
    for (int x = 0; x < turned.width; x++) {
      int sx, sy;
      orientation_source(orientation, w, h, x, y, &sx, &sy);
      *dst++ = src[(size_t)sy * (size_t)w + (size_t)sx];
    }
  lur_rgbx_free(image);
  *image = turned;
  return LUR_OK;
}

lur_status lur_rgbx_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                           int *full_width, int *full_height) {
  int width = 0, height = 0, orientation = 1;
  switch (lur_image_sniff(bytes, count)) {
  case LUR_CODEC_JPEG: LUR_TRY(lur_jpeg_decode(bytes, count, request, image, &width, &height, &orientation)); break;
  case LUR_CODEC_PNG:
    LUR_TRY(lur_png_decode(bytes, count, request, image));
    width = image->width, height = image->height;
    for (int scale = request->choose_scale ? request->choose_scale(width, height, request->user) : 1; scale > 1;
         scale /= 2)
      halve(image);
    break;
  default: return lur_fail(LUR_EFORMAT, "neither JPEG nor PNG");
  }
  if (orientation > 1) LUR_TRY(orient(image, orientation));
  bool swap = orientation >= 5;
  if (full_width) *full_width = swap ? height : width;
  if (full_height) *full_height = swap ? width : height;
  return LUR_OK;
}
