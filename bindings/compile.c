/* compile.c - the options of model:compile and run:recompile, and lurcher.optim. The table of options stays with the
 * run, so that recompile can change some and keep the rest. */
#include <string.h>

#include "modules.h"
#include "nn.h"
#include "train.h"

static const char owner[] = "compile";

/* ---- optimizers ---- */

static const char *const optimizers[] = {"sgd", "adam", "adamw", "nadam", NULL};

static void release_optimizer(void *optimizer) { lur_optimizer_release(optimizer); }

/* Pushes one. */
static lur_optimizer *push_optimizer(lua_State *L, const char *kind, int arg) {
  lur_setting settings[LUR_MAX_SETTINGS];
  int n = arg == 0 ? 0 : lur_args_settings(L, arg, kind, settings);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_optimizer_class);
  lur_optimizer *optimizer;
  LUR_CALL(L, lur_optimizer_new(context, kind, settings, n, &optimizer));
  lur_handle_fill(L, h, optimizer);
  return optimizer;
}

/* Upvalue: the kind. */
static int new_optimizer(lua_State *L) {
  push_optimizer(L, lua_tostring(L, lua_upvalueindex(1)), 1);
  return 1;
}

static int optimizer_kind(lua_State *L) {
  lua_pushstring(L, lur_optimizer_kind(lur_handle_check(L, 1, &lur_optimizer_class)));
  return 1;
}

static int optimizer_tostring(lua_State *L) {
  const lur_handle *h = luaL_checkudata(L, 1, lur_optimizer_class.name);
  char text[512];
  if (h->object == NULL) {
    lua_pushliteral(L, "lurcher.optimizer (closed)");
    return 1;
  }
  lur_optimizer_format(h->object, text, sizeof text);
  lua_pushfstring(L, "optim.%s", text);
  return 1;
}

static const luaL_Reg optimizer_getters[] = {{"kind", optimizer_kind}, {NULL, NULL}};
static const luaL_Reg optimizer_meta[] = {{"__tostring", optimizer_tostring}, {NULL, NULL}};
const lur_class lur_optimizer_class = {
    .name = "lurcher.optimizer", .release = release_optimizer, .getters = optimizer_getters, .meta = optimizer_meta};

int lur_open_optim(lua_State *L) {
  lur_class_register(L, &lur_optimizer_class);
  lua_newtable(L);
  for (int i = 0; optimizers[i] != NULL; i++) {
    lua_pushstring(L, optimizers[i]);
    lua_pushcclosure(L, new_optimizer, 1);
    lua_setfield(L, -2, optimizers[i]);
  }
  return 1;
}

/* ---- losses ---- */

/* The number for `output` in option `name`: one for all, or a table by output. */
static double per_output(lua_State *L, int options, const char *name, const char *output, double def) {
  double value = def;
  int type = lua_getfield(L, options, name);
  if (type == LUA_TTABLE) {
    value = lur_args_real(L, lua_gettop(L), name, output, def);
  } else if (type != LUA_TNIL) {
    lua_pop(L, 1);
    return lur_args_real(L, options, owner, name, def);
  }
  lua_pop(L, 1);
  return value;
}

static bool has_output(const lur_model *model, const char *name) {
  for (int i = 0; i < lur_model_output_count(model); i++)
    if (strcmp(lur_model_output_name(model, i), name) == 0) return true;
  return false;
}

