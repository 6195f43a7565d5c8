/* augment.c - augmentation: declared options, the random parameters of an image, and the affine map they compose to.
 *
 * Era "2017" follows Keras 2.0.6 keras/preprocessing/image.py: shear in radians, centre n/2 + 0.5, nearest sampling,
 * flips drawn last and only if enabled. Era "current" follows Keras 3.10 keras/src/legacy/preprocessing/image.py: shear
 * in degrees, centre n/2 - 0.5, bilinear sampling, both flips always drawn, right after the zoom (keras-preprocessing
 * 1.1.2 differs from it only in the centre).
 * To add an option: a field of lur_augment_settings, a row of the table, and a draw after the present ones, so that
 * those keep their numbers. */
#include "augment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/option.h"
#include "kernels/random.h"

static const char *const fills[] = {"nearest", "constant", "reflect", "wrap", NULL};
static const char *const interpolations[] = {"auto", "bilinear", "nearest", NULL};
static const char *const eras[] = {"current", "2017", NULL};

#define FIELD(name) offsetof(lur_augment_settings, name)
static const lur_option options[] = {
    {"rotate", LUR_OPT_REAL, FIELD(rotate), "0", 0, 360, NULL, "largest rotation in degrees, in either direction"},
    {"height_shift", LUR_OPT_REAL, FIELD(height_shift), "0", 0, 1, NULL,
     "largest vertical shift, as a fraction of the height, in either direction"},
    {"width_shift", LUR_OPT_REAL, FIELD(width_shift), "0", 0, 1, NULL,
     "largest horizontal shift, as a fraction of the width, in either direction"},
    {"shear", LUR_OPT_REAL, FIELD(shear), "0", 0, 90, NULL,
     "largest shear angle in degrees (era 2017: radians), in either direction"},
    {"zoom", LUR_OPT_REAL, FIELD(zoom), "0", 0, 1, NULL, "zoom rows and columns independently by 1 - zoom to 1 + zoom"},
    {"zoom_min", LUR_OPT_REAL, FIELD(zoom_min), "0", 0, 10, NULL,
     "smallest zoom factor, in place of 1 - zoom (0: use zoom)"},
    {"zoom_max", LUR_OPT_REAL, FIELD(zoom_max), "0", 0, 10, NULL,
     "largest zoom factor, in place of 1 + zoom (0: use zoom)"},
    {"channel_shift", LUR_OPT_REAL, FIELD(channel_shift), "0", 0, 255, NULL,
     "largest value added to or subtracted from a channel (pixels are 0..255)"},
    {"hflip", LUR_OPT_BOOL, FIELD(hflip), "false", 0, 0, NULL, "flip horizontally with probability 0.5"},
    {"vflip", LUR_OPT_BOOL, FIELD(vflip), "false", 0, 0, NULL, "flip vertically with probability 0.5"},
    {"mirror", LUR_OPT_BOOL, FIELD(mirror), "false", 0, 0, NULL,
     "flip every image horizontally, as for test-time augmentation"},
    {"fill", LUR_OPT_CHOICE, FIELD(fill), "nearest", 0, 0, fills, "values of pixels outside the image"},
    {"fill_value", LUR_OPT_REAL, FIELD(fill_value), "0", 0, 255, NULL, "pixel value for fill = \"constant\""},
    {"interpolation", LUR_OPT_CHOICE, FIELD(interpolation), "auto", 0, 0, interpolations,
     "auto: bilinear, or nearest in era 2017"},
    {"era", LUR_OPT_CHOICE, FIELD(era), "current", 0, 0, eras, "current: conventions of Keras 3; 2017: of Keras 2.0.6"},
    {"crop", LUR_OPT_REAL, FIELD(crop), "0", 0, 1, NULL,
     "random resized crop: smallest fraction of the area (0: none)"},
    {"crop_max", LUR_OPT_REAL, FIELD(crop_max), "1", 0, 1, NULL, "random resized crop: largest fraction of the area"},
    {"crop_ratio", LUR_OPT_REAL, FIELD(crop_ratio), "1.3333333333333333", 1, 10, NULL,
     "random resized crop: aspect ratio from 1/r to r"},
    {"brightness", LUR_OPT_REAL, FIELD(brightness), "0", 0, 1, NULL, "brightness factor from 1 - b to 1 + b"},
    {"contrast", LUR_OPT_REAL, FIELD(contrast), "0", 0, 1, NULL, "contrast factor from 1 - c to 1 + c"},
    {"saturation", LUR_OPT_REAL, FIELD(saturation), "0", 0, 1, NULL, "saturation factor from 1 - s to 1 + s"},
    {"hue", LUR_OPT_REAL, FIELD(hue), "0", 0, 0.5, NULL,
     "largest hue shift, as a fraction of the hue circle, in either direction"},
    {"erase", LUR_OPT_REAL, FIELD(erase), "0", 0, 1, NULL, "random erasing: probability that a rectangle is erased"},
    {"erase_min", LUR_OPT_REAL, FIELD(erase_min), "0.02", 0, 1, NULL, "random erasing: smallest fraction of the area"},
    {"erase_max", LUR_OPT_REAL, FIELD(erase_max), "0.33", 0, 1, NULL, "random erasing: largest fraction of the area"},
    {"erase_ratio", LUR_OPT_REAL, FIELD(erase_ratio), "3.3", 1, 10, NULL, "random erasing: aspect ratio from 1/r to r"},
    {"erase_value", LUR_OPT_REAL, FIELD(erase_value), "127.5", 0, 255, NULL,
     "random erasing: pixel value of the rectangle"},
    {"erase_noise", LUR_OPT_BOOL, FIELD(erase_noise), "false", 0, 0, NULL,
     "random erasing: fill the rectangle with noise"},
    {"trivial", LUR_OPT_BOOL, FIELD(trivial), "false", 0, 0, NULL,
     "TrivialAugment: one of fourteen operations, chosen at random"},
    {"mixup", LUR_OPT_REAL, FIELD(mixup), "0", 0, 100, NULL, "alpha of mixup within the batch (0: none)"},
    {"cutmix", LUR_OPT_REAL, FIELD(cutmix), "0", 0, 100, NULL, "alpha of cutmix within the batch (0: none)"},
    {"prescale", LUR_OPT_BOOL, FIELD(prescale), "true", 0, 0, NULL,
     "decode images that are at least twice too large at 1/2 or 1/4 of their size"},
    {0}};

