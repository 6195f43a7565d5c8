/* json.c - the module lurcher.json, on cJSON. A guard owns the tree from its first item on, so that a raise frees it.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "kernels/number.h"
#include "kernels/visible.h"
#include "modules.h"

enum { MAX_DEPTH = 200 };
static const char array_name[] = "lurcher.json.array";

static void release_tree(void *tree) { cJSON_Delete(tree); }

static cJSON *checked(lua_State *L, cJSON *item) {
  if (item == NULL) luaL_error(L, "json: out of memory");
  return item;
}

/* ---- encode ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool is_array(lua_State *L, int index) {
  if (lua_rawlen(L, index) > 0) return true;
  if (!lua_getmetatable(L, index)) return false;
  luaL_getmetatable(L, array_name);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* The shortest text that reads back as the same number. cJSON's own may differ in the last bit. */
static cJSON *encode_number(lua_State *L, int index) {
  char text[LUR_NUMBER_TEXT];
  if (lua_isinteger(L, index)) {
    snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(L, index));
    return cJSON_CreateRaw(text);
  }
  double value = lua_tonumber(L, index);
  if (!isfinite(value)) return cJSON_CreateNull();
  lur_shortest_number(value, 15, text);
  return cJSON_CreateRaw(text);
}

/* A new item for a plain value, or an empty array or object for a table. */
static cJSON *encode(lua_State *L, int index, int depth) {
  if (depth > MAX_DEPTH) lur_raise(L, "json: tables nested more than %d deep (does one contain itself?)", MAX_DEPTH);
  switch (lua_type(L, index)) {
  case LUA_TNIL: return checked(L, cJSON_CreateNull());
  case LUA_TBOOLEAN: return checked(L, cJSON_CreateBool(lua_toboolean(L, index)));
  case LUA_TNUMBER: return checked(L, encode_number(L, index));
  case LUA_TSTRING: {
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    if (strlen(text) != length) lur_raise(L, "json: a string that contains a zero byte cannot be written");
    return checked(L, cJSON_CreateString(text));
  }
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, index) == NULL) return checked(L, cJSON_CreateNull());
    break;
  case LUA_TTABLE: return checked(L, is_array(L, index) ? cJSON_CreateArray() : cJSON_CreateObject());
  default: break;
  }
  lur_raise(L, "json: a %s cannot be written", luaL_typename(L, index));
  return NULL;
}

static void encode_object(lua_State *L, int index, cJSON *object, int depth);
static void encode_array(lua_State *L, int index, cJSON *array, int depth);

/* Adds the children of the table at index to its item, which is in the tree already. */
static void encode_children(lua_State *L, int index, cJSON *item, int depth) {
  if (!lua_istable(L, index)) return;
  luaL_checkstack(L, 8, "json");
  if (cJSON_IsArray(item)) encode_array(L, index, item, depth + 1);
  else encode_object(L, index, item, depth + 1);
}

static void encode_array(lua_State *L, int index, cJSON *array, int depth) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, index);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, index, i);
    int value = lua_gettop(L);
    cJSON *item = encode(L, value, depth);
    cJSON_AddItemToArray(array, item);
    encode_children(L, value, item, depth);
    lua_settop(L, value - 1);
  }
}

/* Members are sorted by key. */
static void encode_object(lua_State *L, int index, cJSON *object, int depth) {
  size_t n = 0, i = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      lur_raise(L, "json: the keys of an object must be strings, got a %s", luaL_typename(L, -2));
    n++;
  }
  const char **keys = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0);
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) keys[i++] = lua_tostring(L, -2);
  qsort(keys, n, sizeof *keys, by_text);
  for (i = 0; i < n; i++) {
    lua_getfield(L, index, keys[i]);
    int value = lua_gettop(L);
    cJSON *item = encode(L, value, depth);
    if (!cJSON_AddItemToObject(object, keys[i], item)) {
      cJSON_Delete(item);
      luaL_error(L, "json: out of memory");
    }
    encode_children(L, value, item, depth);
    lua_settop(L, value - 1);
  }
  lua_pop(L, 1);
}

/* The length of a character at text that a terminal would obey (visible.h), and its code; 0: another character. All of
   them have less than four bytes. cJSON escapes those below 0x20. */
