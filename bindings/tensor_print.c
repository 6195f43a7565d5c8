/* tensor_print.c - tostring(tensor): "lurcher.tensor 2x3 f32 cpu" and its values, all of a small tensor, the corners of
 * a large one. The last two dimensions are shown as matrices, under the indices (from 1) of the others. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "kernels/number.h"
#include "modules.h"

enum { SMALL = 200, EDGE = 3, CELL = 32 };

typedef struct printer {
  lua_State *L;
  luaL_Buffer out;
  lur_tensor *tensor;
  const lur_shape *shape;
  bool corners;
  int width; /* of a cell */
} printer;

/* The i-th position shown of an extent; -1 for the dots in place of those left out. Returns false past the last. */
static bool shown(const printer *p, int64_t extent, int64_t edge, int64_t i, int64_t *position) {
  if (!p->corners || extent <= 2 * edge) {
    *position = i;
    return i < extent;
  }
  *position = i < edge ? i : i == edge ? -1 : extent - (2 * edge + 1 - i);
  return i <= 2 * edge;
}

static void format_cell(const printer *p, int64_t index, char text[CELL]) {
  double value = 0;
  lur_check(p->L, lur_tensor_get(p->tensor, index, &value));
  lur_dtype dtype = lur_tensor_dtype(p->tensor);
  if (isnan(value)) value = fabs(value); /* printf writes a NaN with its sign: -nan */
  lur_format(text, CELL, dtype == LUR_I32 || dtype == LUR_U8 ? "%.0f" : "%.5g", value);
}

/* Prints the matrix (or the one row) whose first element has flat index `base`; emit false: only measures its width. */
static void print_matrix(printer *p, int64_t base, bool emit) {
  int n = p->shape->ndim;
  int64_t rows = n > 1 ? p->shape->dim[n - 2] : 1, columns = p->shape->dim[n - 1], r, c;
  char text[CELL];
  for (int64_t i = 0; shown(p, rows, EDGE, i, &r); i++) {
    if (r < 0) {
      if (emit) luaL_addstring(&p->out, "\n  ...");
      continue;
    }
    if (emit) luaL_addstring(&p->out, "\n ");
    for (int64_t j = 0; shown(p, columns, EDGE, j, &c); j++) {
      if (c < 0) strcpy(text, "...");
      else format_cell(p, base + r * columns + c, text);
      int length = (int)strlen(text);
      if (!emit && length > p->width) p->width = length;
      if (!emit) continue;
      for (int k = length; k < p->width + 1; k++) luaL_addchar(&p->out, ' ');
      luaL_addstring(&p->out, text);
    }
  }
}

/* Prints the matrices under the outer dimensions from `depth` on. */
static void print_blocks(printer *p, int depth, int64_t base, int64_t *index, bool emit) {
  int outer = p->shape->ndim - 2;
  if (depth >= outer) {
    if (outer > 0 && emit) {
      luaL_addstring(&p->out, "\n[");
      for (int d = 0; d < outer; d++) {
        char text[CELL];
        snprintf(text, sizeof text, d > 0 ? ", %lld" : "%lld", (long long)index[d] + 1);
        luaL_addstring(&p->out, text);
      }
      luaL_addstring(&p->out, "]");
    }
    print_matrix(p, base, emit);
    return;
  }
  int64_t stride = 1, at;
  for (int d = depth + 1; d < p->shape->ndim; d++) stride *= p->shape->dim[d];
  for (int64_t i = 0; shown(p, p->shape->dim[depth], 1, i, &at); i++) {
    index[depth] = at;
    if (at >= 0) print_blocks(p, depth + 1, base + at * stride, index, emit);
    else if (emit && depth == 0) luaL_addstring(&p->out, "\n...");
  }
}

void lur_push_tensor_text(lua_State *L, lur_tensor *tensor) {
  char text[LUR_SHAPE_TEXT];
  const lur_shape *shape = lur_tensor_shape(tensor);
  int64_t count = lur_shape_count(shape), index[LUR_MAX_DIMS];
  printer p = {.L = L, .tensor = tensor, .shape = shape, .corners = count > SMALL};
  if (count > 0 && shape->ndim > 0) print_blocks(&p, 0, 0, index, false);
  luaL_buffinit(L, &p.out);
  luaL_addstring(&p.out, "lurcher.tensor ");
  luaL_addstring(&p.out, lur_shape_format(shape, text));
  luaL_addchar(&p.out, ' ');
  luaL_addstring(&p.out, lur_dtype_name(lur_tensor_dtype(tensor)));
  luaL_addchar(&p.out, ' ');
  luaL_addstring(&p.out, lur_device_name(lur_tensor_device(tensor)));
  if (count > 0 && shape->ndim > 0) {
    print_blocks(&p, 0, 0, index, true);
  } else if (shape->ndim == 0) {
    char cell[CELL];
    format_cell(&p, 0, cell);
    luaL_addchar(&p.out, ' ');
    luaL_addstring(&p.out, cell);
  }
  luaL_pushresult(&p.out);
}
