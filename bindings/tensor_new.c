/* tensor_new.c - the functions of the module that make tensors. */
#include <string.h>

#include "args.h"
#include "modules.h"
#include "tensor.h"

static void at_most(lua_State *L, int n, const char *name) {
  if (lua_gettop(L) > n) lur_raise(L, "%s: at most %d arguments expected, got %d", name, n, lua_gettop(L));
}

static const char *const known[] = {"shape", "dtype", "device", "fill", NULL};

/* A tensor to make: a table of extents and options. */
typedef struct spec {
  lur_shape shape;
  lur_dtype dtype;
  lur_device *device; /* NULL: host */
} spec;

static void read_options(lua_State *L, int arg, const char *owner, const char *const *names, spec *s) {
  lur_args_options(L, arg, owner, names);
  s->dtype = LUR_F32;
  if (lua_getfield(L, arg, "dtype") != LUA_TNIL) s->dtype = lur_args_dtype(L, -1);
  lua_getfield(L, arg, "device");
  s->device = lur_args_device(L, -1);
  lua_pop(L, 2);
}

/* { 2, 3 } or { shape = { 2, 3 } }. */
static void read_extents(lua_State *L, int arg, lur_shape *shape) {
  if (lua_getfield(L, arg, "shape") == LUA_TTABLE) lur_args_table_shape(L, -1, false, shape);
  else lur_args_table_shape(L, arg, false, shape);
  lua_pop(L, 1);
}

/* Pushes a new zero-filled tensor. */
static lur_tensor *push_new(lua_State *L, const spec *s) {
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *t;
  LUR_CALL(L, lur_tensor_new(context, s->device, s->dtype, &s->shape, &t));
  lur_fill_tensor(L, h, t, true);
  return t;
}

/* Pushes a zero-filled tensor. Its extents are the arguments, or one table. */
static lur_tensor *push_sized(lua_State *L, const char *owner) {
  spec s = {.dtype = LUR_F32};
  if (lua_istable(L, 1)) {
    static const char *const names[] = {"shape", "dtype", "device", NULL};
    read_options(L, 1, owner, names, &s);
    read_extents(L, 1, &s.shape);
  } else {
    lur_args_shape(L, 1, false, &s.shape);
  }
  return push_new(L, &s);
}

static int new_zeros(lua_State *L) {
  push_sized(L, "zeros");
  return 1;
}

static int new_ones(lua_State *L) {
  LUR_CALL(L, lur_tensor_fill(push_sized(L, "ones"), 1));
  return 1;
}

static int new_full(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  double value = luaL_checknumber(L, 2);
  LUR_CALL(L, lur_tensor_fill(push_sized(L, "full"), value));
  return 1;
}

static int new_tensor(lua_State *L) {
  if (lua_gettop(L) > 1)
    return lur_raise(L,
                     "tensor: one number or table expected, got %d arguments (a tensor by its extents is "
                     "lurcher.zeros(2, 3), one of values lurcher.tensor{ 2, 3 })",
                     lua_gettop(L));
  if (lua_type(L, 1) == LUA_TNUMBER) {
    lua_settop(L, 1);
    lur_push_nested(L, 1, LUR_F32);
    return 1;
  }
  luaL_argexpected(L, lua_istable(L, 1), 1, "number or table");
  spec s;
  read_options(L, 1, "tensor", known, &s);
  if (lua_getfield(L, 1, "shape") != LUA_TNIL) {
    if (!lua_istable(L, -1)) return lur_args_bad(L, "tensor", "shape", "list expected, got %s", luaL_typename(L, -1));
    lur_args_table_shape(L, -1, false, &s.shape);
    double fill = lur_args_real(L, 1, "tensor", "fill", 0);
    lur_tensor *t = push_new(L, &s);
    if (fill != 0) LUR_CALL(L, lur_tensor_fill(t, fill));
    return 1;
  }
  lur_tensor *host = lur_push_nested(L, 1, s.dtype);
  if (s.device == NULL) return 1;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *t;
  LUR_CALL(L, lur_tensor_to(host, s.device, &t));
  lur_fill_tensor(L, h, t, t != host);
  return 1;
}

