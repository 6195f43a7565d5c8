/* repl.c - the interactive session: reads a statement of one or more lines, evaluates it, shows its values. Lines are
 * edited with libedit where standard input is a terminal. An error is shown and does not end the session. */
#include <errno.h>
#include <histedit.h>
#include <lauxlib.h>
#include <locale.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bindings/modules.h"
#include "engine/lurcher.h"
#include "program.h"

enum { PATH = 1024, HISTORY = 1000 };

typedef struct session {
  lua_State *L;
  EditLine *editor; /* NULL: not on a terminal */
  History *history;
  HistEvent event;
  char history_path[PATH]; /* "": the history is not saved */
  const char *prompt;
  bool cancelled; /* Ctrl-C at the prompt */
  char *line;     /* getline's buffer, without an editor */
  size_t capacity;
} session;

static session *session_of(EditLine *editor) {
  void *data = NULL;
  el_get(editor, EL_CLIENTDATA, &data);
  return data;
}

/* ---- editing ---- */

static char *prompt(EditLine *editor) { return (char *)(uintptr_t)session_of(editor)->prompt; }

static unsigned char cancel(EditLine *editor, int ch) {
  (void)ch;
  session_of(editor)->cancelled = true;
  fputs("^C\n", stdout);
  fflush(stdout);
  return CC_NEWLINE;
}

/* Length of the common beginning of the n candidates in the Lua list at index. */
static size_t common_length(lua_State *L, int list, lua_Integer n) {
  size_t common = 0;
  lua_rawgeti(L, list, 1);
  const char *first = lua_tostring(L, -1);
  common = strlen(first);
  for (lua_Integer i = 2; i <= n; i++) {
    lua_rawgeti(L, list, i);
    const char *other = lua_tostring(L, -1);
    size_t same = 0;
    while (same < common && other[same] == first[same]) same++;
    common = same;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return common;
}

/* Prints names in columns of an 80 character line, without what precedes the last separator. */
static void show_candidates(lua_State *L, int list, lua_Integer n) {
  size_t width = 0, column = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (lua_Integer i = 1; i <= n; i++) {
      lua_rawgeti(L, list, i);
      const char *name = lua_tostring(L, -1), *part = name + strlen(name);
      while (part > name && strchr(".:", part[-1]) == NULL) part--;
      if (pass == 0 && strlen(part) + 2 > width) width = strlen(part) + 2;
      if (pass == 1) {
        if (i == 1 || (column + 1) * width > 80) {
          putchar('\n');
          column = 0;
        }
        printf("%-*s", (int)width, part);
        column++;
      }
      lua_pop(L, 1);
    }
  }
  putchar('\n');
  fflush(stdout);
}

static unsigned char complete(EditLine *editor, int ch) {
  session *s = session_of(editor);
  lua_State *L = s->L;
  const LineInfo *info = el_line(editor);
  const char *start = info->cursor;
  static const char in_word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.:";
  while (start > info->buffer && strchr(in_word, start[-1]) != NULL) start--;
  size_t length = (size_t)(info->cursor - start);
  bool quoted = start > info->buffer && strchr("\"'", start[-1]) != NULL;
  if (length == 0) return el_insertstr(editor, "  ") == 0 ? CC_REFRESH : CC_ERROR;
  (void)ch;
  int top = lua_gettop(L);
  unsigned char answer = CC_ERROR;
  lua_pushcfunction(L, lur_complete);
  lua_pushlstring(L, start, length);
  lua_pushboolean(L, quoted);
  if (lua_pcall(L, 2, 1, 0) == LUA_OK) {
    int list = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    size_t common = n > 0 ? common_length(L, list, n) : 0;
    if (common > length) {
      lua_rawgeti(L, list, 1);
      lua_pushlstring(L, lua_tostring(L, -1) + length, common - length);
      if (el_insertstr(editor, lua_tostring(L, -1)) == 0) answer = CC_REFRESH;
    } else if (n > 1) {
      show_candidates(L, list, n);
      answer = CC_REDISPLAY;
    }
  }
  lua_settop(L, top);
  return answer;
}

static void find_history(session *s) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  int n = 0;
  if (state != NULL && state[0] == '/') {
    n = snprintf(s->history_path, PATH, "%s/lurcher", state);
    if (n < PATH && mkdir(s->history_path, 0700) != 0 && errno != EEXIST) n = 0;
    else n = snprintf(s->history_path, PATH, "%s/lurcher/history", state);
  } else if (home != NULL && home[0] == '/') {
    n = snprintf(s->history_path, PATH, "%s/.lurcher_history", home);
  }
  if (n <= 0 || n >= PATH) s->history_path[0] = '\0';
}

