/* paths.c - where `require` looks: never in the current directory, which may be a folder of images from anywhere. A
 * script's own folder and LURCHER_PATH come first, then the compiled-in library, then package.path and package.cpath
 * (LUA_PATH and LUA_CPATH included), of which relative entries are dropped. Recipes use the library as it is compiled
 * in. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/scripts.h"
#include "program.h"

/* Drops the relative entries of package[field]. */
static void keep_absolute(lua_State *L, const char *field) {
  luaL_Buffer kept;
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, field);
  const char *entry = lua_tostring(L, -1);
  bool first = true;
  luaL_buffinit(L, &kept);
  while (entry != NULL && *entry != '\0') {
    size_t length = strcspn(entry, LUA_PATH_SEP);
    if (entry[0] == '/') {
      if (!first) luaL_addstring(&kept, LUA_PATH_SEP);
      luaL_addlstring(&kept, entry, length);
      first = false;
    }
    entry += length + (entry[length] != '\0');
  }
  luaL_pushresult(&kept);
  lua_setfield(L, -3, field);
  lua_pop(L, 2);
}

/* Puts the text on top before package[field], and pops it. */
static void prepend(lua_State *L, const char *field) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, field);
  const char *rest = lua_tostring(L, -1);
  lua_pushfstring(L, "%s%s%s", lua_tostring(L, -3), *rest != '\0' ? LUA_PATH_SEP : "", rest);
  lua_setfield(L, -3, field);
  lua_pop(L, 3);
}

/* Pushes the absolute folder of a script, with a slash; false where it cannot stand in a path. */
static bool push_folder(lua_State *L, const char *script) {
  const char *slash = strrchr(script, '/');
  lua_pushlstring(L, script, slash == NULL ? 0 : (size_t)(slash - script) + 1);
  if (script[0] != '/') {
    char *here = getcwd(NULL, 0);
    if (here == NULL) return false;
    lua_pushfstring(L, "%s/%s", here, lua_tostring(L, -1));
    free(here);
    lua_remove(L, -2);
  }
  return strpbrk(lua_tostring(L, -1), LUA_PATH_SEP LUA_PATH_MARK) == NULL;
}

void lur_program_set_paths(lua_State *L, bool recipe) {
  keep_absolute(L, "path");
  keep_absolute(L, "cpath");
  if (recipe) {
    lua_pushliteral(L, "");
    lur_script_set_overrides(L);
    return;
  }
  lur_script_push_overrides(L);
  if (*lua_tostring(L, -1) != '\0') prepend(L, "path");
  else lua_pop(L, 1);
}

void lur_program_search_beside(lua_State *L, const char *script) {
  if (!push_folder(L, script)) {
    lua_pop(L, 1);
    return;
  }
  const char *folder = lua_tostring(L, -1);
  lua_pushfstring(L, "%s?.so", folder);
  prepend(L, "cpath");
  lua_pushfstring(L, "%s?.lua;%s?/init.lua", folder, folder);
  lua_pushvalue(L, -1);
  prepend(L, "path");
  lur_script_push_overrides(L);
  lua_pushfstring(L, "%s;%s", lua_tostring(L, -2), lua_tostring(L, -1));
  lur_script_set_overrides(L);
  lua_pop(L, 3);
}

/* ---- --trace ---- */

/* A searcher that writes where it found a module before the module runs. Upvalue: the searcher. */
static int traced_searcher(lua_State *L) {
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_call(L, 1, 2);
  if (!lua_isfunction(L, 2)) return 2;
  const char *from = lua_tostring(L, 3);
  if (from == NULL) from = "?";
  fflush(stdout);
  fprintf(stderr, "lurcher: module '%s' from %s\n", lua_tostring(L, 1),
          strcmp(from, ":preload:") == 0 ? "the program" : from);
  return 2;
}

void lur_program_trace_modules(lua_State *L) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++) {
    lua_pushcclosure(L, traced_searcher, 1);
    lua_seti(L, -2, i);
  }
  lua_pop(L, 3);
}