static int new_range(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 1, "0 or more expected");
  lur_tensor *t = lur_push_tensor(L, LUR_I32, &(lur_shape){1, {n}});
  int32_t *ids = lur_tensor_data(t);
  for (int32_t i = 0; i < n; i++) ids[i] = i;
  return 1;
}

static int new_uniform(lua_State *L) {
  static const char *const names[] = {"shape", "dtype", "device", "low", "high", NULL};
  spec s;
  luaL_checktype(L, 1, LUA_TTABLE);
  read_options(L, 1, "uniform", names, &s);
  read_extents(L, 1, &s.shape);
  double low = lur_args_real(L, 1, "uniform", "low", 0), high = lur_args_real(L, 1, "uniform", "high", 1);
  lur_check(L, lur_tensor_uniform(push_new(L, &s), low, high));
  return 1;
}

static int new_normal(lua_State *L) {
  static const char *const names[] = {"shape", "dtype", "device", "mean", "std", "deviation", NULL};
  spec s;
  luaL_checktype(L, 1, LUA_TTABLE);
  read_options(L, 1, "normal", names, &s);
  read_extents(L, 1, &s.shape);
  double mean = lur_args_real(L, 1, "normal", "mean", 0), std = lur_args_real(L, 1, "normal", "deviation", 1);
  std = lur_args_real(L, 1, "normal", "std", std); /* deviation: its old name, for one release */
  lur_check(L, lur_tensor_normal(push_new(L, &s), mean, std));
  return 1;
}

/* The *n tensors of the list at arg, in a userdata that is left on the stack. The table keeps the tensors. */
static lur_tensor **check_list(lua_State *L, int arg, const char *who, size_t *n) {
  luaL_checktype(L, arg, LUA_TTABLE);
  *n = lua_rawlen(L, arg);
  luaL_argcheck(L, *n > 0 && *n < 1 << 20, arg, "at least one tensor expected");
  lur_tensor **list = lua_newuserdatauv(L, *n * sizeof(lur_tensor *), 0);
  for (size_t i = 0; i < *n; i++) {
    lua_rawgeti(L, arg, (lua_Integer)i + 1);
    list[i] = lur_handle_test(L, -1, &lur_tensor_class);
    if (list[i] == NULL)
      lur_raise(L, "%s: lurcher.tensor expected at position %d, got %s", who, (int)i + 1, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  return list;
}

static int concat(lua_State *L) {
  static const char *const names[] = {"axis", NULL};
  size_t n = 0;
  luaL_checktype(L, 1, LUA_TTABLE);
  lur_args_options(L, 1, "concat", names);
  lur_tensor **list = check_list(L, 1, "concat", &n);
  int axis = 0;
  if (lua_getfield(L, 1, "axis") != LUA_TNIL) axis = lur_args_axis(L, lua_gettop(L), lur_tensor_shape(list[0])->ndim);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *y;
  LUR_CALL(L, lur_tensor_concat((int)n, list, axis, &y));
  lur_fill_tensor(L, h, y, true);
  return 1;
}

/* Pushes a view of t with a new dimension of extent 1 before dimension axis. */
static lur_tensor *push_widened(lua_State *L, lur_tensor *t, int axis) {
  lur_shape shape = *lur_tensor_shape(t);
  memmove(shape.dim + axis + 1, shape.dim + axis, sizeof *shape.dim * (size_t)(shape.ndim - axis));
  shape.dim[axis] = 1;
  shape.ndim++;
  lur_tensor *view;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_reshape(t, &shape, &view));
  lur_fill_tensor(L, h, view, false);
  return view;
}

static int stack(lua_State *L) {
  static const char *const names[] = {"axis", NULL};
  size_t n = 0;
  char first[LUR_SHAPE_TEXT], text[LUR_SHAPE_TEXT];
  luaL_checktype(L, 1, LUA_TTABLE);
  lur_args_options(L, 1, "stack", names);
  lur_tensor **list = check_list(L, 1, "stack", &n);
  const lur_shape *shape = lur_tensor_shape(list[0]);
  if (shape->ndim == LUR_MAX_DIMS) return lur_raise(L, "stack: a tensor has at most %d dimensions", LUR_MAX_DIMS);
  int axis = 0;
  if (lua_getfield(L, 1, "axis") != LUA_TNIL) axis = lur_args_axis(L, lua_gettop(L), shape->ndim + 1);
  lua_createtable(L, (int)n, 0); /* holds the views */
  for (size_t i = 0; i < n; i++) {
    if (!lur_shape_equal(lur_tensor_shape(list[i]), shape))
      return lur_raise(L, "stack: tensor %d is %s, tensor 1 is %s (equal shapes expected)", (int)i + 1,
                       lur_shape_format(lur_tensor_shape(list[i]), text), lur_shape_format(shape, first));
    list[i] = push_widened(L, list[i], axis);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *y;
  LUR_CALL(L, lur_tensor_concat((int)n, list, axis, &y));
  return lur_push_result(L, h, y);
}

/* lurcher.where(mask, a, b) */
static int where(lua_State *L) {
  lur_tensor *mask = lur_check_tensor(L, 1), *peer = lur_handle_test(L, 3, &lur_tensor_class), *y;
  at_most(L, 3, "where");
  lur_tensor *a = lur_tensor_operand(L, 2, peer), *b = lur_tensor_operand(L, 3, a);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_where(mask, a, b, &y));
  return lur_push_result(L, h, y);
}

/* lurcher.one_hot(ids, classes): a table of ids counts from 1, a tensor from 0 */
static int one_hot(lua_State *L) {
  lua_Integer classes = luaL_checkinteger(L, 2);
  at_most(L, 2, "one_hot");
  lur_tensor *ids = lua_istable(L, 1) ? lur_push_ids(L, 1, "ids", classes) : lur_check_tensor(L, 1), *y;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_one_hot(ids, classes, &y));
  return lur_push_result(L, h, y);
}

