/* sample.c - one picture file to one row of a batch: read, decode, resize, normalise. */
#include "sample.h"

void lur_workspace_free(lur_workspace *workspace) {
  lur_bytes_free(&workspace->file);
  lur_picture_free(&workspace->decoded);
  lur_picture_free(&workspace->resized);
  lur_picture_free(&workspace->scratch);
}

/* ---- preprocessing ---- */

/* One value as Keras's preprocess_input has it (keras.md, sections 4 and 2): channel c counts in RGB order. */
static float normal(lur_preprocess preprocess, int c, float value) {
  static const float caffe_mean[3] = {123.68f, 116.779f, 103.939f};
  switch (preprocess) {
    case LUR_PREPROCESS_TF: return value / 127.5f - 1.0f;
    case LUR_PREPROCESS_CAFFE: return value - caffe_mean[c];
    case LUR_PREPROCESS_RESCALE: return value / 255.0f;
    default: return value;
  }
}

typedef struct tables {
  float value[3][256];
} tables;

static void fill_tables(tables *t, lur_preprocess preprocess) {
  for (int c = 0; c < 3; c++)
    for (int v = 0; v < 256; v++) t->value[c][v] = normal(preprocess, c, (float)v);
}

/* Pillow's RGB to L, Convert.c. */
static unsigned luma(const uint8_t *p) { return (p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16; }

static void write_rgb(const lur_picture *picture, const tables *t, bool bgr, float *out) {
  size_t n = (size_t)picture->width * (size_t)picture->height;
  int r = bgr ? 2 : 0, b = 2 - r;
  const uint8_t *p = picture->pixels;
  for (size_t i = 0; i < n; i++, p += 4, out += 3) {
    out[r] = t->value[0][p[0]];
    out[1] = t->value[1][p[1]];
    out[b] = t->value[2][p[2]];
  }
}

static void write_gray(const lur_picture *picture, const tables *t, float *out) {
  size_t n = (size_t)picture->width * (size_t)picture->height;
  for (size_t i = 0; i < n; i++) out[i] = t->value[1][luma(picture->pixels + 4 * i)];
}

/* ---- the row ---- */

lur_status lur_sample_make(lur_workspace *w, const lur_sampler_settings *settings, const char *path, float *out) {
  lur_decode_request request;
  lur_decode_request_init(&request, &settings->decode);
  request.stop = settings->stop;
  LUR_TRY(lur_bytes_read(path, &w->file));
  LUR_TRY(lur_picture_decode(w->file.data, w->file.count, &request, &w->decoded, NULL, NULL));
  const lur_picture *picture = &w->decoded;
  if (picture->width != settings->width || picture->height != settings->height) {
    LUR_TRY(lur_picture_resample(picture, settings->width, settings->height, settings->resize, &w->resized, &w->scratch));
    picture = &w->resized;
  }
  tables t;
  fill_tables(&t, settings->preprocess);
  if (settings->channels == 1) write_gray(picture, &t, out);
  else write_rgb(picture, &t, settings->preprocess == LUR_PREPROCESS_CAFFE, out);
  return LUR_OK;
}
