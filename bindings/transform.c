/* transform.c - see transform.h. A file is read once, so that all workers run the same text, and opened by each worker
 * in a Lua state of its own (worker.c). What it returns is called here, for one image at a time.
 *
 * Whatever a call can see of the loader must depend on its image alone: random numbers are seeded by the key of the
 * call, math.random and lurcher.normal too; what a file keeps between calls is its author's responsibility. */
#include "transform.h"

#include <errno.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "kernels/number.h"
#include "worker.h"

typedef struct transform { /* lur_transform.user */
  lur_dataset *set;
  lur_context *context;   /* the main state's */
  lua_State *L;           /* function: the state that pops a batch, with the function at `function` */
  int function;
  char *file, *absolute;  /* file: its name as given, and from the root. NULL: a function */
  char *text;
  size_t size;
  char *options;          /* that the file gets, as JSON; NULL: none */
  lur_worker_origin origin;
  bool records;           /* keeps the names of the files that it requires: for its hash */
} transform;

static const char function_key = 0; /* its address names the registry entry of the file's function */

static void transform_free(void *user) {
  transform *t = user;
  if (t == NULL) return;
  lur_dataset_release(t->set);
  lur_context_release(t->context);
  free(t->file);
  free(t->absolute);
  free(t->text);
  free(t->options);
  lur_worker_free_origin(&t->origin);
  free(t);
}

/* ---- one call ---- */

typedef struct request {
  const transform *transform;
  const lur_transform_call *call;
  float *out;
} request;

static void push_image(lua_State *L, const lur_transform_call *call) {
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_shape shape = {3, {call->height, call->width, 3}};
  lur_tensor *image;
  LUR_CALL(L, lur_tensor_new(lur_state_context(L), NULL, LUR_U8, &shape, &image));
  lur_fill_tensor(L, h, image, true);
  memcpy(lur_tensor_data(image), call->pixels, lur_tensor_bytes(image));
}

static void push_columns(lua_State *L, const lur_dataset *set, int64_t index) {
  int n = lur_dataset_column_count(set);
  lua_createtable(L, 0, n);
  for (int c = 0; c < n; c++) lur_set_text(L, lur_dataset_column_name(set, c), lur_dataset_column(set, c, index));
}

static void push_info(lua_State *L, const lur_dataset *set, const lur_transform_call *call) {
  int id = lur_dataset_class(set, call->index);
  lua_createtable(L, 0, 10);
  lur_set_integer(L, "index", call->index + 1);
  lur_set_integer(L, "epoch", call->epoch);
  lur_set_integer(L, "draw", call->draw + 1);
  if (id >= 0) lur_set_integer(L, "class", id + 1);
  if (id >= 0) lur_set_text(L, "class_name", lur_dataset_class_name(set, id));
  lur_set_text(L, "path", lur_dataset_path(set, call->index));
  lur_set_text(L, "name", lur_dataset_name(set, call->index));
  lur_set_integer(L, "width", call->file_width);
  lur_set_integer(L, "height", call->file_height);
  push_columns(L, set, call->index);
  lua_setfield(L, -2, "columns");
}

/* Raises "file.lua:3: the transform returned ...", with the line where the function at 2 begins. */
static void raise_result(lua_State *L, const char *what) {
  lua_Debug ar;
  lua_pushvalue(L, 2);
  lua_getinfo(L, ">S", &ar);
  lua_pushfstring(L, "%s:%d: the transform returned %s", ar.short_src, ar.linedefined, what);
  lua_error(L);
}

/* Copies the result on top of the stack to out. */
static void take_result(lua_State *L, const request *r) {
  const lur_transform_call *call = r->call;
  char expected[LUR_SHAPE_TEXT], given[LUR_SHAPE_TEXT];
  lur_shape shape = {3, {call->height, call->width, 3}};
  lur_tensor *y = lur_handle_test(L, -1, &lur_tensor_class);
  if (y == NULL && lua_isnil(L, -1)) raise_result(L, "nil: it must return the image");
  if (y == NULL)
    raise_result(L, lua_pushfstring(L, "a %s: a tensor expected, the image", luaL_typename(L, -1)));
  if (!lur_shape_equal(lur_tensor_shape(y), &shape))
    raise_result(L, lua_pushfstring(L, "a tensor of %s: %s expected, the size of the loader's images",
                                    lur_shape_format(lur_tensor_shape(y), given), lur_shape_format(&shape, expected)));
  if (lur_tensor_data(y) == NULL) raise_result(L, "a tensor in device memory: one on the CPU expected");
  size_t n = (size_t)lur_shape_count(&shape);
  if (lur_tensor_dtype(y) == LUR_F32) {
    memcpy(r->out, lur_tensor_data(y), n * sizeof *r->out);
  } else if (lur_tensor_dtype(y) == LUR_U8) {
    const uint8_t *bytes = lur_tensor_data(y);
    for (size_t i = 0; i < n; i++) r->out[i] = bytes[i];
  } else {
    raise_result(L, lua_pushfstring(L, "a tensor of %s: u8 expected, or f32 with values from 0 to 255",
                                    lur_dtype_name(lur_tensor_dtype(y))));
  }
}

