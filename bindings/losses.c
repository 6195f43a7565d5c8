/* losses.c - the options of model:compile that are about losses: names, functions and graphs by output, with weights,
 * label smoothing and the form of targets. A function is called once, here, with two input nodes; what the engine gets
 * is the graph that it built. */
#include "losses.h"

#include <string.h>

#include "layer.h"
#include "modules.h"

static const char owner[] = "compile";

/* ---- options by output ---- */

static bool has_output(const lur_model *model, const char *name) {
  for (int i = 0; i < lur_model_output_count(model); i++)
    if (strcmp(lur_model_output_name(model, i), name) == 0) return true;
  return false;
}

/* Raises when the table on top of the stack has an output that the model does not have. */
static void check_keys(lua_State *L, const lur_model *model, const char *name) {
  const char *names[64];
  int n = 0;
  for (; n < lur_model_output_count(model) && n < 64; n++) names[n] = lur_model_output_name(model, n);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      lur_args_bad(L, owner, name, "values by output name expected, got a %s key", luaL_typename(L, -2));
    const char *key = lua_tostring(L, -2);
    if (has_output(model, key)) continue;
    const char *near = lur_nearest(key, names, n);
    if (near != NULL) lur_args_bad(L, owner, name, "the model has no output '%s'; did you mean '%s'?", key, near);
    lur_args_bad(L, owner, name, "the model has no output '%s'", key);
  }
}

static void check_outputs(lua_State *L, int table, const lur_model *model, const char *name) {
  if (lua_getfield(L, table, name) == LUA_TTABLE) check_keys(L, model, name);
  lua_pop(L, 1);
}

/* The number for `output` in option `name`: one number for all outputs, or a table by output. */
static double per_output(lua_State *L, int table, const char *name, const char *output, double def) {
  double value = def;
  int type = lua_getfield(L, table, name);
  if (type == LUA_TTABLE) {
    value = lur_args_real(L, lua_gettop(L), name, output, def);
  } else if (type != LUA_TNIL) {
    lua_pop(L, 1);
    return lur_args_real(L, table, owner, name, def);
  }
  lua_pop(L, 1);
  return value;
}

/* ---- targets ---- */

typedef struct target_form {
  lur_dtype dtype;
  lur_shape shape; /* of one sample */
} target_form;

static const target_form ids = {LUR_I32, {0}};

static target_form like(const lur_node *output) { return (target_form){LUR_F32, *lur_node_shape(output)}; }

/* Class ids for outputs that have several classes, else numbers like the predictions. */
static target_form default_form(const lur_node *output) {
  const lur_shape *shape = lur_node_shape(output);
  return shape->ndim == 1 && shape->dim[0] > 1 ? ids : like(output);
}

/* { 4, dtype = "f32" } or { shape = { 4 }, dtype = "f32" }, on top of the stack. */
static target_form read_form(lua_State *L) {
  static const char *const known[] = {"shape", "dtype", NULL};
  target_form form = {.dtype = LUR_F32};
  const int table = lua_gettop(L);
  lur_args_options(L, table, "target", known);
  if (lur_args_list(L, table, "target", "shape") < 0) lua_pushvalue(L, table);
  lur_args_table_shape(L, lua_gettop(L), false, &form.shape);
  if (lua_getfield(L, table, "dtype") != LUA_TNIL) form.dtype = lur_args_dtype(L, -1);
  lua_settop(L, table);
  return form;
}

/* Whether the table on top of the stack describes a target, rather than having one for each output. */
static bool is_form(lua_State *L, const lur_model *model) {
  bool found = lua_rawlen(L, -1) > 0;
  for (int i = 0; i < 2 && !found; i++) {
    const char *name = i == 0 ? "shape" : "dtype";
    found = lua_getfield(L, -1, name) != LUA_TNIL && !has_output(model, name);
    lua_pop(L, 1);
  }
  return found;
}

static target_form form_of(lua_State *L, int table, const lur_model *model, int i) {
  const lur_node *output = lur_model_output(model, i);
  target_form form = default_form(output);
  const int top = lua_gettop(L);
  int type = lua_getfield(L, table, "target");
  if (type == LUA_TTABLE && !is_form(L, model)) {
    check_keys(L, model, "target");
    type = lua_getfield(L, -1, lur_model_output_name(model, i));
  }
  if (type == LUA_TTABLE) {
    form = read_form(L);
  } else if (type == LUA_TSTRING) {
    const char *name = lua_tostring(L, -1);
    if (strcmp(name, "ids") != 0 && strcmp(name, "values") != 0)
      lur_args_bad(L, owner, "target", "\"ids\", \"values\" or { shape =, dtype = } expected, got '%s'", name);
    form = name[0] == 'i' ? ids : like(output);
  } else if (type != LUA_TNIL) {
    lur_args_bad(L, owner, "target", "\"ids\", \"values\" or { shape =, dtype = } expected, got %s",
                 luaL_typename(L, -1));
  }
  lua_settop(L, top);
  return form;
}

/* ---- functions ---- */

static lur_node *push_input(lua_State *L, const char *name, lur_dtype dtype, const lur_shape *shape) {
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_node_class);
  lur_node *node;
  LUR_CALL(L, lur_input(context, name, dtype, shape, &node));
  lur_handle_fill(L, h, node);
  return node;
}

