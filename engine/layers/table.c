/* table.c - the list of layer kinds. To add a kind: a lur_layer_type in its own file (or in that of a related kind), a
 * row here, and rows in the tests (engine/README.md). */
#include "engine/graph/layer.h"

#define LAYER_KINDS(row)                                                                                               \
  row(conv2d) row(depthwise_conv2d) row(separable_conv2d) row(dense) row(batchnorm) row(normalization) row(activation) \
  row(relu) row(sigmoid) row(tanh) row(softmax) row(square) row(abs) row(exp) row(log) row(sqrt)                       \
  row(gelu) row(silu) row(leaky_relu) row(elu) row(relu6) row(hard_sigmoid) row(hard_swish)                            \
  row(softplus) row(max_pool) row(avg_pool) row(global_avg_pool) row(global_max_pool) row(add) row(sub)                \
  row(mul) row(maximum) row(minimum) row(div) row(pow) row(power) row(gt) row(ge) row(lt) row(le)                      \
  row(eq) row(ne) row(where) row(concat) row(affine) row(neg) row(dropout) row(normalize) row(flatten)                 \
  row(reshape) row(reduce) row(matmul) row(permute) row(slice) row(pad) row(layernorm) row(groupnorm) row(layer_scale) \
  row(upsample) row(gather) row(one_hot) row(parameter) row(constant) row(input) row(index)

#define DECLARE(kind) extern const lur_layer_type lur_layer_##kind;
LAYER_KINDS(DECLARE)

#define ROW(kind) &lur_layer_##kind,
const lur_layer_type *const lur_layer_types[] = {LAYER_KINDS(ROW) NULL};
