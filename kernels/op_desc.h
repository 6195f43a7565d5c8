/* op_desc.h - what an op is: one small struct per kind, in a tagged union.
 *
 * A description is complete: operands, options and which gradients will be asked for. A backend plans from it
 * alone. Convolution layouts: images N H W C, kernels kh kw Cin Cout, depthwise kernels kh kw C 1, dense in out.
 * To add an op: a row in LUR_OP_KINDS, a struct here if it has options, a file in kernels/ref (the definition),
 * a file in tests/ops, then rows in the other backends. */
#ifndef LUR_OP_DESC_H
#define LUR_OP_DESC_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* kind, name in messages. Shapes: n rows (batch), c channels (last dimension).
 *
 *  conv2d            x[0] n h w ci, w[0] kh kw ci co, [w[1] bias co], [x[1] residual like y] -> y n oh ow co;
 *                    x[0] u8: w[1] and w[2], scale co, must be there
 *  depthwise_conv2d  x[0] n h w c,  w[0] kh kw c 1,   [w[1] bias c], [x[1] affine 2 c] -> y n oh ow c, or y u8
 *  separable_conv2d  x[0] n h w ci, w[0] 1 1 ci co, w[1] bias co, w[2] kh kw ci 1, [x[1] residual like y]
 *                    -> y n oh ow co: depthwise_conv2d by w[2], of that conv2d by w[0]; no gradients
 *  dense             x[0] n i (or ..., i), w[0] i o,  [w[1] bias o], [x[1] residual]  -> y ..., o
 *  batchnorm         x[0] ..., c; w gamma beta mean variance, each c -> y like x[0]; [x[1] residual like y];
 *                    or y 2 c: what to multiply x[0] with, and what to add, for ops that read it through affine_in
 *  activation        x[0] -> y, element by element
 *  softmax           x[0] ..., c -> y, over the last dimension
 *  pool              x[0] n h w c, [x[1] affine 2 c] -> y n oh ow c
 *  global_pool       x[0] n h w c -> y n c (mean over h and w)
 *  binary            x[0], x[1] of equal shape -> y
 *  affine            x[0] -> y = scale * x + shift
 *  concat            x[0..nx-1], joined along dimension `axis`
 *  gather            x[0] n ..., x[1] i32 rows m (0-based, checked by the caller) -> y m ...
 *  dropout           x[0] -> y
 *  copy              x[0] -> y of as many elements (reshape); between f32, f16 and bf16 it converts, where a backend has half
 *  normalize         x[0] ..., c -> y = x / max(|x|2, epsilon) over the last dimension
 *  reduce            x[0] -> y, over the dimensions in `axes` (kept as extent 1 or dropped: y's shape tells)
 *  loss              x[0] predictions n c, x[1] target, [x[2] sample weights f32 n] -> y f32 {1} */
#define LUR_OP_KINDS(row)                  \
  row(CONV2D, "conv2d")                    \
  row(DEPTHWISE_CONV2D, "depthwise_conv2d")       \
  row(SEPARABLE_CONV2D, "separable_conv2d")       \
  row(DENSE, "dense")                      \
  row(BATCHNORM, "batchnorm")              \
  row(ACTIVATION, "activation")            \
  row(SOFTMAX, "softmax")                  \
  row(POOL, "pool")                        \
  row(GLOBAL_POOL, "global_pool")          \
  row(BINARY, "binary")                    \
  row(AFFINE, "affine")                    \
  row(CONCAT, "concat")                    \
  row(GATHER, "gather")                    \
  row(DROPOUT, "dropout")                  \
  row(COPY, "copy")                        \
  row(NORMALIZE, "normalize")              \
  row(REDUCE, "reduce")                    \
  row(LOSS, "loss")

typedef enum lur_op_kind {
#define LUR_OP_ENUM(kind, name) LUR_OP_##kind,
  LUR_OP_KINDS(LUR_OP_ENUM)
#undef LUR_OP_ENUM
      LUR_OP_COUNT
} lur_op_kind;

/* "conv2d" for LUR_OP_CONV2D. Never NULL. */
const char *lur_op_kind_name(lur_op_kind kind);

enum { LUR_MAX_OPERANDS = 16, LUR_MAX_WEIGHTS = 4 };

typedef struct lur_operand {
  lur_dtype dtype;
  lur_shape shape;
} lur_operand;

/* conv2d, depthwise_conv2d, and separable_conv2d, whose depthwise part has the window. Cross-correlation. Cells
   outside the image read as zero; y's extent and the top/left padding fix the bottom/right padding, which may differ
   by one (the "same" rule of TensorFlow).
   In bytes, where a backend has `bytes`, inference alone, weights f32 all the same:
     depthwise to y u8: y = what it gives in f32, rounded to the nearest whole number, half to even, and cut to 0..255;
       without relu and affine_in. A kernel of one cell is how an image is quantised.
     conv2d of x u8: w[0] holds whole numbers from -127 to 127, and
       y = [relu](w[2][o] * sum x * w[0] + w[1][o] [+ residual]), the sum a 32-bit integer. */
typedef struct lur_conv2d_desc {
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  bool affine_in; /* the op reads x * x[1][0] + x[1][1], channel by channel, f32; depthwise_conv2d only */
  bool relu_in;   /* the op reads max(., 0) of that; not conv2d */
  bool relu;      /* y = max(., 0) after bias and residual; forward only unless no gradient is asked */
} lur_conv2d_desc;

typedef struct lur_dense_desc {
  bool relu; /* as in lur_conv2d_desc */
} lur_dense_desc;

/* y = [relu]((x - mean) / sqrt(variance + epsilon) * gamma + beta [+ residual]).
   batch: mean and biased variance over every row but the last dimension, and moving statistics move:
   s -= (s - batch) * (1 - momentum). Otherwise w[2] and w[3] are used and left alone.
   has_gamma/has_beta false: w[0]/w[1] are NULL and count as 1/0.
   affine_out: y is f32 2 c, y[0] = gamma / sqrt(variance + epsilon) and y[1] = beta - mean * y[0]: the normalised image
   is never stored, its readers work it out (no relu, no residual then). */
typedef struct lur_batchnorm_desc {
  double epsilon, momentum;
  bool batch, has_gamma, has_beta, relu, affine_out;
} lur_batchnorm_desc;

typedef enum lur_activation { LUR_RELU = 0, LUR_SIGMOID, LUR_TANH, LUR_SQUARE, LUR_ABS, LUR_EXP, LUR_LOG, LUR_SQRT } lur_activation;
typedef struct lur_activation_desc {
  lur_activation function;
} lur_activation_desc;

typedef enum lur_pool_mode { LUR_POOL_MAX = 0, LUR_POOL_AVG } lur_pool_mode;
/* Cells outside the image never win a maximum and are not counted in an average's divisor.
   The gradient of a maximum goes to its first cell in row-major order. affine_in: as in lur_conv2d_desc. */
typedef struct lur_pool_desc {
  lur_pool_mode mode;
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  bool affine_in;
} lur_pool_desc;

typedef enum lur_binary { LUR_ADD = 0, LUR_SUB, LUR_MUL, LUR_MAXIMUM } lur_binary;
/* maximum: on a tie the gradient goes to x[0]. relu: y = max(., 0), for a residual add followed by ReLU. */
typedef struct lur_binary_desc {
  lur_binary function;
  bool relu;
} lur_binary_desc;

typedef struct lur_affine_desc {
  double scale, shift;
} lur_affine_desc;

typedef struct lur_concat_desc {
  int axis;
} lur_concat_desc;

/* Keeps an element with probability 1-rate and divides it by 1-rate. Element i of the op numbered `stream` keeps
   iff lur_random_keep(seed, stream, step, i, rate) (kernels/random.h): the same mask on every device.
   training false: identity. */
typedef struct lur_dropout_desc {
  double rate;
  uint32_t stream;
  bool training;
} lur_dropout_desc;

typedef struct lur_normalize_desc {
  double epsilon;
} lur_normalize_desc;

typedef enum lur_reduction { LUR_SUM = 0, LUR_MEAN, LUR_MAX, LUR_MIN } lur_reduction;
/* max, min: the gradient goes to the first winner in row-major order. */
typedef struct lur_reduce_desc {
  lur_reduction function;
  unsigned axes; /* bit d set: dimension d is reduced */
} lur_reduce_desc;

typedef enum lur_loss_kind { LUR_CATEGORICAL_CROSSENTROPY = 0, LUR_BINARY_CROSSENTROPY, LUR_MEAN_SQUARED_ERROR } lur_loss_kind;
/* y = sum_i weight_i * l_i / n (weights 1 when x[2] is absent: the mean; n counts every row).
   categorical: target i32 n (ids) or f32 n c (rows of probabilities); label smoothing s makes the target
   (1-s) * target + s/c. from_logits: log-softmax of x[0]; else x[0] are probabilities, which are divided by their
   sum, clipped to [1e-7, 1-1e-7] and pass no gradient where clipped (Keras 2.0.6, tensorflow_backend.py).
   binary: target f32 n c (or i32 n when c = 1); mean over c; from_logits: sigmoid cross entropy; else clipped likewise;
   label smoothing makes the target (1-s) * target + s/2.
   mean_squared_error: target f32 n c, mean over c. */
typedef struct lur_loss_desc {
  lur_loss_kind kind;
  bool from_logits;
  double label_smoothing;
} lur_loss_desc;

typedef struct lur_op_desc {
  lur_op_kind kind;
  const char *name; /* the node's, for messages; may be NULL; outlives the op */
  int nx, nw;
  lur_operand x[LUR_MAX_OPERANDS], w[LUR_MAX_WEIGHTS], y;
  unsigned want_dx; /* bit i set: backward will be asked for the gradient of x[i] */
  unsigned want_dw; /* bit i set: and of w[i]. Both zero: backward is never called, nothing need be saved */
  bool tf32;        /* conv2d, dense: products may round their f32 factors to 10 bits; backends that cannot ignore it */
  union {
    lur_conv2d_desc conv2d; /* conv2d, depthwise_conv2d */
    lur_dense_desc dense;
    lur_batchnorm_desc batchnorm;
    lur_activation_desc activation;
    lur_pool_desc pool;
    lur_binary_desc binary;
    lur_affine_desc affine;
    lur_concat_desc concat;
    lur_dropout_desc dropout;
    lur_normalize_desc normalize;
    lur_reduce_desc reduce;
    lur_loss_desc loss;
  } u;
} lur_op_desc;

/* LUR_OK when operands, options and wanted gradients fit together as the table above says; else the message names
   the op and what was expected. lur_op_plan asks it first, so that a kernel's plan checks only what is its own. */
lur_status lur_op_check(const lur_op_desc *desc);

/* Whether it is a convolution from or to bytes. */
bool lur_op_is_int8(const lur_op_desc *desc);

/* Multiply-adds of the op's forward pass times two. The convolutions, dense and nothing else: the rest is counted 0. */
double lur_op_flops(const lur_op_desc *desc);

#ifdef __cplusplus
}
#endif
#endif