/* Raises when a table by output names one that the model does not have. */
static void check_outputs(lua_State *L, int options, const lur_model *model, const char *name) {
  const char *names[64];
  int n = 0;
  for (; n < lur_model_output_count(model) && n < 64; n++) names[n] = lur_model_output_name(model, n);
  if (lua_getfield(L, options, name) == LUA_TTABLE) {
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
  lua_pop(L, 1);
}

/* Pushes the kind of loss of an output; NULL and nothing pushed when it has none. The strings belong to the options. */
static const char *push_loss(lua_State *L, int options, const lur_model *model, const char *output) {
  int type = lua_getfield(L, options, "loss");
  const char *kind = NULL;
  if (type == LUA_TSTRING) {
    if (lur_model_output_count(model) > 1)
      lur_args_bad(L, owner, "loss", "a table by output expected: the model has %d outputs",
                   lur_model_output_count(model));
    return lua_tostring(L, -1);
  }
  if (type == LUA_TTABLE) {
    kind = lur_args_text(L, lua_gettop(L), "loss", output, NULL);
  } else if (type != LUA_TNIL) {
    lur_args_bad(L, owner, "loss", "string or table of strings by output expected, got %s", luaL_typename(L, -1));
  }
  lua_pop(L, 1);
  return kind;
}

bool lur_compiled_categorical(lua_State *L, int options, const lur_model *model, const char *output) {
  if (!lua_istable(L, options)) return false;
  int top = lua_gettop(L);
  const char *kind = push_loss(L, options, model, output);
  bool categorical = kind != NULL && strcmp(kind, "categorical_crossentropy") == 0;
  lua_settop(L, top);
  return categorical;
}

static void read_losses(lua_State *L, int options, const lur_model *model, lur_compile_options *o) {
  int n = lur_model_output_count(model);
  lur_loss *losses = lua_newuserdatauv(L, sizeof(lur_loss) * ((size_t)n + 1), 0);
  o->losses = losses;
  o->nlosses = 0;
  check_outputs(L, options, model, "loss");
  check_outputs(L, options, model, "weight");
  check_outputs(L, options, model, "label_smoothing");
  for (int i = 0; i < n; i++) {
    const char *output = lur_model_output_name(model, i);
    const char *kind = push_loss(L, options, model, output);
    if (kind == NULL) continue;
    losses[o->nlosses++] = (lur_loss){.output = output,
                                      .kind = kind,
                                      .weight = per_output(L, options, "weight", output, 1),
                                      .label_smoothing = per_output(L, options, "label_smoothing", output, 0)};
  }
}

/* ---- the rest ---- */

static bool switched_off(lua_State *L, int passes, const char *name) {
  return !lur_args_bool(L, passes, "passes", name, true);
}

/* Leaves on the stack what the options point at. */
static void read_options(lua_State *L, int options, const lur_model *model, lur_compile_options *o) {
  static const char *const known[] = {"device",    "optimizer",       "loss",  "weight", "label_smoothing",
                                      "batchnorm", "precision",       "input_gradients", "check", "graph", "passes", NULL};
  static const char *const known_passes[] = {"prune", "fold", "lifetimes", "arena", "split", NULL};
  static const char *const statistics[] = {"moving", "batch", NULL};
  static const char *const precisions[] = {"f32", "tf32", "bf16", "f16", "int8", NULL}; /* in the order of lur_precision */
  *o = (lur_compile_options){0};
  lur_args_options(L, options, owner, known);
  if (lua_getfield(L, options, "device") == LUA_TNIL) lua_pushliteral(L, "auto");
  o->device = lur_args_device(L, -1);
  if (lua_getfield(L, options, "optimizer") == LUA_TSTRING) o->optimizer = push_optimizer(L, lua_tostring(L, -1), 0);
  else if (!lua_isnil(L, -1)) o->optimizer = lur_handle_test(L, -1, &lur_optimizer_class);
  if (o->optimizer == NULL && !lua_isnil(L, -1))
    lur_args_bad(L, owner, "optimizer", "lurcher.optimizer or a name expected, got %s", luaL_typename(L, -1));
  o->batchnorm_batch = lur_args_choice(L, options, owner, "batchnorm", statistics, 0) == 1;
  o->precision = (lur_precision)lur_args_choice(L, options, owner, "precision", precisions, 0);
  o->input_gradients = lur_args_bool(L, options, owner, "input_gradients", false);
  o->check = lur_args_bool(L, options, owner, "check", false);
  o->no_graph = !lur_args_bool(L, options, owner, "graph", true);
  lua_getfield(L, options, "passes");
  int passes = lua_gettop(L);
  lur_args_options(L, passes, "passes", known_passes);
  o->no_prune = switched_off(L, passes, "prune");
  o->no_fold = switched_off(L, passes, "fold");
  o->no_lifetimes = switched_off(L, passes, "lifetimes") || switched_off(L, passes, "split");
  o->no_arena = switched_off(L, passes, "arena");
  read_losses(L, options, model, o);
}

/* A shallow copy of the table at index `from` over the one on top of the stack. */
static void overlay(lua_State *L, int from) {
  if (!lua_istable(L, from)) return;
  for (lua_pushnil(L); lua_next(L, from) != 0;) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* model:compile{...} -> run */
int lur_model_compile_method(lua_State *L) {
  lur_model *model = lur_handle_check(L, 1, &lur_model_class);
  lur_compile_options o;
  lua_settop(L, 2);
  luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "table of options");
  lua_newtable(L);
  overlay(L, 2);
  read_options(L, 3, model, &o);
  lur_handle *h = lur_handle_new(L, &lur_run_class);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, -2, 1);
  lur_run *run;
  LUR_CALL(L, lur_model_compile(model, &o, &run));
  lur_handle_fill(L, h, run);
  return 1;
}

/* run:recompile{...} -> self */
int lur_run_recompile_method(lua_State *L) {
  lur_run *run = lur_handle_check(L, 1, &lur_run_class);
  lur_compile_options o;
  lua_settop(L, 2);
  luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "table of options");
  lua_getiuservalue(L, 1, 1);
  lua_newtable(L);
  overlay(L, 3);
  overlay(L, 2);
  read_options(L, 4, lur_run_model(run), &o);
  LUR_CALL(L, lur_run_recompile(run, &o));
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, 1, 1);
  lua_settop(L, 1);
  return 1;
}
