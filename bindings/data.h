/* data.h - what the data bindings' files give each other: datasets (data.c), loaders (loader.c, epoch.c), generators
 * (random.c), augmentation (augment.c). */
#ifndef LUR_BINDINGS_DATA_H
#define LUR_BINDINGS_DATA_H

#include "args.h"
#include "handle.h"

extern const lur_class lur_set_class, lur_loader_class, lur_random_class, lur_numpy_random_class, lur_augment_class;

/* data.loader{...}; registers what it needs. */
void lur_register_loader(lua_State *L);
int lur_data_loader(lua_State *L);

/* data.augment{...} and data.augment_options(). */
int lur_data_augment(lua_State *L);
int lur_data_augment_options(lua_State *L);

/* data.cache{...} */
extern const lur_class lur_cache_class;
int lur_data_cache(lua_State *L);
int lur_data_cache_info(lua_State *L);
int lur_data_cache_remove(lua_State *L);

/* data.audit{ set, set, ... } */
int lur_data_audit(lua_State *L);

/* data.random(seed, stream) and data.numpy_random(seed). */
void lur_register_random(lua_State *L);
int lur_data_random(lua_State *L);
int lur_data_numpy_random(lua_State *L);
/* Pushes a generator whose numbers depend on (seed, stream). */
void lur_push_random(lua_State *L, uint64_t seed, uint64_t stream);
/* A permutation of 0..n-1 from the generator at index, into order. */
void lur_random_order(lua_State *L, int index, int64_t n, int64_t *order);

#endif
