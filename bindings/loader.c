/* loader.c - data.loader: its options and fields. Epochs (epoch.c) connect samplers (sampler.c) with workers.
 *
 * Samplers run here, on the main thread, as many batches ahead as the queue has room for. Workers know Lua only as the
 * file of a transform, each in a state of its own (transform.c).
 * The loader's environment is its user value, a table: the options, complete, and what epochs keep there. */
#include <string.h>

#include "data.h"
#include "epoch.h"
#include "sampler.h"
#include "transform.h"

static lur_loader *check_loader(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_loader_class); }

/* ---- options ---- */

static const char owner[] = "data.loader";
static const char *const preprocess_names[] = {"tf", "caffe", "rescale", "none", "torch", NULL};
static const char *const resize_names[] = {"bilinear", "nearest", "bilinear-13", NULL};
static const char *const era_names[] = {"current", "2017", NULL};

typedef struct settings { /* the options that need no more than reading */
  int preprocess;
  int64_t batch, channels, max_pixels, prefetch;
  bool shuffle, drop_last, exif, strict;
} settings;

enum { MOST_BATCH = 1 << 20, MOST_SIDE = 16384, MOST_WORKERS = 256 };

static const lur_arg_option options[] = {
    LUR_ARG("size", "integer or pair", NULL, "side of the images in pixels, or { height, width }"),
    LUR_ARG("sampler", "sampler, function or coroutine", "the whole set",
            "draws the indices of batches: an object of lurcher.samplers, or function(epoch, random)"),
    LUR_ARG_INTEGER(settings, batch, "64", 1, MOST_BATCH, "images per batch, without a sampler"),
    LUR_ARG_BOOLEAN(settings, shuffle, "true", "a new random order in every epoch, without a sampler"),
    LUR_ARG_BOOLEAN(settings, drop_last, "false", "leaves out a last batch that is not full"),
    LUR_ARG("images", "list of names", "names that begin with image or img", "the sampler's fields that are images"),
    LUR_ARG("targets", "function", "none", "function(batch) that returns a table of fields to add to the batch"),
    LUR_ARG("augment", "augmentation", "none", "random changes of images: data.augment{...}"),
    LUR_ARG("transform", "file or function", "none",
            "changes images in Lua, after augment: a Lua file that returns function(image, random, info), which the "
            "workers run, or such a function, which the main thread runs"),
    LUR_ARG_CHOICE(settings, preprocess, preprocess_names, "tf",
                   "tf: x / 127.5 - 1; caffe: BGR minus ImageNet's means; rescale: x / 255; none: x; torch: "
                   "x / 255, normalised by ImageNet's mean and standard deviation"),
    {.info = {"resize", "choice", "bilinear", "resampling filter, Pillow's; default nearest in era 2017", resize_names},
     .offset = LUR_ARG_BY_OWNER},
    {.info = {"era", "choice", "that of augment", "Keras version whose resampling is the default of resize", era_names},
     .offset = LUR_ARG_BY_OWNER},
    LUR_ARG_INTEGER(settings, channels, "3", 1, 3, "3, or 1 for grayscale"),
    LUR_ARG_BOOLEAN(settings, exif, "false", "rotates and mirrors images by their EXIF orientation"),
    LUR_ARG_INTEGER(settings, max_pixels, "100000000", 1, INT64_MAX, "an image with more pixels counts as damaged"),
    LUR_ARG("workers", "integer", "one per core", "threads that read and decode images; 0: the main thread does"),
    LUR_ARG_INTEGER(settings, prefetch, "4", 1, 256, "batches prepared ahead"),
    LUR_ARG("seed", "integer", "that of the context", "order and augmentation follow from it"),
    LUR_ARG_BOOLEAN(settings, strict, "false", "a damaged image raises instead of being replaced"),
    LUR_ARG("random", "data.numpy_random", "none", "NumPy's generator to draw from instead of the seed"),
    LUR_ARG("device", "device or name", "the host", "where the images of a batch are put"),
    {.info = {0}}};

int lur_data_loader_options(lua_State *L) {
  lur_push_declared(L, options);
  return 1;
}

