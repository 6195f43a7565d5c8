/* separable.c - separable_conv2d: a few rows of the depthwise convolution at a time, multiplied while they lie in the
 * second cache. Definition: kernels/ref/separable.c.
 *
 * Output pixels of all pictures are cut into one part a thread, at whole tiles. A part fills its buffer with rows of
 * the depthwise convolution, hands whole tiles of pixels to the product, and moves the few left over to the front for
 * the next turn: in memory y's pixels follow one another, whatever row they are of. Every element is summed by one
 * thread in one order. Only where the loops have a product (lur_cpu_separable says so to the engine). */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 320 << 10, MOST_WEIGHTS = 1 << 18 };

typedef struct separable {
  lur_window_shape s;
  int64_t n, co, rows; /* rows: of the depthwise convolution at a time */
  int parts;
  size_t buffer_bytes; /* of one part */
  float *kept;         /* the 1x1 weights in panels, of kept_version */
  uint64_t kept_version;
} separable;

/* Larger weights do not stay in the second cache beside the pixels, and there oneDNN is as fast or faster: 728 to 728
   channels at 19x19 gain nothing, and the bare product of 1536 by 2048 channels was 15 % slower than oneDNN's. */
bool lur_cpu_separable(const lur_device *device, const lur_op_desc *pointwise) {
  const lur_shape *w = &pointwise->w[0].shape;
  return ((const lur_cpu *)device->state)->loops->product && lur_shape_count(w) <= MOST_WEIGHTS;
}

static size_t packed_bytes(const separable *p) {
  return (sizeof(float) * (size_t)(p->s.c * ((p->co + 15) / 16 * 16)) + 63) / 64 * 64;
}

static void pack(const lur_op *op, const float *w) {
  const separable *p = op->state;
  const int64_t panels = (p->co + LUR_PANEL - 1) / LUR_PANEL;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < panels; i++)
    cpu_loops(op)->product_pack(w, p->s.c, p->co, i * LUR_PANEL, cpu_min(p->co, (i + 1) * LUR_PANEL), p->kept);
}

static void release(lur_op *op) {
  separable *p = op->state;
  if (!p) return;
  free(p->kept);
  free(p);
  op->state = NULL;
}

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  if (!lur_cpu_all_f32(op) || !cpu_loops(op)->product) return lur_cpu_plan_parent(op);
  separable *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = p;
  const int64_t *x = d->x[0].shape.dim, *y = d->y.shape.dim;
  const lur_conv_desc *u = &d->u.conv;
  p->n = x[0];
  p->co = y[3];
  p->s = (lur_window_shape){x[1],        x[2],        y[1],        y[2],       x[3],       u->kernel_h,
                            u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left};
  const int64_t row_bytes = (int64_t)sizeof(float) * p->s.ow * p->s.c;
  p->rows = (BUFFER_BYTES / row_bytes + 1) / 2 * 2; /* the depthwise loop takes two at a time */
  if (p->rows < 2) p->rows = 2;
  p->parts = cpu_parts(p->n * p->s.oh * p->s.ow / LUR_TILE_ROWS);
  const int64_t left_over = (LUR_TILE_ROWS + p->s.ow) * (int64_t)sizeof(float) * p->s.c;
  p->buffer_bytes = (size_t)(p->rows * row_bytes + left_over + 63) / 64 * 64;
  op->forward_scratch = (size_t)p->parts * p->buffer_bytes;
  p->kept = aligned_alloc(64, packed_bytes(p));
  if (p->kept) return LUR_OK;
  const size_t bytes = packed_bytes(p);
  release(op);
  return lur_fail(LUR_ENOMEM, "no memory for %zu bytes of packed weights", bytes);
}

/* Rows y0..y1 of one picture's depthwise convolution, to `to`. */
static void depthwise_rows(const lur_op *op, const lur_args *args, int64_t picture, int64_t y0, int64_t y1, float *to) {
  const separable *p = op->state;
  lur_window_shape s = p->s;
  const float *x = (const float *)args->x[0] + picture * s.ih * s.iw * s.c;
  s.pt -= (int)(y0 * s.sh); /* row 0 is row y0 */
  cpu_loops(op)->depthwise(&s, x, NULL, op->desc.u.conv.relu_in, args->w[2], NULL, false, to, 0, y1 - y0);
}

/* Pixels begin..end of y, counted over all pictures. The rows that the first and the last lie in may be those of
   another part too: both work them out. */
static void run_part(const lur_op *op, const lur_args *args, const lur_product *product, int64_t begin, int64_t end,
                     float *buffer) {
  const separable *p = op->state;
  const int64_t c = p->s.c, ow = p->s.ow, last_row = (end + ow - 1) / ow;
  const float *residual = op->desc.nx == 2 ? args->x[1] : NULL;
  int64_t done = begin / ow * ow, have = 0; /* pixels before the buffer, and in it */
  for (int64_t r = begin / ow, picture, y0, y1; r < last_row;) {
    r = cpu_rows_of_picture(r, cpu_min(last_row, r + p->rows), p->s.oh, &picture, &y0, &y1);
    depthwise_rows(op, args, picture, y0, y1, buffer + have * c);
    have = cpu_min(have + (y1 - y0) * ow, end - done);
    const int64_t skip = done < begin ? begin - done : 0, ready = have - skip,
                  now = r < last_row ? ready / LUR_TILE_ROWS * LUR_TILE_ROWS : ready;
    if (now <= 0) continue;
    const int64_t at = (done + skip) * p->co;
    cpu_loops(op)->product(product, buffer + skip * c, now, residual ? residual + at : NULL, (float *)args->y + at);
    done += skip + now;
    have -= skip + now;
    memmove(buffer, buffer + (skip + now) * c, sizeof *buffer * (size_t)(have * c));
  }
}

/* Where part `i` of `parts` starts among `pixels`: at a whole tile. */
static int64_t tile_start(int64_t pixels, int parts, int i) {
  const int64_t tiles = (pixels + LUR_TILE_ROWS - 1) / LUR_TILE_ROWS;
  return cpu_min(pixels, cpu_part_start(tiles, parts, i) * LUR_TILE_ROWS);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  separable *p = op->state;
  if (!args->version || args->version != p->kept_version) {
    pack(op, args->w[0]);
    p->kept_version = args->version;
  }
  const lur_product product = {p->s.c, p->co, p->kept, args->w[1], op->desc.u.conv.relu};
  const int64_t pixels = p->n * p->s.oh * p->s.ow;
#pragma omp parallel for schedule(static, 1)
  for (int part = 0; part < p->parts; part++)
    run_part(op, args, &product, tile_start(pixels, p->parts, part), tile_start(pixels, p->parts, part + 1),
             (float *)((char *)args->scratch + (size_t)part * p->buffer_bytes));
  return LUR_OK;
}

const lur_kernel lur_cpu_separable_kernel = {plan, forward, NULL, release};
