/* keras_config.h - the names that a .keras archive's config.json gives to the layers of its model.weights.h5. */
#ifndef LUR_KERAS_CONFIG_H
#define LUR_KERAS_CONFIG_H

#include "engine/lurcher.h"

typedef struct lur_keras_config lur_keras_config; /* the whole text */
typedef struct lur_keras_level lur_keras_level;   /* the layers of one model in it */

/* Reads config.json. *config stays NULL where the archive has none, or where it describes no list of layers. */
lur_status lur_keras_config_open(const char *path, lur_keras_config **config);
void lur_keras_config_close(lur_keras_config *config); /* may be NULL */
/* The layers of the file's own model. */
const lur_keras_level *lur_keras_config_top(const lur_keras_config *config);
/* The name of the layer that a group of the weights belongs to: of "conv2d_3", the fourth Conv2D of the level; NULL
   where the level has no such layer, or is NULL. */
const char *lur_keras_level_name(const lur_keras_level *level, const char *group);
/* The layers of the model that is that layer; NULL where it is none. */
const lur_keras_level *lur_keras_level_below(const lur_keras_level *level, const char *group);

#endif
