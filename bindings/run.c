/* run.c - the methods of a run, a model compiled for a device: batches in, results out. The loop over epochs is Lua's
 * (scripts/lurcher/fit.lua). */
#include <stdio.h>
#include <string.h>

#include "compile.h"
#include "gradients.h"
#include "modules.h"
#include "nn.h"

static lur_run *check_run(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_run_class); }

/* A run allocates memory with its first batches: reports it to the collector. */
static void charge(lua_State *L, lur_run *run) {
  lur_handle_charge(L, lua_touserdata(L, 1), lur_run_arena_bytes(run) + lur_run_state_bytes(run));
}

/* ---- batches ---- */

enum { MOST_TENSORS = 128 };

/* A batch table as arrays: inputs of the model, targets and sample weights of its outputs. Tensors made from tables
   stay on the Lua stack while the batch is used. */
typedef struct batch {
  lua_State *L;
  int table; /* stack index */
  lur_model *model;
  int n;
  const char *names[MOST_TENSORS];
  lur_tensor *tensors[MOST_TENSORS];
} batch;

/* Whether the table on top of the stack is a plain list of numbers. */
static bool is_flat(lua_State *L) {
  bool flat = lua_rawgeti(L, -1, 1) == LUA_TNUMBER;
  lua_pop(L, 1);
  return flat;
}

/* Adds table[name]; false when it is absent. ids: a flat table of whole numbers counts from 1. dtype: of a tensor made
   from another table. */
