/* tensor.c - the methods of a tensor: arithmetic, reductions, indexing. tensor_new.c makes tensors, tensor_print.c
 * prints them. Nothing is computed here: a new operation is a function of the engine, a row here and a section in api/.
 */
#include <math.h>
#include <string.h>

#include "args.h"
#include "modules.h"

static int push_result(lua_State *L, lur_handle *h, lur_tensor *t) {
  lur_fill_tensor(L, h, t, true);
  return 1;
}

/* An element's value as a Lua number: an integer for integer dtypes. */
static void push_value(lua_State *L, lur_dtype dtype, double value) {
  if (dtype == LUR_I32 || dtype == LUR_U8) lua_pushinteger(L, (lua_Integer)value);
  else lua_pushnumber(L, value);
}

static int push_element(lua_State *L, lur_tensor *t, int64_t index) {
  double value;
  lur_check(L, lur_tensor_get(t, index, &value));
  push_value(L, lur_tensor_dtype(t), value);
  return 1;
}

/* ---- arithmetic ---- */

/* The tensor at index. A number becomes a scalar tensor, which is pushed: i32 where it is whole and the other operand
   is i32, else f32. */
static lur_tensor *operand(lua_State *L, int index, int other) {
  lur_tensor *t = lur_handle_test(L, index, &lur_tensor_class);
  if (t != NULL) return t;
  if (lua_type(L, index) != LUA_TNUMBER)
    lur_raise(L, "number or lurcher.tensor expected, got %s", lur_push_text(L, index));
  lur_tensor *peer = lur_handle_test(L, other, &lur_tensor_class);
  int whole;
  lua_tointegerx(L, index, &whole);
  lur_shape scalar = {0};
  t = lur_push_tensor(L, whole && peer != NULL && lur_tensor_dtype(peer) == LUR_I32 ? LUR_I32 : LUR_F32, &scalar);
  lur_check(L, lur_tensor_set(t, 0, lua_tonumber(L, index)));
  return t;
}

static int binary(lua_State *L, lur_tensor_op2 op) {
  lur_tensor *a = operand(L, 1, 2), *b = operand(L, 2, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_binary(op, a, b, &y));
  return push_result(L, h, y);
}

static int unary(lua_State *L, lur_tensor_op1 op) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_unary(op, a, &y));
  return push_result(L, h, y);
}

static int reduce(lua_State *L, lur_tensor_reduction op) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  bool whole = lua_isnoneornil(L, 2);
  int axis = whole ? -1 : lur_args_axis(L, 2, lur_tensor_shape(a)->ndim);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_reduce(op, a, axis, &y));
  lur_fill_tensor(L, h, y, true);
  if (!whole) return 1;
  push_element(L, y, 0);
  if (op == LUR_T_ARGMAX || op == LUR_T_ARGMIN) lur_push_index(L, lua_tointeger(L, -1));
  return 1;
}

#define BINARY(name, op)                                                                                               \
  static int tensor_##name(lua_State *L) { return binary(L, op); }
#define UNARY(name, op)                                                                                                \
  static int tensor_##name(lua_State *L) { return unary(L, op); }
#define REDUCE(name, op)                                                                                               \
  static int tensor_##name(lua_State *L) { return reduce(L, op); }
BINARY(add, LUR_T_ADD)
BINARY(sub, LUR_T_SUB)
BINARY(mul, LUR_T_MUL)
BINARY(div, LUR_T_DIV)
BINARY(pow, LUR_T_POW)
BINARY(maximum, LUR_T_MAXIMUM)
BINARY(minimum, LUR_T_MINIMUM)
BINARY(eq, LUR_T_EQ)
BINARY(lt, LUR_T_LT)
BINARY(le, LUR_T_LE)
UNARY(unm, LUR_T_NEG)
UNARY(abs, LUR_T_ABS)
UNARY(exp, LUR_T_EXP)
UNARY(log, LUR_T_LOG)
UNARY(sqrt, LUR_T_SQRT)
UNARY(square, LUR_T_SQUARE)
UNARY(relu, LUR_T_RELU)
UNARY(sigmoid, LUR_T_SIGMOID)
UNARY(tanh, LUR_T_TANH)
REDUCE(sum, LUR_T_SUM)
REDUCE(mean, LUR_T_MEAN)
REDUCE(max, LUR_T_MAX)
REDUCE(min, LUR_T_MIN)
REDUCE(argmax, LUR_T_ARGMAX)
REDUCE(argmin, LUR_T_ARGMIN)

