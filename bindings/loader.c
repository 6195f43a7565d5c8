/* loader.c - data.loader: its options, and what a loader says of itself. The sampler's Lua on one side, the engine's
 * workers on the other, meet in epoch.c.
 *
 * Samplers run here, on the main thread, as many batches ahead as the queue has room for; workers never see Lua.
 * A loader's Lua values (set, sampler, targets...) lie in an environment table, found by the handle in an ephemeron
 * table: cycles through them are collected. Leaving the for loop over an epoch ends the workers. */
#include "draw.h"
#include "epoch.h"

static const char environments[] = "lurcher.loader.environments";

lur_loader *lur_loader_check(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_loader_class); }

void lur_loader_push_environment(lua_State *L, int arg) {
  arg = lua_absindex(L, arg);
  lua_getfield(L, LUA_REGISTRYINDEX, environments);
  lua_pushvalue(L, arg);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

/* ---- making ---- */

static const char *const preprocess_names[] = {"tf", "caffe", "rescale", "none", NULL};
static const char *const resize_names[] = {"bilinear", "nearest", NULL};
static const char *const era_names[] = {"current", "2017", NULL};
static const char owner[] = "data.loader";

static int side(lua_State *L, int list, int i) {
  lua_rawgeti(L, list, i);
  int whole;
  lua_Integer value = lua_tointegerx(L, -1, &whole);
  if (!whole || value < 1 || value > 16384)
    lur_args_bad(L, owner, "size", "a side of 1 to 16384 or { height, width } expected");
  lua_pop(L, 1);
  return (int)value;
}

static void read_size(lua_State *L, lur_loader_options *o) {
  int type = lua_getfield(L, 1, "size");
  if (type == LUA_TNIL) lur_args_bad(L, owner, "size", "required: a side, or { height, width }");
  if (type == LUA_TTABLE) {
    o->height = side(L, lua_gettop(L), 1);
    o->width = side(L, lua_gettop(L), 2);
  } else {
    o->height = o->width = (int)lur_args_int(L, 1, owner, "size", 0, 1, 16384);
  }
  lua_pop(L, 1);
}

/* The object of an optional handle option, or NULL. The table keeps it. */
static void *read_handle(lua_State *L, const char *name, const lur_class *type) {
  void *object = NULL;
  if (lua_getfield(L, 1, name) != LUA_TNIL) {
    object = lur_handle_test(L, -1, type);
    if (object == NULL) lur_args_bad(L, owner, name, "%s expected, got %s", type->name, luaL_typename(L, -1));
  }
  lua_pop(L, 1);
  return object;
}

/* `resize`, or else what images were resized with in the era: the loader's, or else its augmentation's. */
static lur_resize_filter read_resize(lua_State *L, const lur_augment *augment) {
  static const lur_resize_filter of_era[] = {LUR_RESIZE_BILINEAR, LUR_RESIZE_NEAREST};
  int era = lur_args_choice(L, 1, owner, "era", era_names, -1);
  lur_resize_filter usual = era < 0 ? lur_augment_resize(augment) : of_era[era];
  return (lur_resize_filter)lur_args_choice(L, 1, owner, "resize", resize_names, (int)usual);
}

static void read_options(lua_State *L, lur_loader_options *o) {
  read_size(L, o);
  o->channels = (int)lur_args_int(L, 1, owner, "channels", 3, 1, 3);
  o->preprocess = (lur_preprocess)lur_args_choice(L, 1, owner, "preprocess", preprocess_names, 0);
  o->decode.exif = lur_args_bool(L, 1, owner, "exif", false);
  o->decode.max_pixels = lur_args_int(L, 1, owner, "max_pixels", 0, 1, INT64_MAX);
  int64_t workers = lur_args_int(L, 1, owner, "workers", -1, 0, 256);
  o->workers = workers == 0 ? -1 : workers < 0 ? 0 : (int)workers; /* 0 in Lua: none; absent: one a core */
  o->prefetch = (int)lur_args_int(L, 1, owner, "prefetch", 4, 1, 256);
  o->seed = (uint64_t)lur_args_int(L, 1, owner, "seed", (int64_t)lur_context_get_seed(lur_state_context(L)), INT64_MIN,
                                   INT64_MAX);
  o->strict = lur_args_bool(L, 1, owner, "strict", false);
  o->augment = read_handle(L, "augment", &lur_augment_class);
  o->resize = read_resize(L, o->augment);
  o->random = read_handle(L, "random", &lur_numpy_random_class);
  lua_getfield(L, 1, "device");
  o->device = lur_args_device(L, -1);
  lua_pop(L, 1);
}

static void check_function(lua_State *L, const char *name) {
  int type = lua_getfield(L, 1, name);
  if (type != LUA_TNIL && type != LUA_TFUNCTION)
    lur_args_bad(L, owner, name, "function expected, got %s", luaL_typename(L, -1));
  lua_pop(L, 1);
}

static void check_images(lua_State *L) {
  int64_t n = lur_args_list(L, 1, owner, "images");
  if (n < 0) return;
  if (n == 0 || n > LUR_MAX_LOAD_FIELDS)
    lur_args_bad(L, owner, "images", "a list of 1 to %d names expected", LUR_MAX_LOAD_FIELDS);
  for (int64_t i = 1; i <= n; i++) {
    if (lua_rawgeti(L, -1, i) != LUA_TSTRING) lur_args_bad(L, owner, "images", "a list of names expected");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* A shallow copy of the options is the environment: later changes of the caller's table change nothing here. */
static void make_environment(lua_State *L, int handle, const lur_loader_options *o) {
  lua_getfield(L, LUA_REGISTRYINDEX, environments);
  lua_pushvalue(L, handle);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 1) != 0;) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_rawgeti(L, -1, 1);
  lua_setfield(L, -2, "set");
  lua_pushinteger(L, (lua_Integer)o->seed);
  lua_setfield(L, -2, "seed");
  lua_pushinteger(L, lur_args_int(L, 1, owner, "batch", 64, 1, 1 << 20));
  lua_setfield(L, -2, "batch");
  lua_pushboolean(L, lur_args_bool(L, 1, owner, "shuffle", true));
  lua_setfield(L, -2, "shuffle");
  lua_pushboolean(L, lur_args_bool(L, 1, owner, "drop_last", false));
  lua_setfield(L, -2, "drop_last");
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "next_epoch");
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

int lur_data_loader(lua_State *L) {
  static const char *const known[] = {"sampler", "batch",     "shuffle",  "size", "augment",    "preprocess",
                                      "resize",  "workers",   "prefetch", "seed", "strict",     "images",
                                      "targets", "drop_last", "channels", "exif", "max_pixels", "random",
                                      "device",  "era",       NULL};
  lua_settop(L, 1);
  if (!lur_args_options(L, 1, owner, known))
    lur_raise(L, "'data.loader' expects a table: data.loader{ set, size = 299 }");
  lua_rawgeti(L, 1, 1);
  lur_dataset *set = lur_handle_test(L, 2, &lur_set_class);
  if (set == NULL) lur_args_bad(L, owner, "1", "a dataset expected, got %s", luaL_typename(L, 2));
  lur_loader_options o = {0};
  read_options(L, &o);
  check_images(L);
  check_function(L, "targets");
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_loader_class);
  lur_loader *loader;
  LUR_CALL(L, lur_loader_new(context, set, &o, &loader));
  lur_handle_fill(L, h, loader);
  make_environment(L, 3, &o);
  lua_settop(L, 3);
  return 1;
}

