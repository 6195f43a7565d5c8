/* transform.h - a loader's transform: a Lua file that its workers run, or a Lua function of the main state. */
#ifndef LUR_BINDINGS_TRANSFORM_H
#define LUR_BINDINGS_TRANSFORM_H

#include "args.h"

/* Reads the option `transform` of the table at arg: a file's name, which is loaded once to check it, or a function.
   *transform is for lur_loader_new, which takes it over; user NULL: there is none. Raises for a wrong one. Pushes a
   guard that holds it until lur_transform_given. */
void lur_transform_read(lua_State *L, int arg, const char *owner, lur_dataset *set, lur_transform *transform);
/* The loader has taken the transform over from the guard at index. */
void lur_transform_given(lua_State *L, int index);
/* Before lur_loader_pop: the function that it may call is the value on top of the stack, nil where there is none. After
   it: NULL. user: lur_transform.user. */
void lur_transform_attach(void *user, lua_State *L);

/* data.transform_hash(file) */
int lur_data_transform_hash(lua_State *L);

#endif
