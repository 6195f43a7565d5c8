/* cpu.h - what the files of the cpu backend share: the rows, the device's state, and how work is cut into parts.
 *
 * Sums are cut into a number of parts that is fixed when the op is planned, one after another in a fixed order: the same
 * number of threads at plan gives the same bits, whatever runs later. Work whose pieces do not meet is cut freely. */
#ifndef LUR_CPU_H
#define LUR_CPU_H

#include <omp.h>

#include "kernels/backend.h"
#include "kernels/cpu/dnn.h"
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/gemm.h"

extern const lur_kernel lur_cpu_conv2d, lur_cpu_depthwise, lur_cpu_dense, lur_cpu_batchnorm, lur_cpu_activation, lur_cpu_softmax,
    lur_cpu_pool, lur_cpu_global_pool, lur_cpu_binary, lur_cpu_affine, lur_cpu_concat, lur_cpu_gather, lur_cpu_dropout,
    lur_cpu_copy, lur_cpu_separable_kernel, lur_cpu_conv_bytes /* of conv2d's row */;

lur_status lur_cpu_update(lur_device *device, const lur_update *update, const lur_parameter *slots, int n);
lur_status lur_cpu_gradient_norm(lur_device *device, const lur_parameter *slots, int n, double *sum);
lur_status lur_cpu_lerp(lur_device *device, const lur_parameter *slots, int n, double share);

typedef struct lur_cpu {
  lur_dnn *dnn;
  const lur_loops *loops;
  const lur_products *products; /* NULL: oneDNN's */
} lur_cpu;

static inline lur_dnn *cpu_dnn(const lur_op *op) { return ((const lur_cpu *)op->device->state)->dnn; }
static inline const lur_loops *cpu_loops(const lur_op *op) { return ((const lur_cpu *)op->device->state)->loops; }
static inline const lur_products *cpu_products(const lur_op *op) {
  return ((const lur_cpu *)op->device->state)->products;
}

/* Whether separable_conv2d is worth making of a depthwise and this 1x1 convolution (lur_backend). */
bool lur_cpu_separable(const lur_device *device, const lur_op_desc *pointwise);

/* Hands the op to the parent's kernel: for types and sizes that ours do not serve. */
lur_status lur_cpu_plan_parent(lur_op *op);
bool lur_cpu_all_f32(const lur_op *op); /* every operand, weight and y */

enum { CPU_BLOCK = 8192, CPU_MAX_PARTS = 256 };

/* What oneDNN is told of a conv2d. */
static inline lur_dnn_conv cpu_conv_sizes(const lur_op_desc *d) {
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  const lur_conv2d_desc *u = &d->u.conv2d;
  return (lur_dnn_conv){x[0],        x[1],        x[2],        x[3],        y[1],       y[2],       y[3],
                        u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left};
}

static inline bool cpu_wants(const lur_op *op) { return op->desc.want_dx || op->desc.want_dw; }
static inline int64_t cpu_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cpu_last(const lur_shape *s) { return s->ndim > 0 ? s->dim[s->ndim - 1] : 1; }

/* Parts for `items` pieces of work: one a thread, never more than the pieces. */
static inline int cpu_parts(int64_t items) {
  int threads = omp_get_max_threads();
  if (threads > CPU_MAX_PARTS) threads = CPU_MAX_PARTS;
  return items < threads ? (items > 0 ? (int)items : 1) : threads;
}

/* Where part `i` of `parts` starts among `items`. */
static inline int64_t cpu_part_start(int64_t items, int parts, int i) { return items * i / parts; }

/* The same at whole multiples of `step`. */
static inline int64_t cpu_step_start(int64_t items, int64_t step, int parts, int i) {
  return cpu_min(items, cpu_part_start((items + step - 1) / step, parts, i) * step);
}

/* Rows begin..end of all images' rows, cut where an image ends: *image, and rows *y0..*y1 of it. Gives the next
 * begin. */
static inline int64_t cpu_rows_of_image(int64_t begin, int64_t end, int64_t height, int64_t *image, int64_t *y0,
                                          int64_t *y1) {
  *image = begin / height;
  *y0 = begin % height;
  *y1 = cpu_min(height, *y0 + end - begin);
  return begin + *y1 - *y0;
}

/* Number of CPU_BLOCK pieces of count elements: loops over them are `omp parallel for`. */
static inline int64_t cpu_blocks(int64_t count) { return (count + CPU_BLOCK - 1) / CPU_BLOCK; }
static inline int64_t cpu_block_size(int64_t count, int64_t block) { return cpu_min(CPU_BLOCK, count - block * CPU_BLOCK); }

/* dst = src or dst += src, over all threads. dst may be src when not adding. */
void lur_cpu_put(const lur_loops *loops, float *dst, const float *src, int64_t count, bool add);
/* out = dy where y > 0, else 0. */
void lur_cpu_mask(const lur_loops *loops, const float *y, const float *dy, float *out, int64_t count);

/* to[i] = or += the sum of sums[part * width + i] over the parts, for i < count. */
void lur_cpu_put_sums(const double *sums, int parts, int64_t width, float *to, int64_t count, bool add);

/* db[i] += sum over rows of dy[r, i], with lur_cpu_columns_scratch(parts, c) bytes of scratch. */
size_t lur_cpu_columns_scratch(int parts, int64_t c);
void lur_cpu_columns(const lur_loops *loops, int parts, const float *dy, int64_t rows, int64_t c, void *scratch, float *db);

#endif
