/* version.c - `lurcher --version --verbose`: what a report of a fault needs. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/scripts.h"
#include "engine/lurcher.h"
#include "kernels/visible.h"
#include "program.h"

/* Values come from the environment and from files. */
static void print_visible(const char *text) {
  size_t length = lur_visible(text, strlen(text), true, NULL, 0);
  char *shown = malloc(length + 1);
  if (shown == NULL) return;
  lur_visible(text, strlen(text), true, shown, length + 1);
  fputs(shown, stdout);
  free(shown);
}

static void print_devices(void) {
  enum { MOST = 32 };
  char names[MOST][32];
  const char *why = NULL;
  int n = lur_device_list(names, MOST, &why);
  printf("%-12s", "devices");
  for (int i = 0; i < n && i < MOST; i++) printf(" %s", names[i]);
  putchar('\n');
  if (why == NULL) return;
  printf("%-12s ", "");
  print_visible(why);
  putchar('\n');
}

/* The patterns of package[field], one a line: where modules of scripts are looked for. */
static void print_folders(lua_State *L, const char *field) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, field);
  const char *entry = lua_tostring(L, -1), *head = field;
  while (entry != NULL && *entry != '\0') {
    size_t length = strcspn(entry, LUA_PATH_SEP);
    printf("%-12s ", head);
    lua_pushlstring(L, entry, length);
    print_visible(lua_tostring(L, -1));
    lua_pop(L, 1);
    putchar('\n');
    entry += length + (entry[length] != '\0');
    head = "";
  }
  lua_pop(L, 2);
}

int lur_program_describe(void) {
  char *text = NULL;
  if (lur_describe_machine(&text) != LUR_OK) {
    fprintf(stderr, "lurcher: %s\n", lur_last_error());
    return EXIT_FAILURE;
  }
  print_visible(text);
  lur_text_free(text);
  puts("Lua          " LUA_RELEASE);
  print_devices();
  lua_State *L = luaL_newstate();
  if (L == NULL) return EXIT_FAILURE;
  luaL_openlibs(L);
  lur_script_searcher(L);
  lur_program_set_paths(L, false);
  print_folders(L, "path");
  print_folders(L, "cpath");
  lua_close(L);
  return EXIT_SUCCESS;
}
