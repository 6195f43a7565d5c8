/* help.c - lurcher.help: explains names by the annotations of bindings/api/, which are compiled in beside the scripts.
 * They are read by scripts/lurcher/reference.lua, at the first question and not before. */
#include <stdlib.h>
#include <string.h>

#include "modules.h"
#include "scripts.h"

/* Pushes a table of the compiled-in files below "api/": { ["lurcher"] = text, ... }. */
static void push_annotations(lua_State *L) {
  lua_newtable(L);
  for (const lur_script *s = lur_scripts; s->path != NULL; s++) {
    if (strncmp(s->path, "api/", 4) != 0) continue;
    lua_pushlstring(L, s->path + 4, strlen(s->path) - 4 - strlen(".lua"));
    lua_pushlstring(L, (const char *)s->text, s->size);
    lua_rawset(L, -3);
  }
}

/* Pushes a table of the recipes: { ["train"] = the first line of the file, ... }. */
static void push_recipes(lua_State *L) {
  lua_newtable(L);
  for (const lur_script *s = lur_scripts; s->path != NULL; s++) {
    if (strchr(s->path, '/') != NULL) continue;
    lua_pushlstring(L, s->path, strlen(s->path) - strlen(".lua"));
    lua_pushlstring(L, (const char *)s->text, strcspn((const char *)s->text, "\n"));
    lua_rawset(L, -3);
  }
}

/* lurcher.help(topic, as_text) */
static int help(lua_State *L) {
  static const char parsed[] = "lurcher.reference"; /* in the registry: the annotations, as read */
  lua_settop(L, 2);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lurcher.reference");
  lua_call(L, 1, 1);
  if (lua_getfield(L, LUA_REGISTRYINDEX, parsed) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_getfield(L, 3, "read");
    push_annotations(L);
    push_recipes(L);
    lua_call(L, 2, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, parsed);
  }
  lua_getfield(L, 3, "explain");
  lua_insert(L, 4);
  lua_pushvalue(L, 1);
  lua_call(L, 2, 2); /* text, whether something was found */
  if (lua_toboolean(L, 2)) return 2;
  size_t length;
  const char *text = luaL_checklstring(L, -2, &length);
  lua_writestring(text, length);
  fflush(stdout);
  return 0;
}

void lur_add_help(lua_State *L) {
  static const luaL_Reg functions[] = {{"help", help}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
