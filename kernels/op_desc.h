/* op_desc.h - the description of an op: one small struct per kind, in a tagged union.
 *
 * A description is complete: operands, options, and the gradients that backward will have to compute. A backend plans
 * an op from its description alone. Layouts: images are N H W C, convolution weights kh kw Cin Cout, depthwise weights
 * kh kw C 1, dense weights in out. How to add an op or an activation: kernels/README.md. */
#ifndef LUR_OP_DESC_H
#define LUR_OP_DESC_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The op kinds: constant and name. The list generates the enum, the names, the reference backend's table, and the
 * registration of the op suite (tests/ops, and the test names in CMakeLists.txt, which reads these lines).
 * In the shapes below n is the batch, c the channels (the last dimension).
 *
 *  conv2d            x[0] n h w ci, w[0] kh kw ci co, [w[1] bias co], [x[1] residual like y] -> y n oh ow co;
 *                    x[0] u8: w[1] and w[2], scale co, must be there
 *  depthwise_conv2d  x[0] n h w c,  w[0] kh kw c 1,   [w[1] bias c], [x[1] affine 2 c] -> y n oh ow c, or y u8
 *  separable_conv2d  x[0] n h w ci, w[0] 1 1 ci co, w[1] bias co, w[2] kh kw ci 1, [x[1] residual like y]
 *                    -> y n oh ow co: depthwise_conv2d with w[2], then conv2d with w[0]; no gradients
 *  dense             x[0] n i (or ..., i), w[0] i o,  [w[1] bias o], [x[1] residual]  -> y ..., o
 *  batchnorm         x[0] ..., c; w gamma beta mean variance, each c -> y like x[0]; [x[1] residual like y];
 *                    or y 2 c: the scale and the shift of each channel, for ops that read x[0] through affine_in
 *  activation        x[0] -> y, a function of each element (LUR_ACTIVATIONS)
 *  softmax           x[0] ..., c -> y, over the last dimension
 *  pool              x[0] n h w c, [x[1] affine 2 c] -> y n oh ow c
 *  global_pool       x[0] n h w c -> y n c (mean over h and w)
 *  binary            x[0], x[1] -> y; they broadcast (kernels/broadcast.h)
 *  where             x[0], x[1], x[2] -> y = x[1] where x[0] is not 0, else x[2]; they broadcast
 *  parameter         [w[0]] -> y, with the elements of w[0], or `value` everywhere; no inputs, f32
 *  affine            x[0] -> y = scale * x + shift
 *  concat            x[0..nx-1], joined along dimension `axis`; where axis is not 0, an x with 1 in dimension 0 is
 *                    repeated there
 *  gather            x[0] n ..., x[1] i32 row numbers m (from 0, checked by the caller) -> y m ...
 *  dropout           x[0] -> y
 *  copy              x[0] -> y with the same number of elements (reshape); converts between f32, f16 and bf16 on
 *                    backends with `half`
 *  normalize         x[0] ..., c -> y = x / max(|x|2, epsilon) over the last dimension
 *  reduce            x[0] -> y, over the dimensions in `axes`, which y keeps with extent 1 or drops
 *  one_hot           x[0] i32 class ids ... -> y f32 ..., c: 1 at the class, else 0; zeros for ids outside 0..c-1.
 *                    No gradient
 *  matmul            x[0] ..., m, k and x[1] ..., k, n -> y ..., m, n; dimensions before are equal, or 1 and repeated
 *  permute           x[0] -> y, whose dimension i is dimension order[i] of x[0]
 *  slice             x[0] -> y, the block of y's extents that begins at `begin`
 *  pad               x[0] -> y, in which x[0] begins at `before`; `value` elsewhere
 *  layernorm         x[0] ..., c; w gamma beta, each c -> y like x[0]
 *  groupnorm         x[0] n ..., c; w gamma beta, each c -> y like x[0]
 *  upsample          x[0] n h w c -> y n oh ow c
 *  loss              x[0] predictions n c, x[1] target, [x[2] sample weights f32 n] -> y f32 {1} */
#define LUR_OP_KINDS(row)                    \
  row(CONV2D, conv2d)                        \
  row(DEPTHWISE_CONV2D, depthwise_conv2d)    \
  row(SEPARABLE_CONV2D, separable_conv2d)    \
  row(DENSE, dense)                          \
  row(BATCHNORM, batchnorm)                  \
  row(ACTIVATION, activation)                \
  row(SOFTMAX, softmax)                      \
  row(POOL, pool)                            \
  row(GLOBAL_POOL, global_pool)              \
  row(BINARY, binary)                        \
  row(WHERE, where)                          \
  row(PARAMETER, parameter)                  \
  row(AFFINE, affine)                        \
  row(CONCAT, concat)                        \
  row(GATHER, gather)                        \
  row(DROPOUT, dropout)                      \
  row(COPY, copy)                            \
  row(NORMALIZE, normalize)                  \
  row(REDUCE, reduce)                        \
  row(ONE_HOT, one_hot)                      \
  row(MATMUL, matmul)                        \
  row(PERMUTE, permute)                      \
  row(SLICE, slice)                          \
  row(PAD, pad)                              \
  row(LAYERNORM, layernorm)                  \
  row(GROUPNORM, groupnorm)                  \
  row(UPSAMPLE, upsample)                    \
  row(LOSS, loss)