/* ---- create, release, query ---- */

static lur_status check(const lur_augment_settings *s) {
  if ((s->zoom_min > 0) != (s->zoom_max > 0))
    return lur_fail(LUR_EARG, "augment: zoom_min and zoom_max must be given together");
  if (s->zoom_min > s->zoom_max)
    return lur_fail(LUR_EARG, "augment: zoom_min %g is above zoom_max %g", s->zoom_min, s->zoom_max);
  if (s->zoom >= 1 && s->zoom_max == 0) return lur_fail(LUR_EARG, "augment: zoom must be below 1, got %g", s->zoom);
  if (s->crop > s->crop_max) return lur_fail(LUR_EARG, "augment: crop %g is above crop_max %g", s->crop, s->crop_max);
  if (s->erase_min > s->erase_max)
    return lur_fail(LUR_EARG, "augment: erase_min %g is above erase_max %g", s->erase_min, s->erase_max);
  return LUR_OK;
}

lur_status lur_augment_new(const lur_setting *settings, int n, lur_augment **augment) {
  lur_augment_settings s;
  LUR_TRY(lur_options_read("augment", options, settings, n, NULL, &s, sizeof s));
  LUR_TRY(check(&s));
  lur_augment *a = calloc(1, sizeof *a);
  if (!a) return lur_fail(LUR_ENOMEM, "out of memory for an augmentation");
  atomic_init(&a->refs, 1);
  a->s = s;
  *augment = a;
  return LUR_OK;
}

void lur_augment_retain(lur_augment *a) { atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed); }

