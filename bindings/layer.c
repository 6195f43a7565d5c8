/* layer.c - layers and nodes. A layer owns weights; a node is one application of a layer. Operators on nodes are in
 * algebra.c. */
#include "layer.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 512 };

/* ---- applying ---- */

static lur_node *check_node(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_node_class); }
static lur_layer *check_layer(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_layer_class); }

bool lur_args_are_nodes(lua_State *L, int index) {
  if (!lua_istable(L, index)) return lur_handle_is(L, index, &lur_node_class);
  lua_rawgeti(L, index, 1);
  bool node = lur_handle_is(L, -1, &lur_node_class);
  lua_pop(L, 1);
  return node;
}

/* numbers: a number becomes a constant, which is pushed. */
static lur_node *node_at(lua_State *L, int index, const char *who, int position, bool numbers) {
  if (numbers && lua_type(L, index) == LUA_TNUMBER) return lur_push_constant(L, lua_tonumber(L, index));
  lur_node *node = lur_handle_test(L, index, &lur_node_class);
  if (node == NULL && lur_handle_is(L, index, &lur_tensor_class))
    lur_raise(L, "%s is applied to nodes, got a lurcher.tensor; compile a model to run it on tensors", who);
  if (node == NULL) lur_raise(L, "%s is applied to nodes, got %s as input %d", who, luaL_typename(L, index), position);
  return node;
}

static int read_nodes(lua_State *L, int first, const char *who, lur_node **nodes, int capacity, bool numbers) {
  bool table = lua_istable(L, first);
  int n = table ? (int)lua_rawlen(L, first) : lua_gettop(L) - first + 1;
  if (n > capacity) lur_raise(L, "%s: at most %d inputs expected, got %d", who, capacity, n);
  luaL_checkstack(L, n > 0 ? 2 * n : 0, who);
  for (int i = 0; i < n; i++) {
    if (table) lua_rawgeti(L, first, i + 1);
    nodes[i] = node_at(L, table ? -1 : first + i, who, i + 1, numbers);
  }
  return n < 0 ? 0 : n;
}

int lur_args_nodes(lua_State *L, int first, const char *who, lur_node **nodes, int capacity) {
  const int top = lua_gettop(L), n = read_nodes(L, first, who, nodes, capacity, false);
  lua_settop(L, top); /* the arguments, or the table, keep the nodes */
  return n;
}

int lur_args_operands(lua_State *L, int first, const char *kind, lur_node **nodes, int capacity) {
  return read_nodes(L, first, kind, nodes, capacity, lur_layer_kind_takes_numbers(kind));
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

lur_layer *lur_push_new_layer(lua_State *L, const char *kind, const lur_setting *settings, int n) {
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_layer_class);
  lur_layer *layer;
  LUR_CALL(L, lur_layer_new(context, kind, settings, n, &layer));
  lur_handle_fill(L, h, layer);
  return layer;
}

void lur_push_applied(lua_State *L, const char *kind, const lur_setting *settings, int nsettings, int n,
                      lur_node *const *x) {
  lur_layer *layer = lur_push_new_layer(L, kind, settings, nsettings);
  apply(L, layer, n, x);
  lua_remove(L, -2);
}

lur_node *lur_push_constant(lua_State *L, double value) {
  const lur_setting settings[1] = {{.name = "value", .type = LUR_REAL, .real = value}};
  lur_push_applied(L, "constant", settings, 1, 0, NULL);
  return check_node(L, -1);
}

/* ---- layers ---- */

static int layer_call(lua_State *L) {
  lur_layer *layer = check_layer(L, 1);
  char who[TEXT];
  lur_node *x[LUR_MOST_NODES];
  snprintf(who, sizeof who, "%s '%s'", lur_layer_kind(layer), lur_layer_name(layer));
  int n = read_nodes(L, 2, who, x, LUR_MOST_NODES, lur_layer_kind_takes_numbers(lur_layer_kind(layer)));
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
                   n == 0 ? "; its weights are made when it is first applied" : "");
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
  const lur_layer *layer = check_layer(L, 1);
  char text[TEXT];
  lur_layer_format(layer, text, sizeof text);
  lua_pushfstring(L, "nn.%s%s", text, lur_layer_trainable(layer) ? "" : " (frozen)");
  return 1;
}

static const luaL_Reg layer_methods[] = {{"freeze", layer_freeze},   {"unfreeze", layer_unfreeze},
                                         {"weights", layer_weights}, {"set_weight", layer_set_weight},
                                         {"reset", layer_reset},     {NULL, NULL}};
static const luaL_Reg layer_getters[] = {
    {"name", layer_get_name}, {"kind", layer_get_kind}, {"trainable", layer_get_trainable}, {NULL, NULL}};
static const luaL_Reg layer_setters[] = {{"trainable", layer_set_trainable}, {NULL, NULL}};
static const luaL_Reg layer_meta[] = {{"__call", layer_call}, {NULL, NULL}};

/* ---- nodes ---- */

static int node_get_shape(lua_State *L) {
  lur_push_shape(L, lur_node_shape(check_node(L, 1)));
  return 1;
}

static int node_get_dtype(lua_State *L) {
  lua_pushstring(L, lur_dtype_name(lur_node_dtype(check_node(L, 1))));
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
  lur_node *node = check_node(L, 1);
  char text[LUR_SHAPE_TEXT];
  lur_layer *layer = lur_node_layer(node);
  lua_pushfstring(L, "lurcher.node %s '%s' %s%s", lur_layer_kind(layer), lur_layer_name(layer),
                  lur_shape_format(lur_node_shape(node), text), lur_node_unbatched(node) ? ", not per sample" : "");
  return 1;
}

static const luaL_Reg node_getters[] = {
    {"shape", node_get_shape}, {"dtype", node_get_dtype}, {"name", node_get_name}, {"layer", node_get_layer},
    {NULL, NULL}};

void lur_register_layer(lua_State *L, const luaL_Reg *node_meta) {
  lur_class_register(L, &lur_layer_class,
                     &(lur_members){.methods = layer_methods,
                                    .getters = layer_getters,
                                    .setters = layer_setters,
                                    .meta = layer_meta,
                                    .tostring = layer_tostring});
  lur_class_register(L, &lur_node_class,
                     &(lur_members){.getters = node_getters, .meta = node_meta, .tostring = node_tostring});
}
