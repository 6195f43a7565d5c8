/* tensor_parts.c - t[{...}], and the methods that take parts of a tensor, reorder or repeat its elements, or choose
 * them by ids and masks. */
#include <string.h>

#include "modules.h"
#include "tensor.h"

/* ---- slices ---- */

/* One entry of t[{...}], on top of the stack: an index, or a table { first, last, step }. */
typedef struct entry {
  const char *owner;
  int dimension; /* from 1 */
  int64_t extent;
} entry;

/* The number at position i of the table on top; def where there is none. */
static int64_t bound(lua_State *L, const entry *e, int i, int64_t def) {
  lua_rawgeti(L, -1, i);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return def;
  }
  int whole;
  lua_Integer value = lua_tointegerx(L, -1, &whole);
  if (!whole || lua_type(L, -1) != LUA_TNUMBER)
    lur_raise(L, "%s: { first, last, step } of whole numbers expected for dimension %d, got %s", e->owner, e->dimension,
              lur_push_text(L, -1));
  lua_pop(L, 1);
  return value;
}

static lur_slice read_range(lua_State *L, const entry *e) {
  int64_t n = e->extent;
  size_t given = lua_rawlen(L, -1);
  if (given > 3)
    lur_raise(L, "%s: { first, last, step } expected for dimension %d, got %d numbers", e->owner, e->dimension,
              (int)given);
  int64_t first = bound(L, e, 1, 1), last = bound(L, e, 2, given == 1 ? first : -1), step = bound(L, e, 3, 1);
  if (step < 1)
    lur_raise(L, "%s: step %I for dimension %d (1 or more expected; t:flip(%d) reverses)", e->owner, (LUAI_UACINT)step,
              e->dimension, e->dimension);
  int64_t from = first < 0 ? n + first + 1 : first, to = last < 0 ? n + last + 1 : last;
  if (to == from - 1 && from >= 1 && to <= n) return (lur_slice){from - 1, 0, step, false};
  if (from < 1 || to > n || to < from)
    lur_raise(L, "%s: %I to %I of dimension %d, which has %I (first to last, from 1, or from -1 backwards, expected)",
              e->owner, (LUAI_UACINT)first, (LUAI_UACINT)last, e->dimension, (LUAI_UACINT)n);
  return (lur_slice){from - 1, (to - from) / step + 1, step, false};
}

static lur_slice read_entry(lua_State *L, const entry *e) {
  if (lua_istable(L, -1)) {
    static const char *const none[] = {NULL};
    lur_args_options(L, lua_gettop(L), e->owner, none);
    return read_range(L, e);
  }
  if (lua_type(L, -1) != LUA_TNUMBER)
    lur_raise(L, "%s: an index or a table { first, last } expected for dimension %d, got %s", e->owner, e->dimension,
              lua_isnil(L, -1) ? "nil ({} stands for all)" : luaL_typename(L, -1));
  int whole;
  lua_Integer i = lua_tointegerx(L, -1, &whole);
  if (!whole)
    lur_raise(L, "%s: whole number expected for dimension %d, got %s", e->owner, e->dimension, lur_push_text(L, -1));
  if (i == 0 || i > e->extent || i < -e->extent)
    lur_raise(L, "%s: index %I of dimension %d is out of range (1 to %I)", e->owner, (LUAI_UACINT)i, e->dimension,
              (LUAI_UACINT)e->extent);
  return (lur_slice){i > 0 ? i - 1 : e->extent + i, 1, 1, true};
}

int lur_args_slices(lua_State *L, int index, const lur_tensor *tensor, const char *owner, lur_slice *slices) {
  static const char *const none[] = {NULL};
  const lur_shape *shape = lur_tensor_shape(tensor);
  char text[LUR_SHAPE_TEXT];
  index = lua_absindex(L, index);
  luaL_checktype(L, index, LUA_TTABLE);
  lur_args_options(L, index, owner, none);
  size_t given = lua_rawlen(L, index);
  if (given > (size_t)shape->ndim)
    lur_raise(L, "%s: %d entries for a tensor of %s, which has %d dimensions", owner, (int)given,
              lur_shape_format(shape, text), shape->ndim);
  int stay = 0;
  for (int d = 0; d < shape->ndim; d++) {
    slices[d] = (lur_slice){0, shape->dim[d], 1, false};
    if ((size_t)d < given) {
      lua_rawgeti(L, index, d + 1);
      slices[d] = read_entry(L, &(entry){owner, d + 1, shape->dim[d]});
      lua_pop(L, 1);
    }
    stay += !slices[d].drop;
  }
  return stay;
}

