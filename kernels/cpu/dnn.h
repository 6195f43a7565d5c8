/* dnn.h - the only interface to oneDNN: convolutions and matrix products, as calls that are planned once and run often.
 *
 * The C API that creates descriptors differs between oneDNN 2.x (Debian 12) and 3.x; kernels/cpu/dnn/api.h is the one
 * file that deals with both. A call owns its primitive, its stream and its memory objects; beside its operands it needs
 * scratch memory of the caller, so that running allocates nothing. Everything is f32 (but for the int8 convolution) and
 * in plain layouts: images n h w c, weights as in op_desc.h. A new primitive: its descriptor in dnn/api.h, and a
 * function here. */
#ifndef LUR_CPU_DNN_H
#define LUR_CPU_DNN_H

#include "kernels/base.h"

typedef struct lur_dnn lur_dnn;           /* the engine */
typedef struct lur_dnn_call lur_dnn_call; /* one planned primitive */

lur_status lur_dnn_open(lur_dnn **dnn);
void lur_dnn_close(lur_dnn *dnn); /* NULL is fine; every call must be released first */

/* What is applied to the result before it is stored, in this order. */
enum {
  LUR_DNN_SCALE = 16,     /* * scale + bias, one of each per column; int8 only */
  LUR_DNN_BIAS = 1,       /* + bias, one per column */
  LUR_DNN_RESIDUAL = 2,   /* + a tensor like dst */
  LUR_DNN_ACCUMULATE = 4, /* + the old values of dst */
  LUR_DNN_RELU = 8        /* max(., 0) */
};

typedef struct lur_dnn_conv2d {
  int64_t n, ih, iw, ci, oh, ow, co;
  int kh, kw, sh, sw, pt, pl;
} lur_dnn_conv2d;

/* LUR_EUNSUPPORTED for shapes that oneDNN does not support. There is no residual: with one, some convolutions of oneDNN
   2.6 compute wrong results (gemm, nhwc), and its fastest ones are not available.
   dst[n oh ow co] = conv(src[n ih iw ci], weights[kh kw ci co]). With `swapped` (1x1 only) the weights in memory are
   [co ci]: the gradient of a 1x1 convolution with respect to its input is such a convolution of dy. */
lur_status lur_dnn_conv2d_forward(lur_dnn *dnn, const lur_dnn_conv2d *conv, bool swapped, unsigned post,
                                lur_dnn_call **call);
/* The same with src u8 and weights that are integers from -127 to 127 in f32; post is LUR_DNN_SCALE, with or without
   LUR_DNN_RELU. LUR_EUNSUPPORTED also where the processor has no int8 multiplication, or only one that sums in 16 bits,
   which overflow (no VNNI). */
lur_status lur_dnn_conv2d_int8(lur_dnn *dnn, const lur_dnn_conv2d *conv, unsigned post, lur_dnn_call **call);
/* dst = dx[n ih iw ci] from src = dy and weights. */
lur_status lur_dnn_conv2d_backward_data(lur_dnn *dnn, const lur_dnn_conv2d *conv, lur_dnn_call **call);
/* dst = dw[kh kw ci co] += from src = x and weights = dy. */
lur_status lur_dnn_conv2d_backward_weights(lur_dnn *dnn, const lur_dnn_conv2d *conv, lur_dnn_call **call);

typedef enum lur_dnn_order { LUR_DNN_PLAIN = 0, LUR_DNN_TRANSPOSED } lur_dnn_order;

/* dst[m n] = src[m k] * weights[k n]; a transposed operand is stored as [k m] or [n k]. */
lur_status lur_dnn_gemm(lur_dnn *dnn, int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights,
                          unsigned post, lur_dnn_call **call);

/* `batch` of them, whose matrices follow each other in memory. post: LUR_DNN_ACCUMULATE or 0. */
lur_status lur_dnn_batched_gemm(lur_dnn *dnn, int64_t batch, int64_t m, int64_t n, int64_t k, lur_dnn_order src,
                                lur_dnn_order weights, unsigned post, lur_dnn_call **call);

/* dst[m n] = or += src * weights by oneDNN's sgemm, orders as in lur_dnn_gemm. It is a few percent faster than the
   primitive if both operands are long, and than a convolution that must pack its weights for few pixels. It allocates
   its work space while it runs. */
lur_status lur_dnn_sgemm(int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights, bool add,
                           lur_dnn_call **call);

typedef struct lur_dnn_args {
  const void *src, *weights, *bias, *residual, *scale;
  void *dst, *scratch;
  uint64_t version; /* of the weights; see lur_args */
} lur_dnn_args;

/* For weights that seldom change: the call keeps a packed copy of them in its own memory, and packs again only when the
   version differs. Call it before lur_dnn_scratch and before the first run. */
lur_status lur_dnn_keep_weights(lur_dnn_call *call);

size_t lur_dnn_scratch(const lur_dnn_call *call); /* bytes; 0 for NULL */
/* oneDNN's name of the implementation it chose, for example "brgconv_1x1:avx512_core". */
const char *lur_dnn_implementation(const lur_dnn_call *call);
lur_status lur_dnn_run(lur_dnn_call *call, const lur_dnn_args *args);
void lur_dnn_release(lur_dnn_call *call); /* NULL is fine */

#endif
