/* sampler.c - calls a sampler for the indices of the next batch. A sampler is: absent (the set in order, or shuffled),
 * a function that returns an iterator and is called once per epoch, an object with a method epoch (lurcher.samplers),
 * an iterator function, or a coroutine.
 *
 * A sampler yields a list of images, { 3, 1, 2 }, or named fields, { image = {...}, left = {...} }. The fields named in
 * the loader's `images` are images (default: names that begin with image or img); the rest become tensors. */
#include "sampler.h"

#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "modules.h"

/* ---- errors at the sampler's line ---- */

/* Pushes "file:line: " of the yield at which a coroutine is suspended. */
static bool push_thread_position(lua_State *L, lua_State *thread) {
  lua_Debug ar;
  for (int level = 0; lua_getstack(thread, level, &ar); level++) {
    lua_getinfo(thread, "Sl", &ar);
    if (ar.currentline <= 0) continue;
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    return true;
  }
  return false;
}

/* Pushes the position of the function or coroutine at index, if it is known. */
static bool push_position(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (lua_isthread(L, index)) return push_thread_position(L, lua_tothread(L, index));
  if (!lua_isfunction(L, index)) return false;
  if (lua_iscfunction(L, index)) { /* the upvalue of a function made by coroutine.wrap is its coroutine */
    if (lua_getupvalue(L, index, 1) == NULL) return false;
    bool found = lua_isthread(L, -1) && push_thread_position(L, lua_tothread(L, -1));
    lua_remove(L, found ? -2 : -1);
    return found;
  }
  lua_Debug ar;
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &ar);
  lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.linedefined);
  return true;
}

/* Raises at the sampler's position: where it yielded, or where its function is defined. */
static int sampler_error(lua_State *L, int environment, int epoch, const char *format, ...) {
  bool found = lua_getfield(L, epoch, "iterator") != LUA_TNIL && push_position(L, -1);
  if (!found) found = lua_getfield(L, environment, "sampler") != LUA_TNIL && push_position(L, -1);
  if (!found) lua_pushliteral(L, "");
  va_list args;
  va_start(args, format);
  lua_pushvfstring(L, format, args);
  va_end(args);
  lua_concat(L, 2);
  return lua_error(L);
}

/* ---- beginning an epoch ---- */

static void begin_order(lua_State *L, int environment, int epoch, int64_t number) {
  lua_getfield(L, environment, "set");
  int64_t n = lur_dataset_size(lur_handle_check(L, -1, &lur_set_class));
  lua_getfield(L, environment, "shuffle");
  bool shuffle = lua_toboolean(L, -1);
  int64_t *order = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *order, 0);
  lua_setfield(L, epoch, "order");
  if (!shuffle) {
    for (int64_t i = 0; i < n; i++) order[i] = i;
  } else {
    if (lua_getfield(L, environment, "random") == LUA_TNIL) {
      lua_getfield(L, environment, "seed");
      lur_push_random(L, (uint64_t)lua_tointeger(L, -1), (uint64_t)number);
    }
    lur_random_order(L, lua_gettop(L), n, order);
  }
  lua_pushinteger(L, 0);
  lua_setfield(L, epoch, "at");
}