int lur_push_part(lua_State *L, lur_tensor *a, int index, const char *owner) {
  lur_slice slices[LUR_MAX_DIMS];
  const lur_shape *shape = lur_tensor_shape(a);
  lur_tensor *y;
  if (lur_args_slices(L, index, a, owner, slices) == 0 && shape->ndim > 0) {
    int64_t flat = 0;
    for (int d = 0; d < shape->ndim; d++) flat = flat * shape->dim[d] + slices[d].first;
    return lur_push_element(L, a, flat);
  }
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_slice(a, slices, &y));
  return lur_push_result(L, h, y);
}

/* t:slice{ {1, 2}, {}, 3 } */
static int tensor_slice(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lur_args_most(L, 2, "slice", NULL);
  return lur_push_part(L, a, 2, "slice");
}

/* Pushes elements first to first + count of one dimension. */
static void push_piece(lua_State *L, lur_tensor *a, int axis, int64_t first, int64_t count) {
  const lur_shape *shape = lur_tensor_shape(a);
  lur_slice slices[LUR_MAX_DIMS];
  lur_tensor *y;
  for (int d = 0; d < shape->ndim; d++) slices[d] = (lur_slice){0, shape->dim[d], 1, false};
  slices[axis].first = first;
  slices[axis].count = count;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_slice(a, slices, &y));
  lur_push_result(L, h, y);
}

/* t:narrow(axis, first, count) */
static int tensor_narrow(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1);
  const lur_shape *shape = lur_tensor_shape(a);
  lur_args_most(L, 4, "narrow", NULL);
  int axis = lur_args_axis(L, 2, shape->ndim);
  int64_t extent = shape->dim[axis], first = lur_args_place(L, 3, extent, "narrow: first");
  lua_Integer count = luaL_checkinteger(L, 4);
  if (count < 0 || count > extent - first)
    return lur_raise(L, "narrow: %I from %I on requested, but dimension %d has %I", (LUAI_UACINT)count,
                     (LUAI_UACINT)(first + 1), axis + 1, (LUAI_UACINT)extent);
  push_piece(L, a, axis, first, count);
  return 1;
}

/* The i-th (from 1) of the sizes at argument 2: a number for all, or a table of them. */
static int64_t piece_size(lua_State *L, int64_t i, int64_t left) {
  if (lua_istable(L, 2)) lua_rawgeti(L, 2, i);
  else lua_pushvalue(L, 2);
  int whole;
  lua_Integer size = lua_tointegerx(L, -1, &whole);
  if (!whole || size < (lua_istable(L, 2) ? 0 : 1))
    lur_raise(L, "split: size %s of piece %I (a positive whole number expected)", lur_push_text(L, -1), (LUAI_UACINT)i);
  lua_pop(L, 1);
  if (!lua_istable(L, 2) && size > left) return left;
  if (size > left)
    lur_raise(L, "split: piece %I of %I exceeds the dimension, of which %I are left", (LUAI_UACINT)i, (LUAI_UACINT)size,
              (LUAI_UACINT)left);
  return size;
}

/* t:split(size or { sizes }, axis): a list */
static int tensor_split(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1);
  lur_args_most(L, 3, "split", NULL);
  luaL_argexpected(L, lua_type(L, 2) == LUA_TNUMBER || lua_istable(L, 2), 2, "number or table");
  int axis = lua_isnoneornil(L, 3) ? 0 : lur_args_axis(L, 3, lur_tensor_shape(a)->ndim);
  if (lur_tensor_shape(a)->ndim == 0) return lur_raise(L, "split: a scalar tensor cannot be split");
  int64_t left = lur_tensor_shape(a)->dim[axis], first = 0;
  int64_t pieces = lua_istable(L, 2) ? (int64_t)lua_rawlen(L, 2) : INT64_MAX;
  lua_settop(L, 3);
  lua_newtable(L);
  for (int64_t i = 1; i <= pieces && (left > 0 || pieces != INT64_MAX); i++) {
    int64_t size = piece_size(L, i, left);
    push_piece(L, a, axis, first, size);
    lua_rawseti(L, 4, i);
    first += size;
    left -= size;
  }
  if (left > 0) return lur_raise(L, "split: the pieces leave %I of dimension %d", (LUAI_UACINT)left, axis + 1);
  return 1;
}