/* lurcher.linspace(first, last, n) */
static int linspace(lua_State *L) {
  double first = luaL_checknumber(L, 1), last = luaL_checknumber(L, 2);
  lua_Integer n = luaL_checkinteger(L, 3);
  at_most(L, 3, "linspace");
  luaL_argcheck(L, n >= 1 && n <= INT32_MAX, 3, "1 or more expected");
  lur_tensor *t = lur_push_tensor(L, LUR_F32, &(lur_shape){1, {n}});
  float *x = lur_tensor_data(t);
  double steps = n > 1 ? (double)(n - 1) : 1;
  for (lua_Integer i = 0; i < n; i++) x[i] = (float)(first + (last - first) * ((double)i / steps));
  if (n > 1) x[n - 1] = (float)last;
  return 1;
}

/* lurcher.eye(n), lurcher.eye(n, m) */
static int eye(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1), m = luaL_optinteger(L, 2, n);
  at_most(L, 2, "eye");
  luaL_argcheck(L, n >= 0, 1, "0 or more expected");
  luaL_argcheck(L, m >= 0, 2, "0 or more expected");
  lur_tensor *t = lur_push_tensor(L, LUR_F32, &(lur_shape){2, {n, m}});
  float *x = lur_tensor_data(t);
  for (lua_Integer i = 0; i < n && i < m; i++) x[i * m + i] = 1;
  return 1;
}

static int lerp(lua_State *L) {
  size_t n = 0, others = 0;
  lur_tensor **to = check_list(L, 1, "lerp", &n), **from = check_list(L, 2, "lerp", &others);
  if (n != others)
    return lur_raise(L, "lerp: two lists of equal lengths expected, got %d and %d tensors", (int)n, (int)others);
  LUR_CALL(L, lur_tensors_lerp(to, from, (int)n, luaL_checknumber(L, 3)));
  return 0;
}

void lur_add_tensor(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"tensor", new_tensor}, {"zeros", new_zeros},     {"ones", new_ones},     {"full", new_full},
      {"range", new_range},   {"uniform", new_uniform}, {"normal", new_normal}, {"concat", concat},
      {"lerp", lerp},         {"cat", concat},          {"stack", stack},       {"where", where},
      {"one_hot", one_hot},   {"linspace", linspace},   {"eye", eye},           {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
