/* main.c - the program `lurcher`: arguments, scripts, recipes, errors in one line, Ctrl-C. The session is repl.c.
 *
 * The only process-wide state of the project stands here: a signal handler has no other way to find its Lua state. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "modules.h"
#include "program.h"
#include "scripts.h"

static lua_State *volatile running; /* the state a Ctrl-C is for; NULL: nobody's */
static lur_context *volatile *context_slot;
static pthread_t main_thread;
static volatile sig_atomic_t interrupted;
static volatile int64_t first_seen; /* ms, when the hook first met the request; 0: not yet */
static bool trace;

/* ---- Ctrl-C ---- */

enum { GRACE_MS = 50 };

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Called at every instruction after a Ctrl-C, until somebody takes the request back: lurcher.interrupted(), as fit does
   between steps, or a run that raises. Who runs Lua for GRACE_MS and does not ask is interrupted here. */
static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (first_seen == 0) first_seen = now_ms();
  if (now_ms() - first_seen < GRACE_MS) return;
  lua_sethook(L, NULL, 0, 0);
  if (*context_slot != NULL) lur_context_check_interrupt(*context_slot);
  luaL_error(L, "interrupted");
}

/* A second Ctrl-C while the first still waits ends the process: what is written is written whole (temporary file and
   rename). */
static void on_interrupt(int signal_number) {
  if (!pthread_equal(pthread_self(), main_thread)) { /* a worker got it */
    pthread_kill(main_thread, signal_number);
    return;
  }
  if (running != NULL && lua_gethook(running) == stop) {
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    return;
  }
  interrupted = 1;
  first_seen = 0;
  if (*context_slot != NULL) lur_context_interrupt(*context_slot);
  if (running != NULL) lua_sethook(running, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void catch_interrupt(void (*handler)(int)) {
  struct sigaction action = {0};
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
}

/* Signals get a stack of their own: kernels that oneDNN generates let the stack pointer point into a buffer on the heap,
   and the kernel's signal frame, with all vector registers, would be written over whatever lies before it. */
static void give_signals_a_stack(void) {
  enum { ROOM = 256 << 10 }; /* a frame with AMX tiles takes 11 KB */
  static char memory[ROOM];
  sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = ROOM}, NULL);
}

bool lur_program_interrupted(void) { return interrupted != 0; }

static int let_go(lua_State *L) {
  (void)L;
  catch_interrupt(SIG_DFL);
  running = NULL;
  return 0;
}

/* os.exit(code, true) closes the state in the middle of a call: from then on a Ctrl-C must find neither it nor the
   context. Lua ends objects in the reverse order of their making, so that this one, made after the context's, goes
   before it. */
static void let_go_at_close(lua_State *L) {
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, let_go);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "lurcher.interrupt");
}

/* ---- errors ---- */

/* An error that the Lua machine itself raised inside a script of ours is a fault of ours: it gets a traceback. One that
   was raised on purpose, by error or from C, is for the user. */
static bool is_fault(lua_State *L) {
  lua_Debug ar;
  if (!lua_getstack(L, 1, &ar)) return false;
  lua_getinfo(L, "S", &ar);
  return strcmp(ar.what, "C") != 0 && lur_script_is_ours(ar.source);
}

/* Without the position where it lies in a script of ours: "<lurcher/fit.lua>:12: ". */
static const char *without_our_position(const char *message) {
  if (message[0] != '<') return message;
  const char *end = strstr(message, ".lua>:");
  if (end == NULL || strchr(message, '\n') != NULL) return message;
  end += strlen(".lua>:");
  size_t digits = strspn(end, "0123456789");
  return digits > 0 && strncmp(end + digits, ": ", 2) == 0 ? end + digits + 2 : message;
}

static int on_error(lua_State *L) {
  const char *message = lua_tostring(L, 1);
  if (message == NULL) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) message = lua_tostring(L, -1);
    else message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  if (trace || is_fault(L)) luaL_traceback(L, L, message, 1);
  else lua_pushstring(L, without_our_position(message));
  return 1;
}

int lur_program_call(lua_State *L, int nargs, int nresults) {
  int base = lua_gettop(L) - nargs;
  lua_pushcfunction(L, on_error);
  lua_insert(L, base);
  interrupted = 0;
  running = L;
  catch_interrupt(on_interrupt);
  int status = lua_pcall(L, nargs, nresults, base);
  catch_interrupt(SIG_DFL);
  running = NULL;
  lua_sethook(L, NULL, 0, 0);
  if (*context_slot != NULL) lur_context_check_interrupt(*context_slot);
  lua_remove(L, base);
  return status;
}

void lur_program_report(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  fflush(stdout);
  fprintf(stderr, "lurcher: %s\n", message != NULL ? message : "(no message)");
  fflush(stderr);
  lua_pop(L, 1);
}

