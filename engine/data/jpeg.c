/* jpeg.c - JPEG through libjpeg-turbo's classic API: baseline, progressive, grayscale, CMYK and YCCK.
 *
 * Pixels equal those of Pillow with the same library (islow DCT, fancy upsampling, Pillow's CMYK formula). Where
 * libjpeg only warns and fills the rest with grey (a truncated file, invalid codes), this decoder fails: such an image
 * would spoil training. libjpeg reports errors by longjmp, which never leaves the function that called setjmp. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "codecs.h"
#include "exif.h"

enum { MAX_SCANS = 200 }; /* a progressive image has about ten; a hostile one may have thousands of empty scans */

typedef struct failure {
  struct jpeg_error_mgr base; /* first, so that libjpeg's pointer to it is a pointer to the whole */
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
} failure;

static void give_up(j_common_ptr info) {
  failure *f = (failure *)info->err;
  info->err->format_message(info, f->message);
  longjmp(f->jump, 1);
}

/* Warnings that do not affect pixels: bytes between markers, unusual headers. */
static bool harmless(int code) {
  return code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM || code == JWRN_BOGUS_ICC;
}

static void on_message(j_common_ptr info, int level) {
  if (level < 0 && !harmless(info->err->msg_code)) give_up(info);
}

static void no_output(j_common_ptr info) { (void)info; }

static void watch_scans(j_common_ptr info) {
  if (!info->is_decompressor) return;
  if (((j_decompress_ptr)info)->input_scan_number <= MAX_SCANS) return;
  failure *f = (failure *)info->err;
  snprintf(f->message, sizeof f->message, "more than %d scans", MAX_SCANS);
  longjmp(f->jump, 1);
}

static struct jpeg_error_mgr *failure_init(failure *f) {
  jpeg_std_error(&f->base);
  f->base.error_exit = give_up;
  f->base.emit_message = on_message;
  f->base.output_message = no_output;
  f->message[0] = 0;
  return &f->base;
}

/* ---- EXIF ---- */

/* Of an APP1 segment, where it is one of EXIF. */
static int segment_orientation(const uint8_t *data, size_t count) {
  static const char signature[6] = "Exif\0";
  if (count < sizeof signature || memcmp(data, signature, sizeof signature) != 0) return 1;
  return lur_exif_orientation(data + sizeof signature, count - sizeof signature);
}

static int find_orientation(j_decompress_ptr info) {
  for (jpeg_saved_marker_ptr m = info->marker_list; m; m = m->next) {
    int orientation = m->marker == JPEG_APP0 + 1 ? segment_orientation(m->data, m->data_length) : 1;
    if (orientation != 1) return orientation;
  }
  return 1;
}

/* ---- decoding ---- */

