/* emit.h - how a layer appends its ops: the interface between the layer kinds and whoever wants their ops.
 *
 * There are two emitters: graph.c learns the shape of one application and keeps no ops; plan/emit.c appends to a plan.
 * Shapes carry the batch as dimension 0. */
#ifndef LUR_EMIT_H
#define LUR_EMIT_H

#include "layer.h"

struct lur_emitter {
  bool training; /* the ops are for training: dropout drops */
  /* Valid until the next append. */
  const lur_operand *(*operand)(const lur_emitter *emitter, int value);
  /* Whether the value is computed from no input: it has no batch dimension, and its dimension 0 is 1. */
  bool (*unbatched)(const lur_emitter *emitter, int value);
  /* Whether the layer's batch norm uses batch statistics and updates the moving ones. */
  bool (*batch_statistics)(const lur_emitter *emitter, const lur_layer *layer);
  /* Appends an op whose arguments lur_emit has checked. *y is the new value. */
  lur_status (*append)(lur_emitter *emitter, lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                       const int *weights, int *y);
};

/* ---- for emit functions ---- */

const lur_shape *lur_emit_shape(const lur_emitter *emitter, int value);
lur_dtype lur_emit_dtype(const lur_emitter *emitter, int value);
/* Whether value x is a parameter, a constant, or computed from those alone: dimension 0 is then 1 for any batch. */
bool lur_emit_unbatched(const lur_emitter *emitter, int x);
bool lur_emit_training(const lur_emitter *emitter);
bool lur_emit_batch_statistics(const lur_emitter *emitter, const lur_layer *layer);
/* Appends desc (kind, u, y.shape and y.dtype set by the caller; the emitter fills in the rest). weights: positions in
   layer->weights for w[0..nw-1], -1 for an absent one. *y is the new value. */
lur_status lur_emit(lur_emitter *emitter, const lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                    const int *weights, int *y);
/* Sets desc's y to the shape and dtype of value x. */
void lur_emit_like(const lur_emitter *emitter, int x, lur_op_desc *desc);

#endif
