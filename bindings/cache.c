/* cache.c - data.cache: a feature cache file, with one row per image and view; data.cache_info and data.cache_remove
 * for folders of them. Rows and images are lists from 1 or i32 tensors from 0. */
#include "data.h"

#include "modules.h"

static const char owner[] = "data.cache";

static void release(void *object) { lur_cache_release(object); }
static lur_cache *check_cache(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_cache_class); }

/* ---- making ---- */

static void read_shape(lua_State *L, lur_shape *shape) {
  if (lua_getfield(L, 1, "shape") != LUA_TTABLE) lur_args_bad(L, owner, "shape", "the extents of a row expected");
  lur_args_table_shape(L, -1, false, shape);
  if (shape->ndim >= LUR_MAX_DIMS) lur_args_bad(L, owner, "shape", "at most %d dimensions expected", LUR_MAX_DIMS - 1);
  lua_pop(L, 1);
}

/* Fingerprints of the set's images, in a userdata left on the stack. */
static const uint64_t *push_fingerprints(lua_State *L, lur_cache_options *o) {
  lua_getfield(L, 1, "set");
  lur_dataset *set = lur_handle_test(L, -1, &lur_set_class);
  if (set == NULL) lur_args_bad(L, owner, "set", "lurcher.dataset expected, got %s", luaL_typename(L, -1));
  o->images = lur_dataset_size(set);
  uint64_t *prints = lua_newuserdatauv(L, ((size_t)o->images + 1) * sizeof *prints, 0);
  LUR_CALL(L, lur_dataset_fingerprints(set, prints));
  return prints;
}

int lur_data_cache(lua_State *L) {
  static const char *const known[] = {"path", "key", "set", "shape", "store", "views", "label", NULL};
  static const char *const stores[] = {"f32", "f16", NULL};
  lua_settop(L, 1);
  if (!lur_args_options(L, 1, owner, known)) lur_raise(L, "'data.cache' expects a table of options");
  lur_cache_options o = {.path = lur_args_text(L, 1, owner, "path", NULL),
                         .key = lur_args_text(L, 1, owner, "key", NULL),
                         .label = lur_args_text(L, 1, owner, "label", NULL)};
  if (o.path == NULL) lur_args_bad(L, owner, "path", "required: path of the file");
  if (o.key == NULL) lur_args_bad(L, owner, "key", "required: a text of everything that rows depend on");
  o.store = lur_args_choice(L, 1, owner, "store", stores, 0) == 0 ? LUR_F32 : LUR_F16;
  o.views = (int)lur_args_int(L, 1, owner, "views", 1, 1, 1 << 20);
  read_shape(L, &o.row);
  o.fingerprints = push_fingerprints(L, &o);
  lur_handle *h = lur_handle_new(L, &lur_cache_class);
  lur_cache *cache;
  LUR_CALL(L, lur_cache_new(lur_state_context(L), &o, &cache));
  lur_handle_fill(L, h, cache);
  return 1;
}

/* ---- files of a folder ---- */

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