void lur_augment_release(lur_augment *a) {
  if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) free(a);
}

int lur_augment_options(lur_option_info *info, int capacity) { return lur_options_info(options, info, capacity); }

int lur_augment_format(const lur_augment *a, char *text, size_t capacity) {
  char inside[1024];
  lur_options_format(options, &a->s, false, inside, sizeof inside);
  return snprintf(text, capacity, "augment{ %s }", inside);
}

bool lur_augment_nearest(const lur_augment *a) {
  if (a->s.interpolation == LUR_INTERPOLATION_AUTO) return a->s.era == LUR_ERA_2017;
  return a->s.interpolation == LUR_INTERPOLATION_NEAREST;
}

lur_resize_filter lur_augment_resize(const lur_augment *a) {
  return a && a->s.era == LUR_ERA_2017 ? LUR_RESIZE_NEAREST : LUR_RESIZE_BILINEAR;
}

/* ---- drawing ---- */

double lur_source_uniform(lur_source *s, double low, double high) {
  if (s->numpy) return lur_numpy_random_uniform(s->numpy, low, high);
  lur_random4 r = lur_philox(s->key, s->high, s->low++);
  double unit = ((double)(r.v[0] >> 5) * 67108864.0 + (double)(r.v[1] >> 6)) / 9007199254740992.0;
  return low + (high - low) * unit;
}

static bool coin(lur_source *s) { return lur_source_uniform(s, 0, 1) < 0.5; }

static const double degree = 3.14159265358979323846 / 180.0;

static void draw_zoom(const lur_augment_settings *s, lur_source *source, lur_params *p) {
  double low = s->zoom_max > 0 ? s->zoom_min : 1 - s->zoom, high = s->zoom_max > 0 ? s->zoom_max : 1 + s->zoom;
  p->zx = p->zy = 1;
  if (low == 1 && high == 1) return;
  p->zx = lur_source_uniform(source, low, high);
  p->zy = lur_source_uniform(source, low, high);
}

/* The draws of Keras's ImageDataGenerator, in its order: 2.0.6 random_transform, or 3.10 get_random_transform. */
static void draw_keras(const lur_augment_settings *s, lur_source *source, int height, int width, lur_params *p) {
  bool era = s->era == LUR_ERA_2017;
  if (s->rotate > 0) p->theta = lur_source_uniform(source, -s->rotate, s->rotate) * degree;
  if (s->height_shift > 0) p->tx = lur_source_uniform(source, -s->height_shift, s->height_shift) * height;
  if (s->width_shift > 0) p->ty = lur_source_uniform(source, -s->width_shift, s->width_shift) * width;
  if (s->shear > 0) p->shear = lur_source_uniform(source, -s->shear, s->shear) * (era ? 1.0 : degree);
  draw_zoom(s, source, p);
  if (!era) {
    bool h = coin(source), v = coin(source);
    p->hflip = h && s->hflip;
    p->vflip = v && s->vflip;
  }
  if (s->channel_shift > 0)
    for (int c = 0; c < 3; c++)
      p->channel_shift[c] =
          c == 0 || era ? lur_source_uniform(source, -s->channel_shift, s->channel_shift) : p->channel_shift[0];
  if (era && s->hflip) p->hflip = coin(source);
  if (era && s->vflip) p->vflip = coin(source);
  if (s->mirror) p->hflip = !p->hflip;
}

/* The area, the logarithm of the aspect ratio, then the position, as torchvision's RandomResizedCrop draws them. */
static void draw_box(lur_source *source, double low, double high, double ratio, double *area, double *log_ratio,
                     double *y, double *x) {
  *area = lur_source_uniform(source, low, high);
  *log_ratio = lur_source_uniform(source, -log(ratio), log(ratio));
  *y = lur_source_uniform(source, 0, 1);
  *x = lur_source_uniform(source, 0, 1);
}

static double draw_factor(lur_source *source, double range) {
  return range > 0 ? lur_source_uniform(source, 1 - range, 1 + range) : 1;
}