/* ---- scripts and recipes ---- */

/* Recipes are the scripts that lie in no folder. Returns the compiled-in path's length without ".lua", or 0. */
static size_t recipe_length(const lur_script *script) {
  const char *dot = strrchr(script->path, '.');
  return strchr(script->path, '/') == NULL && dot != NULL ? (size_t)(dot - script->path) : 0;
}

static const lur_script *find_recipe(const char *name) {
  for (const lur_script *s = lur_scripts; s->path != NULL; s++)
    if (recipe_length(s) == strlen(name) && strncmp(s->path, name, recipe_length(s)) == 0) return s;
  return NULL;
}

/* A recipe's first line, after "-- name.lua - ". */
static void print_recipe(const lur_script *script) {
  const char *text = (const char *)script->text, *end = memchr(text, '\n', script->size), *dash;
  if (end == NULL) end = text + script->size;
  dash = memmem(text, (size_t)(end - text), " - ", 3);
  if (dash != NULL) text = dash + 3;
  else text += strspn(text, "- ");
  printf("  %-18.*s %.*s\n", (int)recipe_length(script), script->path, (int)(end - text), text);
}

static void print_recipes(void) {
  for (const lur_script *s = lur_scripts; s->path != NULL; s++)
    if (recipe_length(s) > 0) print_recipe(s);
}

/* The nearest recipe's name, pushed; NULL when nothing is near. */
static const char *push_nearest_recipe(lua_State *L, const char *name) {
  enum { MOST = 64 };
  const char *names[MOST];
  int n = 0;
  luaL_checkstack(L, MOST + 4, NULL);
  for (const lur_script *s = lur_scripts; s->path != NULL && n < MOST; s++)
    if (recipe_length(s) > 0) names[n++] = lua_pushlstring(L, s->path, recipe_length(s));
  return lur_nearest(name, names, n);
}

/* Puts the script's folder in front of package.path. */
static void search_beside(lua_State *L, const char *script) {
  const char *slash = strrchr(script, '/');
  if (slash == NULL) lua_pushliteral(L, "./");
  else lua_pushlstring(L, script, (size_t)(slash - script) + 1);
  const char *folder = lua_tostring(L, -1);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  lua_pushfstring(L, "%s?.lua;%s?/init.lua;%s", folder, folder, lua_tostring(L, -1));
  lua_setfield(L, -3, "path");
  lua_pop(L, 3);
}

/* Pushes the function of a script file, a recipe or standard input. */
static int load_script(lua_State *L, const char *name) {
  if (strcmp(name, "-") == 0) return luaL_loadfile(L, NULL);
  const lur_script *recipe = find_recipe(name);
  if (recipe != NULL) return lur_script_load(L, recipe);
  if (access(name, R_OK) != 0) {
    int why = errno;
    const char *near = strchr(name, '/') == NULL && strchr(name, '.') == NULL ? push_nearest_recipe(L, name) : NULL;
    if (near != NULL) lua_pushfstring(L, "no script and no recipe '%s' (did you mean '%s'?)", name, near);
    else if (strchr(name, '.') != NULL || strchr(name, '/') != NULL)
      lua_pushfstring(L, "cannot open '%s': %s", name, strerror(why));
    else lua_pushfstring(L, "no script and no recipe '%s'; `lurcher recipes` lists the recipes", name);
    return LUA_ERRFILE;
  }
  search_beside(L, name);
  return luaL_loadfile(L, name);
}

/* The global `arg`: [0] the script, from 1 its arguments, below 0 what stands before. */
static void set_arg(lua_State *L, int argc, char **argv, int script) {
  lua_createtable(L, argc - script, script + 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - (script < argc ? script : 0));
  }
  lua_setglobal(L, "arg");
}

static bool run_script(lua_State *L, int argc, char **argv, int script) {
  if (load_script(L, argv[script]) != LUA_OK) {
    lur_program_report(L);
    return false;
  }
  int nargs = argc - script - 1;
  luaL_checkstack(L, nargs + 8, "too many arguments to script");
  for (int i = script + 1; i < argc; i++) lua_pushstring(L, argv[i]);
  if (lur_program_call(L, nargs, 0) == LUA_OK) return true;
  lur_program_report(L);
  return false;
}

static bool run_code(lua_State *L, const char *code) {
  if (luaL_loadbuffer(L, code, strlen(code), "=(command line)") == LUA_OK && lur_program_call(L, 0, 0) == LUA_OK)
    return true;
  lur_program_report(L);
  return false;
}

/* ---- arguments ---- */

