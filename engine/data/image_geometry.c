/* image_geometry.c - flips, pads, rotates, shears, scales, erases and pastes images, for data.h. Loaders compose their
 * changes to one map instead (sample.c); each function here makes a new image.
 *
 * The affine map is torchvision's (0.15, transforms/functional.py, _get_inverse_affine_matrix), except that rotation is
 * counter-clockwise, as in its and Pillow's `rotate`. Sampling and edges are Pillow's (Image.transform, 12.3,
 * src/libImaging/Geometry.c): a position up to half a pixel outside takes the nearest pixels, beyond it the fill. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augment.h"
#include "image.h"

enum { MAX_SIDE = 1 << 16 };

/* ---- flip, pad ---- */

lur_status lur_image_flip(lur_tensor *image, bool vertical, lur_tensor **flipped) {
  LUR_TRY(lur_image_check(image, "image flip"));
  int64_t h = lur_tensor_shape(image)->dim[0], w = lur_tensor_shape(image)->dim[1];
  const uint8_t *from = lur_tensor_data(image);
  uint8_t *rgb;
  LUR_TRY(lur_image_alloc(h, w, &rgb));
  size_t row = 3 * (size_t)w;
  for (int64_t y = 0; y < h; y++) {
    const uint8_t *src = from + row * (size_t)(vertical ? h - 1 - y : y);
    uint8_t *dst = rgb + row * (size_t)y;
    if (vertical) memcpy(dst, src, row);
    else
      for (int64_t x = 0; x < w; x++) memcpy(dst + 3 * x, src + 3 * (w - 1 - x), 3);
  }
  return lur_image_wrap(lur_tensor_context(image), rgb, h, w, flipped);
}

/* The position inside 0..n-1 that a position outside takes its pixel from; -1: none. */
static int64_t inside(int64_t at, int64_t n, lur_image_fill_mode mode) {
  if (at >= 0 && at < n) return at;
  if (mode == LUR_IMAGE_FILL_VALUE) return -1;
  if (mode == LUR_IMAGE_FILL_NEAREST) return at < 0 ? 0 : n - 1;
  return at < 0 ? -1 - at : 2 * n - 1 - at;
}

static lur_status check_pad(int64_t h, int64_t w, const int64_t sides[4], const lur_image_fill *fill) {
  static const char *const names[] = {"top", "left", "bottom", "right"};
  for (int i = 0; i < 4; i++) {
    int64_t most = fill->mode == LUR_IMAGE_FILL_REFLECT ? (i % 2 ? w : h) : MAX_SIDE;
    if (sides[i] < 0 || sides[i] > most)
      return lur_fail(LUR_EARG, "image pad: %s is %lld; 0 to %lld pixels expected", names[i], (long long)sides[i],
                      (long long)most);
  }
  if (h + sides[0] + sides[2] > MAX_SIDE || w + sides[1] + sides[3] > MAX_SIDE)
    return lur_fail(LUR_EARG, "image pad: the result would have more than %d pixels on a side", MAX_SIDE);
  return LUR_OK;
}

lur_status lur_image_pad(lur_tensor *image, int64_t top, int64_t left, int64_t bottom, int64_t right,
                         const lur_image_fill *fill, lur_tensor **padded) {
  LUR_TRY(lur_image_check(image, "image pad"));
  int64_t h = lur_tensor_shape(image)->dim[0], w = lur_tensor_shape(image)->dim[1];
  LUR_TRY(check_pad(h, w, (int64_t[]){top, left, bottom, right}, fill));
  int64_t high = h + top + bottom, wide = w + left + right;
  const uint8_t *from = lur_tensor_data(image);
  uint8_t *rgb, *out;
  LUR_TRY(lur_image_alloc(high, wide, &rgb));
  out = rgb;
  for (int64_t y = 0; y < high; y++)
    for (int64_t x = 0; x < wide; x++, out += 3) {
      int64_t sy = inside(y - top, h, fill->mode), sx = inside(x - left, w, fill->mode);
      memcpy(out, sy < 0 || sx < 0 ? fill->rgb : from + 3 * (sy * w + sx), 3);
    }
  return lur_image_wrap(lur_tensor_context(image), rgb, high, wide, padded);
}

/* ---- affine maps ---- */

static const double degree = 3.14159265358979323846 / 180;

/* Exact at multiples of 90, so that quarter turns move pixels and blend none. */
static double cos_degrees(double a) {
  a = fabs(fmod(a, 360));
  return a == 90 || a == 270 ? 0 : a == 180 ? -1 : cos(a * degree);
}
static double sin_degrees(double a) { return fmod(a, 180) == 0 ? 0 : cos_degrees(a - 90); }

