/* keras.h - what keras_read.c and keras3_read.c share. */
#ifndef LUR_KERAS_H
#define LUR_KERAS_H

#include "hdf5.h"

/* Adds dataset GROUP/NAME as an array of a layer. */
lur_status lur_keras_add_array(lur_weight_file *file, int from, const char *layer, const char *array, const char *group, const char *name);
/* keras3_read.c: fills the list from a .weights.h5. */
lur_status lur_keras3_add_layers(lur_weight_file *file, lur_hdf5 *hdf5, const lur_hdf5_group *root, const lur_model *model);

#endif
