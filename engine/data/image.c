/* image.c - the public image functions: load, decode, save, resize and crop images as tensors. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "codecs.h"
#include "decode.h"
#include "engine/tensor/tensor.h"
#include "image.h"
#include "resize.h"

static void free_memory(void *memory, size_t bytes) {
  (void)bytes;
  free(memory);
}

lur_status lur_image_alloc(int64_t height, int64_t width, uint8_t **pixels) {
  *pixels = malloc(3 * (size_t)height * (size_t)width);
  if (*pixels) return LUR_OK;
  return lur_fail(LUR_ENOMEM, "out of memory for an image of %lldx%lld", (long long)width, (long long)height);
}

lur_status lur_image_wrap(lur_context *context, uint8_t *pixels, int64_t height, int64_t width, lur_tensor **image) {
  lur_shape shape = {3, {height, width, 3}};
  lur_status status = lur_tensor_wrap(context, pixels, LUR_U8, &shape, free_memory, image);
  if (status != LUR_OK) free(pixels);
  return status;
}

static lur_status tensor_from_rgbx(lur_context *context, const lur_rgbx *rgbx, lur_tensor **image) {
  size_t n = (size_t)rgbx->width * (size_t)rgbx->height;
  uint8_t *rgb;
  LUR_TRY(lur_image_alloc(rgbx->height, rgbx->width, &rgb));
  for (size_t i = 0; i < n; i++) memcpy(rgb + 3 * i, rgbx->pixels + 4 * i, 3);
  return lur_image_wrap(context, rgb, rgbx->height, rgbx->width, image);
}

static lur_status check_image(lur_tensor *image, const char *what, bool gray_too) {
  const lur_shape *s = lur_tensor_shape(image);
  char text[LUR_SHAPE_TEXT];
  bool fits = s->ndim == 3 && (s->dim[2] == 3 || (gray_too && s->dim[2] == 1));
  if (!fits || s->dim[0] < 1 || s->dim[1] < 1 || s->dim[0] > 1 << 20 || s->dim[1] > 1 << 20)
    return lur_fail(LUR_ESHAPE, "%s: an image (h x w x 3) expected, got %s", what, lur_shape_format(s, text));
  if (!lur_tensor_data(image))
    return lur_fail(LUR_EDEVICE, "%s: the image is in device memory; copy it to the host first", what);
  return LUR_OK;
}

lur_status lur_image_check(lur_tensor *image, const char *what) {
  LUR_TRY(check_image(image, what, false));
  if (lur_tensor_dtype(image) != LUR_U8)
    return lur_fail(LUR_ETYPE, "%s: a u8 image expected, got %s", what, lur_dtype_name(lur_tensor_dtype(image)));
  return LUR_OK;
}

lur_status lur_image_to_rgbx(lur_tensor *image, lur_rgbx *rgbx) {
  const lur_shape *s = lur_tensor_shape(image);
  LUR_TRY(lur_rgbx_resize_buffer(rgbx, (int)s->dim[1], (int)s->dim[0]));
  const uint8_t *rgb = lur_tensor_data(image);
  size_t n = (size_t)s->dim[0] * (size_t)s->dim[1];
  memset(rgbx->pixels, 0xFF, 4 * n);
  for (size_t i = 0; i < n; i++) memcpy(rgbx->pixels + 4 * i, rgb + 3 * i, 3);
  return LUR_OK;
}

/* ---- load ---- */

lur_status lur_image_decode(lur_context *context, const void *bytes, size_t count, const lur_decode_options *options,
                            lur_tensor **image) {
  lur_decode_request request;
  lur_decode_request_init(&request, options);
  lur_rgbx rgbx = {0};
  lur_status status = lur_rgbx_decode(bytes, count, &request, &rgbx, NULL, NULL);
  if (status == LUR_OK) status = tensor_from_rgbx(context, &rgbx, image);
  lur_rgbx_free(&rgbx);
  return status;
}

lur_status lur_image_load(lur_context *context, const char *path, const lur_decode_options *options,
                          lur_tensor **image) {
  lur_bytes bytes = {0};
  lur_status status = lur_bytes_read(path, &bytes, NULL);
  if (status == LUR_OK) status = lur_image_decode(context, bytes.data, bytes.count, options, image);
  lur_bytes_free(&bytes);
  return status == LUR_OK ? status : lur_blame(status, "%s", path);
}

/* ---- save ---- */

