/* handle.c - see handle.h. What all handles of a Lua state share (the context, the count of open handles) is kept in
 * one userdata in the registry: nothing is process-wide, and several Lua states may exist side by side. */
#include "handle.h"

#include <limits.h>
#include <string.h>

#include "modules.h"
#include "scripts.h"

typedef struct state {
  lur_context *volatile context;
  int64_t open;
  lua_CFunction opener; /* opened the module */
  bool worker;
} state;

static const char state_key = 0; /* its address names the registry entry */

static int state_gc(lua_State *L) {
  state *s = lua_touserdata(L, 1);
  lur_context *context = s->context;
  s->context = NULL;
  lur_context_release(context);
  return 0;
}

static state *state_of(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  state *s = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (s != NULL) return s;
  s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (state){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  return s;
}

lur_context *lur_state_context(lua_State *L) {
  state *s = state_of(L);
  if (s->context == NULL) {
    lur_context *context = NULL;
    lur_check(L, lur_context_new(0, 0, &context));
    s->context = context;
  }
  return s->context;
}

void lur_state_set_opener(lua_State *L, lua_CFunction opener) { state_of(L)->opener = opener; }
lua_CFunction lur_state_opener(lua_State *L) { return state_of(L)->opener; }

void lur_state_make_worker(lua_State *L, lur_context *context) {
  state *s = state_of(L);
  s->context = context;
  s->worker = true;
}

bool lur_state_is_worker(lua_State *L) { return state_of(L)->worker; }

lur_context *volatile *lur_state_context_address(lua_State *L) { return &state_of(L)->context; }

int64_t lur_state_open_handles(lua_State *L) { return state_of(L)->open; }

void lur_state_unhook(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_sethook(lua_tothread(L, -1), NULL, 0, 0);
  lua_pop(L, 1);
}

void lur_state_charge(lua_State *L, size_t bytes) {
  size_t kb = bytes / 1024;
  if (kb > 0 && lua_gc(L, LUA_GCISRUNNING)) lua_gc(L, LUA_GCSTEP, kb > INT_MAX / 2 ? INT_MAX / 2 : (int)kb);
}

/* ---- classes ---- */

/* Upvalues: methods, getters, the class's own __index, its function for missing names (each or nil). */
static int class_index(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) {
      lua_pushvalue(L, 1);
      lua_call(L, 1, 1);
      return 1;
    }
    lua_CFunction missing = lua_tocfunction(L, lua_upvalueindex(4));
    lua_settop(L, 2);
    return missing != NULL ? missing(L) : 0;
  }
  if (lua_isnil(L, lua_upvalueindex(3))) return 0;
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(3));
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  return 1;
}

/* Upvalues: setters, getters, the class's own __newindex (or nil), the class's name. */
static int class_newindex(lua_State *L) {
  const char *name = lua_tostring(L, lua_upvalueindex(4));
  lua_settop(L, 3);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL) {
      lua_pushvalue(L, 2);
      bool readable = lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL;
      return lur_raise(L, readable ? "field '%s' of a %s cannot be assigned" : "no field '%s' in a %s",
                       lua_tostring(L, 2), name);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    lua_call(L, 2, 0);
    return 0;
  }
  if (lua_isnil(L, lua_upvalueindex(3)))
    return lur_raise(L, "a %s cannot be indexed by a %s", name, luaL_typename(L, 2));
  lua_pushvalue(L, lua_upvalueindex(3));
  lua_insert(L, 1);
  lua_call(L, 3, 0);
  return 0;
}

/* Upvalues: the class, and its own function for open handles (or nil). */
static int handle_tostring(lua_State *L) {
  const lur_class *type = lua_touserdata(L, lua_upvalueindex(1));
  const lur_handle *h = luaL_checkudata(L, 1, type->name);
  lua_CFunction text = lua_tocfunction(L, lua_upvalueindex(2));
  if (h->object != NULL && text != NULL) {
    text(L);
    lur_push_visible(L, -1, true); /* it may hold names from files */
    return 1;
  }
  if (h->object == NULL) lua_pushfstring(L, "%s (closed)", type->name);
  else lua_pushfstring(L, "%s: %p", type->name, h->object);
  return 1;
}

