/* data.h - what the files of lurcher.data give to data.c, which opens the module, and to each other. */
#ifndef LUR_BINDINGS_DATA_H
#define LUR_BINDINGS_DATA_H

#include "args.h"

/* dataset.c */
int lur_data_folder(lua_State *L);
int lur_data_flat(lua_State *L);
int lur_data_list(lua_State *L);
void lur_register_dataset(lua_State *L);

/* audit.c */
int lur_data_audit(lua_State *L);

/* augment.c */
int lur_data_augment(lua_State *L);
int lur_data_augment_options(lua_State *L);
void lur_register_augment(lua_State *L);

/* loader.c */
int lur_data_loader(lua_State *L);
int lur_data_loader_options(lua_State *L);
void lur_register_loader(lua_State *L);

/* cache.c */
int lur_data_cache(lua_State *L);
int lur_data_cache_info(lua_State *L);
int lur_data_cache_remove(lua_State *L);
void lur_register_cache(lua_State *L);

/* random.c */
int lur_data_random(lua_State *L);
int lur_data_numpy_random(lua_State *L);
void lur_register_random(lua_State *L);
/* Pushes a generator whose numbers depend on (seed, stream). */
void lur_push_random(lua_State *L, uint64_t seed, uint64_t stream);
/* A permutation of 0..n-1 from the generator at index, into order. */
void lur_random_order(lua_State *L, int index, int64_t n, int64_t *order);

#endif