static int side(lua_State *L, int list, int i) {
  lua_rawgeti(L, list, i);
  int whole;
  lua_Integer value = lua_tointegerx(L, -1, &whole);
  if (!whole || value < 1 || value > MOST_SIDE)
    lur_args_bad(L, owner, "size", "a side from 1 to 16384, or { height, width }, expected");
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
    o->height = o->width = (int)lur_args_int(L, 1, owner, "size", 0, 1, MOST_SIDE);
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

/* The filter named by `resize`; without it, that of `era`; without both, that of the augmentation's era. */
static lur_resize_filter read_resize(lua_State *L, const lur_augment *augment) {
  static const lur_resize_filter of_era[] = {LUR_RESIZE_BILINEAR, LUR_RESIZE_NEAREST};
  int era = lur_args_choice(L, 1, owner, "era", era_names, -1);
  lur_resize_filter usual = era < 0 ? lur_augment_resize(augment) : of_era[era];
  return (lur_resize_filter)lur_args_choice(L, 1, owner, "resize", resize_names, (int)usual);
}

static uint64_t read_seed(lua_State *L) {
  int64_t usual = (int64_t)lur_context_get_seed(lur_state_context(L));
  return (uint64_t)lur_args_int(L, 1, owner, "seed", usual, INT64_MIN, INT64_MAX);
}

static void read_options(lua_State *L, const settings *s, lur_loader_options *o) {
  read_size(L, o);
  o->channels = (int)s->channels;
  o->preprocess = (lur_preprocess)s->preprocess;
  o->decode.exif = s->exif;
  o->decode.max_pixels = s->max_pixels;
  int64_t workers = lur_args_int(L, 1, owner, "workers", -1, 0, MOST_WORKERS);
  o->workers = workers == 0 ? -1 : workers < 0 ? 0 : (int)workers; /* to the engine -1 is none and 0 one per core */
  o->prefetch = (int)s->prefetch;
  o->seed = read_seed(L);
  o->strict = s->strict;
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

/* Gives the loader its environment: a copy of the options, so that later changes of the caller's table have no effect.
 */
static void make_environment(lua_State *L, int handle, const settings *s, const lur_loader_options *o) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 1) != 0;) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_rawgeti(L, -1, 1);
  lua_setfield(L, -2, "set");
  lur_set_integer(L, "seed", (int64_t)o->seed);
  lur_set_integer(L, "batch", s->batch);
  lur_set_boolean(L, "shuffle", s->shuffle);
  lur_set_boolean(L, "drop_last", s->drop_last);
  lur_set_integer(L, "next_epoch", 0);
  if (o->transform && o->transform->on_owner) {
    lua_pushlightuserdata(L, o->transform->user);
    lua_setfield(L, -2, "transform_user");
  }
  lua_setiuservalue(L, handle, 1);
}

int lur_data_loader(lua_State *L) {
  settings s;
  lur_loader_options o = {0};
  lua_settop(L, 1);
  if (!lur_args_declared(L, 1, owner, options, &s))
    lur_raise(L, "'data.loader' expects a table: data.loader{ set, size = 299 }");
  lua_rawgeti(L, 1, 1);
  lur_dataset *set = lur_handle_test(L, 2, &lur_set_class);
  if (set == NULL) lur_args_bad(L, owner, "1", "a dataset expected, got %s", luaL_typename(L, 2));
  read_options(L, &s, &o);
  check_images(L);
  check_function(L, "targets");
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_loader_class);
  int handle = lua_gettop(L);
  lur_loader *loader;
  lur_transform transform;
  lur_transform_read(L, 1, owner, set, &transform);
  if (transform.user) o.transform = &transform;
  LUR_CALL(L, lur_loader_new(context, set, &o, &loader));
  lur_transform_given(L, -1);
  lua_settop(L, handle);
  lur_handle_fill(L, h, loader);
  make_environment(L, handle, &s, &o);
  return 1;
}

/* ---- fields ---- */

static int get_from_environment(lua_State *L, const char *name) {
  check_loader(L, 1);
  lua_getiuservalue(L, 1, 1);
  lua_getfield(L, -1, name);
  return 1;
}

static int loader_get_summary(lua_State *L) { return get_from_environment(L, "summary"); }
static int loader_get_set(lua_State *L) { return get_from_environment(L, "set"); }
static int loader_get_batch(lua_State *L) { return get_from_environment(L, "batch"); }
static int loader_get_seed(lua_State *L) { return get_from_environment(L, "seed"); }

/* #loader: batches per epoch; nil when only the sampler knows. */
static int loader_len(lua_State *L) {
  check_loader(L, 1);
  lua_getiuservalue(L, 1, 1);
  if (!lur_sampler_count(L, lua_gettop(L))) luaL_pushfail(L);
  return 1;
}

static int loader_tostring(lua_State *L) {
  check_loader(L, 1);
  lua_getiuservalue(L, 1, 1);
  lua_getfield(L, -1, "batch");
  lua_Integer batch = lua_tointeger(L, -1);
  lua_getfield(L, -2, "set");
  const char *set = luaL_tolstring(L, -1, NULL);
  lua_pushfstring(L, "lurcher.loader, batches of %I from %s", (LUAI_UACINT)batch, set);
  return 1;
}

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
static const luaL_Reg loader_meta[] = {{"__call", lur_loader_call_method}, {"__len", loader_len}, {NULL, NULL}};

void lur_register_loader(lua_State *L) {
  lur_class_register(
      L, &lur_loader_class,
      &(lur_members){
          .methods = loader_methods, .getters = loader_getters, .meta = loader_meta, .tostring = loader_tostring});
  lur_register_epoch(L);
}
