/* sample.h - one image file to one row of a batch: what a loader's worker does again and again in its own memory. */
#ifndef LUR_SAMPLE_H
#define LUR_SAMPLE_H

#include <stdatomic.h>

#include "augment.h"
#include "bytes.h"
#include "rgbx.h"

typedef struct lur_sampler_settings { /* the same for every row of a loader */
  int height, width, channels;
  lur_resize_filter resize;
  lur_preprocess preprocess;
  lur_decode_options decode;
  const lur_augment *augment; /* NULL: none */
  const atomic_bool *stop;    /* may be NULL */
} lur_sampler_settings;

typedef struct lur_workspace { /* one thread's memory, kept from row to row; zeroed is ready */
  lur_bytes file, positions, tables;
  lur_rgbx decoded, resized, scratch;
} lur_workspace;
void lur_workspace_free(lur_workspace *workspace);

/* Reads the file and writes height * width * channels floats. params: what was drawn for it, NULL without augmentation.
   On failure out is undefined. */
lur_status lur_sample_make(lur_workspace *workspace, const lur_sampler_settings *settings, const char *path,
                           const lur_params *params, float *out);

#endif
