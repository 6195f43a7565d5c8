/* scripts.c - finds and loads the compiled-in Lua files. */
#include "scripts.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/number.h"

bool lur_script_is_ours(const char *source) { return source[0] == '=' && source[1] == '<'; }

static int compare(const void *path, const void *script) { return strcmp(path, ((const lur_script *)script)->path); }

const lur_script *lur_script_find(const char *path) {
  size_t n = 0;
  while (lur_scripts[n].path != NULL) n++;
  return n == 0 ? NULL : bsearch(path, lur_scripts, n, sizeof *lur_scripts, compare);
}

int lur_script_load(lua_State *L, const lur_script *script) {
  const char *name = lua_pushfstring(L, "=<%s>", script->path);
  void *locale = lur_c_locale_enter(); /* Lua reads the numbers in it through the locale */
  int status = luaL_loadbufferx(L, (const char *)script->text, script->size, name, "t");
  lur_c_locale_leave(locale);
  lua_remove(L, -2);
  return status;
}

/* Modules of the library that have a new name: `require` of the old one gives the module of the new one. For one
 * release; a name goes when that is over. */
static const struct {
  const char *old, *now;
} renamed[] = {
    {"lurcher.class_folders", "lurcher.recipe.class_folders"},
    {"lurcher.fixed_features", "lurcher.feature_cache"},
    {"lurcher.options", "lurcher.recipe.options"},
    {"lurcher.pair_data", "lurcher.recipe.pair_batches"},
    {"lurcher.pair_stage", "lurcher.recipe.pair_run"},
    {"lurcher.prefix", "lurcher.frozen"},
    {"lurcher.pretrained", "lurcher.recipe.pretrained"},
    {"lurcher.reading", "lurcher.preprocessing"},
    {"lurcher.report.pictures", "lurcher.report.images"},
    {"lurcher.run_folder", "lurcher.recipe.run_folder"},
    {"lurcher.single", "lurcher.recipe.single"},
};

static const char *new_name(const char *name) {
  for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
    if (strcmp(renamed[i].old, name) == 0) return renamed[i].now;
  return NULL;
}

/* The loader of a renamed module: (old name, new name) -> the module, which package.loaded then has under both. */
static int load_renamed(lua_State *L) {
  lua_settop(L, 2);
  lua_getglobal(L, "require");
  lua_insert(L, 2);
  lua_call(L, 1, 1);
  return 1;
}

/* "lurcher.models.xception" -> lurcher/models/xception.lua */
static int searcher(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (strncmp(name, "lurcher.", 8) != 0) {
    lua_pushfstring(L, "no compiled-in script '%s'", name);
    return 1;
  }
  luaL_gsub(L, name, ".", "/");
  const char *path = lua_pushfstring(L, "%s.lua", lua_tostring(L, -1));
  const lur_script *script = lur_script_find(path);
  if (script == NULL && new_name(name) != NULL) {
    lua_pushcfunction(L, load_renamed);
    lua_pushstring(L, new_name(name));
    return 2;
  }
  if (script == NULL) {
    lua_pushfstring(L, "no compiled-in script '%s'", path);
    return 1;
  }
  if (lur_script_load(L, script) != LUA_OK) return lua_error(L);
  lua_pushvalue(L, -2); /* the loader's second argument: its path */
  return 2;
}

void lur_script_searcher(lua_State *L) {
  static const char done = 0; /* its address names the registry entry */
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &done) != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  lua_pushboolean(L, true);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &done);
  lua_getglobal(L, LUA_LOADLIBNAME);
  if (lua_istable(L, -1) && lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = n; i >= 3; i--) { /* 1: preload, 2: package.path; we become 3 */
      lua_geti(L, -1, i);
      lua_seti(L, -2, i + 1);
    }
    lua_pushcfunction(L, searcher);
    lua_seti(L, -2, n < 2 ? n + 1 : 3);
    lua_pop(L, 1);
  } else if (lua_istable(L, -1)) {
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}