static size_t obeyed(const unsigned char *text, unsigned *code) {
  char out[16];
  size_t n = text[0] < 0x80 ? 1 : text[0] < 0xE0 ? 2 : 3;
  if (text[0] < 0x7F || text[0] >= 0xF0 || strnlen((const char *)text, n) < n) return 0;
  *code = n == 1 ? text[0] : n == 2 ? (text[0] & 0x1Fu) << 6 | (text[1] & 0x3Fu)
                           : (text[0] & 0x0Fu) << 12 | (text[1] & 0x3Fu) << 6 | (text[2] & 0x3Fu);
  /* One escape: \x9b or \u{202e}. What is not UTF-8 becomes an escape per byte, and stays as it is in JSON. */
  size_t length = lur_visible((const char *)text, n, true, out, sizeof out);
  return (out[1] == 'x' && length == 4) || (out[1] == 'u' && length == 8) ? n : 0;
}

/* Pushes JSON with the characters that a terminal would obey as \u escapes. They are in strings only. */
static void push_json(lua_State *L, const char *text) {
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  while (*text != '\0') {
    unsigned code;
    size_t n = obeyed((const unsigned char *)text, &code);
    char escape[16];
    if (n == 0) luaL_addchar(&out, *text);
    else snprintf(escape, sizeof escape, "\\u%04x", code), luaL_addstring(&out, escape);
    text += n == 0 ? 1 : n;
  }
  luaL_pushresult(&out);
}

static void release_text(void *text) { cJSON_free(text); }

static int json_encode(lua_State *L) {
  luaL_checkany(L, 1);
  bool indent = lua_toboolean(L, 2);
  lua_settop(L, 1);
  lur_guard *tree = lur_guard_new(L, release_tree), *text = lur_guard_new(L, release_text);
  tree->pointer = encode(L, 1, 0);
  encode_children(L, 1, tree->pointer, 0);
  text->pointer = indent ? cJSON_Print(tree->pointer) : cJSON_PrintUnformatted(tree->pointer);
  if (text->pointer == NULL) return luaL_error(L, "json: out of memory");
  push_json(L, text->pointer);
  lur_guard_clear(text);
  lur_guard_clear(tree);
  return 1;
}

/* ---- decode ---- */

static int mark_array(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_setmetatable(L, array_name);
  return 1;
}

static void push_item(lua_State *L, const cJSON *item) {
  luaL_checkstack(L, 4, "json nested too deep");
  if (cJSON_IsBool(item)) {
    lua_pushboolean(L, cJSON_IsTrue(item));
  } else if (cJSON_IsNumber(item)) {
    double v = item->valuedouble;
    if (v == floor(v) && fabs(v) < 9007199254740992.0) lua_pushinteger(L, (lua_Integer)v);
    else lua_pushnumber(L, v);
  } else if (cJSON_IsString(item)) {
    lua_pushstring(L, item->valuestring);
  } else if (cJSON_IsArray(item)) {
    lua_Integer n = 0;
    lua_newtable(L);
    for (const cJSON *child = item->child; child != NULL; child = child->next) {
      push_item(L, child);
      lua_rawseti(L, -2, ++n);
    }
    luaL_setmetatable(L, array_name);
  } else if (cJSON_IsObject(item)) {
    lua_newtable(L);
    for (const cJSON *child = item->child; child != NULL; child = child->next) {
      lua_pushstring(L, child->string);
      push_item(L, child);
      lua_rawset(L, -3);
    }
  } else {
    lua_pushlightuserdata(L, NULL);
  }
}

static int json_decode(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length), *end = text;
  lur_guard *tree = lur_guard_new(L, release_tree);
  void *locale = lur_c_locale_enter(); /* cJSON reads numbers through the locale */
  tree->pointer = cJSON_ParseWithLengthOpts(text, length, &end, 0);
  lur_c_locale_leave(locale);
  const char *rest = end;
  while (tree->pointer != NULL && rest < text + length && strchr(" \t\r\n", *rest) != NULL && *rest != '\0') rest++;
  size_t at;
  if (tree->pointer == NULL && lur_json_check(text, length, &at) == LUR_OK) return luaL_error(L, "json: out of memory");
  if (tree->pointer == NULL || rest < text + length) {
    luaL_pushfail(L);
    lua_pushfstring(L, "not JSON: unexpected text at byte %I", (LUAI_UACINT)(rest - text + 1));
    lua_pushstring(L, lur_status_name(LUR_EFORMAT));
    return 3;
  }
  push_item(L, tree->pointer);
  lur_guard_clear(tree);
  return 1;
}

int lur_open_json(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"encode", json_encode}, {"decode", json_decode}, {"array", mark_array}, {NULL, NULL}};
  luaL_newmetatable(L, array_name);
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
