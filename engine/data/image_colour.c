/* image_colour.c - changes of colour and Gaussian blur of single images, for data.h. The formulas of colour are those
 * of augmentation (colour.c), which computes in f32; results are rounded to the nearest byte, where torchvision and
 * Pillow truncate.
 *
 * Blur: torchvision 0.15, transforms/_functional_tensor.py, gaussian_blur. Grayscale: Pillow 12.3, Convert.c, RGB to L.
 */
#include <math.h>
#include <stdlib.h>

#include "augment.h"
#include "image.h"

/* ---- colour ---- */

typedef struct range {
  const char *name;
  double least, most;
} range;

static lur_status check_amount(lur_image_change change, double amount) {
  static const range ranges[LUR_IMAGE_CHANGES] = {
      [LUR_IMAGE_BRIGHTNESS] = {"brightness", 0, 1e6}, [LUR_IMAGE_CONTRAST] = {"contrast", 0, 1e6},
      [LUR_IMAGE_SATURATION] = {"saturation", 0, 1e6}, [LUR_IMAGE_HUE] = {"hue", -0.5, 0.5},
      [LUR_IMAGE_SHARPNESS] = {"sharpness", 0, 1e6},   [LUR_IMAGE_POSTERIZE] = {"posterize", 1, 8},
      [LUR_IMAGE_SOLARIZE] = {"solarize", 0, 256}};
  if ((unsigned)change >= LUR_IMAGE_CHANGES) return lur_fail(LUR_EARG, "image: unknown change %d", (int)change);
  const range *r = &ranges[change];
  if (!r->name || (amount >= r->least && amount <= r->most)) return LUR_OK;
  return lur_fail(LUR_EARG, "image %s: a number from %g to %g expected, got %g", r->name, r->least, r->most, amount);
}

static lur_params params_of(lur_image_change change, double amount) {
  static const lur_trivial trivials[LUR_IMAGE_CHANGES] = {[LUR_IMAGE_SHARPNESS] = LUR_TRIVIAL_SHARPNESS,
                                                          [LUR_IMAGE_POSTERIZE] = LUR_TRIVIAL_POSTERIZE,
                                                          [LUR_IMAGE_SOLARIZE] = LUR_TRIVIAL_SOLARIZE,
                                                          [LUR_IMAGE_AUTOCONTRAST] = LUR_TRIVIAL_AUTOCONTRAST,
                                                          [LUR_IMAGE_EQUALIZE] = LUR_TRIVIAL_EQUALIZE};
  lur_params p = {.brightness = 1, .contrast = 1, .saturation = 1, .trivial = trivials[change]};
  if (change == LUR_IMAGE_BRIGHTNESS) p.brightness = amount;
  if (change == LUR_IMAGE_CONTRAST) p.contrast = amount;
  if (change == LUR_IMAGE_SATURATION) p.saturation = amount;
  if (change == LUR_IMAGE_HUE) p.hue = amount;
  p.magnitude = change == LUR_IMAGE_SHARPNESS ? amount - 1 : amount; /* a blend's factor is 1 + magnitude */
  return p;
}

static void to_gray(const uint8_t *from, size_t n, uint8_t *rgb) {
  for (size_t i = 0; i < n; i++, from += 3, rgb += 3)
    rgb[0] = rgb[1] = rgb[2] = (uint8_t)((from[0] * 19595u + from[1] * 38470u + from[2] * 7471u + 0x8000u) >> 16);
}

/* rgb: room for the n = h x w pixels of the result. */
static lur_status recolour(lur_tensor *image, lur_image_change change, double amount, uint8_t *rgb) {
  int h = (int)lur_tensor_shape(image)->dim[0], w = (int)lur_tensor_shape(image)->dim[1];
  size_t n = (size_t)h * (size_t)w;
  const uint8_t *from = lur_tensor_data(image);
  if (change == LUR_IMAGE_GRAYSCALE) {
    to_gray(from, n, rgb);
    return LUR_OK;
  }
  lur_params params = params_of(change, amount);
  float *floats = malloc(3 * n * sizeof *floats);
  if (!floats) return lur_fail(LUR_ENOMEM, "out of memory for an image of %dx%d", w, h);
  for (size_t i = 0; i < 3 * n; i++) floats[i] = from[i];
  lur_status status = lur_colour_apply(NULL, &params, h, w, floats);
  for (size_t i = 0; status == LUR_OK && i < 3 * n; i++) rgb[i] = lur_image_byte(floats[i]);
  free(floats);
  return status;
}

