/* cpu.h - what the files of the cpu backend share: the kernels, the state of the device, and how work is divided.
 *
 * A sum is divided into parts whose number is fixed when the op is planned, and the parts are added in a fixed order:
 * the same number of threads at planning gives the same bits, whatever runs later. Independent pieces of work are
 * divided freely. A new op: a row in LUR_CPU_KERNELS and a file; ops without a row run on ref. */
#ifndef LUR_CPU_H
#define LUR_CPU_H

#include <omp.h>

#include "kernels/backend.h"
#include "kernels/cpu/dnn.h"
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/gemm.h"

/* Kernels that replace those of ref. */
#define LUR_CPU_KERNELS(row)              \
  row(CONV2D, conv2d)                     \
  row(DEPTHWISE_CONV2D, depthwise_conv2d) \
  row(SEPARABLE_CONV2D, separable_conv2d) \
  row(DENSE, dense)                       \
  row(BATCHNORM, batchnorm)               \
  row(ACTIVATION, activation)             \
  row(SOFTMAX, softmax)                   \
  row(POOL, pool)                         \
  row(GLOBAL_POOL, global_pool)           \
  row(BINARY, binary)                     \
  row(WHERE, where)                       \
  row(AFFINE, affine)                     \
  row(CONCAT, concat)                     \
  row(GATHER, gather)                     \
  row(DROPOUT, dropout)                   \
  row(COPY, copy)                         \
  row(REDUCE, reduce)                     \
  row(MATMUL, matmul)                     \
  row(PERMUTE, permute)                   \
  row(SLICE, slice)                       \
  row(PAD, pad)                           \
  row(LAYERNORM, layernorm)               \
  row(GROUPNORM, groupnorm)               \
  row(UPSAMPLE, upsample)

#define LUR_CPU_KERNEL(KIND, name) extern const lur_kernel lur_cpu_##name;
LUR_CPU_KERNELS(LUR_CPU_KERNEL)
#undef LUR_CPU_KERNEL
extern const lur_kernel lur_cpu_conv2d_int8; /* conv2d's plan chooses it */

lur_status lur_cpu_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n);
lur_status lur_cpu_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum);
lur_status lur_cpu_lerp(lur_device *device, const lur_parameter *parameters, int n, double share);

typedef struct lur_cpu {
  lur_dnn *dnn;
  const lur_loops *loops;
  const lur_gemm_loops *gemm; /* NULL: only oneDNN's */
} lur_cpu;

static inline lur_dnn *cpu_dnn(const lur_op *op) { return ((const lur_cpu *)op->device->state)->dnn; }
static inline const lur_loops *cpu_loops(const lur_op *op) { return ((const lur_cpu *)op->device->state)->loops; }
static inline const lur_gemm_loops *cpu_gemm(const lur_op *op) {
  return ((const lur_cpu *)op->device->state)->gemm;
}

/* Plans the op with ref's kernel: for types and sizes that this backend's kernel does not support. */
lur_status lur_cpu_plan_parent(lur_op *op);
bool lur_cpu_all_f32(const lur_op *op); /* every x and w, and y */

enum { CPU_BLOCK = 8192, CPU_MAX_PARTS = 256 };

/* The sizes of a conv2d, for oneDNN. */
static inline lur_dnn_conv2d cpu_conv2d_sizes(const lur_op_desc *d) {
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  const lur_conv2d_desc *u = &d->u.conv2d;
  return (lur_dnn_conv2d){x[0],        x[1],        x[2],        x[3],        y[1],       y[2],       y[3],
                        u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left};
}

