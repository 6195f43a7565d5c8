/* worker.c - see worker.h. A worker's state has a context of its own, so that it shares no object with the main state
 * or with another worker; what would share something of the process is replaced by a function that raises. */
#include "worker.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "scripts.h"

/* Their addresses name the registry entries of math.randomseed and of the files that were loaded. */
static const char seed_key = 0, files_key = 0;

/* ---- paths ---- */

static char *copy_field(lua_State *L, const char *field) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  const char *text = "";
  if (lua_istable(L, -1) && lua_getfield(L, -1, field) == LUA_TSTRING) text = lua_tostring(L, -1);
  return strdup(text);
}

bool lur_worker_copy_origin(lua_State *L, lur_worker_origin *origin) {
  int top = lua_gettop(L);
  origin->path = copy_field(L, "path");
  origin->cpath = copy_field(L, "cpath");
  lur_script_push_overrides(L);
  origin->overrides = strdup(lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
  origin->open = lur_state_opener(L);
  lua_settop(L, top);
  return origin->path && origin->cpath && origin->overrides;
}

void lur_worker_free_origin(lur_worker_origin *origin) {
  free(origin->path);
  free(origin->cpath);
  free(origin->overrides);
  *origin = (lur_worker_origin){0};
}

/* Pushes "folder/?.lua;folder/?/init.lua;" of an absolute file; "" where its folder has marks of paths in it. */
static void push_beside(lua_State *L, const char *file) {
  const char *slash = strrchr(file, '/');
  lua_pushlstring(L, file, slash == NULL ? 0 : (size_t)(slash - file) + 1);
  const char *folder = lua_tostring(L, -1);
  if (folder[0] == '/' && strpbrk(folder, LUA_PATH_SEP LUA_PATH_MARK) == NULL)
    lua_pushfstring(L, "%s?.lua" LUA_PATH_SEP "%s?/init.lua" LUA_PATH_SEP, folder, folder);
  else lua_pushliteral(L, "");
  lua_remove(L, -2);
}

static void set_paths(lua_State *L, const lur_worker_origin *origin, const char *file) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  push_beside(L, file);
  lua_pushstring(L, origin->path);
  lua_concat(L, 2);
  lua_setfield(L, -2, "path");
  lua_pushstring(L, origin->cpath);
  lua_setfield(L, -2, "cpath");
  lua_pop(L, 1);
  lua_pushstring(L, origin->overrides);
  lur_script_set_overrides(L);
}

/* ---- what a worker must not do ---- */

/* Upvalue: the name. */
static int refuse(lua_State *L) {
  return lur_raise(L, "%s cannot be used in a loader's worker: it belongs in the script that makes the loader",
                   lua_tostring(L, lua_upvalueindex(1)));
}

static void push_refusal(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_pushcclosure(L, refuse, 1);
}

/* Replaces table.name, of the table on top. */
static void refuse_function(lua_State *L, const char *table, const char *name) {
  push_refusal(L, lua_pushfstring(L, "%s.%s", table, name));
  lua_setfield(L, -3, name);
  lua_pop(L, 1);
}

/* Replaces lurcher.name by a table that raises; the lurcher table is on top. */
static void refuse_module(lua_State *L, const char *name) {
  lua_newtable(L);
  lua_createtable(L, 0, 2);
  push_refusal(L, lua_pushfstring(L, "lurcher.%s", name));
  lua_remove(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__call");
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushfstring(L, "lurcher.%s", name);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_setfield(L, -2, name);
}

/* The lurcher table is on top. */
static void restrict_state(lua_State *L) {
  static const char *const data[] = {"loader", "audit", "cache", "cache_remove", NULL};
  refuse_module(L, "nn");
  refuse_module(L, "optim");
  refuse_module(L, "fit");
  refuse_function(L, "lurcher", "device");
  refuse_function(L, "lurcher", "devices");
  lua_getfield(L, -1, "data");
  for (int i = 0; data[i] != NULL; i++) refuse_function(L, "lurcher.data", data[i]);
  lua_getglobal(L, LUA_OSLIBNAME);
  refuse_function(L, "os", "exit");
  refuse_function(L, "os", "setlocale");
  lua_pop(L, 2);
}

/* ---- open ---- */

typedef struct opening {
  const lur_worker_origin *origin;
  const char *file;
  lur_context *context; /* NULL once the state has it */
} opening;

/* Argument: the opening. */
static int open_state(lua_State *L) {
  opening *o = lua_touserdata(L, 1);
  luaL_openlibs(L);
  lur_state_make_worker(L, o->context);
  o->context = NULL;
  lur_script_searcher(L);
  set_paths(L, o->origin, o->file);
  luaL_requiref(L, "lurcher", o->origin->open, 0);
  restrict_state(L);
  lua_getglobal(L, LUA_MATHLIBNAME);
  lua_getfield(L, -1, "randomseed");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &seed_key);
  return 0;
}

lur_status lur_worker_open(const lur_worker_origin *origin, const char *file, lua_State **state) {
  opening o = {.origin = origin, .file = file};
  LUR_TRY(lur_context_new_serial(0, &o.context));
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    lur_context_release(o.context);
    return lur_fail(LUR_ENOMEM, "out of memory for the Lua state of a worker");
  }
  lua_pushcfunction(L, open_state); /* a light C function: allocates nothing */
  lua_pushlightuserdata(L, &o);
  int result = lua_pcall(L, 1, 0, 0);
  if (result == LUA_OK) {
    *state = L;
    return LUR_OK;
  }
  lur_status status = lur_fail(result == LUA_ERRMEM ? LUR_ENOMEM : LUR_ESTATE, "the Lua state of a worker: %s",
                               lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(no message)");
  lua_close(L);
  lur_context_release(o.context);
  return status;
}

void lur_worker_seed(lua_State *L, uint64_t key) {
  lur_context_seed(lur_state_context(L), key);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &seed_key);
  lua_pushinteger(L, (lua_Integer)key);
  lua_call(L, 1, 0);
}

/* ---- the files that it loads ---- */

/* A searcher that keeps what it finds. Upvalue: the searcher. */
static int recording_searcher(lua_State *L) {
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 2);
  const char *found = lua_isfunction(L, 1) && lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "<";
  if (found[0] == '<' || found[0] == ':') return 2; /* compiled in; preloaded */
  lua_rawgetp(L, LUA_REGISTRYINDEX, &files_key);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_settop(L, 2);
  return 2;
}

void lur_worker_record(lua_State *L) {
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &files_key);
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
    lua_pushcclosure(L, recording_searcher, 1);
    lua_rawseti(L, -2, i);
  }
  lua_pop(L, 3);
}

const char *lur_worker_recorded(lua_State *L, int i) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &files_key);
  lua_rawgeti(L, -1, i);
  const char *file = lua_tostring(L, -1);
  lua_pop(L, 2);
  return file;
}
