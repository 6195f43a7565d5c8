/* tensor_walk.c - see tensor_walk.h. Neighbouring dimensions are merged where strides allow it, so that the innermost
 * run is long, and work of more than 65536 elements is split among threads. */
#include "tensor_walk.h"

#include <string.h>

enum { PARALLEL = 65536, BLOCKS = 64, TILE = 32 };

/* ---- tensors that broadcast to one shape ---- */

static void strides_of(const lur_shape *shape, const lur_shape *y, int64_t *stride) {
  int64_t step = 1;
  for (int i = y->ndim - 1, j = shape->ndim - 1; i >= 0; i--, j--) {
    int64_t extent = j >= 0 ? shape->dim[j] : 1;
    stride[i] = extent == 1 ? 0 : step;
    step *= extent;
  }
}

/* *y becomes what it and b broadcast to. */
static lur_status broadcast(const char *what, lur_shape *y, const lur_shape *b) {
  lur_shape a = *y;
  y->ndim = a.ndim > b->ndim ? a.ndim : b->ndim;
  for (int i = 0; i < y->ndim; i++) {
    int ia = a.ndim - 1 - i, ib = b->ndim - 1 - i; /* from the last dimension */
    int64_t ea = ia >= 0 ? a.dim[ia] : 1, eb = ib >= 0 ? b->dim[ib] : 1;
    if (ea != eb && ea != 1 && eb != 1) {
      char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
      return lur_fail(LUR_ESHAPE, "%s: %s and %s do not broadcast (trailing extents must be equal or 1)", what,
                      lur_shape_format(&a, ta), lur_shape_format(b, tb));
    }
    y->dim[y->ndim - 1 - i] = ea == 1 ? eb : ea;
  }
  lur_status status = lur_shape_check(y);
  return status == LUR_OK ? LUR_OK : lur_blame(status, "%s", what);
}

static bool mergeable(const lur_walk *w, int last, int i) {
  for (int k = 0; k < w->n; k++) {
    if (w->stride[k][last] != w->stride[k][i] * w->merged.dim[i]) return false;
  }
  return true;
}

static void merge_dims(lur_walk *w) {
  int last = 0;
  for (int i = 1; i < w->merged.ndim; i++) {
    int64_t extent = w->merged.dim[i];
    if (mergeable(w, last, i)) w->merged.dim[last] *= extent;
    else w->merged.dim[++last] = extent;
    for (int k = 0; k < w->n; k++) w->stride[k][last] = w->stride[k][i];
  }
  w->merged.ndim = last + 1;
}

lur_status lur_walk_plan(const char *what, int n, lur_tensor *const *x, lur_walk *walk) {
  *walk = (lur_walk){.n = n, .y = x[0]->shape};
  for (int k = 1; k < n; k++) LUR_TRY(broadcast(what, &walk->y, &x[k]->shape));
  walk->merged = walk->y;
  if (lur_shape_count(&walk->y) == 0) return LUR_OK;
  for (int k = 0; k < n; k++) strides_of(&x[k]->shape, &walk->y, walk->stride[k]);
  if (walk->y.ndim == 0) walk->merged = (lur_shape){1, {1}}; /* a scalar is a run of one */
  merge_dims(walk);
  return LUR_OK;
}

/* Positions of the operands at line `line` of the outer dimensions. */
static void locate(const lur_walk *w, int64_t line, int64_t *index, int64_t *from) {
  for (int d = w->merged.ndim - 2; d >= 0; d--) {
    index[d] = line % w->merged.dim[d];
    line /= w->merged.dim[d];
    for (int k = 0; k < w->n; k++) from[k] += index[d] * w->stride[k][d];
  }
}

static void next_line(const lur_walk *w, int64_t *index, int64_t *from) {
  for (int d = w->merged.ndim - 2; d >= 0; d--) {
    for (int k = 0; k < w->n; k++) from[k] += w->stride[k][d];
    if (++index[d] < w->merged.dim[d]) return;
    for (int k = 0; k < w->n; k++) from[k] -= w->stride[k][d] * index[d];
    index[d] = 0;
  }
}

static void run_lines(const lur_walk *w, int64_t first, int64_t end, lur_walk_line line, void *self) {
  int inner = w->merged.ndim - 1;
  int64_t run = w->merged.dim[inner], index[LUR_MAX_DIMS], from[LUR_WALK_MOST] = {0}, stride[LUR_WALK_MOST];
  for (int k = 0; k < w->n; k++) stride[k] = w->stride[k][inner];
  locate(w, first, index, from);
  for (int64_t l = first; l < end; l++) {
    line(self, run, l * run, from, stride);
    next_line(w, index, from);
  }
}

/* Elements first to end of the one line there is. */
static void run_part(const lur_walk *w, int64_t first, int64_t end, lur_walk_line line, void *self) {
  int64_t from[LUR_WALK_MOST], stride[LUR_WALK_MOST];
  for (int k = 0; k < w->n; k++) {
    stride[k] = w->stride[k][0];
    from[k] = first * stride[k];
  }
  line(self, end - first, first, from, stride);
}

