/* keras_file.h - an open Keras weights file as a reader of arrays: what the readers of both layouts build on. */
#ifndef LUR_KERAS_FILE_H
#define LUR_KERAS_FILE_H

#include "hdf5.h"

typedef struct lur_keras_file { /* lur_weight_file.self */
  lur_hdf5 *hdf5;
  lur_hdf5_group *group; /* that dataset paths start from */
  int n, capacity;
  char **datasets; /* path of each array added, by its source number */
} lur_keras_file;

/* Opens file->path and makes file read from it; the group is the root. zipped: the path is a .keras archive, and its
   member model.weights.h5 is opened. */
lur_status lur_keras_file_open(lur_weight_file *file, bool zipped);
/* Adds the dataset GROUP/NAME as an array of a layer: the first of that name from layer number `from` on, or a new one.
 */
lur_status lur_keras_file_add(lur_weight_file *file, int from, const char *layer, const char *array, const char *group,
                              const char *name);

#endif
