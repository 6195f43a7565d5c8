/* tensor.c - the class of tensors: arithmetic, shapes, elements, indexing. Its other methods are in tensor_parts.c and
 * tensor_reduce.c; tensor_new.c makes tensors, tensor_print.c prints them. Nothing is computed here: a new operation is
 * a function of the engine, a row in a table of methods and a section in api/. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "modules.h"
#include "tensor.h"

/* ---- arithmetic ---- */

static int binary(lua_State *L, lur_tensor_op2 op) {
  lur_tensor *peer = lur_handle_test(L, 2, &lur_tensor_class), *a = lur_tensor_operand(L, 1, peer);
  lur_tensor *b = lur_tensor_operand(L, 2, a), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_binary(op, a, b, &y));
  return lur_push_result(L, h, y);
}

static int unary(lua_State *L, lur_tensor_op1 op) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_unary(op, a, &y));
  return lur_push_result(L, h, y);
}

#define BINARY(name, op)                                                                                               \
  static int tensor_##name(lua_State *L) { return binary(L, op); }
#define UNARY(name, op)                                                                                                \
  static int tensor_##name(lua_State *L) { return unary(L, op); }
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
BINARY(ne, LUR_T_NE)
BINARY(gt, LUR_T_GT)
BINARY(ge, LUR_T_GE)
BINARY(band, LUR_T_AND)
BINARY(bor, LUR_T_OR)
BINARY(bxor, LUR_T_XOR)
BINARY(mod, LUR_T_MOD)
BINARY(idiv, LUR_T_FLOORDIV)
UNARY(unm, LUR_T_NEG)
UNARY(abs, LUR_T_ABS)
UNARY(exp, LUR_T_EXP)
UNARY(log, LUR_T_LOG)
UNARY(sqrt, LUR_T_SQRT)
UNARY(square, LUR_T_SQUARE)
UNARY(relu, LUR_T_RELU)
UNARY(sigmoid, LUR_T_SIGMOID)
UNARY(tanh, LUR_T_TANH)
UNARY(floor, LUR_T_FLOOR)
UNARY(ceil, LUR_T_CEIL)
UNARY(round, LUR_T_ROUND)
UNARY(trunc, LUR_T_TRUNC)
UNARY(sign, LUR_T_SIGN)
UNARY(sin, LUR_T_SIN)
UNARY(cos, LUR_T_COS)
UNARY(log1p, LUR_T_LOG1P)
UNARY(expm1, LUR_T_EXPM1)
UNARY(erf, LUR_T_ERF)
UNARY(isnan, LUR_T_ISNAN)
UNARY(isinf, LUR_T_ISINF)
UNARY(isfinite, LUR_T_ISFINITE)
UNARY(logical_not, LUR_T_NOT)

static int tensor_softmax(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_softmax(a, &y));
  return lur_push_result(L, h, y);
}

static int tensor_matmul(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *b = lur_check_tensor(L, 2), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_matmul(a, b, &y));
  return lur_push_result(L, h, y);
}

/* The bound `name` of t:clamp: argument index, or an option of the table at argument 2; def where it is absent. */
static double clamp_bound(lua_State *L, int index, const char *name, double def) {
  if (lua_istable(L, 2)) return lur_args_real(L, 2, "clamp", name, def);
  return luaL_optnumber(L, index, def);
}

/* t:clamp(low, high), t:clamp{ min = 0 } */
static int tensor_clamp(lua_State *L) {
  static const char *const names[] = {"min", "max", NULL};
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  if (lua_istable(L, 2)) lur_args_options(L, 2, "clamp", names);
  lur_args_most(L, lua_istable(L, 2) ? 2 : 3, "clamp", "t:clamp{ min = 0, max = 1 }");
  double low = clamp_bound(L, 2, "min", -INFINITY), high = clamp_bound(L, 3, "max", INFINITY);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_clamp(a, low, high, &y));
  return lur_push_result(L, h, y);
}

