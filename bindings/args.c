/* args.c - see args.h. */
#include "args.h"
#include "modules.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ---- */

int lur_args_bad(lua_State *L, const char *owner, const char *name, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *why = lua_pushvfstring(L, format, args);
  va_end(args);
  return lur_raise(L, "bad option '%s' to '%s' (%s)", name, owner, why);
}

static int bad_type(lua_State *L, const char *owner, const char *name, const char *expected, int index) {
  if (lua_type(L, index) == LUA_TSTRING)
    return lur_args_bad(L, owner, name, "%s expected, got \"%s\"", expected, lua_tostring(L, index));
  if (lua_type(L, index) == LUA_TNUMBER)
    return lur_args_bad(L, owner, name, "%s expected, got %s", expected, lur_push_text(L, index));
  return lur_args_bad(L, owner, name, "%s expected, got %s", expected, luaL_typename(L, index));
}

/* The list at index into setting->ints. */
static void read_ints(lua_State *L, int index, const char *owner, lur_setting *s) {
  const char *name = s->name != NULL ? s->name : lua_pushfstring(L, "%d", s->position);
  int table = lua_absindex(L, index);
  lua_Integer n = (lua_Integer)lua_rawlen(L, table);
  if (n > LUR_MAX_DIMS)
    lur_args_bad(L, owner, name, "at most %d numbers expected, got %I", LUR_MAX_DIMS, (LUAI_UACINT)n);
  if (n == 0 && lua_getmetatable(L, table)) bad_type(L, owner, name, "list of whole numbers", table);
  for (int i = 0; i < (int)n; i++) {
    int whole;
    lua_rawgeti(L, table, i + 1);
    s->ints[i] = lua_tointegerx(L, -1, &whole);
    if (!whole || lua_type(L, -1) != LUA_TNUMBER) bad_type(L, owner, name, "whole numbers", -1);
    lua_pop(L, 1);
  }
  s->type = LUR_INTS;
  s->count = (int)n;
  if (s->name == NULL) lua_pop(L, 1);
}

/* The value at index (absolute) into s, whose name or position is set. */
static void read_setting(lua_State *L, int index, const char *owner, lur_setting *s) {
  switch (lua_type(L, index)) {
  case LUA_TBOOLEAN:
    s->type = LUR_BOOL;
    s->boolean = lua_toboolean(L, index);
    return;
  case LUA_TNUMBER:
    s->type = lua_isinteger(L, index) ? LUR_INT : LUR_REAL;
    s->real = lua_tonumber(L, index);
    if (s->type == LUR_INT) s->integer = lua_tointeger(L, index);
    return;
  case LUA_TSTRING:
    s->type = LUR_STRING;
    s->string = lua_tostring(L, index);
    return;
  case LUA_TTABLE: read_ints(L, index, owner, s); return;
  default: {
    const char *name = s->name != NULL ? s->name : lua_pushfstring(L, "%d", s->position);
    lur_args_bad(L, owner, name, "number, string, boolean or list expected, got %s", luaL_typename(L, index));
  }
  }
}

int lur_args_settings(lua_State *L, int arg, const char *owner, lur_setting settings[LUR_MAX_SETTINGS]) {
  int n = 0;
  arg = lua_absindex(L, arg);
  if (lua_isnoneornil(L, arg)) return 0;
  if (!lua_istable(L, arg)) {
    settings[0] = (lur_setting){.position = 1};
    read_setting(L, arg, owner, &settings[0]);
    return 1;
  }
  for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {
    if (n == LUR_MAX_SETTINGS) lur_raise(L, "'%s' takes at most %d options", owner, LUR_MAX_SETTINGS);
    lur_setting *s = &settings[n++];
    *s = (lur_setting){0};
    if (lua_type(L, -2) == LUA_TSTRING) {
      s->name = lua_tostring(L, -2);
    } else {
      lua_Integer position = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
      if (position < 1 || position > LUR_MAX_SETTINGS)
        lur_raise(L, "options of '%s': names or list positions expected as keys, got a %s key", owner,
                  luaL_typename(L, -2));
      s->position = (int)position;
    }
    read_setting(L, lua_gettop(L), owner, s);
  }
  return n;
}

