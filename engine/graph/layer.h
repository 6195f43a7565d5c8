/* layer.h - the inside of a layer: its kind, its options and its weights. A layer knows nothing of graphs or runs; a
 * node (graph.h) is one application of it. */
#ifndef LUR_LAYER_H
#define LUR_LAYER_H

#include <stdatomic.h>

#include "engine/base/alloc.h"
#include "engine/base/option.h"
#include "kernels/op_desc.h"

typedef enum lur_init {
  LUR_INIT_GLOROT_UNIFORM,
  LUR_INIT_HE_NORMAL,
  LUR_INIT_NORMAL,
  LUR_INIT_ZEROS,
  LUR_INIT_ONES,
  LUR_INIT_TRUNCATED_NORMAL, /* this and the next: of parameters only */
  LUR_INIT_UNIFORM,
  LUR_INIT_CONSTANT
} lur_init;
extern const char *const lur_init_names[]; /* of lur_init up to LUR_INIT_ONES, in its order, NULL-terminated */

typedef struct lur_weight {
  char name[32];
  lur_shape shape;
  lur_tensor *value; /* f32; on the device of the last compile */
  bool learned;      /* false: moving statistics */
  bool decays;       /* weight decay applies: to kernels, not to biases and batch norm */
  lur_init init;
  /* scale: standard deviation of LUR_INIT_NORMAL and _TRUNCATED_NORMAL, limit of _UNIFORM, value of _CONSTANT */
  double fan_in, fan_out, scale;
  uint64_t version; /* grows whenever the engine changes the value; read it with lur_weight_version */
} lur_weight;

struct lur_layer {
  atomic_int refs;
  lur_context *context;
  const struct lur_layer_type *kind;
  char name[LUR_NAME];
  bool trainable, built;
  bool deferred; /* building declares the weights, whose values are NULL until lur_layer_make_weights */
  int nweights;
  lur_weight weights[LUR_MAX_WEIGHTS];
  void *options; /* kind->options_size bytes */
};

typedef struct lur_emitter lur_emitter; /* emit.h */

typedef struct lur_layer_type {
  const char *name, *help;
  const char *auto_name; /* of unnamed layers, before _1, _2, ...: Keras's class name; NULL: the kind's name */
  const lur_option *options;
  size_t options_size;
  /* Names of options that older programs do not know, which are saved only where they differ from their default;
     NULL-terminated, NULL for none. */
  const char *const *later_options;
  int min_inputs, max_inputs; /* max < 0: LUR_MAX_OPERANDS */
  bool numbers;               /* numbers among its inputs are meant as constants */
  bool random;                /* draws random numbers in training: the same input gives different outputs */
  bool given;                 /* its weights are constants: training changes none, and weights files may lack them */
  /* Checks options that only make sense together, and may set defaults that depend on other options. May be NULL. */
  lur_status (*check)(const lur_layer *layer);
  /* Declares the weights with lur_layer_add_weight from the inputs' sample shapes. NULL: the kind has none.
     Called for every application: LUR_ESHAPE where the shapes do not fit the weights that exist. */
  lur_status (*build)(lur_layer *layer, int n, const lur_shape *samples);
  /* Appends the ops of one application. x and *y are value numbers of the emitter. This is the one place where the
     layer's output shape is computed: graph.c calls it with one row to learn a node's shape. */
  lur_status (*emit)(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y);
} lur_layer_type;

/* The list of kinds, NULL-terminated: engine/layers/table.c. */
extern const lur_layer_type *const lur_layer_types[];
const lur_layer_type *lur_layer_type_find(const char *name);

/* One setting per option of the layer, for saving; returns their number. */
int lur_layer_settings(const lur_layer *layer, lur_setting *settings, int capacity);

/* ---- weights: weight.c, init.c ---- */

/* Calls kind->build; the first call draws the weights' values and sets `built`. lur_layer_apply calls it. */
lur_status lur_layer_build(lur_layer *layer, int n, const lur_shape *samples);
/* Gives the weights of a deferred layer their values: drawn, or undefined ones that the caller sets. */
lur_status lur_layer_make_weights(lur_layer *layer, bool draw);
/* Declares weight `index`, or checks that the declared one has this shape. Values are drawn when all are declared.
   Sets decays for kernels and scale to 0.05 (Keras's RandomNormal); build may change both. */
lur_status lur_layer_add_weight(lur_layer *layer, int index, const char *name, const lur_shape *shape, bool learned,
                                lur_init init, double fan_in, double fan_out);
/* Releases all weights: the layer is as it was before it was built. */
void lur_layer_drop_weights(lur_layer *layer);
/* Draws the value for (context seed, layer name, weight name), on the device where it is; creates it where there is
   none. */
lur_status lur_weight_draw(const lur_layer *layer, lur_weight *weight);
/* Grows with every change of the weight's value, by training or by writing into its tensor: whatever was derived from
   the weight (folded, packed) at an older version is stale. Writes through lur_tensor_data are not seen. */
uint64_t lur_weight_version(const lur_weight *weight);
/* Moves a weight to a device (a no-op when it is there). */
lur_status lur_weight_to(lur_weight *weight, lur_device *device);

#endif
