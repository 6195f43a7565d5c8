/* colour.c - colour changes of augmentation, on resampled RGB floats in 0..255: channel shift, colour jitter, the
 * colour operations of TrivialAugment, random erasing. Geometry is in augment.c and warp.c.
 *
 * Formulas: torchvision 0.15 transforms/_functional_tensor.py (colour jitter, TrivialAugment); Keras 2.0.6
 * keras/preprocessing/image.py (channel shift). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augment.h"
#include "kernels/random.h"

static float clip(float v) { return v < 0 ? 0 : v > 255 ? 255 : v; }
static float gray_of(const float *p) { return 0.2989f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }

/* Adds an offset to each channel, clipped to the range of values in the image (Keras 2.0.6 random_channel_shift). */
static void channel_shift(const lur_params *p, size_t n, float *rgb) {
  float least = rgb[0], most = rgb[0];
  for (size_t i = 1; i < 3 * n; i++) {
    least = rgb[i] < least ? rgb[i] : least;
    most = rgb[i] > most ? rgb[i] : most;
  }
  for (size_t i = 0; i < 3 * n; i++) {
    float v = rgb[i] + (float)p->channel_shift[i % 3];
    rgb[i] = v < least ? least : v > most ? most : v;
  }
}

/* ---- colour jitter ---- */

static void brighten(float factor, size_t n, float *rgb) {
  for (size_t i = 0; i < 3 * n; i++) rgb[i] = clip(rgb[i] * factor);
}

static void contrast(float factor, size_t n, float *rgb) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += gray_of(rgb + 3 * i);
  float mean = (float)(sum / (double)n);
  for (size_t i = 0; i < 3 * n; i++) rgb[i] = clip(mean + (rgb[i] - mean) * factor);
}

static void saturate(float factor, size_t n, float *rgb) {
  for (size_t i = 0; i < n; i++, rgb += 3) {
    float gray = gray_of(rgb);
    for (int c = 0; c < 3; c++) rgb[c] = clip(gray + (rgb[c] - gray) * factor);
  }
}

/* HSV to one channel of RGB, for hue h in sixths of the circle, chroma c and value v:
   f(n) = v - c max(0, min(k, 4 - k, 1)) with k = (n + h) mod 6. */
static float from_hue(float n, float h, float c, float v) {
  float k = fmodf(n + h, 6.0f);
  float t = fminf(fminf(k, 4.0f - k), 1.0f);
  return v - c * (t > 0 ? t : 0);
}

static void shift_hue(float fraction, size_t n, float *rgb) {
  for (size_t i = 0; i < n; i++, rgb += 3) {
    float r = rgb[0], g = rgb[1], b = rgb[2], v = fmaxf(r, fmaxf(g, b)), c = v - fminf(r, fminf(g, b));
    if (c == 0) continue;
    float h = v == r ? (g - b) / c : v == g ? 2 + (b - r) / c : 4 + (r - g) / c;
    h += 6 * fraction;
    h -= 6 * floorf(h / 6);
    rgb[0] = from_hue(5, h, c, v);
    rgb[1] = from_hue(3, h, c, v);
    rgb[2] = from_hue(1, h, c, v);
  }
}

static void jitter(const lur_params *p, size_t n, float *rgb) {
  int left[4] = {0, 1, 2, 3}, code = p->jitter_order;
  for (int count = 4; count > 0;
       count--) { /* digits of the code in the factorial number system choose among those left */
    int at = code % count, which = left[at];
    code /= count;
    memmove(left + at, left + at + 1, (size_t)(count - at - 1) * sizeof *left);
    if (which == 0 && p->brightness != 1) brighten((float)p->brightness, n, rgb);
    if (which == 1 && p->contrast != 1) contrast((float)p->contrast, n, rgb);
    if (which == 2 && p->saturation != 1) saturate((float)p->saturation, n, rgb);
    if (which == 3 && p->hue != 0) shift_hue((float)p->hue, n, rgb);
  }
}

/* ---- TrivialAugment ---- */

/* Blends with a 3 x 3 smoothing filter; border pixels stay. */
static lur_status sharpen(float factor, int height, int width, float *rgb) {
  size_t row = 3 * (size_t)width, size = row * (size_t)height;
  float *copy = malloc(size * sizeof *copy);
  if (!copy) return lur_fail(LUR_ENOMEM, "out of memory for an augmentation");
  memcpy(copy, rgb, size * sizeof *copy);
  for (size_t y = 1; y + 1 < (size_t)height; y++)
    for (size_t x = 3; x + 3 < row; x++) {
      const float *p = copy + y * row + x;
      float sum = 4 * p[0];
      for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) sum += p[dy * (ptrdiff_t)row + 3 * dx];
      float smooth = roundf(sum / 13.0f);
      rgb[y * row + x] = clip(smooth + (p[0] - smooth) * factor);
    }
  free(copy);
  return LUR_OK;
}

static unsigned level(float v) { return (unsigned)(clip(v) + 0.5f); }