/* Raises for the string key `name`, which is not among the n known ones. */
static void unknown_option(lua_State *L, const char *owner, const char *name, const char *const *known, int n) {
  const char *near = lur_nearest(name, known, n);
  if (near != NULL) lur_raise(L, "unknown option '%s' to '%s' (did you mean '%s'?)", name, owner, near);
  lua_pushliteral(L, "");
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, i == 0 ? "" : ", ");
    lua_pushstring(L, known[i]);
    lua_concat(L, 3);
  }
  lur_raise(L, "unknown option '%s' to '%s' (%s expected)", name, owner, lua_tostring(L, -1));
}

bool lur_args_options(lua_State *L, int arg, const char *owner, const char *const *known) {
  if (lua_isnoneornil(L, arg)) return false;
  if (!lua_istable(L, arg)) lur_raise(L, "'%s' expects a table of options, got %s", owner, luaL_typename(L, arg));
  int n = 0;
  while (known[n] != NULL) n++;
  for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    const char *name = lua_tostring(L, -2);
    int i = 0;
    while (i < n && strcmp(known[i], name) != 0) i++;
    if (i == n) unknown_option(L, owner, name, known, n);
  }
  return true;
}

/* Pushes table[name]; false and nothing pushed when absent. */
static bool option_get(lua_State *L, int arg, const char *name) {
  if (!lua_istable(L, arg)) return false;
  if (lua_getfield(L, arg, name) != LUA_TNIL) return true;
  lua_pop(L, 1);
  return false;
}

