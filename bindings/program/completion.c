/* completion.c - what Tab offers in the session: globals and keywords, and after "a.b." or "a:" the fields and methods
 * of the value, including those in __index tables and those of handles; within quotes, the modules of the library. It
 * runs no user code except __index for the names already typed. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/scripts.h"
#include "program.h"

enum { HOPS = 16 }; /* of __index */

typedef struct search {
  const char *prefix; /* the word up to the last separator: every candidate begins with it */
  size_t prefix_length;
  const char *part; /* what the name must begin with */
  bool methods;     /* after ':' functions only */
  int found;        /* stack index of the set of candidates */
} search;

static bool is_name(const char *text, size_t length) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  return length > 0 && strchr("0123456789", *text) == NULL && strspn(text, letters) >= length;
}

static void offer(lua_State *L, const search *s, const char *name, bool function) {
  if (strncmp(name, s->part, strlen(s->part)) != 0 || !is_name(name, strlen(name))) return;
  if (s->methods && !function) return;
  lua_pushlstring(L, s->prefix, s->prefix_length);
  lua_pushstring(L, name);
  lua_concat(L, 2);
  lua_pushboolean(L, true);
  lua_rawset(L, s->found);
}

/* Offers the string keys of the table on top. fields: its functions are getters, not methods. */
static void offer_keys(lua_State *L, const search *s, bool fields) {
  int table = lua_gettop(L);
  if (!lua_istable(L, table)) return;
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) offer(L, s, lua_tostring(L, -2), !fields && lua_isfunction(L, -1));
}

/* Offers the fields and methods of the value on top, and those of the tables that __index leads to. Pops it. */
static void offer_value(lua_State *L, const search *s) {
  int top = lua_gettop(L);
  for (int hop = 0; hop < HOPS; hop++) {
    offer_keys(L, s, false);
    if (!lua_getmetatable(L, -1)) break;
    lua_getfield(L, -1, "__methods");
    offer_keys(L, s, false);
    lua_getfield(L, -2, "__fields");
    offer_keys(L, s, true);
    lua_pop(L, 2);
    if (lua_getfield(L, -1, "__index") != LUA_TTABLE) break;
  }
  lua_settop(L, top - 1);
}

static void offer_keywords(lua_State *L, const search *s) {
  static const char *const keywords[] = {"and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
                                         "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
                                         "repeat",   "return", "then", "true", "until",  "while", NULL};
  for (int i = 0; keywords[i] != NULL; i++) offer(L, s, keywords[i], false);
}

/* Pushes the value that "a.b.c" names; false when there is none (the stack has grown then, too). */
static bool push_path(lua_State *L, const char *text, size_t length) {
  lua_pushglobaltable(L);
  for (size_t at = 0; at < length;) {
    size_t n = strcspn(text + at, ".:");
    if (n > length - at) n = length - at;
    if (!is_name(text + at, n)) return false;
    lua_pushlstring(L, text + at, n);
    lua_gettable(L, -2);
    if (lua_isnil(L, -1)) return false;
    at += n + 1;
  }
  return true;
}

/* Pushes the keys of the set at index as a sorted list. */
static void push_sorted(lua_State *L, int set) {
  lua_Integer n = 0;
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "sort");
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, set) != 0; lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_rawseti(L, -4, ++n);
  }
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
}

/* Adds the modules that begin with `word`, as `require` takes them: "lurcher.models.xception". */
static void offer_modules(lua_State *L, const char *word, int found) {
  static const char *const parts[] = {"lurcher",      "lurcher.data", "lurcher.image",
                                      "lurcher.json", "lurcher.nn",   "lurcher.optim"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (strncmp(parts[i], word, strlen(word)) != 0) continue;
    lua_pushboolean(L, true);
    lua_setfield(L, found, parts[i]);
  }
  for (const lur_script *s = lur_scripts; s->path != NULL; s++) {
    if (strncmp(s->path, "lurcher/", 8) != 0 || strncmp(s->path, "lurcher/recipe/", 15) == 0) continue;
    lua_pushlstring(L, s->path, strlen(s->path) - strlen(".lua"));
    const char *name = luaL_gsub(L, lua_tostring(L, -1), "/", ".");
    lua_remove(L, -2);
    if (strncmp(name, word, strlen(word)) == 0) {
      lua_pushboolean(L, true);
      lua_setfield(L, found, name);
    }
    lua_pop(L, 1);
  }
}

int lur_complete(lua_State *L) {
  const char *word = luaL_checkstring(L, 1), *last = NULL;
  for (const char *p = word; *p != '\0'; p++)
    if (*p == '.' || *p == ':') last = p;
  bool quoted = lua_toboolean(L, 2);
  lua_newtable(L);
  if (quoted) {
    offer_modules(L, word, lua_gettop(L));
    push_sorted(L, lua_gettop(L));
    return 1;
  }
  search s = {.prefix = word, .prefix_length = last != NULL ? (size_t)(last - word) + 1 : 0, .found = lua_gettop(L)};
  s.part = word + s.prefix_length;
  s.methods = last != NULL && *last == ':';
  if (last == NULL) {
    offer_keywords(L, &s);
    lua_pushglobaltable(L);
    offer_value(L, &s);
  } else if (push_path(L, word, (size_t)(last - word))) {
    offer_value(L, &s);
  }
  push_sorted(L, s.found);
  return 1;
}
