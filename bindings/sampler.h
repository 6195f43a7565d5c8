/* sampler.h - what sampler.c gives to epoch.c and loader.c: the indices of one batch after the other.
 *
 * environment: stack index of the loader's table of options (loader.c). epoch: stack index of the epoch's table. */
#ifndef LUR_BINDINGS_SAMPLER_H
#define LUR_BINDINGS_SAMPLER_H

#include "args.h"

typedef struct lur_sampled { /* one batch; its memory belongs to values on the Lua stack above the call's top */
  int nfields;
  lur_load_field fields[LUR_MAX_LOAD_FIELDS];
  int extras; /* stack index of a new table: the sampler's further fields as tensors */
} lur_sampled;

/* Starts the sampler of an epoch: the environment's `sampler`, or the images in order or shuffled. Keeps what it needs
   in the epoch's table. */
void lur_sampler_begin(lua_State *L, int environment, int epoch, int64_t number);
/* The next batch; false at the end of the epoch. Raises, with the sampler's file and line, for anything but a batch. */
bool lur_sampler_next(lua_State *L, int environment, int epoch, lur_sampled *sampled);
/* Pushes the number of batches of an epoch; false and nothing pushed when it is not known. */
bool lur_sampler_count(lua_State *L, int environment);

#endif