bool lur_args_bool(lua_State *L, int arg, const char *owner, const char *name, bool def) {
  if (!option_get(L, arg, name)) return def;
  if (!lua_isboolean(L, -1)) bad_type(L, owner, name, "true or false", -1);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

int64_t lur_args_int(lua_State *L, int arg, const char *owner, const char *name, int64_t def, int64_t min,
                     int64_t max) {
  if (!option_get(L, arg, name)) return def;
  int whole;
  lua_Integer value = lua_tointegerx(L, -1, &whole);
  if (!whole || lua_type(L, -1) != LUA_TNUMBER) bad_type(L, owner, name, "whole number", -1);
  if (value < min) lur_args_bad(L, owner, name, "at least %I expected, got %I", (LUAI_UACINT)min, (LUAI_UACINT)value);
  if (value > max) lur_args_bad(L, owner, name, "at most %I expected, got %I", (LUAI_UACINT)max, (LUAI_UACINT)value);
  lua_pop(L, 1);
  return value;
}

double lur_args_real(lua_State *L, int arg, const char *owner, const char *name, double def) {
  if (!option_get(L, arg, name)) return def;
  if (lua_type(L, -1) != LUA_TNUMBER) bad_type(L, owner, name, "number", -1);
  double value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

const char *lur_args_text(lua_State *L, int arg, const char *owner, const char *name, const char *def) {
  if (!option_get(L, arg, name)) return def;
  if (lua_type(L, -1) != LUA_TSTRING) bad_type(L, owner, name, "string", -1);
  const char *value = lua_tostring(L, -1); /* the table keeps it */
  lua_pop(L, 1);
  return value;
}

int lur_args_choice(lua_State *L, int arg, const char *owner, const char *name, const char *const *choices, int def) {
  const char *value = lur_args_text(L, arg, owner, name, NULL);
  if (value == NULL) return def;
  luaL_Buffer list;
  luaL_buffinit(L, &list);
  for (int i = 0; choices[i] != NULL; i++) {
    if (strcmp(choices[i], value) == 0) {
      luaL_pushresult(&list);
      lua_pop(L, 1);
      return i;
    }
    if (i > 0) luaL_addstring(&list, choices[i + 1] == NULL ? " or " : ", ");
    luaL_addchar(&list, '"');
    luaL_addstring(&list, choices[i]);
    luaL_addchar(&list, '"');
  }
  luaL_pushresult(&list);
  return lur_args_bad(L, owner, name, "%s expected, got \"%s\"", lua_tostring(L, -1), value);
}

int64_t lur_args_list(lua_State *L, int arg, const char *owner, const char *name) {
  if (!option_get(L, arg, name)) return -1;
  if (!lua_istable(L, -1)) bad_type(L, owner, name, "list", -1);
  return (int64_t)lua_rawlen(L, -1);
}

/* ---- declared options ---- */

static int position_of(const char *text, const char *const *choices) {
  int i = 0;
  while (choices[i] != NULL && strcmp(choices[i], text) != 0) i++;
  return i;
}

static void read_declared(lua_State *L, int arg, const char *owner, const lur_arg_option *row, void *field) {
  const lur_option_info *o = &row->info;
  if (strcmp(o->type, "boolean") == 0)
    *(bool *)field = lur_args_bool(L, arg, owner, o->name, strcmp(o->def, "true") == 0);
  else if (strcmp(o->type, "integer") == 0)
    *(int64_t *)field = lur_args_int(L, arg, owner, o->name, strtoll(o->def, NULL, 10), row->min, row->max);
  else if (strcmp(o->type, "choice") == 0)
    *(int *)field = lur_args_choice(L, arg, owner, o->name, o->choices, position_of(o->def, o->choices));
}

bool lur_args_declared(lua_State *L, int arg, const char *owner, const lur_arg_option *rows, void *options) {
  const char *known[LUR_MAX_SETTINGS + 1];
  int n = 0;
  for (; rows[n].info.name != NULL && n < LUR_MAX_SETTINGS; n++) known[n] = rows[n].info.name;
  known[n] = NULL;
  bool given = lur_args_options(L, arg, owner, known);
  for (int i = 0; i < n; i++)
    if (rows[i].offset != LUR_ARG_BY_OWNER) read_declared(L, arg, owner, &rows[i], (char *)options + rows[i].offset);
  return given;
}

void lur_push_declared(lua_State *L, const lur_arg_option *rows) {
  lur_option_info info[LUR_MAX_SETTINGS];
  int n = 0;
  for (; rows[n].info.name != NULL && n < LUR_MAX_SETTINGS; n++) info[n] = rows[n].info;
  lur_push_option_info(L, info, n);
}

/* ---- shapes and indices ---- */

static int64_t read_extent(lua_State *L, int index, bool free_extent) {
  int whole;
  lua_Integer extent = lua_tointegerx(L, index, &whole);
  if (!whole || lua_type(L, index) != LUA_TNUMBER)
    lur_raise(L, "extents of a shape are whole numbers, got %s", lur_push_text(L, index));
  if (extent < (free_extent ? -1 : 0))
    lur_raise(L, "extents of a shape are at least %d, got %I", free_extent ? -1 : 0, (LUAI_UACINT)extent);
  return extent;
}

void lur_args_table_shape(lua_State *L, int index, bool free_extent, lur_shape *shape) {
  index = lua_absindex(L, index);
  size_t n = lua_rawlen(L, index);
  if (n > LUR_MAX_DIMS) lur_raise(L, "a shape has at most %d dimensions, got %d", LUR_MAX_DIMS, (int)n);
  *shape = (lur_shape){.ndim = (int)n};
  for (int i = 0; i < shape->ndim; i++) {
    lua_rawgeti(L, index, i + 1);
    shape->dim[i] = read_extent(L, -1, free_extent);
    lua_pop(L, 1);
  }
}

void lur_args_shape(lua_State *L, int first, bool free_extent, lur_shape *shape) {
  if (lua_istable(L, first)) {
    lur_args_table_shape(L, first, free_extent, shape);
    return;
  }
  int n = lua_gettop(L) - first + 1;
  if (n > LUR_MAX_DIMS) lur_raise(L, "a shape has at most %d dimensions, got %d", LUR_MAX_DIMS, n);
  *shape = (lur_shape){.ndim = n > 0 ? n : 0};
  for (int i = 0; i < shape->ndim; i++) shape->dim[i] = read_extent(L, first + i, free_extent);
}

void lur_push_shape(lua_State *L, const lur_shape *shape) {
  lua_createtable(L, shape->ndim, 0);
  for (int i = 0; i < shape->ndim; i++) {
    lua_pushinteger(L, shape->dim[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

int64_t lur_args_index_at(lua_State *L, int index, int64_t extent, const char *what) {
  int whole;
  lua_Integer i = lua_tointegerx(L, index, &whole);
  if (!whole || lua_type(L, index) != LUA_TNUMBER)
    lur_raise(L, "%s: whole number expected, got %s", what, lur_push_text(L, index));
  if (i < 1 || i > extent) lur_raise(L, "%s %I is out of range (1 to %I)", what, (LUAI_UACINT)i, (LUAI_UACINT)extent);
  return i - 1;
}

int64_t lur_args_index(lua_State *L, int arg, int64_t extent) {
  luaL_checkinteger(L, arg);
  return lur_args_index_at(L, arg, extent, "index");
}

void lur_push_index(lua_State *L, int64_t index) { lua_pushinteger(L, index + 1); }

int lur_args_axis(lua_State *L, int arg, int ndim) {
  lua_Integer axis = luaL_checkinteger(L, arg);
  if (axis < 0 && axis >= -ndim) return ndim + (int)axis;
  if (axis < 1 || axis > ndim)
    luaL_argerror(
        L, arg, lua_pushfstring(L, "axis %I of a tensor of %d dimensions; axes count from 1", (LUAI_UACINT)axis, ndim));
  return (int)axis - 1;
}

/* ---- dtypes, devices ---- */

lur_dtype lur_args_dtype(lua_State *L, int index) {
  lur_dtype dtype = LUR_F32;
  if (lua_type(L, index) != LUA_TSTRING)
    lur_raise(L, "dtype: a name like \"f32\" expected, got %s", luaL_typename(L, index));
  lur_check(L, lur_dtype_from_name(lua_tostring(L, index), &dtype));
  return dtype;
}

lur_device *lur_args_device(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) return NULL;
  lur_device *device = lur_handle_test(L, index, &lur_device_class);
  if (device != NULL) return device;
  if (lua_type(L, index) != LUA_TSTRING)
    lur_raise(L, "device: a device or a name expected, got %s", luaL_typename(L, index));
  const char *name = lua_tostring(L, index);
  if (lur_state_is_worker(L) && strcmp(name, "cpu") != 0 && strcmp(name, "ref") != 0)
    lur_raise(L, "device '%s': tensors of a loader's worker are on the CPU", name);
  lur_check(L, lur_context_device(lur_state_context(L), name, &device));
  return device;
}

/* ---- tensors ---- */

lur_tensor *lur_check_tensor(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_tensor_class); }

void lur_fill_tensor(lua_State *L, lur_handle *handle, lur_tensor *tensor, bool owns) {
  lur_handle_fill(L, handle, tensor);
  if (owns) lur_state_charge(L, lur_tensor_bytes(tensor));
}

lur_tensor *lur_push_tensor(lua_State *L, lur_dtype dtype, const lur_shape *shape) {
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *t;
  LUR_CALL(L, lur_tensor_new(context, NULL, dtype, shape, &t));
  lur_fill_tensor(L, h, t, true);
  return t;
}

static bool all_whole(lua_State *L, int index, int64_t n, const char *what) {
  bool whole = true;
  for (int64_t i = 1; i <= n; i++) {
    if (lua_rawgeti(L, index, i) != LUA_TNUMBER)
      lur_raise(L, "%s[%I]: number expected, got %s", what, (LUAI_UACINT)i, luaL_typename(L, -1));
    int is_whole;
    lua_tointegerx(L, -1, &is_whole);
    if (!is_whole) whole = false;
    lua_pop(L, 1);
  }
  return whole;
}

lur_tensor *lur_push_list(lua_State *L, int index, const char *what, bool lower) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, 4, NULL);
  int64_t n = (int64_t)lua_rawlen(L, index);
  bool whole = all_whole(L, index, n, what);
  lur_shape shape = {1, {n}};
  lur_tensor *t = lur_push_tensor(L, whole ? LUR_I32 : LUR_F32, &shape);
  int32_t *ids = lur_tensor_data(t);
  float *reals = lur_tensor_data(t);
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, index, i + 1);
    if (whole) {
      lua_Integer v = lua_tointeger(L, -1) - (lower ? 1 : 0);
      if (lower && v < 0)
        lur_raise(L, "%s[%I] is %I: tables count from 1", what, (LUAI_UACINT)(i + 1), (LUAI_UACINT)(v + 1));
      if (v > INT32_MAX || v < INT32_MIN)
        lur_raise(L, "%s[%I]: %I does not fit in i32", what, (LUAI_UACINT)(i + 1), (LUAI_UACINT)v);
      ids[i] = (int32_t)v;
    } else {
      reals[i] = (float)lua_tonumber(L, -1);
    }
    lua_pop(L, 1);
  }
  return t;
}