static bool add_tensor(batch *b, const char *name, bool ids, lur_dtype dtype) {
  lua_State *L = b->L;
  luaL_checkstack(L, 8, "too many tensors in a batch");
  lua_pushstring(L, name);
  if (lua_gettable(L, b->table) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  lur_tensor *tensor = lur_handle_test(L, -1, &lur_tensor_class);
  if (tensor == NULL && lua_istable(L, -1))
    tensor = ids && is_flat(L) ? lur_push_list(L, -1, name, true) : lur_push_nested(L, -1, dtype);
  if (tensor == NULL)
    lur_raise(L, "batch field '%s': lurcher.tensor or table of numbers expected, got %s", name, luaL_typename(L, -1));
  if (b->n == MOST_TENSORS) lur_raise(L, "a batch has at most %d tensors", MOST_TENSORS);
  b->names[b->n] = name;
  b->tensors[b->n++] = tensor;
  return true;
}

/* Adds tensors under names that the model does not have: the engine's message about a missing one lists them. */
static void add_others(batch *b) {
  lua_State *L = b->L;
  luaL_checkstack(L, 2, "too many tensors in a batch");
  for (lua_pushnil(L); lua_next(L, b->table) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    const char *name = lua_tostring(L, -2); /* the table keeps it */
    lur_tensor *tensor = lur_handle_test(L, -1, &lur_tensor_class);
    bool is_known = false;
    for (int i = 0; i < b->n && !is_known; i++) is_known = strcmp(b->names[i], name) == 0;
    if (tensor == NULL || is_known || b->n == MOST_TENSORS) continue;
    b->names[b->n] = name;
    b->tensors[b->n++] = tensor;
  }
}

/* Reads the batch table at argument 2. */
static lur_batch read_batch(lua_State *L, lur_run *run, bool targets, batch *b) {
  luaL_argexpected(L, lua_istable(L, 2), 2, "batch (a table of tensors by name)");
  lua_settop(L, 3);
  b->L = L;
  b->table = 2;
  b->model = lur_run_model(run);
  b->n = 0;
  bool complete = true;
  for (int i = 0; i < lur_model_input_count(b->model); i++) {
    const lur_node *input = lur_model_input(b->model, i);
    bool ids = strcmp(lur_layer_kind(lur_node_layer(input)), "index") == 0;
    complete = add_tensor(b, lur_model_input_name(b->model, i), ids, lur_node_dtype(input)) && complete;
  }
  for (int i = 0; targets && i < lur_model_output_count(b->model); i++) {
    const char *name = lur_model_output_name(b->model, i);
    const bool found = add_tensor(b, name, lur_run_takes_ids(run, i), lur_run_target_dtype(run, i));
    complete = complete && (found || !lur_run_needs_target(run, i));
    add_tensor(b, lua_pushfstring(L, "%s_weight", name), false, LUR_F32);
  }
  if (!complete) add_others(b);
  return (lur_batch){b->n, b->names, b->tensors};
}

static int push_results(lua_State *L, const lur_results *results) {
  lua_createtable(L, 0, results->n + 1);
  for (int i = 0; i < results->n; i++) {
    lua_pushnumber(L, results->values[i]);
    lua_setfield(L, -2, results->names[i]);
  }
  lua_pushinteger(L, results->samples);
  lua_setfield(L, -2, "samples");
  return 1;
}

typedef lur_status (*batch_function)(lur_run *run, const lur_batch *batch, lur_results *results);

static int with_results(lua_State *L, batch_function call) {
  lur_run *run = check_run(L, 1);
  batch b;
  lur_batch read = read_batch(L, run, true, &b);
  lur_results results;
  LUR_CALL(L, call(run, &read, &results));
  charge(L, run);
  return push_results(L, &results);
}

static int run_train(lua_State *L) { return with_results(L, lur_run_train); }
static int run_evaluate(lua_State *L) { return with_results(L, lur_run_evaluate); }
static int run_accumulate(lua_State *L) { return with_results(L, lur_run_accumulate); }

/* The inputs that the batch has. Tables are not converted: the next train must get the same tensors. */
static int run_prefetch(lua_State *L) {
  lur_run *run = check_run(L, 1);
  const char *names[MOST_TENSORS];
  lur_tensor *tensors[MOST_TENSORS];
  lur_batch given = {0, names, tensors};
  luaL_argexpected(L, lua_istable(L, 2), 2, "batch (a table of tensors by name)");
  lua_settop(L, 2);
  const lur_model *model = lur_run_model(run);
  for (int i = 0; i < lur_model_input_count(model) && given.n < MOST_TENSORS; i++) {
    names[given.n] = lur_model_input_name(model, i);
    lua_getfield(L, 2, names[given.n]);
    tensors[given.n] = lur_handle_test(L, -1, &lur_tensor_class); /* the table keeps it */
    lua_pop(L, 1);
    if (tensors[given.n]) given.n++;
  }
  LUR_CALL(L, lur_run_prefetch(run, &given));
  lua_settop(L, 1);
  return 1;
}

/* mode: -1 predict, 0 forward in inference form, 1 forward in training form. */
static int with_outputs(lua_State *L, int mode) {
  lur_run *run = check_run(L, 1);
  batch b;
  lur_batch read = read_batch(L, run, false, &b);
  int n = lur_model_output_count(b.model);
  lur_tensor **outputs = lua_newuserdatauv(L, sizeof(lur_tensor *) * ((size_t)n + 1), 0);
  lur_handle **handles = lua_newuserdatauv(L, sizeof(lur_handle *) * ((size_t)n + 1), 0);
  lua_createtable(L, 0, n);
  for (int i = 0; i < n; i++) {
    handles[i] = lur_handle_new(L, &lur_tensor_class);
    lua_setfield(L, -2, lur_model_output_name(b.model, i));
  }
  if (mode < 0) LUR_CALL(L, lur_run_predict(run, &read, outputs));
  else LUR_CALL(L, lur_run_forward(run, &read, mode == 1, outputs));
  for (int i = 0; i < n; i++) lur_handle_fill(L, handles[i], outputs[i]);
  for (int i = 0; i < n; i++) lur_state_charge(L, lur_tensor_bytes(outputs[i]));
  charge(L, run);
  return 1;
}

static int run_predict(lua_State *L) { return with_outputs(L, -1); }

/* run:calibrate(batch) -> self */
static int run_calibrate(lua_State *L) {
  lur_run *run = check_run(L, 1);
  batch b;
  lur_batch read = read_batch(L, run, false, &b);
  LUR_CALL(L, lur_run_calibrate(run, &read));
  charge(L, run);
  lua_settop(L, 1);
  return 1;
}

static int push_ranges(lua_State *L, const lur_run *run) {
  const int n = lur_run_range_count(run);
  lua_createtable(L, 0, n);
  for (int i = 0; i < n; i++) {
    const char *layer;
    lur_tensor *range;
    lur_handle *h = lur_handle_new(L, &lur_tensor_class);
    LUR_CALL(L, lur_run_get_range(run, i, &layer, &range));
    lur_fill_tensor(L, h, range, true);
    lua_setfield(L, -2, layer);
  }
  return 1;
}

/* run:calibration() -> ranges by layer; run:calibration(ranges) -> self */
static int run_calibration(lua_State *L) {
  lur_run *run = check_run(L, 1);
  if (lua_isnoneornil(L, 2)) return push_ranges(L, run);
  luaL_argexpected(L, lua_istable(L, 2), 2, "table of tensors by layer");
  lua_settop(L, 2);
  for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      return lur_raise(L, "calibration: tensors by layer name expected, got a %s key", luaL_typename(L, -2));
    lur_tensor *range = lur_handle_test(L, -1, &lur_tensor_class);
    if (range == NULL)
      return lur_raise(L, "calibration of '%s': lurcher.tensor expected, got %s", lua_tostring(L, -2),
                       luaL_typename(L, -1));
    LUR_CALL(L, lur_run_set_range(run, lua_tostring(L, -2), range));
  }
  lua_settop(L, 1);
  return 1;
}

