/* nn.h - what nn.c, model.c and train.c share. */
#ifndef LUR_NN_H
#define LUR_NN_H

#include "args.h"

/* Whether the argument is a node, or a table that begins with one. */
bool lur_args_are_nodes(lua_State *L, int index);
/* Nodes from the arguments first..top, or from the one table there; returns their number. who: "dense 'fc'". */
int lur_args_nodes(lua_State *L, int first, const char *who, lur_node **nodes, int capacity);

/* Push handles with a reference of their own. */
void lur_push_layer(lua_State *L, lur_layer *layer);
void lur_push_node(lua_State *L, lur_node *node);

/* Adds nn.model, nn.load, nn.from_json to the table on top of the stack, and registers the class. */
void lur_add_model(lua_State *L);
/* nn.seq, and the metatable of what it makes. */
int lur_new_chain(lua_State *L);
void lur_register_chain(lua_State *L);
/* tostring(model): the layer table. */
int lur_model_tostring(lua_State *L);
/* model:compile */
int lur_model_compile_method(lua_State *L);

#endif