static void open_editor(session *s) {
  setlocale(LC_CTYPE, "");
  s->editor = el_init("lurcher", stdin, stdout, stderr);
  s->history = history_init();
  if (s->editor == NULL || s->history == NULL) return;
  find_history(s);
  history(s->history, &s->event, H_SETSIZE, HISTORY);
  history(s->history, &s->event, H_SETUNIQUE, 1);
  if (s->history_path[0] != '\0') history(s->history, &s->event, H_LOAD, s->history_path);
  el_set(s->editor, EL_CLIENTDATA, s);
  el_set(s->editor, EL_PROMPT, prompt);
  el_set(s->editor, EL_EDITOR, "emacs");
  el_set(s->editor, EL_HIST, history, s->history);
  el_set(s->editor, EL_ADDFN, "lurcher-complete", "complete names", complete);
  el_set(s->editor, EL_ADDFN, "lurcher-cancel", "drop the input", cancel);
  el_set(s->editor, EL_BIND, "^I", "lurcher-complete", NULL);
  el_set(s->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
  el_source(s->editor, NULL);                       /* ~/.editrc */
  el_set(s->editor, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C is a key while a line is edited */
  el_set(s->editor, EL_BIND, "^C", "lurcher-cancel", NULL);
}

static void close_editor(session *s) {
  if (s->editor != NULL) el_end(s->editor);
  if (s->history != NULL) history_end(s->history);
  free(s->line);
}

static void remember(session *s, const char *line) {
  if (s->history == NULL || line[strspn(line, " \t\n")] == '\0') return;
  history(s->history, &s->event, H_ENTER, line);
  if (s->history_path[0] != '\0') history(s->history, &s->event, H_SAVE, s->history_path);
}

/* Pushes the next line without its newline; false at the end of input. */
static bool push_line(session *s, const char *text) {
  const char *line;
  int length = 0;
  s->prompt = text;
  s->cancelled = false;
  if (s->editor != NULL) {
    line = el_gets(s->editor, &length);
    if (s->cancelled) { /* on an empty line el_gets returns the same as at the end of input */
      lua_pushliteral(s->L, "");
      return true;
    }
    if (line == NULL || length <= 0) return false;
    remember(s, line);
  } else {
    ssize_t n = getline(&s->line, &s->capacity, stdin);
    if (n < 0) return false;
    line = s->line;
    length = (int)n;
  }
  while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
  lua_pushlstring(s->L, line, (size_t)length);
  return true;
}

/* ---- evaluating ---- */

static bool ends_early(lua_State *L, int status) {
  size_t length;
  if (status != LUA_ERRSYNTAX) return false;
  const char *message = lua_tolstring(L, -1, &length);
  return length >= 5 && strcmp(message + length - 5, "<eof>") == 0;
}

/* Compiles the text on top, as an expression if it is one. Replaces it by the function, or by a message. *more: the
   text may be the beginning of a longer statement. */
static int load_text(lua_State *L, bool *more) {
  const char *text = lua_tostring(L, -1);
  bool explicit = text[0] == '=';
  const char *expression = lua_pushfstring(L, "return %s", text + (explicit ? 1 : 0));
  int status = luaL_loadbuffer(L, expression, strlen(expression), "=stdin");
  *more = ends_early(L, status);
  if (status != LUA_OK && !explicit) {
    lua_pop(L, 1);
    status = luaL_loadbuffer(L, text, strlen(text), "=stdin");
    *more = *more || ends_early(L, status);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  return status;
}

static const char help[] =
    "Enter an expression, to see its value, or a statement. Ctrl-C discards the line, or stops what is running.\n"
    "  t = lurcher.tensor{ {1, 2}, {3, 4} }   then t, t * 10, t:sum(), t.shape\n"
    "  lurcher.[Tab]      functions, and the modules nn, optim, data, image, json\n"
    "  t:[Tab]            methods of a value\n"
    "  print(model)       the layers of a model; print(run): the steps of a run, and its memory\n"
    "  require \"lurcher.[Tab]     the library: lurcher.fit, .callbacks, .samplers, .schedules, .models.xception\n"
    "  help \"conv2d\"      a name; help \"learning rate\" searches; help(x) is about a value\n"
    "  _                  the last value\n"
    "  exit, or Ctrl-D    ends the session\n"
    "Recipes run from the shell: `lurcher recipes` lists them.\n";

typedef enum command { COMMAND_NONE, COMMAND_HELP, COMMAND_EXIT } command;

/* help(topic) of the session is lurcher.help; without a topic, it is about the session. */
static int session_help(lua_State *L) {
  if (lua_gettop(L) == 0) {
    fputs(help, stdout);
    fflush(stdout);
    return 0;
  }
  lua_settop(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lurcher");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "help");
  lua_insert(L, 1);
  lua_settop(L, 2);
  lua_call(L, 1, 0);
  return 0;
}

/* The global `help`, unless the script before the session has one. */
static void set_help(lua_State *L) {
  lua_pushglobaltable(L);
  lua_pushliteral(L, "help");
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pushliteral(L, "help");
    lua_pushcfunction(L, session_help);
    lua_rawset(L, -4);
  }
  lua_pop(L, 2);
}

/* The command that the line on top is, if any. A global variable of that name has precedence. */
static command command_at_top(lua_State *L) {
  const char *line = lua_tostring(L, -1), *blank = " \t";
  line += strspn(line, blank);
  size_t length = strcspn(line, "( \t");
  const char *rest = line + length + strspn(line + length, blank);
  if (strncmp(rest, "()", 2) == 0) rest += 2;
  if (rest[strspn(rest, blank)] != '\0') return COMMAND_NONE;
  lua_pushglobaltable(L);
  lua_pushlstring(L, line, length);
  const char *name = lua_tostring(L, -1);
  command found = COMMAND_NONE;
  if (strcmp(name, "help") == 0 || strcmp(name, "?") == 0) found = COMMAND_HELP;
  if (strcmp(name, "exit") == 0 || strcmp(name, "quit") == 0) found = COMMAND_EXIT;
  if (lua_rawget(L, -2) != LUA_TNIL && lua_tocfunction(L, -1) != session_help) found = COMMAND_NONE;
  lua_pop(L, 2);
  return found;
}

/* Pushes the function of the next complete statement and returns LUA_OK; or returns an error status with its message on
   the stack, -1 at the end of input, or LUA_YIELD where there is nothing to evaluate. */
static int read_statement(session *s) {
  lua_State *L = s->L;
  bool more = false;
  for (const char *text = "> "; push_line(s, text); text = ">> ") {
    if (s->cancelled) return LUA_YIELD;
    command given = more ? COMMAND_NONE : command_at_top(L);
    if (given == COMMAND_EXIT) return -1;
    if (given == COMMAND_HELP) {
      fputs(help, stdout);
      fflush(stdout);
      return LUA_YIELD;
    }
    if (more) { /* the lines read before are below it */
      lua_pushliteral(L, "\n");
      lua_insert(L, -2);
      lua_concat(L, 3);
    }
    lua_pushvalue(L, -1);
    int status = load_text(L, &more);
    if (!more || status == LUA_OK) {
      lua_remove(L, -2);
      return status;
    }
    lua_pop(L, 1);
  }
  return -1;
}

/* Prints its arguments as the session shows values. */
static int show_values(lua_State *L) {
  int n = lua_gettop(L);
  for (int i = 1; i <= n; i++) {
    lur_push_inspected(L, i);
    lur_push_visible(L, -1, true);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    if (i > 1) putchar('\t');
    fwrite(text, 1, length, stdout);
    lua_pop(L, 2);
  }
  if (n > 0) putchar('\n');
  return 0;
}

static void show_error(lua_State *L) {
  static const char here[] = "stdin:1: ";
  if (lua_type(L, -1) != LUA_TSTRING) lua_pushliteral(L, "(no message)");
  const char *message = lur_push_visible(L, -1, true);
  if (strncmp(message, here, sizeof here - 1) == 0) message += sizeof here - 1;
  fflush(stdout);
  fprintf(stderr, "error: %s\n", message);
  fflush(stderr);
}

/* The global `_` becomes the first value on the stack, unless that is nil. */
static void set_last(lua_State *L) {
  if (lua_isnil(L, 1)) return;
  lua_pushglobaltable(L);
  lua_pushliteral(L, "_");
  lua_pushvalue(L, 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void evaluate(lua_State *L) {
  int status = lur_program_call(L, 0, LUA_MULTRET), n = lua_gettop(L);
  if (lur_program_interrupted() && isatty(STDOUT_FILENO)) putchar('\n'); /* after the terminal's ^C */
  if (status == LUA_OK && n > 0) {
    set_last(L);
    lua_pushcfunction(L, show_values);
    lua_insert(L, 1);
    status = lur_program_call(L, n, 0);
  }
  if (status != LUA_OK) show_error(L);
  fflush(stdout);
}

void lur_repl(lua_State *L) {
  session s = {.L = L};
  bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  lur_program_set_prompt(L, true);
  set_help(L);
  if (terminal) {
    open_editor(&s);
    printf("Lurcher %s, " LUA_VERSION
           ". The module is the global `lurcher`; Tab completes names, `help` explains, Ctrl-D ends the session.\n",
           lur_version());
  }
  for (;;) {
    lua_settop(L, 0);
    int status = read_statement(&s);
    if (status == -1) break;
    if (status == LUA_OK) evaluate(L);
    else if (status != LUA_YIELD) show_error(L);
  }
  if (terminal) putchar('\n');
  lur_program_set_prompt(L, false);
  lua_settop(L, 0);
  close_editor(&s);
}
