/* main.c - the program `lurcher`: its arguments, scripts and recipes. The interactive session is repl.c. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/modules.h"
#include "bindings/scripts.h"
#include "program.h"

/* Writes "lurcher: message" to stderr and pops the message. Of the message's newlines, those stay that `lines` allows.
 */
static void report_lines(lua_State *L, bool lines) {
  if (lua_type(L, -1) != LUA_TSTRING) lua_pushliteral(L, "(no message)");
  else lua_pushvalue(L, -1);
  const char *message = lur_push_visible(L, -1, lines); /* of a file's making, perhaps */
  fflush(stdout);
  fprintf(stderr, "lurcher: %s\n", message);
  fflush(stderr);
  lua_pop(L, 3);
}

static void report(lua_State *L) { report_lines(L, true); }

/* ---- scripts and recipes ---- */

/* Recipes are the compiled-in scripts in no folder. Returns the length of a recipe's name (the path without ".lua"), or
 * 0. */
static size_t recipe_length(const lur_script *script) {
  const char *dot = strrchr(script->path, '.');
  return strchr(script->path, '/') == NULL && dot != NULL ? (size_t)(dot - script->path) : 0;
}

static const lur_script *find_recipe(const char *name) {
  for (const lur_script *s = lur_scripts; s->path != NULL; s++)
    if (recipe_length(s) == strlen(name) && strncmp(s->path, name, recipe_length(s)) == 0) return s;
  return NULL;
}

/* Prints text in lines of at most `width` characters, broken at blanks, the lines after the first indented by `margin`.
 */
static void print_wrapped(const char *text, size_t length, int width, int margin) {
  int at = margin;
  while (length > 0) {
    const char *blank = memchr(text, ' ', length);
    size_t word = blank == NULL ? length : (size_t)(blank - text);
    if (at > margin && at + 1 + (int)word > width) {
      printf("\n%*s", margin, "");
      at = margin;
    } else if (at > margin) {
      putchar(' ');
      at++;
    }
    printf("%.*s", (int)word, text);
    at += (int)word;
    size_t taken = blank == NULL ? word : word + 1;
    text += taken;
    length -= taken;
  }
  putchar('\n');
}

/* Prints a recipe's name and its first line, without "-- name.lua - ". */
static void print_recipe(const lur_script *script) {
  enum { MARGIN = 21, LEAST = 60, MOST = 100 };
  const char *text = (const char *)script->text, *end = memchr(text, '\n', script->size), *dash;
  bool terminal;
  int width = lur_terminal_columns(STDOUT_FILENO, &terminal);
  if (width == 0) width = 80;
  width = width < LEAST ? LEAST : width > MOST ? MOST : width;
  if (end == NULL) end = text + script->size;
  dash = memmem(text, (size_t)(end - text), " - ", 3);
  if (dash != NULL) text = dash + 3;
  else text += strspn(text, "- ");
  printf("  %-18.*s ", (int)recipe_length(script), script->path);
  print_wrapped(text, (size_t)(end - text), width, MARGIN);
}

static void print_recipes(void) {
  for (const lur_script *s = lur_scripts; s->path != NULL; s++)
    if (recipe_length(s) > 0) print_recipe(s);
}

/* The nearest recipe's name; the stack keeps it. NULL when none is near. */
static const char *push_nearest_recipe(lua_State *L, const char *name) {
  enum { MOST = 64 };
  const char *names[MOST];
  int n = 0;
  luaL_checkstack(L, MOST + 4, NULL);
  for (const lur_script *s = lur_scripts; s->path != NULL && n < MOST; s++)
    if (recipe_length(s) > 0) names[n++] = lua_pushlstring(L, s->path, recipe_length(s));
  return lur_nearest(name, names, n);
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
  lur_program_search_beside(L, name);
  return luaL_loadfile(L, name);
}

/* Sets the global `arg`: [0] the script, from 1 its arguments, below 0 what precedes it. */
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
    report(L);
    return false;
  }
  bool recipe = find_recipe(argv[script]) != NULL;
  if (recipe) { /* its lines hold names of files and classes; a script prints what it likes */
    lua_pushcfunction(L, lur_print_visible);
    lua_setglobal(L, "print");
  }
  int nargs = argc - script - 1;
  luaL_checkstack(L, nargs + 8, "too many arguments to script");
  for (int i = script + 1; i < argc; i++) lua_pushstring(L, argv[i]);
  if (lur_program_call(L, nargs, 0) == LUA_OK) return true;
  /* a recipe's error is one line: a newline in it is part of a name */
  report_lines(L, !recipe || lur_program_error_has_traceback());
  return false;
}

static bool run_code(lua_State *L, const char *code) {
  if (luaL_loadbuffer(L, code, strlen(code), "=(command line)") == LUA_OK && lur_program_call(L, 0, 0) == LUA_OK)
    return true;
  report(L);
  return false;
}

/* ---- arguments ---- */