static void draw_trivial(lur_source *source, int height, int width, lur_params *p) {
  static const double most[LUR_TRIVIAL_COUNT] = {0, 0.99, 0.99, 32, 32, 135, 0.99, 0.99, 0.99, 0.99, 6, 255, 0, 0};
  (void)height, (void)width;
  p->trivial = (lur_trivial)(int)lur_source_uniform(source, 0, LUR_TRIVIAL_COUNT);
  int bin = (int)lur_source_uniform(source, 0, 31);
  double share = bin / 30.0, sign = coin(source) ? -1 : 1, m = most[p->trivial] * share;
  if (p->trivial == LUR_TRIVIAL_POSTERIZE) p->magnitude = 8 - round(m);
  else if (p->trivial == LUR_TRIVIAL_SOLARIZE) p->magnitude = 255 - m;
  else p->magnitude = sign * m;
}

void lur_augment_draw(const lur_augment *augment, lur_source *source, int height, int width, lur_params *p) {
  const lur_augment_settings *s = &augment->s;
  *p = (lur_params){.brightness = 1, .contrast = 1, .saturation = 1};
  draw_keras(s, source, height, width, p);
  p->crops = s->crop > 0;
  if (p->crops)
    draw_box(source, s->crop, s->crop_max, s->crop_ratio, &p->crop_area, &p->crop_log_ratio, &p->crop_y, &p->crop_x);
  p->brightness = draw_factor(source, s->brightness);
  p->contrast = draw_factor(source, s->contrast);
  p->saturation = draw_factor(source, s->saturation);
  if (s->hue > 0) p->hue = lur_source_uniform(source, -s->hue, s->hue);
  if (s->brightness > 0 || s->contrast > 0 || s->saturation > 0 || s->hue > 0)
    p->jitter_order = (int)lur_source_uniform(source, 0, 24);
  if (s->trivial) draw_trivial(source, height, width, p);
  if (s->erase > 0 && lur_source_uniform(source, 0, 1) < s->erase) {
    p->erases = true;
    draw_box(source, s->erase_min, s->erase_max, s->erase_ratio, &p->erase_area, &p->erase_log_ratio, &p->erase_y,
             &p->erase_x);
    if (s->erase_noise) p->noise = (uint64_t)lur_source_uniform(source, 0, 9007199254740992.0);
  }
}

/* ---- geometry ---- */

lur_affine lur_affine_compose(const lur_affine *outer, const lur_affine *inner) {
  lur_affine m;
  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < 2; j++) m.a[i][j] = outer->a[i][0] * inner->a[0][j] + outer->a[i][1] * inner->a[1][j];
    m.b[i] = outer->a[i][0] * inner->b[0] + outer->a[i][1] * inner->b[1] + outer->b[i];
  }
  return m;
}

double lur_affine_min_scale(const lur_affine *m) { /* the smaller singular value, in closed form */
  double p = m->a[0][0], q = m->a[0][1], r = m->a[1][0], s = m->a[1][1];
  double sum = p * p + q * q + r * r + s * s, det = p * s - q * r;
  double root = sum * sum - 4 * det * det;
  double least = (sum - sqrt(root > 0 ? root : 0)) / 2;
  return sqrt(least > 0 ? least : 0);
}

/* m = O m O^-1, O the translation to (cy, cx): moves the fixed point of m from the origin to (cy, cx). */
static void centre_at(lur_affine *m, double cy, double cx) {
  m->b[0] += cy - (m->a[0][0] * cy + m->a[0][1] * cx);
  m->b[1] += cx - (m->a[1][0] * cy + m->a[1][1] * cx);
}

/* T = R S H Z: rotation, shift, shear, zoom. Keras multiplies 3 x 3 matrices; skipping identity factors, as it does,
   changes no bit of the product. */
