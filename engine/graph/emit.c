/* emit.c - the functions that a layer's emit function may call (emit.h). */
#include "emit.h"

#include <stdint.h>

const lur_shape *lur_emit_shape(const lur_emitter *emitter, int value) {
  return &emitter->operand(emitter, value)->shape;
}

lur_dtype lur_emit_dtype(const lur_emitter *emitter, int value) { return emitter->operand(emitter, value)->dtype; }

bool lur_emit_unbatched(const lur_emitter *emitter, int x) { return emitter->unbatched(emitter, x); }

bool lur_emit_training(const lur_emitter *emitter) { return emitter->training; }

bool lur_emit_batch_statistics(const lur_emitter *emitter, const lur_layer *layer) {
  return emitter->training && emitter->batch_statistics && emitter->batch_statistics(emitter, layer);
}

lur_status lur_emit(lur_emitter *emitter, const lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                    const int *weights, int *y) {
  if (nx > LUR_MAX_OPERANDS) {
    return lur_fail(LUR_EARG, "%s '%s': %d inputs (at most %d)", lur_op_kind_name(desc->kind), layer->name, nx,
                    LUR_MAX_OPERANDS);
  }
  LUR_TRY(lur_shape_check(&desc->y.shape));
  /* The emitter borrows the layer; the model that both belong to keeps it alive. */
  return emitter->append(emitter, (lur_layer *)(uintptr_t)layer, desc, nx, x, nw, weights, y);
}

void lur_emit_like(const lur_emitter *emitter, int x, lur_op_desc *desc) { desc->y = *emitter->operand(emitter, x); }