/* ---- orders ---- */

/* The dimensions in the arguments from 2 on, or in one table there; returns their number. */
static int read_axes(lua_State *L, int ndim, const char *name, int axes[LUR_MAX_DIMS]) {
  bool table = lua_istable(L, 2);
  int n = table ? (int)lua_rawlen(L, 2) : lua_gettop(L) - 1;
  if (table) lur_args_most(L, 2, name, NULL);
  if (n > ndim) lur_raise(L, "%s: %d dimensions of a tensor of %d", name, n, ndim);
  for (int i = 0; i < n; i++) {
    if (table) lua_rawgeti(L, 2, i + 1);
    else lua_pushvalue(L, i + 2);
    axes[i] = lur_args_axis(L, lua_gettop(L), ndim);
    lua_pop(L, 1);
  }
  return n;
}

static int push_permuted(lua_State *L, lur_tensor *a, const int *order) {
  lur_tensor *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_permute(a, order, &y));
  return lur_push_result(L, h, y);
}

/* t:permute(3, 1, 2) */
static int tensor_permute(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1);
  int ndim = lur_tensor_shape(a)->ndim, order[LUR_MAX_DIMS], n = read_axes(L, ndim, "permute", order);
  if (n != ndim) return lur_raise(L, "permute: all %d dimensions expected in their new order, got %d", ndim, n);
  return push_permuted(L, a, order);
}

/* t:transpose(), of a matrix; t:transpose(1, 3) */
static int tensor_transpose(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  int ndim = lur_tensor_shape(a)->ndim, order[LUR_MAX_DIMS];
  lur_args_most(L, 3, "transpose", NULL);
  if (!lua_isnoneornil(L, 2)) {
    int first = lur_args_axis(L, 2, ndim), second = lur_args_axis(L, 3, ndim);
    for (int d = 0; d < ndim; d++) order[d] = d == first ? second : d == second ? first : d;
    return push_permuted(L, a, order);
  }
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_transpose(a, &y));
  return lur_push_result(L, h, y);
}

/* t:flip(1, 2) */
static int tensor_flip(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  int axes[LUR_MAX_DIMS], n = read_axes(L, lur_tensor_shape(a)->ndim, "flip", axes);
  if (n == 0) return lur_raise(L, "flip: at least one dimension expected");
  unsigned set = 0;
  for (int i = 0; i < n; i++) set |= 1u << axes[i];
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_flip(a, set, &y));
  return lur_push_result(L, h, y);
}

/* ---- shapes ---- */

static int push_reshaped(lua_State *L, lur_tensor *a, const lur_shape *shape) {
  lur_tensor *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_reshape(a, shape, &y));
  return lur_push_view(L, h, y);
}

/* t:squeeze(), t:squeeze(1, 3) */
static int tensor_squeeze(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1);
  const lur_shape *shape = lur_tensor_shape(a);
  int axes[LUR_MAX_DIMS], n = read_axes(L, shape->ndim, "squeeze", axes);
  unsigned set = n == 0 ? ~0u : 0;
  for (int i = 0; i < n; i++) {
    set |= 1u << axes[i];
    if (shape->dim[axes[i]] != 1)
      return lur_raise(L, "squeeze: dimension %d is %I (1 expected)", axes[i] + 1, (LUAI_UACINT)shape->dim[axes[i]]);
  }
  lur_shape left = {0};
  for (int d = 0; d < shape->ndim; d++)
    if (!(set >> d & 1) || shape->dim[d] != 1) left.dim[left.ndim++] = shape->dim[d];
  return push_reshaped(L, a, &left);
}

