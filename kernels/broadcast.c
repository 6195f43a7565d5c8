/* broadcast.c - the shape that operands broadcast to, and how a loop goes through them; see broadcast.h. */
#include "broadcast.h"

/* The operand's dimension that meets dimension d of ndim; -1: it has none. */
static int meets(const lur_shape *x, int ndim, int d) {
  if (d == 0) return x->ndim > 0 ? 0 : -1;
  const int own = d - (ndim - x->ndim);
  return own >= 1 ? own : -1;
}

static int64_t extent(const lur_shape *x, int ndim, int d) {
  const int own = meets(x, ndim, d);
  return own < 0 ? 1 : x->dim[own];
}

lur_status lur_broadcast_shape(int n, const lur_shape *const *x, lur_shape *y) {
  lur_shape made = {0};
  for (int i = 0; i < n; i++) made.ndim = x[i]->ndim > made.ndim ? x[i]->ndim : made.ndim;
  for (int d = 0; d < made.ndim; d++) {
    made.dim[d] = 1;
    for (int i = 0; i < n; i++) {
      const int64_t own = extent(x[i], made.ndim, d);
      if (own == 1 || own == made.dim[d]) continue;
      if (made.dim[d] != 1) {
        char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
        return lur_fail(LUR_ESHAPE, "x[0] is %s, x[%d] is %s: they do not broadcast", lur_shape_format(x[0], a), i,
                        lur_shape_format(x[i], b));
      }
      made.dim[d] = own;
    }
  }
  LUR_TRY(lur_shape_check(&made));
  *y = made;
  return LUR_OK;
}

/* The operand's step along dimension d of y; 0: it is repeated. */
static int64_t step_of(const lur_shape *x, int ndim, int d) {
  const int own = meets(x, ndim, d);
  if (own < 0 || x->dim[own] == 1) return 0;
  int64_t step = 1;
  for (int i = own + 1; i < x->ndim; i++) step *= x->dim[i];
  return step;
}

/* Appends a dimension, or joins it with the one before. */
static void append(lur_broadcast *b, int n, int64_t dim, const int64_t step[LUR_BROADCAST_MOST]) {
  bool joins = b->ndim > 0;
  for (int i = 0; i < n && joins; i++) joins = b->step[i][b->ndim - 1] == step[i] * dim;
  const int at = joins ? b->ndim - 1 : b->ndim++;
  b->dim[at] = joins ? b->dim[at] * dim : dim;
  for (int i = 0; i < n; i++) b->step[i][at] = step[i];
}

void lur_broadcast_plan(const lur_op_desc *d, lur_broadcast *b) {
  const lur_shape *y = &d->y.shape;
  const int64_t count = lur_shape_count(y);
  *b = (lur_broadcast){.all_full = true};
  for (int i = 0; i < d->nx; i++) {
    b->full[i] = lur_shape_count(&d->x[i].shape) == count;
    b->all_full = b->all_full && b->full[i];
  }
  for (int k = 0; k < y->ndim; k++) {
    int64_t step[LUR_BROADCAST_MOST];
    if (y->dim[k] == 1) continue;
    for (int i = 0; i < d->nx; i++) step[i] = step_of(&d->x[i].shape, y->ndim, k);
    append(b, d->nx, y->dim[k], step);
  }
  if (b->ndim == 0) b->dim[b->ndim++] = 1; /* one element */
}