/* The shape of nested tables, read from the first of each level. */
static void nested_shape(lua_State *L, int index, lur_shape *shape) {
  *shape = (lur_shape){0};
  lua_pushvalue(L, index);
  while (lua_istable(L, -1)) {
    if (shape->ndim == LUR_MAX_DIMS) lur_raise(L, "tables nested more than %d deep", LUR_MAX_DIMS);
    shape->dim[shape->ndim++] = (int64_t)lua_rawlen(L, -1);
    if (lua_rawlen(L, -1) == 0) break;
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  lua_pop(L, 1);
}

/* Writes the subtree on top of the stack to the elements from flat index `at` on; returns the index after them. */
static int64_t nested_fill(lua_State *L, lur_tensor *t, const lur_shape *shape, int depth, int64_t at) {
  luaL_checkstack(L, 4, "tables nested too deep");
  if (depth == shape->ndim) {
    if (lua_type(L, -1) != LUA_TNUMBER) lur_raise(L, "tensor: number expected, got %s", luaL_typename(L, -1));
    if (lur_tensor_dtype(t) == LUR_F32) ((float *)lur_tensor_data(t))[at] = (float)lua_tonumber(L, -1);
    else lur_check(L, lur_tensor_set(t, at, lua_tonumber(L, -1)));
    return at + 1;
  }
  if (!lua_istable(L, -1))
    lur_raise(L, "tensor: table of %I values expected, got %s", (LUAI_UACINT)shape->dim[depth], luaL_typename(L, -1));
  int64_t n = (int64_t)lua_rawlen(L, -1);
  if (n != shape->dim[depth])
    lur_raise(L, "tensor: nested tables must be of equal lengths, got %I and %I", (LUAI_UACINT)shape->dim[depth],
              (LUAI_UACINT)n);
  for (int64_t i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    at = nested_fill(L, t, shape, depth + 1, at);
    lua_pop(L, 1);
  }
  return at;
}

lur_tensor *lur_push_nested(lua_State *L, int index, lur_dtype dtype) {
  index = lua_absindex(L, index);
  lur_shape shape;
  nested_shape(L, index, &shape);
  lur_tensor *t = lur_push_tensor(L, dtype, &shape);
  lua_pushvalue(L, index);
  nested_fill(L, t, &shape, 0, 0);
  lua_pop(L, 1);
  return t;
}

/* ---- results ---- */

void lur_set_text(lua_State *L, const char *name, const char *text) {
  if (text == NULL) return;
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

void lur_set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

void lur_set_integer(lua_State *L, const char *name, int64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

void lur_set_boolean(lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

void lur_push_option_info(lua_State *L, const lur_option_info *info, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_createtable(L, 0, 5);
    lur_set_text(L, "name", info[i].name);
    lur_set_text(L, "type", info[i].type);
    lur_set_text(L, "default", info[i].def);
    lur_set_text(L, "help", info[i].help);
    if (info[i].choices != NULL) {
      lua_newtable(L);
      for (int k = 0; info[i].choices[k] != NULL; k++) {
        lua_pushstring(L, info[i].choices[k]);
        lua_rawseti(L, -2, k + 1);
      }
      lua_setfield(L, -2, "choices");
    }
    lua_rawseti(L, -2, i + 1);
  }
}