static const char usage[] = "usage: lurcher [options] [script.lua | recipe | -] [arguments]\n"
                            "  -e CODE     run CODE; the module is the global lurcher\n"
                            "  -i          start an interactive session after the script or CODE\n"
                            "  -           run standard input as a script\n"
                            "  --trace     print a traceback with an error, and where modules come from\n"
                            "  --version   print the version; with --verbose, also what was found here\n"
                            "  --help      print this text\n"
                            "Without script and CODE: an interactive session.\n"
                            "lurcher train       trains a classifier on folders of images; then:\n"
                            "                    tune, evaluate, predict, report\n"
                            "lurcher recipes     lists all recipes; lurcher RECIPE --help explains one\n"
                            "lurcher weights     lists the pretrained weights that are on this machine\n"
                            "lurcher cache       lists the feature caches; cache clean removes old ones\n"
                            "lurcher devices     lists the devices that can be used here\n"
                            "lurcher help TOPIC  explains a name, or searches; without one, prints this text\n";

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

/* Whether the arguments are `help TOPIC`, which needs a Lua state. */
static bool is_topic(int argc, char **argv, int script) {
  return script < argc - 1 && strcmp(argv[script], "help") == 0;
}

/* Explains the topic that the words after `help` are. */
static bool run_help(lua_State *L, int argc, char **argv, int script) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lurcher");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "help");
  luaL_Buffer topic;
  luaL_buffinit(L, &topic);
  for (int i = script + 1; i < argc; i++) {
    if (i > script + 1) luaL_addchar(&topic, ' ');
    luaL_addstring(&topic, argv[i]);
  }
  luaL_pushresult(&topic);
  lua_pushboolean(L, true);
  if (lur_program_call(L, 2, 2) != LUA_OK) {
    report(L);
    return false;
  }
  bool found = lua_toboolean(L, -1);
  fputs(lua_tostring(L, -2), found ? stdout : stderr);
  return found;
}

/* Commands of the program itself. Returns a process status, or -1 where argv[script] is none of them. */
static int run_command(int argc, char **argv, int script) {
  static const struct {
    const char *name;
    void (*run)(void);
  } commands[] = {{"devices", list_devices}, {"help", show_usage}, {"recipes", print_recipes}, {NULL, NULL}};
  for (int i = 0; script < argc && commands[i].name != NULL; i++) {
    if (strcmp(argv[script], commands[i].name) != 0) continue;
    if (is_topic(argc, argv, script)) return -1;
    if (script < argc - 1) {
      fprintf(stderr, "lurcher: '%s' takes no argument (`lurcher RECIPE --help` explains a recipe)\n",
              commands[i].name);
      return EXIT_FAILURE;
    }
    commands[i].run();
    return EXIT_SUCCESS;
  }
  return -1;
}

typedef struct options {
  int script; /* index in argv of the script's name; argc: none */
  bool session, code;
} options;

/* Reads the options before the script and runs nothing. Returns a process status, or -1 to continue. */
static int read_options(int argc, char **argv, options *o) {
  int i = 1;
  *o = (options){0};
  for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
    if (strcmp(argv[i], "-e") == 0) {
      o->code = true;
      if (++i < argc) continue;
      fputs("lurcher: option -e expects Lua code after it\n", stderr);
      return EXIT_FAILURE;
    } else if (strcmp(argv[i], "-i") == 0) {
      o->session = true;
    } else if (strcmp(argv[i], "--trace") == 0) {
      lur_program_set_trace(true);
    } else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0) {
      if (i + 1 < argc && strcmp(argv[i + 1], "--verbose") == 0) return lur_program_describe();
      printf("Lurcher %s (" LUA_VERSION ")\n", lur_version());
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

/* Runs the CODE of every option -e before the script. */
static bool run_codes(lua_State *L, char **argv, int before) {
  for (int i = 1; i < before; i++)
    if (strcmp(argv[i], "-e") == 0 && !run_code(L, argv[++i])) return false;
  return true;
}

/* All of the program that may raise. Arguments: argc, argv, options. Result: success. */
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
  lur_program_set_paths(L, o->script < argc && find_recipe(argv[o->script]) != NULL);
  if (lur_program_is_traced()) lur_program_trace_modules(L);
  lur_program_attach(L);
  set_arg(L, argc, argv, o->script);
  bool session = o->session || (!o->code && o->script >= argc);
  if (o->code || session) set_global_module(L);
  bool good = run_codes(L, argv, o->script);
  if (good && is_topic(argc, argv, o->script)) good = run_help(L, argc, argv, o->script);
  else if (good && o->script < argc) good = run_script(L, argc, argv, o->script);
  if (session) lur_repl(L);
  lua_pushboolean(L, good || session);
  return 1;
}

int main(int argc, char **argv) {
  options o;
  lur_program_watch_output();
  int done = read_options(argc, argv, &o);
  if (done >= 0) return done;
  lur_program_prepare();
  if (lur_check_environment() != LUR_OK) {
    fprintf(stderr, "lurcher: %s\n", lur_last_error());
    return EXIT_FAILURE;
  }
  signal(SIGXFSZ, SIG_IGN); /* a file over the size limit is a failed write, with a message */
  done = run_command(argc, argv, o.script);
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
  if (status != LUA_OK) report(L);
  bool good = status == LUA_OK && lua_toboolean(L, -1);
  lua_close(L);
  if (good) return EXIT_SUCCESS;
  return lur_program_interrupted() ? 128 + SIGINT : EXIT_FAILURE;
}
