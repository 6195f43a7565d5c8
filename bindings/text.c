/* text.c - values as text: numbers with a decimal point whatever the locale, and foreign text (names from files)
 * without what a terminal would obey. */
#include <lualib.h>
#include <math.h>
#include <string.h>

#include "kernels/number.h"
#include "kernels/visible.h"
#include "modules.h"

/* As Lua writes a float (lobject.c, tostringbuff), but in the C locale. */
static void push_float(lua_State *L, lua_Number value) {
  char text[LUR_NUMBER_TEXT];
  if (isnan(value)) value = fabs(value); /* or it would be -nan, which 0/0 is on x86 */
  int length = lur_format(text, sizeof text, LUA_NUMBER_FMT, value);
  bool whole = text[strspn(text, "-0123456789")] == '\0';
  lua_pushlstring(L, text, (size_t)length);
  if (!whole) return;
  lua_pushliteral(L, ".0");
  lua_concat(L, 2);
}

const char *lur_push_text(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TNUMBER || lua_isinteger(L, index)) return luaL_tolstring(L, index, NULL);
  push_float(L, lua_tonumber(L, index));
  return lua_tostring(L, -1);
}

const char *lur_push_visible(lua_State *L, int index, bool lines) {
  size_t length;
  index = lua_absindex(L, index);
  const char *text = lua_tolstring(L, index, &length);
  size_t need = lur_visible(text, length, lines, NULL, 0);
  if (need == length) { /* every escape is longer than what it stands for */
    lua_pushvalue(L, index);
  } else {
    luaL_Buffer buffer;
    char *out = luaL_buffinitsize(L, &buffer, need + 1);
    lur_visible(text, length, lines, out, need + 1);
    luaL_pushresultsize(&buffer, need);
  }
  return lua_tostring(L, -1);
}

int lur_print_visible(lua_State *L) {
  int n = lua_gettop(L);
  for (int i = 1; i <= n; i++) {
    lur_push_text(L, i);
    lur_push_visible(L, -1, true);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    if (i > 1) lua_writestring("\t", 1);
    lua_writestring(text, length);
    lua_pop(L, 2);
  }
  lua_writeline();
  return 0;
}

/* lurcher.visible(text, lines) */
static int visible(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  lur_push_text(L, 1);
  lur_push_visible(L, -1, lua_toboolean(L, 2));
  return 1;
}

/* Calls upvalue 1, a function of Lua's library, in the C locale. */
static int call_in_c_locale(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  void *locale = lur_c_locale_enter();
  int status = lua_pcall(L, lua_gettop(L) - 1, 1, 0);
  lur_c_locale_leave(locale);
  if (status == LUA_OK) return 1;
  if (lua_type(L, -1) != LUA_TSTRING) return lua_error(L);
  return luaL_error(L, "%s", lua_tostring(L, -1));
}

void lur_add_text(lua_State *L) {
  static const luaL_Reg functions[] = {{"visible", visible}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 0);
  lua_getfield(L, -1, "format");
  lua_pushcclosure(L, call_in_c_locale, 1);
  lua_setfield(L, -3, "format");
  lua_pop(L, 1);
  luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
  lua_getfield(L, -1, "tonumber");
  lua_pushcclosure(L, call_in_c_locale, 1);
  lua_setfield(L, -3, "number");
  lua_pop(L, 1);
}
