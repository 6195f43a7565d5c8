/* ref.h - what the files of the reference backend share: the rows, and small helpers.
 *
 * Every kernel here is the readable definition of its op: plain loops, sums in double, one rounding to float at the
 * end. Loops run in parallel over outputs that do not depend on each other, so that the bits never depend on threads.
 * It refuses to be fast. A new op: a row below and a file. */
#ifndef LUR_REF_H
#define LUR_REF_H

#include "kernels/backend.h"

extern const lur_kernel lur_ref_conv2d, lur_ref_depthwise, lur_ref_dense, lur_ref_batchnorm, lur_ref_activation,
    lur_ref_softmax, lur_ref_pool, lur_ref_global_pool, lur_ref_binary, lur_ref_affine, lur_ref_concat, lur_ref_gather,
    lur_ref_dropout, lur_ref_separable, lur_ref_conv_bytes /* of conv2d's row */, lur_ref_copy, lur_ref_normalize,
    lur_ref_reduce, lur_ref_loss;

lur_status lur_ref_update(lur_device *device, const lur_update *update, const lur_parameter *slots, int n);
lur_status lur_ref_gradient_norm(lur_device *device, const lur_parameter *slots, int n, double *sum);
lur_status lur_ref_lerp(lur_device *device, const lur_parameter *slots, int n, double share);

/* LUR_ETYPE unless x (but for those in skip_x), w and y are f32: the only type this backend computes in. */
lur_status lur_ref_want_f32(const lur_op *op, unsigned skip_x);

/* Gradient through y = max(., 0): dy where y > 0, else 0, into scratch. Gives dy itself when relu is false. */
const float *lur_ref_relu_dy(bool relu, const lur_args *args, float *scratch, int64_t count);

/* dx = dy, or dx += dy. */
void lur_ref_put_all(float *dx, const float *dy, int64_t count, bool add);
/* db[i] += sum over rows of dy[r,i]: the gradient of a bias. */
void lur_ref_add_columns(const float *dy, int64_t rows, int64_t c, float *db);

enum { REF_BLOCK = 64 }; /* output channels whose sums are kept on the stack at a time */

/* y = max(., 0) that lets NaN through. */
static inline double ref_relu(double v) { return v < 0 ? 0 : v; }

/* An input gradient is overwritten, or added to. */
static inline void ref_put(float *dx, int64_t i, double value, bool add) {
  dx[i] = (float)(add ? (double)dx[i] + value : value);
}

static inline bool ref_wants(const lur_op *op) { return op->desc.want_dx || op->desc.want_dw; }
static inline int64_t ref_last(const lur_shape *s) { return s->ndim > 0 ? s->dim[s->ndim - 1] : 1; }
static inline int64_t ref_min(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