/* Arguments: the request, the function. */
static int run(lua_State *L) {
  const request *r = lua_touserdata(L, 1);
  if (lur_state_is_worker(L)) lur_worker_seed(L, r->call->key);
  lua_pushvalue(L, 2);
  push_image(L, r->call);
  lur_push_random(L, r->call->key, 0);
  lua_pushvalue(L, -1);
  lua_insert(L, 3);
  lua_toclose(L, 3); /* a generator that is kept for the next image would make it depend on this one */
  push_info(L, r->transform->set, r->call);
  lua_call(L, 3, 1);
  take_result(L, r);
  return 0;
}

/* The message of an error, in one line. */
static int on_error(lua_State *L) {
  size_t length;
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TSTRING) luaL_tolstring(L, 1, NULL);
  const char *text = lua_tolstring(L, -1, &length);
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (size_t i = 0; i < length; i++) {
    bool space = text[i] == '\n' || text[i] == '\t';
    if (!space) luaL_addchar(&line, text[i]);
    else if (i == 0 || (text[i - 1] != '\n' && text[i - 1] != '\t')) luaL_addchar(&line, ' ');
  }
  luaL_pushresult(&line);
  return 1;
}

static const char *message_of(lua_State *L) {
  return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(no message)";
}

/* Calls `run` with the function on top of the stack, which it pops. */
static lur_status call_function(lua_State *L, const request *r) {
  int function = lua_gettop(L);
  if (!lua_checkstack(L, 8)) return lur_fail(LUR_ENOMEM, "out of memory for a transform");
  lua_pushcfunction(L, on_error);
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, (void *)(uintptr_t)r);
  lua_pushvalue(L, function);
  int result = lua_pcall(L, 2, 0, function + 1);
  lur_status status = LUR_OK;
  if (result != LUA_OK)
    status = lur_fail(result == LUA_ERRMEM ? LUR_ENOMEM : LUR_EARG, "%.270s (image '%.160s', epoch %lld)",
                      message_of(L), lur_dataset_name(r->transform->set, r->call->index), (long long)r->call->epoch);
  lua_settop(L, function - 1);
  return status;
}

/* ---- a function of the main state ---- */

static lur_status function_open(void *user, const lur_transform_call *first, void **state) {
  (void)first;
  *state = user;
  return LUR_OK;
}

static lur_status function_apply(void *state, const lur_transform_call *call, float *out) {
  transform *t = state;
  lua_pushvalue(t->L, t->function);
  return call_function(t->L, &(request){t, call, out});
}

static void function_close(void *state) { (void)state; }

void lur_transform_attach(void *user, lua_State *L) {
  transform *t = user;
  t->L = L;
  if (L != NULL) t->function = lua_gettop(L);
}

/* ---- a file, in the state of a worker ---- */

typedef struct worker { /* lur_transform's state; the Lua state's extra space points to it */
  const transform *transform;
  lua_State *L;
  const lur_transform_call *call; /* NULL: the file is loaded to check it */
  int64_t asked;                  /* ms: when the hook first saw that it is to stop; 0: it is not */
  bool stopped;                   /* by the hook */
} worker;

enum { HOOK_COUNT = 10000, PATIENCE_MS = 250 };

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Debug hook: ends a call that does not end by itself once the loader is stopped. A call that takes milliseconds may
   end: what it keeps would be left half done. The error is raised again at each instruction, so that no pcall of the
   file keeps it. */
static void watch(lua_State *L, lua_Debug *ar) {
  (void)ar;
  worker *w = *(worker **)lua_getextraspace(L);
  bool stop = w->call ? lur_transform_stopped(w->call) : lur_context_interrupted(w->transform->context);
  if (!stop) {
    w->asked = 0;
    return;
  }
  if (w->asked == 0) w->asked = now_ms();
  if (now_ms() - w->asked < PATIENCE_MS) return;
  w->stopped = true;
  lua_sethook(L, watch, LUA_MASKCOUNT, 1);
  luaL_error(L, "interrupted");
}

static void worker_close(void *state) {
  worker *w = state;
  lua_sethook(w->L, NULL, 0, 0);
  lua_close(w->L);
  free(w);
}

