/* classes.c - see classes.h. A new class is a RELEASE line, a row here, and a row in classes.h. */
#include "classes.h"

/* lur_X_release with the parameter that every class's release has. */
#define RELEASE(noun)                                                                                                  \
  static void release_##noun(void *object) { lur_##noun##_release(object); }
RELEASE(tensor)
RELEASE(layer)
RELEASE(node)
RELEASE(model)
RELEASE(run)
RELEASE(optimizer)
RELEASE(dataset)
RELEASE(loader)
RELEASE(augment)
RELEASE(cache)
RELEASE(random)
RELEASE(numpy_random)

/* The context owns its devices; a handle only refers to one. */
static void release_device(void *device) { (void)device; }

const lur_class lur_device_class = {"lurcher.device", release_device};
const lur_class lur_tensor_class = {"lurcher.tensor", release_tensor};
const lur_class lur_layer_class = {"lurcher.layer", release_layer};
const lur_class lur_node_class = {"lurcher.node", release_node};
const lur_class lur_model_class = {"lurcher.model", release_model};
const lur_class lur_run_class = {"lurcher.run", release_run};
const lur_class lur_optimizer_class = {"lurcher.optimizer", release_optimizer};
const lur_class lur_set_class = {"lurcher.dataset", release_dataset};
const lur_class lur_loader_class = {"lurcher.loader", release_loader};
const lur_class lur_augment_class = {"lurcher.augment", release_augment};
const lur_class lur_cache_class = {"lurcher.cache", release_cache};
const lur_class lur_random_class = {"lurcher.random", release_random};
const lur_class lur_numpy_random_class = {"lurcher.numpy_random", release_numpy_random};
