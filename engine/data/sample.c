/* sample.c - makes one row of a batch from one image file: reads, decodes, then either resizes as Pillow does or
 * resamples with an affine map, then normalises. For a loader with a transform it stops before the last step, which is
 * taken later.
 *
 * Keras resizes first and augments the resized image. Here the two maps are composed and the decoded image is sampled
 * once. The result equals Keras's where no resize is needed, and always with nearest resize and nearest sampling, since
 * indices compose. With bilinear sampling of an image that changes size, one interpolation replaces two: the result is
 * sharper, and lacks the antialiasing of a resize; therefore images that are at least twice too large are decoded at a
 * fraction of their size (option prescale). */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "image.h"
#include "resize.h"

void lur_workspace_free(lur_workspace *workspace) {
  lur_bytes_free(&workspace->file);
  lur_bytes_free(&workspace->positions);
  lur_bytes_free(&workspace->tables);
  lur_bytes_free(&workspace->floats);
  lur_bytes_free(&workspace->rgb);
  lur_rgbx_free(&workspace->decoded);
  lur_rgbx_free(&workspace->resized);
  lur_rgbx_free(&workspace->scratch);
}

/* ---- preprocessing ---- */

/* Of R, G, B; see lur_preprocess in data.h. */
static const float caffe_mean[3] = {123.68f, 116.779f, 103.939f};
static const float torch_mean[3] = {0.485f, 0.456f, 0.406f}, torch_std[3] = {0.229f, 0.224f, 0.225f};

/* One value as preprocess_input computes it (keras-applications 1.0.8, imagenet_utils.py). c: channel in RGB order. */
static float normalised(lur_preprocess preprocess, int c, float value) {
  switch (preprocess) {
  case LUR_PREPROCESS_TF: return value / 127.5f - 1.0f;
  case LUR_PREPROCESS_CAFFE: return value - caffe_mean[c];
  case LUR_PREPROCESS_RESCALE: return value / 255.0f;
  case LUR_PREPROCESS_TORCH: return (value / 255.0f - torch_mean[c]) / torch_std[c];
  default: return value;
  }
}

/* The same as value * scale + shift, for the vector loops: equal up to the last bit. */
static void linear(lur_preprocess preprocess, int c, float *scale, float *shift) {
  *scale = 1;
  *shift = 0;
  switch (preprocess) {
  case LUR_PREPROCESS_TF:
    *scale = 1.0f / 127.5f;
    *shift = -1;
    break;
  case LUR_PREPROCESS_CAFFE: *shift = -caffe_mean[c]; break;
  case LUR_PREPROCESS_RESCALE: *scale = 1.0f / 255.0f; break;
  case LUR_PREPROCESS_TORCH:
    *scale = 1.0f / (255.0f * torch_std[c]);
    *shift = -torch_mean[c] / torch_std[c];
    break;
  default: break;
  }
}