static int tensor_softmax(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_softmax(a, &y));
  return push_result(L, h, y);
}

static int tensor_matmul(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *b = lur_check_tensor(L, 2), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_matmul(a, b, &y));
  return push_result(L, h, y);
}

static int tensor_transpose(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_transpose(a, &y));
  return push_result(L, h, y);
}

/* Pushes the row numbers of the table at argument 2 as a tensor. Checked here, so that messages count from 1. */
static lur_tensor *push_listed_rows(lua_State *L, const lur_tensor *a) {
  lur_tensor *rows = lur_push_list(L, 2, "rows", true);
  if (lur_tensor_dtype(rows) != LUR_I32) luaL_argerror(L, 2, "whole numbers expected");
  const lur_shape *shape = lur_tensor_shape(a);
  const int32_t *ids = lur_tensor_data(rows);
  int64_t n = lur_shape_count(lur_tensor_shape(rows)), extent = shape->ndim > 0 ? shape->dim[0] : 0;
  for (int64_t i = 0; i < n; i++) {
    if (ids[i] < extent) continue;
    lur_raise(L, "rows[%I] is %I: 1 to %I expected", (LUAI_UACINT)(i + 1), (LUAI_UACINT)ids[i] + 1,
              (LUAI_UACINT)extent);
  }
  return rows;
}

/* t:select{ 2, 1 }: rows from 1; t:select(ids), ids an i32 tensor: rows from 0. */
static int tensor_select(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *rows, *y;
  if (lua_istable(L, 2)) {
    rows = push_listed_rows(L, a);
  } else {
    rows = lur_check_tensor(L, 2);
  }
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_select(a, rows, &y));
  return push_result(L, h, y);
}

/* ---- shapes, copies ---- */

/* A view of another tensor's memory is not reported to the collector. */
static int push_view(lua_State *L, lur_handle *h, lur_tensor *t) {
  lur_fill_tensor(L, h, t, false);
  return 1;
}

static int tensor_view(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_shape shape;
  lur_args_shape(L, 2, true, &shape);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_reshape(a, &shape, &y));
  return push_view(L, h, y);
}

static int tensor_rows(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  const lur_shape *shape = lur_tensor_shape(a);
  if (shape->ndim == 0) return lur_raise(L, "a scalar tensor has no rows");
  int64_t first =
      lur_args_index_at(L, 2, shape->dim[0] + 1, "first row"); /* one past the end may start an empty view */
  lua_Integer count = luaL_optinteger(L, 3, shape->dim[0] - first);
  if (count < 0 || count > shape->dim[0] - first)
    return lur_raise(L, "rows: %I rows from row %I on requested, but the tensor has %I", (LUAI_UACINT)count,
                     (LUAI_UACINT)(first + 1), (LUAI_UACINT)shape->dim[0]);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_view(a, first, count, &y));
  return push_view(L, h, y);
}

static int tensor_clone(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_clone(a, &y));
  return push_result(L, h, y);
}

static int tensor_to(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  luaL_argexpected(L, !lua_isnoneornil(L, 2), 2, "device or name");
  lur_device *device = lur_args_device(L, 2);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_to(a, device, &y));
  lur_fill_tensor(L, h, y, y != a);
  return 1;
}

static int tensor_cast(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_dtype dtype = lur_args_dtype(L, 2);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_cast(a, dtype, &y));
  return push_result(L, h, y);
}

static int tensor_copy(lua_State *L) {
  lur_tensor *dst = lur_check_tensor(L, 1), *src = lur_check_tensor(L, 2);
  LUR_CALL(L, lur_tensor_copy(dst, src));
  lua_settop(L, 1);
  return 1;
}

static int tensor_lerp(lua_State *L) {
  lur_tensor *dst = lur_check_tensor(L, 1), *src = lur_check_tensor(L, 2);
  LUR_CALL(L, lur_tensors_lerp(&dst, &src, 1, luaL_checknumber(L, 3)));
  lua_settop(L, 1);
  return 1;
}

static int tensor_fill(lua_State *L) {
  LUR_CALL(L, lur_tensor_fill(lur_check_tensor(L, 1), luaL_checknumber(L, 2)));
  lua_settop(L, 1);
  return 1;
}