static int mul_div_255(int a, int b) {
  int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

/* Converts one row in place. CMYK in JPEG files is inverted, as Adobe writes it. Pillow 10, Convert.c cmyk2rgb. */
static void cmyk_row_to_rgb(uint8_t *row, int width) {
  for (int x = 0; x < width; x++, row += 4) {
    int nk = row[3];
    for (int c = 0; c < 3; c++) row[c] = (uint8_t)(nk - mul_div_255(255 - row[c], nk));
  }
}

typedef struct decoder { /* in one struct, so that nothing is lost in a longjmp */
  struct jpeg_decompress_struct info;
  struct jpeg_progress_mgr progress;
  failure failure;
  lur_status status; /* of a failure outside libjpeg */
} decoder;

static bool begin(decoder *d, const lur_decode_request *request, lur_rgbx *image, int *width, int *height,
                  int *orientation) {
  j_decompress_ptr info = &d->info;
  *width = (int)info->image_width, *height = (int)info->image_height;
  *orientation = request->exif ? find_orientation(info) : 1;
  if ((d->status = lur_decode_check_size(request, *width, *height)) != LUR_OK) return false;
  bool four = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
  info->out_color_space = four ? JCS_CMYK : JCS_EXT_RGBX;
  if (request->choose_scale) {
    bool swap = *orientation >= 5;
    info->scale_num = 1;
    info->scale_denom =
        (unsigned)request->choose_scale(swap ? *height : *width, swap ? *width : *height, request->user);
  }
  jpeg_start_decompress(info);
  d->status = lur_rgbx_resize_buffer(image, (int)info->output_width, (int)info->output_height);
  return d->status == LUR_OK;
}

static bool read_rows(decoder *d, const lur_decode_request *request, lur_rgbx *image) {
  j_decompress_ptr info = &d->info;
  size_t stride = 4 * (size_t)image->width;
  while (info->output_scanline < info->output_height) {
    JSAMPROW rows[8];
    unsigned n = info->output_height - info->output_scanline;
    if (n > 8) n = 8;
    for (unsigned i = 0; i < n; i++) rows[i] = image->pixels + stride * (info->output_scanline + i);
    n = jpeg_read_scanlines(info, rows, n);
    if (info->out_color_space == JCS_CMYK)
      for (unsigned i = 0; i < n; i++) cmyk_row_to_rgb(rows[i], image->width);
    if ((d->status = lur_decode_check_stop(request)) != LUR_OK) return false;
  }
  return true;
}

lur_status lur_jpeg_decode(const uint8_t *bytes, size_t count, const lur_decode_request *request, lur_rgbx *image,
                           int *full_width, int *full_height, int *orientation) {
  decoder d = {.status = LUR_OK};
  d.info.err = failure_init(&d.failure);
  if (setjmp(d.failure.jump)) {
    jpeg_destroy_decompress(&d.info);
    if (d.failure.base.msg_code == JERR_OUT_OF_MEMORY) return lur_fail(LUR_ENOMEM, "out of memory for a JPEG");
    return lur_fail(LUR_EFORMAT, "damaged JPEG: %s", d.failure.message);
  }
  jpeg_create_decompress(&d.info);
  d.progress.progress_monitor = watch_scans;
  d.info.progress = &d.progress;
  if (request->exif) jpeg_save_markers(&d.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_mem_src(&d.info, bytes, (unsigned long)count);
  jpeg_read_header(&d.info, TRUE);
  if (begin(&d, request, image, full_width, full_height, orientation) && read_rows(&d, request, image))
    jpeg_finish_decompress(&d.info); /* reads up to the end marker: a file truncated in its last bytes fails here */
  jpeg_destroy_decompress(&d.info);
  return d.status;
}

/* ---- encoding ---- */

typedef struct encoder {
  struct jpeg_compress_struct info;
  failure failure;
  unsigned char *memory; /* allocated by libjpeg with malloc */
  unsigned long size;
} encoder;

static void encode_rows(encoder *e, const uint8_t *pixels, int width, int height, int channels, int quality) {
  j_compress_ptr info = &e->info;
  info->image_width = (JDIMENSION)width;
  info->image_height = (JDIMENSION)height;
  info->input_components = channels;
  info->in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(info);
  jpeg_set_quality(info, quality, TRUE);
  jpeg_start_compress(info, TRUE);
  while (info->next_scanline < info->image_height) {
    /* libjpeg's type lacks const; it only reads */
    JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)info->next_scanline * (size_t)width * (size_t)channels);
    jpeg_write_scanlines(info, &row, 1);
  }
  jpeg_finish_compress(info);
}

lur_status lur_jpeg_encode(const uint8_t *pixels, int width, int height, int channels, int quality, lur_bytes *bytes) {
  encoder e = {.memory = NULL};
  e.info.err = failure_init(&e.failure);
  if (setjmp(e.failure.jump)) {
    jpeg_destroy_compress(&e.info);
    free(e.memory);
    return lur_fail(e.failure.base.msg_code == JERR_OUT_OF_MEMORY ? LUR_ENOMEM : LUR_EARG,
                    "cannot write a JPEG of %dx%d: %s", width, height, e.failure.message);
  }
  jpeg_create_compress(&e.info);
  jpeg_mem_dest(&e.info, &e.memory, &e.size);
  encode_rows(&e, pixels, width, height, channels, quality);
  jpeg_destroy_compress(&e.info);
  free(bytes->data);
  *bytes = (lur_bytes){e.memory, e.size, e.size};
  return LUR_OK;
}
