/* keras3_read.h - the layers of a Keras 3 .weights.h5. */
#ifndef LUR_KERAS3_READ_H
#define LUR_KERAS3_READ_H

#include "keras_file.h"

/* Adds every layer of the open file, with its position. zipped: the file is an archive, whose config.json may name the
   layers. */
lur_status lur_keras3_add_layers(lur_weight_file *file, bool zipped);

#endif