/* From the result's (row, column) to the image's. */
static lur_affine inverse_map(const lur_image_affine *o, int64_t height, int64_t width) {
  double turn = -o->rotate, tx = tan(o->shear_x * degree), cy = cos(o->shear_y * degree);
  double a = cos_degrees(turn - o->shear_y) / cy, c = sin_degrees(turn - o->shear_y) / cy;
  double b = -a * tx - sin_degrees(turn), d = -c * tx + cos_degrees(turn);
  double y = (double)(height - 1) / 2, x = (double)(width - 1) / 2, down = y + o->shift_y, right = x + o->shift_x;
  lur_affine m = {{{a / o->scale, -c / o->scale}, {-b / o->scale, d / o->scale}}, {0, 0}};
  m.b[0] = y - m.a[0][0] * down - m.a[0][1] * right;
  m.b[1] = x - m.a[1][0] * down - m.a[1][1] * right;
  return m;
}

static lur_status check_affine(const lur_image_affine *o) {
  const double values[] = {o->rotate, o->shift_y, o->shift_x, o->scale, o->shear_y, o->shear_x};
  for (int i = 0; i < 6; i++)
    if (!(fabs(values[i]) <= 1e6)) return lur_fail(LUR_EARG, "image affine: values from -1e6 to 1e6 expected");
  if (o->scale < 1e-3) return lur_fail(LUR_EARG, "image affine: a scale of at least 0.001 expected");
  if (fabs(o->shear_y) > 89 || fabs(o->shear_x) > 89)
    return lur_fail(LUR_EARG, "image affine: shears from -89 to 89 degrees expected");
  return LUR_OK;
}

/* Rounds to bytes; positions more than half a pixel outside get the fill's colour, if it is one. */
static void write_warped(const lur_warp *warp, const lur_rgbx *image, const lur_image_fill *fill, const float *in,
                         uint8_t *out) {
  const lur_affine *m = &warp->map;
  double high = image->height - 0.5, wide = image->width - 0.5;
  for (int r = 0; r < warp->height; r++)
    for (int c = 0; c < warp->width; c++, in += 3, out += 3) {
      double y = m->b[0] + r * m->a[0][0] + c * m->a[0][1], x = m->b[1] + r * m->a[1][0] + c * m->a[1][1];
      bool outside = fill->mode == LUR_IMAGE_FILL_VALUE && !(y >= -0.5 && y < high && x >= -0.5 && x < wide);
      for (int k = 0; k < 3; k++) out[k] = outside ? fill->rgb[k] : lur_image_byte(in[k]);
    }
}

static lur_status warp_image(lur_tensor *image, const lur_warp *warp, const lur_image_fill *fill, uint8_t *rgb) {
  lur_rgbx src = {0};
  lur_bytes scratch = {0}, floats = {0};
  lur_status status = lur_image_to_rgbx(image, &src);
  size_t n = 3 * (size_t)warp->height * (size_t)warp->width;
  if (status == LUR_OK) status = lur_bytes_reserve(&floats, n * sizeof(float));
  float *out = (float *)(void *)floats.data;
  if (status == LUR_OK) status = lur_warp_rgbx(warp, &src, &scratch, out);
  if (status == LUR_OK) write_warped(warp, &src, fill, out, rgb);
  lur_rgbx_free(&src);
  lur_bytes_free(&scratch);
  lur_bytes_free(&floats);
  return status;
}

lur_status lur_image_warp(lur_tensor *image, const lur_image_affine *affine, lur_tensor **result) {
  LUR_TRY(lur_image_check(image, "image affine"));
  LUR_TRY(check_affine(affine));
  int h = (int)lur_tensor_shape(image)->dim[0], w = (int)lur_tensor_shape(image)->dim[1];
  lur_warp warp = {.map = inverse_map(affine, h, w),
                   .nearest = affine->nearest,
                   .fill = affine->fill.mode == LUR_IMAGE_FILL_REFLECT ? LUR_FILL_REFLECT : LUR_FILL_NEAREST,
                   .height = h,
                   .width = w,
                   .grid_height = h,
                   .grid_width = w,
                   .scale = {1, 1, 1},
                   .channel = {0, 1, 2}};
  uint8_t *rgb;
  LUR_TRY(lur_image_alloc(h, w, &rgb));
  lur_status status = warp_image(image, &warp, &affine->fill, rgb);
  if (status == LUR_OK) return lur_image_wrap(lur_tensor_context(image), rgb, h, w, result);
  free(rgb);
  return status;
}