/* ---- queries ---- */

static int get_from_environment(lua_State *L, const char *name) {
  lur_loader_check(L, 1);
  lur_loader_push_environment(L, 1);
  lua_getfield(L, -1, name);
  return 1;
}

static int loader_get_summary(lua_State *L) { return get_from_environment(L, "summary"); }
static int loader_get_set(lua_State *L) { return get_from_environment(L, "set"); }
static int loader_get_batch(lua_State *L) { return get_from_environment(L, "batch"); }
static int loader_get_seed(lua_State *L) { return get_from_environment(L, "seed"); }

/* Batches of an epoch; nil when only the sampler could know. */
static int loader_len(lua_State *L) {
  lur_loader_check(L, 1);
  lur_loader_push_environment(L, 1);
  if (!lur_draw_count(L, lua_gettop(L))) luaL_pushfail(L);
  return 1;
}

static int loader_tostring(lua_State *L) {
  lur_handle *h = luaL_checkudata(L, 1, lur_loader_class.name);
  if (h->object == NULL) {
    lua_pushliteral(L, "lurcher.loader (closed)");
    return 1;
  }
  lur_loader_push_environment(L, 1);
  lua_getfield(L, -1, "batch");
  lua_Integer batch = lua_tointeger(L, -1);
  lua_getfield(L, -2, "set");
  const char *set = luaL_tolstring(L, -1, NULL);
  lua_pushfstring(L, "lurcher.loader, batches of %I from %s", (LUAI_UACINT)batch, set);
  return 1;
}

static void release_loader(void *object) { lur_loader_release(object); }

static const luaL_Reg loader_methods[] = {{"epoch", lur_loader_epoch_method},
                                          {"position", lur_loader_position_method},
                                          {"resume", lur_loader_resume_method},
                                          {"peek", lur_loader_peek_method},
                                          {NULL, NULL}};
static const luaL_Reg loader_getters[] = {{"summary", loader_get_summary},
                                          {"set", loader_get_set},
                                          {"batch", loader_get_batch},
                                          {"seed", loader_get_seed},
                                          {NULL, NULL}};
static const luaL_Reg loader_meta[] = {
    {"__call", lur_loader_call_method}, {"__len", loader_len}, {"__tostring", loader_tostring}, {NULL, NULL}};
const lur_class lur_loader_class = {.name = "lurcher.loader",
                                    .release = release_loader,
                                    .methods = loader_methods,
                                    .getters = loader_getters,
                                    .meta = loader_meta};

void lur_register_loader(lua_State *L) {
  lur_class_register(L, &lur_loader_class);
  lur_register_epoch(L);
  lua_newtable(L);
  lua_newtable(L);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, environments);
}
