/* nn.c - layers and nodes. A constructor for every layer kind the engine knows: none is named here but those
 * that operators stand for. Chains are in chain.c, models in model.c. */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "modules.h"
#include "nn.h"

enum { MOST_NODES = 64, TEXT = 512 };

/* ---- applying ---- */

static void release_node(void *node) { lur_node_release(node); }
static void release_layer(void *layer) { lur_layer_release(layer); }

static lur_node *check_node(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_node_class); }
static lur_layer *check_layer(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_layer_class); }

bool lur_args_are_nodes(lua_State *L, int index) {
  if (!lua_istable(L, index)) return lur_handle_is(L, index, &lur_node_class);
  lua_rawgeti(L, index, 1);
  bool node = lur_handle_is(L, -1, &lur_node_class);
  lua_pop(L, 1);
  return node;
}

static lur_node *node_at(lua_State *L, int index, const char *who, int position) {
  lur_node *node = lur_handle_test(L, index, &lur_node_class);
  if (node == NULL && lur_handle_is(L, index, &lur_tensor_class))
    lur_raise(L, "%s is applied to nodes, got a lurcher.tensor; compile a model to run it on tensors", who);
  if (node == NULL) lur_raise(L, "%s is applied to nodes, got %s as input %d", who, luaL_typename(L, index), position);
  return node;
}

int lur_args_nodes(lua_State *L, int first, const char *who, lur_node **nodes, int capacity) {
  bool table = lua_istable(L, first);
  int n = table ? (int)lua_rawlen(L, first) : lua_gettop(L) - first + 1;
  if (n > capacity) lur_raise(L, "%s: at most %d inputs expected, got %d", who, capacity, n);
  for (int i = 0; i < n; i++) {
    if (!table) {
      nodes[i] = node_at(L, first + i, who, i + 1);
      continue;
    }
    lua_rawgeti(L, first, i + 1);
    nodes[i] = node_at(L, -1, who, i + 1); /* the table keeps it */
    lua_pop(L, 1);
  }
  return n < 0 ? 0 : n;
}

static size_t weight_bytes(const lur_layer *layer) {
  size_t bytes = 0;
  for (int i = 0; i < lur_layer_weight_count(layer); i++) bytes += lur_tensor_bytes(lur_layer_weight(layer, i));
  return bytes;
}

/* Pushes the node of one application. */
static void apply(lua_State *L, lur_layer *layer, int n, lur_node *const *x) {
  lur_handle *h = lur_handle_new(L, &lur_node_class);
  lur_node *y;
  LUR_CALL(L, lur_layer_apply(layer, n, x, &y));
  lur_handle_fill(L, h, y);
}

/* Pushes a new layer. */
static lur_layer *push_layer(lua_State *L, const char *kind, const lur_setting *settings, int n) {
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_layer_class);
  lur_layer *layer;
  LUR_CALL(L, lur_layer_new(context, kind, settings, n, &layer));
  lur_handle_fill(L, h, layer);
  return layer;
}

static void push_applied(lua_State *L, const char *kind, const lur_setting *settings, int nsettings, int n,
                         lur_node *const *x) {
  lur_layer *layer = push_layer(L, kind, settings, nsettings);
  apply(L, layer, n, x);
  lua_remove(L, -2);
}

/* ---- constructors ---- */

/* Whether the kind's first option is a shape, so that nn.reshape(3, 4) and nn.reshape{ 3, 4 } mean one option. */
static bool first_is_shape(const char *kind) {
  lur_option_info info = {0};
  for (int i = 0; i < lur_layer_kind_count(); i++)
    if (strcmp(lur_layer_kind_name(i), kind) == 0 && lur_layer_kind_options(i, &info, 1) > 0)
      return info.type != NULL && strcmp(info.type, "shape") == 0;
  return false;
}

/* Joins positional whole numbers into one list for position 1. */
static int join_positions(lua_State *L, const char *kind, lur_setting *settings, int n) {
  lur_setting joined = {.position = 1, .type = LUR_INTS};
  int kept = 0;
  for (int i = 0; i < n; i++) {
    lur_setting *s = &settings[i];
    if (s->name != NULL || s->type != LUR_INT) {
      settings[kept++] = *s;
      continue;
    }
    if (s->position > LUR_MAX_DIMS) lur_raise(L, "'%s': at most %d extents expected", kind, LUR_MAX_DIMS);
    joined.ints[s->position - 1] = s->integer;
    if (s->position > joined.count) joined.count = s->position;
  }
  if (joined.count > 0) settings[kept++] = joined;
  return kept;
}