/* ---- boxes ---- */

lur_status lur_image_random_box(lur_random *random, int64_t height, int64_t width, double least, double most,
                                double ratio, lur_image_box *box) {
  if (height < 1 || width < 1 || height > MAX_SIDE || width > MAX_SIDE)
    return lur_fail(LUR_EARG, "image box: %lldx%lld; each side must be 1 to %d", (long long)height, (long long)width,
                    MAX_SIDE);
  if (!(least > 0 && least <= most && most <= 1))
    return lur_fail(LUR_EARG, "image box: shares of the area expected, 0 < min <= max <= 1");
  if (!(ratio >= 1 && ratio <= 100)) return lur_fail(LUR_EARG, "image box: a ratio from 1 to 100 expected");
  double share = least + (most - least) * lur_random_next(random);
  double aspect = exp((2 * lur_random_next(random) - 1) * log(ratio)), y = lur_random_next(random),
         x = lur_random_next(random);
  *box = lur_augment_box(share, aspect, y, x, (int)height, (int)width);
  return LUR_OK;
}

static lur_status check_box(const lur_shape *s, const lur_image_box *b) {
  if (b->top >= 0 && b->left >= 0 && b->height >= 1 && b->width >= 1 && b->height <= s->dim[0] &&
      b->top <= s->dim[0] - b->height && b->width <= s->dim[1] && b->left <= s->dim[1] - b->width)
    return LUR_OK;
  return lur_fail(LUR_EARG, "image erase: %lldx%lld at row %lld, column %lld exceeds the image of %lldx%lld",
                  (long long)b->height, (long long)b->width, (long long)b->top, (long long)b->left,
                  (long long)s->dim[0], (long long)s->dim[1]);
}

/* A copy of the image's pixels. */
static lur_status copy_pixels(lur_tensor *image, uint8_t **rgb) {
  const lur_shape *s = lur_tensor_shape(image);
  LUR_TRY(lur_image_alloc(s->dim[0], s->dim[1], rgb));
  memcpy(*rgb, lur_tensor_data(image), lur_tensor_bytes(image));
  return LUR_OK;
}

lur_status lur_image_erase(lur_tensor *image, const lur_image_box *box, const uint8_t rgb[3], lur_random *random,
                           lur_tensor **erased) {
  LUR_TRY(lur_image_check(image, "image erase"));
  const lur_shape *s = lur_tensor_shape(image);
  LUR_TRY(check_box(s, box));
  uint8_t *pixels;
  LUR_TRY(copy_pixels(image, &pixels));
  for (int64_t y = box->top; y < box->top + box->height; y++) {
    uint8_t *out = pixels + 3 * (y * s->dim[1] + box->left);
    for (int64_t i = 0; i < 3 * box->width; i++)
      out[i] = random ? (uint8_t)lur_random_below(random, 256) : rgb[i % 3];
  }
  return lur_image_wrap(lur_tensor_context(image), pixels, s->dim[0], s->dim[1], erased);
}

lur_status lur_image_paste(lur_tensor *image, lur_tensor *over, int64_t top, int64_t left, double opacity,
                           lur_tensor **pasted) {
  LUR_TRY(lur_image_check(image, "image paste"));
  LUR_TRY(lur_image_check(over, "image paste"));
  if (!(opacity >= 0 && opacity <= 1)) return lur_fail(LUR_EARG, "image paste: an opacity from 0 to 1 expected");
  const lur_shape *s = lur_tensor_shape(image), *o = lur_tensor_shape(over);
  const uint8_t *from = lur_tensor_data(over);
  uint8_t *pixels;
  float part = (float)opacity;
  LUR_TRY(copy_pixels(image, &pixels));
  for (int64_t y = 0; y < o->dim[0]; y++)
    for (int64_t x = 0; x < o->dim[1]; x++, from += 3) {
      int64_t row = y + top, column = x + left;
      if (row < 0 || row >= s->dim[0] || column < 0 || column >= s->dim[1]) continue;
      uint8_t *out = pixels + 3 * (row * s->dim[1] + column);
      for (int k = 0; k < 3; k++) out[k] = lur_image_byte(out[k] + part * (float)(from[k] - out[k]));
    }
  return lur_image_wrap(lur_tensor_context(image), pixels, s->dim[0], s->dim[1], pasted);
}
