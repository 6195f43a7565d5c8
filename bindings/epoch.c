/* epoch.c - one epoch of a loader: draws batches from the sampler (sampler.c), queues them ahead, returns them to the
 * for loop, and ends with a summary; and the position at which the next epoch begins.
 *
 * An epoch is a table with the fields loader, number, batches (returned so far), pending (the sampler's further fields
 * of queued batches), ended (the sampler has no more), finished (the loop has no more), and the sampler's own. It is
 * the for loop's closing value. The epoch that may still ask for batches is `current` in the loader's environment
 * (loader.c). */
#include "epoch.h"

#include <string.h>

#include "sampler.h"
#include "transform.h"

static const char epoch_type[] = "lurcher.epoch", loaded_type[] = "lurcher.loaded";

static lur_loader *check_loader(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_loader_class); }

/* ---- summary ---- */

static void push_damage(lua_State *L, lur_dataset *set, const lur_damage *d) {
  const char *path = lur_dataset_path(set, d->index);
  size_t skip = strlen(path) + 2; /* the text is "path: why" */
  lua_createtable(L, 0, 6);
  lur_push_index(L, d->index);
  lua_setfield(L, -2, "index");
  lur_set_integer(L, "times", d->times);
  lur_set_boolean(L, "fresh", d->fresh);
  lur_set_text(L, "path", path);
  lur_set_text(L, "name", lur_dataset_name(set, d->index));
  lur_set_text(L, "message", strlen(d->text) > skip ? d->text + skip : "damaged");
}

/* Sets the environment's summary: { epoch =, batches =, damaged = rows replaced, and a list of damaged images }. */
static void store_summary(lua_State *L, int environment, lur_loader *loader, int epoch) {
  lua_getfield(L, environment, "set");
  lur_dataset *set = lur_handle_check(L, -1, &lur_set_class);
  lua_newtable(L);
  int64_t rows = 0;
  lua_Integer n = 0;
  for (int64_t i = 0; i < lur_loader_damage_count(loader); i++) {
    lur_damage d = lur_loader_damage(loader, i);
    if (d.times == 0) continue;
    rows += d.times;
    push_damage(L, set, &d);
    lua_rawseti(L, -2, ++n);
  }
  lur_set_integer(L, "damaged", rows);
  lua_getfield(L, epoch, "number");
  lua_setfield(L, -2, "epoch");
  lua_getfield(L, epoch, "batches");
  lua_setfield(L, -2, "batches");
  lua_setfield(L, environment, "summary");
  lua_pop(L, 1);
}

/* ---- an epoch ---- */

/* Ends the epoch if it is the current one: stops the workers and stores the summary. */
static void end_epoch(lua_State *L, int epoch) {
  luaL_checkstack(L, 8, NULL);
  epoch = lua_absindex(L, epoch);
  int top = lua_gettop(L);
  lua_getfield(L, epoch, "loader");
  lur_handle *h = luaL_testudata(L, -1, lur_loader_class.name);
  if (h != NULL && h->object != NULL) {
    lua_getiuservalue(L, -1, 1);
    lua_getfield(L, -1, "current");
    if (lua_rawequal(L, -1, epoch)) {
      lua_pop(L, 1);
      lur_loader_stop(h->object);
      store_summary(L, lua_gettop(L), h->object, epoch);
      lua_pushnil(L);
      lua_setfield(L, -2, "current");
    }
  }
  lua_settop(L, top);
}

static int epoch_close(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  end_epoch(L, 1);
  return 0;
}

/* Draws and queues batches until the queue is full or the sampler has ended. */
static void fill_queue(lua_State *L, lur_loader *loader, int environment, int epoch) {
  while (lur_loader_room(loader) > 0) {
    lua_getfield(L, epoch, "ended");
    bool ended = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (ended) return;
    int top = lua_gettop(L);
    lur_sampled sampled;
    if (!lur_sampler_next(L, environment, epoch, &sampled)) {
      lua_pushboolean(L, true);
      lua_setfield(L, epoch, "ended");
    } else {
      LUR_CALL(L, lur_loader_push(loader, sampled.nfields, sampled.fields));
      lua_getfield(L, epoch, "pending");
      lua_pushvalue(L, sampled.extras);
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    lua_settop(L, top);
  }
}

static int loaded_gc(lua_State *L) {
  lur_loaded_free(luaL_checkudata(L, 1, loaded_type));
  return 0;
}

/* Sets name..suffix of the batch on top of the stack to the tensor, whose reference moves to a new handle. */
static void add_tensor(lua_State *L, lur_tensor **tensor, const char *name, const char *suffix) {
  if (*tensor == NULL) return;
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *t = *tensor;
  *tensor = NULL;
  lur_fill_tensor(L, h, t, true);
  lua_pushfstring(L, "%s%s", name, suffix);
  lua_insert(L, -2);
  lua_rawset(L, -3);
}

/* Adds field F to the batch on top of the stack, as F, F_class, F_index and F_target; field "image" as image, class,
   index and target. */
static void add_field(lua_State *L, lur_loaded_field *f) {
  bool plain = strcmp(f->name, "image") == 0;
  const char *name = plain ? "" : f->name;
  add_tensor(L, &f->images, f->name, "");
  add_tensor(L, &f->classes, name, plain ? "class" : "_class");
  add_tensor(L, &f->indices, name, plain ? "index" : "_index");
  add_tensor(L, &f->targets, name, plain ? "target" : "_target");
}

static void add_targets(lua_State *L, int environment) {
  if (lua_getfield(L, environment, "targets") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  if (!lua_istable(L, -1))
    lur_raise(L, "data.loader: targets must return a table of fields, got %s", luaL_typename(L, -1));
  for (lua_pushnil(L); lua_next(L, -2) != 0;) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
}

/* Removes the oldest entry of pending (at most `prefetch` long) and pushes it. */
static void pop_pending(lua_State *L, int epoch) {
  lua_getfield(L, epoch, "pending");
  lua_rawgeti(L, -1, 1);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -2);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -2, i + 1);
    lua_rawseti(L, -3, i);
  }
  lua_remove(L, -2);
}

