/* epoch.h - what epoch.c gives to loader.c: the methods of a loader that run through an epoch. */
#ifndef LUR_BINDINGS_EPOCH_H
#define LUR_BINDINGS_EPOCH_H

#include "args.h"

int lur_loader_epoch_method(lua_State *L);
int lur_loader_call_method(lua_State *L);
int lur_loader_position_method(lua_State *L);
int lur_loader_resume_method(lua_State *L);
int lur_loader_peek_method(lua_State *L);
void lur_register_epoch(lua_State *L);

#endif
