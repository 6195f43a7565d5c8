/* nn.h - what the files of nn give to nn.c, which opens the module. */
#ifndef LUR_NN_H
#define LUR_NN_H

#include "args.h"

/* model.c: adds nn.model, nn.load and nn.from_json to the table on top of the stack, and registers the class. */
void lur_add_model(lua_State *L);
/* model_print.c: tostring(model), the layer table. */
int lur_model_tostring(lua_State *L);
/* chain.c: nn.seq, and the metatable of what it makes. */
int lur_new_chain(lua_State *L);
void lur_register_chain(lua_State *L);
/* run.c */
void lur_register_run(lua_State *L);

#endif