static lur_affine keras_matrix(const lur_params *p) {
  double c = cos(p->theta), s = sin(p->theta);
  lur_affine m = {{{c, -s}, {s, c}}, {0, 0}};
  lur_affine shift = {{{1, 0}, {0, 1}}, {p->tx, p->ty}}, shear = {{{1, -sin(p->shear)}, {0, cos(p->shear)}}, {0, 0}},
             zoom = {{{p->zx, 0}, {0, p->zy}}, {0, 0}};
  if (p->tx != 0 || p->ty != 0) m = lur_affine_compose(&m, &shift);
  if (p->shear != 0) m = lur_affine_compose(&m, &shear);
  if (p->zx != 1 || p->zy != 1) m = lur_affine_compose(&m, &zoom);
  return m;
}

/* The five geometric operations of TrivialAugment as maps from output to input: rotation about the image's centre,
   shears about its corner, as in torchvision. */
static lur_affine trivial_map(const lur_params *p, int height, int width) {
  lur_affine m = {{{1, 0}, {0, 1}}, {0, 0}};
  double a = p->magnitude * degree;
  switch (p->trivial) {
  case LUR_TRIVIAL_SHEAR_X: m.a[1][0] = -p->magnitude; break;
  case LUR_TRIVIAL_SHEAR_Y: m.a[0][1] = -p->magnitude; break;
  case LUR_TRIVIAL_TRANSLATE_X: m.b[1] = -p->magnitude; break;
  case LUR_TRIVIAL_TRANSLATE_Y: m.b[0] = -p->magnitude; break;
  case LUR_TRIVIAL_ROTATE:
    m = (lur_affine){{{cos(a), -sin(a)}, {sin(a), cos(a)}}, {0, 0}};
    centre_at(&m, (height - 1) / 2.0, (width - 1) / 2.0);
    break;
  default: break;
  }
  return m;
}

void lur_augment_map(const lur_augment *augment, const lur_params *p, int height, int width, lur_affine *map) {
  lur_affine m = keras_matrix(p);
  double off = augment->s.era == LUR_ERA_2017 ? 0.5 : -0.5;
  bool identity = p->theta == 0 && p->tx == 0 && p->ty == 0 && p->shear == 0 && p->zx == 1 && p->zy == 1;
  if (!identity) centre_at(&m, height / 2.0 + off, width / 2.0 + off);
  lur_affine flip = {{{p->vflip ? -1 : 1, 0}, {0, p->hflip ? -1 : 1}},
                     {p->vflip ? height - 1 : 0, p->hflip ? width - 1 : 0}};
  if (p->vflip || p->hflip) m = lur_affine_compose(&m, &flip);
  if (p->trivial >= LUR_TRIVIAL_SHEAR_X && p->trivial <= LUR_TRIVIAL_ROTATE) {
    lur_affine t = trivial_map(p, height, width);
    m = lur_affine_compose(&m, &t);
  }
  *map = m;
}

bool lur_params_flip_only(const lur_params *p) {
  bool trivial = p->trivial >= LUR_TRIVIAL_SHEAR_X && p->trivial <= LUR_TRIVIAL_ROTATE && p->magnitude != 0;
  return p->theta == 0 && p->tx == 0 && p->ty == 0 && p->shear == 0 && p->zx == 1 && p->zy == 1 && !p->crops &&
         !trivial;
}

/* The box of the random crop. A side that exceeds the image is shortened to it. */
static void crop_box(const lur_params *p, int height, int width, double *top, double *left, double *h, double *w) {
  double area = p->crop_area * height * width, ratio = exp(p->crop_log_ratio);
  *w = fmin(sqrt(area * ratio), width);
  *h = fmin(sqrt(area / ratio), height);
  *top = p->crop_y * (height - *h);
  *left = p->crop_x * (width - *w);
}

void lur_params_resize_map(const lur_params *p, int height, int width, int source_height, int source_width,
                           lur_affine *map) {
  double top = 0, left = 0, h = source_height, w = source_width;
  if (p->crops) crop_box(p, source_height, source_width, &top, &left, &h, &w);
  double sy = h / height, sx = w / width; /* pixel centres are at +0.5 on both grids */
  *map = (lur_affine){{{sy, 0}, {0, sx}}, {0.5 * sy - 0.5 + top, 0.5 * sx - 0.5 + left}};
}
