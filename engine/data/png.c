/* png.c - PNG through libpng: every colour type and bit depth, interlaced or not, to 8-bit RGB.
 *
 * As Pillow's convert("RGB"): transparency is dropped, 16-bit channels keep their upper 8 bits, no gamma correction.
 * libpng reports errors by longjmp, which never leaves the function that called setjmp. */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "codecs.h"
#include "exif.h"

enum { CHUNK_LIMIT = 8 << 20 }; /* bytes of an ancillary chunk, decompressed */

typedef struct failure { /* filled by on_error */
  char message[128];
  bool memory; /* an allocation failed: no fault of the image */
} failure;

static void on_error(png_structp png, png_const_charp message) {
  failure *f = png_get_error_ptr(png);
  strncpy(f->message, message, sizeof f->message - 1);
  longjmp(png_jmpbuf(png), 1);
}

static void *take_memory(png_structp png, png_alloc_size_t size) {
  void *memory = malloc(size);
  if (!memory) ((failure *)png_get_mem_ptr(png))->memory = true;
  return memory;
}

static void give_memory(png_structp png, void *memory) {
  (void)png;
  free(memory);
}

static void on_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

/* ---- decoding ---- */

typedef struct source {
  const uint8_t *at;
  size_t left;
} source;

static void read_bytes(png_structp png, png_bytep out, png_size_t count) {
  source *s = png_get_io_ptr(png);
  if (count > s->left) png_error(png, "the file ends early");
  memcpy(out, s->at, count);
  s->at += count;
  s->left -= count;
}

typedef struct decoder {
  png_structp png;
  png_infop info;
  source source;
  failure failure;
  lur_status status;
} decoder;

static bool begin(decoder *d, const lur_decode_request *request, lur_rgbx *image) {
  png_read_info(d->png, d->info);
  int64_t width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
  if ((d->status = lur_decode_check_size(request, width, height)) != LUR_OK) return false;
  png_set_expand(d->png);
  png_set_strip_16(d->png);
  png_set_gray_to_rgb(d->png);
  png_set_strip_alpha(d->png);
  png_set_filler(d->png, 0xFF, PNG_FILLER_AFTER);
  png_set_interlace_handling(d->png);
  png_read_update_info(d->png, d->info);
  if (png_get_rowbytes(d->png, d->info) != 4 * (size_t)width) png_error(d->png, "unexpected row length");
  d->status = lur_rgbx_resize_buffer(image, (int)width, (int)height);
  return d->status == LUR_OK;
}

/* The eXIf chunk may come before or behind the pixels. PNG 3, section 11.3.4.6. */
static int find_orientation(decoder *d) {
#ifdef PNG_eXIf_SUPPORTED
  png_uint_32 count = 0;
  png_bytep exif = NULL;
  if (png_get_eXIf_1(d->png, d->info, &count, &exif) != 0 && exif != NULL) return lur_exif_orientation(exif, count);
#endif
  (void)d;
  return 1;
}

static bool read_rows(decoder *d, const lur_decode_request *request, lur_rgbx *image) {
  int passes = png_get_interlace_type(d->png, d->info) == PNG_INTERLACE_NONE ? 1 : PNG_INTERLACE_ADAM7_PASSES;
  size_t stride = 4 * (size_t)image->width;
  for (int pass = 0; pass < passes; pass++)
    for (int y = 0; y < image->height; y++) {
      png_read_row(d->png, image->pixels + stride * (size_t)y, NULL);
      if ((d->status = lur_decode_check_stop(request)) != LUR_OK) return false;
    }
  png_read_end(d->png, request->exif ? d->info : NULL);
  return true;
}

static lur_status decode(decoder *d, const lur_decode_request *request, lur_rgbx *image, int *orientation) {
  if (setjmp(png_jmpbuf(d->png))) {
    if (d->failure.memory) return lur_fail(LUR_ENOMEM, "out of memory for a PNG");
    return lur_fail(LUR_EFORMAT, "damaged PNG: %s", d->failure.message);
  }
  png_set_read_fn(d->png, &d->source, read_bytes);
  png_set_user_limits(d->png, 1 << 20, 1 << 20);
  png_set_chunk_malloc_max(d->png, CHUNK_LIMIT);
  if (begin(d, request, image) && read_rows(d, request, image) && request->exif) *orientation = find_orientation(d);
  return d->status;
}

lur_status lur_png_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                          int *orientation) {
  decoder d = {.source = {bytes, count}, .status = LUR_OK};
  d.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &d.failure, on_error, on_warning, &d.failure, take_memory,
                                   give_memory);
  d.info = d.png ? png_create_info_struct(d.png) : NULL;
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer cannot guess checksums */
  if (d.png) png_set_crc_action(d.png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
#endif
  *orientation = 1;
  lur_status status =
      d.info ? decode(&d, request, image, orientation) : lur_fail(LUR_ENOMEM, "out of memory for a PNG decoder");
  png_destroy_read_struct(&d.png, &d.info, NULL);
  return status;
}

/* ---- encoding ---- */

typedef struct encoder {
  png_structp png;
  png_infop info;
  lur_bytes *bytes;
  lur_status status; /* of a failure outside libpng */
  failure failure;
} encoder;

static void write_bytes(png_structp png, png_bytep data, png_size_t count) {
  encoder *e = png_get_io_ptr(png);
  lur_bytes *bytes = e->bytes;
  size_t need = bytes->count + count;
  if (need > bytes->capacity && (e->status = lur_bytes_reserve(bytes, need + need / 2 + 4096)) != LUR_OK)
    png_error(png, "out of memory");
  memcpy(bytes->data + bytes->count, data, count);
  bytes->count = need;
}

static void flush_nothing(png_structp png) { (void)png; }

static lur_status encode(encoder *e, const uint8_t *pixels, int width, int height, int channels) {
  if (setjmp(png_jmpbuf(e->png))) {
    return lur_fail(e->status != LUR_OK ? e->status
                    : e->failure.memory ? LUR_ENOMEM
                                        : LUR_EARG,
                    "cannot write a PNG of %dx%d: %s", width, height, e->failure.message);
  }
  png_set_write_fn(e->png, e, write_bytes, flush_nothing);
  png_set_IHDR(e->png, e->info, (png_uint_32)width, (png_uint_32)height, 8,
               channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(e->png, e->info);
  for (int y = 0; y < height; y++) png_write_row(e->png, pixels + (size_t)y * (size_t)width * (size_t)channels);
  png_write_end(e->png, e->info);
  return LUR_OK;
}

lur_status lur_png_encode(const uint8_t *pixels, int width, int height, int channels, lur_bytes *bytes) {
  encoder e = {.bytes = bytes};
  bytes->count = 0;
  e.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &e.failure, on_error, on_warning, &e.failure, take_memory,
                                    give_memory);
  e.info = e.png ? png_create_info_struct(e.png) : NULL;
  lur_status status =
      e.info ? encode(&e, pixels, width, height, channels) : lur_fail(LUR_ENOMEM, "out of memory for a PNG encoder");
  png_destroy_write_struct(&e.png, &e.info);
  return status;
}
