/* handle.h - engine objects as Lua values: one kind of userdata, one way to close it, one way to raise.
 *
 * A handle is created closed, gets its metatable, and is filled after the engine call that may fail, so that nothing
 * leaks when anything raises. __gc, __close and :close() are one idempotent function; use after close raises.
 *
 *   lur_handle *h = lur_handle_new(L, &lur_tensor_class);
 *   lur_tensor *y;
 *   LUR_CALL(L, lur_tensor_unary(op, a, &y));
 *   lur_handle_fill(L, h, y);          (the handle owns the reference from here on)
 *   return 1;
 *
 * No C memory may be held across a call that can raise unless a userdata holds it (lur_guard_new).
 * To add a class: a row in classes.h and classes.c, lur_class_register where its module is opened, a section in api/.
 */
#ifndef LUR_HANDLE_H
#define LUR_HANDLE_H

#include <lauxlib.h>
#include <lua.h>

#include "engine/lurcher.h"

typedef struct lur_class {
  const char *name;              /* "lurcher.tensor": the metatable's name, and __name in messages */
  void (*release)(void *object); /* gives up the handle's reference */
} lur_class;

typedef struct lur_members { /* what a class can do; every list ends with {NULL, NULL}, or is NULL */
  const luaL_Reg *methods;   /* handle:name(...); close is added */
  const luaL_Reg *getters;   /* handle.name: called with the handle; one result */
  const luaL_Reg *setters;   /* handle.name = value: called with handle, value */
  const luaL_Reg *meta;      /* operators; __index and __newindex get only keys that are not strings */
  lua_CFunction tostring;    /* text of an open handle; NULL: its address */
  lua_CFunction missing;     /* called with handle and name where there is no such field, to raise; NULL: it is nil */
} lur_members;

typedef struct lur_handle {
  void *object; /* NULL: closed */
  const lur_class *type;
  size_t charged; /* bytes reported to the collector by lur_handle_charge */
} lur_handle;

/* Makes the metatable; called once per class and Lua state. */
void lur_class_register(lua_State *L, const lur_class *type, const lur_members *members);

/* Pushes a closed handle, with one user value (nil). */
lur_handle *lur_handle_new(lua_State *L, const lur_class *type);
/* Transfers the object's reference to the handle. Never raises. */
void lur_handle_fill(lua_State *L, lur_handle *handle, void *object);
/* The object at arg; raises for another type and for a closed handle. */
void *lur_handle_check(lua_State *L, int arg, const lur_class *type);
/* The object at index; NULL for another type; raises for a closed handle. */
void *lur_handle_test(lua_State *L, int index, const lur_class *type);
/* Whether index holds a handle of the class, open or closed. */
bool lur_handle_is(lua_State *L, int index, const lur_class *type);

/* The state's context, made at first use with seed 0 (or the one lurcher.seed gave). */
lur_context *lur_state_context(lua_State *L);
/* Address of the variable that holds the context, NULL before first use: for a signal handler. */
lur_context *volatile *lur_state_context_address(lua_State *L);
/* The function that opens the module: what is below it opens it with this in another state. */
void lur_state_set_opener(lua_State *L, lua_CFunction opener);
lua_CFunction lur_state_opener(lua_State *L);
/* Makes a new state that of a loader's worker thread, with a context of its own, whose reference it takes. */
void lur_state_make_worker(lua_State *L, lur_context *context);
bool lur_state_is_worker(lua_State *L);
int64_t lur_state_open_handles(lua_State *L);

/* Removes the debug hook that Ctrl-C installs in the program: for code that acknowledges an interrupt request. */
void lur_state_unhook(lua_State *L);

/* Reports memory that the collector cannot see, so that it runs as often as if Lua had allocated it. */
void lur_state_charge(lua_State *L, size_t bytes);
/* The same for an object that grows: reports only what `bytes` exceeds the last report by. */
void lur_handle_charge(lua_State *L, lur_handle *handle, size_t bytes);

/* Holds C memory while something may raise: pushes a userdata that releases `pointer` when it is collected. */
typedef struct lur_guard {
  void *pointer;
  void (*release)(void *pointer);
} lur_guard;
lur_guard *lur_guard_new(lua_State *L, void (*release)(void *pointer));
/* A guard for what lur_text_free releases. */
lur_guard *lur_guard_new_text(lua_State *L);
/* Releases now. The value may stay on the stack. */
void lur_guard_clear(lur_guard *guard);

/* Raises with the position of the nearest caller outside the scripts that are compiled in. */
int lur_raise(lua_State *L, const char *format, ...);
/* Raises lur_last_error() unless status is LUR_OK. */
void lur_check(lua_State *L, lur_status status);
/* For calls that can fail through no fault of the script (files, formats). LUR_OK: returns 0. LUR_EIO, _EFORMAT,
   _ESHAPE, _ETYPE, _EUNSUPPORTED: pushes nil, message, code and returns 3. Any other status raises. */
int lur_soft(lua_State *L, lur_status status);

/* Runs an engine call; after LUR_ENOMEM collects garbage and tries once more. `result` gets the status. */
#define LUR_RETRY(L, result, call)                                                                                     \
  do {                                                                                                                 \
    (result) = (call);                                                                                                 \
    if ((result) == LUR_ENOMEM) {                                                                                      \
      lua_gc((L), LUA_GCCOLLECT, 0);                                                                                   \
      (result) = (call);                                                                                               \
    }                                                                                                                  \
  } while (0)

/* The same, and raises a failure. */
#define LUR_CALL(L, call)                                                                                              \
  do {                                                                                                                 \
    lur_status lur_call_status_;                                                                                       \
    LUR_RETRY((L), lur_call_status_, call);                                                                            \
    lur_check((L), lur_call_status_);                                                                                  \
  } while (0)

#endif
