/* tiles.c - tiles of tensors that broadcast; see tiles.h. */
#include "kernels/cpu/tiles.h"

#include <stdlib.h>
#include <string.h>

static void divide(lur_tiles *t) {
  lur_broadcast *b = &t->loop;
  t->length = b->dim[b->ndim - 1];
  t->rows = b->ndim > 1 ? b->dim[b->ndim - 2] : 1;
  t->cols = cpu_min(t->length, CPU_TILE);
  t->lines = cpu_min(t->rows, t->length < CPU_TILE ? CPU_TILE / t->length : 1);
  t->across = (t->length + t->cols - 1) / t->cols;
  t->down = (t->rows + t->lines - 1) / t->lines;
  int64_t inner = 1;
  for (int d = 1; d < b->ndim - 2; d++) inner *= b->dim[d];
  t->split = b->ndim == 2 && t->across > 1 ? 1 : 0;
  t->group = b->ndim == 1 ? 1 : b->ndim > 2 ? inner * t->down * t->across : t->across > 1 ? t->down : 1;
  t->count = (b->ndim > 2 ? b->dim[0] : 1) * inner * t->down * t->across;
  t->parts = cpu_parts(t->count);
  t->grouped = t->count / t->group >= t->parts;
}

lur_status lur_tiles_plan(lur_op *op, const lur_tiles **t) {
  lur_tiles *made = malloc(sizeof *made);
  if (!made) return lur_fail(LUR_ENOMEM, "no memory for the tiles of an op");
  lur_broadcast_plan(&op->desc, &made->loop);
  divide(made);
  op->state = made;
  *t = made;
  return LUR_OK;
}

void lur_tiles_release(lur_op *op) {
  free(op->state);
  op->state = NULL;
}

lur_tile lur_tile_at(const lur_tiles *t, int64_t number) {
  const lur_broadcast *b = &t->loop;
  const int64_t col = number / t->down % t->across * t->cols, row = number % t->down * t->lines;
  int64_t outer = number / (t->across * t->down);
  lur_tile tile = {.at = (outer * t->rows + row) * t->length + col,
                   .rows = cpu_min(t->lines, t->rows - row),
                   .cols = cpu_min(t->cols, t->length - col)};
  for (int k = 0; k < LUR_BROADCAST_MOST; k++)
    tile.x[k] = col * b->step[k][b->ndim - 1] + (b->ndim > 1 ? row * b->step[k][b->ndim - 2] : 0);
  for (int d = b->ndim - 3; d >= 0; d--) {
    for (int k = 0; k < LUR_BROADCAST_MOST; k++) tile.x[k] += outer % b->dim[d] * b->step[k][d];
    outer /= b->dim[d];
  }
  return tile;
}

/* Steps of operand k to the next element of a row, and to the next row. */
static int64_t col_step(const lur_tiles *t, int k) { return t->loop.step[k][t->loop.ndim - 1]; }
int64_t lur_tiles_row_step(const lur_tiles *t, int k) {
  return t->loop.ndim > 1 ? t->loop.step[k][t->loop.ndim - 2] : 0;
}

static void fill(float *v, float value, int64_t n) {
  for (int64_t i = 0; i < n; i++) v[i] = value;
}

const float *lur_tile_read(const lur_tiles *t, const lur_tile *tile, int k, const float *x, lur_expanded *e) {
  const bool repeats_cols = col_step(t, k) == 0 && t->length > 1, repeats_rows = lur_tiles_row_step(t, k) == 0;
  if (!x) return NULL;
  const float *from = x + tile->x[k];
  if (!repeats_cols && (tile->rows == 1 || !repeats_rows)) return from; /* contiguous */
  const bool constant = repeats_cols && (repeats_rows || tile->rows == 1);
  if (e->at == tile->x[k] && e->rows >= tile->rows && (repeats_rows || tile->rows == 1)) return e->v;
  if (constant) {
    fill(e->v, *from, CPU_TILE);
  } else {
    for (int64_t r = 0; r < tile->rows; r++) {
      float *to = e->v + r * tile->cols;
      if (repeats_cols) fill(to, from[r * lur_tiles_row_step(t, k)], tile->cols);
      else memcpy(to, from, sizeof *to * (size_t)tile->cols);
    }
  }
  e->at = tile->x[k];
  e->rows = constant ? CPU_TILE : tile->rows;
  return e->v;
}

