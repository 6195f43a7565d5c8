/* classes.h - the classes of handles: what each is called in Lua and how its object is released.
 *
 * Every file may need a tensor or a model as an argument, so what identifies a class is here, below all other files.
 * What a class can do (methods, fields, operators) is registered by the file that implements it, with
 * lur_class_register. */
#ifndef LUR_CLASSES_H
#define LUR_CLASSES_H

#include "handle.h"

extern const lur_class lur_device_class, lur_tensor_class;
extern const lur_class lur_layer_class, lur_node_class, lur_model_class, lur_run_class, lur_optimizer_class;
extern const lur_class lur_set_class, lur_loader_class, lur_augment_class, lur_cache_class;
extern const lur_class lur_random_class, lur_numpy_random_class;

#endif