/* The bytes of the tensor, or rounded to bytes in *made, which the caller frees. */
static lur_status as_bytes(const char *what, lur_tensor *image, const uint8_t **bytes, uint8_t **made) {
  *made = NULL;
  if (lur_tensor_dtype(image) == LUR_U8) {
    *bytes = lur_tensor_data(image);
    return LUR_OK;
  }
  if (lur_tensor_dtype(image) != LUR_F32)
    return lur_fail(LUR_ETYPE, "%s: u8 or f32 (0..255) expected, got %s", what,
                    lur_dtype_name(lur_tensor_dtype(image)));
  size_t n = (size_t)lur_shape_count(lur_tensor_shape(image));
  *made = malloc(n);
  if (!*made) return lur_fail(LUR_ENOMEM, "out of memory for an image of %zu bytes", n);
  const float *v = lur_tensor_data(image);
  for (size_t i = 0; i < n; i++) (*made)[i] = lur_image_byte(v[i]);
  *bytes = *made;
  return LUR_OK;
}

/* quality 0: 90. */
static lur_status encode(const char *what, lur_tensor *image, lur_image_format format, int quality, lur_bytes *bytes) {
  if (quality < 0 || quality > 100) return lur_fail(LUR_EARG, "%s: quality 1 to 100 expected, got %d", what, quality);
  if (format != LUR_IMAGE_JPEG && format != LUR_IMAGE_PNG)
    return lur_fail(LUR_EARG, "%s: format JPEG or PNG expected", what);
  LUR_TRY(check_image(image, what, true));
  const lur_shape *s = lur_tensor_shape(image);
  const uint8_t *pixels = NULL;
  uint8_t *made;
  LUR_TRY(as_bytes(what, image, &pixels, &made));
  int width = (int)s->dim[1], height = (int)s->dim[0], channels = (int)s->dim[2];
  lur_status status = format == LUR_IMAGE_PNG
                          ? lur_png_encode(pixels, width, height, channels, bytes)
                          : lur_jpeg_encode(pixels, width, height, channels, quality ? quality : 90, bytes);
  free(made);
  return status;
}

lur_status lur_image_encode(lur_tensor *image, lur_image_format format, int quality, void **data, size_t *count) {
  lur_bytes bytes = {0};
  lur_status status = encode("image encode", image, format, quality, &bytes);
  if (status != LUR_OK) {
    lur_bytes_free(&bytes); /* it may hold a part of a PNG */
    return status;
  }
  *data = bytes.data; /* from malloc, as lur_text_free requires */
  *count = bytes.count;
  return LUR_OK;
}

lur_status lur_image_save(const char *path, lur_tensor *image, int quality) {
  lur_image_format format = lur_image_format_of_name(path);
  if (format == LUR_IMAGE_UNKNOWN)
    return lur_fail(LUR_EARG, "image save '%s': a name ending in .png, .jpg or .jpeg expected", path);
  lur_bytes bytes = {0};
  lur_status status = encode("image save", image, format, quality, &bytes);
  if (status == LUR_OK) status = lur_file_write(path, bytes.data, bytes.count);
  lur_bytes_free(&bytes);
  return status;
}

/* ---- resize, crop ---- */

lur_status lur_image_resize(lur_tensor *image, int64_t height, int64_t width, lur_resize_filter filter,
                            lur_tensor **resized) {
  LUR_TRY(lur_image_check(image, "image resize"));
  if (height < 1 || width < 1 || height > 1 << 16 || width > 1 << 16)
    return lur_fail(LUR_EARG, "image resize: %lldx%lld; each side must be 1 to %d", (long long)height, (long long)width,
                    1 << 16);
  lur_rgbx src = {0}, dst = {0}, scratch = {0};
  lur_status status = lur_image_to_rgbx(image, &src);
  if (status == LUR_OK) status = lur_rgbx_resample(&src, (int)width, (int)height, filter, &dst, &scratch);
  if (status == LUR_OK) status = tensor_from_rgbx(lur_tensor_context(image), &dst, resized);
  lur_rgbx_free(&src);
  lur_rgbx_free(&dst);
  lur_rgbx_free(&scratch);
  return status;
}

lur_status lur_image_crop(lur_tensor *image, int64_t top, int64_t left, int64_t height, int64_t width,
                          lur_tensor **crop) {
  LUR_TRY(lur_image_check(image, "image crop"));
  const lur_shape *s = lur_tensor_shape(image);
  if (top < 0 || left < 0 || height < 1 || width < 1 || height > s->dim[0] || top > s->dim[0] - height ||
      width > s->dim[1] || left > s->dim[1] - width)
    return lur_fail(LUR_EARG, "image crop: %lldx%lld at row %lld, column %lld exceeds the image of %lldx%lld",
                    (long long)height, (long long)width, (long long)top, (long long)left, (long long)s->dim[0],
                    (long long)s->dim[1]);
  uint8_t *rgb;
  LUR_TRY(lur_image_alloc(height, width, &rgb));
  const uint8_t *from = lur_tensor_data(image);
  size_t row = 3 * (size_t)width, stride = 3 * (size_t)s->dim[1];
  for (size_t y = 0; y < (size_t)height; y++)
    memcpy(rgb + y * row, from + (y + (size_t)top) * stride + 3 * (size_t)left, row);
  return lur_image_wrap(lur_tensor_context(image), rgb, height, width, crop);
}