int lur_data_cache_info(lua_State *L) {
  lur_cache_info info;
  lur_status status = lur_cache_look(luaL_checkstring(L, 1), &info);
  if (status != LUR_OK) return lur_soft(L, status);
  lua_newtable(L);
  lua_pushstring(L, info.label);
  lua_setfield(L, -2, "label");
  lua_pushstring(L, lur_dtype_name(info.store));
  lua_setfield(L, -2, "store");
  lua_createtable(L, info.row.ndim, 0);
  for (int i = 0; i < info.row.ndim; i++) {
    lua_pushinteger(L, (lua_Integer)info.row.dim[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "shape");
  set_integer(L, "images", info.images);
  set_integer(L, "views", info.views);
  set_integer(L, "bytes", (int64_t)info.bytes);
  set_number(L, "seconds", info.seconds);
  set_number(L, "used", info.used);
  set_flag(L, "part", info.is_part);
  set_flag(L, "busy", info.is_busy);
  return 1;
}

int lur_data_cache_remove(lua_State *L) {
  bool removed = false;
  lur_status status = lur_cache_remove(luaL_checkstring(L, 1), &removed);
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, removed);
  return 1;
}

/* ---- methods ---- */

static int cache_open(lua_State *L) {
  static const char *const states[] = {"closed", "ready", "filling", "busy"};
  lur_cache *cache = check_cache(L, 1);
  lur_cache_state state;
  lur_status status;
  LUR_RETRY(L, status, lur_cache_open(cache, luaL_optnumber(L, 2, 0), &state));
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushstring(L, states[state]);
  return 1;
}

static int cache_missing(lua_State *L) {
  lur_cache *cache = check_cache(L, 1);
  int64_t rows = lur_cache_rows(cache);
  int64_t first = lua_isnoneornil(L, 2) ? 0 : lur_args_index(L, 2, rows);
  int64_t last = lua_isnoneornil(L, 3) ? rows - 1 : lur_args_index(L, 3, rows);
  lua_newtable(L);
  lua_Integer n = 0;
  for (int64_t i = first; i <= last; i++) {
    if (lur_cache_has(cache, i)) continue;
    lur_push_index(L, i);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* The i32 tensor at arg, or one made of the list there, which is pushed. */
static lur_tensor *numbers_at(lua_State *L, int arg, const char *what) {
  return lua_istable(L, arg) ? lur_push_list(L, arg, what, true) : lur_check_tensor(L, arg);
}

static int cache_put(lua_State *L) {
  lur_cache *cache = check_cache(L, 1);
  lua_settop(L, 4);
  lur_tensor *rows = numbers_at(L, 2, "rows"), *index = numbers_at(L, 3, "index"), *features = lur_check_tensor(L, 4);
  lur_status status;
  LUR_RETRY(L, status, lur_cache_put(cache, rows, index, features));
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, true);
  return 1;
}

static int cache_finish(lua_State *L) {
  lur_status status = lur_cache_finish(check_cache(L, 1), luaL_optnumber(L, 2, 0));
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, true);
  return 1;
}

static int give(lua_State *L, lur_handle *h, lur_tensor *tensor) {
  lur_fill_tensor(L, h, tensor, true);
  return 1;
}

static int cache_select(lua_State *L) {
  lur_cache *cache = check_cache(L, 1);
  lur_tensor *rows = numbers_at(L, 2, "rows"), *features;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_cache_select(cache, rows, &features));
  return give(L, h, features);
}

static int cache_index(lua_State *L) {
  lur_cache *cache = check_cache(L, 1);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *index;
  LUR_CALL(L, lur_cache_index(cache, &index));
  return give(L, h, index);
}

/* ---- fields ---- */

static int get_bytes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lur_cache_bytes(check_cache(L, 1)));
  return 1;
}

static int get_size(lua_State *L) {
  lua_pushinteger(L, lur_cache_rows(check_cache(L, 1)));
  return 1;
}

static int get_note(lua_State *L) {
  lua_pushstring(L, lur_cache_note(check_cache(L, 1)));
  return 1;
}

static int get_path(lua_State *L) {
  lua_pushstring(L, lur_cache_path(check_cache(L, 1)));
  return 1;
}

static int get_seconds(lua_State *L) {
  lua_pushnumber(L, lur_cache_seconds(check_cache(L, 1)));
  return 1;
}

static const luaL_Reg methods[] = {
    {"open", cache_open},     {"missing", cache_missing}, {"put", cache_put}, {"finish", cache_finish},
    {"select", cache_select}, {"index", cache_index},     {NULL, NULL}};
static const luaL_Reg getters[] = {{"path", get_path}, {"bytes", get_bytes},     {"size", get_size},
                                   {"note", get_note}, {"seconds", get_seconds}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__len", get_size}, {NULL, NULL}};
const lur_class lur_cache_class = {
    .name = "lurcher.cache", .release = release, .methods = methods, .getters = getters, .meta = meta};
