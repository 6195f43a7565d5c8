/* augment.h - the internals of augmentation: its options, the random parameters of one image, and the passes over
 * pixels. */
#ifndef LUR_AUGMENT_H
#define LUR_AUGMENT_H

#include <stdatomic.h>

#include "bytes.h"
#include "rgbx.h"

typedef enum lur_era { LUR_ERA_CURRENT = 0, LUR_ERA_2017 } lur_era;
typedef enum lur_fill { LUR_FILL_NEAREST = 0, LUR_FILL_CONSTANT, LUR_FILL_REFLECT, LUR_FILL_WRAP } lur_fill;
typedef enum lur_interpolation {
  LUR_INTERPOLATION_AUTO = 0,
  LUR_INTERPOLATION_BILINEAR,
  LUR_INTERPOLATION_NEAREST
} lur_interpolation;

typedef struct lur_augment_settings { /* the fields of the option table in augment.c */
  double rotate, height_shift, width_shift, shear, zoom, zoom_min, zoom_max, channel_shift;
  bool hflip, vflip, mirror;
  int fill, interpolation, era;
  double fill_value;
  double crop, crop_max, crop_ratio;
  double brightness, contrast, saturation, hue;
  double erase, erase_min, erase_max, erase_ratio, erase_value;
  bool erase_noise, trivial, prescale;
  double mixup, cutmix;
} lur_augment_settings;

struct lur_augment {
  atomic_int refs;
  lur_augment_settings s;
};

/* Whether pixels are sampled nearest; interpolation "auto" means nearest in era 2017, otherwise bilinear. */
bool lur_augment_nearest(const lur_augment *augment);

/* A source of random numbers: NumPy's stream, or Philox with this key and counter (high, low), low counting up. */
typedef struct lur_source {
  lur_numpy_random *numpy; /* NULL: Philox */
  uint64_t key, high, low;
} lur_source;
double lur_source_uniform(lur_source *source, double low, double high);

/* The fourteen operations of TrivialAugmentWide (Mueller and Hutter 2021; torchvision 0.15). */
typedef enum lur_trivial {
  LUR_TRIVIAL_IDENTITY = 0,
  LUR_TRIVIAL_SHEAR_X,
  LUR_TRIVIAL_SHEAR_Y,
  LUR_TRIVIAL_TRANSLATE_X,
  LUR_TRIVIAL_TRANSLATE_Y,
  LUR_TRIVIAL_ROTATE,
  LUR_TRIVIAL_BRIGHTNESS,
  LUR_TRIVIAL_COLOR,
  LUR_TRIVIAL_CONTRAST,
  LUR_TRIVIAL_SHARPNESS,
  LUR_TRIVIAL_POSTERIZE,
  LUR_TRIVIAL_SOLARIZE,
  LUR_TRIVIAL_AUTOCONTRAST,
  LUR_TRIVIAL_EQUALIZE,
  LUR_TRIVIAL_COUNT
} lur_trivial;

typedef struct lur_params {            /* the random parameters of one image */
  double theta, tx, ty, shear, zx, zy; /* theta and shear in radians; tx (rows) and ty (columns) in output pixels */
  bool hflip, vflip;
  double channel_shift[3];
  bool crops;
  double crop_area, crop_log_ratio, crop_y, crop_x; /* fraction of the area; natural log; position in [0, 1) */
  double brightness, contrast, saturation, hue;     /* factors, 1: none; hue as a fraction of the circle, 0: none */
  int jitter_order;                                 /* 0..23: the permutation in which the four are applied */
  bool erases;
  double erase_area, erase_log_ratio, erase_y, erase_x;
  lur_trivial trivial;
  double magnitude; /* of the TrivialAugment operation, in its own unit, signed */
  uint64_t noise;   /* Philox key of the pixels of erase_noise */
} lur_params;

/* Draws the parameters of an image that becomes height x width: first those of Keras's ImageDataGenerator in its order
   (see draw_keras), then the others. */
void lur_augment_draw(const lur_augment *augment, lur_source *source, int height, int width, lur_params *params);

/* ---- geometry ---- */

typedef struct lur_affine { /* maps output (row, column) to source: a * (row, column) + b */
  double a[2][2], b[2];
} lur_affine;

/* The map from the height x width output to the resized image of the same size, flips included. */
void lur_augment_map(const lur_augment *augment, const lur_params *params, int height, int width, lur_affine *map);
/* x -> outer(inner(x)). */
lur_affine lur_affine_compose(const lur_affine *outer, const lur_affine *inner);
/* The smallest scale of the map in any direction, in source pixels per output pixel: its smaller singular value. */
double lur_affine_min_scale(const lur_affine *map);
/* Whether the geometric changes are at most flips. */
bool lur_params_flip_only(const lur_params *params);
/* The map from the resized image to the source_height x source_width image, through the random crop if there is one. */
void lur_params_resize_map(const lur_params *params, int height, int width, int source_height, int source_width,
                           lur_affine *map);

typedef struct lur_warp {
  lur_affine map;
  bool nearest;
  lur_fill fill;
  double fill_value;
  const int *row_table, *column_table; /* nearest: source index of each resized row and column; NULL: they are equal */
  int grid_height, grid_width; /* extents that fill modes refer to: nearest: the resized image; otherwise the source */
  int height, width;           /* of the output */
  float scale[3], shift[3];    /* out = value * scale + shift, by output channel */
  int channel[3];              /* source channel of each output channel: {0, 1, 2}, or {2, 1, 0} for BGR */
} lur_warp;

/* Resamples image into out, height x width x 3. scratch holds the positions of one row. */
lur_status lur_warp_rgbx(const lur_warp *warp, const lur_rgbx *image, lur_bytes *scratch, float *out);

/* ---- colour, on RGB floats in 0..255, height x width x 3 ---- */

bool lur_params_recolour(const lur_params *params); /* whether lur_colour_apply changes anything */
lur_status lur_colour_apply(const lur_augment *augment, const lur_params *params, int height, int width, float *rgb);

/* The box of a share of the area and an aspect ratio (width over height), at y and x in [0, 1) of its free places. A
   side that exceeds the image is shortened to it. */
lur_image_box lur_augment_box(double share, double ratio, double y, double x, int height, int width);

/* ---- mixing, over a whole batch ---- */

/* Mixes the images (n x height x width x channels) pair by pair, in place, and writes targets (n x classes): one-hot
   rows by ids, mixed the same way. Without mixup and cutmix only the targets are written. */
void lur_mix_batch(const lur_augment *augment, lur_source *source, int64_t n, int height, int width, int channels,
                   float *images, const int32_t *ids, int classes, float *targets);

#endif