/* Calls lurcher.json's function with the value on top of the stack, which its result replaces. */
static void call_json(lua_State *L, const char *function) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "lurcher.json");
  lua_getfield(L, -1, function);
  lua_pushvalue(L, -4);
  lua_call(L, 1, 1);
  lua_replace(L, -4);
  lua_pop(L, 2);
}

/* Runs the file and keeps its function. Argument: the transform. */
static int load_file(lua_State *L) {
  const transform *t = lua_touserdata(L, 1);
  lua_pushfstring(L, "@%s", t->file);
  void *locale = lur_c_locale_enter(); /* Lua reads the numbers in it through the locale */
  int result = luaL_loadbufferx(L, t->text, t->size, lua_tostring(L, -1), "t");
  lur_c_locale_leave(locale);
  if (result != LUA_OK) return lua_error(L);
  if (t->records) lur_worker_record(L);
  if (t->options != NULL) {
    lua_pushstring(L, t->options);
    call_json(L, "decode");
  } else {
    lua_newtable(L);
  }
  lua_call(L, 1, 1);
  if (!lua_isfunction(L, -1))
    return luaL_error(L, "%s returns %s: it must return function(image, random, info)", t->file,
                      lua_isnil(L, -1) ? "nothing" : lua_pushfstring(L, "a %s", luaL_typename(L, -1)));
  lua_rawsetp(L, LUA_REGISTRYINDEX, &function_key);
  return 0;
}

static lur_status worker_load(worker *w) {
  lua_State *L = w->L;
  lua_pushcfunction(L, on_error);
  lua_pushcfunction(L, load_file);
  lua_pushlightuserdata(L, (void *)(uintptr_t)w->transform);
  int result = lua_pcall(L, 1, 0, 1);
  lur_status status = LUR_OK;
  if (w->stopped) status = lur_fail(LUR_EINTERRUPTED, "interrupted");
  else if (result != LUA_OK) status = lur_fail(result == LUA_ERRMEM ? LUR_ENOMEM : LUR_EARG, "%s", message_of(L));
  lua_settop(L, 0);
  return status;
}

static lur_status worker_open(void *user, const lur_transform_call *first, void **state) {
  const transform *t = user;
  worker *w = malloc(sizeof *w);
  if (w == NULL) return lur_fail(LUR_ENOMEM, "out of memory for a transform");
  *w = (worker){.transform = t, .call = first};
  lur_status status = lur_worker_open(&t->origin, t->absolute, &w->L);
  if (status != LUR_OK) {
    free(w);
    return status;
  }
  *(worker **)lua_getextraspace(w->L) = w;
  lua_sethook(w->L, watch, LUA_MASKCOUNT, HOOK_COUNT);
  status = worker_load(w);
  if (status == LUR_OK) *state = w;
  else worker_close(w);
  return status;
}

static lur_status worker_apply(void *state, const lur_transform_call *call, float *out) {
  worker *w = state;
  w->call = call;
  w->asked = 0;
  lua_rawgetp(w->L, LUA_REGISTRYINDEX, &function_key);
  lur_status status = call_function(w->L, &(request){w->transform, call, out});
  return w->stopped ? lur_fail(LUR_EINTERRUPTED, "interrupted") : status;
}

/* ---- the option ---- */

/* Reads the file: NULL, with errno, where it cannot be read. A first line that starts with # is skipped, as in Lua. */
static char *read_text(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  char *text = NULL;
  size_t room = 0, n = 0;
  bool good = file != NULL;
  while (good) {
    if (n == room) {
      char *more = realloc(text, room = room ? 2 * room : 16384);
      if (!(good = more != NULL)) break;
      text = more;
    }
    size_t got = fread(text + n, 1, room - n, file);
    n += got;
    if (got == 0) break;
  }
  int why = errno;
  if (good && ferror(file)) good = false;
  if (file != NULL) fclose(file);
  if (!good) {
    free(text);
    errno = why;
    return NULL;
  }
  for (size_t i = 0; n > 0 && text[0] == '#' && i < n && text[i] != '\n'; i++) text[i] = i == 0 ? '#' : ' ';
  if (n > 1 && text[0] == '#') text[0] = text[1] = '-';
  *size = n;
  return text;
}

/* The path from the root: a worker may open its state when the current folder is another. */
static char *absolute_path(const char *path) {
  char here[4096], *text;
  if (path[0] == '/' || getcwd(here, sizeof here) == NULL) return strdup(path);
  size_t room = strlen(here) + strlen(path) + 2;
  text = malloc(room);
  if (text != NULL) snprintf(text, room, "%s/%s", here, path);
  return text;
}

