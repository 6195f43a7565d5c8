/* permute.c - dimensions in another order. Definition: kernels/ref/permute.c. Dimensions that stay neighbours are
 * merged. If the innermost one stays, rows are copied; otherwise blocks are transposed. */
#include "kernels/cpu/cpu.h"

#include <string.h>

/* y's dimensions, the innermost first: their extents, and the steps of x and y along them. */
typedef struct lattice {
  int ndim;
  int64_t extent[LUR_MAX_DIMS], in_x[LUR_MAX_DIMS], in_y[LUR_MAX_DIMS];
} lattice;

static lattice lattice_of(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape;
  int64_t strides[LUR_MAX_DIMS], next = 1, in_y = 1;
  lattice g = {0};
  for (int i = x->ndim - 1; i >= 0; i--) {
    strides[i] = next;
    next *= x->dim[i];
  }
  for (int i = x->ndim - 1; i >= 0; i--) {
    const int64_t extent = d->y.shape.dim[i], in_x = strides[d->u.permute.order[i]];
    const int last = g.ndim - 1;
    if (extent == 1) continue;
    if (last >= 0 && g.extent[last] * g.in_x[last] == in_x) {
      g.extent[last] *= extent;
    } else {
      g.extent[g.ndim] = extent;
      g.in_x[g.ndim] = in_x;
      g.in_y[g.ndim++] = in_y;
    }
    in_y *= extent;
  }
  return g;
}

/* Takes dimension i out, and returns its extent and steps as a lattice of one. */
static lattice take(lattice *g, int i) {
  const lattice one = {1, {g->extent[i]}, {g->in_x[i]}, {g->in_y[i]}};
  g->ndim--;
  for (; i < g->ndim; i++) {
    g->extent[i] = g->extent[i + 1];
    g->in_x[i] = g->in_x[i + 1];
    g->in_y[i] = g->in_y[i + 1];
  }
  return one;
}

static int64_t count_of(const lattice *g) {
  int64_t count = 1;
  for (int i = 0; i < g->ndim; i++) count *= g->extent[i];
  return count;
}

static void position(const lattice *g, int64_t at, int64_t *in_x, int64_t *in_y) {
  *in_x = *in_y = 0;
  for (int i = 0; i < g->ndim; i++) {
    *in_x += at % g->extent[i] * g->in_x[i];
    *in_y += at % g->extent[i] * g->in_y[i];
    at /= g->extent[i];
  }
}

static lur_status plan(lur_op *op) { return lur_cpu_all_f32(op) ? LUR_OK : lur_cpu_plan_parent(op); }

/* Copies between the rows of `row` elements, whose positions in `from` and `to` the lattice has. */
static void copy_rows(const lur_loops *loops, lattice g, int64_t row, bool back, const float *from, float *to,
                      bool add) {
  const lattice inner = g.ndim > 0 ? take(&g, 0) : (lattice){1, {1}, {0}, {0}};
  const int64_t outer = count_of(&g);
#pragma omp parallel for schedule(static) if (outer * inner.extent[0] * row > CPU_BLOCK)
  for (int64_t at = 0; at < outer; at++) {
    int64_t in_x, in_y;
    position(&g, at, &in_x, &in_y);
    const float *a = from + (back ? in_y : in_x);
    float *b = to + (back ? in_x : in_y);
    const int64_t step_a = back ? inner.in_y[0] : inner.in_x[0], step_b = back ? inner.in_x[0] : inner.in_y[0];
    for (int64_t i = 0; i < inner.extent[0]; i++, a += step_a, b += step_b) {
      if (add) loops->affine(1, 0, a, b, true, row);
      else memcpy(b, a, sizeof *b * (size_t)row);
    }
  }
}

enum { STRIP = 64 }; /* columns of one task of a transposition */

/* x is contiguous along `columns`, y along `rows`. */
static void transpose_blocks(const lur_loops *loops, const lattice *g, const lattice *rows, const lattice *columns,
                             bool back, const float *from, float *to, bool add) {
  const int64_t outer = count_of(g), strips = (columns->extent[0] + STRIP - 1) / STRIP;
#pragma omp parallel for schedule(static) if (outer * rows->extent[0] * columns->extent[0] > CPU_BLOCK)
  for (int64_t task = 0; task < outer * strips; task++) {
    int64_t in_x, in_y;
    const int64_t first = task % strips * STRIP, many = cpu_min(STRIP, columns->extent[0] - first);
    position(g, task / strips, &in_x, &in_y);
    in_x += first;
    in_y += first * columns->in_y[0];
    if (back)
      loops->transpose(from + in_y, columns->in_y[0], to + in_x, rows->in_x[0], add, many, rows->extent[0]);
    else
      loops->transpose(from + in_x, rows->in_x[0], to + in_y, columns->in_y[0], add, rows->extent[0], many);
  }
}

/* back: from y to x. */
static void move(lur_op *op, bool back, const float *from, float *to, bool add) {
  lattice g = lattice_of(&op->desc);
  if (g.ndim == 0 || g.in_x[0] == 1) {
    const int64_t row = g.ndim > 0 ? take(&g, 0).extent[0] : 1;
    if (g.ndim == 0) lur_cpu_put(cpu_loops(op), to, from, row, add);
    else copy_rows(cpu_loops(op), g, row, back, from, to, add);
    return;
  }
  const lattice rows = take(&g, 0);
  int contiguous = 0;
  while (g.in_x[contiguous] != 1) contiguous++;
  const lattice columns = take(&g, contiguous);
  transpose_blocks(cpu_loops(op), &g, &rows, &columns, back, from, to, add);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  move(op, false, args->x[0], args->y, false);
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  move(op, true, args->dy, args->dx[0], args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_cpu_permute = {plan, forward, backward, NULL};
