/* transform.h - applies a loader's transform (lur_transform in data.h) to rows. */
#ifndef LUR_TRANSFORM_H
#define LUR_TRANSFORM_H

#include "loader.h"

typedef struct lur_row_transform { /* a row to transform */
  int64_t index, requested, draw;  /* see lur_transform_call */
  const uint8_t *pixels;
  const int *size; /* of the image in its file: height, width */
} lur_row_transform;

/* Opens the workspace's state if need be, applies it, and normalises into out, a row of a batch. */
lur_status lur_transform_row(lur_loader *loader, lur_workspace *workspace, const lur_row_transform *row, float *out);
/* Closes the workspace's state. */
void lur_transform_close(lur_loader *loader, lur_workspace *workspace);

#endif