/* t:allclose(other, { rtol = 1e-5, atol = 1e-8, equal_nan = false }) */
static int tensor_allclose(lua_State *L) {
  static const char *const names[] = {"rtol", "atol", "equal_nan", NULL};
  lur_tensor *a = lur_check_tensor(L, 1);
  lur_args_most(L, 3, "allclose", "a:allclose(b, { atol = 1e-6 })");
  lua_settop(L, 3);
  lur_args_options(L, 3, "allclose", names);
  lur_tensor *b = lur_tensor_operand(L, 2, NULL);
  bool close;
  double rtol = lur_args_real(L, 3, "allclose", "rtol", 1e-5), atol = lur_args_real(L, 3, "allclose", "atol", 1e-8);
  bool equal_nan = lur_args_bool(L, 3, "allclose", "equal_nan", false);
  LUR_CALL(L, lur_tensor_allclose(a, b, rtol, atol, equal_nan, &close));
  lua_pushboolean(L, close);
  return 1;
}

/* t:equal(other): the same shape and elements */
static int tensor_equal(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *b = lur_check_tensor(L, 2), *same, *y;
  lur_args_most(L, 2, "equal", NULL);
  if (!lur_shape_equal(lur_tensor_shape(a), lur_tensor_shape(b))) {
    lua_pushboolean(L, false);
    return 1;
  }
  lur_handle *mask = lur_handle_new(L, &lur_tensor_class), *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_binary(LUR_T_EQ, a, b, &same));
  lur_push_result(L, mask, same);
  LUR_CALL(L, lur_tensor_reduce(LUR_T_ALL, same, -1, &y));
  lur_push_result(L, h, y);
  lur_push_element(L, y, 0);
  lua_pushboolean(L, lua_tointeger(L, -1) != 0);
  return 1;
}

/* ---- shapes, copies ---- */

static int tensor_view(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_shape shape;
  lur_args_shape(L, 2, true, &shape);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_reshape(a, &shape, &y));
  return lur_push_view(L, h, y);
}

static int tensor_rows(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  const lur_shape *shape = lur_tensor_shape(a);
  if (shape->ndim == 0) return lur_raise(L, "a scalar tensor has no rows");
  bool from_end = lua_isinteger(L, 2) && lua_tointeger(L, 2) < 0;
  int64_t first = from_end ? lur_args_place(L, 2, shape->dim[0], "first row")
                           : lur_args_index_at(L, 2, shape->dim[0] + 1, "first row"); /* one past the end: empty */
  lua_Integer count = luaL_optinteger(L, 3, shape->dim[0] - first);
  if (count < 0 || count > shape->dim[0] - first)
    return lur_raise(L, "rows: %I rows from row %I on requested, but the tensor has %I", (LUAI_UACINT)count,
                     (LUAI_UACINT)(first + 1), (LUAI_UACINT)shape->dim[0]);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_view(a, first, count, &y));
  return lur_push_view(L, h, y);
}

static int tensor_clone(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_clone(a, &y));
  return lur_push_result(L, h, y);
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
  return lur_push_result(L, h, y);
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
  for (int i = 0; i < shape->ndim; i++) {
    luaL_checkinteger(L, first + i);
    flat = flat * shape->dim[i] + lur_args_place(L, first + i, shape->dim[i], "index");
  }
  return flat;
}

static int tensor_get(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  return lur_push_element(L, t, flat_index(L, t, 2));
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
  return lur_push_element(L, t, 0);
}

