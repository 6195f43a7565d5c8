/* worker.h - Lua states for the worker threads of a loader. */
#ifndef LUR_WORKER_H
#define LUR_WORKER_H

#include "handle.h"

/* What a worker's state takes over from the main state: where `require` looks, and how `lurcher` is opened. */
typedef struct lur_worker_origin {
  char *path, *cpath, *overrides; /* owned */
  lua_CFunction open;
} lur_worker_origin;

/* Copies them from the calling state. false: no memory. */
bool lur_worker_copy_origin(lua_State *L, lur_worker_origin *origin);
/* A zeroed one is allowed. */
void lur_worker_free_origin(lur_worker_origin *origin);

/* Opens a state with Lua's libraries and `lurcher`, for one thread at a time. What a worker must not do raises: nn,
   optim, loaders, feature caches, devices, os.exit and os.setlocale. file: the Lua file that it will run; `require`
   looks beside it first. LUR_ENOMEM, or another status with its message. */
lur_status lur_worker_open(const lur_worker_origin *origin, const char *file, lua_State **state);
/* Makes math.random and lurcher.seed follow from a key. */
void lur_worker_seed(lua_State *L, uint64_t key);
/* From now on keeps the names of the Lua files that `require` loads. */
void lur_worker_record(lua_State *L);
/* The i-th of them, from 1; NULL: there are no more. Belongs to the state. */
const char *lur_worker_recorded(lua_State *L, int i);

#endif