/* t:unsqueeze(axis): the result's */
static int tensor_unsqueeze(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1);
  lur_shape shape = *lur_tensor_shape(a);
  lur_args_most(L, 2, "unsqueeze", NULL);
  if (shape.ndim == LUR_MAX_DIMS) return lur_raise(L, "unsqueeze: a tensor has at most %d dimensions", LUR_MAX_DIMS);
  int axis = lur_args_axis(L, 2, shape.ndim + 1);
  memmove(shape.dim + axis + 1, shape.dim + axis, sizeof *shape.dim * (size_t)(shape.ndim - axis));
  shape.dim[axis] = 1;
  shape.ndim++;
  return push_reshaped(L, a, &shape);
}

static int tensor_flatten(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1);
  lur_args_most(L, 1, "flatten", NULL);
  return push_reshaped(L, a, &(lur_shape){1, {lur_shape_count(lur_tensor_shape(a))}});
}

/* t:expand(2, 3) */
static int tensor_expand(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_shape shape;
  lur_args_shape(L, 2, true, &shape);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_expand(a, &shape, &y));
  return lur_push_result(L, h, y);
}

/* t:tile(2, 3) */
static int tensor_tile(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_shape counts;
  lur_args_shape(L, 2, false, &counts);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_tile(a, counts.ndim, counts.dim, &y));
  return lur_push_result(L, h, y);
}

/* ---- ids and masks ---- */

/* t:select{ 2, 1 }: rows from 1; t:select(ids), ids an i32 tensor: rows from 0; t:select(rows, axis). */
static int tensor_select(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *rows, *y;
  const lur_shape *shape = lur_tensor_shape(a);
  lur_args_most(L, 3, "select", NULL);
  int axis = lua_isnoneornil(L, 3) ? 0 : lur_args_axis(L, 3, shape->ndim);
  if (lua_istable(L, 2)) rows = lur_push_ids(L, 2, "rows", shape->ndim > 0 ? shape->dim[axis] : 0);
  else rows = lur_check_tensor(L, 2);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_select_along(a, rows, axis, &y));
  return lur_push_result(L, h, y);
}

/* t:gather(ids, axis) */
static int tensor_gather(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *ids = lur_check_tensor(L, 2), *y;
  lur_args_most(L, 3, "gather", NULL);
  int axis = lua_isnoneornil(L, 3) ? 0 : lur_args_axis(L, 3, lur_tensor_shape(a)->ndim);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_gather(a, ids, axis, &y));
  return lur_push_result(L, h, y);
}

/* t:masked_select(mask) */
static int tensor_masked_select(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *mask = lur_check_tensor(L, 2), *y;
  lur_args_most(L, 2, "masked_select", NULL);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_masked_select(a, mask, &y));
  return lur_push_result(L, h, y);
}

/* t:masked_fill(mask, value): a copy, of the same dtype */
static int tensor_masked_fill(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *mask = lur_check_tensor(L, 2), *y;
  lur_args_most(L, 3, "masked_fill", NULL);
  luaL_checknumber(L, 3);
  lur_tensor *value = lur_push_nested(L, 3, lur_tensor_dtype(a));
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_where(mask, value, a, &y));
  return lur_push_result(L, h, y);
}

/* t:where(mask, other) */
static int tensor_where(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *mask = lur_check_tensor(L, 2), *y;
  lur_args_most(L, 3, "where", NULL);
  lur_tensor *b = lur_tensor_operand(L, 3, a);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_where(mask, a, b, &y));
  return lur_push_result(L, h, y);
}

static int tensor_nonzero(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_args_most(L, 1, "nonzero", NULL);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_nonzero(a, &y));
  return lur_push_result(L, h, y);
}

const luaL_Reg lur_tensor_part_methods[] = {{"slice", tensor_slice},
                                            {"narrow", tensor_narrow},
                                            {"split", tensor_split},
                                            {"permute", tensor_permute},
                                            {"transpose", tensor_transpose},
                                            {"flip", tensor_flip},
                                            {"squeeze", tensor_squeeze},
                                            {"unsqueeze", tensor_unsqueeze},
                                            {"flatten", tensor_flatten},
                                            {"expand", tensor_expand},
                                            {"tile", tensor_tile},
                                            {"select", tensor_select},
                                            {"gather", tensor_gather},
                                            {"masked_select", tensor_masked_select},
                                            {"masked_fill", tensor_masked_fill},
                                            {"where", tensor_where},
                                            {"nonzero", tensor_nonzero},
                                            {NULL, NULL}};