/* Takes the options of the table at index as JSON, if there are any: a worker's state cannot share them. */
static void read_options(lua_State *L, transform *t, const char *owner, int index) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, index) != 0;) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4);
    } else {
      if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != 1)
        lur_args_bad(L, owner, "transform", "{ file, NAME = value, ... } expected");
      lua_pop(L, 1);
    }
  }
  lua_pushnil(L);
  if (lua_next(L, -2) == 0) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 2);
  call_json(L, "encode");
  t->options = strdup(lua_tostring(L, -1));
  lua_pop(L, 1);
  if (t->options == NULL) lur_raise(L, "out of memory for a transform");
}

/* Pushes a guard that holds a new transform. */
static transform *push_transform(lua_State *L, lur_dataset *set) {
  lur_guard *guard = lur_guard_new(L, transform_free);
  transform *t = calloc(1, sizeof *t);
  if (t == NULL) lur_raise(L, "out of memory for a transform");
  guard->pointer = t;
  t->context = lur_state_context(L);
  lur_context_retain(t->context);
  t->set = set;
  if (set != NULL) lur_dataset_retain(set);
  return t;
}

/* Reads the value at index: the name of a file, or { file, NAME = value, ... }. */
static void read_file(lua_State *L, transform *t, const char *owner, int index) {
  if (lua_istable(L, index)) read_options(L, t, owner, index);
  if (!lua_istable(L, index)) lua_pushvalue(L, index);
  else lua_rawgeti(L, index, 1);
  const char *path = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL; /* the value at index keeps it */
  lua_pop(L, 1);
  if (path == NULL)
    lur_args_bad(L, owner, "transform", "a function, the name of a Lua file or { file, NAME = value, ... } expected");
  t->file = strdup(path);
  t->absolute = absolute_path(path);
  if (!t->file || !t->absolute || !lur_worker_copy_origin(L, &t->origin)) lur_raise(L, "out of memory for a transform");
  t->text = read_text(path, &t->size);
  if (t->text == NULL) lur_args_bad(L, owner, "transform", "cannot read '%s': %s", path, strerror(errno));
}

/* Loads the file once, so that its mistakes are reported where the loader is made. */
static void open_checked(lua_State *L, transform *t, const char *owner, void **state) {
  lur_status status = worker_open(t, NULL, state);
  if (status == LUR_EARG) lur_args_bad(L, owner, "transform", "%s", lur_last_error());
  else if (status == LUR_EINTERRUPTED) lur_check(L, lur_context_check_interrupt(t->context));
  else lur_check(L, status);
}

void lur_transform_read(lua_State *L, int arg, const char *owner, lur_dataset *set, lur_transform *result) {
  *result = (lur_transform){0};
  int type = lua_getfield(L, arg, "transform");
  if (type == LUA_TNIL) return;
  void *state;
  transform *t = push_transform(L, set);
  lua_insert(L, -2);
  if (type == LUA_TFUNCTION) {
    *result = (lur_transform){
        .open = function_open, .apply = function_apply, .close = function_close, .on_owner = true};
  } else {
    read_file(L, t, owner, lua_gettop(L));
    open_checked(L, t, owner, &state);
    worker_close(state);
    *result = (lur_transform){.open = worker_open, .apply = worker_apply, .close = worker_close};
  }
  result->user = t;
  result->release = transform_free;
  lua_pop(L, 1);
}

void lur_transform_given(lua_State *L, int index) {
  lur_guard *guard = luaL_testudata(L, index, "lurcher.guard");
  if (guard != NULL) guard->pointer = NULL;
}

/* ---- the hash ---- */

/* Makes digest the hash of digest and of a text's hash. */
static void add_hash(char digest[LUR_HASH_TEXT], const char *text, size_t size) {
  char both[2 * LUR_HASH_TEXT] = "";
  memcpy(both, digest, LUR_HASH_TEXT);
  lur_bytes_hash(text ? text : "", size, both + LUR_HASH_TEXT);
  lur_bytes_hash(both, sizeof both, digest);
}

int lur_data_transform_hash(lua_State *L) {
  char digest[LUR_HASH_TEXT] = "";
  const char *file;
  transform *t = push_transform(L, NULL);
  void *state;
  read_file(L, t, "data.transform_hash", 1);
  t->records = true;
  open_checked(L, t, "data.transform_hash", &state);
  add_hash(digest, t->text, t->size);
  if (t->options != NULL) add_hash(digest, t->options, strlen(t->options));
  for (int i = 1; (file = lur_worker_recorded(((worker *)state)->L, i)) != NULL; i++) {
    size_t size = 0;
    char *text = read_text(file, &size);
    add_hash(digest, text, size);
    free(text);
  }
  worker_close(state);
  lua_pushstring(L, digest);
  return 1;
}
