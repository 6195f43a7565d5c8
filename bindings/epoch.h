/* epoch.h - what loader.c and epoch.c give each other. */
#ifndef LUR_BINDINGS_EPOCH_H
#define LUR_BINDINGS_EPOCH_H

#include "data.h"

/* loader.c */
lur_loader *lur_loader_check(lua_State *L, int arg);
/* Pushes the environment of the loader at arg: the options of data.loader, complete, and what epochs keep there. */
void lur_loader_push_environment(lua_State *L, int arg);

/* epoch.c: methods of loaders, and what they need. */
int lur_loader_epoch_method(lua_State *L);
int lur_loader_call_method(lua_State *L);
int lur_loader_position_method(lua_State *L);
int lur_loader_resume_method(lua_State *L);
int lur_loader_peek_method(lua_State *L);
void lur_register_epoch(lua_State *L);

#endif
