/* internal.h - structs and functions that the engine's files share. Never included outside engine/. */
#ifndef LUR_INTERNAL_H
#define LUR_INTERNAL_H

#include <signal.h>
#include <stdatomic.h>

#include "kernels/backend.h"
#include "lurcher.h"
#include "engine/base/option.h"

/* ---- context ---- */

enum { LUR_MAX_DEVICES = 16, LUR_NAME = 96 };

typedef struct lur_counter { /* of automatic layer names */
  char kind[32];
  int count;
} lur_counter;

struct lur_context {
  atomic_int refs;
  uint64_t seed;
  uint64_t draws; /* tensors drawn from the context's stream since it was seeded */
  int threads;
  int ndevices, ncounters;
  lur_device *devices[LUR_MAX_DEVICES];
  lur_counter counters[64];
  volatile sig_atomic_t interrupted;
};

/* ---- tensor ---- */

typedef struct lur_storage {
  atomic_int refs;
  lur_context *context;
  lur_device *device;
  void *memory;
  size_t bytes;
  void (*free_memory)(void *memory, size_t bytes); /* NULL: the device's */
  uint64_t writes; /* calls that wrote through a tensor: set, fill, copy, draws */
} lur_storage;

struct lur_tensor {
  atomic_int refs;
  lur_storage *storage;
  lur_dtype dtype;
  lur_shape shape;
  size_t offset; /* bytes */
};

/* Address in its device's memory. */
void *lur_tensor_address(const lur_tensor *tensor);
/* A tensor over host memory that somebody else made; free_memory is called with it at the end (NULL: nobody frees). */
lur_status lur_tensor_wrap(lur_context *context, void *memory, lur_dtype dtype, const lur_shape *shape,
                           void (*free_memory)(void *memory, size_t bytes), lur_tensor **tensor);

/* ---- layers ---- */

typedef enum lur_init { LUR_INIT_GLOROT_UNIFORM, LUR_INIT_HE_NORMAL, LUR_INIT_NORMAL, LUR_INIT_ZEROS,
                        LUR_INIT_ONES } lur_init;

typedef struct lur_weight {
  char name[32];
  lur_shape shape;
  lur_tensor *value; /* f32; on the device of the last compile */
  bool learned;      /* false: moving statistics */
  bool decays;       /* weight decay applies: kernels yes, biases and batch norm no */
  lur_init init;
  double fan_in, fan_out, scale; /* scale: deviation of LUR_INIT_NORMAL */
  uint64_t version;  /* grows with every change of value by the engine; see lur_weight_version */
} lur_weight;

struct lur_layer {
  atomic_int refs;
  lur_context *context;
  const struct lur_layer_type *kind;
  char name[LUR_NAME];
  bool trainable, built;
  int nweights;
  lur_weight weights[LUR_MAX_WEIGHTS];
  void *options; /* kind->options_size bytes */
};

typedef struct lur_emitter lur_emitter; /* graph.c: shapes only; plan.c: the plan under construction */

typedef struct lur_layer_type {
  const char *name, *help;
  const char *auto_name; /* of unnamed layers, before _1, _2, ...: Keras's class name; NULL: the kind's name */
  const lur_option *options;
  size_t options_size;
  int min_inputs, max_inputs; /* max < 0: LUR_MAX_OPERANDS */
  bool random;                /* draws random numbers in training: the same input gives different outputs */
  /* Options that only make sense together; may settle defaults that hang on other options; may be NULL. */
  lur_status (*check)(const lur_layer *layer);
  /* Declares the weights with lur_layer_add_weight from the inputs' sample shapes; NULL: none.
     Called for every application: shapes that do not fit the weights there are LUR_ESHAPE. */
  lur_status (*build)(lur_layer *layer, int n, const lur_shape *samples);
  /* Appends the ops of one application. x and *y are value numbers of the emitter. It is the one place where the
     layer's output shape is worked out: graph.c calls it with one row to learn a node's shape. */
  lur_status (*emit)(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y);
} lur_layer_type;

/* engine/layers/table.c: the list. NULL-terminated. */
extern const lur_layer_type *const lur_layer_types[];
const lur_layer_type *lur_layer_type_find(const char *name);

/* Calls kind->build; the first time draws the values and sets `built`. What lur_layer_apply calls. */
lur_status lur_layer_build(lur_layer *layer, int n, const lur_shape *samples);
/* Declares weight i, or checks that the declared one has this shape. Values are drawn when all are declared.
   decays is set for kernels, scale to 0.05 (Keras's RandomNormal); build may change both. */
lur_status lur_layer_add_weight(lur_layer *layer, int index, const char *name, const lur_shape *shape, bool learned,
                                lur_init init, double fan_in, double fan_out);
extern const char *const lur_init_names[]; /* of lur_init, in its order, NULL-terminated */
/* init.c: draws the value for (context seed, layer name, weight name), on the device where it is; makes it when there
   is none. */
