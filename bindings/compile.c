/* compile.c - the options of model:compile and run:recompile. The table of options is kept as the run's user value, so
 * that recompile can change some and keep the rest. */
#include "compile.h"

#include <string.h>

#include "optimizer.h"

static const char owner[] = "compile";

/* ---- the options ---- */

typedef struct settings { /* the options that need no more than reading */
  int batchnorm, precision;
  bool input_gradients, graph, check;
} settings;

typedef struct passes {
  bool prune, fold, lifetimes, arena, split;
} passes;

static const char *const statistics[] = {"moving", "batch", NULL};
/* In the order of lur_precision. */
static const char *const precisions[] = {"f32", "tf32", "bf16", "f16", "int8", NULL};

static const lur_arg_option options[] = {
    LUR_ARG("device", "device or name", "auto", "where to compute: auto, cpu, ref, cuda or cuda:N"),
    LUR_ARG("optimizer", "optimizer or name", "none", "updates the weights; without one, train and step raise"),
    LUR_ARG("loss", "text, or table by output", "none",
            "categorical_crossentropy, binary_crossentropy or mean_squared_error; without one, inference only"),
    LUR_ARG("weight", "number, or table by output", "1", "factor of the loss; 0: reported, but without a gradient"),
    LUR_ARG("label_smoothing", "number, or table by output", "0", "share of a target spread evenly over all classes"),
    LUR_ARG_CHOICE(settings, batchnorm, statistics, "moving",
                   "statistics of frozen batch norms in training; batch: those of the batch, as in Keras 2.0.6"),
    LUR_ARG_CHOICE(settings, precision, precisions, "f32", "number format of activations; weights are always f32"),
    LUR_ARG_BOOLEAN(settings, input_gradients, "false", "makes run:gradient return gradients of inputs, too"),
    LUR_ARG_BOOLEAN(settings, graph, "true", "on a GPU, captures each kind of step as a CUDA graph and replays it"),
    LUR_ARG_BOOLEAN(settings, check, "false", "guard zones around buffers and NaN-filled outputs: slow, for tests"),
    LUR_ARG("passes", "table of booleans", "all true",
            "false switches a pass off, for tests: prune, fold, lifetimes, arena"),
    {.info = {0}}};

static const lur_arg_option pass_options[] = {
    LUR_ARG_BOOLEAN(passes, prune, "true", "drops what no output and no gradient needs"),
    LUR_ARG_BOOLEAN(passes, fold, "true", "folds batch norms into convolutions in inference"),
    LUR_ARG_BOOLEAN(passes, lifetimes, "true", "in training, frees outputs once nothing reads them"),
    LUR_ARG_BOOLEAN(passes, split, "true", "the old name of lifetimes"),
    LUR_ARG_BOOLEAN(passes, arena, "true", "shares memory between tensors whose lifetimes do not overlap"),
    {.info = {0}}};

int lur_compile_options_list(lua_State *L) {
  lur_push_declared(L, options);
  return 1;
}

/* ---- losses ---- */

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

static bool has_output(const lur_model *model, const char *name) {
  for (int i = 0; i < lur_model_output_count(model); i++)
    if (strcmp(lur_model_output_name(model, i), name) == 0) return true;
  return false;
}

/* Raises when option `name` is a table with an output that the model does not have. */
static void check_outputs(lua_State *L, int table, const lur_model *model, const char *name) {
  const char *names[64];
  int n = 0;
  for (; n < lur_model_output_count(model) && n < 64; n++) names[n] = lur_model_output_name(model, n);
  if (lua_getfield(L, table, name) == LUA_TTABLE) {
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

/* Pushes the kind of loss of an output and returns it; NULL and nothing pushed when it has none. */
static const char *push_loss(lua_State *L, int table, const lur_model *model, const char *output) {
  int type = lua_getfield(L, table, "loss");
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

bool lur_compiled_categorical(lua_State *L, int table, const lur_model *model, const char *output) {
  if (!lua_istable(L, table)) return false;
  int top = lua_gettop(L);
  const char *kind = push_loss(L, table, model, output);
  bool categorical = kind != NULL && strcmp(kind, "categorical_crossentropy") == 0;
  lua_settop(L, top);
  return categorical;
}

static void read_losses(lua_State *L, int table, const lur_model *model, lur_compile_options *o) {
  int n = lur_model_output_count(model);
  lur_loss *losses = lua_newuserdatauv(L, sizeof(lur_loss) * ((size_t)n + 1), 0);
  o->losses = losses;
  o->nlosses = 0;
  check_outputs(L, table, model, "loss");
  check_outputs(L, table, model, "weight");
  check_outputs(L, table, model, "label_smoothing");
  for (int i = 0; i < n; i++) {
    const char *output = lur_model_output_name(model, i);
    const char *kind = push_loss(L, table, model, output);
    if (kind == NULL) continue;
    losses[o->nlosses++] = (lur_loss){.output = output,
                                      .kind = kind,
                                      .weight = per_output(L, table, "weight", output, 1),
                                      .label_smoothing = per_output(L, table, "label_smoothing", output, 0)};
  }
}

/* ---- reading ---- */

/* The device and the optimizer; both are left on the stack. */
static void read_objects(lua_State *L, int table, lur_compile_options *o) {
  if (lua_getfield(L, table, "device") == LUA_TNIL) lua_pushliteral(L, "auto");
  o->device = lur_args_device(L, -1);
  if (lua_getfield(L, table, "optimizer") == LUA_TSTRING) o->optimizer = lur_push_optimizer(L, lua_tostring(L, -1), 0);
  else if (!lua_isnil(L, -1)) o->optimizer = lur_handle_test(L, -1, &lur_optimizer_class);
  if (o->optimizer == NULL && !lua_isnil(L, -1))
    lur_args_bad(L, owner, "optimizer", "lurcher.optimizer or a name expected, got %s", luaL_typename(L, -1));
}

/* Leaves on the stack what *o points at. */
static void read_options(lua_State *L, int table, const lur_model *model, lur_compile_options *o) {
  settings s;
  passes p;
  *o = (lur_compile_options){0};
  lur_args_declared(L, table, owner, options, &s);
  read_objects(L, table, o);
  lua_getfield(L, table, "passes");
  lur_args_declared(L, lua_gettop(L), "passes", pass_options, &p);
  o->batchnorm_batch = s.batchnorm == 1;
  o->precision = (lur_precision)s.precision;
  o->input_gradients = s.input_gradients;
  o->check = s.check;
  o->no_graph = !s.graph;
  o->no_prune = !p.prune;
  o->no_fold = !p.fold;
  o->no_lifetimes = !p.lifetimes || !p.split;
  o->no_arena = !p.arena;
  read_losses(L, table, model, o);
}

/* Copies every entry of the table at index `from` into the one on top of the stack. */
static void merge(lua_State *L, int from) {
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
  merge(L, 2);
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
  merge(L, 3);
  merge(L, 2);
  read_options(L, 4, lur_run_model(run), &o);
  LUR_CALL(L, lur_run_recompile(run, &o));
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, 1, 1);
  lua_settop(L, 1);
  return 1;
}