/* Upvalue: the class. Two handles of one object are equal. */
static int handle_eq(lua_State *L) {
  const lur_class *type = lua_touserdata(L, lua_upvalueindex(1));
  const lur_handle *a = luaL_testudata(L, 1, type->name), *b = luaL_testudata(L, 2, type->name);
  lua_pushboolean(L, a != NULL && b != NULL && a->object != NULL && a->object == b->object);
  return 1;
}

/* Upvalue: the class. handle:close(), __gc, __close. */
static int handle_close(lua_State *L) {
  const lur_class *type = lua_touserdata(L, lua_upvalueindex(1));
  lur_handle *h = luaL_checkudata(L, 1, type->name);
  if (h->object == NULL) return 0;
  void *object = h->object;
  h->object = NULL;
  state_of(L)->open--;
  type->release(object);
  return 0;
}

static void push_functions(lua_State *L, const luaL_Reg *functions) {
  lua_newtable(L);
  if (functions != NULL) luaL_setfuncs(L, functions, 0);
}

static void set_common(lua_State *L, int index, const luaL_Reg *functions, const lur_class *type) {
  lua_pushvalue(L, index);
  lua_pushlightuserdata(L, (void *)(uintptr_t)type);
  luaL_setfuncs(L, functions, 1);
  lua_pop(L, 1);
}

/* Replaces the metatable's __index and __newindex, the class's own or nil, by functions that look for names first. */
static void set_index(lua_State *L, int mt, const lur_class *type, const lur_members *members) {
  static const luaL_Reg close_method[] = {{"close", handle_close}, {NULL, NULL}};
  int methods = mt + 1, getters = mt + 2, setters = mt + 3;
  push_functions(L, members->methods);
  push_functions(L, members->getters);
  push_functions(L, members->setters);
  set_common(L, methods, close_method, type);
  lua_pushvalue(L, methods); /* __methods and __fields: what completion in the REPL and tests/lua/api.lua list */
  lua_setfield(L, mt, "__methods");
  lua_pushvalue(L, getters);
  lua_setfield(L, mt, "__fields");
  lua_pushvalue(L, setters);
  lua_pushvalue(L, getters);
  lua_getfield(L, mt, "__newindex");
  lua_pushstring(L, type->name);
  lua_pushcclosure(L, class_newindex, 4);
  lua_setfield(L, mt, "__newindex");
  lua_pushvalue(L, methods);
  lua_pushvalue(L, getters);
  lua_getfield(L, mt, "__index");
  if (members->missing != NULL) lua_pushcfunction(L, members->missing);
  else lua_pushnil(L);
  lua_pushcclosure(L, class_index, 4);
  lua_setfield(L, mt, "__index");
}

void lur_class_register(lua_State *L, const lur_class *type, const lur_members *members) {
  static const luaL_Reg common[] = {
      {"__gc", handle_close}, {"__close", handle_close}, {"__eq", handle_eq}, {NULL, NULL}};
  if (!luaL_newmetatable(L, type->name)) {
    lua_pop(L, 1);
    return;
  }
  int mt = lua_gettop(L);
  set_common(L, mt, common, type);
  lua_pushlightuserdata(L, (void *)(uintptr_t)type);
  if (members->tostring != NULL) lua_pushcfunction(L, members->tostring);
  else lua_pushnil(L);
  lua_pushcclosure(L, handle_tostring, 2);
  lua_setfield(L, mt, "__tostring");
  if (members->meta != NULL) luaL_setfuncs(L, members->meta, 0);
  set_index(L, mt, type, members);
  lua_settop(L, mt - 1);
}