lur_status lur_weight_draw(const lur_layer *layer, lur_weight *weight);
/* Grows with every change of the weight's value, by training or by writing into its tensor: what was made of the weight
   (folded, packed) is stale when it has moved. Writes through lur_tensor_data are not seen. */
uint64_t lur_weight_version(const lur_weight *weight);
/* Moves a weight to a device (a no-op when it is there). */
lur_status lur_weight_to(lur_weight *weight, lur_device *device);
/* One setting per option of the layer, for saving; returns the number. */
int lur_layer_settings(const lur_layer *layer, lur_setting *settings, int capacity);

/* What emit functions use. Shapes there carry the batch as dimension 0. */
const lur_shape *lur_emit_shape(const lur_emitter *emitter, int value);
lur_dtype lur_emit_dtype(const lur_emitter *emitter, int value);
bool lur_emit_training(const lur_emitter *emitter);        /* a run in training form */
/* batch norm: use and move batch statistics */
bool lur_emit_batch_statistics(const lur_emitter *emitter, const lur_layer *layer);
/* Appends desc (kind, u, y.shape and y.dtype set by the caller; the rest is filled in). weights: positions in
   layer->weights for w[0..nw-1], -1 for an absent one. *y is the new value. */
lur_status lur_emit(lur_emitter *emitter, const lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                    const int *weights, int *y);
/* desc's y like value x. */
void lur_emit_like(const lur_emitter *emitter, int x, lur_op_desc *desc);
/* The `activation` option shared by conv2d, separable_conv2d, dense and activation: appends it; "linear" appends
   nothing. */
extern const char *const lur_activation_names[]; /* linear relu sigmoid tanh softmax square abs exp log sqrt, NULL */
lur_status lur_emit_activation(lur_emitter *emitter, const lur_layer *layer, int activation, int x, int *y);

/* TensorFlow's rule. same: out = ceil(in / stride), before = floor(total / 2); valid: no padding. */
typedef enum lur_padding { LUR_PADDING_VALID = 0, LUR_PADDING_SAME } lur_padding;
extern const char *const lur_padding_names[]; /* valid same NULL */
/* LUR_ESHAPE when the kernel does not fit. */
lur_status lur_window(int64_t in, int64_t kernel, int64_t stride, lur_padding padding, int64_t *out, int *before);

/* ---- graph ---- */

struct lur_node {
  atomic_int refs;
  lur_layer *layer;
  int nx;
  lur_node **x;
  lur_shape sample; /* output shape of one sample */
  lur_dtype dtype;
  lur_node *dead;   /* graph.c: the next node to be freed, while a chain of them is */
};

/* Options of input and index layers (layers/input.c); read by definition.c too. */
typedef struct lur_input_options {
  lur_shape shape;
  int dtype; /* lur_dtype */
} lur_input_options;
bool lur_node_is_input(const lur_node *node); /* input or index */

struct lur_model {
  atomic_int refs;
  lur_context *context;
  int ninputs, noutputs;
  lur_node **inputs, **outputs;
  char (*output_names)[LUR_NAME];
  int nnodes;        /* in an order where inputs come before their users */
  lur_node **nodes;
  int nlayers;       /* Keras's model.layers order */
  lur_layer **layers;
  lur_node **layer_nodes; /* first application of each */
};
/* Position of node in model->nodes, or -1. */
int lur_model_node_at(const lur_model *model, const lur_node *node);

/* frozen.c: which nodes are frozen, by position in model->nodes: those that are computed from `input` alone (NULL: from
   any inputs, row numbers included) and that training leaves as they are; see lur_model_frozen. batch_statistics: batch
   norms that do not learn use batch statistics, too, so their outputs depend on the batch. */
void lur_frozen_nodes(const lur_model *model, const lur_node *input, bool batch_statistics, bool *frozen);

/* ---- run state, for checkpoints ---- */

typedef struct lur_run_state {
  int64_t iterations;   /* optimizer steps */
  uint64_t step;        /* training forwards: dropout's counter */
  uint64_t seed;        /* dropout's key */
  double lr, m_schedule;
  double loss_scale;    /* f16's; 0: the run is not in f16, or the file does not say */
  int64_t good_steps;   /* since it last changed */
  int n;                /* optimizer arrays, host tensors, owned */
  char (*names)[2 * LUR_NAME + 48]; /* "m/block1_conv1/kernel" */
  lur_tensor **tensors;
} lur_run_state;

/* Copies out; free with lur_run_state_free. */
lur_status lur_run_export(lur_run *run, lur_run_state *state);
/* Checks names and shapes before anything is changed. */
lur_status lur_run_import(lur_run *run, const lur_run_state *state);
void lur_run_state_free(lur_run_state *state);

/* ---- small things ---- */

/* calloc of n items with overflow check and a message: LUR_ENOMEM. */
lur_status lur_alloc_items(size_t n, size_t size, void *items);

#endif
