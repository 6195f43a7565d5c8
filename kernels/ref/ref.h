/* ref.h - what the files of the reference backend share: the kernels, and small helpers.
 *
 * Every kernel here is the readable definition of its op: plain loops, sums in double, one rounding to float at the
 * end. Loops run in parallel over outputs that do not depend on each other, so the bits do not depend on the number of
 * threads. Speed does not matter here. A new op: a file with lur_ref_OP; LUR_OP_KINDS declares it and puts it into the
 * table. */
#ifndef LUR_REF_H
#define LUR_REF_H

#include "kernels/backend.h"

#define LUR_REF_KERNEL(KIND, name) extern const lur_kernel lur_ref_##name;
LUR_OP_KINDS(LUR_REF_KERNEL)
#undef LUR_REF_KERNEL
extern const lur_kernel lur_ref_conv2d_int8; /* conv2d's plan chooses it */

lur_status lur_ref_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n);
lur_status lur_ref_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum);
lur_status lur_ref_lerp(lur_device *device, const lur_parameter *parameters, int n, double share);

/* LUR_ETYPE unless all x (but for those in skip_x) and w are f32, the only type this backend computes in. */
lur_status lur_ref_want_f32(const lur_op *op, unsigned skip_x);

/* The gradient through y = max(., 0): 0 where y is 0, else dy, in scratch. Returns dy itself if relu is false. */
const float *lur_ref_relu_dy(bool relu, const lur_args *args, float *scratch, int64_t count);

/* dx = dy, or dx += dy. */
void lur_ref_put_all(float *dx, const float *dy, int64_t count, bool add);
/* db[i] += the sum over rows of dy[r,i]: the gradient of a bias. */
void lur_ref_add_columns(const float *dy, int64_t rows, int64_t c, float *db);

enum { REF_BLOCK = 64 }; /* output channels whose sums are on the stack at a time */

/* The sizes of a convolution or a pool: x n h w ci, y n oh ow co, window kh kw, stride sh sw, padding top left. */
typedef struct ref_sizes {
  int64_t n, h, w, ci, oh, ow, co, kh, kw, sh, sw, top, left;
} ref_sizes;

/* `window`: the op's lur_conv2d_desc or lur_pool_desc. */
#define REF_SIZES(desc, window)                                                                                        \
  ((ref_sizes){(desc)->x[0].shape.dim[0], (desc)->x[0].shape.dim[1], (desc)->x[0].shape.dim[2],                        \
               (desc)->x[0].shape.dim[3], (desc)->y.shape.dim[1], (desc)->y.shape.dim[2], (desc)->y.shape.dim[3],      \
               (window)->kernel_h, (window)->kernel_w, (window)->stride_h, (window)->stride_w, (window)->pad_top,      \
               (window)->pad_left})

/* max(., 0); NaN stays NaN. */
static inline double ref_relu(double v) { return v < 0 ? 0 : v; }

/* The gradient dy through max(v, 0), from v or from the result: 0 where it is not positive; dy where it is NaN, as in
   PyTorch (ATen/native, threshold_backward). */
static inline double ref_relu_dy(double v, double dy) { return v <= 0 ? 0 : dy; }

/* Whether v replaces `best` in a search for the maximum. The first NaN wins and stays. */
static inline bool ref_beats(double v, double best) { return !(v <= best) && best == best; }

/* dx[i] = value, or += value. */
static inline void ref_put(float *dx, int64_t i, double value, bool add) {
  dx[i] = (float)(add ? (double)dx[i] + value : value);
}

/* Room in scratch for sums in double, one for each element of a tensor of that shape. */
static inline size_t ref_sums_bytes(const lur_shape *s) { return sizeof(double) * (size_t)lur_shape_count(s); }

static inline bool ref_wants(const lur_op *op) { return op->desc.want_dx || op->desc.want_dw; }
static inline int64_t ref_last(const lur_shape *s) { return s->ndim > 0 ? s->dim[s->ndim - 1] : 1; }
static inline int64_t ref_min(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