/* Pushes the arguments of a sampler, the epoch's number and a generator seeded by it. Returns their number. */
static int push_arguments(lua_State *L, int environment, int64_t number) {
  lua_pushinteger(L, number);
  lua_getfield(L, environment, "seed");
  uint64_t seed = (uint64_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  lur_push_random(L, seed, (uint64_t)number);
  return 2;
}

static bool is_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return true;
  if (luaL_getmetafield(L, index, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

/* Interprets the two results of a call of the function at `sampler`, which are on top. An iterator (with a state) is
   kept; a batch means that the function is an iterator itself. */
static void keep_results(lua_State *L, int environment, int epoch, int sampler) {
  int result = lua_gettop(L) - 1;
  if (lua_isthread(L, result) || is_callable(L, result)) {
    lua_setfield(L, epoch, "state");
    lua_setfield(L, epoch, "iterator");
  } else if (lua_istable(L, result)) {
    lua_pushvalue(L, result);
    lua_setfield(L, epoch, "first");
    lua_pushvalue(L, sampler);
    lua_setfield(L, epoch, "iterator");
  } else {
    sampler_error(L, environment, epoch, "sampler: an iterator or a batch of image indices expected, got %s",
                  luaL_typename(L, result));
  }
}

void lur_sampler_begin(lua_State *L, int environment, int epoch, int64_t number) {
  int top = lua_gettop(L), type = lua_getfield(L, environment, "sampler"), sampler = top + 1;
  luaL_checkstack(L, 16, NULL);
  if (type == LUA_TNIL) {
    begin_order(L, environment, epoch, number);
  } else if (type == LUA_TTHREAD) {
    lua_setfield(L, epoch, "iterator");
  } else if (type == LUA_TTABLE && lua_getfield(L, sampler, "epoch") == LUA_TFUNCTION) {
    lua_pushvalue(L, sampler);
    lua_call(L, 1 + push_arguments(L, environment, number), 2);
    keep_results(L, environment, epoch, sampler);
  } else if (is_callable(L, sampler)) {
    lua_pushvalue(L, sampler);
    lua_call(L, push_arguments(L, environment, number), 2);
    keep_results(L, environment, epoch, sampler);
  } else {
    lur_raise(L, "bad option 'sampler' to 'data.loader' (sampler, function or coroutine expected, got %s)",
              luaL_typename(L, sampler));
  }
  lua_settop(L, top);
}

/* ---- one batch ---- */

static lua_Integer integer_at(lua_State *L, int table, const char *name) {
  lua_getfield(L, table, name);
  lua_Integer value = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

/* The name of the field for a list without a name. The environment keeps the string. */
static const char *first_name(lua_State *L, int environment) {
  const char *name = "image";
  if (lua_getfield(L, environment, "images") == LUA_TTABLE) {
    lua_rawgeti(L, -1, 1);
    name = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return name;
}

/* The next images in the epoch's order. */
static bool next_of_order(lua_State *L, int environment, int epoch, lur_sampled *sampled) {
  lua_getfield(L, epoch, "order");
  const int64_t *order = lua_touserdata(L, -1);
  int64_t n = (int64_t)(lua_rawlen(L, -1) / sizeof *order) - 1; /* one more is allocated */
  int64_t at = integer_at(L, epoch, "at"), batch = integer_at(L, environment, "batch");
  lua_getfield(L, environment, "drop_last");
  bool drop_last = lua_toboolean(L, -1);
  if (at >= n || (drop_last && n - at < batch)) return false;
  int64_t count = n - at < batch ? n - at : batch;
  lua_pushinteger(L, at + count);
  lua_setfield(L, epoch, "at");
  sampled->nfields = 1;
  sampled->fields[0] = (lur_load_field){first_name(L, environment), count, order + at};
  lua_newtable(L);
  sampled->extras = lua_gettop(L);
  return true;
}

static void resume_coroutine(lua_State *L, lua_State *thread) {
  int n;
  int status = lua_resume(thread, L, 0, &n);
  if (status == LUA_YIELD && n > 0) {
    lua_xmove(thread, L, n);
    lua_settop(L, lua_gettop(L) - n + 1);
  } else if (status == LUA_OK || status == LUA_YIELD) {
    lua_pushnil(L);
  } else {
    lua_xmove(thread, L, 1);
    lua_error(L); /* its message names the sampler's file and line */
  }
}

/* Calls the sampler. Pushes its next batch, or nil. */
static void call_sampler(lua_State *L, int epoch) {
  if (lua_getfield(L, epoch, "first") != LUA_TNIL) {
    lua_pushnil(L);
    lua_setfield(L, epoch, "first");
    return;
  }
  lua_pop(L, 1);
  lua_getfield(L, epoch, "iterator");
  if (lua_isthread(L, -1)) {
    lua_State *thread = lua_tothread(L, -1);
    if (lua_status(thread) == LUA_OK && lua_gettop(thread) == 0) lua_pushnil(L); /* ended in an earlier epoch */
    else resume_coroutine(L, thread);
    return;
  }
  lua_getfield(L, epoch, "state");
  lua_getfield(L, epoch, "control");
  lua_call(L, 2, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, epoch, "control");
}

/* Adds the list on top of the stack as an image field; its indices are in a new userdata that stays on the stack. */
static void add_images(lua_State *L, int environment, int epoch, const char *name, lur_sampled *sampled) {
  int list = lua_gettop(L);
  int64_t n = (int64_t)lua_rawlen(L, list);
  lua_getfield(L, environment, "set");
  int64_t size = lur_dataset_size(lur_handle_check(L, -1, &lur_set_class));
  if (n == 0) sampler_error(L, environment, epoch, "sampler: field '%s' is an empty list", name);
  if (sampled->nfields == LUR_MAX_LOAD_FIELDS)
    sampler_error(L, environment, epoch, "sampler: more than %d image fields", LUR_MAX_LOAD_FIELDS);
  int64_t *indices = lua_newuserdatauv(L, (size_t)n * sizeof *indices, 0);
  for (int64_t i = 0; i < n; i++) {
    int whole;
    lua_rawgeti(L, list, i + 1);
    lua_Integer index = lua_tointegerx(L, -1, &whole);
    if (!whole || index < 1 || index > size)
      sampler_error(L, environment, epoch,
                    "sampler: field '%s' has image %s at position %I; whole numbers from 1 to %I expected", name,
                    lur_push_text(L, -1), (LUAI_UACINT)(i + 1), (LUAI_UACINT)size);
    indices[i] = lur_args_index_at(L, -1, size, "image");
    lua_pop(L, 1);
  }
  sampled->fields[sampled->nfields++] = (lur_load_field){name, n, indices};
}

static bool looks_like_image(const char *name) {
  return strncmp(name, "image", 5) == 0 || strncmp(name, "img", 3) == 0;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of the batch's image fields, in an order that is the same in every run. Returns their number. */
static int image_names(lua_State *L, int environment, int batch, const char *names[LUR_MAX_LOAD_FIELDS]) {
  int n = 0;
  if (lua_getfield(L, environment, "images") == LUA_TTABLE) {
    int64_t count = (int64_t)lua_rawlen(L, -1);
    for (int64_t i = 1; i <= count && n < LUR_MAX_LOAD_FIELDS; i++) {
      lua_rawgeti(L, -1, i);
      names[n] = lua_tostring(L, -1);
      n += lua_getfield(L, batch, names[n]) == LUA_TTABLE;
      lua_pop(L, 2);
    }
  } else {
    for (lua_pushnil(L); lua_next(L, batch) != 0; lua_pop(L, 1))
      if (lua_type(L, -2) == LUA_TSTRING && looks_like_image(lua_tostring(L, -2)) && lua_istable(L, -1) &&
          n < LUR_MAX_LOAD_FIELDS)
        names[n++] = lua_tostring(L, -2);
    qsort(names, (size_t)n, sizeof *names, compare_names);
  }
  lua_pop(L, 1);
  return n;
}

static bool among(const char *name, const char *const *names, int n) {
  for (int i = 0; i < n; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

/* Pushes the value on top of the stack as a tensor: a list of numbers (whole ones are ids, and are lowered by one) or
   nested lists. */
static void push_extra(lua_State *L, int environment, int epoch, const char *name) {
  if (lur_handle_is(L, -1, &lur_tensor_class)) {
    lua_pushvalue(L, -1);
    return;
  }
  if (!lua_istable(L, -1))
    sampler_error(L, environment, epoch, "sampler: field '%s': list or lurcher.tensor expected, got %s", name,
                  luaL_typename(L, -1));
  bool nested = lua_rawgeti(L, -1, 1) == LUA_TTABLE;
  lua_pop(L, 1);
  if (nested) lur_push_nested(L, -1, LUR_F32);
  else lur_push_list(L, -1, name, true);
}

/* Sets in `extras` every field of the batch but the n named ones. */
static void add_extras(lua_State *L, int environment, int epoch, int batch, const char *const *names, int n,
                       int extras) {
  for (lua_pushnil(L); lua_next(L, batch) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || among(lua_tostring(L, -2), names, n)) continue;
    const char *name = lua_tostring(L, -2);
    push_extra(L, environment, epoch, name);
    lua_setfield(L, extras, name);
  }
}

bool lur_sampler_next(lua_State *L, int environment, int epoch, lur_sampled *sampled) {
  luaL_checkstack(L, 32 + 4 * LUR_MAX_LOAD_FIELDS, NULL);
  *sampled = (lur_sampled){0};
  bool own = lua_getfield(L, epoch, "order") != LUA_TNIL;
  lua_pop(L, 1);
  if (own) return next_of_order(L, environment, epoch, sampled);
  call_sampler(L, epoch);
  if (lua_isnil(L, -1)) return false;
  if (!lua_istable(L, -1))
    sampler_error(L, environment, epoch, "sampler: a table of image indices expected, got %s", luaL_typename(L, -1));
  int batch = lua_gettop(L);
  lua_newtable(L);
  sampled->extras = lua_gettop(L);
  if (lua_rawlen(L, batch) > 0) {
    const char *name = first_name(L, environment);
    lua_pushvalue(L, batch);
    add_images(L, environment, epoch, name, sampled);
  }
  const char *names[LUR_MAX_LOAD_FIELDS];
  int n = image_names(L, environment, batch, names);
  for (int i = 0; i < n; i++) {
    lua_getfield(L, batch, names[i]);
    add_images(L, environment, epoch, names[i], sampled);
  }
  add_extras(L, environment, epoch, batch, names, n, sampled->extras);
  if (sampled->nfields == 0)
    sampler_error(L, environment, epoch,
                  "sampler: the batch has no image field; the loader's option `images` names them");
  return true;
}

bool lur_sampler_count(lua_State *L, int environment) {
  int type = lua_getfield(L, environment, "sampler");
  if (type == LUA_TTABLE) {
    lua_getfield(L, -1, "batches");
    return lua_isinteger(L, -1);
  }
  if (type != LUA_TNIL) return false;
  lua_getfield(L, environment, "set");
  int64_t n = lur_dataset_size(lur_handle_check(L, -1, &lur_set_class)), batch = integer_at(L, environment, "batch");
  lua_getfield(L, environment, "drop_last");
  lua_pushinteger(L, lua_toboolean(L, -1) ? n / batch : (n + batch - 1) / batch);
  return true;
}
