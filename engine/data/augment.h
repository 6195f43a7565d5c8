/* augment.h - the inside of an augmentation: its options, what is drawn for one image, and the passes over pixels. */
#ifndef LUR_AUGMENT_H
#define LUR_AUGMENT_H

#include <stdatomic.h>

#include "rgbx.h"

typedef enum lur_era { LUR_ERA_CURRENT = 0, LUR_ERA_2017 } lur_era;
typedef enum lur_fill { LUR_FILL_NEAREST = 0, LUR_FILL_CONSTANT, LUR_FILL_REFLECT, LUR_FILL_WRAP } lur_fill;
typedef enum lur_interpolation {
  LUR_INTERPOLATION_AUTO = 0,
  LUR_INTERPOLATION_BILINEAR,
  LUR_INTERPOLATION_NEAREST
} lur_interpolation;

typedef struct lur_augment_settings { /* the option table's fields */
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

/* Nearest or bilinear, after the era's rule where the options leave it open. */
bool lur_augment_nearest(const lur_augment *augment);

/* Where the numbers for an image come from: NumPy's stream, or Philox at (key, high, low...). */
typedef struct lur_source {
  lur_numpy_random *numpy; /* NULL: Philox */
  uint64_t key, high, low;
} lur_source;
double lur_source_uniform(lur_source *source, double low, double high);

/* TrivialAugment's fourteen (Mueller and Hutter 2021, "wide" space; torchvision 0.15). */
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

typedef struct lur_params {            /* what was drawn for one image */
  double theta, tx, ty, shear, zx, zy; /* radians; pixels of the output; radians */
  bool hflip, vflip;
  double channel_shift[3];
  bool crops;
  double crop_area, crop_log_ratio, crop_y, crop_x; /* share of the area; natural log; places in [0, 1) */
  double brightness, contrast, saturation, hue;     /* factors, 1 for none; hue in turns, 0 for none */
  int jitter_order;                                 /* 0..23: which permutation of the four */
  bool erases;
  double erase_area, erase_log_ratio, erase_y, erase_x;
  lur_trivial trivial;
  double magnitude; /* of trivial, in its own unit and with its sign */
  uint64_t noise;   /* key of random pixels */
} lur_params;

/* Draws for an image that becomes height x width: Keras's part in its order (keras.md section 4), then the rest. */
void lur_augment_draw(const lur_augment *augment, lur_source *source, int height, int width, lur_params *params);

/* ---- geometry ---- */

typedef struct lur_map { /* source (row, column) = a * (row, column) + b */
  double a[2][2], b[2];
} lur_map;

/* From pixels of the height x width output to pixels of the resized image of the same size, flips included. */
void lur_augment_map(const lur_augment *augment, const lur_params *params, int height, int width, lur_map *map);
/* outer after inner: x -> outer(inner(x)). */
lur_map lur_map_compose(const lur_map *outer, const lur_map *inner);
/* The least stretch of the map in any direction: source pixels a step of one output pixel. */
double lur_map_least_step(const lur_map *map);
/* True when the map does nothing but flip. */
bool lur_params_flip_only(const lur_params *params);
/* From the output's resized grid to the image of source_height x source_width, through the drawn crop where there is
 * one. */
void lur_params_resize_map(const lur_params *params, int height, int width, int source_height, int source_width,
                           lur_map *map);

typedef struct lur_warp {
  lur_map map;
  bool nearest;
  lur_fill fill;
  double fill_value;
  const int *row_table, *column_table; /* nearest: from the resized grid to the image; NULL: they are the same grid */
  int grid_height, grid_width;         /* what fill modes go by: the resized grid for nearest, else the image */
  int height, width;                   /* of the output */
  float scale[3], shift[3];            /* out = value * scale + shift, by output channel */
  int channel[3];                      /* image channel of each output channel: {0, 1, 2}, or {2, 1, 0} for BGR */
} lur_warp;

/* Resamples image into out, height x width x 3. scratch holds one row's positions. */
lur_status lur_warp_rgbx(const lur_warp *warp, const lur_rgbx *image, lur_bytes *scratch, float *out);

/* ---- colour, on floats 0..255 of n pixels x 3 in RGB ---- */

bool lur_params_recolour(const lur_params *params); /* whether lur_colour_apply has anything to do */
lur_status lur_colour_apply(const lur_augment *augment, const lur_params *params, int height, int width, float *rgb);

/* ---- mixing, over a whole batch ---- */

/* Mixes rows of size floats pair by pair, in place, with targets n x classes likewise (one-hot from ids).
   Where no mixing is asked only the targets are written. */
void lur_mix_batch(const lur_augment *augment, lur_source *source, int64_t n, int height, int width, int channels,
                   float *images, const int32_t *ids, int classes, float *targets);

#endif
