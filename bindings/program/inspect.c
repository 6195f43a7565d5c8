/* inspect.c - how the session shows a value: handles by their tostring, tables three levels deep, with up to 40
 * entries, in lines that fit a terminal, strings in tables quoted, everything else as Lua writes it. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/modules.h"
#include "program.h"

enum { DEEP = 3, MOST = 40, LINE = 90 }; /* an entry begun before LINE ends within a terminal of 120 */

static void append(lua_State *L, int out, const char *text) {
  lua_pushvalue(L, out);
  lua_pushstring(L, text);
  lua_concat(L, 2);
  lua_replace(L, out);
}

/* Appends what precedes an entry of a table at depth: a comma and, where the line is long enough, a new line. */
static void append_separator(lua_State *L, int out, int shown, int depth) {
  const char *text = lua_tostring(L, out), *line = strrchr(text, '\n');
  append(L, out, shown > 0 ? "," : "");
  if (strlen(line != NULL ? line + 1 : text) < LINE) {
    append(L, out, " ");
    return;
  }
  append(L, out, "\n");
  for (int i = 0; i <= depth; i++) append(L, out, "  ");
}

static void append_value(lua_State *L, int out, int index, int depth);

static bool is_identifier(const char *text) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  return *text != '\0' && strchr("0123456789", *text) == NULL && strspn(text, letters) == strlen(text);
}

static void append_key(lua_State *L, int out, int key) {
  if (lua_type(L, key) == LUA_TSTRING && is_identifier(lua_tostring(L, key))) {
    append(L, out, lua_tostring(L, key));
  } else {
    append(L, out, "[");
    append_value(L, out, key, DEEP);
    append(L, out, "]");
  }
  append(L, out, " = ");
}

/* Appends the entries outside the list part, sorted if all keys are strings. */
static void append_named(lua_State *L, int out, int table, lua_Integer listed, int depth, int shown) {
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "sort");
  lua_newtable(L);
  int keys = lua_gettop(L), others = 0;
  lua_Integer n = 0;
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1)) {
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= listed) continue;
    if (lua_type(L, -2) != LUA_TSTRING) others++;
    lua_pushvalue(L, -2);
    lua_rawseti(L, keys, ++n);
  }
  if (others == 0) { /* keys of different types cannot be compared */
    lua_pushvalue(L, keys - 1);
    lua_pushvalue(L, keys);
    lua_call(L, 1, 0);
  }
  for (lua_Integer i = 1; i <= n; i++, shown++) {
    append_separator(L, out, shown, depth);
    if (shown >= MOST) {
      append(L, out, "...");
      break;
    }
    lua_rawgeti(L, keys, i);
    int key = lua_gettop(L);
    append_key(L, out, key);
    lua_pushvalue(L, key);
    lua_rawget(L, table);
    append_value(L, out, lua_gettop(L), depth + 1);
    lua_settop(L, keys);
  }
  lua_settop(L, keys - 3);
}

static void append_table(lua_State *L, int out, int index, int depth) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, index);
  int shown = 0;
  lua_pushnil(L);
  bool empty = lua_next(L, index) == 0;
  if (!empty) lua_pop(L, 2);
  append(L, out, "{");
  for (lua_Integer i = 1; i <= n && shown <= MOST; i++, shown++) {
    append_separator(L, out, shown, depth);
    if (shown == MOST) {
      append(L, out, "...");
      continue;
    }
    lua_rawgeti(L, index, i);
    append_value(L, out, lua_gettop(L), depth + 1);
    lua_pop(L, 1);
  }
  if (shown <= MOST) append_named(L, out, index, n, depth, shown);
  append(L, out, empty ? "}" : " }");
}

static void append_quoted(lua_State *L, int out, int index) {
  luaL_gsub(L, lua_tostring(L, index), "\\", "\\\\");
  luaL_gsub(L, lua_tostring(L, -1), "\n", "\\n");
  luaL_gsub(L, lua_tostring(L, -1), "\"", "\\\"");
  append(L, out, "\"");
  append(L, out, lua_tostring(L, -1));
  append(L, out, "\"");
  lua_pop(L, 3);
}

static void append_value(lua_State *L, int out, int index, int depth) {
  luaL_checkstack(L, 16, "table nested too deep");
  if (lua_type(L, index) == LUA_TSTRING && depth > 0) {
    append_quoted(L, out, index);
    return;
  }
  bool own = luaL_getmetafield(L, index, "__tostring") != LUA_TNIL;
  if (own) lua_pop(L, 1);
  if (lua_type(L, index) == LUA_TTABLE && !own && depth < DEEP) {
    append_table(L, out, index, depth);
    return;
  }
  if (lua_type(L, index) == LUA_TFUNCTION && depth > 0) { /* in a table, its key is more informative than its address */
    append(L, out, "function");
    return;
  }
  append(L, out, lur_push_text(L, index));
  lua_pop(L, 1);
}

void lur_push_inspected(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (lua_type(L, index) == LUA_TSTRING) { /* zero bytes included */
    lua_pushvalue(L, index);
    return;
  }
  lua_pushliteral(L, "");
  append_value(L, lua_gettop(L), index, 0);
}
