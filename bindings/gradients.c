/* gradients.c - the methods of a run for one's own loop: backward, gradients and their norms, weights, steps. */
#include "gradients.h"

static lur_run *check_run(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_run_class); }

/* ---- backward ---- */

int lur_run_backward_method(lua_State *L) {
  lur_run *run = check_run(L, 1);
  luaL_argexpected(L, lua_istable(L, 2), 2, "table of gradients by output name");
  lur_model *model = lur_run_model(run);
  int n = lur_model_output_count(model), found = 0, given = 0;
  lur_tensor **gradients = lua_newuserdatauv(L, sizeof(lur_tensor *) * ((size_t)n + 1), 0);
  for (int i = 0; i < n; i++) {
    const char *name = lur_model_output_name(model, i);
    gradients[i] = NULL;
    if (lua_getfield(L, 2, name) != LUA_TNIL) {
      gradients[i] = lur_handle_test(L, -1, &lur_tensor_class); /* the table keeps it */
      if (gradients[i] == NULL)
        return lur_raise(L, "gradient of '%s': lurcher.tensor expected, got %s", name, luaL_typename(L, -1));
      found++;
    }
    lua_pop(L, 1);
  }
  for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) given++;
  if (given != found)
    return lur_raise(L, "backward: the table has a gradient for an output that the model does not have");
  LUR_CALL(L, lur_run_backward(run, gradients));
  lua_settop(L, 1);
  return 1;
}

/* ---- steps and gradients ---- */

/* run:step{ scale = 1/4 } -> self */
int lur_run_step_method(lua_State *L) {
  static const char *const known[] = {"scale", NULL};
  lur_run *run = check_run(L, 1);
  lur_args_options(L, 2, "step", known);
  LUR_CALL(L, lur_run_step_scaled(run, lua_istable(L, 2) ? lur_args_real(L, 2, "step", "scale", 1) : 1));
  lua_settop(L, 1);
  return 1;
}

int lur_run_zero_gradients_method(lua_State *L) {
  lur_run_zero_gradients(check_run(L, 1));
  lua_settop(L, 1);
  return 1;
}

int lur_run_gradient_method(lua_State *L) {
  lur_run *run = check_run(L, 1);
  const char *layer = luaL_checkstring(L, 2), *weight = luaL_optstring(L, 3, NULL);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *gradient;
  LUR_CALL(L, lur_run_gradient(run, layer, weight, &gradient));
  lur_fill_tensor(L, h, gradient, true);
  return 1;
}

int lur_run_scale_method(lua_State *L) {
  lur_run *run = check_run(L, 1);
  lur_check(L, lur_run_scale_layer(run, luaL_checkstring(L, 2), luaL_checknumber(L, 3), luaL_optnumber(L, 4, 1)));
  lua_settop(L, 1);
  return 1;
}

/* ---- all weights ---- */

/* Sets fields of the entry on top of the stack: { layer, name, learned }. */
static void set_names(lua_State *L, const lur_run_weight *weight) {
  lur_set_text(L, "layer", lur_layer_name(weight->layer));
  lur_set_text(L, "name", lur_layer_weight_name(weight->layer, weight->index));
  lur_set_boolean(L, "learned", weight->learned);
}

/* run:weights() -> list of { layer, name, tensor, learned } */
int lur_run_weights_method(lua_State *L) {
  const lur_run *run = check_run(L, 1);
  const int n = lur_run_weight_count(run);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    const lur_run_weight weight = lur_run_get_weight(run, i);
    lur_tensor *tensor = lur_layer_weight(weight.layer, weight.index);
    lua_createtable(L, 0, 4);
    set_names(L, &weight);
    lur_handle *h = lur_handle_new(L, &lur_tensor_class);
    lur_tensor_retain(tensor);
    lur_fill_tensor(L, h, tensor, false);
    lua_setfield(L, -2, "tensor");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* run:gradients() -> list of { layer, name, tensor, learned = true } */
int lur_run_gradients_method(lua_State *L) {
  lur_run *run = check_run(L, 1);
  const int n = lur_run_weight_count(run);
  int found = 0;
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    const lur_run_weight weight = lur_run_get_weight(run, i);
    if (!weight.learned) continue;
    lua_createtable(L, 0, 4);
    set_names(L, &weight);
    lur_handle *h = lur_handle_new(L, &lur_tensor_class);
    lur_tensor *gradient;
    LUR_CALL(L, lur_run_gradient(run, lur_layer_name(weight.layer),
                                 lur_layer_weight_name(weight.layer, weight.index), &gradient));
    lur_fill_tensor(L, h, gradient, true);
    lua_setfield(L, -2, "tensor");
    lua_rawseti(L, -2, ++found);
  }
  return 1;
}

/* run:gradient_norms() -> norms by layer, norm of all */
int lur_run_gradient_norms_method(lua_State *L) {
  lur_run *run = check_run(L, 1);
  const lur_layer *last = NULL;
  double norm;
  lua_newtable(L);
  for (int i = 0; i < lur_run_weight_count(run); i++) {
    const lur_run_weight weight = lur_run_get_weight(run, i);
    if (!weight.learned || weight.layer == last) continue;
    last = weight.layer;
    LUR_CALL(L, lur_run_gradient_norm(run, lur_layer_name(last), &norm));
    lur_set_number(L, lur_layer_name(last), norm);
  }
  LUR_CALL(L, lur_run_gradient_norm(run, NULL, &norm));
  lua_pushnumber(L, norm);
  return 2;
}
