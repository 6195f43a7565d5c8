/* dnn.h - the only door to oneDNN: convolutions and matrix products as calls that are made once and run often.
 *
 * oneDNN's C API for descriptors changed between 2.x (Debian 12) and 3.x; dnn.c is the one file that knows both.
 * A call owns its primitive, its stream and its memory handles; what it needs beside its operands is scratch that the
 * caller provides, so that running allocates nothing. Everything is f32 (but for a convolution of bytes) and plain: images
 * n h w c, weights as in op_desc.h. To add a primitive: a make function here, and its two creation forms in dnn.c. */
#ifndef LUR_CPU_DNN_H
#define LUR_CPU_DNN_H

#include "kernels/base.h"

typedef struct lur_dnn lur_dnn;           /* the engine */
typedef struct lur_dnn_call lur_dnn_call; /* one planned primitive */

lur_status lur_dnn_open(lur_dnn **dnn);
void lur_dnn_close(lur_dnn *dnn); /* NULL is fine; every call must be released first */

/* What is done to the product before it is stored, in this order. */
enum {
  LUR_DNN_SCALE = 16,     /* * scale, then + bias, each one a column; of convolutions of bytes */
  LUR_DNN_BIAS = 1,       /* + bias, one a column */
  LUR_DNN_RESIDUAL = 2,   /* + a tensor like dst */
  LUR_DNN_ACCUMULATE = 4, /* + what dst holds */
  LUR_DNN_RELU = 8        /* max(., 0) */
};

typedef struct lur_dnn_conv {
  int64_t n, ih, iw, ci, oh, ow, co;
  int kh, kw, sh, sw, pt, pl;
} lur_dnn_conv;

/* Shapes that oneDNN does not serve are LUR_EUNSUPPORTED. No residual here: with one, some of 2.6's convolutions give
   wrong numbers (gemm, nhwc) and the fastest cannot be had.
   dst[n oh ow co] = conv(src[n ih iw ci], weights[kh kw ci co]). With `swapped` (1x1 only) the weights in memory are
   [co ci]: the gradient of a 1x1 convolution with respect to its input is such a convolution of dy. */
lur_status lur_dnn_conv_forward(lur_dnn *dnn, const lur_dnn_conv *conv, bool swapped, unsigned post,
                                lur_dnn_call **call);
/* The same of src in bytes and whole weights from -127 to 127, which lie in f32: post is LUR_DNN_SCALE, with relu or not.
   LUR_EUNSUPPORTED too where the processor multiplies bytes in 16 bits, which overflow (no VNNI), or not at all. */
lur_status lur_dnn_conv_bytes(lur_dnn *dnn, const lur_dnn_conv *conv, unsigned post, lur_dnn_call **call);
/* dst = dx[n ih iw ci] from src = dy and weights. */
lur_status lur_dnn_conv_backward_data(lur_dnn *dnn, const lur_dnn_conv *conv, lur_dnn_call **call);
/* dst = dw[kh kw ci co] += from src = x and weights = dy. */
lur_status lur_dnn_conv_backward_weights(lur_dnn *dnn, const lur_dnn_conv *conv, lur_dnn_call **call);

typedef enum lur_dnn_order { LUR_DNN_PLAIN = 0, LUR_DNN_TRANSPOSED } lur_dnn_order;

/* dst[m n] = src[m k] * weights[k n]; a transposed operand lies in memory as [k m] or [n k]. */
lur_status lur_dnn_matmul(lur_dnn *dnn, int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights,
                          unsigned post, lur_dnn_call **call);

/* dst[m n] = or += src * weights, by oneDNN's sgemm, orders as in lur_dnn_matmul: some percent faster than its
   primitive where both operands are long, and than a convolution that must pack its weights for few pixels. It takes
   its work space from the heap while it runs. */
lur_status lur_dnn_product(int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights, bool add,
                           lur_dnn_call **call);

typedef struct lur_dnn_args {
  const void *src, *weights, *bias, *residual, *scale;
  void *dst, *scratch;
  uint64_t version; /* of the weights; see lur_args */
} lur_dnn_args;

/* Weights that seldom change: the call keeps its packed copy of them, in memory of its own, and makes it anew only when
   the version differs. Before the first run and before scratch is asked for. */
lur_status lur_dnn_keep_weights(lur_dnn_call *call);

size_t lur_dnn_scratch(const lur_dnn_call *call); /* bytes; 0 for NULL */
/* The name oneDNN gives to the implementation it chose, "brgconv_1x1:avx512_core". */
const char *lur_dnn_implementation(const lur_dnn_call *call);
lur_status lur_dnn_run(lur_dnn_call *call, const lur_dnn_args *args);
void lur_dnn_release(lur_dnn_call *call); /* NULL is fine */

#endif