static int run_forward(lua_State *L) {
  static const char *const known[] = {"training", NULL};
  lur_args_options(L, 3, "forward", known);
  return with_outputs(L, lur_args_bool(L, 3, "forward", "training", false) ? 1 : 0);
}

/* ---- files ---- */

static int run_save(lua_State *L) {
  lur_run *run = check_run(L, 1);
  const char *path = luaL_checkstring(L, 2), *metadata = luaL_optstring(L, 3, ""), **names = NULL;
  lur_tensor **tensors = NULL;
  int n = lua_isnoneornil(L, 4) ? 0 : lur_push_tensors(L, 4, "save", &names, &tensors);
  lur_status status;
  LUR_RETRY(L, status, lur_run_save_with(run, path, metadata, n, names, tensors));
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, true);
  return 1;
}

static int run_restore(lua_State *L) {
  lur_run *run = check_run(L, 1);
  const char *path = luaL_checkstring(L, 2);
  lur_guard *guard = lur_guard_new_text(L);
  char *metadata = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_run_restore(run, path, &metadata));
  if (status != LUR_OK) return lur_soft(L, status);
  guard->pointer = metadata;
  lua_pushstring(L, metadata != NULL ? metadata : "");
  lur_guard_clear(guard);
  return 1;
}

/* ---- profile ---- */