/* The window of a depthwise_conv2d, separable_conv2d or pool, for the loops. */
static inline lur_window_shape cpu_window(const lur_op_desc *d) {
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  lur_window_shape s = {.ih = x[1], .iw = x[2], .oh = y[1], .ow = y[2], .c = x[3]};
  if (d->kind == LUR_OP_POOL) {
    const lur_pool_desc *u = &d->u.pool;
    s.kh = u->kernel_h, s.kw = u->kernel_w, s.sh = u->stride_h, s.sw = u->stride_w;
    s.pt = u->pad_top, s.pl = u->pad_left;
  } else {
    const lur_conv2d_desc *u = &d->u.conv2d;
    s.kh = u->kernel_h, s.kw = u->kernel_w, s.sh = u->stride_h, s.sw = u->stride_w;
    s.pt = u->pad_top, s.pl = u->pad_left;
  }
  return s;
}

/* Pieces of scratch and of saved memory begin at multiples of a cache line. */
static inline size_t cpu_round(size_t bytes) { return (bytes + 63) / 64 * 64; }
static inline size_t cpu_larger(size_t a, size_t b) { return a > b ? a : b; }

static inline bool cpu_wants(const lur_op *op) { return op->desc.want_dx || op->desc.want_dw; }
static inline int64_t cpu_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cpu_last(const lur_shape *s) { return s->ndim > 0 ? s->dim[s->ndim - 1] : 1; }

/* The number of parts for `items` pieces of work: one per thread, at most one per piece. */
static inline int cpu_parts(int64_t items) {
  int threads = omp_get_max_threads();
  if (threads > CPU_MAX_PARTS) threads = CPU_MAX_PARTS;
  return items < threads ? (items > 0 ? (int)items : 1) : threads;
}

/* The first item of part `i` of `parts`. */
static inline int64_t cpu_part_start(int64_t items, int parts, int i) { return items * i / parts; }

/* The same, rounded to multiples of `step`. */
static inline int64_t cpu_step_start(int64_t items, int64_t step, int parts, int i) {
  return cpu_min(items, cpu_part_start((items + step - 1) / step, parts, i) * step);
}

/* Of rows begin..end, counted over all images, those of the first image: rows *y0..*y1 of *image. Returns where the
   rest begins. */
static inline int64_t cpu_rows_of_image(int64_t begin, int64_t end, int64_t height, int64_t *image, int64_t *y0,
                                        int64_t *y1) {
  *image = begin / height;
  *y0 = begin % height;
  *y1 = cpu_min(height, *y0 + end - begin);
  return begin + *y1 - *y0;
}

/* The number of blocks of CPU_BLOCK elements, over which element-wise loops run in parallel; and the size of one. */
static inline int64_t cpu_blocks(int64_t count) { return (count + CPU_BLOCK - 1) / CPU_BLOCK; }
static inline int64_t cpu_block_size(int64_t count, int64_t block) {
  return cpu_min(CPU_BLOCK, count - block * CPU_BLOCK);
}

/* dst = src or dst += src, on all threads. dst may be src unless `add`. */
void lur_cpu_put(const lur_loops *loops, float *dst, const float *src, int64_t count, bool add);
/* y = max(y, 0), where NaN stays NaN: the ReLU post-op of oneDNN turns it into 0. */
void lur_cpu_relu(const lur_loops *loops, float *y, int64_t count);
/* out = 0 where y is 0, else dy. */
void lur_cpu_mask(const lur_loops *loops, const float *y, const float *dy, float *out, int64_t count);
/* y = [relu](y + residual). */
void lur_cpu_add_residual(const lur_loops *loops, const float *residual, bool relu, float *y, int64_t count);

/* to[i] = or += the sum of sums[part * width + i] over the parts, for i < count. */
void lur_cpu_put_sums(const double *sums, int parts, int64_t width, float *to, int64_t count, bool add);

/* db[i] += the sum over rows of dy[r, i], with lur_cpu_columns_scratch(parts, c) bytes of scratch. */
size_t lur_cpu_columns_scratch(int parts, int64_t c);
void lur_cpu_columns(const lur_loops *loops, int parts, const float *dy, int64_t rows, int64_t c, void *scratch,
                     float *db);

#endif
