/* files.c - text files, written atomically, and named tensors as safetensors files. Checkpoints and weights are methods
 * of run and model. */
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "modules.h"

static int write_file(lua_State *L) {
  size_t length;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &length);
  lur_status status = lur_file_write(path, text, length);
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, true);
  return 1;
}

/* Tables have no order: entries are written sorted by name, so that equal contents are equal bytes. */
static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Keys and values of the table of strings at index, alternating and sorted by key; pushes the array. Returns the number
   of entries. */
static int push_pairs(lua_State *L, int index, const char *const **pairs) {
  size_t n = 0, at = 0;
  *pairs = NULL;
  if (lua_isnoneornil(L, index)) return 0;
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -1) != LUA_TSTRING || lua_type(L, -2) != LUA_TSTRING)
      lur_raise(L, "metadata: a table of strings by string expected, got a %s by a %s", luaL_typename(L, -1),
                luaL_typename(L, -2));
    n++;
  }
  const char **list = lua_newuserdatauv(L, (2 * n + 1) * sizeof *list, 0);
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    list[at++] = lua_tostring(L, -2);
    list[at++] = lua_tostring(L, -1);
  }
  qsort(list, n, 2 * sizeof *list, by_name);
  *pairs = list;
  return (int)n;
}

int lur_push_tensors(lua_State *L, int index, const char *owner, const char ***names, lur_tensor ***tensors) {
  int n = 0, i = 0;
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      lur_raise(L, "%s: tensors are named by strings, got a %s key", owner, luaL_typename(L, -2));
    if (lur_handle_test(L, -1, &lur_tensor_class) == NULL)
      lur_raise(L, "%s: lurcher.tensor expected for '%s', got %s", owner, lua_tostring(L, -2), luaL_typename(L, -1));
    n++;
  }
  *names = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof **names, 0);
  *tensors = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof **tensors, 0);
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1), i++) (*names)[i] = lua_tostring(L, -2);
  qsort(*names, (size_t)n, sizeof **names, by_name);
  for (i = 0; i < n; i++) {
    lua_getfield(L, index, (*names)[i]);
    (*tensors)[i] = lur_handle_test(L, -1, &lur_tensor_class);
    lua_pop(L, 1);
  }
  return n;
}

static int save_tensors(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *const * pairs, **names;
  lur_tensor **tensors;
  lua_settop(L, 3);
  int n = lur_push_tensors(L, 2, "save_tensors", &names, &tensors), npairs = push_pairs(L, 3, &pairs);
  lur_status status;
  LUR_RETRY(L, status, lur_tensors_save(path, n, names, tensors, npairs, pairs));
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, true);
  return 1;
}

static void close_archive(void *archive) { lur_archive_close(archive); }

static int load_tensors(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lur_context *context = lur_state_context(L);
  lur_guard *guard = lur_guard_new(L, close_archive);
  lur_archive *archive;
  lur_status status = lur_archive_open(context, path, &archive);
  if (status != LUR_OK) return lur_soft(L, status);
  guard->pointer = archive;
  int n = lur_archive_count(archive);
  lua_createtable(L, 0, n);
  for (int i = 0; i < n; i++) {
    lur_handle *h = lur_handle_new(L, &lur_tensor_class);
    lur_tensor *t;
    LUR_RETRY(L, status, lur_archive_read(archive, i, &t));
    if (status != LUR_OK) return lur_soft(L, status);
    lur_fill_tensor(L, h, t, true);
    lua_setfield(L, -2, lur_archive_name(archive, i));
  }
  lua_newtable(L);
  const char *key;
  for (int i = 0; (key = lur_archive_metadata_key(archive, i)) != NULL; i++) {
    lua_pushstring(L, lur_archive_metadata(archive, key));
    lua_setfield(L, -2, key);
  }
  lur_guard_clear(guard);
  return 2;
}

void lur_add_files(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"write_file", write_file}, {"save_tensors", save_tensors}, {"load_tensors", load_tensors}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