static int run_profile(lua_State *L) {
  lur_run *run = check_run(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    lur_run_set_profile(run, lua_toboolean(L, 2));
    lua_settop(L, 1);
    return 1;
  }
  int n = lur_run_profile(run, NULL, 0);
  lur_profile_row *rows = lua_newuserdatauv(L, sizeof *rows * ((size_t)n + 1), 0);
  int filled = lur_run_profile(run, rows, n);
  if (filled < n) n = filled;
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_createtable(L, 0, 8);
    lur_set_text(L, "layer", rows[i].layer);
    lur_set_text(L, "op", rows[i].op);
    lur_set_text(L, "pass", rows[i].pass);
    lur_set_text(L, "type", rows[i].type);
    lur_set_number(L, "seconds", rows[i].seconds);
    lur_set_number(L, "flops", rows[i].flops);
    lur_set_number(L, "bytes", rows[i].bytes);
    lur_set_integer(L, "calls", rows[i].calls);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* ---- fields ---- */

static int get_lr(lua_State *L) {
  lua_pushnumber(L, lur_run_lr(check_run(L, 1)));
  return 1;
}

static int set_lr(lua_State *L) {
  lur_run *run = check_run(L, 1);
  if (lua_type(L, 2) != LUA_TNUMBER || !(lua_tonumber(L, 2) >= 0))
    return lur_raise(L, "run.lr: a number of at least 0 expected, got %s", lur_push_text(L, 2));
  lur_run_set_lr(run, lua_tonumber(L, 2));
  return 0;
}

static int get_watch(lua_State *L) {
  lua_pushboolean(L, lur_run_watches(check_run(L, 1)));
  return 1;
}

static int set_watch(lua_State *L) {
  lur_run_set_watch(check_run(L, 1), lua_toboolean(L, 2));
  return 0;
}

static int get_finite(lua_State *L) {
  int finite = lur_run_finite(check_run(L, 1));
  if (finite < 0) lua_pushnil(L);
  else lua_pushboolean(L, finite);
  return 1;
}

static int get_iterations(lua_State *L) {
  lua_pushinteger(L, lur_run_iterations(check_run(L, 1)));
  return 1;
}

static int get_model(lua_State *L) {
  lur_run *run = check_run(L, 1);
  lur_handle *h = lur_handle_new(L, &lur_model_class);
  lur_model_retain(lur_run_model(run));
  lur_handle_fill(L, h, lur_run_model(run));
  return 1;
}

static int get_device(lua_State *L) {
  lua_pushstring(L, lur_device_name(lur_run_device(check_run(L, 1))));
  return 1;
}

static int get_arena_bytes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lur_run_arena_bytes(check_run(L, 1)));
  return 1;
}

static int get_state_bytes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lur_run_state_bytes(check_run(L, 1)));
  return 1;
}

static int get_graph(lua_State *L) {
  const char *reason = lur_run_capture_reason(check_run(L, 1));
  lua_pushstring(L, reason != NULL ? reason : "recorded");
  return 1;
}

static int run_tostring(lua_State *L) {
  lur_run *run = check_run(L, 1);
  lur_guard *guard = lur_guard_new_text(L);
  char *text;
  LUR_CALL(L, lur_run_describe(run, &text));
  guard->pointer = text;
  lua_pushstring(L, text);
  lur_guard_clear(guard);
  return 1;
}

static const luaL_Reg methods[] = {{"train", run_train},
                                   {"evaluate", run_evaluate},
                                   {"accumulate", run_accumulate},
                                   {"prefetch", run_prefetch},
                                   {"predict", run_predict},
                                   {"calibrate", run_calibrate},
                                   {"calibration", run_calibration},
                                   {"forward", run_forward},
                                   {"backward", lur_run_backward_method},
                                   {"step", lur_run_step_method},
                                   {"zero_gradients", lur_run_zero_gradients_method},
                                   {"weights", lur_run_weights_method},
                                   {"gradient", lur_run_gradient_method},
                                   {"gradients", lur_run_gradients_method},
                                   {"gradient_norms", lur_run_gradient_norms_method},
                                   {"scale", lur_run_scale_method},
                                   {"recompile", lur_run_recompile_method},
                                   {"save", run_save},
                                   {"restore", run_restore},
                                   {"profile", run_profile},
                                   {NULL, NULL}};
static const luaL_Reg getters[] = {{"lr", get_lr},
                                   {"watch", get_watch},
                                   {"finite", get_finite},
                                   {"iterations", get_iterations},
                                   {"model", get_model},
                                   {"device", get_device},
                                   {"arena_bytes", get_arena_bytes},
                                   {"state_bytes", get_state_bytes},
                                   {"graph", get_graph},
                                   {NULL, NULL}};
static const luaL_Reg setters[] = {{"lr", set_lr}, {"watch", set_watch}, {NULL, NULL}};

void lur_register_run(lua_State *L) {
  lur_class_register(
      L, &lur_run_class,
      &(lur_members){.methods = methods, .getters = getters, .setters = setters, .tostring = run_tostring});
}