/* ---- elements ---- */

/* Flat index from one 1-based argument per dimension, from argument first on. */
static int64_t flat_index(lua_State *L, const lur_tensor *t, int first) {
  const lur_shape *shape = lur_tensor_shape(t);
  int n = lua_gettop(L) - first + 1;
  if (n != shape->ndim)
    lur_raise(L, "a tensor of %d dimensions takes %d indices, got %d", shape->ndim, shape->ndim, n < 0 ? 0 : n);
  int64_t flat = 0;
  for (int i = 0; i < shape->ndim; i++) flat = flat * shape->dim[i] + lur_args_index(L, first + i, shape->dim[i]);
  return flat;
}

static int tensor_get(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  return push_element(L, t, flat_index(L, t, 2));
}

static int tensor_set(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  double value = luaL_checknumber(L, 2);
  lur_check(L, lur_tensor_set(t, flat_index(L, t, 3), value));
  lua_settop(L, 1);
  return 1;
}

static int tensor_item(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  const lur_shape *shape = lur_tensor_shape(t);
  char text[LUR_SHAPE_TEXT];
  if (lur_shape_count(shape) != 1)
    return lur_raise(L, "item: a tensor of one element expected, got %s", lur_shape_format(shape, text));
  return push_element(L, t, 0);
}

static void push_nested(lua_State *L, lur_tensor *t, const lur_shape *shape, int depth, int64_t *at) {
  luaL_checkstack(L, 4, NULL);
  if (depth == shape->ndim) {
    push_element(L, t, (*at)++);
    return;
  }
  int64_t n = shape->dim[depth];
  lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
  for (int64_t i = 1; i <= n; i++) {
    push_nested(L, t, shape, depth + 1, at);
    lua_rawseti(L, -2, i);
  }
}

static int tensor_totable(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  if (lur_tensor_data(t) == NULL) { /* one copy from the device instead of one per element */
    lua_settop(L, 1);
    lua_pushliteral(L, "cpu");
    tensor_to(L);
    t = lur_check_tensor(L, -1);
  }
  int64_t at = 0;
  push_nested(L, t, lur_tensor_shape(t), 0, &at);
  return 1;
}

/* Pushes row i (0-based) without its dimension. */
static lur_tensor *push_row(lua_State *L, lur_tensor *t, int64_t i) {
  lur_shape rest = {.ndim = lur_tensor_shape(t)->ndim - 1};
  memcpy(rest.dim, lur_tensor_shape(t)->dim + 1, sizeof *rest.dim * (size_t)rest.ndim);
  lur_handle *slab = lur_handle_new(L, &lur_tensor_class), *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *view, *row;
  LUR_CALL(L, lur_tensor_view(t, i, 1, &view));
  lur_fill_tensor(L, slab, view, false);
  LUR_CALL(L, lur_tensor_reshape(view, &rest, &row));
  lur_fill_tensor(L, h, row, false);
  return row;
}

/* t[i]; nil just past the end, so that ipairs works. */
static int tensor_index(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  const lur_shape *shape = lur_tensor_shape(t);
  if (lua_type(L, 2) != LUA_TNUMBER) return 0;
  if (shape->ndim == 0) return lur_raise(L, "a scalar tensor cannot be indexed; use t:item()");
  if (lua_isinteger(L, 2) && lua_tointeger(L, 2) == shape->dim[0] + 1) return 0;
  int64_t i = lur_args_index_at(L, 2, shape->dim[0], "index");
  if (shape->ndim == 1) return push_element(L, t, i);
  push_row(L, t, i);
  return 1;
}

