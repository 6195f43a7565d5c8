/* separable.c - separable_conv2d: a few rows of the depthwise convolution at a time, multiplied while they lie in the
 * second cache. Definition: kernels/ref/separable_conv2d.c.
 *
 * Output pixels of all images are cut into one part a thread, at whole tiles. A part fills its buffer with rows of
 * the depthwise convolution, hands whole tiles of pixels to the product, and moves the few left over to the front for
 * the next turn: in memory y's pixels follow one another, whatever row they are of. Every element is summed by one
 * thread in one order. Only where the processor has products of ours (lur_cpu_separable says so to the engine). */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { USUAL_CACHE = 1 << 20 }; /* where the size of the second cache is not told */

typedef struct separable {
  lur_window_shape s;
  int64_t n, co, rows; /* rows: of the depthwise convolution at a time */
  int parts;
  size_t buffer_bytes, part_bytes; /* part_bytes: with the product's own */
  lur_cpu_weights weights;
} separable;

bool lur_cpu_separable(const lur_device *device, const lur_op_desc *pointwise) {
  const lur_products *ours = ((const lur_cpu *)device->state)->products;
  return ours && lur_shape_count(&pointwise->w[0].shape) <= ours->joined;
}

static void release(lur_op *op) {
  separable *p = op->state;
  if (!p) return;
  lur_cpu_weights_release(&p->weights);
  free(p);
  op->state = NULL;
}

/* What a buffer should hold: few pixels while the weights stay in the second cache beside them, else a larger share of
   it, so that the weights pass by seldom. As measured with 2 MiB: 320 KB, and 640 to 1200 KB. */
static int64_t buffer_bytes(int64_t weights) {
  enum { SMALL_SHARE = 6, LARGE_SHARE = 2 };
  int64_t cache = USUAL_CACHE;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const long told = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (told > 0) cache = told;
#endif
  return (int64_t)sizeof(float) * weights < cache / 2 ? cache / SMALL_SHARE : cache / LARGE_SHARE;
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op) || !cpu_products(op)) return lur_cpu_plan_parent(op);
  separable *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  const lur_conv2d_desc *u = &d->u.conv2d;
  p->n = x[0];
  p->co = y[3];
  p->s = (lur_window_shape){x[1],        x[2],        y[1],        y[2],       x[3],       u->kernel_h,
                            u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left};
  const lur_products *ours = cpu_products(op);
  p->parts = cpu_parts((p->n * p->s.oh * p->s.ow + ours->tile_rows - 1) / ours->tile_rows);
  const int64_t row_bytes = (int64_t)sizeof(float) * p->s.ow * p->s.c, part_rows = p->n * p->s.oh / p->parts + 2;
  p->rows = cpu_min(buffer_bytes(p->s.c * p->co) / row_bytes, part_rows);
  p->rows = p->rows < 2 ? 2 : (p->rows + 1) / 2 * 2; /* the depthwise loop takes two at a time */
  const int64_t left_over = (ours->tile_rows + p->s.ow) * (int64_t)sizeof(float) * p->s.c;
  p->buffer_bytes = (size_t)(p->rows * row_bytes + left_over + 63) / 64 * 64;
  p->part_bytes = p->buffer_bytes + (ours->work_bytes(p->s.c) + 63) / 64 * 64;
  op->forward_scratch = (size_t)p->parts * p->part_bytes;
  p->weights = (lur_cpu_weights){.k = p->s.c, .n = p->co};
  const lur_status status = lur_cpu_weights_keep(ours, &p->weights);
  if (status != LUR_OK) release(op);
  return status;
}

/* Rows y0..y1 of one image's depthwise convolution, to `to`. */
static void depthwise_rows(const lur_op *op, const lur_args *args, int64_t image, int64_t y0, int64_t y1, float *to) {
  const separable *p = op->state;
  lur_window_shape s = p->s;
  const float *x = (const float *)args->x[0] + image * s.ih * s.iw * s.c;
  s.pt -= (int)(y0 * s.sh); /* row 0 is row y0 */
  cpu_loops(op)->depthwise(&s, x, NULL, op->desc.u.conv2d.relu_in, args->w[2], NULL, false, to, 0, y1 - y0);
}

/* Where row r of all images' depthwise convolutions begins to be read from; the last one's end. */
static const float *x_row(const separable *p, const lur_args *args, int64_t r) {
  const int64_t from = cpu_min(p->s.ih, r % p->s.oh * p->s.sh) + r / p->s.oh * p->s.ih;
  return (const float *)args->x[0] + from * p->s.iw * p->s.c;
}

/* Pixels begin..end of y, counted over all images. The rows that the first and the last lie in may be those of
   another part too: both work them out. */
static void run_part(const lur_op *op, const lur_args *args, const lur_product *product, int64_t begin, int64_t end,
                     float *buffer) {
  const separable *p = op->state;
  const lur_products *ours = cpu_products(op);
  const int64_t tile = ours->tile_rows, c = p->s.c, ow = p->s.ow, last_row = (end + ow - 1) / ow;
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
    lur_product turn = *product;
    turn.next = x_row(p, args, r);
    turn.next_floats = x_row(p, args, cpu_min(r + p->rows, p->n * p->s.oh)) - turn.next;
    ours->product(&turn, buffer + skip * c, now, residual ? residual + at : NULL, (float *)args->y + at,
                  (char *)buffer + p->buffer_bytes);
    done += skip + now;
    have -= skip + now;
    memmove(buffer, buffer + (skip + now) * c, sizeof *buffer * (size_t)(have * c));
  }
}

static lur_status forward(lur_op *op, const lur_args *args) {
  separable *p = op->state;
  const lur_products *ours = cpu_products(op);
  const lur_product product = {.k = p->s.c,
                               .n = p->co,
                               .packed = lur_cpu_weights_pack(ours, &p->weights, args->w[0], args->version, NULL),
                               .bias = args->w[1],
                               .relu = op->desc.u.conv2d.relu};
  const int64_t pixels = p->n * p->s.oh * p->s.ow;
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++)
    run_part(op, args, &product, cpu_step_start(pixels, ours->tile_rows, p->parts, part),
             cpu_step_start(pixels, ours->tile_rows, p->parts, part + 1),
             (float *)((char *)args->scratch + (size_t)part * p->part_bytes));
  return LUR_OK;
}

const lur_kernel lur_cpu_separable_kernel = {plan, forward, NULL, release};