static const char usage[] = "usage: lurcher [options] [script.lua | recipe | -] [arguments]\n"
                            "  -e CODE     run CODE (the global lurcher is there)\n"
                            "  -i          enter the session after the script or CODE\n"
                            "  -           run standard input as a script\n"
                            "  --trace     show where an error came from\n"
                            "  --version   show the version\n"
                            "  --help      show this\n"
                            "without script and CODE: the session (line editing, completion with Tab)\n"
                            "lurcher devices     lists the devices that can be used here\n"
                            "lurcher recipes     lists the recipes; lurcher RECIPE --help explains one\n"
                            "lurcher cache       lists what is kept for later runs; lurcher cache clean makes room\n"
                            "lurcher help        shows this\n";

static void set_global_module(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lurcher");
  lua_call(L, 1, 1);
  lua_setglobal(L, "lurcher");
}

static void list_devices(void) {
  enum { MOST = 32 };
  char names[MOST][32];
  const char *why = NULL;
  int n = lur_device_list(names, MOST, &why);
  for (int i = 0; i < n && i < MOST; i++) puts(names[i]);
  if (why != NULL) puts(why);
}

static void show_usage(void) { fputs(usage, stdout); }

/* Words of the program's own. Returns a process status, or -1 where argv[script] is none of them. */
static int run_word(int argc, char **argv, int script) {
  static const struct {
    const char *word;
    void (*run)(void);
  } words[] = {{"devices", list_devices}, {"help", show_usage}, {"recipes", print_recipes}, {NULL, NULL}};
  for (int i = 0; script < argc && words[i].word != NULL; i++) {
    if (strcmp(argv[script], words[i].word) != 0) continue;
    if (script < argc - 1) {
      fprintf(stderr, "lurcher: '%s' takes no argument (`lurcher RECIPE --help` explains a recipe)\n", words[i].word);
      return EXIT_FAILURE;
    }
    words[i].run();
    return EXIT_SUCCESS;
  }
  return -1;
}

typedef struct options {
  int script; /* index of the script's name; argc: none */
  bool session, code;
} options;

/* Reads what stands before the script. Runs nothing. Returns a process status, or -1 to go on. */
static int read_options(int argc, char **argv, options *o) {
  int i = 1;
  *o = (options){0};
  for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
    if (strcmp(argv[i], "-e") == 0) {
      o->code = true;
      if (++i < argc) continue;
      fputs("lurcher: -e expects code\n", stderr);
      return EXIT_FAILURE;
    } else if (strcmp(argv[i], "-i") == 0) {
      o->session = true;
    } else if (strcmp(argv[i], "--trace") == 0) {
      trace = true;
    } else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0) {
      puts("Lurcher " LURCHER_VERSION " (" LUA_VERSION ")");
      return EXIT_SUCCESS;
    } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      fputs(usage, stdout);
      return EXIT_SUCCESS;
    } else if (strcmp(argv[i], "--") == 0) {
      i++;
      break;
    } else {
      fprintf(stderr, "lurcher: unknown option '%s'\n%s", argv[i], usage);
      return EXIT_FAILURE;
    }
  }
  o->script = i;
  return -1;
}

static bool run_codes(lua_State *L, char **argv, int before) {
  for (int i = 1; i < before; i++)
    if (strcmp(argv[i], "-e") == 0 && !run_code(L, argv[++i])) return false;
  return true;
}

/* Everything that may raise. Arguments: argc, argv, options; the result: success. */
static int protected_main(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  const options *o = lua_touserdata(L, 3);
  lua_settop(L, 0);
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_lurcher);
  lua_setfield(L, -2, "lurcher");
  lua_pop(L, 1);
  lur_script_searcher(L);
  context_slot = lur_state_context_slot(L);
  let_go_at_close(L);
  set_arg(L, argc, argv, o->script);
  bool session = o->session || (!o->code && o->script >= argc);
  if (o->code || session) set_global_module(L);
  bool good = run_codes(L, argv, o->script);
  if (good && o->script < argc) good = run_script(L, argc, argv, o->script);
  if (session) lur_repl(L);
  lua_pushboolean(L, good || session);
  return 1;
}

int main(int argc, char **argv) {
  options o;
  int done = read_options(argc, argv, &o);
  if (done >= 0) return done;
  main_thread = pthread_self();
  give_signals_a_stack();
  signal(SIGXFSZ, SIG_IGN); /* a file over the limit is a failed write, with a message */
  done = run_word(argc, argv, o.script);
  if (done >= 0) return done;
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    fputs("lurcher: not enough memory\n", stderr);
    return EXIT_FAILURE;
  }
  lua_pushcfunction(L, protected_main);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  lua_pushlightuserdata(L, &o);
  int status = lua_pcall(L, 3, 1, 0);
  if (status != LUA_OK) lur_program_report(L);
  bool good = status == LUA_OK && lua_toboolean(L, -1), by_request = interrupted != 0;
  lua_close(L);
  if (good) return EXIT_SUCCESS;
  return by_request ? 128 + SIGINT : EXIT_FAILURE;
}
