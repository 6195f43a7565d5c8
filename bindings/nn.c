/* nn.c - the module lurcher.nn: a constructor for every layer kind that the engine knows, none of them named here.
 * Layers and nodes are in layer.c, chains in chain.c, models in model.c. */
#include "nn.h"

#include <string.h>

#include "algebra.h"
#include "compile.h"
#include "layer.h"
#include "modules.h"

/* ---- constructors ---- */

/* Whether the kind's first option is a shape, so that nn.reshape(3, 4) and nn.reshape{ 3, 4 } mean one option. */
static bool first_is_shape(const char *kind) {
  lur_option_info info = {0};
  for (int i = 0; i < lur_layer_kind_count(); i++)
    if (strcmp(lur_layer_kind_name(i), kind) == 0 && lur_layer_kind_options(i, &info, 1) > 0)
      return info.type != NULL && strcmp(info.type, "shape") == 0;
  return false;
}

/* Joins whole numbers in the list part into one list, the first option's value. */
static int join_positions(lua_State *L, const char *kind, lur_setting *settings, int n) {
  lur_setting joined = {.position = 1, .type = LUR_INTS};
  int kept = 0;
  for (int i = 0; i < n; i++) {
    lur_setting *s = &settings[i];
    if (s->name != NULL || s->type != LUR_INT) {
      settings[kept++] = *s;
      continue;
    }
    if (s->position > LUR_MAX_DIMS) lur_raise(L, "'%s': at most %d extents expected", kind, LUR_MAX_DIMS);
    joined.ints[s->position - 1] = s->integer;
    if (s->position > joined.count) joined.count = s->position;
  }
  if (joined.count > 0) settings[kept++] = joined;
  return kept;
}

/* Replaces the table at index by a copy of its string keys. */
static void keep_named(lua_State *L, int index) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, index) != 0;) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4);
    } else {
      lua_pop(L, 1);
    }
  }
  lua_replace(L, index);
}

/* nn.add(a, b), nn.concat{ a, b, axis = 1 } */
static int construct_applied(lua_State *L, const char *kind) {
  lur_setting settings[LUR_MAX_SETTINGS];
  lur_node *x[LUR_MOST_NODES];
  if (lur_push_arithmetic(L, kind)) return 1;
  int n = lur_args_operands(L, 1, kind, x, LUR_MOST_NODES), nsettings = 0;
  if (lua_istable(L, 1)) {
    lua_pushvalue(L, 1);
    keep_named(L, lua_gettop(L));
    nsettings = lur_args_settings(L, lua_gettop(L), kind, settings);
  }
  lur_push_applied(L, kind, settings, nsettings, n, x);
  return 1;
}

/* Whether the arguments, or the table's list, are nodes, or begin with a number before one: nn.sub(1, x). */
static bool are_operands(lua_State *L, const char *kind) {
  if (lur_args_are_nodes(L, 1)) return true;
  if (!lur_layer_kind_takes_numbers(kind)) return false;
  const bool table = lua_istable(L, 1);
  const int top = lua_gettop(L);
  for (int i = 1; i <= 2 && table; i++) lua_rawgeti(L, 1, i);
  const int first = table ? top + 1 : 1;
  const bool are = lua_type(L, first) == LUA_TNUMBER && lur_handle_is(L, first + 1, &lur_node_class);
  lua_settop(L, top);
  return are;
}

/* The options of a kind from a call's arguments. */
static int read_settings(lua_State *L, const char *kind, lur_setting *settings) {
  int top = lua_gettop(L), n;
  if (top <= 1) {
    n = lur_args_settings(L, 1, kind, settings);
  } else { /* nn.reshape(3, 4): the arguments are the list part */
    lua_createtable(L, top, 0);
    for (int i = 1; i <= top; i++) {
      lua_pushvalue(L, i);
      lua_rawseti(L, -2, i);
    }
    n = lur_args_settings(L, lua_gettop(L), kind, settings);
  }
  return first_is_shape(kind) ? join_positions(L, kind, settings, n) : n;
}

/* Upvalue: the kind's name. */
static int construct(lua_State *L) {
  const char *kind = lua_tostring(L, lua_upvalueindex(1));
  lur_setting settings[LUR_MAX_SETTINGS];
  if (are_operands(L, kind)) return construct_applied(L, kind);
  int n = read_settings(L, kind, settings);
  lur_push_new_layer(L, kind, settings, n);
  return 1;
}

/* ---- nodes without inputs ---- */

static int constant(lua_State *L) {
  lur_setting settings[LUR_MAX_SETTINGS];
  int n = read_settings(L, "constant", settings);
  lur_push_applied(L, "constant", settings, n, 0, NULL);
  return 1;
}

/* Pushes the value of option `init` of the table at 1: the one of that name, or the second of the list after a list of
   extents. Returns its position in the list, 0 for none. */
static lua_Integer push_init(lua_State *L) {
  const bool named = lua_getfield(L, 1, "init") != LUA_TNIL;
  if (named || lua_rawgeti(L, 1, 1) != LUA_TTABLE) {
    lua_settop(L, 2);
    return 0;
  }
  lua_rawgeti(L, 1, 2);
  lua_replace(L, 2);
  lua_settop(L, 2);
  return 2;
}

