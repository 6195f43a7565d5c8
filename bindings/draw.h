/* draw.h - one batch's indices from a sampler: what epoch.c and loader.c ask of draw.c. */
#ifndef LUR_BINDINGS_DRAW_H
#define LUR_BINDINGS_DRAW_H

#include "data.h"

typedef struct lur_drawn { /* one batch to push; memory belongs to values on the Lua stack above the call's top */
  int nfields;
  lur_load_field fields[LUR_MAX_LOAD_FIELDS];
  int extras; /* stack index of a new table: the sampler's further fields as tensors */
} lur_drawn;

/* Starts the sampler of an epoch: the environment's `sampler`, or sequential or shuffled order. Writes into the epoch table. */
void lur_draw_begin(lua_State *L, int environment, int epoch, int64_t number);
/* The next batch; false at the end. Raises with the sampler's file and line for what is no batch. */
bool lur_draw(lua_State *L, int environment, int epoch, lur_drawn *drawn);
/* Pushes the number of batches of an epoch; false and nothing pushed when unknown. */
bool lur_draw_count(lua_State *L, int environment);

#endif