lur_handle *lur_handle_new(lua_State *L, const lur_class *type) {
  state_of(L); /* older than every handle, so finalised after them */
  lur_handle *h = lua_newuserdatauv(L, sizeof *h, 1);
  *h = (lur_handle){.type = type};
  luaL_setmetatable(L, type->name);
  return h;
}

void lur_handle_fill(lua_State *L, lur_handle *handle, void *object) {
  handle->object = object;
  if (object != NULL) state_of(L)->open++;
}

bool lur_handle_is(lua_State *L, int index, const lur_class *type) {
  return luaL_testudata(L, index, type->name) != NULL;
}

void *lur_handle_check(lua_State *L, int arg, const lur_class *type) {
  lur_handle *h = luaL_checkudata(L, arg, type->name);
  if (h->object == NULL) luaL_argerror(L, arg, lua_pushfstring(L, "attempt to use a closed %s", type->name));
  return h->object;
}

void *lur_handle_test(lua_State *L, int index, const lur_class *type) {
  lur_handle *h = luaL_testudata(L, index, type->name);
  if (h == NULL) return NULL;
  if (h->object == NULL) lur_raise(L, "attempt to use a closed %s", type->name);
  return h->object;
}

void lur_handle_charge(lua_State *L, lur_handle *handle, size_t bytes) {
  if (bytes <= handle->charged) return;
  size_t more = bytes - handle->charged;
  handle->charged = bytes;
  lur_state_charge(L, more);
}

/* ---- guards ---- */

void lur_guard_clear(lur_guard *guard) {
  void *pointer = guard->pointer;
  guard->pointer = NULL;
  if (pointer != NULL) guard->release(pointer);
}

static int guard_gc(lua_State *L) {
  lur_guard_clear(luaL_checkudata(L, 1, "lurcher.guard"));
  return 0;
}

lur_guard *lur_guard_new(lua_State *L, void (*release)(void *pointer)) {
  lur_guard *guard = lua_newuserdatauv(L, sizeof *guard, 0);
  *guard = (lur_guard){.release = release};
  if (luaL_newmetatable(L, "lurcher.guard")) {
    lua_pushcfunction(L, guard_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return guard;
}

static void release_text(void *text) { lur_text_free(text); }

lur_guard *lur_guard_new_text(lua_State *L) { return lur_guard_new(L, release_text); }

/* ---- errors ---- */

/* Pushes "script.lua:12: " for the nearest caller outside the scripts that are compiled in; "" when there is none. */
static void push_where(lua_State *L) {
  lua_Debug ar;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline > 0 && !lur_script_is_ours(ar.source)) {
      lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
      return;
    }
  }
  lua_pushliteral(L, "");
}

int lur_raise(lua_State *L, const char *format, ...) {
  push_where(L);
  va_list args;
  va_start(args, format);
  lua_pushvfstring(L, format, args);
  va_end(args);
  lur_push_visible(L, -1, false);
  lua_remove(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

void lur_check(lua_State *L, lur_status status) {
  if (status == LUR_OK) return;
  if (status == LUR_EINTERRUPTED) lur_state_unhook(L); /* or the hook would raise a second time */
  const char *message = lur_last_error();
  lur_raise(L, "%s", message[0] != '\0' ? message : lur_status_name(status));
}

static bool is_soft(lur_status status) {
  switch (status) {
  case LUR_EIO:
  case LUR_EFORMAT:
  case LUR_ESHAPE:
  case LUR_ETYPE:
  case LUR_EUNSUPPORTED: return true;
  default: return false;
  }
}

int lur_soft(lua_State *L, lur_status status) {
  if (status == LUR_OK) return 0;
  if (!is_soft(status)) lur_check(L, status);
  luaL_pushfail(L);
  lua_pushstring(L, lur_last_error());
  lua_pushstring(L, lur_status_name(status));
  return 3;
}