unsigned lur_tiles_numbers(const lur_tiles *t) {
  unsigned bits = 0;
  for (int k = 0; k < LUR_BROADCAST_MOST; k++) bits |= col_step(t, k) == 0 && t->length > 1 ? 1u << k : 0;
  return bits;
}

/* ---- sums ---- */

int64_t lur_tiles_start(const lur_tiles *t, int part) {
  if (!t->grouped) return cpu_part_start(t->count, t->parts, part);
  return t->group * cpu_part_start(t->count / t->group, t->parts, part);
}

/* The number of sums for each element of operand k. */
static int copies_of(const lur_tiles *t, int k) { return t->grouped && t->loop.step[k][t->split] != 0 ? 1 : t->parts; }

static int64_t width_of(const lur_op_desc *desc, int k) { return lur_shape_count(&desc->x[k].shape); }

size_t lur_tiles_scratch(const lur_op_desc *desc, const lur_tiles *t, unsigned want) {
  size_t bytes = 0;
  for (int k = 0; k < desc->nx; k++) {
    if (t->loop.full[k] || !(want >> k & 1u)) continue;
    bytes += cpu_round(sizeof(double) * (size_t)(width_of(desc, k) * copies_of(t, k)));
  }
  return bytes;
}

void lur_tile_sums_begin(const lur_op_desc *desc, const lur_tiles *t, unsigned want, void *scratch,
                         lur_tile_sums sums[LUR_BROADCAST_MOST]) {
  char *next = scratch;
  for (int k = 0; k < LUR_BROADCAST_MOST; k++) {
    sums[k] = (lur_tile_sums){0};
    if (k >= desc->nx || t->loop.full[k] || !(want >> k & 1u)) continue;
    sums[k] = (lur_tile_sums){(double *)next, copies_of(t, k), width_of(desc, k)};
    const size_t bytes = sizeof(double) * (size_t)(sums[k].width * sums[k].copies);
    memset(next, 0, bytes);
    next += cpu_round(bytes);
  }
}

enum { SUM_COLUMNS = 16 };

/* The sum of n elements, ending in double. */
static double sum_of(const lur_loops *loops, const float *g, int64_t n) {
  double sums[SUM_COLUMNS] = {0}, sum = 0;
  float work[SUM_COLUMNS];
  const int64_t rows = n < 4 * SUM_COLUMNS ? 0 : n / SUM_COLUMNS;
  if (rows) loops->column_sums(g, rows, SUM_COLUMNS, work, sums);
  for (int64_t i = rows * SUM_COLUMNS; i < n; i++) sum += (double)g[i];
  for (int i = 0; i < SUM_COLUMNS; i++) sum += sums[i];
  return sum;
}

void lur_tile_sums_add(const lur_loops *loops, const lur_tiles *t, const lur_tile *tile, int k, int part,
                       const lur_tile_sums *sums, const float *g) {
  const bool repeats_cols = col_step(t, k) == 0, repeats_rows = lur_tiles_row_step(t, k) == 0;
  double *to = sums->sums + (sums->copies > 1 ? part * sums->width : 0) + tile->x[k];
  float work[CPU_TILE];
  if (repeats_cols && repeats_rows) {
    *to += sum_of(loops, g, tile->rows * tile->cols);
  } else if (repeats_cols) {
    const int64_t step = lur_tiles_row_step(t, k);
    for (int64_t r = 0; r < tile->rows; r++) to[r * step] += sum_of(loops, g + r * tile->cols, tile->cols);
  } else if (repeats_rows) {
    loops->column_sums(g, tile->rows, tile->cols, work, to);
  } else { /* repeated further outside only */
    for (int64_t i = 0; i < tile->rows * tile->cols; i++) to[i] += (double)g[i];
  }
}

void lur_tile_sums_end(const lur_args *args, const lur_tile_sums sums[LUR_BROADCAST_MOST]) {
  for (int k = 0; k < LUR_BROADCAST_MOST; k++) {
    const lur_tile_sums *s = &sums[k];
    if (s->sums) lur_cpu_put_sums(s->sums, s->copies, s->width, args->dx[k], s->width, args->dx_add >> k & 1u);
  }
}
