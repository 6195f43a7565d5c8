/* model.c - nn.model, nn.load, nn.from_json and the methods of a model, except for compiling (compile.c) and printing
 * (model_print.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "layer.h"
#include "nn.h"
#include "modules.h"

static lur_model *check_model(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_model_class); }

/* ---- constructors ---- */

static void fill_model(lua_State *L, lur_handle *h, lur_model *model) {
  lur_handle_fill(L, h, model);
  lur_handle_charge(L, h, 4 * (size_t)lur_model_parameters(model, false));
}

typedef struct output {
  const char *name;
  lur_node *node;
} output;

static int by_name(const void *a, const void *b) {
  return strcmp(((const output *)a)->name, ((const output *)b)->name);
}

static void add_output(lua_State *L, output *outputs, int *n, const char *name, int index) {
  lur_node *node = lur_handle_test(L, index, &lur_node_class);
  if (node == NULL && name != NULL)
    lur_raise(L, "model: output '%s' must be a node, got %s", name, lur_push_text(L, index));
  if (node == NULL) lur_raise(L, "model: a node expected as output, got %s", luaL_typename(L, index));
  if (*n == LUR_MOST_NODES) lur_raise(L, "model: at most %d outputs expected", LUR_MOST_NODES);
  outputs[(*n)++] = (output){name != NULL ? name : lur_layer_name(lur_node_layer(node)), node};
}

/* The outputs at index: a node, or a table of nodes by name (sorted, so that their order is the same in every run),
   or a list of nodes named after their layers. */
static int read_outputs(lua_State *L, int index, output *outputs) {
  int n = 0, listed;
  if (!lua_istable(L, index)) {
    add_output(L, outputs, &n, NULL, index);
    return n;
  }
  for (listed = 0; listed < (int)lua_rawlen(L, index); listed++) {
    lua_rawgeti(L, index, listed + 1);
    add_output(L, outputs, &n, NULL, lua_gettop(L));
    lua_pop(L, 1);
  }
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) add_output(L, outputs, &n, lua_tostring(L, -2), lua_gettop(L));
  if (n == 0) lur_raise(L, "model: at least one output expected, as in nn.model{ name = node }");
  qsort(outputs + listed, (size_t)(n - listed), sizeof *outputs, by_name);
  return n;
}

static int new_model(lua_State *L) {
  static const char *const known[] = {"inputs", "outputs", NULL};
  output outputs[LUR_MOST_NODES];
  lur_node *inputs[LUR_MOST_NODES], *nodes[LUR_MOST_NODES];
  const char *names[LUR_MOST_NODES];
  int ninputs = 0, n;
  lua_settop(L, 1);
  if (!lua_istable(L, 1)) {
    luaL_argexpected(L, lur_handle_is(L, 1, &lur_node_class), 1, "node or table of nodes");
    n = read_outputs(L, 1, outputs);
  } else if (lua_getfield(L, 1, "outputs") != LUA_TNIL) {
    lur_args_options(L, 1, "model", known);
    n = read_outputs(L, 2, outputs);
    if (lua_getfield(L, 1, "inputs") != LUA_TNIL)
      ninputs = lur_args_nodes(L, 3, "model inputs", inputs, LUR_MOST_NODES);
  } else {
    n = read_outputs(L, 1, outputs);
  }
  for (int i = 0; i < n; i++) {
    names[i] = outputs[i].name;
    nodes[i] = outputs[i].node;
  }
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_model_class);
  lur_model *model;
  LUR_CALL(L, lur_model_new(context, ninputs, inputs, n, names, nodes, &model));
  fill_model(L, h, model);
  return 1;
}

static int load_model(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_model_class);
  lur_guard *guard = lur_guard_new_text(L);
  lur_model *model;
  char *metadata = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_model_load(context, path, &model, &metadata));
  if (status != LUR_OK) return lur_soft(L, status);
  guard->pointer = metadata;
  fill_model(L, h, model);
  lua_pushvalue(L, -2);
  lua_pushstring(L, metadata != NULL ? metadata : "");
  lur_guard_clear(guard);
  return 2;
}

static int model_from_json(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_model_class);
  lur_model *model;
  lur_status status;
  LUR_RETRY(L, status, lur_model_from_json(context, text, &model));
  if (status != LUR_OK) return lur_soft(L, status);
  fill_model(L, h, model);
  return 1;
}

/* ---- applying ---- */

