/* compile.c - the options of model:compile and run:recompile. The table of options is kept as the run's user value, so
 * that recompile can change some and keep the rest. */
#include "compile.h"

#include "losses.h"
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
    LUR_ARG("loss", "text, function, model, or table by output", "none",
            "categorical_crossentropy, binary_crossentropy, mean_squared_error, mean_absolute_error or output; or a "
            "function of prediction, target and nn that returns a node; without one, inference only"),
    LUR_ARG("target", "text, table, or table by output", "ids or values",
            "what the target of such a function is: ids, values or { shape =, dtype = }"),
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
  lur_args_losses(L, table, model, o);
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