void lur_walk_run(const lur_walk *walk, lur_walk_line line, void *self) {
  int64_t count = lur_shape_count(&walk->y);
  if (count == 0) return;
  bool lines = walk->merged.ndim > 1;
  int64_t items = lines ? count / walk->merged.dim[walk->merged.ndim - 1] : count;
  int64_t blocks = count <= PARALLEL ? 1 : items < BLOCKS ? items : BLOCKS;
#pragma omp parallel for if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++) {
    int64_t first = items * b / blocks, end = items * (b + 1) / blocks;
    if (lines) run_lines(walk, first, end, line, self);
    else run_part(walk, first, end, line, self);
  }
}

/* ---- copies with strides ---- */

void lur_strided_of(const lur_shape *shape, size_t size, int64_t *stride) {
  int64_t step = (int64_t)size;
  for (int i = shape->ndim - 1; i >= 0; i--) {
    stride[i] = step;
    step *= shape->dim[i];
  }
}

/* Leaves extents of 1 out and merges dimensions. Returns the number of elements. */
static int64_t simplify(lur_strided *c) {
  int64_t count = 1;
  int n = 0;
  for (int i = 0; i < c->ndim; i++) {
    int64_t extent = c->extent[i];
    count *= extent;
    if (extent == 1) continue;
    bool merged =
        n > 0 && c->to_stride[n - 1] == c->to_stride[i] * extent && c->from_stride[n - 1] == c->from_stride[i] * extent;
    if (merged) c->extent[n - 1] *= extent;
    else c->extent[n++] = extent;
    c->to_stride[n - 1] = c->to_stride[i];
    c->from_stride[n - 1] = c->from_stride[i];
  }
  c->ndim = n;
  return count;
}

#define LINE(type)                                                                                                     \
  for (int64_t i = 0; i < n; i++) *(type *)(to + i * to_stride) = *(const type *)(from + i * from_stride);             \
  break

static void copy_line(size_t size, int64_t n, char *to, int64_t to_stride, const char *from, int64_t from_stride) {
  if (to_stride == (int64_t)size && from_stride == (int64_t)size) {
    memcpy(to, from, (size_t)n * size);
    return;
  }
  switch (size) {
  case 4: LINE(uint32_t);
  case 2: LINE(uint16_t);
  default: LINE(uint8_t);
  }
}

/* The matrix of dimensions `row` and the last, in tiles that fit the cache whichever of the two is contiguous. */
static void copy_matrix(const lur_strided *c, int row, char *to, const char *from) {
  int inner = c->ndim - 1;
  int64_t rows = c->extent[row], columns = c->extent[inner];
  for (int64_t r0 = 0; r0 < rows; r0 += TILE) {
    for (int64_t c0 = 0; c0 < columns; c0 += TILE) {
      int64_t n = columns - c0 < TILE ? columns - c0 : TILE;
      for (int64_t r = r0; r < rows && r < r0 + TILE; r++)
        copy_line(c->size, n, to + r * c->to_stride[row] + c0 * c->to_stride[inner], c->to_stride[inner],
                  from + r * c->from_stride[row] + c0 * c->from_stride[inner], c->from_stride[inner]);
    }
  }
}

/* The dimension along which the source is contiguous while the last is not; -1 where there is none. */
static int matrix_row(const lur_strided *c) {
  int inner = c->ndim - 1;
  if (c->from_stride[inner] == 0 || c->from_stride[inner] == (int64_t)c->size) return -1;
  for (int i = inner - 1; i >= 0; i--) {
    if (c->from_stride[i] == (int64_t)c->size) return i;
  }
  return -1;
}

/* Everything under one position of the outermost dimension, which is a part of the kernel where that is its row. */
static void copy_under(const lur_strided *c, int row, int first, char *to, const char *from) {
  int inner = c->ndim - 1;
  int64_t index[LUR_STRIDED_DIMS] = {0};
  for (;;) {
    if (row >= 0) copy_matrix(c, row, to, from);
    else copy_line(c->size, c->extent[inner], to, c->to_stride[inner], from, c->from_stride[inner]);
    int d = inner - 1;
    for (; d >= first; d--) {
      if (d == row) continue;
      to += c->to_stride[d];
      from += c->from_stride[d];
      if (++index[d] < c->extent[d]) break;
      to -= c->to_stride[d] * index[d];
      from -= c->from_stride[d] * index[d];
      index[d] = 0;
    }
    if (d < first) return;
  }
}

void lur_strided_copy(lur_strided copy) {
  lur_strided *c = &copy;
  int64_t count = simplify(c);
  if (count == 0) return;
  if (c->ndim == 0) {
    copy_line(c->size, 1, c->to, 0, c->from, 0);
    return;
  }
  int row = matrix_row(c);
  int64_t outer = c->ndim > 1 && row != 0 ? c->extent[0] : 1;
  int first = c->ndim > 1 && row != 0 ? 1 : 0;
#pragma omp parallel for if (count > PARALLEL && outer > 1)
  for (int64_t i = 0; i < outer; i++)
    copy_under(c, row, first, c->to + (first ? i * c->to_stride[0] : 0), c->from + (first ? i * c->from_stride[0] : 0));
}
