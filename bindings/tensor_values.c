/* tensor_values.c - Lua values into tensors and back, for the files that bind tensors. */
#include <math.h>

#include "modules.h"
#include "tensor.h"

int lur_push_result(lua_State *L, lur_handle *handle, lur_tensor *tensor) {
  lur_fill_tensor(L, handle, tensor, true);
  return 1;
}

int lur_push_view(lua_State *L, lur_handle *handle, lur_tensor *view) {
  lur_fill_tensor(L, handle, view, false);
  return 1;
}

int lur_push_value(lua_State *L, lur_dtype dtype, double value) {
  if (dtype == LUR_I32 || dtype == LUR_U8) lua_pushinteger(L, (lua_Integer)value);
  else lua_pushnumber(L, isnan(value) ? (lua_Number)NAN : value); /* Lua writes a NaN with its sign: -nan */
  return 1;
}

int lur_push_element(lua_State *L, lur_tensor *tensor, int64_t index) {
  double value;
  lur_check(L, lur_tensor_get(tensor, index, &value));
  return lur_push_value(L, lur_tensor_dtype(tensor), value);
}

lur_tensor *lur_tensor_operand(lua_State *L, int index, const lur_tensor *peer) {
  lur_tensor *t = lur_handle_test(L, index, &lur_tensor_class);
  if (t != NULL) return t;
  if (lua_type(L, index) != LUA_TNUMBER)
    lur_raise(L, "number or lurcher.tensor expected, got %s", lur_push_text(L, index));
  int whole;
  lua_Integer integer = lua_tointegerx(L, index, &whole);
  bool fits = whole && integer >= INT32_MIN && integer <= INT32_MAX;
  lur_shape scalar = {0};
  t = lur_push_tensor(L, fits && peer != NULL && lur_tensor_dtype(peer) == LUR_I32 ? LUR_I32 : LUR_F32, &scalar);
  lur_check(L, lur_tensor_set(t, 0, lua_tonumber(L, index)));
  return t;
}

lur_tensor *lur_push_source(lua_State *L, int index, lur_dtype dtype, const char *what) {
  if (lua_type(L, index) == LUA_TNUMBER || lua_istable(L, index)) return lur_push_nested(L, index, dtype);
  lur_tensor *t = lur_handle_test(L, index, &lur_tensor_class);
  if (t == NULL) lur_raise(L, "number, table or lurcher.tensor expected for %s, got %s", what, luaL_typename(L, index));
  lua_pushvalue(L, index);
  return t;
}

lur_tensor *lur_push_ids(lua_State *L, int index, const char *what, int64_t extent) {
  lur_tensor *ids = lur_push_list(L, index, what, true);
  if (lur_tensor_dtype(ids) != LUR_I32) luaL_argerror(L, index, "whole numbers expected");
  const int32_t *id = lur_tensor_data(ids);
  int64_t n = lur_shape_count(lur_tensor_shape(ids));
  for (int64_t i = 0; i < n; i++) {
    if (id[i] < extent) continue;
    lur_raise(L, "%s[%I] is %I: 1 to %I expected", what, (LUAI_UACINT)(i + 1), (LUAI_UACINT)id[i] + 1,
              (LUAI_UACINT)extent);
  }
  return ids;
}

void lur_args_most(lua_State *L, int most, const char *name, const char *example) {
  int n = lua_gettop(L);
  if (n <= most) return;
  lur_raise(L, "%s: at most %d %s expected, got %d%s%s", name, most - 1, most == 2 ? "argument" : "arguments", n - 1,
            example ? "; options are given as in " : "", example ? example : "");
}

int64_t lur_args_place(lua_State *L, int index, int64_t extent, const char *what) {
  int whole;
  lua_Integer i = lua_tointegerx(L, index, &whole);
  if (whole && lua_type(L, index) == LUA_TNUMBER && i < 0 && i >= -extent) return extent + i;
  return lur_args_index_at(L, index, extent, what);
}