static int model_call(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lur_node *x[LUR_MOST_NODES], *y[LUR_MOST_NODES];
  lur_handle *handles[LUR_MOST_NODES];
  int n = lur_args_nodes(L, 2, "a model", x, LUR_MOST_NODES), m = lur_model_output_count(model);
  if (m > LUR_MOST_NODES) return lur_raise(L, "a model with %d outputs cannot be applied (at most 64 expected)", m);
  luaL_checkstack(L, m, NULL);
  for (int i = 0; i < m; i++) handles[i] = lur_handle_new(L, &lur_node_class);
  LUR_CALL(L, lur_model_apply(model, n, x, y));
  for (int i = 0; i < m; i++) lur_handle_fill(L, handles[i], y[i]);
  return m;
}

/* ---- layers ---- */

static const char *layer_name(const lur_model *model, int i) { return lur_layer_name(lur_model_layer(model, i)); }

/* Raises "no layer 'x' (did you mean 'y'?)". */
static int no_layer(lua_State *L, const lur_model *model, const char *name) {
  int n = lur_model_layer_count(model);
  const char **names = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *names, 0);
  for (int i = 0; i < n; i++) names[i] = layer_name(model, i);
  const char *near = lur_nearest(name, names, n);
  if (near != NULL) return lur_raise(L, "the model has no layer '%s' (did you mean '%s'?)", name, near);
  return lur_raise(L, "the model has no layer '%s'", name);
}

static int find_layer(lua_State *L, const lur_model *model, const char *name) {
  int i = lur_model_find(model, name);
  return i >= 0 ? i : no_layer(L, model, name);
}

static int model_layer(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lur_push_layer(L, lur_model_layer(model, find_layer(L, model, luaL_checkstring(L, 2))));
  return 1;
}

static int model_node(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lur_push_node(L, lur_model_layer_node(model, find_layer(L, model, luaL_checkstring(L, 2))));
  return 1;
}

static int model_index(lua_State *L) {
  int i = lur_model_find(check_model(L, 1), luaL_checkstring(L, 2));
  if (i < 0) luaL_pushfail(L);
  else lua_pushinteger(L, i);
  return 1;
}

/* ---- freezing ---- */

/* Position of the layer that begins or ends a range. It is given as a layer's name, as the name of a block ("block12":
   its first or last layer), or as a Keras index. */
static int range_end(lua_State *L, const lur_model *model, int index, bool last) {
  int n = lur_model_layer_count(model), found = -1;
  if (lua_type(L, index) == LUA_TNUMBER) {
    int whole;
    lua_Integer i = lua_tointegerx(L, index, &whole);
    if (!whole || i < 0 || i > n) lur_raise(L, "layer index from 0 to %d expected, got %s", n, lua_tostring(L, index));
    return (int)i;
  }
  if (lua_type(L, index) != LUA_TSTRING)
    lur_raise(L, "a layer's name or index expected, got %s", luaL_typename(L, index));
  const char *name = lua_tostring(L, index);
  size_t length = strlen(name);
  if ((found = lur_model_find(model, name)) >= 0) return found;
  for (int i = 0; i < n && (last || found < 0); i++) {
    const char *own = layer_name(model, i);
    if (strncmp(own, name, length) == 0 && own[length] == '_') found = i;
  }
  return found >= 0 ? found : no_layer(L, model, name);
}

static void set_range(lua_State *L, lur_model *model, bool trainable) {
  static const char *const known[] = {"from", "to", "below", NULL};
  int from = 0, to = lur_model_layer_count(model);
  lur_args_options(L, 2, trainable ? "unfreeze" : "freeze", known);
  if (lua_getfield(L, 2, "from") != LUA_TNIL) from = range_end(L, model, lua_gettop(L), false);
  if (lua_getfield(L, 2, "to") != LUA_TNIL) to = range_end(L, model, lua_gettop(L), true) + 1;
  if (lua_getfield(L, 2, "below") != LUA_TNIL) to = range_end(L, model, lua_gettop(L), false);
  for (int i = from; i < to && i < lur_model_layer_count(model); i++)
    lur_layer_set_trainable(lur_model_layer(model, i), trainable);
}