/* RGB to grayscale in place, by the formula of Pillow's Convert.c (RGB to L). */
static void make_gray(lur_rgbx *image) {
  size_t n = (size_t)image->width * (size_t)image->height;
  for (uint8_t *p = image->pixels; n > 0; n--, p += 4)
    p[0] = p[1] = p[2] = (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
}

/* ---- whole images: resize, flip, normalise ---- */

typedef struct tables {
  float value[3][256];
} tables;

static void write_row(const uint8_t *p, ptrdiff_t step, int n, const tables *t, int r, float *out) {
  for (int i = 0; i < n; i++, p += step, out += 3) {
    out[r] = t->value[0][p[0]];
    out[1] = t->value[1][p[1]];
    out[2 - r] = t->value[2][p[2]];
  }
}

static void write_image(const lur_rgbx *image, const lur_sample_settings *settings, const lur_params *params,
                        float *out) {
  tables t;
  for (int c = 0; c < 3; c++)
    for (int v = 0; v < 256; v++) t.value[c][v] = normalised(settings->preprocess, c, (float)v);
  bool hflip = params && params->hflip, vflip = params && params->vflip;
  int w = image->width, h = image->height, r = settings->preprocess == LUR_PREPROCESS_CAFFE ? 2 : 0;
  for (int y = 0; y < h; y++) {
    const uint8_t *row = image->pixels + 4 * (size_t)w * (size_t)(vflip ? h - 1 - y : y);
    const uint8_t *first = hflip ? row + 4 * (size_t)(w - 1) : row;
    if (settings->channels == 3) write_row(first, hflip ? -4 : 4, w, &t, r, out + 3 * (size_t)w * (size_t)y);
    else
      for (int x = 0; x < w; x++) out[(size_t)y * (size_t)w + (size_t)x] = t.value[1][row[4 * (hflip ? w - 1 - x : x)]];
  }
}

/* The same without normalisation: height x width x 3 bytes. */
static void write_bytes(const lur_rgbx *image, const lur_params *params, uint8_t *out) {
  bool hflip = params && params->hflip, vflip = params && params->vflip;
  int w = image->width, h = image->height;
  for (int y = 0; y < h; y++) {
    const uint8_t *row = image->pixels + 4 * (size_t)w * (size_t)(vflip ? h - 1 - y : y);
    for (int x = 0; x < w; x++, out += 3) memcpy(out, row + 4 * (size_t)(hflip ? w - 1 - x : x), 3);
  }
}

/* Where a row goes. */
typedef struct output {
  float *row;     /* normalised, height x width x channels; or NULL */
  uint8_t *bytes; /* for a transform, height x width x 3; or NULL */
  int *size;      /* with bytes: height and width of the image in its file */
} output;

static lur_status make_plain(lur_workspace *w, const lur_sample_settings *settings, const lur_params *params,
                             const output *out) {
  const lur_rgbx *image = &w->decoded;
  if (image->width != settings->width || image->height != settings->height) {
    LUR_TRY(lur_rgbx_resample(image, settings->width, settings->height, settings->resize, &w->resized, &w->scratch));
    image = &w->resized;
  }
  if (out->bytes) write_bytes(image, params, out->bytes);
  else write_image(image, settings, params, out->row);
  return LUR_OK;
}

/* ---- augmented images ---- */

typedef struct geometry { /* for choose_scale: what the scale depends on, and the choice */
  const lur_sample_settings *settings;
  const lur_params *params;
  lur_affine augment; /* from the output to the resized image */
  int divided;        /* 1, 2 or 4: the divisor of the decoded size */
} geometry;

static int choose_scale(int width, int height, void *user) {
  geometry *g = user;
  lur_affine resize;
  lur_params_resize_map(g->params, g->settings->height, g->settings->width, height, width, &resize);
  lur_affine whole = lur_affine_compose(&resize, &g->augment);
  double step = lur_affine_min_scale(&whole);
  g->divided = step >= 4 ? 4 : step >= 2 ? 2 : 1;
  return g->divided;
}

static bool may_prescale(const lur_sample_settings *settings) {
  return settings->augment->s.prescale && settings->resize != LUR_RESIZE_NEAREST &&
         !lur_augment_nearest(settings->augment);
}

/* Source index of each row or column of the resized image, as in Pillow's NEAREST. */
static void fill_table(int *table, int grid, int source) {
  double step = (double)source / grid, at = step * 0.5;
  for (int i = 0; i < grid; i++, at += step) table[i] = (int)at < source ? (int)at : source - 1;
}

static lur_status nearest_tables(lur_workspace *w, const lur_sample_settings *settings, lur_warp *warp) {
  warp->grid_height = settings->height;
  warp->grid_width = settings->width;
  if (w->decoded.height == settings->height && w->decoded.width == settings->width) return LUR_OK;
  LUR_TRY(lur_bytes_reserve(&w->tables, (size_t)(settings->height + settings->width) * sizeof(int)));
  int *rows = (int *)(void *)w->tables.data, *columns = rows + settings->height;
  fill_table(rows, settings->height, w->decoded.height);
  fill_table(columns, settings->width, w->decoded.width);
  warp->row_table = rows;
  warp->column_table = columns;
  return LUR_OK;
}

/* Sets the map from the output to the decoded image, which may be smaller than the stored one. */
static void compose(lur_workspace *w, const geometry *g, int full_width, int full_height, lur_warp *warp) {
  lur_affine resize;
  lur_params_resize_map(g->params, g->settings->height, g->settings->width, full_height, full_width, &resize);
  warp->map = lur_affine_compose(&resize, &g->augment);
  if (full_width == w->decoded.width && full_height == w->decoded.height) return;
  double share = 1.0 / g->divided;
  lur_affine divide = {{{share, 0}, {0, share}}, {0.5 * share - 0.5, 0.5 * share - 0.5}};
  warp->map = lur_affine_compose(&divide, &warp->map);
}

static void normalise(const lur_sample_settings *settings, size_t n, float *rgb) {
  float scale[3], shift[3];
  for (int c = 0; c < 3; c++) linear(settings->preprocess, c, &scale[c], &shift[c]);
  bool bgr = settings->preprocess == LUR_PREPROCESS_CAFFE;
  for (size_t i = 0; i < n; i++, rgb += 3) {
    float v[3];
    for (int c = 0; c < 3; c++) v[c] = rgb[c] * scale[c] + shift[c];
    rgb[0] = v[bgr ? 2 : 0];
    rgb[1] = v[1];
    rgb[2] = v[bgr ? 0 : 2];
  }
}

/* Resamples, changes colours, and unless raw normalises, into out: height x width x 3. */
static lur_status make_colour(lur_workspace *w, const geometry *g, int full_width, int full_height, bool raw,
                              float *out) {
  const lur_sample_settings *settings = g->settings;
  const lur_augment *augment = settings->augment;
  bool recolour = lur_params_recolour(g->params), at_once = !recolour && !raw,
       bgr = settings->preprocess == LUR_PREPROCESS_CAFFE && at_once;
  lur_warp warp = {.nearest = lur_augment_nearest(augment),
                   .fill = (lur_fill)augment->s.fill,
                   .fill_value = augment->s.fill_value,
                   .height = settings->height,
                   .width = settings->width};
  for (int k = 0; k < 3; k++) {
    warp.channel[k] = bgr ? 2 - k : k;
    warp.scale[k] = 1;
    if (at_once) linear(settings->preprocess, warp.channel[k], &warp.scale[k], &warp.shift[k]);
  }
  if (warp.nearest && !g->params->crops) {
    warp.map = g->augment;
    LUR_TRY(nearest_tables(w, settings, &warp));
  } else {
    compose(w, g, full_width, full_height, &warp);
    warp.grid_height = w->decoded.height;
    warp.grid_width = w->decoded.width;
  }
  LUR_TRY(lur_warp_rgbx(&warp, &w->decoded, &w->positions, out));
  if (recolour) LUR_TRY(lur_colour_apply(augment, g->params, settings->height, settings->width, out));
  if (recolour && !raw) normalise(settings, (size_t)settings->height * (size_t)settings->width, out);
  return LUR_OK;
}

/* A changed image of which not the normalised RGB values are wanted: bytes, or one channel. Grayscale is three equal
   channels on its way, since resampling and colour changes work on RGB; of these it keeps the second. */
static lur_status make_converted(lur_workspace *w, const geometry *g, int full_width, int full_height,
                                 const output *out) {
  size_t n = (size_t)g->settings->height * (size_t)g->settings->width;
  bool gray = g->settings->channels == 1;
  LUR_TRY(lur_bytes_reserve(&w->floats, 3 * n * sizeof(float)));
  float *rgb = (float *)(void *)w->floats.data;
  if (gray) make_gray(&w->decoded);
  LUR_TRY(make_colour(w, g, full_width, full_height, out->bytes != NULL, rgb));
  if (out->bytes)
    for (size_t i = 0; i < 3 * n; i++) out->bytes[i] = lur_image_byte(rgb[gray ? i / 3 * 3 + 1 : i]);
  else
    for (size_t i = 0; i < n; i++) out->row[i] = rgb[3 * i + 1];
  return LUR_OK;
}

/* Whether the row is the resized image, flipped at most: then it equals the result of Pillow's resize exactly. */
static bool plain(const lur_params *params) {
  return !params || (lur_params_flip_only(params) && !lur_params_recolour(params));
}

/* Memory above this is not kept for the next image: each of many workers may meet a huge one. */
static const size_t most_kept = (size_t)128 << 20;

static void trim(lur_workspace *w) {
  lur_rgbx *const images[] = {&w->decoded, &w->resized, &w->scratch};
  for (int i = 0; i < 3; i++)
    if (images[i]->capacity > most_kept) lur_rgbx_free(images[i]);
  if (w->file.capacity > most_kept) lur_bytes_free(&w->file);
}

static lur_status make(lur_workspace *w, const lur_sample_settings *settings, lur_decode_request *request,
                       geometry *g, const output *out) {
  bool whole = plain(g->params);
  if (!whole) {
    lur_augment_map(settings->augment, g->params, settings->height, settings->width, &g->augment);
    request->user = g;
    if (may_prescale(settings)) request->choose_scale = choose_scale;
  }
  if (whole) request->extra_width = settings->width;
  int full_width, full_height;
  LUR_TRY(lur_rgbx_decode(w->file.data, w->file.count, request, &w->decoded, &full_width, &full_height));
  if (out->size) out->size[0] = full_height, out->size[1] = full_width;
  if (whole) {
    if (settings->channels == 1) make_gray(&w->decoded);
    return make_plain(w, settings, g->params, out);
  }
  if (settings->channels == 1 || out->bytes) return make_converted(w, g, full_width, full_height, out);
  return make_colour(w, g, full_width, full_height, false, out->row);
}

static lur_status read_and_make(lur_workspace *w, const lur_sample_settings *settings, const char *path,
                                const lur_params *params, const output *out) {
  geometry g = {.settings = settings, .params = params, .divided = 1};
  lur_decode_request request;
  lur_memory_budgets *budgets = settings->budgets;
  int64_t pixels = 0, bytes = budgets ? lur_file_size(path) : 0;
  lur_decode_request_init(&request, &settings->decode);
  request.stop = settings->stop;
  request.budget = budgets ? &budgets->pixels : NULL;
  request.taken = &pixels;
  if (budgets) lur_budget_take(&budgets->files, bytes);
  lur_status status = lur_bytes_read(path, &w->file, &w->absent);
  if (status == LUR_OK) status = make(w, settings, &request, &g, out);
  trim(w);
  if (budgets) lur_budget_give(&budgets->pixels, pixels);
  if (budgets) lur_budget_give(&budgets->files, bytes);
  return status;
}

lur_status lur_sample_make(lur_workspace *w, const lur_sample_settings *settings, const char *path,
                           const lur_params *params, float *out) {
  return read_and_make(w, settings, path, params, &(output){.row = out});
}

lur_status lur_sample_bytes(lur_workspace *w, const lur_sample_settings *settings, const char *path,
                            const lur_params *params, uint8_t *rgb, int size[2]) {
  return read_and_make(w, settings, path, params, &(output){.bytes = rgb, .size = size});
}

/* The gray value of make_gray, of values that need not be whole. */
static float gray_of(const float *p) { return (p[0] * 19595.0f + p[1] * 38470.0f + p[2] * 7471.0f) / 65536.0f; }

void lur_sample_normalise(const lur_sample_settings *settings, const float *rgb, float *out) {
  size_t n = (size_t)settings->height * (size_t)settings->width;
  lur_preprocess preprocess = settings->preprocess;
  int r = preprocess == LUR_PREPROCESS_CAFFE ? 2 : 0;
  if (settings->channels == 1) {
    for (size_t i = 0; i < n; i++) out[i] = normalised(preprocess, 1, gray_of(rgb + 3 * i));
    return;
  }
  for (size_t i = 0; i < n; i++, rgb += 3, out += 3) {
    float v[3];
    for (int c = 0; c < 3; c++) v[c] = normalised(preprocess, c, rgb[c]);
    out[r] = v[0];
    out[1] = v[1];
    out[2 - r] = v[2];
  }
}