/* An `init` that is a number becomes init = "constant", value = number; a tensor is taken out of the table at 1 and
   gives its shape where there is none. Leaves the value of init at 2; returns whether it is a tensor. */
static bool take_init(lua_State *L) {
  const lua_Integer position = push_init(L);
  const bool number = lua_type(L, 2) == LUA_TNUMBER, tensor = lur_handle_is(L, 2, &lur_tensor_class);
  if (!number && !tensor) return false;
  lua_pushnil(L);
  if (position > 0) lua_rawseti(L, 1, position);
  else lua_setfield(L, 1, "init");
  if (number) {
    lua_pushliteral(L, "constant");
    lua_setfield(L, 1, "init");
    lua_pushvalue(L, 2);
    lua_setfield(L, 1, "value");
  } else if (lua_getfield(L, 1, "shape") == LUA_TNIL && lua_rawgeti(L, 1, 1) == LUA_TNIL) {
    lur_push_shape(L, lur_tensor_shape(lur_check_tensor(L, 2)));
    lua_setfield(L, 1, "shape");
  }
  lua_settop(L, 2);
  return tensor;
}

/* Replaces the table at 1 by a copy. */
static void copy_table(lua_State *L) {
  lua_settop(L, 1);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 1) != 0;) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, 2);
  }
  lua_replace(L, 1);
}

/* nn.parameter{ shape = { 3, 4 }, init = "normal" }, nn.parameter(3, 4) */
static int parameter(lua_State *L) {
  static const char kind[] = "parameter";
  lur_setting settings[LUR_MAX_SETTINGS];
  bool tensor = false;
  int n;
  if (lua_istable(L, 1)) {
    copy_table(L);
    tensor = take_init(L);
    n = join_positions(L, kind, settings, lur_args_settings(L, 1, kind, settings));
  } else {
    n = read_settings(L, kind, settings);
  }
  lur_push_applied(L, kind, settings, n, 0, NULL);
  if (!tensor) return 1;
  lur_node *node = lur_handle_check(L, -1, &lur_node_class);
  LUR_CALL(L, lur_layer_set_weight(lur_node_layer(node), 0, lur_check_tensor(L, 2)));
  return 1;
}

static int input(lua_State *L) {
  static const char *const known[] = {"name", "shape", "dtype", NULL};
  lur_shape shape;
  lur_dtype dtype = LUR_F32;
  const char *name;
  if (lua_istable(L, 1)) {
    lur_args_options(L, 1, "input", known);
    name = lur_args_text(L, 1, "input", "name", NULL);
    if (name == NULL) return lur_args_bad(L, "input", "name", "string expected, got nothing");
    if (lur_args_list(L, 1, "input", "shape") < 0)
      return lur_args_bad(L, "input", "shape", "list of extents expected, got nothing");
    lur_args_table_shape(L, -1, false, &shape);
    if (lua_getfield(L, 1, "dtype") != LUA_TNIL) dtype = lur_args_dtype(L, -1);
  } else {
    name = luaL_checkstring(L, 1);
    lur_args_shape(L, 2, false, &shape);
  }
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_node_class);
  lur_node *node;
  LUR_CALL(L, lur_input(context, name, dtype, &shape, &node));
  lur_handle_fill(L, h, node);
  return 1;
}

static int index_input(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_node_class);
  lur_node *node;
  LUR_CALL(L, lur_index(context, name, &node));
  lur_handle_fill(L, h, node);
  return 1;
}

static int kinds(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; i < lur_layer_kind_count(); i++) {
    lua_pushstring(L, lur_layer_kind_name(i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int options(lua_State *L) {
  const char *kind = luaL_checkstring(L, 1);
  lur_option_info info[LUR_MAX_SETTINGS];
  for (int i = 0; i < lur_layer_kind_count(); i++) {
    if (strcmp(lur_layer_kind_name(i), kind) != 0) continue;
    int n = lur_layer_kind_options(i, info, LUR_MAX_SETTINGS);
    lur_push_option_info(L, info, n < LUR_MAX_SETTINGS ? n : LUR_MAX_SETTINGS);
    lua_pushstring(L, lur_layer_kind_help(i));
    return 2;
  }
  return luaL_argerror(L, 1, lua_pushfstring(L, "unknown layer kind '%s'; nn.kinds() lists them", kind));
}

int lur_open_nn(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"input", input},       {"index", index_input},   {"parameter", parameter},
      {"constant", constant}, {"seq", lur_new_chain},   {"kinds", kinds},
      {"options", options},   {"compile_options", lur_compile_options_list},
      {NULL, NULL}};
  lur_register_layer(L, lur_node_operators);
  lur_register_chain(L);
  lua_newtable(L);
  for (int i = 0; i < lur_layer_kind_count(); i++) {
    lua_pushstring(L, lur_layer_kind_name(i));
    lua_pushcclosure(L, construct, 1);
    lua_setfield(L, -2, lur_layer_kind_name(i));
  }
  luaL_setfuncs(L, functions, 0); /* last: the kinds without inputs have functions of their own, which make nodes */
  lur_add_model(L);
  lur_register_run(L);
  return 1;
}
