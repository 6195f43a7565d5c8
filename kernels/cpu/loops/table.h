/* table.h - the bodies of the loops, and the table LUR_LOOPS with the name LUR_LOOPS_NAME, for each loops_*.c. */
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/vector.h"

#include "kernels/cpu/loops/activation.h"
#include "kernels/cpu/loops/binary.h"
#include "kernels/cpu/loops/elementwise.h"

#include "kernels/cpu/loops/batchnorm.h"
#include "kernels/cpu/loops/depthwise_conv2d.h"
#include "kernels/cpu/loops/layernorm.h"
#include "kernels/cpu/loops/move.h"
#include "kernels/cpu/loops/pool.h"
#include "kernels/cpu/loops/update.h"

const lur_loops LUR_LOOPS = {
    .name = LUR_LOOPS_NAME,
    .activate = activate,
    .activate_back = activate_back,
    .binary = binary,
    .binary_back = binary_back,
    .where = where,
    .where_back = where_back,
    .affine = affine,
    .mask = mask,
    .floats = floats,
    .column_sums = column_sums,
    .softmax = softmax,
    .softmax_back = softmax_back,
    .norm_stats = norm_stats,
    .norm_forward = norm_forward,
    .norm_sums = norm_sums,
    .norm_back = norm_back,
    .norm_back_statistics = norm_back_statistics,
    .layernorm = layernorm,
    .layernorm_back = layernorm_back,
    .layernorm_sums = layernorm_sums,
    .row_sum = row_sum,
    .blend = blend,
    .transpose = transpose,
    .depthwise_conv2d = depthwise_conv2d,
    .depthwise_conv2d_int8 = depthwise_conv2d_int8,
    .depthwise_conv2d_back = depthwise_conv2d_back,
    .max_pool = max_pool,
    .avg_pool = avg_pool,
    .pool_back = pool_back,
    .update = update,
    .squares = squares,
    .lerp = lerp,
};
