/* terminal.c - what is known of the terminal: its width, and whether the code that runs was typed at the prompt. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "modules.h"

enum { MOST_COLUMNS = 10000 };

/* The number in the environment variable COLUMNS; 0: none. */
static int columns_of_environment(void) {
  const char *text = getenv("COLUMNS");
  if (text == NULL) return 0;
  char *end;
  long columns = strtol(text, &end, 10);
  return *end == '\0' && columns > 0 && columns <= MOST_COLUMNS ? (int)columns : 0;
}

/* Asked every time, so that a terminal whose size changes needs no handler of SIGWINCH. */
int lur_terminal_columns(int fd, bool *terminal) {
  *terminal = isatty(fd) != 0;
  struct winsize size = {0};
  if (*terminal && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return columns_of_environment();
}

/* lurcher.columns(stream) */
static int columns(lua_State *L) {
  static const char *const streams[] = {"stdout", "stderr", NULL};
  static const int descriptors[] = {STDOUT_FILENO, STDERR_FILENO};
  bool terminal;
  int count = lur_terminal_columns(descriptors[luaL_checkoption(L, 1, "stdout", streams)], &terminal);
  if (count > 0) lua_pushinteger(L, count);
  else lua_pushnil(L);
  lua_pushboolean(L, terminal);
  return 2;
}

static const char prompt[] = "lurcher.prompt"; /* in the registry */

void lur_set_prompt(lua_State *L, bool there) {
  lua_pushboolean(L, there);
  lua_setfield(L, LUA_REGISTRYINDEX, prompt);
}

/* lurcher.at_prompt() */
static int at_prompt(lua_State *L) {
  lua_pushboolean(L, lua_getfield(L, LUA_REGISTRYINDEX, prompt) == LUA_TBOOLEAN && lua_toboolean(L, -1));
  return 1;
}

void lur_add_terminal(lua_State *L) {
  static const luaL_Reg functions[] = {{"columns", columns}, {"at_prompt", at_prompt}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