static void push_nn(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "lurcher.nn");
  lua_remove(L, -2);
}

/* What a function got, for messages: "prediction 10 f32, target i32 class ids". */
static const char *push_given(lua_State *L, const lur_node *output, const target_form *form) {
  char prediction[LUR_SHAPE_TEXT], target[LUR_SHAPE_TEXT];
  lur_shape_format(lur_node_shape(output), prediction);
  if (form->shape.ndim == 0)
    return lua_pushfstring(L, "prediction %s f32, target one %s per sample", prediction, lur_dtype_name(form->dtype));
  lur_shape_format(&form->shape, target);
  return lua_pushfstring(L, "prediction %s f32, target %s %s", prediction, target, lur_dtype_name(form->dtype));
}

/* Calls the function on top of the stack and replaces it by the graph that it builds. */
static lur_model *trace(lua_State *L, const lur_model *model, int i, const target_form *form) {
  const lur_node *output = lur_model_output(model, i);
  const char *name = lur_model_output_name(model, i);
  const int function = lua_gettop(L);
  lur_handle *h = lur_handle_new(L, &lur_model_class);
  const char *prefix = lua_pushfstring(L, "%s_loss_", name);
  lur_node *prediction = push_input(L, "prediction", lur_node_dtype(output), lur_node_shape(output));
  lur_node *target = push_input(L, "target", form->dtype, &form->shape);
  lua_pushvalue(L, function);
  lua_pushvalue(L, -3);
  lua_pushvalue(L, -3);
  push_nn(L);
  lur_check(L, lur_context_begin_scope(lur_state_context(L), prefix));
  const int failed = lua_pcall(L, 3, 1, 0);
  lur_context_end_scope(lur_state_context(L));
  if (failed) {
    const char *why = luaL_tolstring(L, -1, NULL);
    lur_raise(L, "compile: loss of output '%s': %s (%s)", name, why, push_given(L, output, form));
  }
  lur_node *loss = lur_handle_test(L, -1, &lur_node_class);
  if (loss == NULL)
    lur_raise(L, "compile: loss of output '%s': the function must return a node, got %s", name, lur_push_text(L, -1));
  lur_model *graph;
  lur_status status;
  LUR_RETRY(L, status, lur_loss_graph_new(prediction, target, loss, &graph));
  if (status != LUR_OK) lur_raise(L, "compile: loss of output '%s': %s", name, lur_last_error());
  lur_handle_fill(L, h, graph);
  lua_settop(L, function + 1);
  lua_remove(L, function);
  return graph;
}

/* ---- losses ---- */

static bool is_one_loss(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TSTRING || lua_isfunction(L, index) || lur_handle_is(L, index, &lur_model_class);
}

/* Pushes the loss of an output: a name, a function or a graph; nil when it has none. loss: index of the option. */
static void push_loss(lua_State *L, int loss, const lur_model *model, const char *output) {
  static const char expected[] = "a name, a function, or a table of them by output";
  if (is_one_loss(L, loss)) {
    if (lur_model_output_count(model) > 1)
      lur_args_bad(L, owner, "loss", "a table by output expected: the model has %d outputs",
                   lur_model_output_count(model));
    lua_pushvalue(L, loss);
  } else if (lua_istable(L, loss)) {
    lua_getfield(L, loss, output);
    if (!lua_isnil(L, -1) && !is_one_loss(L, -1))
      lur_args_bad(L, owner, "loss", "a name or a function expected for output '%s', got %s", output,
                   luaL_typename(L, -1));
  } else if (lua_isnil(L, loss)) {
    lua_pushnil(L);
  } else {
    lur_args_bad(L, owner, "loss", "%s expected, got %s", expected, luaL_typename(L, loss));
  }
}

void lur_args_losses(lua_State *L, int table, const lur_model *model, lur_compile_options *o) {
  int n = lur_model_output_count(model);
  lur_loss *losses = lua_newuserdatauv(L, sizeof(lur_loss) * ((size_t)n + 1), 0);
  o->losses = losses;
  o->nlosses = 0;
  check_outputs(L, table, model, "loss");
  check_outputs(L, table, model, "weight");
  check_outputs(L, table, model, "label_smoothing");
  lua_newtable(L); /* the losses by output, with graphs in place of functions */
  const int kept = lua_gettop(L), loss = kept + 1;
  lua_getfield(L, table, "loss");
  for (int i = 0; i < n; i++) {
    const char *output = lur_model_output_name(model, i);
    lur_loss made = {.output = output,
                     .weight = per_output(L, table, "weight", output, 1),
                     .label_smoothing = per_output(L, table, "label_smoothing", output, 0)};
    push_loss(L, loss, model, output);
    const target_form form = form_of(L, table, model, i);
    if (lua_isfunction(L, -1)) made.graph = trace(L, model, i, &form);
    else if (lua_type(L, -1) == LUA_TSTRING) made.kind = lua_tostring(L, -1); /* kept below */
    else if (!lua_isnil(L, -1)) made.graph = lur_handle_check(L, -1, &lur_model_class);
    if (!lua_isnil(L, -1)) losses[o->nlosses++] = made;
    lua_setfield(L, kept, output);
  }
  lua_settop(L, kept);
  if (o->nlosses == 0) return;
  lua_pushvalue(L, kept);
  lua_setfield(L, table, "loss");
}