static void posterize(int bits, size_t n, float *rgb) {
  unsigned mask = bits >= 8 ? 255u : 255u & ~((1u << (8 - bits)) - 1);
  for (size_t i = 0; i < 3 * n; i++) rgb[i] = (float)(level(rgb[i]) & mask);
}

static void solarize(float threshold, size_t n, float *rgb) {
  for (size_t i = 0; i < 3 * n; i++)
    if (rgb[i] >= threshold) rgb[i] = 255.0f - rgb[i];
}

static void autocontrast(size_t n, float *rgb) {
  for (int c = 0; c < 3; c++) {
    float least = 255, most = 0;
    for (size_t i = 0; i < n; i++) {
      least = fminf(least, rgb[3 * i + (size_t)c]);
      most = fmaxf(most, rgb[3 * i + (size_t)c]);
    }
    if (most <= least) continue;
    for (size_t i = 0; i < n; i++)
      rgb[3 * i + (size_t)c] = clip((rgb[3 * i + (size_t)c] - least) * (255.0f / (most - least)));
  }
}

/* Equalises the histogram of each channel, as Pillow's ImageOps.equalize does. */
static void equalize(size_t n, float *rgb) {
  for (size_t c = 0; c < 3; c++) {
    size_t counts[256] = {0}, last = 0, sum = 0;
    for (size_t i = 0; i < n; i++) counts[level(rgb[3 * i + c])]++;
    for (int v = 0; v < 256; v++)
      if (counts[v]) last = counts[v];
    size_t step = (n - last) / 255;
    if (step == 0) continue;
    float table[256];
    for (int v = 0; v < 256; v++) {
      size_t to = (sum + step / 2) / step;
      table[v] = to > 255 ? 255 : (float)to;
      sum += counts[v];
    }
    for (size_t i = 0; i < n; i++) rgb[3 * i + c] = table[level(rgb[3 * i + c])];
  }
}

static lur_status trivial(const lur_params *p, int height, int width, float *rgb) {
  size_t n = (size_t)height * (size_t)width;
  float factor = (float)(1 + p->magnitude);
  switch (p->trivial) {
  case LUR_TRIVIAL_BRIGHTNESS: brighten(factor, n, rgb); break;
  case LUR_TRIVIAL_COLOR: saturate(factor, n, rgb); break;
  case LUR_TRIVIAL_CONTRAST: contrast(factor, n, rgb); break;
  case LUR_TRIVIAL_SHARPNESS: return sharpen(factor, height, width, rgb);
  case LUR_TRIVIAL_POSTERIZE: posterize((int)p->magnitude, n, rgb); break;
  case LUR_TRIVIAL_SOLARIZE: solarize((float)p->magnitude, n, rgb); break;
  case LUR_TRIVIAL_AUTOCONTRAST: autocontrast(n, rgb); break;
  case LUR_TRIVIAL_EQUALIZE: equalize(n, rgb); break;
  default: break; /* identity, and the geometric operations, which are part of the affine map */
  }
  return LUR_OK;
}

/* ---- random erasing ---- */

lur_image_box lur_augment_box(double share, double ratio, double y, double x, int height, int width) {
  double area = share * height * width;
  int h = (int)fmin(fmax(sqrt(area / ratio) + 0.5, 1), height), w = (int)fmin(fmax(sqrt(area * ratio) + 0.5, 1), width);
  return (lur_image_box){(int)(y * (height - h + 1)), (int)(x * (width - w + 1)), h, w};
}

static void erase(const lur_augment *augment, const lur_params *p, int height, int width, float *rgb) {
  lur_image_box box = lur_augment_box(p->erase_area, exp(p->erase_log_ratio), p->erase_y, p->erase_x, height, width);
  for (int64_t y = box.top; y < box.top + box.height; y++)
    for (int64_t x = box.left; x < box.left + box.width; x++) {
      size_t at = 3 * ((size_t)y * (size_t)width + (size_t)x);
      lur_random4 r = lur_philox(p->noise, 1, at);
      for (int c = 0; c < 3; c++)
        rgb[at + (size_t)c] = augment->s.erase_noise ? 255.0f * lur_random_unit(r.v[c]) : (float)augment->s.erase_value;
    }
}

static bool shifts(const lur_params *p) {
  return p->channel_shift[0] != 0 || p->channel_shift[1] != 0 || p->channel_shift[2] != 0;
}

bool lur_params_recolour(const lur_params *p) {
  return shifts(p) || p->brightness != 1 || p->contrast != 1 || p->saturation != 1 || p->hue != 0 ||
         p->trivial > LUR_TRIVIAL_ROTATE || p->erases;
}

lur_status lur_colour_apply(const lur_augment *augment, const lur_params *p, int height, int width, float *rgb) {
  size_t n = (size_t)height * (size_t)width;
  if (shifts(p)) channel_shift(p, n, rgb);
  jitter(p, n, rgb);
  LUR_TRY(trivial(p, height, width, rgb));
  if (p->erases) erase(augment, p, height, width, rgb);
  return LUR_OK;
}