static void push_nested(lua_State *L, lur_tensor *t, const lur_shape *shape, int depth, int64_t *at) {
  luaL_checkstack(L, 4, NULL);
  if (depth == shape->ndim) {
    lur_push_element(L, t, (*at)++);
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

/* Raises for a key that is neither a number nor a table. */
static int bad_key(lua_State *L) {
  if (lur_handle_is(L, 2, &lur_tensor_class))
    return lur_raise(L, "a tensor as an index could be ids or a mask: use t:select(ids), t:masked_select(mask) or "
                        "lurcher.where(mask, a, b)");
  return lur_raise(L, "a lurcher.tensor cannot be indexed by a %s", luaL_typename(L, 2));
}

/* t[i]; nil just past the end, so that ipairs works. t[{...}]: a part. */
static int tensor_index(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  const lur_shape *shape = lur_tensor_shape(t);
  if (lua_istable(L, 2)) return lur_push_part(L, t, 2, "t[{...}]");
  if (lua_type(L, 2) != LUA_TNUMBER) return bad_key(L);
  if (shape->ndim == 0) return lur_raise(L, "a scalar tensor cannot be indexed; use t:item()");
  if (lua_isinteger(L, 2) && lua_tointeger(L, 2) == shape->dim[0] + 1) return 0;
  int64_t i = lur_args_place(L, 2, shape->dim[0], "index");
  if (shape->ndim == 1) return lur_push_element(L, t, i);
  push_row(L, t, i);
  return 1;
}

/* t[i] = number, tensor or nested table; t[{...}] = the same, for a part. */
static int tensor_newindex(lua_State *L) {
  lur_tensor *t = lur_check_tensor(L, 1);
  const lur_shape *shape = lur_tensor_shape(t);
  lur_slice slices[LUR_MAX_DIMS];
  char what[48];
  if (lua_istable(L, 2)) {
    lur_args_slices(L, 2, t, "t[{...}]", slices);
    lur_tensor *source = lur_push_source(L, 3, lur_tensor_dtype(t), "t[{...}]");
    LUR_CALL(L, lur_tensor_assign(t, slices, source));
    return 0;
  }
  if (lua_type(L, 2) != LUA_TNUMBER) return bad_key(L);
  if (shape->ndim == 0) return lur_raise(L, "a scalar tensor cannot be indexed; use t:fill(value)");
  int64_t i = lur_args_place(L, 2, shape->dim[0], "index");
  if (shape->ndim == 1) {
    if (lua_type(L, 3) != LUA_TNUMBER)
      return lur_raise(L, "number expected for element %I, got %s", (LUAI_UACINT)(i + 1), lur_push_text(L, 3));
    lur_check(L, lur_tensor_set(t, i, lua_tonumber(L, 3)));
    return 0;
  }
  lur_tensor *row = push_row(L, t, i);
  if (lua_type(L, 3) == LUA_TNUMBER) {
    LUR_CALL(L, lur_tensor_fill(row, lua_tonumber(L, 3)));
    return 0;
  }
  snprintf(what, sizeof what, "row %lld", (long long)i + 1);
  LUR_CALL(L, lur_tensor_copy(row, lur_push_source(L, 3, lur_tensor_dtype(t), what)));
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
                                   {"tolist", tensor_totable},
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
                                   {"floor", tensor_floor},
                                   {"ceil", tensor_ceil},
                                   {"round", tensor_round},
                                   {"trunc", tensor_trunc},
                                   {"sign", tensor_sign},
                                   {"sin", tensor_sin},
                                   {"cos", tensor_cos},
                                   {"log1p", tensor_log1p},
                                   {"expm1", tensor_expm1},
                                   {"erf", tensor_erf},
                                   {"isnan", tensor_isnan},
                                   {"isinf", tensor_isinf},
                                   {"isfinite", tensor_isfinite},
                                   {"logical_not", tensor_logical_not},
                                   {"ne", tensor_ne},
                                   {"gt", tensor_gt},
                                   {"ge", tensor_ge},
                                   {"pow", tensor_pow},
                                   {"clamp", tensor_clamp},
                                   {"allclose", tensor_allclose},
                                   {"equal", tensor_equal},
                                   {"neg", tensor_unm},
                                   {"matmul", tensor_matmul},
                                   {"lerp", tensor_lerp},
                                   {NULL, NULL}};

static const luaL_Reg getters[] = {{"shape", get_shape}, {"dtype", get_dtype}, {"device", get_device},
                                   {"bytes", get_bytes}, {"count", get_count}, {NULL, NULL}};

/* a < b, a <= b: Lua would make one boolean of the result. */
static int no_order(lua_State *L) {
  return lur_raise(L, "tensors are compared per element by a:lt(b), a:le(b), a:gt(b), a:ge(b), a:eq(b) and a:ne(b)");
}

static const luaL_Reg meta[] = {
    {"__add", tensor_add},   {"__sub", tensor_sub}, {"__mul", tensor_mul},     {"__div", tensor_div},
    {"__pow", tensor_pow},   {"__mod", tensor_mod}, {"__idiv", tensor_idiv},   {"__unm", tensor_unm},
    {"__band", tensor_band}, {"__bor", tensor_bor}, {"__bxor", tensor_bxor},   {"__bnot", tensor_logical_not},
    {"__lt", no_order},      {"__le", no_order},    {"__index", tensor_index}, {"__newindex", tensor_newindex},
    {"__len", tensor_len},   {NULL, NULL}};

/* ---- names that are not there ---- */

/* What other libraries call something, and how it is done here. */
static const char *const elsewhere[][2] = {{"size", "t.shape"},
                                           {"numel", "t.count"},
                                           {"nElement", "t.count"},
                                           {"ndim", "#t.shape"},
                                           {"dim", "#t.shape"},
                                           {"type", "t.dtype, t:cast(dtype)"},
                                           {"astype", "t:cast(dtype)"},
                                           {"float", "t:cast \"f32\""},
                                           {"half", "t:cast \"f16\""},
                                           {"int", "t:cast \"i32\""},
                                           {"long", "t:cast \"i32\""},
                                           {"byte", "t:cast \"u8\""},
                                           {"cuda", "t:to \"cuda\""},
                                           {"cpu", "t:to \"cpu\""},
                                           {"numpy", "t:totable()"},
                                           {"T", "t:transpose()"},
                                           {"t", "t:transpose()"},
                                           {"mm", "t:matmul(other)"},
                                           {"bmm", "t:matmul(other)"},
                                           {"dot", "t:matmul(other)"},
                                           {"mv", "t:matmul(other)"},
                                           {"add", "a + b"},
                                           {"sub", "a - b"},
                                           {"mul", "a * b"},
                                           {"div", "a / b"},
                                           {"cat", "lurcher.cat{ a, b }"},
                                           {"stack", "lurcher.stack{ a, b }"},
                                           {"zero", "t:fill(0)"},
                                           {"zero_", "t:fill(0)"},
                                           {"fill_", "t:fill(value)"},
                                           {"copy_", "t:copy(other)"},
                                           {"expand_as", "t:expand(other.shape)"},
                                           {"view_as", "t:view(other.shape)"},
                                           {"index_select", "t:select(ids, axis)"},
                                           {"take", "t:select(ids, axis)"},
                                           {"swapaxes", "t:transpose(1, 2)"},
                                           {"broadcast_to", "t:expand(shape)"},
                                           {"clip", "t:clamp(low, high)"},
                                           {"absolute", "t:abs()"},
                                           {"negative", "-t"},
                                           {"erase", "t:fill(0)"},
                                           {"argwhere", "t:nonzero()"},
                                           {"one_hot", "lurcher.one_hot(ids, classes)"},
                                           {"logical_and", "a & b"},
                                           {"logical_or", "a | b"}};

static const char *use_instead(const char *name) {
  for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
    if (strcmp(elsewhere[i][0], name) == 0) return elsewhere[i][1];
  return NULL;
}

enum { MOST_NAMES = 256 };

/* Adds the keys of the table on top of the stack, which keeps them. */
static int add_names(lua_State *L, const char **names, int n) {
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
    if (n < MOST_NAMES) names[n++] = lua_tostring(L, -2);
  return n;
}

/* Called with the tensor and a name that it does not have. */
static int tensor_missing(lua_State *L) {
  const char *name = lua_tostring(L, 2), *use = use_instead(name), *names[MOST_NAMES];
  if (use != NULL) return lur_raise(L, "no field '%s' in a lurcher.tensor: use %s", name, use);
  luaL_getmetatable(L, lur_tensor_class.name);
  lua_getfield(L, -1, "__methods");
  int n = add_names(L, names, 0);
  lua_getfield(L, -2, "__fields");
  n = add_names(L, names, n);
  const char *near = lur_nearest(name, names, n);
  if (near == NULL) return lur_raise(L, "no field '%s' in a lurcher.tensor", name);
  return lur_raise(L, "no field '%s' in a lurcher.tensor (did you mean '%s'?)", name, near);
}

static void add_methods(lua_State *L, const luaL_Reg *more) {
  luaL_getmetatable(L, lur_tensor_class.name);
  lua_getfield(L, -1, "__methods");
  luaL_setfuncs(L, more, 0);
  lua_pop(L, 2);
}

void lur_register_tensor(lua_State *L) {
  lur_class_register(L, &lur_tensor_class,
                     &(lur_members){.methods = methods,
                                    .getters = getters,
                                    .meta = meta,
                                    .tostring = tensor_tostring,
                                    .missing = tensor_missing});
  add_methods(L, lur_tensor_part_methods);
  add_methods(L, lur_tensor_reduce_methods);
}
