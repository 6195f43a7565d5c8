/* graph.h - the inside of nodes and models. A node is one application of a layer and owns nothing but its place in the
 * graph; a model is a graph with named inputs and outputs. */
#ifndef LUR_GRAPH_H
#define LUR_GRAPH_H

#include "layer.h"

enum { LUR_MAX_INPUTS = 16, LUR_MAX_OUTPUTS = 16 };

struct lur_node {
  atomic_int refs;
  lur_layer *layer;
  int nx;
  lur_node **x;
  lur_shape sample; /* output shape of one sample */
  lur_dtype dtype;
  bool unbatched;   /* a parameter, a constant, or computed from those alone: the same for every sample */
  lur_node *dead;   /* graph.c: the next node to free, while a chain of nodes is released */
};

/* Options of input and index layers (layers/input.c). definition.c reads them too. */
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
  int nlayers;       /* in the order of Keras's model.layers */
  lur_layer **layers;
  lur_node **layer_nodes; /* first application of each */
  int nweight_names;
  lur_weight_name *weight_names; /* weight_names.c; strings owned */
};

/* definition.c: the model of a definition without its weights' values: nothing that it asks for is allocated yet. */
lur_status lur_model_read_json(lur_context *context, const char *text, lur_model **model);
/* Gives the weights of such a model their values: drawn, or undefined ones that the caller sets. */
lur_status lur_model_make_weights(lur_model *model, bool draw);

/* Position of node in model->nodes, or -1. */
int lur_model_node_at(const lur_model *model, const lur_node *node);

/* frozen.c: which nodes are frozen, by position in model->nodes: those that are computed from `input` alone (NULL: from
   any inputs, row numbers included) and that training leaves as they are; see lur_model_frozen. batch_statistics: batch
   norms that do not learn use batch statistics, too, so their outputs depend on the batch. */
void lur_frozen_nodes(const lur_model *model, const lur_node *input, bool batch_statistics, bool *frozen);

/* Frees them; the model then has none. */
void lur_model_drop_weight_names(lur_model *model);

#endif
