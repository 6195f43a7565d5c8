/* lurcher.c - luaopen_lurcher: the table `lurcher` and its submodules. Opening makes tables and nothing else: the
 * context, its threads and devices are created at first use. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "modules.h"
#include "scripts.h"

/* ---- devices ---- */

static int device_name(lua_State *L) {
  lua_pushstring(L, lur_device_name(lur_handle_check(L, 1, &lur_device_class)));
  return 1;
}

static int open_device(lua_State *L) {
  const char *name = luaL_optstring(L, 1, "auto");
  lur_handle *h = lur_handle_new(L, &lur_device_class);
  lur_device *device;
  lur_check(L, lur_context_device(lur_state_context(L), name, &device));
  lur_handle_fill(L, h, device);
  return 1;
}

static int devices(lua_State *L) {
  enum { MOST = 32 };
  char names[MOST][32];
  const char *why = NULL;
  int n = lur_device_list(names, MOST, &why);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n && i < MOST; i++) {
    lua_pushstring(L, names[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushstring(L, why);
  return 2;
}

/* ---- context ---- */

static int seed(lua_State *L) {
  lur_context *context = lur_state_context(L);
  if (!lua_isnoneornil(L, 1)) lur_context_seed(context, (uint64_t)luaL_checkinteger(L, 1));
  lua_pushinteger(L, (lua_Integer)lur_context_get_seed(context));
  return 1;
}

static int threads(lua_State *L) {
  lua_pushinteger(L, lur_context_threads(lur_state_context(L)));
  return 1;
}

static int interrupt(lua_State *L) {
  lur_context_interrupt(lur_state_context(L));
  return 0;
}

static int interrupted(lua_State *L) {
  bool requested = lur_context_check_interrupt(lur_state_context(L)) == LUR_EINTERRUPTED;
  if (requested) lur_state_unhook(L);
  lua_pushboolean(L, requested);
  return 1;
}

/* ---- the process ---- */

static int monotonic(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
  return 1;
}

/* A signal, Ctrl-C for one, ends it early. */
static int sleep_for(lua_State *L) {
  const lua_Number seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds <= 1e6, 1, "seconds from 0 to 1000000 expected");
  struct timespec duration = {.tv_sec = (time_t)seconds};
  duration.tv_nsec = (long)(1e9 * (seconds - (lua_Number)duration.tv_sec));
  nanosleep(&duration, NULL);
  return 0;
}

static int memory(lua_State *L) {
  long pages = 0, total = 0;
  FILE *statm = fopen("/proc/self/statm", "r");
  if (statm != NULL) {
    if (fscanf(statm, "%ld %ld", &total, &pages) != 2) pages = 0;
    fclose(statm);
  }
  struct rusage usage = {0};
  getrusage(RUSAGE_SELF, &usage);
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)pages * sysconf(_SC_PAGESIZE));
  lua_setfield(L, -2, "rss");
  lua_pushinteger(L, (lua_Integer)usage.ru_maxrss * 1024);
  lua_setfield(L, -2, "peak");
  return 1;
}

/* Hash of a string, or of a tensor's dtype, shape and elements. */
static int hash(lua_State *L) {
  char text[LUR_HASH_TEXT];
  size_t count;
  if (lua_type(L, 1) == LUA_TSTRING) {
    const char *bytes = lua_tolstring(L, 1, &count);
    lur_bytes_hash(bytes, count, text);
  } else {
    LUR_CALL(L, lur_tensor_hash(lur_check_tensor(L, 1), text));
  }
  lua_pushstring(L, text);
  return 1;
}

static int handles(lua_State *L) {
  lua_pushinteger(L, lur_state_open_handles(L));
  return 1;
}

/* ---- words ---- */

/* lurcher.nearest(word, candidates) -> the candidate meant, or nil */
static int nearest(lua_State *L) {
  const char *word = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  size_t n = lua_rawlen(L, 2);
  luaL_argcheck(L, n < 1 << 20, 2, "too many candidates");
  const char **candidates = lua_newuserdatauv(L, (n + 1) * sizeof *candidates, 0);
  for (size_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, 2, (lua_Integer)i + 1) != LUA_TSTRING)
      return lur_raise(L, "nearest: list of strings expected, got a %s at position %d", luaL_typename(L, -1),
                       (int)i + 1);
    candidates[i] = lua_tostring(L, -1); /* the list keeps it */
    lua_pop(L, 1);
  }
  lua_pushstring(L, lur_nearest(word, candidates, (int)n)); /* NULL: nil */
  return 1;
}

/* ---- the module ---- */

/* Sets lurcher[name], and package.loaded["lurcher.name"] for require. The lurcher table is on top. */
static void add_submodule(lua_State *L, const char *name, lua_CFunction open) {
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushfstring(L, "lurcher.%s", name);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_setfield(L, -2, name);
}

int luaopen_lurcher(lua_State *L) {
  static const luaL_Reg device_getters[] = {{"name", device_name}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"device", open_device}, {"devices", devices},     {"seed", seed},
                                       {"threads", threads},    {"interrupt", interrupt}, {"interrupted", interrupted},
                                       {"time", monotonic},     {"sleep", sleep_for},     {"memory", memory},
                                       {"handles", handles},    {"hash", hash},           {"nearest", nearest},
                                       {NULL, NULL}};
  lua_settop(L, 0);
  lur_state_set_opener(L, luaopen_lurcher);
  luaL_newlib(L, functions);
  lur_class_register(L, &lur_device_class, &(lur_members){.getters = device_getters, .tostring = device_name});
  lur_register_tensor(L);
  lur_add_tensor(L);
  lur_add_metrics(L);
  lur_add_files(L);
  lur_add_help(L);
  lur_add_terminal(L);
  lur_add_text(L);
  add_submodule(L, "json", lur_open_json);
  add_submodule(L, "nn", lur_open_nn);
  add_submodule(L, "optim", lur_open_optim);
  add_submodule(L, "data", lur_open_data);
  add_submodule(L, "image", lur_open_image);
  lua_pushstring(L, lur_version());
  lua_setfield(L, 1, "version");
  lur_script_searcher(L);
  return 1;
}
