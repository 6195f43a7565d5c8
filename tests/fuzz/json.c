/* json.c - fuzzes lurcher.json in Lua: what is decoded is encoded, decoded again, and must then be encoded to the same
 * text.
 * sources: bindings engine
 * libraries: -llua5.4 -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include <string.h>

#include <lualib.h>

#include "bindings/modules.h"
#include "bindings/scripts.h"
#include "support/input.h"

const lur_script lur_scripts[] = {{NULL, NULL, 0}}; /* none is compiled in */

static const char script[] = "local json, input = ...\n"
                             "local value, message, code = json.decode(input)\n"
                             "if message then return assert(code == 'EFORMAT' and value == nil) end\n"
                             "local can, text = pcall(json.encode, value)\n"
                             "if not can then return assert(text:find('nested', 1, true), text) end\n"
                             "local again, why = json.decode(text)\n"
                             "assert(not why, why)\n"
                             "assert(json.encode(again) == text, text)\n"
                             "assert(json.encode(json.decode(json.encode(value, true))) == text, text)\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (L == NULL) {
    L = luaL_newstate();
    luaL_openlibs(L);
    luaL_requiref(L, "json", lur_open_json, 0);
    if (luaL_loadstring(L, script) != LUA_OK) abort();
  }
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  lua_pushlstring(L, (const char *)data, size);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    abort();
  }
  lua_settop(L, 2);
  return 0;
}