static void count_batch(lua_State *L, int epoch) {
  lua_getfield(L, epoch, "batches");
  lua_pushinteger(L, lua_tointeger(L, -1) + 1);
  lua_setfield(L, epoch, "batches");
  lua_pop(L, 1);
}

/* lur_loader_pop, which calls the environment's transform if that is a function. */
static lur_status pop_loaded(lua_State *L, lur_loader *loader, int environment, lur_loaded *loaded) {
  lua_getfield(L, environment, "transform_user");
  void *user = lua_touserdata(L, -1);
  lua_getfield(L, environment, "transform");
  if (user != NULL) lur_transform_attach(user, L);
  lur_status status = lur_loader_pop(loader, loaded);
  if (user != NULL) lur_transform_attach(user, NULL);
  lua_pop(L, 2);
  return status;
}

/* The for loop's function. Upvalue: the epoch. */
static int epoch_next(lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_getfield(L, 1, "loader");
  lur_loader *loader = check_loader(L, 2);
  lua_getiuservalue(L, 2, 1);
  lua_getfield(L, 3, "current");
  if (!lua_rawequal(L, -1, 1)) {
    lua_getfield(L, 1, "finished");
    if (lua_toboolean(L, -1)) return 0;
    return lur_raise(L, "this epoch's iterator is stale: its loop was left, or loader:epoch() has started a newer one");
  }
  fill_queue(L, loader, 3, 1);
  if (lur_loader_waiting(loader) == 0) {
    lua_pushboolean(L, true);
    lua_setfield(L, 1, "finished");
    end_epoch(L, 1);
    return 0;
  }
  lur_loaded *loaded = lua_newuserdatauv(L, sizeof *loaded, 0);
  *loaded = (lur_loaded){0};
  luaL_setmetatable(L, loaded_type);
  lur_check(L, pop_loaded(L, loader, 3, loaded));
  pop_pending(L, 1);
  for (int i = 0; i < loaded->nfields; i++) add_field(L, &loaded->fields[i]);
  add_targets(L, 3);
  count_batch(L, 1);
  return 1;
}

/* Draws `skip` batches without decoding their images. */
static void skip_batches(lua_State *L, lur_loader *loader, int environment, int epoch, int64_t skip) {
  int top = lua_gettop(L);
  lur_sampled sampled;
  for (int64_t i = 0; i < skip && lur_sampler_next(L, environment, epoch, &sampled); i++) {
    LUR_CALL(L, lur_loader_skip(loader, sampled.nfields, sampled.fields));
    count_batch(L, epoch);
    lua_settop(L, top);
  }
  lua_settop(L, top);
}

/* Pushes a new epoch of the loader at 1 and makes it the current one. */
static void begin_epoch(lua_State *L, lur_loader *loader, int64_t number, int64_t skip) {
  lua_getiuservalue(L, 1, 1);
  int environment = lua_gettop(L);
  LUR_CALL(L, lur_loader_begin(loader, number));
  lua_newtable(L);
  int epoch = lua_gettop(L);
  luaL_setmetatable(L, epoch_type);
  lua_pushvalue(L, 1);
  lua_setfield(L, epoch, "loader");
  lua_pushinteger(L, number);
  lua_setfield(L, epoch, "number");
  lua_pushinteger(L, 0);
  lua_setfield(L, epoch, "batches");
  lua_newtable(L);
  lua_setfield(L, epoch, "pending");
  lua_pushvalue(L, epoch);
  lua_setfield(L, environment, "current");
  lua_pushvalue(L, epoch);
  lua_setfield(L, environment, "latest");
  lua_pushinteger(L, number + 1);
  lua_setfield(L, environment, "next_epoch");
  lur_sampler_begin(L, environment, epoch, number);
  skip_batches(L, loader, environment, epoch, skip);
  lua_remove(L, environment);
}

/* An integer of the environment of the loader at 1; take: removes it. */
static lua_Integer stored_integer(lua_State *L, const char *name, bool take) {
  lua_getiuservalue(L, 1, 1);
  lua_getfield(L, -1, name);
  lua_Integer value = lua_tointeger(L, -1);
  if (take) {
    lua_pushnil(L);
    lua_setfield(L, -3, name);
  }
  lua_pop(L, 2);
  return value;
}