/* t[i] = number, tensor or nested table. */
static int tensor_newindex(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1), *source;
  const lur_shape *shape = lur_tensor_shape(t);
  if (shape->ndim == 0) return lur_raise(L, "a scalar tensor cannot be indexed; use t:fill(value)");
  int64_t i = lur_args_index_at(L, 2, shape->dim[0], "index");
  bool number = lua_type(L, 3) == LUA_TNUMBER;
  if (shape->ndim == 1) {
    if (!number)
      return lur_raise(L, "number expected for element %I, got %s", (LUAI_UACINT)(i + 1), lur_push_text(L, 3));
    lur_check(L, lur_tensor_set(t, i, lua_tonumber(L, 3)));
    return 0;
  }
  lur_tensor *row = push_row(L, t, i);
  if (number) {
    LUR_CALL(L, lur_tensor_fill(row, lua_tonumber(L, 3)));
    return 0;
  }
  if (lua_istable(L, 3)) source = lur_push_nested(L, 3, lur_tensor_dtype(t));
  else source = lur_handle_test(L, 3, &lur_tensor_class);
  if (source == NULL)
    return lur_raise(L, "number, table or lurcher.tensor expected for row %I, got %s", (LUAI_UACINT)(i + 1),
                     luaL_typename(L, 3));
  LUR_CALL(L, lur_tensor_copy(row, source));
  return 0;
}

static int tensor_len(lua_State *L) {
  const lur_shape *shape = lur_tensor_shape(lur_check_tensor(L, 1));
  if (shape->ndim == 0) return lur_raise(L, "a scalar tensor has no length");
  lua_pushinteger(L, shape->dim[0]);
  return 1;
}

static int tensor_tostring(lua_State *L) {
  lur_push_tensor_text(L, lur_check_tensor(L, 1));
  return 1;
}

/* ---- fields ---- */

static int get_shape(lua_State *L) {
  lur_push_shape(L, lur_tensor_shape(lur_check_tensor(L, 1)));
  return 1;
}

static int get_dtype(lua_State *L) {
  lua_pushstring(L, lur_dtype_name(lur_tensor_dtype(lur_check_tensor(L, 1))));
  return 1;
}

static int get_device(lua_State *L) {
  lua_pushstring(L, lur_device_name(lur_tensor_device(lur_check_tensor(L, 1))));
  return 1;
}

static int get_bytes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lur_tensor_bytes(lur_check_tensor(L, 1)));
  return 1;
}

static int get_count(lua_State *L) {
  lua_pushinteger(L, lur_shape_count(lur_tensor_shape(lur_check_tensor(L, 1))));
  return 1;
}

static const luaL_Reg methods[] = {{"get", tensor_get},
                                   {"set", tensor_set},
                                   {"item", tensor_item},
                                   {"totable", tensor_totable},
                                   {"view", tensor_view},
                                   {"reshape", tensor_view},
                                   {"rows", tensor_rows},
                                   {"clone", tensor_clone},
                                   {"to", tensor_to},
                                   {"cast", tensor_cast},
                                   {"copy", tensor_copy},
                                   {"fill", tensor_fill},
                                   {"eq", tensor_eq},
                                   {"lt", tensor_lt},
                                   {"le", tensor_le},
                                   {"maximum", tensor_maximum},
                                   {"minimum", tensor_minimum},
                                   {"abs", tensor_abs},
                                   {"exp", tensor_exp},
                                   {"log", tensor_log},
                                   {"sqrt", tensor_sqrt},
                                   {"square", tensor_square},
                                   {"relu", tensor_relu},
                                   {"sigmoid", tensor_sigmoid},
                                   {"tanh", tensor_tanh},
                                   {"softmax", tensor_softmax},
                                   {"sum", tensor_sum},
                                   {"mean", tensor_mean},
                                   {"max", tensor_max},
                                   {"min", tensor_min},
                                   {"argmax", tensor_argmax},
                                   {"argmin", tensor_argmin},
                                   {"matmul", tensor_matmul},
                                   {"transpose", tensor_transpose},
                                   {"select", tensor_select},
                                   {"lerp", tensor_lerp},
                                   {NULL, NULL}};

static const luaL_Reg getters[] = {{"shape", get_shape}, {"dtype", get_dtype}, {"device", get_device},
                                   {"bytes", get_bytes}, {"count", get_count}, {NULL, NULL}};

static const luaL_Reg meta[] = {{"__add", tensor_add}, {"__sub", tensor_sub},     {"__mul", tensor_mul},
                                {"__div", tensor_div}, {"__pow", tensor_pow},     {"__unm", tensor_unm},
                                {"__len", tensor_len}, {"__index", tensor_index}, {"__newindex", tensor_newindex},
                                {NULL, NULL}};

void lur_register_tensor(lua_State *L) {
  lur_class_register(L, &lur_tensor_class,
                     &(lur_members){.methods = methods, .getters = getters, .meta = meta, .tostring = tensor_tostring});
}
