/* scripts.c - finds and loads the compiled-in Lua files. */
#include "scripts.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Renamed modules of the library: `require` of an old name returns the module of the new one, for one release. */
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

/* ---- overrides ---- */

static const char overrides = 0; /* its address names the registry entry */

void lur_script_push_overrides(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &overrides); }
void lur_script_set_overrides(lua_State *L) { lua_rawsetp(L, LUA_REGISTRYINDEX, &overrides); }

/* Adds an entry of LURCHER_PATH, a template or a folder, from the root: a script may change the current directory. */
static void add_entry(luaL_Buffer *path, const char *here, const char *entry, size_t length) {
  static const char *const endings[] = {"/?.lua" LUA_PATH_SEP, "/?/init.lua" LUA_PATH_SEP};
  bool template = memchr(entry, *LUA_PATH_MARK, length) != NULL;
  for (int i = 0; i < (template ? 1 : 2); i++) {
    if (entry[0] != '/') luaL_addstring(path, here);
    if (entry[0] != '/') luaL_addchar(path, '/');
    luaL_addlstring(path, entry, length);
    luaL_addstring(path, template ? LUA_PATH_SEP : endings[i]);
  }
}

/* Pushes the path that LURCHER_PATH names. */
static void push_environment(lua_State *L) {
  const char *entry = getenv("LURCHER_PATH");
  char here[4096];
  luaL_Buffer path;
  if (getcwd(here, sizeof here) == NULL) here[0] = '\0';
  luaL_buffinit(L, &path);
  while (entry != NULL && *entry != '\0') {
    size_t length = strcspn(entry, LUA_PATH_SEP);
    if (length > 0 && (entry[0] == '/' || here[0] != '\0')) add_entry(&path, here, entry, length);
    entry += length + (entry[length] != '\0');
  }
  luaL_pushresult(&path);
}

/* Pushes the file that overrides a module, and loads it: its loader and its path, 2 results; 0: there is none. */
static int load_override(lua_State *L, const char *name) {
  int top = lua_gettop(L);
  lua_getglobal(L, LUA_LOADLIBNAME);
  if (!lua_istable(L, -1) || lua_getfield(L, -1, "searchpath") != LUA_TFUNCTION) return 0;
  lua_pushstring(L, name);
  lur_script_push_overrides(L);
  lua_call(L, 2, 1);
  const char *path = lua_tostring(L, -1);
  if (path == NULL) {
    lua_settop(L, top);
    return 0;
  }
  if (luaL_loadfile(L, path) != LUA_OK)
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", name, path, lua_tostring(L, -1));
  lua_pushstring(L, path);
  return 2;
}

/* ---- the searcher ---- */

/* "lurcher.models.xception" -> lurcher/models/xception.lua */
static int searcher(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (strncmp(name, "lurcher.", 8) != 0) {
    lua_pushfstring(L, "no compiled-in script '%s'", name);
    return 1;
  }
  if (load_override(L, name) == 2) return 2;
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
  lua_pushfstring(L, "<%s>", path); /* the loader's second argument, as in its chunk name */
  return 2;
}

void lur_script_searcher(lua_State *L) {
  lur_script_push_overrides(L);
  bool done = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (done) return;
  push_environment(L);
  lur_script_set_overrides(L);
  lua_getglobal(L, LUA_LOADLIBNAME);
  if (lua_istable(L, -1) && lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = n; i >= 2; i--) { /* 1: preload; this one becomes 2 */
      lua_geti(L, -1, i);
      lua_seti(L, -2, i + 1);
    }
    lua_pushcfunction(L, searcher);
    lua_seti(L, -2, n < 1 ? 1 : 2);
    lua_pop(L, 1);
  } else if (lua_istable(L, -1)) {
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}
