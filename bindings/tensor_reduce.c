/* tensor_reduce.c - the methods of a tensor that go over its dimensions: reductions, running sums, sorting. Their axes
 * and options are given alike: t:sum(), t:sum(2), t:sum{ 1, 2, keepdim = true }. */
#include <math.h>

#include "modules.h"
#include "tensor.h"

/* ---- reductions ---- */

/* The dimensions in the list part of the table at argument 2, as bits. */
static unsigned listed_axes(lua_State *L, const char *name, int ndim) {
  unsigned axes = 0;
  int n = (int)lua_rawlen(L, 2);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, 2, i);
    unsigned bit = 1u << lur_args_axis(L, lua_gettop(L), ndim);
    if (axes & bit) lur_raise(L, "%s: axis %s is given twice", name, lur_push_text(L, -1));
    axes |= bit;
    lua_pop(L, 1);
  }
  return axes;
}

/* Reads argument 2: nothing, an axis, or a table of axes and options. Returns whether the result is a single value. */
static bool read_reduction(lua_State *L, const char *name, const char *const *known, int ndim, lur_reduce_options *o) {
  *o = (lur_reduce_options){.ddof = 1, .p = 2};
  lur_args_most(L, 2, name, known[1] ? "t:std{ 2, keepdim = true, ddof = 0 }" : "t:sum{ 2, keepdim = true }");
  if (lua_isnoneornil(L, 2)) return true;
  if (lur_handle_is(L, 2, &lur_tensor_class))
    lur_raise(L, "%s: an axis or a table of axes expected, got a tensor (a:maximum(b) and a:minimum(b) take two)",
              name);
  if (!lua_istable(L, 2)) {
    o->axes = 1u << lur_args_axis(L, 2, ndim);
    return false;
  }
  lur_args_options(L, 2, name, known);
  o->axes = listed_axes(L, name, ndim);
  o->keep = lur_args_bool(L, 2, name, "keepdim", false);
  if (known[1] != NULL) {
    o->ddof = (int)lur_args_int(L, 2, name, "ddof", 1, 0, INT32_MAX);
    o->p = lur_args_real(L, 2, name, "p", 2);
  }
  return o->axes == 0 && !o->keep;
}

static int reduce_with(lua_State *L, lur_tensor_reduction op, const char *name, const char *const *known) {
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_reduce_options o;
  bool whole = read_reduction(L, name, known, lur_tensor_shape(a)->ndim, &o);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_reduce_over(op, a, &o, &y));
  lur_push_result(L, h, y);
  if (!whole) return 1;
  lur_push_element(L, y, 0);
  if (op == LUR_T_ARGMAX || op == LUR_T_ARGMIN) lur_push_index(L, lua_tointeger(L, -1));
  if (op == LUR_T_ANY || op == LUR_T_ALL) lua_pushboolean(L, lua_tointeger(L, -1) != 0); /* 0 is true in Lua */
  return 1;
}

static const char *const plain[] = {"keepdim", NULL};
static const char *const spread[] = {"keepdim", "ddof", NULL};
static const char *const normed[] = {"keepdim", "p", NULL};

#define REDUCE(name, op, known)                                                                                        \
  static int tensor_##name(lua_State *L) { return reduce_with(L, op, #name, known); }
REDUCE(sum, LUR_T_SUM, plain)
REDUCE(mean, LUR_T_MEAN, plain)
REDUCE(max, LUR_T_MAX, plain)
REDUCE(min, LUR_T_MIN, plain)
REDUCE(argmax, LUR_T_ARGMAX, plain)
REDUCE(argmin, LUR_T_ARGMIN, plain)
REDUCE(prod, LUR_T_PROD, plain)
REDUCE(std, LUR_T_STD, spread)
REDUCE(var, LUR_T_VAR, spread)
REDUCE(norm, LUR_T_NORM, normed)
REDUCE(any, LUR_T_ANY, plain)
REDUCE(all, LUR_T_ALL, plain)

/* ---- along one dimension ---- */

/* The axis in argument `arg`: a number, the first of a table's list, or absent: the last dimension. known: options that
   the table may have. */
