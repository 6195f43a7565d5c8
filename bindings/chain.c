/* chain.c - nn.seq: layers, models and functions applied in order. A chain is a Lua table with a metatable; its list
 * part is its members. */
#include "nn.h"

static const char chain_name[] = "lurcher.chain";

int lur_new_chain(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  if (n == 0) return lur_raise(L, "seq: a list of layers expected, got an empty table");
  lua_createtable(L, (int)n, 0); /* a copy: the chain does not change with the caller's table */
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i);
    if (!lua_isfunction(L, -1) && luaL_getmetafield(L, -1, "__call") == LUA_TNIL)
      return lur_raise(L, "seq: layer, model or function expected at position %d, got %s", (int)i,
                       luaL_typename(L, -1));
    lua_settop(L, 3);
    lua_rawseti(L, 2, i);
  }
  luaL_setmetatable(L, chain_name);
  return 1;
}

static bool is_chain(lua_State *L, int index) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
  luaL_getmetatable(L, chain_name);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* Calls the first member with the arguments, the second with its results, and so on. */
static int chain_apply(lua_State *L) {
  luaL_argexpected(L, is_chain(L, 1), 1, chain_name);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i);
    lua_insert(L, 2);
    lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
  }
  return lua_gettop(L) - 1;
}

/* Calls the method of that name of every member that has one. */
static int chain_each(lua_State *L, const char *method) {
  luaL_argexpected(L, is_chain(L, 1), 1, chain_name);
  lua_settop(L, 1);
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, 1); i++) {
    lua_rawgeti(L, 1, i);
    if (!lua_isfunction(L, -1) && lua_getfield(L, -1, method) != LUA_TNIL) {
      lua_pushvalue(L, -2);
      lua_call(L, 1, 0);
    }
    lua_settop(L, 1);
  }
  return 1;
}

static int chain_freeze(lua_State *L) { return chain_each(L, "freeze"); }
static int chain_unfreeze(lua_State *L) { return chain_each(L, "unfreeze"); }

static int chain_tostring(lua_State *L) {
  luaL_argexpected(L, is_chain(L, 1), 1, chain_name);
  lua_settop(L, 1);
  lua_pushliteral(L, "nn.seq{");
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, 1); i++) {
    lua_pushstring(L, i > 1 ? ", " : " ");
    lua_rawgeti(L, 1, i);
    luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
    lua_concat(L, 3);
  }
  lua_pushliteral(L, " }");
  lua_concat(L, 2);
  return 1;
}

void lur_register_chain(lua_State *L) {
  static const luaL_Reg methods[] = {{"freeze", chain_freeze}, {"unfreeze", chain_unfreeze}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__call", chain_apply}, {"__tostring", chain_tostring}, {NULL, NULL}};
  luaL_newmetatable(L, chain_name);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
