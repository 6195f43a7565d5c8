/* sample.h - makes one row of a batch from one image file, in memory that its thread reuses. */
#ifndef LUR_SAMPLE_H
#define LUR_SAMPLE_H

#include <stdatomic.h>

#include "augment.h"
#include "budget.h"
#include "bytes.h"
#include "rgbx.h"

typedef struct lur_sample_settings { /* equal for all rows of a loader */
  int height, width, channels;
  lur_resize_filter resize;
  lur_preprocess preprocess;
  lur_decode_options decode;
  const lur_augment *augment; /* NULL: none */
  lur_memory_budgets *budgets; /* shared by the threads; NULL: unlimited */
  const atomic_bool *stop;    /* see lur_decode_request; may be NULL */
} lur_sample_settings;

typedef struct lur_workspace { /* memory of one thread, reused from row to row; zero-initialised */
  lur_bytes file, positions, tables, floats;
  lur_bytes rgb;        /* of an image that a transform changes: height x width x 3 */
  void *transform;      /* what lur_transform.open made for this thread; closed by the loader. NULL: not opened yet */
  lur_rgbx decoded, resized, scratch;
  bool absent; /* lur_sample_make failed since the file is missing, forbidden or no regular file: see bytes.h */
} lur_workspace;
void lur_workspace_free(lur_workspace *workspace);

/* Reads the file and writes height x width x channels floats. params: its augmentation parameters, or NULL without
   augmentation. On failure out is undefined: LUR_EFORMAT for a damaged image, LUR_EIO for a file that cannot be read,
   of which workspace->absent says whether another file could be. */
lur_status lur_sample_make(lur_workspace *workspace, const lur_sample_settings *settings, const char *path,
                           const lur_params *params, float *out);
/* The same for a loader with a transform: height x width x 3 bytes, RGB, resized and augmented, not normalised. For
   grayscale the three channels are equal. size: height and width of the image in its file. */
lur_status lur_sample_bytes(lur_workspace *workspace, const lur_sample_settings *settings, const char *path,
                            const lur_params *params, uint8_t *rgb, int size[2]);
/* Normalises what a transform returned, height x width x 3 values in 0..255, into a row of a batch; out may be rgb. */
void lur_sample_normalise(const lur_sample_settings *settings, const float *rgb, float *out);

#endif
