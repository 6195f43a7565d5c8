/* separable_conv2d.c - a few rows of the depthwise convolution at a time, multiplied while they are in the L2 cache.
 * Definition: kernels/ref/separable_conv2d.c.
 *
 * The output pixels of all images are divided into one part per thread, at multiples of a tile. A part fills its buffer
 * with rows of the depthwise convolution, multiplies whole tiles of pixels, and moves the remaining pixels to the front
 * of the buffer for the next block: y's pixels are contiguous across rows and images. Every element is summed by one
 * thread in a fixed order. Needs the hand-written GEMM (fuses_separable in cpu.c tells the engine). */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { USUAL_CACHE = 1 << 20 }; /* if the system does not report the size of the L2 cache */

typedef struct separable {
  lur_window_shape s;
  int64_t n, co, rows; /* rows: of the depthwise convolution, per block */
  int parts;
  size_t buffer_bytes, part_bytes; /* part_bytes: the buffer and the GEMM's work space */
  lur_cpu_weights weights;
} separable;

static void release(lur_op *op) {
  separable *p = op->state;
  if (!p) return;
  lur_cpu_weights_release(&p->weights);
  free(p);
  op->state = NULL;
}

/* The bytes of a buffer. If the weights fit into half of the L2 cache, a small share of it, so that they stay there;
   otherwise a larger share, so that they are loaded less often. Best with a cache of 2 MiB: 320 KB, and 640 to
   1200 KB. */
static int64_t buffer_bytes(int64_t weights) {
  enum { SMALL_SHARE = 6, LARGE_SHARE = 2 };
  int64_t cache = USUAL_CACHE;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const long reported = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (reported > 0) cache = reported;
#endif
  return (int64_t)sizeof(float) * weights < cache / 2 ? cache / SMALL_SHARE : cache / LARGE_SHARE;
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op) || !cpu_gemm(op)) return lur_cpu_plan_parent(op);
  separable *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  p->n = d->x[0].shape.dim[0];
  p->co = d->y.shape.dim[3];
  p->s = cpu_window(d);
  const lur_gemm_loops *gemm = cpu_gemm(op);
  p->parts = cpu_parts((p->n * p->s.oh * p->s.ow + gemm->tile_rows - 1) / gemm->tile_rows);
  const int64_t row_bytes = (int64_t)sizeof(float) * p->s.ow * p->s.c, part_rows = p->n * p->s.oh / p->parts + 2;
  p->rows = cpu_min(buffer_bytes(p->s.c * p->co) / row_bytes, part_rows);
  p->rows = p->rows < 2 ? 2 : (p->rows + 1) / 2 * 2; /* the depthwise loop computes two rows at a time */
  const int64_t left_over = (gemm->tile_rows + p->s.ow) * (int64_t)sizeof(float) * p->s.c;
  p->buffer_bytes = cpu_round((size_t)(p->rows * row_bytes + left_over));
  p->part_bytes = p->buffer_bytes + cpu_round(gemm->work_bytes(p->s.c));
  op->forward_scratch = (size_t)p->parts * p->part_bytes;
  p->weights = (lur_cpu_weights){.k = p->s.c, .n = p->co};
  const lur_status status = lur_cpu_weights_keep(gemm, &p->weights);
  if (status != LUR_OK) release(op);
  return status;
}

/* Rows y0..y1 of one image's depthwise convolution, to `to`. */
static void depthwise_rows(const lur_op *op, const lur_args *args, int64_t image, int64_t y0, int64_t y1, float *to) {
  const separable *p = op->state;
  lur_window_shape s = p->s;
  const float *x = (const float *)args->x[0] + image * s.ih * s.iw * s.c;
  s.pt -= (int)(y0 * s.sh); /* so that the loop's row 0 is row y0 */
  cpu_loops(op)->depthwise_conv2d(&s, x, NULL, op->desc.u.conv2d.relu_in, args->w[2], NULL, false, to, 0, y1 - y0);
}

/* The first row of x that row r (counted over all images) of the depthwise convolution reads. */
static const float *x_row(const separable *p, const lur_args *args, int64_t r) {
  const int64_t from = cpu_min(p->s.ih, r % p->s.oh * p->s.sh) + r / p->s.oh * p->s.ih;
  return (const float *)args->x[0] + from * p->s.iw * p->s.c;
}

/* Pixels begin..end of y, counted over all images. The rows that contain the first and the last pixel may belong to
   other parts too: both parts compute them then. */
static void run_part(const lur_op *op, const lur_args *args, const lur_gemm *gemm_args, int64_t begin, int64_t end,
                     float *buffer) {
  const separable *p = op->state;
  const lur_gemm_loops *gemm = cpu_gemm(op);
  const int64_t tile = gemm->tile_rows, c = p->s.c, ow = p->s.ow, last_row = (end + ow - 1) / ow;
  const float *residual = op->desc.nx == 2 ? args->x[1] : NULL;
  int64_t done = begin / ow * ow, have = 0; /* pixels before the buffer, and in it */
  for (int64_t r = begin / ow, image, y0, y1; r < last_row;) {
    r = cpu_rows_of_image(r, cpu_min(last_row, r + p->rows), p->s.oh, &image, &y0, &y1);
    depthwise_rows(op, args, image, y0, y1, buffer + have * c);
    have = cpu_min(have + (y1 - y0) * ow, end - done);
    const int64_t skip = done < begin ? begin - done : 0, ready = have - skip,
                  now = r < last_row ? ready / tile * tile : ready;
    if (now <= 0) continue;
    const int64_t at = (done + skip) * p->co;
    lur_gemm block = *gemm_args;
    block.next = x_row(p, args, r);
    block.next_floats = x_row(p, args, cpu_min(r + p->rows, p->n * p->s.oh)) - block.next;
    gemm->gemm(&block, buffer + skip * c, now, residual ? residual + at : NULL, (float *)args->y + at,
                  (char *)buffer + p->buffer_bytes);
    done += skip + now;
    have -= skip + now;
    memmove(buffer, buffer + (skip + now) * c, sizeof *buffer * (size_t)(have * c));
  }
}

static lur_status forward(lur_op *op, const lur_args *args) {
  separable *p = op->state;
  const lur_gemm_loops *gemm = cpu_gemm(op);
  const lur_gemm gemm_args = {.k = p->s.c,
                              .n = p->co,
                              .packed = lur_cpu_weights_pack(gemm, &p->weights, args->w[0], args->version, NULL),
                              .bias = args->w[1],
                              .relu = op->desc.u.conv2d.relu};
  const int64_t pixels = p->n * p->s.oh * p->s.ow;
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++)
    run_part(op, args, &gemm_args, cpu_step_start(pixels, gemm->tile_rows, p->parts, part),
             cpu_step_start(pixels, gemm->tile_rows, p->parts, part + 1),
             (float *)((char *)args->scratch + (size_t)part * p->part_bytes));
  return LUR_OK;
}

const lur_kernel lur_cpu_separable_conv2d = {plan, forward, NULL, release};