/* The list of names or layers at 2. All of them are looked up before any is changed. */
static void set_list(lua_State *L, lur_model *model, bool trainable) {
  int n = (int)lua_rawlen(L, 2);
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 1; i <= n; i++) {
      lua_rawgeti(L, 2, i);
      lur_layer *layer = lur_handle_test(L, -1, &lur_layer_class);
      if (layer == NULL && lua_type(L, -1) != LUA_TSTRING)
        lur_raise(L, "names of layers, or layers, expected, got %s", luaL_typename(L, -1));
      if (layer == NULL) layer = lur_model_layer(model, find_layer(L, model, lua_tostring(L, -1)));
      if (pass == 1) lur_layer_set_trainable(layer, trainable);
      lua_pop(L, 1);
    }
  }
}

static void set_chosen(lua_State *L, lur_model *model, bool trainable) {
  for (int i = 0; i < lur_model_layer_count(model); i++) {
    lua_pushvalue(L, 2);
    lur_push_layer(L, lur_model_layer(model, i));
    lua_pushinteger(L, i);
    lua_call(L, 2, 1);
    if (lua_toboolean(L, -1)) lur_layer_set_trainable(lur_model_layer(model, i), trainable);
    lua_pop(L, 1);
  }
}

static int set_trainable(lua_State *L, bool trainable) {
  lur_model *model = check_model(L, 1);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    for (int i = 0; i < lur_model_layer_count(model); i++)
      lur_layer_set_trainable(lur_model_layer(model, i), trainable);
  } else if (lua_isfunction(L, 2)) {
    set_chosen(L, model, trainable);
  } else if (lua_type(L, 2) == LUA_TSTRING) {
    lur_layer_set_trainable(lur_model_layer(model, find_layer(L, model, lua_tostring(L, 2))), trainable);
  } else {
    luaL_argexpected(L, lua_istable(L, 2), 2, "table, name or function");
    if (lua_rawlen(L, 2) > 0) set_list(L, model, trainable);
    else set_range(L, model, trainable);
  }
  lua_settop(L, 1);
  return 1;
}

static int model_freeze(lua_State *L) { return set_trainable(L, false); }
static int model_unfreeze(lua_State *L) { return set_trainable(L, true); }

/* Cuts as a list of names, frozen layers as a set of names. */
static int model_frozen(lua_State *L) {
  lur_model *model = check_model(L, 1);
  const char *input = luaL_checkstring(L, 2);
  int n = lur_model_layer_count(model), ncuts;
  int *cuts = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *cuts, 0);
  bool *frozen = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *frozen, 0);
  LUR_CALL(L, lur_model_frozen(model, input, frozen, cuts, &ncuts));
  lua_createtable(L, ncuts, 0);
  for (int i = 0; i < ncuts; i++) {
    lua_pushstring(L, layer_name(model, cuts[i]));
    lua_rawseti(L, -2, i + 1);
  }
  lua_newtable(L);
  for (int i = 0; i < n; i++) {
    lua_pushboolean(L, true);
    if (frozen[i]) lua_setfield(L, -2, layer_name(model, i));
    else lua_pop(L, 1);
  }
  return 2;
}

static int model_parameters(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lua_pushinteger(L, lur_model_parameters(model, false));
  lua_pushinteger(L, lur_model_parameters(model, true));
  return 2;
}

/* ---- files ---- */

static void free_report(void *text) {
  lur_load_report report = {.text = text};
  lur_load_report_free(&report);
}

/* Sets the model's weight names from the table at index. */
static void set_weight_names(lua_State *L, lur_model *model, int index) {
  int n = 0, i = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
      lur_raise(L, "weight names: strings expected as keys and values, got %s and %s", luaL_typename(L, -2),
                luaL_typename(L, -1));
    n++;
  }
  lur_weight_name *names = lua_newuserdatauv(L, (size_t)n * sizeof *names + 1, 0);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
    names[i++] = (lur_weight_name){lua_tostring(L, -2), lua_tostring(L, -1)};
  LUR_CALL(L, lur_model_set_weight_names(model, n, names));
  lua_pop(L, 1);
}

/* Sets the names with a table, else returns them. */
static int model_weight_names(lua_State *L) {
  lur_model *model = check_model(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    set_weight_names(L, model, 2);
    lua_settop(L, 1);
    return 1;
  }
  lua_newtable(L);
  for (int i = 0; i < lur_model_weight_name_count(model); i++) {
    lur_weight_name name = lur_model_weight_name(model, i);
    lua_pushstring(L, name.model);
    lua_setfield(L, -2, name.file);
  }
  return 1;
}