lur_status lur_image_recolour(lur_tensor *image, lur_image_change change, double amount, lur_tensor **result) {
  LUR_TRY(lur_image_check(image, "image"));
  LUR_TRY(check_amount(change, amount));
  const lur_shape *s = lur_tensor_shape(image);
  uint8_t *rgb;
  LUR_TRY(lur_image_alloc(s->dim[0], s->dim[1], &rgb));
  lur_status status = recolour(image, change, amount, rgb);
  if (status == LUR_OK) return lur_image_wrap(lur_tensor_context(image), rgb, s->dim[0], s->dim[1], result);
  free(rgb);
  return status;
}

/* ---- blur ---- */

static void make_kernel(double sigma, int64_t size, float *weights) {
  double sum = 0;
  for (int64_t i = 0; i < size; i++) {
    double x = ((double)i - (double)(size - 1) / 2) / sigma;
    weights[i] = (float)exp(-0.5 * x * x);
    sum += weights[i];
  }
  for (int64_t i = 0; i < size; i++) weights[i] /= (float)sum;
}

/* The position that is mirrored into 0..n-1: d c b | a b c d | c b a. */
static int64_t mirror(int64_t at, int64_t n) {
  if (n == 1) return 0;
  int64_t period = 2 * (n - 1);
  at = at < 0 ? -at : at;
  at %= period;
  return at < n ? at : period - at;
}

typedef struct blur {
  int64_t height, width, size; /* size: of the kernel */
  float *weights, *rows, *row; /* the image with its rows blurred; one row with what is mirrored on both sides */
} blur;

/* out = the sum over k of weights[k] * in[i + k * step], for n values. */
static void weigh(const blur *b, const float *in, int64_t step, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++) out[i] = b->weights[0] * in[i];
  for (int64_t k = 1; k < b->size; k++)
    for (int64_t i = 0; i < n; i++) out[i] += b->weights[k] * in[i + k * step];
}

static void blur_rows(const blur *b, const uint8_t *from) {
  int64_t half = b->size / 2, n = 3 * b->width;
  for (int64_t y = 0; y < b->height; y++, from += n) {
    for (int64_t x = -half; x < b->width + half; x++)
      for (int c = 0; c < 3; c++) b->row[3 * (x + half) + c] = from[3 * mirror(x, b->width) + c];
    weigh(b, b->row, 3, n, b->rows + n * y);
  }
}

static void blur_columns(const blur *b, uint8_t *out) {
  int64_t half = b->size / 2, n = 3 * b->width;
  for (int64_t y = 0; y < b->height; y++) {
    for (int64_t i = 0; i < n; i++) b->row[i] = 0;
    for (int64_t k = 0; k < b->size; k++) {
      const float *in = b->rows + n * mirror(y - half + k, b->height), weight = b->weights[k];
      for (int64_t i = 0; i < n; i++) b->row[i] += weight * in[i];
    }
    for (int64_t i = 0; i < n; i++) out[n * y + i] = lur_image_byte(b->row[i]);
  }
}

lur_status lur_image_blur(lur_tensor *image, double sigma, int64_t kernel, lur_tensor **blurred) {
  enum { MOST = 1001 };
  LUR_TRY(lur_image_check(image, "image blur"));
  if (!(sigma > 0 && sigma <= 100)) return lur_fail(LUR_EARG, "image blur: a sigma above 0 and up to 100 expected");
  if (kernel == 0) kernel = 2 * (int64_t)ceil(3 * sigma) + 1;
  if (kernel < 1 || kernel > MOST || kernel % 2 == 0)
    return lur_fail(LUR_EARG, "image blur: an odd kernel size from 1 to %d expected, got %lld", MOST,
                    (long long)kernel);
  const lur_shape *s = lur_tensor_shape(image);
  blur b = {.height = s->dim[0], .width = s->dim[1], .size = kernel};
  size_t row = 3 * (size_t)(b.width + kernel), all = 3 * (size_t)b.width * (size_t)b.height;
  uint8_t *rgb;
  LUR_TRY(lur_image_alloc(b.height, b.width, &rgb));
  b.weights = malloc(((size_t)kernel + row + all) * sizeof(float));
  if (!b.weights) {
    free(rgb);
    return lur_fail(LUR_ENOMEM, "out of memory to blur an image of %lldx%lld", (long long)b.width,
                    (long long)b.height);
  }
  b.row = b.weights + kernel;
  b.rows = b.row + row;
  make_kernel(sigma, kernel, b.weights);
  blur_rows(&b, lur_tensor_data(image));
  blur_columns(&b, rgb);
  free(b.weights);
  return lur_image_wrap(lur_tensor_context(image), rgb, b.height, b.width, blurred);
}