static int read_axis(lua_State *L, int arg, const char *name, const char *const *known, int ndim) {
  if (ndim == 0) lur_raise(L, "%s: a tensor of at least one dimension expected, got a scalar", name);
  if (lua_isnoneornil(L, arg)) return ndim - 1;
  if (!lua_istable(L, arg)) return lur_args_axis(L, arg, ndim);
  lur_args_options(L, arg, name, known);
  if (lua_rawlen(L, arg) > 1) lur_raise(L, "%s: one axis expected, got %d", name, (int)lua_rawlen(L, arg));
  if (lua_rawlen(L, arg) == 0) return ndim - 1;
  lua_rawgeti(L, arg, 1);
  int axis = lur_args_axis(L, lua_gettop(L), ndim);
  lua_pop(L, 1);
  return axis;
}

/* t:cumsum(axis) */
static int tensor_cumsum(lua_State *L) {
  static const char *const none[] = {NULL};
  lur_tensor *a = lur_check_tensor(L, 1), *y;
  lur_args_most(L, 2, "cumsum", NULL);
  int axis = read_axis(L, 2, "cumsum", none, lur_tensor_shape(a)->ndim);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_cumsum(a, axis, &y));
  return lur_push_result(L, h, y);
}

static const char *const directed[] = {"descending", NULL};

/* t:sort(axis), t:sort{ axis, descending = true }: values, ids */
static int tensor_sort(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *values, *ids;
  lur_args_most(L, 2, "sort", "t:sort{ 1, descending = true }");
  int axis = read_axis(L, 2, "sort", directed, lur_tensor_shape(a)->ndim);
  bool descending = lur_args_bool(L, 2, "sort", "descending", false);
  lur_handle *first = lur_handle_new(L, &lur_tensor_class), *second = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_sort(a, axis, descending, &values, &ids));
  lur_handle_fill(L, second, ids); /* both are held before the collector hears of either */
  lur_push_result(L, first, values);
  lur_state_charge(L, lur_tensor_bytes(ids));
  return 2;
}

/* t:argsort(...): ids */
static int tensor_argsort(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *ids;
  lur_args_most(L, 2, "argsort", "t:argsort{ 1, descending = true }");
  int axis = read_axis(L, 2, "argsort", directed, lur_tensor_shape(a)->ndim);
  bool descending = lur_args_bool(L, 2, "argsort", "descending", false);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_sort(a, axis, descending, NULL, &ids));
  return lur_push_result(L, h, ids);
}

/* t:topk(k, axis), t:topk(k, { axis, largest = false }): values, ids */
static int tensor_topk(lua_State *L) {
  static const char *const known[] = {"largest", NULL};
  lur_tensor *a = lur_check_tensor(L, 1), *values, *ids;
  lua_Integer k = luaL_checkinteger(L, 2);
  lur_args_most(L, 3, "topk", "t:topk(3, { 1, largest = false })");
  int axis = read_axis(L, 3, "topk", known, lur_tensor_shape(a)->ndim);
  bool largest = lur_args_bool(L, 3, "topk", "largest", true);
  lur_handle *first = lur_handle_new(L, &lur_tensor_class), *second = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_topk(a, k, axis, largest, &values, &ids));
  lur_handle_fill(L, second, ids);
  lur_push_result(L, first, values);
  lur_state_charge(L, lur_tensor_bytes(ids));
  return 2;
}

/* t:unique(): values, inverse, counts */
static int tensor_unique(lua_State *L) {
  lur_tensor *a = lur_check_tensor(L, 1), *values, *inverse, *counts;
  lur_args_most(L, 1, "unique", NULL);
  lur_handle *h[3];
  for (int i = 0; i < 3; i++) h[i] = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_tensor_unique(a, &values, &inverse, &counts));
  lur_handle_fill(L, h[2], counts);
  lur_handle_fill(L, h[1], inverse);
  lur_push_result(L, h[0], values);
  lur_state_charge(L, lur_tensor_bytes(inverse) + lur_tensor_bytes(counts));
  return 3;
}

const luaL_Reg lur_tensor_reduce_methods[] = {
    {"sum", tensor_sum},       {"mean", tensor_mean},     {"max", tensor_max},
    {"min", tensor_min},       {"argmax", tensor_argmax}, {"argmin", tensor_argmin},
    {"prod", tensor_prod},     {"std", tensor_std},       {"var", tensor_var},
    {"norm", tensor_norm},     {"any", tensor_any},       {"all", tensor_all},
    {"cumsum", tensor_cumsum}, {"sort", tensor_sort},     {"argsort", tensor_argsort},
    {"topk", tensor_topk},     {"unique", tensor_unique}, {NULL, NULL}};