static int model_load(lua_State *L) {
  static const char *const known[] = {"by", "strict", "partial", "names", NULL},
                           *const ways[] = {"auto", "name", "order", NULL};
  lur_model *model = check_model(L, 1);
  const char *path = luaL_checkstring(L, 2);
  lua_settop(L, 3);
  lur_args_options(L, 3, "load", known);
  lur_load_match by = (lur_load_match)lur_args_choice(L, 3, "load", "by", ways, 0);
  bool strict = lur_args_bool(L, 3, "load", "strict", false), partial = lur_args_bool(L, 3, "load", "partial", false);
  if (strict && partial) lur_args_bad(L, "load", "partial", "nothing expected beside strict, got true");
  if (lua_istable(L, 3) && lua_getfield(L, 3, "names") != LUA_TNIL) {
    if (!lua_istable(L, -1)) lur_args_bad(L, "load", "names", "table expected, got %s", luaL_typename(L, -1));
    set_weight_names(L, model, lua_gettop(L));
  }
  lua_settop(L, 3);
  lur_guard *guard = lur_guard_new(L, free_report);
  lur_load_extent extent = strict ? LUR_LOAD_ALL : partial ? LUR_LOAD_PARTIAL : LUR_LOAD_MOST;
  lur_load_report report = {0};
  lur_status status;
  LUR_RETRY(L, status, lur_model_load_weights(model, path, by, extent, &report));
  if (status != LUR_OK) return lur_soft(L, status);
  guard->pointer = report.text;
  lua_createtable(L, 0, 5);
  lur_set_integer(L, "loaded", report.loaded);
  lur_set_integer(L, "missing", report.missing);
  lur_set_integer(L, "unused", report.unused);
  lur_set_integer(L, "mismatched", report.mismatched);
  lur_set_text(L, "text", report.text != NULL ? report.text : "");
  lur_guard_clear(guard);
  return 1;
}

static int model_save(lua_State *L) {
  lur_model *model = check_model(L, 1);
  const char *path = luaL_checkstring(L, 2);
  lur_status status;
  LUR_RETRY(L, status, lur_model_save_weights(model, path));
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, true);
  return 1;
}

static int model_json(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lur_guard *guard = lur_guard_new_text(L);
  char *text;
  LUR_CALL(L, lur_model_to_json(model, &text));
  guard->pointer = text;
  lua_pushstring(L, text);
  lur_guard_clear(guard);
  return 1;
}

/* ---- fields ---- */

static int get_layers(lua_State *L) {
  lur_model *model = check_model(L, 1);
  int n = lur_model_layer_count(model);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lur_push_layer(L, lur_model_layer(model, i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* The losses that the model was saved with, by output. */
static int get_losses(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lua_newtable(L);
  for (int i = 0; i < lur_model_loss_count(model); i++) {
    lur_handle *h = lur_handle_new(L, &lur_model_class);
    lur_model_retain(lur_model_loss(model, i));
    lur_handle_fill(L, h, lur_model_loss(model, i));
    lua_setfield(L, -2, lur_model_loss_output(model, i));
  }
  return 1;
}

static int get_inputs(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lua_newtable(L);
  for (int i = 0; i < lur_model_input_count(model); i++) {
    lua_pushstring(L, lur_model_input_name(model, i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int get_outputs(lua_State *L) {
  lur_model *model = check_model(L, 1);
  lua_newtable(L);
  for (int i = 0; i < lur_model_output_count(model); i++) {
    lua_pushstring(L, lur_model_output_name(model, i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const luaL_Reg methods[] = {{"layer", model_layer},
                                   {"node", model_node},
                                   {"index", model_index},
                                   {"freeze", model_freeze},
                                   {"unfreeze", model_unfreeze},
                                   {"frozen", model_frozen},
                                   {"parameters", model_parameters},
                                   {"weight_names", model_weight_names},
                                   {"load", model_load},
                                   {"save", model_save},
                                   {"json", model_json},
                                   {"compile", lur_model_compile_method},
                                   {NULL, NULL}};
static const luaL_Reg getters[] = {
    {"layers", get_layers}, {"inputs", get_inputs}, {"outputs", get_outputs}, {"losses", get_losses}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__call", model_call}, {NULL, NULL}};

void lur_add_model(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"model", new_model}, {"load", load_model}, {"from_json", model_from_json}, {NULL, NULL}};
  lur_class_register(
      L, &lur_model_class,
      &(lur_members){.methods = methods, .getters = getters, .meta = meta, .tostring = lur_model_tostring});
  luaL_setfuncs(L, functions, 0);
}