/* loader:epoch([number [, skip]]) -> the four values of a for loop */
int lur_loader_epoch_method(lua_State *L) {
  lur_loader *loader = check_loader(L, 1);
  lua_Integer number = luaL_optinteger(L, 2, stored_integer(L, "next_epoch", false));
  lua_Integer resumed = stored_integer(L, "resume_batch", true);
  lua_Integer skip = luaL_optinteger(L, 3, lua_isnoneornil(L, 2) ? resumed : 0);
  luaL_argcheck(L, number >= 0, 2, "an epoch of at least 0 expected");
  luaL_argcheck(L, skip >= 0, 3, "at least 0 batches expected");
  begin_epoch(L, loader, number, skip);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, epoch_next, 1);
  lua_insert(L, -2);
  lua_pushnil(L);
  lua_insert(L, -2);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 4;
}

/* loader() is loader:epoch(). In `for batch in loader do` the loader itself is the iterator, and there is no closing
   value: workers stop at the end of the epoch, or when the next one begins or the loader is closed. */
int lur_loader_call_method(lua_State *L) {
  if (lua_gettop(L) < 3) return lur_loader_epoch_method(L);
  lur_loader *loader = check_loader(L, 1);
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, 1);
  lua_getfield(L, 2, "running");
  lua_getfield(L, 2, "running_epoch");
  lua_getfield(L, 2, "current");
  if (lua_isnil(L, 3) || !lua_rawequal(L, 4, 5)) {
    lua_settop(L, 2);
    begin_epoch(L, loader, stored_integer(L, "next_epoch", false), stored_integer(L, "resume_batch", true));
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, "running_epoch");
    lua_pushcclosure(L, epoch_next, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, "running");
    lua_insert(L, 3);
  }
  lua_settop(L, 3);
  lua_call(L, 0, 1);
  return 1;
}

/* ---- position ---- */

int lur_loader_position_method(lua_State *L) {
  check_loader(L, 1);
  lua_getiuservalue(L, 1, 1);
  lua_createtable(L, 0, 2);
  lua_getfield(L, -2, "latest");
  bool running = lua_istable(L, -1);
  if (running) lua_getfield(L, -1, "finished");
  if (!running || lua_toboolean(L, -1)) { /* between epochs: the beginning of the next one */
    lua_getfield(L, 2, "next_epoch");
    lua_setfield(L, 3, "epoch");
    lua_pushinteger(L, 0);
    lua_setfield(L, 3, "batch");
  } else {
    lua_getfield(L, 4, "number");
    lua_setfield(L, 3, "epoch");
    lua_getfield(L, 4, "batches");
    lua_setfield(L, 3, "batch");
  }
  lua_settop(L, 3);
  return 1;
}

/* loader:resume{ epoch = 3, batch = 17 } -> self; the next epoch begins there. */
int lur_loader_resume_method(lua_State *L) {
  static const char *const known[] = {"epoch", "batch", NULL};
  check_loader(L, 1);
  if (!lur_args_options(L, 2, "loader:resume", known))
    lur_raise(L, "'loader:resume' expects a position: { epoch = 3, batch = 17 }, as loader:position() returns it");
  int64_t epoch = lur_args_int(L, 2, "loader:resume", "epoch", 0, 0, INT64_MAX),
          batch = lur_args_int(L, 2, "loader:resume", "batch", 0, 0, INT64_MAX);
  lua_getiuservalue(L, 1, 1);
  lua_pushinteger(L, epoch);
  lua_setfield(L, -2, "next_epoch");
  lua_pushinteger(L, batch);
  lua_setfield(L, -2, "resume_batch");
  lua_settop(L, 1);
  return 1;
}

/* loader:peek() -> the images of the next batch by name, or nil while they are not ready */
int lur_loader_peek_method(lua_State *L) {
  lur_loader *loader = check_loader(L, 1);
  lur_loaded *loaded = lua_newuserdatauv(L, sizeof *loaded, 0);
  *loaded = (lur_loaded){0};
  luaL_setmetatable(L, loaded_type);
  lur_check(L, lur_loader_peek(loader, loaded));
  if (loaded->nfields == 0) {
    luaL_pushfail(L);
    return 1;
  }
  lua_createtable(L, 0, loaded->nfields);
  for (int i = 0; i < loaded->nfields; i++) add_tensor(L, &loaded->fields[i].images, loaded->fields[i].name, "");
  return 1;
}

void lur_register_epoch(lua_State *L) {
  static const luaL_Reg epoch_meta[] = {{"__close", epoch_close}, {NULL, NULL}},
                        loaded_meta[] = {{"__gc", loaded_gc}, {NULL, NULL}};
  luaL_newmetatable(L, epoch_type);
  luaL_setfuncs(L, epoch_meta, 0);
  luaL_newmetatable(L, loaded_type);
  luaL_setfuncs(L, loaded_meta, 0);
  lua_pop(L, 2);
}
