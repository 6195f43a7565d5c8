/* target.h - what plans are made for: a model, a device, options, and what training changes. compile.c builds it; the
 * plan and its passes read it. It holds nothing that changes from batch to batch. */
#ifndef LUR_TARGET_H
#define LUR_TARGET_H

#include "engine/graph/graph.h"
#include "engine/lurcher.h"
#include "ranges.h"

/* One learned weight of a trainable layer: its place in the flat gradient and optimizer arrays. */
typedef struct lur_learned {
  lur_layer *layer;
  int weight;
  int64_t offset, count;
} lur_learned;

/* Floats that a weight of `count` takes in the flat arrays: every gradient starts on 64 bytes. */
static inline int64_t lur_learned_room(int64_t count) { return (count + 15) / 16 * 16; }

typedef enum lur_loss_form {
  LUR_LOSS_OP,    /* one op computes it */
  LUR_LOSS_GRAPH, /* a graph does, and its mean over the batch is the loss */
  LUR_LOSS_OUTPUT /* the mean of the output itself; there is no target */
} lur_loss_form;

typedef struct lur_target_loss {
  char output[LUR_NAME]; /* name of the model output */
  int output_index;      /* its position among the model's outputs */
  lur_loss_form form;
  lur_loss_kind kind;    /* of an op */
  lur_model *graph;      /* loss_graph.c; retained; NULL for the other forms */
  bool is_custom;        /* the graph is the caller's, so checkpoints contain it */
  bool has_accuracy;     /* results have one */
  double weight, label_smoothing;
} lur_target_loss;

typedef struct lur_plan_target {
  lur_model *model; /* retained */
  lur_device *device;
  lur_precision precision;
  bool batchnorm_batch, input_gradients, check; /* of lur_compile_options, as are the next */
  bool no_prune, no_fold, no_lifetimes, no_arena;
  int nlosses;
  lur_target_loss losses[LUR_MAX_OUTPUTS];
  int nlayers;
  lur_layer **layers; /* the model's, in its order, then those that only its losses have */
  bool *trains; /* by layer: trainable when the target was built */
  bool *frozen; /* by model node: of the frozen backbone when the target was built (lur_frozen_nodes) */
  int nlearned;
  lur_learned *learned;
  lur_ranges ranges; /* int8: plans of mode LUR_MODE_CALIBRATE add to it and point into it */
} lur_plan_target;

/* Whether a batch must have a target for the loss. */
bool lur_loss_needs_target(const lur_target_loss *loss);
/* Whether the layer was trainable when the target was built. */
bool lur_target_trains(const lur_plan_target *target, const lur_layer *layer);
/* Position of a weight in target->learned, or -1. */
int lur_target_learned(const lur_plan_target *target, const lur_layer *layer, int weight);

#endif