/* The string keys of the table at index alone, in a new table that takes its place. */
static void keep_named(lua_State *L, int index) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, index) != 0;) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4);
    } else {
      lua_pop(L, 1);
    }
  }
  lua_replace(L, index);
}

/* nn.add(a, b), nn.concat{ a, b, axis = 1 } */
static int construct_applied(lua_State *L, const char *kind) {
  lur_setting settings[LUR_MAX_SETTINGS];
  lur_node *x[MOST_NODES];
  int n = lur_args_nodes(L, 1, kind, x, MOST_NODES), nsettings = 0;
  if (lua_istable(L, 1)) {
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    keep_named(L, 2);
    nsettings = lur_args_settings(L, 2, kind, settings);
  }
  push_applied(L, kind, settings, nsettings, n, x);
  return 1;
}

/* Upvalue: the kind's name. */
static int construct(lua_State *L) {
  const char *kind = lua_tostring(L, lua_upvalueindex(1));
  lur_setting settings[LUR_MAX_SETTINGS];
  if (lur_args_are_nodes(L, 1)) return construct_applied(L, kind);
  int top = lua_gettop(L), n;
  if (top <= 1) {
    n = lur_args_settings(L, 1, kind, settings);
  } else { /* nn.reshape(3, 4): the arguments are the list part */
    lua_createtable(L, top, 0);
    for (int i = 1; i <= top; i++) {
      lua_pushvalue(L, i);
      lua_rawseti(L, -2, i);
    }
    n = lur_args_settings(L, lua_gettop(L), kind, settings);
  }
  if (first_is_shape(kind)) n = join_positions(L, kind, settings, n);
  push_layer(L, kind, settings, n);
  return 1;
}

static int input(lua_State *L) {
  static const char *const known[] = {"name", "shape", "dtype", NULL};
  lur_shape shape;
  lur_dtype dtype = LUR_F32;
  const char *name;
  if (lua_istable(L, 1)) {
    lur_args_options(L, 1, "input", known);
    name = lur_args_text(L, 1, "input", "name", NULL);
    if (name == NULL) return lur_args_bad(L, "input", "name", "string expected, got nothing");
    if (lur_args_list(L, 1, "input", "shape") < 0)
      return lur_args_bad(L, "input", "shape", "list of extents expected, got nothing");
    lur_args_table_shape(L, -1, false, &shape);
    if (lua_getfield(L, 1, "dtype") != LUA_TNIL) dtype = lur_args_dtype(L, -1);
  } else {
    name = luaL_checkstring(L, 1);
    lur_args_shape(L, 2, false, &shape);
  }
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_node_class);
  lur_node *node;
  LUR_CALL(L, lur_input(context, name, dtype, &shape, &node));
  lur_handle_fill(L, h, node);
  return 1;
}

static int index_input(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_node_class);
  lur_node *node;
  LUR_CALL(L, lur_index(context, name, &node));
  lur_handle_fill(L, h, node);
  return 1;
}

