/* keras3_read.h - the layers of a Keras 3 .weights.h5. */
#ifndef LUR_KERAS3_READ_H
#define LUR_KERAS3_READ_H

#include "keras_file.h"

/* Adds every layer of the open file. The layout does not name layers: their names come from the model. */
lur_status lur_keras3_add_layers(lur_weight_file *file, const lur_model *model);

#endif