typedef enum lur_op_kind {
#define LUR_OP_ENUM(KIND, name) LUR_OP_##KIND,
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

/* conv2d, depthwise_conv2d, and separable_conv2d, whose depthwise part has the window. Cross-correlation. Pixels
   outside the image read as zero; y's extents and the top and left padding determine the bottom and right padding,
   which may differ by one (TensorFlow's "same" rule).
   The int8 forms exist on backends with `int8`, for inference only; their weights are f32 too:
     depthwise_conv2d with y u8: the f32 result rounded to the nearest integer, half to even, and clamped to 0..255;
       without relu and affine_in. With a 1x1 kernel it quantizes an image.
     conv2d with x u8: w[0] holds integers from -127 to 127, and
       y = [relu](w[2][o] * sum x * w[0] + w[1][o] [+ residual]), where the sum is a 32-bit integer. */
typedef struct lur_conv2d_desc {
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  bool affine_in; /* the op reads x * x[1][0] + x[1][1], per channel, in f32; depthwise_conv2d only */
  bool relu_in;   /* the op reads max(., 0) of that; not conv2d */
  bool relu;      /* y = max(., 0) after bias and residual; a backend may refuse it where gradients are wanted */
} lur_conv2d_desc;

typedef struct lur_dense_desc {
  bool relu; /* as in lur_conv2d_desc */
} lur_dense_desc;

/* y = [relu]((x - mean) / sqrt(variance + epsilon) * gamma + beta [+ residual]).
   batch: mean and biased variance over all dimensions but the last; the moving statistics are updated:
   s -= (s - batch) * (1 - momentum). Otherwise w[2] and w[3] are used and not changed.
   has_gamma/has_beta false: w[0]/w[1] are NULL and count as 1/0.
   affine_out: y is f32 2 c, y[0] = gamma / sqrt(variance + epsilon) and y[1] = beta - mean * y[0]. The normalized image
   is never stored: the ops that read it compute it. Neither relu nor residual is allowed then. */
typedef struct lur_batchnorm_desc {
  double epsilon, momentum;
  bool batch, has_gamma, has_beta, relu, affine_out;
} lur_batchnorm_desc;

/* The activations: constant, name in messages and options, and what their derivative is computed from: y where that is
   possible, so that x need not be kept, else x. The list generates the enum, the names (also those of the `activation`
   option of the layers), what backward reads on every backend, and the f16 and bf16 cases of the op suite.
   gelu: x * Phi(x), Phi the cumulative distribution of the standard normal distribution, exact (Hendrycks and Gimpel,
   "Gaussian error linear units", 2016).
   silu: x * sigmoid(x) (Ramachandran, Zoph and Le, "Searching for activation functions", 2017, swish with beta 1).
   leaky_relu: x where x > 0, else `slope` * x (Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network
   acoustic models", 2013). elu: x where x > 0, else exp(x) - 1 (Clevert et al., 2015, alpha 1).
   relu6: min(max(x, 0), 6). hard_sigmoid: relu6(x + 3) / 6. hard_swish: x * hard_sigmoid(x) (Howard et al., "Searching
   for MobileNetV3", 2019, section 5.2; PyTorch 2.1 and Keras 3 have the same hard_sigmoid, Keras 2 has another).
   softplus: log(1 + exp(x)). Gradients at kinks and of NaN are PyTorch's (ATen/native/cpu/Activation.cpp, 2.1). */
#define LUR_ACTIVATIONS(row)             \
  row(RELU, relu, y)                     \
  row(SIGMOID, sigmoid, y)               \
  row(TANH, tanh, y)                     \
  row(SQUARE, square, x)                 \
  row(ABS, abs, x)                       \
  row(EXP, exp, y)                       \
  row(LOG, log, x)                       \
  row(SQRT, sqrt, y)                     \
  row(GELU, gelu, x)                     \
  row(SILU, silu, x)                     \
  row(LEAKY_RELU, leaky_relu, y)         \
  row(ELU, elu, y)                       \
  row(RELU6, relu6, y)                   \
  row(HARD_SIGMOID, hard_sigmoid, x)     \
  row(HARD_SWISH, hard_swish, x)         \
  row(SOFTPLUS, softplus, x)

typedef enum lur_activation {
#define LUR_ACTIVATION_ENUM(KIND, name, reads) LUR_##KIND,
  LUR_ACTIVATIONS(LUR_ACTIVATION_ENUM)
#undef LUR_ACTIVATION_ENUM
} lur_activation;

#define LUR_ACTIVATION_ONE(KIND, name, reads) +1
enum { LUR_ACTIVATION_COUNT = LUR_ACTIVATIONS(LUR_ACTIVATION_ONE) };
#undef LUR_ACTIVATION_ONE

/* "relu" for LUR_RELU. Never NULL. */
const char *lur_activation_name(lur_activation function);
/* Whether the derivative is computed from x; false: from y. */
bool lur_activation_reads_x(lur_activation function);

/* The slope of leaky_relu that options by name mean: PyTorch's, the same in its layer and its function. (Keras's layer
   has 0.3, its function 0.2.) */
#define LUR_LEAKY_SLOPE 0.01

typedef struct lur_activation_desc {
  lur_activation function;
  double slope; /* leaky_relu: at least 0 */
} lur_activation_desc;

typedef enum lur_pool_mode { LUR_POOL_MAX = 0, LUR_POOL_AVG } lur_pool_mode;
/* Pixels outside the image never are the maximum and do not count in an average. The gradient of a maximum goes to the
   first pixel that has it, in row-major order. affine_in: as in lur_conv2d_desc. */
typedef struct lur_pool_desc {
  lur_pool_mode mode;
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  bool affine_in;
} lur_pool_desc;

typedef enum lur_binary {
  LUR_ADD = 0,
  LUR_SUB,
  LUR_MUL,
  LUR_MAXIMUM,
  LUR_MINIMUM,
  LUR_DIV,
  LUR_POW,
  LUR_GT,
  LUR_GE,
  LUR_LT,
  LUR_LE,
  LUR_EQ,
  LUR_NE,
  LUR_BINARY_COUNT
} lur_binary;
/* maximum, minimum: on a tie the gradient goes to x[0]. pow: 0 is the gradient of a base whose exponent is 0, and of an
   exponent that is not negative where the base is 0 (PyTorch 2.1, torch/csrc/autograd/FunctionsManual.cpp).
   gt ... ne: 1 where x[0] > x[1], >=, <, <=, ==, !=, else 0; they have no gradient.
   relu: y = max(., 0), for a residual addition followed by a ReLU; add, sub, mul and maximum only.
   The gradient of an operand that is repeated is the sum over its repetitions, in a fixed order. */
typedef struct lur_binary_desc {
  lur_binary function;
  bool relu;
} lur_binary_desc;

/* "add" for LUR_ADD. Never NULL. */
const char *lur_binary_name(lur_binary function);

typedef struct lur_parameter_desc {
  double value; /* without w[0] */
} lur_parameter_desc;

typedef struct lur_affine_desc {
  double scale, shift;
} lur_affine_desc;

typedef struct lur_concat_desc {
  int axis;
} lur_concat_desc;

/* Keeps an element with probability 1-rate and divides it by 1-rate. Element i of the op with the number `stream` is
   kept if lur_random_keep(seed, stream, step, i, rate) (kernels/random.h): the mask is the same on every device.
   training false: the identity. */
typedef struct lur_dropout_desc {
  double rate;
  uint32_t stream;
  bool training;
} lur_dropout_desc;

typedef struct lur_normalize_desc {
  double epsilon;
} lur_normalize_desc;

typedef enum lur_reduction { LUR_SUM = 0, LUR_MEAN, LUR_MAX, LUR_MIN } lur_reduction;
/* max, min: the gradient goes to the first element that has the extremum, in row-major order. */
typedef struct lur_reduce_desc {
  lur_reduction function;
  unsigned axes; /* bit d set: dimension d is reduced */
} lur_reduce_desc;

/* transpose_a: x[0] is ..., k, m; transpose_b: x[1] is ..., n, k. Both have as many dimensions as y. */
typedef struct lur_matmul_desc {
  bool transpose_a, transpose_b;
} lur_matmul_desc;

typedef struct lur_permute_desc {
  int order[LUR_MAX_DIMS]; /* each dimension of x[0] once */
} lur_permute_desc;

/* slice: where the block begins in x[0]. pad: where x[0] begins in y. From 0. */
typedef struct lur_slice_desc {
  int64_t begin[LUR_MAX_DIMS];
} lur_slice_desc;

typedef struct lur_pad_desc {
  int64_t before[LUR_MAX_DIMS];
  double value;
} lur_pad_desc;

/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with the biased variance.
   layernorm: mean and variance over the last dimension (Ba, Kiros and Hinton, "Layer normalization", 2016, section 3).
   groupnorm: the channels are divided into `groups` of neighbours; mean and variance of each sample and group, over all
   dimensions between (Wu and He, "Group normalization", 2018, section 3.1). layernorm ignores `groups`.
   has_gamma/has_beta false: w[0]/w[1] are NULL and count as 1/0. */
typedef struct lur_layernorm_desc {
  double epsilon;
  int64_t groups;
  bool has_gamma, has_beta;
} lur_layernorm_desc;

typedef enum lur_upsample_mode { LUR_UPSAMPLE_NEAREST = 0, LUR_UPSAMPLE_BILINEAR } lur_upsample_mode;
/* nearest: y[i] = x[floor(i * h / oh)], in integers. bilinear: y[i] is interpolated at (i + 0.5) * h / oh - 0.5, not
   below 0; beyond the last pixel it is that pixel. As torch.nn.functional.interpolate with mode "nearest", and
   "bilinear" with align_corners=False (PyTorch 2.1, ATen/native/UpSample.h); UpSampling2D of Keras 3 is the same for
   whole factors. h and oh stand for w and ow too. */
typedef struct lur_upsample_desc {
  lur_upsample_mode mode;
} lur_upsample_desc;

typedef enum lur_loss_kind {
  LUR_CATEGORICAL_CROSSENTROPY = 0,
  LUR_BINARY_CROSSENTROPY,
  LUR_MEAN_SQUARED_ERROR
} lur_loss_kind;
/* y = sum_i weight_i * l_i / n, where n counts every row; without x[2] the weights are 1, and y is the mean.
   categorical: the target is i32 n (class ids) or f32 n c (rows of probabilities); label smoothing s makes it
   (1-s) * target + s/c. from_logits: log-softmax of x[0]; otherwise x[0] holds probabilities, which are divided by
   their sum and clipped to [1e-7, 1-1e-7]; clipped ones get no gradient (Keras 2.0.6, tensorflow_backend.py).
   binary: the target is f32 n c (or i32 n when c = 1); mean over c; from_logits: sigmoid cross entropy; otherwise
   clipped in the same way; label smoothing makes the target (1-s) * target + s/2.
   mean_squared_error: the target is f32 n c; mean over c. */
typedef struct lur_loss_desc {
  lur_loss_kind kind;
  bool from_logits;
  double label_smoothing;
} lur_loss_desc;

typedef struct lur_op_desc {
  lur_op_kind kind;
  const char *name; /* of the node, for messages; may be NULL; must outlive the op */
  int nx, nw;
  lur_operand x[LUR_MAX_OPERANDS], w[LUR_MAX_WEIGHTS], y;
  unsigned want_dx; /* bit i set: backward will have to compute the gradient of x[i] */
  unsigned want_dw; /* the same for w[i]. Both zero: backward is never called and nothing need be saved */
  bool tf32;        /* conv2d, dense, matmul: f32 factors may be rounded to 10 bits; backends without TF32 ignore it */
  union {
    lur_conv2d_desc conv2d; /* conv2d, depthwise_conv2d */
    lur_dense_desc dense;
    lur_batchnorm_desc batchnorm;
    lur_activation_desc activation;
    lur_pool_desc pool;
    lur_binary_desc binary;
    lur_parameter_desc parameter;
    lur_affine_desc affine;
    lur_concat_desc concat;
    lur_dropout_desc dropout;
    lur_normalize_desc normalize;
    lur_reduce_desc reduce;
    lur_matmul_desc matmul;
    lur_permute_desc permute;
    lur_slice_desc slice;
    lur_pad_desc pad;
    lur_layernorm_desc layernorm; /* layernorm, groupnorm */
    lur_upsample_desc upsample;
    lur_loss_desc loss;
  } u;
} lur_op_desc;

/* LUR_OK if operands, options and wanted gradients fit together as the table above says; otherwise the message names
   the op and what was expected. lur_op_plan calls it first, so that a kernel's plan checks only its own limits. */
lur_status lur_op_check(const lur_op_desc *desc);

/* The inputs that a gradient goes back to, if they have one: bit i for x[i]. Not row numbers, targets, conditions, nor
   what is compared. */
unsigned lur_op_gradients(const lur_op_desc *desc);

/* The inputs that the backward of a binary op reads, for the gradients that desc wants: bit i for x[i]. */
unsigned lur_binary_reads(const lur_op_desc *desc);

/* Whether it is the int8 form of a convolution: u8 in or out. */
bool lur_op_is_int8(const lur_op_desc *desc);

/* Floating-point operations of the forward pass, two per multiply-add. Counted for convolutions, dense and matmul,
   0 for every other kind. */
double lur_op_flops(const lur_op_desc *desc);

#ifdef __cplusplus
}
#endif
#endif
