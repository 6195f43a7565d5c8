/* handle.h - engine objects as Lua values: one userdata shape, one way to close, one way to raise.
 *
 * A handle is born closed, gets its metatable, and is filled after the engine call that may fail, so that nothing
 * leaks when anything raises. __gc, __close and :close() are one idempotent function; use after close raises.
 *
 *   lur_handle *h = lur_handle_new(L, &lur_tensor_class);
 *   lur_tensor *y;
 *   LUR_CALL(L, lur_tensor_unary(op, a, &y));
 *   lur_handle_fill(L, h, y);          (the handle owns the reference now)
 *   return 1;
 *
 * No C memory may be held across a call that can raise unless a userdata holds it.
 * To add a class: a static const lur_class, lur_class_register in its module's open function, a section in api/ */
#ifndef LUR_HANDLE_H
#define LUR_HANDLE_H

#include <lauxlib.h>
#include <lua.h>

#include "engine/lurcher.h"

typedef struct lur_class {
  const char *name;              /* "lurcher.tensor": the metatable's name, and __name in messages */
  void (*release)(void *object); /* gives the reference back */
  const luaL_Reg *methods;       /* handle:name(...); close is added */
  const luaL_Reg *getters;       /* handle.name: called with the handle; one result. May be NULL */
  const luaL_Reg *setters;       /* handle.name = value: called with handle, value. May be NULL */
  const luaL_Reg *meta; /* operators; __index and __newindex here see only keys that are no names. May be NULL */
} lur_class;

typedef struct lur_handle {
  void *object; /* NULL: closed */
  const lur_class *type;
  size_t charged; /* bytes that the collector was told of, where that is more than once */
} lur_handle;

/* Makes the metatable; called once a state for each class. */
void lur_class_register(lua_State *L, const lur_class *type);

/* Pushes a closed handle, with one user value (nil). */
lur_handle *lur_handle_new(lua_State *L, const lur_class *type);
/* Hands the object's reference over. Never raises. */
void lur_handle_fill(lua_State *L, lur_handle *handle, void *object);
/* The object at arg; raises for another type and for a closed handle. */
void *lur_handle_check(lua_State *L, int arg, const lur_class *type);
/* The object at index; NULL for another type; raises for a closed handle. */
void *lur_handle_test(lua_State *L, int index, const lur_class *type);
/* Whether index holds a handle of the class, open or closed. */
bool lur_handle_is(lua_State *L, int index, const lur_class *type);

/* The state's context, made at first use with seed 0 (or the one lurcher.seed gave). */
lur_context *lur_state_context(lua_State *L);
/* Where the context's address stands, NULL before first use: for a signal handler. */
lur_context *volatile *lur_state_context_slot(lua_State *L);
int64_t lur_state_open_handles(lua_State *L);

/* Takes away the debug hook that the program's Ctrl-C sets: whoever takes an interrupt request back calls it. */
void lur_state_unhook(lua_State *L);

/* Tells the collector about memory it cannot see. The only place that does. */
void lur_state_charge(lua_State *L, size_t bytes);

/* Tells the collector of what is new in `bytes` since the last time. */
void lur_handle_charge(lua_State *L, lur_handle *handle, size_t bytes);

/* Holds C memory while something may raise: pushes a value; whoever fills `pointer` is rid of it. */
typedef struct lur_guard {
  void *pointer;
  void (*release)(void *pointer);
} lur_guard;
lur_guard *lur_guard_new(lua_State *L, void (*release)(void *pointer));
/* Releases now. The value may stay on the stack. */
void lur_guard_clear(lur_guard *guard);

/* Raises with the position of the nearest caller that is a user's own script. */
int lur_raise(lua_State *L, const char *format, ...);
/* Raises lur_last_error() unless status is LUR_OK. */
void lur_check(lua_State *L, lur_status status);
/* For what the world can refuse. LUR_OK: returns 0. EIO, EFORMAT, ESHAPE, ETYPE, EUNSUPPORTED: pushes nil, message,
   code and returns 3. Anything else raises. */
int lur_soft(lua_State *L, lur_status status);
/* Whether lur_soft would return instead of raising. */
bool lur_status_is_soft(lur_status status);

/* Runs an engine call; out of memory: collects garbage and tries once more. `result` gets the status. */
#define LUR_RETRY(L, result, call)                                                                                     \
  do {                                                                                                                 \
    (result) = (call);                                                                                                 \
    if ((result) == LUR_ENOMEM) {                                                                                      \
      lua_gc((L), LUA_GCCOLLECT, 0);                                                                                   \
      (result) = (call);                                                                                               \
    }                                                                                                                  \
  } while (0)

/* The same, and raises what remains. */
#define LUR_CALL(L, call)                                                                                              \
  do {                                                                                                                 \
    lur_status lur_call_status_;                                                                                       \
    LUR_RETRY((L), lur_call_status_, call);                                                                            \
    lur_check((L), lur_call_status_);                                                                                  \
  } while (0)

#endif