static int kinds(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; i < lur_layer_kind_count(); i++) {
    lua_pushstring(L, lur_layer_kind_name(i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int options(lua_State *L) {
  const char *kind = luaL_checkstring(L, 1);
  lur_option_info info[LUR_MAX_SETTINGS];
  for (int i = 0; i < lur_layer_kind_count(); i++) {
    if (strcmp(lur_layer_kind_name(i), kind) != 0) continue;
    int n = lur_layer_kind_options(i, info, LUR_MAX_SETTINGS);
    lur_push_option_info(L, info, n < LUR_MAX_SETTINGS ? n : LUR_MAX_SETTINGS);
    lua_pushstring(L, lur_layer_kind_help(i));
    return 2;
  }
  return luaL_argerror(L, 1, lua_pushfstring(L, "no layer kind '%s'", kind));
}

/* ---- layers ---- */

static int layer_call(lua_State *L) {
  lur_layer *layer = check_layer(L, 1);
  char who[TEXT];
  lur_node *x[MOST_NODES];
  snprintf(who, sizeof who, "%s '%s'", lur_layer_kind(layer), lur_layer_name(layer));
  int n = lur_args_nodes(L, 2, who, x, MOST_NODES);
  apply(L, layer, n, x);
  lur_handle_charge(L, lua_touserdata(L, 1), weight_bytes(layer));
  return 1;
}

static int layer_freeze(lua_State *L) {
  lur_layer_set_trainable(check_layer(L, 1), false);
  lua_settop(L, 1);
  return 1;
}

static int layer_unfreeze(lua_State *L) {
  lur_layer_set_trainable(check_layer(L, 1), true);
  lua_settop(L, 1);
  return 1;
}

static int layer_weights(lua_State *L) {
  lur_layer *layer = check_layer(L, 1);
  lua_newtable(L);
  for (int i = 0; i < lur_layer_weight_count(layer); i++) {
    lur_handle *h = lur_handle_new(L, &lur_tensor_class);
    lur_tensor *weight = lur_layer_weight(layer, i);
    lur_tensor_retain(weight);
    lur_fill_tensor(L, h, weight, false);
    lua_setfield(L, -2, lur_layer_weight_name(layer, i));
  }
  return 1;
}

static int layer_set_weight(lua_State *L) {
  lur_layer *layer = check_layer(L, 1);
  const char *name = luaL_checkstring(L, 2);
  lur_tensor *value = lur_check_tensor(L, 3);
  const char *names[16];
  int n = lur_layer_weight_count(layer);
  for (int i = 0; i < n; i++) {
    const char *own = lur_layer_weight_name(layer, i);
    if (i < 16) names[i] = own;
    if (strcmp(own, name) != 0) continue;
    LUR_CALL(L, lur_layer_set_weight(layer, i, value));
    lua_settop(L, 1);
    return 1;
  }
  const char *near = lur_nearest(name, names, n < 16 ? n : 16);
  if (near != NULL)
    return lur_raise(L, "%s '%s' has no weight '%s' (did you mean '%s'?)", lur_layer_kind(layer), lur_layer_name(layer),
                     name, near);
  return lur_raise(L, "%s '%s' has no weight '%s'%s", lur_layer_kind(layer), lur_layer_name(layer), name,
                   n == 0 ? "; weights are made at the first application" : "");
}

static int layer_reset(lua_State *L) {
  LUR_CALL(L, lur_layer_reset(check_layer(L, 1)));
  lua_settop(L, 1);
  return 1;
}

static int layer_get_name(lua_State *L) {
  lua_pushstring(L, lur_layer_name(check_layer(L, 1)));
  return 1;
}

static int layer_get_kind(lua_State *L) {
  lua_pushstring(L, lur_layer_kind(check_layer(L, 1)));
  return 1;
}

static int layer_get_trainable(lua_State *L) {
  lua_pushboolean(L, lur_layer_trainable(check_layer(L, 1)));
  return 1;
}

static int layer_set_trainable(lua_State *L) {
  lur_layer *layer = check_layer(L, 1);
  luaL_argexpected(L, lua_isboolean(L, 2), 2, "boolean");
  lur_layer_set_trainable(layer, lua_toboolean(L, 2));
  return 0;
}

static int layer_tostring(lua_State *L) {
  const lur_handle *h = luaL_checkudata(L, 1, lur_layer_class.name);
  char text[TEXT];
  if (h->object == NULL) {
    lua_pushliteral(L, "lurcher.layer (closed)");
    return 1;
  }
  lur_layer_format(h->object, text, sizeof text);
  lua_pushfstring(L, "nn.%s%s", text, lur_layer_trainable(h->object) ? "" : " (frozen)");
  return 1;
}

static const luaL_Reg layer_methods[] = {{"freeze", layer_freeze},   {"unfreeze", layer_unfreeze},
                                         {"weights", layer_weights}, {"set_weight", layer_set_weight},
                                         {"reset", layer_reset},     {NULL, NULL}};
static const luaL_Reg layer_getters[] = {
    {"name", layer_get_name}, {"kind", layer_get_kind}, {"trainable", layer_get_trainable}, {NULL, NULL}};
static const luaL_Reg layer_setters[] = {{"trainable", layer_set_trainable}, {NULL, NULL}};
static const luaL_Reg layer_meta[] = {{"__call", layer_call}, {"__tostring", layer_tostring}, {NULL, NULL}};
const lur_class lur_layer_class = {.name = "lurcher.layer",
                                   .release = release_layer,
                                   .methods = layer_methods,
                                   .getters = layer_getters,
                                   .setters = layer_setters,
                                   .meta = layer_meta};

/* ---- nodes ---- */

static int push_affine(lua_State *L, lur_node *x, double scale, double shift) {
  lur_setting settings[2] = {{.name = "scale", .type = LUR_REAL, .real = scale},
                             {.name = "shift", .type = LUR_REAL, .real = shift}};
  push_applied(L, "affine", settings, 2, 1, &x);
  return 1;
}

static bool number_at(lua_State *L, int index) { return lua_type(L, index) == LUA_TNUMBER; }

static int merge(lua_State *L, const char *kind) {
  lur_node *x[2];
  for (int i = 0; i < 2; i++) x[i] = node_at(L, i + 1, kind, i + 1);
  push_applied(L, kind, NULL, 0, 2, x);
  return 1;
}

static int node_add(lua_State *L) {
  if (number_at(L, 1)) return push_affine(L, check_node(L, 2), 1, lua_tonumber(L, 1));
  if (number_at(L, 2)) return push_affine(L, check_node(L, 1), 1, lua_tonumber(L, 2));
  return merge(L, "add");
}

static int node_sub(lua_State *L) {
  if (number_at(L, 1)) return push_affine(L, check_node(L, 2), -1, lua_tonumber(L, 1));
  if (number_at(L, 2)) return push_affine(L, check_node(L, 1), 1, -lua_tonumber(L, 2));
  return merge(L, "sub");
}

static int node_mul(lua_State *L) {
  if (number_at(L, 1)) return push_affine(L, check_node(L, 2), lua_tonumber(L, 1), 0);
  if (number_at(L, 2)) return push_affine(L, check_node(L, 1), lua_tonumber(L, 2), 0);
  return merge(L, "mul");
}

static int node_div(lua_State *L) {
  if (number_at(L, 2) && lua_tonumber(L, 2) != 0) return push_affine(L, check_node(L, 1), 1 / lua_tonumber(L, 2), 0);
  return lur_raise(L, "a node can be divided by a number other than 0 only");
}

static int node_unm(lua_State *L) { return push_affine(L, check_node(L, 1), -1, 0); }

static int node_pow(lua_State *L) {
  if (!lur_handle_is(L, 1, &lur_node_class) || !number_at(L, 2) || lua_tonumber(L, 2) != 2)
    return lur_raise(L, "a node can be raised to the power 2 only");
  lur_node *x = check_node(L, 1);
  push_applied(L, "square", NULL, 0, 1, &x);
  return 1;
}

static int node_get_shape(lua_State *L) {
  lur_push_shape(L, lur_node_shape(check_node(L, 1)));
  return 1;
}

static int node_get_name(lua_State *L) {
  lua_pushstring(L, lur_layer_name(lur_node_layer(check_node(L, 1))));
  return 1;
}

void lur_push_layer(lua_State *L, lur_layer *layer) {
  lur_handle *h = lur_handle_new(L, &lur_layer_class);
  lur_layer_retain(layer);
  lur_handle_fill(L, h, layer);
}

void lur_push_node(lua_State *L, lur_node *node) {
  lur_handle *h = lur_handle_new(L, &lur_node_class);
  lur_node_retain(node);
  lur_handle_fill(L, h, node);
}

static int node_get_layer(lua_State *L) {
  lur_push_layer(L, lur_node_layer(check_node(L, 1)));
  return 1;
}

static int node_tostring(lua_State *L) {
  const lur_handle *h = luaL_checkudata(L, 1, lur_node_class.name);
  char text[LUR_SHAPE_TEXT];
  if (h->object == NULL) {
    lua_pushliteral(L, "lurcher.node (closed)");
    return 1;
  }
  lur_layer *layer = lur_node_layer(h->object);
  lua_pushfstring(L, "lurcher.node %s '%s' %s", lur_layer_kind(layer), lur_layer_name(layer),
                  lur_shape_format(lur_node_shape(h->object), text));
  return 1;
}

static const luaL_Reg node_getters[] = {
    {"shape", node_get_shape}, {"name", node_get_name}, {"layer", node_get_layer}, {NULL, NULL}};
static const luaL_Reg node_meta[] = {{"__add", node_add},           {"__sub", node_sub}, {"__mul", node_mul},
                                     {"__div", node_div},           {"__pow", node_pow}, {"__unm", node_unm},
                                     {"__tostring", node_tostring}, {NULL, NULL}};
const lur_class lur_node_class = {
    .name = "lurcher.node", .release = release_node, .getters = node_getters, .meta = node_meta};

int lur_open_nn(lua_State *L) {
  static const luaL_Reg functions[] = {{"input", input}, {"index", index_input}, {"seq", lur_new_chain},
                                       {"kinds", kinds}, {"options", options},   {NULL, NULL}};
  lur_class_register(L, &lur_layer_class);
  lur_class_register(L, &lur_node_class);
  lur_register_chain(L);
  lua_newtable(L);
  for (int i = 0; i < lur_layer_kind_count(); i++) {
    lua_pushstring(L, lur_layer_kind_name(i));
    lua_pushcclosure(L, construct, 1);
    lua_setfield(L, -2, lur_layer_kind_name(i));
  }
  luaL_setfuncs(L, functions, 0); /* after the kinds: nn.input and nn.index take names */
  lur_add_model(L);
  lur_register_run(L);
  return 1;
}
